"""A house on an EVM chain: its wallet takes deposits and sends payouts in the network's USDC, and a facilitator of its own settles both.

async with open_chain_parts(journal, clock, entropy, where, base_url=…) as parts, open_hire_house(parts) as house: …
open_commons(root, house=on_chain())      # anvil, with the development keys that everybody knows
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, NamedTuple

from life.aios.errors import InvalidInputError
from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.anima.custody.wallet_rules import WalletRules
from life.haima.chain.json_rpc import JsonRpc
from life.haima.chain.permit_calls import balance_call
from life.haima.payer import Payer
from life.haima.x402.networks import BUILT_IN, chain_id_of
from life.host.haima_chain import AuthorizationLookup
from life.host.haima_facilitator import Settlement, open_settler
from life.host.haima_wallet import wallet_of_key
from life.host.hiring.commons import Money, OpenHouse
from life.host.hiring.house import VAULT_POLICY, HireHouse, HouseParts, open_hire_house, transfer
from life.host.system import System

ANVIL_URL: Final = "ANVIL_URL"
BASE_SEPOLIA: Final = "eip155:84532"
_GAS: Final = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
_RICH: Final = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
_VAULT: Final = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"
"""The first three accounts that anvil and Hardhat print at their start: everybody knows these keys, and they hold nothing anywhere else."""


class OnChain(NamedTuple):
    """Where a house is, and with which keys (`0x` and 64 hex digits)."""

    network: str
    """CAIP-2."""
    rpc_url: str
    gas_key: str
    """Pays for settlements."""
    vault_key: str
    """The house's wallet."""


class ChainMoney:
    """The network's USDC, read at a node; what is given away comes from a rich payer's wallet."""

    def __init__(self, rpc: JsonRpc, asset: str, parts: HouseParts, donor: Payer) -> None:
        self._rpc = rpc
        self._asset = asset
        self._parts = parts
        self._donor = donor

    async def balance(self, wallet: str) -> int:
        """See Money. The network's USDC has six decimals."""
        call = {"to": self._asset.lower(), "data": "0x" + balance_call(wallet).hex()}
        return await self._rpc.quantity("eth_call", call, "latest")

    async def fund(self, wallet: str, amount_micro: int) -> None:
        """See Money."""
        gift = new_id(self._parts.clock, self._parts.entropy)
        url = f"{self._parts.base_url}/v1/house/gifts/{gift}"
        await transfer(self._parts, self._donor, amount_micro, wallet, url=url, purchase_id=gift)


@asynccontextmanager
async def open_chain_parts(
    journal: Journal, clock: Clock, entropy: Entropy, where: OnChain, *, base_url: str
) -> AsyncIterator[HouseParts]:
    """What a house on a chain is made of (`life.host.hiring.house.open_hire_house`). InvalidInputError when node, network and keys don't
    fit together."""
    async with AsyncExitStack() as stack:
        settlement = Settlement(network=where.network, rpc_url=where.rpc_url, key=where.gas_key)
        settler = await stack.enter_async_context(open_settler(settlement, journal, clock, entropy))
        payer = await stack.enter_async_context(_payer(journal, clock, entropy, where, where.vault_key, "house"))
        yield HouseParts(journal, clock, entropy, settler.facilitator, payer, where.network, "house", base_url)


@asynccontextmanager
async def _payer(
    journal: Journal, clock: Clock, entropy: Entropy, where: OnChain, key: str, agent_id: str
) -> AsyncIterator[Payer]:
    """A payer for a bare key, whose open payments are looked up at the node."""
    chain_id = chain_id_of(where.network)
    if chain_id is None:
        raise InvalidInputError(f"{where.network} is no EVM network.")
    async with AsyncExitStack() as stack:
        rpc = JsonRpc(where.rpc_url)
        stack.push_async_callback(rpc.aclose)
        lookup = AuthorizationLookup(rpc, network=where.network, clock=clock)
        await lookup.open()
        rules = WalletRules(chain_ids=frozenset({chain_id}), require_reservation=True)
        wallet = wallet_of_key(key, clock=clock, rules=rules, agent_id=agent_id)
        stack.callback(wallet.custody.close)
        yield await stack.enter_async_context(
            Payer(
                journal=journal,
                custody=wallet.custody,
                clock=clock,
                entropy=entropy,
                agent_id=agent_id,
                policy=VAULT_POLICY,
                authorization_state=lookup,
                session_id=agent_id,
            )
        )


def on_chain(url: str | None = None) -> OpenHouse:
    """A house on a development chain (anvil), under keys that everybody knows. `url`: by default `ANVIL_URL`, or anvil's own."""
    where = OnChain(BASE_SEPOLIA, url or os.environ.get(ANVIL_URL) or "http://127.0.0.1:8545", _GAS, _VAULT)

    @asynccontextmanager
    async def opening(system: System, address: str) -> AsyncIterator[tuple[HireHouse, Money]]:
        journal, clock, entropy = system.journal, system.clock, system.entropy
        token = BUILT_IN.default_token(where.network)
        if token is None:
            raise InvalidInputError(f"No USDC is known on {where.network}.")
        async with AsyncExitStack() as stack:
            parts = await stack.enter_async_context(open_chain_parts(journal, clock, entropy, where, base_url=address))
            donor = await stack.enter_async_context(_payer(journal, clock, entropy, where, _RICH, "donor"))
            rpc = JsonRpc(where.rpc_url)
            stack.push_async_callback(rpc.aclose)
            house = await stack.enter_async_context(open_hire_house(parts))
            yield house, ChainMoney(rpc, token.address, parts, donor)

    return opening
