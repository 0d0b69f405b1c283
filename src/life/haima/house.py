"""The house: everything that is decided together, on one stream (HM-FOLD, haima.md §1.7 to §1.13, §1.19).

Accounts, bills, credit, contracts and insurance share money, so they share one stream, `finance:house`, and one head. A
command is a rule: a pure function that looks at the folded state and the time, and gives the events to write and the
answer, or raises. What it gives is stored as one batch that holds only if nothing else was written in between; otherwise
the house reads on and asks the rule again. So a decision that is on disk was right at its place in the stream, for any
number of tasks and processes, and it is there whole or not at all.

A command with an idempotency key is carried out once, for ever: its `CommandDone` has an id derived from the key, and the
journal stores an id once. The same key with the same request gets the first answer; with another one, a conflict.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

from life.aios.errors import JournalUnavailableError, LifeError, SequenceConflictError
from life.aios.ids import derived_event_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.snapshots import Snapshot, Snapshots
from life.aios.record import SYSTEM, Actor, EventRecord, Stream
from life.haima.errors import IdempotencyConflictError
from life.haima.events import FinanceEvent, finance_event, read_finance
from life.haima.events.accounts import CommandDone, LedgerPosted
from life.haima.house_state import HouseState

STREAM: Final = Stream("finance:house")
SNAPSHOT: Final = "haima.house"
SNAPSHOT_VERSION: Final = 1

_PAGE: Final = 2_000
_ATTEMPTS: Final = 64
_SNAPSHOT_EVENTS: Final = 5_000

T = TypeVar("T", bound=msgspec.Struct)


class Decision(NamedTuple, Generic[T]):
    """What a rule decided. Without events nothing is written."""

    events: Sequence[FinanceEvent]
    answer: T


class Done(NamedTuple, Generic[T]):
    """What became of a command."""

    answer: T
    repeated: bool
    """It had been carried out before; the answer is that of then."""


class RefusedError(Exception):
    """Raised by a rule whose refusal is a fact worth keeping: `events` are stored, then `error` is raised."""

    def __init__(self, error: LifeError, events: Sequence[FinanceEvent]) -> None:
        super().__init__(str(error))
        self.error = error
        self.events = events


class Key(NamedTuple):
    """What makes a command the same command: who gave the key, the key, and the bytes of the request."""

    caller: str
    key: str
    request: bytes

    @property
    def name(self) -> str:
        """Caller and key, unambiguous."""
        return f"{len(self.caller)}:{self.caller}:{self.key}"

    @property
    def digest(self) -> str:
        """Of the request."""
        return hashlib.sha256(self.request).hexdigest()


class House:
    """The write side of the house's stream. Belongs to one event loop; several processes may share the journal."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        entropy: Entropy,
        *,
        agent_id: str,
        snapshots: Snapshots | None = None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._agent_id = agent_id
        self._snapshots = snapshots
        self._state = HouseState()
        self._sequence = 0
        self._position = 0
        self._since_snapshot = 0
        self._turn = asyncio.Lock()
        self._is_open = False

    @property
    def state(self) -> HouseState:
        """What the stored events say. For reading only."""
        return self._state

    @property
    def position(self) -> int:
        """The journal position that the state is of."""
        return self._position

    @property
    def now_us(self) -> int:
        """The wall clock."""
        return self._clock.now_us()

    async def open(self) -> None:
        """Read what the stream holds, from the newest snapshot on."""
        async with self._turn:
            await self._restore()
            await self._catch_up()

    async def aclose(self) -> None:
        """Keep a snapshot for a quick start."""
        async with self._turn:
            await self._save_snapshot()

    async def catch_up(self) -> HouseState:
        """Read what other processes wrote since."""
        async with self._turn:
            await self._catch_up()
            return self._state

    async def decide(
        self,
        rule: Callable[[HouseState, int], Decision[T]],
        *,
        key: Key | None = None,
        answer_type: type[T] | None = None,
        actor: Actor = SYSTEM,
    ) -> Done[T]:
        """Carry out a command: durable on return. `answer_type` is needed with a key.

        What the rule raises; IdempotencyConflictError for a key that was used for another request; the journal's errors,
        after which the command may have been carried out: repeat it with its key.
        """
        assert (key is None) == (answer_type is None)
        async with self._turn:
            for _ in range(_ATTEMPTS):
                if key is not None and answer_type is not None:
                    earlier = await self._earlier(key)
                    if earlier is not None:
                        return Done(msgspec.json.decode(earlier, type=answer_type), True)
                try:
                    decision = rule(self._state, self._clock.now_us())
                except RefusedError as refused:
                    if await self._store(refused.events, None, None, actor):
                        raise refused.error from None
                    continue
                if not decision.events and key is None:
                    return Done(decision.answer, False)
                if await self._store(decision.events, key, decision.answer, actor):
                    return Done(decision.answer, False)
        raise JournalUnavailableError("Other processes write to the house's stream without a pause; try again.")

    # ---- reading

    async def _restore(self) -> None:
        if self._is_open:
            return
        self._is_open = True
        snapshot = await self._snapshots.load(SNAPSHOT, SNAPSHOT_VERSION) if self._snapshots is not None else None
        if snapshot is None:
            return
        found = await self._journal.read(EventQuery(after_position=snapshot.position - 1), limit=1)
        if not found or found[0].position != snapshot.position or found[0].stream != STREAM:
            return  # the journal does not reach as far: it was restored from a backup
        try:
            self._state = msgspec.json.decode(snapshot.state, type=HouseState)
        except msgspec.DecodeError:
            return  # a snapshot is a cache
        self._sequence, self._position = found[0].sequence, snapshot.position

    async def _catch_up(self) -> None:
        while True:
            query = EventQuery(STREAM.session_id, STREAM.branch_id, after_sequence=self._sequence)
            page = await self._journal.read(query, limit=_PAGE)
            for record in page:
                self._fold(record)
            if len(page) < _PAGE:
                return

    def _fold(self, record: EventRecord) -> None:
        event = read_finance(record)
        if event is not None:
            self._state.apply(event, record.timestamp_us)
        self._sequence, self._position = record.sequence, record.position
        self._since_snapshot += 1

    async def _earlier(self, key: Key) -> bytes | None:
        record = await self._journal.get(_command_id(key))
        if record is None:
            return None
        done = read_finance(record)
        if not isinstance(done, CommandDone) or done.request_digest != key.digest:
            raise IdempotencyConflictError(key.key)
        if record.sequence > self._sequence:
            await self._catch_up()
        return bytes(done.answer)

    # ---- writing

    async def _store(
        self, events: Sequence[FinanceEvent], key: Key | None, answer: msgspec.Struct | None, actor: Actor
    ) -> bool:
        """Store one batch on top of what was folded; False when somebody else wrote meanwhile (it is read in then)."""
        self._state.accounts.check(event for event in events if isinstance(event, LedgerPosted))
        now_us = self._clock.now_us()
        batch = [
            finance_event(
                event,
                self._clock,
                self._entropy,
                stream=STREAM,
                agent_id=self._agent_id,
                actor=actor,
                timestamp_us=now_us,
            )
            for event in events
        ]
        done: CommandDone | None = None
        if key is not None:
            done = CommandDone(key=key.name, request_digest=key.digest, answer=msgspec.Raw(msgspec.json.encode(answer)))
            batch.append(
                finance_event(
                    done,
                    self._clock,
                    self._entropy,
                    stream=STREAM,
                    agent_id=self._agent_id,
                    event_id=_command_id(key),
                    actor=actor,
                    timestamp_us=now_us,
                )
            )
        if not batch:
            return True
        try:
            stored = await self._journal.append(batch, expected={STREAM: self._sequence})
        except SequenceConflictError:
            await self._catch_up()
            return False
        for event in (*events, done):
            if event is not None:
                self._state.apply(event, now_us)
        self._sequence, self._position = stored[-1].sequence, stored[-1].position
        self._since_snapshot += len(stored)
        if self._since_snapshot >= _SNAPSHOT_EVENTS:
            await self._save_snapshot()
        return True

    async def _save_snapshot(self) -> None:
        if self._snapshots is None or self._since_snapshot == 0:
            return
        snapshot = Snapshot(self._position, msgspec.json.encode(self._state, order="deterministic"))
        await self._snapshots.save(SNAPSHOT, SNAPSHOT_VERSION, snapshot)
        self._since_snapshot = 0


def _command_id(key: Key) -> str:
    return derived_event_id("haima.command", key.name)
