"""`haima reconcile`: a directory's books against its chains, without any key (haima.md §5 HM-DAEMON, x402.md §16.5).

First every open payment is looked up: used on the chain means settled, by the transaction that the logs name; unused after
its time means that it is over. Then every wallet's balance is compared with the books (life.haima.reconciliation). What was
found stands in the journal as events, so the next look begins where this one ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from life.aios.errors import LifeError
from life.aios.ports.chain import AuthorizationState
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import TransferAuthorization
from life.aios.ports.journal import Journal
from life.haima.chain.json_rpc import JsonRpc, NodeRefusedError, parse_quantity
from life.haima.chain.local_ledger import LocalLedger
from life.haima.chain.permit_calls import balance_call
from life.haima.chain.settlement_search import SettlementSearch
from life.haima.errors import ChainError
from life.haima.payment_outcomes import settled_event
from life.haima.purse import Purse
from life.haima.reconciliation import WalletReport, reconcile_balances
from life.haima.reservations import Payment, authorization_of
from life.haima.x402.networks import LOCAL, is_solana
from life.host.clock import SystemClock, SystemEntropy
from life.host.haima_approvals import OPERATOR, purses_over
from life.host.haima_books import open_books
from life.host.haima_chain import FRESH_S, AuthorizationLookup, check_chain
from life.host.solana_wallet import require_solana

WINDOW_BLOCKS: Final = 2_000
WINDOWS: Final = 50


class PaymentReport(NamedTuple):
    """What became of a payment that was open."""

    payment_id: str
    network: str
    payee: str
    amount_micro: int
    state: str
    """settled, released, canceled, open, or unknown where the chain could not be asked."""
    transaction: str = ""


class Reconciled(NamedTuple):
    """One look."""

    payments: list[PaymentReport]
    wallets: list[WalletReport]

    @property
    def agrees(self) -> bool:
        """Whether nothing is open and no wallet holds anything else than the books say."""
        return all(payment.state in ("settled", "released", "canceled") for payment in self.payments) and all(
            wallet.drift_micro == 0 or wallet.adjusted for wallet in self.wallets
        )


async def reconcile(
    directory: Path,
    nodes: Mapping[str, JsonRpc],
    *,
    adjust: bool = True,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
) -> Reconciled:
    """Look once. `nodes`: a node for each network that has one; the local network needs none. NotFoundError when there is no
    journal, InvalidInputError when a node serves another chain."""
    clock, entropy = clock or SystemClock(), entropy or SystemEntropy()
    for network, rpc in nodes.items():
        if is_solana(network):
            await _check_solana(rpc, network)
        else:
            await check_chain(rpc, network)
    async with open_books(directory, clock) as opened:
        look = _Look(opened.journal, nodes, clock, entropy)
        async with purses_over(opened.journal, clock, entropy) as purses:
            payments = [
                await look.payment(purse, payment) for purse in purses for payment in list(purse.state.open_payments())
            ]
            for purse in purses:
                await purse.flush()
        wallets = await reconcile_balances(
            await opened.read(),
            look.balance,
            journal=opened.journal,
            clock=clock,
            entropy=entropy,
            agent_id=OPERATOR,
            adjust=adjust,
        )
    return Reconciled(payments, wallets)


async def network_of(rpc: JsonRpc) -> str:
    """Which network a node serves, as CAIP-2 names it; ChainError when it does not say."""
    try:
        return f"eip155:{await rpc.quantity('eth_chainId')}"
    except NodeRefusedError:
        return f"solana:{(await rpc.text('getGenesisHash'))[:32]}"


async def _check_solana(rpc: JsonRpc, network: str) -> None:
    require_solana()
    from life.haima.solana.facilitator import check_network
    from life.haima.solana.rpc import SolanaRpc

    await check_network(SolanaRpc(rpc), network)


class _Look:
    def __init__(self, journal: Journal, nodes: Mapping[str, JsonRpc], clock: Clock, entropy: Entropy) -> None:
        self._nodes = nodes
        self._clock = clock
        self._local = LocalLedger(journal, clock, entropy, network=LOCAL)

    async def balance(self, network: str, asset: str, address: str) -> int | None:
        """See life.haima.reconciliation.BalanceReader."""
        if network == LOCAL:
            kept_here = (await self._local.state()).sequence > 0
            return await self._local.balance(address, asset=asset) if kept_here else None
        rpc = self._nodes.get(network)
        if rpc is None or is_solana(network):
            return None
        call = {"to": asset.lower(), "data": "0x" + balance_call(address).hex()}
        try:
            return await rpc.quantity("eth_call", call, "latest")
        except ChainError:
            return None

    async def payment(self, purse: Purse, payment: Payment) -> PaymentReport:
        """Look one open payment up, and note what became of it."""
        state, transaction = await self._outcome(payment)
        now_us = self._clock.now_us()
        if state == "settled":
            purse.settle(settled_event(payment, transaction, "chain", now_us=now_us))
        elif state == "canceled" or payment.is_dead(state, now_us):
            purse.release(payment, "canceled" if state == "canceled" else "expired_unused")
            state = "canceled" if state == "canceled" else "released"
        elif state == "unused":
            state = "open"
        reserved = payment.reserved
        return PaymentReport(
            reserved.payment_id, reserved.network, reserved.payee, reserved.amount_micro, state, transaction
        )

    async def _outcome(self, payment: Payment) -> tuple[str, str]:
        """settled, canceled, unused or unknown; and the transaction where one is known."""
        if payment.reserved.transaction is not None:
            return await self._outcome_of_transaction(payment)
        authorization = authorization_of(payment.reserved)
        if authorization.network == LOCAL:
            if not isinstance(authorization, TransferAuthorization):
                return "unknown", ""
            known = await self._local.authorization_state(
                authorization.asset, authorization.from_address, authorization.nonce
            )
            return ("settled" if known == "used" else known), ""
        rpc = self._nodes.get(authorization.network)
        if rpc is None:
            return "unknown", ""
        search = SettlementSearch(rpc, window_blocks=WINDOW_BLOCKS, windows=WINDOWS)
        used: AuthorizationState = "unknown"
        try:
            if isinstance(authorization, TransferAuthorization):
                lookup = AuthorizationLookup(rpc, network=authorization.network, clock=self._clock)
                used = await lookup(
                    authorization.network, authorization.asset, authorization.from_address, authorization.nonce
                )
                if used != "used":
                    return used, ""
            fresh = await self._is_fresh(rpc)
            found = await search.settled_by_another("", authorization, value_atomic=None)
        except LifeError:
            # Used, and no log says by what: as a payment it counts, as every payer of ours has it.
            return ("settled" if used == "used" else "unknown"), ""
        if found is None:
            return ("unused" if fresh else "unknown"), ""  # a node that lags behind does not speak for the present
        return ("settled" if found.state == "confirmed" else "canceled"), found.transaction_hash

    async def _outcome_of_transaction(self, payment: Payment) -> tuple[str, str]:
        """The same on Solana."""
        rpc = self._nodes.get(payment.reserved.network)
        if rpc is None:
            return "unknown", ""
        require_solana()
        from life.haima.solana.paying import payment_state
        from life.haima.solana.rpc import SolanaRpc

        state = await payment_state(SolanaRpc(rpc), payment.reserved)
        return ("settled" if state == "used" else state), ""

    async def _is_fresh(self, rpc: JsonRpc) -> bool:
        block = await rpc.record("eth_getBlockByNumber", "latest", False) or {}
        return parse_quantity(block.get("timestamp")) >= self._clock.now_us() // 1_000_000 - FRESH_S
