"""Notifications: signed, in order, repeated until they are taken; private addresses are not posted to; secrets stay out of the journal."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from life.aios.ports.journal import EventQuery
from life.crypto import jws
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock
from tests.host.serving import serving
from tests.spaces.a2a.kit import house, rpc, said


class Inbox:
    """Takes what is posted, after refusing as often as it is told."""

    def __init__(self) -> None:
        self.posts: list[tuple[dict[str, str], Any, bytes]] = []
        self.refusals: list[int] = []
        self.arrived = asyncio.Event()

    async def take(self, request: Request) -> Response:
        """One post."""
        body = await request.body()
        self.posts.append((dict(request.headers), json.loads(body), body))
        self.arrived.set()
        return Response(status_code=self.refusals.pop(0) if self.refusals else 200)

    async def until(self, state: str) -> Any:
        """Wait for a post about this state."""
        for _ in range(500):
            for headers, body, raw in self.posts:
                if body["task"]["status"]["state"] == f"TASK_STATE_{state}":
                    return headers, body, raw
            await asyncio.sleep(0.02)
        raise AssertionError(f"nothing was posted about {state}: {self.posts}")


@asynccontextmanager
async def inbox() -> AsyncIterator[tuple[Inbox, str]]:
    """A served inbox and its address."""
    made = Inbox()
    async with serving(Starlette(routes=[Route("/in", made.take, methods=["POST"])])) as address:
        yield made, f"{address}/in"


def config(url: str, **more: Any) -> dict[str, Any]:
    """A configuration within SendMessage."""
    authentication = {"scheme": "Bearer", "credentials": "their-secret"}
    push = {"url": url, "token": "their-token", "authentication": authentication, **more}
    return {"taskPushNotificationConfig": push}


async def test_updates_are_posted_signed_with_the_clients_token(tmp_path: Path) -> None:
    """The end of the task arrives, with the token and the credentials the client chose, and a signature over the body by the agent's DID;
    neither secret stands in the journal, and credentials are not told again."""
    async with inbox() as (box, url), house(tmp_path) as home:
        task = (await rpc(home, "SendMessage", said("hello", configuration=config(url))))["result"]["task"]
        headers, body, raw = await box.until("COMPLETED")
        assert body["task"]["id"] == task["id"]
        assert headers["x-a2a-notification-token"] == "their-token"
        assert headers["authorization"] == "Bearer their-secret"
        verified = jws.verify(headers["a2a-signature"], typ="a2a-notification+jwt")
        assert verified.signer.did == home.did
        assert verified.claims["aud"] == url
        assert verified.claims["body_sha256"] == hashlib.sha256(raw).hexdigest()
        (kept,) = (await rpc(home, "ListTaskPushNotificationConfigs", {"taskId": task["id"]}))["result"]["configs"]
        assert kept["token"] == "their-token"
        assert "credentials" not in kept["authentication"]
        written = b"".join(record.payload for record in await home.journal.read(EventQuery(), limit=10_000))
        assert b"their-" not in written


async def test_an_update_that_is_not_taken_comes_again_also_after_a_restart(tmp_path: Path) -> None:
    """503 and then a restart: the update arrives all the same."""
    async with inbox() as (box, url), MemoryJournal() as journal:
        box.refusals = [503]
        clock = ManualClock()
        async with house(tmp_path, journal=journal, clock=clock) as home:
            await rpc(home, "SendMessage", said("sign it", configuration=config(url)))
            await asyncio.wait_for(box.arrived.wait(), 10)
        box.posts.clear()
        async with house(tmp_path, journal=journal):
            await box.until("INPUT_REQUIRED")


async def test_gone_ends_the_configuration(tmp_path: Path) -> None:
    """410: no more posts, and no configuration."""
    async with inbox() as (box, url), house(tmp_path) as home:
        box.refusals = [410, 410, 410]
        task = (await rpc(home, "SendMessage", said("sign it", configuration=config(url))))["result"]["task"]
        for _ in range(300):
            listed = (await rpc(home, "ListTaskPushNotificationConfigs", {"taskId": task["id"]}))["result"]
            if not listed.get("configs"):
                break
            await asyncio.sleep(0.02)
        assert not listed.get("configs")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",
        "https://127.0.0.1/",
        "https://169.254.169.254/latest",
        "https://[::1]/",
        "http://example.com/",
        "https://user:pass@example.com/",
        "file:///etc/passwd",
        "gopher://x",
        "https://",
        "",
    ],
)
async def test_private_and_odd_addresses_are_not_posted_to(tmp_path: Path, url: str) -> None:
    """Refused when they are configured, with a message and alone; the task is not begun."""
    async with house(tmp_path, push_hosts=()) as home:
        refused = await rpc(home, "SendMessage", said("hello", configuration=config(url)))
        assert refused["error"]["code"] == -32602
        assert (await rpc(home, "ListTasks"))["result"]["totalSize"] == 0


async def test_configurations_are_bounded_and_their_secrets_are_header_text(tmp_path: Path) -> None:
    """The seventeenth is refused; a token with a line break, too; one that is set again under its id replaces itself."""
    async with house(tmp_path) as home:
        task = (await rpc(home, "SendMessage", said("sign it")))["result"]["task"]
        url = "http://127.0.0.1:9/"
        for number in range(16):
            made = await rpc(
                home, "CreateTaskPushNotificationConfig", {"taskId": task["id"], "id": f"c{number}", "url": url}
            )
            assert made["result"]["id"] == f"c{number}"
        create = {"taskId": task["id"], "url": url}
        more = await rpc(home, "CreateTaskPushNotificationConfig", {**create, "id": "c16"})
        assert more["error"]["code"] == -32602
        again = await rpc(home, "CreateTaskPushNotificationConfig", {**create, "id": "c3", "token": "t"})
        assert again["result"]["token"] == "t"
        broken = await rpc(home, "CreateTaskPushNotificationConfig", {**create, "id": "c3", "token": "a\r\nb: c"})
        assert broken["error"]["code"] == -32602
