"""Tokens of people, signed with a shared secret (HS256): the web front's `AUTH_SECRET` tokens (anima.md §18.1, AN-VER-1).

This entry accepts HS256 and nothing else; agents' tokens have their own (`life.anima.verifier`). It exists only where a secret
is configured. A secret that is empty or shorter than 32 bytes is an error at start, so that an empty variable never opens a
daemon, and never hides a second one that is set.

Claims: sub, aud, iss, iat and exp are required, email and scopes optional; nbf is honoured. At most 30 days of life.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

import msgspec

from life.aios.ports.clock import Clock
from life.anima.errors import TokenRefusedError, UserTokenSettingsError
from life.anima.scopes import is_pattern
from life.crypto.base64url import decode_base64url
from life.crypto.errors import InvalidEncodingError
from life.crypto.strict_json import decode_json_object

MIN_SECRET_BYTES: Final = 32
MAX_TOKEN_BYTES: Final = 8192
MAX_LIFETIME_S: Final = 30 * 24 * 3600
LEEWAY_S: Final = 30

DEFAULT_AUDIENCE: Final = "broomva-life-services"
DEFAULT_ISSUER: Final = "https://broomva.tech"
"""What the product's web front writes into its tokens."""

_HEADER_MEMBERS: Final = frozenset({"alg", "typ"})


class UserClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What a verified token says of a person. Times are Unix seconds."""

    sub: str
    aud: str
    iss: str
    iat: int
    exp: int
    nbf: int | None = None
    email: str | None = None
    scopes: tuple[str, ...] = ()


class UserTokenVerifier:
    """Verifies people's tokens for one audience and issuer."""

    __slots__ = ("_clock", "_secret", "audience", "issuer")

    def __init__(
        self, secret: bytes, *, clock: Clock, audience: str = DEFAULT_AUDIENCE, issuer: str = DEFAULT_ISSUER
    ) -> None:
        """UserTokenSettingsError when the secret has less than 32 bytes."""
        if len(secret) < MIN_SECRET_BYTES:
            raise UserTokenSettingsError(
                f"The shared secret of user tokens has {len(secret)} bytes; it needs at least {MIN_SECRET_BYTES}.",
                next_step="Set one made by `openssl rand -base64 48`, or unset the variable to accept no user tokens.",
            )
        self._secret = secret
        self._clock = clock
        self.audience = audience
        self.issuer = issuer

    def verify_user_token(self, token: str) -> UserClaims:
        """Who the person is; TokenRefusedError with the reason otherwise. User tokens may be used until they expire."""
        if len(token) > MAX_TOKEN_BYTES:
            _refuse("invalid", "The user token is too long.")
        parts = token.split(".")
        if len(parts) != 3:
            _refuse("invalid", "A user token has three parts.")
        try:
            header = decode_json_object(decode_base64url(parts[0]))
            payload, signature = decode_base64url(parts[1]), decode_base64url(parts[2])
            signed = f"{parts[0]}.{parts[1]}".encode("ascii")
        except (InvalidEncodingError, UnicodeEncodeError):
            _refuse("invalid", "The user token is malformed.")
        if header.get("alg") != "HS256":
            _refuse("algorithm", "A user token is signed with HS256.")
        if not header.keys() <= _HEADER_MEMBERS or header.get("typ", "JWT") != "JWT":
            _refuse("invalid", "The user token's header has members that are not accepted.")
        if not hmac.compare_digest(hmac.digest(self._secret, signed, "sha256"), signature):
            _refuse("signature", "The user token's signature does not hold.")
        return self._judge(payload)

    def _judge(self, payload: bytes) -> UserClaims:
        try:
            claims = msgspec.convert(decode_json_object(payload), UserClaims)
        except (InvalidEncodingError, msgspec.ValidationError):
            _refuse("invalid", "The user token's claims are malformed.")
        now_s = self._clock.now_us() // 1_000_000
        if not 0 < len(claims.sub) <= 512 or not all(is_pattern(scope) for scope in claims.scopes):
            _refuse("invalid", "The user token's claims are malformed.")
        if claims.aud != self.audience:
            _refuse("wrong_audience", "The user token was made for another service.")
        if claims.iss != self.issuer:
            _refuse("wrong_issuer", "The user token is by another issuer.")
        if not 0 <= claims.iat <= now_s + LEEWAY_S or not 0 < claims.exp - claims.iat <= MAX_LIFETIME_S:
            _refuse("invalid", "The user token's times can't be right.")
        if claims.nbf is not None and claims.nbf > now_s + LEEWAY_S:
            _refuse("invalid", "The user token is not valid yet.")
        if now_s >= claims.exp + LEEWAY_S:
            _refuse("expired", "The user token has expired.")
        return claims

    def __repr__(self) -> str:
        return f"<UserTokenVerifier for {self.audience} by {self.issuer}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a verifier with a secret is not pickled or copied")


def user_token_secret(environment: Mapping[str, str], names: Sequence[str]) -> bytes | None:
    """The secret in the first of these variables that is set, such as HAIMA_JWT_SECRET before AUTH_SECRET; None when none is.

    A variable that is set and empty is a UserTokenSettingsError: nobody meant to turn the check off by it.
    """
    for name in names:
        secret = environment.get(name)
        if secret is None:
            continue
        if not secret.strip():
            raise UserTokenSettingsError(
                f"{name} is set and empty; user tokens can't be checked with it.",
                next_step=f"Unset {name}, or set it to at least {MIN_SECRET_BYTES} random bytes.",
            )
        return secret.encode()
    return None


def _refuse(reason: str, message: str) -> NoReturn:
    raise TokenRefusedError(reason, message) from None
