"""Taking turns among processes that append to the same streams.

Two groups for one stream can't both be stored: the server takes the one that comes first and refuses the other. Left alone,
a writer that has just succeeded knows the head and is back before a loser has looked it up, so the loser might never get
its turn. Therefore a loser tells all (a message on `<name>.contend`, which is not stored), and for two seconds everybody
who heard of others looks the heads up anew and waits for a random part of a window before each batch. The window grows
with the number of writers heard. While nobody loses, nobody waits.
"""

from __future__ import annotations

import asyncio
from typing import Final

from life.aios.ports.clock import Entropy
from life.lago.journal.nats.connection import Connection, Msg, NatsError
from life.lago.journal.nats.subjects import Subjects

REMEMBERED_S: Final = 2.0
_SHORTEST_S: Final = 0.001
_LONGEST_WINDOW_S: Final = 0.25


class Contention:
    """Who else writes at this time. For one event loop."""

    def __init__(self, connection: Connection, subjects: Subjects, entropy: Entropy, writer: str) -> None:
        self._connection = connection
        self._subject = f"{subjects.name}.contend"
        self._entropy = entropy
        self._writer = writer.encode()
        self._heard: dict[bytes, float] = {}
        self._usual_s = _SHORTEST_S
        self._loop = asyncio.get_running_loop()

    async def listen(self) -> None:
        """Hear who loses. The subscription ends with the connection."""

        async def heard(message: Msg) -> None:
            if message.data != self._writer:
                self._heard[message.data] = self._loop.time()

        try:
            await self._connection.client.subscribe(self._subject, cb=heard)
        except NatsError:  # without it we are only less polite
            return

    async def lost(self) -> None:
        """Tell the others that we were too late."""
        self._heard[b""] = self._loop.time()  # somebody was quicker, whoever it is
        try:
            await self._connection.client.publish(self._subject, self._writer)
        except NatsError:
            return

    def took(self, seconds: float) -> None:
        """How long a batch took, from looking up to the acknowledgement."""
        self._usual_s = max(_SHORTEST_S, 0.8 * self._usual_s + 0.2 * seconds)

    @property
    def others(self) -> int:
        """How many other writers were heard lately."""
        if not self._heard:
            return 0
        since = self._loop.time() - REMEMBERED_S
        self._heard = {writer: when for writer, when in self._heard.items() if when >= since}
        return len(self._heard)

    async def turn(self) -> bool:
        """Wait for our turn. True when others write, so that what is remembered of heads is probably wrong."""
        others = self.others
        if not others:
            return False
        window_s = min(2 * others * self._usual_s, _LONGEST_WINDOW_S)
        await asyncio.sleep(window_s * self._entropy.token_bytes(1)[0] / 256)
        return True
