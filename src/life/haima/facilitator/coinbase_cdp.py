"""Coinbase's hosted facilitator (CDP): a remote facilitator whose every request is signed.

    facilitator = CdpFacilitator(CdpCredentials.from_environment(os.environ), clock, entropy)

A request carries a bearer JWT that is good for two minutes and for this one method and path: `ES256` by an EC key (PEM), or
`EdDSA` by an Ed25519 key (base64 of seed and public key). Header: alg, kid (the key's id), typ, nonce; claims: sub (the id),
iss `cdp`, nbf, exp, uris (`POST api.cdp.coinbase.com/platform/v2/x402/settle`).

`settlement_pending` arrives there as HTTP 500 with a body, and is reconciled by the identical resend; RemoteFacilitator does
both (x402.md §4, §12 row 8). The secret stays in an object of the `cryptography` package: it is not kept as text, and no error
or repr shows it.

Source: docs.cdp.coinbase.com, "JWT Authentication" and "x402 facilitator"; tokens are compared with the official SDK's form.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from life.aios.errors import InvalidInputError
from life.aios.ports.clock import Clock, Entropy
from life.crypto.base64url import encode_base64url
from life.haima.facilitator.remote import DEFAULT_TIMEOUT_S, Endpoint, RemoteFacilitator

CDP_URL: Final = "https://api.cdp.coinbase.com/platform/v2/x402"
KEY_ID_VARIABLE: Final = "CDP_API_KEY_ID"
KEY_SECRET_VARIABLE: Final = "CDP_API_KEY_SECRET"  # noqa: S105 (the name of a variable)
LIFETIME_S: Final = 120

_encode: Final = msgspec.json.Encoder().encode


class CdpCredentials:
    """An API key of the Coinbase Developer Platform, ready to sign."""

    __slots__ = ("_key", "key_id")

    def __init__(self, key_id: str, secret: str) -> None:
        """InvalidInputError for a key that is neither a PEM EC key on P-256 nor a base64 Ed25519 key of 64 bytes."""
        if not key_id or not key_id.isprintable():
            raise InvalidInputError("The CDP key needs its id.", next_step=f"Export {KEY_ID_VARIABLE}.")
        self.key_id = key_id
        self._key = _read_key(secret)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> CdpCredentials:
        """From CDP_API_KEY_ID and CDP_API_KEY_SECRET; InvalidInputError when one is missing."""
        missing = [name for name in (KEY_ID_VARIABLE, KEY_SECRET_VARIABLE) if not environment.get(name)]
        if missing:
            raise InvalidInputError(
                f"The Coinbase facilitator needs {' and '.join(missing)}.",
                next_step="Make a secret API key at portal.cdp.coinbase.com and export its id and secret.",
            )
        return cls(environment[KEY_ID_VARIABLE], environment[KEY_SECRET_VARIABLE])

    def __repr__(self) -> str:
        return f"<CdpCredentials {self.key_id}>"

    def token(self, method: str, host: str, path: str, *, now_s: int, nonce: bytes) -> str:
        """The JWT for one request. `nonce`: 16 fresh random bytes."""
        algorithm = "EdDSA" if isinstance(self._key, ed25519.Ed25519PrivateKey) else "ES256"
        header = {"alg": algorithm, "kid": self.key_id, "typ": "JWT", "nonce": nonce.hex()}
        claims = {
            "sub": self.key_id,
            "iss": "cdp",
            "nbf": now_s,
            "exp": now_s + LIFETIME_S,
            "uris": [f"{method} {host}{path}"],
        }
        signed = f"{encode_base64url(_encode(header))}.{encode_base64url(_encode(claims))}"
        return f"{signed}.{encode_base64url(self._sign(signed.encode()))}"

    def _sign(self, message: bytes) -> bytes:
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(message)
        r, s = decode_dss_signature(self._key.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


class CdpFacilitator(RemoteFacilitator):
    """A Facilitator at Coinbase. Close it with `aclose`."""

    def __init__(
        self,
        credentials: CdpCredentials,
        clock: Clock,
        entropy: Entropy,
        *,
        url: str = CDP_URL,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """`url` is another one only for tests: tokens are made for its host and path."""
        split = urlsplit(url.rstrip("/"))

        def headers(endpoint: Endpoint) -> Mapping[str, str]:
            method = "GET" if endpoint == "supported" else "POST"
            token = credentials.token(
                method,
                split.netloc,
                f"{split.path}/{endpoint}",
                now_s=clock.now_us() // 1_000_000,
                nonce=entropy.token_bytes(16),
            )
            return {"authorization": f"Bearer {token}"}

        super().__init__(url, clock, headers=headers, timeout_s=timeout_s)


def _read_key(secret: str) -> ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey:
    # Shells keep the newlines of an unquoted PEM as two characters.
    text = secret.strip().replace("\\n", "\n")
    if text.startswith("-----BEGIN"):
        try:
            key = serialization.load_pem_private_key(text.encode(), password=None)
        except (ValueError, TypeError):
            raise InvalidInputError("The CDP key's secret is no PEM key that can be read.") from None
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
            return key
        raise InvalidInputError("The CDP key's secret is a PEM key of another kind than EC on P-256.")
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 64:
        raise InvalidInputError("The CDP key's secret is neither PEM nor base64 of an Ed25519 key.")
    ours = ed25519.Ed25519PrivateKey.from_private_bytes(raw[:32])
    public = ours.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    if public != raw[32:]:
        raise InvalidInputError("The CDP key's secret is damaged: its two halves do not belong together.")
    return ours
