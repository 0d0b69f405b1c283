"""Signed statements: JWS that a key makes about an identity, and that the journal keeps as proof (AN-EV-3).

A statement is a compact JWS with typ `JWT`, whose `kid` and `iss` name the signer and whose `type` says what it is, so that a
proof made for one purpose can't serve another. `read_statement` believes nothing before the signature holds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from life.anima.errors import StatementRefusedError
from life.crypto import jws
from life.crypto.did import Curve
from life.crypto.errors import CryptoError

JWT: Final = "JWT"
MAX_TIME_S: Final = 253_402_300_799
"""The end of the year 9999: the last moment that has an RFC 3339 text."""


class Statement(NamedTuple):
    """What a statement says, after its signature held."""

    issuer: str
    """The signer's bare DID."""
    issued_at_s: int
    claims: dict[str, object]


def read_statement(
    token: str | None,
    *,
    kind: str,
    expected: Mapping[str, object],
    curves: Collection[Curve] = jws.P256_ONLY,
    typ: str = JWT,
) -> Statement:
    """The statement in `token`, or a StatementRefusedError that says why it proves nothing.

    `kind` is its exact `type`; every member of `expected` must stand in the claims with exactly this value.
    """
    if token is None:
        raise StatementRefusedError("The proof is missing.")
    try:
        verified = jws.verify(token, typ=typ, curves=curves)
    except CryptoError as error:
        raise StatementRefusedError(f"The proof does not hold ({error.code}).") from None
    claims, did = verified.claims, verified.signer.did
    if claims.get("iss") != did:
        raise StatementRefusedError("The proof's issuer is not the key that signed it.")
    if claims.get("type") != kind:
        raise StatementRefusedError(f"The proof is not of the type {kind}.")
    for name, value in expected.items():
        if not _same(claims.get(name), value):
            raise StatementRefusedError(f"The proof says something else about '{name}'.")
    return Statement(did, time_claim(claims, "iat"), claims)


def time_claim(claims: Mapping[str, object], name: str) -> int:
    """A time of the claims in whole Unix seconds; StatementRefusedError when it is none."""
    value = claims.get(name)
    if type(value) is not int or not 0 <= value <= MAX_TIME_S:
        raise StatementRefusedError(f"The proof's '{name}' is not a time in Unix seconds.")
    return value


def text_claim(claims: Mapping[str, object], name: str, *, most: int = 512) -> str:
    """A text of the claims with 1 to `most` characters; StatementRefusedError when it is none."""
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise StatementRefusedError(f"The proof's '{name}' is not a text.")
    return value


def _same(actual: object, expected: object) -> bool:
    """Equal in value and type: to Python 1 and True are equal, to JSON they are not."""
    return type(actual) is type(expected) and actual == expected
