"""Group commit in the event loop: everything that was appended in one pass of the loop is one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from life.aios.errors import JournalUnavailableError
from life.lago.journal.entries import Batch, Placed
from life.lago.journal.store import Outcome, Store, WriteLockBusyError

LOCK_PATIENCE_S: Final = 10.0
"""How long another process may hold the write lock before the waiting batches fail."""

_RETRY_S: Final = 0.001


class LoopWriter:
    """Commits in the loop. While another process writes, it tries again every millisecond without blocking the loop."""

    def __init__(self, path: Path, *, warm: bool) -> None:
        self._path = path
        self._store = Store(path)
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Batch] = []
        self._futures: list[asyncio.Future[list[Placed]]] = []
        self._drain_handle: asyncio.Handle | None = None
        self._blocked_since: float | None = None
        self._settled: asyncio.Future[None] | None = None
        if warm:
            self._store.warm()

    @property
    def process_id(self) -> None:
        """See Writer."""

    def submit(self, batch: Batch) -> asyncio.Future[list[Placed]]:
        """See Writer."""
        future: asyncio.Future[list[Placed]] = asyncio.Future(loop=self._loop)
        self._waiting.append(batch)
        self._futures.append(future)
        if self._drain_handle is None:
            self._drain_handle = self._loop.call_soon(self._drain)
        return future

    async def aclose(self) -> None:
        """See Writer."""
        if self._waiting:
            self._settled = self._loop.create_future()
            await self._settled
        self._store.close()

    def _drain(self) -> None:
        self._drain_handle = None
        waiting = self._waiting
        try:
            outcomes = self._store.commit(waiting)
        except WriteLockBusyError:
            self._wait_for_lock()
            return
        except Exception as error:
            outcomes = [JournalUnavailableError(f"The journal {self._path} can't be written: {error}.")] * len(waiting)
        self._blocked_since = None
        self._settle(outcomes)

    def _settle(self, outcomes: Sequence[Outcome]) -> None:
        """Answer everybody who waits."""
        futures, self._futures = self._futures, []
        self._waiting = []
        for future, outcome in zip(futures, outcomes, strict=True):
            if future.done():  # its caller was cancelled; the events are stored all the same
                continue
            if isinstance(outcome, list):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    def _wait_for_lock(self) -> None:
        now = self._loop.time()
        if self._blocked_since is None:
            self._blocked_since = now
        if now - self._blocked_since < LOCK_PATIENCE_S:
            self._drain_handle = self._loop.call_later(_RETRY_S, self._drain)
            return
        self._blocked_since = None
        locked = JournalUnavailableError(f"The journal {self._path} is locked by another process.")
        self._settle([locked] * len(self._waiting))
