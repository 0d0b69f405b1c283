"""From an invitation to an enrolled browser: two keys prove themselves, and each names the other (AN-WEB-1, AN-WEB-5).

The operator makes an invitation: a code that works once and for a quarter of an hour. The page makes a device key, and a
passkey whose registration challenge contains that key; the device key signs the same challenge. Only when both hold, the record is
written. An interrupted enrolment leaves nothing behind.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import ConflictError
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock, Entropy
from life.aios.record import format_timestamp
from life.anima.custody.errors import CeremonyRefusedError
from life.anima.custody.external_keys import did_key_of
from life.anima.custody.typed_requests import finish_token, token_input
from life.anima.custody.web_crypto.ceremony import (
    CHALLENGE_S,
    NONCE_BYTES,
    RelyingParty,
    registration_challenge,
    verify_registration,
)
from life.anima.custody.web_crypto.enrolment import Enrolment, EnrolmentStore, device_key_of
from life.anima.errors import CustodyAuthFailedError
from life.crypto.base64url import decode_base64url, encode_base64url
from life.crypto.errors import CryptoError
from life.crypto.jwk import thumbprint

INVITATION_S: Final = 900
DEVICE_TYP: Final = "anima-device+jwt"
_MAX_TRIES: Final = 10


class RegistrationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the page needs to make a passkey. Bytes in base64url."""

    rp_id: str
    rp_name: str
    challenge: str
    user_id: str
    user_name: str
    signing_input: str
    """What the device key signs, to show that it is there."""
    attestation: str


class _Invitation(NamedTuple):
    code_hash: bytes
    until_us: int


class _Begun(NamedTuple):
    device_key: bytes
    challenge: bytes
    signing_input: bytes
    until_us: int


class EnrolmentDesk:
    """Enrols one browser."""

    def __init__(self, party: RelyingParty, store: EnrolmentStore, *, clock: Clock, entropy: Entropy) -> None:
        self._party = party
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._invitation: _Invitation | None = None
        self._begun: _Begun | None = None
        self._tries = 0

    def invite(self) -> str:
        """A new code for one enrolment; an earlier one no longer works. ConflictError when a browser is enrolled."""
        self._check_free()
        code = encode_base64url(self._entropy.token_bytes(NONCE_BYTES))
        self._invitation = _Invitation(_hash(code), self._after(INVITATION_S))
        self._begun, self._tries = None, 0
        return code

    def begin(self, code: str, device_key: str) -> RegistrationRequest:
        """A challenge for a browser with `device_key` (base64url). CustodyAuthFailedError for a wrong code."""
        self._check_code(code)
        try:
            raw = device_key_of(device_key)
        except CryptoError:
            raise CeremonyRefusedError("device_key", "The device key is not a point of P-256.") from None
        if len(raw) != 65:
            raise CeremonyRefusedError("device_key", "The device key has 65 bytes.")
        challenge = registration_challenge(self._entropy.token_bytes(NONCE_BYTES), raw)
        key = did_key_of(raw)
        claims: JsonObject = {
            "iss": key.did,
            "type": "anima.device_enrolment",
            "challenge": encode_base64url(challenge),
            "rp_id": self._party.rp_id,
            "iat": self._clock.now_us() // 1_000_000,
        }
        message = token_input(claims, DEVICE_TYP, key=key, issuers=(key.did, thumbprint(key)))
        self._begun = _Begun(raw, challenge, message, self._after(CHALLENGE_S))
        return RegistrationRequest(
            rp_id=self._party.rp_id,
            rp_name=self._party.name,
            challenge=encode_base64url(challenge),
            user_id=encode_base64url(sha256(raw).digest()),
            user_name=key.did,
            signing_input=message.decode("ascii"),
            attestation="direct" if self._party.attestation_roots else "none",
        )

    def finish(self, code: str, credential: JsonObject, signature: str) -> Enrolment:
        """Verify both keys' answers and write the record. The challenge is used up, whatever comes of it."""
        self._check_code(code)
        begun, self._begun = self._begun, None
        if begun is None or self._clock.monotonic_us() >= begun.until_us:
            raise CeremonyRefusedError("challenge", "There is no open challenge for this enrolment; begin again.")
        passkey = verify_registration(credential, party=self._party, challenge=begun.challenge)
        key = did_key_of(begun.device_key)
        try:
            raw_signature = decode_base64url(signature)
        except CryptoError:
            raise CeremonyRefusedError("malformed", "The device key's signature is not base64url.") from None
        finish_token(begun.signing_input, raw_signature, key=key)
        if begun.device_key[1:33] in passkey.public_key:
            raise CeremonyRefusedError("device_key", "Passkey and device key must be two keys.")
        enrolment = Enrolment(
            did=key.did,
            device_key=encode_base64url(begun.device_key),
            credential_id=encode_base64url(passkey.credential_id),
            passkey=encode_base64url(passkey.public_key),
            sign_count=passkey.sign_count,
            rp_id=self._party.rp_id,
            attestation_format=passkey.attestation_format,
            aaguid=passkey.aaguid,
            enrolled_at=format_timestamp(self._clock.now_us()),
        )
        self._check_free()
        self._store.save(enrolment)
        self._invitation = None
        return enrolment

    def _check_free(self) -> None:
        known = self._store.load()
        if known is not None:
            raise ConflictError("A browser is enrolled already.", details={"did": known.did})

    def _check_code(self, code: str) -> None:
        invitation = self._invitation
        if invitation is None or self._clock.monotonic_us() >= invitation.until_us or self._tries >= _MAX_TRIES:
            raise CustodyAuthFailedError("There is no open invitation.", next_step="Have a new invitation made.")
        if not hmac.compare_digest(_hash(code), invitation.code_hash):
            self._tries += 1
            raise CustodyAuthFailedError("The invitation's code is wrong.", next_step="Open the invitation's link.")

    def _after(self, seconds: int) -> int:
        return self._clock.monotonic_us() + seconds * 1_000_000


def _hash(code: str) -> bytes:
    return sha256(b"anima:invitation:v1\x00" + code.encode("utf-8", "surrogatepass")).digest()
