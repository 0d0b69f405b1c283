"""What a facilitator does (life.haima.facilitator.self_hosted)."""

from __future__ import annotations

from life.haima.events.charges import Claimed
from life.haima.events.finance_event import FinanceEvent


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
    valid_after_s: int
    valid_before_s: int
    nonce: str
    signature: str


class SettlementPrepared(Claimed, frozen=True, kw_only=True):
    """The settling transaction exists and is about to leave. Its hash finds it again, its bytes can be sent again."""

    network: str
    transaction: str
    raw_transaction: str
    account_nonce: int | None = None


class SettlementConfirmed(Claimed, frozen=True, kw_only=True):
    """The chain holds exactly this transfer."""

    transaction: str
    network: str
    payer: str
    amount_atomic: str
    amount_micro: int | None = None
    block_number: int | None = None
    latency_ms: int | None = None


class SettlementFailed(Claimed, frozen=True, kw_only=True):
    """This attempt moved nothing and never will. `sent` is False when the chain did not even take it (the gas account
    was empty, for example): then another attempt may follow."""

    reason: str
    network: str
    transaction: str = ""
    sent: bool = True


class SettlementRefused(FinanceEvent, frozen=True, kw_only=True):
    """A properly signed payment that was refused before any gas was spent."""

    claim_key: str
    network: str
    payer: str
    amount_atomic: str
    reason: str
