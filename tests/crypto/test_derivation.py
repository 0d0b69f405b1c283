"""Derivation of an agent's keys from its seed (AN-KEY-1)."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from life.crypto import derivation, p256, secp256k1
from life.crypto.address import format_address
from life.crypto.did import Curve, encode_did
from life.crypto.errors import InvalidKeyError
from tests.crypto import vectors
from tests.crypto.strategies import FEW


def hkdf(seed: bytes, label: bytes) -> bytes:
    """RFC 5869 with SHA-256, no salt, one block: written from the RFC, independent of the code under test."""
    prk = hmac.new(bytes(32), seed, hashlib.sha256).digest()
    return hmac.new(prk, label + b"\x01", hashlib.sha256).digest()


@pytest.mark.parametrize(
    ("seed", "p256_secret", "did", "wallet_secret", "address"),
    [
        (vectors.SEED_A, vectors.P256_SECRET_A, vectors.DID_A, vectors.SECP256K1_SECRET_A, vectors.ADDRESS_A),
        (vectors.SEED_B, vectors.P256_SECRET_B, vectors.DID_B, vectors.SECP256K1_SECRET_B, vectors.ADDRESS_B),
    ],
)
def test_vectors(seed: bytes, p256_secret: bytes, did: str, wallet_secret: bytes, address: str) -> None:
    """Both seeds give the published scalars, DIDs and addresses."""
    identity = derivation.derive_p256_secret(bytearray(seed))
    wallet = derivation.derive_secp256k1_secret(bytearray(seed))
    assert (bytes(identity), bytes(wallet)) == (p256_secret, wallet_secret)
    assert encode_did(Curve.P256, p256.load_private_key(identity).public_key) == did
    assert format_address(secp256k1.address_of(secp256k1.public_key(wallet))) == address


def test_legacy_ed25519_vector() -> None:
    """Seed A gives the published legacy DID."""
    secret = derivation.derive_ed25519_seed(bytearray(vectors.SEED_A))
    public = Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    assert encode_did(Curve.ED25519, public) == vectors.ED25519_DID_A


@FEW
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=40))
def test_subkeys_are_hkdf(seed: bytes, label: bytes) -> None:
    """Any label gives RFC 5869's output."""
    assert derivation.derive_subkey(memoryview(bytearray(seed)), label) == hkdf(seed, label)


def test_out_of_range_values_are_retried_under_numbered_labels() -> None:
    """With an order so small that most values miss, the result is the first of label, label/1, label/2 … in range."""
    order = (1 << 252).to_bytes(32, "big")
    retried = 0
    for number in range(16):
        seed = bytes([number]) * 32
        tries = [hkdf(seed, b"label")] + [hkdf(seed, b"label/%d" % index) for index in range(1, 200)]
        expected = next(value for value in tries if 0 < int.from_bytes(value, "big") < 1 << 252)
        assert derivation._derive_scalar(bytearray(seed), b"label", order) == expected
        retried += expected != tries[0]
    assert retried > 8


def test_zero_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zero, which no seed is known to give, is replaced by the next label's value."""
    labels = []

    def subkey(seed: bytearray, label: bytes) -> bytearray:
        labels.append(label)
        return bytearray(32) if len(labels) < 3 else bytearray(b"\x01" * 32)

    monkeypatch.setattr(derivation, "derive_subkey", subkey)
    assert derivation.derive_p256_secret(bytearray(32)) == b"\x01" * 32
    assert labels == [b"anima/p256/v1", b"anima/p256/v1/1", b"anima/p256/v1/2"]


def test_the_orders_are_those_of_the_curves() -> None:
    """The byte strings compared against are the group orders."""
    assert int.from_bytes(derivation._P256_ORDER, "big") == p256.ORDER
    assert int.from_bytes(derivation._SECP256K1_ORDER, "big") == secp256k1.ORDER


@pytest.mark.parametrize(
    "seed",
    [
        bytearray(31),
        bytearray(33),
        bytearray(),
        bytes(32),
        memoryview(bytes(32)),
        memoryview(bytearray(64))[::2],
        "x" * 32,
    ],
)
def test_bad_seeds_are_refused(seed: object) -> None:
    """A seed has 32 bytes in a buffer that can be wiped."""
    with pytest.raises(InvalidKeyError):
        derivation.derive_p256_secret(seed)  # type: ignore[arg-type]


def test_results_belong_to_the_caller() -> None:
    """Each call gives a fresh buffer, which wiping empties; the seed is left alone."""
    seed = bytearray(vectors.SEED_A)
    first, second = derivation.derive_p256_secret(seed), derivation.derive_p256_secret(seed)
    derivation.wipe(first)
    assert first == bytes(32)
    assert second == vectors.P256_SECRET_A
    assert seed == vectors.SEED_A
