"""Giving money back from a shop's directory, with the seller's own key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from life.aios.errors import InvalidInputError
from life.aios.ids import new_id
from life.anima.custody.wallet_rules import WalletRules
from life.haima.x402.claims import STREAM, Claims
from life.haima.x402.refunds import Refunds
from life.host.haima_directory import JOURNAL_FILE
from life.host.haima_seller import open_seller
from life.host.haima_wallet import wallet_of_key


@asynccontextmanager
async def open_refunds(
    directory: Path | str, *, key: str, facilitator: str, allow_plain_http: bool = False
) -> AsyncIterator[Refunds]:
    """The refunds of the shop in `directory`, paid by the wallet of `key` (0x and 64 hex digits) and settled by the facilitator;
    those that an earlier run left open are gone on with first. The shop may be running.

    InvalidInputError for a directory without a journal, or a key that is none.
    """
    if not (Path(directory) / JOURNAL_FILE).exists():
        raise InvalidInputError(f"There is no shop's journal in {directory}.", next_step="Name the shop's directory.")
    async with open_seller(directory, facilitator, allow_plain_http=allow_plain_http) as seller:
        rules = WalletRules(require_reservation=True)
        wallet = wallet_of_key(key, clock=seller.clock, rules=rules, agent_id="seller")
        claims = Claims(
            seller.journal,
            seller.clock,
            seller.entropy,
            agent_id=wallet.agent_id,
            stream=STREAM,
            owner=new_id(seller.clock, seller.entropy),
        )
        refunds = Refunds(
            seller.journal,
            seller.clock,
            seller.entropy,
            claims=claims,
            custody=wallet.custody,
            facilitator=seller.facilitator,
            agent_id=wallet.agent_id,
        )
        try:
            await refunds.open()
            yield refunds
        finally:
            await refunds.aclose()
            wallet.custody.close()


__all__ = ["open_refunds"]
