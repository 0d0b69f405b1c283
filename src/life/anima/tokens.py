"""Agent tokens: an agent proves to one service, for at most a minute, who it is (anima.md §9 and §18.2, AN-VER-5).

    header  {"alg": "ES256", "typ": "agent+jwt", "kid": <DID>}
    claims  iss (thumbprint of the key), sub (agent id), aud, jti, iat, exp

The signature binds the token to the DID in `kid`. The agent id in `sub` is only a claim, so verification also asks whose
id it is: by default it must be the one derived from the signing key. Rotation, revocation and single use (`jti`) are the
business of the service that keeps such state.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from life.aios.ids import new_id
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody
from life.anima.errors import CustodyInputError, TokenRefusedError, UnsupportedOperationError
from life.anima.identity import agent_id_of, check_agent_id
from life.crypto import agent_token
from life.crypto.did import Curve, resolve_did
from life.crypto.errors import CryptoError, ExpiredTokenError, InvalidTokenError, WrongAudienceError

MAX_LIFETIME_S = agent_token.MAX_LIFETIME_S
LEEWAY_S = agent_token.LEEWAY_S

AgentIdLookup = Callable[[str], str | None]
"""The agent id that belongs to a DID, or None when the DID is not known."""


class AgentClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What a verified token proves: the holder of `did`'s key, who is `agent_id`, addressed `audience`. Unix seconds."""

    did: str
    agent_id: str
    audience: str
    token_id: str
    issued_at_s: int
    expires_at_s: int


async def issue_agent_token(
    custody: Custody,
    *,
    agent_id: str,
    audience: str,
    clock: Clock,
    entropy: Entropy,
    lifetime_s: int = MAX_LIFETIME_S,
) -> str:
    """A new token of this agent for `audience`, good for `lifetime_s` (1 to 60 seconds) from now.

    CustodyInputError for a lifetime or a text out of bounds, UnsupportedOperationError without an auth key.
    """
    check_agent_id(agent_id)
    did = custody.capabilities().did
    if did is None:
        raise UnsupportedOperationError("This custody handle has no identity key, so it can't sign agent tokens.")
    try:
        claims = agent_token.agent_claims(
            resolve_did(did),
            agent_id,
            audience=audience,
            jti=new_id(clock, entropy),
            now_s=clock.now_us() // 1_000_000,
            lifetime_s=lifetime_s,
        )
    except InvalidTokenError as error:
        raise CustodyInputError(f"The token can't be made: {error}.") from None
    members: JsonObject = msgspec.to_builtins(claims)
    return await custody.sign_token(members, typ=agent_token.TYP)


def derived_agent_id(did: str) -> str | None:
    """The id of an agent that still has the key it was born with; None for a DID that is not a P-256 `did:key`."""
    try:
        key = resolve_did(did)
    except CryptoError:
        return None
    return agent_id_of(key.public_key) if key.curve is Curve.P256 else None


def verify_agent_token(
    token: str,
    *,
    audience: str,
    clock: Clock,
    leeway_s: int = LEEWAY_S,
    agent_id_for: AgentIdLookup = derived_agent_id,
) -> AgentClaims:
    """What `token` proves to `audience` now, or a TokenRefusedError with one of these reasons:

    `expired`, `wrong_audience`, `wrong_agent` (the agent id is not the signer's), `invalid` (form, algorithm, type,
    signature, issuer, lifetime). Only ES256 with a P-256 DID is accepted; `leeway_s` forgives clocks that differ.
    """
    try:
        verified = agent_token.verify_agent_token(
            token, audience=audience, now_s=clock.now_us() // 1_000_000, leeway_s=leeway_s
        )
    except ExpiredTokenError:
        raise TokenRefusedError("expired", "The agent token has expired.") from None
    except WrongAudienceError:
        raise TokenRefusedError("wrong_audience", "The agent token was made for another service.") from None
    except CryptoError as error:
        raise TokenRefusedError("invalid", f"The agent token is not valid ({error.code}).") from None
    claims, did = verified.claims, verified.signer.did
    if agent_id_for(did) != claims.sub:
        raise TokenRefusedError("wrong_agent", "The agent token names an agent that its key does not belong to.")
    return AgentClaims(
        did=did,
        agent_id=claims.sub,
        audience=claims.aud,
        token_id=claims.jti,
        issued_at_s=claims.iat,
        expires_at_s=claims.exp,
    )
