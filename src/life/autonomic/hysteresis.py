"""A gate that opens at one threshold and closes at another, so that noise around a single one can't make it flap.

Source: autonomic.md §5. Metrics are floats (ratios, micro-credits per window); times are milliseconds since the epoch.
"""

from __future__ import annotations

import msgspec


class HysteresisGate(msgspec.Struct, frozen=True, kw_only=True):
    """Active from `threshold_enter` upwards until the metric has come down to `threshold_exit`; no transition sooner than
    `min_hold_ms` after the last one."""

    threshold_enter: float
    threshold_exit: float
    min_hold_ms: int = 0
    active: bool = False
    last_transition_ms: int = 0

    def __post_init__(self) -> None:
        if not self.threshold_exit <= self.threshold_enter or self.min_hold_ms < 0:
            raise ValueError("a gate closes at or below the threshold where it opens, and holds for no negative time")

    def evaluate(self, metric: float, now_ms: int) -> HysteresisGate:
        """The gate after this reading; itself when nothing changed. A metric that is not a number changes nothing."""
        moves = metric <= self.threshold_exit if self.active else metric >= self.threshold_enter
        if not moves or max(0, now_ms - self.last_transition_ms) < self.min_hold_ms:
            return self
        return msgspec.structs.replace(self, active=not self.active, last_transition_ms=now_ms)
