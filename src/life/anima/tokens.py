"""Agent tokens: an agent proves to one service, for at most a minute, who it is (anima.md §9 and §18.2, AN-VER-5).

    header  {"alg": "ES256", "typ": "agent+jwt", "kid": <DID>}
    claims  iss (thumbprint of the key), sub (agent id), aud, jti, iat, exp

Tokens are checked in one place only, `life.anima.verifier`.
"""

from __future__ import annotations

import msgspec

from life.aios.ids import new_id
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody
from life.anima.errors import CustodyInputError, UnsupportedOperationError
from life.anima.identity import check_agent_id
from life.crypto import agent_token
from life.crypto.did import resolve_did
from life.crypto.errors import InvalidTokenError

MAX_LIFETIME_S = agent_token.MAX_LIFETIME_S
LEEWAY_S = agent_token.LEEWAY_S


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
