"""From a state to a verdict: the rules, their merged profile, the context's ruling; and the verdict as advice to the runtime.

Source: autonomic.md §6, §7, §13.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from life.aios.events import Kind
from life.aios.events.codec import custom
from life.aios.ports import regulator as port
from life.autonomic import rules
from life.autonomic.context_ruling import context_advice
from life.autonomic.decisions import AutonomicGatingProfile, ContextAdvice, GatingDecision
from life.autonomic.events import GATING_DECISION, GatingDecisionMade
from life.autonomic.merge import DEFAULT_GATES, merged
from life.autonomic.readings import LastDecision
from life.autonomic.state import HomeostaticState, ModelTier

TIERS: Final[dict[ModelTier, port.ModelTier]] = {"budget": "economy", "standard": "standard", "flagship": "premium"}
"""Our tiers as the runtime calls them."""

UNTOUCHED: Final = LastDecision()
"""The profile of a session in which nothing was ever decided."""


class Verdict(NamedTuple):
    """What holds for a session, and which rules made it so."""

    profile: AutonomicGatingProfile
    decisions: tuple[GatingDecision, ...]
    context: ContextAdvice

    @property
    def fired(self) -> tuple[str, ...]:
        """The rules that fired, in order."""
        return tuple(decision.rule_id for decision in self.decisions)


def judge(state: HomeostaticState) -> Verdict:
    """The verdict on a state."""
    decisions = rules.decide(state)
    return Verdict(merged(decisions), decisions, context_advice(state))


def on_record(verdict: Verdict) -> LastDecision:
    """The profile in the form in which it is compared with what the journal holds."""
    economic = verdict.profile.economic
    return LastDecision(
        economic_mode=economic.economic_mode,
        gates=verdict.profile.operational,
        max_tokens_next_turn=economic.max_tokens_next_turn,
        preferred_model=economic.preferred_model,
        allow_expensive_tools=economic.allow_expensive_tools,
        allow_replication=economic.allow_replication,
    )


def is_news(verdict: Verdict, before: LastDecision | None) -> bool:
    """Whether the profile differs from the one that is on record. Why it is so may change without being news."""
    known = before or UNTOUCHED
    now = on_record(verdict)
    return any(
        getattr(now, field) != getattr(known, field) for field in now.__struct_fields__ if field != "rules_fired"
    )


def decision_event(state: HomeostaticState, verdict: Verdict) -> Kind:
    """The event that puts this profile on record."""
    economic = verdict.profile.economic
    made = GatingDecisionMade(
        session_id=state.session_id,
        economic_mode=economic.economic_mode,
        rationale=verdict.profile.rationale,
        rules_fired=verdict.fired,
        gates=verdict.profile.operational,
        max_tokens_next_turn=economic.max_tokens_next_turn,
        preferred_model=economic.preferred_model,
        allow_expensive_tools=economic.allow_expensive_tools,
        allow_replication=economic.allow_replication,
        rules=rules.VERSION,
        as_of_sequence=state.last_event_seq,
    )
    return custom(GATING_DECISION, made)


def advice_of(
    profile: AutonomicGatingProfile, *, target_tokens: int | None = None, events: tuple[Kind, ...] = ()
) -> port.Advice:
    """The profile as the runtime applies it: the whole of what holds, so that what is not in it is lifted. Default gates are no
    gates: the session's policy decides alone. Hibernation lets the run stand still."""
    economic = profile.economic
    tier = economic.preferred_model
    return port.Advice(
        gates=None if profile.operational == DEFAULT_GATES else profile.operational,
        model_tier=None if tier is None else TIERS[tier],
        max_output_tokens=economic.max_tokens_next_turn,
        reason=" ".join(profile.rationale),
        is_whole=True,
        allow_expensive_tools=economic.allow_expensive_tools,
        allow_replication=economic.allow_replication,
        context_target_tokens=target_tokens,
        suspend=profile.rationale[0] if economic.economic_mode == "hibernate" and profile.rationale else None,
        events=events,
    )
