"""secp256k1 over libsecp256k1: recoverable signatures, recovery, plain verification, addresses.

The compiled extension of btclib-libsecp256k1 is called directly, so that a private key stays in the caller's buffer:
no ``bytes``, no ``int``, no copy. There is no pure-Python fallback; without the extension the import fails and names the
package.

Shapes: digest 32 bytes, secret a writable buffer of 32 bytes, signature 65 bytes ``r ‖ s ‖ v`` with ``v`` 27 or 28,
public key 65 bytes ``04 ‖ x ‖ y`` (33 compressed), address 20 bytes. Signing follows RFC 6979 and always gives the low
``s`` (EIP-2), so the same digest and key always give the same bytes.
"""

from typing import Any

from life.crypto.errors import CryptoError, InvalidDigestError, InvalidKeyError, InvalidSignatureError
from life.crypto.keccak import keccak256

try:
    # The extension itself: its wrapper package spends 40 ms reading distribution metadata at import.
    import _btclib_libsecp256k1 as _extension  # type: ignore[import-not-found]
except ImportError as _error:
    raise ImportError(
        "secp256k1 needs the compiled package btclib-libsecp256k1 (pip install btclib-libsecp256k1)"
    ) from _error

if hasattr(_extension, "lib"):
    _lib: Any = _extension.lib
else:  # a build against a shared library; the wrapper package knows where that lies
    from btclib_libsecp256k1 import lib as _lib

_ffi: Any = _extension.ffi
_new, _from_buffer, _buffer, _NULL = _ffi.new, _ffi.from_buffer, _ffi.buffer, _ffi.NULL

_OCTETS = _ffi.typeof("unsigned char[]")
_OCTETS_65 = _ffi.typeof("unsigned char[65]")
_OCTETS_33 = _ffi.typeof("unsigned char[33]")
_INT = _ffi.typeof("int *")
_SIZE = _ffi.typeof("size_t *")
_PUBLIC_KEY = _ffi.typeof("secp256k1_pubkey *")
_SIGNATURE = _ffi.typeof("secp256k1_ecdsa_signature *")
_RECOVERABLE = _ffi.typeof("secp256k1_ecdsa_recoverable_signature *")

_CONTEXT_NONE = 1  # SECP256K1_CONTEXT_NONE: since libsecp256k1 0.2 it signs and verifies
_COMPRESSED = 258  # SECP256K1_EC_COMPRESSED
_UNCOMPRESSED = 2  # SECP256K1_EC_UNCOMPRESSED
_context: Any = _lib.secp256k1_context_create(_CONTEXT_NONE)

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Order n of the group (SEC 2, section 2.4.1)."""

_HALF_ORDER = (ORDER // 2).to_bytes(32, "big")


def public_key(secret: bytearray | memoryview) -> bytes:
    """Return the public key of ``secret`` as 65 bytes ``04 ‖ x ‖ y``.

    Raises :class:`InvalidKeyError` when ``secret`` is not a writable buffer of 32 bytes in 1..n-1.
    """
    point = _new(_PUBLIC_KEY)
    if not _lib.secp256k1_ec_pubkey_create(_context, point, _scalar(secret)):
        raise InvalidKeyError("the secp256k1 private key is not in 1..n-1")
    return _serialize(point, _UNCOMPRESSED)


def sign_recoverable(digest: bytes, secret: bytearray | memoryview) -> bytes:
    """Sign a 32-byte ``digest``; return 65 bytes ``r ‖ s ‖ v``, low ``s``, ``v`` 27 or 28 (RFC 6979, EIP-2).

    ``secret`` is read in place and belongs to the caller, who wipes it.
    Raises :class:`InvalidDigestError` or :class:`InvalidKeyError`.
    """
    if len(digest) != 32:
        raise InvalidDigestError("a digest to sign has 32 bytes")
    signature = _new(_RECOVERABLE)
    if not _lib.secp256k1_ecdsa_sign_recoverable(_context, signature, digest, _scalar(secret), _NULL, _NULL):
        raise InvalidKeyError("the secp256k1 private key is not in 1..n-1")
    output, recovery_id = _new(_OCTETS_65), _new(_INT)
    _lib.secp256k1_ecdsa_recoverable_signature_serialize_compact(_context, output, recovery_id, signature)
    parity = recovery_id[0]
    if parity > 1:  # the nonce point's x is above n (chance 2**-127); Ethereum has no v for it
        raise CryptoError("the signature has no Ethereum form; sign another message")
    output[64] = 27 + parity
    return _buffer(output)[:]  # type: ignore[no-any-return]


def recover(digest: bytes, signature: bytes) -> bytes:
    """Return the 64-byte public key ``x ‖ y`` that made the 65-byte ``signature`` over ``digest``.

    ``v`` may be 0, 1, 27 or 28. A high ``s`` is refused (EIP-2): every signature has one accepted spelling apart from the
    two spellings of ``v``. Raises :class:`InvalidDigestError` or :class:`InvalidSignatureError`.
    """
    return _serialize(_recover_point(digest, signature), _UNCOMPRESSED)[1:]


def recover_address(digest: bytes, signature: bytes) -> bytes:
    """Return the 20-byte address that signed ``digest``. Rules and errors as in :func:`recover`."""
    return keccak256(recover(digest, signature))[12:]


def address_of(public_key: bytes) -> bytes:
    """Return the 20-byte address of an uncompressed public key, given as 64 bytes or as 65 with the leading ``04``.

    The address is the last 20 bytes of Keccak-256 over ``x ‖ y`` (Ethereum yellow paper, appendix F). Whether the point
    lies on the curve is not asked here. Raises :class:`InvalidKeyError` for another shape.
    """
    if len(public_key) == 65 and public_key[0] == 4:
        public_key = public_key[1:]
    elif len(public_key) != 64:
        raise InvalidKeyError("an uncompressed secp256k1 public key has 64 bytes, or 65 with the prefix 04")
    return keccak256(public_key)[12:]


def is_low_s(signature: bytes) -> bool:
    """Tell whether ``s`` of a 64- or 65-byte signature is at most n/2 (EIP-2)."""
    if len(signature) not in (64, 65):
        raise InvalidSignatureError("a secp256k1 signature has 64 or 65 bytes")
    return signature[32:64] <= _HALF_ORDER


def verify(digest: bytes, signature: bytes, public_key: bytes, *, allow_high_s: bool = False) -> None:
    """Check a 64-byte ``r ‖ s`` over ``digest`` against a 33- or 65-byte ``public_key``.

    ``allow_high_s`` is for formats that do not demand the low form (JOSE ES256K, RFC 8812).
    Raises :class:`InvalidSignatureError` when it does not verify, :class:`InvalidKeyError` for a bad key.
    """
    if len(digest) != 32:
        raise InvalidDigestError("a signed digest has 32 bytes")
    if len(signature) != 64:
        raise InvalidSignatureError("a plain secp256k1 signature has 64 bytes")
    parsed, point = _new(_SIGNATURE), _parse_point(public_key)
    if not _lib.secp256k1_ecdsa_signature_parse_compact(_context, parsed, signature):
        raise InvalidSignatureError("r or s of the signature is not below the group order")
    if _lib.secp256k1_ecdsa_signature_normalize(_context, parsed, parsed) and not allow_high_s:
        raise InvalidSignatureError("the signature has a high s")
    if not _lib.secp256k1_ecdsa_verify(_context, parsed, digest, point):
        raise InvalidSignatureError("the secp256k1 signature does not verify")


def compress(public_key: bytes) -> bytes:
    """Return the 33-byte form of a 33- or 65-byte public key, checked to lie on the curve (:class:`InvalidKeyError`)."""
    return _serialize(_parse_point(public_key), _COMPRESSED)


def decompress(public_key: bytes) -> bytes:
    """Return the 65-byte form of a 33- or 65-byte public key, checked to lie on the curve (:class:`InvalidKeyError`)."""
    return _serialize(_parse_point(public_key), _UNCOMPRESSED)


def _scalar(secret: bytearray | memoryview) -> Any:
    """Return a C view of the caller's buffer. It must be writable: a key that cannot be wiped is not accepted."""
    try:
        view = _from_buffer(_OCTETS, secret, require_writable=True)
    except (TypeError, BufferError, ValueError):
        raise InvalidKeyError("a private key is passed in a writable buffer (bytearray or memoryview)") from None
    if len(view) != 32:
        raise InvalidKeyError("a secp256k1 private key has 32 bytes")
    return view


def _recover_point(digest: bytes, signature: bytes) -> Any:
    if len(digest) != 32:
        raise InvalidDigestError("a signed digest has 32 bytes")
    if len(signature) != 65:
        raise InvalidSignatureError("a recoverable signature has 65 bytes")
    v = signature[64]
    if v not in (27, 28, 0, 1):
        raise InvalidSignatureError("v of a recoverable signature is 27 or 28 (or 0 or 1)")
    if signature[32:64] > _HALF_ORDER:
        raise InvalidSignatureError("the signature has a high s")
    parsed, point = _new(_RECOVERABLE), _new(_PUBLIC_KEY)
    recovery_id = v - 27 if v >= 27 else v
    # The parser refuses r or s at or above n; recovery refuses zero and an r that is no point's x.
    if not _lib.secp256k1_ecdsa_recoverable_signature_parse_compact(_context, parsed, signature, recovery_id):
        raise InvalidSignatureError("r or s of the signature is not below the group order")
    if not _lib.secp256k1_ecdsa_recover(_context, point, parsed, digest):
        raise InvalidSignatureError("no public key can have made this signature")
    return point


def _parse_point(public_key: bytes) -> Any:
    # Hybrid encodings (06, 07) are understood by the library but are a second spelling of the same key.
    if (len(public_key), public_key[:1]) not in ((33, b"\x02"), (33, b"\x03"), (65, b"\x04")):
        raise InvalidKeyError("a secp256k1 public key has 33 bytes (02, 03) or 65 bytes (04)")
    point = _new(_PUBLIC_KEY)
    if not _lib.secp256k1_ec_pubkey_parse(_context, point, public_key, len(public_key)):
        raise InvalidKeyError("the secp256k1 public key is not a point of the curve")
    return point


def _serialize(point: Any, form: int) -> bytes:
    length_bytes = 65 if form == _UNCOMPRESSED else 33
    output, length = _new(_OCTETS_65 if form == _UNCOMPRESSED else _OCTETS_33), _new(_SIZE, length_bytes)
    _lib.secp256k1_ec_pubkey_serialize(_context, output, length, point, form)
    return _buffer(output)[:]  # type: ignore[no-any-return]
