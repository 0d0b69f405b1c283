"""How often one client may ask: a token bucket for each address, answered with 429 and Retry-After.

A client is the address that the connection came from. Behind a declared proxy on this machine it is the last entry of
X-Forwarded-For, which that proxy wrote; earlier entries are the client's own words. IPv6 clients count by their /64, because one
customer has a whole one. Buckets of the least recent clients are forgotten, so that addresses can't fill the memory; a
forgotten client starts with a full bucket. Who asks from this machine itself, not through a proxy, is not limited: that is the
operator's own.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Collection
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from life.aios.errors import InvalidInputError
from life.aios.ports.clock import Clock
from life.host.http.problem import MEDIA_TYPE, Problem

MAX_CLIENTS: Final = 65_536
_SECOND_US: Final = 1_000_000


class _Bucket(NamedTuple):
    """Tokens in millionths, and when they were counted."""

    micro_tokens: int
    at_us: int


class TokenBuckets:
    """Buckets by client. Integer arithmetic on the monotonic clock, so that clock jumps change nothing."""

    def __init__(self, clock: Clock, *, per_minute: int, burst: int) -> None:
        """`per_minute` requests on average, `burst` at once. InvalidInputError unless both are positive."""
        if per_minute < 1 or burst < 1:
            raise InvalidInputError("A rate limit and its burst are at least 1.")
        self._clock = clock
        self._per_minute = per_minute
        self._full = burst * _SECOND_US
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self.refused = 0
        """How many requests were over their limit."""

    def take(self, client: str) -> int:
        """0 when the client may go on, otherwise after how many whole seconds it may ask again."""
        now_us = self._clock.monotonic_us()
        known = self._buckets.get(client)
        tokens = self._full
        if known is not None:
            tokens = min(self._full, known.micro_tokens + (now_us - known.at_us) * self._per_minute // 60)
        wait_s = 0
        if tokens >= _SECOND_US:
            tokens -= _SECOND_US
        else:
            self.refused += 1
            wait_s = -(-(_SECOND_US - tokens) * 60 // (self._per_minute * _SECOND_US))
        self._buckets[client] = _Bucket(tokens, now_us)
        self._buckets.move_to_end(client)
        while len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return wait_s


class RateLimit:
    """Pure ASGI middleware before some paths."""

    def __init__(self, app: ASGIApp, buckets: TokenBuckets, *, paths: Collection[str], behind_proxy: bool) -> None:
        """`paths` count; all others are free. `behind_proxy`: a proxy on this machine forwards to us."""
        self.app = app
        self._buckets = buckets
        self._paths = frozenset(paths)
        self._behind_proxy = behind_proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it with 429."""
        if scope["type"] != "http" or scope["path"] not in self._paths or is_local(scope):
            await self.app(scope, receive, send)
            return
        wait_s = self._buckets.take(client_of(scope, behind_proxy=self._behind_proxy))
        if wait_s == 0:
            await self.app(scope, receive, send)
            return
        await _too_many(wait_s)(scope, receive, send)


def client_of(scope: Scope, *, behind_proxy: bool) -> str:
    """Whose request it is."""
    peer = scope.get("client")
    address = peer[0] if peer else ""
    if behind_proxy and _is_loopback(address):
        forwarded = Headers(scope=scope).getlist("x-forwarded-for")
        if forwarded:
            address = forwarded[-1].rpartition(",")[2].strip()
    return _grouped(address[:64])


def is_local(scope: Scope) -> bool:
    """Whether a request came from this machine itself, not through a proxy."""
    peer = scope.get("client")
    headers = Headers(scope=scope)
    return (
        peer is not None and _is_loopback(peer[0]) and "x-forwarded-for" not in headers and "forwarded" not in headers
    )


def _too_many(wait_s: int) -> Response:
    problem = Problem(
        type="urn:life:error:http.rate_limited",
        title="Too many requests",
        status=429,
        detail=f"This client asks too often. Nothing was done; ask again in {wait_s} s.",
        code="http.rate_limited",
        retryable=True,
    )
    headers = {"retry-after": str(wait_s), "cache-control": "no-store"}
    return Response(msgspec.json.encode(problem), 429, headers, MEDIA_TYPE)


@lru_cache(maxsize=4096)
def _grouped(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


@lru_cache(maxsize=1024)
def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
