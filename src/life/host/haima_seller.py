"""Selling over x402: what a shop needs opened around it, as one ASGI middleware or as the shop of `haima serve`.

    app = FastAPI()
    app.add_middleware(
        Charge, routes={"GET /report": "$0.01"}, pay_to="0x…", network="eip155:84532",
        facilitator="https://…", directory=".life/shop",
    )

`Charge` opens the journal and the connection to the facilitator when the application starts, takes up the sales that an
earlier run left open, and closes everything when it stops; it needs a server with lifespan events (uvicorn has them).

    app.wsgi_app = ChargeWsgi(app.wsgi_app, routes={"GET /report": "$0.01"}, pay_to="0x…", network="base", facilitator="https://…")

does the same for a synchronous application (Flask, Django), and `open_till` for what is neither, such as tools of an MCP server.
"""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from life.aios.errors import InvalidInputError, UnavailableError
from life.aios.money import MAX_ATOMIC
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.haima.errors import FacilitatorUnavailableError
from life.haima.facilitator.port import Facilitator
from life.haima.facilitator.stripe_deposits import StripeDeposits
from life.haima.mpp.server import MachinePayments
from life.haima.x402.middleware import X402Middleware
from life.haima.x402.networks import BUILT_IN, KnownToken, is_solana
from life.haima.x402.offer_receipt import OfferReceipts
from life.haima.x402.paid_routes import DynamicPrice, Route, Routes
from life.haima.x402.price import Price
from life.haima.x402.seller_app import demo_seller_app
from life.haima.x402.till import Till
from life.haima.x402.wsgi import X402WsgiMiddleware
from life.host.clock import SystemClock, SystemEntropy
from life.host.haima_directory import JOURNAL_FILE, lock_directory, open_directory
from life.host.haima_facilitator import http_address
from life.host.haima_settling import STRIPE, challenge_secret, open_settling
from life.host.haima_wallet import read_address, read_any_network
from life.host.http.problem import UnexpectedErrors
from life.host.http.server import bind, check_bind, serve
from life.host.solana_wallet import read_solana_address
from life.lago.journal.sqlite import SqliteJournal, WriterHost

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

DEFAULT_DIRECTORY: Final = ".life/shop"
"""Where a shop keeps its journal when nobody says."""

_NO_PAYEE: Final = "0x" + "00" * 20
"""Stands where a payee must, when every price names its own. No offer is ever made of it."""

_PATIENCE_S: Final = 3.0
"""How long the start waits to learn whether the facilitator answers."""


class Seller(NamedTuple):
    """What an X402Middleware needs, open."""

    facilitator: Facilitator
    journal: Journal
    clock: Clock
    entropy: Entropy
    deposits: StripeDeposits | None = None
    """Who is paid, when Stripe says that."""


@asynccontextmanager
async def open_seller(
    directory: Path | str,
    facilitator: str,
    *,
    allow_plain_http: bool = False,
    writer: WriterHost = "in_loop",
    with_deposits: bool = False,
    settle_with: str | None = None,
    simulate_deposits: bool = False,
) -> AsyncIterator[Seller]:
    """The journal in `directory` and the facilitator at this URL, or `coinbase-cdp` (life.host.haima_settling). Plain HTTP
    beyond this machine only when it is allowed. `with_deposits`: the caller's prices name Stripe's deposit addresses, so
    that `stripe` is one, too; `settle_with` and `simulate_deposits` are its options."""
    if facilitator == STRIPE and not with_deposits:
        raise InvalidInputError(
            "With Stripe every price has a deposit address of its own, which this shop's prices don't name.",
            next_step="Open it with life.host.haima_settling.open_settling, and price routes with its deposits.",
        )
    clock, entropy = SystemClock(), SystemEntropy()
    path = open_directory(Path(directory)) / JOURNAL_FILE
    async with (
        SqliteJournal.open(path, clock=clock, writer=writer) as journal,
        open_settling(
            facilitator,
            journal,
            clock,
            entropy,
            settle_with=settle_with,
            allow_plain_http=allow_plain_http,
            simulate_deposits=simulate_deposits,
        ) as settling,
    ):
        yield Seller(settling.facilitator, journal, clock, entropy, settling.deposits)


def read_payee(network: str, pay_to: str, what: str) -> tuple[str, str]:
    """A network (CAIP-2 or alias) and an address on it. InvalidInputError for what can't be right; MissingExtraError for
    Solana without its extra."""
    known = read_any_network(network).caip2
    return known, read_solana_address(pay_to, what) if is_solana(known) else read_address(pay_to, what)


class Charge:
    """ASGI middleware that sells what an application answers, and brings everything it needs. See the module."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: Routes,
        pay_to: str,
        network: str,
        facilitator: str,
        directory: Path | str = DEFAULT_DIRECTORY,
        verify: Literal["facilitator", "local"] = "facilitator",
        payment_identifier: Literal["optional", "required", "off"] = "optional",
        base_url: str | None = None,
        allow_plain_http: bool = False,
        accept_v1: bool = False,
        offer_receipt: OfferReceipts | None = None,
    ) -> None:
        """`routes`, `verify`, `payment_identifier`, `base_url`, `accept_v1` and `offer_receipt` are those of X402Middleware;
        `network` may be an alias, `facilitator` a URL or `coinbase-cdp` (with CDP_API_KEY_ID and CDP_API_KEY_SECRET in the
        environment). Several processes may share a directory on one machine."""
        self.app = app
        self._routes = routes
        self._network, self._pay_to = read_payee(network, pay_to, "pay_to address")
        self._facilitator = facilitator
        self._directory = directory
        self._verify: Literal["facilitator", "local"] = verify
        self._payment_identifier: Literal["optional", "required", "off"] = payment_identifier
        self._base_url = base_url
        self._allow_plain_http = allow_plain_http
        self._accept_v1 = accept_v1
        self._offer_receipt = offer_receipt
        self._selling: X402Middleware | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the application's life."""
        if scope["type"] == "lifespan":
            async with self._open() as selling:
                self._selling = selling
                try:
                    await selling(scope, receive, send)
                finally:
                    self._selling = None
            return
        if self._selling is None:
            raise UnavailableError(
                "The shop is not open: Charge opens it with the application's lifespan.",
                next_step="Run it under a server with lifespan events, such as uvicorn with its defaults.",
            )
        await self._selling(scope, receive, send)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[X402Middleware]:
        async with open_seller(self._directory, self._facilitator, allow_plain_http=self._allow_plain_http) as seller:
            yield X402Middleware(
                self.app,
                routes=self._routes,
                pay_to=self._pay_to,
                network=self._network,
                facilitator=seller.facilitator,
                journal=seller.journal,
                clock=seller.clock,
                entropy=seller.entropy,
                verify=self._verify,
                payment_identifier=self._payment_identifier,
                base_url=self._base_url,
                accept_v1=self._accept_v1,
                offer_receipt=self._offer_receipt,
            )


@asynccontextmanager
async def open_till(
    *,
    pay_to: str,
    network: str,
    facilitator: str,
    directory: Path | str = DEFAULT_DIRECTORY,
    verify: Literal["facilitator", "local"] = "facilitator",
    payment_identifier: Literal["optional", "required", "off"] = "optional",
    base_url: str | None = None,
    allow_plain_http: bool = False,
    accept_v1: bool = False,
    offer_receipt: OfferReceipts | None = None,
) -> AsyncIterator[Till]:
    """A till with its journal and its facilitator open, for adapters that are no ASGI middleware. Call its `start` when
    everything that is for sale has been declared. Options as for `Charge`."""
    network, pay_to = read_payee(network, pay_to, "pay_to address")
    async with open_seller(directory, facilitator, allow_plain_http=allow_plain_http) as seller:
        till = Till(
            pay_to=pay_to,
            network=network,
            facilitator=seller.facilitator,
            journal=seller.journal,
            clock=seller.clock,
            entropy=seller.entropy,
            verify=verify,
            payment_identifier=payment_identifier,
            base_url=base_url,
            accept_v1=accept_v1,
            offer_receipt=offer_receipt,
        )
        try:
            yield till
        finally:
            await till.aclose()


class ChargeWsgi(X402WsgiMiddleware):
    """WSGI middleware that sells what an application answers, and brings everything it needs. It opens in each process with
    the first request and closes when the process ends; processes on one machine may share the directory."""

    def __init__(
        self,
        app: WSGIApplication,
        *,
        routes: Routes,
        pay_to: str,
        network: str,
        facilitator: str,
        directory: Path | str = DEFAULT_DIRECTORY,
        verify: Literal["facilitator", "local"] = "facilitator",
        payment_identifier: Literal["optional", "required", "off"] = "optional",
        base_url: str | None = None,
        allow_plain_http: bool = False,
        accept_v1: bool = False,
        offer_receipt: OfferReceipts | None = None,
    ) -> None:
        """Options as for `Charge`."""
        read_payee(network, pay_to, "pay_to address")
        super().__init__(
            app,
            routes=routes,
            open_till=lambda: open_till(
                pay_to=pay_to,
                network=network,
                facilitator=facilitator,
                directory=directory,
                verify=verify,
                payment_identifier=payment_identifier,
                base_url=base_url,
                allow_plain_http=allow_plain_http,
                accept_v1=accept_v1,
                offer_receipt=offer_receipt,
            ),
        )
        atexit.register(self.close)


# --- the shop of `haima serve` ----------------------------------------------------------------------------------------


class ShopTerms(NamedTuple):
    """What the shop asks for, and where its payments are settled."""

    facilitator: str
    pay_to: str | None
    """None with Stripe, which names an address for each payment."""
    network: str
    asset: str | None = None
    price_atomic: int = 10_000
    token_name: str | None = None
    token_version: str | None = None
    base_url: str | None = None
    allow_plain_http: bool = False
    accept_v1: bool = False
    """Also serve clients of x402 version 1."""
    realm: str | None = None
    """Also ask over the Machine Payments Protocol, under this host name."""
    settle_with: str | None = None
    """Who moves the money to Stripe's addresses."""
    simulate_deposits: bool = False
    """Tell Stripe's sandbox of each payment."""


class ShopStarted(NamedTuple):
    """The shop answers."""

    address: str
    directory: Path
    price: Price
    pay_to: str | None
    """None: a deposit address of Stripe's for each payment."""
    left_open: int
    """Sales of earlier runs that stay open."""
    facilitator_answers: bool


def shop_price(terms: ShopTerms) -> Price:
    """The price in the token that was asked for; InvalidInputError when it can't be right."""
    network = read_any_network(terms.network).caip2
    if not 0 < terms.price_atomic <= MAX_ATOMIC:
        raise InvalidInputError("The price must be a positive number of atomic units.")
    token = BUILT_IN.default_token(network)
    if is_solana(network):
        return _solana_price(terms, network, token)
    if terms.asset is not None:
        address = read_address(terms.asset, "asset")
        token = BUILT_IN.token(network, address)
    elif token is not None:
        address = token.address
    else:
        raise InvalidInputError(f"No token is known on {network}.", next_step="Name one with --asset.")
    if token is not None:
        if terms.token_name not in (None, token.name) or terms.token_version not in (None, token.version):
            raise InvalidInputError(f"The token's domain is {token.name!r}, version {token.version!r}.")
        return Price(terms.price_atomic, network, address, token.name, token.version, token.decimals)
    if not terms.token_name or not terms.token_version:
        raise InvalidInputError(
            f"The token {address} on {network} is not known, so its EIP-712 domain isn't either.",
            next_step="Say it with --token-name and --token-version, as the contract's name() and version() do.",
        )
    return Price(terms.price_atomic, network, address, terms.token_name, terms.token_version)


def shop_payee(terms: ShopTerms) -> str | None:
    """Who is paid, as its network spells addresses; None when Stripe says that. InvalidInputError when nobody is named, or both."""
    if terms.facilitator == STRIPE:
        if terms.pay_to is not None:
            raise InvalidInputError(
                "With Stripe each payment has a deposit address of its own.", next_step="Leave out --pay-to."
            )
        return None
    if terms.pay_to is None:
        raise InvalidInputError("Nobody is named who gets the money.", next_step="Name the payee with --pay-to.")
    return read_payee(terms.network, terms.pay_to, "pay-to address")[1]


def _solana_price(terms: ShopTerms, network: str, token: KnownToken | None) -> Price:
    if terms.facilitator == STRIPE or terms.realm is not None:
        raise InvalidInputError(
            "Neither Stripe nor the Machine Payments Protocol is offered on Solana.",
            next_step="Take another facilitator, without --realm, or another network.",
        )
    if terms.token_name is not None or terms.token_version is not None:
        raise InvalidInputError(
            "Tokens of Solana have no EIP-712 domain.", next_step="Leave out the token's name and version."
        )
    if terms.accept_v1:
        raise InvalidInputError("Version 1 of x402 is not spoken on Solana.", next_step="Leave out --accept-v1.")
    mint = token.address if token is not None else None
    if terms.asset is not None:
        mint = read_solana_address(terms.asset, "asset")
        token = BUILT_IN.token(network, mint)
    if mint is None:
        raise InvalidInputError(f"No token is known on {network}.", next_step="Name one with --asset.")
    if token is None:
        return Price(terms.price_atomic, network, mint, "", "")
    return Price(terms.price_atomic, network, mint, token.name, token.version, token.decimals)


async def run_shop(
    terms: ShopTerms,
    *,
    directory: Callable[[int], Path],
    host: str,
    port: int,
    proxy_hosts: tuple[str, ...],
    on_ready: Callable[[ShopStarted], None],
) -> None:
    """Open everything, serve until SIGINT or SIGTERM, close everything. `directory` gets the port.

    A facilitator that does not answer yet is no obstacle: until it does, paid requests are answered with 503. One that
    answers and does not settle on the network is (InvalidInputError).
    """
    check_bind(host, proxy_hosts)
    price, pay_to = shop_price(terms), shop_payee(terms)
    with bind(host, port) as listener:
        port = listener.getsockname()[1]
        root = open_directory(directory(port))
        with lock_directory(root, "shop"):
            async with open_seller(
                root,
                terms.facilitator,
                allow_plain_http=terms.allow_plain_http,
                writer="process",
                with_deposits=True,
                settle_with=terms.settle_with,
                simulate_deposits=terms.simulate_deposits,
            ) as seller:
                secret = None if terms.realm is None else challenge_secret(root, seller.entropy)
                counter = _Counter(seller, price, pay_to or _NO_PAYEE, terms, secret)
                asked: DynamicPrice | Price = price
                if seller.deposits is not None:
                    asked = seller.deposits.priced(price, network=price.network)
                shop = demo_seller_app(asked, counter.around)
                # Starlette builds the till with its stack, at the first request; open sales are taken up before that.
                shop.middleware_stack = shop.build_middleware_stack()
                answers = await _answers(seller.facilitator)
                left_open = await counter.selling.start()
                started = ShopStarted(http_address(host, port), root, price, pay_to, left_open, answers)
                try:
                    await serve(UnexpectedErrors(shop), listener, lambda: on_ready(started))
                finally:
                    await counter.selling.aclose()


class _Counter:
    """Puts the till around the shop's application, and keeps hold of it."""

    selling: X402Middleware

    def __init__(self, seller: Seller, price: Price, pay_to: str, terms: ShopTerms, secret: bytes | None) -> None:
        self._seller = seller
        self._price = price
        self._pay_to = pay_to
        self._terms = terms
        self._secret = secret

    def around(self, app: ASGIApp, routes: dict[str, Route]) -> ASGIApp:
        """See demo_seller_app."""
        self.selling = X402Middleware(
            app,
            routes=routes,
            pay_to=self._pay_to,
            network=self._price.network,
            facilitator=self._seller.facilitator,
            journal=self._seller.journal,
            clock=self._seller.clock,
            entropy=self._seller.entropy,
            base_url=self._terms.base_url,
            accept_v1=self._terms.accept_v1,
            sole_server=True,
        )
        if self._secret is None or self._terms.realm is None:
            return self.selling
        return MachinePayments(
            self.selling,
            realm=self._terms.realm,
            secrets=(self._secret,),
            clock=self._seller.clock,
            entropy=self._seller.entropy,
        )


async def _answers(facilitator: Facilitator) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await facilitator.supported()
    except (FacilitatorUnavailableError, TimeoutError):
        return False
    return True
