"""Beliefs in integers: trust, drift, grants with constraints, snapshots (anima.md §4; AN-BEL-1, AN-BEL-2, AN-PRJ-3)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.record import format_timestamp
from life.anima.belief_fold import fold_belief, restored, snapshot_of, with_violation
from life.anima.beliefs import (
    HALF_LIFE_US,
    MAX_NOTES,
    NEUTRAL_TRUST,
    SCALE,
    AgentBelief,
    Grant,
    GrantConstraint,
    PeerTrust,
    after_interaction,
    decayed,
    is_met,
    stepped,
)
from life.anima.errors import BeliefRefusedError
from life.anima.events import (
    CapabilityGranted,
    EconomicBeliefUpdated,
    KnowledgeAccessed,
    KnowledgeGapIdentified,
    TaskOutcomeRecorded,
    TrustUpdated,
)
from life.anima.policy import PolicyManifest
from life.testing.clock import START_US
from tests.anima.material import DID_B

ALL = PolicyManifest(capability_ceiling=("*",))
NONE = PolicyManifest(capability_ceiling=())


def folded(*events: Any, belief: AgentBelief | None = None, values: PolicyManifest = ALL) -> AgentBelief:
    """Beliefs after some events at the start time."""
    current = AgentBelief() if belief is None else belief
    for event in events:
        current = fold_belief(current, event, values=values, verified_peers=(DID_B,), at_us=START_US)
    return current


def test_trust_arithmetic() -> None:
    """Half at first, a twentieth up, a tenth down, within zero and one."""
    trust = after_interaction(None, success=True, at_us=5)
    assert trust == PeerTrust(score_micro=550_000, successful_interactions=1, last_interaction_us=5)
    assert after_interaction(trust, success=False, at_us=5).score_micro == 450_000
    assert (stepped(SCALE, success=True), stepped(40_000, success=False)) == (SCALE, 0)


def test_drift_is_a_half_life() -> None:
    """After thirty days half of the distance is left, after sixty a quarter, after ages nothing; no time, no drift."""
    for score in (0, 100_000, 900_000, SCALE):
        distance = score - NEUTRAL_TRUST
        assert decayed(score, idle_us=0) == score == decayed(score, idle_us=-5)
        assert decayed(score, idle_us=HALF_LIFE_US) == NEUTRAL_TRUST + distance // 2
        assert decayed(score, idle_us=2 * HALF_LIFE_US) == NEUTRAL_TRUST + distance // 4
        assert decayed(score, idle_us=1000 * HALF_LIFE_US) == NEUTRAL_TRUST
    assert decayed(SCALE, idle_us=HALF_LIFE_US // 2) == 853_553  # 500,000 / √2


@given(score=st.integers(0, SCALE), first=st.integers(0, 10 * HALF_LIFE_US), more=st.integers(0, HALF_LIFE_US))
def test_drift_is_monotone_and_bounded(score: int, first: int, more: int) -> None:
    """More idle time never moves a score away from the middle, and it stays an integer of the scale."""
    near, far = decayed(score, idle_us=first + more), decayed(score, idle_us=first)
    assert isinstance(near, int) and 0 <= near <= SCALE
    assert abs(near - NEUTRAL_TRUST) <= abs(far - NEUTRAL_TRUST)
    assert (near - NEUTRAL_TRUST) * (score - NEUTRAL_TRUST) >= 0


def test_trust_moves_only_for_verified_peers() -> None:
    """An event about a peer that nobody verified, or with a score that does not follow, is refused (AN-BEL-3)."""
    good = TrustUpdated(peer_id=DID_B, new_score=550_000, interaction_success=True)
    belief = folded(good)
    assert belief.trust_in(DID_B, at_us=START_US) == 550_000
    assert belief.most_trusted(3, at_us=START_US) == [(DID_B, 550_000)]
    for wrong in (
        {"peer_id": "did:key:zDnx"},
        {"peer_id": "Bob"},
        {"new_score": SCALE},
        {"interaction_success": False},
    ):
        with pytest.raises(BeliefRefusedError):
            folded(msgspec.structs.replace(good, **wrong))


@pytest.mark.parametrize(
    ("constraint", "value", "arguments", "met"),
    [
        ("maximum", 5, {"n": 5}, True),
        ("maximum", 5, {"n": 6}, False),
        ("minimum", 5, {"n": 5}, True),
        ("minimum", 5, {"n": 4}, False),
        ("maximum", 5, {}, False),
        ("maximum", 5, {"n": "5"}, False),
        ("maximum", 5, {"n": True}, False),
        ("maximum", 5, {"n": 4.0}, False),
        ("maximum", 5.5, {"n": 4}, False),
        ("one_of", ["a", "b"], {"n": "a"}, True),
        ("one_of", ["a", "b"], {"n": "c"}, False),
        ("one_of", [1], {"n": True}, False),
        ("one_of", "ab", {"n": "a"}, False),
        ("none_of", ["a"], {"n": "b"}, True),
        ("none_of", ["a"], {"n": "a"}, False),
        ("none_of", ["a"], {}, False),
    ],
)
def test_constraints(constraint: Any, value: Any, arguments: dict[str, Any], met: bool) -> None:
    """A condition is evaluated at use, and what it can't judge is not met (AN-BEL-1)."""
    assert is_met(GrantConstraint(field="n", constraint=constraint, value=value), arguments) is met


def test_grants_are_used_within_their_bounds() -> None:
    """Pattern, end and every constraint count."""
    grant = Grant(
        capability="pay:*",
        granted_by="operator",
        granted_at=format_timestamp(START_US),
        expires_at=format_timestamp(START_US + 10),
        constraints=(
            GrantConstraint(field="micro", constraint="maximum", value=100),
            GrantConstraint(field="to", constraint="one_of", value=["shop"]),
        ),
    )
    good: dict[str, Any] = {"micro": 100, "to": "shop"}
    belief = AgentBelief(capabilities=(grant,))
    assert belief.grant_for("pay:x402", good, at_us=START_US + 9) == grant
    assert belief.grant_for("pay:x402", good, at_us=START_US + 10) is None
    assert belief.grant_for("chat:send", good, at_us=START_US) is None
    assert belief.grant_for("pay:x402", {**good, "micro": 101}, at_us=START_US) is None
    assert belief.grant_for("pay:x402", {"micro": 1}, at_us=START_US) is None


def test_other_beliefs() -> None:
    """Means, reputation, knowledge and its gaps follow from their events."""
    belief = folded(
        EconomicBeliefUpdated(balance_micro_credits=1_000, burn_rate_per_hour=300, economic_mode="austere"),
        TaskOutcomeRecorded(task_id="1", succeeded=True),
        TaskOutcomeRecorded(task_id="2", succeeded=False),
        KnowledgeAccessed(note="a"),
        KnowledgeAccessed(note="b"),
        KnowledgeAccessed(note="b"),
        KnowledgeGapIdentified(topic="t", source="s"),
        KnowledgeGapIdentified(topic="t", source="other"),
    )
    assert (belief.economic_belief.hours_until_exhaustion, belief.economic_belief.economic_mode) == (3, "austere")
    reputation = belief.reputation
    assert (reputation.tasks_completed, reputation.tasks_failed, reputation.overall_micro) == (1, 1, 450_000)
    assert belief.most_relevant(2) == [("b", 200_000), ("a", 100_000)]
    assert [gap.source for gap in belief.knowledge_gaps] == ["s"]
    assert folded(*[KnowledgeAccessed(note="a")] * 20).knowledge_relevance == {"a": SCALE}
    hurt = with_violation(belief, seq=9, reason="r", at_us=START_US)
    assert (hurt.constraints[0].id, hurt.reputation.violations) == ("violation-9", 1)


def test_notes_are_bounded() -> None:
    """The least relevant note makes room for a new one."""
    full = AgentBelief(knowledge_relevance={f"n{number}": 2 for number in range(MAX_NOTES)} | {"n5": 1})
    after = folded(KnowledgeAccessed(note="new"), belief=full)
    assert len(after.knowledge_relevance) == MAX_NOTES
    assert "n5" not in after.knowledge_relevance


def test_a_snapshot_is_what_its_hash_says() -> None:
    """Snapshots restore all beliefs exactly; a changed one, or one above the ceiling, is refused (AN-PRJ-3)."""
    belief = folded(
        CapabilityGranted(capability="chat:send", granted_by="o"),
        TrustUpdated(peer_id=DID_B, new_score=550_000, interaction_success=True),
    )
    snapshot = snapshot_of(belief)
    assert restored(snapshot, values=ALL) == belief == folded(snapshot)
    with pytest.raises(BeliefRefusedError):
        restored(snapshot, values=NONE)
    with pytest.raises(BeliefRefusedError):
        restored(msgspec.structs.replace(snapshot, snapshot_hash="0" * 64), values=ALL)
    high = AgentBelief(trust_scores={DID_B: PeerTrust(score_micro=SCALE + 1)})
    with pytest.raises(BeliefRefusedError):
        restored(snapshot_of(high), values=ALL)
    contents: tuple[Any, ...] = (None, [], {"capabilities": 5}, {"trust_scores": {"x": 1}})
    for content in contents:
        changed = msgspec.structs.replace(snapshot, belief=content)
        with pytest.raises(BeliefRefusedError):
            restored(changed, values=ALL)


@given(
    trust=st.dictionaries(st.text(max_size=5), st.builds(PeerTrust, score_micro=st.integers(0, SCALE)), max_size=4),
    notes=st.dictionaries(st.text(max_size=5), st.integers(0, SCALE), max_size=4),
)
def test_snapshots_round_trip(trust: dict[str, PeerTrust], notes: dict[str, int]) -> None:
    """Any beliefs come back as they were."""
    belief = AgentBelief(trust_scores=trust, knowledge_relevance=notes)
    assert restored(snapshot_of(belief), values=ALL) == belief
