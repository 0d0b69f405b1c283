"""A payee that costs next to nothing, for benchmarks of payers: raw HTTP/1.1 on an asyncio protocol, in its own process.

Without a PAYMENT-SIGNATURE it answers a prepared 402, with one a prepared 200 and its settlement; `/free` is a plain 200.
Nothing is verified: what is measured is the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection
from types import ModuleType
from typing import cast

from life.haima.x402 import wire
from life.haima.x402.networks import USDC_BASE_SEPOLIA

uvloop: ModuleType | None
try:
    import uvloop
except ImportError:
    uvloop = None

PAY_TO = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"


def requirements(amount: str = "50") -> wire.PaymentRequirements:
    """What the payee asks for: a little test money on Base Sepolia, in the form every SDK knows."""
    token = USDC_BASE_SEPOLIA
    return wire.PaymentRequirements(
        scheme="exact",
        network=token.network,
        amount=amount,
        asset=token.address,
        pay_to=PAY_TO,
        max_timeout_seconds=300,
        extra={"name": token.name, "version": token.version},
    )


def _response(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "content-type: application/json", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class _Payee(asyncio.Protocol):
    terms = wire.encode_header(
        wire.offer(
            (requirements(),), resource=wire.ResourceInfo(url="http://127.0.0.1/paid", mime_type="application/json")
        )
    )
    done = wire.encode_header(
        wire.SettlementResponse(success=True, transaction="0x" + "ab" * 32, network=USDC_BASE_SEPOLIA.network)
    )
    free = _response("200 OK", b'{"goods":true}')
    ask = _response("402 Payment Required", b"{}", f"PAYMENT-REQUIRED: {terms}", "cache-control: no-store")
    paid = _response("200 OK", b'{"goods":true}', f"PAYMENT-RESPONSE: {done}")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are not its subclasses
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
            if head.startswith(b"GET /free"):
                self._transport.write(self.free)
            else:
                self._transport.write(self.paid if b"payment-signature:" in head.lower() else self.ask)


async def _serve(port_to: Connection) -> None:
    server = await asyncio.get_running_loop().create_server(_Payee, "127.0.0.1", 0)
    port_to.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _main(port_to: Connection) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        if uvloop is not None:
            uvloop.run(_serve(port_to))
        else:
            asyncio.run(_serve(port_to))


@contextlib.contextmanager
def payee() -> Iterator[str]:
    """The base URL of a payee in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_main, args=(theirs,), daemon=True)
    process.start()
    try:
        port: int = ours.recv()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.join()
