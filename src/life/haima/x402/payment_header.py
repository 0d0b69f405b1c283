"""The header that carries a reserved payment: the same payment always gives the same bytes.

    version 2    PAYMENT-SIGNATURE    the offer verbatim, the payload, the echo of resource and extensions
    version 1    X-PAYMENT            scheme, the network's name as the seller spelt it, the payload (x402.md §9)
    MPP          Authorization        the challenge verbatim, the payload (life.haima.mpp)

On Solana the payload is the reserved transaction with the payer's signature (version 2 only).

A Permit2 payment may bring the allowance that it needs as an EIP-2612 permit, where the seller offers to send it along
(extension `eip2612GasSponsoring`, x402.md §5).
"""

from __future__ import annotations

import binascii
from typing import Final

import msgspec
from msgspec import Raw, UnsetType

from life.aios.ports.custody import PaymentAuthorization, TokenPermit, TransferAuthorization
from life.crypto.permit2 import PERMIT2
from life.haima.events import PaymentReserved
from life.haima.mpp.challenge import PAYMENT_AUTHORIZATION
from life.haima.mpp.client import RAIL, credential_header, credential_name
from life.haima.reservations import authorization_of
from life.haima.x402.authorization import build_payload
from life.haima.x402.wire import (
    EIP2612_GAS_SPONSORING,
    PAYMENT_RESPONSE,
    PAYMENT_SIGNATURE,
    X402_VERSION,
    GasSponsoringInfo,
    PaymentPayload,
    encode_header,
    present,
    to_raw,
)

X_PAYMENT: Final = "X-PAYMENT"
X_PAYMENT_RESPONSE: Final = "X-PAYMENT-RESPONSE"

SIGNATURE_HEADERS: Final = (PAYMENT_SIGNATURE, X_PAYMENT, PAYMENT_AUTHORIZATION)
SETTLEMENT_HEADERS: Final = (PAYMENT_RESPONSE, X_PAYMENT_RESPONSE)
"""Where a payment goes and where its settlement comes back, newest version first."""

_raw_parts: Final = msgspec.json.Decoder(dict[str, Raw])
_encoder: Final = msgspec.json.Encoder()


class _PaymentV1(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    x402_version: int
    scheme: str
    network: Raw
    payload: Raw


class _Transfer(msgspec.Struct, frozen=True):
    """A payment on Solana."""

    transaction: str


def header_name(reserved: PaymentReserved) -> str:
    """The header that the seller of this payment reads."""
    if reserved.rail == RAIL:
        return credential_name(reserved.accepted)
    return X_PAYMENT if reserved.x402_version == 1 else PAYMENT_SIGNATURE


def payment_header(
    reserved: PaymentReserved,
    signature: bytes,
    allowance_signature: bytes | None = None,
    *,
    authorization: PaymentAuthorization | None = None,
) -> str:
    """The header's value. `allowance_signature`: over `allowance_of(reserved)`, when the payment brings one."""
    if reserved.rail == RAIL:
        signed = authorization_of(reserved) if authorization is None else authorization
        assert isinstance(signed, TransferAuthorization)  # challenges are paid by nothing else
        return credential_header(reserved.accepted, signed, signature)
    extensions = reserved.extensions
    if allowance_signature is not None:
        extensions = _with_allowance(extensions, reserved, allowance_signature)
    if reserved.transaction is not None:
        return encode_header(_transfer_payload(reserved, signature))
    payload = build_payload(
        reserved.accepted,
        authorization_of(reserved) if authorization is None else authorization,
        signature,
        resource=reserved.resource,
        extensions=extensions,
    )
    if reserved.x402_version != 1:
        return encode_header(payload)
    network = _raw_parts.decode(reserved.accepted)["network"]
    older = _PaymentV1(x402_version=1, scheme=reserved.scheme, network=network, payload=payload.payload)
    return binascii.b2a_base64(_encoder.encode(older), newline=False).decode("ascii")


def _transfer_payload(reserved: PaymentReserved, signature: bytes) -> PaymentPayload:
    from life.haima.solana.paying import signed_transaction

    return PaymentPayload(
        x402_version=X402_VERSION,
        accepted=reserved.accepted,
        payload=to_raw(_Transfer(signed_transaction(reserved, signature))),
        resource=reserved.resource,
        extensions=reserved.extensions,
    )


def offers_gas_sponsoring(extensions: Raw | UnsetType) -> bool:
    """Whether the seller would send an EIP-2612 permit along."""
    content = present(extensions)
    if content is None or EIP2612_GAS_SPONSORING.encode() not in content:
        return False
    try:
        return EIP2612_GAS_SPONSORING in _raw_parts.decode(content)
    except msgspec.DecodeError:
        return False


def allowance_of(reserved: PaymentReserved) -> TokenPermit | None:
    """The EIP-2612 permit that goes with a payment, for exactly its amount and time; None when it brings none."""
    if reserved.allowance_nonce is None:
        return None
    return TokenPermit(
        network=reserved.network,
        asset=reserved.asset,
        token_name=reserved.token_name,
        token_version=reserved.token_version,
        from_address=reserved.wallet,
        spender=PERMIT2,
        value_atomic=int(reserved.amount_atomic),
        nonce=reserved.allowance_nonce,
        deadline_s=reserved.valid_before_s - 1,
        reservation_id=reserved.payment_id,
    )


def _with_allowance(extensions: Raw | UnsetType, reserved: PaymentReserved, signature: bytes) -> Raw:
    """The echo with the signed allowance added to what the seller advertised."""
    permit = allowance_of(reserved)
    assert permit is not None  # it was signed
    ours = GasSponsoringInfo(
        from_=permit.from_address,
        asset=permit.asset,
        spender=permit.spender,
        amount=str(permit.value_atomic),
        nonce=str(permit.nonce),
        deadline=str(permit.deadline_s),
        signature="0x" + signature.hex(),
        version="1",
    )
    parts = _raw_parts.decode(present(extensions) or b"{}")
    extension = _object(parts.get(EIP2612_GAS_SPONSORING))
    info = _object(extension.get("info"))
    for name, value in _raw_parts.decode(_encoder.encode(ours)).items():
        info.setdefault(name, value)  # the seller's own fields stay as they are
    info["version"] = info.get("version", Raw(b'"1"'))
    extension["info"] = Raw(_encoder.encode(info))
    parts[EIP2612_GAS_SPONSORING] = Raw(_encoder.encode(extension))
    return Raw(_encoder.encode(parts))


def _object(raw: Raw | None) -> dict[str, Raw]:
    try:
        return {} if raw is None else _raw_parts.decode(raw)
    except msgspec.DecodeError:
        return {}
