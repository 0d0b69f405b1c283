"""Messages in order over something that loses, repeats, reorders and delays: pure, without clock or network.

    out = Outbox(chunk_bytes=…)                 inbox = Inbox()
    out.put(b'{"type":"event",…}')              for message in inbox.take(number, chunk): …
    chunk = out.next()                          inbox.received      # what to acknowledge
    out.acknowledge(received)

Messages that wait are packed together, compressed and cut into numbered chunks. At most `WINDOW` chunks are under way; what isn't
acknowledged is sent again, the very same bytes. The receiver keeps what comes early, drops what it has, and gives each message once, in order.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from life.spaces.relay.errors import RelayForgedError

WINDOW: Final = 64
BATCH_BYTES: Final = 256 * 1024
"""Messages are packed together up to this size; a larger one goes alone."""
MAX_BATCH_BYTES: Final = 64 * 1024 * 1024
"""The most that a batch unpacks to: what is compressed can't fill the memory."""
MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024
"""The longest message that is sent."""
MAX_WAITING_BYTES: Final = 4 * 1024 * 1024
"""From here on the sender is full: whoever makes messages waits."""
_LAST: Final = 1
_PACKED: Final = 2


class Chunk(NamedTuple):
    """A chunk to send: its number and final bytes, and whether it is worth being stored on its way."""

    number: int
    sealed: bytes
    keep: bool


class Outbox:
    """What one side sends. `seal` makes the bytes of a chunk final under its number."""

    def __init__(self, seal: Callable[[int, bytes], bytes], *, chunk_bytes: int) -> None:
        self._seal = seal
        self._chunk_bytes = chunk_bytes
        self._messages: deque[tuple[bytes, bool]] = deque()
        self._waiting_bytes = 0
        self._chunks: deque[tuple[bytes, bool]] = deque()
        self._sent: OrderedDict[int, bytes] = OrderedDict()
        self._next = 1

    def put(self, message: bytes, *, keep: bool = False) -> None:
        """One JSON object. `keep`: worth being stored on its way."""
        self._messages.append((message, keep))
        self._waiting_bytes += len(message)

    @property
    def is_full(self) -> bool:
        """Whether more should wait."""
        return self._waiting_bytes >= MAX_WAITING_BYTES

    @property
    def is_idle(self) -> bool:
        """Whether everything was acknowledged."""
        return not (self._messages or self._chunks or self._sent)

    @property
    def can_send(self) -> bool:
        """Whether a chunk waits and may go."""
        return len(self._sent) < WINDOW and bool(self._chunks or self._messages)

    def next(self) -> Chunk:
        """The next chunk. Only when `can_send`."""
        if not self._chunks:
            self._cut(*self._batch())
        number, self._next = self._next, self._next + 1
        plain, keep = self._chunks.popleft()
        sealed = self._sent[number] = self._seal(number, plain)
        return Chunk(number, sealed, keep)

    def unacknowledged(self, limit: int) -> list[tuple[int, bytes]]:
        """The oldest chunks under way, to be sent again."""
        return [item for item, _ in zip(self._sent.items(), range(limit), strict=False)]

    def acknowledge(self, received: int) -> bool:
        """Everything up to a number has arrived; whether that is news. A number that was never sent changes nothing."""
        if received >= self._next:
            return False
        news = False
        while self._sent and next(iter(self._sent)) <= received:
            self._sent.popitem(last=False)
            news = True
        return news

    def _batch(self) -> tuple[bytes, bool]:
        first, keep = self._messages.popleft()
        parts, size = [first], len(first)
        while self._messages and size + len(self._messages[0][0]) <= BATCH_BYTES:
            following, also = self._messages.popleft()
            parts.append(following)
            size, keep = size + len(following), keep or also
        self._waiting_bytes -= size
        return b"[" + b",".join(parts) + b"]", keep

    def _cut(self, batch: bytes, keep: bool) -> None:
        packed = zlib.compress(batch, 3) if len(batch) > 256 else batch
        flags = _PACKED if len(packed) < len(batch) else 0
        body = packed if flags else batch
        room = self._chunk_bytes - 1
        for start in range(0, len(body), room):
            last = _LAST if start + room >= len(body) else 0
            self._chunks.append((bytes((flags | last,)) + body[start : start + room], keep))


_messages: Final = msgspec.json.Decoder(list[msgspec.Raw])


class Inbox:
    """What one side gets."""

    def __init__(self, *, most_bytes: int = MAX_BATCH_BYTES) -> None:
        """`most_bytes`: of one batch, unpacked."""
        self._most_bytes = most_bytes
        self.received = 0
        """Everything up to this number has arrived."""
        self._early: dict[int, bytes] = {}
        self._parts: list[bytes] = []
        self._size = 0

    def wants(self, number: int) -> bool:
        """Whether a chunk of this number is new and not too far ahead: asked before it is opened."""
        return self.received < number <= self.received + WINDOW and number not in self._early

    def take(self, number: int, chunk: bytes) -> list[bytes]:
        """The messages that this chunk completes. RelayForgedError when the other side does not keep to the form."""
        if not self.wants(number):
            return []
        self._early[number] = chunk
        messages: list[bytes] = []
        while (following := self._early.pop(self.received + 1, None)) is not None:
            self.received += 1
            messages += self._join(following)
        return messages

    def _join(self, chunk: bytes) -> list[bytes]:
        if not chunk:
            raise RelayForgedError("A chunk is empty.")
        self._parts.append(chunk[1:])
        self._size += len(chunk)
        if self._size > self._most_bytes:
            raise RelayForgedError("A batch is too long.")
        if not chunk[0] & _LAST:
            return []
        body, self._parts, self._size = b"".join(self._parts), [], 0
        if chunk[0] & _PACKED:
            body = _unpacked(body, self._most_bytes)
        try:
            return [bytes(raw) for raw in _messages.decode(body)]
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            raise RelayForgedError("A batch is not what it should be.") from None


def _unpacked(body: bytes, most_bytes: int) -> bytes:
    unpacking = zlib.decompressobj()
    try:
        plain = unpacking.decompress(body, most_bytes)
    except zlib.error:
        raise RelayForgedError("A batch does not unpack.") from None
    if not unpacking.eof or unpacking.unconsumed_tail or unpacking.unused_data:
        raise RelayForgedError("A batch is too long, or followed by something.")
    return plain
