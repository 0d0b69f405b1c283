"""How events change beliefs: pure functions over `AgentBelief`. A BeliefRefusedError means that an event counts for nothing.

What a fold needs beyond the beliefs is passed in: the soul's ceiling, and the peers whose DID was verified (AN-BEL-3).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec
from blake3 import blake3

from life.aios.record import format_timestamp, parse_timestamp
from life.anima.beliefs import (
    MAX_GAPS,
    MAX_NOTES,
    MAX_PEERS,
    RELEVANCE_STEP,
    SCALE,
    AgentBelief,
    AgentConstraint,
    EconomicBelief,
    Grant,
    KnowledgeGap,
    after_interaction,
    stepped,
)
from life.anima.errors import BeliefRefusedError
from life.anima.events import (
    BeliefSnapshot,
    CapabilityGranted,
    CapabilityRevoked,
    EconomicBeliefUpdated,
    KnowledgeAccessed,
    KnowledgeGapIdentified,
    TaskOutcomeRecorded,
    TrustUpdated,
)
from life.anima.policy import PolicyManifest
from life.anima.scopes import is_pattern
from life.crypto.canonical import canonical_json
from life.crypto.errors import CryptoError

BeliefEvent = (
    CapabilityGranted
    | CapabilityRevoked
    | TrustUpdated
    | EconomicBeliefUpdated
    | BeliefSnapshot
    | TaskOutcomeRecorded
    | KnowledgeAccessed
    | KnowledgeGapIdentified
)
MAX_GRANTS: Final = 1_000
_replace = msgspec.structs.replace


def fold_belief(
    belief: AgentBelief,
    event: BeliefEvent,
    *,
    values: PolicyManifest,
    verified_peers: Collection[str],
    at_us: int,
) -> AgentBelief:
    """The beliefs after `event`, which happened at `at_us`; the same object when nothing changes."""
    match event:
        case CapabilityGranted():
            return _granted(belief, event, values, at_us)
        case CapabilityRevoked():
            kept = tuple(grant for grant in belief.capabilities if grant.capability != event.capability)
            return belief if len(kept) == len(belief.capabilities) else _replace(belief, capabilities=kept)
        case TrustUpdated():
            return _trusted(belief, event, verified_peers, at_us)
        case EconomicBeliefUpdated():
            economic = EconomicBelief(
                balance_micro_credits=event.balance_micro_credits,
                burn_rate_per_hour=event.burn_rate_per_hour,
                economic_mode=event.economic_mode,
            )
            return _replace(belief, economic_belief=economic)
        case BeliefSnapshot():
            return restored(event, values=values)
        case TaskOutcomeRecorded():
            known = belief.reputation
            reputation = _replace(
                known,
                overall_micro=stepped(known.overall_micro, success=event.succeeded),
                tasks_completed=known.tasks_completed + event.succeeded,
                tasks_failed=known.tasks_failed + (not event.succeeded),
            )
            return _replace(belief, reputation=reputation)
        case KnowledgeAccessed():
            return _accessed(belief, event)
        case KnowledgeGapIdentified():
            return _missing(belief, event, at_us)


def with_violation(belief: AgentBelief, *, seq: int, reason: str, at_us: int) -> AgentBelief:
    """After a blocked violation: one more on the account, and a constraint that names it (anima.md §8)."""
    constraint = AgentConstraint(
        id=f"violation-{seq}", source="soul", description=reason[:512], imposed_at=format_timestamp(at_us)
    )
    reputation = _replace(
        belief.reputation,
        violations=belief.reputation.violations + 1,
        overall_micro=stepped(belief.reputation.overall_micro, success=False),
    )
    return _replace(belief, constraints=(*belief.constraints[-99:], constraint), reputation=reputation)


def snapshot_of(belief: AgentBelief) -> BeliefSnapshot:
    """A snapshot event of all beliefs, with the Blake3 hash of their RFC 8785 form."""
    content = msgspec.to_builtins(belief)
    return BeliefSnapshot(belief=content, snapshot_hash=blake3(canonical_json(content)).hexdigest())


def restored(event: BeliefSnapshot, *, values: PolicyManifest) -> AgentBelief:
    """The beliefs in a snapshot; BeliefRefusedError when its hash is another or a grant is above the ceiling (AN-PRJ-3)."""
    try:
        if blake3(canonical_json(event.belief)).hexdigest() != event.snapshot_hash:
            raise BeliefRefusedError("The snapshot is not what its hash says.")
        belief = msgspec.convert(event.belief, AgentBelief)
    except (CryptoError, msgspec.ValidationError) as error:
        raise BeliefRefusedError(f"The snapshot can't be read: {error}.") from None
    scores = [trust.score_micro for trust in belief.trust_scores.values()]
    scores += [belief.reputation.overall_micro, *belief.knowledge_relevance.values()]
    if not all(0 <= score <= SCALE for score in scores):
        raise BeliefRefusedError("A score is outside of 0 to 1,000,000.")
    for grant in belief.capabilities:
        if not values.allows_capability(grant.capability) or not _is_time(grant.expires_at):
            raise BeliefRefusedError("The snapshot holds a grant above the soul's ceiling.")
    return belief


def _granted(belief: AgentBelief, event: CapabilityGranted, values: PolicyManifest, at_us: int) -> AgentBelief:
    if not is_pattern(event.capability) or not values.allows_capability(event.capability):
        raise BeliefRefusedError("The soul's ceiling does not cover this capability.")
    if not _is_time(event.expires_at):
        raise BeliefRefusedError("The end of a grant is an RFC 3339 time.")
    grant = Grant(
        capability=event.capability,
        granted_by=event.granted_by,
        granted_at=format_timestamp(at_us),
        expires_at=event.expires_at,
        constraints=event.constraints,
    )
    others = tuple(held for held in belief.capabilities if held.capability != event.capability)
    if len(others) >= MAX_GRANTS:
        raise BeliefRefusedError("There are too many grants.")
    return _replace(belief, capabilities=(*others, grant))


def _trusted(belief: AgentBelief, event: TrustUpdated, verified_peers: Collection[str], at_us: int) -> AgentBelief:
    if event.peer_id not in verified_peers:
        raise BeliefRefusedError("Trust changes only for a peer whose DID was verified.")
    known = belief.trust_scores.get(event.peer_id)
    if known is None and len(belief.trust_scores) >= MAX_PEERS:
        raise BeliefRefusedError("There are too many peers.")
    after = after_interaction(known, success=event.interaction_success, at_us=at_us)
    if after.score_micro != event.new_score:
        raise BeliefRefusedError("The new score does not follow from the interaction.")
    return _replace(belief, trust_scores={**belief.trust_scores, event.peer_id: after})


def _accessed(belief: AgentBelief, event: KnowledgeAccessed) -> AgentBelief:
    relevance = belief.knowledge_relevance
    if event.note not in relevance and len(relevance) >= MAX_NOTES:
        least = min(relevance.items(), key=lambda entry: (entry[1], entry[0]))[0]
        relevance = {note: score for note, score in relevance.items() if note != least}
    raised = min(SCALE, relevance.get(event.note, 0) + RELEVANCE_STEP)
    return _replace(belief, knowledge_relevance={**relevance, event.note: raised})


def _missing(belief: AgentBelief, event: KnowledgeGapIdentified, at_us: int) -> AgentBelief:
    if any(gap.topic == event.topic for gap in belief.knowledge_gaps):
        return belief
    gap = KnowledgeGap(
        topic=event.topic, priority=event.priority, source=event.source, identified_at=format_timestamp(at_us)
    )
    return _replace(belief, knowledge_gaps=(*belief.knowledge_gaps[-(MAX_GAPS - 1) :], gap))


def _is_time(text: str | None) -> bool:
    try:
        return text is None or parse_timestamp(text) is not None
    except (ValueError, OverflowError):
        return False
