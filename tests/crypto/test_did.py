"""did:key identifiers: vectors, round trips, and every malformed spelling."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from life.crypto import p256, secp256k1
from life.crypto.base58 import encode_base58
from life.crypto.did import Curve, encode_did, resolve_did, resolve_kid
from life.crypto.errors import InvalidDidError, InvalidKeyError
from tests.crypto import vectors
from tests.crypto.strategies import FEW, p256_secrets, secp256k1_secrets

# Anima reference, appendix A: encoding vectors; the third and fourth are no points of the curve.
ENCODING = [
    (
        "02a8b62fc1c3d8e1c4e1c1c0c1d1e1c1d1c1c1c1d1d1c1c1d1d1c1c1d1d1c1c1c1",
        "zDnaebnYfb4cmGGMbzeENo7Ek9T1fpnC7BvyvN2SXRY2EYCPr",
        True,
    ),
    (
        "03b9c8d6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7",
        "zDnaevAWTtDuhBK1DwsQHAoCgLKLL2KnuNRvDgGKPBCFvNDXt",
        True,
    ),
    ("02" + "00" * 31 + "ab", "zDnaeQRy3dcKsKa1zmKtVKsTy3m2HYoQnFnfKuxD6HfSTQgbc", False),
    ("03" + "ff" * 30 + "fe00", "zDnaeztbndBq4ufVXuVTKnDpZSCdL3nhRkCoWt47k1WHzSatP", False),
    (
        "020001020304050607080910111213141516171819202122232425262728293031",
        "zDnaeQRywL8RCtEJDKtEc1emuUcg1Da4GJgQ5Pk6mJqGE3yQU",
        True,
    ),
]


@pytest.mark.parametrize(("key", "text", "on_curve"), ENCODING)
def test_encoding_vectors(key: str, text: str, on_curve: bool) -> None:
    """All five encode as published; the two off-curve keys do not resolve."""
    did = f"did:key:{text}"
    assert encode_did(Curve.P256, bytes.fromhex(key)) == did
    if on_curve:
        resolved = resolve_did(did)
        assert (resolved.did, resolved.curve, resolved.public_key.hex()) == (did, Curve.P256, key)
    else:
        with pytest.raises(InvalidDidError, match="not a point"):
            resolve_did(did)


@FEW
@given(p256_secrets, secp256k1_secrets, st.binary(min_size=32, max_size=32))
def test_resolving_inverts_encoding(identity: bytearray, wallet: bytearray, legacy: bytes) -> None:
    """Keys of all three curves come back, and their texts begin as the curves' DIDs do."""
    for curve, key, start in (
        (Curve.P256, p256.load_private_key(identity).public_key, "did:key:zDn"),
        (Curve.SECP256K1, secp256k1.compress(secp256k1.public_key(wallet)), "did:key:zQ3s"),
        (Curve.ED25519, Ed25519PrivateKey.from_private_bytes(legacy).public_key().public_bytes_raw(), "did:key:z6Mk"),
    ):
        did = encode_did(curve, key)
        assert did.startswith(start)
        resolved = resolve_did(did)
        assert (resolved.did, resolved.curve, resolved.public_key) == (did, curve, key)


def test_kid_forms() -> None:
    """A kid is a bare DID, #key-1, or # and the multibase text; all name the same key and give back the bare DID."""
    bare = resolve_did(vectors.DID_A)
    for kid in (vectors.DID_A, f"{vectors.DID_A}#key-1", bare.verification_method):
        assert resolve_kid(kid) == bare
    assert bare.verification_method == f"{vectors.DID_A}#{vectors.DID_A[8:]}"


@pytest.mark.parametrize(
    "fragment", ["#", "#key-2", "#KEY-1", "#zDnae", "#key-1#key-1", f"#{vectors.DID_B[8:]}", "#key-1 "]
)
def test_other_fragments_are_refused(fragment: str) -> None:
    """A fragment that the did:key document does not have is refused; a bare DID has none at all."""
    with pytest.raises(InvalidDidError):
        resolve_kid(vectors.DID_A + fragment)
    with pytest.raises(InvalidDidError):
        resolve_did(vectors.DID_A + fragment)


def test_a_bare_did_has_no_fragment() -> None:
    """Where a DID is meant, a key reference is refused."""
    with pytest.raises(InvalidDidError):
        resolve_did(f"{vectors.DID_A}#key-1")


def _z(data: bytes) -> str:
    return "did:key:z" + encode_base58(data)


@pytest.mark.parametrize(
    "did",
    [
        "",
        "did:key:",
        "did:key:z",
        "did:web:example.com",
        "DID:key:" + vectors.DID_A[8:],
        "did:key:m" + vectors.DID_A[9:],
        "did:key:" + vectors.DID_A[9:],
        vectors.DID_A + "1",
        vectors.DID_A[:-1],
        vectors.DID_A.replace("D", "0", 1),
        vectors.DID_A + " ",
        " " + vectors.DID_A,
        vectors.DID_A + "?service=x",
        vectors.DID_A + "/path",
        "did:key:z1" + vectors.DID_A[9:],
        _z(b"\x80\x24" + vectors.P256_PUBLIC_A + b"\0"),
        _z(b"\x80\x24" + vectors.P256_PUBLIC_A[:-1]),
        _z(b"\x80\x24" + p256.decompress(vectors.P256_PUBLIC_A)),
        _z(b"\x80\x24\x04" + vectors.P256_PUBLIC_A[1:]),
        _z(b"\x12\x00" + vectors.P256_PUBLIC_A),
        _z(b"\x80\xa4\x00" + vectors.P256_PUBLIC_A),
        _z(b"\x81\x24" + vectors.P256_PUBLIC_A),
        _z(b"\xe7\x01\x02" + (5).to_bytes(32, "big")),
        _z(b"\xe7\x01" + bytes(32)),
        _z(b"\xed\x01" + (2).to_bytes(32, "little")),
        _z(b"\xed\x01" + (1).to_bytes(32, "little")),
        _z(b"\xed\x01" + bytes(33)),
        _z(b"\xec\x01" + bytes(32)),
        _z(b""),
        "did:key:z" + "1" * 5000,
    ],
)
def test_malformed_dids_are_refused(did: str) -> None:
    """Other methods and bases, other spellings, wrong lengths, trailing data, unknown codecs, off-curve keys (AN-DID-1)."""
    with pytest.raises(InvalidDidError):
        resolve_did(did)


@pytest.mark.parametrize(
    ("curve", "key"),
    [
        (Curve.P256, b""),
        (Curve.P256, bytes(33)),
        (Curve.P256, b"\x04" + bytes(32)),
        (Curve.SECP256K1, b"\x02" * 32),
        (Curve.ED25519, bytes(33)),
    ],
)
def test_only_compressed_keys_are_encoded(curve: Curve, key: bytes) -> None:
    """Encoding checks length and leading byte."""
    with pytest.raises(InvalidKeyError):
        encode_did(curve, key)


@pytest.mark.parametrize("extra", [1, 32])
def test_trailing_data_is_named(extra: int) -> None:
    """Bytes after the key are refused for being there, whatever they are."""
    with pytest.raises(InvalidDidError, match=f"33 bytes, not {33 + extra}"):
        resolve_did(_z(b"\x80\x24" + vectors.P256_PUBLIC_A + bytes(extra)))


def test_every_altered_character_changes_the_identity() -> None:
    """No single altered character still resolves to the same key."""
    original = resolve_did(vectors.DID_A)
    for position in range(9, len(vectors.DID_A)):
        altered = (
            vectors.DID_A[:position] + ("2" if vectors.DID_A[position] != "2" else "3") + vectors.DID_A[position + 1 :]
        )
        try:
            assert resolve_did(altered).public_key != original.public_key
        except InvalidDidError:
            pass
