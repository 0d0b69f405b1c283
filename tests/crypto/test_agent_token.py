"""Agent tokens: built, verified, and refused when late, early, foreign or misshapen."""

import json

import pytest

from life.crypto import agent_token, jws, p256
from life.crypto.agent_token import AgentClaims, agent_claims, sign_agent_token, verify_agent_token
from life.crypto.did import resolve_did
from life.crypto.errors import (
    ExpiredTokenError,
    InvalidSignatureError,
    InvalidTokenError,
    WrongAudienceError,
)
from tests.crypto import vectors

KEY = p256.load_private_key(bytearray(vectors.P256_SECRET_A))
DID = resolve_did(vectors.DID_A)
NOW_S = 1_777_593_600


def token(now_s: int = NOW_S, lifetime_s: int = 60) -> str:
    claims = agent_claims(DID, "agent-1", audience="lago", jti="token-1", now_s=now_s, lifetime_s=lifetime_s)
    return sign_agent_token(claims, key=DID, signer=KEY.sign)


def forged(**changes: object) -> str:
    """A correctly signed token whose claims were changed; None removes one."""
    claims: dict[str, object] = {
        "iss": vectors.THUMBPRINT_A,
        "sub": "agent-1",
        "aud": "lago",
        "jti": "token-1",
        "iat": NOW_S,
        "exp": NOW_S + 60,
    }
    claims.update(changes)
    present = {name: value for name, value in claims.items() if value is not None}
    return jws.sign(present, key=DID, typ=agent_token.TYP, signer=KEY.sign)


def test_a_token_says_who_and_for_whom() -> None:
    """Header and claims are those of the reference: ES256, agent+jwt, kid the DID, iss the thumbprint."""
    text = token()
    parsed = jws.parse(text)
    assert (parsed.algorithm, parsed.typ, parsed.kid) == ("ES256", "agent+jwt", vectors.DID_A)
    assert json.loads(parsed.payload) == {
        "iss": vectors.THUMBPRINT_A,
        "sub": "agent-1",
        "aud": "lago",
        "jti": "token-1",
        "iat": NOW_S,
        "exp": NOW_S + 60,
    }
    verified = verify_agent_token(text, audience="lago", now_s=NOW_S)
    assert verified.signer == DID
    assert verified.claims == AgentClaims(
        iss=vectors.THUMBPRINT_A, sub="agent-1", aud="lago", jti="token-1", iat=NOW_S, exp=NOW_S + 60
    )


@pytest.mark.parametrize(
    ("offset_s", "error"),
    [
        (-31, InvalidTokenError),
        (-30, None),
        (0, None),
        (59, None),
        (60, None),
        (89, None),
        (90, ExpiredTokenError),
        (10**6, ExpiredTokenError),
    ],
)
def test_time_window(offset_s: int, error: type[InvalidTokenError] | None) -> None:
    """A token is good from issue to expiry, with 30 s of leeway on both ends and not a second more."""
    if error is None:
        verify_agent_token(token(), audience="lago", now_s=NOW_S + offset_s)
    else:
        with pytest.raises(error):
            verify_agent_token(token(), audience="lago", now_s=NOW_S + offset_s)


def test_without_leeway_the_window_is_exact() -> None:
    """Zero leeway ends the token at exp and begins it at iat."""
    verify_agent_token(token(), audience="lago", now_s=NOW_S + 59, leeway_s=0)
    with pytest.raises(ExpiredTokenError):
        verify_agent_token(token(), audience="lago", now_s=NOW_S + 60, leeway_s=0)
    with pytest.raises(InvalidTokenError, match="future"):
        verify_agent_token(token(), audience="lago", now_s=NOW_S - 1, leeway_s=0)


def test_another_audience_is_refused() -> None:
    """A token made for one service does not open another."""
    with pytest.raises(WrongAudienceError):
        verify_agent_token(token(), audience="haima", now_s=NOW_S)


def test_the_issuer_is_the_signing_key() -> None:
    """iss is the key's thumbprint or its DID; somebody else's is refused."""
    verify_agent_token(forged(iss=vectors.DID_A), audience="lago", now_s=NOW_S)
    for issuer in (vectors.THUMBPRINT_B, vectors.DID_B, "agent-1"):
        with pytest.raises(InvalidTokenError, match="issuer"):
            verify_agent_token(forged(iss=issuer), audience="lago", now_s=NOW_S)


@pytest.mark.parametrize(
    "changes",
    [
        *({name: None} for name in ("iss", "sub", "aud", "jti", "iat", "exp")),
        *({name: ""} for name in ("iss", "sub", "aud", "jti")),
        {"sub": "x" * 513},
        {"sub": 5},
        {"aud": ["lago"]},
        {"aud": ["lago", "haima"]},
        {"iat": str(NOW_S)},
        {"iat": NOW_S + 0.5},
        {"iat": True, "exp": 2},
        {"exp": "never"},
        {"exp": NOW_S + 61},
        {"exp": NOW_S},
        {"exp": NOW_S - 1},
        {"iat": -10, "exp": 50},
        {"exp": 10**400},
    ],
)
def test_misshapen_claims_are_refused(changes: dict[str, object]) -> None:
    """Every claim is required, has its type and bounds, and the lifetime is 1 to 60 seconds."""
    with pytest.raises(InvalidTokenError):
        verify_agent_token(forged(**changes), audience="lago", now_s=NOW_S)


def test_times_before_the_epoch_are_refused() -> None:
    """Negative times are malformed even where they would still be current."""
    with pytest.raises(InvalidTokenError, match="lives"):
        verify_agent_token(forged(iat=-10, exp=50), audience="lago", now_s=0)


def test_further_claims_are_ignored() -> None:
    """A token may carry more than is read here."""
    verify_agent_token(forged(scope="events:read", nbf=NOW_S), audience="lago", now_s=NOW_S)


@pytest.mark.parametrize("lifetime_s", [0, -1, 61, 3600])
def test_long_and_empty_lifetimes_are_not_built(lifetime_s: int) -> None:
    """Building follows the same bounds as verifying."""
    with pytest.raises(InvalidTokenError):
        token(lifetime_s=lifetime_s)


def test_other_tokens_are_not_agent_tokens() -> None:
    """A correctly signed token of another type is refused, so a rotation proof never logs anybody in."""
    with pytest.raises(InvalidTokenError, match="another type"):
        verify_agent_token(vectors.ROTATION_PROOF, audience="lago", now_s=NOW_S)


def test_junk_is_refused_by_its_signature_first() -> None:
    """Claims of an unauthenticated token are not looked at: the signature error comes before the expiry error."""
    message, _, _ = token().rpartition(".")
    with pytest.raises(InvalidSignatureError):
        verify_agent_token(jws.assemble(message.encode(), b"\x01" * 64), audience="haima", now_s=NOW_S + 10**6)
