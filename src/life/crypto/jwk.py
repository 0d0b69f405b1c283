"""Public keys as JSON Web Keys, and their RFC 7638 thumbprints."""

from functools import lru_cache
from hashlib import sha256

import msgspec

from life.crypto import p256, secp256k1
from life.crypto.base64url import encode_base64url
from life.crypto.did import Curve, DidKey


def public_jwk(key: DidKey) -> dict[str, str]:
    """Return the public JWK with exactly the required members, in the lexicographic order RFC 7638 hashes them.

    EC keys (P-256, secp256k1): crv, kty, x, y. Ed25519 (RFC 8037): crv, kty, x.
    """
    match key.curve:
        case Curve.P256:
            point = p256.decompress(key.public_key)
        case Curve.SECP256K1:
            point = secp256k1.decompress(key.public_key)
        case Curve.ED25519:
            return {"crv": key.curve.value, "kty": "OKP", "x": encode_base64url(key.public_key)}
    x, y = encode_base64url(point[1:33]), encode_base64url(point[33:])
    return {"crv": key.curve.value, "kty": "EC", "x": x, "y": y}


@lru_cache(maxsize=1024)
def thumbprint(key: DidKey) -> str:
    """Return the RFC 7638 thumbprint: base64url of SHA-256 over the JSON of :func:`public_jwk` (43 characters)."""
    return encode_base64url(sha256(msgspec.json.encode(public_jwk(key))).digest())
