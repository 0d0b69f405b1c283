"""Rate limits: how many requests get through, whose they are, and what those get that do not."""

from __future__ import annotations

import json
from collections.abc import Mapping

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from life.aios.errors import InvalidInputError
from life.host.http import rate_limit
from life.host.http.rate_limit import RateLimit, TokenBuckets, client_of
from life.testing.clock import ManualClock


async def _ok(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def _scope(peer: str, headers: Mapping[str, str] | None = None) -> Scope:
    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return {"type": "http", "path": "/settle", "client": (peer, 1), "headers": raw}


def test_burst_then_rate() -> None:
    """A burst at once, then one request for each share of a minute; the refused are told when to come again, and coming then
    works."""
    clock = ManualClock()
    buckets = TokenBuckets(clock, per_minute=30, burst=5)
    assert [buckets.take("a") for _ in range(6)] == [0, 0, 0, 0, 0, 2]
    assert buckets.take("b") == 0, "others have their own"
    clock.advance_us(1_900_000)
    assert buckets.take("a") == 1
    clock.advance_us(100_000)
    assert (buckets.take("a"), buckets.take("a")) == (0, 2)
    assert buckets.refused == 3


@given(
    per_minute=st.integers(1, 10_000),
    burst=st.integers(1, 50),
    pauses_us=st.lists(st.integers(0, 5_000_000), min_size=1, max_size=60),
)
def test_never_more_than_the_rate(per_minute: int, burst: int, pauses_us: list[int]) -> None:
    """Property: in any stretch of time at most burst + rate × time requests get through, whatever the wall clock does."""
    clock = ManualClock()
    buckets = TokenBuckets(clock, per_minute=per_minute, burst=burst)
    passed, elapsed_us = 0, 0
    for pause_us in pauses_us:
        clock.advance_us(pause_us)
        clock.step_wall_us(-pause_us * 3)
        elapsed_us += pause_us
        wait_s = buckets.take("a")
        assert wait_s >= 0
        passed += wait_s == 0
    assert passed <= burst + per_minute * elapsed_us / 60_000_000


def test_waiting_as_told_is_enough() -> None:
    """After exactly the seconds of Retry-After a request gets through."""
    clock = ManualClock()
    buckets = TokenBuckets(clock, per_minute=7, burst=1)
    for _ in range(20):
        assert buckets.take("a") == 0
        clock.advance_us(buckets.take("a") * 1_000_000)


def test_old_clients_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses can't fill the memory."""
    monkeypatch.setattr(rate_limit, "MAX_CLIENTS", 100)
    buckets = TokenBuckets(ManualClock(), per_minute=1, burst=1)
    for number in range(10_000):
        buckets.take(str(number))
    assert len(buckets._buckets) == 100


@pytest.mark.parametrize(
    ("peer", "forwarded", "behind_proxy", "client"),
    [
        ("203.0.113.7", None, False, "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", False, "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", True, "203.0.113.7"),
        ("127.0.0.1", "6.6.6.6, 198.51.100.1", True, "198.51.100.1"),
        ("::1", "198.51.100.1", True, "198.51.100.1"),
        ("127.0.0.1", "198.51.100.1", False, "127.0.0.1"),
        ("127.0.0.1", "not an address", True, "unknown"),
        ("2001:db8:1:2:3:4:5:6", None, False, "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", None, False, "203.0.113.7"),
    ],
)
def test_whose_request_it_is(peer: str, forwarded: str | None, behind_proxy: bool, client: str) -> None:
    """The proxy's word counts only where there is one, and of X-Forwarded-For only what it wrote; an IPv6 customer is its
    /64."""
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    assert client_of(_scope(peer, headers), behind_proxy=behind_proxy) == client


async def test_over_http() -> None:
    """429 with Retry-After and a problem that says that nothing was done, and no settlement in it; other paths and this
    machine's own requests are free."""
    buckets = TokenBuckets(ManualClock(), per_minute=60, burst=2)
    app = RateLimit(_ok, buckets, paths=("/settle",), behind_proxy=True)
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app, client=("203.0.113.7", 1)), base_url="http://f.test"
    ) as client:
        assert [(await client.post("/settle")).status_code for _ in range(3)] == [200, 200, 429]
        refused = await client.post("/settle")
        assert refused.headers["retry-after"] == "1"
        problem = json.loads(refused.content)
        assert (problem["code"], problem["retryable"], "success" in problem) == ("http.rate_limited", True, False)
        assert (await client.get("/health")).status_code == 200
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app, client=("127.0.0.1", 1)), base_url="http://f.test"
    ) as client:
        assert [(await client.post("/settle")).status_code for _ in range(5)] == [200] * 5
        headers = {"x-forwarded-for": "198.51.100.1"}
        codes = [(await client.post("/settle", headers=headers)).status_code for _ in range(3)]
        assert codes == [200, 200, 429], "through the proxy it is somebody else's"


@pytest.mark.parametrize(("per_minute", "burst"), [(0, 1), (1, 0), (-1, 5)])
def test_limits_are_positive(per_minute: int, burst: int) -> None:
    """No limit is said by leaving it out."""
    with pytest.raises(InvalidInputError):
        TokenBuckets(ManualClock(), per_minute=per_minute, burst=burst)
