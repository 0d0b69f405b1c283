"""What a facilitator does (life.haima.facilitator)."""

from __future__ import annotations

from typing import Literal

import msgspec

from life.haima.events.charges import Claimed
from life.haima.events.finance_event import FinanceEvent


class SettlementAllowance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The EIP-2612 permit that came with a Permit2 payment, of the same amount. `signature` is `0x` and hex."""

    nonce: str
    deadline_s: int
    signature: str


class SettlementIntended(FinanceEvent, frozen=True, kw_only=True):
    """A payment passed every check and is going to be settled. Holds the whole authorization, so that the settlement can
    be finished after a crash."""

    claim_key: str
    payment_id: str
    network: str
    asset: str
    token_name: str
    token_version: str
    payer: str
    payee: str
    amount_atomic: str
    """What was signed; of an `upto` payment the maximum."""
    valid_after_s: int
    valid_before_s: int
    """Of a permit the second after its deadline."""
    nonce: str
    """`0x` and 64 hex digits."""
    signature: str
    method: Literal["eip3009", "permit2"] = "eip3009"
    facilitator: str | None = None
    """The account that an `upto` payment names; None is scheme `exact`."""
    charged_atomic: str | None = None
    """What is charged of an `upto` payment; None for `exact`."""
    allowance: SettlementAllowance | None = None


class SettlementPrepared(Claimed, frozen=True, kw_only=True):
    """The settling transaction exists and is about to leave. Its hash finds it again, its bytes can be sent again."""

    network: str
    transaction: str
    raw_transaction: str
    account_nonce: int | None = None


class SettlementRepriced(Claimed, frozen=True, kw_only=True):
    """The transaction waited too long; this one has its account nonce and higher fees, and is about to leave. Whichever of
    the two is executed, the other never is."""

    number: int
    """From 0, how often this attempt was repriced before."""
    network: str
    transaction: str
    raw_transaction: str
    account_nonce: int | None = None


class SettlementConfirmed(Claimed, frozen=True, kw_only=True):
    """The chain holds exactly this transfer. A charge of 0 has no transaction."""

    transaction: str
    network: str
    payer: str
    amount_atomic: str
    """What moved."""
    amount_micro: int | None = None
    block_number: int | None = None
    block_hash: str | None = None
    latency_ms: int | None = None


class SettlementFailed(Claimed, frozen=True, kw_only=True):
    """This attempt moved nothing and never will. `sent` is False when the chain did not even take it (the gas account
    was empty, for example): then another attempt may follow."""

    reason: str
    network: str
    transaction: str = ""
    sent: bool = True


class SettlementReopened(Claimed, frozen=True, kw_only=True):
    """The block that held this confirmed attempt was taken back by the chain: the money has not moved, and the next attempt
    begins with the same transaction."""

    transaction: str
    network: str
    block_number: int | None = None


class SettlementRefused(FinanceEvent, frozen=True, kw_only=True):
    """A properly signed payment that was refused before any gas was spent."""

    claim_key: str
    network: str
    payer: str
    amount_atomic: str
    reason: str


class FacilitatorFeeAccrued(FinanceEvent, frozen=True, kw_only=True):
    """The payee owes the facilitator its published fee for a settlement, rounded down. It can't be taken out of the payment,
    because the payer signed the payee's exact amount; it is a receivable, due by invoice. One per payment, written together with
    its confirmation."""

    claim_key: str
    payment_id: str
    payee: str
    network: str
    asset: str
    amount_atomic: str
    """What the fee is a part of."""
    fee_bps: int
    fee_atomic: str
    fee_micro: int | None = None
    """Micro-dollars; None for a token whose value is not known."""


class FacilitatorFeeWaived(FinanceEvent, frozen=True, kw_only=True):
    """A settlement for which a fee was due was taken back by the chain and failed in the end: nothing is owed."""

    claim_key: str
    payment_id: str
    payee: str
    network: str
    asset: str
    fee_atomic: str
    fee_micro: int | None = None
