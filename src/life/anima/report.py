"""The inspector: everything worth knowing of an identity in one struct, for `life identity show --json` and the page."""

from __future__ import annotations

from typing import Literal

import msgspec

from life.aios.ports.custody import BackendKind, Capabilities
from life.anima.attestations import Attestation, Delegation
from life.anima.beliefs import Grant, Reputation
from life.anima.identity import Lifecycle, WalletAddress
from life.anima.policy import EconomicLimits
from life.anima.revocation import Revocation
from life.anima.state import AnimaState, require_sound

SecurityLevel = Literal["software", "server", "hardware", "browser", "remote"]

_LEVELS: dict[BackendKind, SecurityLevel] = {
    "in_process": "software",
    "vault": "server",
    "tpm": "hardware",
    "web_crypto": "browser",
    "hardware_wallet": "hardware",
    "soma": "server",
    "remote": "remote",
}


class RotationReport(msgspec.Struct, frozen=True, kw_only=True):
    """One rotation. `proof` is always `verified`: what does not verify is not part of a chain."""

    old_did: str
    new_did: str
    rotated_at: str
    rotated_at_seq: int
    proof: Literal["verified"] = "verified"


class IdentityReport(msgspec.Struct, frozen=True, kw_only=True):
    """An identity as the journal has it. Amounts are micro-credits, scores millionths, `_s` Unix seconds."""

    name: str
    mission: str
    agent_id: str
    did: str
    root_did: str
    soul_hash: str
    generation: int
    lifecycle: Lifecycle
    active: bool
    revoked: bool
    expires_at: str | None
    wallet: WalletAddress
    former_wallets: tuple[WalletAddress, ...]
    wallet_frozen: bool
    custody: BackendKind
    security: SecurityLevel
    operations: tuple[str, ...]
    """What the opened handle can sign; empty when none was opened."""
    user_confirmation: bool
    exportable: bool
    chain: tuple[RotationReport, ...]
    conflicting_rotation: bool
    revocations: tuple[Revocation, ...]
    sessions_not_before_s: int
    capability_ceiling: tuple[str, ...]
    economic_limits: EconomicLimits
    grants: tuple[Grant, ...]
    attestations: tuple[Attestation, ...]
    delegation: Delegation | None
    reputation: Reputation
    violations: int
    as_of_seq: int


def report_of(
    state: AnimaState, *, at_us: int, as_of_seq: int, capabilities: Capabilities | None = None
) -> IdentityReport:
    """The report of a folded identity; `capabilities` of the handle that was opened for it. Errors of `require_sound`."""
    soul, identity = require_sound(state)
    assert state.keys is not None  # comes with the identity
    backend = state.custody_backend if capabilities is None else capabilities.backend
    return IdentityReport(
        name=soul.origin.name,
        mission=soul.origin.mission,
        agent_id=identity.agent_id,
        did=identity.did,
        root_did=state.keys.root_did,
        soul_hash=soul.soul_hash,
        generation=soul.generation,
        lifecycle=identity.lifecycle,
        active=identity.is_active(at_us) and not state.keys.is_dead,
        revoked=state.keys.is_dead,
        expires_at=identity.expires_at,
        wallet=identity.wallet_address,
        former_wallets=state.former_wallets,
        wallet_frozen=state.wallet_frozen,
        custody=backend,
        security=_LEVELS[backend],
        operations=() if capabilities is None else tuple(sorted(capabilities.operations)),
        user_confirmation=capabilities is not None and capabilities.user_confirmation,
        exportable=capabilities is not None and capabilities.exportable,
        chain=tuple(
            RotationReport(
                old_did=link.old_did,
                new_did=link.new_did,
                rotated_at=link.rotated_at,
                rotated_at_seq=link.rotated_at_seq,
            )
            for link in state.keys.links
        ),
        conflicting_rotation=state.keys.conflicting_rotation,
        revocations=state.keys.revocations,
        sessions_not_before_s=state.keys.sessions_not_before_s,
        capability_ceiling=soul.values.capability_ceiling,
        economic_limits=soul.values.economic_limits,
        grants=state.active_grants(at_us),
        attestations=state.attestations,
        delegation=state.delegation,
        reputation=state.beliefs.reputation,
        violations=state.violations,
        as_of_seq=as_of_seq,
    )
