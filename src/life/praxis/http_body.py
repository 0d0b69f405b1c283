"""Reading the body of an answer within limits: of bytes on the wire, of bytes after decompression, of memory.

The limits hold while the body arrives; nothing beyond them is ever held. Decompression is done here, piece by piece,
because the number of wire bytes must be bounded even when they decompress to nothing.
"""

from __future__ import annotations

import base64
import codecs
import zlib
from typing import Final, NamedTuple

import httpx2

from life.praxis.errors import FetchError

_WIRE_SLACK_BYTES: Final = 64 * 1024
"""A compressed body may be a little longer than what it holds."""

# fmt: off
_TEXT_CODECS: Final = frozenset(
    codecs.lookup(name).name for name in (
        "ascii", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1",
        "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-8", "iso8859-9", "iso8859-15",
        "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8-r", "koi8-u",
        "shift_jis", "euc_jp", "iso2022_jp", "euc_kr", "gb2312", "gbk", "gb18030", "big5",
    )
)
# fmt: on
"""Character sets of the web (WHATWG Encoding Standard). Python knows more codecs; some are slow on hostile input."""

_TEXT_TYPES: Final = ("json", "xml", "javascript", "ecmascript", "x-www-form-urlencoded", "yaml", "x-ndjson", "csv")


class Body(NamedTuple):
    """What was read of a body."""

    content: bytes
    truncated: bool


async def read_body(response: httpx2.Response, limit_bytes: int) -> Body:
    """At most `limit_bytes` of the decompressed body. FetchError: an encoding that was not asked for, or damaged."""
    if response.is_stream_consumed:  # a transport in between had to read it; decoded already
        return Body(response.content[:limit_bytes], truncated=len(response.content) > limit_bytes)
    decompress = _decompressor(response.headers.get("content-encoding", ""))
    wire_left_bytes = limit_bytes + _WIRE_SLACK_BYTES
    parts: list[bytes] = []
    left_bytes = limit_bytes + 1  # one more than is given out: whether it came says whether something was cut
    async for chunk in response.aiter_raw():
        wire_left_bytes -= len(chunk)
        part = chunk[:left_bytes] if decompress is None else _inflate(decompress, chunk, left_bytes)
        parts.append(part)
        left_bytes -= len(part)
        if left_bytes <= 0 or wire_left_bytes < 0:
            return Body(b"".join(parts)[:limit_bytes], truncated=True)
        if decompress is not None and decompress.eof:
            return Body(b"".join(parts), truncated=False)
    if decompress is not None and parts and not decompress.eof:
        raise FetchError("The compressed body ended before its end mark.")
    return Body(b"".join(parts), truncated=False)


def _decompressor(content_encoding: str) -> zlib._Decompress | None:
    coding = content_encoding.strip().lower()
    if coding in ("", "identity"):
        return None
    if coding in ("gzip", "x-gzip"):
        return zlib.decompressobj(zlib.MAX_WBITS | 16)
    if coding == "deflate":
        return zlib.decompressobj()
    raise FetchError(f"The server used a content encoding that was not asked for: {coding[:40]!r}.")


def _inflate(decompress: zlib._Decompress, chunk: bytes, limit_bytes: int) -> bytes:
    """At most `limit_bytes` of what the chunk holds; when there is more, the limit is reached and reading stops."""
    try:
        return decompress.decompress(chunk, limit_bytes)
    except zlib.error:
        raise FetchError("The compressed body is damaged.") from None


def decode_text(body: Body, content_type: str) -> str | None:
    """The body as text, None when it is not text. Bytes that do not fit the character set become U+FFFD."""
    media_type, charset = _parse_content_type(content_type)
    declared_text = media_type.startswith("text/") or any(
        media_type.endswith((f"/{name}", f"+{name}")) for name in _TEXT_TYPES
    )
    if not declared_text and charset is None:
        return None if media_type and media_type != "application/octet-stream" else _strict_utf8(body)
    codec = _known_codec(charset)
    decoder = codecs.getincrementaldecoder(codec)(errors="replace")
    return decoder.decode(body.content, final=not body.truncated)  # a character cut by the limit is left out


def _strict_utf8(body: Body) -> str | None:
    """Text if the undeclared body happens to be UTF-8 without NUL bytes."""
    if b"\0" in body.content:
        return None
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(body.content, final=not body.truncated)
    except UnicodeDecodeError:
        return None


def _parse_content_type(value: str) -> tuple[str, str | None]:
    """Media type in lower case and the charset parameter."""
    media_type, *parameters = value.split(";")
    for parameter in parameters:
        name, _, text = parameter.partition("=")
        if name.strip().lower() == "charset" and text.strip():
            return media_type.strip().lower(), text.strip().strip("\"'").lower()
    return media_type.strip().lower(), None


def _known_codec(charset: str | None) -> str:
    """The codec of a charset of the web, UTF-8 for every other."""
    if charset is None:
        return "utf-8"
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):
        return "utf-8"
    return {"ascii": "cp1252", "iso8859-1": "cp1252"}.get(name, name) if name in _TEXT_CODECS else "utf-8"


def as_base64(content: bytes) -> str:
    """Standard alphabet with padding (RFC 4648 §4)."""
    return base64.b64encode(content).decode()
