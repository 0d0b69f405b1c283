"""http_fetch against real servers on loopback."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple, TypeAlias

import httpx2
import msgspec
import pytest

from life.aios.errors import PaymentError
from life.aios.json import Json
from life.aios.ports.tools import ToolCall, ToolContext, ToolOutcome
from life.praxis.egress import EgressClient, EgressPolicy, Wrap
from life.praxis.errors import PolicyViolationError, ToolInputError
from life.praxis.fetch_request import HttpFetchPolicy
from life.praxis.registry import ToolRegistry
from life.praxis.tools.http_fetch import HttpFetch
from tests.praxis.loopback import Seen, always, response, serve

LOOPBACK = EgressPolicy(allow_private_hosts=("127.0.0.1", "localhost"))


class Fetch:
    """A registry with this tool, and short ways to call it."""

    def __init__(self, client: EgressClient, policy: HttpFetchPolicy, context: ToolContext) -> None:
        self.context = context
        self.registry = ToolRegistry()
        self.registry.register(HttpFetch(policy, client))

    def call(self, url: str, **arguments: Json) -> ToolCall:
        """A call of the tool."""
        return ToolCall(call_id="call-1", tool_name="http_fetch", arguments={"url": url, **arguments})

    async def outcome(self, url: str, **arguments: Json) -> ToolOutcome:
        """Any outcome."""
        return await self.registry.execute(self.call(url, **arguments), self.context)

    async def ok(self, url: str, **arguments: Json) -> dict[str, object]:
        """The output of a call that must succeed."""
        outcome = await self.outcome(url, **arguments)
        assert outcome.status == "ok", outcome.output
        return msgspec.convert(outcome.output, dict[str, object])

    async def failed(self, url: str, **arguments: Json) -> tuple[str, str]:
        """Code and words of a call that must fail."""
        outcome = await self.outcome(url, **arguments)
        assert outcome.status == "error", outcome.output
        output = msgspec.convert(outcome.output, dict[str, object])
        return str(output["code"]), str(output["error"])


Opening: TypeAlias = Callable[..., AbstractAsyncContextManager[Fetch]]


@pytest.fixture
def opening(context: ToolContext) -> Opening:
    """Opens a client and a registry; `policy` and `wrap` as the test needs them."""

    @asynccontextmanager
    async def opened(policy: HttpFetchPolicy | None = None, wrap: Wrap | None = None) -> AsyncIterator[Fetch]:
        chosen = policy or HttpFetchPolicy(egress=LOOPBACK)
        async with EgressClient(chosen.egress, wrap=wrap) as client:
            yield Fetch(client, chosen, context)

    return opened


async def test_get(opening: Opening) -> None:
    """Status, URL, the shown headers, text; request headers as given plus the client's own."""
    sent = response(200, "grüß".encode(), "text/plain; charset=utf-8", etag='"1"', x_secret="no", set_cookie="a=b")
    async with serve(always(sent)) as server, opening() as fetch:
        output = await fetch.ok(server.url("/a?b=c#d"), headers={"Accept": "text/*"})
    assert output == {
        "status": 200,
        "url": server.url("/a?b=c"),
        "headers": {"content-length": "6", "content-type": "text/plain; charset=utf-8", "etag": '"1"'},
        "truncated": False,
        "content": "grüß",
    }
    seen = server.requests[0]
    assert (seen.method, seen.target, seen.body) == ("GET", "/a?b=c", b"")
    assert seen.headers["accept"] == "text/*"
    assert seen.headers["accept-encoding"] == "gzip"
    assert seen.headers["user-agent"] == "lifeos"
    assert not {"authorization", "cookie", "idempotency-key"} & seen.headers.keys()


@pytest.mark.parametrize("status", [201, 204, 402, 404, 500])
async def test_a_status_is_a_result(status: int, opening: Opening) -> None:
    """Errors of a server are information, not failures of the tool; an unpaid 402 is told as it is."""
    body = b"" if status == 204 else b"text"
    async with serve(always(response(status, body))) as server, opening() as fetch:
        output = await fetch.ok(server.url())
    assert (output["status"], output["content"]) == (status, body.decode())


async def test_bodies_and_methods(opening: Opening, context: ToolContext) -> None:
    """POST and PUT send text; JSON is recognised; every unsafe method carries the same idempotency key each time."""
    async with serve(always(response())) as server, opening() as fetch:
        await fetch.ok(server.url(), method="POST", body='{"a": 1}')
        await fetch.ok(server.url(), method="PUT", body="grüß")
        await fetch.ok(server.url(), method="PUT", body="a: 1", headers={"Content-Type": "text/yaml"})
        await fetch.ok(server.url(), method="DELETE")
        await fetch.ok(server.url(), method="HEAD")
        await fetch.ok(server.url(), method="POST", headers={"Idempotency-Key": "mine"})
    assert [(seen.method, seen.body) for seen in server.requests] == [
        ("POST", b'{"a": 1}'),
        ("PUT", "grüß".encode()),
        ("PUT", b"a: 1"),
        ("DELETE", b""),
        ("HEAD", b""),
        ("POST", b""),
    ]
    assert [seen.headers.get("content-type") for seen in server.requests[:3]] == [
        "application/json",
        "text/plain; charset=utf-8",
        "text/yaml",
    ]
    key = hashlib.sha256(f"http_fetch\n{context.idempotency_key}".encode()).hexdigest()[:40]
    assert [seen.headers.get("idempotency-key") for seen in server.requests] == [key, key, key, key, None, "mine"]


async def test_bad_requests_never_leave(opening: Opening) -> None:
    """Other methods, a body with GET, forbidden headers, injection, credentials, odd URLs, too much: no connection."""
    policy = HttpFetchPolicy(egress=LOOPBACK, max_request_body_bytes=10)
    async with serve(always(response())) as server, opening(policy) as fetch:
        url = server.url()
        for arguments, code in (
            ({"method": "PATCH"}, "praxis.invalid_input"),
            ({"method": "get"}, "praxis.invalid_input"),
            ({"body": "x"}, "praxis.invalid_input"),
            ({"method": "DELETE", "body": "x"}, "praxis.invalid_input"),
            ({"method": "POST", "body": "x" * 11}, "praxis.too_large"),
            ({"method": "POST", "body": "\ud800"}, "praxis.invalid_input"),
            ({"headers": {"authorization": "Bearer x"}}, "praxis.policy_violation"),
            ({"headers": {"x-payment": "x"}}, "praxis.policy_violation"),
            ({"headers": {"host": "evil"}}, "praxis.policy_violation"),
            ({"headers": {"accept": "a\r\nx-payment: b"}}, "praxis.invalid_input"),
            ({"headers": {"accept": 1}}, "praxis.invalid_input"),
            ({"max_bytes": 0}, "praxis.invalid_input"),
            ({"max_bytes": 200_001}, "praxis.invalid_input"),
            ({"payment": "x"}, "praxis.invalid_input"),
        ):
            assert (await fetch.failed(url, **arguments))[0] == code, arguments
        for bad in (
            "file:///etc/passwd",
            f"http://u:p@127.0.0.1:{server.port}/",
            "http://2130706433/",
            "",
            url + "\r\n",
        ):
            assert (await fetch.failed(bad))[0] == "praxis.invalid_input", bad
        assert server.connections == 0


async def test_private_addresses_are_refused(opening: Opening) -> None:
    """Without a permit loopback is closed in every spelling, and the error says who can open it."""
    async with serve(always(response())) as server, opening(HttpFetchPolicy()) as fetch:
        for host in ("127.0.0.1", "localhost", "LOCALHOST.", "[::ffff:127.0.0.1]", "[::1]", "127。0。0。1"):
            assert (await fetch.failed(server.url(host=host)))[0] == "praxis.address_refused", host
        outcome = await fetch.outcome(server.url())
        assert "allow_private_hosts" in str(outcome.output)
        assert server.connections == 0


async def test_redirects_on_the_same_host_are_followed(opening: Opening) -> None:
    """Relative and absolute locations; the final URL is told; a POST becomes a GET without its body."""

    async def answer(seen: Seen, writer: asyncio.StreamWriter) -> None:
        where = {"/1": "/2", "/2": f"http://127.0.0.1:{server.port}/3"}.get(seen.target)
        writer.write(response(302, location=where) if where else response(200, b"end"))

    async with serve(answer) as server, opening() as fetch:
        output = await fetch.ok(server.url("/1"), method="POST", body="{}")
    assert (output["url"], output["content"]) == (server.url("/3"), "end")
    assert [seen.method for seen in server.requests] == ["POST", "GET", "GET"]
    assert all("idempotency-key" not in seen.headers and seen.body == b"" for seen in server.requests[1:])


async def test_redirects_to_other_hosts_are_results(opening: Opening) -> None:
    """The gate judged one host: elsewhere, to private addresses or other schemes, the redirect is returned unfollowed."""
    for location in (
        "http://localhost:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://[::1]:{port}/",
        "http://2130706433:{port}/",
        "file:///etc/passwd",
        "http://u:p@127.0.0.1:{port}/x",
        "http://[",
    ):

        async def answer(seen: Seen, writer: asyncio.StreamWriter, location: str = location) -> None:
            writer.write(response(302, b"moved", location=location.format(port=server.port)))

        async with serve(answer) as server, opening() as fetch:
            output = await fetch.ok(server.url())
            assert (output["status"], output["content"]) == (302, "moved"), location
            assert len(server.requests) == 1


async def test_redirects_to_permitted_hosts_are_checked_again(opening: Opening) -> None:
    """`redirect_hosts` lets a redirect go on, but never to an address that is closed, and credentials stay behind."""
    headers = ("authorization", "accept", "content-type")
    async with serve(always(response(200, b"there"))) as other:

        async def answer(seen: Seen, writer: asyncio.StreamWriter) -> None:
            place = "http://169.254.169.254/" if seen.target == "/meta" else other.url(host="localhost")
            writer.write(response(307, location=place))

        policy = HttpFetchPolicy(egress=LOOPBACK, redirect_hosts=("*",), request_headers=headers)
        async with serve(answer) as server, opening(policy) as fetch:
            output = await fetch.ok(server.url(), headers={"Authorization": "Bearer t", "Accept": "a/b"})
            assert (output["url"], output["content"]) == (other.url(host="localhost"), "there")
            assert (await fetch.failed(server.url("/meta")))[0] == "praxis.address_refused"
            kept = await fetch.ok(server.url(), method="POST", body="{}")
            assert kept["status"] == 307, "a body goes only where it was sent to"
    assert server.requests[0].headers["authorization"] == "Bearer t"
    assert "authorization" not in other.requests[0].headers
    assert other.requests[0].headers["accept"] == "a/b"
    assert [seen.method for seen in other.requests] == ["GET"]


async def test_a_redirect_that_makes_no_sense_is_an_error_of_the_server(opening: Opening) -> None:
    """A Location that breaks the client's own parsing is reported, not raised as a defect."""
    async with serve(always(response(302, location="//\xff\x80_@@?x"))) as server, opening() as fetch:
        assert (await fetch.failed(server.url()))[0] == "praxis.fetch_failed"


async def test_redirect_loops_end(opening: Opening) -> None:
    """As many as the policy allows, then an error."""
    policy = HttpFetchPolicy(egress=LOOPBACK, max_redirects=3)
    async with serve(always(response(302, location="/"))) as server, opening(policy) as fetch:
        code, words = await fetch.failed(server.url())
    assert (code, words) == ("praxis.fetch_failed", "More than 3 redirects.")
    assert len(server.requests) == 4


async def test_limits_of_size(opening: Opening) -> None:
    """Text is cut at `max_bytes` and says so; the model can't ask for more than the policy gives."""
    policy = HttpFetchPolicy(egress=LOOPBACK, max_content_bytes=100)
    async with serve(always(response(200, b"x" * 1000))) as server, opening(policy) as fetch:
        output = await fetch.ok(server.url(), max_bytes=10)
        assert (output["content"], output["truncated"]) == ("x" * 10, True)
        output = await fetch.ok(server.url(), max_bytes=5000)
        assert (output["content"], output["truncated"]) == ("x" * 100, True)


async def test_endless_and_exploding_bodies(opening: Opening) -> None:
    """A stream without end and a gzip bomb: the limit is given, the connection is closed, the server notices."""
    closed = asyncio.Event()

    async def stream(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
        try:
            while True:
                writer.write(b"y" * 65_536)
                await writer.drain()
        except OSError:
            closed.set()
            raise

    bomb = gzip.compress(bytes(50_000_000))
    async with opening() as fetch:
        async with serve(stream) as server:
            output = await fetch.ok(server.url(), max_bytes=1000)
            assert (output["content"], output["truncated"]) == ("y" * 1000, True)
            await asyncio.wait_for(closed.wait(), 10)
        async with serve(always(response(200, bomb, content_encoding="gzip"))) as server:
            output = await fetch.ok(server.url(), max_bytes=1000)
            assert (output["content"], output["truncated"]) == ("\0" * 1000, True)


@pytest.mark.parametrize("phase", ["head", "body"])
async def test_slow_servers_meet_the_time_limit(phase: str, opening: Opening) -> None:
    """One byte at a time for ever: the whole call ends at its limit with doubt about what it did."""

    async def drip(seen: Seen, writer: asyncio.StreamWriter) -> None:
        if phase == "body":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
        while True:
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.05)

    policy = HttpFetchPolicy(egress=LOOPBACK, timeout_s=1)
    async with serve(drip) as server, opening(policy) as fetch:
        outcome = await fetch.outcome(server.url(), method="POST")
    assert outcome.status == "timeout"
    assert "may or may not have taken effect" in str(outcome.output)


async def test_cancellation_closes_the_connection(opening: Opening) -> None:
    """A cancelled call leaves no connection behind."""
    arrived, closed = asyncio.Event(), asyncio.Event()

    async def hang(seen: Seen, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await writer.drain()
        try:
            while True:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)
        except OSError:
            closed.set()
            raise

    async with serve(hang) as server, opening() as fetch:
        task = asyncio.create_task(fetch.outcome(server.url()))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(closed.wait(), 10)


async def test_binary_answers(opening: Opening) -> None:
    """Small binaries whole in base64; large ones as a note, never a useless piece."""
    policy = HttpFetchPolicy(egress=LOOPBACK, max_binary_bytes=100)
    async with opening(policy) as fetch:
        async with serve(always(response(200, bytes(range(100)), "image/png"))) as server:
            output = await fetch.ok(server.url())
            assert str(output["content_base64"]).startswith("AAECAwQF")
            assert output["truncated"] is False
        async with serve(always(response(200, bytes(101), "image/png"))) as server:
            output = await fetch.ok(server.url())
            assert "content_base64" not in output
            assert output["truncated"] is True
            assert "too large" in str(output["note"])


async def test_failures_say_whether_something_was_sent(opening: Opening) -> None:
    """Nothing sent, perhaps received, certainly received: three different sentences, and no address in them."""

    async def broken(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def half(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    async with opening() as fetch:
        async with serve(broken) as server:
            code, words = await fetch.failed(server.url(), method="POST")
            assert code == "praxis.fetch_failed"
            assert "do not repeat it blindly" in words
            assert "if it costs money" in (await fetch.failed(server.url()))[1]
        assert "Nothing was sent" in (await fetch.failed(server.url()))[1]
        async with serve(half) as server:
            assert "The request was received" in (await fetch.failed(server.url()))[1]
        async with serve(always(response(200, b"x", content_encoding="br"))) as server:
            assert "not asked for" in (await fetch.failed(server.url()))[1]


class Receipt(NamedTuple):
    """What Haima reports: named fields, and things that are not for the model."""

    state: str
    amount_micro: int
    transaction: str
    reason: str = ""
    signature: str = "never shown"


class Paying(httpx2.AsyncBaseTransport):
    """Stands for Haima's transport: answers a 402 once, with a header the tool never sees, and reports a receipt.

    Like Haima it knows five context keys and no other, binds a purchase id to one request, and keeps a ceiling of 0.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self.inner = inner
        self.contexts: list[dict[str, object]] = []
        self.paid_for: dict[str, str] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One unpaid try, one paid."""
        context = dict(request.extensions["life"])
        assert context.keys() <= {"purchase_id", "session_id", "task_id", "max_amount_micro", "repeat"}
        self.contexts.append(context)
        described = f"{request.method} {request.url}"
        if self.paid_for.get(str(context["purchase_id"]), described) != described:
            raise PaymentError("This purchase id was used for another request.")
        first = await self.inner.handle_async_request(request)
        if first.status_code != 402:
            return first
        await first.aclose()
        if context.get("max_amount_micro") == 0:
            raise PaymentError("It costs more than this call may.")
        self.paid_for[str(context["purchase_id"])] = described
        headers = {**request.headers, "payment-signature": "signed"}
        paid = await self.inner.handle_async_request(
            httpx2.Request(
                request.method, request.url, headers=headers, stream=request.stream, extensions=request.extensions
            )
        )
        paid.extensions["life.settlement"] = Receipt("settled", 10_000, "0xabc")
        return paid

    async def aclose(self) -> None:
        """Close what is below."""
        await self.inner.aclose()


RECEIPT = {"state": "settled", "amount_micro": 10_000, "transaction": "0xabc"}


def paying_for(made: list[Paying]) -> Wrap:
    """Wraps and remembers the transport."""

    def wrap(inner: httpx2.AsyncBaseTransport) -> httpx2.AsyncBaseTransport:
        made.append(Paying(inner))
        return made[-1]

    return wrap


async def shop(seen: Seen, writer: asyncio.StreamWriter) -> None:
    """402 until a signature comes, then the goods with a payment field that is none of the tool's business."""
    if "payment-signature" in seen.headers:
        writer.write(response(200, b'{"pay_to":"0xevil"}', "application/json", payment_response="e30="))
    else:
        writer.write(response(402, b'{"x402Version":2}', "application/json", payment_required="e30="))


async def test_payment_happens_below(opening: Opening, context: ToolContext) -> None:
    """The transport is told whose purchase it is; the settlement is handed on; payment fields and bodies are not acted on."""
    made: list[Paying] = []
    async with serve(shop) as server, opening(wrap=paying_for(made)) as fetch:
        output = await fetch.ok(server.url())
    assert output["settlement"] == RECEIPT
    assert (output["status"], output["content"]) == (200, '{"pay_to":"0xevil"}')
    assert output["headers"] == {"content-length": "19", "content-type": "application/json"}
    assert made[0].contexts == [
        {"purchase_id": context.idempotency_key, "session_id": "sess-1", "task_id": "run-1"},
    ]
    assert len(server.requests) == 2


async def test_long_keys_are_purchases_too(opening: Opening, context: ToolContext) -> None:
    """A key longer than a purchase id stands for itself by its digest, the same every time."""
    made: list[Paying] = []
    async with serve(shop) as server, opening(wrap=paying_for(made)) as fetch:
        fetch.context = msgspec.structs.replace(context, idempotency_key="k" * 1000)
        await fetch.ok(server.url())
        await fetch.ok(server.url())
    ids = {str(seen["purchase_id"]) for seen in made[0].contexts}
    assert ids == {hashlib.sha256(b"k" * 1000).hexdigest()}


async def test_one_call_pays_once(opening: Opening, context: ToolContext) -> None:
    """A paid answer that redirects to something else that costs money: a purchase of its own, with a ceiling of zero."""

    async def answer(seen: Seen, writer: asyncio.StreamWriter) -> None:
        if "payment-signature" not in seen.headers:
            writer.write(response(402))
        else:
            writer.write(response(302, location=f"{seen.target}x"))

    made: list[Paying] = []
    async with serve(answer) as server, opening(wrap=paying_for(made)) as fetch:
        outcome = await fetch.outcome(server.url("/"))
    output = msgspec.convert(outcome.output, dict[str, object])
    assert (outcome.status, output["code"], output["settlement"]) == ("error", "haima.error", RECEIPT)
    assert len(made[0].paid_for) == 1
    assert made[0].contexts[1] == {
        "purchase_id": f"{context.idempotency_key}/redirect-1",
        "session_id": "sess-1",
        "task_id": "run-1",
        "max_amount_micro": 0,
    }


async def test_a_paid_order_may_redirect_to_its_goods(opening: Opening) -> None:
    """POST, pay, 303, GET: the second request is not held against the first one's purchase; the receipt is kept."""

    async def answer(seen: Seen, writer: asyncio.StreamWriter) -> None:
        if seen.target == "/goods":
            writer.write(response(200, b"goods"))
        elif "payment-signature" in seen.headers:
            writer.write(response(303, location="/goods"))
        else:
            writer.write(response(402))

    async with serve(answer) as server, opening(wrap=paying_for([])) as fetch:
        output = await fetch.ok(server.url("/order"), method="POST", body="{}")
    assert (output["content"], output["settlement"]) == ("goods", RECEIPT)
    assert all("payment-signature" not in seen.headers for seen in server.requests[2:])


async def test_what_was_paid_is_told_when_the_answer_breaks_off(opening: Opening) -> None:
    """Money moved and the body did not come: the error carries the settlement. A redirect in between does not lose it."""

    async def answer(seen: Seen, writer: asyncio.StreamWriter) -> None:
        if seen.target == "/goods":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
            await writer.drain()
            writer.close()
        elif "payment-signature" in seen.headers:
            writer.write(response(303, location="/goods"))
        else:
            writer.write(response(402))

    async with serve(answer) as server, opening(wrap=paying_for([])) as fetch:
        outcome = await fetch.outcome(server.url("/order"), method="POST", body="{}")
    output = msgspec.convert(outcome.output, dict[str, object])
    assert outcome.status == "error"
    assert output["settlement"] == RECEIPT
    assert "do not repeat it blindly" in str(output["error"])


async def test_refusals_of_the_payment_layer_are_outcomes(opening: Opening) -> None:
    """A payment that is refused, or whose outcome is unknown, reaches the model with its code and advice."""

    class OutcomeUnknownError(PaymentError):
        code = "haima.outcome_unknown"
        retryable = True  # the same purchase; a repeated call would be another one

    class Refusing(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            raise OutcomeUnknownError("It is not known whether it was charged.", next_step="Repeat the purchase.")

    async with opening(wrap=lambda inner: Refusing()) as fetch:
        outcome = await fetch.outcome("https://example.com/")
    output = msgspec.convert(outcome.output, dict[str, object])
    assert (outcome.status, output["code"]) == ("error", "haima.outcome_unknown")
    assert "a repeated call is a new purchase" in str(output["advice"])
    assert "next_step" not in output


async def test_capabilities(opening: Opening) -> None:
    """The host of the URL in canonical form; never `payments:initiate`; what can't be sent has none."""
    async with opening() as fetch:

        def needed(url: str, **arguments: Json) -> tuple[str, ...]:
            return fetch.registry.capabilities(fetch.call(url, **arguments), fetch.context)

        assert needed("https://API.Example.com.:8443/x") == ("net:egress:api.example.com",)
        assert needed("http://[2001:DB8::1]/") == ("net:egress:2001:db8::1",)
        with pytest.raises(ToolInputError):
            needed("http://0x7f.1/")
        with pytest.raises(PolicyViolationError):
            needed("http://example.com/", headers={"cookie": "a=b"})


async def test_probes(opening: Opening) -> None:
    """GET and HEAD are repeatable; the rest is unknown unless the host is known to honour the key that was sent."""
    policy = HttpFetchPolicy(egress=LOOPBACK, idempotent_hosts=("api.example.com",))
    async with opening(policy) as fetch:

        async def probed(url: str, **arguments: Json) -> str:
            call = fetch.call(url, **arguments)
            prepared = await fetch.registry.prepare(call, fetch.context)
            return (await fetch.registry.probe(call, fetch.context, prepared)).answer

        assert await probed("https://example.com/") == "repeatable"
        assert await probed("https://example.com/", method="HEAD") == "repeatable"
        for method in ("POST", "PUT", "DELETE"):
            assert await probed("https://example.com/", method=method) == "unknown"
            assert await probed("https://api.example.com/", method=method) == "repeatable"
            assert await probed("https://api.example.com.evil.com/", method=method) == "unknown"
        mine = {"idempotency-key": "mine"}
        assert await probed("https://api.example.com/", method="POST", headers=mine) == "unknown"
        call = fetch.call("https://example.com/secret?token=1", method="POST")
        assert await fetch.registry.prepare(call, fetch.context) == {"method": "POST", "host": "example.com"}
