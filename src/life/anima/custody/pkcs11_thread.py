"""The one thread of a PKCS#11 module, and what the module's return codes mean (AN-TPM-3 to AN-TPM-5).

A module is C code with state of its own for the whole process: it is initialised once, a login counts for every session of
the token, and it need not bear calls from two threads. So each module has one thread here, and everything that touches the
module runs on it. A call has a deadline; C code can't be interrupted, so a call that misses it goes on alone, and until it
ends everything else is refused at once instead of queueing up behind it.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from life.aios.errors import CustodyError, MissingExtraError
from life.anima.custody.errors import TokenRemovedError
from life.anima.errors import (
    AmbiguousKeyError,
    CustodyAuthFailedError,
    CustodyLockedError,
    CustodyTimeoutError,
    CustodyUnavailableError,
    KeyNotFoundError,
    StaleHandleError,
    UnsupportedOperationError,
)

if TYPE_CHECKING:
    from types import ModuleType

_Result = TypeVar("_Result")

WRONG_PIN: Final = frozenset({"PinIncorrect", "PinInvalid", "PinLenRange", "PinExpired", "UserPinNotInitialized"})
LOST_SESSION: Final = frozenset(
    {"SessionHandleInvalid", "SessionClosed", "ObjectHandleInvalid", "KeyHandleInvalid", "UserNotLoggedIn"}
)
"""The session is gone, the token may still be there: worth one new session."""
_REMOVED: Final = frozenset(
    {"DeviceRemoved", "TokenNotPresent", "TokenNotRecognised", "SlotIDInvalid", "NoSuchToken"} | LOST_SESSION
)
_UNSUPPORTED: Final = frozenset(
    {
        "MechanismInvalid",
        "MechanismParamInvalid",
        "DomainParamsInvalid",
        "FunctionNotSupported",
        "AttributeValueInvalid",
        "TokenWriteProtected",
        "SessionReadOnly",
    }
)
_CURVE_NOT_SUPPORTED: Final = "0x140"  # CKR_CURVE_NOT_SUPPORTED (PKCS#11 3.0), which the binding has no name for


def load_binding() -> ModuleType:
    """The package python-pkcs11. MissingExtraError when it is not installed."""
    try:
        import pkcs11
    except ImportError:
        raise MissingExtraError("A PKCS#11 token", "pkcs11") from None
    return pkcs11


def explain(error: Exception, *, token: str) -> CustodyError:
    """What a return code of the module means for a person; `token` names the token in the sentence."""
    name = type(error).__name__
    code = {"pkcs11_error": name}
    if name in WRONG_PIN:
        return CustodyAuthFailedError(
            f"The PIN does not open {token}. It is not tried again.",
            next_step="Correct the PIN before the next start: a token locks itself after a few wrong ones.",
            details=code,
        )
    if name == "PinLocked":
        return CustodyLockedError(
            f"{token} has locked itself after too many wrong PINs.",
            next_step=(
                "A TPM takes the PIN again after its recovery time (often 1000 s for each failure), or after "
                "`tpm2_dictionarylockout --clear-lockout`; another token needs its security officer."
            ),
            details=code,
        )
    if name in _REMOVED:
        return TokenRemovedError(
            f"{token} is not there.", next_step="Plug it in, or start the service behind it.", details=code
        )
    if name == "NoSuchKey":
        return KeyNotFoundError(f"{token} holds no such key.", details=code)
    if name in ("MultipleObjectsReturned", "MultipleTokensReturned"):
        return AmbiguousKeyError(f"Several objects fit; {token} can't be used.", details=code)
    if name in _UNSUPPORTED or _CURVE_NOT_SUPPORTED in str(error):
        return UnsupportedOperationError(f"{token} can't do this ({name}).", details=code)
    return CustodyUnavailableError(
        f"{token} did not answer as it should ({name}).",
        next_step="Look at the module's own log; the service behind it may have to be started again.",
        details=code,
    )


class ModuleThread:
    """Runs calls one after the other, on a thread that never keeps the process from ending."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._pid = os.getpid()
        self._overdue = threading.Event()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def call(
        self, work: Callable[[], _Result], *, timeout_s: float, undo: Callable[[_Result], None] | None = None
    ) -> _Result:
        """Run `work` on the thread; a result that nobody waits for any more is given to `undo`, on the thread, too.

        CustodyTimeoutError after `timeout_s`; CustodyUnavailableError while an earlier call
        that missed its deadline still runs; StaleHandleError in a forked process, which has no such thread."""
        if os.getpid() != self._pid:
            raise StaleHandleError("A token can't be used in a forked process; open it there again.")
        if self._overdue.is_set():
            raise CustodyUnavailableError(
                "The token still works on an earlier call that ran out of time.",
                next_step="If this lasts, restart the service behind the token, then this process.",
            )
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Result] = loop.create_future()

        def job() -> None:
            if future.cancelled():
                return
            try:
                result = work()
            except BaseException as error:
                failure = error
                self._tell(loop, lambda: None if future.done() else future.set_exception(failure))
                return
            if not self._tell(loop, lambda: deliver(result)) and undo is not None:
                undo(result)

        def deliver(result: _Result) -> None:
            if not future.done():
                future.set_result(result)
            elif undo is not None:
                self._jobs.put(lambda: undo(result))

        self._jobs.put(job)
        try:
            return await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            self._overdue.set()
            self._jobs.put(self._overdue.clear)  # runs as soon as the overdue call has ended
            raise CustodyTimeoutError(f"The token did not answer within {timeout_s:g} s.") from None

    def post(self, work: Callable[[], None]) -> None:
        """Run `work` on the thread some time, after all calls before it; nobody waits for it, and it must not raise."""
        self._jobs.put(work)

    @staticmethod
    def _tell(loop: asyncio.AbstractEventLoop, news: Callable[[], object]) -> bool:
        """Hand over to the loop; False when it has closed, and nobody waits any more."""
        try:
            loop.call_soon_threadsafe(news)
        except RuntimeError:
            return False
        return True

    def end(self) -> None:
        """Let the thread end once its calls are done."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
