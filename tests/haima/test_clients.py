"""Every HTTP client that pays does the same: transports and auth flows of httpx2 and httpx, requests and aiohttp, over real
HTTP on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import NamedTuple, Protocol

import aiohttp
import httpx
import httpx2
import pytest
import requests

from life.aios.errors import InvalidInputError
from life.haima.errors import OutcomeUnknownError, PolicyDeniedError, UnrepeatableRequestError
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy
from life.haima.x402 import aiohttp_middleware, httpx_transport, requests_adapter, transport
from life.haima.x402.blocking import BlockingPayer
from life.haima.x402.context import RECEIPT, paying_for
from life.haima.x402.purchase import Receipt
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.payee import Payee, Receive, Scope, Send
from tests.haima.payer_kit import AGENT, OPEN_POLICY, kinds, wallet
from tests.haima.test_transport import LoopClock
from tests.haima.test_transport import serving as listening


class Answer(NamedTuple):
    """What a caller sees, whatever the client."""

    status: int
    body: bytes
    receipt: Receipt | None


class Fetch(Protocol):
    """One request by a client."""

    def __call__(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        follow: bool = False,
    ) -> Answer: ...


def answer_of(response: httpx2.Response | httpx.Response) -> Answer:
    """Of the httpx family."""
    return Answer(response.status_code, response.content, response.extensions.get(RECEIPT))


def make_payer(journal: MemoryJournal, policy: PaymentPolicy, wake: Callable[[], None] | None = None) -> Payer:
    """A payer over a standing clock."""
    clock = LoopClock()
    return Payer(
        journal=journal,
        custody=wallet(clock),
        clock=clock,
        entropy=SeededEntropy("clients"),
        agent_id=AGENT,
        policy=policy,
        session_id="s",
        wake=wake,
    )


@contextmanager
def synchronous(kind: str, journal: MemoryJournal, policy: PaymentPolicy) -> Iterator[Fetch]:
    """A synchronous client of this kind."""

    @asynccontextmanager
    async def build(wake: Callable[[], None]) -> AsyncIterator[Payer]:
        async with make_payer(journal, policy, wake) as payer:
            yield payer

    with BlockingPayer(build) as payer:
        if kind == "requests":
            with requests.Session() as session:
                session.mount("http://", requests_adapter.PayingAdapter(payer))

                def by_requests(
                    method: str,
                    url: str,
                    *,
                    body: bytes | None = None,
                    headers: dict[str, str] | None = None,
                    follow: bool = False,
                ) -> Answer:
                    got = session.request(method, url, data=body, headers=headers, allow_redirects=follow, timeout=10)
                    assert "PAYMENT-SIGNATURE" not in got.request.headers
                    return Answer(got.status_code, got.content, requests_adapter.receipt_of((got.history or [got])[0]))

                yield by_requests
            return
        client: httpx2.Client | httpx.Client
        if kind == "httpx2":
            client = httpx2.Client(transport=transport.PayingTransport(payer))
        elif kind == "httpx":
            client = httpx.Client(transport=httpx_transport.PayingTransport(payer))
        elif kind == "httpx2-auth":
            client = httpx2.Client(auth=transport.PaymentAuth(payer))
        else:
            client = httpx.Client(auth=httpx_transport.PaymentAuth(payer))

        def by_family(
            method: str,
            url: str,
            *,
            body: bytes | None = None,
            headers: dict[str, str] | None = None,
            follow: bool = False,
        ) -> Answer:
            return answer_of(client.request(method, url, content=body, headers=headers, follow_redirects=follow))

        with client:
            yield by_family


@contextmanager
def asynchronous(kind: str, journal: MemoryJournal, policy: PaymentPolicy) -> Iterator[Fetch]:
    """An asynchronous client of this kind, in a loop that runs for each call."""
    loop = asyncio.new_event_loop()

    @asynccontextmanager
    async def opened() -> AsyncIterator[Callable[..., object]]:
        async with make_payer(journal, policy) as payer:
            if kind == "aiohttp-async":
                middleware = aiohttp_middleware.PayingMiddleware(payer)
                async with aiohttp.ClientSession(middlewares=(middleware,)) as session:

                    async def by_aiohttp(
                        method: str, url: str, body: bytes | None, headers: dict[str, str] | None, follow: bool
                    ) -> Answer:
                        async with session.request(
                            method, url, data=body, headers=headers, allow_redirects=follow
                        ) as got:
                            first = (*got.history, got)[0]
                            return Answer(got.status, await got.read(), aiohttp_middleware.receipt_of(first))

                    yield by_aiohttp
                return
            client: httpx2.AsyncClient | httpx.AsyncClient
            if kind == "httpx2-async":
                client = httpx2.AsyncClient(transport=transport.AsyncPayingTransport(payer))
            elif kind == "httpx-async":
                client = httpx.AsyncClient(transport=httpx_transport.AsyncPayingTransport(payer))
            elif kind == "httpx2-async-auth":
                client = httpx2.AsyncClient(auth=transport.PaymentAuth(payer))
            else:
                client = httpx.AsyncClient(auth=httpx_transport.PaymentAuth(payer))

            async def by_family(
                method: str, url: str, body: bytes | None, headers: dict[str, str] | None, follow: bool
            ) -> Answer:
                return answer_of(
                    await client.request(method, url, content=body, headers=headers, follow_redirects=follow)
                )

            async with client:
                yield by_family

    manager = opened()
    call = loop.run_until_complete(manager.__aenter__())

    def fetch(
        method: str, url: str, *, body: bytes | None = None, headers: dict[str, str] | None = None, follow: bool = False
    ) -> Answer:
        return loop.run_until_complete(call(method, url, body, headers, follow))  # type: ignore[arg-type]

    try:
        yield fetch
    finally:
        loop.run_until_complete(manager.__aexit__(None, None, None))
        loop.run_until_complete(asyncio.sleep(0.01))  # aiohttp closes its sockets in the next turns
        loop.close()


KINDS = (
    "httpx2",
    "httpx",
    "httpx2-auth",
    "httpx-auth",
    "requests",
    "httpx2-async",
    "httpx-async",
    "httpx2-async-auth",
    "httpx-async-auth",
    "aiohttp-async",
)


@contextmanager
def client(kind: str, journal: MemoryJournal | None = None, policy: PaymentPolicy = OPEN_POLICY) -> Iterator[Fetch]:
    """A client of this kind."""
    make = asynchronous if "async" in kind else synchronous
    with make(kind, journal if journal is not None else MemoryJournal(), policy) as fetch:
        yield fetch


class Front:
    """A server that stands for all tests of this file, before the payee of the one that runs."""

    def __init__(self) -> None:
        self.payee: Payee | None = None
        self.url = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on."""
        assert self.payee is not None
        await self.payee(scope, receive, send)


@pytest.fixture(scope="module")
def fronts() -> Iterator[list[Front]]:
    """Two of them, on two origins."""
    both = [Front(), Front()]
    with listening(both[0]) as first, listening(both[1]) as second:
        both[0].url, both[1].url = first, second
        yield both


@pytest.fixture
def serving(fronts: list[Front]) -> Callable[[Payee], AbstractContextManager[str]]:
    """Let a payee be served; the base URL."""
    used: list[Front] = []

    @contextmanager
    def serve(payee: Payee) -> Iterator[str]:
        front = next(front for front in fronts if front not in used)
        used.append(front)
        front.payee = payee
        yield front.url

    return serve


Serving = Callable[[Payee], AbstractContextManager[str]]


@pytest.fixture
def payee() -> Payee:
    """A payee that checks windows against the standing clock."""
    return Payee(now_s=lambda: ManualClock().now_us() // 1_000_000)


@pytest.mark.parametrize("kind", KINDS)
def test_a_paid_request(kind: str, payee: Payee, serving: Serving) -> None:
    """402, reserve, sign, once more: the same method, body and headers, one charge, a receipt; and what is free stays free."""
    journal = MemoryJournal()
    with serving(payee) as url, client(kind, journal) as fetch:
        free = fetch("GET", f"{url}/free")
        assert (free.status, free.body, free.receipt) == (200, b"free", None)
        answer = fetch("POST", f"{url}/paid?q=1", body=b"question", headers={"X-Mine": "1"})
        assert (answer.status, answer.body) == (200, b"goodsquestion")
        assert answer.receipt is not None and answer.receipt.state == "settled"
        unpaid, paid = payee.requests[-2:]
        assert unpaid[:3] == paid[:3] and unpaid[3]["x-mine"] == paid[3]["x-mine"] == "1"
        assert "payment-signature" in paid[3] and "payment-signature" not in unpaid[3]
    assert payee.charged == 50
    assert asyncio.run(kinds(journal)) == ["PaymentReserved", "PaymentSettled"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_seller_of_version_1(kind: str, payee: Payee, serving: Serving) -> None:
    """Terms in the body, the payment in X-PAYMENT, the settlement in X-PAYMENT-RESPONSE (x402.md §9)."""
    payee.version = 1
    with serving(payee) as url, client(kind) as fetch:
        answer = fetch("GET", f"{url}/paid")
        assert answer.body == b"goods" and answer.receipt is not None and answer.receipt.state == "settled"
    assert payee.charged == 50 and "payment-signature" not in payee.requests[-1][3]


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_is_the_payees_answer(kind: str, payee: Payee, serving: Serving) -> None:
    """One paid try, no second one; the 402 comes back with a receipt that says so."""
    payee.faults = ["refuse", "none"]
    with serving(payee) as url, client(kind) as fetch:
        refused = fetch("GET", f"{url}/paid")
        assert refused.status == 402 and refused.receipt is not None and refused.receipt.state == "refused"
        assert len(payee.presented) == 1
        assert fetch("GET", f"{url}/paid").status == 200
    assert len(set(payee.presented)) == 1 and payee.charged == 50


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["http_500", "pending", "lose_answer"])
def test_an_unknown_outcome_is_finished_by_the_next_call(kind: str, fault: str, payee: Payee, serving: Serving) -> None:
    """Never "pay again": the identical payment is sent by the next equal call. A lost answer is the library's own error in an
    auth flow, and an OutcomeUnknownError everywhere else."""
    payee.faults = [fault]  # type: ignore[list-item]
    errors: tuple[type[Exception], ...] = (OutcomeUnknownError,)
    if "auth" in kind:
        errors = (OutcomeUnknownError, httpx.TransportError, httpx2.TransportError)
    if fault == "lose_answer":  # a server that crashes answers 500
        payee.faults = ["lose_answer"]
    with serving(payee) as url, client(kind) as fetch:
        with pytest.raises(errors):
            fetch("GET", f"{url}/paid")
        assert fetch("GET", f"{url}/paid").status == 200
    assert len(set(payee.presented)) == 1 and payee.charged == 50


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_never_goes_to_another_origin(kind: str, payee: Payee, serving: Serving) -> None:
    """The paid answer redirects to another host: the client follows, without any payment header."""
    other = Payee()
    with serving(payee) as url, serving(other) as elsewhere, client(kind) as fetch:
        payee.faults = ["redirect_away"]
        payee.elsewhere = f"{elsewhere}/free"
        answer = fetch("GET", f"{url}/paid", follow=True)
        assert (answer.status, answer.body) == (200, b"free")
    assert payee.charged == 50 and len(payee.presented) == 1
    for _, _, _, headers in other.requests:
        assert not {"payment-signature", "x-payment"} & set(headers)


@pytest.mark.parametrize("kind", KINDS)
def test_a_redirect_to_what_costs(kind: str, payee: Payee, serving: Serving) -> None:
    """The price is paid where it is asked, once."""
    with serving(payee) as url, client(kind) as fetch:
        answer = fetch("POST", f"{url}/moved", body=b"x", follow=True)
        assert (answer.status, answer.body) == (200, b"goodsx")
    assert payee.charged == 50 and len(payee.presented) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_context_of_a_request(kind: str, payee: Payee, serving: Serving) -> None:
    """A ceiling and a purchase id, from the ambient context of every client."""
    with serving(payee) as url, client(kind) as fetch:
        with paying_for(max_amount_micro=49), pytest.raises(PolicyDeniedError) as denied:
            fetch("GET", f"{url}/paid")
        assert denied.value.verdict == "call_ceiling"
        for _ in range(2):
            with paying_for(purchase_id="order-1"):
                assert fetch("GET", f"{url}/paid").status == 200
        assert payee.charged == 50
        with paying_for(ahead=True):
            for _ in range(3):
                assert fetch("GET", f"{url}/paid?ahead").status == 200
        assert payee.charged == 200
        assert len([one for one in payee.requests if "payment-signature" not in one[3]]) == 3, (
            "asked, asked, then known"
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_with_a_payment_of_its_own(kind: str, payee: Payee, serving: Serving) -> None:
    """Is refused: two payments in one request are nobody's intent."""
    with serving(payee) as url, client(kind) as fetch, pytest.raises(InvalidInputError):
        fetch("GET", f"{url}/paid", headers={"payment-signature": "x"})
    assert payee.requests == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "auth" not in kind])
def test_a_broken_off_answer_is_fetched_again(kind: str, payee: Payee, serving: Serving) -> None:
    """The body breaks off after the money moved: the next equal call sends the identical payment and gets it whole."""
    payee.faults = ["break_off"]
    with serving(payee) as url, client(kind) as fetch:
        with pytest.raises((httpx.HTTPError, httpx2.HTTPError, requests.RequestException, aiohttp.ClientError)):
            fetch("GET", f"{url}/paid")
        assert fetch("GET", f"{url}/paid").body == b"goods"
    assert payee.charged == 50 and len(set(payee.presented)) == 1


def test_a_streamed_body_through_requests(payee: Payee, serving: Serving) -> None:
    """A body that comes in pieces is kept up to the limit; beyond it is sent, and not paid for."""

    @asynccontextmanager
    async def build(wake: Callable[[], None]) -> AsyncIterator[Payer]:
        async with make_payer(MemoryJournal(), OPEN_POLICY, wake) as payer:
            yield payer

    with serving(payee) as url, BlockingPayer(build) as payer, requests.Session() as session:
        session.mount("http://", requests_adapter.PayingAdapter(payer, max_body_bytes=3))
        assert session.post(f"{url}/paid", data=iter([b"a", b"b"]), timeout=10).content == b"goodsab"
        assert session.post(f"{url}/free", data=iter([b"ab", b"cd"]), timeout=10).content == b"free"
        assert payee.requests[-1][2] == b"abcd"
        with pytest.raises(UnrepeatableRequestError):
            session.post(f"{url}/paid", data=iter([b"ab", b"cd"]), timeout=10)
    assert payee.charged == 50


async def test_wrong_halves_of_an_auth_flow() -> None:
    """A flow for the other kind of client says so."""
    async with make_payer(MemoryJournal(), OPEN_POLICY) as payer:
        with (
            httpx2.Client(auth=transport.PaymentAuth(payer)) as client_,
            pytest.raises(TypeError, match="BlockingPayer"),
        ):
            client_.get("http://127.0.0.1:1/")
