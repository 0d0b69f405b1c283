"""How a wallet's events get to the journal: decided one after the other, stored together.

The log folds the wallet's stream and appends with the head it has seen as `expected`. When another process was quicker,
everything that is not stored is taken back, what the other wrote is read, and every waiting decision is taken again on
top of it. So a decision that was stored is one that was right at its place in the stream, for any number of processes,
and the arbiter is the journal, not a lock.

Within a process, decisions are taken on top of what is queued, and everything that is awaited goes to the journal as one
batch: many payments at once cost one commit. There are four ways in:

    reserve   waits until the decision is on disk
    record    waits until the event is on disk
    note      does not wait: the event is folded in now and stored soon, many in one batch
    hold      a note that is worth storing only if its payment is not over by then

A note may be stored after a reservation that was decided later: it is about another payment. That is sound as long as it
frees nothing; a release does, so from the moment one waits, everything is stored in the order in which it came. What is
recorded is never stored before what was noted earlier.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Final, NamedTuple

from life.aios.errors import EventConflictError, JournalError, JournalUnavailableError, LifeError, SequenceConflictError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import NewEvent, Stream
from life.haima.events import (
    FinanceEvent,
    PaymentReleased,
    PaymentReserved,
    PaymentSettled,
    finance_event,
    read_finance,
)
from life.haima.reservations import Change, Payment, WalletState

RIDE_ALONG_US: Final = 50_000
"""How long a note waits for company before it is stored."""

_MANY: Final = 256
"""How many notes may wait before they go with whatever is stored next."""

_RETRY_US: Final = 250_000
_PAGE: Final = 2_000

Decide = Callable[[], PaymentReserved | Payment]
"""Looks at the fold and the clock and gives the reservation to write, or the one that stands already; raises to refuse.
It may be called several times."""


class Reserved(NamedTuple):
    """A reservation. `created` is False when it stood already (another task or process, or an earlier run)."""

    payment: Payment
    created: bool


class _Entry:
    """Something that waits to be stored. Without an event it is a barrier: it waits for everything before it."""

    __slots__ = ("came", "changes", "decide", "done", "finance", "stored", "timestamp_us")

    def __init__(
        self,
        finance: FinanceEvent | None = None,
        *,
        timestamp_us: int = 0,
        done: asyncio.Future[Reserved | None] | None = None,
        decide: Decide | None = None,
    ) -> None:
        self.finance = finance
        self.timestamp_us = timestamp_us
        self.done = done
        self.decide = decide
        self.came = 0
        """When it was folded in, by the log's own count."""
        self.stored: NewEvent | None = None
        """The event as it was handed to the journal; made once, so that handing it in again is the same event."""
        self.changes: list[Change] = []


class WalletLog:
    """The stream of one wallet, its fold, and what is on its way there. Belongs to one event loop."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        entropy: Entropy,
        *,
        stream: Stream,
        agent_id: str,
        id_of: Callable[[FinanceEvent], str | None] = lambda event: None,
        ride_along_us: int = RIDE_ALONG_US,
        wake: Callable[[], None] | None = None,
    ) -> None:
        """`id_of` gives the one event id that an event can have, in whatever process, or None when any will do. `wake` is
        called when a note begins to wait; by default a timer of the running loop stores it in time."""
        self.state = WalletState()
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._stream = stream
        self._agent_id = agent_id
        self._id_of = id_of
        self._ride_along_us = ride_along_us
        self._wake = wake or self._set_timer
        self._head = 0
        self._stale = True
        self._awaited: list[_Entry] = []
        self._noted: list[_Entry] = []
        self._held: dict[str, FinanceEvent] = {}
        self._order = itertools.count(1)
        self._ordered = False
        """Whether the next batch has to hold everything that is queued, in order."""
        self._waiters = 0
        self._never_signed: set[str] = set()
        """Nonces of reservations whose callers were told that they may not be stored."""
        self._storing = False
        self._server: asyncio.Task[None] | None = None
        self._timer: asyncio.Task[None] | None = None
        self._closed = False

    # --- ways in ----------------------------------------------------------------------------------------------------

    async def reserve(self, decide: Decide) -> Reserved:
        """Take a decision and return when it is on disk. What `decide` raises is raised; a JournalError means that the
        intent may or may not be stored, and then nothing may be signed."""
        self._check_open()
        decided = decide()
        if isinstance(decided, Payment) and (self._noted or self._storing):
            await self.flush()  # it may be on its way only, or about to be given back
            decided = decide()
        if isinstance(decided, Payment):
            return Reserved(decided, created=False)
        entry = self._entry(decided, done=self._future(), decide=decide)
        self._ordered = self._ordered or decided.attempt > 1
        reserved = await self._enter(entry)
        assert reserved is not None
        return reserved

    async def record(self, event: FinanceEvent) -> None:
        """Fold an event in and return when it is on disk."""
        self._check_open()
        if self._held:
            self._note_held(event)
        self._ordered = True
        await self._enter(self._entry(event, done=self._future()))

    def note(self, event: FinanceEvent) -> None:
        """Fold an event in now and store it soon. After `aclose` nothing is noted any more: what is on disk counts, and is
        found out like after a crash."""
        if self._closed:
            return
        if self._held:
            self._note_held(event)
        self._noted.append(self._entry(event))
        self._ordered = self._ordered or isinstance(event, PaymentReleased)
        self._wake()

    def hold(self, payment_id: str, event: FinanceEvent) -> None:
        """Note an event about a payment when the next one about it comes, or soon; never, if that says that it is over."""
        if self._closed:
            return
        self._held[payment_id] = event
        self._wake()

    def _note_held(self, next_event: FinanceEvent | None) -> None:
        """Note what is held about the payment of the next event, or (None) everything."""
        if next_event is None:
            held, self._held = self._held, {}
            self._noted += [self._entry(event) for event in held.values()]
            return
        event = self._held.pop(getattr(next_event, "payment_id", ""), None)
        if event is not None and not isinstance(next_event, PaymentSettled | PaymentReleased):
            self._noted.append(self._entry(event))

    async def catch_up(self) -> None:
        """Read what other processes wrote since."""
        self._stale = True
        await self.flush(even_if_idle=True)

    async def flush(self, *, even_if_idle: bool = False) -> None:
        """Return when everything noted so far is on disk."""
        self._note_held(None)
        if self._noted or self._storing or even_if_idle:
            self._ordered = True
            await self._enter(_Entry(done=self._future()))

    async def aclose(self) -> None:
        """Store what waits, then stop. What can't be stored is raised."""
        if self._closed:
            return
        try:
            await self.flush()
        finally:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()

    # --- the queue --------------------------------------------------------------------------------------------------

    def _entry(
        self,
        event: FinanceEvent,
        *,
        done: asyncio.Future[Reserved | None] | None = None,
        decide: Decide | None = None,
    ) -> _Entry:
        entry = _Entry(event, timestamp_us=self._clock.now_us(), done=done, decide=decide)
        entry.came = next(self._order)
        entry.changes = self.state.apply(event, entry.timestamp_us)
        return entry

    async def _enter(self, entry: _Entry) -> Reserved | None:
        """Queue an entry and wait until it is stored: by storing it, when nobody else is at it."""
        assert entry.done is not None
        self._awaited.append(entry)
        self._waiters += 1
        if not self._storing:
            await self._store(entry)
        try:
            return await entry.done
        except asyncio.CancelledError:
            # Stored in the very moment in which the caller was cancelled: nobody will sign it.
            if not entry.done.cancelled() and entry.done.exception() is None:
                self._give_back(entry.done.result())
            raise

    def _tell(self, entry: _Entry, payment: Payment | None) -> None:
        """An entry is stored (or `payment` stood already). A caller that went away leaves a reservation that nobody will
        ever sign: it is given back."""
        if entry.done is None:
            return
        self._waiters -= 1
        reserved = None if payment is None else Reserved(payment, created=False)
        if reserved is None and isinstance(entry.finance, PaymentReserved):
            stored = self.state.payment(entry.finance.payment_id)
            reserved = None if stored is None else Reserved(stored, created=True)
        if entry.done.done():
            self._give_back(reserved)
        else:
            entry.done.set_result(reserved)

    def _give_back(self, reserved: Reserved | None) -> None:
        if reserved is not None and reserved.created:
            self.note(PaymentReleased(payment_id=reserved.payment.payment_id, reason="abandoned_before_signing"))

    def _refuse(self, entry: _Entry, error: Exception) -> None:
        self._waiters -= 1
        if entry.done is not None and not entry.done.done():
            entry.done.set_exception(error)

    # --- storing ----------------------------------------------------------------------------------------------------

    async def _store(self, own: _Entry | None) -> None:
        """Store what is queued, batch by batch, until `own` is; whoever still waits then is served by a task. When the
        caller is cancelled in the middle, the others are served by a task, too."""
        self._storing = True
        conflict_at = -1
        try:
            while self._waiters and (own is None or own.done is None or not own.done.done()):
                if self._stale:
                    await self._read_again()
                try:
                    await self._append()
                except (SequenceConflictError, EventConflictError):
                    # When reading again brought nothing new it was no race: an id is taken by something long read.
                    if conflict_at == self._head and not await self._drop_stored():
                        raise
                    conflict_at = self._head
                    self._stale = True
        except asyncio.CancelledError:
            self._stale = True
            if own is not None and own.done is not None:
                own.done.cancel()
            self._hand_over(own)
            raise
        except Exception as error:
            self._fail(error)
        self._hand_over(own)

    def _hand_over(self, own: _Entry | None) -> None:
        """The caller goes its way; a task serves those who still wait."""
        self._storing = bool(self._waiters) and own is not None
        if self._storing:
            self._server = asyncio.get_running_loop().create_task(self._store(None))

    def _take_batch(self) -> list[_Entry]:
        """What is stored next: everything in order, or, when nothing depends on the order, only what is awaited."""
        if self._ordered or len(self._noted) > _MANY:
            self._ordered = False
            return self._take_all()
        batch, self._awaited = self._awaited, []
        return batch

    def _take_all(self) -> list[_Entry]:
        """Everything that waits, in the order in which it came."""
        everything = self._noted + self._awaited
        everything.sort(key=_came)
        self._noted, self._awaited = [], []
        return everything

    def _put(self, entry: _Entry) -> None:
        (self._noted if entry.done is None else self._awaited).append(entry)

    async def _append(self) -> None:
        batch = self._take_batch()
        events = [self._event_of(entry) for entry in batch if entry.finance is not None]
        try:
            if events:
                await self._append_events(events)
        except BaseException:
            self._ordered = True
            for entry in batch:
                self._put(entry)
            raise
        for entry in batch:
            self._tell(entry, None)

    async def _append_events(self, events: list[NewEvent]) -> None:
        stored = await self._journal.append(events, expected={self._stream: self._head})
        head = self._head + sum(not event.duplicate for event in stored)
        last = max(event.sequence for event in stored)
        if last > head:  # all of it was there already, behind what was read so far
            raise SequenceConflictError(*self._stream, expected=self._head, actual=last)
        self._head = head

    async def _drop_stored(self) -> bool:
        """Let go of entries whose id is taken in the journal by an event that was read before; whether there were any."""
        self._take_back()
        taken: set[_Entry] = set()
        for entry in self._noted + self._awaited:
            if entry.stored is not None and await self._journal.get(entry.stored.event_id) is not None:
                taken.add(entry)
        for entry in self._take_all():
            if entry not in taken:
                self._put(entry)
            elif entry.decide is None:
                self._tell(entry, None)
            else:
                self._refuse(entry, EventConflictError(entry.stored.event_id if entry.stored is not None else ""))
        return bool(taken)

    def _event_of(self, entry: _Entry) -> NewEvent:
        if entry.stored is None:
            assert entry.finance is not None
            entry.stored = finance_event(
                entry.finance,
                self._clock,
                self._entropy,
                stream=self._stream,
                agent_id=self._agent_id,
                event_id=self._id_of(entry.finance),
                timestamp_us=entry.timestamp_us,
            )
        return entry.stored

    def _take_back(self) -> None:
        """Undo everything that is not stored, newest first."""
        for entry in sorted(self._noted + self._awaited, key=_came, reverse=True):
            self.state.take_back(entry.changes)
            entry.changes = []

    def _fold_again(self, entry: _Entry) -> None:
        entry.came = next(self._order)
        entry.changes = self.state.apply(entry.finance, entry.timestamp_us)
        self._put(entry)

    async def _read_again(self) -> None:
        """Take back what is not stored, read what is, and decide again on everything that waits."""
        self._take_back()
        seen: set[str] = set()
        orphans: list[str] = []
        more = True
        while more:
            query = EventQuery(self._stream.session_id, self._stream.branch_id, after_sequence=self._head)
            records = await self._journal.read(query, limit=_PAGE)
            self._take_back()  # what came while the journal was being read
            for record in records:
                event = read_finance(record)
                self.state.apply(event, record.timestamp_us)
                self._head = record.sequence
                seen.add(record.event_id)
                if isinstance(event, PaymentReserved) and event.nonce in self._never_signed:
                    self._never_signed.discard(event.nonce)
                    orphans.append(event.payment_id)
            more = len(records) == _PAGE
        self._stale = False
        waiting = self._take_all()
        for payment_id in orphans:
            self.note(PaymentReleased(payment_id=payment_id, reason="never_signed"))
        for entry in waiting:
            self._enter_again(entry, seen)

    def _enter_again(self, entry: _Entry, seen: set[str]) -> None:
        if entry.stored is not None and entry.stored.event_id in seen and not self._taken(entry):
            self._tell(entry, None)
            return
        if entry.decide is not None:
            assert entry.done is not None
            if entry.done.cancelled():
                self._waiters -= 1
                return
            try:
                decided = entry.decide()
            except Exception as error:  # whatever it raises to refuse belongs to its caller
                self._refuse(entry, error)
                return
            if isinstance(decided, Payment):
                self._tell(entry, decided)
                return
            entry.finance, entry.stored = decided, None
            entry.timestamp_us = self._clock.now_us()
        self._fold_again(entry)

    def _taken(self, entry: _Entry) -> bool:
        """Whether the reservation stored under this id is somebody else's and not this very entry."""
        if not isinstance(entry.finance, PaymentReserved):
            return False
        stored = self.state.payment(entry.finance.payment_id)
        return stored is None or stored.reserved.nonce != entry.finance.nonce

    def _fail(self, error: Exception) -> None:
        """The journal did not take a batch, or nobody knows. Whoever waits is told; notes stay queued for later."""
        if not isinstance(error, LifeError):
            unknown = JournalUnavailableError("The journal failed.")
            unknown.__cause__ = error
            error = unknown
        self._take_back()
        self._stale = True
        for entry in self._take_all():
            if entry.done is None:
                self._fold_again(entry)
                continue
            if isinstance(entry.finance, PaymentReserved):
                self._never_signed.add(entry.finance.nonce)
            self._refuse(entry, error)
        if self._noted and not self._closed:
            self._wake()

    def _set_timer(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().create_task(self._store_later())

    async def _store_later(self) -> None:
        delay_us = self._ride_along_us
        while True:
            await self._clock.sleep_us(delay_us)
            if not (self._noted or self._held) or self._closed:
                break
            try:
                await self.flush()
                break
            except JournalError:
                # The notes are still queued. A new reservation meets the same error, so nothing is signed meanwhile.
                delay_us = _RETRY_US
        self._timer = None

    def _future(self) -> asyncio.Future[Reserved | None]:
        return asyncio.get_running_loop().create_future()

    def _check_open(self) -> None:
        if self._closed:
            raise JournalUnavailableError("The wallet's books are closed.")


def _came(entry: _Entry) -> int:
    return entry.came
