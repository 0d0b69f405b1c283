"""What a handle signed or refused, in the journal (AN-EV-2).

A `CustodyJournal` is a handle's observer: it takes each event without waiting and writes them in the background, many at a time,
into a stream of their own (`custody-<agent id>`), so that the identity's stream stays short. Every wallet operation is written; of
tokens, which are many and short-lived, one in `token_sample`. Refusals are always written.

These events are the record of what happened, not the permission for it: what a payment needs on disk before it is signed is
its reservation, which is Haima's. When the journal can't take them, they are counted as lost and the log says so; signing goes
on, because a full audit queue must not stop a shutdown or a revocation.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final

from life.aios.errors import LifeError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.record import AGENT, EventWriter, NewEvent, Stream
from life.anima.events import CustodyDenied, CustodySigned, to_kind
from life.anima.identity import check_agent_id

_log: Final = logging.getLogger(__name__)

MAX_WAITING: Final = 10_000
_BATCH: Final = 200


def custody_stream(agent_id: str) -> Stream:
    """Where an agent's signatures are recorded."""
    return Stream(f"custody-{check_agent_id(agent_id)}")


class CustodyJournal:
    """The observer of one agent's handles. Call `run` as a task, and `flush` before closing the journal."""

    def __init__(
        self, journal: Journal, *, agent_id: str, clock: Clock, entropy: Entropy, token_sample: int = 1
    ) -> None:
        """`token_sample` 1 writes every token, 100 one in a hundred, 0 none."""
        self._journal = journal
        self._writer = EventWriter(clock, entropy, agent_id=agent_id, stream=custody_stream(agent_id), actor=AGENT)
        self._token_sample = token_sample
        self._tokens = 0
        self._waiting: deque[NewEvent] = deque()
        self._bell = asyncio.Event()
        self.lost = 0
        """Events that could not be kept."""

    def __call__(self, event: CustodySigned | CustodyDenied) -> None:
        """Take an event; never waits, never raises."""
        if isinstance(event, CustodySigned) and event.op == "sign_token":
            self._tokens += 1
            if self._token_sample == 0 or self._tokens % self._token_sample:
                return
        if len(self._waiting) >= MAX_WAITING:
            self.lost += 1
            return
        self._waiting.append(self._writer.event(to_kind(event)))
        self._bell.set()

    async def run(self) -> None:
        """Write what comes, until the task is cancelled."""
        while True:
            await self._bell.wait()
            await self.flush()

    async def flush(self) -> None:
        """Write everything that waits."""
        self._bell.clear()
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            try:
                await self._journal.append(batch)
            except LifeError as error:
                self.lost += len(batch)
                _log.error("%d custody events could not be written: %s", len(batch), error.message)
