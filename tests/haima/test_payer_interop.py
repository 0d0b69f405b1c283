"""Our payer against the official servers and facilitators, by every way they can be paid, on a local chain with a USDC stand-in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import aiohttp
import httpx2
import pytest

from life.crypto.permit2 import PERMIT2
from life.haima.chain.json_rpc import JsonRpc
from life.haima.x402.aiohttp_middleware import PayingMiddleware, receipt_of
from life.haima.x402.driving import RECEIPT
from life.haima.x402.transport import AsyncPayingTransport, PaymentAuth
from life.host.clock import SystemClock
from life.host.haima_chain import AllowanceLookup, AuthorizationLookup
from life.host.haima_client import open_payer
from tests.harness.anvil import FACILITATOR, MERCHANT, PAYER, Anvil
from tests.peers import processes
from tests.peers.processes import Peer

pytestmark = [pytest.mark.part("anvil", "solc", "x402-python"), pytest.mark.slow]

SERVERS: dict[str, Callable[..., Peer]] = {"npm": processes.express_server, "pypi": processes.python_server}
PRICE_ATOMIC = 10_000
CHARGED_ATOMIC = 4_000


@pytest.mark.parametrize("way", ["eip3009", "permit2", "upto"])
@pytest.mark.parametrize("server", [pytest.param("npm", marks=pytest.mark.part("node", "npm-peers")), "pypi"])
async def test_we_pay_official_servers(chain: Anvil, tmp_path: Path, server: str, way: str) -> None:
    """By a transport, an auth flow and aiohttp: paid at the first attempt, the chain has moved exactly what the books say,
    and the node's word on the nonce is what the payer would hear when it asked."""
    chain.mint(PAYER.address, 1_000_000)
    if way != "eip3009":
        chain.approve_permit2(PAYER.address)
    taken = CHARGED_ATOMIC if way == "upto" else PRICE_ATOMIC
    with processes.python_facilitator(rpc=chain.url, key=FACILITATOR.key) as theirs:
        options = {"charge": str(CHARGED_ATOMIC)} if way == "upto" else {}
        with SERVERS[server](facilitator=theirs.url, pay_to=MERCHANT.address, way=way, **options) as shop:
            async with open_payer(tmp_path, key=PAYER.key, network=chain.network, rpc_url=chain.url) as payer:
                purse, receipts = payer.purse(chain.network), []
                async with httpx2.AsyncClient(transport=AsyncPayingTransport(payer), timeout=60) as client:
                    answer = await client.get(shop.url + "/paid")
                    assert answer.status_code == 200, answer.text
                    receipts.append(answer.extensions[RECEIPT])
                async with httpx2.AsyncClient(auth=PaymentAuth(payer), timeout=60) as client:
                    answer = await client.get(shop.url + "/paid")
                    assert answer.status_code == 200, answer.text
                    receipts.append(answer.extensions[RECEIPT])
                async with aiohttp.ClientSession(middlewares=(PayingMiddleware(payer),)) as session:
                    async with session.get(shop.url + "/paid") as got:
                        assert got.status == 200, await got.text()
                        receipts.append(receipt_of(got))
                assert [receipt.state for receipt in receipts] == ["settled"] * 3
                assert len({receipt.transaction for receipt in receipts}) == 3
                assert chain.balance_of(MERCHANT.address) == 3 * taken
                state = purse.state
                if way == "upto":
                    assert (state.outstanding_micro, state.settled_micro) == (3 * PRICE_ATOMIC, 0)
                    assert {payment.spent_micro for payment in state.open_payments()} == {CHARGED_ATOMIC}
                else:
                    assert (state.outstanding_micro, state.settled_micro) == (0, 3 * PRICE_ATOMIC)
                await _ask_the_node(chain, receipts[0].payment.reserved.nonce, receipts[0].payment.reserved.asset, way)


async def _ask_the_node(chain: Anvil, nonce: str, asset: str, way: str) -> None:
    rpc = JsonRpc(chain.url)
    try:
        lookup = AuthorizationLookup(rpc, network=chain.network, clock=SystemClock())
        where = asset if way == "eip3009" else PERMIT2
        used = bytes.fromhex(nonce[2:])
        assert await lookup(chain.network, where, PAYER.address, used) == "used"
        assert await lookup(chain.network, where, PAYER.address, bytes(31) + b"\x07") in ("unused", "unknown")
        allowance = await AllowanceLookup(rpc, network=chain.network)(chain.network, asset, PAYER.address)
        assert allowance is not None and (allowance.allowed_atomic > 0) == (way != "eip3009")
    finally:
        await rpc.aclose()
