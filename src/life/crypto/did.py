"""``did:key`` identifiers: ``did:key:`` + ``z`` + base58btc(multicodec ‖ public key).

Source: W3C CCG did:key method, multicodec table, AN-DID-1 to AN-DID-3. A DID names its key, so reading one needs no
network; it needs the curve equation, because an off-curve "key" is nobody's.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from life.crypto import secp256k1
from life.crypto.base58 import decode_base58, encode_base58
from life.crypto.ed25519 import Ed25519PublicKey
from life.crypto.errors import InvalidDidError, InvalidEncodingError, InvalidKeyError
from life.crypto.p256 import load_public_key

_PREFIX = "did:key:z"
_FRAGMENT_KEY_1 = "key-1"


class Curve(StrEnum):
    """Curves a DID can name, spelled as JOSE's ``crv`` spells them (RFC 7518, RFC 8037, RFC 8812)."""

    P256 = "P-256"
    SECP256K1 = "secp256k1"
    ED25519 = "Ed25519"


# Multicodec code as varint, and length of the key that follows.
_CODECS: dict[Curve, tuple[bytes, int]] = {
    Curve.P256: (b"\x80\x24", 33),
    Curve.SECP256K1: (b"\xe7\x01", 33),
    Curve.ED25519: (b"\xed\x01", 32),
}


@dataclass(frozen=True, slots=True)
class DidKey:
    """A resolved ``did:key``: the bare DID, its curve, and the key (33 bytes compressed, 32 for Ed25519)."""

    did: str
    curve: Curve
    public_key: bytes

    @property
    def verification_method(self) -> str:
        """The method id of the did:key specification, ``<did>#<multibase>``."""
        return f"{self.did}#{self.did.removeprefix('did:key:')}"


def encode_did(curve: Curve, public_key: bytes) -> str:
    """Write the DID of a compressed public key (33 bytes; 32 for Ed25519).

    This is encoding only: length and leading byte are checked, the curve equation is not. Raises
    :class:`InvalidKeyError`.
    """
    codec, length = _CODECS[curve]
    if len(public_key) != length or (length == 33 and public_key[0] not in (2, 3)):
        raise InvalidKeyError(f"a {curve.value} key in a DID has {length} bytes, compressed")
    return _PREFIX + encode_base58(codec + public_key)


def resolve_did(did: str) -> DidKey:
    """Read a bare ``did:key`` and check that its key is a point of its curve.

    Raises :class:`InvalidDidError` for another method, non-canonical text, an unknown key type, a wrong length,
    trailing data, or an off-curve point.
    """
    if "#" in did:
        raise InvalidDidError("a bare DID has no fragment")
    return _resolve(did)


def resolve_kid(kid: str) -> DidKey:
    """Read the ``kid`` of a token: a bare DID, ``<did>#key-1`` or ``<did>#<multibase>`` (AN-DID-2).

    Any other fragment names a key that a ``did:key`` document does not have. Errors as :func:`resolve_did`.
    """
    did, separator, fragment = kid.partition("#")
    if separator and fragment not in (_FRAGMENT_KEY_1, did.removeprefix("did:key:")):
        raise InvalidDidError("the fragment names no key of this DID")
    return _resolve(did)


@lru_cache(maxsize=1024)
def _resolve(did: str) -> DidKey:
    """Resolve once per DID: checking a point costs about as much as checking a signature."""
    if not did.startswith(_PREFIX):
        raise InvalidDidError("the identifier is not a did:key in base58btc")
    try:
        data = decode_base58(did[len(_PREFIX) :])
    except InvalidEncodingError:
        raise InvalidDidError("the identifier is not canonical base58btc") from None
    for curve, (codec, length) in _CODECS.items():
        if data.startswith(codec):
            key = data[len(codec) :]
            if len(key) != length:
                raise InvalidDidError(f"a {curve.value} key in a DID has {length} bytes, not {len(key)}")
            _check_point(curve, key)
            return DidKey(did=did, curve=curve, public_key=key)
    raise InvalidDidError("the DID holds a key type that is not supported")


def _check_point(curve: Curve, key: bytes) -> None:
    try:
        match curve:
            case Curve.P256:
                load_public_key(key)
            case Curve.SECP256K1:
                secp256k1.compress(key)
            case Curve.ED25519:
                Ed25519PublicKey(key)
    except InvalidKeyError as error:
        raise InvalidDidError(f"the key in the DID is unusable: {error}") from None
