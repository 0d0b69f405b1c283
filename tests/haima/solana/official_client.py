"""The official Python client pays one URL on Solana: the httpx client of PyPI `x402[svm]`. Prints what came back as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json

from solders.keypair import Keypair
from x402 import x402Client
from x402.http import decode_payment_response_header
from x402.http.clients import x402HttpxClient
from x402.mechanisms.svm.exact import register_exact_svm_client
from x402.mechanisms.svm.signers import KeypairSigner


async def pay(url: str, *, key: str, network: str, rpc: str) -> dict[str, object]:
    """Request `url`, paying if it asks for it; what came back."""
    client = x402Client()
    register_exact_svm_client(client, KeypairSigner(Keypair.from_base58_string(key)), networks=network, rpc_url=rpc)
    async with x402HttpxClient(client, timeout=60, trust_env=False) as http:
        response = await http.get(url)
    settlement = response.headers.get("PAYMENT-RESPONSE")
    return {
        "status": response.status_code,
        "body": response.text,
        "settlement": decode_payment_response_header(settlement).model_dump(by_alias=True, exclude_none=True)
        if settlement
        else None,
        "headers": dict(response.headers),
    }


def main() -> None:
    """Read the command line, pay, print the outcome."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--url", "--key", "--network", "--rpc"):
        parser.add_argument(name, required=True)
    given = parser.parse_args()
    try:
        outcome = asyncio.run(pay(given.url, key=given.key, network=given.network, rpc=given.rpc))
    except Exception as error:
        outcome = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(outcome))


if __name__ == "__main__":
    main()
