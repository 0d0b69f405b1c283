"""Strict bodies and parameters. Limits hold while a body comes in: what is too long is never held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.lago.errors import PayloadTooLargeError

MAX_JSON_BYTES: Final = 16 * 1024 * 1024
IDLE_S: Final = 60
"""How long a body may pause."""
_T = TypeVar("_T")


async def parts(request: Request, *, limit_bytes: int) -> AsyncIterator[bytes]:
    """The body as it comes; PayloadTooLargeError as soon as it is known to be too long."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > limit_bytes:
        raise PayloadTooLargeError(limit_bytes)
    size = 0
    coming = request.stream()
    while True:
        try:
            async with asyncio.timeout(IDLE_S):
                part = await anext(coming)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise InvalidInputError(f"Nothing of the body came for {IDLE_S} s.") from None
        except ClientDisconnect:
            raise InvalidInputError("The client left before its body was whole.") from None
        size += len(part)
        if size > limit_bytes:
            raise PayloadTooLargeError(limit_bytes)
        if part:
            yield part


async def json_body(request: Request, kind: type[_T], *, limit_bytes: int = MAX_JSON_BYTES) -> _T:
    """The JSON body; InvalidInputError names what does not fit."""
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise InvalidInputError("The body must be application/json.")
    raw = bytearray()
    async for part in parts(request, limit_bytes=limit_bytes):
        raw += part
    try:
        return msgspec.json.decode(bytes(raw), type=kind)
    except msgspec.DecodeError as error:
        raise InvalidInputError(f"The body does not fit: {error}.") from None
    except UnicodeDecodeError:
        raise InvalidInputError("The body is not UTF-8.") from None
    except RecursionError:
        raise InvalidInputError("The body is nested too deeply.") from None


def number(request: Request, name: str, default: int, low: int, high: int) -> int:
    """A whole number of the query; InvalidInputError."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise InvalidInputError(f"The parameter '{name}' must be a whole number from {low} to {high}.")
    return int(text)


def flag(request: Request, name: str, *, default: bool) -> bool:
    """`true` or `false` of the query; InvalidInputError."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if text not in ("true", "false"):
        raise InvalidInputError(f"The parameter '{name}' must be true or false.")
    return text == "true"


def word(request: Request, name: str, default: str) -> str:
    """A text of the query, without control characters; InvalidInputError."""
    text = request.query_params.get(name, default)
    if not text or len(text) > 255 or not text.isprintable():
        raise InvalidInputError(f"The parameter '{name}' must be 1 to 255 printable characters.")
    return text


def answer(value: object, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(value), status, {"cache-control": "no-store"}, "application/json")


def empty() -> Response:
    """204."""
    return Response(status_code=204, headers={"cache-control": "no-store"})
