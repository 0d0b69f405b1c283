"""One writer per session: stage events, fold them at once, make them durable at the barriers.

`add` stages an event and folds it, so the next decision already sees it; `commit` returns once everything staged is on
disk; `commit_soon` starts the same without waiting, and the next `commit` waits for it. Every append names the head it
stands on, so two processes can't interleave in one session.

Other subsystems may append to the stream meanwhile (a tool that writes files, homeostasis): their events are folded in
and ours follow. Run events that are not ours mean that the session is driven elsewhere: nothing staged is stored.

After a failed commit the log is broken. What is durable is in the journal; the session has to be read again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from life.aios import events
from life.aios.errors import JournalUnavailableError, LifeError, SequenceConflictError
from life.aios.events import Kind
from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.ports.telemetry import Telemetry
from life.aios.record import AGENT, Actor, EventRecord, EventWriter, NewEvent, Stream, record_of
from life.arcan.branches import records_of
from life.arcan.checkpoints import SessionHistory
from life.arcan.errors import SessionDrivenElsewhereError
from life.arcan.events import PREFIX
from life.arcan.session_state import SessionState
from life.arcan.state import advance
from life.arcan.trace_marks import TraceMarks

ARCAN: Final = Actor("system", "arcan")

_RUN_KINDS: Final[frozenset[str]] = frozenset(
    kind.__name__
    for kind in (
        events.SessionCreated,
        events.SessionResumed,
        events.SessionClosed,
        events.UserMessage,
        events.RunStarted,
        events.RunFinished,
        events.RunErrored,
        events.StepStarted,
        events.StepFinished,
        events.Message,
        events.AssistantMessageCommitted,
        events.ToolCallRequested,
        events.ToolCallStarted,
        events.ToolCallCompleted,
        events.ToolCallFailed,
        events.ApprovalRequested,
        events.ApprovalResolved,
        events.Queued,
        events.Steered,
        events.QueueDrained,
    )
)
"""Kinds that only the driver of a session writes."""


_RECENT: Final = 256
"""Newest events that are at hand for whoever wants to be ahead of the disk."""


class _Staged(NamedTuple):
    """An event that is not durable yet, the record it will be, and the state after it."""

    event: NewEvent
    record: EventRecord
    state: SessionState


class SessionLog:
    """A session's folded state and the one way to add to it. Not for concurrent use: the runtime serializes."""

    def __init__(
        self,
        journal: Journal,
        stream: Stream,
        *,
        agent_id: str,
        clock: Clock,
        entropy: Entropy,
        published: Callable[[Sequence[EventRecord]], None],
        history: SessionHistory | None = None,
        telemetry: Telemetry | None = None,
        keep_recent: bool = False,
    ) -> None:
        """`history` reads the stream, from a checkpoint where it has one; without it, from the beginning. `keep_recent`: the newest
        events stay at hand (`recent`)."""
        self._journal = journal
        self._history = history or SessionHistory(journal)
        self._loaded = False
        self._stream = stream
        self._published = published
        self._writer = EventWriter(clock, entropy, agent_id=agent_id, stream=stream, actor=ARCAN)
        self._new_id = partial(new_id, clock, entropy)
        self.marks = TraceMarks(telemetry)
        """The spans that events belong to."""
        self._durable = SessionState(session_id=stream.session_id, branch_id=stream.branch_id)
        self._state = self._durable
        self._staged: list[_Staged] = []
        self._recent: deque[EventRecord] = deque(maxlen=_RECENT if keep_recent else 0)
        self._in_flight: asyncio.Task[None] | None = None
        self._appending = asyncio.Lock()
        """A message may be queued while the driver commits: one append at a time, in the order of staging."""
        self._held: list[Awaitable[None]] = []
        self._failure: LifeError | None = None

    @property
    def state(self) -> SessionState:
        """The state after everything staged so far."""
        return self._state

    @property
    def durable_state(self) -> SessionState:
        """The state after everything that is on disk: what others may be told."""
        return self._durable

    @property
    def recent(self) -> tuple[EventRecord, ...]:
        """The newest events that were staged here, oldest first, durable or not; empty unless they are kept."""
        return tuple(self._recent)

    def forget_recent(self) -> None:
        """The run is over: nobody needs to be ahead of the disk any more."""
        self._recent.clear()

    @property
    def is_broken(self) -> bool:
        """Whether a commit failed, so that the session has to be read again."""
        return self._failure is not None

    async def catch_up(self) -> None:
        """Fold what the journal holds beyond the durable head. What is staged but was never committed is dropped.
        BranchNotFoundError for a branch that the session does not have."""
        self._staged = []
        self._recent.clear()
        if self._loaded:
            state = await self._history.fold_on(self._durable, self._stream)
        else:
            state = await self._history.load(self._stream)
        self._durable = self._state = state
        self._loaded = True

    def add(
        self, kind: Kind, *, event_id: str | None = None, actor: Actor = ARCAN, run_id: str | None = None
    ) -> EventRecord:
        """Stage one event and fold it. It becomes durable with the next commit."""
        run = self._state.run
        correlation_id = run_id or (run.run_id if run is not None else None)
        event_id = event_id or self._new_id()
        place = self.marks.mark(kind, event_id, correlation_id, self._state)
        event = self._writer.event(kind, event_id=event_id, actor=actor, correlation_id=correlation_id, place=place)
        return self._stage(event).record

    def say(self, kind: Kind, *, event_id: str | None = None) -> EventRecord:
        """Stage something the agent says or asks for."""
        return self.add(kind, event_id=event_id, actor=AGENT)

    def hold(self, work: Awaitable[None]) -> None:
        """The next commit waits for this work (contents that a staged event names) and fails with it."""
        self._held.append(work)

    async def commit(self) -> None:
        """Return once everything staged is durable."""
        if self._in_flight is not None:
            await self._in_flight
        if self._failure is not None:
            raise self._failure
        if self._staged or self._appending.locked():
            await self._append()

    def commit_soon(self) -> None:
        """Begin to make everything staged durable; the next commit waits for it and raises what it raised."""
        if self._staged and self._in_flight is None and self._failure is None:
            self._in_flight = asyncio.get_running_loop().create_task(self._append())
            self._in_flight.add_done_callback(_seen)

    async def _append(self) -> None:
        async with self._appending:
            if self._failure is not None:
                raise self._failure
            if self._staged:
                await self._append_staged()

    async def _append_staged(self) -> None:
        batch, self._staged = self._staged, []
        held, self._held = self._held, []
        try:
            for work in held:
                await work
            records = await self._append_on_head(batch)
        except LifeError as error:
            self._failure = error
            raise
        except BaseException:
            self._failure = JournalUnavailableError("The commit was cut off; what it held may or may not be stored.")
            raise
        finally:
            self._in_flight = None
        self._published(records)

    async def _append_on_head(self, batch: list[_Staged]) -> list[EventRecord]:
        """Append after the durable head; neighbours' events that came between are folded in first."""
        events_of_batch = [staged.event for staged in batch]
        while True:
            try:
                stored = await self._journal.append(events_of_batch, expected={self._stream: self._durable.head})
            except SequenceConflictError:
                batch = await self._admit_neighbours(batch)
                continue
            self._durable = batch[-1].state
            for staged, place in zip(batch, stored, strict=True):
                staged.record.digest, staged.record.position = place.digest, place.position
            return [staged.record for staged in batch]

    async def _admit_neighbours(self, batch: list[_Staged]) -> list[_Staged]:
        """Fold in what others appended, or raise when they drive this session; ours are folded again after it."""
        checked = self._durable.head
        async for record in records_of(self._journal, self._stream, after=checked):
            if _drives(record):
                raise SessionDrivenElsewhereError(self._stream.session_id)
            checked = record.sequence
        self._durable = self._state = await self._history.fold_on(self._durable, self._stream, upto=checked)
        later, self._staged = self._staged, []
        self._recent.clear()
        renewed = [self._stage(staged.event) for staged in batch]
        self._staged = []
        for staged in later:
            self._stage(staged.event)
        return renewed

    def _stage(self, event: NewEvent) -> _Staged:
        record = record_of(event, self._state.head + 1)
        self._state = advance(self._state, record)
        staged = _Staged(event, record, self._state)
        self._staged.append(staged)
        self._recent.append(staged.record)
        return staged


def _drives(record: EventRecord) -> bool:
    """Whether this event could only come from another driver of the session."""
    if record.kind_name in _RUN_KINDS:
        return True
    kind = record.kind
    return isinstance(kind, events.Custom) and kind.event_type.startswith(PREFIX)


def _seen(task: asyncio.Task[None]) -> None:
    """Take the failure of a commit nobody waited for; the log is broken and says so to the next caller."""
    if not task.cancelled():
        task.exception()
