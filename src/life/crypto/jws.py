"""Compact JSON Web Signatures made and checked with the keys that DIDs name (RFC 7515, RFC 7518, RFC 8037, RFC 8812).

Building is split so that keys stay in custody: :func:`signing_input` gives the bytes to sign, a custody backend signs
them, :func:`assemble` joins both. Verification takes its algorithm from the curve of the signer's DID and only checks
that the header agrees; ``none``, HMAC and RSA have no place in it (AN-VER-1 to AN-VER-4).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from typing import Protocol

import msgspec

from life.crypto import secp256k1
from life.crypto.base64url import decode_base64url, encode_base64url
from life.crypto.did import Curve, DidKey, resolve_kid
from life.crypto.ed25519 import Ed25519PublicKey
from life.crypto.errors import (
    InvalidDidError,
    InvalidEncodingError,
    InvalidSignatureError,
    InvalidTokenError,
    UnacceptableAlgorithmError,
)
from life.crypto.p256 import load_public_key
from life.crypto.strict_json import decode_json_object

MAX_TOKEN_BYTES = 8192
"""Longest token that is looked at (AN-VER-3)."""

_SIGNATURE_BYTES = 64

# Header members that bring a key, change how the payload is read, or demand an extension. None is understood here, and a
# verifier that skipped one would do something else than its signer meant.
_REFUSED_MEMBERS = frozenset(("b64", "crit", "enc", "jku", "jwk", "x5c", "x5t", "x5t#S256", "x5u", "zip"))


class Algorithm(StrEnum):
    """Every algorithm that is ever accepted; which one is decided by the curve of the signer's DID."""

    ES256 = "ES256"
    ES256K = "ES256K"
    EDDSA = "EdDSA"
    ED25519 = "Ed25519"  # the name RFC 9864 gives to EdDSA over this curve


_ALGORITHMS_OF: dict[Curve, tuple[Algorithm, ...]] = {
    Curve.P256: (Algorithm.ES256,),
    Curve.SECP256K1: (Algorithm.ES256K,),
    Curve.ED25519: (Algorithm.EDDSA, Algorithm.ED25519),
}

P256_ONLY: frozenset[Curve] = frozenset((Curve.P256,))
"""The curves accepted unless a caller names others: ES256K is opt-in, Ed25519 is for history (AN-VER-2)."""

Claims = Mapping[str, object] | msgspec.Struct
"""A claims set: JSON members in the order in which they are to be written, or a struct of them."""

Signer = Callable[[bytes], bytes]
"""Signs the bytes of a signing input; returns 64 bytes (``r ‖ s``, or an Ed25519 signature)."""


class _Header(msgspec.Struct, frozen=True):
    alg: str
    typ: str | None = None
    kid: str | None = None


@dataclass(frozen=True, slots=True)
class ParsedJws:
    """A token taken apart and not verified: nothing in it may be believed yet."""

    algorithm: Algorithm
    typ: str | None
    kid: str
    payload: bytes
    signing_input: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class VerifiedJws:
    """A token whose signature was made by the key of ``signer``. What its claims mean is the caller's to judge."""

    algorithm: Algorithm
    typ: str
    signer: DidKey
    payload: bytes
    claims: dict[str, object]


def algorithm_of(curve: Curve) -> Algorithm:
    """Return the algorithm this library writes into headers for keys of ``curve``."""
    return _ALGORITHMS_OF[curve][0]


def signing_input(algorithm: Algorithm, claims: Claims, *, typ: str, kid: str) -> bytes:
    """Return the ASCII bytes ``base64url(header) . base64url(payload)`` to sign.

    The header is ``{"alg", "typ", "kid"}`` in this order, the payload compact JSON in the order of ``claims``.
    """
    header = _JSON.encode({"alg": algorithm.value, "typ": typ, "kid": kid})
    return f"{encode_base64url(header)}.{encode_base64url(_JSON.encode(claims))}".encode("ascii")


def assemble(signed: bytes, signature: bytes) -> str:
    """Join a signing input and its 64-byte signature to a compact token. Raises :class:`InvalidSignatureError`."""
    if len(signature) != _SIGNATURE_BYTES:
        raise InvalidSignatureError("a JOSE signature has 64 bytes")
    return f"{signed.decode('ascii')}.{encode_base64url(signature)}"


def sign(claims: Claims, *, key: DidKey, typ: str, signer: Signer) -> str:
    """Build a token signed by ``signer``, which must hold the private half of ``key``; ``kid`` is the bare DID.

    The signature is checked against ``key`` before the token is returned, so a wrong key or a fault never leaves.
    Raises :class:`InvalidSignatureError`.
    """
    algorithm = algorithm_of(key.curve)
    message = signing_input(algorithm, claims, typ=typ, kid=key.did)
    signature = signer(message)
    verify_signature(key, message, signature)
    return assemble(message, signature)


def parse(token: str) -> ParsedJws:
    """Take a compact token apart.

    Refused with :class:`InvalidTokenError`: more than ``MAX_TOKEN_BYTES``, other than three parts, base64url that is not
    canonical, repeated JSON members, header members that bring keys or demand extensions, a missing ``kid``. Refused with
    :class:`UnacceptableAlgorithmError`: every algorithm outside :class:`Algorithm`.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise InvalidTokenError("the token is too long")
    parts = token.split(".")
    if len(parts) != 3:
        raise InvalidTokenError("a compact token has three parts")
    algorithm, typ, kid = _parse_header(parts[0])
    try:
        payload, signature = decode_base64url(parts[1]), decode_base64url(parts[2])
    except InvalidEncodingError as error:
        raise InvalidTokenError(f"the token is malformed: {error}") from None
    return ParsedJws(
        algorithm=algorithm,
        typ=typ,
        kid=kid,
        payload=payload,
        signing_input=token[: token.rindex(".")].encode("ascii"),
        signature=signature,
    )


@lru_cache(maxsize=1024)
def _parse_header(segment: str) -> tuple[Algorithm, str | None, str]:
    """Algorithm, type and kid of a header. One signer's tokens share theirs, so the strict reading is done once."""
    try:
        members = decode_json_object(decode_base64url(segment))
        header = msgspec.convert(members, _Header)
    except (InvalidEncodingError, msgspec.ValidationError) as error:
        raise InvalidTokenError(f"the token is malformed: {error}") from None
    refused = _REFUSED_MEMBERS & members.keys()
    if refused:
        raise InvalidTokenError(f"the token header has members that are not accepted: {', '.join(sorted(refused))}")
    try:
        algorithm = Algorithm(header.alg)
    except ValueError:
        raise UnacceptableAlgorithmError("the token's algorithm is not accepted") from None
    if header.kid is None:
        raise InvalidTokenError("the token does not name its key (kid)")
    return algorithm, header.typ, header.kid


def verify(token: str, *, typ: str, curves: Collection[Curve] = P256_ONLY) -> VerifiedJws:
    """Verify a compact token against the key its ``kid`` names; return it with its claims.

    ``typ`` is the one type expected here (compared as RFC 7515, section 4.1.9, says: without case). ``curves`` are the
    accepted curves. Order of checks: form, algorithm, DID, type, signature, then the payload's JSON. Times, audience
    and revocation are not checked here.

    Raises :class:`InvalidTokenError`, :class:`UnacceptableAlgorithmError` or :class:`InvalidSignatureError`.
    """
    parsed = parse(token)
    try:
        signer = resolve_kid(parsed.kid)
    except InvalidDidError as error:
        raise InvalidTokenError(f"the token's kid is not usable: {error}") from None
    if signer.curve not in curves or parsed.algorithm not in _ALGORITHMS_OF[signer.curve]:
        raise UnacceptableAlgorithmError("the token's algorithm does not belong to an accepted curve of its kid")
    if parsed.typ is None or parsed.typ.lower() != typ.lower():
        raise InvalidTokenError("the token is of another type")
    verify_signature(signer, parsed.signing_input, parsed.signature)
    try:
        claims = decode_json_object(parsed.payload)
    except InvalidEncodingError as error:
        raise InvalidTokenError(f"the token's payload is malformed: {error}") from None
    return VerifiedJws(algorithm=parsed.algorithm, typ=typ, signer=signer, payload=parsed.payload, claims=claims)


def verify_signature(key: DidKey, message: bytes, signature: bytes) -> None:
    """Check a 64-byte JOSE signature over ``message`` by ``key``, with the one algorithm of its curve.

    P-256 and secp256k1 hash with SHA-256; a high ``s`` is accepted, as JOSE does not forbid it. Raises
    :class:`InvalidSignatureError`.
    """
    if len(signature) != _SIGNATURE_BYTES:
        raise InvalidSignatureError("a JOSE signature has 64 bytes")
    _verifier(key.curve, key.public_key).verify(message, signature)


class _Verifier(Protocol):
    def verify(self, message: bytes, signature: bytes) -> None: ...


class _Secp256k1Verifier:
    __slots__ = ("_public_key",)

    def __init__(self, public_key: bytes) -> None:
        self._public_key = public_key

    def verify(self, message: bytes, signature: bytes) -> None:
        secp256k1.verify(sha256(message).digest(), signature, self._public_key, allow_high_s=True)


@lru_cache(maxsize=1024)
def _verifier(curve: Curve, public_key: bytes) -> _Verifier:
    """Keep parsed keys: parsing a point costs about as much as using it (AN-VER-8)."""
    match curve:
        case Curve.P256:
            return load_public_key(public_key)
        case Curve.SECP256K1:
            return _Secp256k1Verifier(public_key)
        case Curve.ED25519:
            return Ed25519PublicKey(public_key)


_JSON = msgspec.json.Encoder()
