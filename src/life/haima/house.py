"""The house: everything that is decided together, on one stream (HM-FOLD, haima.md §1.7 to §1.13, §1.19).

Accounts, bills, credit, contracts and insurance share money, so they share one stream, `finance:house`, and one head. A
command is a rule: a pure function that looks at the folded state and the time, and gives the events to write and the
answer, or raises. What it gives is stored in one batch that holds only if nothing else was written in between; otherwise
the house reads on and asks the rule again. So a decision that is on disk was right at its place in the stream, for any
number of tasks and processes, and it is there whole or not at all. A rule may be called several times.

Commands that wait at the same time are decided one on top of the other and stored together: many commands, one commit.
Nobody is told anything, not even a refusal, before the batch that it rests on is on disk. When the batch can't be stored,
what was folded in ahead is thrown away (the state is built again from the last checkpoint and the journal) and every
command of the batch is decided again, one by one for a while.

A command with an idempotency key is carried out once, for ever: its `CommandDone` has an id derived from the key, and the
journal stores an id once. The same key with the same request gets the first answer; with another one, a conflict. A refusal
is not carried out, so it is not remembered under the key. Evidence (a settled payment, a journal event) is used once, for
ever, in the same way: `EvidenceUsed` under an id derived from its name.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar, cast

import msgspec

from life.aios.errors import EventConflictError, JournalUnavailableError, LifeError, SequenceConflictError
from life.aios.ids import derived_event_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.snapshots import Snapshot, Snapshots
from life.aios.record import SYSTEM, Actor, EventRecord, NewEvent, Stream
from life.haima.errors import EvidenceUsedError, IdempotencyConflictError
from life.haima.events import FinanceEvent, finance_event, read_finance
from life.haima.events.accounts import CommandDone, EvidenceUsed, LedgerPosted
from life.haima.house_state import HouseState, decode, encode

STREAM: Final = Stream("finance:house")
SNAPSHOT: Final = "haima.house"
SNAPSHOT_VERSION: Final = 2

_PAGE: Final = 2_000
_ATTEMPTS: Final = 64
_SNAPSHOT_EVENTS: Final = 5_000
_TOGETHER: Final = 64
"""At most so many commands in one commit."""
_ALONE: Final = 16
"""So many commands go one by one after somebody else was quicker."""

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


class _Kept(msgspec.Struct):
    """A snapshot: the state, and the digest of the event that it ends with, so that it fits only the journal it is of."""

    digest: str
    state: msgspec.Raw


class _Checkpoint(NamedTuple):
    """Where folding can begin again."""

    sequence: int = 0
    position: int = 0
    state: bytes = b"{}"


class _Command:
    """A rule that waits for its turn."""

    __slots__ = ("actor", "attempts", "decide", "done", "evidence", "key", "read_answer")

    def __init__(
        self,
        decide: Callable[[HouseState, int], Decision[msgspec.Struct]],
        key: Key | None,
        read_answer: Callable[[bytes], msgspec.Struct],
        evidence: Sequence[str],
        actor: Actor,
    ) -> None:
        self.decide = decide
        self.key = key
        self.read_answer = read_answer
        self.evidence = tuple(evidence)
        self.actor = actor
        self.attempts = 0
        self.done: asyncio.Future[Done[msgspec.Struct]] = asyncio.get_running_loop().create_future()

    @property
    def once(self) -> list[str]:
        """The ids that this command claims for ever."""
        own = [] if self.key is None else [command_id(self.key)]
        return own + [evidence_id(name) for name in self.evidence]

    def succeed(self, outcome: Done[msgspec.Struct]) -> None:
        """Tell the caller, if it still listens."""
        if not self.done.done():
            self.done.set_result(outcome)

    def fail(self, error: BaseException) -> None:
        """Raise in the caller, if it still listens."""
        if not self.done.done():
            self.done.set_exception(error)


class _Made(NamedTuple):
    """An event, and the form in which it is stored."""

    event: FinanceEvent
    stored: NewEvent


class _Round:
    """Commands decided one on top of the other, until they are stored."""

    def __init__(self) -> None:
        self.made: list[_Made] = []
        self.ahead = 0
        """How many of these are folded into the state already."""
        self.commands: list[_Command] = []
        self.endings: list[Callable[[], None]] = []
        """Tell the callers, once the batch is on disk."""
        self.claimed: set[str] = set()


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
        self._digest = ""
        self._since_snapshot = 0
        self._checkpoint = _Checkpoint()
        self._waiting: deque[_Command] = deque()
        self._server: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._alone = 0
        self._is_open = False

    @property
    def state(self) -> HouseState:
        """What the stored events say; while commands are being stored, also what those will say. For reading only, and anew
        each time: it may be another object. What must be on disk is read with `catch_up`."""
        return self._state

    @property
    def position(self) -> int:
        """The journal position that the state is of."""
        return self._position

    @property
    def now_us(self) -> int:
        """The wall clock, but never before the newest event of the house."""
        return max(self._clock.now_us(), self._state.last_at_us)

    async def open(self) -> None:
        """Read what the stream holds, from the newest snapshot on."""
        async with self._turn:
            await self._restore()
            await self._catch_up()

    async def aclose(self) -> None:
        """Carry out what waits, and keep a snapshot for a quick start."""
        while self._server is not None and not self._server.done():
            await asyncio.wait([self._server])
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
        evidence: Sequence[str] = (),
        actor: Actor = SYSTEM,
    ) -> Done[T]:
        """Carry out a command: durable on return. `answer_type` is needed with a key. `evidence` are names of facts that
        may be used once, for ever, by whatever command comes first.

        What the rule raises; IdempotencyConflictError for a key that was used for another request; EvidenceUsedError; the
        journal's errors, after which the command may have been carried out: repeat it with its key.
        """
        assert (key is None) == (answer_type is None)

        def read_answer(stored: bytes) -> msgspec.Struct:
            assert answer_type is not None
            return msgspec.json.decode(stored, type=answer_type)

        untyped = cast(Callable[[HouseState, int], Decision[msgspec.Struct]], rule)
        command = _Command(untyped, key, read_answer, evidence, actor)
        self._waiting.append(command)
        if self._server is None or self._server.done():
            # A task of its own: a caller that gives up must not leave the others' commands half carried out.
            self._server = asyncio.create_task(self._serve())
        return cast(Done[T], await command.done)  # `rule` and `read_answer` give nothing else

    # ---- deciding

    async def _serve(self) -> None:
        while self._waiting:
            async with self._turn:
                round_ = _Round()
                try:
                    await self._catch_up()  # a refusal must not rest on what another process has changed
                    await self._fill(round_)
                    await self._finish(round_)
                except BaseException as error:
                    await self._abandon(round_, error)
                    if isinstance(error, asyncio.CancelledError):
                        self._fail_all(error)
                        raise
                    if not isinstance(error, Exception):
                        self._fail_all(error)  # the callers raise it
                        return

    async def _fill(self, round_: _Round) -> None:
        """Decide what waits, one on top of the other, until the round is full or the next must see this one stored."""
        limit = 1 if self._alone else _TOGETHER
        while self._waiting and len(round_.commands) < limit:
            command = self._waiting[0]
            if command.done.done():  # its caller gave up before it began
                self._waiting.popleft()
                continue
            if not round_.claimed.isdisjoint(command.once):
                return
            self._waiting.popleft()
            round_.commands.append(command)
            try:
                if not await self._is_repeated(command, round_):
                    self._decide(command, round_)
            except Exception as error:  # also a rule that is wrong: its caller's trouble, and nobody else's
                round_.endings.append(lambda command=command, error=error: command.fail(error))  # type: ignore[misc]
            if limit > 1 and self._waiting:
                self._fold_ahead(round_)
        self._alone = max(0, self._alone - 1)

    async def _is_repeated(self, command: _Command, round_: _Round) -> bool:
        """Whether it was carried out before; then its caller gets the answer of then. EvidenceUsedError for evidence that
        another command used."""
        if command.key is not None:
            earlier = await self._earlier(command.key)
            if earlier is not None:
                outcome = Done(command.read_answer(earlier), True)
                round_.endings.append(lambda: command.succeed(outcome))
                return True
        for name in command.evidence:
            if await self._journal.get(evidence_id(name)) is not None:
                raise EvidenceUsedError(name)
        return False

    def _decide(self, command: _Command, round_: _Round) -> None:
        now_us = self.now_us
        try:
            decision = command.decide(self._state, now_us)
        except RefusedError as refused:
            error = refused.error
            round_.made += [self._made(event, command, now_us) for event in refused.events]
            round_.endings.append(lambda: command.fail(error))
            return
        self._state.accounts.check(event for event in decision.events if isinstance(event, LedgerPosted))
        made = [self._made(event, command, now_us) for event in decision.events]
        key = command.key
        if key is not None:
            answer = msgspec.Raw(msgspec.json.encode(decision.answer))
            done = CommandDone(key=key.name, request_digest=key.digest, answer=answer)
            made.append(self._made(done, command, now_us, command_id(key)))
        for name in command.evidence if made else ():
            used = EvidenceUsed(evidence=name, key=None if key is None else key.name)
            made.append(self._made(used, command, now_us, evidence_id(name)))
        round_.made += made
        round_.claimed.update(command.once if made else ())
        outcome = Done(decision.answer, False)
        round_.endings.append(lambda: command.succeed(outcome))

    def _made(self, event: FinanceEvent, command: _Command, now_us: int, event_id: str | None = None) -> _Made:
        stored = finance_event(
            event,
            self._clock,
            self._entropy,
            stream=STREAM,
            agent_id=self._agent_id,
            event_id=event_id,
            actor=command.actor,
            timestamp_us=now_us,
        )
        return _Made(event, stored)

    def _fold_ahead(self, round_: _Round) -> None:
        for event, stored in round_.made[round_.ahead :]:
            self._state.apply(event, stored.timestamp_us)
        round_.ahead = len(round_.made)

    # ---- storing

    async def _finish(self, round_: _Round) -> None:
        """Store the round and tell its callers; or take it back and put its commands in front of the queue again."""
        if round_.made:
            batch = [made.stored for made in round_.made]
            try:
                stored = await self._journal.append(batch, expected={STREAM: self._sequence})
                was_quicker = any(one.duplicate for one in stored)
            except (SequenceConflictError, EventConflictError):
                was_quicker = True
            if was_quicker:  # somebody else wrote; perhaps this very command
                self._take_back(round_)
                return
            self._fold_ahead(round_)
            round_.ahead = 0  # it is no longer ahead of anything
            last = stored[-1]
            self._sequence, self._position, self._digest = last.sequence, last.position, last.digest
            self._since_snapshot += len(stored)
        for ending in round_.endings:
            ending()
        round_.endings.clear()
        if self._since_snapshot >= _SNAPSHOT_EVENTS:
            await self._save_snapshot()

    def _take_back(self, round_: _Round) -> None:
        self._forget_ahead(round_)
        self._alone = _ALONE
        for command in reversed(round_.commands):
            command.attempts += 1
            if command.attempts >= _ATTEMPTS:
                command.fail(
                    JournalUnavailableError("Other processes write to the house's stream without a pause; try again.")
                )
            else:
                self._waiting.appendleft(command)

    async def _abandon(self, round_: _Round, error: BaseException) -> None:
        """The journal failed: the round may or may not be stored, and the callers are told so. The next round reads on."""
        if not round_.commands and self._waiting:
            round_.commands.append(self._waiting.popleft())  # it failed before the first was looked at
        for command in round_.commands:
            command.fail(error)
        self._forget_ahead(round_)

    def _forget_ahead(self, round_: _Round) -> None:
        """Go back to the last checkpoint when something was folded in ahead of the journal."""
        if round_.ahead:
            self._back_to(self._checkpoint)
            round_.ahead = 0

    def _fail_all(self, error: BaseException) -> None:
        while self._waiting:
            self._waiting.popleft().fail(error)

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
            kept = msgspec.json.decode(snapshot.state, type=_Kept)
            if kept.digest != found[0].digest:
                return  # another journal's, or one whose end was written anew
            checkpoint = _Checkpoint(found[0].sequence, snapshot.position, bytes(kept.state))
            self._back_to(checkpoint)
        except msgspec.DecodeError:
            return  # a snapshot is a cache
        self._checkpoint, self._digest = checkpoint, kept.digest

    def _back_to(self, checkpoint: _Checkpoint) -> None:
        self._state = decode(checkpoint.state)
        self._sequence, self._position = checkpoint.sequence, checkpoint.position
        self._since_snapshot = 0

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
        self._sequence, self._position, self._digest = record.sequence, record.position, record.digest or ""
        self._since_snapshot += 1

    async def _earlier(self, key: Key) -> bytes | None:
        record = await self._journal.get(command_id(key))
        if record is None:
            return None
        done = read_finance(record)
        if not isinstance(done, CommandDone) or done.request_digest != key.digest:
            raise IdempotencyConflictError(key.key)
        return bytes(done.answer)

    async def _save_snapshot(self) -> None:
        """Keep the state, in memory as a checkpoint and (where there is a place) for the next start."""
        if self._since_snapshot == 0:
            return
        content = encode(self._state)
        self._checkpoint = _Checkpoint(self._sequence, self._position, content)
        self._since_snapshot = 0
        if self._snapshots is not None:
            kept = msgspec.json.encode(_Kept(self._digest, msgspec.Raw(content)))
            await self._snapshots.save(SNAPSHOT, SNAPSHOT_VERSION, Snapshot(self._position, kept))


def command_id(key: Key) -> str:
    """The id of the one event that says that this command was carried out."""
    return derived_event_id("haima.command", key.name)


def evidence_id(name: str) -> str:
    """The id of the one event that says that this evidence was used."""
    return derived_event_id("haima.evidence", name)
