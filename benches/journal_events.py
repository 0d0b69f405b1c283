"""Events for the journal's benchmarks: a tick's mix of kinds, about 585 bytes as a whole record (without digest) and 200 as payload."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
from collections.abc import Iterator

from life.aios.events import (
    BudgetUpdated,
    Custom,
    Kind,
    Message,
    PhaseEntered,
    PolicyEvaluated,
    StateEstimated,
    StepFinished,
    ToolCallCompleted,
    ToolCallRequested,
    ToolCallStarted,
    UserMessage,
    encode_kind,
)
from life.aios.ids import encode_ulid
from life.aios.record import NewEvent
from life.aios.state import AgentStateVector, BudgetState, TokenUsage

_WORDS = ("the", "agent", "reads", "a", "file", "and", "then", "writes", "what", "it", "found", "into", "its", "report")


def kinds(seed: int = 1) -> Iterator[Kind]:
    """Kinds of one tick after another, without end; the same for the same seed."""
    chance = random.Random(seed)

    def text(words: int) -> str:
        return " ".join(chance.choices(_WORDS, k=chance.randint(words // 2, words * 3 // 2)))

    for number in itertools.count():
        call = f"call-{number:06d}"
        yield UserMessage(content=text(38))
        yield PhaseEntered(phase="deliberate")
        yield ToolCallRequested(
            call_id=call, tool_name="read_file", arguments={"path": "docs/plan.md", "why": text(16)}
        )
        yield PolicyEvaluated(tool_name="read_file", decision="allow", rule_id="fs:read", explanation=text(8))
        yield ToolCallStarted(tool_run_id=call, tool_name="read_file", call_id=call, idempotency_key=text(8))
        yield ToolCallCompleted(
            tool_run_id=call,
            tool_name="read_file",
            result={"content": text(30)},
            duration_ms=12,
            status="ok",
            call_id=call,
        )
        yield Custom(event_type="finance.task_billed", data={"task": call, "amount_micro": 1200, "note": text(20)})
        yield StateEstimated(state=AgentStateVector(progress=0.25, uncertainty=0.5), mode="execute")
        yield BudgetUpdated(budget=BudgetState(tokens_remaining=100_000 - number), reason=text(6))
        yield StepFinished(index=number % 8, stop_reason="end_turn", directive_count=2)
        yield Message(role="assistant", content=text(46), model="scripted", token_usage=TokenUsage(812, 96, 908))


class EventSource:
    """New events with ids of their own, round after round."""

    def __init__(self, seed: int = 1) -> None:
        self._kinds = kinds(seed)
        self._time_us = 1_763_622_180_000_000 + seed

    def take(self, count: int, *, sessions: int = 8) -> list[NewEvent]:
        """So many events, spread over sessions, with the trace and span ids that a runtime writes."""
        events = []
        for number, kind in zip(range(count), self._kinds, strict=False):
            self._time_us += 137
            trace = hashlib.blake2b(b"%d" % (number // 11), digest_size=16).hexdigest()  # one trace per tick
            span = hashlib.blake2b(b"%d" % self._time_us, digest_size=8).hexdigest()
            events.append(
                NewEvent(
                    event_id=encode_ulid((self._time_us // 1000).to_bytes(6, "big") + os.urandom(10)),
                    session_id=f"01K9ZH3V7Q8M4T2S6R5P0N{number % sessions:04d}",
                    agent_id="01K9ZH3V7QAGENT0000000000A",
                    timestamp_us=self._time_us,
                    payload=encode_kind(kind),
                    kind_name=type(kind).__name__,
                    trace_id=trace,
                    span_id=span,
                )
            )
        return events
