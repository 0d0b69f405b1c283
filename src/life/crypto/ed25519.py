"""Ed25519 verification, for history only: identities minted here use P-256 (see ``anima/ed25519/v1`` in derivation).

A public key is 32 bytes, a signature 64 (RFC 8032). Keys that are no canonical point of the curve, or a point of small
order (for which anybody can make signatures that verify), are refused when the key is parsed.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey as _Ed25519PublicKey

from life.crypto.errors import InvalidKeyError, InvalidSignatureError

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P

# y coordinates of the eight points whose order divides the cofactor 8: (0, 1), (0, -1), (±√-1, 0) and the four points of
# order 8. RFC 7748, section 6.1, and RFC 8032, section 5.1, explain why such keys prove nothing.
_Y_OF_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER_Y = frozenset((0, 1, _P - 1, _Y_OF_ORDER_8, _P - _Y_OF_ORDER_8))


class Ed25519PublicKey:
    """An Ed25519 public key, checked to be a canonical point of large order."""

    __slots__ = ("_key", "encoded")

    def __init__(self, encoded: bytes) -> None:
        """Parse 32 bytes. Raises :class:`InvalidKeyError`."""
        if len(encoded) != 32:
            raise InvalidKeyError("an Ed25519 public key has 32 bytes")
        y = int.from_bytes(encoded, "little") & ((1 << 255) - 1)
        if y >= _P or not _has_x(y):
            raise InvalidKeyError("the Ed25519 public key is not a point of the curve")
        if y in _SMALL_ORDER_Y:
            raise InvalidKeyError("the Ed25519 public key is a point of small order")
        self._key = _Ed25519PublicKey.from_public_bytes(encoded)
        self.encoded = encoded
        """The key as 32 bytes."""

    def verify(self, message: bytes, signature: bytes) -> None:
        """Check a 64-byte ``signature`` over ``message``. Raises :class:`InvalidSignatureError`."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            raise InvalidSignatureError("the Ed25519 signature does not verify") from None


def _has_x(y: int) -> bool:
    """Tell whether x² = (y² - 1) / (d·y² + 1) has a solution (RFC 8032, section 5.1.3), by Euler's criterion."""
    y2 = y * y % _P
    return pow((y2 - 1) * (_D * y2 + 1) % _P, (_P - 1) // 2, _P) != _P - 1
