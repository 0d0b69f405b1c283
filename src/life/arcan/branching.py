"""What people do with branches: fork, edit and run again, merge, go back, compare (arcan.md §3, docs/branches.md).

Every one of these is one atomic batch of events. Before it nothing has happened, after it everything has, and doing it again
gives the same: forks and merges stand under derived ids, so of two that race one is stored and the other sees it. The working
copy on disk follows the journal: a merge or a way back notes that the copy is behind (`SessionState.unplaced`), and whoever
comes next, also after a crash, brings it up to date before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final, Protocol

import msgspec

from life.aios import events
from life.aios.errors import ConflictError, EventConflictError, InvalidInputError, SequenceConflictError
from life.aios.events import Kind
from life.aios.ids import MAIN_BRANCH, derived_event_id
from life.aios.ports.journal import EventQuery
from life.aios.ports.working_copies import FilePlan, Position, Prefer
from life.aios.record import USER, Actor, EventWriter, NewEvent, Stream
from life.arcan.branch_events import BranchSealed, FilesPlaced, branch_sealed, files_placed
from life.arcan.branches import (
    BranchInfo,
    branch_id_of,
    check_branch_name,
    created_event_id,
    merge_event_id,
    pick_branch,
    read_branches,
)
from life.arcan.checkpoints import SessionHistory
from life.arcan.comparison import Comparison, compare_positions
from life.arcan.errors import (
    BranchExistsError,
    BranchFilesMissingError,
    BranchMergedError,
    BranchNotMergeableError,
    FileConflictsError,
    SessionClosedError,
)
from life.arcan.live import LiveSession
from life.arcan.session_log import ARCAN
from life.arcan.session_state import SessionState
from life.arcan.settings import Parts

_ATTEMPTS: Final = 16
_KEPT_LEFT: Final = 100
"""How many paths that were left alone are named in the journal."""


class MergeResult(msgspec.Struct, frozen=True, kw_only=True):
    """A merge that is stored."""

    source_branch: str
    target_branch: str
    source_head_sequence: int
    """The source counts up to this event."""
    target_head_sequence: int
    """The target's head after the merge."""
    files_changed: int
    repeated: bool = False
    """Whether it had been merged before; then nothing was done."""


class RestoreResult(msgspec.Struct, frozen=True, kw_only=True):
    """A way back that is stored."""

    branch: str
    restored_to_sequence: int
    head_sequence: int
    files_changed: int


class Deciding(Protocol):
    """Takes a branch with its lock held, at the journal's head unless it is driven."""

    def __call__(self, session_id: str, branch: str = MAIN_BRANCH) -> AbstractAsyncContextManager[LiveSession]:
        """See `Runtime`."""
        ...


class StartRun(Protocol):
    """Begins a run on a branch."""

    async def __call__(
        self, session_id: str, objective: str, *, idempotency_key: str | None = None, branch: str = MAIN_BRANCH
    ) -> str:
        """See `Runtime.start`."""
        ...


class Branches:
    """The branches of a runtime's sessions; reach it as `runtime.branches`."""

    def __init__(
        self,
        parts: Parts,
        *,
        agent_id: str,
        deciding: Deciding,
        check_at_rest: Callable[[LiveSession], None],
        start: StartRun,
    ) -> None:
        self._parts = parts
        self._agent_id = agent_id
        self._deciding = deciding
        self._check_at_rest = check_at_rest
        self._start = start
        self._history = SessionHistory(parts.journal, parts.checkpoints)

    async def all(self, session_id: str) -> list[BranchInfo]:
        """Every branch, main first, then in the order they were made."""
        return list((await self._of_session(session_id)).values())

    async def find(self, session_id: str, name: str) -> BranchInfo:
        """The branch of this id or name; BranchNotFoundError."""
        return pick_branch(await self._of_session(session_id), session_id, name)

    async def state(self, session_id: str, *, branch: str = MAIN_BRANCH, at: int | None = None) -> SessionState:
        """The state of a branch right after its event `at`, rebuilt from the journal alone."""
        info = await self.find(session_id, branch)
        return await self._history.state(Stream(session_id, info.branch_id), at=at)

    async def fork(
        self, session_id: str, name: str, *, parent: str = MAIN_BRANCH, at: int | None = None, actor: Actor = USER
    ) -> BranchInfo:
        """A new branch that begins right after the event `at` of its parent (its head unless told). The same fork again is the
        same branch. A run that is open there has ended on the branch, and none of its calls runs again."""
        name = check_branch_name(name)
        await self._check_session_open(session_id)
        for _ in range(_ATTEMPTS):
            branches = await read_branches(self._parts.journal, session_id)
            origin = pick_branch(branches, session_id, parent)
            if at is None and _named(branches, session_id, name) is None:
                await self._keep_at_rest(session_id, origin.branch_id)
                branches = await read_branches(self._parts.journal, session_id)
                origin = branches[origin.branch_id]
            point = _fork_point(origin, at)
            known = _named(branches, session_id, name)
            if known is not None:
                if (known.parent_branch, known.fork_sequence) == (origin.branch_id, point):
                    return known
                raise BranchExistsError(session_id, name)
            branch_id = branch_id_of(session_id, name)
            if await self._create(session_id, branch_id, name, origin, point, actor):
                return await self.find(session_id, branch_id)
        raise BranchExistsError(session_id, name)

    async def fork_before(
        self, session_id: str, message_sequence: int, *, name: str = "", branch: str = MAIN_BRANCH, actor: Actor = USER
    ) -> BranchInfo:
        """A branch from right before a message of the user, so that other words can take its place. Without a name it is called
        after the place."""
        origin = await self.find(session_id, branch)
        query = EventQuery(session_id, origin.branch_id, after_sequence=max(0, message_sequence - 1))
        found = await self._parts.journal.read(query, limit=1)
        if not found or found[0].sequence != message_sequence or not isinstance(found[0].kind, events.UserMessage):
            raise InvalidInputError(
                "There is no message of the user at this sequence.", details={"sequence": message_sequence}
            )
        chosen = name or await self._free_name(session_id, f"{origin.branch_id}-before-{message_sequence}")
        return await self.fork(session_id, chosen, parent=origin.branch_id, at=message_sequence - 1, actor=actor)

    async def rerun(
        self,
        session_id: str,
        message_sequence: int,
        objective: str,
        *,
        name: str = "",
        branch: str = MAIN_BRANCH,
        actor: Actor = USER,
    ) -> tuple[BranchInfo, str]:
        """Edit and run again: a branch from before a message, and a run on it with other words; the branch and the run's id.
        With a name the same call again gives the same branch and the same run."""
        forked = await self.fork_before(session_id, message_sequence, name=name, branch=branch, actor=actor)
        run_id = await self._start(session_id, objective, idempotency_key="arcan.rerun", branch=forked.branch_id)
        return forked, run_id

    async def merge(
        self,
        session_id: str,
        source: str,
        *,
        into: str = MAIN_BRANCH,
        prefer: Prefer | None = None,
        actor: Actor = USER,
    ) -> MergeResult:
        """Make a branch part of another: its conversation follows the target's as a range that is referred to, its files are
        merged three ways. FileConflictsError, with nothing stored, where both changed a file and `prefer` does not say whose
        side wins. The source is read-only afterwards, and merges once. Both must be at rest."""
        for _ in range(_ATTEMPTS):
            branches = await read_branches(self._parts.journal, session_id)
            origin, target = pick_branch(branches, session_id, source), pick_branch(branches, session_id, into)
            if origin.branch_id == target.branch_id:
                raise BranchNotMergeableError("A branch can't be merged into itself.")
            if origin.branch_id == MAIN_BRANCH:
                raise BranchNotMergeableError("Main can't be merged into another branch.")
            if origin.merged_into == target.branch_id:
                return await self._merged_before(session_id, origin, target)
            for branch in (origin, target):
                if branch.merged_into is not None:
                    raise BranchMergedError(session_id, branch.name, branch.merged_into)
            merged = await self._merge_once(session_id, origin, target, prefer, actor)
            if merged is not None:
                return merged
        raise _busy()

    async def restore(
        self, session_id: str, to_sequence: int, *, branch: str = MAIN_BRANCH, actor: Actor = USER
    ) -> RestoreResult:
        """Go on from right after an earlier event of the same branch: conversation, vector and files are as they were then. New
        events say so; what came between stays in the journal and can be gone back to. Spent money, permissions and rules are
        those of now. The branch must be at rest."""
        info = await self.find(session_id, branch)
        stream = Stream(session_id, info.branch_id)
        for _ in range(_ATTEMPTS):
            async with self._deciding(*stream) as live:
                state = live.log.state
                if not (1 if stream.branch_id == MAIN_BRANCH else 0) <= to_sequence <= state.head:
                    raise InvalidInputError(
                        f"The branch has {state.head} events.", details={"at": to_sequence, "head": state.head}
                    )
                if state.closed:
                    raise SessionClosedError(session_id)
                await self._at_rest(live)
                await self.get_ready(live)
                head = live.log.state.head
                plan = FilePlan(())
                if self._parts.files is not None:
                    versions = self._parts.files.versions
                    plan = await versions.restore_plan(Position(stream, head), Position(stream, to_sequence))
                back = events.CheckpointRestored(
                    checkpoint_id=f"{stream.branch_id}@{to_sequence}", restored_to_seq=to_sequence
                )
                batch = self._batch(stream, [back, *plan.kinds], actor)
                try:
                    await self._parts.journal.append(batch, expected={stream: head})
                except SequenceConflictError:
                    continue
                await live.sync()
                await self._place(live)
                return RestoreResult(
                    branch=stream.branch_id,
                    restored_to_sequence=to_sequence,
                    head_sequence=live.log.state.head,
                    files_changed=plan.changed,
                )
        raise _busy()

    async def compare(
        self,
        session_id: str,
        one: str,
        other: str,
        *,
        one_at: int | None = None,
        other_at: int | None = None,
    ) -> Comparison:
        """What two branches, or two positions, have in common and where they differ (`life.arcan.comparison`)."""
        branches = await self._of_session(session_id)
        versions = self._parts.files.versions if self._parts.files is not None else None
        return await compare_positions(
            self._parts.journal,
            self._history,
            branches,
            _position(branches, session_id, one, one_at),
            _position(branches, session_id, other, other_at),
            versions,
        )

    async def get_ready(self, live: LiveSession) -> None:
        """Before anything runs on a branch: it may be written, its working copy is there and up to date, and what people changed
        in it meanwhile is recorded. The caller holds the branch's lock."""
        session_id, branch_id = live.stream
        state = live.log.state
        if state.merged_into:
            raise BranchMergedError(session_id, branch_id, state.merged_into)
        if branch_id != MAIN_BRANCH:
            await self._check_session_open(session_id)
        files = self._parts.files
        if files is None:
            if branch_id != MAIN_BRANCH:
                raise BranchFilesMissingError
            return
        await files.copies.lay_out(live.stream)
        await self._place(live)
        if state.run is None:
            await files.copies.keep(live.stream)
            await live.sync()

    # Inside

    async def _of_session(self, session_id: str) -> dict[str, BranchInfo]:
        """The branches of a session that is there: of a deleted one nothing is told. Not while a lock is held."""
        async with self._deciding(session_id):
            pass
        return await read_branches(self._parts.journal, session_id)

    async def _check_session_open(self, session_id: str) -> None:
        """A closed session has no new branches and no new runs on old ones."""
        async with self._deciding(session_id) as main:
            if main.log.state.closed:
                raise SessionClosedError(session_id)

    async def _at_rest(self, live: LiveSession) -> None:
        """No run is open, and the end of the last one is durable."""
        while live.is_driven and live.log.state.run is None:
            await live.driven()
        self._check_at_rest(live)
        await live.sync()

    async def _keep_at_rest(self, session_id: str, branch_id: str) -> None:
        """Record a working copy before its branch is forked at the head, unless a run is changing it right now: what tools
        change is recorded as they do."""
        files = self._parts.files
        if files is None:
            return
        async with self._deciding(session_id, branch_id) as live:
            if not live.is_driven:
                await self._place(live)
                await files.copies.keep(live.stream)
                await live.sync()

    async def _place(self, live: LiveSession) -> None:
        """Bring the working copy up to date after a merge or a way back, and say so."""
        since = live.log.state.unplaced
        if self._parts.files is None or since is None:
            return
        left = await self._parts.files.copies.place(live.stream, since)
        live.log.add(files_placed(FilesPlaced(left=left[:_KEPT_LEFT])))
        await live.log.commit()

    async def _create(
        self, session_id: str, branch_id: str, name: str, origin: BranchInfo, point: int, actor: Actor
    ) -> bool:
        """Store the event that makes the branch; False when another writer was there first."""
        stream = Stream(session_id, branch_id)
        created = events.BranchCreated(
            new_branch_id=branch_id,
            fork_point_seq=point,
            name=name,
            parent_branch_id=None if origin.branch_id == MAIN_BRANCH else origin.branch_id,
        )
        event = self._writer(stream).event(created, event_id=created_event_id(session_id, branch_id), actor=actor)
        try:
            await self._parts.journal.append([event], expected={stream: 0})
        except (SequenceConflictError, EventConflictError):
            return False
        return True

    async def _merge_once(
        self, session_id: str, origin: BranchInfo, target: BranchInfo, prefer: Prefer | None, actor: Actor
    ) -> MergeResult | None:
        """Store the merge; None when a head moved meanwhile."""
        source, into = Stream(session_id, origin.branch_id), Stream(session_id, target.branch_id)
        async with AsyncExitStack() as stack:
            lives: dict[Stream, LiveSession] = {}
            # One order for everybody, main last: `get_ready` looks at main while it holds a branch.
            for stream in sorted((source, into), key=lambda each: (each.branch_id == MAIN_BRANCH, each.branch_id)):
                lives[stream] = await stack.enter_async_context(self._deciding(*stream))
            for live in lives.values():
                if live.log.state.closed:
                    raise SessionClosedError(session_id)
                await self._at_rest(live)
                if live.log.state.merged_into:
                    return None
            plan = await self._file_plan(lives[source], lives[into], prefer)
            if plan.conflicts:
                raise FileConflictsError(plan.conflicts)
            upto, head = lives[source].log.state.head, lives[into].log.state.head
            merged = events.BranchMerged(source_branch_id=source.branch_id, merge_seq=upto)
            claim = merge_event_id(session_id, source.branch_id)
            batch = self._batch(into, [merged, *plan.kinds], actor, first_id=claim)
            sealed = branch_sealed(BranchSealed(target_branch_id=into.branch_id))
            seal_id = derived_event_id("arcan.branch-seal", session_id, source.branch_id)
            batch.append(self._writer(source).event(sealed, event_id=seal_id, causation_id=claim))
            try:
                await self._parts.journal.append(batch, expected={into: head, source: upto})
            except (SequenceConflictError, EventConflictError):
                return None
            for live in lives.values():
                await live.sync()
            await self._place(lives[into])
            return MergeResult(
                source_branch=source.branch_id,
                target_branch=into.branch_id,
                source_head_sequence=upto,
                target_head_sequence=lives[into].log.state.head,
                files_changed=plan.changed,
            )

    async def _file_plan(self, source: LiveSession, target: LiveSession, prefer: Prefer | None) -> FilePlan:
        files = self._parts.files
        if files is None:
            return FilePlan(())
        for live in (source, target):
            await self._place(live)
            await files.copies.keep(live.stream)
            await live.sync()
        return await files.versions.merge_plan(
            Position(source.stream, source.log.state.head),
            Position(target.stream, target.log.state.head),
            prefer=prefer,
        )

    async def _merged_before(self, session_id: str, origin: BranchInfo, target: BranchInfo) -> MergeResult:
        """The merge that is stored already; its working copy is brought up to date, if a crash came between."""
        stored = await self._parts.journal.get(merge_event_id(session_id, origin.branch_id))
        kind = stored.kind if stored is not None else None
        async with self._deciding(session_id, target.branch_id) as live:
            if not live.is_driven and not live.log.state.merged_into:
                await self._place(live)
            return MergeResult(
                source_branch=origin.branch_id,
                target_branch=target.branch_id,
                source_head_sequence=kind.merge_seq if isinstance(kind, events.BranchMerged) else 0,
                target_head_sequence=live.log.durable_state.head,
                files_changed=0,
                repeated=True,
            )

    async def _free_name(self, session_id: str, wanted: str) -> str:
        taken = {branch.name for branch in await self.all(session_id)}
        names = (wanted if number == 1 else f"{wanted}-{number}" for number in range(1, len(taken) + 2))
        return next(name for name in names if name not in taken)

    def _batch(
        self, stream: Stream, kinds: Sequence[Kind], actor: Actor, *, first_id: str | None = None
    ) -> list[NewEvent]:
        """Events that belong together; those after the first were caused by it."""
        writer = self._writer(stream)
        first = writer.event(kinds[0], event_id=first_id, actor=actor)
        return [first, *(writer.event(kind, causation_id=first.event_id) for kind in kinds[1:])]

    def _writer(self, stream: Stream) -> EventWriter:
        return EventWriter(self._parts.clock, self._parts.entropy, agent_id=self._agent_id, stream=stream, actor=ARCAN)


def _named(branches: dict[str, BranchInfo], session_id: str, name: str) -> BranchInfo | None:
    """The branch that has this name, as its name or as its id."""
    branch_id = branch_id_of(session_id, name)
    if branch_id in branches:
        return branches[branch_id]
    return next((branch for branch in branches.values() if name in (branch.name, branch.branch_id)), None)


def _fork_point(origin: BranchInfo, at: int | None) -> int:
    head = origin.head_sequence
    point = head if at is None else at
    if not 0 <= point <= head:
        raise InvalidInputError(f"The branch has {head} events.", details={"at": point, "head": head})
    # A session's creation says who owns it and what it may do: no branch is without it.
    return max(point, 1) if origin.branch_id == MAIN_BRANCH else point


def _position(branches: dict[str, BranchInfo], session_id: str, name: str, at: int | None) -> Position:
    branch = pick_branch(branches, session_id, name)
    head = branch.head_sequence
    if at is not None and not 0 <= at <= head:
        raise InvalidInputError(f"The branch has {head} events.", details={"at": at, "head": head})
    return Position(Stream(session_id, branch.branch_id), head if at is None else at)


def _busy() -> ConflictError:
    return ConflictError("Others write to this branch without a pause.", next_step="Try again.")
