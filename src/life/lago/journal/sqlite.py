"""The journal on disk: an SQLite file that several processes may share.

Appends are committed in groups: whatever waits goes into one transaction, and every caller gets an answer once its bytes
are on disk. Two hosts run the same code (life.lago.journal.store):

    in_loop   the transaction runs in the event loop; nothing else runs meanwhile. For the command line, tests, libraries.
    process   it runs in a writer process behind a socket pair. For daemons: a busy event loop costs it nothing.

A thread is not offered: beside a busy event loop it starves (performance.md §1.4). Reads happen in the loop on a
connection of their own, in pages. Events of other processes are noticed by looking at the file's data version every 25
milliseconds of real time, while somebody subscribes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Literal, Protocol

from life.aios.errors import JournalError, JournalUnavailableError
from life.aios.ports.clock import Clock
from life.aios.ports.journal import Appended, EventQuery, Head
from life.aios.record import EventRecord, NewEvent, Stream
from life.lago.journal import acknowledged, chain, schema
from life.lago.journal.admission import Admission
from life.lago.journal.adoption import adopt_digest
from life.lago.journal.entries import Batch, Placed
from life.lago.journal.loop_writer import LoopWriter
from life.lago.journal.process_writer import ProcessWriter
from life.lago.journal.reader import Reader
from life.lago.journal.subscription import Bells, Subscription, check_limit, check_query
from life.lago.journal.verification import Verified, verify_file, verify_recent

WriterHost = Literal["in_loop", "process"]

LOOK_INTERVAL_S: Final = 0.025
"""How often a journal with subscribers looks for events of other processes."""


_new: Final = tuple.__new__


class Writer(Protocol):
    """Where batches are committed."""

    @property
    def process_id(self) -> int | None:
        """The process that commits, when it is not this one."""
        ...

    def submit(self, batch: Batch) -> asyncio.Future[list[Placed]]:
        """Commit the batch with whatever else waits; the answer comes once it is on disk."""
        ...

    async def aclose(self) -> None:
        """Finish what waits and stop."""
        ...


class SqliteJournal:
    """A journal in one SQLite file (life.aios.ports.journal.Journal). Made by `SqliteJournal.open`."""

    def __init__(self, path: Path, reader: Reader, writer: Writer) -> None:
        self._path = path
        self._reader = reader
        self._writer = writer
        self._submit = writer.submit
        self._admission = Admission()
        self._bells = Bells(self._listen)
        self._look: asyncio.TimerHandle | None = None
        self._seen_version = 0
        self._seen_position = 0
        self._closed = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path | str,
        *,
        clock: Clock,
        writer: WriterHost = "in_loop",
        verify: bool | Literal["recent"] = "recent",
        warm_log: bool | None = None,
    ) -> AsyncIterator[SqliteJournal]:
        """Open the journal at `path`, and make it (file mode 0600) if there is none; its folder must exist.

        Opening finds out whether acknowledged events are missing at the end (JournalFileDamagedError), and checks events
        against the chain of digests (JournalDamagedError names the first that is wrong): all of a journal with up to
        10,000; of a larger one those that a crash may have harmed, some thousands at most and none after a clean end,
        however many it holds. With `verify=True` all of them are checked, which takes about two seconds per million; with
        False none. `verify` checks at any other time.
        `warm_log` grows the WAL to its 16 MB at once, which makes the first few thousand commits faster; by default that
        is done for a writer process only.

        JournalFormatError for a file that is no journal or a newer one, JournalUnavailableError when it can't be opened.
        """
        path = Path(path)
        schema.create(path, created_us=clock.now_us())
        if verify:
            await asyncio.to_thread(verify_recent if verify == "recent" else verify_file, path)
        warm = writer == "process" if warm_log is None else warm_log
        reader = Reader(path)
        try:
            host = await _start_writer(path, writer, warm=warm)
        except BaseException:
            reader.close()
            raise
        journal = cls(path, reader, host)
        try:
            yield journal
        finally:
            await journal.aclose()

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def listeners(self) -> int:
        """How many subscriptions are open."""
        return len(self._bells)

    @property
    def writer_process_id(self) -> int | None:
        """The writer process, where there is one."""
        return self._writer.process_id

    async def aclose(self) -> None:
        """Finish what was appended, then close the file. Subscriptions end with JournalUnavailableError."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._writer.aclose()
        finally:
            self._bells.fail(_closed_error())
            self._reader.close()
            acknowledged.discard(self._path)

    async def append(
        self, events: Sequence[NewEvent], *, expected: Mapping[Stream, int] | None = None
    ) -> list[Appended]:
        """See life.aios.ports.journal.Journal.

        A batch whose events are all stored already is answered with their places, whatever `expected` says: that is what
        makes it safe to append again after a crash.
        """
        if self._closed:
            raise _closed_error()
        batch = self._admission.admit(events, expected)
        if not batch[0] and not batch[1]:
            return []
        placed = await self._submit(batch)
        if placed and self._bells:
            self._announce(batch, placed)
        # tuple.__new__ makes an Appended in half the time
        if len(placed) == 1:
            sequence, position, digest, duplicate = placed[0]
            return [_new(Appended, (sequence, position, digest.hex(), duplicate))]
        return [_new(Appended, (one[0], one[1], one[2].hex(), one[3])) for one in placed]

    async def read(self, query: EventQuery, *, limit: int = 500) -> list[EventRecord]:
        """See life.aios.ports.journal.Journal."""
        query, limit = check_query(query), check_limit(limit)
        records: list[EventRecord] = []
        more = True
        while more and len(records) < limit:
            if self._closed:
                raise _closed_error()
            found, query, more = self._reader.scan(query, limit - len(records))
            records = records + found if records else found
            if more and len(records) < limit:
                await asyncio.sleep(0)
        return records

    async def get(self, event_id: str) -> EventRecord | None:
        """See life.aios.ports.journal.Journal."""
        if self._closed:
            raise _closed_error()
        return self._reader.get(event_id)

    async def head(self, stream: Stream) -> Head:
        """See life.aios.ports.journal.Journal."""
        if self._closed:
            raise _closed_error()
        return self._reader.head(stream)

    async def streams(self, session_id: str | None = None) -> list[Stream]:
        """See life.aios.ports.journal.Journal."""
        if self._closed:
            raise _closed_error()
        return self._reader.streams(session_id)

    def subscribe(self, query: EventQuery) -> Subscription:
        """See life.aios.ports.journal.Journal. A query with `before_sequence` ends there."""
        if self._closed:
            raise _closed_error()
        return Subscription(self._bells, self._reader.scan, query)

    async def last_position(self) -> int:
        """The position of the newest event, which is also how many there are."""
        if self._closed:
            raise _closed_error()
        return self._reader.last_position()

    async def verify(self, *, after_position: int = 0, on_progress: Callable[[int], None] | None = None) -> Verified:
        """Check the stored events behind a position against the chain, in a thread; JournalDamagedError at the first that is wrong."""
        if self._closed:
            raise _closed_error()
        return await asyncio.to_thread(verify_file, self._path, after_position=after_position, on_progress=on_progress)

    async def adopt_digest(self, event_id: str, digest: str) -> None:
        """Give the redacted event that was just imported its true digest (life.lago.journal.adoption)."""
        if self._closed:
            raise _closed_error()
        await asyncio.to_thread(adopt_digest, self._path, event_id, bytes.fromhex(digest))

    def _announce(self, batch: Batch, placed: list[Placed]) -> None:
        """Wake those who wait for these streams. If others wrote in between, look for their events as well."""
        first, last = placed[0][1], placed[-1][1]
        if first == self._seen_position + 1 and last == first + len(placed) - 1:
            self._seen_position = last
        self._bells.ring({Stream(*chain.place_fields(entry[0])) for entry in batch[0]})

    def _listen(self, anybody: bool) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if anybody and not self._closed:
            self._seen_version = self._reader.data_version()
            self._seen_position = self._reader.last_position()
            self._look = asyncio.get_running_loop().call_later(LOOK_INTERVAL_S, self._look_for_others)

    def _look_for_others(self) -> None:
        try:
            version = self._reader.data_version()
            if version != self._seen_version:
                self._seen_version = version
                last = self._reader.last_position()
                if last > self._seen_position:
                    after, self._seen_position = self._seen_position, last
                    self._bells.ring(self._reader.streams_between(after, last))
        except Exception as error:
            failure = error if isinstance(error, JournalError) else JournalUnavailableError(str(error))
            self._bells.fail(failure)
            return
        self._look = asyncio.get_running_loop().call_later(LOOK_INTERVAL_S, self._look_for_others)


async def _start_writer(path: Path, writer: WriterHost, *, warm: bool) -> Writer:
    if writer == "process":
        return await ProcessWriter.start(path, warm=warm)
    return LoopWriter(path, warm=warm)


def _closed_error() -> JournalUnavailableError:
    return JournalUnavailableError("The journal is closed.")
