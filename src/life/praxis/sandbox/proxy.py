"""The filtering proxy: the only way out of a sandbox that may reach some hosts.

It speaks HTTP/1.1 as proxies do (RFC 9110 §7.7, §9.3.6): `CONNECT host:port`, and requests with an absolute `http` URL. The host must
be on the operator's list and its addresses must be ones that tools may reach (`life.praxis.egress`): names are resolved once, here, and
the connection goes to a checked address. Every try is noted, allowed or not. A pattern without a port means ports 80 and 443.

What it can't see: what is said inside a TLS tunnel, so a server that serves several names (a content network) may be asked for another
of its names than the one that is on the list.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

import httpcore2

from life.aios.ports.sandbox import ConnectionAttempt
from life.praxis.addresses import canonical_host, parse_patterns
from life.praxis.egress import CheckedBackend, EgressPolicy, Resolver, resolve_with_system
from life.praxis.errors import AddressRefusedError, ToolInputError

_HEAD_LIMIT_BYTES: Final = 64 * 1024
_HEAD_LIMIT_S: Final = 30.0
_IDLE_LIMIT_S: Final = 300.0
_PIECE_BYTES: Final = 1 << 16
_MAX_CONNECTIONS: Final = 128
_MAX_NOTED: Final = 200
_USUAL_PORTS: Final = (80, 443)
_REQUEST_LINE: Final = re.compile(rb"([A-Za-z]{1,20}) (\S{1,8000}) HTTP/1\.[01]")
_AUTHORITY: Final = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:@/]+))(?::(?P<port>\d{1,5}))?")
_PLAIN: Final = re.compile(r"http://(?P<authority>[^/?#]*)(?P<target>[^#]*)", re.IGNORECASE)
_DROPPED: Final = (b"proxy-", b"connection:", b"keep-alive:", b"host:", b"upgrade:", b"te:")


class AttemptLog:
    """What was tried, without repeats and bounded."""

    def __init__(self) -> None:
        self._seen: dict[ConnectionAttempt, None] = {}

    def note(self, attempt: ConnectionAttempt) -> None:
        """One more try."""
        if len(self._seen) < _MAX_NOTED:
            self._seen[attempt] = None

    def attempts(self) -> tuple[ConnectionAttempt, ...]:
        """All different tries, in order."""
        return tuple(self._seen)


class _RefusedError(Exception):
    """The client is answered with an error and the connection is closed."""

    def __init__(self, status: str, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


class _Wanted(NamedTuple):
    """What a client asks for. `first` are the bytes that go to the server before all others; None for a tunnel."""

    host: str
    port: int
    first: bytes | None


class FilteringProxy:
    """A list of hosts and a checked way to them. One instance serves many sandboxes, each over its own listening socket."""

    def __init__(
        self,
        allowed_hosts: tuple[str, ...],
        *,
        egress: EgressPolicy | None = None,
        resolve: Resolver = resolve_with_system,
    ) -> None:
        """ValueError when a pattern is none, or none is given."""
        if not allowed_hosts:
            raise ValueError("a proxy that allows no host is no use")
        self.allowed_hosts = allowed_hosts
        self._patterns = parse_patterns(allowed_hosts)
        self._backend = CheckedBackend(egress or EgressPolicy(), resolve)

    @contextlib.asynccontextmanager
    async def serving(self, listener: socket.socket, log: AttemptLog) -> AsyncIterator[None]:
        """Answer on a listening socket, which is closed at the end together with every connection."""
        tasks: set[asyncio.Task[None]] = set()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                if len(tasks) <= _MAX_CONNECTIONS:
                    await self._answer(reader, writer, log)
            except (OSError, EOFError, TimeoutError, ValueError, asyncio.CancelledError, httpcore2.NetworkError):
                pass  # either side went away, or the sandbox ended: the connection is over
            finally:
                tasks.discard(task)
                writer.close()

        server = await asyncio.start_server(answer, sock=listener, limit=_HEAD_LIMIT_BYTES)
        try:
            yield
        finally:
            server.close()
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: AttemptLog) -> None:
        try:
            async with asyncio.timeout(_HEAD_LIMIT_S):
                head = await reader.readuntil(b"\r\n\r\n")
            wanted = _parse(head)
            upstream = await self._connect(wanted, log)
        except _RefusedError as refusal:
            body = f"{refusal.words}\n".encode()
            writer.write(
                f"HTTP/1.1 {refusal.status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
            return
        try:
            if wanted.first is None:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                await upstream.write(wanted.first)
            await _relay(reader, writer, upstream)
        finally:
            await upstream.aclose()

    async def _connect(self, wanted: _Wanted, log: AttemptLog) -> httpcore2.AsyncNetworkStream:
        host, port = wanted.host, wanted.port
        if not self._allows(host, port):
            log.note(ConnectionAttempt(host, port, False, "not on the list of allowed hosts"))
            raise _RefusedError("403 Forbidden", f"{host}:{port} is not on the list of hosts that commands may reach.")
        try:
            upstream = await self._backend.connect_tcp(host, port)
        except AddressRefusedError as refused:
            log.note(ConnectionAttempt(host, port, False, "a private or reserved address"))
            raise _RefusedError("403 Forbidden", refused.message) from None
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout, OSError):
            log.note(ConnectionAttempt(host, port, True, "no connection could be made"))
            raise _RefusedError("502 Bad Gateway", f"No connection to {host}:{port} could be made.") from None
        log.note(ConnectionAttempt(host, port, True, ""))
        return upstream

    def _allows(self, host: str, port: int) -> bool:
        return any(
            pattern.matches(host, port) and (pattern.port is not None or port in _USUAL_PORTS)
            for pattern in self._patterns
        )


def _parse(head: bytes) -> _Wanted:
    line, *fields = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None or any(b":" not in field or field[:1] in b" \t" for field in fields):
        raise _RefusedError("400 Bad Request", "This is not an HTTP request for a proxy.")
    method, target = match[1], match[2].decode("latin-1")
    if method == b"CONNECT":
        host, port = _authority(target, None)
        return _Wanted(host, port, None)
    plain = _PLAIN.fullmatch(target)
    if plain is None:
        raise _RefusedError("400 Bad Request", "This proxy takes CONNECT, and requests with an http URL.")
    host, port = _authority(plain["authority"], 80)
    path = plain["target"] if plain["target"].startswith("/") else f"/{plain['target']}"
    named = f"[{host}]" if ":" in host else host
    lines = [
        method + b" " + path.encode("latin-1") + b" HTTP/1.1",
        f"Host: {named}{'' if port == 80 else f':{port}'}".encode(),
        b"Connection: close",  # one request per connection, so a second one can't be for another host
        *(field for field in fields if not field.lower().startswith(_DROPPED)),
    ]
    return _Wanted(host, port, b"\r\n".join(lines) + b"\r\n\r\n")


def _authority(text: str, default_port: int | None) -> tuple[str, int]:
    match = _AUTHORITY.fullmatch(text)
    port = default_port if match is None or match["port"] is None else int(match["port"])
    if match is None or port is None or not 0 < port < 65_536:
        raise _RefusedError("400 Bad Request", "The request names no host and port.")
    try:
        return canonical_host(match["v6"] or match["host"]), port
    except ToolInputError as unfit:
        raise _RefusedError("400 Bad Request", unfit.message) from None


async def _relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: httpcore2.AsyncNetworkStream
) -> None:
    """Both directions, until the server is done. The client may stop sending earlier."""

    async def outwards() -> None:
        while piece := await reader.read(_PIECE_BYTES):
            await upstream.write(piece)

    sending = asyncio.ensure_future(outwards())
    try:
        with contextlib.suppress(httpcore2.ReadTimeout):
            while piece := await upstream.read(_PIECE_BYTES, timeout=_IDLE_LIMIT_S):
                writer.write(piece)
                await writer.drain()
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
