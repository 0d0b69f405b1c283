"""Users' tokens: HS256 with a configured secret, and nothing else (AN-VER-1, weakness 24)."""

from __future__ import annotations

import base64
import json
import pickle
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.anima.errors import TokenRefusedError, UserTokenSettingsError
from life.anima.user_tokens import UserTokenVerifier, user_token_secret
from life.testing.clock import START_US, ManualClock
from tests.anima.material import forged, segment

SECRET = b"0123456789abcdef0123456789abcdef"
NOW_S = START_US // 1_000_000
AUDIENCE, ISSUER = "broomva-life-services", "https://broomva.tech"


def verifier(clock: ManualClock | None = None) -> UserTokenVerifier:
    """A verifier of the product's tokens."""
    return UserTokenVerifier(SECRET, clock=clock or ManualClock())


def token(*, secret: bytes = SECRET, algorithm: str = "HS256", headers: Any = None, **changes: Any) -> str:
    """A token by PyJWT."""
    good = {
        "sub": "user-1",
        "email": "a@example.org",
        "aud": AUDIENCE,
        "iss": ISSUER,
        "iat": NOW_S,
        "exp": NOW_S + 3600,
    }
    claims = {name: value for name, value in (good | changes).items() if value is not ...}
    return jwt.encode(claims, secret, algorithm=algorithm, headers=headers)


def refusal(text: str, clock: ManualClock | None = None) -> str:
    """Why a token is refused."""
    with pytest.raises(TokenRefusedError) as error:
        verifier(clock).verify_user_token(text)
    return error.value.reason


def test_a_users_token() -> None:
    """Who the person is; it may be used until it expires."""
    text = token(scopes=["events:read", "agent:read"])
    checked = verifier()
    for _ in range(2):
        claims = checked.verify_user_token(text)
    assert (claims.sub, claims.email, claims.scopes) == ("user-1", "a@example.org", ("events:read", "agent:read"))
    late = ManualClock(start_us=START_US + 3630 * 1_000_000)
    assert refusal(text, late) == "expired"
    verifier(ManualClock(start_us=START_US + 3629 * 1_000_000)).verify_user_token(text)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"aud": "other"}, "wrong_audience"),
        ({"aud": [AUDIENCE]}, "invalid"),
        ({"aud": ...}, "invalid"),
        ({"iss": "https://evil.example"}, "wrong_issuer"),
        ({"iss": ...}, "invalid"),
        ({"sub": ...}, "invalid"),
        ({"sub": ""}, "invalid"),
        ({"exp": ...}, "invalid"),
        ({"iat": ...}, "invalid"),
        ({"iat": NOW_S + 31, "exp": NOW_S + 60}, "invalid"),
        ({"exp": NOW_S + 31 * 24 * 3600}, "invalid"),
        ({"exp": NOW_S - 1}, "invalid"),
        ({"nbf": NOW_S + 31}, "invalid"),
        ({"scopes": ["a b"]}, "invalid"),
        ({"scopes": "*"}, "invalid"),
    ],
    ids=str,
)
def test_claims(change: dict[str, Any], reason: str) -> None:
    """Audience, issuer and times are checked, and every type."""
    assert refusal(token(**change)) == reason


def test_other_families_are_refused() -> None:
    """Agents' tokens, other algorithms, none, and other secrets (algorithm confusion)."""
    assert refusal(forged({"sub": "user-1"}, typ="JWT")) == "algorithm"
    for algorithm in ("HS384", "HS512"):
        assert refusal(token(algorithm=algorithm, secret=SECRET * 2)) == "algorithm"
    assert refusal(token(secret=b"another secret of more than 32 bytes")) == "signature"
    body = token().split(".")[1]
    assert refusal(f"{segment({'alg': 'none'})}.{body}.") == "algorithm"
    for header in ({"kid": "../../etc/passwd"}, {"jku": "https://x"}, {"crit": ["x"]}, {"typ": "agent+jwt"}):
        assert refusal(token(headers=header)) == "invalid"
    twice = base64.urlsafe_b64encode(b'{"alg":"HS256","alg":"HS256"}').rstrip(b"=").decode()
    assert refusal(f"{twice}.{body}.x") == "invalid"


def test_the_secret_is_a_secret() -> None:
    """An empty or short one is an error at start, not an open door; an empty variable never hides a second one."""
    for secret in (b"", b"x" * 31):
        with pytest.raises(UserTokenSettingsError):
            UserTokenVerifier(secret, clock=ManualClock())
    names = ("HAIMA_JWT_SECRET", "AUTH_SECRET")
    good = SECRET.decode()
    assert user_token_secret({}, names) is None
    assert user_token_secret({"AUTH_SECRET": good}, names) == SECRET
    assert user_token_secret({"HAIMA_JWT_SECRET": good, "AUTH_SECRET": "other"}, names) == SECRET
    for environment in ({"HAIMA_JWT_SECRET": ""}, {"HAIMA_JWT_SECRET": " ", "AUTH_SECRET": good}, {"AUTH_SECRET": ""}):
        with pytest.raises(UserTokenSettingsError):
            user_token_secret(environment, names)
    assert good not in repr(verifier())
    with pytest.raises(TypeError):
        pickle.dumps(verifier())


@given(text=st.text(max_size=200), position=st.integers(0, 400), letter=st.characters())
def test_junk(text: str, position: int, letter: str) -> None:
    """Any text, and any changed character of a good token, is refused with a reason."""
    assert refusal(text)
    good = GOOD
    index = position % len(good)
    if good[index] != letter:
        assert refusal(good[:index] + letter + good[index + 1 :])


GOOD = token()
assert json.loads(base64.urlsafe_b64decode(GOOD.split(".")[0] + "==")) == {"alg": "HS256", "typ": "JWT"}
