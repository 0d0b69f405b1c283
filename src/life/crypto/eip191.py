"""EIP-191 personal messages (``personal_sign``, version byte ``E``)."""

from life.crypto.keccak import keccak256


def personal_message_digest(message: bytes) -> bytes:
    """Return the 32 bytes to sign for ``message``: Keccak-256 of the prefix, its decimal length, and itself.

    Sign with :func:`life.crypto.secp256k1.sign_recoverable`, check with ``recover_address``.
    """
    return keccak256(b"\x19Ethereum Signed Message:\n%d" % len(message) + message)
