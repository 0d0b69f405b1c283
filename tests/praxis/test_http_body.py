"""Bodies within limits."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator, Iterable

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.praxis.errors import FetchError
from life.praxis.http_body import Body, decode_text, read_body


class Chunks(httpx2.AsyncByteStream):
    """A body in given pieces that counts how many were taken."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks = iter(chunks)
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            self.taken += 1
            yield chunk


def endless(chunk: bytes) -> Iterable[bytes]:
    """The same piece for ever."""
    while True:
        yield chunk


def answer(chunks: Iterable[bytes], encoding: str = "") -> httpx2.Response:
    """A response that streams the pieces."""
    return httpx2.Response(200, headers={"content-encoding": encoding} if encoding else {}, stream=Chunks(chunks))


def split(data: bytes, size: int) -> list[bytes]:
    """Pieces of one size."""
    return [data[start : start + size] for start in range(0, len(data), size)]


@given(
    data=st.binary(max_size=300),
    limit=st.integers(1, 400),
    size=st.integers(1, 50),
    encoding=st.sampled_from(["", "identity", "gzip", "X-GZIP", "deflate"]),
)
async def test_exactly_the_beginning_is_read(data: bytes, limit: int, size: int, encoding: str) -> None:
    """Any body, cut into any pieces, in each encoding: the first `limit` bytes, and whether there were more."""
    wire = data
    if "gzip" in encoding.lower():
        wire = gzip.compress(data, mtime=0)
    elif encoding == "deflate":
        wire = zlib.compress(data)
    body = await read_body(answer(split(wire, size), encoding), limit)
    assert body == Body(data[:limit], truncated=len(data) > limit)


async def test_a_bomb_is_not_inflated() -> None:
    """64 MiB in 64 KiB: what the limit allows, after the first piece."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    block = bytes(1 << 20)
    bomb = b"".join(compressor.compress(block) for _ in range(64)) + compressor.flush()
    response = answer(split(bomb, 16_384), "gzip")
    body = await read_body(response, 10_000)
    assert body == Body(bytes(10_000), truncated=True)
    assert isinstance(response.stream, Chunks)
    assert response.stream.taken == 1


async def test_wire_bytes_are_bounded_even_when_they_hold_nothing() -> None:
    """Endless empty deflate blocks: reading stops though no output ever comes."""
    header = gzip.compress(b"", mtime=0)[:10]
    empty_block = b"\x00\x00\x00\xff\xff"  # RFC 1951 §3.2.4: stored, length 0

    def chunks() -> Iterable[bytes]:
        yield header
        yield from endless(empty_block * 2000)

    assert await read_body(answer(chunks(), "gzip"), 1000) == Body(b"", truncated=True)


async def test_an_endless_body_is_left() -> None:
    """Plain bytes without end: the limit, and no piece more than needed."""
    response = answer(endless(b"x" * 100))
    assert await read_body(response, 1000) == Body(b"x" * 1000, truncated=True)
    assert isinstance(response.stream, Chunks)
    assert response.stream.taken == 11


async def test_what_follows_the_end_mark_is_not_read() -> None:
    """Bytes behind a gzip member are neither kept nor waited for."""
    response = answer([gzip.compress(b"data", mtime=0), *[b"junk"] * 5], "gzip")
    assert await read_body(response, 1000) == Body(b"data", truncated=False)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip,identity", "unknown", "\x7f" * 99])
async def test_encodings_that_were_not_asked_for(encoding: str) -> None:
    """Refused by name; nested encodings multiply."""
    with pytest.raises(FetchError, match="not asked for"):
        await read_body(answer([b"x"], encoding), 10)


async def test_damaged_bodies_are_told() -> None:
    """Not gzip at all, or gzip that ends early."""
    with pytest.raises(FetchError, match="damaged"):
        await read_body(answer([b"plain"], "gzip"), 10)
    with pytest.raises(FetchError, match="before its end"):
        await read_body(answer([gzip.compress(b"data", mtime=0)[:-4]], "gzip"), 10)
    assert await read_body(answer([], "gzip"), 10) == Body(b"", truncated=False)  # an answer to HEAD


async def test_a_body_that_a_transport_has_read_is_taken() -> None:
    """A paying transport may hand on a response that it had to read."""
    assert await read_body(httpx2.Response(200, content=b"0123456789"), 4) == Body(b"0123", truncated=True)
    assert await read_body(httpx2.Response(200, content=b"0123"), 4) == Body(b"0123", truncated=False)


@pytest.mark.parametrize(
    ("content", "content_type", "expected"),
    [
        ("é".encode(), "text/plain", "é"),
        ("é".encode(), "text/html; charset=UTF-8", "é"),
        ("é".encode("latin-1"), 'text/html; charset="iso-8859-1"', "é"),
        (b"\x80", "text/plain; charset=latin-1", "€"),  # the web reads latin-1 as windows-1252
        ("日本".encode("shift_jis"), "text/plain;charset=Shift_JIS", "日本"),
        (b"{}", "application/json", "{}"),
        (b"{}", "application/problem+json; charset=utf-8", "{}"),
        (b"<a/>", "image/svg+xml", "<a/>"),
        (b"\xff\xfea\x00", "text/plain; charset=utf-16", "a"),
        (b"bad \xff", "text/plain", "bad \ufffd"),
        (b"abc", "text/plain; charset=bogus", "abc"),
        (b"abc", "text/plain; charset=zip", "abc"),
        (b"abc", "text/plain; charset=idna", "abc"),
        (b"abc", "text/plain; charset=\0", "abc"),
        (b"plain", "", "plain"),
        (b"plain", "application/octet-stream", "plain"),
        (b"\x00\x01", "", None),
        (b"\xff\xd8", "", None),
        (b"plain", "image/png", None),
        (b"plain", "application/pdf", None),
    ],
)
def test_text(content: bytes, content_type: str, expected: str | None) -> None:
    """Text types and charsets of the web; unknown and slow codecs are read as UTF-8; binary types are not text."""
    assert decode_text(Body(content, truncated=False), content_type) == expected


def test_a_cut_character_is_left_out() -> None:
    """The limit may fall inside a character; a whole body may not end there."""
    half = "aé".encode()[:2]
    assert decode_text(Body(half, truncated=True), "text/plain") == "a"
    assert decode_text(Body(half, truncated=True), "") == "a"
    assert decode_text(Body(half, truncated=False), "text/plain") == "a\ufffd"


@given(st.binary(max_size=50), st.text(max_size=30), st.booleans())
def test_any_bytes_with_any_type_are_text_or_not(content: bytes, content_type: str, truncated: bool) -> None:
    """A hostile content type never raises."""
    text = decode_text(Body(content, truncated=truncated), content_type)
    assert text is None or isinstance(text, str)
