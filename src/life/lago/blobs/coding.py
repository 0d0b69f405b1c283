"""What lies on the disk for a blob: its bytes as they are, a zstd frame, or either of them sealed under an owner's key.

    <hash>.zst      one zstd frame, level 3: what the Rust original writes and reads
    <hash>.raw      the bytes: too short to compress, or of a kind that does not get smaller
    <hash>.sealed   "LB" 1 <1: raw, 2: zstd> <length of the key's id> <id> <7 random bytes>, then pieces

A sealed piece is 64 KiB of the inner form under AES-256-GCM. Its nonce is the random prefix, the piece's number and a mark on
the last one, and header and hash are authenticated with every piece: pieces can't be exchanged, left out, or moved to another
blob (the STREAM construction; Hoang, Reyhanitabar, Rogaway, Vizár 2015).

Encoders and decoders take bytes as they come and keep no more than a piece of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from life.aios.ports.clock import Entropy

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVEL: Final = 3
SHORT_BYTES: Final = 64
"""Shorter content is kept as it is."""
SAMPLE_BYTES: Final = 64 * 1024
"""So much of a long content tells whether it gets smaller."""
WORTH_IT: Final = 0.95

MAGIC: Final = b"LB\x01"
INNER_RAW, INNER_ZSTD = 1, 2
PREFIX_BYTES: Final = 7
PIECE_BYTES: Final = 64 * 1024
_TAG_BYTES: Final = 16
_MAX_PIECES: Final = 2**32 - 1


class CodingError(ValueError):
    """Stored bytes that are none of the forms, or were changed."""


class KeyNotHereError(Exception):
    """A sealed blob's key is not known. `key_id` says which."""

    def __init__(self, key_id: str) -> None:
        super().__init__(key_id)
        self.key_id = key_id


class BlobKeys(Protocol):
    """An owner's keys. New blobs are sealed under the current one; older ones stay readable while their key is known."""

    @property
    def current(self) -> str:
        """The id of the key for new blobs: 1 to 255 bytes of UTF-8."""
        ...

    def key(self, key_id: str) -> bytes | None:
        """The 32 bytes of a key; None when it is not here."""
        ...


class Coder(Protocol):
    """One direction, one blob."""

    def feed(self, content: bytes) -> bytes:
        """Some more input; what comes out of it. CodingError."""
        ...

    def finish(self) -> bytes:
        """The end of the input; what is left. CodingError when it came too early."""
        ...


class Plain:
    """Bytes as they are."""

    def feed(self, content: bytes) -> bytes:
        """See Coder."""
        return content

    def finish(self) -> bytes:
        """See Coder."""
        return b""


class Compress:
    """To one zstd frame."""

    def __init__(self) -> None:
        self._inner = zstd.ZstdCompressor(level=LEVEL)

    def feed(self, content: bytes) -> bytes:
        """See Coder."""
        return self._inner.compress(content)

    def finish(self) -> bytes:
        """See Coder."""
        return self._inner.flush()


class Decompress:
    """From one zstd frame, never to more than `limit_bytes`: a small frame can hold a lot (a zip bomb)."""

    def __init__(self, limit_bytes: int) -> None:
        self._inner = zstd.ZstdDecompressor()
        self._left = limit_bytes

    def feed(self, content: bytes) -> bytes:
        """See Coder."""
        if self._inner.eof:
            if content:
                raise CodingError("something stands behind the frame")
            return b""
        parts: list[bytes] = []
        try:
            parts.append(self._inner.decompress(content, self._left + 1))
            while not self._inner.eof and not self._inner.needs_input and len(parts[-1]):
                parts.append(self._inner.decompress(b"", self._left + 1))
        except zstd.ZstdError:
            raise CodingError("the frame can't be read") from None
        plain = b"".join(parts)
        self._left -= len(plain)
        if self._left < 0:
            raise CodingError("it is longer than a blob may be")
        if self._inner.unused_data:
            raise CodingError("something stands behind the frame")
        return plain

    def finish(self) -> bytes:
        """See Coder."""
        if not self._inner.eof:
            raise CodingError("the frame has no end")
        return b""


class Seal:
    """Around another encoder, under an owner's key."""

    def __init__(self, inner: Coder, *, inner_form: int, keys: BlobKeys, entropy: Entropy) -> None:
        key_id = keys.current
        key, name = keys.key(key_id), key_id.encode()
        if key is None or len(key) != 32 or not 0 < len(name) < 256:
            raise KeyNotHereError(key_id)
        self._inner = inner
        self._cipher = AESGCM(key)
        self._prefix = entropy.token_bytes(PREFIX_BYTES)
        self._header = MAGIC + bytes([inner_form, len(name)]) + name + self._prefix
        self._bound = b""
        self._waiting = bytearray()
        self._number = 0
        self._begun = False

    def bind(self, blob_hash: str) -> None:
        """The hash that every piece is authenticated with; before the first byte."""
        self._bound = self._header + bytes.fromhex(blob_hash)

    def feed(self, content: bytes) -> bytes:
        """See Coder."""
        self._waiting += self._inner.feed(content)
        return self._start() + self._pieces()

    def finish(self) -> bytes:
        """See Coder."""
        self._waiting += self._inner.finish()
        out = self._start() + self._pieces()
        return out + self._seal(bytes(self._waiting), last=True)

    def _start(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return self._header

    def _pieces(self) -> bytes:
        out = []
        while len(self._waiting) > PIECE_BYTES:  # one piece stays back: the last one is marked
            out.append(self._seal(bytes(self._waiting[:PIECE_BYTES]), last=False))
            del self._waiting[:PIECE_BYTES]
        return b"".join(out)

    def _seal(self, piece: bytes, *, last: bool) -> bytes:
        sealed = self._cipher.encrypt(_nonce(self._prefix, self._number, last=last), piece, self._bound)
        self._number += 1
        if self._number > _MAX_PIECES:
            raise CodingError("it is longer than a blob may be")
        return sealed


class Unseal:
    """The other way. Raises KeyNotHereError when the header names a key that is not here."""

    def __init__(self, blob_hash: str, *, keys: BlobKeys | None, limit_bytes: int) -> None:
        self._hash = bytes.fromhex(blob_hash)
        self._keys = keys
        self._limit_bytes = limit_bytes
        self._waiting = bytearray()
        self._open: Callable[[bytes, bool], bytes] | None = None
        self._inner: Coder = Plain()
        self._number = 0

    def feed(self, content: bytes) -> bytes:
        """See Coder."""
        self._waiting += content
        if self._open is None and not self._read_header():
            return b""
        assert self._open is not None
        out = []
        whole = PIECE_BYTES + _TAG_BYTES
        while len(self._waiting) > whole:
            out.append(self._inner.feed(self._open(bytes(self._waiting[:whole]), False)))
            del self._waiting[:whole]
        return b"".join(out)

    def finish(self) -> bytes:
        """See Coder."""
        if self._open is None:
            raise CodingError("the header is not whole")
        last = self._inner.feed(self._open(bytes(self._waiting), True))
        return last + self._inner.finish()

    def _read_header(self) -> bool:
        head = self._waiting
        if len(head) < 5:
            return False
        if bytes(head[:3]) != MAGIC or head[3] not in (INNER_RAW, INNER_ZSTD):
            raise CodingError("it is of a form that nobody knows")
        length = 5 + head[4] + PREFIX_BYTES
        if len(head) < length:
            return False
        header = bytes(head[:length])
        try:
            key_id = header[5 : 5 + header[4]].decode()
        except UnicodeDecodeError:
            raise CodingError("the id of its key can't be read") from None
        key = self._keys.key(key_id) if self._keys is not None else None
        if key is None:
            raise KeyNotHereError(key_id)
        cipher, prefix, bound = AESGCM(key), header[-PREFIX_BYTES:], header + self._hash

        def open_piece(piece: bytes, last: bool) -> bytes:
            try:
                plain = cipher.decrypt(_nonce(prefix, self._number, last=last), piece, bound)
            except (InvalidTag, ValueError):
                raise CodingError("its seal is broken") from None
            self._number += 1
            return plain

        self._open = open_piece
        self._inner = Plain() if header[3] == INNER_RAW else Decompress(self._limit_bytes)
        del self._waiting[:length]
        return True


def gets_smaller(sample: bytes) -> bool:
    """Whether compressing is worth it, by the beginning of a content."""
    if len(sample) < SHORT_BYTES:
        return False
    sample = sample[:SAMPLE_BYTES]
    return len(zstd.compress(sample, LEVEL)) < len(sample) * WORTH_IT


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + (b"\x01" if last else b"\x00")
