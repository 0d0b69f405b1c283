"""An agent turn with one tool call and the journal on: against its floor (A1), at 20 and at 300 turns, and on disk.

The floor does what can't be left out: it builds and encodes the very events of such a turn and stores them with two
durable commits (the intent before the effect, the end of the tick), in a bare loop in tables like the
journal's. It has no policy, no fold, no conversation, no streaming and no chain of digests.

`agent_peers.py` compares the same turn with the frameworks of the field.

The model lets others go first, so every tick has its two commits. Where it answers at once ("instant model"), the end of
a tick and the next intent become one.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import apsw
from measure import Claim, arguments, interleaved, report

from life.aios import events
from life.aios.events import Kind
from life.aios.ids import decode_ulid
from life.aios.json import Json
from life.aios.policy import PolicySet
from life.aios.ports.journal import Journal
from life.aios.ports.provider import Chunk, ModelProvider, ModelRequest
from life.aios.ports.tools import Probe, ToolCall, ToolContext, ToolDefinition, ToolOutcome
from life.aios.record import AGENT, EventWriter, NewEvent, Stream
from life.aios.state import TokenUsage
from life.arcan.events import RunLimits, run_limits
from life.arcan.providers.scripted import ScriptedCall, ScriptedProvider, ScriptedTurn
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal, WriterHost

RESULT = "x" * 512
"""What the tool gives: as long as in the study's 300-call run."""

USAGE = TokenUsage(1200, 40, 1240)
LONG_RUN = 300
MOST_BYTES = 1_500_000
_TABLES = """
CREATE TABLE event (
  pos INTEGER PRIMARY KEY, stream INTEGER, seq INTEGER, id BLOB, kind INTEGER, ts_us INTEGER, origin INTEGER,
  causation BLOB, correlation BLOB, body BLOB, digest BLOB
);
CREATE UNIQUE INDEX event_by_sequence ON event (stream, seq);
CREATE UNIQUE INDEX event_by_id ON event (id);
"""
"""The columns and indexes that a journal can't do without (performance.md §11.2)."""

UNLIMITED = RunLimits(max_steps=10**6, max_tokens=10**9, max_time_ms=10**9, max_tool_calls=10**6, max_errors=10**6)


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1000

    async def sleep_us(self, duration_us: int) -> None:
        await asyncio.sleep(duration_us / 1_000_000)


class SystemEntropy:
    """The machine's randomness."""

    def token_bytes(self, length: int) -> bytes:
        return os.urandom(length)


class OneTool:
    """A toolbox with a tool that answers at once; it notes when it ran."""

    def __init__(self) -> None:
        self.ran_at: list[float] = []

    def definitions(self) -> Sequence[ToolDefinition]:
        return [ToolDefinition(name="fetch_row", description="A row.", input_schema={"type": "object"})]

    def capabilities(self, call: ToolCall, context: ToolContext) -> tuple[str, ...]:
        return ("fs:read:table",)

    async def prepare(self, call: ToolCall, context: ToolContext) -> Json:
        return None

    async def execute(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        self.ran_at.append(time.perf_counter())
        return ToolOutcome(status="ok", output=RESULT)

    async def probe(self, call: ToolCall, context: ToolContext, prepared: Json) -> Probe:
        return Probe(answer="repeatable", explanation="It only looks.")


def model(turns: int | Callable[[], int]) -> Callable[[ModelRequest], ScriptedTurn]:
    """A model that calls the tool so many times after each objective, and then answers."""
    wanted = turns if callable(turns) else lambda: turns
    last = ScriptedTurn(text="Done.", usage=USAGE)

    def turn(request: ModelRequest) -> ScriptedTurn:
        # Two messages per turn after the objective: no need to look at each of them.
        row = len(request.messages)  # another one each time: the same call over and over is a loop, and stopped
        if row > 2 * wanted():
            return last
        return ScriptedTurn(calls=(ScriptedCall("fetch_row", {"row": row}),), usage=USAGE)

    return turn


class Slower:
    """The same model, but it lets others go first, as any model behind a network does: two commits per tick."""

    def __init__(self, inner: ModelProvider) -> None:
        self.inner = inner

    @property
    def name(self) -> str:
        return self.inner.name

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        await asyncio.sleep(0)
        async for chunk in self.inner.stream(request):
            yield chunk


class Bench:
    """Runs conversations over any journal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers = itertools.count()
        self.tool = OneTool()
        self.commits = 0

    def runtime(self, journal: Journal, turns: int | Callable[[], int], *, slower: bool = True) -> Runtime:
        """A runtime whose model calls the tool `turns` times."""
        scripted = ScriptedProvider(model(turns), clock=SystemClock())
        return Runtime(
            journal,
            self.tool,
            provider=Slower(scripted) if slower else scripted,
            clock=SystemClock(),
            entropy=SystemEntropy(),
            agent_id="agent-1",
            workspace_of=lambda session_id: str(self.folder),
            settings=RuntimeSettings(policy=PolicySet(allow_capabilities=("*",)), limits=UNLIMITED),
        )

    async def conversation(self, journal: Journal, turns: int, *, slower: bool = True) -> list[float]:
        """Milliseconds between the tool's runs of one conversation."""
        self.tool.ran_at.clear()
        async with AsyncExitStack() as stack:
            runtime = await stack.enter_async_context(self.runtime(journal, turns, slower=slower))
            session_id = f"s{next(self.numbers)}"
            await runtime.create_session(session_id)
            report_ = await runtime.run(session_id, "Fetch the rows.")
            assert report_.reason == "completed", report_
        assert len(self.tool.ran_at) == turns
        return [(b - a) * 1000 for a, b in itertools.pairwise(self.tool.ran_at)]

    def timed(self, work: Callable[[Journal], Awaitable[float]], *, writer: WriterHost = "in_loop") -> float:
        """`work` on a fresh journal file."""

        async def run() -> float:
            path = self.folder / f"{next(self.numbers)}.db"
            async with SqliteJournal.open(path, clock=SystemClock(), writer=writer, warm_log=True) as journal:
                return await work(journal)

        return asyncio.run(run())


async def pairs(bench: Bench, count: int) -> dict[str, list[float]]:
    """Milliseconds per turn in conversations of 20 turns, starts and ends included: one of the floor's, one of ours, and so on, so that
    whatever else the machine does is the same for both."""
    figures: dict[str, list[float]] = {"floor": [], "20 turns": []}
    floor, path = Floor(bench.folder), bench.folder / f"{next(bench.numbers)}.db"
    async with SqliteJournal.open(path, clock=SystemClock(), writer="in_loop", warm_log=True) as journal:
        async with bench.runtime(journal, 20) as runtime:
            for number in range(count + 5):  # a fresh file's first commits are another matter
                for name in figures:
                    began = time.perf_counter()
                    if name == "floor":
                        await floor.conversation(20)
                    else:
                        session = await runtime.create_session()
                        assert (await runtime.run(session.session_id, "Fetch the rows.")).reason == "completed"
                    if number >= 5:
                        figures[name].append((time.perf_counter() - began) * 1000 / 20)
    return figures


def short_runs(bench: Bench, conversations: int, *, slower: bool = True) -> Callable[[], float]:
    """Milliseconds per turn in conversations of 20 turns, starts and ends included."""

    async def work(journal: Journal) -> float:
        await bench.conversation(journal, 20, slower=slower)  # a fresh file's first commits are another matter
        began = time.perf_counter()
        for _ in range(conversations):
            await bench.conversation(journal, 20, slower=slower)
        return (time.perf_counter() - began) * 1000 / (conversations * 20)

    return lambda: bench.timed(work)


def part_of_long_run(bench: Bench, first: int, last: int) -> Callable[[], float]:
    """Milliseconds per turn between two turns of a conversation of 300."""

    async def work(journal: Journal) -> float:
        return statistics.fmean((await bench.conversation(journal, LONG_RUN))[first:last])

    return lambda: bench.timed(work)


def without_disk(bench: Bench, conversations: int) -> Callable[[], float]:
    """Milliseconds per turn on a journal in memory: the runtime's own work and the journal's bookkeeping."""

    async def work() -> float:
        journal = MemoryJournal()
        began = time.perf_counter()
        for _ in range(conversations):
            await bench.conversation(journal, 20)
        return (time.perf_counter() - began) * 1000 / (conversations * 20)

    return lambda: asyncio.run(work())


_numbers = itertools.count()


class Floor:
    """The same events by hand, two commits per turn."""

    def __init__(self, folder: Path) -> None:
        self.connection = apsw.Connection(str(folder / f"floor-{next(_numbers)}.db"))
        self.connection.pragma("journal_mode", "WAL")
        self.connection.pragma("synchronous", "FULL")
        self.connection.execute(_TABLES)
        # A log that has grown once is written faster (performance.md §0.4); the journal grows its own, too.
        self.connection.execute("CREATE TABLE warm (x); INSERT INTO warm VALUES (zeroblob(8000000)); DROP TABLE warm")
        self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        self.writer = EventWriter(SystemClock(), SystemEntropy(), agent_id="agent-1", stream=Stream("floor"))
        self.position = 0

    async def conversations(self, count: int, turns: int) -> float:
        """Milliseconds per turn of so many conversations, after one that does not count."""
        await self.conversation(turns)
        began = time.perf_counter()
        for _ in range(count):
            await self.conversation(turns)
        return (time.perf_counter() - began) * 1000 / (count * turns)

    async def conversation(self, turns: int) -> None:
        """A new session, an objective, so many turns with a tool, an answer."""
        tool = OneTool()
        context = ToolContext(
            session_id="floor", branch_id="main", agent_id="agent-1", run_id="r", workspace="/", idempotency_key="k"
        )
        self.commit([self.event(events.SessionCreated(name="floor", config={"owner": "ann"}))])
        objective = events.UserMessage(content="Fetch the rows.")
        started = events.RunStarted(provider="scripted", max_iterations=24)
        self.commit([self.event(kind) for kind in (objective, started, run_limits(UNLIMITED))])
        for number in range(turns):
            call = ToolCall(f"call-{number}", "fetch_row", {"row": 17})
            self.commit(self.intent(number, call))
            outcome = await tool.execute(call, context)
            self.commit(self.outcome(number, call, outcome))
        said = events.Message(role="assistant", content="Done.", model="scripted", token_usage=USAGE)
        step = events.StepFinished(index=turns, stop_reason="completed", directive_count=0)
        finished = events.RunFinished(reason="completed", total_iterations=turns + 1, final_answer="Done.")
        last = (events.StepStarted(index=turns), said, step, finished)
        self.commit([self.event(kind) for kind in last])

    def event(self, kind: Kind) -> NewEvent:
        """An event of the run."""
        return self.writer.event(kind, actor=AGENT, correlation_id="01KAG15N50Q363T7YFF0CFXAR7")

    def intent(self, number: int, call: ToolCall) -> list[NewEvent]:
        """What has to be on disk before the effect."""
        kinds = [
            events.StepStarted(index=number),
            events.Message(role="assistant", content="", model="scripted", token_usage=USAGE),
            events.ToolCallRequested(
                call_id=call.call_id, tool_name=call.tool_name, arguments=call.arguments, category="general"
            ),
            events.PolicyEvaluated(tool_name=call.tool_name, decision="allow", rule_id="policy"),
            events.ToolCallStarted(
                tool_run_id="01KAG15N50G9NVDA89PAS0AKPG",
                tool_name=call.tool_name,
                call_id=call.call_id,
                idempotency_key="7KAV1EXH8M5EHKRB6BKQ48MPJ0",
            ),
        ]
        return [self.event(kind) for kind in kinds]

    def outcome(self, number: int, call: ToolCall, outcome: ToolOutcome) -> list[NewEvent]:
        """What has to be on disk at the end of the tick."""
        kinds = [
            events.ToolCallCompleted(
                tool_run_id="01KAG15N50G9NVDA89PAS0AKPG",
                call_id=call.call_id,
                tool_name=call.tool_name,
                result=outcome.output,
                duration_ms=0,
                status=outcome.status,
            ),
            events.StepFinished(index=number, stop_reason="tool_call", directive_count=1),
        ]
        return [self.event(kind) for kind in kinds]

    def commit(self, batch: list[NewEvent]) -> None:
        """One durable transaction."""
        rows = []
        for event in batch:
            self.position += 1
            at = self.position
            key, correlation = decode_ulid(event.event_id), decode_ulid(event.correlation_id or "")
            rows.append((at, 1, at, key, at % 11, event.timestamp_us, 1, None, correlation, event.payload, bytes(32)))
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self.connection.execute("COMMIT")


def first_event(bench: Bench, times: int) -> Callable[[], float]:
    """Milliseconds from starting a run until a subscriber has its first event."""

    async def work(journal: Journal) -> float:
        figures = []
        async with bench.runtime(journal, 0) as runtime:
            for _ in range(times):
                session_id = f"s{next(bench.numbers)}"
                await runtime.create_session(session_id)
                async with aclosing(runtime.subscribe(session_id, 1)) as records:
                    waiting = asyncio.ensure_future(anext(records))
                    await asyncio.sleep(0.001)
                    began = time.perf_counter()
                    run_id = await runtime.start(session_id, "Hello.")
                    await waiting
                    figures.append((time.perf_counter() - began) * 1000)
                    await runtime.wait(session_id, run_id)
        return statistics.median(figures)

    return lambda: bench.timed(work, writer="process")


def one_append(bench: Bench, times: int) -> Callable[[], float]:
    """Milliseconds of one durable append."""

    async def work(journal: Journal) -> float:
        writer = EventWriter(SystemClock(), SystemEntropy(), agent_id="agent-1", stream=Stream("one"))
        figures = []
        for _ in range(times):
            event = writer.event(events.UserMessage(content="Hello."))
            began = time.perf_counter()
            await journal.append([event])
            figures.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.001)
        return statistics.median(figures)

    return lambda: bench.timed(work, writer="process")


def long_run_on_disk(bench: Bench) -> tuple[int, int]:
    """Bytes and events of a journal that holds one run of 300 tool calls."""
    path = bench.folder / "long.db"

    async def run() -> int:
        async with SqliteJournal.open(path, clock=SystemClock(), warm_log=False) as journal:
            await bench.conversation(journal, LONG_RUN)
            (stream,) = await journal.streams()
            return (await journal.head(stream)).sequence

    count = asyncio.run(run())
    return sum(file.stat().st_size for file in bench.folder.glob("long.db*")), count


def main() -> int:
    """Run the cases and print the claims."""
    options = arguments(__doc__ or "")
    conversations = 5 if options.quick else 20
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        bench = Bench(Path(name))
        print(
            "a turn with one tool call, scripted model, durable journal in the loop; conversations of 20 turns by turns"
        )
        results = asyncio.run(pairs(bench, 10 * conversations))
        status = report(results, "ms/turn", [Claim("A1", "20 turns", "floor", at_most=2.0)])
        print("the same turn elsewhere")
        status |= report(
            interleaved(
                {
                    "floor": lambda: asyncio.run(Floor(Path(name)).conversations(conversations, 20)),
                    "20 turns, instant model": short_runs(bench, conversations, slower=False),
                    "turns 5-25 of 300": part_of_long_run(bench, 5, 25),
                    "turns 279-299 of 300": part_of_long_run(bench, 279, 299),
                    "20 turns, in memory": without_disk(bench, conversations),
                },
                rounds=options.rounds,
            ),
            "ms/turn",
            [
                Claim("A1 at 300", "turns 279-299 of 300", "floor", at_most=2.0),
                Claim("flat", "turns 279-299 of 300", "turns 5-25 of 300", at_most=1.25),
            ],
        )
        print("from starting a run until a subscriber has its first event, journal in a writer process")
        times = 50 if options.quick else 200
        status |= report(
            interleaved(
                {"first event": first_event(bench, times), "one append": one_append(bench, times)},
                rounds=options.rounds,
            ),
            "ms",
            [Claim("A6", "first event", "one append", at_most=2.0)],
        )
        size, count = long_run_on_disk(bench)
        verdict = "ok" if size <= MOST_BYTES else "MISSED"
        print(f"  300 tool calls of 512 bytes: {size:,} bytes in {count:,} events  (goal ≤ {MOST_BYTES:,})  {verdict}")
        return status or int(size > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
