"""What telemetry costs an agent turn with one tool call on a durable journal: on (V1), and off (V2).

On means everything: spans projected from the events, measured, and sent as OTLP over HTTP to a receiver in a process of its own
that reads and forgets them; the ids of the spans stand in the events. Spans are made and exported by a process of their own, so this needs a second
core; the receiver uses it, too. After each case every span has arrived.

Off means that nothing of it is configured. What is left are the places where telemetry would begin: they are called as often as a
turn calls them, and timed alone, because beside a turn they can't be seen.
"""

from __future__ import annotations

import asyncio
import http.server
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from agent_turn import Bench, SystemClock, SystemEntropy
from measure import Claim, arguments, interleaved, report

from life.aios import events
from life.aios.ports.journal import Journal
from life.aios.ports.telemetry import working_in
from life.arcan.runtime import Runtime
from life.arcan.session_state import SessionState
from life.arcan.trace_marks import TraceMarks
from life.vigil.config import TelemetrySettings, read_config
from life.vigil.telemetry import LiveTelemetry, open_telemetry

EVENTS_PER_TURN = 8
TURNS = 20


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes anything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Read the body and say yes."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing to say."""


def receive(port: Connection) -> None:
    """A receiver until the process is ended."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    port.send(server.server_address[1])
    server.serve_forever()


class TracedBench(Bench):
    """The agent turn's bench, with telemetry."""

    telemetry: LiveTelemetry

    def runtime(self, journal: Journal, turns: int | Callable[[], int], *, slower: bool = True) -> Runtime:
        """A runtime that is watched."""
        plain = super().runtime(self.telemetry.watch(journal), turns, slower=slower)
        parts = plain.parts
        return Runtime(
            parts.journal,
            parts.toolbox,
            provider=plain._desk.provider_of(""),
            clock=parts.clock,
            entropy=parts.entropy,
            agent_id="agent-1",
            workspace_of=parts.workspace_of,
            settings=parts.settings,
            telemetry=self.telemetry,
        )


def with_telemetry(bench: TracedBench, conversations: int, exporter: dict[str, str]) -> Callable[[], float]:
    """Milliseconds per turn while everything is exported."""

    async def work(journal: Journal) -> float:
        bench.telemetry = open_telemetry(
            read_config(TelemetrySettings(), exporter),
            exporter,
            clock=SystemClock(),
            entropy=SystemEntropy(),
            version="0",
        )
        try:
            await bench.conversation(journal, TURNS)
            await asyncio.to_thread(bench.telemetry.flush)
            began = time.perf_counter()
            for _ in range(conversations):
                await bench.conversation(journal, TURNS)
            took = (time.perf_counter() - began) * 1000 / (conversations * TURNS)
            assert await asyncio.to_thread(bench.telemetry.flush)
            status = await asyncio.to_thread(bench.telemetry.status)
            assert status.dropped == status.lost_events == 0 and status.exported > conversations * TURNS * 4, status
            return took
        finally:
            await asyncio.to_thread(bench.telemetry.close)

    return lambda: bench.timed(work)


def without(bench: Bench, conversations: int) -> Callable[[], float]:
    """Milliseconds per turn with telemetry off."""

    async def work(journal: Journal) -> float:
        await bench.conversation(journal, TURNS)
        began = time.perf_counter()
        for _ in range(conversations):
            await bench.conversation(journal, TURNS)
        return (time.perf_counter() - began) * 1000 / (conversations * TURNS)

    return lambda: bench.timed(work)


def seams_alone(turns: int) -> Callable[[], float]:
    """Milliseconds per turn of what is called for telemetry although it is off."""
    state = SessionState(session_id="s")
    kind = events.StepStarted(index=0)

    def work() -> float:
        marks = TraceMarks(None)
        began = time.perf_counter()
        for _ in range(turns):
            for _ in range(EVENTS_PER_TURN):
                marks.mark(kind, "e", "r", state)
                working_in.get()
            with marks.chat(0):
                pass
            with marks.tool("t"):
                pass
        return (time.perf_counter() - began) * 1000 / turns

    return work


def main() -> int:
    """Run the cases and print the claims."""
    options = arguments(__doc__ or "")
    conversations = 5 if options.quick else 20
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    receiver = context.Process(target=receive, args=(theirs,), daemon=True)
    receiver.start()
    endpoint = f"http://127.0.0.1:{ours.recv()}"
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        bench, traced = Bench(Path(name)), TracedBench(Path(name) / "traced")
        traced.folder.mkdir()
        print("a turn with one tool call, scripted model, durable journal in the loop")
        status = report(
            interleaved(
                {
                    "off": without(bench, conversations),
                    "on": with_telemetry(traced, conversations, {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}),
                    "seams, off": seams_alone(conversations * TURNS),
                },
                rounds=options.rounds,
            ),
            "ms/turn",
            [Claim("V1", "on", "off", at_most=1.10), Claim("V2", "seams, off", "off", at_most=0.01)],
        )
    receiver.kill()
    return status


if __name__ == "__main__":
    sys.exit(main())
