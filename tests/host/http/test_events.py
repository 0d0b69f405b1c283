"""Server-sent events: ids, resumption, closing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from life.aios.errors import InvalidInputError
from life.aios.events import AssistantTextDelta, UserMessage, encode_kind
from life.aios.record import DEFAULT_SCHEMA, USER, EventRecord
from life.host.http.events import EventStreamResponse, OutsideLayers, WritesResponse, frame, resume_cursor


def record(sequence: int) -> EventRecord:
    kind = UserMessage(content="line\nbreak") if sequence else AssistantTextDelta(delta="x")
    return EventRecord(
        event_id=f"e{sequence}",
        session_id="s",
        branch_id="main",
        agent_id="a",
        sequence=sequence,
        timestamp_us=0,
        actor=USER,
        schema=DEFAULT_SCHEMA,
        kind_name=type(kind).__name__,
        payload=encode_kind(kind),
    )


def test_a_stored_event_has_its_sequence_as_id_and_one_data_line() -> None:
    """Line breaks inside the content stay escaped, so a frame is always three lines."""
    assert frame(record(7)).startswith(b'id: 7\ndata: {"event_id":"e7"')
    assert frame(record(7)).count(b"\n") == 3


def test_an_ephemeral_event_has_no_id() -> None:
    """A client's Last-Event-ID always names something stored."""
    assert frame(record(0)).startswith(b"data: ")


def request(query: str = "", last_event_id: str | None = None) -> Request:
    headers = [(b"last-event-id", last_event_id.encode())] if last_event_id is not None else []
    return Request({"type": "http", "headers": headers, "query_string": query.encode()})


def test_the_cursor_comes_from_the_header_then_the_query() -> None:
    """Last-Event-ID wins over ?cursor=, nothing means the beginning."""
    assert resume_cursor(request("cursor=3", "5")) == 5
    assert resume_cursor(request("cursor=3")) == 3
    assert resume_cursor(request()) == 0


@pytest.mark.parametrize("text", ["-1", "x", "1e3", "9" * 30, "١"])
def test_a_cursor_that_is_no_number_is_refused(text: str) -> None:
    """Bad input gets an error, not the whole history."""
    with pytest.raises(InvalidInputError):
        resume_cursor(request(f"cursor={text}"))


async def run(response: EventStreamResponse, leave: asyncio.Event) -> list[bytes]:
    sent: list[bytes] = []

    async def receive() -> MutableMapping[str, Any]:
        await leave.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            sent.append(message["body"])

    await asyncio.wait_for(response({"type": "http"}, receive, send), 5)
    return sent


async def test_everything_ready_leaves_in_one_write() -> None:
    """A burst of events is one write, in order, followed by the end."""

    async def records() -> AsyncIterator[EventRecord]:
        for sequence in (1, 2, 3):
            yield record(sequence)

    sent = await run(EventStreamResponse(records()), asyncio.Event())
    body = b"".join(sent)
    assert [line for line in body.split(b"\n") if line.startswith(b"id")] == [b"id: 1", b"id: 2", b"id: 3"]


async def test_a_client_that_leaves_frees_the_subscription() -> None:
    """The iterator's cleanup runs although it was waiting for the next event."""
    freed = asyncio.Event()
    leave = asyncio.Event()

    async def records() -> AsyncIterator[EventRecord]:
        try:
            yield record(1)
            leave.set()
            await asyncio.Event().wait()
        finally:
            freed.set()

    await run(EventStreamResponse(records()), leave)
    assert freed.is_set()


async def test_a_stream_that_is_handed_over_and_not_sent_is_left() -> None:
    """Whatever goes wrong between the answer and the stream, nobody stays subscribed."""

    class Never:
        left = 0

        async def next(self) -> bytes | None:
            raise AssertionError

        def leave(self) -> None:
            self.left += 1

    writes = Never()
    response = WritesResponse(writes, error=lambda _: b"")

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await response(scope, receive, send)
        raise RuntimeError("after the answer")

    async def nothing() -> Message:
        raise AssertionError

    async def send(_: Message) -> None:
        raise AssertionError

    with pytest.raises(RuntimeError):
        await OutsideLayers(broken)({"type": "http", "method": "GET"}, nothing, send)
    assert writes.left == 1
