"""The thresholds by which an agent is judged: one set for all its sessions, with the reference's values as defaults.

Gates close at seven tenths of where they open (the context's at its own second threshold), so that noise around one
threshold does not make a decision flap. Source: autonomic.md §5, §6, §12.
"""

from __future__ import annotations

import msgspec

from life.autonomic.hysteresis import HysteresisGate

_CLOSE_AT = 0.7


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where rules begin to hold something back. Money is micro-credits."""

    spend_velocity_micro: int = 500_000
    """Spent in five minutes."""
    budget_left: float = 0.20
    """Share of the run's tokens."""
    tokens_left: float = 0.10
    error_rate: float = 0.30
    """Share of the recent outcomes."""
    min_outcomes: int = 5
    """So many recent outcomes make a rate."""
    context_soft: float = 0.60
    context_leave: float = 0.45

    def __post_init__(self) -> None:
        """ValueError for thresholds that make no rule."""
        shares = (self.budget_left, self.tokens_left, self.error_rate, self.context_soft, self.context_leave)
        if not all(0.0 <= share <= 1.0 for share in shares) or self.context_leave > self.context_soft:
            raise ValueError("shares are 0 to 1, and context_leave is at most context_soft")
        if self.spend_velocity_micro < 1 or self.min_outcomes < 1:
            raise ValueError("spend_velocity_micro and min_outcomes are positive")

    @property
    def error_gate(self) -> HysteresisGate:
        """Open while too many of the recent outcomes are errors."""
        return HysteresisGate(threshold_enter=self.error_rate, threshold_exit=self.error_rate * _CLOSE_AT)

    @property
    def dilation_gate(self) -> HysteresisGate:
        """Open while the context is filling up."""
        return HysteresisGate(threshold_enter=self.context_soft, threshold_exit=self.context_leave)

    @property
    def velocity_gate(self) -> HysteresisGate:
        """Open while money goes too fast."""
        return HysteresisGate(
            threshold_enter=float(self.spend_velocity_micro), threshold_exit=self.spend_velocity_micro * _CLOSE_AT
        )
