"""Taking turns among hubs.

Two blocks for one place can't both be stored: the server takes the one that comes first and refuses the other. Left alone, the
hub that has just succeeded knows the end of the log and is back before the loser has read on. Therefore a loser tells all (a message on
`<name>.contend`, which is not stored), and for two seconds everybody who heard of others takes turns with them: in the order of their ids, beginning
after the one whose block is the newest. Who is next goes at once; the others wait until it is their turn, a little longer for
every hub before them that does not use its own. It is a courtesy and proves nothing: the server decides. While nobody loses, nobody waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from life.spaces.engine.nats.link import Link, Msg
from life.spaces.engine.nats.names import Names

REMEMBERED_S: Final = 2.0
_SHORTEST_S: Final = 0.001
_LONGEST_WAIT_S: Final = 0.25
_ROUNDS: Final = 8
"""Blocks of others that we let pass, at most."""


class Contention:
    """Who else writes at this time. For one event loop."""

    def __init__(self, link: Link, names: Names, hub: str) -> None:
        self._link = link
        self._subject = names.contend
        self._hub = hub.encode()
        self._heard: dict[bytes, float] = {}
        self._usual_s = _SHORTEST_S
        self._loop = asyncio.get_running_loop()
        self.losses = 0
        """Blocks that came too late."""

    async def listen(self) -> None:
        """Hear who loses."""

        async def heard(message: Msg) -> None:
            if message.data != self._hub:
                self._heard[message.data] = self._loop.time()

        await self._link.subscribe(self._subject, heard)

    async def lost(self, to: str) -> None:
        """Tell the others that we were too late; `to` is who was quicker, as far as is known."""
        self.losses += 1
        self._heard[to.encode()] = self._loop.time()
        await self._link.tell(self._subject, self._hub)

    def took(self, seconds: float) -> None:
        """How long a block took to be stored."""
        self._usual_s = max(_SHORTEST_S, 0.8 * self._usual_s + 0.2 * seconds)

    @property
    def others(self) -> int:
        """How many other hubs were heard lately."""
        if self._heard:
            since = self._loop.time() - REMEMBERED_S
            self._heard = {hub: when for hub, when in self._heard.items() if when >= since}
        return len(self._heard)

    async def turn(self, newest: Callable[[], str], moved: Callable[[float], Awaitable[bool]]) -> None:
        """Wait for our turn. `newest` says whose block is the newest, `moved` waits for the next block, or so many seconds."""
        for _ in range(_ROUNDS):
            if not self.others:
                return
            before = self._before_us(newest().encode())
            if not before or not await moved(min(before * self._usual_s * 2, _LONGEST_WAIT_S)):
                return

    def _before_us(self, newest: bytes) -> int:
        """How many hubs are before us, if the turn goes round from the one whose block is the newest."""
        ring = sorted({*self._heard, self._hub})
        if newest not in ring:
            return ring.index(self._hub)
        return (ring.index(self._hub) - ring.index(newest) - 1) % len(ring)
