"""A command of Spaces stands in the trace of the run that gave it, live and rebuilt, in the hub's journal too; and Spaces is measured."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from life.aios.ports.journal import EventQuery
from life.aios.ports.provider import ModelRequest
from life.arcan.providers.scripted import ScriptedCall, ScriptedProvider, ScriptedTurn
from life.host.clock import SystemClock
from life.host.settings import Settings, SpacesSettings
from life.host.spaces_telemetry import readings
from life.host.system import open_system
from life.host.trace import session_spans
from life.lago.journal.sqlite import SqliteJournal
from life.spaces.commands import DeleteServer, SendMessage
from life.spaces.errors import SpacesError
from life.vigil import names as n
from life.vigil.config import TelemetrySettings
from life.vigil.exports import Reading
from life.vigil.metrics import READINGS, Meters
from life.vigil.spans import project
from tests.harness.process import ChildProcess
from tests.vigil.kit import spans_of

SERVE = "from life.cli.spacesd import spacesd; spacesd()"


def turn(request: ModelRequest) -> ScriptedTurn:
    """It writes into a channel, once."""
    if any(block for message in request.messages for block in message.content if hasattr(block, "is_error")):
        return ScriptedTurn(text="Said.")
    return ScriptedTurn(calls=(ScriptedCall("spaces_send_message", {"channel": 1, "content": "hello"}),))


async def test_a_command_stands_below_the_tool_that_gave_it(tmp_path: Path) -> None:
    """The entry, its update and its journal events carry the tool's span; `life trace` rebuilds the same span that was exported."""
    settings = Settings(spaces=SpacesSettings(place="embedded"), telemetry=TelemetrySettings(exporters=("memory",)))
    environment = {"LIFE_KEY_FILE": str(tmp_path / "key")}
    provider = ScriptedProvider(turn, clock=SystemClock())
    async with open_system(tmp_path / "life", settings=settings, environment=environment, provider=provider) as system:
        await system.runtime.create_session("s")
        await system.runtime.run("s", "Say hello.")
        spaces = system.spaces.spaces
        assert spaces is not None
        async with asyncio.timeout(5):
            while spaces.export.position < spaces.engine.state.position:
                await asyncio.sleep(0.01)
        rebuilt = await session_spans(system.journal, "s")
        tool = next(span for span in rebuilt if span.name == "execute_tool spaces_send_message")
        (sent,) = [span for span in rebuilt if span.name == "spaces send_message"]
        assert (sent.trace_id, sent.parent_id, sent.kind) == (tool.trace_id, tool.span_id, "server")
        entry = (await spaces.engine.entries(spaces.engine.state.position - 1))[0]
        assert sent.attributes[n.SPACES_POSITION] == entry.position
        assert entry.trace_id == f"00-{tool.trace_id}-{tool.span_id}-01"
        assert system.telemetry is not None
        live = {span.span_id: span for span in spans_of(system.telemetry)}
        assert live[sent.span_id] == sent


async def test_spaces_is_measured(tmp_path: Path) -> None:
    """Sessions, accepted, refused and denied commands are counted under the names of the original; nothing without a name in the table, and
    the regulator's values stay when those of Spaces come."""
    settings = Settings(spaces=SpacesSettings(place="embedded"))
    environment = {"LIFE_KEY_FILE": str(tmp_path / "key")}
    async with open_system(tmp_path / "life", settings=settings, environment=environment) as system:
        assert await readings(system.spaces) == []
        seat = await system.spaces.seat()
        await seat.submit(SendMessage(channel_id=1, content="hello"))
        for command in (SendMessage(channel_id=1, content=""), DeleteServer(server_id=1)):
            try:
                await seat.submit(command)
            except SpacesError:
                continue
            raise AssertionError(command)
        found = {reading.name: reading.value for reading in await readings(system.spaces)}
        assert found["spaces.module.init"] == 1
        assert found["spaces.module.client_connected"] == found["spaces.sessions"] == 1
        assert (found["spaces.reducer.error"], found["spaces.reducer.auth_denied"]) == (2, 1)
        assert found["spaces.reducer.success"] >= 2
        assert found.keys() <= READINGS.keys()


def test_the_readings_of_two_families_stand_side_by_side() -> None:
    """What Spaces shows does not take away what the regulator showed; within a family the latest values count."""
    from opentelemetry.metrics import get_meter

    meters = Meters(get_meter("test"), "dev")
    meters.show([Reading("autonomic.trust_score", 0.5)])
    meters.show([Reading("spaces.sessions", 3), Reading("spaces.position", 9)])
    meters.show([Reading("spaces.position", 10)])
    held = {name: values for name, values in meters._readings.items() if values}
    assert held == {"autonomic.trust_score": {(): 0.5}, "spaces.position": {(): 10}}


@pytest.mark.slow
async def test_a_trace_goes_from_one_process_to_the_other(tmp_path: Path) -> None:
    """An agent joins a spacesd by address: what its tool writes there stands in the hub's journal below the tool's span of the agent's process."""
    (tmp_path / "hub").mkdir()
    command = [sys.executable, "-c", SERVE, "--data-dir", str(tmp_path / "hub"), "--bind", "127.0.0.1:0"]
    with ChildProcess.spawn([*command, "--admit-strangers"], name="spacesd") as hub:
        address = hub.wait_for_line(r"spacesd listens on (http://\S+)").group(1)
        hub.wait_for_line(r"Ctrl-C stops it\.")
        settings = Settings(spaces=SpacesSettings(place=address), telemetry=TelemetrySettings(exporters=("memory",)))
        environment = {"LIFE_KEY_FILE": str(tmp_path / "key")}
        provider = ScriptedProvider(turn, clock=SystemClock())
        async with open_system(
            tmp_path / "life", settings=settings, environment=environment, provider=provider
        ) as system:
            await system.runtime.create_session("s")
            await system.runtime.run("s", "Say hello.")
            spans = await session_spans(system.journal, "s")
            tool = next(span for span in spans if span.name == "execute_tool spaces_send_message")
            counts = {reading.name: reading.value for reading in await readings(system.spaces)}
            assert counts["spaces.client.connect"] == 1 and counts["spaces.client.reducer_call"] >= 1
        hub.stop()
    async with SqliteJournal.open(tmp_path / "hub" / "journal.db", clock=SystemClock()) as journal:
        records = await journal.read(EventQuery(), limit=1000)
    below = [span for span in project(records) if span.trace_id == tool.trace_id]
    assert [span.name for span in below] == ["spaces set_profile", "spaces send_message"]  # first it says its name
    assert {span.parent_id for span in below} == {tool.span_id}
