"""Agent tokens: short-lived tokens by which an agent proves who it is to one audience (AN-VER-5).

Header ``{"alg": "ES256", "typ": "agent+jwt", "kid": <DID>}``; claims iss (RFC 7638 thumbprint of the key), sub (agent id),
aud, jti, iat, exp and, when present, nbf, with a lifetime of at most 60 seconds. Times are whole Unix seconds and come from the caller.
"""

from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from life.crypto import jws
from life.crypto.did import Curve, DidKey
from life.crypto.errors import ExpiredTokenError, InvalidTokenError, WrongAudienceError
from life.crypto.jwk import thumbprint

TYP = "agent+jwt"
MAX_LIFETIME_S = 60
LEEWAY_S = 30
MAX_CLAIM_CHARACTERS = 512


class AgentClaims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The claims of an agent token. Members beyond these are allowed in a token and ignored here.

    ``aud`` is one audience: a token good for several can be replayed by each of them against the others.
    """

    iss: str
    sub: str
    aud: str
    jti: str
    iat: int
    exp: int
    nbf: int | None = None


@dataclass(frozen=True, slots=True)
class VerifiedAgentToken:
    """An authentic, current token. Single use (``jti``), rotation and revocation are the verifier service's to check."""

    claims: AgentClaims
    signer: DidKey
    algorithm: jws.Algorithm


def agent_claims(
    key: DidKey, agent_id: str, *, audience: str, jti: str, now_s: int, lifetime_s: int = MAX_LIFETIME_S
) -> AgentClaims:
    """Build the claims of a token that ``key`` will sign. ``jti`` is a fresh unique id made by the caller.

    Raises :class:`InvalidTokenError` for a lifetime outside 1..60 seconds or an empty or overlong text.
    """
    claims = AgentClaims(iss=thumbprint(key), sub=agent_id, aud=audience, jti=jti, iat=now_s, exp=now_s + lifetime_s)
    _check_shape(claims)
    return claims


def sign_agent_token(claims: AgentClaims, *, key: DidKey, signer: jws.Signer) -> str:
    """Sign ``claims`` with the private half of ``key``, held by ``signer``. Errors as :func:`life.crypto.jws.sign`."""
    return jws.sign(claims, key=key, typ=TYP, signer=signer)


def verify_agent_token(
    token: str,
    *,
    audience: str,
    now_s: int,
    leeway_s: int = LEEWAY_S,
    curves: Collection[Curve] = jws.P256_ONLY,
) -> VerifiedAgentToken:
    """Verify signature and claims of an agent token at time ``now_s``.

    ``iss`` must be the thumbprint of the signing key or its DID. ``leeway_s`` forgives clocks that differ, on both ends.
    Raises :class:`ExpiredTokenError`, :class:`WrongAudienceError`, other :class:`InvalidTokenError`, or
    :class:`life.crypto.errors.InvalidSignatureError`.
    """
    verified = jws.verify(token, typ=TYP, curves=curves)
    try:
        claims = msgspec.convert(verified.claims, AgentClaims)
    except msgspec.ValidationError as error:
        raise InvalidTokenError(f"the agent token's claims are malformed: {error}") from None
    _check_shape(claims)
    if claims.iss not in (thumbprint(verified.signer), verified.signer.did):
        raise InvalidTokenError("the agent token's issuer is not the key that signed it")
    if claims.aud != audience:
        raise WrongAudienceError("the agent token was made for another audience")
    if claims.iat > now_s + leeway_s:
        raise InvalidTokenError("the agent token was issued in the future")
    if claims.nbf is not None and claims.nbf > now_s + leeway_s:
        raise InvalidTokenError("the agent token is not valid yet")
    if now_s >= claims.exp + leeway_s:
        raise ExpiredTokenError("the agent token has expired")
    return VerifiedAgentToken(claims=claims, signer=verified.signer, algorithm=verified.algorithm)


def _check_shape(claims: AgentClaims) -> None:
    for text in (claims.iss, claims.sub, claims.aud, claims.jti):
        if not 0 < len(text) <= MAX_CLAIM_CHARACTERS:
            raise InvalidTokenError(f"iss, sub, aud and jti have 1 to {MAX_CLAIM_CHARACTERS} characters")
    if claims.iat < 0 or not 0 < claims.exp - claims.iat <= MAX_LIFETIME_S:
        raise InvalidTokenError(f"an agent token lives 1 to {MAX_LIFETIME_S} seconds")
