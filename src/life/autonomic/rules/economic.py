"""Rules about means: does the agent survive, does it spend too fast, is the run's budget running out?"""

from __future__ import annotations

from typing import Final

from life.autonomic import modes
from life.autonomic.decisions import GatingDecision
from life.autonomic.state import EconomicPillar, HomeostaticState, ModelTier

VELOCITY_TOKENS: Final = 2048
BUDGET_TOKENS: Final = 1024

_TIERS: Final[dict[str, ModelTier]] = {"conserving": "standard", "hustle": "budget", "hibernate": "budget"}


def survival(state: HomeostaticState) -> GatingDecision | None:
    """The economic mode, whenever it is not sovereign: what is recorded, or what the balance calls for if that is stricter. A
    person may wake a session that hibernates; it then works as in hustle for as long as the person said."""
    economic = state.economic
    target = modes.target_mode(economic.balance_micro_credits, economic.monthly_burn_estimate)
    mode = modes.stricter(economic.mode, target)
    if mode == "sovereign":
        return None
    rationale = f"{mode.capitalize()}: {means(economic)}"
    if mode == "hibernate" and state.now_ms < state.awake_until_ms:
        mode = "hustle"
        rationale = f"Woken by a person for the time being, although there are no means: {means(economic)}"
    return GatingDecision(
        rule_id="survival",
        rationale=rationale,
        economic_mode=mode,
        preferred_model=_TIERS[mode],
        restrict_expensive_tools=modes.SEVERITY[mode] >= modes.SEVERITY["hustle"],
    )


def spend_velocity(state: HomeostaticState) -> GatingDecision | None:
    """Spending faster than the gate allows: cheap model, short answers."""
    economic = state.economic
    if not economic.velocity_gate.active:
        return None
    return GatingDecision(
        rule_id="spend_velocity",
        rationale=f"{usd(economic.cost_last_5min)} in the last five minutes; "
        f"the limit is {usd(int(economic.velocity_gate.threshold_enter))}.",
        preferred_model="budget",
        max_tokens_next_turn=VELOCITY_TOKENS,
    )


def budget_exhaustion(state: HomeostaticState) -> GatingDecision | None:
    """Less than a fifth of the run's tokens left."""
    left = state.cognitive.fraction_left
    if left is None or left >= state.thresholds.budget_left:
        return None
    return GatingDecision(
        rule_id="budget_exhaustion",
        rationale=f"{left:.0%} of the run's tokens are left.",
        preferred_model="budget",
        max_tokens_next_turn=BUDGET_TOKENS,
        restrict_expensive_tools=True,
    )


def means(economic: EconomicPillar) -> str:
    """Balance, burn and runway in a sentence."""
    if economic.balance_micro_credits is None:
        return "nobody has said what the agent may spend."
    balance = usd(economic.balance_micro_credits)
    runway = economic.runway_days
    if runway is None:
        return f"{balance} left, and nothing is being spent."
    return f"{balance} left, {usd(economic.monthly_burn_estimate)} a month at this rate: {runway:.1f} days."


def usd(micro: int) -> str:
    """Micro-credits as people read them."""
    sign, micro = ("-", -micro) if micro < 0 else ("", micro)
    whole, rest = divmod(micro, 1_000_000)
    cents = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole:,}.{cents} USD"
