"""Reading chains for the payer's books."""

from __future__ import annotations

from collections.abc import Sequence

from life.aios.ports.chain import AuthorizationState
from life.haima.chain.local_ledger import LocalLedger
from life.haima.payer import AuthorizationReader


def authorization_reader(ledgers: Sequence[LocalLedger]) -> AuthorizationReader:
    """Whether an authorization was used, asked of the ledger of its network; other networks are unknown."""
    by_network = {ledger.network: ledger for ledger in ledgers}

    async def read(network: str, asset: str, payer: str, nonce: bytes) -> AuthorizationState:
        ledger = by_network.get(network)
        return "unknown" if ledger is None else await ledger.authorization_state(asset, payer, nonce)

    return read
