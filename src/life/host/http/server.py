"""Running an application as a daemon: bind, serve, stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib.util
import ipaddress
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence

import uvicorn
from starlette.types import ASGIApp

from life.host.errors import BindRefusedError, HostError
from life.host.http.patience import patient
from life.host.http.port_holder import holder_of, next_free

_ANY = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 (compared, not bound)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

GRACE_S = 2
"""How long open requests may take to finish after the signal to stop."""


def check_bind(host: str, proxy_hosts: Sequence[str]) -> None:
    """BindRefusedError unless `host` is loopback or a proxy with TLS is declared (ARCHITECTURE.md §2.11)."""
    if host == "localhost" or proxy_hosts:
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise BindRefusedError(
            f"Listening on {host} would offer this agent's money and tools to the network without TLS.",
            next_step="Bind to 127.0.0.1, or put a proxy with TLS in front and name it with --proxy-host.",
        )


def bind(host: str, port: int, *, option: str = "--port") -> socket.socket:
    """A bound TCP socket; HostError when the address is taken (by whom, and which port is free instead) or can't be used.

    `option` is the one by which this daemon's user chooses another: `--port`, or `--bind` for a whole address.
    """
    family = socket.AF_INET
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
        except OSError:
            listener.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _taken(host, port, family, option) from None
        raise HostError(
            f"Can't listen on {host}:{port}: {error.strerror}.", next_step=f"Choose another one with {option}."
        ) from None
    listener.set_inheritable(False)
    return listener


def _taken(host: str, port: int, family: socket.AddressFamily, option: str) -> HostError:
    holder, free = holder_of(port), next_free(host, port, family)
    by = "" if holder is None else f" by {holder}"
    chosen = f"{bracketed(host)}:{free}" if option == "--bind" else str(free)
    step = f"Choose another one with {option}." if free is None else f"Port {free} is free: {option} {chosen}"
    return HostError(f"Can't listen on {host}:{port}: {os.strerror(errno.EADDRINUSE)}{by}.", next_step=step)


def bracketed(host: str) -> str:
    """The host as it stands in a URL: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def local_address(host: str, port: int) -> str:
    """The URL under which a daemon that listens on `host` is reached from this machine."""
    return f"http://{_ANY.get(host) or bracketed(host)}:{port}"


def host_names(host: str, port: int, proxy_hosts: Sequence[str]) -> list[str]:
    """The Host header values under which this listener is known."""
    own = bracketed(host)
    names = {own, "127.0.0.1", "localhost", "[::1]"} if host in {*_ANY, *_LOOPBACK} else {own}
    return sorted({f"{name}:{port}" for name in names} | ({*names} if port == 80 else set()) | set(proxy_hosts))


class _Server(uvicorn.Server):
    """Uvicorn with our signals: SIGINT and SIGTERM mean a clean stop and exit code 0 (arcan.md §12.4)."""

    def __init__(
        self, config: uvicorn.Config, on_ready: Callable[[], None], on_stop: Callable[[], Awaitable[None]] | None
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._on_stop = on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._on_stop is not None:
            await self._on_stop()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    on_ready: Callable[[], None],
    *,
    on_stop: Callable[[], Awaitable[None]] | None = None,
    max_frame_bytes: int | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. With `max_frame_bytes` also WebSockets, with frames up to that.

    `on_ready` is called when requests are answered; `on_stop` before open requests get their last `GRACE_S` seconds: it
    ends what would keep them open, such as event streams.
    """
    fast = importlib.util.find_spec("httptools") is not None
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        http=patient(fast),
        ws="none" if max_frame_bytes is None else "websockets-sansio",
        ws_max_size=max_frame_bytes or 1,
        ws_per_message_deflate=False,  # a small frame must not unfold into a giant one
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    await _Server(config, on_ready, on_stop).serve(sockets=[listener])


def run_async(main: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run a daemon's coroutine, on uvloop when the extra `speed` is installed."""
    factory = None
    if importlib.util.find_spec("uvloop") is not None:
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
