"""Rebuilding a session from its journal: through branches, merges and restored points, from the newest checkpoint on.

A checkpoint is the folded state of a branch with the sequence it covers. It is a cache: one that was written by other code, is
damaged, or does not fit the journal is thrown away and the branch is folded from its beginning, so

    fold(all) == fold(checkpoint + rest)

at every sequence. Checkpoints are kept where projections keep theirs (`life.aios.ports.snapshots`), because a redaction drops
those with the content that they may hold. No model is called. Source: arcan.md §2.3, §2.10; aios.md §11.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from life.aios import events
from life.aios.errors import NotFoundError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.provider import ChatMessage
from life.aios.ports.snapshots import Snapshot, Snapshots
from life.aios.record import EventRecord, Stream
from life.arcan.branch_folds import brought_in, forked, restored
from life.arcan.branches import BranchInfo, read_branches, records_of
from life.arcan.errors import BranchNotFoundError
from life.arcan.session_state import SessionState
from life.arcan.state import advance

PAGE: Final = 1000
"""Events per read while a session is folded."""

EVERY_EVENTS: Final = 500
"""How many new events make another checkpoint worth its writing."""

_REACHING: Final = ("BranchMerged", "CheckpointRestored")
"""Kinds whose meaning lies on another branch or earlier on this one."""

_DEEPEST: Final = 64
"""Branches of branches, and merges within merges; deeper is nothing that somebody made on purpose."""

_FORMAT: Final = "arcan.session/1"


class _Checkpoint(msgspec.Struct, frozen=True, array_like=True):
    """What is stored, as MessagePack."""

    format: str
    code: str
    session_id: str
    branch_id: str
    sequence: int
    chain: str
    """The journal's digest of the event at `sequence`."""
    state_sha256: str
    state: bytes


_encoder: Final = msgspec.msgpack.Encoder()
_read_checkpoint: Final = msgspec.msgpack.Decoder(_Checkpoint)
_read_state: Final = msgspec.msgpack.Decoder(SessionState)


class SessionHistory:
    """Folded states of the sessions of one journal."""

    def __init__(self, journal: Journal, checkpoints: Snapshots | None = None) -> None:
        """Without `checkpoints` everything is folded from its beginning."""
        self._journal = journal
        self._checkpoints = checkpoints

    async def state(self, stream: Stream, *, at: int | None = None) -> SessionState:
        """The state of a branch at its head, or right after its event `at`. An unknown session gives an empty state (head 0), an
        unknown branch a BranchNotFoundError, a position that is not there yet a NotFoundError."""
        state = await (self.load(stream) if at is None else self._fold_to(stream, at, _Pass(), 0))
        if at is not None and state.head < at:
            raise NotFoundError(f"The branch ends at sequence {state.head}.", details={"at": at, "head": state.head})
        return state

    async def load(self, stream: Stream) -> SessionState:
        """The state at the head, from the newest checkpoint that fits."""
        state = await self._from_checkpoint(stream)
        if state is None:
            state = await self._base(stream, _Pass(), 0)
        return await self.fold_on(state, stream)

    async def fold_on(self, state: SessionState, stream: Stream, *, upto: int | None = None) -> SessionState:
        """`state` with the events after its head folded in."""
        return await self._fold_on(state, stream, upto, _Pass(), 0)

    async def save(self, state: SessionState) -> bool:
        """Keep a checkpoint of a durable state. False where none is kept, or the state holds what MessagePack can't."""
        if self._checkpoints is None or state.head == 0:
            return False
        stream = Stream(state.session_id, state.branch_id)
        last = await self._journal.read(_after(stream, state.head - 1, state.head), limit=1)
        if not last or last[0].digest is None:
            return False
        try:
            body = _encoder.encode(state)
        except (OverflowError, ValueError):
            return False
        checkpoint = _Checkpoint(
            _FORMAT,
            _code(),
            stream.session_id,
            stream.branch_id,
            state.head,
            last[0].digest,
            hashlib.sha256(body).hexdigest(),
            body,
        )
        await self._checkpoints.save(_name(stream), 1, Snapshot(state.head, _encoder.encode(checkpoint)))
        return True

    # Inside

    async def _from_checkpoint(self, stream: Stream) -> SessionState | None:
        if self._checkpoints is None:
            return None
        kept = await self._checkpoints.load(_name(stream), 1)
        if kept is None:
            return None
        try:
            checkpoint = _read_checkpoint.decode(kept.state)
            if (checkpoint.format, checkpoint.code) != (_FORMAT, _code()):
                return None
            if hashlib.sha256(checkpoint.state).hexdigest() != checkpoint.state_sha256:
                return None
            state = _read_state.decode(checkpoint.state)
        except (msgspec.DecodeError, ValueError, RecursionError):  # ValueError: text that is no UTF-8
            return None
        place = (checkpoint.session_id, checkpoint.branch_id, checkpoint.sequence)
        if place != (*stream, kept.position) or place != (state.session_id, state.branch_id, state.head):
            return None
        last = await self._journal.read(_after(stream, state.head - 1, state.head), limit=1)
        return state if last and last[0].digest == checkpoint.chain else None

    async def _fold_to(self, stream: Stream, at: int, known: _Pass, depth: int) -> SessionState:
        """The state at a position, from the nearest one before it that this pass has seen."""
        seen = known.states.setdefault(stream, {})
        if at not in seen:
            nearest = max((sequence for sequence in seen if sequence < at), default=None)
            start = seen[nearest] if nearest is not None else await self._base(stream, known, depth)
            seen[at] = await self._fold_on(start, stream, at, known, depth)
        return seen[at]

    async def _fold_on(
        self, state: SessionState, stream: Stream, upto: int | None, known: _Pass, depth: int
    ) -> SessionState:
        marks = known.marks_of(stream)
        while upto is None or state.head < upto:
            page = await self._journal.read(_after(stream, state.head, upto), limit=PAGE)
            for record in page:
                if record.kind_name in _REACHING:
                    await known.look_around(self._journal, stream.session_id)
                    marks = known.marks_of(stream)
                    state = await self._reach(state, record, known, depth)
                else:
                    state = advance(state, record)
                if marks and record.sequence in marks:
                    known.states.setdefault(stream, {})[record.sequence] = state
            if len(page) < PAGE:
                break
        return state

    async def _base(self, stream: Stream, known: _Pass, depth: int) -> SessionState:
        """What the branch had before its own first event."""
        session_id, branch_id = stream
        empty = SessionState(session_id=session_id, branch_id=branch_id)
        if branch_id == MAIN_BRANCH:
            return empty
        branches = await known.look_around(self._journal, session_id)
        branch = branches.get(branch_id)
        if branch is None:
            raise BranchNotFoundError(session_id, branch_id)
        parent = Stream(session_id, branch.parent_branch or MAIN_BRANCH)
        if depth >= _DEEPEST or parent.branch_id not in branches:
            return empty
        return forked(await self._fold_to(parent, branch.fork_sequence, known, depth + 1), branch_id)

    async def _reach(self, state: SessionState, record: EventRecord, known: _Pass, depth: int) -> SessionState:
        """Fold an event that needs more than itself."""
        after = advance(state, record)
        kind = record.kind
        if depth >= _DEEPEST:
            return after
        if isinstance(kind, events.CheckpointRestored) and 0 <= kind.restored_to_seq < record.sequence:
            return restored(after, await self._fold_to(record.stream, kind.restored_to_seq, known, depth + 1))
        if isinstance(kind, events.BranchMerged):
            return await self._bring_in(state, after, kind, known, depth)
        return after

    async def _bring_in(
        self, before: SessionState, after: SessionState, kind: events.BranchMerged, known: _Pass, depth: int
    ) -> SessionState:
        source = known.branches.get(kind.source_branch_id)
        if source is None or source.branch_id == after.branch_id or source.parent_branch is None:
            return after
        since = next((merge.through for merge in before.merges if merge.source == source.branch_id), 0)
        stream = Stream(after.session_id, source.branch_id)
        messages = await self._own_messages(stream, since, kind.merge_seq, known, depth)
        return brought_in(after, messages, source=source.branch_id, name=source.name)

    async def _own_messages(
        self, stream: Stream, since: int, upto: int, known: _Pass, depth: int
    ) -> tuple[ChatMessage, ...]:
        """What was said on a branch between two of its own events."""
        before = await self._fold_to(stream, since, known, depth + 1)
        state = await self._fold_to(stream, upto, known, depth + 1)
        said, messages = before.conversation.messages(), state.conversation.messages()
        shared = 0
        for one, other in zip(said, messages, strict=False):
            if one != other:  # compacted or restored since: what follows is the branch's own telling
                break
            shared += 1
        return messages[shared:]


class _Pass:
    """What one reconstruction has found out: the branches, and states at positions that others go back to. With it, every
    stretch is folded a few times at most, however often branches were merged or sessions taken back."""

    def __init__(self) -> None:
        self.branches: dict[str, BranchInfo] = {}
        self.states: dict[Stream, dict[int, SessionState]] = {}
        self._marks: dict[Stream, set[int]] = {}

    async def look_around(self, journal: Journal, session_id: str) -> dict[str, BranchInfo]:
        """The branches, and which positions are worth keeping; read once."""
        if not self.branches:
            self.branches = await read_branches(journal, session_id)
            for branch in self.branches.values():
                if branch.parent_branch is not None:
                    self._marks.setdefault(Stream(session_id, branch.parent_branch), set()).add(branch.fork_sequence)
                stream = Stream(session_id, branch.branch_id)
                async for record in records_of(journal, stream, kinds=("CheckpointRestored",)):
                    if isinstance(record.kind, events.CheckpointRestored):
                        self._marks.setdefault(stream, set()).add(record.kind.restored_to_seq)
        return self.branches

    def marks_of(self, stream: Stream) -> set[int]:
        """Positions of a stream that others go back to, as far as they are known."""
        return self._marks.get(stream, set())


def _after(stream: Stream, sequence: int, upto: int | None) -> EventQuery:
    return EventQuery(
        stream.session_id,
        stream.branch_id,
        after_sequence=sequence,
        before_sequence=None if upto is None else upto + 1,
    )


def _name(stream: Stream) -> str:
    # Neither id holds a blank, so different streams never give the same name.
    return f"arcan.session {stream.session_id} {stream.branch_id}"


@cache
def _code() -> str:
    """A fingerprint of the code that folds: a checkpoint of other code is never used, whoever forgot to count a version up."""
    digest = hashlib.sha256()
    package = Path(__file__).parent
    sources = [*package.rglob("*.py"), *(package.parent / "aios").rglob("*.py")]
    for source in sorted(sources):
        digest.update(str(source.relative_to(package.parent)).encode())
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()
