"""Payments by Permit2, for tokens without EIP-3009: reading and checking them without a chain (x402.md §3.2, §3.3).

A permit lets one of x402's proxies pull the payer's tokens and carries, as a signed witness, who gets them. Both schemes use
it: `exact` through the exact proxy for exactly the permitted amount, `upto` through the upto proxy for at most it and only by
the facilitator that the witness names. The payer's allowance for Permit2 is the chain's business, or comes along as an
EIP-2612 permit (extension `eip2612GasSponsoring`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from life.aios.ports.chain import Refusal, SignedPermit
from life.aios.ports.custody import PermitTransfer, TokenPermit
from life.crypto.permit2 import EXACT_PROXY, PERMIT2, UPTO_PROXY
from life.haima.errors import MalformedPaymentError, PaymentRefusedError
from life.haima.x402 import codes
from life.haima.x402.authorization import (
    SETTLING_MARGIN_S,
    SignedAuthorization,
    check_signature,
    claim_key,
    is_uint,
    read_address,
    read_signature,
    read_uint,
)
from life.haima.x402.networks import NetworkRegistry, chain_id_of
from life.haima.x402.wire import (
    EIP2612_GAS_SPONSORING,
    EvmPayload,
    GasSponsoringInfo,
    PaymentPayload,
    PaymentRequirements,
    Permit2Authorization,
    present,
    read_extensions,
)

METHOD: Final = "permit2"
"""`extra.assetTransferMethod` of an offer that is paid by Permit2."""
EIP3009: Final = "eip3009"
METHOD_KEY: Final = "assetTransferMethod"
"""In `extra` of an offer."""


def transfer_method(requirements: PaymentRequirements) -> str:
    """How an offer wants to be paid: `eip3009` unless it says otherwise; scheme `upto` knows Permit2 only."""
    return requirements.extra_text(METHOD_KEY) or (METHOD if requirements.scheme == "upto" else EIP3009)


def check_method(content: EvmPayload, requirements: PaymentRequirements) -> None:
    """PaymentRefusedError when the terms name a transfer method and the payment uses another one. Terms that name none
    take either (x402.md §1, haima.md §3.7)."""
    wanted = requirements.extra_text(METHOD_KEY)
    used = METHOD if content.permit2_authorization is not None else EIP3009
    if wanted is not None and wanted != used:
        raise PaymentRefusedError(codes.INVALID_PAYLOAD, f"The terms ask for a payment by {wanted[:32]}.")


def read(
    payload: PaymentPayload,
    content: EvmPayload,
    requirements: PaymentRequirements,
    *,
    registry: NetworkRegistry,
    upto: bool,
) -> SignedAuthorization:
    """A Permit2 payment in one spelling. MalformedPaymentError for what is none, PaymentRefusedError for another spender or
    token, or a network that is no EVM network."""
    fields = content.permit2_authorization
    if fields is None:
        raise PaymentRefusedError(codes.INVALID_PAYLOAD, "Scheme upto is paid by Permit2 only.")
    if chain_id_of(requirements.network) is None:
        raise PaymentRefusedError(codes.INVALID_NETWORK, "The network is not an EVM network (eip155:<chain id>).")
    token = registry.token(requirements.network, requirements.asset)
    if token is not None:
        registry.domain(requirements)  # refuses a name or version that contradicts a known token
    asset = read_address(requirements.asset if token is None else token.address, "asset")
    spender = UPTO_PROXY if upto else EXACT_PROXY
    if read_address(fields.spender, "spender") != spender:
        raise PaymentRefusedError(codes.PERMIT2_SPENDER, "The permit is for another contract than x402's proxy.")
    if read_address(fields.permitted.token, "token") != asset:
        raise PaymentRefusedError(codes.PERMIT2_TOKEN_MISMATCH, "The permit is for another token.")
    authorization = _permit(fields, requirements.network, asset, spender, upto=upto)
    return SignedAuthorization(
        authorization,
        read_signature(content.signature),
        authorization.from_address,
        claim_key(authorization),
        _allowance(payload, authorization, requirements, registry),
    )


def verify_offline(
    signed: SignedAuthorization,
    permit: PermitTransfer,
    requirements: PaymentRequirements,
    *,
    now_s: int,
    contracts: bool,
    at_most: bool = False,
) -> Refusal | None:
    """Recipient, deadline, start, amount and signature, in this order. `at_most`: an amount below the permitted one is fine,
    as when an `upto` payment is settled."""
    if permit.to_address.lower() != requirements.pay_to.lower():
        return Refusal(codes.PERMIT2_RECIPIENT_MISMATCH, "The payment goes to somebody else.")
    if permit.deadline_s < now_s + SETTLING_MARGIN_S:
        return Refusal(codes.PERMIT2_DEADLINE_EXPIRED, "The payment has expired or is about to.")
    if permit.valid_after_s > now_s:
        return Refusal(codes.PERMIT2_NOT_YET_VALID, "The payment is not valid yet.")
    if not is_uint(requirements.amount):
        return Refusal(codes.PERMIT2_AMOUNT_MISMATCH, "The amount that is asked is no number.")
    asked = int(requirements.amount)
    if at_most and asked > permit.value_atomic:
        return Refusal(codes.UPTO_EXCEEDS_AMOUNT, "The charge is above the maximum that was signed.")
    if not at_most and asked != permit.value_atomic:
        return Refusal(codes.PERMIT2_AMOUNT_MISMATCH, "The payment is not exactly the amount that is asked.")
    allowance = signed.permit
    if allowance is not None and allowance.permit.deadline_s < now_s + SETTLING_MARGIN_S:
        return Refusal(codes.EIP2612_DEADLINE_EXPIRED, "The allowance that came with the payment has expired.")
    return check_signature(signed, code=codes.PERMIT2_INVALID_SIGNATURE, contracts=contracts)


def _permit(fields: Permit2Authorization, network: str, asset: str, spender: str, *, upto: bool) -> PermitTransfer:
    witness = fields.witness
    if upto and witness.facilitator is None:
        raise MalformedPaymentError("The witness of an upto payment names its facilitator.")
    if not upto and witness.facilitator is not None:
        raise MalformedPaymentError("The witness of an exact payment names no facilitator.")
    return PermitTransfer(
        network=network,
        asset=asset,
        from_address=read_address(fields.from_, "from"),
        to_address=read_address(witness.to, "to"),
        value_atomic=read_uint(fields.permitted.amount, "amount"),
        spender=spender,
        nonce=read_uint(fields.nonce, "nonce"),
        deadline_s=read_uint(fields.deadline, "deadline"),
        valid_after_s=read_uint(witness.valid_after, "validAfter"),
        facilitator=None if witness.facilitator is None else read_address(witness.facilitator, "facilitator"),
    )


def _allowance(
    payload: PaymentPayload, payment: PermitTransfer, requirements: PaymentRequirements, registry: NetworkRegistry
) -> SignedPermit | None:
    """The EIP-2612 permit that came along. One that is there and does not belong to this payment is refused, because the
    facilitator would pay gas for it."""
    if present(payload.extensions) is None:
        return None
    extension = read_extensions(payload.extensions).get(EIP2612_GAS_SPONSORING)
    info = extension.get("info") if extension is not None else None
    if not isinstance(info, Mapping) or "signature" not in info:
        return None  # the server's announcement, echoed
    try:
        read = msgspec.convert(dict(info), GasSponsoringInfo)
        owner, asset, spender = (
            read_address(text, "eip2612GasSponsoring") for text in (read.from_, read.asset, read.spender)
        )
        amount, nonce, deadline = (
            read_uint(text, "eip2612GasSponsoring") for text in (read.amount, read.nonce, read.deadline)
        )
        signature = read_signature(read.signature)
    except (msgspec.ValidationError, MalformedPaymentError):
        raise PaymentRefusedError(codes.EIP2612_FORMAT, "The allowance that came along can't be read.") from None
    for wrong, code in (
        (len(signature) != 65, codes.EIP2612_FORMAT),
        (owner != payment.from_address, codes.EIP2612_FROM_MISMATCH),
        (asset != payment.asset, codes.EIP2612_ASSET_MISMATCH),
        (spender != PERMIT2, codes.EIP2612_SPENDER),
        (amount != payment.value_atomic, codes.PERMIT2_2612_AMOUNT_MISMATCH),
    ):
        if wrong:
            raise PaymentRefusedError(code, "The allowance that came along is not one for this payment.")
    known = registry.token(payment.network, payment.asset)
    permit = TokenPermit(
        network=payment.network,
        asset=payment.asset,
        token_name=(known.name if known is not None else requirements.extra_text("name")) or "",
        token_version=(known.version if known is not None else requirements.extra_text("version")) or "",
        from_address=owner,
        spender=spender,
        value_atomic=amount,
        nonce=nonce,
        deadline_s=deadline,
    )
    return SignedPermit(permit, signature)
