"""The terminal and the golden recordings: the same fold as the page's, and every moment can be drawn."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from life.aios.record import Stream
from life.cli.chat.commands import PANES
from life.cli.chat.economy_panes import autonomic_pane, identity_pane, ledger_pane
from life.cli.chat.entries import Conversation
from life.cli.chat.files_pane import files_pane
from life.cli.chat.journal_pane import event_rows
from life.cli.chat.reader import ListReader
from life.cli.chat.reasoning_panes import context_pane, judge_pane, trace_pane
from life.cli.chat.track import Track
from life.testing.clock import ManualClock
from life.workspace.fold import advance
from life.workspace.state import State, digest
from tests.cli.chat.headless import chat_on, opened, seen
from tests.workspace.recorded import NAMES, recording


@pytest.mark.parametrize("name", NAMES)
async def test_the_fold_is_the_pages_at_every_sequence(name: str) -> None:
    """Seeking to each event of each golden recording gives the state that folding it from its beginning gives, digest for digest (WS-TUI-1)."""
    records = recording(name)
    what = opened(records)
    whole, expected = State(), {}
    for record in records:
        advance(whole, record)
        expected[record.stream, record.sequence] = digest(whole)
    assert isinstance(what.reader, ListReader)
    for stream in what.reader.streams:
        track = Track(what.client, what.reader, ManualClock(), stream)
        await track.open()
        for sequence in range(1, track.head + 1):
            await track.seek(sequence)
            assert digest(track.state) == expected[stream, sequence], (stream, sequence)
        for sequence in range(track.head, 0, -7):
            await track.seek(sequence)
            assert digest(track.state) == expected[stream, sequence], (stream, sequence)


@pytest.mark.parametrize("name", NAMES)
async def test_events_that_come_one_by_one_give_the_same(name: str) -> None:
    """A track that began after the first event and hears the others, some twice, ends as one that was opened at the end."""
    records = [record for record in recording(name) if record.stream == recording(name)[0].stream]
    early = opened(records[:1])
    assert isinstance(early.reader, ListReader)
    track = Track(early.client, early.reader, ManualClock(), records[0].stream)
    await track.open()
    state = State()
    for record in records:
        advance(state, record)
    for record in records[1:]:
        track.take(record)
        track.take(record)
    assert digest(track.state) == digest(state)
    assert track.record(len(records)) is records[-1]


DRAWN = (trace_pane, judge_pane, context_pane, autonomic_pane, ledger_pane, identity_pane)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
async def test_every_tenth_moment_is_drawn(name: str) -> None:
    """Conversation, files, journal and every inspector at every tenth event of every golden recording, narrow and wide, open and closed, with Unicode
    and without: no error, no row longer than the screen."""
    for size in ((80, 24), (190, 44)):
        async with chat_on(opened(recording(name)), size=size, plain=size[0] == 80) as (app, pilot):
            track, sight = app.conversation.track, app.sight
            entries = Conversation(sight)
            for step, sequence in enumerate([*range(1, track.head + 1, 10), track.head]):
                await track.seek(sequence)
                sight.open_all = not sight.open_all
                for width in (20, size[0] - 2):
                    drawn = [row for pane in DRAWN for row in pane(sight, width)]
                    drawn += files_pane(sight, width, None)
                    drawn += entries.rows(width, sight.state.entries)
                    drawn += event_rows(sight, track.record(sequence) or recording(name)[0], width)
                    widest = max((cell_len(line.plain) for row in drawn for line in row.lines), default=0)
                    assert widest <= width or width == 20, (sequence, width)
                app.action_pane(PANES[step % len(PANES)])
                await pilot.pause()
                app.draw()
                assert all(cell_len(row) <= size[0] for row in seen(app).splitlines())


async def test_no_such_branch_is_said() -> None:
    """A branch that a recording has not is an error with words, not an empty screen."""
    what = opened(recording("tools"))
    track = Track(what.client, what.reader, ManualClock(), Stream("nobody", "main"))
    with pytest.raises(Exception, match="no such branch"):
        await track.open()
