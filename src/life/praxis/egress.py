"""The way out for HTTP: names are resolved once, every address is checked, and the connection goes to a checked one.

The check sits where connections are made (httpcore's network backend), below redirects, retries and whatever transport
wraps this one, so nothing that uses the client can go around it, and a name whose answer changes between check and use
(DNS rebinding) gains nothing: there is no second answer. TLS still verifies the name of the URL. Connections kept alive
belong to the name they were opened for and were checked when they were opened.

Proxies of the environment are not used: behind a proxy the addresses could not be checked. Cookies are not kept, since
one client serves many sessions.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Final, Protocol, TypeAlias

import httpcore2
import httpx2
import msgspec

from life.aios.ports.telemetry import working_in
from life.praxis.addresses import IPAddress, address_reach, canonical_host, parse_patterns
from life.praxis.errors import AddressRefusedError

Resolver: TypeAlias = Callable[[str, int], Awaitable[list[str]]]
"""Host name and port to address texts, best first. OSError when there are none."""

Wrap: TypeAlias = Callable[[httpx2.AsyncBaseTransport], httpx2.AsyncBaseTransport]
"""What the host puts around the checked transport, such as the transport that pays."""

USER_AGENT: Final = "lifeos"
_CONNECT_TIMEOUT_S: Final = 10.0
_READ_TIMEOUT_S: Final = 30.0


class EgressPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Where connections may go besides public addresses."""

    allow_private_hosts: tuple[str, ...] = ()
    """Patterns (`life.praxis.addresses.HostPattern`) of hosts that may have private or loopback addresses. Link-local,
    metadata and multicast addresses stay closed whatever is written here."""
    max_connections: int = 64
    max_idle_connections: int = 16


class PrivatePermit(Protocol):
    """Whether a host may have a private address."""

    def __call__(self, host: str, port: int) -> bool:
        """Host in canonical form."""
        ...


def private_permit(policy: EgressPolicy) -> PrivatePermit:
    """The policy's list as a question. ValueError when a pattern is none."""
    patterns = parse_patterns(policy.allow_private_hosts)
    return lambda host, port: any(pattern.matches(host, port) for pattern in patterns)


def check_address(host: str, port: int, address: IPAddress, permit: PrivatePermit) -> None:
    """AddressRefusedError unless `host:port` may be at `address`."""
    reach = address_reach(address)
    if reach == "public" or (reach == "private" and permit(host, port)):
        return
    raise AddressRefusedError(
        f"{host} is at a private or reserved network address, which tools may not reach.",
        next_step="The operator can permit a private host by name (allow_private_hosts)."
        if reach == "private"
        else None,
    )


async def resolve_with_system(host: str, port: int) -> list[str]:
    """The operating system's answer (files, DNS), in its order of preference."""
    ask = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_name_threads(), ask)
    return list(dict.fromkeys(str(answer[4][0]) for answer in found))


@functools.cache
def _name_threads() -> ThreadPoolExecutor:
    """Threads of their own: a hostile name server that never answers must not hold up file work on the loop's pool."""
    return ThreadPoolExecutor(max_workers=8, thread_name_prefix="life-names")


class CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Opens TCP connections to checked addresses only; no Unix sockets."""

    def __init__(self, policy: EgressPolicy, resolve: Resolver = resolve_with_system) -> None:
        self._permit = private_permit(policy)
        self._resolve = resolve
        self._tcp = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to the first checked address that answers. AddressRefusedError; httpcore2.ConnectError."""
        limit_s = _CONNECT_TIMEOUT_S if timeout is None else timeout
        try:
            async with asyncio.timeout(limit_s):
                addresses = await self._checked_addresses(canonical_host(host), port)
                share_s = limit_s / len(addresses)
                failure: Exception = httpcore2.ConnectError("no address")
                for address in addresses:
                    try:
                        return await self._tcp.connect_tcp(str(address), port, share_s, local_address, socket_options)
                    except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as attempt:
                        failure = attempt
                raise failure
        except TimeoutError as late:
            raise httpcore2.ConnectTimeout(f"no connection within {limit_s:g} s") from late

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Always refused."""
        raise AddressRefusedError("Tools may not reach Unix sockets.")

    async def sleep(self, seconds: float) -> None:
        """Pause between connection attempts."""
        await asyncio.sleep(seconds)

    async def _checked_addresses(self, host: str, port: int) -> list[IPAddress]:
        """Every address of the host; one that is refused refuses them all."""
        try:
            addresses: list[IPAddress] = [ipaddress.ip_address(host)]
        except ValueError:
            try:
                addresses = [ipaddress.ip_address(text) for text in await self._resolve(host, port)]
            except (OSError, UnicodeError, ValueError):
                raise httpcore2.ConnectError("the name does not resolve") from None
        if not addresses:
            raise httpcore2.ConnectError("the name does not resolve")
        for address in addresses:
            check_address(host, port, address, self._permit)
        return addresses


class EgressTransport(httpx2.AsyncBaseTransport):
    """An httpx2 transport over `CheckedBackend`. HTTP/1.1, certificates verified, no proxies, no retries.

    A refused address is an `httpx2.ConnectError` whose cause is the AddressRefusedError: to transports around this one
    it is a connection that was never made, so nothing was sent and a payment that was prepared for it can be released.
    """

    def __init__(self, policy: EgressPolicy, *, resolve: Resolver = resolve_with_system) -> None:
        """ValueError when the policy holds an unusable pattern. Opens nothing until the first request."""
        self._policy = policy
        self._backend = CheckedBackend(policy, resolve)
        self._pool: httpcore2.AsyncConnectionPool | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One exchange, with httpx2's own exceptions."""
        if not isinstance(request.stream, httpx2.AsyncByteStream):
            raise TypeError("an asynchronous transport needs an asynchronous body")
        outgoing = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=_traced(request.headers),
            content=request.stream,
            # A name for TLS other than the URL's would be verified instead of it: never taken from the request.
            extensions={key: value for key, value in request.extensions.items() if key != "sni_hostname"},
        )
        with _as_httpx2_errors():
            response = await self._open_pool().handle_async_request(outgoing)
        return httpx2.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_BodyStream(response),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = None

    def _open_pool(self) -> httpcore2.AsyncConnectionPool:
        if self._pool is None:
            self._pool = httpcore2.AsyncConnectionPool(
                ssl_context=httpx2.create_ssl_context(),  # SSL_CERT_FILE and SSL_CERT_DIR are honoured
                max_connections=self._policy.max_connections,
                max_keepalive_connections=self._policy.max_idle_connections,
                keepalive_expiry=15.0,
                network_backend=self._backend,
            )
        return self._pool


def _traced(headers: httpx2.Headers) -> list[tuple[bytes, bytes]]:
    """The request's headers, with the span that it belongs to while telemetry is on (W3C Trace Context)."""
    place = working_in.get()
    if place is None or "traceparent" in headers:
        return headers.raw
    added = [(b"traceparent", place.traceparent.encode())]
    if place.tracestate:
        added.append((b"tracestate", place.tracestate.encode()))
    return [*headers.raw, *added]


class EgressClient(httpx2.AsyncClient):
    """The client that tools get: checked egress at the bottom, whatever the host wraps around it on top.

    Close it with `aclose()` (or use it as an asynchronous context manager); the host owns it.
    """

    def __init__(
        self, policy: EgressPolicy, *, wrap: Wrap | None = None, resolve: Resolver = resolve_with_system
    ) -> None:
        self._checked = EgressTransport(policy, resolve=resolve)
        super().__init__(
            transport=self._checked if wrap is None else wrap(self._checked),
            trust_env=False,
            follow_redirects=False,
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=())),
            headers={"user-agent": USER_AGENT, "accept-encoding": "gzip"},
            timeout=httpx2.Timeout(_READ_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S),
        )

    async def aclose(self) -> None:
        """Close what is wrapped around and every connection, whether or not the wrapping passes closing on."""
        await super().aclose()
        await self._checked.aclose()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await super().__aexit__(exc_type, exc_value, traceback)
        await self._checked.aclose()


class _BodyStream(httpx2.AsyncByteStream):
    """The body of an httpcore2 response with httpx2's exceptions."""

    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx2_errors():
            async for part in self._response.aiter_stream():
                yield part

    async def aclose(self) -> None:
        await self._response.aclose()


_ERRORS: Final[tuple[tuple[type[Exception], type[httpx2.TransportError]], ...]] = (
    (httpcore2.ConnectTimeout, httpx2.ConnectTimeout),
    (httpcore2.ReadTimeout, httpx2.ReadTimeout),
    (httpcore2.WriteTimeout, httpx2.WriteTimeout),
    (httpcore2.PoolTimeout, httpx2.PoolTimeout),
    (httpcore2.ConnectError, httpx2.ConnectError),
    (httpcore2.ReadError, httpx2.ReadError),
    (httpcore2.WriteError, httpx2.WriteError),
    (httpcore2.LocalProtocolError, httpx2.LocalProtocolError),
    (httpcore2.RemoteProtocolError, httpx2.RemoteProtocolError),
    (httpcore2.UnsupportedProtocol, httpx2.UnsupportedProtocol),
    (httpcore2.TimeoutException, httpx2.TimeoutException),
    (httpcore2.NetworkError, httpx2.NetworkError),
    (httpcore2.ProtocolError, httpx2.ProtocolError),
)
"""From the narrow to the wide: the first that fits is taken."""


@contextmanager
def _as_httpx2_errors() -> Iterator[None]:
    try:
        yield
    except AddressRefusedError as refused:
        raise httpx2.ConnectError(refused.message) from refused
    except Exception as failure:
        for theirs, ours in _ERRORS:
            if isinstance(failure, theirs):
                raise ours(str(failure)) from failure
        raise
