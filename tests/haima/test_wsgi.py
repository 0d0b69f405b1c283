"""X402WsgiMiddleware around synchronous applications, on real servers: Flask under werkzeug, plain WSGI under wsgiref."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx2
import pytest
from flask import Flask, Response, jsonify, request
from werkzeug.serving import make_server as make_werkzeug

from life.aios.errors import InvalidInputError, LifeError
from life.aios.ports.journal import EventQuery
from life.haima import events
from life.haima.chain.local_ledger import LocalLedger
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.x402 import wire
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.haima.x402.paid_routes import Route, Routes
from life.haima.x402.sign_in import SignIn
from life.haima.x402.till import Till
from life.haima.x402.wsgi import X402WsgiMiddleware, scope_of
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.sqlite import SqliteJournal
from life.testing.chain import PAYEE, PAYER
from life.testing.clock import ManualClock
from tests.haima.shop import PRICE, PRICE_ATOMIC, Shop, error_of, settlement_of
from tests.haima.test_sign_in import challenge_of, header_of, proof_of

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class Paying(Shop):
    """Only signs payments, on the real clock; the shop itself is elsewhere."""

    def __init__(self) -> None:
        super().__init__(clock=ManualClock(SystemClock().now_us()))


def opener(journal_file: Path, *, base_url: str | None = None) -> Callable[[], Any]:
    """A till with its own ledger, opened in whatever thread asks for it."""

    @asynccontextmanager
    async def open_till() -> AsyncIterator[Till]:
        clock, entropy = SystemClock(), SystemEntropy()
        async with SqliteJournal.open(journal_file, clock=clock) as journal:
            ledger = LocalLedger(journal, clock, entropy, network=LOCAL)
            if await ledger.balance(PAYER, asset=PLAY_MONEY.address) == 0:
                await ledger.fund(PAYER, 1_000_000, asset=PLAY_MONEY.address)
            facilitator = SelfHostedFacilitator([ledger], journal, clock, entropy)
            till = Till(
                pay_to=PAYEE,
                network=LOCAL,
                facilitator=facilitator,
                journal=journal,
                clock=clock,
                entropy=entropy,
                sole_server=True,
                base_url=base_url,
            )
            try:
                yield till
            finally:
                await till.aclose()
                await facilitator.aclose()

    return open_till


@contextmanager
def werkzeug(app: WSGIApplication) -> Iterator[str]:
    """The application behind werkzeug's threaded server."""
    server = make_werkzeug("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""


@contextmanager
def wsgiref(app: WSGIApplication) -> Iterator[str]:
    """The application behind the standard library's server, one request at a time."""
    server = make_server("127.0.0.1", 0, app, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def flask_app() -> Flask:
    """A shop in Flask."""
    app = Flask("shop")
    runs: dict[str, int] = {}

    @app.get("/paid")
    def paid() -> Response:
        runs["paid"] = runs.get("paid", 0) + 1
        return jsonify(runs=runs["paid"], payer=request.environ["x402"].payer)

    @app.get("/fail")
    def fail() -> tuple[str, int]:
        return "no", 500

    @app.get("/raise")
    def raising() -> str:
        raise ValueError("the handler's own trouble")

    @app.get("/free")
    def free() -> Response:
        return jsonify(runs=runs)

    @app.get("/users/<name>")
    def user(name: str) -> str:
        return f"hello {name}"

    return app


ROUTES: Routes = {
    "GET /paid": PRICE,
    "GET /fail": PRICE,
    "GET /raise": PRICE,
    "GET /users/{name}": Route(PRICE, settle_first=True),
}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[str, Paying, X402WsgiMiddleware]]:
    """The Flask shop on a real server."""
    app = flask_app()
    selling = X402WsgiMiddleware(app.wsgi_app, routes=ROUTES, open_till=opener(tmp_path / "journal.db"))
    app.wsgi_app = selling  # type: ignore[method-assign]
    with selling, werkzeug(app) as url:
        yield url, Paying(), selling


def get(url: str, header: str | None = None, **more: Any) -> httpx2.Response:
    """One request."""
    headers = {} if header is None else {"PAYMENT-SIGNATURE": header}
    return httpx2.get(url, headers=headers, trust_env=False, timeout=20, **more)


def test_flask_sells_once(shop: tuple[str, Paying, X402WsgiMiddleware]) -> None:
    """Asked, paid, repeated: one run, one charge, the handler knows who paid, free routes are left alone."""
    url, paying, _ = shop
    asked = get(url + "/paid")
    assert asked.status_code == 402
    terms = wire.decode_payment_required(asked.headers["payment-required"])
    resource = wire.read_resource(terms.resource)
    assert resource is not None
    assert resource.url == url + "/paid"
    header = paying.pay(1)
    first = get(url + "/paid", header)
    assert (first.status_code, first.json()) == (200, {"runs": 1, "payer": PAYER})
    assert settlement_of(first).success
    assert first.headers["cache-control"] == "private"
    again = get(url + "/paid", header)
    assert (again.content, again.headers["payment-response"]) == (first.content, first.headers["payment-response"])
    assert get(url + "/free").json() == {"runs": {"paid": 1}}
    assert get(url + "/paid", "nonsense").status_code == 400
    spent = get(url + "/paid?more=1", header)
    assert spent.status_code == 402


def test_threads_at_once_run_once(shop: tuple[str, Paying, X402WsgiMiddleware]) -> None:
    """Twenty threads with one payment: one run, everybody gets its answer."""
    url, paying, _ = shop
    header = paying.pay(1)
    found: list[httpx2.Response] = []
    threads = [threading.Thread(target=lambda: found.append(get(url + "/paid", header))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(answer.status_code, answer.content) for answer in found} == {(200, found[0].content)}
    assert found[0].json()["runs"] == 1


def test_many_payments_at_once(shop: tuple[str, Paying, X402WsgiMiddleware]) -> None:
    """Thirty payments in thirty threads: thirty runs."""
    url, paying, _ = shop
    headers = [paying.pay(number) for number in range(1, 31)]
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda header=header: found.append(get(url + "/paid", header).status_code))
        for header in headers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 30
    assert get(url + "/free").json() == {"runs": {"paid": 30}}


def test_failing_handlers_cost_nothing(shop: tuple[str, Paying, X402WsgiMiddleware]) -> None:
    """An answer of 500 goes out uncharged; the payment buys something else afterwards. Parameters in the path are priced."""
    url, paying, _ = shop
    header = paying.pay(1)
    failed = get(url + "/fail", header)
    assert (failed.status_code, failed.text) == (500, "no")
    assert not settlement_of(failed).success
    assert get(url + "/raise", header).status_code == 500
    bought = get(url + "/users/ada", header)
    assert (bought.status_code, bought.text) == (200, "hello ada")


def test_exceptions_reach_the_server(tmp_path: Path) -> None:
    """What an application raises is the server's to report; the payment stays unused."""
    fails = [True]

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if fails:
            fails.clear()
            raise ValueError("the application's own trouble")
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"goods"]

    selling = X402WsgiMiddleware(app, routes={"/goods": PRICE}, open_till=opener(tmp_path / "journal.db"))
    paying = Paying()
    environ: Any = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/goods",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "wsgi.url_scheme": "http",
        "HTTP_HOST": "shop.test",
        "HTTP_PAYMENT_SIGNATURE": paying.pay(1),
    }
    seen: list[str] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Callable[[bytes], object]:
        seen.append(status)
        return lambda data: None

    with selling:
        with pytest.raises(ValueError, match="own trouble"):
            selling(dict(environ), start)
        assert seen == []
        assert b"".join(selling(dict(environ), start)) == b"goods"
        assert seen == ["200 OK"]


def test_stream_leaves_chunk_by_chunk(tmp_path: Path) -> None:
    """Settled first, then sent as it is made; a repetition gets the kept answer; the generator is closed."""
    gate = threading.Event()
    closed = threading.Event()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])

        def body() -> Iterator[bytes]:
            try:
                yield b"one "
                gate.wait(10)
                yield b"two"
            finally:
                closed.set()

        return body()

    routes: Routes = {"/goods": Route(PRICE, stream=True)}
    selling = X402WsgiMiddleware(app, routes=routes, open_till=opener(tmp_path / "journal.db"))
    paying = Paying()
    header = paying.pay(1)
    with selling, werkzeug(selling) as url:
        with httpx2.stream(
            "GET", url + "/goods", headers={"PAYMENT-SIGNATURE": header}, trust_env=False, timeout=20
        ) as answer:
            assert settlement_of(answer).success
            received = b""
            for chunk in answer.iter_raw():
                received += chunk
                if received == b"one ":
                    busy = get(url + "/goods", header)
                    assert (busy.status_code, busy.json()["code"]) == (409, "haima.stream_in_progress")
                    gate.set()
        assert received == b"one two"
        assert closed.wait(5)
        assert get(url + "/goods", header).content == b"one two"


def test_broken_stream_is_on_record(tmp_path: Path) -> None:
    """A generator that fails, and a client that goes away: both ends are in the journal, and say whose they were."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        yield b"half"
        if environ["PATH_INFO"] == "/broken":
            raise ValueError("broken")
        while True:
            yield b"more"

    routes: Routes = {path: Route(PRICE, stream=True) for path in ("/broken", "/endless")}
    selling = X402WsgiMiddleware(app, routes=routes, open_till=opener(tmp_path / "journal.db"))
    paying = Paying()
    with selling:
        thread, _ = selling.start()

        def environ(path: str, number: int) -> Any:
            return {
                "REQUEST_METHOD": "GET",
                "PATH_INFO": path,
                "QUERY_STRING": "",
                "HTTP_PAYMENT_SIGNATURE": paying.pay(number),
            }

        def start(status: str, headers: Any, exc_info: object = None) -> Callable[[bytes], object]:
            return lambda data: None

        broken = iter(selling(environ("/broken", 1), start))
        with pytest.raises(ValueError, match="broken"):
            list(broken)
        endless: Any = selling(environ("/endless", 2), start)
        assert [next(endless), next(endless)] == [b"half", b"more"]
        endless.close()
        endless.close()

        async def ends() -> list[events.ChargeStreamed]:
            journal = thread.till().claims._journal
            records = await journal.read(EventQuery(session_id="sales"), limit=100)
            found = [events.read_finance(record) for record in records]
            return [event for event in found if isinstance(event, events.ChargeStreamed)]

        first, second = thread.run(ends())
        assert (first.complete, first.by_client, first.reason) == (False, False, "the handler raised ValueError")
        assert (second.complete, second.by_client, second.sent_bytes) == (False, True, 8)


def test_restart_gives_the_kept_answer(tmp_path: Path) -> None:
    """A second process over the same journal answers the repetition, without running anything."""

    def never(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise AssertionError("it must not run")

    paying = Paying()
    header = paying.pay(1)
    app = flask_app()
    with X402WsgiMiddleware(app.wsgi_app, routes=ROUTES, open_till=opener(tmp_path / "journal.db")) as selling:
        with wsgiref(selling) as url:
            first = get(url + "/paid", header)
            assert first.status_code == 200
    with X402WsgiMiddleware(never, routes=ROUTES, open_till=opener(tmp_path / "journal.db")) as selling:
        with wsgiref(selling) as url:
            again = get(url + "/paid", header)
            assert (again.status_code, again.content) == (200, first.content)


def test_till_that_does_not_open_is_told_every_time(tmp_path: Path) -> None:
    """What opening raises reaches the request; when it works again, so does the shop."""
    works = [False]
    open_till = opener(tmp_path / "journal.db")

    @asynccontextmanager
    async def sometimes() -> AsyncIterator[Till]:
        if not works[0]:
            raise InvalidInputError("not yet")
        async with open_till() as till:
            yield till

    app = flask_app()
    selling = X402WsgiMiddleware(app.wsgi_app, routes=ROUTES, open_till=sometimes)
    for _ in range(2):
        with pytest.raises(LifeError, match="not yet"):
            selling.start()
    works[0] = True
    with selling, wsgiref(selling) as url:
        assert get(url + "/paid").status_code == 402


def test_no_routes_are_a_mistake(tmp_path: Path) -> None:
    """A middleware that sells nothing is refused."""
    with pytest.raises(InvalidInputError):
        X402WsgiMiddleware(flask_app().wsgi_app, routes={}, open_till=opener(tmp_path / "journal.db"))


def test_scope_is_what_asgi_servers_make() -> None:
    """PEP 3333's latin-1 text becomes the decoded path, the mount's prefix, the raw query and headers by their names."""
    scope = scope_of(
        {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "/mount",
            "PATH_INFO": "/caf\xc3\xa9",
            "QUERY_STRING": "a=%20",
            "wsgi.url_scheme": "https",
            "HTTP_PAYMENT_SIGNATURE": "abc",
            "CONTENT_TYPE": "text/plain",
        }
    )
    assert (scope["path"], scope["root_path"], scope["query_string"]) == ("/mount/café", "/mount", b"a=%20")
    assert (b"payment-signature", b"abc") in scope["headers"]
    assert (b"content-type", b"text/plain") in scope["headers"]
    assert scope["scheme"] == "https"


def test_refusal_has_the_terms(shop: tuple[str, Paying, X402WsgiMiddleware]) -> None:
    """A payment that is not the right one is 402 with its code."""
    url, paying, _ = shop
    answer = get(url + "/paid", paying.pay(1, value_atomic=PRICE_ATOMIC - 1))
    assert answer.status_code == 402
    assert error_of(answer) == "invalid_exact_evm_payload_authorization_value_mismatch"


def test_visitors_are_let_in(tmp_path: Path) -> None:
    """A wallet that has paid signs in: the application runs without a payment, knows who it is, and its answer is private."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Cache-Control", "max-age=60")])
        return [type(environ["x402"]).__name__.encode()]

    url = "http://shop.test"
    routes: Routes = {"/goods": Route(PRICE, sign_in=SignIn())}
    selling = X402WsgiMiddleware(app, routes=routes, open_till=opener(tmp_path / "journal.db", base_url=url))
    paying = Paying()
    with selling, wsgiref(selling) as address:
        assert get(address + "/goods", paying.pay(1)).text == "Payment"
        challenge = challenge_of(get(address + "/goods"))
        visit = httpx2.get(
            address + "/goods", headers={"SIGN-IN-WITH-X": header_of(proof_of(challenge))}, trust_env=False
        )
    assert (visit.status_code, visit.text) == (200, "Visitor")
    assert visit.headers["cache-control"] == "max-age=60, private"
