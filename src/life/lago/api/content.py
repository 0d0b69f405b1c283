"""Contents over HTTP: types that a browser can't run, single ranges, conditions (RFC 9110 §13, §14).

Whatever was stored comes back with `nosniff`, a sandboxing policy and a type of a list; what could run in a page (HTML, SVG, scripts,
unknown) is `application/octet-stream` and a download. So the daemon's own origin never runs what somebody stored.

Blobs are read in pieces and verified; the last piece leaves only when the hash was right. A damaged blob breaks the connection off.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final, NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from life.aios.ports.blobs import Blobs

DEFAULT_TYPE: Final = "application/octet-stream"
_INLINE: Final = frozenset(
    {
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "image/avif",
        "audio/mpeg",
        "audio/ogg",
        "audio/wav",
        "video/mp4",
        "video/webm",
        "text/plain",
    }
)
_DOWNLOADED: Final = frozenset(
    {
        "application/json",
        "application/pdf",
        "application/zip",
        "application/gzip",
        "text/csv",
        "text/markdown",
        DEFAULT_TYPE,
    }
)
_RANGE: Final = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")
_ETAGS: Final = re.compile(r'(?:W/)?"([^"]*)"')


class Content(NamedTuple):
    """What is served."""

    blob: str
    size_bytes: int | None
    """None: not known before it was read."""
    content_type: str | None
    file_name: str
    cache: str
    """The Cache-Control."""


class _Span(NamedTuple):
    start: int
    stop: int


def safe_type(content_type: str | None) -> str:
    """The type under which a content of this type is served."""
    plain = (content_type or DEFAULT_TYPE).partition(";")[0].strip().lower()
    if plain not in _INLINE and plain not in _DOWNLOADED:
        return DEFAULT_TYPE
    return f"{plain}; charset=utf-8" if plain.startswith("text/") else plain


async def content_response(request: Request, blobs: Blobs, content: Content) -> Response:
    """The answer to a GET or HEAD of a content that is there and that the caller may read."""
    headers = _headers(content)
    if _is_known(request.headers.getlist("if-none-match"), content.blob):
        return Response(status_code=304, headers=headers)
    wanted = request.headers.get("range") if request.method == "GET" and _range_holds(request, content.blob) else None
    found = _RANGE.fullmatch(wanted.replace(" ", "")) if wanted is not None else None
    if found is None:
        if content.size_bytes is not None:
            headers["content-length"] = str(content.size_bytes)
        if request.method == "HEAD":
            return Response(headers=headers, media_type=safe_type(content.content_type))
        return StreamingResponse(_whole(blobs, content.blob), 200, headers, safe_type(content.content_type))
    size = content.size_bytes if content.size_bytes is not None else await _measure(blobs, content.blob)
    span = _span(found, size)
    if span is None:
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{size}"})
    headers["content-range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
    headers["content-length"] = str(span.stop - span.start)
    return StreamingResponse(_part(blobs, content.blob, span), 206, headers, safe_type(content.content_type))


def _headers(content: Content) -> dict[str, str]:
    kind = safe_type(content.content_type)
    place = "inline" if kind.partition(";")[0] in _INLINE else "attachment"
    return {
        "etag": f'"{content.blob}"',
        "x-blob-hash": content.blob,
        "accept-ranges": "bytes",
        "cache-control": content.cache,
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
        "cross-origin-resource-policy": "same-origin",
        "content-disposition": f"{place}; filename*=UTF-8''{quote(content.file_name, safe='')}",
    }


def _is_known(values: list[str], blob: str) -> bool:
    """Whether If-None-Match names the content. Weak and strong count alike here (RFC 9110 §13.1.2)."""
    told = ",".join(values)
    return told.strip() == "*" or blob in _ETAGS.findall(told)


def _range_holds(request: Request, blob: str) -> bool:
    """Whether If-Range, when there is one, names this very content. A date does not: nothing here has one."""
    condition = request.headers.get("if-range")
    return condition is None or condition.strip() == f'"{blob}"'


def _span(found: re.Match[str], size: int) -> _Span | None:
    """The bytes of a range; None when there are none to give."""
    first, last, suffix = found.groups()
    if suffix is not None:
        start, stop = max(0, size - int(suffix)), size
    else:
        start, stop = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < start:
            return None
    return _Span(start, stop) if start < stop else None


async def _measure(blobs: Blobs, blob: str) -> int:
    size = 0
    async for piece in blobs.stream(blob):
        size += len(piece)
    return size


async def _whole(blobs: Blobs, blob: str) -> AsyncIterator[bytes]:
    async for piece in blobs.stream(blob):
        yield piece


async def _part(blobs: Blobs, blob: str, span: _Span) -> AsyncIterator[bytes]:
    at = 0
    kept = b""
    async for piece in blobs.stream(blob):
        start, stop = max(span.start - at, 0), min(span.stop - at, len(piece))
        at += len(piece)
        if start < stop:
            if kept:
                yield kept
            kept = piece[start:stop]
    if kept:  # the last bytes leave when the whole was verified
        yield kept
