"""What the bindings share: reading requests, versions and extensions, streaming answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final, NamedTuple, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from life.aios.errors import LifeError
from life.aios.json import Json
from life.spaces.a2a.card import X402_EXTENSION
from life.spaces.a2a.errors import InvalidParamsError, InvalidRequestError, JsonParseError, VersionNotSupportedError
from life.spaces.a2a.ports import Caller
from life.spaces.a2a.service import A2aService, Asked
from life.spaces.a2a.wire import EXTENSIONS_HEADER, MAX_BODY_BYTES, VERSION, VERSION_HEADER

KEEP_ALIVE_S: Final = 15.0
SCOPE: Final = "a2a:send"
"""What a caller's token must permit."""
_OURS: Final = re.compile(r"1\.0(\.\d{1,9})?")
_T = TypeVar("_T")


class CardSource(NamedTuple):
    """The documents of this agent: signed, as bytes. `extended` for callers who showed who they are; None: there is none."""

    public: bytes
    extended: bytes | None = None


class Parts(NamedTuple):
    """What the bindings work with."""

    service: A2aService
    cards: CardSource
    caller_of: Callable[[Request], Caller]


def asked_of(request: Request, parts: Parts) -> Asked:
    """Who asks and with which extensions; VersionNotSupportedError. A request that names no version speaks 0.3 (A2A 1.0, "Versioning")."""
    version = request.headers.get(VERSION_HEADER) or request.query_params.get("A2A-Version") or "0.3"
    if _OURS.fullmatch(version.strip()) is None:
        raise VersionNotSupportedError(
            f"This agent speaks A2A {VERSION}, not '{version[:16]}'.", next_step=f"Send A2A-Version: {VERSION}."
        )
    named = ",".join(request.headers.getlist(EXTENSIONS_HEADER))
    return Asked(parts.caller_of(request), frozenset(uri.strip() for uri in named.split(",") if uri.strip()))


def extension_headers(asked: Asked) -> dict[str, str]:
    """Says which of the extensions are active."""
    return {EXTENSIONS_HEADER: X402_EXTENSION} if X402_EXTENSION in asked.extensions else {}


async def read_body(request: Request) -> bytes:
    """The body; InvalidRequestError beyond MAX_BODY_BYTES."""
    declared = request.headers.get("content-length", "0")
    raw = bytearray()
    if not declared.isdigit() or int(declared) <= MAX_BODY_BYTES:
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > MAX_BODY_BYTES:
                break
        else:
            return bytes(raw)
    raise InvalidRequestError(f"A request has at most {MAX_BODY_BYTES} bytes.")


def read_json(body: bytes) -> Json:
    """JSON; JsonParseError."""
    try:
        value: Json = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise JsonParseError("The body is no JSON.") from None
    except RecursionError:
        raise JsonParseError("The body is nested too deeply.") from None
    return value


def read_params(value: Json, kind: type[_T]) -> _T:
    """The request in a JSON value; InvalidParamsError names what does not fit."""
    try:
        return msgspec.convert({} if value is None else value, kind)
    except msgspec.ValidationError as error:
        raise InvalidParamsError(f"The parameters do not fit: {error}.") from None
    except RecursionError:
        raise InvalidParamsError("The parameters are nested too deeply.") from None


async def begun(events: AsyncGenerator[_T, None]) -> AsyncGenerator[_T, None]:
    """The same events, once the first is there: what refuses the request is raised here, before a stream begins."""
    first = await anext(events)

    async def rest() -> AsyncGenerator[_T, None]:
        try:
            yield first
            async for event in events:
                yield event
        finally:
            await events.aclose()

    return rest()


class SseResponse(Response):
    """Streams frames until their end, or until the client leaves; comments keep the line open. The frames are closed in every case."""

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        *,
        error: Callable[[LifeError], bytes],
        headers: dict[str, str] | None = None,
    ) -> None:
        """`error` makes the frame that says why the stream breaks off."""
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no", **(headers or {})})
        del self.headers["content-length"]
        self._frames = frames
        self._error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        pump = asyncio.create_task(self._pump(send))
        leave = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({pump, leave}, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()
        finally:
            for task in (pump, leave):
                task.cancel()
            await asyncio.gather(pump, leave, return_exceptions=True)
            await self._frames.aclose()

    async def _pump(self, send: Send) -> None:
        try:
            async for frame in _kept_alive(self._frames):
                await send({"type": "http.response.body", "body": frame, "more_body": True})
        except LifeError as error:
            await send({"type": "http.response.body", "body": self._error(error), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _kept_alive(frames: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    following: asyncio.Future[bytes | None] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(frames, None))
            done, _ = await asyncio.wait({following}, timeout=KEEP_ALIVE_S)
            if not done:
                yield b": keep-alive\n\n"
                continue
            frame, following = following.result(), None
            if frame is None:
                return
            yield frame
    finally:
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
