"""The schemes that are spoken here, by name: `exact` (EIP-3009 or Permit2) and `upto` (Permit2).

Sellers and facilitators read and check payments through these four functions and need not know the schemes apart. `settling`
says that the terms' amount is what is charged: only `upto` tells that from what was signed.
"""

from __future__ import annotations

from typing import Final

from life.aios.ports.chain import Refusal
from life.haima.errors import PaymentRefusedError
from life.haima.x402 import codes, exact, svm, upto
from life.haima.x402.authorization import SignedAuthorization, is_uint, scheme_of
from life.haima.x402.networks import BUILT_IN, NetworkRegistry, is_solana
from life.haima.x402.svm import SignedPayment
from life.haima.x402.wire import PaymentPayload, PaymentRequirements

SCHEMES: Final = (exact.SCHEME, upto.SCHEME)


def parse(
    payload: PaymentPayload, requirements: PaymentRequirements, *, registry: NetworkRegistry = BUILT_IN
) -> SignedAuthorization:
    """Read a payment against the terms it must fulfil. MalformedPaymentError for what is no payment, PaymentRefusedError
    (with a code) for one that is for something else."""
    if requirements.scheme == upto.SCHEME:
        return upto.parse_upto(payload, requirements, registry=registry)
    return exact.parse_exact(payload, requirements, registry=registry)


def parse_matched(
    payload: PaymentPayload, requirements: PaymentRequirements, *, registry: NetworkRegistry = BUILT_IN
) -> SignedPayment:
    """The same for a payment whose `accepted` was found equal to these terms (`Offer.matches`): it is not read again. On
    Solana a payment is checked against its terms at once."""
    if is_solana(requirements.network):
        return svm.read_transfer(payload, requirements)
    if requirements.scheme == upto.SCHEME:
        return upto.parse_matched(payload, requirements, registry=registry)
    return exact.parse_matched(payload, requirements, registry=registry)


def verify_offline(
    signed: SignedPayment,
    requirements: PaymentRequirements,
    *,
    now_s: int,
    contracts: bool = False,
    settling: bool = False,
) -> Refusal | None:
    """Everything about a payment that can be told without a chain. With `contracts` signatures that are not a plain key's
    are left for the chain to judge; see `exact.verify_offline`."""
    if signed.scheme != requirements.scheme:
        return Refusal(codes.UNSUPPORTED_SCHEME, "The payment is one of another scheme.")
    if isinstance(signed, svm.SignedSolanaTransfer):
        return None  # `parse_matched` has seen to it
    if requirements.scheme == upto.SCHEME:
        return upto.verify_offline(signed, requirements, now_s=now_s, contracts=contracts, settling=settling)
    return exact.verify_offline(signed, requirements, now_s=now_s, contracts=contracts)


def charged_atomic(signed: SignedAuthorization, requirements: PaymentRequirements) -> int | None:
    """What these terms charge of an `upto` payment, in atomic units; None for `exact`, which moves what was signed.

    Ask after `verify_offline` with `settling`. PaymentRefusedError when the amount is no number.
    """
    if scheme_of(signed.authorization) != upto.SCHEME:
        return None
    if not is_uint(requirements.amount):
        raise PaymentRefusedError(codes.INVALID_PAYMENT_REQUIREMENTS, "The amount is not a decimal number.")
    return int(requirements.amount)
