"""Scheme `exact` on EVM: reading and checking a payment without a chain (x402.md §1, §3.1, §3.2).

The payer pays exactly the amount that is asked, by EIP-3009 or by Permit2. A verifier's steps 1 to 6 are here: scheme and
network, token domain, recipient, value, window, signature. What needs a chain (code at the token, a contract's signature,
funds, the nonce's state, the dry run) is asked of the `Chain` port.
"""

from __future__ import annotations

from typing import Final

from life.aios.ports.chain import Refusal
from life.aios.ports.custody import PermitTransfer, TransferAuthorization
from life.haima.errors import MalformedPaymentError, PaymentRefusedError
from life.haima.x402 import codes, permit2
from life.haima.x402.authorization import (
    EXACT,
    SETTLING_MARGIN_S,
    SignedAuthorization,
    build_payload,
    check_signature,
    claim_key,
    digest,
    domain_separator,
    is_uint,
    read_address,
    read_hex,
    read_signature,
    read_uint,
)
from life.haima.x402.networks import BUILT_IN, NetworkRegistry
from life.haima.x402.wire import (
    EvmPayload,
    ExactEvmAuthorization,
    PaymentPayload,
    PaymentRequirements,
    decode_evm_payload,
)

SCHEME: Final = EXACT


def parse_exact(
    payload: PaymentPayload, requirements: PaymentRequirements, *, registry: NetworkRegistry = BUILT_IN
) -> SignedAuthorization:
    """Read a payment against the terms it must fulfil (steps 1 and 2, and the shape of everything else).

    MalformedPaymentError for what is no such payment; PaymentRefusedError for another scheme, network or transfer method, or
    an unknown domain.
    """
    accepted = payload.requirements()
    if accepted.scheme != SCHEME or requirements.scheme != SCHEME:
        raise PaymentRefusedError(codes.UNSUPPORTED_SCHEME)
    if accepted.network != requirements.network:
        raise PaymentRefusedError(codes.NETWORK_MISMATCH)
    return parse_matched(payload, requirements, registry=registry)


def parse_matched(
    payload: PaymentPayload, requirements: PaymentRequirements, *, registry: NetworkRegistry = BUILT_IN
) -> SignedAuthorization:
    """The same for a payment whose `accepted` was found equal to these terms (`Offer.matches`): it is not read again."""
    if requirements.scheme != SCHEME:
        raise PaymentRefusedError(codes.UNSUPPORTED_SCHEME)
    content = decode_evm_payload(payload.payload)
    permit2.check_method(content, requirements)
    if content.permit2_authorization is not None:
        return permit2.read(payload, content, requirements, registry=registry, upto=False)
    assert content.authorization is not None  # decode_evm_payload has seen to it
    return _read(content, content.authorization, requirements, registry)


def verify_offline(
    signed: SignedAuthorization, requirements: PaymentRequirements, *, now_s: int, contracts: bool = False
) -> Refusal | None:
    """Steps 3 to 6: recipient, value, window and signature. None when the chain may be asked.

    With `contracts` a signature that is not the payer's own key's passes, for the chain to judge by ERC-1271; without, only
    plain keys can pay, and None means that the signature is good.
    """
    authorization = signed.authorization
    if isinstance(authorization, PermitTransfer):
        if authorization.facilitator is not None:
            return Refusal(codes.UNSUPPORTED_SCHEME, "The payment is one of scheme upto.")
        return permit2.verify_offline(signed, authorization, requirements, now_s=now_s, contracts=contracts)
    if authorization.to_address.lower() != requirements.pay_to.lower():
        return Refusal(codes.RECIPIENT_MISMATCH, "The payment goes to somebody else.")
    if not is_uint(requirements.amount) or authorization.value_atomic != int(requirements.amount):
        return Refusal(codes.VALUE_MISMATCH, "The payment is not exactly the amount that is asked.")
    if authorization.valid_before_s < now_s + SETTLING_MARGIN_S:
        return Refusal(codes.VALID_BEFORE, "The payment has expired or is about to.")
    if authorization.valid_after_s > now_s:
        return Refusal(codes.VALID_AFTER, "The payment is not valid yet.")
    return check_signature(signed, code=codes.INVALID_SIGNATURE, contracts=contracts)


def _read(
    content: EvmPayload, fields: ExactEvmAuthorization, requirements: PaymentRequirements, registry: NetworkRegistry
) -> SignedAuthorization:
    domain = registry.domain(requirements)
    payer = read_address(fields.from_, "from")
    nonce = read_hex(fields.nonce)
    if nonce is None or len(nonce) != 32:
        raise MalformedPaymentError("The nonce is not 0x and 64 hex digits.")
    authorization = TransferAuthorization(
        network=requirements.network,
        asset=read_address(domain.contract, "asset"),
        token_name=domain.name,
        token_version=domain.version,
        from_address=payer,
        to_address=read_address(fields.to, "to"),
        value_atomic=read_uint(fields.value, "value"),
        valid_after_s=read_uint(fields.valid_after, "validAfter"),
        valid_before_s=read_uint(fields.valid_before, "validBefore"),
        nonce=nonce,
    )
    return SignedAuthorization(authorization, read_signature(content.signature), payer, claim_key(authorization))


__all__ = [
    "SCHEME",
    "SETTLING_MARGIN_S",
    "SignedAuthorization",
    "build_payload",
    "claim_key",
    "digest",
    "domain_separator",
    "parse_exact",
    "parse_matched",
    "read_address",
    "verify_offline",
]
