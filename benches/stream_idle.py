"""Idle subscribers of a session's event stream on arcand: memory, and how soon one of them hears of an event.

    python benches/stream_idle.py [--quick]      prints one line for each format; the limit is 60 MB for 500

Each line is a daemon of its own: its memory (RSS) with nobody there and with everybody there, and the time from posting a run to the first event at
the last subscriber.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SUBSCRIBERS = 500
LIMIT_BYTES = 60 * 1024 * 1024
TOKEN = "t" * 43
FORMATS = ("canonical", "openai", "ai_sdk_v6")


async def serve() -> None:
    """The daemon's application on a free port; prints `ready <port>` and serves until it is killed."""
    from life.host.access import Access
    from life.host.arcand import open_application
    from life.host.clock import SystemClock, SystemEntropy
    from life.host.http.server import bind
    from life.host.http.server import serve as serve_application
    from life.host.system import open_system

    with tempfile.TemporaryDirectory() as directory:
        environment = {"LIFE_KEY_FILE": f"{directory}/key/identity.key"}
        async with open_system(Path(directory) / "life", environment=environment) as system:
            listener = bind("127.0.0.1", 0)
            port = listener.getsockname()[1]
            access = Access(TOKEN, SystemClock(), SystemEntropy())
            async with open_application(system, access, TOKEN, hosts=[f"127.0.0.1:{port}"], environment={}) as app:
                await serve_application(app, listener, lambda: print(f"ready {port}", flush=True))


def resident_bytes(process_id: int) -> int:
    """The process's memory."""
    pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def head(method: str, path: str, port: int, body: bytes = b"") -> bytes:
    """A request."""
    lines = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {TOKEN}\r\n"
    return f"{lines}content-length: {len(body)}\r\n\r\n".encode() + body


async def ask(port: int, method: str, path: str, body: bytes = b"") -> bytes:
    """One request, and the beginning of its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head(method, path, port, body))
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return answer


async def measure(port: int, process_id: int, format_: str, count: int) -> tuple[int, int, float]:
    """Memory before and with everybody there, and milliseconds to the last first event."""
    await ask(port, "POST", "/sessions", b'{"session_id":"s"}')
    path = f"/sessions/s/events/stream?format={format_}" + ("&cursor=1" if format_ == "canonical" else "")
    async with contextlib.AsyncExitStack() as stack:
        before = 0
        readers = []
        for number in range(count + 1):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            writer.write(head("GET", path, port))
            answer = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in answer, answer
            readers.append(reader)
            if number == 0:  # what the first one loads is not the others'
                before = resident_bytes(process_id)
        await asyncio.sleep(0.5)
        after = resident_bytes(process_id)

        async def first(reader: asyncio.StreamReader) -> None:
            while not (await reader.readline()).startswith(b"data:"):
                pass

        begun = time.perf_counter()
        waiting = [asyncio.ensure_future(first(reader)) for reader in readers]
        await ask(port, "POST", "/sessions/s/runs", b'{"objective":"hello","wait":false}')
        await asyncio.gather(*waiting)
        return before, after, (time.perf_counter() - begun) * 1000


def main() -> None:
    """Measure every format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a hundred subscribers: a look, not a result")
    parser.add_argument("--rounds", type=int, default=1, help="how often every format is measured")
    options = parser.parse_args()
    count = 100 if options.quick else SUBSCRIBERS
    print(f"{count} idle subscribers; the limit is {LIMIT_BYTES * count // SUBSCRIBERS / 2**20:.0f} MB")
    for format_ in FORMATS * options.rounds:
        command = [sys.executable, __file__, "--serve"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                port = int(server.stdout.readline().split()[1])
                before, after, first_ms = asyncio.run(measure(port, server.pid, format_, count))
                grown = after - before
                print(
                    f"{format_:<10} {before / 2**20:6.1f} MB -> {after / 2**20:6.1f} MB: +{grown / 2**20:5.1f} MB, "
                    f"{grown / count / 1024:5.1f} KB each, {grown / (LIMIT_BYTES * count / SUBSCRIBERS):.2f} of the limit; "
                    f"all hear of an event within {first_ms:.0f} ms"
                )
            finally:
                server.terminate()
                server.wait()


if __name__ == "__main__":
    if "--serve" in sys.argv:
        from life.host.http.server import run_async

        run_async(serve)
    else:
        main()
