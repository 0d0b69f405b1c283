"""The branches of a session, folded from its events (arcan.md §3, aios.md §11).

A branch is a stream of its own, `(session, branch)`, that counts from 1. Its first event is `BranchCreated`, which names its
parent and the event after which it was forked; readers also accept one that stands on the parent. What it is:

    state(branch) = state(parent, up to the fork), at rest + the branch's own events

`main` has no parent. Any branch may be forked at any of its events, 0 included (what the branch itself inherited; on main the
session's creation always counts, because it says who owns the session and what it may do).
"""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from life.aios import events
from life.aios.errors import InvalidInputError
from life.aios.ids import MAIN_BRANCH, check_path_id, derived_event_id
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, Stream
from life.arcan.errors import BranchNotFoundError, SessionNotFoundError

MAX_NAME_CHARACTERS: Final = 200
_PAGE: Final = 1000


class BranchInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One branch."""

    branch_id: str
    name: str
    parent_branch: str | None
    """None for main."""
    fork_sequence: int
    """The last event of the parent that it inherits."""
    head_sequence: int
    merged_into: str | None = None
    """The branch it was merged into; from then on it is read-only."""
    created_us: int = 0


def branch_id_of(session_id: str, name: str) -> str:
    """The id that a branch of this name gets: the name itself where it can be a part of a path, otherwise a derived one. So two
    processes that make the same branch at once make one."""
    try:
        return check_path_id(name)
    except InvalidInputError:
        return derived_event_id("arcan.branch-id", session_id, name)


def created_event_id(session_id: str, branch_id: str) -> str:
    """The id of the event that makes a branch: a claim that one writer can win."""
    return derived_event_id("arcan.branch", session_id, branch_id)


def merge_event_id(session_id: str, source_branch_id: str) -> str:
    """The id of the event that merges a branch, into whatever target: it can be stored once."""
    return derived_event_id("arcan.branch-merge", session_id, source_branch_id)


def check_branch_name(name: str) -> str:
    """The name in its composed form (NFC), 1 to 200 printable characters; InvalidInputError otherwise."""
    name = unicodedata.normalize("NFC", name)
    if not name.strip() or name != name.strip() or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise InvalidInputError(
            f"A branch's name is 1 to {MAX_NAME_CHARACTERS} printable characters, without blanks at its ends."
        )
    return name


async def read_branches(journal: Journal, session_id: str) -> dict[str, BranchInfo]:
    """Every branch by its id, main first. SessionNotFoundError for a session without events."""
    streams = await journal.streams(session_id)
    if not streams:
        raise SessionNotFoundError(session_id)
    made: dict[str, tuple[str, events.BranchCreated, int]] = {}
    merged: dict[str, str] = {}
    for stream in streams:
        async for record in records_of(journal, stream, kinds=("BranchCreated", "BranchMerged")):
            kind = record.kind
            if isinstance(kind, events.BranchCreated) and kind.new_branch_id != MAIN_BRANCH:
                made.setdefault(kind.new_branch_id, (_parent_of(kind, stream.branch_id), kind, record.timestamp_us))
            elif isinstance(kind, events.BranchMerged):
                source = kind.source_branch_id
                if record.event_id == merge_event_id(session_id, source):
                    merged.setdefault(source, stream.branch_id)
    found = {
        MAIN_BRANCH: BranchInfo(
            branch_id=MAIN_BRANCH,
            name=MAIN_BRANCH,
            parent_branch=None,
            fork_sequence=0,
            head_sequence=(await journal.head(Stream(session_id))).sequence,
        )
    }
    for branch_id, (parent, created, created_us) in made.items():
        found[branch_id] = BranchInfo(
            branch_id=branch_id,
            name=created.name,
            parent_branch=parent,
            # Journals of others may say 0 of main, where the session's creation stands.
            fork_sequence=max(created.fork_point_seq, 1 if parent == MAIN_BRANCH else 0),
            head_sequence=(await journal.head(Stream(session_id, branch_id))).sequence,
            merged_into=merged.get(branch_id),
            created_us=created_us,
        )
    return found


async def find_branch(journal: Journal, session_id: str, name: str) -> BranchInfo:
    """The branch of this id or name, ids first; BranchNotFoundError."""
    branches = await read_branches(journal, session_id)
    return pick_branch(branches, session_id, name)


def pick_branch(branches: dict[str, BranchInfo], session_id: str, name: str) -> BranchInfo:
    """The same, among branches that were read."""
    if name in branches:
        return branches[name]
    plain = unicodedata.normalize("NFC", name)
    for branch in branches.values():
        if branch.name == plain:
            return branch
    raise BranchNotFoundError(session_id, name)


def lineage(branches: dict[str, BranchInfo], branch_id: str, upto: int) -> list[tuple[str, int]]:
    """The branch and its ancestors, each with its last event that counts; parents that lead in a circle end it."""
    found: list[tuple[str, int]] = []
    seen: set[str] = set()
    current: str | None = branch_id
    while current is not None and current not in seen and current in branches:
        seen.add(current)
        found.append((current, upto))
        branch = branches[current]
        current, upto = branch.parent_branch, branch.fork_sequence
    return found


async def records_of(
    journal: Journal, stream: Stream, *, after: int = 0, upto: int | None = None, kinds: tuple[str, ...] = ()
) -> AsyncIterator[EventRecord]:
    """The events of a stream after one sequence and up to another, page by page."""
    while True:
        query = EventQuery(
            stream.session_id,
            stream.branch_id,
            after_sequence=after,
            before_sequence=None if upto is None else upto + 1,
            kinds=kinds,
        )
        page = await journal.read(query, limit=_PAGE)
        for record in page:
            yield record
        if len(page) < _PAGE:
            return
        after = page[-1].sequence


def _parent_of(kind: events.BranchCreated, stood_on: str) -> str:
    if stood_on == kind.new_branch_id:
        return kind.parent_branch_id or MAIN_BRANCH
    return stood_on
