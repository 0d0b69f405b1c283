"""What the journal says of an agent's identity: a pure fold over the agent's own stream (anima.md §8).

The fold is total: unknown events change nothing, time comes from events, and nothing raises. Two kinds of trouble are
remembered instead:

* a `fault` means that the stream can't be the history of one agent: a genesis that is not the first event, a second
  one, a changed soul, an identity that is not the soul's (AN-PRJ-5). The fold stops there, and `require_sound` raises, so a
  daemon does not start on such a journal.
* a `violation` is an event that asks for something the rules forbid (a grant above the ceiling, a step the lifecycle
  does not have). It is counted and has no other effect (AN-PRJ-4).

Rotations, revocations, migrations, wallet changes and delegations count only with their signed proofs, which the fold
checks (AN-ROT-1, AN-REV-1, AN-EV-3): whoever can append an event can't move a key or end an identity by it. What proves
nothing is a violation. The state covers soul, identity, keys, custody and beliefs (AN-PRJ-1).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from life.aios.errors import LifeError
from life.aios.events import Custom
from life.aios.ports.custody import BackendKind
from life.aios.record import EventRecord, format_timestamp
from life.anima.attestations import DELEGATION, Attestation, Delegation, read_attestation, read_delegation
from life.anima.belief_fold import BeliefEvent, fold_belief, with_violation
from life.anima.beliefs import AgentBelief, Grant
from life.anima.chain import verify_chain
from life.anima.errors import (
    AnimaError,
    BeliefRefusedError,
    IdentityMismatchError,
    IllegalTransitionError,
    RotationRefusedError,
    SoulAlreadyExistsError,
    SoulIntegrityViolationError,
    SoulMisplacedError,
    SoulNotFoundError,
    StatementRefusedError,
)
from life.anima.events import (
    SOUL_GENESIS,
    AnimaEvent,
    CapabilityTokenRevoked,
    CustodyMigrated,
    IdentityAttested,
    IdentityCreated,
    IdentityRevoked,
    IdentityRotated,
    IdentityTransitioned,
    IdentityVerified,
    PolicyViolationDetected,
    SessionsRevoked,
    SoulGenesis,
    WalletChanged,
    WalletUnfrozen,
    from_kind,
)
from life.anima.identity import AgentIdentity, WalletAddress, agent_id_of, agent_id_of_did, transition
from life.anima.key_history import KeyHistory
from life.anima.migration import verify_migration
from life.anima.soul import HumanCreator, Soul
from life.anima.statements import read_statement
from life.anima.wallet_change import verify_wallet_change
from life.crypto.address import format_address, parse_address
from life.crypto.did import Curve, encode_did, resolve_did
from life.crypto.errors import CryptoError

FIRST_SEQUENCE: Final = 1
"""The sequence of a stream's first event; a genesis stands there or nowhere."""

FaultKind = Literal["soul_misplaced", "soul_already_exists", "soul_integrity_violation", "identity_mismatch"]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Why the stream can't be believed, and from where on."""

    kind: FaultKind
    sequence: int
    message: str


class AnimaState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the journal says of one identity after `last_sequence` events."""

    soul: Soul | None = None
    identity: AgentIdentity | None = None
    keys: KeyHistory | None = None
    """The chain and its revocations; there as soon as the identity is."""
    beliefs: AgentBelief = AgentBelief()
    custody_backend: BackendKind = "in_process"
    former_wallets: tuple[WalletAddress, ...] = ()
    wallet_frozen: bool = False
    """A critical violation was blocked, and no operator has looked at it yet (AN-POL-3)."""
    attestations: tuple[Attestation, ...] = ()
    delegation: Delegation | None = None
    verified_peers: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    """DIDs that the host's policy gives a say over this identity; set before folding."""
    violations: int = 0
    fault: Fault | None = None
    last_sequence: int = 0
    last_updated_us: int = 0

    @property
    def grants(self) -> tuple[Grant, ...]:
        """What the agent was granted, expired or not."""
        return self.beliefs.capabilities

    def active_grants(self, at_us: int) -> tuple[Grant, ...]:
        """The grants that have not expired at `at_us`."""
        return tuple(grant for grant in self.grants if grant.is_active(at_us))


def replay(records: Iterable[EventRecord], state: AnimaState | None = None) -> AnimaState:
    """Fold `records` (stored events of the agent's stream, in order) into `state`, or into an empty one."""
    current = AnimaState() if state is None else state
    for record in records:
        current = apply(current, record)
    return current


def apply(state: AnimaState, record: EventRecord) -> AnimaState:
    """The state after one more event."""
    kind = record.kind
    if state.fault is not None or not isinstance(kind, Custom) or not kind.event_type.startswith("anima."):
        return state
    try:
        event = from_kind(kind)
    except LifeError as error:  # a soul that is not what its hash says, or no soul at all
        return _fault(state, record, "soul_integrity_violation", error.message)
    if event is None:
        if kind.event_type == SOUL_GENESIS:
            return _fault(state, record, "soul_integrity_violation", "The journal's soul can't be read.")
        return state
    folded = _fold(state, record, event)
    if folded is state:
        return state
    return msgspec.structs.replace(folded, last_sequence=record.sequence, last_updated_us=record.timestamp_us)


def require_sound(state: AnimaState) -> tuple[Soul, AgentIdentity]:
    """The soul and the identity, or the error that keeps a daemon from starting.

    SoulNotFoundError, SoulMisplacedError, SoulAlreadyExistsError, SoulIntegrityViolationError or IdentityMismatchError.
    """
    if state.fault is not None:
        raise _FAULTS[state.fault.kind](
            state.fault.message,
            next_step="Restore the journal from a backup; this one is not the history of one agent.",
            details={"sequence": state.fault.sequence},
        )
    if state.soul is None or state.identity is None:
        raise SoulNotFoundError("The journal holds no soul of this agent.", next_step="Run `arcan identity new`.")
    return state.soul, state.identity


_FAULTS: Final[dict[FaultKind, type[AnimaError]]] = {
    "soul_misplaced": SoulMisplacedError,
    "soul_already_exists": SoulAlreadyExistsError,
    "soul_integrity_violation": SoulIntegrityViolationError,
    "identity_mismatch": IdentityMismatchError,
}


def _fold(state: AnimaState, record: EventRecord, event: AnimaEvent) -> AnimaState:
    try:
        if isinstance(event, BeliefEvent):
            return _believed(state, record, event)
        match event:
            case SoulGenesis():
                return _born(state, record, event)
            case IdentityCreated():
                return _identified(state, record, event)
            case IdentityTransitioned():
                return _moved(state, record, event)
            case PolicyViolationDetected():
                return _violated(state, record, event)
            case IdentityVerified():
                return _peer_verified(state, event)
            case IdentityAttested():
                return _attested(state, event)
            case _ if state.identity is not None and state.keys is not None:
                return _fold_keys(state, record, event, state.identity, state.keys)
            case _:
                return state
    except (RotationRefusedError, StatementRefusedError, BeliefRefusedError):
        return _violation(state)


def _fold_keys(
    state: AnimaState, record: EventRecord, event: AnimaEvent, identity: AgentIdentity, keys: KeyHistory
) -> AnimaState:
    """What needs an identity: its keys, its wallet, its custody."""
    match event:
        case IdentityRotated():
            return _rotated(state, record, event, identity, keys)
        case IdentityRevoked():
            return _with_keys(state, identity, keys.with_revocation(event, seq=record.sequence))
        case SessionsRevoked():
            return _with_keys(state, identity, keys.with_sessions_revoked(event))
        case CapabilityTokenRevoked():
            return _with_keys(state, identity, keys.with_capability_revoked(event))
        case WalletChanged():
            _require_alive(keys)
            wallet = verify_wallet_change(event, did=identity.did, current=identity.wallet_address)
            moved = msgspec.structs.replace(identity, wallet_address=wallet)
            former = (*state.former_wallets, identity.wallet_address)
            return msgspec.structs.replace(state, identity=moved, former_wallets=former)
        case CustodyMigrated():
            _require_alive(keys)
            verify_migration(event, did=identity.did, wallet_address=identity.wallet_address.address)
            return msgspec.structs.replace(state, custody_backend=event.to_backend)
        case WalletUnfrozen():
            return _unfrozen(state, event, identity, keys)
        case _:
            return state


def _believed(state: AnimaState, record: EventRecord, event: BeliefEvent) -> AnimaState:
    if state.soul is None:
        return state
    beliefs = fold_belief(
        state.beliefs,
        event,
        values=state.soul.values,
        verified_peers=state.verified_peers,
        at_us=record.timestamp_us,
    )
    return state if beliefs is state.beliefs else msgspec.structs.replace(state, beliefs=beliefs)


def _rotated(
    state: AnimaState, record: EventRecord, event: IdentityRotated, identity: AgentIdentity, keys: KeyHistory
) -> AnimaState:
    if event.old_did != keys.current_did:
        link = keys.link_from(event.old_did)
        if link is not None and link.new_did == event.new_did:
            return state  # told twice
        if keys.conflicts_with(event):
            suspicious = msgspec.structs.replace(keys, conflicting_rotation=True)
            return _violation(msgspec.structs.replace(state, keys=suspicious))
    rotated = keys.with_rotation(event, seq=record.sequence)
    key = resolve_did(rotated.current_did).public_key.hex()
    moved = msgspec.structs.replace(identity, did=rotated.current_did, auth_public_key=key)
    return msgspec.structs.replace(state, identity=moved, keys=rotated)


def _with_keys(state: AnimaState, identity: AgentIdentity, keys: KeyHistory) -> AnimaState:
    if keys is state.keys:
        return state
    if keys.is_dead and identity.lifecycle != "revoked":
        identity = msgspec.structs.replace(identity, lifecycle="revoked")
    return msgspec.structs.replace(state, identity=identity, keys=keys)


def _require_alive(keys: KeyHistory) -> None:
    if keys.is_dead:
        raise StatementRefusedError("A revoked identity changes nothing any more.")


UNFREEZE_TYPE: Final = "anima.wallet_clearance"
"""The type of the statement by which an operator lets a frozen wallet sign again: {iss, sub: agent id, type, violations, iat}."""


def _unfrozen(state: AnimaState, event: WalletUnfrozen, identity: AgentIdentity, keys: KeyHistory) -> AnimaState:
    """The clearance names how many violations were looked at; an older one does not clear a newer violation."""
    expected = {"sub": identity.agent_id, "violations": state.beliefs.reputation.violations}
    statement = read_statement(event.clearance_jws, kind=UNFREEZE_TYPE, expected=expected)
    controller = () if keys.controller_did is None else (keys.controller_did,)
    if statement.issuer not in (*keys.operators, *controller):
        raise StatementRefusedError("Only an operator or the controller clears a frozen wallet.")
    return msgspec.structs.replace(state, wallet_frozen=False)


def _violated(state: AnimaState, record: EventRecord, event: PolicyViolationDetected) -> AnimaState:
    if not event.blocked:
        return state
    beliefs = with_violation(state.beliefs, seq=record.sequence, reason=event.reason, at_us=record.timestamp_us)
    frozen = state.wallet_frozen or event.severity == "critical"
    return _violation(msgspec.structs.replace(state, beliefs=beliefs, wallet_frozen=frozen))


def _peer_verified(state: AnimaState, event: IdentityVerified) -> AnimaState:
    peer = event.subject_did
    if peer is None or event.verified == (peer in state.verified_peers):
        return state
    others = tuple(known for known in state.verified_peers if known != peer)
    return msgspec.structs.replace(state, verified_peers=(*others, peer) if event.verified else others)


def _attested(state: AnimaState, event: IdentityAttested) -> AnimaState:
    """A proven attestation of one of our DIDs is kept as verified, any other as claimed (AN-KYA-3)."""
    keys = state.keys
    if keys is None:
        return state
    if event.attestation_jws is None:
        claimed = Attestation(
            issuer=event.issuer_did, subject=keys.current_did, claim=event.claim[:256], verified=False
        )
        return _with_attestation(state, claimed)
    attestation = read_attestation(event.attestation_jws, issuer=event.issuer_did)
    if attestation.subject not in keys.dids or attestation.claim != event.claim:
        raise StatementRefusedError("The attestation is of somebody or something else.")
    if attestation.claim == DELEGATION:
        state = _delegated(state, event, keys, child_did=attestation.subject)
    return _with_attestation(state, attestation)


_MAX_ATTESTATIONS: Final = 256


def _with_attestation(state: AnimaState, attestation: Attestation) -> AnimaState:
    if attestation in state.attestations:
        return state
    kept = state.attestations[-(_MAX_ATTESTATIONS - 1) :]
    return msgspec.structs.replace(state, attestations=(*kept, attestation))


def _delegated(state: AnimaState, event: IdentityAttested, keys: KeyHistory, *, child_did: str) -> AnimaState:
    """The controller is the parent that the soul was born from, and nobody else: its birth key, or a proven successor."""
    delegation = read_delegation(event.attestation_jws or "", child_did=child_did)
    soul = state.soul
    parent = soul.lineage[-1].agent_id if soul is not None and soul.lineage else None
    birth_did = event.issuer_chain[0].old_did if event.issuer_chain else delegation.parent_did
    if (
        delegation.parent_agent_id != parent
        or agent_id_of_did(birth_did) != parent
        or verify_chain(event.issuer_chain, start=birth_did) != delegation.parent_did
    ):
        raise StatementRefusedError("The delegation is not by the parent of this soul.")
    controlled = msgspec.structs.replace(keys, controller_did=delegation.parent_did)
    return msgspec.structs.replace(state, keys=controlled, delegation=delegation)


def _operators_of(soul: Soul, host: tuple[str, ...]) -> tuple[str, ...]:
    """The host's operators, and the person that made the soul when it is named by a DID (AN-REV-1)."""
    creator = soul.origin.creator
    if isinstance(creator, HumanCreator) and agent_id_of_did(creator.identity) is not None:
        return tuple(dict.fromkeys((*host, creator.identity)))
    return host


def _born(state: AnimaState, record: EventRecord, event: SoulGenesis) -> AnimaState:
    if state.soul is not None:
        return _fault(state, record, "soul_already_exists", "The journal holds a second soul for this agent.")
    if record.sequence != FIRST_SEQUENCE:
        return _fault(state, record, "soul_misplaced", "The soul is not the first event of the agent's stream.")
    if event.soul.soul_hash != event.soul_hash:
        return _fault(state, record, "soul_integrity_violation", "The journal names another hash for its soul.")
    return msgspec.structs.replace(state, soul=event.soul)


def _identified(state: AnimaState, record: EventRecord, event: IdentityCreated) -> AnimaState:
    if state.soul is None:
        return state
    mismatch = _identity_mismatch(state.soul, event)
    if mismatch is None and state.identity is not None:
        known = state.identity
        wallets = (known.wallet_address, *state.former_wallets)
        if known.agent_id != event.agent_id or event.wallet_address not in wallets:
            mismatch = "The journal holds two different identities for this agent."
    if mismatch is not None:
        return _fault(state, record, "identity_mismatch", mismatch)
    if state.identity is not None:  # the same keys on another host
        moved = msgspec.structs.replace(state.identity, host_id=event.host_id)
        return msgspec.structs.replace(state, identity=moved)
    return msgspec.structs.replace(
        state,
        keys=KeyHistory(
            root_did=event.did, current_did=event.did, operators=_operators_of(state.soul, state.operators)
        ),
        identity=AgentIdentity(
            agent_id=event.agent_id,
            host_id=event.host_id,
            auth_public_key=event.auth_public_key_hex,
            wallet_address=event.wallet_address,
            did=event.did,
            created_at=format_timestamp(record.timestamp_us),
            seed_blob_ref=event.seed_blob_ref,
        ),
    )


def _identity_mismatch(soul: Soul, event: IdentityCreated) -> str | None:
    """Why this identity is not that of the soul, or None. An identity is born with the root key, however it rotates later."""
    key = bytes.fromhex(soul.root_public_key)
    if event.auth_public_key_hex != soul.root_public_key or event.did != encode_did(Curve.P256, key):
        return "The journal's identity has another key than its soul."
    if event.agent_id != agent_id_of(key):
        return "The journal's agent id does not belong to the soul's key."
    try:
        canonical = format_address(parse_address(event.wallet_address.address)) == event.wallet_address.address
    except CryptoError:
        canonical = False
    return None if canonical else "The journal's wallet address is malformed."


def _moved(state: AnimaState, record: EventRecord, event: IdentityTransitioned) -> AnimaState:
    identity = state.identity
    if identity is None or event.agent_id != identity.agent_id:
        return state
    if event.from_ != identity.lifecycle or event.to == "revoked":
        return _violation(state)  # an identity is revoked by a signed `anima.identity_revoked`, and by nothing else
    try:
        moved = transition(
            identity,
            event.to,
            at_us=record.timestamp_us,
            expires_at=event.expires_at,
            renewal_jws=event.renewal_jws,
        )
    except IllegalTransitionError:
        return _violation(state)
    return msgspec.structs.replace(state, identity=moved)


def _violation(state: AnimaState) -> AnimaState:
    return msgspec.structs.replace(state, violations=state.violations + 1)


def _fault(state: AnimaState, record: EventRecord, kind: FaultKind, message: str) -> AnimaState:
    return msgspec.structs.replace(
        state,
        fault=Fault(kind=kind, sequence=record.sequence, message=message),
        last_sequence=record.sequence,
        last_updated_us=record.timestamp_us,
    )
