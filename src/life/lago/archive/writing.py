"""Making the archive of a session."""

from __future__ import annotations

import asyncio
import gzip
import os
import re
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.json import JsonObject
from life.aios.ports.blobs import Blobs
from life.aios.ports.clock import Clock
from life.aios.ports.custody import Custody
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, Stream, encode_record
from life.crypto.canonical import canonical_json
from life.lago import standalone_verifier
from life.lago.archive.container import write_container
from life.lago.archive.manifest import (
    CHECKPOINTS,
    KEYS,
    MANIFEST,
    SIGNATURE,
    SIGNATURE_TYPE,
    TYP,
    BranchEntry,
    Manifest,
    MemberEntry,
    encode_manifest,
    manifest_hash,
)
from life.lago.errors import ArchiveError, BlobNotFoundError
from life.lago.proof.checkpoints import read_checkpoints
from life.lago.proof.signing_keys import SigningKeys

_HASH: Final = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_PAGE: Final = 2_000
_README: Final = """\
This is the archive of one session of an agent: everything it recorded, in order, with proof that nothing was changed.

To check it you need Python 3.9 or newer and nothing else. No server is asked.

    unzip -p ARCHIVE.zip verify.py > verify.py
    python3 verify.py ARCHIVE.zip --did did:key:...

Take verify.py from somebody you trust, or read it: it is short. --did names a key that you know to be the agent's.

    events/       one file per branch, one record per line (gunzip them)
    blobs/        contents that the events mention, under their SHA-256
    checkpoints.jsonl, keys.json, manifest.json, manifest.jws: signatures, and the public history of the agent's keys
"""


class Archived(NamedTuple):
    """What went into an archive."""

    events: int
    branches: int
    blobs: int
    size_bytes: int
    signed: bool


async def write_archive(
    path: Path,
    journal: Journal,
    session_id: str,
    *,
    blobs: Blobs | None = None,
    keys: SigningKeys | None = None,
    custody: Custody | None = None,
    clock: Clock | None = None,
    on_event: Callable[[], None] | None = None,
) -> Archived:
    """Write the archive of a session to `path`, which must not exist; it appears whole or not at all.

    With `custody` and `clock` it is signed. Without a signature the same session gives the same bytes (where zlib is the same).
    Takes the branches as they are when each is reached. NotFoundError for a session that is not there; errors of `blobs`.
    """
    if path.exists():
        raise InvalidInputError(f"{path} is there already.", next_step="Choose another name.")
    streams = sorted(await journal.streams(session_id))
    if not streams:
        raise NotFoundError(f"There is no session '{session_id}' in this journal.")
    try:
        with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            made = _Archive(Path(folder), journal, on_event)
            for stream in streams:
                await made.add_branch(stream)
            if blobs is not None:
                await made.add_blobs(blobs)
            await made.add_proof(session_id, keys)
            signed = await made.finish(session_id, keys, custody, clock)
            partial = Path(folder) / "archive"
            await asyncio.to_thread(write_container, partial, made.members)
            size = await asyncio.to_thread(_publish, partial, path)
    except OSError as error:
        raise ArchiveError(f"The archive {path} can't be written: {error.strerror}.") from None
    return Archived(made.events, len(streams), made.blob_count, size, signed)


class _Archive:
    def __init__(self, folder: Path, journal: Journal, on_event: Callable[[], None] | None) -> None:
        self._folder = folder
        self._journal = journal
        self._on_event = on_event
        self._branches: list[BranchEntry] = []
        self._hashes: set[str] = set()
        self.members: list[tuple[str, Path | bytes]] = []
        self.events = 0
        self.blob_count = 0

    async def add_branch(self, stream: Stream) -> None:
        """The events of one branch."""
        name = f"events/{len(self._branches) + 1:04}.jsonl.gz"
        file = self._folder / f"branch-{len(self._branches) + 1}"
        last: EventRecord | None = None
        with file.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as lines:
            async for record in _records(self._journal, stream):
                line = encode_record(record) + b"\n"
                self._hashes |= {found.decode() for found in _HASH.findall(record.payload)}
                await asyncio.to_thread(lines.write, line) if len(line) > 1 << 16 else lines.write(line)
                last = record
                if self._on_event is not None:
                    self._on_event()
        if last is None:
            raise NotFoundError(f"There is no branch {stream} in this journal.")
        self.events += last.sequence
        self.members.append((name, file))
        self._branches.append(
            BranchEntry(branch_id=stream.branch_id, member=name, events=last.sequence, digest=str(last.digest))
        )

    async def add_blobs(self, blobs: Blobs) -> None:
        """Every blob that the events mention and the store has."""
        for blob in sorted(self._hashes):
            if not await blobs.exists(blob):
                continue  # sixty-four hex digits that mean something else, such as the digest of an event
            file = self._folder / f"blob-{blob}"
            try:
                with file.open("wb") as writing:
                    async for piece in blobs.stream(blob):
                        writing.write(piece)
            except BlobNotFoundError:
                continue
            self.members.append((f"blobs/{blob}", file))
            self.blob_count += 1

    async def add_proof(self, session_id: str, keys: SigningKeys | None) -> None:
        """Checkpoints, keys, and how to check it all."""
        checkpoints = await read_checkpoints(self._journal, session_id=session_id)
        reached = {entry.branch_id: entry.events for entry in self._branches}
        lines = [
            encode_record(record) + b"\n"
            for record, checkpoint in checkpoints
            if checkpoint.sequence <= reached.get(checkpoint.branch_id, 0)
        ]
        self.members.append((CHECKPOINTS, b"".join(lines)))
        if keys is not None:
            self.members.append((KEYS, canonical_json(msgspec.to_builtins(keys))))
        self.members.append(("README.txt", _README.encode()))
        self.members.append(("verify.py", Path(standalone_verifier.__file__).read_bytes()))

    async def finish(
        self, session_id: str, keys: SigningKeys | None, custody: Custody | None, clock: Clock | None
    ) -> bool:
        """The manifest over all of it, and its signature; whether there is one."""
        self.members.sort(key=lambda one: one[0])
        manifest = Manifest(
            session_id=session_id,
            agent_id=None if keys is None else keys.agent_id,
            branches=tuple(self._branches),
            members=tuple([await asyncio.to_thread(_entry, *member) for member in self.members]),
        )
        content = encode_manifest(manifest)
        self.members.append((MANIFEST, content))
        if custody is None or clock is None:
            return False
        claims: JsonObject = {
            "iss": custody.capabilities().did,
            "type": SIGNATURE_TYPE,
            "manifest_sha256": manifest_hash(content),
            "iat": clock.now_us() // 1_000_000,
        }
        self.members.append((SIGNATURE, (await custody.sign_token(claims, typ=TYP)).encode()))
        return True


def _entry(name: str, content: Path | bytes) -> MemberEntry:
    if isinstance(content, bytes):
        return MemberEntry(name=name, size=len(content), sha256=sha256(content).hexdigest())
    hashed, size = sha256(), 0
    with content.open("rb") as file:
        while piece := file.read(1 << 20):
            hashed.update(piece)
            size += len(piece)
    return MemberEntry(name=name, size=size, sha256=hashed.hexdigest())


def _publish(partial: Path, path: Path) -> int:
    """Flush the file and give it its name, unless somebody was faster."""
    descriptor = os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.link(partial, path)  # unlike a rename, this replaces nothing
    return path.stat().st_size


async def _records(journal: Journal, stream: Stream) -> AsyncIterator[EventRecord]:
    after, more = 0, True
    while more:
        page = await journal.read(EventQuery(*stream, after_sequence=after), limit=_PAGE)
        more = len(page) == _PAGE
        for record in page:
            yield record
        after = page[-1].sequence if page else after
