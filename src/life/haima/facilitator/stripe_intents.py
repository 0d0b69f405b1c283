"""Stripe's PaymentIntents, as far as machine payments need them: create one with a deposit address, read it, and in the
sandbox pretend that the money came.

    POST /v1/payment_intents                       payment_method_options[crypto][mode]=deposit, confirm=true
    GET  /v1/payment_intents/{id}
    POST /v1/test_helpers/payment_intents/{id}/simulate_crypto_deposit      test keys only

Every POST carries an idempotency key, so that repeating it after a lost answer gives the same intent. What is repeated, and
only with the same key: lost connections, 409, 429 and 5xx.

The secret key is sent to Stripe and shown nowhere: Stripe's own messages, which may quote a part of it, are not passed on.

Source: docs.stripe.com, "x402 payments", "Deposit mode stablecoin payments", "Idempotent requests", "Errors".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

import httpx2
import msgspec

from life.aios.errors import InvalidInputError
from life.aios.ports.clock import Clock
from life.haima.errors import FacilitatorUnavailableError

STRIPE_URL: Final = "https://api.stripe.com"
API_VERSION: Final = "2026-03-04.preview"
"""The version that deposit mode needs."""
SECRET_KEY_VARIABLE: Final = "STRIPE_SECRET_KEY"  # noqa: S105 (the name of a variable)
TEST_SUCCESS: Final = "0x" + "testsuccess".rjust(64, "0")
"""The transaction hash with which the sandbox captures a simulated deposit."""

MAX_CENTS: Final = 99_999_999
"""Stripe's largest amount in dollars: eight digits."""
MAX_ANSWER_BYTES: Final = 256 * 1024
_RETRIES: Final = 2
_PAUSE_US: Final = 500_000
_REPEATABLE: Final = frozenset((409, 429))


class StripeKey:
    """A secret or restricted API key, and whether it is of the sandbox. Neither repr nor errors show it."""

    __slots__ = ("_secret", "is_live")

    def __init__(self, secret: str) -> None:
        """InvalidInputError for text that is no secret key."""
        secret = secret.strip()
        parts = secret.split("_", 2)
        is_key = len(parts) == 3 and parts[0] in ("sk", "rk") and parts[1] in ("live", "test")
        if not is_key or not secret.isascii() or not secret.isprintable() or " " in secret:
            raise InvalidInputError(
                f"{SECRET_KEY_VARIABLE} is no secret key of Stripe (sk_live_…, sk_test_… or a restricted rk_…).",
                next_step="Take it from dashboard.stripe.com/apikeys; a publishable key (pk_…) can't take payments.",
            )
        self._secret = secret
        self.is_live = parts[1] == "live"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> StripeKey:
        """The key that the environment names; the only place it is ever read from."""
        secret = environment.get(SECRET_KEY_VARIABLE)
        if not secret:
            raise InvalidInputError(
                f"Stripe needs {SECRET_KEY_VARIABLE}.", next_step="Export a key from dashboard.stripe.com/apikeys."
            )
        return cls(secret)

    def header(self) -> str:
        """The value of Authorization."""
        return f"Bearer {self._secret}"

    def __repr__(self) -> str:
        return f"<StripeKey {'live' if self.is_live else 'test'}>"


class SupportedToken(msgspec.Struct, frozen=True):
    """A token that a deposit address takes."""

    token_currency: str = ""
    token_contract_address: str = ""


class DepositAddress(msgspec.Struct, frozen=True):
    """Where money for a PaymentIntent goes on one network."""

    address: str
    supported_tokens: tuple[SupportedToken, ...] | None = None


class _DisplayDetails(msgspec.Struct, frozen=True):
    deposit_addresses: dict[str, DepositAddress] = {}


class _NextAction(msgspec.Struct, frozen=True):
    type: str = ""
    crypto_display_details: _DisplayDetails | None = None


class PaymentIntent(msgspec.Struct, frozen=True):
    """The part of a PaymentIntent that is read here. Amounts are in cents."""

    id: str
    status: str
    amount: int
    currency: str
    livemode: bool
    amount_received: int = 0
    latest_charge: str | None = None
    next_action: _NextAction | None = None

    def deposit_address(self, network: str) -> DepositAddress | None:
        """The address on one of Stripe's networks."""
        details = None if self.next_action is None else self.next_action.crypto_display_details
        return None if details is None else details.deposit_addresses.get(network)


class _Problem(msgspec.Struct, frozen=True):
    type: str = ""
    code: str | None = None
    param: str | None = None


class _Failure(msgspec.Struct, frozen=True):
    error: _Problem


_intent: Final = msgspec.json.Decoder(PaymentIntent)
_failure: Final = msgspec.json.Decoder(_Failure)


class StripeIntents:
    """PaymentIntents of one account. Close it with `aclose`."""

    def __init__(self, key: StripeKey, clock: Clock, *, url: str = STRIPE_URL, timeout_s: float = 30.0) -> None:
        """`url` is another one only for tests, and then on this machine. `timeout_s` bounds each try."""
        split = urlsplit(url)
        if url != STRIPE_URL and split.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise InvalidInputError("A key of Stripe is sent to Stripe, and in tests to this machine.")
        self.is_live: Final = key.is_live
        self._key = key
        self._clock = clock
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._client = httpx2.AsyncClient(
            timeout=timeout_s, follow_redirects=False, trust_env=url == STRIPE_URL, max_redirects=0
        )

    async def create(self, *, amount_cents: int, network: str, idempotency_key: str) -> PaymentIntent:
        """A confirmed PaymentIntent over dollars whose deposit address is on one of Stripe's networks."""
        form = (
            ("amount", str(amount_cents)),
            ("currency", "usd"),
            ("payment_method_types[]", "crypto"),
            ("payment_method_data[type]", "crypto"),
            ("payment_method_options[crypto][mode]", "deposit"),
            ("payment_method_options[crypto][deposit_options][networks][]", network),
            ("metadata[machine_payment]", "true"),
            ("metadata[life_request]", idempotency_key),
            ("confirm", "true"),
        )
        return await self._call("POST", "/v1/payment_intents", form, idempotency_key)

    async def get(self, payment_intent: str) -> PaymentIntent:
        """A PaymentIntent as it stands now."""
        return await self._call("GET", f"/v1/payment_intents/{quote(payment_intent, safe='')}", None, None)

    async def simulate_deposit(self, payment_intent: str, *, network: str, buyer_wallet: str) -> PaymentIntent:
        """Tell the sandbox that the money came: it watches no test network itself. InvalidInputError with a live key."""
        if self.is_live:
            raise InvalidInputError("Deposits are simulated with test keys only.")
        path = f"/v1/test_helpers/payment_intents/{quote(payment_intent, safe='')}/simulate_crypto_deposit"
        form = (
            ("network", network),
            ("token_currency", "usdc"),
            ("buyer_wallet", buyer_wallet),
            ("transaction_hash", TEST_SUCCESS),
        )
        return await self._call("POST", path, form, f"simulate-{payment_intent}")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _call(
        self, method: str, path: str, form: tuple[tuple[str, str], ...] | None, idempotency_key: str | None
    ) -> PaymentIntent:
        headers = {"authorization": self._key.header(), "stripe-version": API_VERSION, "accept": "application/json"}
        content = None
        if form is not None:
            headers["content-type"] = "application/x-www-form-urlencoded"
            content = urlencode(form).encode()
        if idempotency_key is not None:
            headers["idempotency-key"] = idempotency_key
        why = ""
        for attempt in range(1 + _RETRIES):
            if attempt:
                await self._clock.sleep_us(_PAUSE_US << (attempt - 1))
            try:
                async with asyncio.timeout(self._timeout_s):
                    status, body = await self._exchange(method, path, headers, content)
            except (httpx2.HTTPError, OSError, TimeoutError) as error:
                why = type(error).__name__
                continue
            if status == 200:
                return self._read(body)
            why = _reason(status, body)
            if status not in _REPEATABLE and status < 500:
                break
        raise FacilitatorUnavailableError(f"Stripe did not do what it was asked ({why}).")

    async def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes | None
    ) -> tuple[int, bytes]:
        async with self._client.stream(method, self._url + path, content=content, headers=dict(headers)) as response:
            body = b""
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    return response.status_code, b""
            return response.status_code, body

    def _read(self, body: bytes) -> PaymentIntent:
        try:
            intent = _intent.decode(body)
        except (msgspec.DecodeError, RecursionError):
            raise FacilitatorUnavailableError("Stripe's answer is no PaymentIntent.") from None
        if intent.livemode is not self.is_live:
            raise FacilitatorUnavailableError("Stripe's answer is of another mode (live, test) than the key.")
        return intent


def _reason(status: int, body: bytes) -> str:
    """Status, code and parameter. Stripe's text is left out: it may quote what was sent."""
    try:
        problem = _failure.decode(body).error
    except (msgspec.DecodeError, RecursionError):
        return f"HTTP {status}"
    named = [part for part in (problem.code or problem.type, problem.param) if part and part.isprintable()]
    return " ".join([f"HTTP {status}", *(part[:64] for part in named)])


__all__ = [
    "API_VERSION",
    "MAX_CENTS",
    "SECRET_KEY_VARIABLE",
    "STRIPE_URL",
    "PaymentIntent",
    "StripeIntents",
    "StripeKey",
]
