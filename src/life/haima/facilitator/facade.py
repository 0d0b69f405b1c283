"""`POST /v1/facilitate`: the facilitator call of the Rust original's clients, over real verification and settlement.

Request and answer keep their fields (haima.md §3.5); `reason` keeps the old words where there was one, and `code` carries
x402's. The original invented payer, payee and hash; here they come from the signed payment and the chain. The terms are
those that the payer accepted in the header; `amount_micro_usd` must be their amount, and `resource_url`, when the payment
names a resource, must be that one. `facilitator_fee_bps` is what the facilitator says it charges; it is never taken out of the
payment (life.haima.facilitator.fees).
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Final, Literal

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.money import atomic_to_micro
from life.aios.ports.clock import Clock
from life.aios.record import format_timestamp
from life.haima.errors import (
    FacilitatorUnavailableError,
    MalformedPaymentError,
    OutcomeUnknownError,
    PaymentRefusedError,
)
from life.haima.facilitator.fees import FEE_BPS
from life.haima.facilitator.port import Facilitator
from life.haima.x402 import codes, exact
from life.haima.x402.networks import BUILT_IN, NetworkRegistry
from life.haima.x402.wire import PaymentPayload, SettlementResponse, decode_payment_signature, read_resource

CreditCheck = Callable[[str, int, str], Awaitable[bool]]
"""Whether an agent (its id) may have this amount (micro-USD) settled; asked before anything is settled. The third argument
names the payment (SHA-256, hex, of its header): asking for the same payment again is not another exposure (W17)."""

_OLD_WORDS: Final = {
    codes.INVALID_PAYLOAD: "invalid_header",
    codes.UNSUPPORTED_SCHEME: "unsupported_scheme",
    codes.INVALID_NETWORK: "unsupported_network",
    codes.INVALID_SIGNATURE: "invalid_signature",
}
"""x402's code to the original's reason (haima.md §3.7)."""


class FacilitateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`payment_header` is the value of PAYMENT-SIGNATURE."""

    payment_header: str
    resource_url: str
    amount_micro_usd: int
    agent_id: str | None = None


class SettlementReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """What was settled. `chain` is the network's CAIP-2 name, `settled_at` RFC 3339."""

    tx_hash: str
    payer: str
    payee: str
    amount_micro_usd: int
    chain: str
    settled_at: str


class FacilitateAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`settled` (HTTP 200), `pending` (202: ask again with the same request) or `rejected` (402)."""

    status: Literal["settled", "rejected", "pending"]
    receipt: SettlementReceipt | None = None
    facilitator_fee_bps: int | None = None
    reason: str | None = None
    code: str | None = None
    details: str | None = None
    transaction: str | None = None


STATUS: Final = {"settled": 200, "pending": 202, "rejected": 402}
"""HTTP status of each answer (haima.md §4.2)."""


async def facilitate(
    request: FacilitateRequest,
    facilitator: Facilitator,
    clock: Clock,
    *,
    registry: NetworkRegistry = BUILT_IN,
    credit_check: CreditCheck | None = None,
) -> FacilitateAnswer:
    """Settle the payment in the header. Never raises for what the payment or the chain is like."""
    try:
        payload = decode_payment_signature(request.payment_header)
        amount_micro = _amount_micro(payload, registry)
    except MalformedPaymentError as error:
        return _rejected(codes.INVALID_PAYLOAD, error.message)
    except PaymentRefusedError as error:
        return _rejected(error.reason, error.message)
    if amount_micro != request.amount_micro_usd:
        return _rejected(codes.VALUE_MISMATCH, "amount_micro_usd is not the amount that the payer accepted.")
    resource = read_resource(payload.resource)
    if resource is not None and resource.url != request.resource_url:
        return _rejected(codes.INVALID_PAYMENT_REQUIREMENTS, "The payment was made for another resource.")
    agent_id, may = request.agent_id, credit_check or _anybody_may
    if agent_id is not None and not await may(agent_id, amount_micro, _name(request)):
        return _rejected("insufficient_credit", "The agent's credit does not cover this amount.")
    return await _settle(payload, amount_micro, facilitator, clock)


async def _settle(
    payload: PaymentPayload, amount_micro: int, facilitator: Facilitator, clock: Clock
) -> FacilitateAnswer:
    terms = payload.requirements()
    try:
        settled = await facilitator.settle(payload, terms)
    except (OutcomeUnknownError, FacilitatorUnavailableError) as error:
        return FacilitateAnswer(
            status="pending", reason="pending", code=codes.SETTLEMENT_PENDING, details=error.message
        )
    if settled.success:
        receipt = SettlementReceipt(
            tx_hash=settled.transaction,
            payer=settled.payer or "",
            payee=terms.pay_to,
            amount_micro_usd=amount_micro,
            chain=terms.network,
            settled_at=format_timestamp(clock.now_us()),
        )
        return FacilitateAnswer(status="settled", receipt=receipt, facilitator_fee_bps=_fee_bps(settled))
    if settled.error_reason == codes.SETTLEMENT_PENDING:
        return FacilitateAnswer(
            status="pending", reason="pending", code=codes.SETTLEMENT_PENDING, transaction=settled.transaction
        )
    return _rejected(settled.error_reason or codes.UNEXPECTED_SETTLE_ERROR, settled.error_message or "")


def _fee_bps(settled: SettlementResponse) -> int:
    """The fee that a settlement's answer discloses; 0 when it discloses none."""
    bps = (settled.extra or {}).get(FEE_BPS)
    return bps if isinstance(bps, int) else 0


def _amount_micro(payload: PaymentPayload, registry: NetworkRegistry) -> int:
    """The accepted amount in micro-USD, for tokens whose decimals are known."""
    terms = payload.requirements()
    if terms.scheme != exact.SCHEME:
        raise PaymentRefusedError(codes.UNSUPPORTED_SCHEME)
    token = registry.token(terms.network, terms.asset)
    if token is None:
        raise PaymentRefusedError(codes.INVALID_PAYMENT_REQUIREMENTS, "This token's value in dollars is not known.")
    if not terms.amount.isascii() or not terms.amount.isdecimal() or len(terms.amount) > 78:
        raise MalformedPaymentError("The accepted amount is not a decimal number.")
    try:
        return atomic_to_micro(int(terms.amount), token.decimals)
    except InvalidInputError as error:
        raise PaymentRefusedError(codes.INVALID_PAYMENT_REQUIREMENTS, error.message) from None


async def _anybody_may(_agent_id: str, _amount_micro: int, _payment: str) -> bool:
    return True


def _name(request: FacilitateRequest) -> str:
    return hashlib.sha256(request.payment_header.encode()).hexdigest()


def _rejected(code: str, details: str) -> FacilitateAnswer:
    return FacilitateAnswer(status="rejected", reason=_OLD_WORDS.get(code, code), code=code, details=details)
