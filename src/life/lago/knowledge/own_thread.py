"""Something that belongs to one thread, asked from an event loop.

SQLite's connection and the tables in memory are used by one thread only, one question after the other; a caller who is cancelled leaves the
thread to finish what it does, and nobody else comes in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Closable(Protocol):
    """What can be closed."""

    def close(self) -> None:
        """Let go of files."""
        ...


S = TypeVar("S", bound=Closable)


class OwnThread(Generic[S]):
    """Opens a thing at the first question, in a thread of its own. After `aclose` the next question opens it again."""

    def __init__(self, open: Callable[[], S]) -> None:
        self._open = open
        self._thing: S | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def run(self, work: Callable[[S], T]) -> T:
        """The answer of `work`, with the thing."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="knowledge")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._with_thing, work)

    async def aclose(self) -> None:
        """Close the thing after what is under way, and end the thread."""
        thread, self._thread = self._thread, None
        if thread is not None:
            closing = asyncio.get_running_loop().run_in_executor(thread, self._close)
            thread.shutdown(wait=False)
            await closing

    def _with_thing(self, work: Callable[[S], T]) -> T:
        if self._thing is None:
            self._thing = self._open()
        return work(self._thing)

    def _close(self) -> None:
        thing, self._thing = self._thing, None
        if thing is not None:
            thing.close()
