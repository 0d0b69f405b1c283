"""Anima's events: `Custom` kinds named `anima.<snake_case>` with a typed payload (anima.md §7).

Names match exactly (AN-EV-1): `to_kind` writes one of the payloads below, `from_kind` reads one and gives None for every
other event. Times are RFC 3339 UTC texts, amounts integers in micro-credits, scores integers of 0..1,000,000 (AN-BEL-2),
keys hex without `0x`.

`custody_signed` and `custody_denied` (AN-EV-2) say what a wallet signed or refused to sign. They carry the hash of what
was signed, never a signature or a key.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from life.aios.events import Custom, Kind
from life.aios.events.codec import custom, read_custom
from life.aios.json import Json
from life.aios.ports.custody import BackendKind, Operation
from life.anima.beliefs import GapPriority, GrantConstraint
from life.anima.chain import RotationLink
from life.anima.identity import Lifecycle, WalletAddress
from life.anima.policy import Severity
from life.anima.soul import Soul

PolicyDecision = Literal["allowed", "guard_allowed"]


class _Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the payloads."""


class SoulGenesis(_Event, frozen=True, kw_only=True):
    """The agent was born. Always the first event of its stream. Reading it verifies the soul's hash."""

    soul: Soul
    soul_hash: str


class IdentityCreated(_Event, frozen=True, kw_only=True):
    """The soul got its keys: the DID of the auth key and the wallet."""

    agent_id: str
    host_id: str
    auth_public_key_hex: str
    wallet_address: WalletAddress
    did: str
    seed_blob_ref: str | None = None


class IdentityTransitioned(_Event, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The identity moved in its lifecycle. Waking an expired one needs a later end and its key's signature (AN-ID-1)."""

    agent_id: str
    from_: Lifecycle
    to: Lifecycle
    reason: str
    expires_at: str | None = None
    renewal_jws: str | None = None


class CapabilityGranted(_Event, frozen=True, kw_only=True):
    """Somebody allowed the agent something."""

    capability: str
    granted_by: str
    expires_at: str | None = None
    constraints: tuple[GrantConstraint, ...] = ()


class CapabilityRevoked(_Event, frozen=True, kw_only=True):
    """Somebody took a capability back."""

    capability: str
    revoked_by: str
    reason: str


class TrustUpdated(_Event, frozen=True, kw_only=True):
    """The agent's trust in a peer moved. `peer_id` is a DID that was verified before (AN-BEL-3), `new_score` in millionths."""

    peer_id: str
    new_score: int
    interaction_success: bool


class EconomicBeliefUpdated(_Event, frozen=True, kw_only=True):
    """What the agent believes of its means. The burn rate is in micro-credits per hour."""

    balance_micro_credits: int
    burn_rate_per_hour: int
    economic_mode: str


class BeliefSnapshot(_Event, frozen=True, kw_only=True):
    """All beliefs at one point, with their Blake3 hash."""

    belief: Json
    snapshot_hash: str


class TaskOutcomeRecorded(_Event, frozen=True, kw_only=True):
    """A task of the agent ended; its reputation follows."""

    task_id: str
    succeeded: bool


class KnowledgeAccessed(_Event, frozen=True, kw_only=True):
    """A note was of use; its relevance rises."""

    note: str


class KnowledgeGapIdentified(_Event, frozen=True, kw_only=True):
    """The agent found that it does not know something."""

    topic: str
    source: str
    priority: GapPriority = "medium"


class PolicyViolationDetected(_Event, frozen=True, kw_only=True):
    """Something outside the soul's values was tried. Critical and blocked means: the wallet is frozen (AN-POL-3)."""

    capability: str
    reason: str
    blocked: bool
    severity: Severity | None = None


class WalletUnfrozen(_Event, frozen=True, kw_only=True):
    """An operator looked at the violation and lets the wallet sign again. Signed by an operator or the controller."""

    clearance_jws: str


class LineageVerified(_Event, frozen=True, kw_only=True):
    """A child's claim to its parent was checked."""

    parent_soul_hash: str
    child_soul_hash: str
    verified: bool


class IdentityAttested(_Event, frozen=True, kw_only=True):
    """Somebody vouched for the agent; without a proof of the issuer it is only claimed (AN-KYA-3).

    `issuer_chain` leads from the parent's birth DID to `issuer_did` when a parent delegates after a rotation.
    """

    issuer_did: str
    claim: str
    evidence: str | None = None
    expires_at: str | None = None
    attestation_jws: str | None = None
    issuer_chain: tuple[RotationLink, ...] = ()


class IdentityVerified(_Event, frozen=True, kw_only=True):
    """The identity of `subject_did` was checked (AN-KYA-5); without a subject, that of this agent."""

    verifier_did: str
    method: str
    verified: bool
    subject_did: str | None = None


class IdentityRotated(_Event, frozen=True, kw_only=True):
    """The auth key was replaced: the old key signed the proof, the new one that it agrees (AN-ROT-1, AN-ROT-2)."""

    old_did: str
    new_did: str
    rotation_proof_jws: str
    rotated_at: str
    new_key_proof: str | None = None


class WalletChanged(_Event, frozen=True, kw_only=True):
    """The agent has another wallet (AN-ROT-6). The old wallet and the auth key both signed for it."""

    old_address: str
    new_address: str
    chain: str
    proof_eip191: str
    """Hex of 65 bytes: the old wallet's personal signature over the text of `life.anima.wallet_change`."""
    auth_jws: str
    changed_at: str


class CustodyMigrated(_Event, frozen=True, kw_only=True):
    """The keys moved to another backend. `attestation` is a JWS of the current key (AN-MIG-1)."""

    from_backend: BackendKind
    to_backend: BackendKind
    migrated_at: str
    attestation: str | None = None


class IdentityRevoked(_Event, frozen=True, kw_only=True):
    """Nothing new that this DID signs is to be believed. Counts only with the JWS of an authority (AN-REV-1).

    `authority_chain` leads from the controller whom the journal knows to the DID that signed, when that one was rotated.
    """

    did: str
    reason: str
    revoked_at: str
    revocation_jws: str | None = None
    authority_chain: tuple[RotationLink, ...] = ()


class SessionsRevoked(_Event, frozen=True, kw_only=True):
    """Tokens and permits of this identity that were issued before `not_before` end; the identity goes on (AN-REV-5)."""

    did: str
    not_before: str
    revocation_jws: str


class CapabilityTokenRevoked(_Event, frozen=True, kw_only=True):
    """A capability token that this agent issued is worth nothing any more (AN-CAP-1)."""

    issuer_did: str
    jti: str
    revoked_at: str
    revocation_jws: str


class CustodySigned(_Event, frozen=True, kw_only=True):
    """A handle signed. `payload_hash` is the hex of the hash that was signed; `request_id` the reservation, if any."""

    did: str | None
    op: Operation
    purpose: str
    payload_hash: str
    policy_decision: PolicyDecision
    backend: BackendKind
    request_id: str = ""


class CustodyDenied(_Event, frozen=True, kw_only=True):
    """A handle refused to sign; `reason` is the code of the refusal."""

    did: str | None
    op: Operation
    reason: str


AnimaEvent = (
    SoulGenesis
    | IdentityCreated
    | IdentityTransitioned
    | CapabilityGranted
    | CapabilityRevoked
    | TrustUpdated
    | EconomicBeliefUpdated
    | BeliefSnapshot
    | TaskOutcomeRecorded
    | KnowledgeAccessed
    | KnowledgeGapIdentified
    | PolicyViolationDetected
    | WalletUnfrozen
    | LineageVerified
    | IdentityAttested
    | IdentityVerified
    | IdentityRotated
    | WalletChanged
    | CustodyMigrated
    | IdentityRevoked
    | SessionsRevoked
    | CapabilityTokenRevoked
    | CustodySigned
    | CustodyDenied
)
"""Any of Anima's payloads."""

EVENT_TYPES: Final[dict[str, type[AnimaEvent]]] = {
    "anima.soul_genesis": SoulGenesis,
    "anima.identity_created": IdentityCreated,
    "anima.identity_transitioned": IdentityTransitioned,
    "anima.capability_granted": CapabilityGranted,
    "anima.capability_revoked": CapabilityRevoked,
    "anima.trust_updated": TrustUpdated,
    "anima.economic_belief_updated": EconomicBeliefUpdated,
    "anima.belief_snapshot": BeliefSnapshot,
    "anima.task_outcome_recorded": TaskOutcomeRecorded,
    "anima.knowledge_accessed": KnowledgeAccessed,
    "anima.knowledge_gap_identified": KnowledgeGapIdentified,
    "anima.policy_violation_detected": PolicyViolationDetected,
    "anima.wallet_unfrozen": WalletUnfrozen,
    "anima.lineage_verified": LineageVerified,
    "anima.identity_attested": IdentityAttested,
    "anima.identity_verified": IdentityVerified,
    "anima.identity_rotated": IdentityRotated,
    "anima.wallet_changed": WalletChanged,
    "anima.custody_migrated": CustodyMigrated,
    "anima.identity_revoked": IdentityRevoked,
    "anima.sessions_revoked": SessionsRevoked,
    "anima.capability_token_revoked": CapabilityTokenRevoked,
    "anima.custody_signed": CustodySigned,
    "anima.custody_denied": CustodyDenied,
}
"""The payload of each event name."""

SOUL_GENESIS: Final = "anima.soul_genesis"
IDENTITY_CREATED: Final = "anima.identity_created"

_NAMES: Final = {payload: name for name, payload in EVENT_TYPES.items()}


def event_name(event: AnimaEvent) -> str:
    """The dotted name of a payload."""
    return _NAMES[type(event)]


def to_kind(event: AnimaEvent) -> Custom:
    """A payload as an event kind."""
    return custom(_NAMES[type(event)], event)


def from_kind(kind: Kind) -> AnimaEvent | None:
    """The payload of one of Anima's events, or None when `kind` is another event or does not fit.

    A soul inside it is verified: SoulIntegrityViolationError or InvalidInputError when it can't be right.
    """
    if not isinstance(kind, Custom):
        return None
    payload = EVENT_TYPES.get(kind.event_type)
    return None if payload is None else read_custom(kind, kind.event_type, payload)
