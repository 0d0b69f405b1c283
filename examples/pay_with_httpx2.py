"""Pay with httpx2: a transport around the usual one; a 402 is answered, decided, signed and booked on the way.

    HAIMA_PRIVATE_KEY=0x… python examples/pay_with_httpx2.py http://127.0.0.1:8000/report

Everything that was promised or paid is in the journal in `.life/wallet`. Two programs that use it share their caps.
"""

import asyncio
import os
import sys

import httpx2

import life


async def main(url: str) -> None:
    """Fetch one URL, for at most 0.02 USDC, and 1 USDC in all."""
    key, directory = os.environ["HAIMA_PRIVATE_KEY"], os.environ.get("WALLET_DIRECTORY", ".life/wallet")
    limits = {"max_payment_atomic": 20_000, "total_cap_atomic": 1_000_000}
    async with life.open_payer(directory, key=key, network=os.environ.get("NETWORK", "local"), **limits) as payer:
        async with httpx2.AsyncClient(transport=life.AsyncPayingTransport(payer)) as client:
            answer = await client.get(url)
            receipt = answer.extensions.get("life.settlement")  # None when nothing was paid
            print(answer.status_code, answer.text, receipt and receipt.transaction)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
