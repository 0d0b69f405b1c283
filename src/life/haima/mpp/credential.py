"""What a client answers to a challenge, and what it gets for it.

    Authorization: Payment <base64url of {"challenge": …, "payload": …, "source": "did:pkh:…"}>
    Payment-Receipt: <base64url of {"status": "success", "reference": …, "method": …, "timestamp": …}>

The challenge is echoed part by part as it came; `payload` is the method's own. A receipt is the server's word: it is not
signed.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from life.crypto.base64url import decode_base64url, encode_base64url
from life.crypto.errors import InvalidEncodingError
from life.haima.errors import MalformedPaymentError
from life.haima.mpp.challenge import AUTHORIZATION, MAX_FIELD_CHARS, SCHEME, Challenge

PAYMENT_RECEIPT: Final = "Payment-Receipt"
MAX_RECEIPT_CHARS: Final = 16 * 1024
_PREFIX: Final = SCHEME.lower() + " "


class Echo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A challenge as it comes back. `description` is for people and not part of what was challenged."""

    id: str
    realm: str
    method: str
    intent: str
    request: str
    expires: str | None = None
    digest: str | None = None
    header: str | None = None
    opaque: str | None = None
    description: str | None = None

    def challenge(self) -> Challenge:
        """The challenge that it says it is."""
        header = None if self.header is not None and self.header.lower() == AUTHORIZATION.lower() else self.header
        return Challenge(
            id=self.id,
            realm=self.realm,
            method=self.method,
            intent=self.intent,
            request=self.request,
            expires=self.expires,
            digest=self.digest,
            opaque=self.opaque,
            header=header,
        )


class Credential(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A payment for a challenge."""

    challenge: Echo
    payload: Raw
    source: str | None = None
    """Who pays, as a DID."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", gc=False):
    """The server says that it was paid. `reference` is the method's: for evm the transaction."""

    status: str
    timestamp: str
    reference: str
    method: str
    external_id: str | None = None


_encode: Final = msgspec.json.Encoder(order="sorted").encode
_credential: Final = msgspec.json.Decoder(Credential)
_receipt: Final = msgspec.json.Decoder(Receipt)


def echo_of(challenge: Challenge) -> Echo:
    """The challenge, to be sent back."""
    return Echo(
        id=challenge.id,
        realm=challenge.realm,
        method=challenge.method,
        intent=challenge.intent,
        request=challenge.request,
        expires=challenge.expires,
        digest=challenge.digest,
        header=challenge.header,
        opaque=challenge.opaque,
    )


def encode_credential(credential: Credential) -> str:
    """The header's value: the same parts always give the same text."""
    return f"{SCHEME} {encode_base64url(_encode(credential))}"


def is_credential(value: str) -> bool:
    """Whether a header's value is of our scheme at all."""
    return value[: len(_PREFIX)].lower() == _PREFIX


def decode_credential(value: str) -> Credential:
    """The credential in a header; MalformedPaymentError when it can't be read."""
    if not is_credential(value) or len(value) > MAX_FIELD_CHARS:
        raise MalformedPaymentError("This is no payment credential, or too long for one.")
    try:
        content = decode_base64url(value[len(_PREFIX) :].strip().rstrip("="))
        content.decode()  # raw parts are passed on unread
        return _credential.decode(content)
    except (InvalidEncodingError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise MalformedPaymentError("The payment credential is no base64url of a credential.") from None


def encode_receipt(receipt: Receipt) -> str:
    """The header's value."""
    return encode_base64url(_encode(receipt))


def decode_receipt(value: str) -> Receipt:
    """A receipt of success; MalformedPaymentError for anything else, also for one of another status."""
    if len(value) > MAX_RECEIPT_CHARS:
        raise MalformedPaymentError("The payment receipt is too long.")
    try:
        receipt = _receipt.decode(decode_base64url(value.strip().rstrip("=")))
    except (InvalidEncodingError, msgspec.DecodeError, RecursionError):
        raise MalformedPaymentError("The payment receipt can't be read.") from None
    if receipt.status != "success":
        raise MalformedPaymentError("The payment receipt does not say success.")
    return receipt


__all__ = [
    "PAYMENT_RECEIPT",
    "Credential",
    "Echo",
    "Receipt",
    "decode_credential",
    "decode_receipt",
    "echo_of",
    "encode_credential",
    "encode_receipt",
    "is_credential",
]
