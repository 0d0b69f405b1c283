"""Blocks: what one message of the log holds.

JSON: `{"format":1,"block":"…","hub":"…","first":812,"before":"…","after":"…","entries":[…],"kicks":[…]}`, compressed with
Zstandard when it is long (header `Life-Encoding: zstd`). The header `Life-Digest` is BLAKE3 of the message's bytes. `before` and
`after` are the chain's digests, `digest(n) = BLAKE3(digest(n-1) || bytes of entry n)`: those that the embedded engine's file keeps.
A block of kicks alone has no entries and leaves the chain where it is.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from blake3 import blake3

from life.spaces.errors import LogDamagedError
from life.spaces.events import Entry, decode_entry

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FORMAT: Final = 1
COMPRESS_FROM_BYTES: Final = 16 * 1024
"""Shorter blocks are stored as they are: the time is worth more than the room."""
MAX_BLOCK_BYTES: Final = 256 * 2**20
"""An uncompressed block is never longer."""
DIGEST_HEADER: Final = "Life-Digest"
ENCODING_HEADER: Final = "Life-Encoding"
_ZSTD: Final = "zstd"


class Kick(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Sessions of an identity end, on every hub."""

    identity: str
    reason: str = "kicked"
    key: str = ""
    """Only those that this did:key opened; empty: all."""
    kick_id: str = ""
    """A hub hears of it at once and once more from the log, and heeds it once: who comes back meanwhile may stay."""


class Block(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one message of the log holds."""

    format: int
    block: str
    """An id that no other attempt of any hub has."""
    hub: str
    first: int
    """The position of the first entry; of the next one where there is none."""
    before: str
    after: str
    entries: tuple[msgspec.Raw, ...] = ()
    kicks: tuple[Kick, ...] = ()


class Packed(NamedTuple):
    """A message, ready to be published."""

    body: bytes
    headers: dict[str, str]


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Block)


def chained(before: bytes, entries: Sequence[bytes | msgspec.Raw]) -> bytes:
    """The chain's digest after these entries."""
    digest = before
    for entry in entries:
        digest = blake3(digest + bytes(entry)).digest()
    return digest


def pack(block: Block) -> Packed:
    """A block as a message."""
    body = _encoder.encode(block)
    headers = {}
    if len(body) >= COMPRESS_FROM_BYTES:
        body = zstd.compress(body, level=1)
        headers[ENCODING_HEADER] = _ZSTD
    headers[DIGEST_HEADER] = blake3(body).hexdigest()
    return Packed(body, headers)


def unpack(sequence: int, body: bytes, headers: Mapping[str, str]) -> Block:
    """The block of a message. LogDamagedError when the bytes are not those that were published, or no block."""
    if blake3(body).hexdigest() != headers.get(DIGEST_HEADER):
        raise LogDamagedError(
            f"Message {sequence} of the log is not what was published.", details={"sequence": sequence}
        )
    try:
        block = _decoder.decode(_opened(body) if headers.get(ENCODING_HEADER) == _ZSTD else body)
    except (msgspec.MsgspecError, zstd.ZstdError, ValueError) as error:
        raise LogDamagedError(
            f"Message {sequence} of the log can't be read: {error}.", details={"sequence": sequence}
        ) from None
    if block.format != FORMAT:
        raise LogDamagedError(
            f"Message {sequence} of the log has the format {block.format}; this program knows {FORMAT}.",
            next_step="Update this program: another hub is newer.",
            details={"sequence": sequence},
        )
    return block


def entries_of(sequence: int, block: Block) -> list[Entry]:
    """The entries, in order and without gaps. LogDamagedError otherwise."""
    try:
        entries = [decode_entry(bytes(raw)) for raw in block.entries]
    except msgspec.MsgspecError as error:
        raise LogDamagedError(
            f"An entry in message {sequence} of the log can't be read: {error}.", details={"sequence": sequence}
        ) from None
    for position, entry in enumerate(entries, block.first):
        if entry.position != position:
            raise LogDamagedError(
                f"Message {sequence} of the log has entry {entry.position} where {position} belongs.",
                details={"sequence": sequence},
            )
    return entries


def _opened(body: bytes) -> bytes:
    decompressor = zstd.ZstdDecompressor()
    data = decompressor.decompress(body, max_length=MAX_BLOCK_BYTES + 1)
    if len(data) > MAX_BLOCK_BYTES or not decompressor.eof:
        raise ValueError("it is too long or cut off")
    return bytes(data)
