"""One side of an open link: both streams, acknowledgement, heartbeat. It ends when nothing is heard for three heartbeats."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from life.aios.ports.clock import Clock
from life.spaces.relay.carrier import Carrier, quiet
from life.spaces.relay.envelopes import Text, frame_bytes, frame_text
from life.spaces.relay.errors import RelayForgedError
from life.spaces.relay.sealing import LinkKeys, Side
from life.spaces.relay.stream import MAX_BATCH_BYTES, Inbox, Outbox

BEAT_US: Final = 10_000_000
SILENCE_US: Final = 3 * BEAT_US
"""Nothing heard for so long: the other side is offline."""
TICK_US: Final = 50_000
ACK_AFTER_US: Final = 150_000
ACK_EVERY: Final = 8
RESEND_US: Final = 1_500_000
MAX_RESEND_US: Final = 8_000_000
RESENT_AT_ONCE: Final = 8
_CHUNK_BYTES: Final[dict[Side, int]] = {"owner": 2_800, "node": 11_700}
"""An owner's chunks fit into a direct message (4000 characters), a node's into a signal (16 KiB)."""
_MOST_BYTES: Final[dict[Side, int]] = {"owner": MAX_BATCH_BYTES, "node": 1024 * 1024}
"""What each side takes at once: what owners send is short, and there are many of them."""


class _Control(msgspec.Struct, frozen=True):
    received: int
    closing: bool = False


_controls: Final = msgspec.json.Decoder(_Control)


class Link:
    """Made by `node` and `owner`; `run` is its life."""

    def __init__(
        self,
        link_id: str,
        keys: LinkKeys,
        *,
        side: Side,
        carrier: Carrier,
        place: int,
        clock: Clock,
        on_message: Callable[[bytes], None],
    ) -> None:
        self.id = link_id
        self.place = place
        self._keys = keys
        self._carrier = carrier
        self._clock = clock
        self._on_message = on_message
        self._inbox = Inbox(most_bytes=_MOST_BYTES[side])
        self._outbox = Outbox(
            lambda number, plain: keys.seal("data", number, plain, link=link_id), chunk_bytes=_CHUNK_BYTES[side]
        )
        now_us = clock.monotonic_us()
        self._heard_us = now_us
        self._beat_us = now_us
        self._control_sent = 0
        self._control_seen = 0
        self._unacknowledged = 0
        self._acknowledge_at_us: int | None = None
        self._progress_us = now_us
        self._resend_us = RESEND_US
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.closed = asyncio.Event()
        self.forged = 0
        """Frames that were not what they said."""

    # ── what goes out ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def put(self, message: bytes, *, keep: bool = False) -> bool:
        """Send a JSON object, once there is room; False when the link is closed."""
        while self._outbox.is_full and not self.closed.is_set():
            self._room.clear()
            await self._room.wait()
        if self.closed.is_set():
            return False
        self._outbox.put(message, keep=keep)
        self._wake.set()
        return True

    async def run(self) -> None:
        """Send what waits, acknowledge, beat, until the link is closed."""
        ticking = asyncio.create_task(self._tick())
        try:
            await self._control()
            while not self.closed.is_set():
                await self._wake.wait()
                self._wake.clear()
                await self._work()
        finally:
            self.close()
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)

    def close(self) -> None:
        """Nothing goes out or comes in any more."""
        self.closed.set()
        self._room.set()
        self._wake.set()

    async def say_goodbye(self) -> None:
        """End it, and tell the other side, so that it need not find out by the silence. It is ended first: nobody keeps a link open by
        letting the goodbye wait."""
        if not self.closed.is_set():
            self.close()
            await self._control(closing=True)

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep_us(TICK_US)
            now_us = self._clock.monotonic_us()
            if now_us - self._heard_us >= SILENCE_US:
                self.close()
                return
            self._wake.set()

    async def _work(self) -> None:
        while self._outbox.can_send and not self.closed.is_set():
            chunk = self._outbox.next()
            text = frame_text("data", self.id, chunk.number, chunk.sealed)
            if chunk.keep:
                await quiet(self._carrier.post(self.place, text, key=f"{self.id}.{chunk.number}"))
            else:
                await quiet(self._carrier.signal(self.place, text))
            self._make_room()
            if self._must_acknowledge():
                await self._control()
        if self._must_acknowledge() or self._clock.monotonic_us() - self._beat_us >= BEAT_US:
            await self._control()
        await self._send_again()

    def _make_room(self) -> None:
        if not self._outbox.is_full:
            self._room.set()

    def _must_acknowledge(self) -> bool:
        due_us = self._acknowledge_at_us
        return due_us is not None and (self._unacknowledged >= ACK_EVERY or self._clock.monotonic_us() >= due_us)

    async def _control(self, *, closing: bool = False) -> None:
        self._control_sent += 1
        self._beat_us = self._clock.monotonic_us()
        self._unacknowledged, self._acknowledge_at_us = 0, None
        plain = msgspec.json.encode(_Control(self._inbox.received, closing))
        sealed = self._keys.seal("control", self._control_sent, plain, link=self.id)
        await quiet(self._carrier.signal(self.place, frame_text("control", self.id, self._control_sent, sealed)))

    async def _send_again(self) -> None:
        oldest = self._outbox.unacknowledged(RESENT_AT_ONCE)
        if not oldest:
            self._progress_us, self._resend_us = self._clock.monotonic_us(), RESEND_US
            return
        if self._clock.monotonic_us() - self._progress_us < self._resend_us:
            return
        for number, sealed in oldest:
            await quiet(self._carrier.signal(self.place, frame_text("data", self.id, number, sealed)))
        self._progress_us = self._clock.monotonic_us()
        self._resend_us = min(2 * self._resend_us, MAX_RESEND_US)

    # ── what comes in ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def take(self, text: Text) -> None:
        """A frame. What is forged, replayed or out of place changes nothing."""
        if self.closed.is_set():
            return
        try:
            if text.kind == "control":
                self._take_control(text)
            else:
                self._take_data(text)
        except RelayForgedError:
            self.forged += 1

    def _take_control(self, text: Text) -> None:
        if text.number <= self._control_seen:
            return
        plain = self._keys.open("control", text.number, frame_bytes(text.body), link=self.id)
        try:
            control = _controls.decode(plain)
        except (msgspec.MsgspecError, RecursionError):
            raise RelayForgedError("A control frame is not what it should be.") from None
        self._control_seen = text.number
        self._heard_us = self._clock.monotonic_us()
        if self._outbox.acknowledge(control.received):
            self._progress_us, self._resend_us = self._heard_us, RESEND_US
        if control.closing:
            self.close()
        self._wake.set()

    def _take_data(self, text: Text) -> None:
        now_us = self._clock.monotonic_us()
        if not self._inbox.wants(text.number):
            if text.number <= self._inbox.received and self._acknowledge_at_us is None:
                self._acknowledge_at_us = now_us + ACK_AFTER_US  # our acknowledgement was lost
            return
        plain = self._keys.open("data", text.number, frame_bytes(text.body), link=self.id)
        self._heard_us = now_us
        try:
            messages = self._inbox.take(text.number, plain)
        except RelayForgedError:
            self.close()  # sealed by the other side, and not in the form: there is nothing to go on with
            raise
        self._unacknowledged += 1
        if self._acknowledge_at_us is None:
            self._acknowledge_at_us = now_us + ACK_AFTER_US
        if self._unacknowledged >= ACK_EVERY:
            self._wake.set()
        for message in messages:
            self._on_message(message)
