"""Whose a session is, making one, and keeping to quotas.

The projection is read up to the journal's end before a quota is judged, and an owner's writes wait for each other, so two requests at
once do not both take the last of it. Calls are counted in memory and journaled every hundred, at the turn of the hour and at the end: a crash
forgets at most ninety-nine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from life.aios.errors import ConflictError, NotFoundError, SequenceConflictError
from life.aios.events import SessionCreated
from life.aios.events.codec import custom
from life.aios.ids import check_id, derived_event_id, new_id
from life.aios.json import Json
from life.aios.ports.blobs import BlobInfo
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.snapshots import Snapshots
from life.aios.record import EventRecord, EventWriter, Stream
from life.lago.errors import NotOwnerError, QuotaExceededError
from life.lago.owners.events import (
    BLOB_STORED,
    BLOBS_STREAM,
    CALLS_COUNTED,
    CALLS_STREAM,
    BlobStored,
    CallsCounted,
    owner_of,
)
from life.lago.owners.names import OPERATOR, OWN_PREFIX, check_name, is_public, is_reserved, owner_by_name, session_type
from life.lago.owners.quotas import Quota
from life.lago.owners.state import HOUR_US, Owned, OwnerProjection, Use, month_of
from life.lago.projection import ProjectionRunner

_CALLS_AT_ONCE: Final = 100
_SNAPSHOT_EVENTS: Final = 20_000
_KEPT_OWNERS: Final = 65_536


class SessionInfo(NamedTuple):
    """A session as its first event tells it."""

    session_id: str
    name: str
    owner: str
    created_at_us: int
    config: Json


class Owners:
    """Belongs to one event loop. Close it, to journal what was counted and keep a snapshot."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        entropy: Entropy,
        *,
        quota_of: Callable[[str], Quota],
        snapshots: Snapshots | None = None,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._quota_of = quota_of
        self._runner = ProjectionRunner(journal, OwnerProjection(), snapshots, snapshot_events=_SNAPSHOT_EVENTS)
        self._reading = asyncio.Lock()
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}
        self._known: dict[str, str] = {}
        self._calls: dict[str, tuple[int, int]] = {}
        """By owner: the hour, and calls in it that are not journaled yet."""

    async def read(self) -> Owned:
        """Everything as of the journal's end."""
        async with self._reading:
            return await self._runner.catch_up()

    async def use(self, owner: str) -> Use:
        """What an owner uses now: of this month and this hour."""
        found = (await self.read()).use_of(owner)
        now_us = self._clock.now_us()
        hour, waiting = self._calls.get(owner, (0, 0))
        current = now_us // HOUR_US
        return Use(
            sessions=found.sessions,
            bytes=found.bytes,
            month=month_of(now_us),
            events=found.events if found.month == month_of(now_us) else 0,
            hour=current,
            calls=(found.calls if found.hour == current else 0) + (waiting if hour == current else 0),
        )

    async def aclose(self) -> None:
        """Journal the calls that were counted, and keep a snapshot."""
        for owner in list(self._calls):
            await self._journal_calls(owner)
        await self.read()
        await self._runner.save()

    # ---- sessions

    async def info(self, session_id: str) -> SessionInfo:
        """A session by its first event; NotFoundError."""
        first = await self._first(session_id)
        if first is None:
            raise NotFoundError("There is no such session.", details={"session_id": session_id[:255]})
        return info_of(first)

    async def owner(self, session_id: str) -> str:
        """Whose a session is; NotFoundError."""
        known = self._known.get(session_id)
        if known is None:
            known = (await self.info(session_id)).owner
            if len(self._known) >= _KEPT_OWNERS:
                self._known.clear()
            self._known[session_id] = known  # a session's first event never changes
        return known

    async def require(self, session_id: str, caller: str, *, write: bool) -> str:
        """The owner, when the caller may read (or write) the session. NotFoundError otherwise: what is somebody else's does not even
        exist for others."""
        check_id(session_id, what="session id")
        if session_id.startswith(OWN_PREFIX) and (write or caller != OPERATOR):
            raise NotFoundError("There is no such session.", details={"session_id": session_id})
        owner = await self.owner(session_id)
        if caller not in (OPERATOR, owner) and (write or not is_public(session_id)):
            raise NotFoundError("There is no such session.", details={"session_id": session_id})
        return owner

    async def create(
        self,
        name: str,
        caller: str,
        *,
        agent_id: str,
        session_id: str | None = None,
        config: dict[str, Json] | None = None,
    ) -> SessionInfo:
        """Make a session. A reserved name is its id, belongs to whom it names, and only they (or the operator for them) make it.

        NotOwnerError; ConflictError when it is there; QuotaExceededError.
        """
        check_name(name)
        owner = owner_by_name(name) or caller
        if caller not in (OPERATOR, owner):
            raise NotOwnerError("A session of this name belongs to somebody else.")
        if is_reserved(name):
            session_id = name
        elif session_id is None:
            session_id = new_id(self._clock, self._entropy)
        elif check_id(check_name(session_id), what="session id") != name and is_reserved(session_id):
            raise NotOwnerError("A reserved session id is its session's name, too.")
        settings: dict[str, Json] = {**(config or {}), "owner": owner, "session_type": session_type(name)}
        stream = Stream(session_id)
        writer = EventWriter(self._clock, self._entropy, agent_id=agent_id, stream=stream)
        event = writer.event(SessionCreated(name=name, config=settings))
        async with self.within(owner, events=1, size_bytes=len(event.payload), sessions=1):
            if await self._first(session_id) is not None:
                raise _taken(session_id)
            try:
                await self._journal.append([event], expected={stream: 0})
            except SequenceConflictError:
                raise _taken(session_id) from None
        return SessionInfo(session_id, name, owner, event.timestamp_us, settings)

    # ---- blobs

    async def put_blob(self, owner: str, blob: BlobInfo) -> None:
        """The owner may read this blob from now on, and has paid for it."""
        stored = BlobStored(owner=owner, blob=blob.hash, size_bytes=blob.size_bytes)
        writer = EventWriter(self._clock, self._entropy, agent_id="lagod", stream=BLOBS_STREAM)
        await self._journal.append([writer.event(custom(BLOB_STORED, stored), event_id=_blob_claim(owner, blob.hash))])

    async def may_read_blob(self, owner: str, blob: str) -> bool:
        """Whether the owner has put it. The operator may read all."""
        return owner == OPERATOR or await self._journal.get(_blob_claim(owner, blob)) is not None

    # ---- quotas

    @asynccontextmanager
    async def within(
        self, owner: str, *, events: int = 0, size_bytes: int = 0, sessions: int = 0
    ) -> AsyncIterator[None]:
        """Do a write in the block; QuotaExceededError when it would be more than the owner may use."""
        quota = self._quota_of(owner)
        if owner == OPERATOR or quota == Quota():
            yield
            return
        lock, waiting = self._turns.get(owner, (asyncio.Lock(), 0))
        self._turns[owner] = (lock, waiting + 1)
        try:
            async with lock:
                use = await self.use(owner)
                _check(owner, "events_per_month", use.events + events, quota.events_per_month)
                _check(owner, "bytes", use.bytes + size_bytes, quota.bytes)
                _check(owner, "sessions", use.sessions + sessions, quota.sessions if sessions else None)
                yield
        finally:
            lock, waiting = self._turns[owner]
            if waiting == 1:
                del self._turns[owner]
            else:
                self._turns[owner] = (lock, waiting - 1)

    async def count_call(self, owner: str) -> None:
        """One more call of an owner in this hour; QuotaExceededError when it is one too many."""
        quota = self._quota_of(owner)
        if owner == OPERATOR or quota.calls_per_hour is None:
            return
        hour = self._clock.now_us() // HOUR_US
        if self._calls.get(owner, (hour, 0))[0] != hour:
            await self._journal_calls(owner)
        use = await self.use(owner)
        wait_s = 3600 - self._clock.now_us() // 1_000_000 % 3600
        _check(owner, "calls_per_hour", use.calls + 1, quota.calls_per_hour, retry_after_s=wait_s)
        since, counted = self._calls.get(owner, (hour, 0))
        self._calls[owner] = (hour, counted + 1 if since == hour else 1)
        if counted + 1 >= _CALLS_AT_ONCE:
            await self._journal_calls(owner)

    async def _journal_calls(self, owner: str) -> None:
        hour, calls = self._calls.pop(owner, (0, 0))
        if calls:
            writer = EventWriter(self._clock, self._entropy, agent_id="lagod", stream=CALLS_STREAM)
            counted = CallsCounted(owner=owner, hour=hour, calls=calls)
            await self._journal.append([writer.event(custom(CALLS_COUNTED, counted))])

    async def _first(self, session_id: str) -> EventRecord | None:
        """The first event of a session: of main, or of whichever branch there is."""
        page = await self._journal.read(EventQuery(session_id, "main", before_sequence=2), limit=1)
        if not page:
            page = await self._journal.read(EventQuery(session_id), limit=1)
        return page[0] if page else None


def info_of(first: EventRecord) -> SessionInfo:
    """A session as its first event tells it."""
    kind = first.kind
    created = isinstance(kind, SessionCreated)
    return SessionInfo(
        first.session_id,
        kind.name if isinstance(kind, SessionCreated) and created else first.session_id,
        owner_of(kind) or OPERATOR,
        first.timestamp_us,
        kind.config if isinstance(kind, SessionCreated) else None,
    )


def _check(owner: str, what: str, wanted: int, limit: int | None, *, retry_after_s: int | None = None) -> None:
    if limit is not None and wanted > limit:
        raise QuotaExceededError(owner, what, limit, retry_after_s=retry_after_s)


def _blob_claim(owner: str, blob: str) -> str:
    return derived_event_id("lago.blob_stored", owner, blob)


def _taken(session_id: str) -> ConflictError:
    return ConflictError("There is a session of this name or id.", details={"session_id": session_id})
