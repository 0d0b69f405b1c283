"""Reconstructing a session of 10,000 events: from its beginning, from a checkpoint, and once it is loaded (A4).

    replay      read and decode the session's events, and nothing else: what any reconstruction has to do
    cold        a new process's fold of the whole session
    checkpoint  the same with a checkpoint that covers all but the last 100 events
    loaded      a session that the runtime has in memory: look for news, fold them
    at_middle   the state as of event 5,000

Milliseconds each, SQLite on disk. `cold` and `checkpoint` begin with a history that knows nothing; the module is loaded.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from measure import Claim, arguments, interleaved, report

from life.aios import events
from life.aios.events import Kind
from life.aios.ports.journal import EventQuery
from life.aios.record import EventWriter, Stream
from life.aios.state import TokenUsage
from life.arcan.checkpoints import SessionHistory
from life.arcan.state import encode_state
from life.lago.journal.sqlite import SqliteJournal
from life.lago.snapshots import SqliteSnapshots
from life.testing.clock import ManualClock, SeededEntropy

STREAM = Stream("long")


def turn(number: int) -> list[Kind]:
    """A run with one tool call: 12 events."""
    call = f"call-{number}"
    usage = TokenUsage(900, 60, 960)
    return [
        events.UserMessage(content=f"Look at part {number} and say what is in it."),
        events.RunStarted(provider="bench", max_iterations=24),
        events.StepStarted(index=0),
        events.Message(role="assistant", content="I'll look.", model="bench", token_usage=usage),
        events.ToolCallRequested(call_id=call, tool_name="read_file", arguments={"path": f"part-{number}.txt"}),
        events.PolicyEvaluated(tool_name="read_file", decision="allow", rule_id="policy"),
        events.ToolCallStarted(tool_run_id=f"run-{number}", tool_name="read_file", call_id=call),
        events.ToolCallCompleted(
            tool_run_id=f"run-{number}",
            call_id=call,
            tool_name="read_file",
            result="line of text\n" * 20,
            duration_ms=3,
            status="ok",
        ),
        events.StepFinished(index=0, stop_reason="tool_call", directive_count=1),
        events.StepStarted(index=1),
        events.Message(role="assistant", content=f"Part {number} is text.", model="bench", token_usage=usage),
        events.RunFinished(reason="completed", total_iterations=2),
    ]


async def run(rounds: int, count: int) -> int:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        async with SqliteJournal.open(path, clock=ManualClock()) as journal:
            writer = EventWriter(ManualClock(), SeededEntropy("bench"), agent_id="agent", stream=STREAM)
            await journal.append([writer.event(events.SessionCreated(name="long"))])
            kinds = [kind for number in range(count // 12 + 1) for kind in turn(number)][: count - 1]
            for start in range(0, len(kinds), 500):
                await journal.append([writer.event(kind) for kind in kinds[start : start + 500]])
            async with SqliteSnapshots(path) as kept:
                plain, with_checkpoint = SessionHistory(journal), SessionHistory(journal, kept)
                whole = await plain.state(STREAM)
                assert whole.head == count
                await with_checkpoint.save(await plain.state(STREAM, at=count - 100))
                assert encode_state(await with_checkpoint.state(STREAM)) == encode_state(whole)

                async def replay() -> None:
                    after = 0
                    while after < count:
                        page = await journal.read(EventQuery("long", "main", after_sequence=after), limit=1000)
                        for record in page:
                            record.kind  # noqa: B018 - decoding is what is measured
                        after = page[-1].sequence

                async def cold() -> None:
                    await SessionHistory(journal).state(STREAM)

                async def checkpoint() -> None:
                    await SessionHistory(journal, kept).state(STREAM)

                async def loaded() -> None:
                    await with_checkpoint.fold_on(whole, STREAM)

                async def at_middle() -> None:
                    await SessionHistory(journal).state(STREAM, at=count // 2)

                results = await asyncio.to_thread(
                    measure, asyncio.get_running_loop(), rounds, replay, cold, checkpoint, loaded, at_middle
                )
    return report(
        results,
        "ms",
        [
            Claim("from the first event", "cold", "replay", at_most=6),
            Claim("A4 cold", "checkpoint", "replay", at_most=0.5),
            Claim("A4 warm", "loaded", "replay", at_most=0.05),
        ],
    )


def measure(
    loop: asyncio.AbstractEventLoop, rounds: int, *cases: Callable[[], Awaitable[None]]
) -> dict[str, list[float]]:
    """Every case in the loop that opened the journal, timed inside it."""

    async def timed(case: Callable[[], Awaitable[None]]) -> float:
        began = time.perf_counter()
        await case()
        return (time.perf_counter() - began) * 1000

    def once(case: Callable[[], Awaitable[None]]) -> Callable[[], float]:
        return lambda: asyncio.run_coroutine_threadsafe(timed(case), loop).result()

    return interleaved({case.__name__: once(case) for case in cases}, rounds=rounds)


if __name__ == "__main__":
    options = arguments(__doc__ or "")
    sys.exit(asyncio.run(run(options.rounds, 2_000 if options.quick else 10_000)))
