"""Reading the log: what other hubs wrote, and how fresh this hub's knowledge is.

Blocks that the server repeats live are taken as they come. They may get lost when a connection breaks, so after a gap, after a
reconnect and every half second the end of the log is looked up with the stream's leader, and what is missing is read in pages. The
look is also this hub's contact: without an answer for `CONTACT_S` it is cut off and serves nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from life.aios.ports.clock import Clock
from life.spaces.engine.nats.blocks import Block
from life.spaces.engine.nats.errors import CutOffError, OutcomeUnknownError
from life.spaces.engine.nats.link import SEQUENCE_HEADER, Link, Msg, RefusedError, Stored, UnreachableError
from life.spaces.engine.nats.names import Names
from life.spaces.engine.nats.replica import Replica
from life.spaces.engine.nats.stream import stream_info
from life.spaces.errors import LogDamagedError, SpacesError
from life.spaces.events import Entry

_log: Final = logging.getLogger(__name__)

LOOK_S: Final = 0.5
CONTACT_S: Final = 5.0
"""So long a hub serves what it knows without hearing from the stream's leader."""
PAGE_BLOCKS: Final = 128
SHORTER_PATIENCE_S: Final = 20.0
"""So long a leader may know less than we do: one that was cut off and has not noticed."""
PATIENT_PAGES: Final = 10
"""Empty pages of a replica that lags, before the leader is asked."""
_RETRY_S: Final = 0.02


class Follower:
    """Keeps a replica at the end of the log. `on_damage` is called once, when it can't be."""

    def __init__(
        self,
        link: Link,
        names: Names,
        replica: Replica,
        deployment: str,
        *,
        clock: Clock,
        on_damage: Callable[[SpacesError], None],
    ) -> None:
        self._link = link
        self._names = names
        self._replica = replica
        self._deployment = deployment
        self._clock = clock
        self._on_damage = on_damage
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()
        self._reading = asyncio.Lock()
        self._shorter_since: float | None = None
        self.skew_us = 0
        """How far this hub's clock is ahead of the stream's leader's, when that was asked last."""
        self._contact_at = self._loop.time()
        self._advanced: asyncio.Future[None] = self._loop.create_future()

    async def listen(self) -> None:
        """Take blocks as the server repeats them."""

        async def repeated(message: Msg) -> None:
            headers = message.headers or {}
            sequence = int(headers.get(SEQUENCE_HEADER, 0))
            try:
                if self._replica.take(Stored(sequence, message.data, headers)):
                    self._woke()
                elif sequence > self._replica.sequence:
                    self.ring()
            except LogDamagedError:  # the stream's leader shall say whether it is so
                self.ring()
            except SpacesError as failure:
                self._on_damage(failure)

        await self._link.subscribe(self._names.live, repeated)

    def ring(self) -> None:
        """Look now."""
        self._rung.set()

    @property
    def silence_s(self) -> float:
        """How old this hub's knowledge may be: since when it is not known to be the newest."""
        return self._loop.time() - self._contact_at

    def require_contact(self) -> None:
        """CutOffError when what this hub knows may be old."""
        if self.silence_s > CONTACT_S:
            raise CutOffError(f"nothing was heard for {self.silence_s:.0f} seconds")

    def wrote(self, sequence: int, block: Block, entries: Sequence[Entry]) -> None:
        """A block of this hub is stored at this place; it may have been taken already as the server repeated it."""
        if self._replica.sequence < sequence:
            try:
                self._replica.advance(sequence, block, entries)
            except SpacesError as damage:
                self._on_damage(damage)
                raise OutcomeUnknownError(f"it is in the log, but this hub can't go on ({damage.message})") from None
            self._woke()
        self._contact_at = self._loop.time()

    async def run(self) -> None:
        """Read on for as long as the task runs."""
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._rung.wait()
            except TimeoutError:
                pass
            self._rung.clear()
            try:
                await self.sync()
            except (UnreachableError, RefusedError) as error:
                _log.debug("the log can't be looked up: %s", error)
                await asyncio.sleep(_RETRY_S)
            except SpacesError as damage:
                self._on_damage(damage)
                return

    async def sync(self) -> int:
        """Read everything that the stream's leader has now; the sequence of its newest message.

        UnreachableError and RefusedError when it can't be asked; LogDamagedError.
        """
        info = await stream_info(self._link, self._names.stream)
        if info.deployment != self._deployment:
            raise LogDamagedError(
                f"The stream {self._names.stream} holds another deployment now.",
                next_step="Restore the servers, or start with an empty folder.",
            )
        if not info.has_majority:
            raise UnreachableError("the log's leader has lost the majority")
        if info.server_us is not None:
            self.skew_us = self._clock.now_us() - info.server_us
        last = info.state.last_seq
        self._judge(last)
        began = self._loop.time()
        await self.read_to(last)
        self._contact_at = max(self._contact_at, began)
        return last

    async def read_to(self, last: int) -> None:
        """Read the log up to a message that is known to be stored."""
        if self._replica.sequence >= last:
            return
        async with self._reading:
            idle = 0
            while self._replica.sequence < last:
                before = self._replica.sequence
                for message in await self._link.page(self._names.stream, before + 1, PAGE_BLOCKS):
                    await self._take(message)
                if self._replica.sequence > before:
                    idle = 0
                    await asyncio.sleep(0)
                elif (idle := idle + 1) < PATIENT_PAGES:
                    await asyncio.sleep(_RETRY_S)  # the replica that answered lags
                elif await self._take_from_leader(before + 1):
                    self._woke()

    async def advanced(self, beyond: int, within_s: float) -> bool:
        """Wait until a message after `beyond` was taken; False when none came in time."""
        try:
            async with asyncio.timeout(within_s):
                while self._replica.sequence <= beyond:
                    await asyncio.shield(self._advanced)
        except TimeoutError:
            return False
        return True

    async def _take(self, message: Stored) -> None:
        """Take a message of a page. One that is damaged may be so on the server that gave it only: the stream's leader is asked."""
        try:
            taken = self._replica.take(message)
        except LogDamagedError as damage:
            _log.warning("a server gave a damaged message; the log's leader is asked: %s", damage)
            taken = await self._take_from_leader(message.sequence)
        except SpacesError as failure:
            self._on_damage(failure)
            raise
        if taken:
            self._woke()

    async def _take_from_leader(self, sequence: int) -> bool:
        message = await self._link.at(self._names.stream, sequence)
        if message is None:
            raise UnreachableError(f"the log's leader has no message {sequence}")
        try:
            return self._replica.take(message)
        except SpacesError as damage:
            self._on_damage(damage)
            raise

    def _woke(self) -> None:
        """The replica has moved on."""
        if not self._advanced.done():
            self._advanced.set_result(None)
        self._advanced = self._loop.create_future()

    def _judge(self, last: int) -> None:
        """A leader that knows less than we do is one that was cut off, for a while; then it is a log that lost something."""
        if last >= self._replica.sequence:
            self._shorter_since = None
            return
        now = self._loop.time()
        if self._shorter_since is None:
            self._shorter_since = now
        if now - self._shorter_since > SHORTER_PATIENCE_S:
            raise LogDamagedError(
                f"The log on the servers ends at message {last}; this hub has read {self._replica.sequence}.",
                next_step="The servers lost part of the log. Restore them.",
            )
        raise UnreachableError("the server that answered knows less than this hub")
