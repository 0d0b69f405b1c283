"""Who is told what a facilitator answers."""

from __future__ import annotations

from typing import Final, Protocol


class FacilitatorObserver(Protocol):
    """Told what the facilitator answered, for metrics. Must not block or raise. `reason` is empty for a yes."""

    def verified(self, network: str, reason: str) -> None:
        """A payment was checked."""
        ...

    def settled(self, network: str, reason: str, duration_us: int) -> None:
        """A settlement was answered, `settlement_pending` included."""
        ...


class _Unobserved:
    def verified(self, network: str, reason: str) -> None:
        """Nobody listens."""

    def settled(self, network: str, reason: str, duration_us: int) -> None:
        """Nobody listens."""


UNOBSERVED: Final = _Unobserved()
