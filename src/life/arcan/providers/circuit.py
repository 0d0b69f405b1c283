"""A circuit per provider: after several failures in a row nobody asks it for a while, and then one call tries.

    closed ─ enough failures in a row → open ─ rest is over → trying (one call) ─ success → closed
                                                                               └ failure → open again, for longer

Failures are those that say something about the provider's health: no connection, 5xx, an answer that broke off. A refused
request, a wrong key and a full quota are not.
"""

from __future__ import annotations

from typing import Final, Literal

from life.aios.errors import ProviderError
from life.aios.ports.clock import Clock
from life.arcan.errors import (
    ProviderCircuitOpenError,
    ProviderInterruptedError,
    ProviderUnavailableError,
    ProviderUnreachableError,
)

FAILURES: Final = 5
REST_MS: Final = 30_000
LONGEST_REST_MS: Final = 300_000

CircuitState = Literal["closed", "open", "trying"]


class Circuit:
    """The circuit of one provider, shared by all sessions."""

    def __init__(self, clock: Clock, *, failures: int = FAILURES, rest_ms: int = REST_MS) -> None:
        self._clock = clock
        self._allowed = failures
        self._first_rest_us = rest_ms * 1000
        self._rest_us = self._first_rest_us
        self._failed = 0
        self._open_until_us: int | None = None
        self._trying = False

    @property
    def state(self) -> CircuitState:
        """Where it stands now."""
        if self._open_until_us is None:
            return "closed"
        return "trying" if self._trying else "open"

    def enter(self, provider: str) -> None:
        """Pass, or ProviderCircuitOpenError with the time that is left."""
        if self._open_until_us is None:
            return
        left_us = self._open_until_us - self._clock.monotonic_us()
        if left_us > 0 or self._trying:
            raise ProviderCircuitOpenError(provider, retry_after_us=max(left_us, 1_000_000))
        self._trying = True

    def succeeded(self) -> None:
        """An answer came to its end."""
        self._failed = 0
        self._open_until_us = None
        self._trying = False
        self._rest_us = self._first_rest_us

    def failed(self, error: ProviderError) -> bool:
        """A call failed; True when that opened the circuit."""
        if not isinstance(error, ProviderUnavailableError | ProviderUnreachableError | ProviderInterruptedError):
            self.abandoned()
            return False
        self._failed += 1
        if not self._trying and (self._failed < self._allowed or self._open_until_us is not None):
            return False
        if self._trying:
            self._rest_us = min(2 * self._rest_us, LONGEST_REST_MS * 1000)
        self._trying = False
        self._open_until_us = self._clock.monotonic_us() + self._rest_us
        return True

    def abandoned(self) -> None:
        """A call ended without saying anything about the provider's health: the next one may try."""
        self._trying = False
