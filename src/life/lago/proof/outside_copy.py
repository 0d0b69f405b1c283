"""Comparing a journal with a copy that was kept elsewhere: an export, a session archive, or a list of checkpoints.

Each line of a copy says the digest of an event at a place. Equal digests at one place mean that everything up to there is equal,
so of each branch the first place that differs is where the histories part.
"""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import Stream
from life.lago.errors import JournalDivergedError
from life.lago.proof.checkpoints import CHECKPOINT, read_checkpoint
from life.lago.proof.signing_keys import SigningKeys

_PAGE = 2_000


class Place(NamedTuple):
    """What the copy says stood where."""

    stream: Stream
    sequence: int
    digest: str


class Compared(NamedTuple):
    """What was compared, and every branch that parts, at its first difference."""

    places: int
    branches: int
    divergences: list[JournalDivergedError]


class _Line(msgspec.Struct):
    """A record, an event with a checkpoint in it, or a checkpoint: whatever the line is."""

    session_id: str | None = None
    branch_id: str | None = None
    sequence: int | None = None
    digest: str | None = None
    kind: _LineKind | None = None
    token: str | None = None


class _LineKind(msgspec.Struct):
    type: str = ""
    event_type: str = ""
    data: object = None


_decoder = msgspec.json.Decoder(_Line)


def read_copy(path: Path, *, keys: SigningKeys | None = None) -> Iterator[Place]:
    """The places that a file tells of: JSON lines (records as `export` writes them, checkpoints, bare checkpoint tokens), or an
    archive. A checkpoint counts only when its signature does; CheckpointRefusedError otherwise. InvalidInputError for anything else.
    """
    if zipfile.is_zipfile(path):
        yield from _archive_places(path, keys)
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            yield from _places(line, f"line {number}", keys)


async def compare(journal: Journal, places: Iterator[Place]) -> Compared:
    """Look up every place; a branch that parted is not looked at any further."""
    parted: dict[Stream, JournalDivergedError] = {}
    seen: set[Stream] = set()
    count = 0
    waiting: list[Place] = []
    for place in places:
        waiting.append(place)
        if len(waiting) >= _PAGE:
            await _compare_some(journal, waiting, parted)
            waiting = []
        seen.add(place.stream)
        count += 1
    await _compare_some(journal, waiting, parted)
    return Compared(count, len(seen), [parted[stream] for stream in sorted(parted)])


async def _compare_some(journal: Journal, places: list[Place], parted: dict[Stream, JournalDivergedError]) -> None:
    """Any places: those that follow each other in a branch are looked up at once."""
    run: list[Place] = []
    for place in sorted(places):
        if run and (place.stream != run[-1].stream or place.sequence > run[-1].sequence + 1):
            await _compare_run(journal, run, parted)
            run = []
        run.append(place)
    if run:
        await _compare_run(journal, run, parted)


async def _compare_run(journal: Journal, run: list[Place], parted: dict[Stream, JournalDivergedError]) -> None:
    """Places that follow each other in one branch."""
    stream, first = run[0].stream, run[0].sequence
    query = EventQuery(*stream, after_sequence=first - 1, before_sequence=run[-1].sequence + 1)
    here = {record.sequence: str(record.digest) for record in await journal.read(query, limit=len(run))}
    for place in run:
        found = here.get(place.sequence)
        if found == place.digest:
            continue
        known = parted.get(stream)
        if known is None or place.sequence < known.sequence:
            what = f"the digest {found}" if found is not None else f"ends at {(await journal.head(stream)).sequence}"
            parted[stream] = JournalDivergedError(*stream, place.sequence, copy=f"the digest {place.digest}", here=what)
        return


def _places(line: bytes, where: str, keys: SigningKeys | None) -> Iterator[Place]:
    line = line.strip()
    if not line:
        return
    if line.startswith(b"eyJ"):
        yield _signed_place(line.decode(errors="replace"), keys)
        return
    try:
        read = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"The copy can't be read at {where}: {error}.") from None
    if read.token is not None:
        yield _signed_place(read.token, keys)
        return
    if read.session_id is None or read.sequence is None or read.digest is None:
        raise InvalidInputError(f"The copy says no digest at {where}.")
    yield Place(Stream(read.session_id, read.branch_id or "main"), read.sequence, read.digest)
    data = read.kind.data if read.kind is not None and read.kind.event_type == CHECKPOINT else None
    token = data.get("token") if isinstance(data, dict) else None
    if isinstance(token, str):
        yield _signed_place(token, keys)


def _signed_place(token: str, keys: SigningKeys | None) -> Place:
    checkpoint, _ = read_checkpoint(token, keys=keys)
    return Place(checkpoint.stream, checkpoint.sequence, checkpoint.digest)


def _archive_places(path: Path, keys: SigningKeys | None) -> Iterator[Place]:
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.startswith("events/") or name == "checkpoints.jsonl":
                    with archive.open(name) as member, _lines(member, packed=name.endswith(".gz")) as lines:
                        for number, line in enumerate(lines, 1):
                            yield from _places(line, f"{name} line {number}", keys)
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise InvalidInputError(f"The archive {path} can't be read: {error}.") from None


def _lines(member: IO[bytes], *, packed: bool) -> AbstractContextManager[Iterable[bytes]]:
    return gzip.open(member) if packed else nullcontext(member)
