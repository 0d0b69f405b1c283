"""The agent's standing: what identity recorded of capabilities, peers and violations, folded from `anima.*`.

It belongs to the agent, not to a session. Trust is kept for each peer, and average and minimum follow from it; the
reputation is the average less a twentieth for each violation, so that a later trust update can't erase one.

Source: autonomic.md §3.2, §3.4.
"""

from __future__ import annotations

from typing import Final

import msgspec

from life.aios.record import EventRecord
from life.autonomic import readings
from life.autonomic.state import BeliefInput

VIOLATION_COST: Final = 0.05
MILLIONTHS: Final = 1_000_000
MOST_PEERS: Final = 10_000
"""Peers beyond this are not told apart any more; averages are over the first."""


class Standing(msgspec.Struct, kw_only=True):
    """The fold. Give it the agent's events in the order of the journal; what is not `anima.*` changes nothing."""

    capabilities: int = 0
    trust: dict[str, float] = {}
    violations: int = 0
    last_ms: int = 0

    def apply(self, record: EventRecord) -> None:
        """Take in one event."""
        if record.kind_name != "Custom":
            return
        try:
            custom = readings.NAMED.decode(record.payload)
            self.named(custom.event_type, custom.data, record.timestamp_us // 1000)
        except msgspec.DecodeError:
            return

    def named(self, event_type: str, data: msgspec.Raw, at_ms: int) -> None:
        """An event of a subsystem; msgspec.DecodeError when it does not fit."""
        if not event_type.startswith("anima."):
            return
        match event_type:
            case "anima.capability_granted":
                self.capabilities += 1
            case "anima.capability_revoked":
                self.capabilities = max(0, self.capabilities - 1)
            case "anima.trust_updated":
                update = readings.read(data, readings.Trust)
                if update.peer_id in self.trust or len(self.trust) < MOST_PEERS:
                    self.trust[update.peer_id] = readings.ratio(readings.count(update.new_score) / MILLIONTHS)
            case "anima.policy_violation_detected":
                self.violations += 1
        self.last_ms = at_ms

    def belief(self) -> BeliefInput:
        """The input that the rules read."""
        scores = self.trust.values()
        average = sum(scores) / len(scores) if scores else 1.0
        return BeliefInput(
            capability_count=self.capabilities,
            trust_peer_count=len(scores),
            average_trust=average,
            min_trust=min(scores, default=1.0),
            reputation_score=max(0.0, average - VIOLATION_COST * self.violations),
            violations=self.violations,
            last_belief_event_ms=self.last_ms,
        )
