"""The payer for synchronous programs: the same asynchronous core, driven without a second copy of its logic.

A private event loop belongs to the payer and its journal. It does not run in a thread of its own: whoever needs it takes
a lock and runs it until the work is done. Handing work to another thread and back costs more than the work (a reservation
with an in-memory journal takes some tens of microseconds, two thread switches about a hundred), and the synchronous HTTP
around it happens in the caller's thread anyway. Threads that reserve at the same time take turns.

Notes that nobody waits for are stored by a keeper thread, at most `RIDE_ALONG_US` after the first of them; it sleeps while
there are none. A thread that already runs an event loop of its own (a synchronous client inside asynchronous code) can't
run a second one; its work goes to the keeper's executor.

`close` is deterministic: no new work is taken, the keeper has ended, what was noted is stored, what `build` opened is
closed, and the loop with it, when it returns.

    @asynccontextmanager
    async def build(wake):
        async with SqliteJournal.open(path, …) as journal, Payer(journal=journal, …, wake=wake) as payer:
            yield payer

    with BlockingPayer(build) as payer, httpx2.Client(transport=PayingTransport(payer)) as client:
        client.get("https://example.org/paid")
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Final, TypeVar

from life.aios.errors import JournalError, UnavailableError
from life.haima.payer import Payer, Reconciliation
from life.haima.reservations import Payment
from life.haima.wallet_log import RIDE_ALONG_US
from life.haima.x402.purchase import Conversation, Pause, PurchaseRequest, ReadBody, Receipt, Send, Wait

T = TypeVar("T")

_RETRY_S: Final = 0.25


class BlockingPayer:
    """A Payer behind synchronous methods, for any number of threads."""

    def __init__(self, build: Callable[[Callable[[], None]], AbstractAsyncContextManager[Payer]]) -> None:
        """`build` is entered inside the private loop and left inside it on `close`. It gets the function that must become
        the payer's `wake`, and gives the opened payer. What it raises is raised."""
        self._lock = threading.RLock()
        self._loop = asyncio.new_event_loop()
        self._pending = threading.Event()
        self._closing = threading.Event()
        self._executor: ThreadPoolExecutor | None = None
        self._opened = AsyncExitStack()
        try:
            self._payer = self.wherever(
                lambda: self._run_here(self._opened.enter_async_context(build(self._pending.set)))
            )
        except BaseException:
            self._loop.close()
            self._end_executor()
            raise
        self._keeper = threading.Thread(target=self._keep, name="life-payer-keeper", daemon=True)
        self._keeper.start()

    def __enter__(self) -> BlockingPayer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def payer(self) -> Payer:
        """The payer itself, for reading. Its coroutines run in `run` only."""
        return self._payer

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Run a coroutine of the payer (or of its journal) to its end, in the private loop."""
        if self._closing.is_set():
            work.close()
            raise UnavailableError("The payer is closed.")
        return self.wherever(lambda: self._run_here(work))

    def reconcile(self) -> Reconciliation:
        """See Payer."""
        return self.run(self._payer.reconcile())

    def flush(self) -> None:
        """Return when everything noted so far is on disk."""
        self.run(self._payer.flush())

    def close(self) -> None:
        """Store what waits, then stop. What can't be stored is raised, after everything is closed."""
        with self._lock:
            if self._closing.is_set():
                return
            self._closing.set()
            self._pending.set()
        self._keeper.join()
        try:
            self.wherever(self._shut)
        finally:
            self._end_executor()

    # --- for drivers ------------------------------------------------------------------------------------------------

    def wherever(self, function: Callable[[], T]) -> T:
        """Call it here, or in a thread of our own when a loop runs here already: two can't run in one thread."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return function()
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(1, thread_name_prefix="life-payer")
        return self._executor.submit(function).result()

    def purchase(self, request: PurchaseRequest) -> Conversation[Receipt | None]:
        """The conversation of one call. Only `advance` may move it."""
        return self._payer.purchase(request)

    def advance(
        self, conversation: Conversation[Receipt | None], error: BaseException | None = None
    ) -> Send | ReadBody | Pause | Receipt | None:
        """Move a conversation to its next step that is the driver's (throwing `error` into it first, if there is one), or
        to its receipt. Not for a thread in which a loop runs: see `wherever`."""
        if self._closing.is_set():
            raise UnavailableError("The payer is closed.")
        with self._lock:
            try:
                step = next(conversation) if error is None else conversation.throw(error)
                while isinstance(step, Wait):
                    try:
                        self._loop.run_until_complete(step.perform())
                    except BaseException as failure:
                        step = conversation.throw(failure)
                    else:
                        step = next(conversation)
            except StopIteration as done:
                receipt: Receipt | None = done.value
                return receipt
        return step

    def pause(self, duration_us: int) -> None:
        """Sleep in the caller's thread, without holding up the others. UnavailableError when the payer is closed."""
        if self._closing.wait(duration_us / 1_000_000):
            raise UnavailableError("The payer is closed.")

    def close_conversation(self, conversation: Conversation[Receipt | None]) -> None:
        """Give up a conversation, wherever it stands."""
        with self._lock:
            conversation.close()

    def note_delivered(self, payment: Payment) -> None:
        """See Payer."""
        with self._lock:
            self._payer.note_delivered(payment)

    def note_undelivered(self, payment: Payment) -> None:
        """See Payer."""
        with self._lock:
            self._payer.note_undelivered(payment)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _run_here(self, work: Coroutine[object, object, T]) -> T:
        with self._lock:
            return self._loop.run_until_complete(work)

    def _shut(self) -> None:
        with self._lock:
            try:
                self._loop.run_until_complete(self._opened.aclose())
            finally:
                tasks = asyncio.all_tasks(self._loop)
                for task in tasks:
                    task.cancel()
                if tasks:
                    self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
                self._loop.close()

    def _end_executor(self) -> None:
        if self._executor is not None:
            self._executor.shutdown()

    def _keep(self) -> None:
        """Store notes that nobody waits for."""
        while True:
            self._pending.wait()
            if self._closing.wait(RIDE_ALONG_US / 1_000_000):
                return
            self._pending.clear()
            try:
                self._run_here(self._payer.flush())
            except JournalError:
                # The notes are still queued; nothing new is reserved while the journal is away.
                self._closing.wait(_RETRY_S)
                self._pending.set()
