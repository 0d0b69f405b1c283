"""The economic mode: how long the agent's means last at the present burn.

    hibernate    balance <= 0
    hustle       balance / monthly burn < 1
    conserving   balance / monthly burn < 2
    sovereign    otherwise; also while nothing burns, and while nobody has said what the agent may spend

The target is computed afresh from balance and burn. The recorded mode moves by `autonomic.EconomicModeChanged` alone:
towards a stricter mode at once, towards a laxer one when the last change is 30 s past and the ratio has cleared the
boundary by a tenth, so that a balance that trembles on a boundary changes the mode once and not for ever. What governs is
always the stricter of the two.

Source: autonomic.md §4; the tenth is ours.
"""

from __future__ import annotations

from typing import Final

from life.aios.state import EconomicMode

SEVERITY: Final[dict[EconomicMode, int]] = {"sovereign": 0, "conserving": 1, "hustle": 2, "hibernate": 3}
MODES: Final[tuple[EconomicMode, ...]] = ("sovereign", "conserving", "hustle", "hibernate")
"""By severity."""

CONSERVING_MONTHS: Final = 2
HUSTLE_MONTHS: Final = 1
RELAX_TENTHS: Final = 11
"""A ratio has to stand at eleven tenths of a boundary before a stricter mode is left."""
_TENTHS: Final = 10

MODE_HOLD_MS: Final = 30_000


def target_mode(balance_micro: int | None, monthly_burn_micro: int, *, tenths: int = _TENTHS) -> EconomicMode:
    """The mode that balance and burn (micro-credits, per 30 days) call for; `tenths` moves the boundaries. In whole numbers: no
    amount is too large for it."""
    if balance_micro is None:
        return "sovereign"
    if balance_micro <= 0:
        return "hibernate"
    if monthly_burn_micro <= 0:
        return "sovereign"
    have, month = balance_micro * _TENTHS, monthly_burn_micro * tenths
    if have < HUSTLE_MONTHS * month:
        return "hustle"
    return "conserving" if have < CONSERVING_MONTHS * month else "sovereign"


def stricter(first: EconomicMode, second: EconomicMode) -> EconomicMode:
    """The one that permits less."""
    return first if SEVERITY[first] >= SEVERITY[second] else second


def may_move(recorded: EconomicMode, to: EconomicMode, *, since_last_change_ms: int) -> bool:
    """Whether the recorded mode may become `to` now: stricter at once, laxer after the hold."""
    if to == recorded:
        return False
    return SEVERITY[to] > SEVERITY[recorded] or since_last_change_ms >= MODE_HOLD_MS


def next_mode(
    recorded: EconomicMode, balance_micro: int | None, monthly_burn_micro: int, *, since_last_change_ms: int
) -> EconomicMode:
    """The mode that should be recorded now."""
    target = target_mode(balance_micro, monthly_burn_micro)
    if SEVERITY[target] < SEVERITY[recorded]:
        cleared = target_mode(balance_micro, monthly_burn_micro, tenths=RELAX_TENTHS)
        target = cleared if SEVERITY[cleared] < SEVERITY[recorded] else recorded
    return target if may_move(recorded, target, since_last_change_ms=since_last_change_ms) else recorded
