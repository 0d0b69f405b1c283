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
from typing import Any, Final, TypeAlias

from starlette.types import Scope

from life.aios.errors import InvalidInputError
from life.haima.x402.answers import Answer, IdentifierTerms, Terms, payment_required
from life.haima.x402.networks import NetworkRegistry
from life.haima.x402.price import DEFAULT_TIMEOUT_S, Offer, Price, make_offer, parse_price
from life.haima.x402.wire import ResourceInfo

FixedPrice: TypeAlias = str | Price | Sequence[str | Price]
"""`"$0.01"`, a Price, or several that a payer may choose from."""
DynamicPrice: TypeAlias = Callable[[Scope], FixedPrice | Awaitable[FixedPrice]]
"""Computes the price of one request. The paid request is priced again, so it must come out equal for the same request
within the payment's time limit; otherwise the payment matches no offer and is refused, uncharged."""

_METHODS: Final = re.compile(r"[A-Z]+")
_PARAMETER: Final = re.compile(r"\{(\w+)\}|:(\w+)")
_MAX_CACHED_TERMS: Final = 1024


@dataclass(frozen=True)
class Route:
    """A price with options.

    `settle_first` charges before the handler runs, for work that can't be undone or repeated: the payer bears the risk of
    a handler that fails, and is owed a refund then. `rerun_interrupted` lets a payment run its handler again after the
    server died in the middle; only for handlers that may run twice. `description` and `mime_type` describe the resource.
    """

    price: FixedPrice | DynamicPrice
    settle_first: bool = False
    rerun_interrupted: bool = False
    description: str | None = None
    mime_type: str | None = None
    max_timeout_s: int = DEFAULT_TIMEOUT_S


Routes: TypeAlias = Mapping[str, "FixedPrice | DynamicPrice | Route"]


class PaidRoute:
    """A route, ready to be matched and to ask for its price."""

    def __init__(
        self,
        pattern: str,
        route: Route,
        *,
        pay_to: str,
        network: str,
        registry: NetworkRegistry,
        identifier: IdentifierTerms | None,
        base_url: str | None,
    ) -> None:
        """InvalidInputError for a pattern or a price that can't be right."""
        self.pattern: Final = pattern
        self.settle_first: Final = route.settle_first
        self.rerun_interrupted: Final = route.rerun_interrupted
        self.methods, self.path = _parse_pattern(pattern)
        self._matcher = _matcher(self.path)
        self._route = route
        self._pay_to = pay_to
        self._network = network
        self._registry = registry
        self._identifier = identifier
        self._base_url = None if base_url is None else base_url.rstrip("/")
        self._terms: dict[tuple[bytes, str], tuple[Terms, Answer]] = {}
        price = route.price
        self._dynamic: DynamicPrice | None = price if callable(price) else None
        self._offers = () if callable(price) else self._make_offers(price)

    @property
    def networks(self) -> frozenset[str]:
        """Where it can be paid; empty for a computed price."""
        return frozenset(offer.requirements.network for offer in self._offers)

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
        """The terms for this request and the answer that asks for them, encoded once per URL; None for a dynamic price."""
        if self._dynamic is not None:
            return None
        path: str = scope["path"]
        known = self._terms.get((host, path))
        if known is None:
            if len(self._terms) >= _MAX_CACHED_TERMS:
                self._terms.clear()
            known = self._terms[host, path] = self._ask(self._url(scope, host), self._offers)
        return known

    async def dynamic_terms(self, scope: Scope, host: bytes) -> tuple[Terms, Answer]:
        """The same for a price that is computed."""
        assert self._dynamic is not None  # fixed_terms has answered for the others
        priced = self._dynamic(scope)
        offers = self._make_offers(await priced if inspect.isawaitable(priced) else priced)
        return self._ask(self._url(scope, host), offers)

    def _ask(self, url: str, offers: tuple[Offer, ...]) -> tuple[Terms, Answer]:
        resource = ResourceInfo(url=url, description=self._route.description, mime_type=self._route.mime_type)
        terms = Terms(offers, resource, self._identifier)
        return terms, payment_required(terms)

    def _make_offers(self, price: FixedPrice) -> tuple[Offer, ...]:
        prices = [price] if isinstance(price, str | Price) else list(price)
        if not prices:
            raise InvalidInputError(f"The route {self.pattern!r} has no price.")
        return tuple(
            make_offer(
                parse_price(each, network=self._network, registry=self._registry),
                self._pay_to,
                max_timeout_s=self._route.max_timeout_s,
            )
            for each in prices
        )

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


def _matcher(path: str) -> re.Pattern[str] | None:
    """A regular expression for a path with parameters; None for a literal one."""
    if "*" not in path and _PARAMETER.search(path) is None:
        return None
    expression, end = "", 0
    for parameter in _PARAMETER.finditer(path):
        expression += re.escape(path[end : parameter.start()]) + "[^/]+"
        end = parameter.end()
    rest = path[end:]
    expression += re.escape(rest[:-1]) + ".*" if rest.endswith("*") else re.escape(rest)
    return re.compile(expression, re.DOTALL)


__all__: list[Any] = ["DynamicPrice", "FixedPrice", "PaidRoute", "Route", "RouteTable", "Routes", "route_path"]
