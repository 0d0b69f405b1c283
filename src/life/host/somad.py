"""`somad`: the custody oracle as a daemon (anima.md §20; ARCHITECTURE.md §3).

It opens its key store, verifies the newest audit file, and listens on a Unix socket; with `remote`, also over HTTP for
callers from afar. It refuses to start without a policy that makes sense, in a folder where others could replace its
socket, on a store that others can read, and beside another somad.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import uvicorn

from life.anima.custody.process_hardening import harden_process
from life.anima.custody.remote_app import RemoteCustodyApp
from life.anima.custody.soma.audit import AuditLog
from life.anima.custody.soma.client import DEFAULT_SOCKET
from life.anima.custody.soma.key_store import SomaKeyStore
from life.anima.custody.soma.policy import PolicyFile
from life.anima.custody.soma.server import SomaServer
from life.anima.custody.soma.service import SomaService
from life.anima.key_source import KeyFile, KeySource, RawKey
from life.host.clock import SystemClock, SystemEntropy
from life.host.errors import BindRefusedError, HostError, SettingsError
from life.host.http.server import bind, bracketed, check_bind

DEFAULT_STORE: Final = Path("/var/lib/life/soma")
DEFAULT_POLICY: Final = Path("/etc/life/somad.toml")
DEFAULT_KEY_FILE: Final = Path("/etc/life/somad.key")
GRACE_S: Final = 2


class RemoteListener(NamedTuple):
    """Where callers from afar are served: an address, with TLS unless it is this machine's own, or a Unix socket."""

    host: str = ""
    port: int = 0
    socket_path: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    client_authority: Path | None = None
    """Only callers with a certificate of this authority are spoken to."""


class SomadSettings(NamedTuple):
    """How the daemon runs."""

    socket: Path = DEFAULT_SOCKET
    store: Path = DEFAULT_STORE
    policy: Path = DEFAULT_POLICY
    key_file: Path = DEFAULT_KEY_FILE
    """32 random bytes that seal every key in the store; made when missing."""
    key_descriptor: int | None = None
    """Where those bytes can be read instead."""
    remote: RemoteListener | None = None


class SomadStarted(NamedTuple):
    """The daemon answers."""

    socket: Path
    store: Path
    policy: Path
    agents: int
    remote: str | None


async def run_somad(settings: SomadSettings, *, on_ready: Callable[[SomadStarted], None]) -> None:
    """Open everything, serve until SIGINT or SIGTERM, close everything."""
    harden_process()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        async with serving_somad(settings) as started:
            on_ready(started)
            await stop.wait()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@asynccontextmanager
async def serving_somad(settings: SomadSettings) -> AsyncIterator[SomadStarted]:
    """The daemon for the length of a block."""
    clock, entropy = SystemClock(), SystemEntropy()
    async with AsyncExitStack() as stack:
        policy = PolicyFile(settings.policy)  # before anything is made
        key_source = key_source_of(settings)
        store = await asyncio.to_thread(SomaKeyStore.open, settings.store, key_source, clock=clock, entropy=entropy)
        stack.callback(store.close)
        await store.oracle()  # made at the first start; later the proof that this is the store's key
        audit = await asyncio.to_thread(AuditLog, settings.store, clock)
        stack.callback(audit.close)
        service = SomaService(store, policy, audit, clock=clock, entropy=entropy)
        server = await SomaServer.open(service, settings.socket)
        stack.push_async_callback(server.close)
        remote = None
        if settings.remote is not None:
            app = RemoteCustodyApp(service, await store.oracle(), clock=clock, entropy=entropy)
            remote = await stack.enter_async_context(_serving_remote(app, settings.remote))
        agents = await asyncio.to_thread(store.agents)
        yield SomadStarted(settings.socket, settings.store, settings.policy, len(agents), remote)


def key_source_of(settings: SomadSettings) -> KeySource:
    """What seals the store."""
    if settings.key_descriptor is not None:
        return RawKey.from_descriptor(settings.key_descriptor)
    return KeyFile(settings.key_file)


class _Server(uvicorn.Server):
    """Uvicorn beside the socket: the daemon's own signals stop it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@asynccontextmanager
async def _serving_remote(app: RemoteCustodyApp, where: RemoteListener) -> AsyncIterator[str]:
    listener, address = _listen(where)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        limit_concurrency=256,
        ssl_certfile=where.certificate,
        ssl_keyfile=where.key,
        ssl_ca_certs=None if where.client_authority is None else str(where.client_authority),
        ssl_cert_reqs=ssl.CERT_NONE if where.client_authority is None else ssl.CERT_REQUIRED,
    )
    server = _Server(config)
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        listener.close()
        raise SettingsError(f"The TLS certificate can't be used: {error.strerror or error}.") from None
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await server.ready.wait()
        yield address
    finally:
        server.should_exit = True
        await task
        listener.close()


def _listen(where: RemoteListener) -> tuple[socket.socket, str]:
    if (where.certificate is None) != (where.key is None):
        raise SettingsError("A TLS certificate needs its key, and the key its certificate.")
    if where.client_authority is not None and where.certificate is None:
        raise SettingsError("Client certificates need TLS: name a certificate and its key.")
    if where.socket_path is not None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            where.socket_path.unlink(missing_ok=True)
            listener.bind(str(where.socket_path))
            where.socket_path.chmod(0o660)
        except OSError as error:
            listener.close()
            raise HostError(f"Can't listen at {where.socket_path}: {error.strerror or error}.") from None
        return listener, f"unix:{where.socket_path}"
    if where.certificate is None:
        try:
            check_bind(where.host, ())
        except BindRefusedError:
            raise BindRefusedError(
                f"Without TLS, somad is not offered on {where.host}.",
                next_step="Name a certificate with --tls-certificate and --tls-key.",
            ) from None
    listener = bind(where.host, where.port, option="--remote")
    scheme = "http" if where.certificate is None else "https"
    return listener, f"{scheme}://{bracketed(where.host)}:{listener.getsockname()[1]}"
