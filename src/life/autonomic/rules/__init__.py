"""The rules: eleven functions from the state to a decision or none, in the order in which they are named to people.

Comparisons are strict: at the threshold a rule does not fire. A rule with a gate fires while its gate is open, and gates open
at their threshold. `VERSION` changes with any formula or threshold; every
decision in the journal names it, so that an old decision can be read with the rules of its time.

Source: autonomic.md §6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from life.autonomic.decisions import GatingDecision
from life.autonomic.rules.cognitive import context_pressure, knowledge_health, knowledge_regression, token_exhaustion
from life.autonomic.rules.economic import budget_exhaustion, spend_velocity, survival
from life.autonomic.rules.operational import belief_regulation, error_rate, eval_quality, strategy_advisory
from life.autonomic.state import HomeostaticState

VERSION: Final = 1


Rule = Callable[[HomeostaticState], GatingDecision | None]

RULES: Final[dict[str, Rule]] = {
    "survival": survival,
    "spend_velocity": spend_velocity,
    "budget_exhaustion": budget_exhaustion,
    "context_pressure": context_pressure,
    "token_exhaustion": token_exhaustion,
    "error_rate": error_rate,
    "strategy_advisory": strategy_advisory,
    "knowledge_health": knowledge_health,
    "knowledge_regression": knowledge_regression,
    "eval_quality": eval_quality,
    "belief_regulation": belief_regulation,
}


def decide(state: HomeostaticState) -> tuple[GatingDecision, ...]:
    """Every rule that fires, in order."""
    found = (rule(state) for rule in RULES.values())
    return tuple(decision for decision in found if decision is not None)
