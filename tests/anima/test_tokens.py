"""Agent tokens: what they prove, and every way in which they must not (anima.md §18.2)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.anima.custody.in_process import InProcessAnima
from life.anima.errors import CustodyInputError, TokenRefusedError, UnsupportedOperationError
from life.anima.identity import agent_id_of
from life.anima.tokens import AgentClaims, derived_agent_id, issue_agent_token, verify_agent_token
from life.crypto.did import resolve_did
from life.crypto.jwk import public_jwk, thumbprint
from life.testing.clock import START_US, ManualClock, SeededEntropy
from tests.anima.material import DID_A, DID_B, PUBLIC_KEY_A, PUBLIC_KEY_B, SEED_A, SEED_B, handle

AGENT_A = agent_id_of(PUBLIC_KEY_A)
NOW_S = START_US // 1_000_000


async def issue(audience: str = "lago", **options: Any) -> str:
    """A token of seed A's agent."""
    clock = options.pop("clock", ManualClock())
    return await issue_agent_token(
        handle(), agent_id=AGENT_A, audience=audience, clock=clock, entropy=SeededEntropy(), **options
    )


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims of seed A's agent, changed."""
    good = {
        "iss": thumbprint(resolve_did(DID_A)),
        "sub": AGENT_A,
        "aud": "lago",
        "jti": "token-1",
        "iat": NOW_S,
        "exp": NOW_S + 60,
    }
    return {name: value for name, value in (good | changes).items() if value is not ...}


def signed(
    content: dict[str, Any], *, seed: bytes = SEED_A, typ: str = "agent+jwt", header: dict[str, Any] | None = None
) -> str:
    """A token signed by a seed's key with any header and claims, past every check of custody."""
    custody = handle(seed)
    assert custody._auth is not None
    members = {"alg": "ES256", "typ": typ, "kid": custody.capabilities().did} | (header or {})
    message = f"{segment(members)}.{segment(content)}"
    return f"{message}.{base64.urlsafe_b64encode(custody._auth.sign(message.encode())).rstrip(b'=').decode()}"


def segment(value: object) -> str:
    """A part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def refusal(token: str, *, clock: ManualClock | None = None, **options: Any) -> str:
    """Why a token is refused."""
    with pytest.raises(TokenRefusedError) as error:
        verify_agent_token(token, audience=options.pop("audience", "lago"), clock=clock or ManualClock(), **options)
    assert len(token) < 20 or token not in str(error.value)
    assert error.value.code == "anima.token_refused"
    assert error.value.details["reason"] == error.value.reason
    return error.value.reason


async def test_issue_and_verify() -> None:
    """A token proves DID, agent and audience for at most a minute."""
    token = await issue()
    proven = verify_agent_token(token, audience="lago", clock=ManualClock())
    assert proven == AgentClaims(
        did=DID_A,
        agent_id=AGENT_A,
        audience="lago",
        token_id=proven.token_id,
        issued_at_s=NOW_S,
        expires_at_s=NOW_S + 60,
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
    ids = {verify_agent_token(token, audience="lago", clock=clock).token_id for token in tokens}
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


async def test_time() -> None:
    """Valid until the end plus the leeway, from the start minus the leeway, not a second beyond."""
    clock = ManualClock()
    token = await issue(clock=clock)
    for offset_s, reason in ((89, None), (90, "expired"), (-30, None), (-31, "invalid")):
        at = ManualClock(start_us=START_US + offset_s * 1_000_000)
        if reason is None:
            verify_agent_token(token, audience="lago", clock=at)
        else:
            assert refusal(token, clock=at) == reason
    strict = ManualClock(start_us=START_US + 60 * 1_000_000)
    assert refusal(token, clock=strict, leeway_s=0) == "expired"


async def test_audience() -> None:
    """A token for somebody else is refused; audiences are compared as they are."""
    token = await issue()
    for audience in ("haima", "LAGO", "lago ", "", "l"):
        assert refusal(token, audience=audience) == "wrong_audience"


def test_agent_ids_cant_be_borrowed() -> None:
    """A key that claims another agent's id is refused; a lookup of the host may know other bindings."""
    stolen = signed(claims(iss=DID_B), seed=SEED_B)
    assert refusal(stolen) == "wrong_agent"
    assert refusal(signed(claims()), agent_id_for=lambda _did: None) == "wrong_agent"
    named = signed(claims(sub="billing"))
    assert refusal(named) == "wrong_agent"
    proven = verify_agent_token(named, audience="lago", clock=ManualClock(), agent_id_for={DID_A: "billing"}.get)
    assert proven.agent_id == "billing"


@pytest.mark.parametrize(
    "change",
    [
        {"iss": DID_B},
        {"iss": "x"},
        {"iss": ...},
        {"sub": ...},
        {"sub": ""},
        {"aud": ...},
        {"aud": ["lago"]},
        {"aud": None},
        {"jti": ...},
        {"jti": ""},
        {"iat": ...},
        {"iat": str(NOW_S)},
        {"exp": ...},
        {"exp": NOW_S + 61},
        {"exp": NOW_S},
        {"exp": 10**30},
        {"iat": NOW_S - 10**6},
        {"iat": True},
        {"exp": float(NOW_S + 60) + 0.5},
    ],
    ids=lambda change: "-".join(f"{key}={value}"[:30] for key, value in change.items()),
)
def test_claims_out_of_bounds(change: dict[str, Any]) -> None:
    """Every missing, mistyped or overlong claim is refused although the signature is good."""
    assert refusal(signed(claims(**change))) in ("invalid", "expired")


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS256"},
        {"alg": "ES384"},
        {"alg": "ES256K"},
        {"alg": "EdDSA"},
        {"alg": "es256"},
        {"kid": DID_B},
        {"kid": "key-1"},
        {"kid": None},
        {"kid": DID_A + "#other"},
        {"typ": "JWT"},
        {"typ": None},
        {"crit": ["exp"]},
        {"jwk": {"kty": "EC"}},
        {"jku": "https://example.org"},
        {"b64": False},
    ],
    ids=lambda header: "-".join(f"{key}={value}"[:30] for key, value in header.items()),
)
def test_headers_that_are_refused(header: dict[str, Any]) -> None:
    """No other algorithm, key, type or extension is accepted, whatever the signature."""
    assert refusal(signed(claims(), header=header)) == "invalid"


def test_kid_may_name_the_key_of_the_did() -> None:
    """Both fragment styles are read (AN-DID-2)."""
    for fragment in ("#key-1", f"#{DID_A.removeprefix('did:key:')}"):
        token = signed(claims(), header={"kid": DID_A + fragment})
        assert verify_agent_token(token, audience="lago", clock=ManualClock()).did == DID_A


def test_the_public_key_is_no_hmac_secret() -> None:
    """The classic confusion: HS256 keyed with public material verifies nowhere."""
    message = f"{segment({'alg': 'HS256', 'typ': 'agent+jwt', 'kid': DID_A})}.{segment(claims())}"
    for secret in (PUBLIC_KEY_A, DID_A.encode(), b""):
        mac = hmac.new(secret, message.encode(), hashlib.sha256).digest()
        assert refusal(f"{message}.{segment(mac)}") == "invalid"
    assert refusal(f"{segment({'alg': 'none', 'typ': 'agent+jwt', 'kid': DID_A})}.{segment(claims())}.") == "invalid"


def test_form() -> None:
    """Anything but three parts of strict base64url over unambiguous JSON is refused."""
    good = signed(claims())
    head, body, signature = good.split(".")
    twice = segment(b'{"alg":"ES256","alg":"none","typ":"agent+jwt","kid":"' + DID_A.encode() + b'"}')
    for token in (
        "",
        ".",
        "..",
        head,
        f"{head}.{body}",
        f"{good}.{signature}",
        f"{head}=.{body}.{signature}",
        f"{head}.{body}.{signature}=",
        f"{head}.{body}.{signature[:-2]}",
        f" {good}",
        f"{good}\n",
        f"{twice}.{body}.{signature}",
        f"{head}.{segment(b'[]')}.{signature}",
        "x" * 9000,
        "ä.ö.ü",
    ):
        assert refusal(token) == "invalid"


@given(position=st.integers(min_value=0), flip=st.integers(1, 127))
def test_any_changed_character_is_refused(position: int, flip: int) -> None:
    """One changed character anywhere makes the token worthless."""
    good = signed(claims())
    index = position % len(good)
    other = chr(ord(good[index]) ^ flip)
    assert refusal(f"{good[:index]}{other}{good[index + 1 :]}") == "invalid"


def test_derived_agent_ids() -> None:
    """Only P-256 DIDs have an agent id by themselves."""
    assert derived_agent_id(DID_A) == AGENT_A
    assert derived_agent_id(DID_B) == agent_id_of(PUBLIC_KEY_B)
    assert derived_agent_id("did:key:z6MkuU3oeMGkijJzo6sCZKXFEMhGP7VADwWMfazoAjigoom6") is None
    assert derived_agent_id("did:web:example.org") is None
