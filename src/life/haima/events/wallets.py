"""Wallets: that they exist, what they hold, what may leave them (haima.md §1.14)."""

from __future__ import annotations

from life.haima.events.finance_event import FinanceEvent


class WalletCreated(FinanceEvent, frozen=True, kw_only=True):
    """A wallet exists. Never carries key material; `key_blob_id` names a sealed blob."""

    address: str
    chain: str
    key_blob_id: str | None = None
    wallet_id: str | None = None


class BalanceSynced(FinanceEvent, frozen=True, kw_only=True):
    """What the chain holds against what we thought."""

    address: str
    chain: str
    on_chain_micro_credits: int
    internal_micro_credits: int
    drift: int
    """On chain less internal."""
    asset: str | None = None
    adjusted: bool = False
    """The books take the difference over: nothing was under way that could explain it."""


class SpendingCapSet(FinanceEvent, frozen=True, kw_only=True):
    """The wallet's lifetime cap, kept with the wallet. None lifts it."""

    wallet: str
    network: str
    total_cap_micro: int | None = None
