"""The list of sessions tells open runs from ended ones, whatever stands at the end of a stream."""

from __future__ import annotations

import pytest

from life.aios import events
from life.aios.events import Kind
from life.aios.record import EventWriter, Stream
from life.arcan.sessions import SessionIndex
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy

STARTED = events.RunStarted(provider="p", max_iterations=1)
FINISHED = events.RunFinished(reason="completed", total_iterations=1)
NOISE: list[Kind] = [events.Heartbeat(summary="x")] * 200


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        ([], "idle"),
        ([STARTED], "open"),
        ([STARTED, *NOISE], "open"),
        ([STARTED, FINISHED], "idle"),
        ([STARTED, FINISHED, *NOISE], "idle"),
        ([STARTED, events.RunErrored(error="x")], "idle"),
        ([STARTED, FINISHED, STARTED, events.StepStarted(index=0)], "open"),
        ([STARTED, FINISHED, events.SessionClosed(reason="x")], "closed"),
        (NOISE, "idle"),
    ],
)
async def test_what_the_end_of_a_stream_says(kinds: list[Kind], state: str) -> None:
    """Others' events behind a run's do not hide whether it is open."""
    journal = MemoryJournal()
    writer = EventWriter(ManualClock(), SeededEntropy(), agent_id="a", stream=Stream("s"))
    created = events.SessionCreated(name="S", config={"owner": "ann"})
    await journal.append([writer.event(kind) for kind in (created, *kinds)])
    (summary,) = await SessionIndex(journal).list()
    assert (summary.state, summary.name, summary.owner, summary.head) == (state, "S", "ann", len(kinds) + 1)


async def test_foreign_configurations() -> None:
    """Sessions of other makers are listed, with what can be read."""
    journal = MemoryJournal()
    writer = EventWriter(ManualClock(), SeededEntropy(), agent_id="a", stream=Stream("old"))
    await journal.append([writer.event(events.SessionCreated(name="old", config={"manifest": "sha256:…", "owner": 7}))])
    index = SessionIndex(journal)
    (summary,) = await index.list()
    assert (summary.session_id, summary.owner) == ("old", "")
    assert await index.list("ann") == []


async def test_open_runs_are_found_on_every_branch() -> None:
    """Recovery looks at branches, too; closed sessions and streams of other parts have none."""
    journal = MemoryJournal()
    created = events.SessionCreated(name="S")
    forked = events.BranchCreated(new_branch_id="b", fork_point_seq=1, name="b")
    for stream, kinds in (
        (Stream("s"), [created, STARTED, FINISHED]),
        (Stream("s", "b"), [forked, STARTED, *NOISE]),
        (Stream("s", "c"), [forked]),
        (Stream("closed"), [created, STARTED, events.SessionClosed(reason="x")]),
        (Stream("ledger"), [STARTED]),
    ):
        writer = EventWriter(ManualClock(), SeededEntropy(str(stream)), agent_id="a", stream=stream)
        await journal.append([writer.event(kind) for kind in kinds])
    assert list(await SessionIndex(journal).open_streams()) == [Stream("s", "b")]
