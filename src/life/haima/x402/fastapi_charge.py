"""Prices beside the handlers of a FastAPI application, as a dependency.

    @app.get("/report")
    async def report(paid: Annotated[Payment | Visitor, Depends(charge("$0.01"))]) -> Report: ...

    app.add_middleware(life.Charge, routes=charged_routes(app), pay_to="0x…", network="base", facilitator="https://…")

A dependency can't hold an answer back, so it does not sell: the middleware does, and reads the prices from the routes when the
application starts. What the dependency adds is that price and handler stand together, that OpenAPI tells the price, that the
handler learns who paid, and that a handler whose middleware was forgotten refuses (503) instead of working for nothing.

Needs FastAPI (extra `fastapi`), which is imported here and nowhere else; without it, importing this module is a
MissingExtraError.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from life.aios.errors import InvalidInputError, MissingExtraError, UnavailableError

try:
    from fastapi import FastAPI, Request
    from fastapi import routing as fastapi_routing
    from fastapi.dependencies.models import Dependant
    from fastapi.openapi.models import APIKey, APIKeyIn
    from fastapi.security.base import SecurityBase
except ImportError:
    raise MissingExtraError("Prices in FastAPI", "fastapi") from None

from life.haima.x402.paid_routes import DynamicPrice, FixedPrice, Route
from life.haima.x402.price import Price
from life.haima.x402.sale import Payment
from life.haima.x402.sign_in import Visitor
from life.haima.x402.wire import PAYMENT_SIGNATURE

_CONVERTER: Final = re.compile(r"\{(\w+):(\w+)\}")


class Charge(SecurityBase):
    """What `charge` gives: a dependency that is worth the payment it returns."""

    def __init__(self, route: Route) -> None:
        self.route: Final = route
        self.scheme_name = "x402"
        self.model = APIKey.model_validate(
            {
                "in": APIKeyIn.header,
                "name": PAYMENT_SIGNATURE,
                "description": "A payment by x402. Without it the answer is 402 with the terms in PAYMENT-REQUIRED.",
            }
        )

    async def __call__(self, request: Request) -> Payment | Visitor:
        """The payment that this request was paid with, or who came back signed in."""
        found = request.scope.get("x402")
        if isinstance(found, Payment | Visitor):
            return found
        raise UnavailableError(
            "This route has a price, and nobody asks for it.",
            next_step="Add life.Charge with routes=charged_routes(app) to the application.",
        )


def charge(price: FixedPrice | DynamicPrice, **options: Any) -> Charge:
    """A dependency for a handler that costs something. `options` are those of `Route`, such as `settle_first=True`."""
    return Charge(Route(price, **options))


class ChargedRoutes(Mapping[str, Route]):
    """The prices that the routes of an application depend on, read when they are first asked for."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._found: dict[str, Route] | None = None

    def __getitem__(self, pattern: str) -> Route:
        return self._routes()[pattern]

    def __iter__(self) -> Iterator[str]:
        return iter(self._routes())

    def __len__(self) -> int:
        return len(self._routes())

    def _routes(self) -> dict[str, Route]:
        if self._found is None:
            self._found = dict(_charged(self._app))
        return self._found


def charged_routes(app: FastAPI) -> ChargedRoutes:
    """The `routes` of a middleware: every handler of the application that depends on a `charge`.

    InvalidInputError (when the application starts) for a handler with two prices, or a path that can't be priced. Mounted
    applications are not looked into; they take a middleware of their own.
    """
    return ChargedRoutes(app)


def _charged(app: FastAPI) -> Iterator[tuple[str, Route]]:
    for context in _contexts(app):
        dependant = getattr(context, "dependant", None)
        methods, path = getattr(context, "methods", None), getattr(context, "path", None)
        if not isinstance(dependant, Dependant) or not isinstance(path, str):
            continue
        charges = list(_charges_in(dependant))
        if not charges:
            continue
        if len({id(each) for each in charges}) > 1:
            raise InvalidInputError(f"The handler of {path} has more than one price.")
        responses = getattr(context, "responses", None)
        if isinstance(responses, dict):
            responses.setdefault(402, {"description": f"Costs {_told(charges[0].route.price)}; see PAYMENT-REQUIRED."})
        for method in sorted(methods or ()):
            yield f"{method} {_pattern(path)}", charges[0].route


def _contexts(app: FastAPI) -> Iterator[object]:
    """Every route with its whole path; included routers are one object each since FastAPI 0.14x."""
    each = getattr(fastapi_routing, "iter_route_contexts", None)
    yield from app.routes if each is None else each(app.routes)


def _charges_in(dependant: Dependant) -> Iterator[Charge]:
    if isinstance(dependant.call, Charge):
        yield dependant.call
    for inner in dependant.dependencies:
        yield from _charges_in(inner)


def _pattern(path: str) -> str:
    """Starlette's path as a price's pattern: typed parameters lose their type, a path at the end becomes `*`."""

    def plain(match: re.Match[str]) -> str:
        if match[2] != "path":
            return "{" + match[1] + "}"
        if match.end() != len(path):
            raise InvalidInputError(f"{path!r}: a path parameter can only be priced at the end.")
        return "*"

    return _CONVERTER.sub(plain, path)


def _told(price: FixedPrice | DynamicPrice) -> str:
    """A price, for people."""
    if callable(price):
        return "an amount that depends on the request"
    prices = (price,) if isinstance(price, str | Price) else tuple(price)
    told = [each if isinstance(each, str) else f"{each.amount_atomic} atomic units of {each.asset}" for each in prices]
    return " or ".join(told)


__all__ = ["Charge", "ChargedRoutes", "charge", "charged_routes"]
