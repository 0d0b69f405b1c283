"""The network of the demos: `*.demo.localhost`, served by this process on loopback (WS-DEMO-3).

Requests of the agent's own client to such a host go over a real connection to a small server here; every other request passes on
untouched. The server is opened with the first of them, on a free port, and answers only what the demos' fixtures say. What costs money
is sold through the real seller's middleware, with a facilitator that verifies every signature and settles on the local ledger of play
money. Everything that it answers says that it is simulated.

The books of the houses that sell here are their own and end with the process; what the agent itself earns is in its journal.

`.localhost` is this machine by RFC 6761, so no such name ever leaves it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, NamedTuple

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.record import Stream
from life.haima.chain.local_ledger import DEVELOPMENT_ACCOUNTS, LocalLedger
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.x402.middleware import X402Middleware
from life.haima.x402.networks import LOCAL
from life.haima.x402.paid_routes import Route as PaidRoute
from life.host.demos.embeddings import MAX_TEXT_BYTES, embedding_price_micro, embeddings
from life.host.demos.network import SIMULATED
from life.host.http.server import bind
from life.lago.journal.memory import MemoryJournal
from life.workspace.demos.catalogue import demos
from life.workspace.demos.demo import Fixture

_EARNINGS: Final = Stream("till:demos")
_MICRO: Final = 1_000_000


class Seller(NamedTuple):
    """Who the agent is when it sells."""

    address: str
    agent_id: str


class DemoStage:
    """The stand-ins of every demo. Belongs to one event loop."""

    def __init__(
        self,
        journal: Journal,
        ledger: LocalLedger,
        clock: Clock,
        entropy: Entropy,
        *,
        seller: Seller,
        fixtures: Mapping[str, tuple[Fixture, ...]] | None = None,
    ) -> None:
        """`fixtures` by host; those of the shipped demos unless told."""
        self._journal = journal
        self._ledger = ledger
        self._clock = clock
        self._entropy = entropy
        self._seller = seller
        self._fixtures = fixtures
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._address: str | None = None
        self._client = httpx2.AsyncHTTPTransport()
        self._asked: set[str] = set()

    def curtain(self) -> None:
        """A new run begins: what is slow at first is slow again."""
        self._asked.clear()

    async def forward(self, request: httpx2.Request) -> httpx2.Response:
        """One request to a stand-in, over loopback."""
        host = request.url.host
        headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"host"]
        forwarded = httpx2.Request(
            request.method,
            request.url.copy_with(scheme="http", netloc=(await self._open()).encode()),
            headers=[(b"host", host.encode()), *headers],
            stream=request.stream,
            extensions=request.extensions,
        )
        return await self._client.handle_async_request(forwarded)

    async def aclose(self) -> None:
        """Stop serving."""
        await self._client.aclose()
        await self._stack.aclose()

    async def _open(self) -> str:
        """`host:port` of the server, opened with the first request."""
        async with self._opening:
            if self._address is None:
                listener = self._stack.enter_context(bind("127.0.0.1", 0))
                await self._stack.enter_async_context(_served(await self._build(), listener))
                self._address = f"127.0.0.1:{listener.getsockname()[1]}"
            return self._address

    async def _build(self) -> ASGIApp:
        books = MemoryJournal()
        facilitator = SelfHostedFacilitator([self._ledger], books, self._clock, self._entropy)
        await facilitator.start()
        self._stack.push_async_callback(facilitator.aclose)
        hosts: dict[str, ASGIApp] = {}
        for host, fixtures in self._by_host().items():
            app: ASGIApp = self._pages(fixtures)
            for pays, journal in (("house", books), ("agent", self._journal)):
                priced = {f"{each.method} {each.path}": _paid(each) for each in fixtures if _is_priced(each, pays)}
                if priced:
                    app = await self._till(app, priced, facilitator, journal, pays=pays, host=host)
            hosts[host] = self._slow(app, {each.path: each.slow_first_ms for each in fixtures if each.slow_first_ms})
        return _by_host(hosts)

    def _slow(self, app: ASGIApp, delays: Mapping[str, int]) -> ASGIApp:
        """Keep back whatever these paths answer first, the question for money included: who gives up then has paid nothing."""
        if not delays:
            return app

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            path = str(scope["path"])
            if path in delays and path not in self._asked:
                self._asked.add(path)
                await self._clock.sleep_us(delays[path] * 1000)
            await app(scope, receive, send)

        return slow

    async def _till(
        self,
        app: ASGIApp,
        routes: dict[str, PaidRoute],
        facilitator: SelfHostedFacilitator,
        journal: Journal,
        *,
        pays: str,
        host: str,
    ) -> ASGIApp:
        till = X402Middleware(
            app,
            routes=routes,
            pay_to=self._seller.address if pays == "agent" else _house_of(host),
            network=LOCAL,
            facilitator=facilitator,
            journal=journal,
            clock=self._clock,
            entropy=self._entropy,
            agent_id=self._seller.agent_id if pays == "agent" else "demo-house",
            stream=_EARNINGS if pays == "agent" else Stream(f"till:{host}"),
            sole_server=True,
        )
        await till.start()
        self._stack.push_async_callback(till.aclose)
        return till

    def _by_host(self) -> dict[str, tuple[Fixture, ...]]:
        if self._fixtures is not None:
            return dict(self._fixtures)
        found: dict[str, tuple[Fixture, ...]] = {}
        for demo in demos():
            for fixture in demo.fixtures:
                found[fixture.host] = (*found.get(fixture.host, ()), fixture)
        return found

    def _pages(self, fixtures: tuple[Fixture, ...]) -> Starlette:
        return Starlette(routes=[Route(each.path, self._answering(each), methods=[each.method]) for each in fixtures])

    def _answering(self, fixture: Fixture) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            if fixture.kind == "embeddings":
                return _json(embeddings(await request.body()))
            if isinstance(fixture.body, str):
                return PlainTextResponse(fixture.body, headers={SIMULATED: "true"})
            return _json(fixture.body)

        return answer


def _house_of(host: str) -> str:
    """Who is paid at a host: for ever the same account, so that no wallet takes it for a seller that changed."""
    accounts = DEVELOPMENT_ACCOUNTS[4:]
    return accounts[hashlib.blake2b(host.encode(), digest_size=1).digest()[0] % len(accounts)]


def _is_priced(fixture: Fixture, pays: str) -> bool:
    return fixture.pays == pays and bool(fixture.price_micro or fixture.micro_per_million_tokens)


def _paid(fixture: Fixture) -> PaidRoute:
    """What an answer costs; of embeddings what the text that is sent costs, which its length in bytes tells."""
    if fixture.kind != "embeddings":
        return PaidRoute(_dollars(fixture.price_micro), description=f"{fixture.says} (simulated)")

    def by_length(scope: Scope) -> str:
        length = dict(scope["headers"]).get(b"content-length", b"0")
        size = int(length) if length.isdigit() and len(length) < 9 else MAX_TEXT_BYTES
        return _dollars(embedding_price_micro(min(size, MAX_TEXT_BYTES), fixture.micro_per_million_tokens))

    return PaidRoute(by_length, description=f"{fixture.says} (simulated)")


def _dollars(micro: int) -> str:
    return f"${micro // _MICRO}.{micro % _MICRO:06d}"


def _json(body: object) -> Response:
    return Response(json.dumps(body, ensure_ascii=False), media_type="application/json", headers={SIMULATED: "true"})


def _by_host(hosts: Mapping[str, ASGIApp]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope.get("headers", ())).get(b"host", b"").decode("latin-1")
        chosen: ASGIApp = hosts.get(given) or PlainTextResponse("No demo has such a host.", 404)
        await chosen(scope, receive, send)

    return app


class _Server(uvicorn.Server):
    """Uvicorn that leaves signals to the program around it, and says when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answers.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _served(app: ASGIApp, listener: socket.socket) -> AsyncIterator[None]:
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=1
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await server.answers.wait()
    try:
        yield
    finally:
        server.should_exit = True
        await serving
