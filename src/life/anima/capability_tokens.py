"""Capability tokens: permits that pass from hand to hand and only ever get narrower (anima.md §21, AN-CAP-1).

    header  {"alg": "ES256", "typ": "anima-cap+jwt", "kid": <granter's DID>}
    claims  iss (granter's DID), sub (grantee's DID), cap [{capability, constraints?}], iat, nbf, exp, jti, parent?

A granter signs for a grantee; the grantee may sign a narrower one for somebody else, with `parent` the SHA-256 (base64url) of
the token it stands on. Whoever uses a permit shows the whole chain, first token first, joined by `~`, beside an agent token of
its own: a permit that was copied is worth nothing to a thief.

A chain is good when the first granter is trusted, every signature holds under a key that is current and not revoked, each
granter is the grantee before, no link covers more or lasts longer than the one before, nobody took one back, and it has at
most eight links. Constraints add up: all of the chain's must be met.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.ids import new_id
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody
from life.anima.beliefs import GrantConstraint, is_met
from life.anima.errors import TokenRefusedError, UnsupportedOperationError
from life.anima.registry import Identities, Standing
from life.anima.scopes import covers, is_pattern
from life.crypto import jws
from life.crypto.base64url import encode_base64url
from life.crypto.did import resolve_did
from life.crypto.errors import CryptoError

TYP: Final = "anima-cap+jwt"
MAX_DEPTH: Final = 8
MAX_LIFETIME_S: Final = 90 * 24 * 3600
MAX_CAPABILITIES: Final = 64
LEEWAY_S: Final = 30
SEPARATOR: Final = "~"


class CapabilityGrant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One capability (a name or a pattern) with the conditions of its use."""

    capability: str
    constraints: tuple[GrantConstraint, ...] = ()


class CapabilityClaims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The claims of one link. Times are Unix seconds."""

    iss: str
    sub: str
    cap: tuple[CapabilityGrant, ...]
    iat: int
    nbf: int
    exp: int
    jti: str
    parent: str | None = None


class Permit(msgspec.Struct, frozen=True, kw_only=True):
    """A verified chain: who granted first, who may use it, and every link's grants."""

    issuer_agent_id: str
    grantee_did: str
    expires_at_s: int
    links: tuple[CapabilityClaims, ...]

    def allows(self, capability: str, arguments: JsonObject) -> bool:
        """Whether every link covers the call, with its conditions met."""
        return all(
            any(
                covers(grant.capability, capability) and all(is_met(item, arguments) for item in grant.constraints)
                for grant in link.cap
            )
            for link in self.links
        )

    def scopes(self) -> tuple[str, ...]:
        """The capabilities of the last link that carry no condition in the whole chain."""
        return tuple(grant.capability for grant in self.links[-1].cap if self.allows(grant.capability, {}))


async def issue_capability(
    custody: Custody,
    *,
    grantee_did: str,
    capabilities: Sequence[CapabilityGrant],
    clock: Clock,
    entropy: Entropy,
    lifetime_s: int,
    parent: str | None = None,
) -> str:
    """A permit by the identity that `custody` signs for; with `parent` (a whole chain), one that stands on it.

    Gives the whole chain. InvalidInputError for what can't be right, or would be wider than its parent: nobody accepts that.
    """
    issuer = custody.capabilities().did
    if issuer is None:
        raise UnsupportedOperationError("This custody handle has no identity key, so it can't grant anything.")
    try:
        resolve_did(grantee_did)
    except CryptoError as error:
        raise InvalidInputError(f"The grantee is a DID: {error}.") from None
    now_s = clock.now_us() // 1_000_000
    claims = CapabilityClaims(
        iss=issuer,
        sub=grantee_did,
        cap=tuple(capabilities),
        iat=now_s,
        nbf=now_s,
        exp=now_s + lifetime_s,
        jti=new_id(clock, entropy),
        parent=None if parent is None else _hash_of(parent.split(SEPARATOR)[-1]),
    )
    fault = _shape_fault(claims)
    if fault is None and parent is not None:
        before = [_read(token)[0] for token in parent.split(SEPARATOR)]
        fault = (
            _widening(before[-1], claims) or (len(before) >= MAX_DEPTH and "a chain has at most eight links") or None
        )
    if fault is not None:
        raise InvalidInputError(f"The permit can't be right: {fault}.")
    token = await custody.sign_token(msgspec.to_builtins(claims), typ=TYP)
    return token if parent is None else parent + SEPARATOR + token


def verify_capability(
    chain: str,
    *,
    presenter_did: str,
    identities: Identities,
    is_trusted: Callable[[str], bool],
    clock: Clock,
) -> Permit:
    """The permit in `chain`, shown by `presenter_did`, which proved itself by an agent token.

    `is_trusted` says of an agent id whether it may grant here. TokenRefusedError with the reason `invalid`, `expired`,
    `untrusted_issuer`, `unknown_identity`, `revoked`, `superseded`, `inactive`, `widened` or `wrong_presenter` otherwise.
    """
    tokens = chain.split(SEPARATOR)
    if not 0 < len(tokens) <= MAX_DEPTH:
        raise _refused("invalid", f"A permit has 1 to {MAX_DEPTH} links.")
    identities.require_fresh()
    now_us = clock.now_us()
    links: list[CapabilityClaims] = []
    issuers: list[Standing] = []
    for number, token in enumerate(tokens):
        claims, standing = _link(token, identities, now_us)
        if number:
            _check_handover(links[-1], claims, standing, tokens[number - 1], identities)
        elif claims.parent is not None or not is_trusted(standing.agent_id):
            raise _refused("untrusted_issuer", "The permit does not begin with somebody who may grant here.")
        if any(
            item.jti == claims.jti and item.issuer_did in standing.keys.dids
            for item in standing.keys.revoked_capabilities
        ):
            raise _refused("revoked", "The permit was taken back.")
        links.append(claims)
        issuers.append(standing)
    if not _same_identity(links[-1].sub, presenter_did, identities):
        raise _refused("wrong_presenter", "The permit was granted to somebody else.")
    return Permit(
        issuer_agent_id=issuers[0].agent_id,
        grantee_did=links[-1].sub,
        expires_at_s=min(link.exp for link in links),
        links=tuple(links),
    )


def _link(token: str, identities: Identities, now_us: int) -> tuple[CapabilityClaims, Standing]:
    """One link whose signature, shape and time hold, and who signed it."""
    claims, signer = _read(token)
    fault = _shape_fault(claims)
    if fault is not None or claims.iss != signer:
        raise _refused("invalid", f"The permit is malformed: {fault or 'its issuer is not its signer'}.")
    now_s = now_us // 1_000_000
    if claims.nbf > now_s + LEEWAY_S or claims.iat > now_s + LEEWAY_S:
        raise _refused("invalid", "The permit is not valid yet.")
    if now_s >= claims.exp:
        raise _refused("expired", "The permit has expired.")
    standing = identities.standing(signer)
    if standing is None:
        raise _refused("unknown_identity", "Nothing is known here of the identity that granted the permit.")
    if standing.dead or standing.key_state == "revoked":
        raise _refused("revoked", "The granter's key is revoked.")
    if standing.key_state != "current":  # whoever has an old key could write any date into a permit
        raise _refused("superseded", "The granter's key was replaced; it must grant again with its new one.")
    if not standing.is_active(now_us) or identities.is_suspended(standing, now_us):
        raise _refused("inactive", "The granter's identity is not active.")
    return claims, standing


def _check_handover(
    before: CapabilityClaims, claims: CapabilityClaims, standing: Standing, parent: str, identities: Identities
) -> None:
    if claims.parent != _hash_of(parent) or not _same_identity(before.sub, standing.did, identities):
        raise _refused("invalid", "The permit's links do not belong together.")
    fault = _widening(before, claims)
    if fault is not None:
        raise _refused("widened", f"A link of the permit grants more than it was given: {fault}.")


def _same_identity(did: str, other: str, identities: Identities) -> bool:
    """Whether both are one identity: a grantee who rotated its key keeps what it was granted."""
    if did == other:
        return True
    first, second = identities.standing(did), identities.standing(other)
    return first is not None and second is not None and first.agent_id == second.agent_id and not first.dead


def _widening(before: CapabilityClaims, claims: CapabilityClaims) -> str | None:
    """How `claims` grant more than `before`, or None."""
    if claims.exp > before.exp:
        return "it lasts longer"
    if claims.nbf < before.nbf:
        return "it begins earlier"
    for grant in claims.cap:
        if not any(covers(held.capability, grant.capability) for held in before.cap):
            return "it covers more"
    return None


def _shape_fault(claims: CapabilityClaims) -> str | None:
    if not 0 < len(claims.cap) <= MAX_CAPABILITIES or not all(is_pattern(grant.capability) for grant in claims.cap):
        return f"it names 1 to {MAX_CAPABILITIES} capabilities"
    if not 0 < len(claims.jti) <= 128:
        return "its id is missing"
    if claims.iat < 0 or not 0 < claims.exp - claims.iat <= MAX_LIFETIME_S:
        return "it lasts for a second to 90 days"
    return None


def _read(token: str) -> tuple[CapabilityClaims, str]:
    """Claims and signer of a link whose signature holds."""
    try:
        verified = jws.verify(token, typ=TYP)
        return msgspec.convert(verified.claims, CapabilityClaims), verified.signer.did
    except CryptoError as error:
        raise _refused("invalid", f"The permit is not valid ({error.code}).") from None
    except msgspec.ValidationError:
        raise _refused("invalid", "The permit's claims are malformed.") from None


def _hash_of(token: str) -> str:
    return encode_base64url(hashlib.sha256(token.encode()).digest())


def _refused(reason: str, message: str) -> TokenRefusedError:
    return TokenRefusedError(reason, message)
