"""What the journal says of an agent's identity: a pure fold over the agent's own stream (anima.md §8).

The fold is total: unknown events change nothing, time comes from events, and nothing raises. Two kinds of trouble are
remembered instead:

* a `fault` means that the stream can't be the history of one agent: a genesis that is not the first event, a second
  one, a changed soul, an identity that is not the soul's (AN-PRJ-5). The fold stops there, and `require_sound` raises, so a
  daemon does not start on such a journal.
* a `violation` is an event that asks for something the rules forbid (a grant above the ceiling, a step the lifecycle
  does not have). It is counted and has no other effect (AN-PRJ-4).

Rotations, migrations and attestations are not folded: they count only with proofs that this version does not verify, and an
unverified one must not move a key (AN-ROT-1, AN-EV-3). A revocation of the current DID is folded without proof, because
stopping is the safe side.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from life.aios.errors import LifeError
from life.aios.events import Custom
from life.aios.record import EventRecord, format_timestamp, parse_timestamp
from life.anima.errors import (
    AnimaError,
    IdentityMismatchError,
    IllegalTransitionError,
    SoulAlreadyExistsError,
    SoulIntegrityViolationError,
    SoulMisplacedError,
    SoulNotFoundError,
)
from life.anima.events import (
    SOUL_GENESIS,
    AnimaEvent,
    CapabilityGranted,
    CapabilityRevoked,
    GrantConstraint,
    IdentityCreated,
    IdentityRevoked,
    IdentityTransitioned,
    PolicyViolationDetected,
    SoulGenesis,
    from_kind,
)
from life.anima.identity import AgentIdentity, agent_id_of, transition
from life.anima.soul import Soul
from life.crypto.address import format_address, parse_address
from life.crypto.did import Curve, encode_did
from life.crypto.errors import CryptoError

FIRST_SEQUENCE: Final = 1
"""The sequence of a stream's first event; a genesis stands there or nowhere."""

FaultKind = Literal["soul_misplaced", "soul_already_exists", "soul_integrity_violation", "identity_mismatch"]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Why the stream can't be believed, and from where on."""

    kind: FaultKind
    sequence: int
    message: str


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A capability somebody granted, within the soul's ceiling."""

    capability: str
    granted_by: str
    granted_at: str
    expires_at: str | None = None
    constraints: tuple[GrantConstraint, ...] = ()


class AnimaState(msgspec.Struct, frozen=True, kw_only=True):
    """Soul, identity and grants after `last_sequence` events."""

    soul: Soul | None = None
    identity: AgentIdentity | None = None
    grants: tuple[Grant, ...] = ()
    violations: int = 0
    fault: Fault | None = None
    last_sequence: int = 0
    last_updated_us: int = 0

    def active_grants(self, at_us: int) -> tuple[Grant, ...]:
        """The grants that have not expired at `at_us`."""
        return tuple(
            grant for grant in self.grants if grant.expires_at is None or at_us < parse_timestamp(grant.expires_at)
        )


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
    match event:
        case SoulGenesis():
            return _born(state, record, event)
        case IdentityCreated():
            return _identified(state, record, event)
        case IdentityTransitioned():
            return _moved(state, record, event)
        case CapabilityGranted():
            return _granted(state, record, event)
        case CapabilityRevoked():
            kept = tuple(grant for grant in state.grants if grant.capability != event.capability)
            return state if len(kept) == len(state.grants) else msgspec.structs.replace(state, grants=kept)
        case PolicyViolationDetected(blocked=True):
            return _violation(state)
        case IdentityRevoked() if state.identity is not None and event.did == state.identity.did:
            return msgspec.structs.replace(state, identity=msgspec.structs.replace(state.identity, lifecycle="revoked"))
        case _:
            return state


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
        if (known.agent_id, known.did, known.wallet_address) != (event.agent_id, event.did, event.wallet_address):
            mismatch = "The journal holds two different identities for this agent."
    if mismatch is not None:
        return _fault(state, record, "identity_mismatch", mismatch)
    if state.identity is not None:  # the same keys on another host
        moved = msgspec.structs.replace(state.identity, host_id=event.host_id)
        return msgspec.structs.replace(state, identity=moved)
    return msgspec.structs.replace(
        state,
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
    """Why this identity is not that of the soul, or None. The current key is the root key until rotation is verified."""
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
    if event.from_ != identity.lifecycle:
        return _violation(state)
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


def _granted(state: AnimaState, record: EventRecord, event: CapabilityGranted) -> AnimaState:
    if state.soul is None:
        return state
    if not state.soul.values.allows_capability(event.capability) or not _is_time(event.expires_at):
        return _violation(state)
    grant = Grant(
        capability=event.capability,
        granted_by=event.granted_by,
        granted_at=format_timestamp(record.timestamp_us),
        expires_at=event.expires_at,
        constraints=event.constraints,
    )
    others = tuple(held for held in state.grants if held.capability != event.capability)
    return msgspec.structs.replace(state, grants=(*others, grant))


def _is_time(text: str | None) -> bool:
    try:
        return text is None or parse_timestamp(text) is not None
    except ValueError:
        return False


def _violation(state: AnimaState) -> AnimaState:
    return msgspec.structs.replace(state, violations=state.violations + 1)


def _fault(state: AnimaState, record: EventRecord, kind: FaultKind, message: str) -> AnimaState:
    return msgspec.structs.replace(
        state,
        fault=Fault(kind=kind, sequence=record.sequence, message=message),
        last_sequence=record.sequence,
        last_updated_us=record.timestamp_us,
    )
