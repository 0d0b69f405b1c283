"""Attestations: what one identity says of another, signed (AN-KYA-3), and the delegation of a parent to its child (AN-DEL-1).

    {iss, sub, type: "anima.attestation", claim, iat, exp, jti, evidence_hash?}
    … claim "anima.delegation" also: capabilities[], depth, parent_agent_id, backend?

`iss` and `sub` are DIDs; `evidence_hash` is the SHA-256 of the evidence in hex. Without a proof an attestation is only claimed,
and counts for nothing. A delegation gives a child at most the capabilities it names; `depth` says how many further generations
it may have.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.ids import new_id
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import BackendKind, Custody
from life.anima.errors import StatementRefusedError, UnsupportedOperationError
from life.anima.identity import check_agent_id
from life.anima.scopes import check_pattern, is_pattern
from life.anima.statements import read_statement, text_claim, time_claim
from life.crypto.did import resolve_did
from life.crypto.errors import CryptoError

ATTESTATION_TYPE: Final = "anima.attestation"
DELEGATION: Final = "anima.delegation"
MAX_LIFETIME_S: Final = 366 * 24 * 3600
MAX_CLAIM_CHARACTERS: Final = 256
MAX_DEPTH: Final = 8

_HASH: Final = re.compile(r"[0-9a-f]{64}")


class Attestation(msgspec.Struct, frozen=True, kw_only=True):
    """An attestation as it is shown: `verified` says whether its issuer's signature holds. Times are Unix seconds."""

    issuer: str
    subject: str
    claim: str
    verified: bool
    issued_at_s: int = 0
    expires_at_s: int | None = None
    evidence_hash: str | None = None
    jti: str = ""
    attestation_jws: str | None = None


class Delegation(msgspec.Struct, frozen=True, kw_only=True):
    """What a parent lets its child do."""

    parent_did: str
    parent_agent_id: str
    child_did: str
    capabilities: tuple[str, ...]
    depth: int
    expires_at_s: int
    backend: BackendKind | None = None


class _DelegationMembers(msgspec.Struct, frozen=True):
    capabilities: tuple[str, ...]
    depth: int
    parent_agent_id: str
    backend: BackendKind | None = None


async def attest(
    custody: Custody,
    *,
    subject: str,
    claim: str,
    clock: Clock,
    entropy: Entropy,
    lifetime_s: int,
    evidence: bytes | None = None,
) -> str:
    """An attestation of `subject` by the identity that `custody` signs for.

    InvalidInputError for a subject, claim or lifetime that can't be right.
    """
    return await custody.sign_token(
        _claims(
            custody,
            subject=subject,
            claim=claim,
            clock=clock,
            entropy=entropy,
            lifetime_s=lifetime_s,
            evidence=evidence,
        )
    )


async def delegate(
    custody: Custody,
    *,
    parent_agent_id: str,
    child_did: str,
    capabilities: tuple[str, ...],
    depth: int,
    clock: Clock,
    entropy: Entropy,
    lifetime_s: int,
    backend: BackendKind | None = None,
) -> str:
    """The parent's delegation to a child. `depth` 0 means that the child may not delegate further."""
    check_agent_id(parent_agent_id)
    for capability in capabilities:
        check_pattern(capability)
    if not 0 <= depth < MAX_DEPTH:
        raise InvalidInputError(f"The depth of a delegation is 0 to {MAX_DEPTH - 1}.")
    claims = _claims(
        custody, subject=child_did, claim=DELEGATION, clock=clock, entropy=entropy, lifetime_s=lifetime_s, evidence=None
    )
    members: JsonObject = {
        **claims,
        "capabilities": list(capabilities),
        "depth": depth,
        "parent_agent_id": parent_agent_id,
        **({} if backend is None else {"backend": backend}),
    }
    return await custody.sign_token(members)


def read_attestation(token: str, *, subject: str | None = None, issuer: str | None = None) -> Attestation:
    """The attestation in `token`, its signature checked (not its times); StatementRefusedError when it proves nothing."""
    expected = {} if subject is None else {"sub": subject}
    statement = read_statement(token, kind=ATTESTATION_TYPE, expected=expected)
    claims = statement.claims
    if issuer is not None and statement.issuer != issuer:
        raise StatementRefusedError("The attestation is by another issuer than it says.")
    expires_at_s = time_claim(claims, "exp")
    if not 0 < expires_at_s - statement.issued_at_s <= MAX_LIFETIME_S:
        raise StatementRefusedError("An attestation lasts for a year at most.")
    evidence_hash = claims.get("evidence_hash")
    if evidence_hash is not None and (not isinstance(evidence_hash, str) or _HASH.fullmatch(evidence_hash) is None):
        raise StatementRefusedError("The hash of the evidence is not a SHA-256 in hex.")
    return Attestation(
        issuer=statement.issuer,
        subject=text_claim(claims, "sub"),
        claim=text_claim(claims, "claim", most=MAX_CLAIM_CHARACTERS),
        verified=True,
        issued_at_s=statement.issued_at_s,
        expires_at_s=expires_at_s,
        evidence_hash=evidence_hash,
        jti=text_claim(claims, "jti", most=128),
        attestation_jws=token,
    )


def read_delegation(token: str, *, child_did: str) -> Delegation:
    """The delegation in `token`, its signature checked; StatementRefusedError when it is none."""
    attestation = read_attestation(token, subject=child_did)
    statement = read_statement(token, kind=ATTESTATION_TYPE, expected={"claim": DELEGATION})
    try:
        members = msgspec.convert(statement.claims, _DelegationMembers)
        check_agent_id(members.parent_agent_id)
    except (msgspec.ValidationError, InvalidInputError) as error:
        raise StatementRefusedError(f"The delegation is malformed: {error}.") from None
    if not 0 <= members.depth < MAX_DEPTH or not all(is_pattern(capability) for capability in members.capabilities):
        raise StatementRefusedError("The delegation's depth or one of its capabilities can't be right.")
    return Delegation(
        parent_did=attestation.issuer,
        parent_agent_id=members.parent_agent_id,
        child_did=child_did,
        capabilities=members.capabilities,
        depth=members.depth,
        expires_at_s=attestation.expires_at_s or 0,
        backend=members.backend,
    )


def _claims(
    custody: Custody,
    *,
    subject: str,
    claim: str,
    clock: Clock,
    entropy: Entropy,
    lifetime_s: int,
    evidence: bytes | None,
) -> dict[str, str | int]:
    issuer = custody.capabilities().did
    if issuer is None:
        raise UnsupportedOperationError("This custody handle has no identity key, so it can't attest.")
    try:
        resolve_did(subject)
    except CryptoError as error:
        raise InvalidInputError(f"The subject of an attestation is a DID: {error}.") from None
    if not 0 < len(claim) <= MAX_CLAIM_CHARACTERS:
        raise InvalidInputError(f"A claim has 1 to {MAX_CLAIM_CHARACTERS} characters.")
    if not 0 < lifetime_s <= MAX_LIFETIME_S:
        raise InvalidInputError("An attestation lasts for a second to a year.")
    now_s = clock.now_us() // 1_000_000
    claims: dict[str, str | int] = {
        "iss": issuer,
        "sub": subject,
        "type": ATTESTATION_TYPE,
        "claim": claim,
        "iat": now_s,
        "exp": now_s + lifetime_s,
        "jti": new_id(clock, entropy),
    }
    if evidence is not None:
        claims["evidence_hash"] = hashlib.sha256(evidence).hexdigest()
    return claims
