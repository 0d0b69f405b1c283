"""How a process comes to its Spaces: off, opened in it, found next door, joined by address; and what a daemon does with a log in use."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from life.host.access import Access
from life.host.errors import SettingsError
from life.host.settings import Settings, SpacesSettings, load_settings
from life.host.spaces_link import open_for_daemon
from life.host.system import System, open_system
from life.spaces.commands import SendMessage, SetProfile
from life.spaces.errors import SpacesUnavailableError
from life.spaces.identity import identity_of
from life.spaces.model import Message, Profile
from life.spaces.queries import History
from life.spaces.seat import LocalSeat, RemoteSeat
from life.testing.clock import SeededEntropy
from tests.cli.daemon import Arcand
from tests.harness.process import ChildProcess

SERVE = "from life.cli.spacesd import spacesd; spacesd()"


def settings(place: str = "auto") -> Settings:
    """With Spaces there."""
    return Settings(spaces=SpacesSettings(place=place))


def opened(root: Path, place: str = "auto") -> object:
    """A system."""
    return open_system(
        root / "life", settings=settings(place), environment={"LIFE_KEY_FILE": str(root / "keys" / "identity.key")}
    )


def test_off_and_unused_import_nothing() -> None:
    """Opening the host imports no engine, no listener and no client of Spaces."""
    code = (
        "import sys, life.host.system\n"
        "names = ('engine', 'listeners', 'reducers', 'seat', 'a2a')\n"
        "assert not [m for m in sys.modules if m.startswith(tuple(f'life.spaces.{n}' for n in names))], "
        "[m for m in sys.modules if m.startswith('life.spaces')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("place", "fits"),
    [
        ("off", True),
        ("auto", True),
        ("embedded", True),
        ("https://hub.example", True),
        ("hub.example", False),
        ("", False),
    ],
)
def test_a_place_is_one_of_four_things(tmp_path: Path, place: str, fits: bool) -> None:
    """What can't be meant is an error that names the setting."""
    if fits:
        assert load_settings(None, {"LIFE_SPACES_PLACE": place}).spaces.place == place
    else:
        with pytest.raises(SettingsError, match="place is"):
            load_settings(None, {"LIFE_SPACES_PLACE": place})


def test_tools_are_offered_where_a_place_was_named() -> None:
    """`auto` offers none, so that nobody pays for twenty tools unasked; a named place does; `tools` decides otherwise."""
    offered = {
        (place, tools): SpacesSettings(place=place, tools=tools).offers_tools
        for place in ("auto", "embedded", "https://x", "off")
        for tools in ("auto", "on", "off")
    }
    assert [key for key, value in offered.items() if value] == [
        ("auto", "on"),
        ("embedded", "auto"),
        ("embedded", "on"),
        ("https://x", "auto"),
        ("https://x", "on"),
    ]


async def test_off_is_said_and_costs_no_file(tmp_path: Path) -> None:
    """The seat is refused with the setting to change, and the folder is not made."""
    async with opened(tmp_path, "off") as system:  # type: ignore[attr-defined]
        assert not system.spaces.is_on
        with pytest.raises(SpacesUnavailableError, match="off here"):
            await system.spaces.seat()
        assert await system.spaces.open_here(access(system), []) is None
        assert not (system.data.root / "spaces").exists()


def access(system: System) -> Access:
    """A daemon's."""
    return Access("t" * 43, system.clock, SeededEntropy())


async def test_the_first_use_opens_the_log_here(tmp_path: Path) -> None:
    """Nothing is there before; twenty at once get the same seat; what was written is there the next time; the identity follows from the
    root DID."""
    async with opened(tmp_path) as system:  # type: ignore[attr-defined]
        assert system.spaces.spaces is None and not (system.data.root / "spaces").exists()
        seats = await asyncio.gather(*(system.spaces.seat() for _ in range(20)))
        (seat,) = {id(one): one for one in seats}.values()
        assert isinstance(seat, LocalSeat)
        assert seat.identity == system.spaces.agent_identity == identity_of(system.identity.did)
        link: Any = system.spaces
        assert link.spaces.engine.state.table(Profile)[seat.identity].username == system.identity.name
        await seat.submit(SetProfile(username="another"))
        await seat.submit(SendMessage(channel_id=1, content="hello"))
    with pytest.raises(SpacesUnavailableError):
        await system.spaces.seat()
    async with opened(tmp_path) as system:  # type: ignore[attr-defined]
        seat = await system.spaces.seat()
        assert system.spaces.spaces.engine.state.table(Profile)[seat.identity].username == "another"
        rows = (await seat.query(History(channel_id=1))).rows
        assert [row.content for row in rows if isinstance(row, Message) and row.sender == seat.identity] == ["hello"]


async def test_a_log_in_use_is_asked_for_again(tmp_path: Path) -> None:
    """While another process has it and serves nobody: unavailable, and nothing is remembered; a daemon with `auto` goes without and says so, one
    with `embedded` does not start."""
    async with opened(tmp_path) as first:  # type: ignore[attr-defined]
        await first.spaces.seat()
        async with opened(tmp_path) as second:  # type: ignore[attr-defined]
            with pytest.raises(SpacesUnavailableError, match="in use"):
                await second.spaces.seat()
            spaces, note = await open_for_daemon(second.spaces, access(second), [])
            assert spaces is None and "in use" in note
            await first.spaces.aclose()
            assert isinstance(await second.spaces.seat(), LocalSeat)
            async with opened(tmp_path, "embedded") as third:  # type: ignore[attr-defined]
                with pytest.raises(SpacesUnavailableError, match="in use"):
                    await open_for_daemon(third.spaces, access(third), [])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["spacesd", "arcand"])
async def test_a_daemon_next_door_is_joined(tmp_path: Path, kind: str) -> None:
    """Another program over the same directory takes its seat at the daemon, as the same agent; by address as well; and goes on when the daemon
    was killed and started again."""
    async with opened(tmp_path, "off") as system:  # type: ignore[attr-defined]
        agent = system.spaces.agent_identity
    daemon, address = started(kind, tmp_path)
    try:
        for place in ("auto", address):
            async with opened(tmp_path, place) as system:  # type: ignore[attr-defined]
                seat = await system.spaces.seat()
                assert isinstance(seat, RemoteSeat)
                assert (seat.address, seat.identity) == (address, agent)
                assert (await seat.submit(SendMessage(channel_id=1, content=place))).position
                assert system.spaces.spaces is None
                if place == address:
                    daemon.kill()
                    again = asyncio.create_task(
                        seat.submit(SendMessage(channel_id=1, content="after the crash", client_id="c-1"))
                    )
                    daemon, _ = await asyncio.to_thread(started, kind, tmp_path, address.rpartition(":")[2])
                    assert (await asyncio.wait_for(again, 20)).position
    finally:
        daemon.stop()


def started(kind: str, folder: Path, port: str = "0") -> tuple[ChildProcess, str]:
    """A daemon on the data directory."""
    environment = {"LIFE_KEY_FILE": str(folder / "keys" / "identity.key")}
    if kind == "arcand":
        arcand = Arcand(folder, port=int(port) or None).start()
        return arcand.process, arcand.url
    argv = [sys.executable, "-c", SERVE, "--data-dir", str(folder / "life"), "--bind", f"127.0.0.1:{port}"]
    process = ChildProcess.spawn(argv, name="spacesd", env=environment)
    address = process.wait_for_line(r"spacesd listens on (http://\S+)").group(1)
    process.wait_for_line(r"Ctrl-C stops it\.")
    return process, address


@pytest.mark.slow
def test_arcand_joins_the_spacesd_of_its_directory(tmp_path: Path) -> None:
    """With `auto` it serves no Spaces of its own then; with `embedded` it does not start and says who has the log."""
    with Arcand(tmp_path):
        pass
    spacesd, _ = started("spacesd", tmp_path)
    with spacesd, Arcand(tmp_path) as arcand:
        assert "Spaces     ws" not in arcand.output()
        assert arcand.request("GET", "/v1/spaces/status").status_code == 404
        arcand.process.stop()
        with Arcand(tmp_path, "--spaces", "embedded").spawn() as refused:
            assert refused.wait(deadline_s=20) == 1
            assert "in use by another process" in refused.stderr()


async def test_closing_does_not_wait_for_a_hub_that_hangs(tmp_path: Path) -> None:
    """A hub that takes the connection and says nothing: the system closes all the same, within seconds, and the seat is refused."""
    writers: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with opened(tmp_path, f"http://127.0.0.1:{port}") as system:  # type: ignore[attr-defined]
        wanted = asyncio.create_task(system.spaces.seat())
        await asyncio.sleep(0.2)
        began = asyncio.get_running_loop().time()
        await system.spaces.aclose()
        assert asyncio.get_running_loop().time() - began < 3
        wanted.cancel()
        await asyncio.gather(wanted, return_exceptions=True)
    for writer in writers:
        writer.close()
    silent.close()
