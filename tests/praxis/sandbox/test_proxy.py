"""The filtering proxy by itself, and as the only way out of bubblewrap."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from life.aios.ports.sandbox import ConnectionAttempt
from life.host.clock import SystemClock
from life.praxis.egress import EgressPolicy
from life.praxis.sandbox.bubblewrap import Bubblewrap, open_bubblewrap
from life.praxis.sandbox.proxy import AttemptLog, FilteringProxy
from life.testing.sandbox import run_bash

LOOPBACK = EgressPolicy(allow_private_hosts=("127.0.0.1", "allowed.test", "*.allowed.test"))


async def to_loopback(host: str, port: int) -> list[str]:
    """A resolver that finds every name here, but one."""
    if host == "metadata.allowed.test":
        return ["169.254.169.254"]
    if host == "missing.allowed.test":
        raise OSError("no such name")
    return ["127.0.0.1"]


@contextlib.asynccontextmanager
async def server() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A real server that notes what it reads up to an empty line and answers in plain HTTP; its port and its notes."""
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            seen.append(head)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
            await writer.drain()
        writer.close()

    opened = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield opened.sockets[0].getsockname()[1], seen
    finally:
        opened.close()
        await opened.wait_closed()


@contextlib.asynccontextmanager
async def proxy(*allowed: str) -> AsyncIterator[tuple[int, AttemptLog]]:
    """The proxy on a loopback port."""
    log = AttemptLog()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with FilteringProxy(allowed, egress=LOOPBACK, resolve=to_loopback).serving(listener, log):
        yield port, log


async def ask(port: int, request: bytes) -> bytes:
    """Everything the proxy answers to some bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


async def test_a_tunnel_to_an_allowed_host() -> None:
    """CONNECT, then whatever the two say; noted."""
    async with server() as (port, seen), proxy(f"allowed.test:{port}") as (door, log):
        reader, writer = await asyncio.open_connection("127.0.0.1", door)
        writer.write(f"CONNECT allowed.test:{port} HTTP/1.1\r\nHost: allowed.test\r\n\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert (await reader.read()).endswith(b"hello")
        writer.close()
    assert seen == [b"GET / HTTP/1.1\r\n\r\n"]
    assert log.attempts() == (ConnectionAttempt("allowed.test", port, True, ""),)


async def test_a_plain_request_is_passed_on_in_the_servers_form() -> None:
    """Origin form, the Host of the URL whatever the client wrote, no proxy headers, one request per connection."""
    async with server() as (port, seen), proxy(f"*.allowed.test:{port}") as (door, _):
        request = (
            f"GET http://a.allowed.test:{port}/p?q=1 HTTP/1.1\r\nHost: other.test\r\nProxy-Authorization: x\r\n"
            "Connection: keep-alive\r\nX-Own: 1\r\n\r\n"
        )
        assert (await ask(door, request.encode())).endswith(b"hello")
    assert seen == [
        f"GET /p?q=1 HTTP/1.1\r\nHost: a.allowed.test:{port}\r\nConnection: close\r\nX-Own: 1\r\n\r\n".encode()
    ]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("evil.test:{port}", "not on the list of allowed hosts"),
        ("allowed.test.evil.test:{port}", "not on the list of allowed hosts"),
        ("127.0.0.1:{port}", "not on the list of allowed hosts"),
        ("[::ffff:127.0.0.1]:{port}", "not on the list of allowed hosts"),
        ("allowed.test:22", "not on the list of allowed hosts"),
        ("metadata.allowed.test:80", "a private or reserved address"),
    ],
)
async def test_other_hosts_ports_and_addresses_are_refused_and_noted(target: str, reason: str) -> None:
    """403 with words, nothing reaches the server, and the try is on record."""
    async with server() as (port, seen), proxy("allowed.test", "*.allowed.test") as (door, log):
        answer = await ask(door, f"CONNECT {target.format(port=port)} HTTP/1.1\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert seen == []
    (attempt,) = log.attempts()
    assert (attempt.allowed, attempt.reason) == (False, reason)


async def test_a_host_that_does_not_answer() -> None:
    """502; allowed, and noted as not reached."""
    async with proxy("missing.allowed.test") as (door, log):
        answer = await ask(door, b"CONNECT missing.allowed.test:443 HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert log.attempts()[0].reason == "no connection could be made"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
        b"GET https://allowed.test/ HTTP/1.1\r\n\r\n",
        b"CONNECT allowed.test HTTP/1.1\r\n\r\n",
        b"CONNECT user@allowed.test:443 HTTP/1.1\r\n\r\n",
        b"CONNECT 0x7f.1:443 HTTP/1.1\r\n\r\n",
        b"CONNECT 2130706433:443 HTTP/1.1\r\n\r\n",
        b"CONNECT allowed.test:0 HTTP/1.1\r\n\r\n",
        b"CONNECT allowed.test:99999 HTTP/1.1\r\n\r\n",
        b"GET http://allowed.test\\@evil.test/ HTTP/1.1\r\n\r\n",
        b"GET http://allowed.test/ HTTP/1.1\r\nbroken\r\n\r\n",
        b"GET http://allowed.test/ HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
    ],
)
async def test_what_is_no_proxy_request_is_refused(request_bytes: bytes) -> None:
    """400, no connection, nothing noted."""
    async with proxy("allowed.test") as (door, log):
        assert (await ask(door, request_bytes)).startswith(b"HTTP/1.1 400 ")
        assert log.attempts() == ()


async def test_an_endless_head_is_cut_off() -> None:
    """More than 64 KiB without an end closes the connection."""
    async with proxy("allowed.test") as (door, _):
        with contextlib.suppress(ConnectionError):
            assert await ask(door, b"GET http://allowed.test/ HTTP/1.1\r\nA: " + b"a" * 300_000) == b""


def test_a_list_that_can_not_be_meant() -> None:
    """Refused at once."""
    with pytest.raises(ValueError, match="allows no host"):
        FilteringProxy(())
    with pytest.raises(ValueError, match="not a host pattern"):
        FilteringProxy(("http://example.com",))


async def open_with(*allowed: str) -> Bubblewrap:
    """bubblewrap with the proxy as its only way out."""
    return await open_bubblewrap(
        clock=SystemClock(), proxy=FilteringProxy(allowed, egress=LOOPBACK, resolve=to_loopback)
    )


@pytest.mark.part("bubblewrap")
async def test_a_sandbox_reaches_the_listed_host_and_nothing_else(tmp_path: Path) -> None:
    """Through the variables that programs know; directly, by another name and past the proxy there is no way."""
    async with server() as (port, seen), server() as (other_port, other_seen):
        sandbox = await open_with(f"allowed.test:{port}")
        assert sandbox.description.allowed_hosts == (f"allowed.test:{port}",)
        assert "host_allow_list" not in sandbox.description.gaps
        script = f"""
            python3 - <<'END'
import urllib.request
print(urllib.request.urlopen('http://allowed.test:{port}/from-inside').read())
for url in ('http://other.test:{other_port}/', 'http://127.0.0.1:{other_port}/'):
    try: print('REACHED', urllib.request.urlopen(url).read())
    except Exception as failure: print('refused', failure)
END
            (exec 3<>/dev/tcp/127.0.0.1/{port}; echo direct >&3)
            (exec 3<>/dev/tcp/127.0.0.1/{other_port}; echo direct >&3)
            echo x > /dev/udp/127.0.0.1/{port}
            ls -l /proc/self/fd | grep -c socket
        """
        ran = await run_bash(sandbox, tmp_path, script)
    text = ran.stdout.kept.decode()
    assert "b'hello'" in text
    assert "REACHED" not in text
    assert text.splitlines()[-1] == "0"
    assert [head.split(b"\r\n")[0] for head in seen] == [b"GET /from-inside HTTP/1.1"]
    assert other_seen == []
    assert ran.connections == (
        ConnectionAttempt("allowed.test", port, True, ""),
        ConnectionAttempt("other.test", other_port, False, "not on the list of allowed hosts"),
        ConnectionAttempt("127.0.0.1", other_port, False, "not on the list of allowed hosts"),
    )


@pytest.mark.part("bubblewrap")
async def test_sandboxes_with_a_proxy_do_not_see_each_other(tmp_path: Path) -> None:
    """Each has its own loopback: a server in one is not there in the other, and both use the proxy's port."""
    sandbox = await open_with("allowed.test")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    serve = (
        "python3 -m http.server -b 127.0.0.1 8000 >/dev/null 2>&1 & "
        "for i in $(seq 50); do (exec 3<>/dev/tcp/127.0.0.1/8000) 2>/dev/null && echo up && break; sleep 0.1; done; sleep 1"
    )
    look = "sleep 0.5; (exec 3<>/dev/tcp/127.0.0.1/8000) && echo SEEN; (exec 3<>/dev/tcp/127.0.0.1/3128) && echo proxy"
    first, second = await asyncio.gather(
        run_bash(sandbox, tmp_path / "a", serve), run_bash(sandbox, tmp_path / "b", look)
    )
    assert first.stdout.kept == b"up\n"
    assert second.stdout.kept == b"proxy\n"


@pytest.mark.part("bubblewrap")
async def test_connections_end_with_the_command(tmp_path: Path) -> None:
    """A download that never ends is cut when the command has ended; the server sees the end."""
    ended = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while await reader.read(1024):
                pass
        finally:
            ended.set()
            writer.close()

    opened = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = opened.sockets[0].getsockname()[1]
    sandbox = await open_with(f"allowed.test:{port}")
    script = f"python3 -c \"import urllib.request as u; u.urlopen('http://allowed.test:{port}/').read()\" & sleep 1"
    await run_bash(sandbox, tmp_path, script)
    async with asyncio.timeout(5):
        await ended.wait()
    opened.close()
    await opened.wait_closed()
