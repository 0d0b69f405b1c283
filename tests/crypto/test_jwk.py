"""JSON Web Keys and RFC 7638 thumbprints."""

import pytest

from life.crypto import secp256k1
from life.crypto.base64url import decode_base64url
from life.crypto.did import Curve, encode_did, resolve_did
from life.crypto.jwk import public_jwk, thumbprint
from tests.crypto import vectors


@pytest.mark.parametrize(
    ("did", "expected"), [(vectors.DID_A, vectors.THUMBPRINT_A), (vectors.DID_B, vectors.THUMBPRINT_B)]
)
def test_p256_thumbprints(did: str, expected: str) -> None:
    """The published thumbprints of both Anima identities."""
    assert thumbprint(resolve_did(did)) == expected


def test_ed25519_thumbprint() -> None:
    """RFC 8037, appendices A.2 and A.3."""
    key = resolve_did(encode_did(Curve.ED25519, decode_base64url("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")))
    assert public_jwk(key) == {"crv": "Ed25519", "kty": "OKP", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert thumbprint(key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_secp256k1_jwk() -> None:
    """The coordinates are those of the point, 32 bytes each, members in the order that is hashed (RFC 8812)."""
    public = secp256k1.public_key(bytearray(vectors.SECP256K1_SECRET_A))
    jwk = public_jwk(resolve_did(encode_did(Curve.SECP256K1, secp256k1.compress(public))))
    assert list(jwk) == ["crv", "kty", "x", "y"]
    assert (jwk["crv"], jwk["kty"]) == ("secp256k1", "EC")
    assert decode_base64url(jwk["x"]) + decode_base64url(jwk["y"]) == public[1:]
