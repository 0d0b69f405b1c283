"""Starts the official peers as processes: each server a `Peer` with an address, each client one paid request.

Every function takes addresses and returns typed results; nothing is shared between two calls. Tests that use the npm peers
carry ``@pytest.mark.part("npm-peers", "node")``, those that use the Python ones ``@pytest.mark.part("x402-python")``.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.harness.anvil import BASE_SEPOLIA
from tests.harness.process import ChildProcess, ProcessError
from tests.harness.rpc import Json
from tests.harness.solidity import PEERS, ROOT

NETWORK = f"eip155:{BASE_SEPOLIA}"


def free_port() -> int:
    """A loopback port that was free a moment ago. The peers take port 0 and say what they got, which cannot be stolen."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Peer:
    """A running server: its address without a trailing slash, and its process. A context manager that stops it."""

    url: str
    process: ChildProcess

    @classmethod
    def start(cls, argv: Sequence[str | Path], *, deadline_s: float = 30.0) -> Self:
        """Run a program from the project's root and wait for its line ``ready <url>``; ProcessError if it does not come."""
        process = ChildProcess.spawn(argv, name=" ".join(Path(str(part)).name for part in argv[:3]), cwd=ROOT)
        try:
            ready = process.wait_for_line(r"^ready (http://\S+)", deadline_s=deadline_s)
        except BaseException:
            process.stop()
            raise
        return cls(ready[1], process)

    def stop(self) -> None:
        """End the server; may be called again."""
        self.process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


@dataclass(frozen=True)
class Purchase:
    """What a client reports: the answer's status, its body (JSON or text), the decoded PAYMENT-RESPONSE and the headers.

    Header names are in lower case, whatever the server wrote.
    """

    status: int
    body: Json
    settlement: dict[str, Json] | None
    headers: dict[str, str]

    @property
    def transaction(self) -> str:
        """Hash of the settlement's transaction; empty when there is none."""
        return str((self.settlement or {}).get("transaction", ""))


class ClientError(Exception):
    """A client ended without an answer; the text is its own."""


def run_client(argv: Sequence[str | Path], *, deadline_s: float = 60.0) -> Purchase:
    """Run a client from the project's root to its end. Raises ClientError with its error, ProcessError when it hangs."""
    with ChildProcess.spawn(argv, cwd=ROOT) as process:
        code = process.wait(deadline_s=deadline_s)
        lines = process.stdout().splitlines()
        if not lines:
            raise ProcessError(
                f"{process.name} printed nothing and ended with code {code}:\n{process.stderr()[-4000:]}"
            )
    outcome = json.loads(lines[-1])
    if "error" in outcome:
        raise ClientError(str(outcome["error"]))
    headers = {name.lower(): value for name, value in outcome["headers"].items()}
    return Purchase(outcome["status"], outcome["body"], outcome["settlement"], headers)


def node(script: str, **options: str | bool | float) -> list[str | Path]:
    """Command that runs a script of this folder in node."""
    return ["node", PEERS / script, *_arguments(options)]


def python(module: str, **options: str | bool | float) -> list[str | Path]:
    """Command that runs a module of this folder in this very interpreter."""
    return [sys.executable, "-m", f"tests.peers.{module}", *_arguments(options)]


def _arguments(options: dict[str, str | bool | float]) -> list[str]:
    """``pay_to="0x…"`` becomes ``--pay-to=0x…``; True becomes a bare flag, False nothing."""
    named = [("--" + name.replace("_", "-"), value) for name, value in options.items() if value is not False]
    return [name if value is True else f"{name}={value}" for name, value in named]


# ---- clients


def fetch_client(url: str, *, key: str, network: str = NETWORK, method: str = "GET", body: str = "") -> Purchase:
    """Pay with npm @x402/fetch."""
    return run_client(node("fetch_client.mjs", url=url, key=key, network=network, method=method, body=body))


def python_client(url: str, *, key: str, network: str = NETWORK, method: str = "GET", body: str = "") -> Purchase:
    """Pay with PyPI x402 over httpx."""
    return run_client(python("python_client", url=url, key=key, network=network, method=method, body=body))


# ---- resource servers


def express_server(
    *,
    facilitator: str,
    pay_to: str,
    network: str = NETWORK,
    price: str = "$0.01",
    way: str = "eip3009",
    charge: str = "",
    port: int = 0,
) -> Peer:
    """npm @x402/express before /paid; /free is open. `price` as its option takes it, such as ``$0.01``.

    `way` is eip3009, permit2 or upto; of an upto payment `charge` (atomic) is taken.
    """
    options = node(
        "express_server.mjs",
        facilitator=facilitator,
        pay_to=pay_to,
        network=network,
        price=price,
        way=way,
        charge=charge,
        port=str(port),
    )
    return Peer.start(options)


def python_server(
    *,
    facilitator: str,
    pay_to: str,
    network: str = NETWORK,
    price: str = "$0.01",
    way: str = "eip3009",
    charge: str = "",
    port: int = 0,
) -> Peer:
    """PyPI x402 for FastAPI before /paid; /free is open. `way` and `charge` as for `express_server`."""
    options = python(
        "python_server",
        facilitator=facilitator,
        pay_to=pay_to,
        network=network,
        price=price,
        way=way,
        charge=charge,
        port=str(port),
    )
    return Peer.start(options)


# ---- facilitators


def ts_facilitator(
    *,
    rpc: str,
    key: str,
    chain_id: int = BASE_SEPOLIA,
    confirmation_s: float = 30.0,
    nonce_manager: bool = False,
    port: int = 0,
) -> Peer:
    """npm @x402/core and @x402/evm; `nonce_manager` gives its account viem's, which its examples leave out."""
    options = node(
        "ts_facilitator.mjs",
        rpc=rpc,
        key=key,
        chain_id=str(chain_id),
        confirmation_ms=str(round(confirmation_s * 1000)),
        nonce_manager=nonce_manager,
        port=str(port),
    )
    return Peer.start(options)


def python_facilitator(
    *, rpc: str, key: str, chain_id: int = BASE_SEPOLIA, confirmation_s: float = 30.0, port: int = 0
) -> Peer:
    """PyPI x402 with its web3 signer. It remembers its account nonce: start a new one when the chain was reverted."""
    options = python(
        "python_facilitator",
        rpc=rpc,
        key=key,
        network=f"eip155:{chain_id}",
        confirmation_s=str(confirmation_s),
        port=str(port),
    )
    return Peer.start(options)
