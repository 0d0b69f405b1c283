"""Prices as FastAPI dependencies: read from the routes, sold by the middleware, told by OpenAPI, refused without it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import StreamingResponse

from life.aios.errors import InvalidInputError, UnavailableError
from life.haima.x402.fastapi_charge import Charge, charge, charged_routes
from life.haima.x402.middleware import X402Middleware
from life.haima.x402.networks import LOCAL
from life.haima.x402.sale import Payment
from life.haima.x402.sign_in import Visitor
from life.testing.chain import PAYEE, PAYER
from tests.haima.loopback import free_listener, served
from tests.haima.shop import PRICE_ATOMIC, Shop, plain_app, settlement_of


def inner_dependency(paid: Annotated[Payment | Visitor, Depends(charge("$0.01", settle_first=True))]) -> str:
    """A dependency that itself costs something."""
    return "through"


def application() -> FastAPI:
    """A shop whose prices stand beside its handlers, in the application and in nested routers."""
    app = FastAPI()

    @app.get("/report")
    async def report(paid: Annotated[Payment | Visitor, Depends(charge("$0.01"))]) -> dict[str, object]:
        return {"payer": getattr(paid, "payer", None)}

    @app.get("/free")
    async def free() -> dict[str, str]:
        return {"free": "yes"}

    inner = APIRouter(prefix="/items")

    @inner.get("/{item:int}")
    @inner.put("/{item:int}")
    async def item(item: int, via: Annotated[str, Depends(inner_dependency)]) -> dict[str, object]:
        return {"item": item, "via": via}

    @inner.get("/files/{name:path}", dependencies=[Depends(charge("$0.01"))])
    async def files(name: str) -> dict[str, str]:
        return {"name": name}

    @inner.get("/stream", dependencies=[Depends(charge("$0.01", stream=True))])
    async def stream() -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"one "
            yield b"two"

        return StreamingResponse(body())

    outer = APIRouter(prefix="/v1")
    outer.include_router(inner)
    app.include_router(outer)
    return app


def selling(app: FastAPI, shop: Shop) -> None:
    """Put the till around the application."""
    app.add_middleware(
        X402Middleware,
        routes=charged_routes(app),
        pay_to=PAYEE,
        network=LOCAL,
        facilitator=shop.facilitator,
        journal=shop.journal,
        clock=shop.clock,
        entropy=shop.entropy,
        sole_server=True,
    )


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """A ledger with a payer who has money."""
    made = Shop(app=plain_app, routes={"/unused": "$0.01"})
    await made.fund()
    yield made
    await made.aclose()


async def test_charged_handlers_are_sold(shop: Shop) -> None:
    """On a real server: dependencies of the application, of nested routers, and behind other dependencies have their price."""
    app = application()
    selling(app, shop)
    async with served(app, free_listener()) as url, httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        assert (await client.get("/free")).json() == {"free": "yes"}
        for number, (method, path, body) in enumerate(
            [
                ("GET", "/report", {"payer": PAYER}),
                ("GET", "/v1/items/7", {"item": 7, "via": "through"}),
                ("PUT", "/v1/items/7", {"item": 7, "via": "through"}),
                ("GET", "/v1/items/files/a/b.txt", {"name": "a/b.txt"}),
            ],
            start=1,
        ):
            assert (await client.request(method, path)).status_code == 402
            paid = await client.request(method, path, headers={"PAYMENT-SIGNATURE": shop.pay(number)})
            assert (paid.status_code, paid.json()) == (200, body)
            assert settlement_of(paid).success
        streamed = await client.get("/v1/items/stream", headers={"PAYMENT-SIGNATURE": shop.pay(9)})
        assert streamed.text == "one two"
        assert await shop.earned() == await shop.booked() == 5 * PRICE_ATOMIC


def test_routes_are_found_with_their_options() -> None:
    """Every method and path once, parameters without their types, options kept."""
    found = charged_routes(application())
    assert sorted(found) == [
        "GET /report",
        "GET /v1/items/files/*",
        "GET /v1/items/stream",
        "GET /v1/items/{item}",
        "PUT /v1/items/{item}",
    ]
    assert found["GET /v1/items/stream"].stream
    assert found["PUT /v1/items/{item}"].settle_first
    assert len(found) == 5


def test_openapi_tells_the_price() -> None:
    """The paid operation names the scheme and its 402; a free one doesn't."""
    app = application()
    assert len(charged_routes(app)) == 5
    document = app.openapi()
    scheme = document["components"]["securitySchemes"]["x402"]
    assert (scheme["in"], scheme["name"]) == ("header", "PAYMENT-SIGNATURE")
    paid = document["paths"]["/report"]["get"]
    assert paid["security"] == [{"x402": []}]
    assert "$0.01" in paid["responses"]["402"]["description"]
    assert "security" not in document["paths"]["/free"]["get"]


async def test_forgotten_middleware_is_refused() -> None:
    """A priced handler without a till does not work for nothing."""
    app = application()
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        with pytest.raises(UnavailableError, match="nobody asks for it"):
            await client.get("/report")


def test_two_prices_are_a_mistake() -> None:
    """A handler costs one price, and a path parameter is priced at the end only."""
    app = FastAPI()

    @app.get("/two", dependencies=[Depends(charge("$0.01")), Depends(charge("$0.02"))])
    async def two() -> None: ...

    with pytest.raises(InvalidInputError, match="more than one price"):
        len(charged_routes(app))
    odd = FastAPI()

    @odd.get("/{name:path}/end", dependencies=[Depends(charge("$0.01"))])
    async def middle(name: str) -> None: ...

    with pytest.raises(InvalidInputError, match="at the end"):
        list(charged_routes(odd))


def test_dependency_is_named_after_its_price() -> None:
    """Prices of every form are told in words."""

    def computed(scope: Any) -> str:
        return "$1"

    assert isinstance(charge(computed), Charge)
    app = FastAPI()

    @app.get("/x", dependencies=[Depends(charge(["$0.01", "$0.02"]))])
    async def x() -> None: ...

    @app.get("/y", dependencies=[Depends(charge(computed))])
    async def y() -> None: ...

    assert len(charged_routes(app)) == 2
    paths = app.openapi()["paths"]
    assert "$0.01 or $0.02" in paths["/x"]["get"]["responses"]["402"]["description"]
    assert "depends on the request" in paths["/y"]["get"]["responses"]["402"]["description"]
