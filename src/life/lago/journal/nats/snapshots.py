"""Snapshots of projections in a JetStream key-value bucket (life.aios.ports.snapshots.Snapshots).

A snapshot is cut into pieces, so that it may be larger than a message, and a small entry that is written last names them.
Who reads an entry checks the whole against its hash, so a snapshot that is being replaced, or lost a piece, counts as
none: it is a cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import msgspec

from life.aios.errors import InvalidInputError, JournalUnavailableError, MissingExtraError
from life.aios.ports.snapshots import Snapshot
from life.lago.journal.nats.access import NatsAccess
from life.lago.journal.nats.connection import connect
from life.lago.journal.nats.journal import PATIENCE_S
from life.lago.journal.nats.subjects import Subjects

try:
    from nats.errors import Error as NatsError
    from nats.js.api import KeyValueConfig, StorageType
    from nats.js.client import JetStreamContext
    from nats.js.errors import BucketNotFoundError, KeyNotFoundError, KeyWrongLastSequenceError
    from nats.js.kv import KeyValue
except ImportError:
    raise MissingExtraError("The NATS journal", "nats") from None

PIECE_BYTES: Final = 256 * 2**10
"""How much of a state goes into one message; less than any server's limit."""

_TRIES: Final = 100


class _Entry(msgspec.Struct, array_like=True):
    """What is kept under a projection's name and version."""

    position: int
    pieces: int
    sha256: bytes


_decode: Final = msgspec.msgpack.Decoder(_Entry).decode
_encode: Final = msgspec.msgpack.Encoder().encode


class NatsSnapshots:
    """Snapshots beside a journal on NATS. Made by `NatsSnapshots.open`."""

    def __init__(self, bucket: KeyValue) -> None:
        self._bucket = bucket

    @property
    def bucket(self) -> KeyValue:
        """Where they are kept."""
        return self._bucket

    @classmethod
    @asynccontextmanager
    async def open(
        cls, access: NatsAccess, *, name: str = "journal", replicas: int = 3, patience_s: float = PATIENCE_S
    ) -> AsyncIterator[NatsSnapshots]:
        """The bucket `<name>-snapshots`, made with so many replicas if there is none."""
        bucket = f"{Subjects(name).name}-snapshots"
        if replicas not in (1, 3, 5):
            raise InvalidInputError("Snapshots on NATS have 1, 3 or 5 replicas.")
        async with connect(access, name=f"life {bucket}", patience_s=patience_s) as client:
            jetstream = client.jetstream(timeout=patience_s)
            with _explained():
                opened = await _open_bucket(jetstream, bucket, replicas)
            yield cls(opened)

    async def load(self, name: str, version: int) -> Snapshot | None:
        """The newest snapshot, or None."""
        key = _key(name, version)
        with _explained():
            entry, _ = await self._entry(key)
            if entry is None:
                return None
            try:
                pieces = [await self._bucket.get(piece) for piece in _pieces(key, entry)]
            except KeyNotFoundError:
                return None
        state = b"".join(piece.value or b"" for piece in pieces)
        if hashlib.sha256(state).digest() != entry.sha256:
            return None
        return Snapshot(entry.position, state)

    async def save(self, name: str, version: int, snapshot: Snapshot) -> None:
        """Keep this snapshot, unless a newer one is there."""
        key = _key(name, version)
        state = snapshot.state
        entry = _Entry(snapshot.position, -(-len(state) // PIECE_BYTES), hashlib.sha256(state).digest())
        with _explained():
            for _ in range(_TRIES):  # each time it fails somebody else has saved one, perhaps a newer one
                earlier, revision = await self._entry(key)
                if earlier is not None and earlier.position > snapshot.position:
                    return
                for number, piece in enumerate(_pieces(key, entry)):
                    await self._bucket.put(piece, state[number * PIECE_BYTES : (number + 1) * PIECE_BYTES])
                try:
                    await self._bucket.update(key, _encode(entry), last=revision)
                except KeyWrongLastSequenceError:
                    continue
                if earlier is not None and earlier != entry:
                    for piece in _pieces(key, earlier):
                        await self._bucket.purge(piece)
                return

    async def _entry(self, key: str) -> tuple[_Entry | None, int]:
        """What is kept, if it can be read, and the revision to replace."""
        try:
            found = await self._bucket.get(key)
        except KeyNotFoundError as error:
            return None, 0 if error.entry is None else error.entry.revision or 0  # one that was deleted has a revision
        try:
            return _decode(found.value or b""), found.revision or 0
        except msgspec.DecodeError:
            return None, found.revision or 0


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (NatsError, TimeoutError) as error:
        raise JournalUnavailableError(f"The snapshots on NATS can't be reached: {error}.") from None


async def _open_bucket(jetstream: JetStreamContext, bucket: str, replicas: int) -> KeyValue:
    try:
        return await jetstream.key_value(bucket)
    except BucketNotFoundError:
        return await jetstream.create_key_value(
            KeyValueConfig(bucket=bucket, history=1, replicas=replicas, storage=StorageType.FILE)
        )


def _key(name: str, version: int) -> str:
    """A key that holds any name: its hash, because keys take few characters."""
    return f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.{version}"


def _pieces(key: str, entry: _Entry) -> list[str]:
    """The keys of an entry's pieces: other content is in other keys, so a replaced snapshot is never half the new one."""
    return [f"{key}.{entry.sha256.hex()[:16]}-{entry.position}.{number}" for number in range(entry.pieces)]
