"""Webhooks: signed, at least once, in order, over restarts; against a real receiver on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from life.aios.events import RunFinished, SessionCreated, UserMessage
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventWriter, Stream
from life.arcan.doors.errors import WebhookNotFoundError, WebhookTargetError
from life.arcan.doors.webhook_delivery import RETRY_S, Webhooks
from life.arcan.doors.webhook_events import WEBHOOKS
from life.arcan.doors.webhook_signature import is_signed, shown_secret
from life.host.webhook_client import CheckedWebhookClient
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal
from life.praxis.egress import EgressPolicy
from life.testing.clock import ManualClock, SeededEntropy
from tests.host.serving import serving


class Receiver:
    """Takes posts, and answers what it is told."""

    def __init__(self) -> None:
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.news = asyncio.Event()
        self.app = Starlette(routes=[Route("/hook", self._take, methods=["POST"])])

    async def _take(self, request: Request) -> Response:
        self.posts.append((dict(request.headers), await request.body()))
        self.news.set()
        status = self.answers.pop(0) if self.answers else 204
        return Response(status_code=status, headers={"location": "http://127.0.0.1:1/"} if status == 302 else {})

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.posts) < count:
                self.news.clear()
                await self.news.wait()

    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, body in self.posts]


def secret_of(webhook_id: str, rotation: int) -> bytes:
    return hashlib.sha256(f"{webhook_id}/{rotation}".encode()).digest()


class Bench:
    """A journal, a receiver, and subscriptions."""

    def __init__(self, journal: Journal, receiver: Receiver, address: str) -> None:
        self.journal, self.receiver = journal, receiver
        self.url = f"{address}/hook"
        self.clock = ManualClock()
        self.entropy = SeededEntropy()
        host = address.removeprefix("http://")
        self.client = CheckedWebhookClient(EgressPolicy(allow_private_hosts=(host,)))

    @asynccontextmanager
    async def webhooks(self) -> AsyncIterator[Webhooks]:
        webhooks = Webhooks(
            self.journal, self.client, clock=self.clock, entropy=self.entropy, agent_id="a", secret_of=secret_of
        )
        await webhooks.start()
        try:
            yield webhooks
        finally:
            await webhooks.aclose()

    async def session(self, session_id: str, owner: str = "") -> EventWriter:
        writer = EventWriter(self.clock, self.entropy, agent_id="a", stream=Stream(session_id))
        await self.journal.append([writer.event(SessionCreated(name="", config={"owner": owner}))])
        return writer

    async def finish(self, writer: EventWriter, reason: str) -> str:
        event = writer.event(RunFinished(reason=reason, total_iterations=1))
        await self.journal.append([event])
        return event.event_id

    async def attempts(self, count: int) -> None:
        """Wait until so many attempts are on record."""
        async with asyncio.timeout(10):
            while True:
                page = await self.journal.read(EventQuery(*WEBHOOKS), limit=1000)
                if sum(b"webhook_attempted" in record.payload for record in page) >= count:
                    return
                await asyncio.sleep(0.01)


@pytest.fixture(params=["memory", "sqlite"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    receiver = Receiver()
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(serving(receiver.app))
        journal: Journal
        if request.param == "memory":
            journal = await stack.enter_async_context(MemoryJournal())
        else:
            journal = await stack.enter_async_context(SqliteJournal.open(tmp_path / "journal.db", clock=ManualClock()))
        bench = Bench(journal, receiver, address)
        yield bench
        await bench.client.aclose()


async def test_what_the_filter_wants_is_posted_and_signed(bench: Bench) -> None:
    """From the subscription on, in order; the id is the event's; the signature is Standard Webhooks' (computed here by hand)."""
    async with bench.webhooks() as webhooks:
        writer = await bench.session("s")
        await bench.finish(writer, "before")
        _, secret = await webhooks.create(bench.url, ("RunFinished",), owner=None)
        await bench.journal.append([writer.event(UserMessage(content="not wanted"))])
        ids = [await bench.finish(writer, reason) for reason in ("one", "two")]
        await bench.receiver.wait(2)
    assert [body["kind"]["reason"] for body in bench.receiver.bodies()] == ["one", "two"]
    for event_id, (headers, body) in zip(ids, bench.receiver.posts, strict=True):
        assert headers["webhook-id"] == event_id
        signed = f"{event_id}.{headers['webhook-timestamp']}.".encode() + body
        key = b64decode(shown_secret(secret).removeprefix("whsec_"))
        wanted = b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{wanted}"


async def test_what_is_not_taken_is_posted_again_in_order(bench: Bench) -> None:
    """After the waits of the schedule, the same id every time, later events behind it; redirects count as not taken."""
    bench.receiver.answers = [500, 302]
    async with bench.webhooks() as webhooks:
        writer = await bench.session("s")
        webhook, _ = await webhooks.create(bench.url, ("RunFinished",), owner=None)
        first, second = await bench.finish(writer, "one"), await bench.finish(writer, "two")
        for number in (1, 2):
            await bench.attempts(number)
            assert len(bench.receiver.posts) == number
            bench.clock.advance_us(RETRY_S[number - 1] * 1_000_000)
        await bench.attempts(4)
        found = await webhooks.deliveries(webhook.webhook_id, None, after_sequence=0, limit=10)
    assert [headers["webhook-id"] for headers, _ in bench.receiver.posts] == [first, first, first, second]
    assert [(tried.attempt, tried.status, tried.delivered) for _, _, tried in found] == [
        (1, 500, False),
        (2, 302, False),
        (3, 204, True),
        (1, 204, True),
    ]


async def test_a_restart_loses_nothing(bench: Bench) -> None:
    """Stopped while an event waits for its second attempt, and while others happen: all come, in order, none is forgotten."""
    bench.receiver.answers = [503]
    async with bench.webhooks() as webhooks:
        writer = await bench.session("s")
        await webhooks.create(bench.url, ("RunFinished",), owner=None)
        await bench.finish(writer, "one")
        await bench.attempts(1)
    await bench.finish(writer, "two")
    bench.clock.advance_us(RETRY_S[0] * 1_000_000)
    async with bench.webhooks():
        await bench.attempts(3)
    assert [body["kind"]["reason"] for body in bench.receiver.bodies()] == ["one", "one", "two"]


async def test_after_the_last_attempt_it_is_disabled(bench: Bench) -> None:
    """With an event; a restart does not begin again. `410 Gone` does it at once."""
    bench.receiver.answers = [500] * 100
    async with bench.webhooks() as webhooks:
        writer = await bench.session("s")
        webhook, _ = await webhooks.create(bench.url, ("RunFinished",), owner=None)
        await bench.finish(writer, "one")
        for number, wait_s in enumerate(RETRY_S, start=1):
            await bench.attempts(number)
            await asyncio.sleep(0)
            bench.clock.advance_us(wait_s * 1_000_000)
        await bench.attempts(len(RETRY_S) + 1)
        async with asyncio.timeout(5):
            while not webhooks.get(webhook.webhook_id, None).disabled:
                await asyncio.sleep(0.01)
        gone, _ = await webhooks.create(bench.url, ("RunFinished",), owner=None)
        bench.receiver.answers = [410]
        await bench.finish(writer, "two")
        async with asyncio.timeout(5):
            while not webhooks.get(gone.webhook_id, None).disabled:
                await asyncio.sleep(0.01)
    posts = len(bench.receiver.posts)
    async with bench.webhooks() as webhooks:
        await bench.finish(writer, "three")
        await asyncio.sleep(0.05)
        assert all(each.disabled for each in webhooks.all_of(None))
    assert len(bench.receiver.posts) == posts


async def test_rotation_signs_with_both_secrets_for_a_day(bench: Bench) -> None:
    """Receivers may change at their own time; then the old secret is worth nothing. A replayed old post is no longer accepted."""
    async with bench.webhooks() as webhooks:
        writer = await bench.session("s")
        webhook, old = await webhooks.create(bench.url, ("*",), owner=None)
        _, new = await webhooks.rotate(webhook.webhook_id, None)
        await bench.finish(writer, "one")
        await bench.receiver.wait(1)
        bench.clock.advance_us(90_000 * 1_000_000)
        await bench.finish(writer, "two")
        await bench.receiver.wait(2)
    now_s = bench.clock.now_us() // 1_000_000
    (one, one_body), (two, two_body) = bench.receiver.posts
    then_s = int(one["webhook-timestamp"])
    assert is_signed(old, one, one_body, now_s=then_s) and is_signed(new, one, one_body, now_s=then_s)
    assert is_signed(new, two, two_body, now_s=now_s) and not is_signed(old, two, two_body, now_s=now_s)
    assert not is_signed(new, one, one_body, now_s=now_s), "replayed a day later"
    assert not is_signed(new, two, two_body + b" ", now_s=now_s)


async def test_owners_hear_of_their_own_sessions_only(bench: Bench) -> None:
    """And see, test, rotate and delete only their own subscriptions."""
    async with bench.webhooks() as webhooks:
        webhook, _ = await webhooks.create(bench.url, ("*",), owner="ann")
        await bench.finish(await bench.session("bobs", "bob"), "bob's")
        await bench.finish(await bench.session("anns", "ann"), "ann's")
        await bench.receiver.wait(2)
        assert {body["session_id"] for body in bench.receiver.bodies()} == {"anns"}
        assert webhooks.all_of("bob") == [] and webhooks.all_of("ann") != []
        for attempt in (webhooks.test, webhooks.rotate, webhooks.delete):
            with pytest.raises(WebhookNotFoundError):
                await attempt(webhook.webhook_id, "bob")
        assert (await webhooks.test(webhook.webhook_id, "ann")).status == 204
        await webhooks.delete(webhook.webhook_id, "ann")
        assert webhooks.all_of(None) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:127.0.0.1]/",
        "https://localhost/",
        "ftp://example.com/",
        "https://user:secret@example.com/",
        "https:///nowhere",
        "https://example.com:99999/",
        "not a url",
    ],
)
async def test_private_and_odd_addresses_are_refused(url: str) -> None:
    """When subscribing; and a post to a private address never connects, however it got there."""
    client = CheckedWebhookClient(EgressPolicy())
    with pytest.raises(WebhookTargetError):
        await client.check(url)
    await client.aclose()


async def test_a_redirect_to_a_private_address_is_not_followed(bench: Bench) -> None:
    """The answer is the redirect itself; nothing connects to where it points."""
    bench.receiver.answers = [302]
    answer = await bench.client.post(bench.url, {}, b"{}")
    assert answer.status == 302 and "Redirects" in answer.error
    other = CheckedWebhookClient(EgressPolicy())
    refused = await other.post(bench.url, {}, b"{}")
    assert refused.status == 0 and "private" in refused.error
    assert len(bench.receiver.posts) == 1
    await other.aclose()
