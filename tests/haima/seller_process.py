"""A seller in a process of its own, on a journal file and a facilitator at a URL, so that a test can kill it.

`/paid` answers {"runs": n}; every run appends a line to the file given by ``--runs``, which outlives the process. While
the file given by ``--hold`` exists, the handler waits after that. ``--charge`` is what it takes of an `upto` maximum; with ``--stream`` it
sends "one ", waits while the file is there, and sends "two". Without a facilitator's URL it runs its own over a local
ledger in the same journal, with the development accounts funded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route as StarletteRoute

from life.haima.chain.local_ledger import LocalLedger
from life.haima.facilitator.port import Facilitator
from life.haima.facilitator.remote import RemoteFacilitator
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.x402.middleware import Route, X402Middleware
from life.haima.x402.networks import BUILT_IN
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.sqlite import SqliteJournal
from life.testing.chain import PAYEE


async def main(given: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    clock, entropy = SystemClock(), SystemEntropy()
    runs, hold = Path(given.runs), Path(given.hold)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"one "
        while hold.exists():
            await asyncio.sleep(0.02)
        yield b"two"

    async def paid(_: Request) -> Response:
        with runs.open("a") as file:
            file.write("run\n")
        if given.stream:
            return StreamingResponse(chunks(), media_type="text/plain")
        while hold.exists():
            await asyncio.sleep(0.02)
        headers = {"Settlement-Overrides": json.dumps({"amount": given.charge})} if given.charge else None
        return JSONResponse({"runs": len(runs.read_text().splitlines())}, headers=headers)

    async with SqliteJournal.open(given.journal, clock=clock) as journal:
        if given.facilitator:
            facilitator: Facilitator = RemoteFacilitator(given.facilitator, clock, pending_resends=1, timeout_s=20.0)
        else:
            ledger = LocalLedger(journal, clock, entropy, network=given.network)
            token = BUILT_IN.default_token(given.network)
            assert token is not None
            await ledger.fund_development_accounts(token.address)
            facilitator = SelfHostedFacilitator([ledger], journal, clock, entropy)
        seller = Middleware(
            X402Middleware,
            routes={
                "GET /paid": Route(
                    given.price,
                    settle_first=given.settle_first,
                    stream=given.stream,
                    scheme=given.scheme,
                    transfer=given.transfer or None,
                    sponsor_allowance=given.sponsor_allowance,
                )
            },
            accept_v1=given.accept_v1,
            pay_to=given.pay_to,
            network=given.network,
            facilitator=facilitator,
            journal=journal,
            clock=clock,
            entropy=entropy,
            sole_server=True,
        )
        app = Starlette(routes=[StarletteRoute("/paid", paid)], middleware=[seller])
        with socket.create_server(("127.0.0.1", given.port)) as listening:
            config = uvicorn.Config(app, log_level="warning", lifespan="on", timeout_graceful_shutdown=1)
            server = uvicorn.Server(config)
            serving = asyncio.ensure_future(server.serve(sockets=[listening]))
            while not server.started and not serving.done():
                await asyncio.sleep(0.01)
            print(f"ready http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
            await serving
        await facilitator.aclose()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("journal", "runs", "hold"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--facilitator", default="")
    parser.add_argument("--network", default="eip155:4020402")
    parser.add_argument("--price", default="$0.01")
    parser.add_argument("--pay-to", default=PAYEE)
    parser.add_argument("--settle-first", action="store_true")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--scheme", default="exact")
    parser.add_argument("--transfer", default="")
    parser.add_argument("--charge", default="")
    parser.add_argument("--sponsor-allowance", action="store_true")
    parser.add_argument("--accept-v1", action="store_true")
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(main(parser.parse_args()))
