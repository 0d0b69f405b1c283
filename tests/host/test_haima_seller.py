"""Prices of the shop, and selling with one middleware."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message

from life.aios.errors import InvalidInputError, UnavailableError
from life.host.haima_facilitator import parse_funds
from life.host.haima_seller import Charge, ShopTerms, shop_price

SELLER = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
USDC_BASE = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
USDC_BASE_SEPOLIA = "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
NOBODY = "http://127.0.0.1:9"


TERMS = ShopTerms(facilitator=NOBODY, pay_to=SELLER, network="base-sepolia")


def test_a_price_is_in_the_networks_token_unless_another_is_named() -> None:
    """The known token brings its domain: USDC's name differs between Base and Base Sepolia."""
    price = shop_price(TERMS)
    assert (price.amount_atomic, price.network, price.asset) == (10_000, "eip155:84532", USDC_BASE_SEPOLIA)
    assert (price.token_name, price.amount_micro) == ("USDC", 10_000)
    assert shop_price(TERMS._replace(network="base", asset=USDC_BASE.lower())).token_name == "USD Coin"


def test_an_unknown_token_needs_its_domain() -> None:
    """Its name and version are what a signature is bound to; its value in dollars stays unknown."""
    with pytest.raises(InvalidInputError) as refused:
        shop_price(TERMS._replace(asset=SELLER))
    assert "--token-name" in str(refused.value.next_step)
    price = shop_price(TERMS._replace(asset=SELLER, token_name="Coin", token_version="1"))
    assert (price.token_name, price.token_version, price.amount_micro) == ("Coin", "1", None)


@pytest.mark.parametrize(
    "changed",
    [
        TERMS._replace(price_atomic=0),
        TERMS._replace(price_atomic=2**256),
        TERMS._replace(network="nowhere"),
        TERMS._replace(network="eip155:31337"),
        TERMS._replace(asset="0x12"),
        TERMS._replace(token_name="USD Coin"),
        TERMS._replace(token_version="1"),
    ],
)
def test_terms_that_nobody_could_pay_are_refused(changed: ShopTerms) -> None:
    """Also a domain that contradicts a known token."""
    with pytest.raises(InvalidInputError):
        shop_price(changed)


def test_play_money_is_given_by_address_and_amount() -> None:
    """`ADDRESS=ATOMIC`; anything else is refused."""
    assert parse_funds((f"{SELLER.lower()}=5", f"{USDC_BASE}= 7 ")) == {SELLER: 5, USDC_BASE: 7}
    for wrong in (SELLER, f"{SELLER}=", f"{SELLER}=-1", f"{SELLER}=0", f"{SELLER}=1.5", "=5", "0x12=5"):
        with pytest.raises(InvalidInputError):
            parse_funds((wrong,))


async def report(_: Request) -> PlainTextResponse:
    return PlainTextResponse("all is well")


def charging(directory: Path) -> Charge:
    """An application that sells /report and gives /free away."""
    app = Starlette(routes=[Route("/report", report), Route("/free", report)])
    return Charge(
        app,
        routes={"GET /report": "$0.01"},
        pay_to=SELLER,
        network="base-sepolia",
        facilitator=NOBODY,
        directory=directory,
    )


async def test_one_middleware_charges_and_leaves_the_rest_alone(tmp_path: Path) -> None:
    """Opened by lifespan: what costs money is asked for, with the right terms; everything else passes."""
    app = charging(tmp_path / "shop")
    incoming: list[Message] = [{"type": "lifespan.startup"}]
    said: list[str] = []

    async def receive() -> Message:
        if incoming:
            return incoming.pop(0)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://shop") as client:
            unpaid = await client.get("/report")
            assert unpaid.status_code == 402
            required = json.loads(base64.b64decode(unpaid.headers["payment-required"]))
            (offer,) = required["accepts"]
            assert (offer["amount"], offer["payTo"], offer["asset"]) == ("10000", SELLER, USDC_BASE_SEPOLIA)
            assert (await client.get("/free")).text == "all is well"
        return {"type": "lifespan.shutdown"}

    async def send(message: Message) -> None:
        said.append(message["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert (tmp_path / "shop" / "journal.db").exists()


async def test_without_lifespan_it_says_what_is_missing(tmp_path: Path) -> None:
    """A server that does not start applications would otherwise sell nothing, or give everything away."""
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=charging(tmp_path / "shop")), base_url="http://shop"
    ) as client:
        with pytest.raises(UnavailableError, match="lifespan"):
            await client.get("/report")


def test_mistakes_are_found_when_it_is_added(tmp_path: Path) -> None:
    """A wrong address or network does not wait for the first request."""
    app = Starlette()
    for pay_to, network in (("bob", "base"), (SELLER, "nowhere")):
        with pytest.raises(InvalidInputError):
            Charge(
                app,
                routes={"/x": "$1"},
                pay_to=pay_to,
                network=network,
                facilitator=NOBODY,
                directory=tmp_path,
            )
