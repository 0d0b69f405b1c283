"""Which requests cost money, and what.

A route is written `"GET /paid"`, or `"/paid"` for every method. In the path, `{name}` or `:name` stands for one segment and
a `*` at the end for anything. Matching is Starlette's own: on the decoded path without the mount's prefix, case-sensitive. A
HEAD is priced like the GET that would answer it. The first route that matches counts.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

import msgspec
from starlette.types import Scope

from life.aios.errors import InvalidInputError, UnavailableError
from life.aios.json import JsonObject
from life.haima.x402 import permit2, seller_v1, upto
from life.haima.x402.answers import Answer, Declared, IdentifierTerms, Terms, payment_required
from life.haima.x402.bazaar import BAZAAR, BODY_METHODS, Discovery, declare_route
from life.haima.x402.networks import NetworkRegistry, is_solana
from life.haima.x402.price import DEFAULT_TIMEOUT_S, Offer, Price, make_offer, make_solana_offer, parse_price
from life.haima.x402.sign_in import SignIn
from life.haima.x402.svm import require_solana
from life.haima.x402.wire import EIP2612_GAS_SPONSORING, ResourceInfo

FixedPrice: TypeAlias = str | Price | Sequence[str | Price]
"""`"$0.01"`, a Price, or several that a payer may choose from."""
DynamicPrice: TypeAlias = Callable[[Scope], FixedPrice | Awaitable[FixedPrice]]
"""Computes the price of one request. The paid request is priced again, so it must come out equal for the same request
within the payment's time limit; otherwise the payment matches no offer and is refused, uncharged."""

Transfer: TypeAlias = Literal["eip3009", "permit2"]

_METHODS: Final = re.compile(r"[A-Z]+")
_PARAMETER: Final = re.compile(r"\{(\w+)\}|:(\w+)")
_MAX_CACHED_TERMS: Final = 1024


@dataclass(frozen=True)
class Route:
    """A price with options.

    `settle_first` charges before the handler runs, for work that can't be undone or repeated: the payer bears the risk of
    a handler that fails, and is owed a refund then. `stream` does that, too, and lets the answer leave as it is made instead
    of holding it back. `rerun_interrupted` lets a payment run its handler again after the server died in the middle; only
    for handlers that may run twice.

    `scheme="upto"` makes the price a maximum, of which the handler charges what it says in its `Settlement-Overrides` header
    (life.haima.x402.settlement_overrides). `transfer` is how the money moves: `eip3009`, or `permit2` for tokens without
    it; `upto` is always Permit2. `sponsor_allowance` lets payers by Permit2 send the allowance it needs along, as a signed
    EIP-2612 permit, where the facilitator does that.

    `sign_in` lets a wallet that has paid come back without paying again. `discovery` says how the route is called, for the
    catalogues of facilitators. The rest describes the resource.
    """

    price: FixedPrice | DynamicPrice
    settle_first: bool = False
    rerun_interrupted: bool = False
    description: str | None = None
    mime_type: str | None = None
    max_timeout_s: int = DEFAULT_TIMEOUT_S
    stream: bool = False
    scheme: Literal["exact", "upto"] = "exact"
    transfer: Transfer | None = None
    sponsor_allowance: bool = False
    sign_in: SignIn | None = None
    discovery: Discovery | None = None
    service_name: str | None = None
    tags: tuple[str, ...] = ()
    icon_url: str | None = None


Routes: TypeAlias = Mapping[str, "FixedPrice | DynamicPrice | Route"]


class Offers:
    """Makes the offers of prices: to whom, on which network, by which scheme."""

    def __init__(self, *, pay_to: str, network: str, registry: NetworkRegistry) -> None:
        self._pay_to = pay_to
        self._network = network
        self._registry = registry
        self.facilitators: Mapping[str, str] = {}
        """Network → the account that may carry out `upto` payments there, as the facilitator's /supported says."""
        self.fee_payers: Mapping[str, str] = {}
        """Network of Solana → the account that pays the fees there, as the facilitator's /supported says."""

    def of(self, price: FixedPrice, route: Route) -> tuple[Offer, ...]:
        """The offers of one request. InvalidInputError for a price that can't be right; UnavailableError when the
        facilitator has not said yet who carries out `upto` payments."""
        prices = (price,) if isinstance(price, str | Price) else tuple(price)
        if not prices:
            raise InvalidInputError("This route has no price.")
        return tuple(
            self._offer(parse_price(each, network=self._network, registry=self._registry), route) for each in prices
        )

    def networks_of(self, price: FixedPrice) -> frozenset[str]:
        """Where a price can be paid. InvalidInputError for one that can't be right."""
        prices = (price,) if isinstance(price, str | Price) else tuple(price)
        return frozenset(parse_price(each, network=self._network, registry=self._registry).network for each in prices)

    def _offer(self, price: Price, route: Route) -> Offer:
        if is_solana(price.network):
            return self._solana_offer(price, route)
        plain = make_offer(price, price.pay_to or self._pay_to, max_timeout_s=route.max_timeout_s)
        if route.scheme == "exact" and route.transfer != permit2.METHOD:
            return plain
        extra = {**(plain.requirements.extra or {}), "assetTransferMethod": permit2.METHOD}
        if route.scheme == upto.SCHEME:
            facilitator = self.facilitators.get(price.network)
            if facilitator is None:
                raise UnavailableError(
                    f"The facilitator has not said who carries out upto payments on {price.network}.",
                    next_step="Try again when the facilitator answers.",
                )
            extra[upto.FACILITATOR_KEY] = facilitator
        return _other_offer(plain, route.scheme, tuple(sorted(extra.items())))

    def _solana_offer(self, price: Price, route: Route) -> Offer:
        if route.scheme != "exact" or route.transfer is not None:
            raise InvalidInputError(f"On {price.network} only scheme exact is sold, without transfer methods.")
        fee_payer = self.fee_payers.get(price.network)
        if fee_payer is None:
            raise UnavailableError(
                f"The facilitator has not said yet who pays the fees on {price.network}.",
                next_step="Try again when the facilitator answers.",
            )
        return make_solana_offer(price, self._pay_to, fee_payer, max_timeout_s=route.max_timeout_s)


class PaidRoute:
    """A route, ready to be matched and to ask for its price."""

    def __init__(
        self,
        pattern: str,
        route: Route,
        *,
        offers: Offers,
        identifier: IdentifierTerms | None,
        base_url: str | None,
        v1: bool = False,
        registry: NetworkRegistry,
    ) -> None:
        """InvalidInputError for a pattern, a price or options that can't be right."""
        self.pattern: Final = pattern
        self.settle_first: Final = route.settle_first or route.stream
        self.stream: Final = route.stream
        self.rerun_interrupted: Final = route.rerun_interrupted
        self.scheme: Final = route.scheme
        self.sponsors_allowance: Final = route.sponsor_allowance
        self.sign_in: Final = route.sign_in
        self.methods, self.path = _parse_pattern(pattern)
        self._matcher, self.template = _matcher(self.path)
        self._route = route
        self._offers = offers
        self._registry = registry
        self._identifier = identifier
        self._base_url = None if base_url is None else base_url.rstrip("/")
        self._v1 = v1
        self._terms: dict[tuple[bytes, str, str], tuple[Terms, Answer]] = {}
        price = route.price
        self._dynamic: DynamicPrice | None = price if callable(price) else None
        self._check(route)
        self._fixed: tuple[Offer, ...] | None = None
        self.networks: Final = frozenset() if callable(price) else offers.networks_of(price)
        """Where it can be paid; empty for a computed price."""
        if any(is_solana(network) for network in self.networks):
            require_solana()
            self._check_solana(route)
        elif not callable(price) and route.scheme == "exact":
            self._fixed = offers.of(price, route)

    def _check(self, route: Route) -> None:
        """Options that contradict each other."""
        if route.scheme == upto.SCHEME and self.settle_first:
            raise InvalidInputError(f"{self.pattern!r}: what is charged is known after the handler, not before it.")
        if route.scheme == upto.SCHEME and route.transfer not in (None, permit2.METHOD):
            raise InvalidInputError(f"{self.pattern!r}: scheme upto is paid by Permit2 only.")
        if route.sponsor_allowance and route.scheme != upto.SCHEME and route.transfer != permit2.METHOD:
            raise InvalidInputError(f"{self.pattern!r}: only Permit2 needs an allowance.")
        if route.sign_in is not None and callable(route.price):
            raise InvalidInputError(
                f"{self.pattern!r}: signing in needs a fixed price, or a cheap request opens a dear one."
            )
        if route.sign_in is not None and self._base_url is None:
            raise InvalidInputError(
                f"{self.pattern!r}: signing in needs the shop's public address.",
                next_step="Give base_url; the Host header of a request is what its client says.",
            )
        if route.discovery is not None:
            method = next(iter(sorted(self.methods)), "GET") if self.methods is not None else "GET"
            declare_route(route.discovery, method=method, template=self.template, path_params={})

    def _check_solana(self, route: Route) -> None:
        """What Solana has no word for."""
        if route.scheme != "exact" or route.transfer is not None or route.sponsor_allowance:
            raise InvalidInputError(f"{self.pattern!r}: on Solana only scheme exact is sold, without transfer methods.")
        if route.sign_in is not None:
            raise InvalidInputError(f"{self.pattern!r}: wallets of Solana can't sign in.")
        if self._v1:
            raise InvalidInputError(f"{self.pattern!r}: version 1 of x402 is not spoken on Solana.")

    @property
    def is_literal(self) -> bool:
        """Whether the path names exactly one resource."""
        return self._matcher is None

    def matches(self, method: str, path: str) -> bool:
        """Whether a request costs what this route says."""
        if self.methods is not None and method not in self.methods:
            return False
        return path == self.path if self._matcher is None else self._matcher.fullmatch(path) is not None

    def fixed_terms(self, scope: Scope, host: bytes) -> tuple[Terms, Answer] | None:
        """The terms for this request and the answer that asks for them, encoded once per URL; None for a dynamic price,
        and for one whose offers the facilitator has a part in."""
        if self._fixed is None:
            return None
        path: str = scope["path"]
        method = scope["method"] if self._route.discovery is not None else ""
        known = self._terms.get((host, path, method))
        if known is None:
            if len(self._terms) >= _MAX_CACHED_TERMS:
                self._terms.clear()
            known = self._terms[host, path, method] = self._ask(scope, host, self._fixed)
        return known

    async def dynamic_terms(self, scope: Scope, host: bytes) -> tuple[Terms, Answer]:
        """The same for a price that is computed."""
        price = self._route.price
        if callable(price):
            computed = price(scope)
            price = await computed if inspect.isawaitable(computed) else computed
        return self._ask(scope, host, self._offers.of(price, self._route))

    def resource(self, scope: Scope) -> str:
        """What somebody who paid may come back to: method and path."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        return f"{method} {scope['path']}"

    def _ask(self, scope: Scope, host: bytes, offers: tuple[Offer, ...]) -> tuple[Terms, Answer]:
        route = self._route
        info = ResourceInfo(
            url=self._url(scope, host),
            description=route.description,
            mime_type=route.mime_type,
            service_name=route.service_name,
            tags=route.tags or None,
            icon_url=route.icon_url,
        )
        declared: list[Declared] = [] if route.discovery is None else [self._declare(route.discovery, scope)]
        if route.sponsor_allowance:
            declared.append(_SPONSORED)
        v1 = seller_v1.accepts(offers, info, self._registry) if self._v1 else None
        terms = Terms(offers, info, self._identifier, tuple(declared), v1)
        return terms, payment_required(terms)

    def _declare(self, discovery: Discovery, scope: Scope) -> Declared:
        method = scope["method"]
        path_params: dict[str, str] = {}
        if self._matcher is not None:
            found = self._matcher.fullmatch(route_path(scope))
            path_params = {} if found is None else found.groupdict()
        if method in BODY_METHODS or method in ("GET", "HEAD", "DELETE"):
            content = declare_route(discovery, method=method, template=self.template, path_params=path_params)
            return Declared(BAZAAR, content, msgspec.json.encode(content))
        raise InvalidInputError(f"{self.pattern!r}: a {method} request can't be described.")

    def _url(self, scope: Scope, host: bytes) -> str:
        """The resource's URL without its query, which may hold secrets."""
        path: str = scope["path"]
        if self._base_url is not None:
            return self._base_url + path
        return f"{scope.get('scheme', 'http')}://{host.decode('latin-1')}{path}"


class RouteTable:
    """All paid routes: literal ones by a look-up, the others in their order."""

    def __init__(self, routes: Sequence[PaidRoute]) -> None:
        self._routes = tuple(routes)
        self._all_literal = all(route.is_literal for route in routes)
        self._literal: dict[tuple[str, str], PaidRoute] = {}
        for route in routes:
            for method in route.methods or ():
                self._literal.setdefault((method, route.path), route)

    @property
    def networks(self) -> frozenset[str]:
        """Every network on which a fixed price can be paid."""
        return frozenset().union(*(route.networks for route in self._routes))

    def find(self, scope: Scope) -> PaidRoute | None:
        """The route of a request, or None when it is free."""
        path = route_path(scope)
        method = scope["method"]
        found = self._literal.get((method, path)) if self._all_literal else None
        if found is not None:
            return found
        for route in self._routes:
            if route.matches(method, path):
                return route
        return None


def route_path(scope: Scope) -> str:
    """The path that Starlette's router sees: without the prefix under which the application is mounted."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if not root or not path.startswith(root):
        return path
    if path == root:
        return ""
    return path[len(root) :] if path[len(root)] == "/" else path


def _parse_pattern(pattern: str) -> tuple[frozenset[str] | None, str]:
    """Methods (None for all) and path of `"GET /paid"` or `"/paid"`."""
    method, blank, path = pattern.strip().partition(" ")
    if not blank:
        method, path = "*", method
    path = path.strip()
    if not path.startswith("/") or (method != "*" and _METHODS.fullmatch(method) is None):
        raise InvalidInputError(f"{pattern!r} is no route; it must look like 'GET /paid'.")
    if "*" in path[:-1]:
        raise InvalidInputError(f"{pattern!r}: a '*' may only stand at the end of the path.")
    if method == "*":
        return None, path
    return frozenset({"GET", "HEAD"} if method == "GET" else {method}), path


def _matcher(path: str) -> tuple[re.Pattern[str] | None, str | None]:
    """A regular expression for a path with parameters, whose groups have their names, and the path as a catalogue writes it
    (`/users/:id`); None twice for a literal one."""
    if "*" not in path and _PARAMETER.search(path) is None:
        return None, None
    expression, template, end = "", "", 0
    for parameter in _PARAMETER.finditer(path):
        literal, name = path[end : parameter.start()], parameter[1] or parameter[2]
        expression += f"{re.escape(literal)}(?P<{name}>[^/]+)"
        template += f"{literal}:{name}"
        end = parameter.end()
    rest = path[end:]
    if rest.endswith("*"):
        expression += re.escape(rest[:-1]) + "(?P<rest>.*)"
        template += rest[:-1] + ":rest"
    else:
        expression += re.escape(rest)
        template += rest
    try:
        return re.compile(expression, re.DOTALL), template
    except re.error as error:
        raise InvalidInputError(f"{path!r} is no path with parameters: {error}.") from None


def _sponsored() -> Declared:
    text = {"type": "string"}
    names = ("from", "asset", "spender", "amount", "nonce", "deadline", "signature", "version")
    content: JsonObject = {
        "info": {"description": "The facilitator sends an EIP-2612 permit for Permit2 along.", "version": "1"},
        "schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": dict.fromkeys(names, text),
            "required": list(names),
        },
    }
    return Declared(EIP2612_GAS_SPONSORING, content, msgspec.json.encode(content))


_SPONSORED: Final = _sponsored()


@lru_cache(maxsize=4096)
def _other_offer(plain: Offer, scheme: str, extra: tuple[tuple[str, str], ...]) -> Offer:
    """The offer for another scheme or transfer method; the same parts give the same offer."""
    changed = msgspec.structs.replace(plain.requirements, scheme=scheme, extra=dict(extra))
    return Offer(changed, plain.amount_micro)


__all__: list[Any] = [
    "DynamicPrice",
    "FixedPrice",
    "Offers",
    "PaidRoute",
    "Route",
    "RouteTable",
    "Routes",
    "route_path",
]
