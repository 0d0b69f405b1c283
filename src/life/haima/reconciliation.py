"""The books against the chain (haima.md §5 HM-DAEMON, issue "books").

For every wallet in the books the chain is asked what it holds. The answer is an event, `finance.balance_synced`, with the
drift: on chain less internal, where internal counts what is reserved too, since reserved money has not moved yet. While a
payment of the wallet is under way the drift may be that payment, so it is reported and nothing more. When nothing is under
way, the books take the difference over (`adjusted`): somebody outside put money in or took it out. A first look at a
wallet brings in what it held before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from life.aios.errors import InvalidInputError
from life.aios.money import atomic_to_micro
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.record import Stream
from life.haima.events import BalanceSynced, finance_event
from life.haima.ledger import Books, reserved_account
from life.haima.x402.networks import BUILT_IN, NetworkRegistry

STREAM: Final = Stream("finance:reconciliation")

BalanceReader = Callable[[str, str, str], Awaitable[int | None]]
"""(network, token, address) → atomic units that the address holds; None when the chain can't be asked now."""


class WalletReport(NamedTuple):
    """One wallet, as the chain and the books see it, in micro-credits."""

    network: str
    address: str
    asset: str
    on_chain_micro: int | None
    """None when the chain could not be asked."""
    internal_micro: int
    reserved_micro: int
    adjusted: bool

    @property
    def drift_micro(self) -> int | None:
        """On chain less internal; None when it is not known."""
        return None if self.on_chain_micro is None else self.on_chain_micro - self.internal_micro


async def reconcile_balances(
    books: Books,
    read_balance: BalanceReader,
    *,
    journal: Journal,
    clock: Clock,
    entropy: Entropy,
    agent_id: str,
    registry: NetworkRegistry = BUILT_IN,
    adjust: bool = True,
) -> list[WalletReport]:
    """Look at every wallet of the books. `books` must be folded up to the journal's end, and the open payments resolved
    (`Payer.reconcile`) before. Differences are stored as events; agreement is not, it would say nothing new."""
    reports = []
    for account, (network, address) in sorted(books.wallets.items()):
        token = registry.default_token(network)
        if token is None:
            continue
        reserved_micro = books.balances.get(reserved_account(account), 0)
        internal_micro = books.balances.get(account, 0) + reserved_micro
        on_chain_micro = _micro(await read_balance(network, token.address, address), token.decimals)
        differs = on_chain_micro is not None and on_chain_micro != internal_micro
        report = WalletReport(
            network,
            address,
            token.address,
            on_chain_micro,
            internal_micro,
            reserved_micro,
            adjusted=differs and adjust and reserved_micro == 0,
        )
        reports.append(report)
        if on_chain_micro is not None and differs:
            event = BalanceSynced(
                address=address,
                chain=network,
                on_chain_micro_credits=on_chain_micro,
                internal_micro_credits=internal_micro,
                drift=on_chain_micro - internal_micro,
                asset=token.address,
                adjusted=report.adjusted,
            )
            await journal.append([finance_event(event, clock, entropy, stream=STREAM, agent_id=agent_id)])
    return reports


def _micro(amount_atomic: int | None, decimals: int) -> int | None:
    """Whole micro-credits; dust below one is left out."""
    if amount_atomic is None:
        return None
    try:
        return atomic_to_micro(amount_atomic, decimals)
    except InvalidInputError:
        return amount_atomic // int(10 ** (decimals - 6))
