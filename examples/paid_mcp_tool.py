"""A tool that costs money, sold and bought over MCP: offline, with play money, in one process.

    python examples/paid_mcp_tool.py

The seller is an MCPServer of the official SDK with one decorator more; the buyer is its Client with a wallet around it. In
real life they are two processes, and the till comes from `life.host.haima_seller.open_till`. Needs `lifeos[mcp]`.
"""

import asyncio
import tempfile
from pathlib import Path

from mcp import Client
from mcp.server.mcpserver import MCPServer

from life.anima.custody.in_process import InProcessAnima
from life.haima.chain.local_ledger import DEVELOPMENT_ACCOUNTS, LocalLedger
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy
from life.haima.x402.mcp.client import PayingTools
from life.haima.x402.mcp.server import PaidTools
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.haima.x402.till import Till
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.sqlite import SqliteJournal

BUYER_KEY = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"  # anvil's second: everybody knows it
SELLER = DEVELOPMENT_ACCOUNTS[3]


def shop(till: Till) -> MCPServer:
    """A server with one paid tool and one that is free."""
    paid = PaidTools(till)
    server = MCPServer("weather", extensions=[paid])

    @server.tool()
    @paid.tool("$0.01", description="tomorrow's weather")
    async def forecast(city: str) -> str:
        """Tomorrow's weather."""
        return f"Sun over {city}."

    @server.tool()
    async def cities() -> list[str]:
        """Where there is a forecast for."""
        return ["Oslo", "Rome"]

    return server


async def main(folder: Path) -> None:
    """Sell two forecasts, one of them asked for twice."""
    clock, entropy = SystemClock(), SystemEntropy()
    wallet = InProcessAnima.from_wallet_key(bytearray.fromhex(BUYER_KEY), clock=clock)
    async with (
        SqliteJournal.open(folder / "seller.db", clock=clock) as sales,
        SqliteJournal.open(folder / "buyer.db", clock=clock) as purchases,
    ):
        ledger = LocalLedger(sales, clock, entropy, network=LOCAL)
        await ledger.fund_development_accounts(PLAY_MONEY.address)
        facilitator = SelfHostedFacilitator([ledger], sales, clock, entropy)
        till = Till(
            pay_to=SELLER,
            network=LOCAL,
            facilitator=facilitator,
            journal=sales,
            clock=clock,
            entropy=entropy,
            sole_server=True,
        )
        server = shop(till)
        await till.start()
        payer = Payer(
            journal=purchases,
            custody=wallet,
            clock=clock,
            entropy=entropy,
            agent_id="buyer",
            policy=PaymentPolicy(auto_approve_cap_micro=20_000),
        )
        before = await ledger.balance(SELLER, asset=PLAY_MONEY.address)
        async with payer, Client(server) as client:
            tools = PayingTools(client, payer)
            free = await tools.call_tool("cities")
            print("cities  ", "free" if free.receipt is None else "paid")
            for city, order in (("Oslo", "order-1"), ("Oslo", "order-1"), ("Rome", "order-2")):
                bought = await tools.call_tool("forecast", {"city": city}, purchase_id=order)
                assert bought.receipt is not None
                print(order, bought.result.structured_content, bought.receipt.transaction)
        earned = await ledger.balance(SELLER, asset=PLAY_MONEY.address) - before
        print(f"earned   {earned} atomic units for 2 orders")
        await till.aclose()
        await facilitator.aclose()
    wallet.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(main(Path(made)))
