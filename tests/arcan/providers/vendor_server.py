"""A vendor on the loopback: plays wire transcripts to the official clients and keeps what they asked.

It speaks HTTP/1.1 with chunked bodies, one event per chunk, so that streaming is real; a transcript's `(cut)` drops the
connection in the middle of the body. `KEY` in a transcript becomes the key that the client sent: the worst a vendor can
write into its messages.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from types import TracebackType

TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"


class VendorServer:
    """Answers every POST with the transcripts it was given, the last one again and again."""

    def __init__(self, folder: str) -> None:
        self._folder = TRANSCRIPTS / folder
        self._scenes: list[str] = ["text"]
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.requests: list[dict[str, object]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.bodies: list[str] = []
        self.cut_after: int | None = None
        """Drop the connection after so many events of a body."""

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    def play(self, *scenes: str) -> None:
        """The scenes of the next answers."""
        self._scenes = list(scenes)

    async def __aenter__(self) -> VendorServer:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._serve(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the server goes
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.paths.append(head[0].split(" ")[1])
        self.headers.append(headers)
        self.requests.append(json.loads(body))
        self.bodies.append(body.decode())
        scene = self._scenes.pop(0) if len(self._scenes) > 1 else self._scenes[0]
        key = (
            headers.get("x-api-key")
            or headers.get("x-goog-api-key")
            or headers.get("authorization", "").removeprefix("Bearer ")
        )
        return await self._play(scene, writer, key)

    async def _play(self, scene: str, writer: asyncio.StreamWriter, key: str) -> bool:
        text = (self._folder / f"{scene}.http").read_text()
        head, _, body = re.sub(r"\bKEY\b", lambda _: key, text).partition("\n\n")
        cut = body.endswith("(cut)\n")
        body = body.removesuffix("(cut)\n")
        writer.write(head.replace("\n", "\r\n").encode() + b"\r\ntransfer-encoding: chunked\r\n\r\n")
        for number, event in enumerate(part for part in body.split("\n\n") if part.strip()):
            if number == self.cut_after:
                writer.transport.abort()
                return False
            data = event.encode() + b"\n\n"
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))
            await writer.drain()
            await asyncio.sleep(0)
        if cut:
            writer.transport.abort()
            return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True
