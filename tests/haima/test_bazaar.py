"""Bazaar declarations, the catalogue of a facilitator, its HTTP API, and the client that reads such catalogues."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import httpx2
import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from starlette.applications import Starlette
from x402.extensions.bazaar import extract_discovery_info, validate_discovery_extension
from x402.extensions.bazaar.facilitator import validate_discovery_extension_spec
from x402.extensions.bazaar.facilitator_client import (
    ListDiscoveryResourcesParams,
    SearchDiscoveryResourcesParams,
    with_bazaar,
)
from x402.http import FacilitatorConfig, HTTPFacilitatorClientSync

from life.aios.errors import InvalidInputError, UnavailableError
from life.haima.api import facilitator_operations, routes
from life.haima.discovery_api import discovery_operations, with_extension_responses
from life.haima.errors import PaymentRefusedError
from life.haima.x402 import codes, wire
from life.haima.x402.bazaar import (
    Discovery,
    ToolDiscovery,
    declare_route,
    declare_tool,
    is_public_host,
    is_route_template,
    read_listing,
)
from life.haima.x402.catalogue import STREAM, Catalogue, CataloguingFacilitator, Filter, extension_responses
from life.haima.x402.discovery import Discovery as DiscoveryClient
from life.haima.x402.networks import LOCAL
from life.haima.x402.paid_routes import Route
from life.host.http.problem import EXCEPTION_HANDLERS
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.loopback import free_listener, served
from tests.haima.shop import OFFER, PRICE, Shop, edited, error_of, plain_app

WEATHER = Discovery(
    query={"city": "Oslo"},
    query_schema={"properties": {"city": {"type": "string"}}, "required": ["city"]},
    output={"temperature": 7},
)
SEARCHED = Discovery(body={"q": "x"}, body_schema={"type": "object", "properties": {"q": {"type": "string"}}})


def payment(
    extension: dict[str, Any] | None, *, url: str = "https://shop.example/weather", **resource: Any
) -> wire.PaymentPayload:
    """A payment that declares something. Its authorization does not matter here."""
    return wire.PaymentPayload(
        x402_version=2,
        accepted=Raw(OFFER.raw),
        payload=wire.to_raw({}),
        resource=wire.to_raw({"url": url, **resource}),
        extensions=wire.to_raw({} if extension is None else {"bazaar": extension}),
    )


def declared(**changes: Any) -> dict[str, Any]:
    """A good declaration of a GET route, with parts replaced."""
    return {**json.loads(json.dumps(declare_route(WEATHER, method="GET", template=None, path_params={}))), **changes}


# ---- declarations


@pytest.mark.parametrize(
    "declaration",
    [
        declare_route(WEATHER, method="GET", template=None, path_params={}),
        declare_route(SEARCHED, method="POST", template=None, path_params={}),
        declare_route(WEATHER, method="GET", template="/users/:id", path_params={"id": "7"}),
        declare_route(Discovery(), method="DELETE", template=None, path_params={}),
        declare_route(Discovery(body="text", body_type="text"), method="PUT", template=None, path_params={}),
        declare_tool(ToolDiscovery(input_schema={"type": "object"}, description="d", transport="sse"), name="forecast"),
        declare_tool(ToolDiscovery(input_schema={"type": "object"}, example={"a": 1}, output=[1]), name="forecast"),
    ],
)
def test_declarations_are_what_the_official_package_reads(declaration: Any) -> None:
    """`info` fits `schema`, and PyPI x402 accepts the declaration and extracts the resource from it."""
    plain = json.loads(json.dumps(declaration))
    jsonschema.validate(plain["info"], plain["schema"])
    assert validate_discovery_extension(plain).valid
    assert validate_discovery_extension_spec(plain).valid
    sent = {"x402Version": 2, "resource": {"url": "https://shop.example/users/7?x=1"}, "extensions": {"bazaar": plain}}
    found = extract_discovery_info(sent, {})
    assert found is not None
    ours = read_listing(payment(plain, url="https://shop.example/users/7?x=1"))
    assert ours is not None
    assert ours.resource == found.resource_url
    assert (ours.method, ours.tool) == (found.method, found.tool_name or "")


def test_declaration_that_contradicts_itself() -> None:
    """A seller's own mistake is found when the route is declared."""
    with pytest.raises(InvalidInputError):
        declare_route(Discovery(body={"a": 1}), method="GET", template=None, path_params={})
    with pytest.raises(InvalidInputError, match="own schema"):
        declare_route(
            Discovery(query={"n": "x"}, query_schema={"properties": {"n": {"type": "integer"}}}),
            method="GET",
            template=None,
            path_params={},
        )
    with pytest.raises(InvalidInputError):
        Shop(app=plain_app, routes={"GET /x": Route(PRICE, discovery=SEARCHED)})


async def test_declaration_goes_out_and_must_come_back_unchanged() -> None:
    """The 402 has the declaration with this request's path parameters; a payer may leave it out, but not change it."""
    shop = Shop(app=plain_app, routes={"GET /users/{id}": Route(PRICE, discovery=WEATHER, tags=("weather",))})
    await shop.fund()
    terms = wire.decode_payment_required((await shop.get("/users/7")).headers["payment-required"])
    declaration: Any = wire.read_extensions(terms.extensions)["bazaar"]
    assert declaration["routeTemplate"] == "/users/:id"
    assert declaration["info"]["input"] == {
        "type": "http",
        "method": "GET",
        "queryParams": {"city": "Oslo"},
        "pathParams": {"id": "7"},
    }
    resource = wire.read_resource(terms.resource)
    assert resource is not None
    assert resource.tags == ("weather",)
    poisoned = json.loads(json.dumps(declaration))
    poisoned["routeTemplate"] = "/admin"
    refused = await shop.get("/users/7", edited(shop.pay(1), extensions={"bazaar": poisoned}))
    assert (refused.status_code, error_of(refused)) == (402, codes.EXTENSION_ECHO_MISMATCH)
    assert await shop.events() == []
    added = json.loads(json.dumps(declaration))
    added["info"]["mine"] = 1
    assert (await shop.get("/users/7", edited(shop.pay(1), extensions={"bazaar": added}))).status_code == 200
    assert (await shop.get("/users/7", shop.pay(2))).status_code == 200
    await shop.aclose()


# ---- what is read of strangers


@pytest.mark.parametrize(
    ("template", "good"),
    [
        ("/users/:id", True),
        ("/a/b-c.d~e%20f", True),
        ("", False),
        ("/", False),
        ("users", False),
        ("/a b", False),
        ("/../etc", False),
        ("/%2e%2e/etc", False),
        ("/%252e%252e/etc", False),
        ("/%25252525252e", False),
        ("/http%3a//evil", False),
        ("/http://evil", False),
        ("/a\n", False),
        (None, False),
        (7, False),
    ],
)
def test_route_templates(template: object, good: bool) -> None:
    """Plain paths only, at every depth of percent-encoding (x402.md §5)."""
    assert is_route_template(template) is good


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("shop.example", True),
        ("xn--bcher-kva.example", True),
        ("localhost", False),
        ("LOCALHOST", False),
        ("ip6-loopback", False),
        ("a.localhost", False),
        ("printer.local", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("2130706433", False),
        ("0x7f000001", False),
        ("0177.0.0.1", False),
        ("127.1", False),
        ("169.254.169.254", False),
        ("intranet", False),
        ("", False),
    ],
)
def test_public_hosts(host: str, good: bool) -> None:
    """Names of the public network; no address literal in any spelling."""
    assert is_public_host(host) is good


REJECTED: dict[str, wire.PaymentPayload] = {
    "no info": payment({"schema": {}}),
    "no schema": payment({"info": {"input": {"type": "http", "method": "GET"}}}),
    "no input": payment(declared(info={})),
    "another type": payment(declared(info={"input": {"type": "ftp"}}, schema={})),
    "another method": payment(declared(info={"input": {"type": "http", "method": "BREW"}}, schema={})),
    "body of a GET": payment(
        declared(info={"input": {"type": "http", "method": "GET", "bodyType": "json"}}, schema={})
    ),
    "tool without a name": payment(declared(info={"input": {"type": "mcp", "inputSchema": {}}}, schema={})),
    "tool without a schema": payment(declared(info={"input": {"type": "mcp", "toolName": "t"}}, schema={})),
    "info does not fit": payment(declared(schema={"type": "object", "required": ["missing"]})),
    "schema is none": payment(declared(schema={"type": 7})),
    "schema from elsewhere": payment(declared(schema={"$ref": "https://evil.example/schema.json"})),
    "schema from a file": payment(declared(schema={"properties": {"a": {"$ref": "file:///etc/passwd"}}})),
    "schema with another id": payment(declared(schema={"$id": "http://evil.example/"})),
    "climbing template": payment(declared(routeTemplate="/../admin")),
    "template of another host": payment(declared(routeTemplate="//evil.example")),
    "plain http": payment(declared(), url="http://shop.example/weather"),
    "this machine": payment(declared(), url="https://127.0.0.1/weather"),
    "credentials": payment(declared(), url="https://user:pass@shop.example/weather"),
    "no URL": payment(declared(), url="weather"),
    "odd port": payment(declared(), url="https://shop.example:port/"),
    "too large": payment(declared(info={"input": {"type": "http", "method": "GET", "x": "y" * 40_000}}, schema={})),
}


@pytest.mark.parametrize("case", REJECTED)
def test_bad_declarations_are_rejected(case: str) -> None:
    """Each is refused with a sentence, whatever it tries."""
    if case == "template of another host":
        listing = read_listing(REJECTED[case])  # it stays a path under the resource's own host
        assert listing is None or listing.resource.startswith("https://shop.example/")
        return
    with pytest.raises(PaymentRefusedError):
        read_listing(REJECTED[case])


def test_schemas_of_strangers_do_not_run_for_ever() -> None:
    """A catastrophic pattern and an exploding tree of references cost nothing: neither is run."""
    evil = {"type": "object", "properties": {"input": {"properties": {"city": {"pattern": "(a+)+$"}}}}}
    bomb: dict[str, Any] = {"$defs": {"a0": {}}, "$ref": "#/$defs/a20"}
    for level in range(1, 21):
        bomb["$defs"][f"a{level}"] = {"allOf": [{"$ref": f"#/$defs/a{level - 1}"}] * 9}
    info = {"input": {"type": "http", "method": "GET", "city": "a" * 40 + "!"}}
    for schema in (evil, bomb):
        assert read_listing(payment(declared(info=info, schema=schema))) is not None


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
        max_leaves=10,
    )
)
def test_any_declaration_is_a_listing_or_a_refusal(extension: Any) -> None:
    """Nothing that a payer sends breaks the reader."""
    try:
        read_listing(payment(extension if isinstance(extension, dict) else {"info": extension, "schema": {}}))
    except PaymentRefusedError:
        pass


def test_bad_metadata_is_dropped_field_by_field() -> None:
    """Names, tags and icons that are unfit are left out, never fatal (x402.md §1)."""
    listing = read_listing(
        payment(
            declared(),
            serviceName="x" * 33,
            tags=["Weather", "weather", "", "é", "b", "c", "d", "e", "f"],
            iconUrl="http://127.0.0.1/x.png",
            description="\x00",
            mimeType="application/json",
        )
    )
    assert listing is not None
    assert (listing.service_name, listing.icon_url, listing.description) == (None, None, None)
    assert listing.tags == ("Weather", "b", "c", "d", "e")
    assert listing.mime_type == "application/json"


# ---- the catalogue


def catalogue(journal: MemoryJournal | None = None, clock: ManualClock | None = None, **options: Any) -> Catalogue:
    """A facilitator's list."""
    return Catalogue(journal or MemoryJournal(), clock or ManualClock(), SeededEntropy("list"), **options)


async def listed(
    into: Catalogue, *, url: str = "https://shop.example/weather", pay_to: str = PAYEE, **changes: Any
) -> None:
    """List one resource."""
    listing = read_listing(payment(changes.pop("extension", declared()), url=url, **changes))
    assert listing is not None
    terms = OFFER.requirements
    await into.add(
        listing,
        wire.PaymentRequirements(
            scheme=terms.scheme,
            network=terms.network,
            amount=terms.amount,
            asset=terms.asset,
            pay_to=pay_to,
            max_timeout_seconds=300,
            extra=terms.extra,
        ),
    )


async def test_settled_payments_are_listed_and_checked_ones_are_not() -> None:
    """A payment that settled lists its resource; one that was only checked learns what would become of it."""
    found = catalogue(allow_local=True)
    shop = Shop(app=plain_app, routes={"/goods": Route(PRICE, discovery=WEATHER)})
    await shop.fund()
    wrapped = CataloguingFacilitator(shop.facilitator.inner, found)
    asked = wire.decode_payment_required((await shop.get("/goods")).headers["payment-required"])
    payload = wire.decode_payment_signature(
        edited(shop.pay(1), resource=json.loads(bytes(asked.resource)), extensions=json.loads(bytes(asked.extensions)))  # type: ignore[arg-type]
    )
    checked = await wrapped.verify(payload, OFFER.requirements)
    assert checked.extensions == {"bazaar": {"status": "processing"}}
    assert (await found.page(Filter())).pagination.total == 0
    settled = await wrapped.settle(payload, OFFER.requirements)
    assert settled.extensions == {"bazaar": {"status": "success"}}
    (item,) = (await found.page(Filter())).items
    assert (item.resource, item.type) == ("http://shop.test/goods", "http")
    assert "bazaar" in (await wrapped.supported()).extensions
    told = extension_responses(settled.extensions)
    assert told is not None
    assert json.loads(base64.b64decode(told)) == {"bazaar": {"status": "success"}}
    await shop.aclose()


async def test_rejected_declaration_settles_all_the_same() -> None:
    """The payment settles, nothing is listed, and the answer says why."""
    found = catalogue()
    shop = Shop()
    await shop.fund()
    wrapped = CataloguingFacilitator(shop.facilitator.inner, found)
    bad = edited(shop.pay(1), resource={"url": "http://127.0.0.1/x"}, extensions={"bazaar": declared()})
    settled = await wrapped.settle(wire.decode_payment_signature(bad), OFFER.requirements)
    assert settled.success
    status: Any = settled.extensions
    assert status["bazaar"]["status"] == "rejected"
    assert "https" in status["bazaar"]["rejectedReason"]
    assert (await found.page(Filter())).pagination.total == 0
    assert extension_responses(None) is None
    await shop.aclose()


async def test_entries_belong_to_their_payee() -> None:
    """Somebody who pays himself for another's address makes an entry of his own and changes nothing of the other's."""
    found = catalogue()
    await listed(found)
    await listed(found, pay_to="0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")
    page = await found.page(Filter(pay_to=PAYEE.lower()))
    assert page.pagination.total == 1
    assert wire.decode_requirements(page.items[0].accepts[0]).pay_to == PAYEE
    assert (await found.page(Filter())).pagination.total == 2


async def test_list_is_bounded_durable_and_quiet() -> None:
    """The newest entries stay; a second process sees them; what has not changed is not written again within the hour."""
    journal, clock = MemoryJournal(), ManualClock()
    found = catalogue(journal, clock, max_entries=3)
    for number in range(5):
        await listed(found, url=f"https://shop.example/{number}")
    urls = [item.resource for item in (await catalogue(journal, clock, max_entries=3).page(Filter())).items]
    assert urls == ["https://shop.example/4", "https://shop.example/3", "https://shop.example/2"]
    before = (await journal.head(STREAM)).sequence
    await listed(found, url="https://shop.example/4")
    assert (await journal.head(STREAM)).sequence == before
    clock.advance_us(3601 * 1_000_000)
    await listed(found, url="https://shop.example/4")
    assert (await journal.head(STREAM)).sequence == before + 1


@pytest.fixture
async def api() -> AsyncIterator[httpx2.AsyncClient]:
    """The discovery routes over 45 entries."""
    found = catalogue()
    for number in range(44):
        await listed(found, url=f"https://shop.example/weather/{number}", description=f"forecast number {number}")
    tool = json.loads(json.dumps(declare_tool(ToolDiscovery(input_schema={"type": "object"}), name="translate")))
    await listed(found, url="mcp://tool/translate", extension=tool)
    app = Starlette(routes=routes(discovery_operations(found)), exception_handlers=EXCEPTION_HANDLERS)
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://facilitator.test"
    ) as client:
        yield client


async def test_resources_are_paged_and_filtered(api: httpx2.AsyncClient) -> None:
    """20 by default, 1 to 100, an offset, and every filter."""
    first = (await api.get("/discovery/resources")).json()
    assert (len(first["items"]), first["pagination"]) == (20, {"limit": 20, "offset": 0, "total": 45})
    assert first["x402Version"] == 2
    rest = (await api.get("/discovery/resources?limit=100&offset=40")).json()
    assert len(rest["items"]) == 5
    for query, total in (
        ("type=mcp", 1),
        ("type=http", 44),
        (f"payTo={PAYEE.upper().replace('0X', '0x')}", 45),
        ("payTo=0x0", 0),
        (f"network={LOCAL}&scheme=exact", 45),
        ("network=eip155:1", 0),
        ("scheme=upto", 0),
        ("extensions=bazaar", 45),
        ("extensions=other", 0),
    ):
        assert (await api.get(f"/discovery/resources?{query}")).json()["pagination"]["total"] == total, query
    item = (await api.get("/discovery/resources?type=mcp")).json()["items"][0]
    assert (item["resource"], item["accepts"][0]["payTo"]) == ("mcp://tool/translate", PAYEE)
    assert item["extensions"]["bazaar"]["info"]["input"]["toolName"] == "translate"


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=-1", "limit=x", "limit=1e9", "offset=-1", "offset=x", "limit=٣"],
)
async def test_bad_pages_are_400(api: httpx2.AsyncClient, query: str) -> None:
    """Out of range or no number."""
    assert (await api.get(f"/discovery/resources?{query}")).status_code == 400


async def test_search_ranks_pages_and_ends(api: httpx2.AsyncClient) -> None:
    """Entries with more of the words come first; a cursor goes on to the end; an empty query is 400."""
    page = (await api.get("/discovery/search", params={"query": "forecast 17", "limit": "3"})).json()
    assert page["resources"][0]["resource"] == "https://shop.example/weather/17"
    assert page["partialResults"] is True
    seen = [item["resource"] for item in page["resources"]]
    while page["pagination"]["cursor"]:
        query = {"query": "forecast 17", "limit": "3", "cursor": page["pagination"]["cursor"]}
        page = (await api.get("/discovery/search", params=query)).json()
        seen += [item["resource"] for item in page["resources"]]
    assert len(seen) == len(set(seen)) == 44
    assert (await api.get("/discovery/search", params={"query": "nothing like it"})).json()["resources"] == []
    for bad in (
        {},
        {"query": "  "},
        {"query": "x", "cursor": "!"},
        {"query": "x", "cursor": "eHh4"},
        {"query": "y" * 300},
    ):
        assert (await api.get("/discovery/search", params=bad)).status_code == 400


async def test_listing_facilitator_over_http() -> None:
    """/verify and /settle say in EXTENSION-RESPONSES what becomes of the declaration, /supported names the extension, the
    resource is found; a payment without a declaration has no such header."""
    found = catalogue()
    shop = Shop()
    await shop.fund()
    listing = CataloguingFacilitator(shop.facilitator.inner, found)
    operations = [*with_extension_responses(facilitator_operations(listing)), *discovery_operations(found)]
    app = Starlette(routes=routes(operations), exception_handlers=EXCEPTION_HANDLERS)
    plain = shop.pay(1)
    declaring = edited(shop.pay(2), resource={"url": "https://shop.example/weather"}, extensions={"bazaar": declared()})
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://facilitator.test"
    ) as client:

        async def ask(path: str, header: str) -> httpx2.Response:
            payload = json.loads(base64.b64decode(header))
            body = {"x402Version": 2, "paymentPayload": payload, "paymentRequirements": payload["accepted"]}
            return await client.post(path, json=body)

        def told(answer: httpx2.Response) -> Any:
            return json.loads(base64.b64decode(answer.headers["extension-responses"]))

        assert told(await ask("/verify", declaring)) == {"bazaar": {"status": "processing"}}
        assert told(await ask("/settle", declaring)) == {"bazaar": {"status": "success"}}
        for path in ("/verify", "/settle"):
            answer = await ask(path, plain)
            assert answer.status_code == 200
            assert "extension-responses" not in answer.headers
        assert "bazaar" in (await client.get("/supported")).json()["extensions"]
        items = (await client.get("/discovery/resources")).json()["items"]
        assert [item["resource"] for item in items] == ["https://shop.example/weather"]
    await shop.aclose()


@pytest.mark.part("x402-python")
async def test_official_client_reads_our_catalogue() -> None:
    """PyPI x402's Bazaar client lists and searches our catalogue over real HTTP."""
    found = catalogue()
    await listed(found, description="forecast of the weather", serviceName="Weather")
    app = Starlette(routes=routes(discovery_operations(found)), exception_handlers=EXCEPTION_HANDLERS)

    def read(url: str) -> None:
        facilitator: Any = HTTPFacilitatorClientSync(FacilitatorConfig(url=url))
        client = with_bazaar(facilitator)
        page = client.extensions.bazaar.list_resources(ListDiscoveryResourcesParams(type="http", limit=5))
        assert [item.resource for item in page.items] == ["https://shop.example/weather"]
        assert (page.pagination.total, page.items[0].service_name) == (1, "Weather")
        hits = client.extensions.bazaar.search(SearchDiscoveryResourcesParams(query="weather forecast"))
        assert [item.resource for item in hits.resources] == ["https://shop.example/weather"]
        facilitator.close()

    async with served(app, free_listener()) as url:
        await asyncio.to_thread(read, url)


# ---- the client


class _Handler(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, tuple[int, bytes]]] = {}
    asked: ClassVar[list[str]] = []
    slow: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        self.slow.wait(5)
        status, body = self.answers.get(self.path.split("?")[0], (404, b"{}"))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""


@contextmanager
def catalogue_server(answers: dict[str, tuple[int, bytes]]) -> Iterator[tuple[str, type[_Handler]]]:
    """A catalogue over real HTTP that answers as told."""

    class Handler(_Handler):
        pass

    Handler.answers, Handler.asked, Handler.slow = answers, [], threading.Event()
    Handler.slow.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", Handler
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


MARKET = json.dumps(
    {
        "services": [
            {
                "name": "Weather\x1b[31m",
                "url": "https://weather.example",
                "category": "data",
                "description": "Forecasts",
                "price_range": "$0.01 - $0.05",
                "networks": ["base"],
                "unknown": {"field": 1},
            },
            {},
        ]
    }
).encode()


async def test_client_reads_our_own_catalogue() -> None:
    """What a facilitator lists, its client finds; the terms are typed, and each is a hint."""
    found = catalogue()
    await listed(found, description="forecast", serviceName="Weather")
    page = await found.page(Filter())
    search = await found.search("forecast", Filter())
    answers = {
        "/discovery/resources": (200, msgspec.json.encode(page)),
        "/discovery/search": (200, msgspec.json.encode(search)),
    }
    with catalogue_server(answers) as (url, _):
        async with DiscoveryClient(url, ManualClock()) as client:
            for (offering,) in (await client.offerings(), await client.search("forecast")):
                assert (offering.name, offering.url, offering.method) == (
                    "Weather",
                    "https://shop.example/weather",
                    "GET",
                )
                assert offering.accepts == (OFFER.requirements,)
                assert offering.networks == (LOCAL,)


async def test_client_reads_agentic_market() -> None:
    """The other directory's shape: all fields defaulted, unknown ones ignored, nothing that a terminal would obey."""
    answers = {"/v1/services": (200, MARKET), "/v1/services/search": (200, MARKET)}
    with catalogue_server(answers) as (url, _):
        async with DiscoveryClient(url, ManualClock(), source="agentic_market") as client:
            first, _ = await client.offerings()
            assert (first.name, first.prices, first.tags) == ("Weather [31m", ("$0.01 - $0.05",), ("data",))
            assert len(await client.search("weather", limit=1)) == 1


async def test_client_fetches_once_keeps_and_serves_stale() -> None:
    """Fifty askers, one request; kept for ten minutes; when the source fails the old list is given; a cold failure is an error."""
    answers: dict[str, tuple[int, bytes]] = {"/v1/services": (200, MARKET)}
    clock = ManualClock()
    with catalogue_server(answers) as (url, handler):
        async with DiscoveryClient(url, clock, source="agentic_market") as client:
            handler.slow.clear()
            asked = [asyncio.ensure_future(client.offerings()) for _ in range(50)]
            await asyncio.sleep(0.05)
            handler.slow.set()
            assert {len(found) for found in await asyncio.gather(*asked)} == {2}
            assert len(handler.asked) == 1
            await client.offerings()
            assert len(handler.asked) == 1
            clock.advance_us(601 * 1_000_000)
            answers["/v1/services"] = (500, b"{}")
            assert len(await client.offerings()) == 2
            assert len(handler.asked) == 2
            with pytest.raises(UnavailableError):
                await client.search("weather")
        async with DiscoveryClient(url, clock, source="agentic_market") as cold:
            with pytest.raises(UnavailableError):
                await cold.offerings()


@pytest.mark.parametrize(
    "answer", [(200, b"{]"), (200, b"[]"), (200, b"x" * (4 * 1024 * 1024 + 1)), (302, b"{}"), (503, b"{}")]
)
async def test_client_survives_any_answer(answer: tuple[int, bytes]) -> None:
    """Garbage, too much of it, redirects and failures are all "unavailable"."""
    with catalogue_server({"/discovery/resources": answer}) as (url, _):
        async with DiscoveryClient(url, ManualClock()) as client:
            with pytest.raises(UnavailableError):
                await client.offerings()


@pytest.mark.parametrize("url", ["http://market.example", "ftp://x", "market", ""])
def test_client_wants_a_safe_address(url: str) -> None:
    """Plain HTTP beyond this machine, or no address at all, is refused."""
    with pytest.raises(InvalidInputError):
        DiscoveryClient(url, ManualClock())
