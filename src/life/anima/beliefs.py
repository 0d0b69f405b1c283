"""Beliefs: what an agent holds to be true of itself and of others (anima.md §4). Every score is an integer in millionths.

Trust in a peer starts at 500,000. A success adds 50,000, a failure takes 100,000, within 0 and 1,000,000. Trust that nobody
confirms drifts back to 500,000 with a half-life of 30 days; the drift is computed in integers, so a replay on any machine
gives the same bits (AN-BEL-2). Times are microseconds and come from events.

A grant may carry constraints on the arguments of the call that uses it; they are evaluated at use (AN-BEL-1). A constraint
on an argument that is missing, or that is no integer where numbers are compared, is not met.
"""

from __future__ import annotations

from math import isqrt
from typing import Final, Literal

import msgspec

from life.aios.json import Json, JsonObject
from life.aios.record import parse_timestamp
from life.anima.scopes import covers

ConstraintOperation = Literal["maximum", "minimum", "one_of", "none_of"]
GapPriority = Literal["low", "medium", "high"]

SCALE: Final = 1_000_000
NEUTRAL_TRUST: Final = 500_000
SUCCESS_STEP: Final = 50_000
FAILURE_STEP: Final = 100_000
HALF_LIFE_US: Final = 30 * 24 * 3600 * 1_000_000
RELEVANCE_STEP: Final = 100_000
MAX_PEERS: Final = 10_000
MAX_NOTES: Final = 10_000
MAX_GAPS: Final = 1_000

_ONE: Final = 1 << 60


def _roots_of_half() -> tuple[int, ...]:
    """2^(-1/2), 2^(-1/4), … 2^(-1/2^20), as multiples of 2^-60."""
    roots, value = [], _ONE >> 1
    for _ in range(20):
        value = isqrt(value * _ONE)
        roots.append(value)
    return tuple(roots)


_ROOTS: Final = _roots_of_half()


class GrantConstraint(msgspec.Struct, frozen=True, kw_only=True):
    """A condition on one field of a call that uses a capability."""

    field: str
    constraint: ConstraintOperation
    value: Json


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A capability somebody granted, within the soul's ceiling. Times are RFC 3339."""

    capability: str
    granted_by: str
    granted_at: str
    expires_at: str | None = None
    constraints: tuple[GrantConstraint, ...] = ()

    def is_active(self, at_us: int) -> bool:
        """Whether it has not expired at `at_us`."""
        return self.expires_at is None or at_us < parse_timestamp(self.expires_at)

    def allows(self, capability: str, arguments: JsonObject, *, at_us: int) -> bool:
        """Whether this grant permits a call of `capability` with `arguments` at `at_us`."""
        return (
            covers(self.capability, capability)
            and self.is_active(at_us)
            and all(is_met(constraint, arguments) for constraint in self.constraints)
        )


class PeerTrust(msgspec.Struct, frozen=True, kw_only=True):
    """Trust in one peer as of its last interaction."""

    score_micro: int = NEUTRAL_TRUST
    successful_interactions: int = 0
    failed_interactions: int = 0
    last_interaction_us: int = 0

    def score_at(self, at_us: int) -> int:
        """The score at `at_us`, drifted towards the middle since the last interaction."""
        return decayed(self.score_micro, idle_us=at_us - self.last_interaction_us)


class Reputation(msgspec.Struct, frozen=True, kw_only=True):
    """How the agent's own work went."""

    overall_micro: int = NEUTRAL_TRUST
    tasks_completed: int = 0
    tasks_failed: int = 0
    violations: int = 0


class EconomicBelief(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent believes of its means. The burn rate is in micro-credits per hour."""

    balance_micro_credits: int = 0
    burn_rate_per_hour: int = 0
    economic_mode: str = "sovereign"

    @property
    def hours_until_exhaustion(self) -> int | None:
        """Whole hours that the balance lasts; None when nothing is spent."""
        if self.burn_rate_per_hour <= 0:
            return None
        return max(0, self.balance_micro_credits) // self.burn_rate_per_hour


class KnowledgeGap(msgspec.Struct, frozen=True, kw_only=True):
    """Something the agent found that it does not know."""

    topic: str
    priority: GapPriority
    source: str
    identified_at: str


class AgentConstraint(msgspec.Struct, frozen=True, kw_only=True):
    """A line drawn for the agent since its birth."""

    id: str
    source: Literal["soul", "autonomic", "agent_auth", "operator"]
    description: str
    imposed_at: str


class AgentBelief(msgspec.Struct, frozen=True, kw_only=True):
    """All beliefs. Treat the dicts as immutable: every change makes new ones."""

    capabilities: tuple[Grant, ...] = ()
    constraints: tuple[AgentConstraint, ...] = ()
    trust_scores: dict[str, PeerTrust] = {}
    reputation: Reputation = Reputation()
    economic_belief: EconomicBelief = EconomicBelief()
    knowledge_relevance: dict[str, int] = {}
    knowledge_gaps: tuple[KnowledgeGap, ...] = ()

    def grant_for(self, capability: str, arguments: JsonObject, *, at_us: int) -> Grant | None:
        """The first grant that permits this call, or None."""
        for grant in self.capabilities:
            if grant.allows(capability, arguments, at_us=at_us):
                return grant
        return None

    def trust_in(self, peer: str, *, at_us: int) -> int:
        """Trust in a peer now, in millionths."""
        known = self.trust_scores.get(peer)
        return NEUTRAL_TRUST if known is None else known.score_at(at_us)

    def most_trusted(self, count: int, *, at_us: int) -> list[tuple[str, int]]:
        """The `count` most trusted peers, best first; equal ones by name."""
        scores = [(peer, known.score_at(at_us)) for peer, known in self.trust_scores.items()]
        return sorted(scores, key=lambda entry: (-entry[1], entry[0]))[:count]

    def most_relevant(self, count: int) -> list[tuple[str, int]]:
        """The `count` most relevant notes, best first; equal ones by name."""
        return sorted(self.knowledge_relevance.items(), key=lambda entry: (-entry[1], entry[0]))[:count]


def decayed(score_micro: int, *, idle_us: int) -> int:
    """A score after `idle_us` without interaction: its distance from the middle halves every 30 days."""
    if idle_us <= 0:
        return score_micro
    halvings, rest_us = divmod(idle_us, HALF_LIFE_US)
    if halvings >= 64:
        return NEUTRAL_TRUST
    factor = _ONE >> halvings
    for bit, root in enumerate(_ROOTS, start=1):
        rest_us *= 2
        if rest_us >= HALF_LIFE_US:
            rest_us -= HALF_LIFE_US
            factor = factor * root // _ONE
        if bit == len(_ROOTS) or rest_us == 0:
            break
    distance = score_micro - NEUTRAL_TRUST
    moved = abs(distance) * factor // _ONE
    return NEUTRAL_TRUST + (moved if distance > 0 else -moved)


def after_interaction(trust: PeerTrust | None, *, success: bool, at_us: int) -> PeerTrust:
    """Trust after one more interaction at `at_us`."""
    before = trust or PeerTrust(last_interaction_us=at_us)
    score = stepped(before.score_at(at_us), success=success)
    return PeerTrust(
        score_micro=score,
        successful_interactions=before.successful_interactions + success,
        failed_interactions=before.failed_interactions + (not success),
        last_interaction_us=max(at_us, before.last_interaction_us),
    )


def stepped(score_micro: int, *, success: bool) -> int:
    """A score after one success or failure, within 0 and 1,000,000."""
    return max(0, min(SCALE, score_micro + (SUCCESS_STEP if success else -FAILURE_STEP)))


def is_met(constraint: GrantConstraint, arguments: JsonObject) -> bool:
    """Whether the arguments of a call meet a constraint."""
    if constraint.field not in arguments:
        return False
    actual, bound = arguments[constraint.field], constraint.value
    if constraint.constraint in ("maximum", "minimum"):
        if type(actual) is not int or type(bound) is not int:
            return False
        return actual <= bound if constraint.constraint == "maximum" else actual >= bound
    if not isinstance(bound, list | tuple):
        return False
    found = any(type(item) is type(actual) and item == actual for item in bound)
    return found if constraint.constraint == "one_of" else not found
