"""What the host opens for sellers whose application is no ASGI middleware: `ChargeWsgi` and `open_till`; and `haima discover`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from click.testing import CliRunner

from life.aios.errors import InvalidInputError
from life.cli.haima_discover import discover
from life.haima.x402.catalogue import Filter
from life.haima.x402.wire import decode_payment_required
from life.host.haima_seller import ChargeWsgi, open_till
from tests.haima.test_bazaar import MARKET, catalogue, catalogue_server, listed

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

SELLER = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
NOBODY = "http://127.0.0.1:9"


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """All is well."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"all is well"]


def ask(app: ChargeWsgi, path: str) -> tuple[str, dict[str, str], bytes]:
    """One request without a server."""
    seen: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: object = None, /) -> Any:
        seen.append((status, headers))

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "", "HTTP_HOST": "shop.test"}
    body = b"".join(app(environ, start))
    return seen[0][0], {name.lower(): value for name, value in seen[0][1]}, body


def test_wsgi_middleware_brings_everything(tmp_path: Path) -> None:
    """It opens with the first request, asks with the right terms, leaves the rest alone, keeps its journal, and closes."""
    selling = ChargeWsgi(
        application,
        routes={"GET /report": "$0.01"},
        pay_to=SELLER.lower(),
        network="base-sepolia",
        facilitator=NOBODY,
        directory=tmp_path / "shop",
        accept_v1=True,
    )
    try:
        status, headers, body = ask(selling, "/report")
        assert status == "402 Payment Required"
        (offer,) = decode_payment_required(headers["payment-required"]).requirements()
        assert (offer[1].pay_to, offer[1].network) == (SELLER, "eip155:84532")
        assert json.loads(body)["x402Version"] == 1
        assert ask(selling, "/free")[2] == b"all is well"
        assert (tmp_path / "shop" / "journal.db").exists()
    finally:
        selling.close()
        selling.close()


@pytest.mark.parametrize(("pay_to", "network"), [("bob", "base"), (SELLER, "nowhere")])
def test_wsgi_mistakes_are_found_at_once(tmp_path: Path, pay_to: str, network: str) -> None:
    """A wrong address or network does not wait for the first request."""
    with pytest.raises(InvalidInputError):
        ChargeWsgi(
            application,
            routes={"/x": "$1"},
            pay_to=pay_to,
            network=network,
            facilitator=NOBODY,
            directory=tmp_path,
        )


async def test_till_is_open_inside_the_block(tmp_path: Path) -> None:
    """A till with its journal; without its facilitator it starts all the same."""
    async with open_till(pay_to=SELLER, network="base", facilitator=NOBODY, directory=tmp_path / "till") as till:
        table = till.table({"GET /x": "$0.01"})
        assert table.networks == frozenset({"eip155:8453"})
        assert await till.start() == 0
    assert (tmp_path / "till" / "journal.db").exists()


async def _pages() -> dict[str, tuple[int, bytes]]:
    found = catalogue()
    await listed(found, description="forecast", serviceName="Weather")
    return {
        "/discovery/resources": (200, msgspec.json.encode(await found.page(Filter()))),
        "/discovery/search": (200, msgspec.json.encode(await found.search("forecast", Filter()))),
    }


@pytest.mark.parametrize("query", [[], ["forecast"]])
def test_discover_prints_tables_and_json(query: list[str]) -> None:
    """`haima discover` reads a facilitator's catalogue, for people and for programs."""
    answers = asyncio.run(_pages())
    with catalogue_server(answers) as (url, handler):
        told = CliRunner().invoke(discover, [*query, "--facilitator", url])
        assert told.exit_code == 0, told.output
        assert "https://shop.example/weather" in told.output
        assert "forecast" in told.output
        document = json.loads(CliRunner().invoke(discover, [*query, "--facilitator", url, "--json"]).output)
        (offering,) = document["offerings"]
        assert (offering["name"], offering["method"], offering["type"]) == ("Weather", "GET", "http")
        assert any("search" in path for path in handler.asked) is bool(query)


def test_discover_says_what_is_wrong() -> None:
    """No catalogue there, plain HTTP to elsewhere, nothing found: one sentence each, never a traceback."""
    runner = CliRunner()
    gone = runner.invoke(discover, ["--facilitator", NOBODY])
    assert gone.exit_code == 1
    assert "does not answer" in gone.stderr
    plain = runner.invoke(discover, ["--facilitator", "http://market.example"])
    assert plain.exit_code == 1
    assert "plain HTTP" in plain.stderr
    empty = {"/discovery/search": (200, b'{"resources":[]}'), "/discovery/resources": (200, MARKET)}
    with catalogue_server(empty) as (url, _):
        assert "Nothing is listed" in runner.invoke(discover, ["weather", "--facilitator", url]).output
