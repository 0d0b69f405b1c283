"""What the context costs a turn: the look for room, the request, a compaction; after 20, 300 and 10,000 events.

    python benches/context_build.py [--quick] [--rounds N]

A conversation is folded from events of turns with one call and a result of 512 bytes. `look` is what every turn pays (is there room?), `build` the
messages of the next request, `compaction` the plan, the summary and its fold, once per filled window. `run` is a whole run on a window that fills
every few turns, per turn, in memory: its first turns against its last.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from agent_turn import UNLIMITED, OneTool, SystemClock, SystemEntropy
from measure import Claim, arguments, interleaved, report

from life.aios import events
from life.aios.events import Kind
from life.aios.policy import PolicySet
from life.aios.ports.provider import ModelRequest
from life.aios.record import EventRecord, EventWriter, Stream
from life.arcan.context.compaction import (
    ContextSettings,
    compacted_event,
    mechanical_summary,
    plan_compaction,
    room_of,
)
from life.arcan.context.keeper import ContextParts
from life.arcan.conversation import Conversation, build_request
from life.arcan.providers.scripted import ScriptedCall, ScriptedProvider, ScriptedTurn
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.arcan.state import fold
from life.lago.journal.memory import MemoryJournal

RESULT = "größer " * 64
SIZES = (20, 300, 10_000)
LONG_RUN = 300
SMALL_WINDOW = 8_000


def records(count: int) -> list[EventRecord]:
    """So many events of a session."""
    writer = EventWriter(SystemClock(), SystemEntropy(), agent_id="a", stream=Stream("s"))
    kinds: list[Kind] = [events.UserMessage(content="Fetch the rows.")]
    made: list[EventRecord] = []
    for turn in itertools.count():
        call = f"call-{turn}"
        kinds += [
            events.StepStarted(index=turn),
            events.Message(role="assistant", content="I look.", model="m"),
            events.ToolCallRequested(call_id=call, tool_name="fetch_row", arguments={"row": turn}),
            events.ToolCallCompleted(
                tool_run_id=call, call_id=call, tool_name="fetch_row", result=RESULT, duration_ms=0, status="ok"
            ),
            events.StepFinished(index=turn, stop_reason="tool_call", directive_count=1),
        ]
        if len(kinds) >= count:
            break
    for sequence, kind in enumerate(kinds[:count], 1):
        event = writer.event(kind)
        made.append(
            EventRecord(
                event_id=event.event_id,
                session_id="s",
                branch_id="main",
                agent_id="a",
                sequence=sequence,
                timestamp_us=event.timestamp_us,
                actor=event.actor,
                schema=event.schema,
                kind_name=event.kind_name,
                payload=event.payload,
            )
        )
    return made


def timed(work: Callable[[], object], times: int) -> Callable[[], float]:
    """Microseconds of one call."""

    def case() -> float:
        began = time.perf_counter()
        for _ in range(times):
            work()
        return (time.perf_counter() - began) * 1_000_000 / times

    return case


def compaction(conversation: Conversation, window: int) -> Conversation:
    """Plan, summary and fold of one compaction."""
    settings = ContextSettings(window_tokens=window)
    plan = plan_compaction(conversation, room_of(window, max_output_tokens=500, fixed_bytes=0), settings, fixed_bytes=0)
    assert plan is not None
    event = compacted_event(plan, mechanical_summary(plan.dropped, plan.summary_tokens), fixed_bytes=0)
    return conversation.compacted(
        event.dropped_count, event.summary or "", objective=event.objective, result_characters=event.result_characters
    )


def part_of_run(folder: Path, first: int, last: int) -> Callable[[], float]:
    """Milliseconds per turn between two turns of a run on a small window."""

    async def run() -> float:
        tool = OneTool()
        runtime = Runtime(
            MemoryJournal(),
            tool,
            provider=ScriptedProvider(_long, clock=SystemClock()),
            clock=SystemClock(),
            entropy=SystemEntropy(),
            agent_id="agent-1",
            workspace_of=lambda session_id: str(folder),
            settings=RuntimeSettings(
                policy=PolicySet(allow_capabilities=("*",)), limits=UNLIMITED, max_output_tokens=500
            ),
            context=ContextParts(settings=ContextSettings(window_tokens=SMALL_WINDOW)),
        )
        async with runtime:
            await runtime.create_session("s")
            ended = await runtime.run("s", "Fetch the rows.")
            assert ended.reason == "completed", ended
        gaps = [(b - a) * 1000 for a, b in itertools.pairwise(tool.ran_at)]
        return statistics.fmean(gaps[first:last])

    return lambda: asyncio.run(run())


def _long(request: ModelRequest) -> ScriptedTurn:
    """A call with other arguments each time, and an answer in the end."""
    place = request.earlier_answers + sum(message.role == "assistant" for message in request.messages)
    if place >= LONG_RUN:
        return ScriptedTurn(text="Done.")
    return ScriptedTurn(calls=(ScriptedCall("fetch_row", {"row": place}),))


def main() -> int:
    """Run the cases and print the claims."""
    options = arguments(__doc__ or "")
    times = 20 if options.quick else 100
    cases: dict[str, Callable[[], float]] = {}
    for size in SIZES:
        made = records(size)
        conversation = fold("s", made).conversation.seal()  # as it is when a model is asked
        room = room_of(200_000_000, max_output_tokens=4_096, fixed_bytes=8_000)
        settings = ContextSettings(window_tokens=200_000_000)
        cases[f"look, {size} events"] = timed(
            functools.partial(plan_compaction, conversation, room, settings, fixed_bytes=8_000), times * 50
        )
        cases[f"build, {size} events"] = timed(
            functools.partial(build_request, conversation, system="s", tools=(), max_output_tokens=1), times * 50
        )
    full = fold("s", records(10_000)).conversation
    cases["compaction, 2,000 turns into 200k"] = timed(lambda: compaction(full, 200_000), max(3, times // 10))
    print("the context of one turn")
    status = report(
        interleaved(cases, rounds=options.rounds),
        "us",
        [
            Claim("look is flat", "look, 10000 events", "look, 20 events", at_most=1.5),
            Claim("build is flat", "build, 10000 events", "build, 20 events", at_most=1.5),
        ],
    )
    made = records(10_000)
    print("a session of 10,000 events, folded anew")
    report(interleaved({"fold": lambda: timed(lambda: fold("s", made), 1)() / 1000}, rounds=options.rounds), "ms", [])
    print(f"a run of {LONG_RUN} turns on a window of {SMALL_WINDOW} tokens, in memory")
    with tempfile.TemporaryDirectory() as name:
        status |= report(
            interleaved(
                {
                    "turns 20-80": part_of_run(Path(name), 20, 80),
                    "turns 238-298": part_of_run(Path(name), 238, 298),
                },
                rounds=options.rounds,
            ),
            "ms/turn",
            [Claim("flat", "turns 238-298", "turns 20-80", at_most=1.25)],
        )
    return status


if __name__ == "__main__":
    sys.exit(main())
