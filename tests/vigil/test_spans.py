"""The projection: events → spans (life.vigil.spans), and the ids that stand in the events (life.arcan.trace_marks)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios import events
from life.aios.ports.telemetry import SpanPlace, span_id_of, trace_id_of
from life.aios.record import EventRecord
from life.arcan.events import RUN_IN_DOUBT
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import SeededEntropy
from life.vigil import names as n
from life.vigil.content import Content
from life.vigil.span import Span, SpanOptions
from life.vigil.spans import Projection, project
from tests.arcan.workbench import EVERYTHING, Workbench, calls, history, says, script
from tests.vigil.kit import MovingClock, spans_of, telemetry_on, tree, watched_runtime

CALLER = SpanPlace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")

FULL_RUN = script(
    calls(("write", {"path": "a.txt", "content": "x"}), ("secret", {}), ("fail", {})),
    calls(("sign", {"text": "yes"})),
    says("Done."),
)
"""A tool that works, one that is denied, one that fails, one that a person has to approve."""

GOLDEN = [
    "invoke_agent life waits_for=approval",
    "  life.tick stop_reason=tool_call",
    "    life.phase deliberate",
    "      chat scripted finish_reasons=('tool_call',)",
    "    life.phase gate decision=allow tool_name=write",
    "    life.phase execute",
    "      execute_tool write status=ok",
    "    life.phase commit",
    "    life.phase gate decision=denied tool_name=secret",
    "    life.phase gate decision=allow tool_name=fail",
    "    life.phase execute",
    "      execute_tool fail error=tool_error status=error",
    "    life.phase commit",
    "    life.phase reflect",
    "  life.tick",
    "    life.phase deliberate",
    "      chat scripted finish_reasons=('tool_call',)",
    "    life.phase gate decision=require_approval tool_name=sign",
    "invoke_agent life reason=completed finish_reasons=('stop',)",
    "  life.tick stop_reason=tool_call",
    "    life.phase gate decision=approved tool_name=sign",
    "    life.phase execute",
    "      execute_tool sign status=ok",
    "    life.phase commit",
    "    life.phase reflect",
    "  life.tick stop_reason=completed",
    "    life.phase deliberate",
    "      chat scripted finish_reasons=('stop',)",
]
NOTES = (
    n.GATE_DECISION,
    n.GATE_TOOL,
    n.TOOL_STATUS,
    n.RUN_REASON,
    n.RUN_WAITS_FOR,
    n.TICK_STOP,
    n.FINISH_REASONS,
)


async def full_run(tmp_path: Path, telemetry: object = "on") -> tuple[list[Span], list[EventRecord]]:
    """The exported spans of a run with everything in it, and its events."""
    live = telemetry_on() if telemetry == "on" else None
    bench = Workbench(tmp_path)
    async with watched_runtime(bench, FULL_RUN, live) as (runtime, journal):
        await runtime.create_session("s")
        run_id = await runtime.start("s", "Do everything.")
        await runtime.wait("s", run_id)
        (pending,) = await runtime.pending_approvals()
        await runtime.resolve_approval("s", pending.approval_id, approved=True, actor="ann")
        report = await runtime.wait("s", run_id)
        assert report.reason == "completed"
        records = await history(journal, "s")
    if live is None:
        return [], records
    exported = spans_of(live)
    live.close()
    return exported, records


async def test_golden_tree(tmp_path: Path) -> None:
    """What is exported of a run with a tool, a denial, an error and an approval is this tree, name by name and status by status."""
    spans, _ = await full_run(tmp_path)
    written = tree(spans, *NOTES)
    assert written == GOLDEN


async def test_live_spans_are_the_rebuilt_ones(tmp_path: Path) -> None:
    """The spans that left the process and those that are rebuilt from the journal are equal in every field."""
    live, records = await full_run(tmp_path)
    rebuilt = project(records)
    assert {span.span_id: span for span in live} == {span.span_id: span for span in rebuilt}


async def test_a_journal_without_ids_gives_the_same_tree(tmp_path: Path) -> None:
    """A run that was made with telemetry off gets the same spans, with the same ids, when they are rebuilt."""
    (tmp_path / "on").mkdir()
    (tmp_path / "off").mkdir()
    spans, _ = await full_run(tmp_path / "on")
    _, records = await full_run(tmp_path / "off", telemetry=None)
    assert all(record.trace_id is None and record.span_id is None for record in records)
    rebuilt = project(records)
    assert tree(rebuilt, *NOTES) == tree(spans, *NOTES)
    assert {(span.trace_id, span.span_id) for span in rebuilt} == {(span.trace_id, span.span_id) for span in spans}


async def test_every_event_names_an_exported_span(tmp_path: Path) -> None:
    """The dual write: each event of a run carries the ids of a span that exists, and tools' events those of their tool."""
    spans, records = await full_run(tmp_path)
    by_id = {(span.trace_id, span.span_id): span for span in spans}
    for record in records:
        if record.kind_name == "SessionCreated":
            continue
        span = by_id[record.trace_id or "", record.span_id or ""]
        assert span.start_us <= record.timestamp_us
        if isinstance(record.kind, events.ToolCallStarted | events.ToolCallCompleted):
            assert span.name == f"execute_tool {record.kind.tool_name}"
            assert span.attributes[n.TOOL_RUN] == record.kind.tool_run_id
        if isinstance(record.kind, events.Message):
            assert span.name == "chat scripted"


async def test_structure_holds(tmp_path: Path) -> None:
    """Parents exist, enclose their children in time, share their trace; kinds are the convention's; denial is no error."""
    spans, _ = await full_run(tmp_path)
    by_id = {(span.trace_id, span.span_id): span for span in spans}
    assert len(by_id) == len(spans)
    for span in spans:
        assert span.kind == ("client" if span.name.startswith("chat ") else "internal")
        assert span.start_us <= span.end_us
        if span.parent_id is not None:
            parent = by_id[span.trace_id, span.parent_id]
            assert parent.start_us <= span.start_us and span.end_us <= parent.end_us, (parent.name, span.name)
        if span.attributes.get(n.GATE_DECISION) == "denied":
            assert span.error is None and n.ERROR_TYPE not in span.attributes
        assert (span.attributes.get(n.ERROR_TYPE) is not None) == (span.error is not None)


async def test_phases_have_real_durations(tmp_path: Path) -> None:
    """Phases last as long as what happens in them (the original's were all empty)."""
    spans, _ = await full_run(tmp_path)
    phases = {span.attributes[n.LOOP_PHASE]: span for span in spans if span.name.startswith(n.PHASE)}
    for name in ("deliberate", "gate", "execute"):
        assert phases[name].end_us > phases[name].start_us


async def test_after_an_approval_another_trace_links_back(tmp_path: Path) -> None:
    """A run that waits for a person ends its trace; the resumed run starts a new one that links to it."""
    spans, _ = await full_run(tmp_path)
    first, second = (span for span in sorted(spans, key=lambda s: s.start_us) if span.parent_id is None)
    assert first.trace_id != second.trace_id
    assert [(link.trace_id, link.span_id) for link in second.links] == [(first.trace_id, first.span_id)]
    assert first.attributes[n.LIFE_RUN] == second.attributes[n.LIFE_RUN]
    assert first.attributes[n.CONVERSATION] == second.attributes[n.CONVERSATION] == "s"


async def test_required_attributes_of_the_convention(tmp_path: Path) -> None:
    """Required and conditionally required attributes of §13 stand on every span of their type; none is unknown (§23.11)."""
    required = {
        "chat": {n.PROVIDER, n.REQUEST_MODEL, n.CONVERSATION, n.REQUEST_STREAM},
        "invoke_agent": {n.AGENT_NAME, n.CONVERSATION},
        "execute_tool": {n.TOOL_NAME, n.TOOL_CALL_ID, n.TOOL_TYPE, n.AGENT_NAME, n.CONVERSATION},
    }
    spans, _ = await full_run(tmp_path)
    seen = set()
    for span in spans:
        operation = str(span.attributes.get(n.OPERATION, ""))
        seen.add(operation)
        assert required.get(operation, set()) <= span.attributes.keys(), span
        assert span.attributes.keys() <= n.ATTRIBUTES, span.attributes.keys() - n.ATTRIBUTES
        if operation == "invoke_agent":
            # In 1.42-dev an agent in process has neither of them; the reference put the session there.
            assert not {"gen_ai.agent.id", n.PROVIDER} & span.attributes.keys()
        for event in span.events:
            assert event.attributes.keys() <= n.ATTRIBUTES
    assert seen == {"", "chat", "invoke_agent", "execute_tool"}


async def test_a_caller_becomes_the_parent(tmp_path: Path) -> None:
    """A run that is started within a span (of a request, of the program around) has that span as parent, in its trace; its steps
    and later runs of the session do not inherit it."""
    live = telemetry_on()
    async with watched_runtime(Workbench(tmp_path), script(says("One."), says("Two.")), live) as (runtime, journal):
        await runtime.create_session("s")
        with live.within(CALLER):
            await runtime.run("s", "First.")
        await runtime.run("s", "Second.")
        records = await history(journal, "s")
    first, second = sorted(
        (span for span in spans_of(live) if span.name == "invoke_agent life"), key=lambda s: s.start_us
    )
    assert (first.trace_id, first.parent_id) == (CALLER.trace_id, CALLER.span_id)
    assert second.parent_id is None and second.trace_id != CALLER.trace_id
    said = next(record for record in records if record.kind_name == "UserMessage")
    assert (said.trace_id, said.span_id) == (CALLER.trace_id, CALLER.span_id)
    assert {span.span_id: span for span in spans_of(live)} == {span.span_id: span for span in project(records)}
    live.close()


async def test_tools_work_within_their_span(tmp_path: Path) -> None:
    """While a tool runs, tasks and threads that it starts work in its span; events that it writes name it."""
    from life.aios.ports.telemetry import working_in

    seen: list[SpanPlace | None] = []
    bench = Workbench(tmp_path)

    async def look(*_: object) -> object:
        seen.append(working_in.get())
        seen.append(await asyncio.get_running_loop().create_task(_current()))
        seen.append(await asyncio.to_thread(working_in.get))
        from life.aios.ports.tools import ToolOutcome

        return ToolOutcome(status="ok", output="seen")

    async def _current() -> SpanPlace | None:
        return working_in.get()

    bench._look = look  # type: ignore[method-assign,assignment]
    live = telemetry_on()
    async with watched_runtime(bench, script(calls(("look", {"path": "a"})), says("Ok.")), live) as (runtime, _):
        await runtime.create_session("s")
        await runtime.run("s", "Look.")
    tool = next(span for span in spans_of(live) if span.name == "execute_tool look")
    assert {(place.trace_id, place.span_id) for place in seen if place} == {(tool.trace_id, tool.span_id)}
    assert len(seen) == 3 and None not in seen
    live.close()


class Failing:
    """A provider that fails so many times, in the middle of an answer or before it."""

    name = "anthropic:claude-test@https://models.example:8443/v1"

    def __init__(self, *, times: int) -> None:
        self.times = times

    async def stream(self, request: object):  # type: ignore[no-untyped-def]
        """One piece, then the failure; after enough of them, an answer."""
        from life.aios.ports.provider import StopChunk, TextChunk
        from life.aios.state import TokenUsage
        from life.arcan.errors import ProviderInterruptedError

        yield TextChunk("It ")
        if self.times > 0:
            self.times -= 1
            raise ProviderInterruptedError("The connection ended: canary-words.")
        yield TextChunk("works.")
        yield StopChunk("completed", TokenUsage(100, 10, 110, 40, 7, 3, 1500), "claude-test-0101")


async def run_with(provider: object, tmp_path: Path) -> list[Span]:
    """The spans of one run with this provider."""
    journal, live, clock = MemoryJournal(), telemetry_on(), MovingClock()
    runtime = Runtime(
        live.watch(journal),
        Workbench(tmp_path),
        provider=provider,  # type: ignore[arg-type]
        clock=clock,
        entropy=SeededEntropy("x"),
        agent_id="agent-1",
        workspace_of=lambda _: str(tmp_path),
        settings=RuntimeSettings(policy=EVERYTHING, model_repeats=1, shutdown_grace_ms=0),
        telemetry=live,
    )
    async with runtime:
        await runtime.create_session("s")
        await runtime.run("s", "Go.")
        records = await history(journal, "s")
    spans = spans_of(live)
    live.close()
    assert {span.span_id: span for span in spans} == {span.span_id: span for span in project(records)}
    return spans


async def test_retries_are_one_span(tmp_path: Path) -> None:
    """A call that broke off and was made again is one span, with the count of its retries and everything that is known of it."""
    spans = await run_with(Failing(times=1), tmp_path)
    (chat,) = (span for span in spans if span.attributes.get(n.OPERATION) == "chat")
    assert chat.error is None
    assert chat.name == "chat claude-test"
    assert chat.attributes[n.RETRIES] == 1
    assert [event.name for event in chat.events] == ["life.model_broke_off"]
    wanted = {
        n.PROVIDER: "anthropic",
        n.REQUEST_MODEL: "claude-test",
        n.RESPONSE_MODEL: "claude-test-0101",
        n.SERVER_ADDRESS: "models.example",
        n.SERVER_PORT: 8443,
        n.INPUT_TOKENS: 100,
        n.OUTPUT_TOKENS: 10,
        n.CACHE_READ_TOKENS: 40,
        n.CACHE_WRITE_TOKENS: 7,
        n.REASONING_TOKENS: 3,
        n.COST_USD: 0.0015,
        n.FINISH_REASONS: ("stop",),
    }
    assert {name: chat.attributes[name] for name in wanted} == wanted


async def test_a_failed_model_call(tmp_path: Path) -> None:
    """A call that fails for good: status ERROR with its code on the call and on the run, a finish reason `error`, and no words."""
    spans = await run_with(Failing(times=9), tmp_path)
    chat = next(span for span in spans if span.attributes.get(n.OPERATION) == "chat")
    root = next(span for span in spans if span.parent_id is None)
    assert chat.error == root.error == "arcan.provider_interrupted"
    assert chat.attributes[n.FINISH_REASONS] == ("error",)
    assert root.attributes[n.RUN_REASON] == "error"
    assert "canary" not in repr(spans)


async def test_the_convention_v1_41(tmp_path: Path) -> None:
    """With the older names: cache writes are cache creation, and the root names its provider."""
    _, records = await full_run(tmp_path)
    spans = project(records, SpanOptions(v1_41=True))
    root = next(span for span in spans if span.parent_id is None)
    assert root.attributes[n.PROVIDER] == "scripted"


async def test_a_crash_ends_a_trace_and_begins_another(tmp_path: Path) -> None:
    """A run that is taken up again after a crash goes on in a new trace with a link; the old one is marked unfinished."""
    journal, clock = MemoryJournal(), MovingClock()
    bench = Workbench(tmp_path)
    turns = script(calls(("hang", {})), says("Done."))
    first = telemetry_on(seed="one")
    async with watched_runtime(bench, turns, first, journal=journal, clock=clock) as (runtime, _):
        await runtime.create_session("s")
        await runtime.start("s", "Hang.")
        await bench.hanging.wait()
    first.close()

    async def ok(*_: object) -> object:
        from life.aios.ports.tools import ToolOutcome

        return ToolOutcome(status="ok", output="done")

    bench._hang = ok  # type: ignore[method-assign,assignment]
    second = telemetry_on(seed="two")
    async with watched_runtime(bench, turns, second, journal=journal, clock=clock, seed="again") as (runtime, _):
        await runtime.resume("s")
        state = await runtime.state("s")
        assert state.calls and state.calls[0].phase == "in_doubt"
        await runtime.resolve_doubt("s", state.calls[0].call_id, "retry", actor="ann")
        report = await runtime.wait("s")
        assert report.reason == "completed"
        records = await history(journal, "s")
    assert RUN_IN_DOUBT in {getattr(record.kind, "event_type", "") for record in records}
    spans = project(records)
    roots = sorted((span for span in spans if span.parent_id is None), key=lambda span: span.start_us)
    assert [span.attributes.get(n.RUN_WAITS_FOR, span.attributes.get(n.RUN_REASON)) for span in roots] == [
        None,
        "doubt",
        "completed",
    ]
    assert roots[0].attributes[n.UNFINISHED] is True
    assert [link.trace_id for link in roots[1].links + roots[2].links] == [roots[0].trace_id, roots[1].trace_id]
    by_id = {(span.trace_id, span.span_id) for span in spans}
    assert all((r.trace_id, r.span_id) in by_id for r in records if r.kind_name != "SessionCreated")
    exported = {span.span_id: span for span in spans_of(second)}
    assert {key: exported[key] for key in exported} == {
        span.span_id: span for span in spans if span.span_id in exported
    }
    assert {roots[1].span_id, roots[2].span_id} <= exported.keys()
    second.close()


async def test_a_cancelled_wait(tmp_path: Path) -> None:
    """A run that is cancelled while it waits for approval ends in a trace of its own, with its reason."""
    live = telemetry_on()
    async with watched_runtime(Workbench(tmp_path), script(calls(("sign", {"text": "x"})), says("No.")), live) as (
        runtime,
        journal,
    ):
        await runtime.create_session("s")
        await runtime.wait("s", await runtime.start("s", "Sign."))
        await runtime.cancel("s")
        records = await history(journal, "s")
    roots = [span for span in spans_of(live) if span.parent_id is None]
    assert [span.attributes.get(n.RUN_REASON) for span in roots] == [None, "cancelled"]
    by_id = {(span.trace_id, span.span_id) for span in project(records)}
    assert all((r.trace_id, r.span_id) in by_id for r in records if r.kind_name != "SessionCreated")
    live.close()


def a_record(kind: events.Kind, sequence: int, at_us: int, **fields: str) -> EventRecord:
    """A record of one run."""
    from life.aios.events import encode_kind
    from life.aios.record import DEFAULT_SCHEMA, SYSTEM

    fields.setdefault("event_id", f"event-{sequence}")
    return EventRecord(
        session_id="s",
        branch_id="main",
        agent_id="a",
        sequence=sequence,
        timestamp_us=at_us,
        actor=SYSTEM,
        schema=DEFAULT_SCHEMA,
        kind_name=type(kind).__name__,
        payload=encode_kind(kind),
        correlation_id="run-1",
        **fields,  # type: ignore[arg-type]
    )


ANY_KIND = st.sampled_from(
    [
        events.UserMessage(content="hello"),
        events.RunStarted(provider="openai:gpt@http://[::1", max_iterations=3),
        events.StepStarted(index=0),
        events.StepStarted(index=7),
        events.StepFinished(index=0, stop_reason="error", directive_count=0),
        events.Message(role="assistant", content="x", first_token_ms=-5),
        events.Message(role="assistant", content="", model="proposed"),
        events.ToolCallRequested(call_id="c", tool_name="t", arguments={}),
        events.ToolCallStarted(tool_run_id="r", tool_name="t", call_id="c"),
        events.ToolCallCompleted(
            tool_run_id="r", tool_name="t", call_id="c", result=1, duration_ms=-1, status="timeout"
        ),
        events.ToolCallFailed(call_id="c", tool_name="t", error="no"),
        events.PolicyEvaluated(tool_name="t", decision="deny"),
        events.ApprovalRequested(approval_id="p", call_id="c", tool_name="t", arguments={}, risk="high"),
        events.ApprovalResolved(approval_id="p", decision="denied"),
        events.SandboxExecuted(sandbox_id="b", command="rm", exit_code=1, duration_ms=10**9),
        events.KnowledgeSearched(query="q", result_count=1, top_relevance=0.5, duration_ms=10**9),
        events.FileMutated(path="p", content_hash="h"),
        events.ErrorRaised(message="no code"),
        events.RunErrored(error="x.y: z"),
        events.RunFinished(reason="completed", total_iterations=1),
        events.SessionResumed(),
        events.Custom(event_type="arcan.run_in_doubt", data={}),
        events.Custom(event_type="arcan.doubt_resolved", data=[]),
        events.Custom(event_type="arcan.model_notice", data={"what": 5}),
        events.Custom(event_type="autonomic.GatingDecision", data={"rules_fired": ["a", 1]}),
        events.Custom(
            event_type="eval.InlineCompleted", data={"evaluator": "safety", "score": 0.5, "run_id": "r", "layer": "x y"}
        ),
        events.Custom(
            event_type="eval.AsyncCompleted", data={"scores": [{"evaluator": "a", "value": 1}, 7], "run_id": "r"}
        ),
        events.Custom(event_type="eval.judge_failed", data={"run_id": "r", "reason": "words"}),
        events.Custom(event_type="eval.QualityChanged", data=[]),
        events.Custom(
            event_type="finance.payment_reserved",
            data={"payment_id": "p", "resource_url": "http://[", "amount_micro": 1},
        ),
        events.Custom(event_type="finance.payment_failed", data={"payment_id": "p"}),
        events.Custom(event_type="anima.custody_signed", data="nonsense"),
    ]
)


@given(
    st.lists(st.tuples(ANY_KIND, st.integers(0, 1000), st.sampled_from([None, "zz", "0" * 32, "ab" * 16])), max_size=30)
)
def test_total(history_of: list[tuple[events.Kind, int, str | None]]) -> None:
    """Any events in any order, with clocks that go back and ids of other makers, give well-formed spans: parents before nobody, each
    id once, times in order, known attributes."""
    records = [
        a_record(kind, place + 1, at_us, **({} if trace is None else {"trace_id": trace, "span_id": "cd" * 8}))
        for place, (kind, at_us, trace) in enumerate(history_of)
    ]
    spans = project(records, content=Content(capture=True))
    for span in spans:
        assert span.start_us <= span.end_us
        assert int(span.trace_id, 16) and len(span.trace_id) == 32
        assert int(span.span_id, 16) and len(span.span_id) == 16
        assert span.attributes.keys() <= n.ATTRIBUTES
    assert project(records) == project(records)


def test_feeding_in_pieces_is_the_same() -> None:
    """The projection does not depend on how events are handed to it."""
    kinds = [
        events.UserMessage(content="hi"),
        events.RunStarted(provider="scripted", max_iterations=3),
        events.StepStarted(index=0),
        events.Message(role="assistant", content="x"),
        events.StepFinished(index=0, stop_reason="completed", directive_count=0),
        events.RunFinished(reason="completed", total_iterations=1),
    ]
    records = [a_record(kind, place + 1, place * 10) for place, kind in enumerate(kinds)]
    projection = Projection()
    pieces = [span for record in records for span in projection.add(msgspec.structs.replace(record))]
    assert pieces + projection.finish() == project(records)
    assert [span.name for span in pieces] == [
        "chat scripted",
        "life.phase deliberate",
        "life.tick",
        "invoke_agent life",
    ]


def test_ids_are_derived_and_never_zero() -> None:
    """Ids follow from event ids alone, have the lengths of W3C Trace Context, and differ for different parts."""
    ids = {span_id_of("e"), span_id_of("e", "tick", "1"), span_id_of("e", "tick", "2"), span_id_of("et", "ick", "1")}
    assert len(ids) == 4 and all(len(one) == 16 and int(one, 16) for one in ids)
    assert trace_id_of("e") == trace_id_of("e") != trace_id_of("f") and len(trace_id_of("e")) == 32


def test_words_of_a_run_stay_out(tmp_path: Path) -> None:
    """An error without a code is `_OTHER`; its words are on no span."""
    kinds = [
        events.RunStarted(provider="scripted", max_iterations=3),
        events.RunErrored(error="Somebody's secret words"),
        events.RunFinished(reason="error", total_iterations=0),
    ]
    (root,) = project([a_record(kind, place + 1, place) for place, kind in enumerate(kinds)])
    assert root.error == "_OTHER"
    assert "secret" not in json.dumps(msgspec.to_builtins(root))


@pytest.mark.parametrize("provider", ["", ":", "a,b:c", "openai-chat:x@https://h", "x@://"])
def test_any_provider_name(provider: str) -> None:
    """Whatever a provider is called, the run has a span, with a model that is not empty unless nothing is known."""
    (root,) = project([a_record(events.RunStarted(provider=provider, max_iterations=1), 1, 1)])
    assert root.attributes[n.UNFINISHED] is True
