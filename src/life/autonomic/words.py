"""Homeostasis in plain words: which rule set which field and why, what that means, and what can be done about it.

Source: issue 7.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from life.aios.state import EconomicMode
from life.autonomic.decisions import GatingDecision
from life.autonomic.desk import Picture
from life.autonomic.merge import CLOSED_GATES, DEFAULT_GATES, HUSTLE_CALLS, HUSTLE_MUTATIONS
from life.autonomic.rules.economic import usd
from life.autonomic.state import EconomicPillar, HomeostaticState

MODE_WORDS: Final[dict[EconomicMode, str]] = {
    "sovereign": "Sovereign: there are means for at least two months at this rate.",
    "conserving": "Conserving: means last less than two months; cheaper models, no further agents.",
    "hustle": "Hustle: means last less than a month; the cheapest model, few tool calls, no expensive tools.",
    "hibernate": "Hibernate: there are no means; no model is asked and nothing is paid. Reading still works.",
}
UNMETERED: Final = "Not metered: nobody has said what the agent may spend."

_TITLES: Final[dict[str, str]] = {
    "survival": "means",
    "spend_velocity": "spending too fast",
    "budget_exhaustion": "the run's tokens run out",
    "context_pressure": "the context is full",
    "token_exhaustion": "the run's tokens are nearly gone",
    "error_rate": "too many errors",
    "strategy_advisory": "planning has something to say",
    "knowledge_health": "what is known is in a poor state",
    "knowledge_regression": "promoted thresholds do worse",
    "eval_quality": "poor results",
    "belief_regulation": "poor standing",
}


class Fact(NamedTuple):
    """One line: what, its value, and which rules made it so."""

    what: str
    value: str
    rules: tuple[str, ...]


def mode_words(economic: EconomicPillar, mode: EconomicMode) -> str:
    """The mode in a sentence."""
    return UNMETERED if economic.balance_micro_credits is None and mode == "sovereign" else MODE_WORDS[mode]


def title(rule_id: str) -> str:
    """A rule's name for people."""
    return _TITLES.get(rule_id, rule_id)


def held_back(picture: Picture) -> list[Fact]:
    """Every field of the profile that is not as by default, with the rules that set it."""
    decisions, profile = picture.verdict.decisions, picture.verdict.profile
    gates, economic = profile.operational, profile.economic
    mode = economic.economic_mode
    facts: list[Fact] = []
    if mode != "sovereign":
        facts.append(Fact("economic mode", mode, ("survival",)))
    if economic.preferred_model is not None:
        setting = [one.rule_id for one in decisions if one.preferred_model == economic.preferred_model]
        facts.append(Fact("model", f"the {economic.preferred_model} one", tuple(setting)))
    if economic.max_tokens_next_turn is not None:
        setting = [one.rule_id for one in decisions if one.max_tokens_next_turn == economic.max_tokens_next_turn]
        facts.append(Fact("length of an answer", f"at most {economic.max_tokens_next_turn} tokens", tuple(setting)))
    if not economic.allow_expensive_tools:
        facts.append(Fact("expensive tools", "off", _of(decisions, "restrict_expensive_tools")))
    if not economic.allow_replication:
        facts.append(Fact("further agents", "off", ("survival",)))
    if not gates.allow_side_effects:
        why = ("survival",) if gates == CLOSED_GATES else _of(decisions, "restrict_side_effects")
        facts.append(Fact("tools that change something", "off", why))
    if gates.require_approval_for_risk != DEFAULT_GATES.require_approval_for_risk:
        why = ("survival",) if gates == CLOSED_GATES else _of(decisions, "restrict_side_effects")
        facts.append(Fact("approval", f"for {gates.require_approval_for_risk} risk and above", why))
    facts += _limits(decisions, picture)
    return facts


def _limits(decisions: Sequence[GatingDecision], picture: Picture) -> Iterator[Fact]:
    gates, mode = picture.verdict.profile.operational, picture.verdict.profile.economic.economic_mode
    calls, mutations = gates.max_tool_calls_per_tick, gates.max_file_mutations_per_tick
    if calls < DEFAULT_GATES.max_tool_calls_per_tick:
        setting = [one.rule_id for one in decisions if one.max_tool_calls_per_tick == calls]
        if gates == CLOSED_GATES or (mode == "hustle" and calls == HUSTLE_CALLS):
            setting.append("survival")
        yield Fact("tool calls per step", f"at most {calls}", tuple(setting))
    if mutations < DEFAULT_GATES.max_file_mutations_per_tick:
        assert gates == CLOSED_GATES or mutations == HUSTLE_MUTATIONS
        yield Fact("changed files per step", f"at most {mutations}", ("survival",))
    if not gates.allow_network:
        yield Fact("the network", "off", ("survival",))
    if not gates.allow_shell:
        yield Fact("commands", "off", ("survival",))


def _of(decisions: Sequence[GatingDecision], field: str) -> tuple[str, ...]:
    return tuple(decision.rule_id for decision in decisions if getattr(decision, field))


def explanation(picture: Picture) -> list[str]:
    """The picture in lines: where the session stands, what is held back by whom, why, and what helps."""
    state, verdict = picture.state, picture.verdict
    lines = [mode_words(state.economic, verdict.profile.economic.economic_mode), *pillars(state), ""]
    facts = held_back(picture)
    if not facts:
        lines.append("Nothing is held back: the session's policy decides alone.")
    else:
        lines.append("Held back now:")
        width = max(len(fact.what) for fact in facts)
        lines += [f"  {fact.what.ljust(width)}  {fact.value}   (rule {', '.join(fact.rules)})" for fact in facts]
    if verdict.decisions:
        lines += ["", "Why:"]
        lines += [f"  {one.rule_id} ({title(one.rule_id)}): {one.rationale}" for one in verdict.decisions]
    lines += ["", f"Context: {verdict.context.ruling}. {verdict.context.rationale}"]
    helpful = advice(picture)
    if helpful:
        lines += ["", "What helps:", *(f"  {line}" for line in helpful)]
    return lines


def pillars(state: HomeostaticState) -> list[str]:
    """The three pillars, a line each."""
    operational, cognitive, economic = state.operational, state.cognitive, state.economic
    works = f"{operational.recent_errors} of the last {operational.recent_outcomes} outcomes were errors"
    if not operational.recent_outcomes:
        works = "nothing was tried lately"
    elif operational.recent_outcomes == 1:
        works = f"the last outcome was {'an' if operational.recent_errors else 'no'} error"
    left = cognitive.fraction_left
    spent = f"{usd(economic.cost_last_5min)} in the last five minutes, {usd(economic.lifetime_costs)} in all"
    return [
        f"  operational  {works}; {operational.total_denials} calls were refused so far.",
        f"  cognitive    the context is {cognitive.context_pressure:.0%} full"
        + ("" if left is None else f"; {left:.0%} of the run's tokens are left")
        + (f"; quality {state.eval.aggregate_quality_score:.2f}" if state.eval.count else "")
        + ".",
        f"  economic     {balance_words(economic)}; {spent}.",
    ]


def balance_words(economic: EconomicPillar) -> str:
    """Balance and runway."""
    if economic.balance_micro_credits is None:
        return "not metered"
    runway = economic.runway_days
    lasts = "" if runway is None else f", {runway:.1f} days at {usd(economic.monthly_burn_estimate)} a month"
    return f"{usd(economic.balance_micro_credits)} left{lasts}"


def advice(picture: Picture) -> list[str]:
    """What a person can do about it."""
    fired = set(picture.verdict.fired)
    session = picture.state.session_id
    found: list[str] = []
    if "survival" in fired:
        found.append("`life autonomic deposit AMOUNT` lets the agent spend more.")
        if picture.verdict.profile.economic.economic_mode == "hibernate" and session:
            found.append(f"`life autonomic wake {session}` lets it work for some minutes all the same.")
    if "spend_velocity" in fired:
        found.append("Five minutes without spending; or a higher autonomic.spend_velocity_micro.")
    if fired & {"budget_exhaustion", "token_exhaustion"}:
        found.append("The next run begins with a fresh budget of tokens.")
    if "error_rate" in fired:
        found.append("Successes, even of tools that only look, or half an hour without errors.")
    return found
