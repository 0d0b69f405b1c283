"""A daemon behind a bad line: event streams that are cut, repeated, broken off within an event, or held back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass
class BadLine:
    """Pure ASGI middleware: spoils `/events/stream`. One event to a connection at most, then it is cut."""

    app: ASGIApp
    fault: str = ""
    """cut, within, twice, late; empty: a good line."""
    connections: int = 0
    frames: list[bytes] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, spoiled."""
        if scope["type"] != "http" or not scope["path"].endswith("/events/stream") or not self.fault:
            await self.app(scope, receive, send)
            return
        self.connections += 1
        cut = asyncio.Event()

        async def spoiled(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
                return
            for frame in message.get("body", b"").split(b"\n\n"):
                if not frame or cut.is_set():
                    continue
                whole = frame + b"\n\n"
                if self.fault == "twice":
                    await send({**message, "body": whole + whole, "more_body": True})
                elif self.fault == "late":
                    await asyncio.sleep(0.02)
                    await send({**message, "body": whole, "more_body": True})
                elif self.fault == "cut":
                    await send({**message, "body": whole, "more_body": True})
                    cut.set()
                else:  # every second connection breaks off in the middle of its first event
                    half = self.connections % 2 == 1
                    await send({**message, "body": whole[: len(whole) // 2] if half else whole, "more_body": True})
                    cut.set()

        async def gone() -> Message:
            leaving = asyncio.ensure_future(receive())
            ending = asyncio.ensure_future(cut.wait())
            await asyncio.wait({leaving, ending}, return_when=asyncio.FIRST_COMPLETED)
            ending.cancel()
            if leaving.done():
                return leaving.result()
            leaving.cancel()
            return {"type": "http.disconnect"}

        await self.app(scope, gone, spoiled)
        if cut.is_set():
            await send({"type": "http.response.body", "body": b"", "more_body": False})
