"""Homeostasis on the scrape of `life up` (life.host.autonomic_telemetry)."""

from __future__ import annotations

import asyncio
import socket
import urllib.request
from pathlib import Path

from life.aios.record import Actor
from life.arcan.providers.scripted import ScriptedProvider
from life.host.autonomic_telemetry import readings
from life.host.settings import EvaluationSettings, Settings
from life.host.system import open_system
from life.testing.clock import ManualClock
from life.vigil.config import TelemetrySettings
from life.vigil.exporting import Exporting
from life.vigil.exports import Reading
from life.vigil.metrics import READINGS
from tests.host.test_evaluation import work
from tests.vigil.kit import telemetry_on
from tests.vigil.test_metrics import read


def scrape(port: int) -> dict[str, float]:
    """Each series by its name with its labels, the scope's left out."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            name, _, labels = series.partition("{")
            kept = [each for each in labels.rstrip("}").split(",") if each and not each.startswith("otel_scope")]
            found[f"{name}{{{','.join(kept)}}}" if kept else name] = float(value)
    return found


async def test_the_scrape_of_a_whole_system(tmp_path: Path) -> None:
    """The margin, the scores and the five metrics of homeostasis stand on a real scrape, from the process that exports."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    clock = ManualClock()
    settings = Settings(
        evaluation=EvaluationSettings(inline=True),
        telemetry=TelemetrySettings(exporters=(f"prometheus:127.0.0.1:{port}",)),
    )
    async with open_system(
        tmp_path / "life",
        settings=settings,
        environment={"LIFE_KEY_FILE": str(tmp_path / "key")},
        clock=clock,
        provider=ScriptedProvider(work, clock=clock, name="own"),
    ) as system:
        assert system.telemetry is not None
        await system.autonomic.deposit(5_000_000, source="test", actor=Actor("user", "ann"))
        await system.runtime.create_session("s")
        assert (await system.runtime.run("s", "write it")).reason == "completed"
        found: dict[str, float] = {}
        for _ in range(200):
            system.telemetry.exports.readings(readings(system.autonomic))
            assert await asyncio.to_thread(system.telemetry.flush, 10.0)
            found = await asyncio.to_thread(scrape, port)
            if any(name.startswith("life_eval_score_count") for name in found):
                break
            await asyncio.sleep(0.02)
        agent = system.autonomic.agent(system.autonomic.agent_id)
    assert found["life_control_margin_l1"] == agent.stability.margins["L1"]
    assert found["autonomic_projection_events_total"] > 0
    assert found["autonomic_gating_requests_total"] == system.autonomic.folded.consultations > 0
    assert found['autonomic_economic_mode{mode="sovereign"}'] == 1
    assert sum(value for name, value in found.items() if name.startswith("autonomic_economic_mode")) == 1
    assert found["autonomic_balance_micro_credits"] == agent.state.economic.balance_micro_credits
    fired = {name for name in found if name.startswith("autonomic_rule_evaluations_total")}
    assert len(fired) == len(system.autonomic.folded.fired)
    assert 0 <= found["autonomic_trust_score"] <= 1
    names = {reading.name for reading in readings(system.autonomic)}
    assert names <= READINGS.keys() and {"life.control.margin.l1", "autonomic.economic_mode"} <= names


def test_what_is_held() -> None:
    """Readings hold until the next ones; what is not said any more is gone, and a name that nobody knows is passed over."""
    live = telemetry_on()
    assert isinstance(live.exports, Exporting)
    live.exports.readings(
        [
            Reading("autonomic.rule.evaluations", 3, (("rule", "a"),)),
            Reading("autonomic.balance_micro_credits", 7),
            Reading("session.s", 1),
        ]
    )
    first = read(live)
    (point,) = first["autonomic.rule.evaluations"]["data"]["data_points"]
    assert (point["value"], point["attributes"]) == (3, {"rule": "a"})
    assert first["autonomic.rule.evaluations"]["data"]["is_monotonic"] and "session.s" not in first
    live.exports.readings([Reading("autonomic.rule.evaluations", 4, (("rule", "a"),))])
    second = read(live)
    assert second["autonomic.rule.evaluations"]["data"]["data_points"][0]["value"] == 4
    assert not second.get("autonomic.balance_micro_credits", {"data": {"data_points": []}})["data"]["data_points"]
    live.close()
