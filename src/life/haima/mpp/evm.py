"""The evm charge method: an EIP-3009 authorization that is bound to its challenge.

A charge asks for an amount of one token on one chain. Its payment is the authorization that x402's scheme `exact` uses, too,
and any x402 facilitator settles it; what makes it this challenge's payment is its nonce:

    nonce = keccak256(JSON of [challenge id, realm])

So one challenge is paid at most once, by the rules of the token itself. The challenge does not name the token's EIP-712
domain: both sides know it (here: the network registry), or can't use this method for it.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from life.aios.json import JsonObject
from life.aios.ports.custody import TransferAuthorization
from life.crypto.keccak import keccak256
from life.haima.errors import MalformedPaymentError
from life.haima.mpp.challenge import Challenge, decode_object, encode_object
from life.haima.x402.authorization import EXACT, SETTLING_MARGIN_S, read_address, read_uint
from life.haima.x402.networks import chain_id_of
from life.haima.x402.wire import (
    X402_VERSION,
    ExactEvmAuthorization,
    ExactEvmPayload,
    PaymentPayload,
    PaymentRequirements,
    to_raw,
)

METHOD: Final = "evm"
INTENT: Final = "charge"
AUTHORIZATION_TYPE: Final = "authorization"
"""The only type of credential of this method."""

_encode: Final = msgspec.json.Encoder().encode


class MethodDetails(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """What a charge says of its chain. Splits and a paid fee are read only to be refused."""

    chain_id: int
    credential_types: tuple[str, ...]
    decimals: int
    splits: tuple[object, ...] = ()
    fee_payer: bool = False


class ChargeRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """What is asked: atomic units of a token, and who gets them."""

    amount: str
    currency: str
    recipient: str
    method_details: MethodDetails

    @property
    def network(self) -> str:
        """CAIP-2."""
        return f"eip155:{self.method_details.chain_id}"


class AuthorizationPayload(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """The payload of a credential: integers decimal, nonce and signature `0x` and hex."""

    type: str
    from_: str = msgspec.field(name="from")
    to: str
    value: str
    valid_after: str
    valid_before: str
    nonce: str
    signature: str


_payload: Final = msgspec.json.Decoder(AuthorizationPayload)


def read_request(challenge: Challenge) -> ChargeRequest:
    """What a challenge of this method asks. MalformedPaymentError when it can't be read, or asks for more than a plain
    authorization gives."""
    try:
        request = msgspec.convert(decode_object(challenge.request), ChargeRequest)
    except msgspec.ValidationError:
        raise MalformedPaymentError("the charge can't be read") from None
    details = request.method_details
    if AUTHORIZATION_TYPE not in details.credential_types:
        raise MalformedPaymentError("the charge does not take an authorization")
    if details.splits or details.fee_payer:
        raise MalformedPaymentError("the charge wants splits or a paid fee")
    if details.chain_id < 1:
        raise MalformedPaymentError("the charge names no chain")
    return request


def write_request(offer: PaymentRequirements, decimals: int) -> str:
    """The `request` of a challenge for an offer of x402's scheme `exact`."""
    chain_id = chain_id_of(offer.network)
    assert chain_id is not None  # the offer is one of ours
    details: JsonObject = {"chainId": chain_id, "credentialTypes": [AUTHORIZATION_TYPE], "decimals": decimals}
    return encode_object(
        {"amount": offer.amount, "currency": offer.asset, "recipient": offer.pay_to, "methodDetails": details}
    )


def challenge_nonce(challenge: Challenge) -> bytes:
    """The nonce of the authorization that pays this challenge."""
    return keccak256(_encode([challenge.id, challenge.realm]))


def payload_of(authorization: TransferAuthorization, signature: bytes) -> Raw:
    """The payload of a credential."""
    return to_raw(
        AuthorizationPayload(
            type=AUTHORIZATION_TYPE,
            from_=authorization.from_address,
            to=authorization.to_address,
            value=str(authorization.value_atomic),
            valid_after=str(authorization.valid_after_s),
            valid_before=str(authorization.valid_before_s),
            nonce="0x" + authorization.nonce.hex(),
            signature="0x" + signature.hex(),
        )
    )


def source_of(authorization: TransferAuthorization) -> str:
    """The payer as a DID (did:pkh)."""
    return f"did:pkh:{authorization.network}:{authorization.from_address}"


def as_x402(
    payload: Raw, source: str | None, *, challenge: Challenge, accepted: bytes, expires_s: int
) -> PaymentPayload:
    """The credential's payload as an x402 payment of `accepted`. MalformedPaymentError when it can't be read, or is not
    this challenge's: it must bear its nonce, and must not outlive it, so that an expired challenge needs no check of its own
    (a payment that can't be settled for SETTLING_MARGIN_S more is refused as too late)."""
    try:
        read = _payload.decode(payload)
    except (msgspec.DecodeError, RecursionError):
        raise MalformedPaymentError("The payload is no authorization.") from None
    if read.type != AUTHORIZATION_TYPE:
        raise MalformedPaymentError("The payload is no authorization.")
    if read.nonce.lower() != "0x" + challenge_nonce(challenge).hex():
        raise MalformedPaymentError("The authorization was not made for this challenge.")
    if read_uint(read.valid_before, "validBefore") > expires_s + SETTLING_MARGIN_S:
        raise MalformedPaymentError("The authorization outlives its challenge.")
    if source is not None:
        _check_source(source, read.from_, challenge)
    fields = ExactEvmAuthorization(
        from_=read.from_,
        to=read.to,
        value=read.value,
        valid_after=read.valid_after,
        valid_before=read.valid_before,
        nonce=read.nonce,
    )
    return PaymentPayload(
        x402_version=X402_VERSION,
        accepted=Raw(accepted),
        payload=to_raw(ExactEvmPayload(signature=read.signature, authorization=fields)),
    )


def _check_source(source: str, payer: str, challenge: Challenge) -> None:
    prefix = f"did:pkh:{read_request(challenge).network}:"
    named = source.removeprefix(prefix)
    if named == source or read_address(named, "source") != read_address(payer, "from"):
        raise MalformedPaymentError("The credential's source is not who signed.")


__all__ = [
    "EXACT",
    "INTENT",
    "METHOD",
    "AuthorizationPayload",
    "ChargeRequest",
    "as_x402",
    "challenge_nonce",
    "payload_of",
    "read_request",
    "source_of",
    "write_request",
]
