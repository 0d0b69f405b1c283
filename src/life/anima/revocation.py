"""Revocation: a signed statement that ends a DID, its sessions or one of its capability tokens (anima.md §16).

    {iss: authority, sub: DID, type: "anima.identity_revocation", reason, iat, compromised_since_seq?}
    {iss: authority, sub: DID, type: "anima.sessions_revocation", not_before, iat}
    {iss: authority, sub: DID, type: "anima.capability_revocation", jti, iat}

Who may make one (AN-REV-1): the DID itself, every DID that followed it, the controller (the parent that delegated), and the
operators whom the soul or the host names. A revocation is for ever. Ending sessions does not end the identity (AN-REV-5).

What it does (AN-REV-2): nothing new that the revoked DID signs is believed. The current DID revoked means that the identity is
dead. An earlier DID revoked leaves its successors valid, unless it is said to have been in wrong hands since before it was
replaced; and that, only an authority other than the replaced key itself can say, or a thief of an old key could end an
identity that had already escaped him.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal, get_args

import msgspec

from life.aios.json import JsonObject
from life.anima.errors import StatementRefusedError
from life.anima.statements import read_statement, text_claim, time_claim

REVOCATION_TYPE: Final = "anima.identity_revocation"
SESSIONS_TYPE: Final = "anima.sessions_revocation"
CAPABILITY_TYPE: Final = "anima.capability_revocation"

RevocationReason = Literal["compromised", "lost_device", "superseded", "end_of_life", "operator"]
REASONS: Final[tuple[RevocationReason, ...]] = get_args(RevocationReason)


class Revocation(msgspec.Struct, frozen=True, kw_only=True):
    """A DID that was revoked: by whom, why, since which sequence its key is not to be believed, and when."""

    did: str
    authority: str
    reason: str
    revoked_at_s: int
    seq: int
    """Where the event stands in the identity's stream."""
    compromised_since_seq: int | None = None
    revocation_jws: str = ""


def revocation_claims(
    did: str,
    *,
    authority: str,
    reason: RevocationReason,
    now_s: int,
    compromised_since_seq: int | None = None,
) -> JsonObject:
    """What the authority signs to end a DID."""
    claims: dict[str, str | int] = {
        "iss": authority,
        "sub": did,
        "type": REVOCATION_TYPE,
        "reason": reason,
        "iat": now_s,
    }
    if compromised_since_seq is not None:
        claims["compromised_since_seq"] = compromised_since_seq
    return claims


def sessions_claims(did: str, *, authority: str, not_before_s: int, now_s: int) -> JsonObject:
    """What the authority signs to end the sessions that began before `not_before_s`."""
    return {"iss": authority, "sub": did, "type": SESSIONS_TYPE, "not_before": not_before_s, "iat": now_s}


def capability_claims(did: str, *, authority: str, jti: str, now_s: int) -> JsonObject:
    """What the authority signs to end the capability token `jti` that `did` issued."""
    return {"iss": authority, "sub": did, "type": CAPABILITY_TYPE, "jti": jti, "iat": now_s}


def read_revocation(token: str | None, *, did: str, authorities: Collection[str], seq: int) -> Revocation:
    """The revocation of `did` in `token`, signed by one of `authorities`; StatementRefusedError otherwise."""
    statement = read_statement(token, kind=REVOCATION_TYPE, expected={"sub": did})
    _check_authority(statement.issuer, authorities)
    reason = text_claim(statement.claims, "reason")
    if reason not in REASONS:
        raise StatementRefusedError("The revocation's reason is not one of those that exist.")
    since = statement.claims.get("compromised_since_seq")
    if since is not None and (type(since) is not int or since < 1):
        raise StatementRefusedError("The sequence since when a key is compromised is a positive number.")
    return Revocation(
        did=did,
        authority=statement.issuer,
        reason=reason,
        revoked_at_s=statement.issued_at_s,
        seq=seq,
        compromised_since_seq=since,
        revocation_jws=token or "",
    )


def read_sessions_revocation(token: str | None, *, did: str, authorities: Collection[str]) -> int:
    """Since when sessions of `did` must have begun (Unix seconds); StatementRefusedError when nothing proves it."""
    statement = read_statement(token, kind=SESSIONS_TYPE, expected={"sub": did})
    _check_authority(statement.issuer, authorities)
    not_before_s = time_claim(statement.claims, "not_before")
    if not_before_s > statement.issued_at_s:
        raise StatementRefusedError("Sessions of the future can't be revoked.")
    return not_before_s


def read_capability_revocation(token: str | None, *, did: str, jti: str, authorities: Collection[str]) -> None:
    """StatementRefusedError unless `token` ends the capability token `jti` of `did`."""
    statement = read_statement(token, kind=CAPABILITY_TYPE, expected={"sub": did, "jti": jti})
    _check_authority(statement.issuer, authorities)


def _check_authority(issuer: str, authorities: Collection[str]) -> None:
    if issuer not in authorities:
        raise StatementRefusedError("The signer has no say over this identity.")
