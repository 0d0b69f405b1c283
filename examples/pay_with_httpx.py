"""Pay with httpx: the same as pay_with_httpx2, for programs that use httpx (extra `httpx`).

    HAIMA_PRIVATE_KEY=0x… python examples/pay_with_httpx.py http://127.0.0.1:8000/report

Where the transport is somebody else's, pass `auth=PaymentAuth(payer)` instead. requests and aiohttp have their own:
`life.haima.x402.requests_adapter` and `life.haima.x402.aiohttp_middleware`.
"""

import asyncio
import os
import sys

import httpx

import life
from life.haima.x402.httpx_transport import AsyncPayingTransport


async def main(url: str) -> None:
    """Fetch one URL, for at most 0.02 USDC, and 1 USDC in all; above 0.01 USDC a person decides, within five minutes."""
    key, directory = os.environ["HAIMA_PRIVATE_KEY"], os.environ.get("WALLET_DIRECTORY", ".life/wallet")
    limits = {"max_payment_atomic": 20_000, "total_cap_atomic": 1_000_000, "ask_above_atomic": 10_000}
    async with life.open_payer(directory, key=key, network=os.environ.get("NETWORK", "local"), **limits) as payer:
        async with httpx.AsyncClient(transport=AsyncPayingTransport(payer)) as client:
            answer = await client.get(url, extensions={"life": {"approval_wait_s": 300}})
            receipt = answer.extensions.get("life.settlement")  # None when nothing was paid
            print(answer.status_code, answer.text, receipt and receipt.transaction)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
