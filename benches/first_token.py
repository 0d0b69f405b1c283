"""From the vendor's first word to ours (performance.md §10: first streamed token at most 5 ms after the provider's).

    F1  milliseconds from the byte leaving the vendor's socket to the session's subscriber, everything on
        (chain, retry, circuit, limits, prices, runtime, SQLite journal)     against the vendor's client alone

The vendor is another process on the loopback that speaks Anthropic's Messages API and writes into its first word when it
sent it. The client is the official one in both cases.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Final

from measure import Claim, arguments, interleaved, report, runner

from life.aios.events import AssistantTextDelta
from life.arcan.providers.opening import ModelOptions, ProviderOpener
from life.arcan.runtime import Runtime
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.sqlite import SqliteJournal
from life.praxis.registry import ToolRegistry

_STAMP: Final = re.compile(r"t=(\d+);")
_PAUSE_S: Final = 0.02
"""Between the beginning of an answer and its first word: nothing else is going on then."""


def event(kind: str, **fields: object) -> bytes:
    """One server-sent event as a chunk of the body."""
    data = f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers to every request on a connection."""
    message = {"id": "m", "type": "message", "role": "assistant", "model": "claude-sonnet-5-5", "content": []}
    usage = {"input_tokens": 10, "output_tokens": 1}
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            writer.write(event("message_start", message={**message, "stop_reason": None, "usage": usage}))
            writer.write(event("content_block_start", index=0, content_block={"type": "text", "text": ""}))
            await writer.drain()
            await asyncio.sleep(_PAUSE_S)
            stamp = f"t={time.monotonic_ns()};"
            writer.write(event("content_block_delta", index=0, delta={"type": "text_delta", "text": stamp}))
            await writer.drain()
            await asyncio.sleep(_PAUSE_S)
            writer.write(event("content_block_stop", index=0))
            writer.write(event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3}))
            writer.write(event("message_stop") + b"0\r\n\r\n")
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        writer.close()


async def serve() -> None:
    """Be the vendor, and say where."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def delay_ms(text: str) -> float:
    """How long ago the word was sent."""
    found = _STAMP.search(text)
    assert found is not None
    return (time.monotonic_ns() - int(found[1])) / 1e6


async def client_alone(url: str, words: int) -> float:
    """The median delay in the vendor's own client."""
    import anthropic

    delays = []
    async with anthropic.AsyncAnthropic(api_key="none", base_url=url, max_retries=0) as client:
        for _ in range(words):
            stream = await client.messages.create(
                model="claude-sonnet-5-5", max_tokens=10, messages=[{"role": "user", "content": "Hi."}], stream=True
            )
            async for each in stream:
                if each.type == "content_block_delta" and each.delta.type == "text_delta":
                    delays.append(delay_ms(each.delta.text))
    return statistics.median(delays)


@asynccontextmanager
async def a_runtime(url: str, folder: Path) -> AsyncIterator[Runtime]:
    """Sessions on a journal on the disk, with a chain of providers."""
    clock, entropy = SystemClock(), SystemEntropy()
    opener = ProviderOpener(
        environment={"LIFE_PROVIDER_API_KEY": "none"},
        clock=clock,
        entropy=entropy,
        options=ModelOptions(requests_per_minute=1_000_000, tokens_per_minute=1_000_000_000),
    )
    provider = opener(f"anthropic@{url}, anthropic:claude-haiku-5-5@{url}")
    async with SqliteJournal.open(folder / "journal.db", clock=clock, writer="in_loop") as journal:
        async with Runtime(
            journal,
            ToolRegistry(),
            provider=provider,
            clock=clock,
            entropy=entropy,
            agent_id="bench",
            workspace_of=lambda _: str(folder),
        ) as runtime:
            yield runtime
    await provider.aclose()  # type: ignore[attr-defined]


async def everything_on(url: str, words: int) -> float:
    """The median delay at a session's subscriber."""
    delays: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        async with a_runtime(url, Path(folder)) as runtime:
            await runtime.create_session("s")

            async def listen() -> None:
                async with aclosing(runtime.subscribe("s")) as records:
                    async for record in records:
                        if isinstance(record.kind, AssistantTextDelta):
                            delays.append(delay_ms(record.kind.delta))

            listening = asyncio.create_task(listen())
            for _ in range(words):
                await runtime.run("s", "Hi.")
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    assert len(delays) == words
    return statistics.median(delays)


def main() -> None:
    """Measure and report."""
    options = arguments(__doc__ or "")
    words = 10 if options.quick else 50
    vendor = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert vendor.stdout is not None
        url = f"http://127.0.0.1:{int(vendor.stdout.readline())}"

        def case(work: object) -> float:
            with runner() as loop:
                return float(loop.run(work(url, words)))  # type: ignore[operator]

        results = interleaved(
            {"client alone": lambda: case(client_alone), "everything on": lambda: case(everything_on)},
            rounds=options.rounds,
        )
        added = [ours - alone for ours, alone in zip(results["everything on"], results["client alone"], strict=True)]
        print(
            f"added by us: median {statistics.median(added):.3f} ms, worst round {max(added):.3f} ms (goal: at most 5)"
        )
        goal = {**results, "client alone + 5 ms": [alone + 5 for alone in results["client alone"]]}
        sys.exit(report(goal, "ms", [Claim("F1", "everything on", "client alone + 5 ms", at_most=1.0)]))
    finally:
        vendor.kill()
        vendor.wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    else:
        main()
