"""Checking a whole journal on NATS: every event against the chain of its stream, its id and its mark.

The journal is read once, in the order of its positions, in pages. The first thing that is wrong is a JournalDamagedError
with the stream, the sequence, and what was expected and found. Nothing is repaired and nothing is left out.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from life.aios.errors import JournalDamagedError
from life.aios.record import Stream
from life.lago.journal import chain
from life.lago.journal.nats.connection import Connection, Page, UnreachableError
from life.lago.journal.nats.messages import Descriptions, Message
from life.lago.journal.nats.reader import PAGE_EVENTS
from life.lago.journal.nats.subjects import MARK_EVERY, Subjects, stream_of


class Verified(NamedTuple):
    """How much was found to be in order."""

    events: int
    streams: int


async def verify_journal(connection: Connection, subjects: Subjects) -> Verified:
    """Check everything that is stored now. Memory grows with the number of streams, not of events."""
    verification = _Verification(subjects)
    newest = await connection.patiently(lambda: connection.last(subjects.events(None, None)))
    end = 0 if newest is None else newest.position
    position = 0
    while position < end:
        page = await connection.patiently(partial(_page, connection, subjects, position))
        for message in page.messages:
            if message.position <= end:
                verification.check(message)
        position = page.messages[-1].position
    return verification.verified


async def _page(connection: Connection, subjects: Subjects, position: int) -> Page:
    """The next messages, which are known to be there."""
    page = await connection.page(f"{subjects.name}.>", position + 1, PAGE_EVENTS)
    if not page.messages:
        raise UnreachableError("the servers that answer lag behind the leader")
    return page


class _Verification:
    """What the messages so far say about the next one."""

    def __init__(self, subjects: Subjects) -> None:
        self._subjects = subjects
        self._descriptions = Descriptions()
        self._ends: dict[Stream, tuple[int, str]] = {}
        self._identity: Message | None = None
        self._mark: str | None = None
        self._events = 0

    def check(self, message: Message) -> None:
        """One message, in order. An id or a mark without its event is vacant, and harmless (see Reader.find)."""
        part = message.subject.split(".")[1]
        if part == "e":
            self._check_event(message)
            return
        if part == "i":
            self._identity = message
        elif part == "m":
            self._mark = message.subject

    @property
    def verified(self) -> Verified:
        """How much there was."""
        return Verified(self._events, len(self._ends))

    def _check_event(self, message: Message) -> None:
        record = self._descriptions.record(message)
        stream = record.stream
        sequence, digest = self._ends.get(stream, (0, chain.GENESIS.hex()))
        identity = self._identity
        if (
            identity is None
            or identity.position != message.position - 1
            or identity.subject != self._subjects.identity(record.event_id)
        ):
            raise self._damage(message, expected=f"the id {record.event_id} before its event", found="something else")
        if record.sequence != sequence + 1:
            raise self._damage(message, expected=f"sequence {sequence + 1}", found=f"sequence {record.sequence}")
        computed = chain.event_digest(digest, record)
        if computed != record.digest:
            raise JournalDamagedError(*stream, record.sequence, expected=str(record.digest), found=computed)
        due = self._subjects.mark(stream, sequence // MARK_EVERY) if sequence % MARK_EVERY == 0 else None
        if self._mark != due:
            raise self._damage(message, expected=f"the mark {due}", found=f"{self._mark}")
        self._ends[stream] = (record.sequence, computed)
        self._identity = self._mark = None
        self._events += 1

    def _damage(self, message: Message, *, expected: str, found: str) -> JournalDamagedError:
        stream = stream_of(message.subject) if message.subject.count(".") >= 3 else Stream("", "")
        sequence = self._ends.get(stream, (0, ""))[0] + 1
        return JournalDamagedError(*stream, sequence, expected=expected, found=f"{found} (position {message.position})")
