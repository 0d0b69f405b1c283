"""The keys of a link, and frames sealed with them.

Both sides make a one-time X25519 key (RFC 7748) for every link and sign its public half with their did:key, the node over the owner's
signed opening as well. HKDF-SHA256 (RFC 5869) over the shared secret, salted with the hash of both signed texts, gives four keys: one for data and
one for control, in each direction. Frames are ChaCha20-Poly1305 (RFC 8439) with their number as the nonce: a number is sealed once, and what
is sent again is the same sealed bytes. The one-time keys are gone with the link, so whoever gets a signing key later reads nothing of before.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from life.aios.ports.clock import Entropy
from life.crypto.errors import CryptoError
from life.crypto.seal import open_sealed, seal
from life.spaces.relay.errors import RelayForgedError

KEY_BYTES = 32
Channel = Literal["data", "control"]
Side = Literal["owner", "node"]
_ORDER = (("owner", "data"), ("owner", "control"), ("node", "data"), ("node", "control"))


class OneTimeKey:
    """The private half of one side's contribution; it agrees once and shows only its public half."""

    __slots__ = ("_key", "public")

    def __init__(self, entropy: Entropy) -> None:
        self._key: X25519PrivateKey | None = X25519PrivateKey.from_private_bytes(entropy.token_bytes(KEY_BYTES))
        self.public: bytes = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        """32 bytes."""

    def agree(self, public: bytes, *, side: Side, opening: str, acceptance: str) -> LinkKeys:
        """The link's keys, for the side that holds this key. RelayForgedError for a public key that is none."""
        key, self._key = self._key, None
        if key is None:
            raise RelayForgedError("This one-time key was used before.")
        try:
            secret = key.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:
            raise RelayForgedError("The other side's one-time key is none.") from None
        salt = sha256(sha256(opening.encode()).digest() + sha256(acceptance.encode()).digest()).digest()
        material = HKDF(algorithm=SHA256(), length=4 * KEY_BYTES, salt=salt, info=b"life relay 1").derive(secret)
        keys = {place: material[KEY_BYTES * at : KEY_BYTES * (at + 1)] for at, place in enumerate(_ORDER)}
        return LinkKeys(keys, side)

    def __repr__(self) -> str:
        return f"OneTimeKey(public={self.public.hex()})"


class LinkKeys:
    """Seals what one side sends and opens what it gets. Never printed."""

    __slots__ = ("_keys", "_other", "_side")

    def __init__(self, keys: dict[tuple[str, str], bytes], side: Side) -> None:
        self._keys = keys
        self._side = side
        self._other: Side = "node" if side == "owner" else "owner"

    def seal(self, channel: Channel, number: int, plaintext: bytes, *, link: str) -> bytes:
        """A frame; the caller never seals two texts under one number."""
        key = self._keys[self._side, channel]
        return seal(plaintext, key=key, nonce=_nonce(number), associated_data=_context(link, channel, number))

    def open(self, channel: Channel, number: int, sealed: bytes, *, link: str) -> bytes:
        """The plaintext of a frame from the other side; RelayForgedError when it isn't theirs, in this place."""
        key = self._keys[self._other, channel]
        try:
            plain = open_sealed(sealed, key=key, nonce=_nonce(number), associated_data=_context(link, channel, number))
        except CryptoError:
            raise RelayForgedError("A frame does not open.") from None
        return bytes(plain)

    def __repr__(self) -> str:
        return f"LinkKeys({self._side})"


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _context(link: str, channel: Channel, number: int) -> bytes:
    return f"life relay 1|{link}|{channel}|{number}".encode()
