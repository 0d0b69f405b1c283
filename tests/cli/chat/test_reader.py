"""History in blocks: a journal, a daemon and a recording tell the same; and looking constructs nothing that could act."""

from __future__ import annotations

from pathlib import Path

import pytest

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.record import EventRecord, NewEvent, Stream
from life.arcan.providers import opening as provider_opening
from life.cli.chat import opening
from life.cli.chat.daemon_reader import DaemonReader
from life.cli.chat.describe import NOISE
from life.cli.chat.reader import ListReader, Reader, Wanted
from life.cli.chat.recorded import OnlyLookingError
from life.cli.session_client import Answer
from life.cli.session_daemon import DaemonClient, open_daemon_client
from life.host import system as host_system
from life.host.clock import SystemClock
from life.host.data_directory import DataDirectory
from life.lago.journal.sqlite import SqliteJournal
from life.workspace.state import decode_state, digest
from tests.cli.chat.headless import SCENES, chat_on, press, scene, seen
from tests.cli.daemon import Arcand
from tests.cli.shell_kit import environment


async def journal_of(folder: Path, records: list[EventRecord], session_id: str = "s") -> Path:
    """A data directory with these events in its journal."""
    data = folder / "life"
    data.mkdir()
    names = [name for name in NewEvent.__struct_fields__ if name not in ("session_id",)]
    events = [NewEvent(session_id=session_id, **{name: getattr(record, name) for name in names}) for record in records]
    async with SqliteJournal.open(data / "journal.db", clock=SystemClock()) as journal:
        await journal.append(events)
    return data


async def same(one: Reader, other: Reader, stream: Stream) -> None:
    """The same blocks, states and finds."""
    for at in (None, 1, 7, 50):
        ours, theirs = await one.block(stream, at), await other.block(stream, at)
        assert (ours.head, ours.base) == (theirs.head, theirs.base)
        assert digest(decode_state(ours.state)) == digest(decode_state(theirs.state))
        assert [record.payload for record in ours.records] == [record.payload for record in theirs.records]
    for wanted in (
        Wanted(words=("report", "md")),
        Wanted(kinds=("ToolCall",)),
        Wanted(unlike=NOISE),
        Wanted(words=("written",), kinds=("Tool", "File"), unlike=("ToolCallStarted",)),
        Wanted(words=("nowhere-to-be-found",)),
    ):
        assert await one.search(stream, wanted, 44) == await other.search(stream, wanted, 44)
    for reader in (one, other):
        with pytest.raises(NotFoundError):
            await reader.block(stream._replace(branch_id="nobody"))


async def test_a_journal_tells_what_a_recording_tells(tmp_path: Path) -> None:
    """Blocks, states and searches are the same over the journal file and over the recording."""
    records = scene("tools")
    data = await journal_of(tmp_path, records)
    async with opening.open_journal_only(data) as opened:
        await same(opened.reader, ListReader(records), Stream("s", "main"))
        [summary] = await opened.client.sessions()
        assert (summary.session_id, summary.head) == ("s", 50)


@pytest.mark.slow
async def test_a_daemon_tells_what_the_journal_tells(tmp_path: Path) -> None:
    """And over the daemon's routes."""
    records = scene("tools")
    await journal_of(tmp_path, records)
    with Arcand(tmp_path, env=environment(tmp_path)) as daemon:
        data = DataDirectory(tmp_path / "life")
        async with open_daemon_client(data, daemon.url) as client:
            assert isinstance(client, DaemonClient)
            reader = DaemonReader(client)
            await same(reader, ListReader(records), Stream("s", "main"))
            about = await reader.about()
            assert about is not None and about.did.startswith("did:") and about.payments is not None
            assert await reader.payments() == [] and await reader.deadlines() == {}
            assert await reader.money("s") == []


async def test_looking_constructs_nothing_that_acts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole replay, from the first event to the last, through every pane and back, where opening a provider, the system or an identity raises
    (WS-REP-4)."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("something was constructed that could act")

    monkeypatch.setattr(provider_opening.ProviderOpener, "__init__", never)
    monkeypatch.setattr(provider_opening.ProviderOpener, "__call__", never)
    monkeypatch.setattr(host_system, "open_system", never)
    data = await journal_of(tmp_path, scene("tools"))
    async with opening.open_journal_only(data) as opened:
        listed = ListReader(scene("tools"))
        for what in (opened._replace(reader=listed), opening.open_file(SCENES / "tools.jsonl")):
            async with chat_on(what) as (app, pilot):
                track = app.conversation.track
                await press(app, pilot, "f6", "home")
                for _ in range(track.head):
                    await track.seek(track.shown + 1)
                assert track.shown == track.head
                await press(app, pilot, "f3", "f4", "f5", "f5", "escape", "escape", *"hello", "enter")
                assert "nothing runs here" in seen(app)
                assert app.composer.text == "hello", "what was not sent is given back"
                await press(app, pilot, "f7", "f10")
                assert not app.screen.is_modal


async def test_what_acts_is_refused_on_a_recording() -> None:
    """Each acting word of the client has the same clear answer."""
    client = opening.open_file(SCENES / "tools.jsonl").client
    with pytest.raises(OnlyLookingError, match="nothing runs here"):
        await client.send("s", "hello", steering="collect", branch="main")
    for work in (
        client.start("s", "x", branch="main"),
        client.cancel("s", "main"),
        client.pause("s", "main"),
        client.go_on("s", "main"),
        client.decide("s", "main", "a", Answer(approved=True)),
        client.fork("s", "x", parent="main"),
        client.withdraw("s", "main", "q"),
        client.set_model("s", "x", "main"),
        client.delete("s"),
    ):
        with pytest.raises(OnlyLookingError):
            await work


def test_a_file_that_is_no_recording_is_said(tmp_path: Path) -> None:
    """One sentence, whatever the file is."""
    for content in (b"", b"\n", b"{}\n", b"\xff\xfe\n", b'{"event_id":1}\n'):
        path = tmp_path / "file"
        path.write_bytes(content)
        with pytest.raises(InvalidInputError, match="is no recording"):
            opening.open_file(path)
    with pytest.raises(InvalidInputError, match="can't be read"):
        opening.open_file(tmp_path / "nowhere")


async def test_contents_of_a_recording_come_from_its_events() -> None:
    """What a tool was told to write is what the file shows; the older version is the one before."""
    reader = ListReader(scene("tools"))
    hashes = [record.kind.blob_hash for record in scene("tools") if record.kind_name == "FileWrite"]  # type: ignore[attr-defined]
    contents = [await reader.content(reader.last, hash) for hash in hashes]
    assert b"# WO-112\nclosed\n" in contents and b"# WO-112\nclosed, no photo\n\nchecked twice\n" in contents
    with pytest.raises(NotFoundError):
        await reader.content(reader.last, "0" * 64)
