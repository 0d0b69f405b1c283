"""The spans of one stream's runs. What a span is, and when a trace begins, is said in `life.vigil.spans`."""

from __future__ import annotations

import re
from typing import Final

from life.aios import events
from life.aios.ids import MAIN_BRANCH
from life.aios.json import Json
from life.aios.ports.telemetry import goes_on, span_id_of, trace_id_of
from life.aios.ports.tools import MCP_CALLED
from life.aios.record import EventRecord
from life.vigil import names as n
from life.vigil.answers import Answers
from life.vigil.content import Content
from life.vigil.notes import note_of
from life.vigil.segment import Asked, Segment
from life.vigil.span import Attributes, OpenSpan, Span, SpanLink, SpanOptions, is_span_id, is_trace_id

_CODE: Final = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+")
_FILES: Final = (events.FileMutated, events.FileWrite, events.FileDelete, events.FileRename)


class RunProjection:
    """The runs of one stream."""

    def __init__(self, options: SpanOptions, content: Content) -> None:
        self._options = options
        self._content = content
        self._said: EventRecord | None = None
        self._segment: Segment | None = None
        self._closed = False
        self._provider = ""
        self._calls: dict[str, Asked] = {}
        self._tool_spans: dict[str, SpanLink] = {}
        self._open_step: int | None = None
        self._decision = ""
        self._answers = Answers(options.v1_41, content)
        self._files = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to wait for."""
        return self._closed and self._said is None and not (self._segment is not None and self._segment.parked)

    @property
    def last_root(self) -> tuple[str, SpanLink] | None:
        """The last trace's run, and its root span; None when there was none."""
        return None if self._segment is None else (self._segment.run_id, self._segment.link)

    def finish(self) -> list[Span]:
        """Close an open trace as it stands."""
        segment, self._segment = self._segment, None
        if segment is None or self._closed:
            return []
        segment.root.attributes[n.UNFINISHED] = True
        segment.close(segment.last_us)
        return segment.take()

    def add(self, record: EventRecord) -> list[Span]:
        """The spans that end with this event."""
        kind = record.kind
        done: list[Span] = []
        if isinstance(kind, events.RunStarted):
            done = self.finish()
            self._begin_run(record, kind)
            return done
        segment = self._segment
        if segment is None or (self._closed and not segment.parked):
            if isinstance(kind, events.UserMessage):
                self._said = record
            return done
        if isinstance(kind, events.SessionResumed) or self._begins(record) or (segment.parked and goes_on(kind)):
            if not self._closed:
                segment.root.attributes[n.UNFINISHED] = True
                segment.close(segment.last_us)
                done = segment.take()
            segment = self._go_on(record, segment)
        if self._closed:  # it waits; what others write meanwhile belongs to nobody
            return done
        segment.last_us = max(segment.last_us, record.timestamp_us)
        self._take(record, segment)
        return done + segment.take()

    # Traces

    def _begins(self, record: EventRecord) -> bool:
        """Whether the writer began a trace with this event (it had lost the one before)."""
        return record.trace_id is not None and record.trace_id == trace_id_of(record.event_id)

    def _begin_run(self, record: EventRecord, kind: events.RunStarted) -> None:
        run_id = record.correlation_id or record.event_id
        said, self._said = self._said, None
        if said is not None and said.correlation_id != run_id:
            said = None
        trace_id = record.trace_id if is_trace_id(record.trace_id) else None
        parent = None
        if said is not None and said.trace_id is not None and said.trace_id == trace_id and is_span_id(said.span_id):
            parent = said.span_id if said.span_id != span_id_of(record.event_id) else None
        self._provider, self._calls, self._tool_spans = kind.provider, {}, {}
        self._closed, self._open_step, self._files = False, None, 0
        self._answers.begin(kind.provider)
        start_us = record.timestamp_us if said is None else min(said.timestamp_us, record.timestamp_us)
        self._segment = self._new(record, run_id, start_us, trace_id=trace_id, parent_id=parent)
        if said is not None and isinstance(said.kind, events.UserMessage):
            self._answers.heard(said.kind.content)
            if self._content.capture:
                message = self._content.said("user", said.kind.content)
                self._segment.root.attributes[n.INPUT_MESSAGES] = self._content.messages([message])

    def _go_on(self, record: EventRecord, before: Segment) -> Segment:
        """The trace after a wait, or after a crash."""
        segment = self._segment = self._new(record, before.run_id, record.timestamp_us, links=(before.link,))
        self._closed = False
        if self._open_step is not None:
            segment.open_tick(self._open_step, record.timestamp_us)
            segment.answered = before.answered
        return segment

    def _new(
        self,
        record: EventRecord,
        run_id: str,
        start_us: int,
        *,
        trace_id: str | None = None,
        parent_id: str | None = None,
        links: tuple[SpanLink, ...] = (),
    ) -> Segment:
        attributes: Attributes = {
            n.OPERATION: "invoke_agent",
            n.AGENT_NAME: self._options.agent_name,
            n.CONVERSATION: record.session_id,
            n.SESSION_ID: record.session_id,
            n.LIFE_SESSION: record.session_id,
            n.LIFE_RUN: run_id,
            n.LIFE_AGENT: record.agent_id,
        }
        if record.branch_id != MAIN_BRANCH:
            attributes[n.LIFE_BRANCH] = record.branch_id
        self._answers.describe(attributes)
        if self._options.v1_41:
            attributes[n.PROVIDER] = self._answers.provider
        return Segment(
            record.event_id,
            run_id=run_id,
            start_us=start_us,
            name=f"invoke_agent {self._options.agent_name}",
            attributes=attributes,
            trace_id=trace_id,
            parent_id=parent_id,
            links=links,
        )

    # Events

    def _take(self, record: EventRecord, segment: Segment) -> None:
        kind, at_us = record.kind, record.timestamp_us
        match kind:
            case events.StepStarted(index=index):
                segment.close_tick(self._tick_end(segment))
                segment.open_tick(index, at_us)
                self._open_step = index
            case events.Message(role="assistant") | events.AssistantMessageCommitted(role="assistant"):
                self._answer(record, segment)
            case events.ToolCallRequested():
                call = Asked(kind.call_id, kind.tool_name, kind.category, kind.arguments)
                self._calls[kind.call_id] = call
                self._answers.asks(segment.chat, call)
            case events.PolicyEvaluated():
                self._gate(segment).attributes[n.GATE_DECISION] = kind.decision
                if kind.rule_id is not None:
                    self._gate(segment).attributes[n.GATE_RULE] = kind.rule_id
            case events.ApprovalRequested():
                gate = self._gate(segment)
                gate.attributes[n.GATE_RISK] = kind.risk
                self._note(record, segment)
                self._park(segment, at_us, "approval")
            case events.ApprovalResolved():
                gate = self._gate(segment)
                gate.attributes[n.GATE_DECISION] = kind.decision
                self._decision = kind.decision
                self._note(record, segment)
            case events.ToolCallStarted():
                self._start(record, kind, segment)
            case events.ToolCallCompleted():
                self._complete(record, kind, segment)
            case events.ToolCallFailed():
                self._fail(record, kind, segment)
            case events.SandboxExecuted():
                self._sandboxed(record, kind, segment)
            case events.KnowledgeSearched():
                self._searched(record, kind, segment)
            case events.StepFinished():
                self._finish_step(record, kind, segment)
            case events.RunErrored(error=error):
                segment.root.error = _code_of(error)
                if segment.errored and segment.chat is not None:
                    segment.chat.error = segment.root.error
            case events.RunFinished():
                self._finish_run(record, kind, segment)
            case _ if isinstance(kind, _FILES):
                self._files += 1
                if segment.tick is not None:
                    changed = segment.tick.attributes.get(n.FILES_CHANGED, 0)
                    segment.tick.attributes[n.FILES_CHANGED] = int(changed if isinstance(changed, int) else 0) + 1
                if not segment.running and segment.past_tool is not None:
                    segment.enter("commit", segment.boundary_us)
                    segment.boundary_us = at_us
            case events.Custom():
                self._custom(record, kind, segment)
            case _:
                self._other(record, segment)

    def _custom(self, record: EventRecord, kind: events.Custom, segment: Segment) -> None:
        match kind.event_type:
            case "arcan.run_limits" | "arcan.context_window" | "arcan.context_frozen" | "arcan.context_noted":
                self._other(record, segment)
            case "arcan.reasoning":
                return
            case "arcan.model_notice":
                what = _text(kind.data, "what")
                segment.retries += what == "retried"
                segment.fell_back = segment.fell_back or what == "fell_back"
                attributes: Attributes = {n.NOTICE: what, n.NOTICE_ERROR: _code_of(_text(kind.data, "error"))}
                self._answers.notes.append(("life.model_notice", record.timestamp_us, attributes))
            case "arcan.run_in_doubt":
                self._note(record, segment)
                self._park(segment, record.timestamp_us, "doubt")
            case "loop_detection.hard_stop" | "policy.violation":
                self._gate(segment)
                self._note(record, segment)
            case _ if kind.event_type == MCP_CALLED:
                _put_mcp(kind.data, segment)
            case "autonomic.GatingDecision":
                self._evaluated(record, kind, segment)
            case _:
                self._other(record, segment)

    def _other(self, record: EventRecord, segment: Segment) -> None:
        """What has no span of its own: it opens a phase where it falls, and may be noted there."""
        if segment.tick is not None:
            if segment.errored:
                return  # the failure's code comes with the end of the run, and belongs to the answer
            if self._open_step is None:
                segment.enter("reflect", segment.boundary_us)
            elif not segment.answered and segment.phase is None and not isinstance(record.kind, events.ErrorRaised):
                segment.perceived += 1
                segment.boundary_us = record.timestamp_us
        if isinstance(record.kind, events.StateEstimated) and segment.tick is not None:
            _put_state(segment.tick.attributes, record.kind)
        if isinstance(record.kind, events.ErrorRaised):
            segment.retries += 1
            code = _code_of(record.kind.message)
            self._answers.notes.append(("life.model_broke_off", record.timestamp_us, {n.NOTICE_ERROR: code}))
            return
        if isinstance(record.kind, events.UserMessage):
            self._answers.heard(record.kind.content)
        if isinstance(record.kind, events.ContextCompacted):
            self._answers.compacted()
        self._note(record, segment)

    def _note(self, record: EventRecord, segment: Segment) -> None:
        noted = note_of(record)
        if noted is not None:
            (segment.phase or segment.tick or segment.root).event(noted.name, record.timestamp_us, noted.attributes)

    # The model

    def _answer(self, record: EventRecord, segment: Segment) -> None:
        kind = record.kind
        assert isinstance(kind, events.Message | events.AssistantMessageCommitted)
        if kind.model == "proposed" or segment.tick is None:
            segment.answered = True
            segment.boundary_us = record.timestamp_us
            return
        self._deliberate(record.timestamp_us, segment)
        assert segment.chat is not None
        self._answers.take(segment.chat, kind)
        segment.answered = True

    def _deliberate(self, at_us: int, segment: Segment) -> None:
        """Open and end the span of an answer, which began where the step's preparation ended."""
        assert segment.tick is not None
        segment.close_chat()
        if segment.perceived and segment.phase is None:
            segment.enter("perceive", segment.tick.start_us)
            segment.close_phase(segment.boundary_us)
        segment.perceived = 0
        segment.enter("deliberate", segment.boundary_us)
        span_id = segment.id_of("chat", f"{segment.index}.{segment.answers}")
        segment.answers += 1
        segment.chat = segment.child(self._answers.span_name, span_id, segment.boundary_us)
        segment.chat.kind = "client"
        segment.chat_ended_us = segment.boundary_us = at_us
        self._answers.open(segment.chat, segment.root.attributes[n.CONVERSATION])

    # Tools

    def _gate(self, segment: Segment) -> OpenSpan:
        if segment.phase is not None and segment.phase_name == "gate":
            return segment.phase
        segment.close_phase(segment.boundary_us)
        gate = segment.enter("gate", segment.boundary_us)
        started = {running.call_id for running in segment.running.values()}
        call = next((call for call in self._calls.values() if call.call_id not in started), None)
        if call is not None:
            gate.attributes[n.GATE_CALL] = call.call_id
            if call.category is not None:  # a name that the model made up is its word, and no tool's
                gate.attributes[n.GATE_TOOL] = call.tool_name
        return gate

    def _start(self, record: EventRecord, kind: events.ToolCallStarted, segment: Segment) -> None:
        self._gate(segment)
        segment.close_phase(record.timestamp_us)
        self._open_tool(segment, kind.tool_run_id, kind.call_id, kind.tool_name, record.timestamp_us)

    def _open_tool(
        self, segment: Segment, tool_run_id: str, call_id: str | None, tool_name: str, at_us: int
    ) -> OpenSpan:
        tool = segment.start_tool(tool_run_id, call_id or "", f"execute_tool {tool_name}", at_us)
        call = self._calls.get(call_id or "")
        tool.attributes.update({n.OPERATION: "execute_tool", n.TOOL_NAME: tool_name, n.TOOL_TYPE: "function"})
        tool.attributes[n.AGENT_NAME] = self._options.agent_name
        tool.attributes[n.CONVERSATION] = segment.root.attributes[n.CONVERSATION]
        tool.attributes[n.TOOL_RUN] = tool_run_id
        if call_id is not None:
            tool.attributes[n.TOOL_CALL_ID] = call_id
        if call is not None and call.category is not None:
            tool.attributes[n.TOOL_CATEGORY] = call.category
        if tool_name.startswith("mcp__") or (call is not None and (call.category or "").startswith("mcp")):
            tool.attributes[n.MCP_METHOD] = "tools/call"
        if call is not None and self._content.capture:
            tool.attributes[n.TOOL_ARGUMENTS] = self._content.value(call.arguments)
        earlier = self._tool_spans.get(tool_run_id)
        if earlier is not None:
            tool.links = (earlier,)
        self._tool_spans[tool_run_id] = SpanLink(tool.trace_id, tool.span_id)
        return tool

    def _complete(self, record: EventRecord, kind: events.ToolCallCompleted, segment: Segment) -> None:
        call = self._calls.pop(kind.call_id or "", None)
        running = segment.running.get(kind.tool_run_id)
        if running is None:
            if call is None or kind.tool_run_id not in self._tool_spans:
                # A caller's tool, or a result that middleware gave: nothing of ours ran.
                self._gate(segment).attributes[n.TOOL_STATUS] = kind.status
                segment.close_phase(record.timestamp_us)
                self._answers.told(kind.call_id or "", kind.result)
                return
            self._calls[call.call_id] = call
            segment.close_phase(segment.boundary_us)
            tool = self._open_tool(segment, kind.tool_run_id, kind.call_id, kind.tool_name, segment.boundary_us)
            self._calls.pop(call.call_id, None)
        else:
            tool = running.tool
        tool.attributes[n.TOOL_STATUS] = kind.status
        if kind.status != "ok":
            tool.error = "tool_error" if kind.status == "error" else kind.status
            if n.RPC_STATUS in tool.attributes:  # the server's refusal says more (vigil.md §17)
                tool.error = str(tool.attributes[n.RPC_STATUS])
        if self._content.capture:
            tool.attributes[n.TOOL_RESULT] = self._content.value(kind.result)
        self._answers.told(kind.call_id or "", kind.result)
        segment.end_tool(kind.tool_run_id, record.timestamp_us)

    def _fail(self, record: EventRecord, kind: events.ToolCallFailed, segment: Segment) -> None:
        self._calls.setdefault(kind.call_id, Asked(kind.call_id, kind.tool_name, None, None))
        ran = next((key for key, running in segment.running.items() if running.call_id == kind.call_id), None)
        if ran is not None:
            tool = segment.running[ran].tool
            tool.error = "tool_error"
            tool.attributes[n.TOOL_STATUS] = "error"
            segment.end_tool(ran, record.timestamp_us)
        else:
            gate = self._gate(segment)
            asked = gate.attributes.get(n.GATE_DECISION)
            denied = asked in ("deny", "denied", "timeout") or self._decision in ("denied", "timeout")
            gate.attributes[n.GATE_DECISION] = "denied" if denied else "refused"
            gate.attributes[n.GATE_CALL] = kind.call_id
            segment.close_phase(record.timestamp_us)
        self._decision = ""
        self._calls.pop(kind.call_id, None)
        self._answers.told(kind.call_id, kind.error)

    def _sandboxed(self, record: EventRecord, kind: events.SandboxExecuted, segment: Segment) -> None:
        """A command of the tool that just ended (or still runs)."""
        past, end_us, floor_us = segment.past_tool, record.timestamp_us, segment.boundary_us
        if past is not None:
            end_us, floor_us = past.end_us, past.start_us
        start_us = max(end_us - max(kind.duration_ms, 0) * 1000, floor_us)
        span = segment.child(n.SANDBOX, segment.id_of("sandbox", record.event_id), start_us)
        if past is not None:
            span.parent_id = past.span_id
        span.attributes = {n.SANDBOX_ID: kind.sandbox_id, n.EXIT_CODE: kind.exit_code}
        segment.done.append(span.end(end_us))

    def _searched(self, record: EventRecord, kind: events.KnowledgeSearched, segment: Segment) -> None:
        start_us = max(record.timestamp_us - max(kind.duration_ms, 0) * 1000, segment.root.start_us)
        running = next(reversed(segment.running.values()), None)
        parent = running.tool if running is not None else segment.tick or segment.root
        span = segment.child("retrieval", segment.id_of("retrieval", record.event_id), start_us, parent)
        span.kind = "client"
        span.attributes = {n.OPERATION: "retrieval", n.KNOWLEDGE_RESULTS: kind.result_count}
        span.attributes[n.KNOWLEDGE_RELEVANCE] = kind.top_relevance
        if self._content.capture:
            span.attributes[n.QUERY_TEXT] = self._content.text(kind.query)
        segment.done.append(span.end(record.timestamp_us))

    def _evaluated(self, record: EventRecord, kind: events.Custom, segment: Segment) -> None:
        """What homeostasis decided. Its event carries no duration, so neither does its span."""
        self._other(record, segment)
        span = segment.child(n.EVALUATE, segment.id_of("evaluate", record.event_id), record.timestamp_us)
        span.attributes[n.ECONOMIC_MODE] = _text(kind.data, "economic_mode")
        fired = kind.data.get("rules_fired") if isinstance(kind.data, dict) else None
        if isinstance(fired, list):
            span.attributes[n.RULES_FIRED] = tuple(rule for rule in fired if isinstance(rule, str))
        segment.done.append(span.end(record.timestamp_us))

    # Ends

    def _finish_step(self, record: EventRecord, kind: events.StepFinished, segment: Segment) -> None:
        tick = segment.tick
        self._open_step = None
        if tick is None:
            return
        if not segment.answered:
            self._deliberate(record.timestamp_us, segment)
            assert segment.chat is not None
            self._answers.broke_off(segment.chat, failed=kind.stop_reason == "error")
            segment.errored = kind.stop_reason == "error"
        tick.attributes[n.TICK_STOP] = kind.stop_reason
        self._answers.ended(segment.chat, kind.stop_reason)
        if segment.errored:
            return
        if segment.past_tool is not None:
            segment.enter("commit", segment.boundary_us)
        segment.close_phase(record.timestamp_us)

    def _finish_run(self, record: EventRecord, kind: events.RunFinished, segment: Segment) -> None:
        segment.close_tick(self._tick_end(segment))
        root = segment.root
        root.attributes[n.RUN_REASON] = kind.reason
        root.attributes[n.RUN_STEPS] = kind.total_iterations
        if kind.reason == "error" and root.error is None:
            root.error = "_OTHER"
        root.attributes[n.FINISH_REASONS] = (n.FINISHES.get(kind.reason, kind.reason),)
        if kind.usage is not None:
            root.attributes[n.INPUT_TOKENS] = kind.usage.prompt_tokens
            root.attributes[n.OUTPUT_TOKENS] = kind.usage.completion_tokens
        self._answers.sum_up(root)
        if self._content.capture and kind.final_answer:
            message = self._content.said("assistant", kind.final_answer)
            root.attributes[n.OUTPUT_MESSAGES] = self._content.messages([message])
        segment.close(record.timestamp_us)
        segment.parked = False
        self._closed = True

    def _park(self, segment: Segment, at_us: int, what: str) -> None:
        """A person is waited for: the trace ends here."""
        if what == "doubt":
            for running in segment.running.values():
                running.tool.attributes[n.TOOL_STATUS] = "unknown"
        segment.root.attributes[n.RUN_WAITS_FOR] = what
        segment.parked = True
        segment.close(at_us)
        self._closed = True

    def _tick_end(self, segment: Segment) -> int:
        """A step's span ends with its last event."""
        return segment.boundary_us if segment.phase is None else segment.last_us


def _put_state(attributes: Attributes, kind: events.StateEstimated) -> None:
    state, budget = kind.state, kind.state.budget
    attributes.update(
        {
            n.OPERATING_MODE: kind.mode,
            n.STATE_PROGRESS: state.progress,
            n.STATE_UNCERTAINTY: state.uncertainty,
            n.STATE_RISK: state.risk_level,
            n.STATE_STREAK: state.error_streak,
            n.STATE_PRESSURE: state.context_pressure,
            n.BUDGET_TOKENS: budget.tokens_remaining,
            n.BUDGET_COST: budget.cost_remaining_usd,
            n.BUDGET_TIME: budget.time_remaining_ms,
            n.BUDGET_CALLS: budget.tool_calls_remaining,
        }
    )


def _put_mcp(data: Json, segment: Segment) -> None:
    """How the MCP server of a call was reached: the MCP convention on the span that surrounds the call (vigil.md §17)."""
    running = next((each for each in segment.running.values() if each.call_id == _text(data, "call_id")), None)
    if running is None or not isinstance(data, dict):
        return
    found = running.tool.attributes
    found[n.MCP_METHOD] = "tools/call"
    for name, field in (
        (n.TRANSPORT, "transport"),
        (n.SERVER_ADDRESS, "address"),
        (n.MCP_PROTOCOL, "protocol_version"),
    ):
        if text := _text(data, field):
            found[name] = text
    port, code, duration_us = data.get("port"), data.get("rpc_code"), data.get("duration_us")
    if isinstance(port, int) and not isinstance(port, bool):
        found[n.SERVER_PORT] = port
    if isinstance(code, int) and not isinstance(code, bool):
        found[n.RPC_STATUS] = str(code)
    if isinstance(duration_us, int) and not isinstance(duration_us, bool):
        found[n.MCP_SECONDS] = duration_us / 1_000_000


def _code_of(error: str) -> str:
    """The stable code at the front of `code: message`; `_OTHER` when there is none."""
    code = error.partition(":")[0]
    return code if _CODE.fullmatch(code) else "_OTHER"


def _text(data: Json, name: str) -> str:
    value = data.get(name) if isinstance(data, dict) else None
    return value if isinstance(value, str) else ""
