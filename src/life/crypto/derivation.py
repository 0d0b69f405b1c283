"""Keys of an agent from its 32-byte master seed: HKDF-SHA-256 without salt, one label per key (AN-KEY-1).

Results are 32-byte buffers that belong to the caller, who wipes them. The seed and the results are never converted to
``bytes`` or ``int``.
"""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from life.crypto.wiping import secret_view, wipe

__all__ = ["derive_ed25519_seed", "derive_p256_secret", "derive_secp256k1_secret", "derive_subkey", "wipe"]

P256_LABEL = b"anima/p256/v1"
SECP256K1_LABEL = b"anima/secp256k1/v1"
ED25519_LABEL = b"anima/ed25519/v1"
STORAGE_LABEL = b"anima/storage/v1"
"""Of the root of keys that encrypt what an agent keeps on disk."""

SEED_BYTES = 32

_P256_ORDER = bytes.fromhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
_SECP256K1_ORDER = bytes.fromhex("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
_ZERO = bytes(32)


def derive_p256_secret(seed: bytearray | memoryview) -> bytearray:
    """Derive the P-256 identity key: a scalar in 1..n-1, big-endian. Raises :class:`InvalidKeyError` for a bad seed."""
    return _derive_scalar(seed, P256_LABEL, _P256_ORDER)


def derive_secp256k1_secret(seed: bytearray | memoryview) -> bytearray:
    """Derive the wallet key: a scalar in 1..n-1, big-endian. Raises :class:`InvalidKeyError` for a bad seed."""
    return _derive_scalar(seed, SECP256K1_LABEL, _SECP256K1_ORDER)


def derive_ed25519_seed(seed: bytearray | memoryview) -> bytearray:
    """Derive the legacy Ed25519 seed (RFC 8032 private key). Used to check history, never for a new identity."""
    return derive_subkey(seed, ED25519_LABEL)


def derive_subkey(seed: bytearray | memoryview, label: bytes) -> bytearray:
    """Derive 32 bytes from ``seed`` under ``label`` by HKDF-SHA-256, no salt (RFC 5869).

    Raises :class:`InvalidKeyError` when the seed does not have 32 bytes or lies in memory that cannot be wiped.
    """
    octets = secret_view(seed, length_bytes=SEED_BYTES)
    key = bytearray(32)
    HKDF(algorithm=SHA256(), length=32, salt=None, info=label).derive_into(octets, key)
    return key


def _derive_scalar(seed: bytearray | memoryview, label: bytes, order: bytes) -> bytearray:
    """Derive under ``label``, then ``label/1``, ``label/2`` …, until the value is in 1..order-1.

    For P-256 the first try misses about once in 2**32 seeds, for secp256k1 once in 2**128. The comparison is made on
    bytes, so that no ``int`` holding the scalar is left behind.
    """
    key, attempt = derive_subkey(seed, label), 0
    while key == _ZERO or key >= order:
        wipe(key)
        attempt += 1
        key = derive_subkey(seed, label + b"/%d" % attempt)
    return key
