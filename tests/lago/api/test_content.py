"""Types, ranges and conditions of contents, by themselves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from life.lago.api.content import Content, content_response, safe_type
from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.store import BlobStore
from life.testing.clock import SeededEntropy


async def answer_of(store: BlobStore, content: Content, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a GET."""
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": raw, "query_string": b""}
    response = await content_response(Request(scope), store, content)
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.Event().wait()  # the client stays
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    await response(scope, receive, send)
    told = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return sent[0]["status"], told, b"".join(message.get("body", b"") for message in sent[1:])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40), st.integers(0, 50), st.one_of(st.none(), st.integers(0, 50)), st.booleans())
async def test_a_range_is_a_slice(tmp_path: Path, body: bytes, first: int, last: int | None, known: bool) -> None:
    """Whatever is asked for, the answer is that slice, or 416 when it is empty; whether or not the length is known before."""
    store = BlobStore(DirectoryObjects(tmp_path, SeededEntropy()), SeededEntropy(str(body)))
    info = await store.put(body)
    content = Content(info.hash, len(body) if known else None, None, "f", "no-store")
    status, headers, got = await answer_of(store, content, range=f"bytes={first}-{'' if last is None else last}")
    expected = body[first:] if last is None else body[first : last + 1]
    if expected:
        assert (status, got) == (206, expected)
        assert headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(body)}"
    else:
        assert (status, headers["content-range"]) == (416, f"bytes */{len(body)}")
    status, _, got = await answer_of(store, content, range=f"bytes=-{first}")
    assert got == (body[-first:] if first else b"")
    assert status == (206 if first and body else 416)


@pytest.mark.parametrize(
    ("told", "served"),
    [
        (None, "application/octet-stream"),
        ("", "application/octet-stream"),
        ("TEXT/PLAIN; charset=utf-7", "text/plain; charset=utf-8"),
        ("text/markdown", "text/markdown; charset=utf-8"),
        ("image/png", "image/png"),
        ("image/svg+xml", "application/octet-stream"),
        ("text/html;", "application/octet-stream"),
        ("text/plain, text/html", "application/octet-stream"),
        ("multipart/x-mixed-replace", "application/octet-stream"),
    ],
)
def test_types(told: str | None, served: str) -> None:
    """A type of the list is served as itself, without parameters of the writer; every other as bytes."""
    assert safe_type(told) == served
