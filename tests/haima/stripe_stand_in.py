"""A stand-in for Stripe over real HTTP, as its documentation describes PaymentIntents in deposit mode. It is not Stripe.

What it has of the real one: the paths, form bodies, the answer's shape (`next_action.crypto_display_details`), the required
version, bearer keys, idempotency keys (the same key with the same body gives the first answer, with another body an
error), statuses (`requires_action` → `processing` → `succeeded`, or `canceled`), live and test mode, the test helper that
simulates a deposit, and error objects, whose message quotes the end of the key as Stripe's does.

Each POST uses up the first entry of the script: `hangs up` (before doing anything), `creates and hangs up`, `status <n>`,
`garbage`, `other amount`, `no address`, `other token`, `other mode`, `done already`; without one it behaves well.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs

from life.crypto.address import format_address
from life.crypto.keccak import keccak256
from tests.harness.rpc import Json

KEY = "sk_test_4eC39HqLyjWDarjtT1zdp7dc"
"""The sandbox key that Stripe's documentation prints."""
VERSION = "2026-03-04.preview"


class StripeStandIn:
    """Serves on loopback; a context manager."""

    def __init__(self, *, token: str, key: str = KEY) -> None:
        self.token = token
        self.key = key
        self.intents: dict[str, dict[str, Json]] = {}
        self.calls: list[tuple[str, str]] = []
        self.simulated: list[dict[str, str]] = []
        self.steps: list[str] = []
        self._answers: dict[str, tuple[str, int, bytes]] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.stripe = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def of_address(self, address: str) -> str:
        """The PaymentIntent of a deposit address."""
        return next(name for name in self.intents if _address(name) == address)

    def set(self, intent: str, status: str, *, received: int | None = None) -> None:
        """What Stripe's watcher, or somebody at the dashboard, does."""
        document = self.intents[intent]
        document["status"] = status
        if status == "succeeded":
            document["amount_received"] = document["amount"] if received is None else received
            document["latest_charge"] = "ch_" + intent[3:]
            document["next_action"] = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, path: str, body: str, headers: dict[str, str]) -> tuple[int, bytes] | None:
        """Status and body, or None to close the connection."""
        with self._lock:
            return self._answer(method, path, body, headers)

    def _answer(self, method: str, path: str, body: str, headers: dict[str, str]) -> tuple[int, bytes] | None:
        self.calls.append((method, path))
        given = headers.get("authorization", "")
        if given != f"Bearer {self.key}":
            return _error(401, "invalid_request_error", f"Invalid API Key provided: sk_test_***{given[-4:]}", "")
        if headers.get("stripe-version") != VERSION:
            return _error(400, "invalid_request_error", "Unrecognized request parameter", "")
        step = self.steps.pop(0) if method == "POST" and self.steps else ""
        if step == "hangs up":
            return None
        if step.startswith("status"):
            return _error(int(step.split()[1]), "api_error", f"key {given[-8:]}", "lock_timeout")
        if step == "garbage":
            return 200, b"{]"
        if method == "GET":
            return self._found(path.removeprefix("/v1/payment_intents/"))
        idempotency_key = headers.get("idempotency-key")
        if idempotency_key is not None and idempotency_key in self._answers:
            first, status, content = self._answers[idempotency_key]
            if first != path + body:
                return _error(400, "idempotency_error", "Keys for idempotent requests can only be used once", "")
            return status, content
        assert headers["content-type"] == "application/x-www-form-urlencoded"
        status, content = self._post(path, parse_qs(body, strict_parsing=True), step)
        if idempotency_key is not None:
            self._answers[idempotency_key] = path + body, status, content
        return None if step == "creates and hangs up" else (status, content)

    def _found(self, name: str) -> tuple[int, bytes]:
        document = self.intents.get(name)
        if document is None:
            return _error(404, "invalid_request_error", "No such payment_intent", "resource_missing")
        return 200, json.dumps(document).encode()

    def _post(self, path: str, form: dict[str, list[str]], step: str) -> tuple[int, bytes]:
        if path.endswith("/simulate_crypto_deposit"):
            name = path.split("/")[-2]
            self.simulated.append({key: values[0] for key, values in form.items()})
            if self.key.startswith("sk_live") or not form["transaction_hash"][0].endswith("testsuccess"):
                return _error(400, "invalid_request_error", "not a valid testmode transaction hash", "")
            self.set(name, "succeeded")
            return self._found(name)
        wanted = {
            "currency": "usd",
            "payment_method_types[]": "crypto",
            "payment_method_data[type]": "crypto",
            "payment_method_options[crypto][mode]": "deposit",
            "confirm": "true",
        }
        if path != "/v1/payment_intents" or any(form.get(name) != [value] for name, value in wanted.items()):
            return _error(400, "invalid_request_error", "Received unknown parameter", "parameter_unknown")
        name = f"pi_{len(self.intents) + 1:024d}"
        networks = form["payment_method_options[crypto][deposit_options][networks][]"]
        tokens: list[Json] = [
            {
                "token_currency": "usdc",
                "token_contract_address": "0x" + "22" * 20 if step == "other token" else self.token,
            }
        ]
        addresses: dict[str, Json] = {
            network: {"address": _address(name).lower(), "supported_tokens": tokens} for network in networks
        }
        details: dict[str, Json] = {"deposit_addresses": {} if step == "no address" else addresses}
        self.intents[name] = {
            "id": name,
            "object": "payment_intent",
            "amount": int(form["amount"][0]) + (step == "other amount"),
            "amount_received": 0,
            "currency": "usd",
            "latest_charge": None,
            "livemode": self.key.startswith("sk_live") is not (step == "other mode"),
            "status": "canceled" if step == "done already" else "requires_action",
            "next_action": {"type": "crypto_display_details", "crypto_display_details": details},
        }
        return self._found(name)


def _address(intent: str) -> str:
    """Each PaymentIntent has an address of its own."""
    return format_address(keccak256(intent.encode())[12:])


def _error(status: int, kind: str, message: str, code: str) -> tuple[int, bytes]:
    return status, json.dumps({"error": {"type": kind, "message": message, "code": code or None}}).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    stripe: StripeStandIn

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._serve("")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def _serve(self, body: str) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        answered = self.server.stripe.answer(self.command, self.path, body, headers)
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
