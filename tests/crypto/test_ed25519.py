"""Ed25519 verification of old identities."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from life.crypto import ed25519
from life.crypto.ed25519 import Ed25519PublicKey
from life.crypto.errors import InvalidKeyError, InvalidSignatureError
from tests.crypto.strategies import FEW

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def test_rfc8032_vectors() -> None:
    """RFC 8032, section 7.1, tests 1 and 2, verify; an altered message does not."""
    for public, message, signature in (
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            b"",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            b"\x72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ):
        key = Ed25519PublicKey(bytes.fromhex(public))
        key.verify(message, bytes.fromhex(signature))
        for bad in (bytes.fromhex(signature)[:-1], bytes(64), bytes.fromhex(signature)[::-1]):
            with pytest.raises(InvalidSignatureError):
                key.verify(message, bad)
        with pytest.raises(InvalidSignatureError):
            key.verify(message + b"x", bytes.fromhex(signature))


@FEW
@given(st.binary(min_size=32, max_size=32))
def test_honest_keys_are_points(seed: bytes) -> None:
    """Every key a library makes is accepted."""
    encoded = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    assert Ed25519PublicKey(encoded).encoded == encoded


@pytest.mark.parametrize("length", [0, 31, 33])
def test_keys_have_32_bytes(length: int) -> None:
    """Another length is no key."""
    with pytest.raises(InvalidKeyError):
        Ed25519PublicKey(bytes(length))


def test_half_of_all_y_are_no_point() -> None:
    """y = 2 has no x on the curve; a y at or above the prime is a second spelling and refused too."""
    for encoded in ((2).to_bytes(32, "little"), (P + 3).to_bytes(32, "little"), b"\xff" * 32):
        with pytest.raises(InvalidKeyError, match="not a point"):
            Ed25519PublicKey(encoded)


def _order(y: int) -> int:
    """Return the order of a point with this y, by adding it up in affine coordinates; 9 when it is larger than 8."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert x * x % P == square
    total, order = (x, y), 1
    while total != (0, 1) and order < 9:
        k = D * total[0] * x * total[1] * y % P
        total = (
            (total[0] * y + x * total[1]) * pow(1 + k, -1, P) % P,
            (total[1] * y + total[0] * x) * pow(1 - k, -1, P) % P,
        )
        order += 1
    return order


def test_points_of_small_order_are_refused() -> None:
    """The five y of the eight torsion points have orders dividing 8 and are refused with both signs of x."""
    assert sorted(_order(y) for y in ed25519._SMALL_ORDER_Y) == [1, 2, 4, 8, 8]
    for y in ed25519._SMALL_ORDER_Y:
        for sign in (0, 1 << 255):
            with pytest.raises(InvalidKeyError, match="small order"):
                Ed25519PublicKey((y | sign).to_bytes(32, "little"))
