"""What the operators of homeostasis watch, as Prometheus text (exposition format 0.0.4; autonomic.md §14).

autonomic_projection_events_total            events that were folded by this process
autonomic_gating_requests_total              verdicts that were given
autonomic_rule_evaluations_total{rule}       how often each rule fired
autonomic_regulator_failures_total           times the safe profile had to answer
autonomic_economic_mode{mode}                1 for the mode that governs
autonomic_balance_micro_credits              absent while the agent is not metered
autonomic_monthly_burn_micro_credits
autonomic_suspended_sessions
autonomic_trust_score                        0 to 1
autonomic_trust_evidence                     outcomes that it rests on
autonomic_stability_margin{level}            stable above 0
autonomic_decision_latency_seconds{quantile} of the last 50 decisions
autonomic_following                          1 while the journal is followed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from life.autonomic.desk import AgentPicture
from life.autonomic.modes import MODES, stricter, target_mode
from life.autonomic.stability import percentile
from life.autonomic.trust import trust_score


class Counts(NamedTuple):
    """What the process has counted."""

    events: int
    consultations: int
    fired: Mapping[str, int]
    failures: int
    is_following: bool
    latencies_s: Sequence[float]


def render(agent: AgentPicture, counts: Counts) -> str:
    """The text."""
    economic, trust = agent.state.economic, trust_score(agent.state)
    target = target_mode(economic.balance_micro_credits, economic.monthly_burn_estimate)
    mode = stricter(economic.mode, target)
    lines = [
        *_family("autonomic_projection_events_total", "counter", {"": counts.events}),
        *_family("autonomic_gating_requests_total", "counter", {"": counts.consultations}),
        *_family(
            "autonomic_rule_evaluations_total",
            "counter",
            {f'rule="{rule}"': number for rule, number in sorted(counts.fired.items())},
        ),
        *_family("autonomic_regulator_failures_total", "counter", {"": counts.failures}),
        *_family("autonomic_economic_mode", "gauge", {f'mode="{name}"': int(name == mode) for name in MODES}),
        *_family("autonomic_monthly_burn_micro_credits", "gauge", {"": economic.monthly_burn_estimate}),
        *_family("autonomic_suspended_sessions", "gauge", {"": agent.suspended}),
        *_family("autonomic_trust_score", "gauge", {"": trust.score}),
        *_family("autonomic_trust_evidence", "gauge", {"": trust.evidence}),
        *_family(
            "autonomic_stability_margin",
            "gauge",
            {f'level="{level}"': round(margin, 6) for level, margin in agent.stability.margins.items()},
        ),
        *_family("autonomic_following", "gauge", {"": int(counts.is_following)}),
    ]
    if economic.balance_micro_credits is not None:
        lines += _family("autonomic_balance_micro_credits", "gauge", {"": economic.balance_micro_credits})
    if counts.latencies_s:
        quantiles = {
            f'quantile="{share}"': round(percentile(tuple(counts.latencies_s), share), 6) for share in (0.5, 0.95)
        }
        lines += _family("autonomic_decision_latency_seconds", "gauge", quantiles)
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, values: Mapping[str, float]) -> list[str]:
    """One metric with its series; no series, no metric."""
    if not values:
        return []
    series = [f"{name}{{{labels}}} {value}" if labels else f"{name} {value}" for labels, value in values.items()]
    return [f"# TYPE {name} {kind}", *series]
