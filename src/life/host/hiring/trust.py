"""What an agent remembers of its peers: hires that are over become events of its own identity, once each.

`anima.trust_updated` moves the trust in a peer (Autonomic reads it from there), `anima.task_outcome_recorded` the agent's own reputation as a worker.
Trust may only move for a peer whose DID was verified (AN-BEL-3), so the first interaction also notes that: the hire proved the key.
"""

from __future__ import annotations

from typing import Final

from life.aios.errors import SequenceConflictError, UnavailableError
from life.aios.ids import derived_event_id
from life.aios.ports.clock import Clock
from life.aios.ports.journal import Journal
from life.aios.record import NewEvent
from life.anima.beliefs import NEUTRAL_TRUST, PeerTrust, after_interaction
from life.anima.events import AnimaEvent, IdentityVerified, TaskOutcomeRecorded, TrustUpdated
from life.anima.genesis import agent_stream, identity_event
from life.anima.registry import IdentityRegistry
from life.anima.state import AnimaState
from life.spaces.hiring.ports import Interaction, Trusted

METHOD: Final = "spaces.hire"
_ATTEMPTS: Final = 8


class BeliefTrust:
    """The PeerTrust port over the beliefs of one agent. Belongs to one event loop; several processes may share the journal."""

    def __init__(self, journal: Journal, registry: IdentityRegistry, clock: Clock, *, agent_id: str, did: str) -> None:
        self._journal = journal
        self._registry = registry
        self._clock = clock
        self._agent_id = agent_id
        self._did = did

    async def trust_in(self, did: str) -> Trusted:
        """See PeerTrust."""
        state = self._registry.state(self._agent_id)
        known = None if state is None else state.beliefs.trust_scores.get(did)
        return Trusted(NEUTRAL_TRUST, 0) if known is None else _told(known, self._clock.now_us())

    async def record(self, interaction: Interaction) -> Trusted:
        """See PeerTrust. All events of a hire are stored together, under ids that follow from it. UnavailableError when others write to the
        stream without a pause."""
        stream = agent_stream(self._agent_id)
        for _ in range(_ATTEMPTS):
            state = await self._registry.catch_up(self._agent_id)
            if state.identity is None:  # nobody's beliefs: a stand-in that has no identity in this journal
                return await self.trust_in(interaction.peer_did)
            head = self._registry.sequence_of(self._agent_id)
            batch = await self._missing(interaction, state)
            if not batch:
                return await self.trust_in(interaction.peer_did)
            try:
                await self._journal.append(batch, expected={stream: head})
            except SequenceConflictError:
                continue
            await self._registry.catch_up(self._agent_id)
            return await self.trust_in(interaction.peer_did)
        raise UnavailableError("Others write to the identity's stream without a pause; try again.")

    async def _missing(self, interaction: Interaction, state: AnimaState) -> list[NewEvent]:
        now_us = self._clock.now_us()
        peer, hire_id = interaction.peer_did, interaction.hire_id
        wanted: list[tuple[str, AnimaEvent]] = []
        if interaction.success is not None:
            if peer not in state.verified_peers:
                verified = IdentityVerified(verifier_did=self._did, method=METHOD, verified=True, subject_did=peer)
                wanted.append((derived_event_id("hire.peer_verified", self._agent_id, peer, hire_id), verified))
            known = state.beliefs.trust_scores.get(peer)
            after = after_interaction(known, success=interaction.success, at_us=now_us)
            moved = TrustUpdated(peer_id=peer, new_score=after.score_micro, interaction_success=interaction.success)
            wanted.append((derived_event_id("hire.trust", self._agent_id, hire_id), moved))
        if interaction.own_success is not None:
            outcome = TaskOutcomeRecorded(task_id=hire_id, succeeded=interaction.own_success)
            wanted.append((derived_event_id("hire.outcome", self._agent_id, hire_id), outcome))
        last = wanted[-1][0] if wanted else None
        if last is None or await self._journal.get(last) is not None:
            return []  # a batch is stored whole or not at all
        return [
            identity_event(event, event_id=event_id, agent_id=self._agent_id, timestamp_us=now_us)
            for event_id, event in wanted
        ]


def _told(known: PeerTrust, now_us: int) -> Trusted:
    return Trusted(known.score_at(now_us), known.successful_interactions + known.failed_interactions)
