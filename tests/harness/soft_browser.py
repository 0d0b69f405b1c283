"""A browser with a device key and a passkey, in Python: what the page does, and what an attacker would.

It makes real WebAuthn answers (W3C WebAuthn Level 2 §5, §6) with `cryptography` and `cbor2`, so that everything a real browser
refuses to do can be tried: other origins, missing flags, counters that go back, answers meant for something else. The same suite
runs in a real browser with the page itself (part `chromium`).
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

ORIGIN: Final = "http://localhost:8765"
RP_ID: Final = "localhost"
UP, UV, AT = 0x01, 0x04, 0x40
AAGUID: Final = bytes(range(16))


def b64(raw: bytes) -> str:
    """Base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """And back."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def new_key() -> ec.EllipticCurvePrivateKey:
    """A P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class Maker:
    """Who makes authenticators: a root, and a certificate for one model."""

    aaguid_in_certificate: bytes | None = AAGUID
    root_key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)

    def root(self) -> bytes:
        """PEM."""
        return self._certificate("Maker Root", self.root_key, is_root=True).public_bytes(Encoding.PEM)

    def leaf(self) -> bytes:
        """DER."""
        return self._certificate("Model 1", self.key, is_root=False).public_bytes(Encoding.DER)

    def _certificate(self, name: str, key: ec.EllipticCurvePrivateKey, *, is_root: bool) -> x509.Certificate:
        def named(text: str) -> x509.Name:
            return x509.Name(
                [
                    x509.NameAttribute(NameOID.COUNTRY_NAME, "AQ"),
                    x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests"),
                    x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Authenticator Attestation"),
                    x509.NameAttribute(NameOID.COMMON_NAME, text),
                ]
            )

        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named("Maker Root"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
            .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        )
        if not is_root and self.aaguid_in_certificate is not None:
            oid = x509.ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4")
            value = b"\x04\x10" + self.aaguid_in_certificate
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
        return builder.sign(self.root_key, hashes.SHA256())


@dataclass
class SoftBrowser:
    """One browser profile. The fields are what it says, truly or not."""

    origin: str = ORIGIN
    rp_id: str = RP_ID
    flags: int = UP | UV
    counter: int = 0
    counts: bool = True
    cross_origin: object = False
    type_: str | None = None
    maker: Maker | None = None
    self_attested: bool = False
    alg: int = -7
    aaguid: bytes = AAGUID
    device: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    passkey: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    credential_id: bytes = b"credential-1-of-the-soft-browser"

    @property
    def device_key(self) -> str:
        """65 bytes in base64url."""
        return b64(self.device.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))

    def sign(self, signing_input: str | bytes) -> str:
        """What WebCrypto's ECDSA gives: 64 bytes, in base64url."""
        message = signing_input.encode() if isinstance(signing_input, str) else signing_input
        r, s = decode_dss_signature(self.device.sign(message, ec.ECDSA(hashes.SHA256())))
        return b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))

    def create(self, challenge: bytes) -> dict[str, Any]:
        """navigator.credentials.create()."""
        numbers = self.passkey.public_key().public_numbers()
        x, y = (number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
        cose = cbor2.dumps({1: 2, 3: self.alg, -1: 1, -2: x, -3: y})
        attested = self.aaguid + len(self.credential_id).to_bytes(2, "big") + self.credential_id + cose
        data = self._authenticator_data(AT) + attested
        client = self._client_data("webauthn.create", challenge)
        statement: dict[str, Any] = {}
        signed = data + sha256(client).digest()
        if self.maker is not None:
            signature = self.maker.key.sign(signed, ec.ECDSA(hashes.SHA256()))
            statement = {"alg": -7, "sig": signature, "x5c": [self.maker.leaf()]}
        elif self.self_attested:
            statement = {"alg": -7, "sig": self.passkey.sign(signed, ec.ECDSA(hashes.SHA256()))}
        attestation = cbor2.dumps({"fmt": "packed" if statement else "none", "attStmt": statement, "authData": data})
        return self._credential({"clientDataJSON": b64(client), "attestationObject": b64(attestation)})

    def get(self, challenge: bytes) -> dict[str, Any]:
        """navigator.credentials.get()."""
        if self.counts:
            self.counter += 1
        data, client = self._authenticator_data(0), self._client_data("webauthn.get", challenge)
        signature = self.passkey.sign(data + sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        response = {"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature)}
        return self._credential(response)

    def challenge_for(self, nonce: str, signing_input: str) -> bytes:
        """What the page computes."""
        message = sha256(signing_input.encode()).digest()
        return sha256(b"anima:webauthn:assert:v1\0" + unb64(nonce) + message).digest()

    def answer(self, nonce: str, signing_input: str) -> tuple[dict[str, Any], str]:
        """Assertion and signature for a request."""
        return self.get(self.challenge_for(nonce, signing_input)), self.sign(signing_input)

    def _authenticator_data(self, more: int) -> bytes:
        return sha256(self.rp_id.encode()).digest() + bytes((self.flags | more,)) + self.counter.to_bytes(4, "big")

    def _client_data(self, type_: str, challenge: bytes) -> bytes:
        data = {"type": type_ if self.type_ is None else self.type_, "challenge": b64(challenge), "origin": self.origin}
        return json.dumps({**data, "crossOrigin": self.cross_origin}).encode()

    def _credential(self, response: dict[str, Any]) -> dict[str, Any]:
        name = b64(self.credential_id)
        return {"id": name, "rawId": name, "type": "public-key", "response": response}
