"""NATS account keys and the tokens that they sign (nkeys: Ed25519 keys in base32 with a prefix and a CRC; JWTs with alg `ed25519-nkey`).

The account key of the auth callout is the one secret here. It vouches for whoever logs in, to our own servers only; it is
made by the launcher beside the servers' passwords, in a file of mode 0600, and never printed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from life.spaces.errors import InvalidArgumentError, UnauthenticatedError

_SEED: Final = 18 << 3
_ACCOUNT: Final = 0
_SERVER: Final = 13 << 3
_USER: Final = 20 << 3
_ALGORITHM: Final = "ed25519-nkey"
_KEY_BYTES: Final = 32
MAX_TOKEN: Final = 64 * 1024


class AccountKey:
    """An account's key pair. Shows nothing of itself."""

    __slots__ = ("_private", "public")

    def __init__(self, seed: str) -> None:
        """From a seed (`SA…`). InvalidArgumentError for anything else; the text is not repeated."""
        raw = _decoded(seed.strip(), _KEY_BYTES + 2)
        if raw is None or raw[0] != _SEED | (_ACCOUNT >> 5) or raw[1] != (_ACCOUNT & 31) << 3:
            raise InvalidArgumentError("This is no seed of an account key.")
        self._private = Ed25519PrivateKey.from_private_bytes(raw[2:])
        public = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = _encoded(bytes([_ACCOUNT]) + public)
        """The public key (`A…`)."""

    def __repr__(self) -> str:
        return f"AccountKey({self.public})"

    def sign(self, claims: dict[str, object], *, at_s: int) -> str:
        """A token with these claims; `iss`, `iat` and `jti` are added."""
        body = {**claims, "iss": self.public, "iat": at_s}
        body["jti"] = base64.b32encode(hashlib.sha256(msgspec.json.encode(body)).digest()).decode().rstrip("=")
        header = {"typ": "JWT", "alg": _ALGORITHM}
        signed = f"{_part(msgspec.json.encode(header))}.{_part(msgspec.json.encode(body))}"
        return f"{signed}.{_part(self._private.sign(signed.encode()))}"


def new_seed(secret: bytes) -> str:
    """The seed of an account key, of 32 unpredictable bytes."""
    if len(secret) != _KEY_BYTES:
        raise InvalidArgumentError("An account key has 32 bytes.")
    return _encoded(bytes([_SEED | (_ACCOUNT >> 5), (_ACCOUNT & 31) << 3]) + secret)


def verified_claims(token: str) -> bytes:
    """The claims of a token that a server signed with its own key. UnauthenticatedError when its signature does not hold.

    Which server that is does not matter: only servers of ours can speak where such tokens come from.
    """
    parts = token.split(".")
    try:
        if len(token) > MAX_TOKEN or len(parts) != 3:
            raise ValueError("shape")
        header = msgspec.json.decode(_bytes(parts[0]), type=dict[str, str])
        body = _bytes(parts[1])
        issuer = msgspec.json.decode(body, type=_Issued).iss
        key = _decoded(issuer, _KEY_BYTES + 1)
        if header.get("alg") != _ALGORITHM or key is None or key[0] != _SERVER:
            raise ValueError("issuer")
        Ed25519PublicKey.from_public_bytes(key[1:]).verify(_bytes(parts[2]), f"{parts[0]}.{parts[1]}".encode())
    except (ValueError, msgspec.MsgspecError, InvalidSignature):
        raise UnauthenticatedError("This is no request of a NATS server.") from None
    return body


def is_user_key(text: str) -> bool:
    """Whether this is a user's public key (`U…`)."""
    raw = _decoded(text, _KEY_BYTES + 1)
    return raw is not None and raw[0] == _USER


class _Issued(msgspec.Struct):
    iss: str


def _encoded(raw: bytes) -> str:
    return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


def _decoded(text: str, length: int) -> bytes | None:
    """The bytes behind a key's text, without the CRC; None when it is none of this length."""
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except (ValueError, binascii.Error):
        return None
    if len(raw) != length + 2 or binascii.crc_hqx(raw[:-2], 0).to_bytes(2, "little") != raw[-2:]:
        return None
    return raw[:-2]


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
