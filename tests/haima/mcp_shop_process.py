"""A tool that costs money, on an MCP server over stdio, in a process of its own: its till over a journal file, its facilitator
over a local ledger in the same journal. Every run of the tool appends a line to the file given by ``--runs``."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from mcp.server.mcpserver import MCPServer

from life.haima.chain.local_ledger import LocalLedger
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.x402.mcp.server import PaidTools
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.haima.x402.till import Till
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.sqlite import SqliteJournal
from life.testing.chain import PAYEE


async def main(given: argparse.Namespace) -> None:
    """Serve until stdin closes."""
    clock, entropy, runs = SystemClock(), SystemEntropy(), Path(given.runs)
    async with SqliteJournal.open(given.journal, clock=clock) as journal:
        ledger = LocalLedger(journal, clock, entropy, network=LOCAL)
        await ledger.fund_development_accounts(PLAY_MONEY.address)
        till = Till(
            pay_to=PAYEE,
            network=LOCAL,
            facilitator=SelfHostedFacilitator([ledger], journal, clock, entropy),
            journal=journal,
            clock=clock,
            entropy=entropy,
            sole_server=True,
        )
        paid = PaidTools(till)
        server = MCPServer("shop", extensions=[paid])

        @server.tool()
        @paid.tool("$0.01")
        async def forecast(city: str) -> str:
            with runs.open("a") as file:
                file.write(city + "\n")
            return f"sun over {city}"

        await till.start()
        await server.run_stdio_async()
        await till.aclose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--journal", required=True)
    parser.add_argument("--runs", required=True)
    asyncio.run(main(parser.parse_args()))
