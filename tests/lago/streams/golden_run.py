"""The golden run: a session that has everything the formats have to tell apart, and the frames that it becomes.

Two runs, output outside of a run, a message in pieces and one that comes whole, tools that answer, fail and wait for a person, events
that no provider format knows, a run that breaks. `fixtures/golden.<format>.sse` have the bytes; `python -m tests.lago.streams.golden_run`
writes them anew, for a person to compare.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from life.aios import events
from life.aios.events import Kind
from life.aios.events.codec import encode_kind
from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord, NewEvent, Stream
from life.aios.state import TokenUsage
from life.aios.streams.format import StreamFormat
from life.aios.streams.frames import render
from life.lago.journal.memory import MemoryJournal
from life.lago.streams.catalogue import find_format

STREAM: Final = Stream("golden")
FIXTURES: Final = Path(__file__).parent / "fixtures"
FORMATS: Final = ("lago", "openai", "openai+usage", "anthropic", "vercel")

KINDS: Final[tuple[Kind, ...]] = (
    events.SessionCreated(name="golden"),
    events.UserMessage(content="Read hello.txt, then tell me."),
    events.RunStarted(provider="scripted:golden", max_iterations=8),
    events.PhaseEntered(phase="deliberate"),
    events.StepStarted(index=0),
    events.TextDelta(delta="I look ", index=0),
    events.AssistantTextDelta(delta="into it.", index=0),
    events.Message(role="assistant", content="I look into it.", model="golden", token_usage=TokenUsage(10, 5, 15)),
    events.ToolCallRequested(call_id="call-1", tool_name="read_file", arguments={"path": "hello.txt"}),
    events.ToolCallStarted(tool_run_id="run-1", tool_name="read_file", call_id="call-1"),
    events.ToolCallCompleted(
        tool_run_id="run-1", tool_name="read_file", result={"text": "Hello\nWörld"}, duration_ms=3, status="ok"
    ),
    events.ToolCallRequested(call_id="call-2", tool_name="bash", arguments={"command": "rm -rf /"}),
    events.ApprovalRequested(
        approval_id="approval-1", call_id="call-2", tool_name="bash", arguments={"command": "rm -rf /"}, risk="critical"
    ),
    events.ApprovalResolved(approval_id="approval-1", decision="denied"),
    events.ToolCallFailed(call_id="call-2", tool_name="bash", error="A person said no."),
    events.StepFinished(index=0, stop_reason="tool_use", directive_count=2),
    events.UserMessage(content="Be quick."),
    events.StepStarted(index=1),
    events.AssistantMessageCommitted(role="user", content="not the assistant's"),
    events.AssistantMessageCommitted(role="assistant", content='It says "Hello".', model="golden"),
    events.StepFinished(index=1, stop_reason="end_turn", directive_count=0),
    events.RunFinished(
        reason="completed", total_iterations=2, final_answer='It says "Hello".', usage=TokenUsage(30, 12, 42)
    ),
    events.Custom(event_type="finance.payment_settled", data={"amount_atomic": "1000"}),
    events.Message(role="assistant", content="A word outside of a run."),
    events.RunStarted(provider="scripted:golden", max_iterations=8),
    events.TextDelta(delta="I beg"),
    events.RunErrored(error="The model gave up."),
    events.RunFinished(reason="error", total_iterations=1),
    events.RunStarted(provider="scripted:golden", max_iterations=1),
    events.RunFinished(reason="max_iterations", total_iterations=1, final_answer="Only an answer."),
    events.RunStarted(provider="scripted:golden", max_iterations=8),
    events.TextDelta(delta="Unfinished "),
)


def new_events(stream: Stream = STREAM) -> list[NewEvent]:
    """The golden events, with ids and times that never change."""
    return [
        NewEvent(
            event_id=f"01GOLDEN{number:018d}",
            session_id=stream.session_id,
            branch_id=stream.branch_id,
            agent_id="agent-golden",
            timestamp_us=1_790_000_000_000_000 + number,
            payload=encode_kind(kind),
            kind_name=type(kind).__name__,
            correlation_id="run" if number > 2 else None,
        )
        for number, kind in enumerate(KINDS, 1)
    ]


async def golden_records() -> list[EventRecord]:
    """The golden events as a journal gives them back."""
    async with MemoryJournal() as journal:
        await journal.append(new_events())
        return await journal.read(_query())


def _query() -> EventQuery:
    return EventQuery(*STREAM)


def format_of(name: str) -> StreamFormat:
    """A format by the name of its fixture."""
    base, plus, _ = name.partition("+")
    return find_format(base, with_usage=bool(plus))


def told(format_: StreamFormat, records: list[EventRecord]) -> list[bytes]:
    """What each event becomes, from the beginning."""
    machine = format_.machine()
    return [render(machine.feed(record), record.sequence) for record in records]


def main() -> None:
    """Write the fixtures."""
    records = asyncio.run(golden_records())
    FIXTURES.mkdir(exist_ok=True)
    for name in FORMATS:
        (FIXTURES / f"golden.{name}.sse").write_bytes(b"".join(told(format_of(name), records)))


if __name__ == "__main__":
    main()
