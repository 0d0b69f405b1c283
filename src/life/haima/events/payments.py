"""What a payer does, and what it gets: from the terms to the settlement (haima.md §1.14, §1.19)."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Raw, UnsetType

from life.haima.events.finance_event import FinanceEvent


class _PaymentIds(FinanceEvent, frozen=True, kw_only=True):
    """Which payment, in whose name. Absent in journals of the Rust original."""

    payment_id: str | None = None
    session_id: str | None = None
    task_id: str | None = None
    wallet: str | None = None
    """The payer's address, EIP-55."""
    network: str | None = None
    """CAIP-2."""
    asset: str | None = None
    payee: str | None = None
    nonce: str | None = None
    """`0x` and 64 hex digits."""
    amount_atomic: str | None = None


class PaymentRequested(_PaymentIds, frozen=True, kw_only=True):
    """A resource asks for money."""

    resource_url: str
    amount_micro_credits: int
    token: str
    chain: str


class PaymentAuthorized(_PaymentIds, frozen=True, kw_only=True):
    """The policy agreed to a payment."""

    resource_url: str
    amount_micro_credits: int
    payer_address: str
    recipient_address: str


class PaymentAttempted(_PaymentIds, frozen=True, kw_only=True):
    """A payment was handed to a facilitator."""

    resource_url: str
    amount_micro_credits: int
    facilitator_url: str


class PaymentSettled(_PaymentIds, frozen=True, kw_only=True):
    """Money of ours moved. `tx_hash` is empty when the payee did not tell it."""

    tx_hash: str
    amount_micro_credits: int
    chain: str
    latency_ms: int
    facilitator: str
    source: Literal["payee", "chain", "operator"] | None = None
    """Who said so."""


class PaymentFailed(_PaymentIds, frozen=True, kw_only=True):
    """A payment was refused. The reservation stays until the authorization can no longer land."""

    resource_url: str
    amount_micro_credits: int
    reason: str


class RevenueReceived(_PaymentIds, frozen=True, kw_only=True):
    """Somebody paid us."""

    tx_hash: str
    amount_micro_credits: int
    payer_address: str
    resource_url: str | None = None


class PaymentReserved(FinanceEvent, frozen=True, kw_only=True):
    """The intent: on disk before any signature. It holds the whole authorization, so that a crash at any later point
    can only ever lead to this very payment and never to a second one."""

    payment_id: str
    purchase_id: str
    attempt: int
    """1, or one more than that of the last released payment of the same purchase."""
    request_key: str
    """SHA-256 (hex) of method, URL and body: which request this pays for."""
    wallet: str
    network: str
    asset: str
    token_name: str
    token_version: str
    payee: str
    amount_atomic: str
    amount_micro: int
    valid_after_s: int
    valid_before_s: int
    nonce: str
    resource_url: str
    """Where it goes, without user info, query and fragment: those may carry secrets."""
    accepted: Raw
    """The chosen offer, verbatim."""
    x402_version: int = 2
    """The version that the payee speaks; 1 is still paid (x402.md §9)."""
    rail: str = "x402"
    """`x402`, or `mpp`: then `accepted` holds the challenge that it pays (life.haima.mpp.client)."""
    scheme: str = "exact"
    """`exact`, or `upto`: then the amount is a maximum."""
    transfer_method: str = "eip3009"
    """`eip3009`, `permit2` or `solana`. A Permit2 nonce is the same 32 bytes, read as a number; on Solana the nonce is the
    SHA-256 of the message that is signed."""
    spender: str | None = None
    """The proxy that may carry out a Permit2 payment."""
    facilitator: str | None = None
    """The only account that may carry out an `upto` payment; on Solana the fee payer."""
    transaction: str | None = None
    """On Solana the whole payment: the unsigned transaction, base64."""
    last_valid_block_height: int | None = None
    """After this height the chain takes it no more."""
    from_slot: int | None = None
    """It can't have been executed before this slot."""
    allowance_nonce: int | None = None
    """With it the payment brings Permit2 its allowance: the token's count of our EIP-2612 permits."""
    resource: Raw | UnsetType = UNSET
    extensions: Raw | UnsetType = UNSET
    session_id: str | None = None
    task_id: str | None = None
    approval_id: str | None = None


class PaymentSigned(FinanceEvent, frozen=True, kw_only=True):
    """Custody signed the reserved authorization. The signature is no key, but whoever holds it can have it settled."""

    payment_id: str
    signature: str


class PaymentSubmitted(FinanceEvent, frozen=True, kw_only=True):
    """The payment left for the payee (`resend` from 1: the identical payment again)."""

    payment_id: str
    resend: int = 0


class PaymentClaimed(FinanceEvent, frozen=True, kw_only=True):
    """The payee says that it took less than an `upto` payment allows. The maximum keeps counting until nothing more can be
    taken: who signed a maximum has only the payee's word for what is left of it."""

    payment_id: str
    amount_atomic: str
    amount_micro: int
    tx_hash: str = ""


class PaymentCancelling(FinanceEvent, frozen=True, kw_only=True):
    """Its authorization is about to be burnt on the chain (EIP-3009 cancelAuthorization). From here on a nonce that is used
    may be one that was cancelled."""

    payment_id: str


class PayeeAlarm(FinanceEvent, frozen=True, kw_only=True):
    """A known seller wants its money elsewhere, or far more of it. `code` is `payee_changed` or `price_jumped`; whether
    it was paid all the same is another event's story."""

    code: str
    reason: str
    expected: str
    resource_url: str
    network: str
    asset: str
    payee: str
    amount_atomic: str
    amount_micro: int
    purchase_id: str | None = None
    session_id: str | None = None
    ticket_id: str | None = None


class PaymentAmbiguous(FinanceEvent, frozen=True, kw_only=True):
    """Nobody knows what became of it: a lost answer, a 5xx, a 2xx without settlement. It keeps counting."""

    payment_id: str
    reason: str


class PaymentDelivered(FinanceEvent, frozen=True, kw_only=True):
    """The paid answer was read to its end."""

    payment_id: str


class PaymentUndelivered(FinanceEvent, frozen=True, kw_only=True):
    """The paid answer broke off before its end; repeating the request resends this payment."""

    payment_id: str


class PaymentReleased(FinanceEvent, frozen=True, kw_only=True):
    """The reservation is over without a payment: never signed, or the authorization can no longer land."""

    payment_id: str
    reason: str


class PaymentDeclined(FinanceEvent, frozen=True, kw_only=True):
    """Our own policy said no; nothing was signed."""

    code: str
    reason: str
    resource_url: str
    network: str
    asset: str
    payee: str
    amount_atomic: str
    wallet: str | None = None
    purchase_id: str | None = None
    session_id: str | None = None
    task_id: str | None = None
