"""A facilitator in a process of its own, on a journal file and a node, so that a test can kill it.

Prints ``ready http://127.0.0.1:<port>`` after it has taken up what an earlier run left open.
"""

from __future__ import annotations

import argparse
import asyncio
import socket

import uvicorn
from starlette.applications import Starlette

from life.haima import api
from life.haima.chain.evm import EvmChain
from life.haima.chain.json_rpc import JsonRpc
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.sqlite import SqliteJournal
from tests.haima.gas_custody import DevelopmentGasAccount
from tests.harness.anvil import FACILITATOR


async def main(journal_path: str, rpc_url: str, network: str, wait_us: int) -> None:
    """Serve until SIGTERM."""
    clock, rpc = SystemClock(), JsonRpc(rpc_url)
    async with SqliteJournal.open(journal_path, clock=clock) as journal:
        gas = DevelopmentGasAccount(FACILITATOR.key)
        chain = EvmChain(rpc, network=network, gas_custody=gas, clock=clock)
        facilitator = SelfHostedFacilitator(
            [chain], journal, clock, SystemEntropy(), signers={"eip155:*": [chain.gas_address]}, wait_us=wait_us
        )
        await facilitator.start()
        app = Starlette(routes=api.routes(api.facilitator_operations(facilitator)))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            print(f"ready http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
            await uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off")).serve(sockets=[listening])
        await facilitator.aclose()
    await rpc.aclose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--journal", required=True)
    parser.add_argument("--rpc", required=True)
    parser.add_argument("--network", default="eip155:84532")
    parser.add_argument("--wait-us", type=int, default=20_000_000)
    given = parser.parse_args()
    asyncio.run(main(given.journal, given.rpc, given.network, given.wait_us))
