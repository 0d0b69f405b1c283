"""What a facilitator on Solana does (life.haima.solana.facilitator)."""

from __future__ import annotations

from life.haima.events.finance_event import FinanceEvent


class SolanaSettlementIntended(FinanceEvent, frozen=True, kw_only=True):
    """A payment passed every check, is signed by the fee payer and about to leave. The bytes can be sent again: the chain
    executes a transaction once. One per payment, for ever."""

    claim_key: str
    """Network and SHA-256 (hex) of the message, joined by '|'."""
    network: str
    asset: str
    payer: str
    payee: str
    amount_atomic: str
    transaction: str
    """Its id: the fee payer's signature, base58."""
    raw_transaction: str
    """Base64."""
    last_valid_block_height: int
    """After this height the chain takes the transaction no more."""


class SolanaSettlementConfirmed(FinanceEvent, frozen=True, kw_only=True):
    """The chain executed it without an error."""

    claim_key: str
    network: str
    transaction: str
    slot: int
    payer: str
    amount_atomic: str
    amount_micro: int | None = None


class SolanaSettlementFailed(FinanceEvent, frozen=True, kw_only=True):
    """The chain executed it with an error, or will never execute it: no money moved."""

    claim_key: str
    network: str
    transaction: str
    reason: str
