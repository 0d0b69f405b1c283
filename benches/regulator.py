"""Homeostasis: at most 1 ms of fold per 1,000 events, and 50 µs per consultation in process (issue 7).

The journal is a run's own mixture: messages with usage, tool calls, steps, contexts, payments. A consultation sees twelve
events that are not in the journal yet, as it does in a run with tools.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from life.aios import events
from life.aios.events import Kind, encode_kind
from life.aios.ports.regulator import RunView
from life.aios.record import DEFAULT_SCHEMA, SYSTEM, EventRecord
from life.aios.state import AgentStateVector, TokenUsage
from life.autonomic.homeostasis import Homeostasis
from life.autonomic.regulator import FoldedRegulator

START_US = 1_763_622_180_000_000
STEPS = 6
ROUNDS = 40
FOLDS = 60


class _Clock:
    def __init__(self) -> None:
        self.now = START_US

    def now_us(self) -> int:
        return self.now

    def monotonic_us(self) -> int:
        return self.now

    async def sleep_us(self, duration_us: int) -> None:
        raise AssertionError("a consultation does not wait")


def step(index: int) -> list[Kind]:
    """One step with a tool call."""
    call = f"call-{index}"
    return [
        events.StepStarted(index=index),
        events.Message(
            role="assistant",
            content="I'll look at the file first, then decide what to change.",
            model="m",
            token_usage=TokenUsage(prompt_tokens=2_000, completion_tokens=120, total_tokens=2_120, cost_micro=7_800),
        ),
        events.ToolCallRequested(call_id=call, tool_name="read_file", arguments={"path": "a.txt"}),
        events.PolicyEvaluated(tool_name="read_file", decision="allow", rule_id="policy"),
        events.ToolCallStarted(tool_run_id=f"run-{index}", tool_name="read_file", call_id=call),
        events.ToolCallCompleted(
            tool_run_id=f"run-{index}",
            call_id=call,
            tool_name="read_file",
            result="…" * 100,
            duration_ms=3,
            status="ok",
        ),
        events.Custom(event_type="arcan.context_noted", data={"run_id": "r", "text": "note"}),
        events.StepFinished(index=index, stop_reason="tool_call", directive_count=1),
    ]


def journal(sessions: int, runs: int) -> list[EventRecord]:
    """Runs of several sessions, one after the other."""
    records: list[EventRecord] = []
    heads = dict.fromkeys(range(sessions), 0)
    for number in range(sessions * runs):
        session = number % sessions
        kinds: list[Kind] = [events.UserMessage(content="Go on."), events.RunStarted(provider="m", max_iterations=24)]
        for index in range(STEPS):
            kinds += step(index)
        kinds += [
            events.Custom(event_type="finance.payment_settled", data={"amount_micro_credits": 500}),
            events.RunFinished(reason="completed", total_iterations=STEPS),
        ]
        for kind in kinds:
            heads[session] += 1
            records.append(_record(kind, session, heads[session], len(records)))
    return records


def _record(kind: Kind, session: int, sequence: int, place: int) -> EventRecord:
    return EventRecord(
        event_id=f"e{place}",
        session_id=f"s{session}",
        branch_id="main",
        agent_id="agent",
        sequence=sequence,
        timestamp_us=START_US + place * 50_000,
        actor=SYSTEM,
        schema=DEFAULT_SCHEMA,
        kind_name=type(kind).__name__,
        payload=encode_kind(kind),
        position=place + 1,
    )


def best(work: Callable[[], None], times: int) -> float:
    """The shortest of several runs, in seconds."""
    shortest = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        work()
        shortest = min(shortest, time.perf_counter() - began)
    return shortest


def fold_ms_per_1000(records: list[EventRecord]) -> float:
    """Milliseconds of fold for 1,000 events."""

    def work() -> None:
        homeostasis = Homeostasis()
        for record in records:
            homeostasis.apply(record)

    return best(work, FOLDS) * 1_000 * 1_000 / len(records)


def consult_us(records: list[EventRecord], *, ahead: int) -> float:
    """Microseconds of one consultation, with so many events that are not in the journal yet."""
    homeostasis, clock = Homeostasis(), _Clock()
    for record in records:
        homeostasis.apply(record)
    last = [record for record in records if record.session_id == "s0"][-1]
    clock.now = last.timestamp_us + 1_000_000
    kinds = [kind for index in range(2) for kind in step(index)][-ahead:] if ahead else []
    recent = tuple(_record(kind, 0, last.sequence + 1 + n, len(records) + n) for n, kind in enumerate(kinds))
    view = RunView(
        session_id="s0",
        branch_id="main",
        agent_id="agent",
        run_id="r",
        step=1,
        vector=AgentStateVector(),
        mode="execute",
        gates=None,
        model_tier=None,
        errors=0,
        tool_calls=0,
        prompt_tokens=0,
        completion_tokens=0,
        cost_micro=0,
        worked_ms=0,
        recent=recent,
    )
    regulator = FoldedRegulator(homeostasis, clock)

    async def work() -> float:
        shortest = float("inf")
        for _ in range(ROUNDS):
            began = time.perf_counter()
            for _ in range(100):
                await regulator.consult(view)
            shortest = min(shortest, (time.perf_counter() - began) / 100)
        return shortest

    return asyncio.run(work()) * 1_000_000


def main() -> None:
    """Print the figures against their limits."""
    records = journal(sessions=20, runs=1)
    print(
        f"fold      {fold_ms_per_1000(records):6.2f} ms per 1,000 events (limit 1.00; {len(records):,} events, 20 sessions)"
    )
    print(f"consult   {consult_us(records, ahead=0):6.1f} µs (limit 50)")
    print(f"consult   {consult_us(records, ahead=12):6.1f} µs with 12 events ahead of the journal (limit 50)")


if __name__ == "__main__":
    main()
