"""Journals of the Rust original come in and say what they said (aios.md §17: the six golden sessions, in both older spellings)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from life.aios.events import (
    BranchCreated,
    BranchMerged,
    Custom,
    FileWrite,
    ToolCallCompleted,
    ToolCallRequested,
    decode_kind,
)
from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord, Stream
from life.lago.export import Imported, export_records, import_records
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal
from life.testing.clock import ManualClock

GOLDEN = Path(__file__).parent / "golden"
COUNTS = {
    "simple-chat": {"main": 4},
    "tool-round-trip": {"main": 6},
    "branch-fork": {"main": 5, "feature-x": 2},
    "branch-merge": {"main": 6, "experiment": 2},
    "forward-compat": {"main": 4},
    "forward-compat-evolution": {"main": 5},
}


def lago_spelling(name: str) -> list[dict[str, Any]]:
    """The envelopes of one session as Lago wrote them."""
    found: list[dict[str, Any]] = json.loads((GOLDEN / f"{name}.json").read_text())
    return found


def aios_spelling(name: str) -> list[dict[str, Any]]:
    """The same as the canonical envelope: kind, ts_ms (microseconds all the same), parent_event_id."""
    renamed = {"payload": "kind", "timestamp": "ts_ms", "parent_id": "parent_event_id"}
    return [{renamed.get(field, field): value for field, value in one.items()} for one in lago_spelling(name)]


@pytest.fixture(params=["memory", "sqlite"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MemoryJournal | SqliteJournal]:
    """Both engines."""
    if request.param == "memory":
        async with MemoryJournal() as memory:
            yield memory
    else:
        async with SqliteJournal.open(tmp_path / "journal.db", clock=ManualClock()) as sqlite:
            yield sqlite


async def load(journal: MemoryJournal | SqliteJournal, *names: str, spelling: Any = lago_spelling) -> None:
    """Import sessions."""
    for name in names:
        lines = [json.dumps(one).encode() for one in spelling(name)]
        assert await import_records(journal, lines) == Imported(len(lines), 0)


async def read(
    journal: MemoryJournal | SqliteJournal, session: str, branch: str = "main", after: int = 0
) -> list[EventRecord]:
    return await journal.read(EventQuery(session, branch, after_sequence=after), limit=100)


@pytest.mark.parametrize("spelling", [lago_spelling, aios_spelling])
@pytest.mark.parametrize("name", COUNTS)
async def test_every_session_in_both_spellings(
    journal: MemoryJournal | SqliteJournal, name: str, spelling: Any
) -> None:
    """Order, time, payloads, parents and heads; a second import stores nothing; an export of it is one in our spelling."""
    await load(journal, name, spelling=spelling)
    envelopes = lago_spelling(name)
    session = envelopes[0]["session_id"]
    for branch, count in COUNTS[name].items():
        records = await read(journal, session, branch)
        assert [record.sequence for record in records] == list(range(1, count + 1))
        assert (await journal.head(Stream(session, branch))).sequence == count
        said = [one for one in envelopes if one["branch_id"] == branch]
        assert [json.loads(record.payload) for record in records] == [one["payload"] for one in said]
        assert [record.timestamp_us for record in records] == [one["timestamp"] for one in said]
        assert [record.causation_id for record in records] == [one["parent_id"] for one in said]
    lines = [json.dumps(one).encode() for one in spelling(name)]
    assert await import_records(journal, lines) == Imported(0, len(lines))
    exported = [line async for line in export_records(journal)]
    async with MemoryJournal() as copy:
        await import_records(copy, exported)
        assert [line async for line in export_records(copy)] == exported


async def test_simple_chat(journal: MemoryJournal | SqliteJournal) -> None:
    """Roles, contents, model and token usage are kept."""
    await load(journal, "simple-chat")
    _, user, assistant, _ = [json.loads(record.payload) for record in await read(journal, "GOLDEN-SIMPLE-CHAT")]
    assert (user["role"], assistant["role"]) == ("user", "assistant")
    assert (assistant["model"], assistant["token_usage"]["total_tokens"]) == ("test-model", 20)


async def test_tool_round_trip(journal: MemoryJournal | SqliteJournal) -> None:
    """Request and completion with their fields; each is found by its id."""
    await load(journal, "tool-round-trip")
    requested = await journal.get("GOLDEN-TOOL-RT-EVT-003")
    completed = await journal.get("GOLDEN-TOOL-RT-EVT-004")
    assert requested is not None
    assert completed is not None
    assert isinstance(requested.kind, ToolCallRequested)
    assert isinstance(completed.kind, ToolCallCompleted)
    assert (completed.kind.status, completed.kind.duration_ms) == ("ok", 12)
    assert completed.causation_id == requested.event_id
    assert requested.kind.call_id == completed.kind.call_id


async def test_branch_fork(journal: MemoryJournal | SqliteJournal) -> None:
    """The branch is isolated, the event of its making stays on main, and reading goes on behind a sequence."""
    await load(journal, "branch-fork")
    main = await read(journal, "GOLDEN-BRANCH-FORK")
    assert [record.sequence for record in await read(journal, "GOLDEN-BRANCH-FORK", after=3)] == [4, 5]
    assert isinstance(main[3].kind, BranchCreated)
    assert main[3].kind.fork_point_seq == 3
    side = await read(journal, "GOLDEN-BRANCH-FORK", "feature-x")
    assert all("branch" in json.loads(record.payload)["content"] for record in side)


async def test_branch_merge(journal: MemoryJournal | SqliteJournal) -> None:
    """The merge names how far; the branch keeps its own events."""
    await load(journal, "branch-merge")
    merged = (await read(journal, "GOLDEN-BRANCH-MERGE"))[4].kind
    assert isinstance(merged, BranchMerged)
    assert (merged.source_branch_id, merged.merge_seq) == ("experiment", 2)
    assert isinstance((await read(journal, "GOLDEN-BRANCH-MERGE", "experiment"))[1].kind, FileWrite)


async def test_forward_compat(journal: MemoryJournal | SqliteJournal) -> None:
    """Unknown kinds read as Custom with all their fields, and their neighbours are what they are."""
    await load(journal, "forward-compat", "forward-compat-evolution")
    _, user, vision, _ = await read(journal, "GOLDEN-FORWARD-COMPAT")
    assert isinstance(vision.kind, Custom)
    assert vision.kind.event_type == "VisionResult"
    assert vision.kind.data == {"labels": ["cat", "chair"], "confidence": 0.97, "model": "vision-9"}
    assert not isinstance(user.kind, Custom)
    evolution = await read(journal, "GOLDEN-FORWARD-COMPAT-EVOLUTION")
    assert [record.schema.version for record in evolution] == ["0.1.0", "2", "0.1.0", "2", "0.1.0"]
    review = decode_kind(evolution[3].payload)
    assert isinstance(review, Custom)
    assert review.data == {"files": [{"path": "a.py", "comments": [{"line": 3, "text": "why?"}]}], "approved": False}


async def test_a_session_whose_name_begins_another_ones(journal: MemoryJournal | SqliteJournal) -> None:
    """`GOLDEN-FORWARD-COMPAT` is a prefix of another session: reading it gives its own events and no others."""
    await load(journal, *COUNTS)
    found = await journal.read(EventQuery("GOLDEN-FORWARD-COMPAT"), limit=100)
    assert {record.session_id for record in found} == {"GOLDEN-FORWARD-COMPAT"}
    assert len(found) == 4
    assert len(await journal.streams()) == 8
    if isinstance(journal, SqliteJournal):
        assert (await journal.verify()).events == 34
