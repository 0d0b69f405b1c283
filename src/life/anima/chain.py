"""Rotation chains: who may sign for a DID now (anima.md §15; AN-ROT-1 to AN-ROT-5).

A link leads from an old DID to a new one and carries two proofs, both compact JWS with typ `JWT`:

    rotation_proof_jws   by the old key   {iss: old, sub: new, type: "anima.rotation_proof", prev?, iat}
    new_key_proof        by the new key   {iss: new, sub: old, type: "anima.rotation_acceptance", iat}

The second shows that somebody holds the new key and agrees (AN-ROT-2): nobody can rotate into a key that is nobody's, or
name another identity as their successor. It has its own type and its own issuer, because a custody handle signs only in
its own name.

`prev` in a proof is the DID before the old one, when there is one: by it the old key confirms its own predecessor. So a chain
that is read whole needs the acceptance of its last key only; every earlier key has agreed to its predecessor by the proof
that it signed later. The fold, which takes one event at a time, checks both proofs of each.

Every new key is P-256. An Ed25519 DID may be the first of a chain, which is how identities of before Spec D came over
(AN-ROT-4). A chain has at most 256 links, no DID twice, and rising sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from life.aios.json import JsonObject
from life.aios.record import parse_timestamp
from life.anima.errors import RotationRefusedError, StatementRefusedError
from life.anima.statements import JWT, MAX_TIME_S, read_statement
from life.crypto import jws
from life.crypto.base64url import decode_base64url, encode_base64url
from life.crypto.did import Curve, DidKey, resolve_did
from life.crypto.errors import CryptoError

PROOF_TYPE: Final = "anima.rotation_proof"
ACCEPTANCE_TYPE: Final = "anima.rotation_acceptance"
MAX_LINKS: Final = 256
PROOF_AGE_S: Final = 900
"""How much older than the event a proof may be: a person may have to confirm each signature at a device."""
CLOCK_SKEW_S: Final = 60

_OLD_CURVES: Final = frozenset((Curve.P256, Curve.ED25519))


class RotationLink(msgspec.Struct, frozen=True, kw_only=True):
    """One rotation. `rotated_at` is RFC 3339; `rotated_at_seq` its place in the identity's stream, 0 where unknown."""

    old_did: str
    new_did: str
    rotation_proof_jws: str
    new_key_proof: str
    rotated_at: str
    rotated_at_seq: int = 0


def proof_claims(old_did: str, new_did: str, *, now_s: int, previous_did: str | None = None) -> JsonObject:
    """What the old key signs; `previous_did` is the DID that it replaced itself."""
    previous = {} if previous_did is None else {"prev": previous_did}
    return {"iss": old_did, "sub": new_did, "type": PROOF_TYPE, **previous, "iat": now_s}


def acceptance_claims(old_did: str, new_did: str, *, now_s: int) -> JsonObject:
    """What the new key signs."""
    return {"iss": new_did, "sub": old_did, "type": ACCEPTANCE_TYPE, "iat": now_s}


def verify_link(link: RotationLink, *, previous_did: str | None = None) -> int:
    """The time of a rotation in microseconds, when both proofs hold; otherwise a RotationRefusedError.

    `previous_did`, the DID that the old one replaced, only helps to recognise the proof's bytes.
    """
    old, new, rotated_at_us = _readable(link)
    _check_time(rotated_at_us, _prove(link, old, new, previous_did).issued_at_s)
    _check_acceptance(link, old, new, rotated_at_us)
    return rotated_at_us


def verify_chain(links: Sequence[RotationLink], *, start: str) -> str:
    """The DID that `links` lead to from `start`; RotationRefusedError when they don't.

    Every proof of an old key is checked, and every acceptance that the next proof does not make superfluous.
    """
    if len(links) > MAX_LINKS:
        raise RotationRefusedError(f"A chain has at most {MAX_LINKS} rotations.")
    current, seen, sequence = start, {start}, 0
    waiting: tuple[RotationLink, DidKey, DidKey, int] | None = None
    for link in links:
        if link.old_did != current or link.new_did in seen:
            raise RotationRefusedError("The rotations do not form a chain.")
        if link.rotated_at_seq and link.rotated_at_seq <= sequence:
            raise RotationRefusedError("The rotations are not in the order of the journal.")
        old, new, rotated_at_us = _readable(link)
        proof = _prove(link, old, new, None if waiting is None else waiting[1].did)
        _check_time(rotated_at_us, proof.issued_at_s)
        if waiting is not None and not proof.confirms_previous:
            _check_acceptance(*waiting)
        waiting = (link, old, new, rotated_at_us)
        current, sequence = link.new_did, link.rotated_at_seq or sequence
        seen.add(current)
    if waiting is not None:
        _check_acceptance(*waiting)
    return current


def dids_of(links: Sequence[RotationLink], *, start: str) -> tuple[str, ...]:
    """Every DID of a verified chain, oldest first."""
    return (start, *(link.new_did for link in links))


class _Proof(NamedTuple):
    issued_at_s: int
    confirms_previous: bool


def _readable(link: RotationLink) -> tuple[DidKey, DidKey, int]:
    """Both keys and the time of a link, before any proof."""
    try:
        old, new = resolve_did(link.old_did), resolve_did(link.new_did)
    except CryptoError as error:
        raise RotationRefusedError(f"The rotation names a DID that is none: {error}.") from None
    if new.curve is not Curve.P256 or old.curve not in _OLD_CURVES:
        raise RotationRefusedError("A key is rotated to a P-256 key.")
    if old.did == new.did:
        raise RotationRefusedError("A key is not rotated to itself.")
    try:
        rotated_at_us = parse_timestamp(link.rotated_at)
    except (ValueError, OverflowError):
        raise RotationRefusedError("The rotation's time is not RFC 3339.") from None
    return old, new, rotated_at_us


def _check_time(rotated_at_us: int, issued_at_s: int) -> None:
    age_s = rotated_at_us // 1_000_000 - issued_at_s
    if not -CLOCK_SKEW_S <= age_s <= PROOF_AGE_S:
        raise RotationRefusedError("A proof of the rotation was made at another time than the rotation.")


def _prove(link: RotationLink, old: DidKey, new: DidKey, previous_did: str | None) -> _Proof:
    return _signed(link.rotation_proof_jws, PROOF_TYPE, old, new, previous_did)


def _check_acceptance(link: RotationLink, old: DidKey, new: DidKey, rotated_at_us: int) -> None:
    _check_time(rotated_at_us, _signed(link.new_key_proof, ACCEPTANCE_TYPE, new, old, None).issued_at_s)


def _signed(token: str, kind: str, issuer: DidKey, subject: DidKey, previous_did: str | None) -> _Proof:
    """What a proof that `issuer` signed says; RotationRefusedError when it proves nothing.

    Proofs as this package writes them are recognised by their bytes, which saves reading JSON twice per link of a long
    chain; every other spelling goes through the strict reader. Both accept the same statements.
    """
    try:
        proof = _canonical(token, kind, issuer, subject, previous_did)
        if proof is not None:
            signed, _, signature = token.rpartition(".")
            jws.verify_signature(issuer, signed.encode("ascii"), decode_base64url(signature))
            return proof
        statement = read_statement(
            token, kind=kind, expected={"iss": issuer.did, "sub": subject.did}, curves=_OLD_CURVES, typ=JWT
        )
        confirms = previous_did is not None and statement.claims.get("prev") == previous_did
        return _Proof(statement.issued_at_s, confirms)
    except CryptoError as error:
        raise RotationRefusedError(f"A proof of the rotation does not hold ({error.code}).") from None
    except StatementRefusedError as error:
        raise RotationRefusedError(f"A proof of the rotation does not hold: {error.message}") from None


def _canonical(token: str, kind: str, issuer: DidKey, subject: DidKey, previous_did: str | None) -> _Proof | None:
    """What the proof says when its bytes are exactly those that `proof_claims` or `acceptance_claims` give."""
    parts = token.split(".")
    if len(token) > jws.MAX_TOKEN_BYTES or len(parts) != 3 or parts[0] != _header(issuer):
        return None
    payload = decode_base64url(parts[1])
    head = f'{{"iss":"{issuer.did}","sub":"{subject.did}","type":"{kind}",'.encode()
    if not payload.startswith(head):
        return None
    rest, confirms = payload[len(head) :], False
    if previous_did is not None:
        previous = f'"prev":"{previous_did}",'.encode()
        if rest.startswith(previous):
            rest, confirms = rest[len(previous) :], True
    digits = rest[6:-1]
    if rest[:6] != b'"iat":' or rest[-1:] != b"}" or not digits.isdigit() or (digits[:1] == b"0" and digits != b"0"):
        return None
    return _Proof(int(digits), confirms) if len(digits) <= 12 and int(digits) <= MAX_TIME_S else None


@lru_cache(maxsize=1024)
def _header(issuer: DidKey) -> str:
    algorithm = jws.algorithm_of(issuer.curve).value
    return encode_base64url(msgspec.json.encode({"alg": algorithm, "typ": JWT, "kid": issuer.did}))
