"""A facilitator over real HTTP whose behaviour a test scripts: it lies, comes late, never or twice.

It is a fake in one respect only: it keeps no ledger but remembers which authorizations it "moved", each at most once, as a
token contract would. What it says about that is up to the script. Each POST to an endpoint uses up the first entry of that
endpoint's script; without one it behaves well.

    ok                   moves the money and says so
    remembers            as ok, also for a payment that was moved before (the well-behaved default)
    forgets              a second time for the same payment: `invalid_exact_evm_nonce_already_used`
    refuse <code>        moves nothing, says so
    moves and refuses    moves the money and says `transaction_failed`
    pending <status>     moves the money, says `settlement_pending` with the hash, under this HTTP status
    moves and hangs up   moves the money and closes the connection
    hangs up             closes the connection
    holds                answers only when `release` is called (then as ok)
    status <status>      answers this status with a body that is none
    garbage              answers 200 with a body that is none
    silent               reads the request and never answers
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from tests.harness.rpc import Json


class ScriptedFacilitator:
    """Serves on loopback; a context manager."""

    def __init__(self, network: str, *, extensions: tuple[str, ...] = ()) -> None:
        self.network = network
        self.extensions = extensions
        self.moved: Counter[str] = Counter()
        self.calls: list[tuple[str, bytes]] = []
        self.headers: list[dict[str, str]] = []
        self._scripts: dict[str, list[str]] = {"verify": [], "settle": [], "supported": []}
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.facilitator = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def script(self, endpoint: str, *steps: str) -> None:
        """What the next calls of an endpoint do."""
        self._scripts[endpoint] += steps

    def release(self) -> None:
        """Answer the calls that are held."""
        self._released.set()

    def count(self, endpoint: str) -> int:
        """How often an endpoint was called."""
        with self._lock:
            return sum(name == endpoint for name, _ in self.calls)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, endpoint: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes] | None:
        """Status and body, or None to close the connection."""
        with self._lock:
            self.calls.append((endpoint, body))
            self.headers.append(headers)
            step = self._scripts[endpoint].pop(0) if self._scripts[endpoint] else "remembers"
        if step == "silent":
            self._released.wait(60)
            return None
        if step == "holds":
            self._released.wait(60)
        word, _, more = step.partition(" ")
        if word == "status":
            return int(more), b"<html>trouble</html>"
        if step == "garbage":
            return 200, b"{]"
        if step == "hangs up":
            return None
        if endpoint == "supported":
            kinds: Json = [{"x402Version": 2, "scheme": "exact", "network": self.network}]
            return 200, json.dumps({"kinds": kinds, "extensions": list(self.extensions), "signers": {}}).encode()
        return self._pay(endpoint, json.loads(body), step)

    def _pay(
        self, endpoint: str, request: dict[str, dict[str, dict[str, dict[str, str]]]], step: str
    ) -> tuple[int, bytes] | None:
        authorization = request["paymentPayload"]["payload"]["authorization"]
        nonce, payer = authorization["nonce"], authorization["from"]
        word, _, more = step.partition(" ")
        if endpoint == "verify":
            if word == "refuse":
                return 200, json.dumps({"isValid": False, "invalidReason": more, "payer": payer}).encode()
            return 200, json.dumps({"isValid": True, "payer": payer}).encode()
        if word == "refuse":
            return 200, self._settlement(False, "", payer, more)
        with self._lock:
            was_moved = self.moved[nonce] > 0
            self.moved[nonce] = 1
        transaction = "0x" + nonce[2:]
        if step == "forgets" and was_moved:
            return 200, self._settlement(False, "", payer, "invalid_exact_evm_nonce_already_used")
        if step == "moves and refuses":
            return 200, self._settlement(False, transaction, payer, "transaction_failed")
        if word == "pending":
            return int(more), self._settlement(False, transaction, payer, "settlement_pending")
        if step == "moves and hangs up":
            return None
        return 200, self._settlement(True, transaction, payer, None)

    def _settlement(self, success: bool, transaction: str, payer: str, reason: str | None) -> bytes:
        answer: dict[str, Json] = {
            "success": success,
            "transaction": transaction,
            "network": self.network,
            "payer": payer,
        }
        if reason is not None:
            answer["errorReason"] = reason
        return json.dumps(answer).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    facilitator: ScriptedFacilitator

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers["Content-Length"])))

    def _serve(self, body: bytes) -> None:
        answered = self.server.facilitator.answer(self.path.strip("/"), body, dict(self.headers.items()))
        if answered is None:
            self.close_connection = True
            return
        status, content = answered
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""
