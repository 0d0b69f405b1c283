"""P-256 (secp256r1) signatures over the ``cryptography`` package: the curve of DIDs, tokens and event signatures.

Shapes: secret a writable buffer of 32 bytes; public key 33 bytes compressed or 65 bytes uncompressed (SEC 1, section
2.3); signature 64 bytes ``r ‖ s`` as JOSE writes it (RFC 7518, section 3.4). High and low ``s`` are both accepted, as half of
all hardware signatures have a high one.

A private key lives only inside an object of the ``cryptography`` package, which clears it when it is freed. It gets
there through a DER frame built in a buffer that is wiped; it is never a Python ``int`` or ``bytes``.
"""

from functools import cache, lru_cache
from typing import NoReturn, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from life.crypto.errors import InvalidDigestError, InvalidKeyError, InvalidSignatureError
from life.crypto.wiping import secret_view, wiped

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Order n of the group (FIPS 186-5 / SP 800-186, section 3.2.1.3)."""

# ECPrivateKey (RFC 5915, section 3) without the optional public key: SEQUENCE { 1, OCTET STRING(32), [0] prime256v1 }.
_DER_HEAD = bytes.fromhex("30310201010420")
_DER_TAIL = bytes.fromhex("a00a06082a8648ce3d030107")

_CURVE = ec.SECP256R1()
_VERIFY_MESSAGE = ec.ECDSA(SHA256())
_VERIFY_DIGEST = ec.ECDSA(Prehashed(SHA256()))


class P256PrivateKey:
    """A P-256 private key. It signs; it shows only its public half and cannot be copied, pickled or printed."""

    __slots__ = ("_key", "public_key")

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.public_key: bytes = key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        """The public key, 33 bytes compressed."""

    def sign(self, message: bytes, *, deterministic: bool = True) -> bytes:
        """Sign SHA-256 of ``message``; return 64 bytes ``r ‖ s``.

        ``deterministic`` takes the nonce from key and message (RFC 6979), so the result is a pure function of both.
        Without it the nonce is drawn by OpenSSL, which hedges against faults that reveal a key through two signatures
        of the same message.
        """
        return _raw(self._key.sign(message, _signing(deterministic, prehashed=False)))

    def sign_digest(self, digest: bytes, *, deterministic: bool = True) -> bytes:
        """Sign a 32-byte SHA-256 ``digest``; otherwise as :meth:`sign`. Raises :class:`InvalidDigestError`."""
        if len(digest) != 32:
            raise InvalidDigestError("a digest to sign has 32 bytes")
        return _raw(self._key.sign(digest, _signing(deterministic, prehashed=True)))

    def __repr__(self) -> str:
        return f"P256PrivateKey(public_key={self.public_key.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled or copied")


class P256PublicKey:
    """A P-256 public key, checked to be a point of the curve. Parsing costs 20 µs, so hold on to the object."""

    __slots__ = ("_key", "compressed")

    def __init__(self, encoded: bytes) -> None:
        """Parse 33 compressed or 65 uncompressed bytes. Raises :class:`InvalidKeyError`."""
        if (len(encoded), encoded[:1]) not in ((33, b"\x02"), (33, b"\x03"), (65, b"\x04")):
            raise InvalidKeyError("a P-256 public key has 33 bytes (02, 03) or 65 bytes (04)")
        try:
            self._key = ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, encoded)
        except ValueError:
            raise InvalidKeyError("the P-256 public key is not a point of the curve") from None
        self.compressed: bytes = (
            encoded if len(encoded) == 33 else self._key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        )
        """The key as 33 bytes."""

    @property
    def uncompressed(self) -> bytes:
        """The key as 65 bytes ``04 ‖ x ‖ y``."""
        return self._key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def verify(self, message: bytes, signature: bytes) -> None:
        """Check a 64-byte ``signature`` over SHA-256 of ``message``. Raises :class:`InvalidSignatureError`."""
        self._verify(message, signature, _VERIFY_MESSAGE)

    def verify_digest(self, digest: bytes, signature: bytes) -> None:
        """Check a 64-byte ``signature`` over a 32-byte SHA-256 ``digest``. Errors as :meth:`verify`."""
        if len(digest) != 32:
            raise InvalidDigestError("a signed digest has 32 bytes")
        self._verify(digest, signature, _VERIFY_DIGEST)

    def _verify(self, data: bytes, signature: bytes, algorithm: ec.ECDSA) -> None:
        if len(signature) != 64:
            raise InvalidSignatureError("a P-256 signature has 64 bytes (r and s)")
        der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
        try:
            self._key.verify(der, data, algorithm)
        except InvalidSignature:
            raise InvalidSignatureError("the P-256 signature does not verify") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, P256PublicKey) and other.compressed == self.compressed

    def __hash__(self) -> int:
        return hash(self.compressed)

    def __repr__(self) -> str:
        return f"P256PublicKey({self.compressed.hex()})"


@lru_cache(maxsize=1024)
def load_public_key(encoded: bytes) -> P256PublicKey:
    """The key in 33 or 65 bytes, parsed once: parsing a point costs a third of checking a signature (AN-VER-8).

    Raises :class:`InvalidKeyError`.
    """
    return P256PublicKey(encoded)


def load_private_key(secret: bytearray | memoryview) -> P256PrivateKey:
    """Load the private key in a writable 32-byte buffer, which stays the caller's to wipe.

    Raises :class:`InvalidKeyError` when it has another length, cannot be wiped, or is not in 1..n-1.
    """
    scalar = secret_view(secret, length_bytes=32)
    with wiped(bytearray(len(_DER_HEAD) + 32 + len(_DER_TAIL))) as frame:
        frame[:7], frame[7:39], frame[39:] = _DER_HEAD, scalar, _DER_TAIL
        try:
            key = load_der_private_key(frame, password=None)
        except ValueError:
            raise InvalidKeyError("the P-256 private key is not in 1..n-1") from None
    return P256PrivateKey(cast("ec.EllipticCurvePrivateKey", key))


def signature_from_der(der: bytes) -> bytes:
    """Convert a DER ``ECDSA-Sig-Value`` (TPM, Vault, WebAuthn) to 64 bytes ``r ‖ s``.

    Raises :class:`InvalidSignatureError` for malformed DER or an ``r`` or ``s`` outside 1..n-1.
    """
    try:
        r, s = decode_dss_signature(der)
    except ValueError:
        raise InvalidSignatureError("the DER signature is malformed") from None
    if not (0 < r < ORDER and 0 < s < ORDER):
        raise InvalidSignatureError("r or s of the signature is not in 1..n-1")
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def compress(public_key: bytes) -> bytes:
    """Return the 33-byte form of a 33- or 65-byte public key, checked to lie on the curve (:class:`InvalidKeyError`)."""
    return P256PublicKey(public_key).compressed


def decompress(public_key: bytes) -> bytes:
    """Return the 65-byte form of a 33- or 65-byte public key, checked to lie on the curve (:class:`InvalidKeyError`)."""
    return P256PublicKey(public_key).uncompressed


@cache
def _signing(deterministic: bool, *, prehashed: bool) -> ec.ECDSA:
    return ec.ECDSA(Prehashed(SHA256()) if prehashed else SHA256(), deterministic_signing=deterministic)


def _raw(der: bytes) -> bytes:
    r, s = decode_dss_signature(der)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")
