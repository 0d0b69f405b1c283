"""The official Python client pays one URL: the httpx client of PyPI `x402` with its exact scheme for EVM.

Prints ``{"status", "body", "settlement", "headers"}``; settlement is the decoded PAYMENT-RESPONSE or null. When no answer
came, it prints ``{"error"}`` and ends with code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from eth_account import Account
from x402 import x402Client
from x402.http import decode_payment_response_header
from x402.http.clients import x402HttpxClient
from x402.mechanisms.evm.exact import register_exact_evm_client
from x402.mechanisms.evm.signers import EthAccountSigner
from x402.mechanisms.evm.upto.client import UptoEvmScheme


async def pay(url: str, *, key: str, network: str, method: str, body: str) -> dict[str, object]:
    """Request `url`, paying if it asks for it; what came back."""
    client = x402Client()
    signer = EthAccountSigner(Account.from_key(key))
    register_exact_evm_client(client, signer, networks=network)
    client.register(network, UptoEvmScheme(signer))
    headers = {"Content-Type": "application/json"} if body else {}
    async with x402HttpxClient(client, timeout=60, trust_env=False) as http:
        response = await http.request(method, url, content=body or None, headers=headers)
    settlement = response.headers.get("PAYMENT-RESPONSE")
    return {
        "status": response.status_code,
        "body": parsed(response.text),
        "settlement": decode_payment_response_header(settlement).model_dump(by_alias=True, exclude_none=True)
        if settlement
        else None,
        "headers": dict(response.headers),
    }


def parsed(text: str) -> object:
    """The JSON in a body, or its text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def main() -> int:
    """Read the command line, pay, print the outcome."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--network", required=True)
    parser.add_argument("--method", default="GET")
    parser.add_argument("--body", default="")
    given = parser.parse_args()
    try:
        outcome = asyncio.run(
            pay(given.url, key=given.key, network=given.network, method=given.method, body=given.body)
        )
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        return 1
    print(json.dumps(outcome))
    return 0


if __name__ == "__main__":
    sys.exit(main())
