"""Search in one session's events."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.aios.events import (
    AssistantMessageCommitted,
    Custom,
    ErrorRaised,
    Kind,
    Message,
    RunStarted,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallRequested,
    UserMessage,
)
from life.aios.record import EventWriter, Stream
from life.lago.journal.memory import MemoryJournal
from life.lago.knowledge.event_search import EventSearch, event_text
from life.lago.knowledge.words import idf
from life.testing.clock import ManualClock, SeededEntropy

LONG = "é" * 900


async def store(
    journal: MemoryJournal, kinds: Sequence[Kind], *, session: str = "s", branch: str = "main"
) -> list[str]:
    writer = EventWriter(
        ManualClock(),
        SeededEntropy(f"{session}{branch}{len(await journal.streams())}"),
        agent_id="a",
        stream=Stream(session, branch),
    )
    events = [writer.event(kind) for kind in kinds]
    await journal.append(events)
    return [event.event_id for event in events]


async def text_of(kind: Kind) -> str | None:
    async with MemoryJournal() as journal:
        (event_id,) = await store(journal, [kind])
        record = await journal.get(event_id)
        assert record is not None
        return event_text(record)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Message(role="assistant", content="the lake"), "[assistant] the lake"),
        (AssistantMessageCommitted(role="assistant", content="the lake"), "[assistant] the lake"),
        (UserMessage(content="the lake"), "[user] the lake"),
        (ToolCallRequested(call_id="c", tool_name="read", arguments={"path": "/a"}), '[tool:read] {"path":"/a"}'),
        (ToolCallRequested(call_id="c", tool_name="t", arguments=LONG), "[tool:t] " + "é" * 300),
        (
            ToolCallCompleted(tool_run_id="r", tool_name="t", result=LONG, duration_ms=1, status="ok"),
            "[tool:t] " + "é" * 500,
        ),
        (ToolCallFailed(call_id="c", tool_name="t", error="no such file"), "[tool:t] no such file"),
        (ErrorRaised(message="it broke"), "[error] it broke"),
        (Custom(event_type="finance.paid", data={"to": LONG}), '[finance.paid] {"to":"' + "é" * 293),
        (Custom(event_type="eval.score", data={"x": "the lake"}), None),
        (Custom(event_type="autonomic.x", data={"x": "the lake"}), None),
        (Custom(event_type="vigil.x", data={"x": "the lake"}), None),
        (RunStarted(provider="the lake", max_iterations=1), None),
        (UserMessage(content="ab"), None),
        (UserMessage(content="abc"), "[user] abc"),
    ],
)
async def test_texts_of_events(kind: Kind, text: str | None) -> None:
    """Prefixes, limits by letters and not by bytes, what is silent, what is shorter than ten characters."""
    assert await text_of(kind) == text


async def test_events_are_found_in_their_session_only(tmp_path: Path) -> None:
    """On all its branches; another session's events are never found."""
    async with MemoryJournal() as journal:
        first = await store(journal, [UserMessage(content="where is the lake")])
        second = await store(journal, [Message(role="assistant", content="the lake lake")], branch="side")
        await store(journal, [UserMessage(content="the lake of somebody else")], session="other")
        searching = EventSearch(journal, "s", index_file=tmp_path / "e.db")
        hits = await searching.search("LAKE!")
        assert {hit.event_id for hit in hits} == {*first, *second}
        assert hits[0].event_id == second[0]
        assert {hit.session_id for hit in hits} == {"s"}
        assert hits[0].event_kind == "Message"
        assert hits[0].timestamp == "2025-11-20T07:03:00.000000Z"
        assert hits[0].excerpt == "[assistant] the lake lake"
        part = 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 4 / 4.5))
        assert hits[0].score == pytest.approx(idf(2, 2) * part)
        await searching.aclose()


async def test_what_is_new_is_found_and_equal_ones_newest_first(tmp_path: Path) -> None:
    """Also by a new process, which reads only what is new."""
    async with MemoryJournal() as journal:
        for number in range(3):
            searching = EventSearch(journal, "s", index_file=tmp_path / "e.db")
            await store(journal, [UserMessage(content="the lake")], branch=f"b{number}")
            hits = await searching.search("lake")
            assert len(hits) == number + 1
            positions = [record.position for hit in hits if (record := await journal.get(hit.event_id))]
            assert positions == sorted(positions, reverse=True)
            await searching.aclose()
        assert len(await searching.search("lake", limit=2)) == 2
        with pytest.raises(InvalidInputError):
            await searching.search("lake", limit=0)
        await searching.aclose()


async def test_another_journal_is_noticed(tmp_path: Path) -> None:
    """Its events are taken in anew."""
    for text in ("the first lake", "the second lake"):
        async with MemoryJournal() as journal:
            await store(journal, [UserMessage(content=text)], branch=text.split()[1])
            searching = EventSearch(journal, "s", index_file=tmp_path / "e.db")
            assert [hit.excerpt for hit in await searching.search("lake")] == [f"[user] {text}"]
            await searching.aclose()


@given(st.text())
async def test_any_query_is_a_query(query: str) -> None:
    """No text is syntax, or an error."""
    async with MemoryJournal() as journal:
        await store(journal, [UserMessage(content="the lake")])
        searching = EventSearch(journal, "s")
        assert len(await searching.search(query)) <= 1
        await searching.aclose()
