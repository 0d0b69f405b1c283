"""The client against agents that lie, break off, or answer something else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.host.a2a import EgressHttp
from life.spaces.a2a.card import MAX_CARD_BYTES, AgentCard, Interface
from life.spaces.a2a.client import HTTP_JSON, JSON_RPC, MAX_ANSWER_BYTES, A2aClient, Reply, Streaming, discover
from life.spaces.a2a.errors import (
    A2aError,
    CardRefusedError,
    InvalidAgentResponseError,
    PeerUnavailableError,
    TaskNotFoundError,
    VersionNotSupportedError,
)
from life.spaces.a2a.wire import Task

CARD: dict[str, Any] = {
    "name": "A",
    "description": "B",
    "version": "1",
    "supportedInterfaces": [
        {"url": "http://peer.test/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
        {"url": "http://peer.test/rest", "protocolBinding": "HTTP+JSON", "protocolVersion": "1.0"},
    ],
}


class Canned:
    """An HTTP that answers what it is told."""

    def __init__(self, status: int, body: bytes, media_type: str = "application/json") -> None:
        self.reply = Reply(status, media_type, body)
        self.requests: list[tuple[str, str, Mapping[str, str], bytes | None]] = []

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_bytes: int
    ) -> Reply:
        """See Http."""
        self.requests.append((method, url, headers, body))
        assert max_bytes in (MAX_CARD_BYTES, MAX_ANSWER_BYTES)
        return self.reply

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> AsyncIterator[Streaming]:
        """See Http."""
        self.requests.append((method, url, headers, body))

        async def chunks() -> AsyncIterator[bytes]:
            for at in range(0, len(self.reply.body), 7):
                yield self.reply.body[at : at + 7]

        yield Streaming(self.reply.status, self.reply.media_type, chunks())


def peer(http: Canned, binding: str = JSON_RPC) -> A2aClient:
    """A client of a canned agent."""
    card = AgentCard(name="A", supported_interfaces=(Interface(url="http://peer.test", protocol_binding=binding),))
    return A2aClient(card, http, signer=None, url="http://peer.test", binding=binding)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"supportedInterfaces": []}, CardRefusedError),
        ({"supportedInterfaces": [{"url": "http://peer.test/", "protocolBinding": "GRPC", "protocolVersion": "1.0"}]}, CardRefusedError),
        ({"supportedInterfaces": [{"url": "http://peer.test/", "protocolBinding": "JSONRPC", "protocolVersion": "0.3"}]}, CardRefusedError),
        ({"supportedInterfaces": [{"url": "http://evil.test/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]}, CardRefusedError),
        ({"supportedInterfaces": [{"url": "file:///x", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]}, CardRefusedError),
        ({"supportedInterfaces": [{"url": "http://u:p@peer.test/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]}, CardRefusedError),
        ({"name": None}, CardRefusedError),
    ],
)  # fmt: skip
async def test_cards_that_lead_nowhere_are_refused(change: dict[str, Any], error: type[A2aError]) -> None:
    """No usable interface, an old version, another origin than the unsigned card's, odd addresses."""
    http = Canned(200, json.dumps({**CARD, **change}).encode())
    with pytest.raises(error):
        await discover("http://peer.test", http, trusted=lambda _did: False, require_signature=False)


async def test_an_unsigned_card_is_refused_unless_allowed() -> None:
    """And a card that is not there is the peer's absence."""
    http = Canned(200, json.dumps(CARD).encode())
    with pytest.raises(CardRefusedError):
        await discover("http://peer.test", http, trusted=lambda _did: True)
    found = await discover("http://peer.test/", http, trusted=lambda _did: True, require_signature=False)
    assert (found.url, found.binding, found.signer) == ("http://peer.test/rpc", JSON_RPC, None)
    assert http.requests[-1][1] == "http://peer.test/.well-known/agent-card.json"
    with pytest.raises(PeerUnavailableError):
        await discover("http://peer.test", Canned(404, b""), trusted=lambda _did: True)


@pytest.mark.parametrize("binding", [JSON_RPC, HTTP_JSON])
@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"", InvalidAgentResponseError),
        (200, b"<html>", InvalidAgentResponseError),
        (200, b"[" * 100_000, InvalidAgentResponseError),
        (200, b'{"jsonrpc": "2.0", "id": 1, "result": {"id": 7}}', InvalidAgentResponseError),
        (
            200,
            b'{"jsonrpc": "2.0", "id": 1, "result": {"id": "t", "status": {"state": "?"}}}',
            InvalidAgentResponseError,
        ),
        (200, b'{"jsonrpc": "2.0", "id": 1}', InvalidAgentResponseError),
        (401, b"", PeerUnavailableError),
        (403, b"{}", PeerUnavailableError),
        (502, b"<html>", PeerUnavailableError),
        (418, b"{}", InvalidAgentResponseError),
    ],
)
async def test_answers_that_are_not_of_the_protocol(
    binding: str, status: int, body: bytes, error: type[A2aError]
) -> None:
    """-32006, or an agent that does not answer; never another exception."""
    with pytest.raises(error):
        await peer(Canned(status, body), binding).get("t")


async def test_errors_of_the_other_agent_are_ours() -> None:
    """By code and by reason; an unknown one is told with its words."""
    wrapped = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32001, "message": "gone"}}
    with pytest.raises(TaskNotFoundError, match="gone"):
        await peer(Canned(200, json.dumps(wrapped).encode())).get("t")
    wrapped["error"] = {"code": -32009, "message": "old"}
    with pytest.raises(VersionNotSupportedError, match="old"):
        await peer(Canned(200, json.dumps(wrapped).encode())).get("t")
    wrapped["error"] = {"code": -1, "message": "odd"}
    with pytest.raises(InvalidAgentResponseError, match="odd"):
        await peer(Canned(200, json.dumps(wrapped).encode())).get("t")
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "TASK_NOT_FOUND", "domain": "x"}
    rest = {"error": {"code": 404, "status": "NOT_FOUND", "message": "gone", "details": [info]}}
    with pytest.raises(TaskNotFoundError, match="gone"):
        await peer(Canned(404, json.dumps(rest).encode()), HTTP_JSON).get("t")


@given(st.binary(max_size=300))
async def test_any_stream_is_events_or_an_error_of_ours(raw: bytes) -> None:
    """Whatever bytes come as server-sent events."""
    for binding in (JSON_RPC, HTTP_JSON):
        try:
            async for _ in peer(Canned(200, raw, "text/event-stream"), binding).subscribe("t"):
                pass
        except A2aError:
            pass


async def test_a_stream_is_read_across_pieces_and_bounded() -> None:
    """Frames cut anywhere, comments and CRLF; a frame without an end is refused at its limit; two things in one event, too."""
    task = {"task": {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}}
    body = b": hi\r\n\r\ndata: " + json.dumps(task).encode() + b"\r\n\r\n"
    (event,) = [event async for event in peer(Canned(200, body, "text/event-stream"), HTTP_JSON).subscribe("t")]
    assert event.task is not None
    endless = Canned(200, b"data: " + b"x" * 1_100_000, "text/event-stream")
    with pytest.raises(InvalidAgentResponseError):
        await anext(peer(endless, HTTP_JSON).subscribe("t"))
    both = {**task, "message": {"messageId": "m", "role": "ROLE_AGENT", "parts": []}}
    twofold = Canned(200, b"data: " + json.dumps(both).encode() + b"\n\n", "text/event-stream")
    with pytest.raises(InvalidAgentResponseError):
        await anext(peer(twofold, HTTP_JSON).subscribe("t"))


async def test_names_of_tasks_stay_names_in_addresses() -> None:
    """An id with slashes and question marks does not become another address."""
    answer = Canned(200, json.dumps({"id": "t", "status": {"state": "TASK_STATE_WORKING"}}).encode())
    assert isinstance(await peer(answer, HTTP_JSON).get("../../x?y#z"), Task)
    assert answer.requests[-1][1] == "http://peer.test/tasks/..%2F..%2Fx%3Fy%23z"


async def test_the_hosts_http_follows_no_redirect_and_reads_no_more_than_it_may() -> None:
    """A redirect is an answer like any other; a flood ends at the limit; a dead peer is unavailable."""

    def answers(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/dead":
            raise httpx2.ConnectError("no")
        if request.url.path == "/flood":
            return httpx2.Response(200, content=b"x" * 2000)
        return httpx2.Response(302, headers={"location": "http://evil.test/"})

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answers)) as client:
        http = EgressHttp(client)
        assert (await http.request("GET", "http://a.test/", {}, None, max_bytes=10)).status == 302
        for path in ("dead", "flood"):
            with pytest.raises(PeerUnavailableError):
                await http.request("GET", f"http://a.test/{path}", {}, None, max_bytes=1000)
