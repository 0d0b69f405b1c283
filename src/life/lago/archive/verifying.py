"""Checking the archive of a session: every byte, every event, every signature. Needs no journal and no server."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from life.aios.envelope import decode_record
from life.aios.errors import MalformedEventError
from life.aios.record import EventRecord, encode_record
from life.crypto import jws
from life.crypto.canonical import canonical_json
from life.crypto.errors import CryptoError
from life.lago.archive.container import Member, content_of, read_container
from life.lago.archive.manifest import (
    CHECKPOINTS,
    KEYS,
    MANIFEST,
    SIGNATURE,
    SIGNATURE_TYPE,
    TYP,
    BranchEntry,
    Manifest,
    decode_manifest,
    manifest_hash,
)
from life.lago.errors import ArchiveDamagedError, ArchiveError, CheckpointRefusedError
from life.lago.journal import chain
from life.lago.journal.redacted import Claimed, Redaction, is_covered, read_redaction, read_stub
from life.lago.proof.checkpoints import BranchCheck, Checkpoint, SigningOrder, checkpoint_of
from life.lago.proof.redaction_authority import authority_of
from life.lago.proof.signing_keys import SigningKeys


class VerifiedArchive(NamedTuple):
    """What an archive was found to hold."""

    session_id: str
    agent_id: str | None
    events: int
    branches: int
    blobs: int
    redacted: int
    checkpoints: int
    signer: str | None
    """The key that signed the manifest; None for an archive without a signature, which shows only that it agrees with itself."""
    dids: tuple[str, ...]
    """Every key the agent had, oldest first, each proven by the one before it."""


def verify_archive(path: Path, *, did: str | None = None) -> VerifiedArchive:
    """Check everything. ArchiveDamagedError names the first member, and in the events the event, that is not what it was.

    With `did`, one that the reader knows to be the agent's, the archive must be signed, and by that agent. Blocks.
    """
    try:
        with path.open("rb") as file:
            return _Check(file).run(did)
    except OSError as error:
        raise ArchiveError(f"The archive {path} can't be read: {error.strerror}.") from None


class _Check:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._members = {member.name: member for member in read_container(file)}
        self._content = self._read(MANIFEST)
        self._manifest: Manifest = decode_manifest(self._content)
        self._redacted = 0

    def run(self, did: str | None) -> VerifiedArchive:
        """All of it, in the order in which a fault can be named best."""
        manifest = self._manifest
        self._check_list()
        keys = self._keys()
        branches = self._branch_checks(keys)
        for entry in manifest.branches:
            self._check_events(entry, branches.get(entry.branch_id), keys)
        blobs = self._check_members()
        signer = self._check_signature(keys)
        if did is not None:
            self._check_identity(did, signer, keys)
        return VerifiedArchive(
            manifest.session_id,
            manifest.agent_id,
            sum(entry.events for entry in manifest.branches),
            len(manifest.branches),
            blobs,
            self._redacted,
            self._checkpoints,
            signer,
            () if keys is None else tuple(key.did for key in keys.keys),
        )

    def _read(self, name: str) -> bytes:
        member = self._members.get(name)
        if member is None:
            raise ArchiveDamagedError(name, "it is missing")
        return b"".join(content_of(self._file, member))

    def _check_list(self) -> None:
        listed = [entry.name for entry in self._manifest.members]
        extra = set(self._members) - set(listed) - {MANIFEST, SIGNATURE}
        missing = set(listed) - set(self._members)
        if extra or missing:
            name = min(extra | missing)
            raise ArchiveDamagedError(name, "it is missing" if name in missing else "the manifest does not know it")
        if len(set(listed)) != len(listed) or list(self._members) != sorted(self._members):
            raise ArchiveDamagedError(MANIFEST, "its members are not each there once and in order")

    def _keys(self) -> SigningKeys | None:
        if KEYS not in self._members:
            return None
        content = self._read(KEYS)
        try:
            keys = msgspec.json.decode(content, type=SigningKeys)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ArchiveDamagedError(KEYS, f"it can't be read ({error})") from None
        fault = keys.fault()
        if fault is not None:
            raise ArchiveDamagedError(KEYS, fault)
        if canonical_json(msgspec.to_builtins(keys)) != content or keys.agent_id != self._manifest.agent_id:
            raise ArchiveDamagedError(KEYS, "it is not the history of keys that the manifest speaks of")
        return keys

    def _branch_checks(self, keys: SigningKeys | None) -> dict[str, BranchCheck]:
        """The checkpoints, by branch; their signatures are checked when there are keys to check them with."""
        by_branch: dict[str, list[Checkpoint]] = {}
        order = None if keys is None else SigningOrder(keys, chained=False)
        self._checkpoints = 0
        for number, line in enumerate(self._read(CHECKPOINTS).splitlines(), 1):
            where = f"{CHECKPOINTS} line {number}"
            record = _record(line, where)
            checkpoint = checkpoint_of(record)
            if checkpoint is None or checkpoint.session_id != self._manifest.session_id:
                raise ArchiveDamagedError(where, "it is no checkpoint of this session")
            try:
                if order is not None:
                    order.take(checkpoint, digest=str(record.digest))
            except CheckpointRefusedError as error:
                raise ArchiveDamagedError(where, error.message.rstrip(".")) from None
            by_branch.setdefault(checkpoint.branch_id, []).append(checkpoint)
            self._checkpoints += 1
        if keys is None and self._checkpoints:
            raise ArchiveDamagedError(KEYS, "it is missing, so the checkpoints can't be checked")
        return {branch: BranchCheck(checkpoints) for branch, checkpoints in by_branch.items()}

    def _check_events(self, entry: BranchEntry, checks: BranchCheck | None, keys: SigningKeys | None) -> None:
        """Follow the chain of one branch; redactions in it stand for the stubs before them."""
        member = self._members.get(entry.member)
        if member is None:
            raise ArchiveDamagedError(entry.member, "it is missing")
        digest, sequence, waiting = chain.GENESIS.hex(), 0, True
        claims: list[Claimed] = []
        redactions: dict[str, Redaction] = {}
        for line in _lines(self._file, member):
            where = f"{entry.member} line {sequence + 1}"
            record = _record(line, where)
            sequence += 1
            if (record.session_id, record.branch_id) != (self._manifest.session_id, entry.branch_id):
                raise ArchiveDamagedError(where, "the event is of another branch")
            if record.sequence != sequence or record.digest is None:
                raise ArchiveDamagedError(where, f"event {sequence} is missing or in another place")
            found = chain.event_digest(digest, record)
            stub = read_stub(record.payload)
            if found != record.digest:
                if stub is None:
                    raise ArchiveDamagedError(where, f"event {record.event_id} (sequence {sequence}) was changed")
                claims.append(Claimed(*record.stream, sequence, stub.redaction, record.digest, found))
            redaction = read_redaction(record.payload)
            if redaction is not None:
                if keys is not None:
                    authority_of(record, redaction, keys=keys)
                redactions[record.event_id] = redaction
            digest = record.digest
            if checks is not None and waiting:
                waiting = not _covered(checks, digest, where)
        self._redacted += len(claims)
        for claim in claims:
            if not is_covered(claim, redactions.get(claim.redaction)):
                where = f"{entry.member} line {claim.sequence}"
                raise ArchiveDamagedError(where, "the event is a redaction stub, and no redaction says so")
        if (sequence, digest) != (entry.events, entry.digest):
            raise ArchiveDamagedError(entry.member, f"the branch ends at sequence {sequence}, not at {entry.events}")
        if checks is not None:
            try:
                checks.finish()
            except CheckpointRefusedError as error:
                raise ArchiveDamagedError(entry.member, error.message.rstrip(".")) from None

    def _check_members(self) -> int:
        blobs = 0
        for entry in self._manifest.members:
            hashed, size = sha256(), 0
            for piece in content_of(self._file, self._members[entry.name]):
                hashed.update(piece)
                size += len(piece)
            if (hashed.hexdigest(), size) != (entry.sha256, entry.size):
                raise ArchiveDamagedError(entry.name, "its content is not what the manifest says")
            folder, _, name = entry.name.partition("/")
            if folder == "blobs":
                blobs += 1
                if name != hashed.hexdigest():
                    raise ArchiveDamagedError(entry.name, "its content has another hash")
        return blobs

    def _check_signature(self, keys: SigningKeys | None) -> str | None:
        if SIGNATURE not in self._members:
            return None
        try:
            verified = jws.verify(self._read(SIGNATURE).decode(), typ=TYP)
        except (CryptoError, UnicodeDecodeError) as error:
            raise ArchiveDamagedError(SIGNATURE, f"it is no signature ({error})") from None
        claims, signer = verified.claims, verified.signer.did
        if (claims.get("iss"), claims.get("type")) != (signer, SIGNATURE_TYPE):
            raise ArchiveDamagedError(SIGNATURE, "it signs something else")
        if claims.get("manifest_sha256") != manifest_hash(self._content):
            raise ArchiveDamagedError(MANIFEST, "it is not the one that was signed")
        signed_at_s = claims.get("iat")
        if keys is None or not isinstance(signed_at_s, int):
            raise ArchiveDamagedError(KEYS, "it is missing, so the signature can't be checked")
        objection = keys.objection(signer, signed_at_s * 1_000_000)
        if objection is not None:
            raise ArchiveDamagedError(SIGNATURE, objection)
        return signer

    def _check_identity(self, did: str, signer: str | None, keys: SigningKeys | None) -> None:
        if signer is None:
            raise ArchiveDamagedError(SIGNATURE, "the archive is not signed")
        if keys is None or keys.index(did) is None:
            raise ArchiveDamagedError(KEYS, f"{did} is no key of this agent")


def _covered(checks: BranchCheck, digest: str, where: str) -> bool:
    try:
        return checks.take(digest)
    except CheckpointRefusedError as error:
        raise ArchiveDamagedError(where, error.message.rstrip(".")) from None


def _record(line: bytes, where: str) -> EventRecord:
    """A record, when the line is the one form it has."""
    try:
        record = decode_record(line)
    except MalformedEventError as error:
        raise ArchiveDamagedError(where, error.message.rstrip(".")) from None
    if encode_record(record) != line:
        raise ArchiveDamagedError(where, "it is not written as a record is")
    return record


class _Pieces(io.RawIOBase):
    """A member as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)


def _lines(file: BinaryIO, member: Member) -> Iterable[bytes]:
    """The lines of a compressed member, without their ends."""
    raw = io.BufferedReader(_Pieces(content_of(file, member)))
    try:
        with gzip.GzipFile(fileobj=raw, mode="rb") as lines:
            for line in lines:
                yield line.rstrip(b"\n")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ArchiveDamagedError(member.name, f"it can't be unpacked ({error})") from None
