"""What agents that are connected to the servers themselves are told: one feed per subscription, in numbered messages.

Each message on `<name>.evt.<principal>.<subscription>` has frames as on the WebSocket and the header `Life-Number`, counting from 1. NATS drops what a
slow reader does not take, so a gap in the numbers, or no message for `SILENCE_S`, means: subscribe again, `since` the last position.
A feed lives on the hub that was asked; it ends with the agent's last connection or its lease.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from life.spaces.engine.nats.link import Link
from life.spaces.engine.nats.names import Names
from life.spaces.errors import InvalidArgumentError, SlowConsumerError, SpacesError, SpacesUnavailableError
from life.spaces.listeners.websocket import frames
from life.spaces.subscriptions import LiveSubscription

_log: Final = logging.getLogger(__name__)

NUMBER_HEADER: Final = "Life-Number"
BEAT_S: Final = 5.0
SILENCE_S: Final = 12.0
MAX_FEEDS: Final = 20
"""Of one principal on one hub."""
_PAUSE_S: Final = 0.2


class Feed:
    """One subscription of one agent."""

    def __init__(self, link: Link, subject: str, feed_id: int, subscription: LiveSubscription) -> None:
        self._link = link
        self._subject = subject
        self._id = feed_id
        self._subscription = subscription
        self._number = 0
        self._position = subscription.position
        """Up to which position of the log everything was told."""

    async def run(self, first: list[str]) -> None:
        """Rows, then updates, with a sign of life when there is nothing to tell."""
        try:
            for text in first:
                await self._tell(text)
            first.clear()
            while True:
                try:
                    async with asyncio.timeout(BEAT_S):
                        await self._subscription.ready()
                except TimeoutError:
                    await self._tell(frames.encode(frames.PongFrame()))
                    continue
                for text in frames.update_texts(self._subscription.take(), self._id):
                    await self._tell(text)
                self._position = self._subscription.position
        except SpacesError as error:
            await self.end(error, resumable=isinstance(error, SlowConsumerError))

    async def end(self, error: SpacesError, *, resumable: bool) -> None:
        """The last message, said once."""
        position = self._position if resumable else 0
        ended = frames.EndedFrame(id=self._id, code=error.word, message=error.message, position=position)
        self._number += 1
        headers = {NUMBER_HEADER: str(self._number)}
        await self._link.tell(self._subject, frames.encode(ended).encode(), headers=headers)

    async def aclose(self) -> None:
        """Listen no longer."""
        await self._subscription.aclose()

    async def _tell(self, text: str) -> None:
        """Say it; while the servers are away it waits here, and the subscription's bound does the rest."""
        self._number += 1
        headers = {NUMBER_HEADER: str(self._number)}
        while True:
            if await self._link.tell(self._subject, text.encode(), headers=headers):
                return
            await asyncio.sleep(_PAUSE_S)


class Feeds:
    """All feeds of one hub."""

    def __init__(self, link: Link, names: Names) -> None:
        self._link = link
        self._names = names
        self._open: dict[tuple[str, int], tuple[Feed, asyncio.Task[None]]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def require_room(self, principal: str, feed_id: int) -> None:
        """InvalidArgumentError when there are enough already."""
        mine = [number for who, number in self._open if who == principal]
        if feed_id not in mine and len(mine) >= MAX_FEEDS:
            raise InvalidArgumentError("Too many subscriptions are open.")

    async def start(self, principal: str, feed_id: int, subscription: LiveSubscription, first: list[str]) -> None:
        """Begin to tell; a feed with the same id is replaced."""
        await self.stop(principal, feed_id)
        feed = Feed(self._link, self._names.event(principal, str(feed_id)), feed_id, subscription)
        task = asyncio.create_task(feed.run(first))
        self._open[principal, feed_id] = (feed, task)
        task.add_done_callback(lambda done: self._ended(principal, feed_id, done))

    async def stop(self, principal: str, feed_id: int) -> None:
        """End one, without a word."""
        found = self._open.pop((principal, feed_id), None)
        if found is not None:
            found[1].cancel()
            await found[0].aclose()

    async def stop_all(self, principal: str) -> None:
        """End those of one principal."""
        for who, feed_id in list(self._open):
            if who == principal:
                await self.stop(who, feed_id)

    async def retire(self) -> None:
        """This hub closes: tell everybody from where to go on, at another."""
        for key, (feed, task) in list(self._open.items()):
            task.cancel()
            await asyncio.wait([task])
            self._open.pop(key, None)
            await feed.end(SpacesUnavailableError("This hub closes; subscribe again."), resumable=True)
            await feed.aclose()

    def principals(self) -> set[str]:
        """Who has feeds here."""
        return {who for who, _ in self._open}

    def _ended(self, principal: str, feed_id: int, done: asyncio.Task[None]) -> None:
        found = self._open.get((principal, feed_id))
        if found is not None and found[1] is done:
            del self._open[principal, feed_id]
        if not done.cancelled() and done.exception() is not None:
            _log.warning("a feed failed: %s", done.exception())
