"""Taking the content of events out of a journal for good, so that everybody can still see that something stood there.

    authorise   the agent's key signs which events, by digest, lose their content, and why
    record      the event `lago.redaction` is appended to the branch, durably: from here on the redaction is decided
    replace     each row gets a stub; snapshots of projections, which may hold the content, are dropped
    purge       the file is written anew (VACUUM) and the write-ahead log emptied, so no page keeps an old copy

A process killed between two of these leaves a journal that verifies; `resume_redactions` does the rest. Blobs that only the
redacted events mentioned go with the next collection (life.lago.blobs.collection). How the chain stays provable:
life.lago.journal.redacted. What is in backups, archives and exports made before stays there.

Events that other parts of the system fold into money, keys or proof are refused: the state would change with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import apsw
import msgspec

from life.aios.errors import JournalFullError, JournalUnavailableError, NotFoundError
from life.aios.events.codec import custom, encode_kind
from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, NewEvent, Stream
from life.lago.errors import RedactionRefusedError
from life.lago.journal import chain, schema
from life.lago.journal.chain import compact_id
from life.lago.journal.redacted import (
    REDACTION,
    RedactedEvent,
    Redaction,
    read_redaction,
    read_stub,
    stub_payload,
)
from life.lago.journal.sqlite import SqliteJournal
from life.lago.proof.redaction_authority import TYP, authority_of, redaction_claims
from life.lago.proof.signing_keys import SigningKeys

MAX_EVENTS: Final = 1_000
"""In one redaction event."""
MAX_REASON: Final = 500
KEPT_PREFIXES: Final = ("lago.", "anima.", "finance.")
_PAGE: Final = 5_000
_PURGE: Final = "purge"


class Redacted(NamedTuple):
    """What a redaction did."""

    events: int
    already: int
    """Of the events asked for, those whose content was gone before."""
    resumed: int
    """Events of earlier redactions that had not been carried out."""


class FoundRedaction(NamedTuple):
    """A redaction event, and how many of its events still have their content."""

    record: EventRecord
    redaction: Redaction
    pending: tuple[EventRecord, ...]


class _Signing(NamedTuple):
    """Who takes content out."""

    did: str
    custody: Custody
    agent_id: str
    clock: Clock
    entropy: Entropy


async def redact(
    journal: SqliteJournal,
    event_ids: Sequence[str],
    *,
    reason: str,
    custody: Custody,
    keys: SigningKeys,
    agent_id: str,
    clock: Clock,
    entropy: Entropy,
) -> Redacted:
    """Take the content of these events out, for good, and finish what an interrupted redaction left.

    No other process may work on the journal: what it holds in memory could be stored again. NotFoundError for an event that is
    not there, RedactionRefusedError for one that has to stay; then nothing is redacted.
    """
    if not reason.strip() or len(reason) > MAX_REASON:
        raise RedactionRefusedError(f"A redaction says why, in at most {MAX_REASON} characters.")
    did = custody.capabilities().did
    objection = "its custody has no identity key" if did is None else keys.objection(did, clock.now_us())
    if did is None or objection is not None:
        raise RedactionRefusedError(f"The agent can't authorise a redaction: {objection}.")
    signing = _Signing(did, custody, agent_id, clock, entropy)
    wanted: dict[Stream, dict[int, EventRecord]] = {}
    already = 0
    for event_id in event_ids:
        record = await journal.get(event_id)
        if record is None:
            raise NotFoundError(f"There is no event {event_id} in this journal.")
        if read_stub(record.payload) is not None:
            already += 1
            continue
        _check_may_go(record)
        wanted.setdefault(record.stream, {})[record.sequence] = record
    events = 0
    for stream, records in wanted.items():
        some = [records[sequence] for sequence in sorted(records)]
        for start in range(0, len(some), MAX_EVENTS):
            await _record(journal, stream, some[start : start + MAX_EVENTS], reason, signing)
        events += len(some)
    replaced = await resume_redactions(journal, keys)
    return Redacted(events, already, replaced - events)


async def resume_redactions(journal: SqliteJournal, keys: SigningKeys) -> int:
    """Carry out what was decided and not done yet; how many events lost their content now.

    RedactionRefusedError for a redaction that no key of the agent authorised: nothing is carried out before somebody looked.
    """
    stubs: list[tuple[str, str, bytes]] = []
    for found in await find_redactions(journal, pending_only=True):
        authority_of(found.record, found.redaction, keys=keys)
        told = {one.event_id: one for one in found.redaction.events}
        for record in found.pending:
            payload, stub_digest = await _stub_of(journal, record, found.record.event_id)
            if stub_digest != told[record.event_id].stub_digest:
                raise RedactionRefusedError(
                    f"The redaction {found.record.event_id} says another stub than event {record.event_id} would get."
                )
            stubs.append((record.event_id, str(record.digest), payload))
    await asyncio.to_thread(_carry_out, journal.path, stubs)
    return len(stubs)


async def find_redactions(journal: Journal, *, pending_only: bool = False) -> list[FoundRedaction]:
    """The redactions in a journal. With `pending_only`, those that were not carried out whole."""
    found: list[FoundRedaction] = []
    query, more = EventQuery(kinds=("Custom",)), True
    while more:
        page = await journal.read(query, limit=_PAGE)
        more = len(page) == _PAGE
        for record in page:
            redaction = read_redaction(record.payload)
            if redaction is None:
                continue
            pending = []
            for one in redaction.events:
                target = await journal.get(one.event_id)
                if target is not None and target.stream == record.stream and read_stub(target.payload) is None:
                    pending.append(target)
            if pending or not pending_only:
                found.append(FoundRedaction(record, redaction, tuple(pending)))
        if page:
            query = query._replace(after_position=page[-1].position)
    return found


def _check_may_go(record: EventRecord) -> None:
    kind = record.kind
    name = getattr(kind, "event_type", record.kind_name)
    if str(name).startswith(KEPT_PREFIXES):
        raise RedactionRefusedError(
            f"Event {record.event_id} is a {name}: identity, money and proof follow from such events, so they stay."
        )


async def _record(
    journal: SqliteJournal,
    stream: Stream,
    records: Sequence[EventRecord],
    reason: str,
    by: _Signing,
) -> None:
    """Append the redaction of some events of one branch."""
    event_id = new_id(by.clock, by.entropy)
    events = []
    for record in records:
        _, stub_digest = await _stub_of(journal, record, event_id)
        events.append(
            RedactedEvent(
                sequence=record.sequence,
                event_id=record.event_id,
                digest=str(record.digest),
                stub_digest=stub_digest,
            )
        )
    claims = redaction_claims(by.did, stream, tuple(events), reason) | {"iat": by.clock.now_us() // 1_000_000}
    token = await by.custody.sign_token(claims, typ=TYP)
    payload = Redaction(events=tuple(events), reason=reason, authorisation=token)
    event = NewEvent(
        event_id=event_id,
        session_id=stream.session_id,
        branch_id=stream.branch_id,
        agent_id=by.agent_id,
        timestamp_us=by.clock.now_us(),
        payload=encode_kind(custom(REDACTION, payload)),
        kind_name="Custom",
    )
    await journal.append([event])


async def _stub_of(journal: Journal, record: EventRecord, redaction: str) -> tuple[bytes, str]:
    """The stub for an event, and what the chain's formula gives for the row with the stub in it."""
    previous = chain.GENESIS.hex()
    if record.sequence > 1:
        query = EventQuery(*record.stream, after_sequence=record.sequence - 2, before_sequence=record.sequence)
        (before,) = await journal.read(query, limit=1)
        previous = str(before.digest)
    payload = stub_payload(kind=record.kind_name, redaction=redaction)
    stub = msgspec.structs.replace(record, payload=payload, kind_name="Custom", _kind=None)
    return payload, chain.event_digest(previous, stub)


def _carry_out(path: Path, stubs: Sequence[tuple[str, str, bytes]]) -> None:
    """Replace the rows in one transaction, then purge the file when that was not done since the last replacement."""
    try:
        connection = schema.connect(path, purpose="write")
        try:
            connection.pragma("secure_delete", True)
            if stubs:
                _replace(connection, stubs)
            if schema.fetch_one(connection, "SELECT value FROM meta WHERE key = ?", (_PURGE,)) is not None:
                _purge(connection, path)
        finally:
            connection.close()
    except apsw.Error as error:
        raise schema.explain(error, path) from None


def _replace(connection: apsw.Connection, stubs: Sequence[tuple[str, str, bytes]]) -> None:
    with connection:
        connection.execute("INSERT OR IGNORE INTO kind (name) VALUES ('Custom')")
        for event_id, digest, payload in stubs:
            connection.execute(
                "UPDATE event SET body = ?, kind = (SELECT no FROM kind WHERE name = 'Custom')"
                " WHERE id = ? AND digest = ?",
                (payload, compact_id(event_id), bytes.fromhex(digest)),
            )
        connection.execute("DELETE FROM snapshot")
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, 1)", (_PURGE,))


def _purge(connection: apsw.Connection, path: Path) -> None:
    """Write the file anew without what was deleted, and empty the log, whose frames hold old pages."""
    try:
        connection.execute("VACUUM")
    except apsw.Error as error:
        if not schema.is_out_of_room(error, connection):
            raise
        raise JournalFullError(
            f"The content is replaced, but there is no room to write {path} anew without it.",
            next_step="Make room, then run `life journal redact --resume`.",
        ) from None
    (busy,) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][:1]
    if busy:
        raise JournalUnavailableError(
            f"The content is redacted, but another process keeps the write-ahead log of {path} open.",
            next_step="Stop it, then run `life journal redact --resume`.",
        )
    connection.execute("DELETE FROM meta WHERE key = ?", (_PURGE,))
