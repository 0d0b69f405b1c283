"""What the oracle decided, in files that only grow and are chained by hashes (AN-SOMA-6).

    {"chain": "<SHA-256 of the chain before and of the record>", "record": {"seq": 7, "time": "…", "kind": "signed", …}}

Every decision is a record, allowed or refused. What a wallet signed is on disk before the signature leaves the process.
The files `audit-000001.jsonl`, `audit-000002.jsonl` … follow one another; the first record of each has the sums of what
every agent has spent, so that a start reads only the newest one. A line that a crash left incomplete at the very end is
cut off; anything else that does not fit keeps the daemon from starting.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from life.aios.ports.clock import Clock
from life.aios.record import format_timestamp, parse_timestamp
from life.anima.custody.soma.policy import Principal
from life.anima.errors import CustodyProtocolError, CustodyUnavailableError

SEGMENT_BYTES: Final = 64 << 20
GENESIS_CHAIN: Final = "0" * 64
_NAME: Final = re.compile(r"audit-([0-9]{6})\.jsonl")
_HEAD: Final = b'{"chain":"'
_MIDDLE: Final = b'","record":'
_MAX_RECENT: Final = 1_000
_BODY_AT: Final = len(_HEAD) + 64 + len(_MIDDLE)

RecordKind = Literal[
    "opened",
    "signed",
    "denied",
    "provisioned",
    "adopted",
    "granted",
    "rotating",
    "disabled",
    "enabled",
    "connection_refused",
]


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent's wallet has signed away: for ever, and lately, as (Unix microseconds, micro-credits)."""

    lifetime_micro: int = 0
    recent: tuple[tuple[int, int], ...] = ()

    def plus(self, at_us: int, amount_micro: int) -> Spent:
        """With one more payment. Of too many, the oldest are added up under the later one's time, never forgotten."""
        recent = self.recent
        if len(recent) >= _MAX_RECENT:
            recent = ((recent[1][0], recent[0][1] + recent[1][1]), *recent[2:])
        return Spent(lifetime_micro=self.lifetime_micro + amount_micro, recent=(*recent, (at_us, amount_micro)))


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One decision. Hashes and public names only."""

    seq: int
    time: str
    kind: RecordKind
    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    did: str | None = None
    agent: str | None = None
    op: str | None = None
    payload_hash: str | None = None
    rule: int | None = None
    code: str | None = None
    """The error's code, for what was refused."""
    request_id: str | None = None
    spent_micro: int | None = None
    totals: dict[str, Spent] | None = None
    """In the first record of a file."""


class AuditSummary(NamedTuple):
    """What a verified audit says."""

    files: int
    records: int
    chain: str


class AuditLog:
    """The newest file, open for appending. One process writes it; `SomaKeyStore` holds the lock."""

    def __init__(self, folder: Path, clock: Clock, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Opens, verifies and, where a crash left half a line, repairs the newest file. CustodyProtocolError when it was
        changed, CustodyUnavailableError when the disk refuses."""
        self._folder = folder
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._waiting = bytearray()
        self._chain, self._seq, self._number, self._size = GENESIS_CHAIN, 0, 0, 0
        self.spent: dict[str, Spent] = {}
        """What every agent has spent so far."""
        self._descriptor = -1
        try:
            self._open()
        except OSError as error:
            raise CustodyUnavailableError(f"The audit in {folder} can't be used: {error.strerror}.") from None

    def append(
        self,
        kind: RecordKind,
        principal: Principal | None = None,
        *,
        agent: str | None = None,
        op: str | None = None,
        payload_hash: str | None = None,
        rule: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        spent_micro: int = 0,
    ) -> None:
        """Add a record; `write` puts it into the file."""
        now_us = self._clock.now_us()
        if spent_micro and agent is not None:
            self.spent[agent] = self.spent.get(agent, Spent()).plus(now_us, spent_micro)
        self._add(
            AuditRecord(
                seq=self._seq + 1,
                time=format_timestamp(now_us),
                kind=kind,
                uid=principal.uid if principal else None,
                gid=principal.gid if principal else None,
                pid=principal.pid if principal else None,
                did=principal.did if principal else None,
                agent=agent,
                op=op,
                payload_hash=payload_hash,
                rule=rule,
                code=code,
                request_id=request_id or None,
                spent_micro=spent_micro or None,
            )
        )

    def write(self) -> None:
        """Hand the records that wait to the system. CustodyUnavailableError when the disk refuses; they wait on."""
        try:
            while self._waiting:
                written = os.write(self._descriptor, self._waiting)
                del self._waiting[:written]
                self._size += written
            if self._size >= self._segment_bytes:
                os.fsync(self._descriptor)
                self._next_segment()
        except OSError as error:
            raise CustodyUnavailableError(f"The audit can't be written: {error.strerror}.") from None

    def sync(self) -> None:
        """Wait until what was written is on disk; blocks. CustodyUnavailableError when the disk refuses."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise CustodyUnavailableError(f"The audit can't be written: {error.strerror}.") from None

    def close(self) -> None:
        """Write what waits and close the file. May be called again."""
        if self._descriptor >= 0:
            try:
                self.write()
                self.sync()
            finally:
                os.close(self._descriptor)
                self._descriptor = -1

    def _add(self, record: AuditRecord) -> None:
        body = msgspec.json.encode(record)
        self._chain = _next_chain(self._chain, body)
        self._seq = record.seq
        self._waiting += _HEAD + self._chain.encode() + _MIDDLE + body + b"}\n"

    def _open(self) -> None:
        segments = _segments(self._folder)
        if not segments:
            self._start_segment(1)
            return
        self._number, path = segments[-1]
        whole = 0
        previous: str | None = None if len(segments) > 1 else GENESIS_CHAIN
        for line, record in _records(path):
            previous = _checked(line, record, previous, path)
            self._account(record)
            self._chain, self._seq = line[len(_HEAD) : len(_HEAD) + 64].decode(), record.seq
            whole += len(line)
        if whole == 0 and len(segments) > 1:  # died between making the file and its first record
            path.unlink()
            self._open()
            return
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        os.ftruncate(self._descriptor, whole)
        self._size = whole
        if whole == 0:
            self._opened_record()

    def _account(self, record: AuditRecord) -> None:
        if record.totals is not None:
            self.spent = dict(record.totals)
        elif record.spent_micro and record.agent is not None:
            before = self.spent.get(record.agent, Spent())
            self.spent[record.agent] = before.plus(parse_timestamp(record.time), record.spent_micro)

    def _next_segment(self) -> None:
        os.close(self._descriptor)
        self._start_segment(self._number + 1)
        self.write()

    def _start_segment(self, number: int) -> None:
        path = self._folder / f"audit-{number:06}.jsonl"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        os.fchmod(self._descriptor, 0o600)
        self._number, self._size = number, 0
        self._opened_record()

    def _opened_record(self) -> None:
        moment = format_timestamp(self._clock.now_us())
        self._add(AuditRecord(seq=self._seq + 1, time=moment, kind="opened", totals=self.spent))


def verify_audit(folder: Path) -> AuditSummary:
    """Check every record of every file. CustodyProtocolError when one was changed, left out or put in."""
    chain: str = GENESIS_CHAIN
    records = 0
    segments = _segments(folder)
    for position, (number, path) in enumerate(segments, start=1):
        if number != position:
            raise CustodyProtocolError(f"The audit file number {position} is missing.")
        for line, record in _records(path):
            if record.seq != records + 1:
                raise CustodyProtocolError(f"{path}: record {records + 1} is missing.")
            chain = _checked(line, record, chain, path)
            records += 1
    return AuditSummary(len(segments), records, chain)


def _segments(folder: Path) -> list[tuple[int, Path]]:
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return sorted(found)


def _records(path: Path) -> Iterator[tuple[bytes, AuditRecord]]:
    """The whole lines of a file. A last line without its end is what a crash left."""
    decoder = msgspec.json.Decoder(AuditRecord)
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            try:
                yield line, decoder.decode(memoryview(line)[_BODY_AT:-2])
            except msgspec.DecodeError:
                raise CustodyProtocolError(f"The audit {path} was changed: a line of it is no record.") from None


def _checked(line: bytes, record: AuditRecord, previous: str | None, path: Path) -> str:
    """The chain after a line; CustodyProtocolError when it does not follow from the one before (None: not known)."""
    chain = line[len(_HEAD) : len(_HEAD) + 64].decode("ascii", "replace")
    framed = line.startswith(_HEAD) and line[len(_HEAD) + 64 : _BODY_AT] == _MIDDLE and line.endswith(b"}\n")
    if not framed or (previous is not None and chain != _next_chain(previous, line[_BODY_AT:-2])):
        raise CustodyProtocolError(f"The audit {path} was changed at record {record.seq}.")
    return chain


def _next_chain(chain: str, body: bytes) -> str:
    return hashlib.sha256(chain.encode() + body).hexdigest()
