"""A small shop for trying things out: what `haima serve` serves.

    /paid   costs the price           answers {"route", "method", "runs"}
    /free   costs nothing             the same
    /fail   costs the same            its handler answers 500, so it is never charged
    /hits   costs nothing             how often each handler ran: {"paid": 1, "free": 0, "fail": 0}

`runs` counts from the start of the process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp

from life.haima.x402.paid_routes import DynamicPrice, FixedPrice, Route

_METHODS: Final = ["GET", "POST", "PUT", "DELETE"]
_NAMES: Final = ("paid", "free", "fail")
_encode: Final = msgspec.json.Encoder().encode


def demo_seller_app(
    price: FixedPrice | DynamicPrice, seller: Callable[[ASGIApp, dict[str, Route]], ASGIApp]
) -> Starlette:
    """The shop. `seller` puts an X402Middleware with these routes around an application::

    demo_seller_app("$0.01", lambda app, routes: X402Middleware(app, routes=routes, pay_to=…, …))
    """
    hits = dict.fromkeys(_NAMES, 0)

    def answering(name: str, status: int) -> StarletteRoute:
        async def answer(request: Request) -> Response:
            hits[name] += 1
            body = {"route": name, "method": request.method, "runs": hits[name]}
            return Response(_encode(body), status, media_type="application/json")

        return StarletteRoute(f"/{name}", answer, methods=_METHODS)

    async def count(_: Request) -> Response:
        return Response(_encode(hits), media_type="application/json", headers={"cache-control": "no-store"})

    routes = [
        answering("paid", 200),
        answering("free", 200),
        answering("fail", 500),
        StarletteRoute("/hits", count, methods=["GET"]),
    ]
    prices = {f"/{name}": Route(price, description=f"the {name} route of a demo shop") for name in ("paid", "fail")}

    def middleware(app: ASGIApp) -> ASGIApp:
        return seller(app, prices)

    return Starlette(routes=routes, middleware=[Middleware(middleware)])
