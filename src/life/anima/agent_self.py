"""The self: soul, identity and beliefs of one agent, with the handle that signs for it (anima.md §5; AN-SELF-1 to AN-SELF-4).

It is what other subsystems receive. There is one way to get one, and it checks: the soul's hash, that verified rotations
lead from the soul's root key to the key that the handle holds, that the wallet is the same, and that no grant exceeds the
soul's ceiling. The journal may move on; `refreshed` gives the self of a later state under the same checks.
"""

from __future__ import annotations

from life.aios.json import JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.custody import Custody
from life.anima.beliefs import AgentBelief, Grant
from life.anima.chain import verify_chain
from life.anima.errors import (
    CapabilityCeilingExceededError,
    IdentityMismatchError,
    IdentityRevokedError,
    RotationRefusedError,
    StaleHandleError,
)
from life.anima.identity import AgentIdentity
from life.anima.lineage import root_did
from life.anima.soul import Soul, SoulSummary
from life.anima.state import AnimaState, require_sound


class AgentSelf:
    """Who the agent is, and its hands. See the module."""

    __slots__ = ("_clock", "_custody", "_identity", "_soul", "_state")

    def __init__(self, state: AnimaState, custody: Custody, *, clock: Clock) -> None:
        """The self of a folded identity and the handle of its current key.

        Errors of `require_sound`; IdentityMismatchError, IdentityRevokedError, StaleHandleError (the handle's key was
        replaced), CapabilityCeilingExceededError.
        """
        soul, identity = require_sound(state)
        soul.verify_integrity()
        _check_keys(state, soul, identity)
        if state.keys is not None and state.keys.is_dead:
            raise IdentityRevokedError("The identity is revoked; there is no self to act as any more.")
        _check_handle(state, identity, custody)
        for grant in state.grants:
            if not soul.values.allows_capability(grant.capability):
                raise CapabilityCeilingExceededError(f"The grant {grant.capability} is above the soul's ceiling.")
        self._state = state
        self._soul = soul
        self._identity = identity
        self._custody = custody
        self._clock = clock

    @property
    def agent_id(self) -> str:
        """The agent's id."""
        return self._identity.agent_id

    @property
    def did(self) -> str:
        """The current DID."""
        return self._identity.did

    @property
    def soul(self) -> Soul:
        """The soul."""
        return self._soul

    @property
    def identity(self) -> AgentIdentity:
        """The identity."""
        return self._identity

    @property
    def beliefs(self) -> AgentBelief:
        """The beliefs."""
        return self._state.beliefs

    @property
    def custody(self) -> Custody:
        """The handle that signs for the agent. It shows no key."""
        return self._custody

    @property
    def economic_mode(self) -> str:
        """How the agent believes it may spend."""
        return self._state.beliefs.economic_belief.economic_mode

    def soul_profile(self) -> SoulSummary:
        """Name, mission, short hash and generation."""
        return self._soul.audit_summary()

    def capabilities(self) -> tuple[Grant, ...]:
        """The grants that have not expired (AN-SELF-2)."""
        return self._state.active_grants(self._clock.now_us())

    def policy_allows(self, capability: str, arguments: JsonObject | None = None) -> bool:
        """Whether a grant permits this call now, with its constraints met, and the soul's ceiling covers it."""
        now_us = self._clock.now_us()
        grant = self._state.beliefs.grant_for(capability, arguments or {}, at_us=now_us)
        return (
            grant is not None and self._soul.values.allows_capability(capability) and self._identity.is_active(now_us)
        )

    def persona_block(self) -> str:
        """How the agent introduces itself to a model."""
        names = ", ".join(grant.capability for grant in self.capabilities()) or "none"
        mission = self._soul.origin.mission.rstrip(".")
        return (
            f"You are {self._soul.origin.name} — {mission}.\n"
            f"Identity: {self.did}\n"
            f"Capabilities: {names}\n"
            f"Economic mode: {self.economic_mode}"
        )

    def context_patch(self) -> dict[str, object]:
        """What a session learns of the agent at its start (anima.md §8), for the key `anima`."""
        return {
            "agent_id": self.agent_id,
            "name": self._soul.origin.name,
            "mission": self._soul.origin.mission,
            "soul_hash": self._soul.soul_hash,
            "is_active": self._identity.is_active(self._clock.now_us()),
            "did": self.did,
            "capabilities_count": len(self.capabilities()),
            "trust_peers_count": len(self.beliefs.trust_scores),
        }

    def refreshed(self, state: AnimaState) -> AgentSelf:
        """The self of a later state of the same agent, with the same handle. Errors as for making one."""
        if state.identity is not None and state.identity.agent_id != self.agent_id:
            raise IdentityMismatchError("The state is another agent's.")
        return AgentSelf(state, self._custody, clock=self._clock)

    def __repr__(self) -> str:
        return f"<AgentSelf {self.agent_id} {self.did}>"


def _check_keys(state: AnimaState, soul: Soul, identity: AgentIdentity) -> None:
    """The root key is the current key, or verified rotations lead to it (AN-SELF-1). The fold checked; a state may be loaded."""
    keys = state.keys
    try:
        reached = verify_chain(() if keys is None else keys.links, start=root_did(soul))
    except RotationRefusedError as error:
        raise IdentityMismatchError(f"The identity's rotations do not hold: {error.message}") from None
    if keys is None or keys.root_did != root_did(soul) or reached != identity.did or keys.current_did != reached:
        raise IdentityMismatchError("No rotation leads from the soul's root key to the identity's current key.")


def _check_handle(state: AnimaState, identity: AgentIdentity, custody: Custody) -> None:
    capabilities = custody.capabilities()
    if capabilities.did != identity.did:
        if state.keys is not None and capabilities.did in state.keys.dids:
            raise StaleHandleError("The handle's key was replaced.", next_step="Open the identity again.")
        raise IdentityMismatchError("The handle holds another identity's key.")
    if capabilities.wallet_address not in (None, identity.wallet_address.address):
        raise IdentityMismatchError("The handle holds another wallet than the identity's.")
