"""Writing revocations: each appends one proven event to the identity's own stream (AN-REV-1, AN-REV-5, AN-CAP-1).

The custody that is passed in is the authority: that of the identity itself, of its controller or of an operator. What the
fold would not believe is not written; a StatementRefusedError says why. With a registry, the news counts in this process when the
call returns.
"""

from __future__ import annotations

from life.aios.errors import SequenceConflictError
from life.aios.ids import derived_event_id
from life.aios.ports.clock import Clock
from life.aios.ports.custody import Custody
from life.aios.ports.journal import Journal
from life.aios.record import format_timestamp
from life.anima.chain import RotationLink
from life.anima.errors import StatementRefusedError, UnsupportedOperationError
from life.anima.events import AnimaEvent, CapabilityTokenRevoked, IdentityRevoked, SessionsRevoked, event_name
from life.anima.genesis import agent_stream, identity_event, load_state
from life.anima.key_history import KeyHistory
from life.anima.registry import IdentityRegistry
from life.anima.revocation import RevocationReason, capability_claims, revocation_claims, sessions_claims
from life.anima.state import require_sound

_ATTEMPTS = 8


async def revoke_identity(
    journal: Journal,
    authority: Custody,
    *,
    agent_id: str,
    reason: RevocationReason,
    clock: Clock,
    did: str | None = None,
    compromised_since_seq: int | None = None,
    authority_chain: tuple[RotationLink, ...] = (),
    operators: tuple[str, ...] = (),
    registry: IdentityRegistry | None = None,
) -> IdentityRevoked:
    """Revoke `did` (default: the current one) of an agent, for ever."""
    keys = await _keys(journal, agent_id, operators)
    did = keys.current_did if did is None else did
    now_us = clock.now_us()
    claims = revocation_claims(
        did,
        authority=_did_of(authority),
        reason=reason,
        now_s=now_us // 1_000_000,
        compromised_since_seq=compromised_since_seq,
    )
    event = IdentityRevoked(
        did=did,
        reason=reason,
        revoked_at=format_timestamp(now_us),
        revocation_jws=await authority.sign_token(claims),
        authority_chain=authority_chain,
    )
    await _append(journal, event, agent_id, now_us, operators)
    if registry is not None:
        await registry.catch_up(agent_id)
    return event


async def revoke_sessions(
    journal: Journal,
    authority: Custody,
    *,
    agent_id: str,
    clock: Clock,
    operators: tuple[str, ...] = (),
    registry: IdentityRegistry | None = None,
) -> SessionsRevoked:
    """End every token and permit of an agent that was issued before now. The identity goes on."""
    keys = await _keys(journal, agent_id, operators)
    now_us = clock.now_us()
    now_s = now_us // 1_000_000
    claims = sessions_claims(keys.current_did, authority=_did_of(authority), not_before_s=now_s, now_s=now_s)
    event = SessionsRevoked(
        did=keys.current_did,
        not_before=format_timestamp(now_s * 1_000_000),
        revocation_jws=await authority.sign_token(claims),
    )
    await _append(journal, event, agent_id, now_us, operators)
    if registry is not None:
        await registry.catch_up(agent_id)
    return event


async def revoke_capability(
    journal: Journal,
    authority: Custody,
    *,
    agent_id: str,
    jti: str,
    clock: Clock,
    operators: tuple[str, ...] = (),
    registry: IdentityRegistry | None = None,
) -> CapabilityTokenRevoked:
    """Take back the capability token `jti` that the agent issued, and with it everything that stands on it."""
    keys = await _keys(journal, agent_id, operators)
    now_us = clock.now_us()
    claims = capability_claims(keys.current_did, authority=_did_of(authority), jti=jti, now_s=now_us // 1_000_000)
    event = CapabilityTokenRevoked(
        issuer_did=keys.current_did,
        jti=jti,
        revoked_at=format_timestamp(now_us),
        revocation_jws=await authority.sign_token(claims),
    )
    await _append(journal, event, agent_id, now_us, operators)
    if registry is not None:
        await registry.catch_up(agent_id)
    return event


async def _append(
    journal: Journal,
    event: IdentityRevoked | SessionsRevoked | CapabilityTokenRevoked,
    agent_id: str,
    now_us: int,
    operators: tuple[str, ...],
) -> None:
    """Write the event at the head at which it was judged; StatementRefusedError when it proves nothing there."""
    stream = agent_stream(agent_id)
    new = identity_event(event, event_id=_id_of(event, agent_id), agent_id=agent_id, timestamp_us=now_us)
    for _ in range(_ATTEMPTS):
        head = await journal.head(stream)
        _judge(await _keys(journal, agent_id, operators), event, head.sequence + 1)
        try:
            await journal.append([new], expected={stream: head.sequence})
        except SequenceConflictError:
            continue
        return
    await journal.append([new])  # a stream that never rests: the fold judges


def _judge(keys: KeyHistory, event: AnimaEvent, seq: int) -> None:
    match event:
        case IdentityRevoked():
            keys.with_revocation(event, seq=seq)
        case SessionsRevoked():
            keys.with_sessions_revoked(event)
        case CapabilityTokenRevoked():
            keys.with_capability_revoked(event)
        case _:
            raise StatementRefusedError("This is no revocation.")


def _id_of(event: IdentityRevoked | SessionsRevoked | CapabilityTokenRevoked, agent_id: str) -> str:
    return derived_event_id(event_name(event), agent_id, event.revocation_jws or "")


def _did_of(authority: Custody) -> str:
    did = authority.capabilities().did
    if did is None:
        raise UnsupportedOperationError("This custody handle has no identity key, so it can't revoke anything.")
    return did


async def _keys(journal: Journal, agent_id: str, operators: tuple[str, ...]) -> KeyHistory:
    state = await load_state(journal, agent_id, operators=operators)
    require_sound(state)
    assert state.keys is not None  # comes with the identity that was just required
    return state.keys
