"""What a passkey proves: the registration and the assertions of WebAuthn, verified by the package `webauthn` and by what it
leaves to its caller (AN-WEB-3, AN-WEB-5, W3C WebAuthn Level 2 §7).

A challenge is never a bare random number. It is SHA-256 over a purpose, a server's nonce of 32 bytes and what the ceremony is
about, so that an assertion over one request is worth nothing for another, and a registration nothing as an assertion:

    registration   "anima:webauthn:enrol:v1" 00 ‖ nonce ‖ device key (65 bytes)
    assertion      "anima:webauthn:assert:v1" 00 ‖ nonce ‖ SHA-256(signing input)

An assertion is a proof of presence, not a signature of the identity: nothing here returns its bytes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from cryptography import x509

from life.aios.errors import MissingExtraError
from life.aios.json import JsonObject
from life.anima.custody.errors import CeremonyRefusedError
from life.anima.errors import CustodyInputError
from life.crypto.base64url import decode_base64url, encode_base64url
from life.crypto.errors import CryptoError
from life.crypto.strict_json import decode_json_object

if TYPE_CHECKING:
    from types import ModuleType

NONCE_BYTES: Final = 32
CHALLENGE_S: Final = 120
"""How long a challenge may be answered (AN-WEB-5)."""
ES256: Final = -7
_P256_IN_COSE: Final = 1
_AAGUID_EXTENSION: Final = x509.ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4")
_ENROL: Final = b"anima:webauthn:enrol:v1\x00"
_ASSERT: Final = b"anima:webauthn:assert:v1\x00"


@dataclass(frozen=True, kw_only=True)
class RelyingParty:
    """Who asks for passkeys, and from where."""

    rp_id: str
    """The domain that passkeys are bound to: `localhost` or a domain name, never an address (AN-WEB-6)."""
    origins: tuple[str, ...]
    """Where the page is served: `https://…`, or `http://localhost…`, on `rp_id` or below it."""
    name: str = "Life"
    attestation_roots: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    """PEM roots by attestation format (`packed`, `tpm`, …). Empty: the maker of the authenticator is not asked for."""

    def __post_init__(self) -> None:
        if not self.rp_id or self.rp_id != self.rp_id.lower() or _is_address(self.rp_id):
            raise CustodyInputError("The relying party is a domain name in lower case, or localhost; not an address.")
        if not self.origins:
            raise CustodyInputError("A relying party needs at least one origin.")
        for origin in self.origins:
            parts = urlsplit(origin)
            host = parts.hostname or ""
            if f"{parts.scheme}://{parts.netloc}" != origin or "@" in parts.netloc:
                raise CustodyInputError(f"{origin!r} is not an origin like https://agent.example.")
            if parts.scheme != "https" and not (parts.scheme == "http" and host == "localhost"):
                raise CustodyInputError(f"{origin} is no secure context: passkeys need https, or http on localhost.")
            if host != self.rp_id and not host.endswith("." + self.rp_id):
                raise CustodyInputError(f"{origin} is not on {self.rp_id}.")


class Passkey(NamedTuple):
    """A verified registration."""

    credential_id: bytes
    public_key: bytes
    """COSE key."""
    sign_count: int
    attestation_format: str
    aaguid: str


def registration_challenge(nonce: bytes, device_key: bytes) -> bytes:
    """What the registration of a passkey for `device_key` must sign."""
    return sha256(_ENROL + nonce + device_key).digest()


def assertion_challenge(nonce: bytes, message: bytes) -> bytes:
    """What an assertion for the signing input `message` must sign."""
    return sha256(_ASSERT + nonce + sha256(message).digest()).digest()


def verify_registration(credential: JsonObject, *, party: RelyingParty, challenge: bytes) -> Passkey:
    """A passkey's registration: challenge, origin, rp id, presence, verification of the user, ES256, attestation.

    CeremonyRefusedError otherwise. With `attestation_roots`, a registration that says nothing about its maker, or that
    vouches for itself, is refused, too.
    """
    library = _webauthn()
    client_data = _client_data(credential)
    try:
        verified = library.verify_registration_response(
            credential=dict(credential),
            expected_challenge=challenge,
            expected_rp_id=party.rp_id,
            expected_origin=list(party.origins),
            require_user_verification=True,
            supported_pub_key_algs=[library.helpers.cose.COSEAlgorithmIdentifier.ECDSA_SHA_256],
            pem_root_certs_bytes_by_fmt={name: list(roots) for name, roots in party.attestation_roots.items()},
        )
        attestation = library.helpers.parse_attestation_object(verified.attestation_object)
        key = library.helpers.decode_credential_public_key(verified.credential_public_key)
    except Exception as error:  # whatever a malformed answer makes the library raise, it proves nothing
        raise CeremonyRefusedError("registration", f"The passkey's registration is refused: {_reason(error)}") from None
    _check_not_framed(client_data)
    if key.alg != ES256 or getattr(key, "crv", None) != _P256_IN_COSE:
        raise CeremonyRefusedError("algorithm", "The passkey is not an ES256 key on P-256.")
    if encode_base64url(verified.credential_id) != credential.get("id"):
        raise CeremonyRefusedError("credential", "The attested passkey is not the one that was named.")
    made_by = str(getattr(verified.fmt, "value", verified.fmt))
    if party.attestation_roots and (made_by not in party.attestation_roots or not attestation.att_stmt.x5c):
        raise CeremonyRefusedError("attestation", "The passkey does not show who made its authenticator.")
    if party.attestation_roots:
        _check_model(attestation.att_stmt.x5c[0], attestation.auth_data.attested_credential_data.aaguid)
    return Passkey(
        verified.credential_id, verified.credential_public_key, verified.sign_count, made_by, str(verified.aaguid)
    )


def verify_assertion(
    credential: JsonObject,
    *,
    party: RelyingParty,
    challenge: bytes,
    credential_id: bytes,
    public_key: bytes,
    sign_count: int,
) -> int:
    """A passkey's assertion: the enrolled passkey, challenge, origin, rp id, presence, verification of the user, counter.

    Returns the new counter; a counter that does not grow is refused, as a copied passkey would show (except for passkeys that
    have none and always say 0). CeremonyRefusedError otherwise.
    """
    library = _webauthn()
    client_data = _client_data(credential)
    if credential.get("id") != encode_base64url(credential_id):
        raise CeremonyRefusedError("credential", "That is not the passkey that was enrolled.")
    try:
        verified = library.verify_authentication_response(
            credential=dict(credential),
            expected_challenge=challenge,
            expected_rp_id=party.rp_id,
            expected_origin=list(party.origins),
            credential_public_key=public_key,
            credential_current_sign_count=sign_count,
            require_user_verification=True,
        )
    except Exception as error:  # as above
        raise CeremonyRefusedError("assertion", f"The passkey's assertion is refused: {_reason(error)}") from None
    _check_not_framed(client_data)
    return int(verified.new_sign_count)


def _client_data(credential: JsonObject) -> JsonObject:
    """What the browser says about the ceremony, read strictly."""
    response = credential.get("response")
    text = response.get("clientDataJSON") if isinstance(response, Mapping) else None
    if not isinstance(text, str):
        raise CeremonyRefusedError("malformed", "The passkey's answer has no clientDataJSON.")
    try:
        members: JsonObject = decode_json_object(decode_base64url(text))  # type: ignore[assignment]
    except CryptoError:
        raise CeremonyRefusedError("malformed", "The passkey's clientDataJSON can't be read.") from None
    return members


def _check_not_framed(client_data: JsonObject) -> None:
    """A page inside of somebody else's page could be made to look like something else (WebAuthn §13.4.9)."""
    if client_data.get("crossOrigin", False) is not False or "topOrigin" in client_data:
        raise CeremonyRefusedError("framed", "The passkey was used inside of another page.")


def _check_model(certificate: bytes, aaguid: bytes) -> None:
    """A certificate that names a model must name the one that the authenticator claims to be (WebAuthn §8.2.1)."""
    try:
        extensions = x509.load_der_x509_certificate(certificate).extensions
        named = extensions.get_extension_for_oid(_AAGUID_EXTENSION).value
    except x509.ExtensionNotFound:
        return
    except ValueError:
        raise CeremonyRefusedError("attestation", "The authenticator's certificate can't be read.") from None
    if not isinstance(named, x509.UnrecognizedExtension) or named.value != b"\x04\x10" + aaguid:
        raise CeremonyRefusedError("attestation", "The authenticator's certificate is that of another model.")


def _reason(error: Exception) -> str:
    """The library's sentence; it names no secrets, because there are none."""
    text = str(error).strip()[:200]
    return text if type(error).__module__.startswith("webauthn.") and text else "it is malformed."


def _webauthn() -> ModuleType:
    """The package. MissingExtraError when it is not installed."""
    try:
        import webauthn
        import webauthn.helpers.cose
    except ImportError:
        raise MissingExtraError("A passkey", "webauthn") from None
    return webauthn


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
