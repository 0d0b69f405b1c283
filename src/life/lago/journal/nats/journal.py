"""The journal on NATS JetStream (life.aios.ports.journal.Journal), shared by as many processes and machines as you like.

    async with NatsJournal.open(access, name="journal", entropy=entropy, replicas=3) as journal:
        await journal.append(events)

An append is acknowledged when the servers have acknowledged the atomic batch that holds it. What that means depends on
the servers: with three replicas and `sync_interval: always` the events are on the disks of a majority. `durability` says
what was found; by default a journal that may lose what it acknowledged is not opened at all (docs/journal-nats.md).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Literal

from life.aios.errors import InvalidInputError, JournalUnavailableError, MalformedEventError
from life.aios.ports.clock import Entropy
from life.aios.ports.journal import Appended, EventQuery, Head
from life.aios.record import EventRecord, NewEvent, Stream
from life.lago.journal.admission import Admission
from life.lago.journal.nats.access import NatsAccess
from life.lago.journal.nats.committer import Committer
from life.lago.journal.nats.connection import Connection, connect
from life.lago.journal.nats.reader import Reader
from life.lago.journal.nats.stream import Durability, ensure_stream, judge, require
from life.lago.journal.nats.subjects import Subjects
from life.lago.journal.nats.subscription import Bells, LiveSubscription
from life.lago.journal.nats.verification import Verified, verify_journal
from life.lago.journal.subscription import check_limit, check_query

PATIENCE_S: Final = 15.0
"""How long a call waits for a majority of the servers: longer than the election of a new leader takes."""

_ENVELOPE_BYTES: Final = 8 * 2**10
"""More than ids, headers and the description of an event can take."""


class NatsJournal:
    """A journal in one JetStream stream. Made by `NatsJournal.open`."""

    def __init__(
        self, connection: Connection, subjects: Subjects, durability: Durability, entropy: Entropy, patience_s: float
    ) -> None:
        self._connection = connection
        self._subjects = subjects
        self._reader = Reader(connection, subjects)
        self._committer = Committer(connection, self._reader, subjects, entropy, patience_s)
        self._admission = Admission()
        self._bells = Bells(connection, subjects)
        self._closed = False
        self.durability = durability
        """What an acknowledgement means on these servers."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        access: NatsAccess,
        *,
        entropy: Entropy,
        name: str = "journal",
        replicas: int = 3,
        durability: Literal["require", "accept"] = "require",
        patience_s: float = PATIENCE_S,
    ) -> AsyncIterator[NatsJournal]:
        """Open the journal of this name, and make its stream with so many replicas (1, 3 or 5) if there is none.

        With durability `require`, JournalNotDurableError unless the stream has the replicas and every server that keeps it
        says that it flushes before it acknowledges; that takes a system user in `access`. `accept` opens it all the same,
        and `journal.durability` has the doubts. StreamUnfitError for a stream that is no journal,
        JournalUnavailableError when no server answers within `patience_s`.
        """
        if replicas not in (1, 3, 5):
            raise InvalidInputError("A journal on NATS has 1, 3 or 5 replicas.")
        subjects = Subjects(name)
        opened: list[NatsJournal] = []
        connections: list[Connection] = []

        def broken() -> None:
            for connection in connections:
                connection.broken()

        def reconnected() -> None:
            for journal in opened:
                journal._bells.ring_all()

        def given_up() -> None:
            for journal in opened:
                journal._bells.fail(_closed_error())

        async with connect(
            access,
            name=f"life journal {name}",
            patience_s=patience_s,
            on_break=broken,
            on_reconnect=reconnected,
            on_close=given_up,
        ) as client:
            connection = Connection(client, name, patience_s)
            connections.append(connection)
            await connection.listen()
            info = await connection.patiently(lambda: ensure_stream(connection, subjects, replicas=replicas))
            found = await judge(info, access, replicas=replicas, patience_s=patience_s)
            if durability == "require":
                require(found)
            journal = cls(connection, subjects, found, entropy, patience_s)
            opened.append(journal)
            await journal._committer.contention.listen()
            try:
                yield journal
            finally:
                await journal.aclose()

    @property
    def name(self) -> str:
        """The journal's name, which is its stream's."""
        return self._subjects.name

    @property
    def connection(self) -> Connection:
        """The connection, for questions to the servers that no journal answers."""
        return self._connection

    @property
    def listeners(self) -> int:
        """How many subscriptions have begun to listen."""
        return len(self._bells)

    async def aclose(self) -> None:
        """Finish what was appended. Subscriptions end with JournalUnavailableError."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._committer.aclose()
        finally:
            self._bells.fail(_closed_error())
            self._connection.broken()
            await self._bells.aclose()

    async def append(
        self, events: Sequence[NewEvent], *, expected: Mapping[Stream, int] | None = None
    ) -> list[Appended]:
        """See life.aios.ports.journal.Journal.

        OutcomeUnknownError, a JournalUnavailableError, when no majority answered in time: the batch is there whole or not
        at all, and appending it again is safe. BatchTooLargeError and MalformedEventError for what the servers' limits on
        batches and messages exclude.
        """
        self._check_open()
        batch = self._admission.admit(events, expected)
        largest = self._connection.max_message_bytes - _ENVELOPE_BYTES
        for event in events:
            if len(event.payload) > largest:
                raise MalformedEventError(
                    f"The payload has {len(event.payload)} bytes; the NATS server takes {largest}.",
                    next_step="Put large content into the blob store, or raise `max_payload` on the servers.",
                )
        if not batch[0] and not batch[1]:
            return []
        placed = await self._committer.submit(batch)
        return [
            Appended(sequence, position, digest.hex(), duplicate) for sequence, position, digest, duplicate in placed
        ]

    async def read(self, query: EventQuery, *, limit: int = 500) -> list[EventRecord]:
        """See life.aios.ports.journal.Journal."""
        query, limit = check_query(query), check_limit(limit)
        self._check_open()
        return await self._connection.patiently(lambda: self._reader.read(query, limit))

    async def get(self, event_id: str) -> EventRecord | None:
        """See life.aios.ports.journal.Journal."""
        self._check_open()
        message = (await self._connection.patiently(lambda: self._reader.find(event_id))).message
        return None if message is None else self._reader.record(message)

    async def head(self, stream: Stream) -> Head:
        """See life.aios.ports.journal.Journal."""
        self._check_open()
        head = await self._connection.patiently(lambda: self._reader.head(stream))
        return Head(head.sequence, head.digest.hex())

    async def streams(self, session_id: str | None = None) -> list[Stream]:
        """See life.aios.ports.journal.Journal."""
        self._check_open()
        return await self._connection.patiently(lambda: self._reader.streams(session_id))

    def subscribe(self, query: EventQuery) -> LiveSubscription:
        """See life.aios.ports.journal.Journal. A query with `before_sequence` ends there."""
        self._check_open()
        return LiveSubscription(self._bells, self._reader, self._subjects, query)

    async def verify(self) -> Verified:
        """Check every stored message against the chains of digests and the ids; JournalDamagedError at the first that is wrong."""
        self._check_open()
        return await verify_journal(self._connection, self._subjects)

    def _check_open(self) -> None:
        if self._closed:
            raise _closed_error()


def _closed_error() -> JournalUnavailableError:
    return JournalUnavailableError("The journal is closed.")
