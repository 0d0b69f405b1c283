"""Agent tokens as they are issued (anima.md §9)."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from life.aios.errors import InvalidInputError
from life.anima.custody.in_process import InProcessAnima
from life.anima.errors import CustodyInputError, UnsupportedOperationError
from life.anima.identity import agent_id_of, agent_id_of_did
from life.anima.tokens import issue_agent_token
from life.crypto import jws
from life.crypto.did import resolve_did
from life.crypto.jwk import public_jwk
from life.testing.clock import ManualClock, SeededEntropy
from tests.anima.material import DID_A, DID_B, PUBLIC_KEY_A, PUBLIC_KEY_B, handle

AGENT_A = agent_id_of(PUBLIC_KEY_A)


async def issue(audience: str = "lago", **options: Any) -> str:
    """A token of seed A's agent."""
    clock = options.pop("clock", ManualClock())
    return await issue_agent_token(
        handle(), agent_id=AGENT_A, audience=audience, clock=clock, entropy=SeededEntropy(), **options
    )


async def test_the_token_is_that_of_the_reference() -> None:
    """Header and claims of anima.md §9, and PyJWT agrees."""
    token = await issue(lifetime_s=30)
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "typ": "agent+jwt", "kid": DID_A}
    key = jwt.PyJWK({**public_jwk(resolve_did(DID_A)), "alg": "ES256"})
    content = jwt.decode(
        token, key, algorithms=["ES256"], audience="lago", options={"verify_exp": False, "verify_iat": False}
    )
    assert list(content) == ["iss", "sub", "aud", "jti", "iat", "exp"]
    assert content["iss"] == "C-CoLXpofMfKXsEQ0_dSBRqWQWLvneMzhDkl15lJT7M"
    assert content["exp"] - content["iat"] == 30


async def test_ids_are_fresh() -> None:
    """Two tokens have two ids."""
    entropy, clock = SeededEntropy(), ManualClock()
    tokens = [
        await issue_agent_token(handle(), agent_id=AGENT_A, audience="lago", clock=clock, entropy=entropy) for _ in "ab"
    ]
    ids = {jws.verify(token, typ="agent+jwt").claims["jti"] for token in tokens}
    assert len(ids) == 2


@pytest.mark.parametrize("lifetime_s", [0, -1, 61, 10**9])
async def test_lifetime_is_a_minute_at_most(lifetime_s: int) -> None:
    """Longer or empty lifetimes are refused when issuing."""
    with pytest.raises(CustodyInputError):
        await issue(lifetime_s=lifetime_s)


async def test_issuing_needs_an_identity_and_names() -> None:
    """A wallet-only handle, an empty audience and a malformed agent id are refused."""
    clock, entropy = ManualClock(), SeededEntropy()
    wallet = InProcessAnima.from_wallet_key(bytearray(b"\x01" * 32), clock=clock)
    with pytest.raises(UnsupportedOperationError):
        await issue_agent_token(wallet, agent_id=AGENT_A, audience="lago", clock=clock, entropy=entropy)
    with pytest.raises(CustodyInputError):
        await issue(audience="")
    with pytest.raises(InvalidInputError):
        await issue_agent_token(handle(), agent_id="a b", audience="lago", clock=clock, entropy=entropy)


def test_derived_agent_ids() -> None:
    """Only P-256 DIDs have an agent id by themselves."""
    assert agent_id_of_did(DID_A) == AGENT_A
    assert agent_id_of_did(DID_B) == agent_id_of(PUBLIC_KEY_B)
    assert agent_id_of_did("did:key:z6MkuU3oeMGkijJzo6sCZKXFEMhGP7VADwWMfazoAjigoom6") is None
    assert agent_id_of_did("did:web:example.org") is None
