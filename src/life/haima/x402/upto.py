"""Scheme `upto` on EVM: a signed maximum, of which the seller charges what the request came to (x402.md §3.3).

The payer signs a Permit2 permit for the maximum, bound to one facilitator. At /verify the terms' `amount` is the maximum; at
/settle it is what is charged, from 0 to the maximum. A charge of 0 moves nothing and burns no nonce on chain, so that one
authorization settles once is the facilitator's and the seller's own book-keeping.
"""

from __future__ import annotations

from typing import Final

from life.aios.ports.chain import Refusal
from life.aios.ports.custody import PermitTransfer
from life.haima.errors import PaymentRefusedError
from life.haima.x402 import codes, permit2
from life.haima.x402.authorization import UPTO, SignedAuthorization
from life.haima.x402.networks import BUILT_IN, NetworkRegistry
from life.haima.x402.wire import PaymentPayload, PaymentRequirements, decode_evm_payload

SCHEME: Final = UPTO
FACILITATOR_KEY: Final = "facilitatorAddress"
"""In `extra` of an offer and of a kind in /supported: the account that may carry the payment out."""


def parse_upto(
    payload: PaymentPayload, requirements: PaymentRequirements, *, registry: NetworkRegistry = BUILT_IN
) -> SignedAuthorization:
    """Read a payment against its terms. Errors as in `exact.parse_exact`."""
    accepted = payload.requirements()
    if accepted.scheme != SCHEME or requirements.scheme != SCHEME:
        raise PaymentRefusedError(codes.UNSUPPORTED_SCHEME)
    if accepted.network != requirements.network:
        raise PaymentRefusedError(codes.NETWORK_MISMATCH)
    return parse_matched(payload, requirements, registry=registry)


def parse_matched(
    payload: PaymentPayload, requirements: PaymentRequirements, *, registry: NetworkRegistry = BUILT_IN
) -> SignedAuthorization:
    """The same for a payment whose `accepted` was found equal to these terms: it is not read again."""
    if requirements.scheme != SCHEME:
        raise PaymentRefusedError(codes.UNSUPPORTED_SCHEME)
    content = decode_evm_payload(payload.payload)
    permit2.check_method(content, requirements)
    return permit2.read(payload, content, requirements, registry=registry, upto=True)


def verify_offline(
    signed: SignedAuthorization,
    requirements: PaymentRequirements,
    *,
    now_s: int,
    contracts: bool = False,
    settling: bool = False,
) -> Refusal | None:
    """Facilitator, recipient, window, amount and signature. `settling`: the terms' amount is the charge, not the maximum.

    `contracts` as in `exact.verify_offline`. Terms that name a facilitator must name the one that was signed.
    """
    authorization = signed.authorization
    if not isinstance(authorization, PermitTransfer) or authorization.facilitator is None:
        return Refusal(codes.UNSUPPORTED_SCHEME, "The payment is not one of scheme upto.")
    named = requirements.extra_text(FACILITATOR_KEY)
    if named is not None and named.lower() != authorization.facilitator.lower():
        return Refusal(codes.UPTO_FACILITATOR_MISMATCH, "The payment was signed for another facilitator.")
    return permit2.verify_offline(
        signed, authorization, requirements, now_s=now_s, contracts=contracts, at_most=settling
    )
