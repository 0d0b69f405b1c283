"""haimad's application over a journal in memory, and its books."""

from __future__ import annotations

import asyncio

import pytest

from life.aios.errors import InvalidInputError
from life.aios.ports.journal import Journal
from life.aios.record import Stream
from life.haima.events import RevenueReceived, finance_event
from life.host.haima_facilitator import Settlement, open_settler
from life.host.haimad import Books, parse_bind
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.host.finance_daemon import TOKEN, open_daemon


async def earn(journal: Journal, amounts: list[int]) -> None:
    """Append revenue."""
    clock, entropy = ManualClock(), SeededEntropy(str(amounts))
    await journal.append(
        [
            finance_event(
                RevenueReceived(tx_hash="local:1", amount_micro_credits=amount, payer_address="0x", resource_url="x"),
                clock,
                entropy,
                stream=Stream("sales"),
                agent_id="seller",
            )
            for amount in amounts
        ]
    )


async def test_the_books_say_how_far_they_were_read() -> None:
    """Empty, then folded further with every reading; many readers at once see the same and count nothing twice."""
    async with MemoryJournal() as journal:
        books = Books(journal)
        assert (await books.read()).as_of_seq == 0
        await earn(journal, [5, 7])
        first = await books.read()
        assert (first.total_revenue, first.revenue_count, first.as_of_seq) == (12, 2, 2)
        await earn(journal, [1] * 2500)  # more than two pages
        for summary in await asyncio.gather(*(books.read() for _ in range(8))):
            assert (summary.total_revenue, summary.as_of_seq) == (2512, 2502)
        assert (await Books(journal).read()) == (await books.read())


async def test_what_is_open_and_what_wants_the_token() -> None:
    """Health and x402's routes are open; the state, the old facilitation and the API's description are not."""
    async with open_daemon() as daemon:
        client = daemon.client
        assert (await client.get("/health")).json()["status"] == "ok"
        assert (await client.get("/supported")).json()["kinds"][0]["network"] == "eip155:4020402"
        assert (await client.post("/verify", content=b"{}")).status_code == 400
        assert (await client.post("/settle", content=b"{}")).status_code == 400
        for method, path in (("GET", "/state"), ("POST", "/v1/facilitate"), ("GET", "/openapi.json")):
            refused = await client.request(method, path)
            assert (refused.status_code, refused.json()["code"]) == (401, "host.unauthorized")
        known = {"authorization": f"Bearer {TOKEN}"}
        assert (await client.get("/state", headers=known)).json()["net_balance"] == 0
        assert (await client.post("/v1/facilitate", headers=known, content=b"{")).status_code == 400
        described = (await client.get("/openapi.json", headers=known)).json()["paths"]
        assert {"/health", "/state", "/v1/facilitate", "/verify", "/settle", "/supported"} <= set(described)
        assert (await client.get("/nothing", headers=known)).json()["code"] == "http.404"


async def test_pages_elsewhere_can_not_use_it() -> None:
    """A foreign Host or Origin is refused, also at what is open."""
    async with open_daemon() as daemon:
        client = daemon.client
        assert (await client.get("/supported", headers={"host": "evil.example"})).status_code == 403
        assert (await client.get("/supported", headers={"origin": "http://evil.example"})).status_code == 403


def test_addresses_to_listen_on() -> None:
    """IPv4, IPv6 in brackets, names; nothing without a port."""
    assert parse_bind("127.0.0.1:3003") == ("127.0.0.1", 3003)
    assert parse_bind("[::1]:0") == ("::1", 0)
    assert parse_bind("localhost:80") == ("localhost", 80)
    for wrong in ("", "127.0.0.1", "127.0.0.1:", ":3003", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1"):
        with pytest.raises(InvalidInputError):
            parse_bind(wrong)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (Settlement("base"), "real money"),
        (Settlement("eip155:31337"), "real money"),
        (Settlement("local", asset="0x12"), "asset"),
        (Settlement("local", rpc_url="http://127.0.0.1:9", asset="0x12"), "Play money"),
        (Settlement("local", rpc_url="http://127.0.0.1:9"), "key"),
        (Settlement("nowhere"), "EVM network"),
    ],
)
async def test_settlements_that_do_not_fit_together_are_refused(where: Settlement, words: str) -> None:
    """Before anything is sent anywhere."""
    async with MemoryJournal() as journal:
        with pytest.raises(InvalidInputError, match=words):
            async with open_settler(where, journal, ManualClock(), SeededEntropy("x")):
                pass
