"""Which span each event of a session belongs to, while it is being written (vigil.md §6: the dual write).

A trace begins with a run, and again when a run goes on after a person decided, or after a restart: it does not stay open for
days. All ids follow from the event that began the trace, so a reader of the journal finds the same (`life.vigil.spans`):

    root    span_id_of(first)                        the run
    tick    span_id_of(first, "tick", index)         a step: from its StepStarted to the next one
    chat    span_id_of(first, "chat", "index.n")     the n-th answer of the step, the attempts before it included
    tool    span_id_of(first, "tool", tool_run_id)   one run of a tool
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Final

from life.aios import events
from life.aios.events import Kind
from life.aios.ports.telemetry import SpanPlace, Telemetry, goes_on, span_id_of, trace_id_of
from life.arcan.events import MODEL_NOTICE, REASONING, RUN_IN_DOUBT
from life.arcan.session_state import SessionState

_OF_TOOL: Final = (
    events.FileMutated,
    events.FileWrite,
    events.FileDelete,
    events.FileRename,
    events.SandboxCreated,
    events.SandboxExecuted,
    events.SandboxViolation,
    events.SandboxDestroyed,
)


class TraceMarks:
    """The spans of one session's open run. Without telemetry everything is None, and nothing is computed."""

    def __init__(self, telemetry: Telemetry | None) -> None:
        self._telemetry = telemetry
        self._run_id: str | None = None
        self._first = ""
        self._root: SpanPlace | None = None
        self._tick: int | None = None
        self._answers = 0
        self._parked = False
        self._chat: SpanPlace | None = None
        self._tool: SpanPlace | None = None
        self._said: tuple[str, SpanPlace | None] = ("", None)

    def mark(self, kind: Kind, event_id: str, run_id: str | None, state: SessionState) -> SpanPlace | None:
        """The span of an event that is about to be staged on `state`."""
        if self._telemetry is None:
            return None
        run = state.run
        if isinstance(kind, events.RunStarted):
            said_for, caller = self._said
            self._begin(event_id, event_id, caller if said_for == run_id else None)
            return self._root
        if run is None:
            return self._before_run(kind, run_id)
        resumed = isinstance(kind, events.SessionResumed)
        if resumed or self._run_id != run.run_id or (self._parked and goes_on(kind)):
            self._begin(event_id, run.run_id, None)
            self._tick = run.open_step
        return self._place(kind, state)

    def chat(self, step: int) -> AbstractContextManager[None]:
        """Work inside belongs to the step's next answer."""
        return self._within(self._answer(step))

    def tool(self, tool_run_id: str) -> AbstractContextManager[None]:
        """Work inside belongs to this run of a tool."""
        return self._within(self._of("tool", tool_run_id))

    def nothing(self) -> AbstractContextManager[None]:
        """Work inside belongs to no span of whoever called."""
        return nullcontext() if self._telemetry is None else self._telemetry.within(None)

    def _within(self, place: SpanPlace | None) -> AbstractContextManager[None]:
        if self._telemetry is None or place is None:
            return nullcontext()
        return self._telemetry.within(place)

    def _begin(self, first: str, run_id: str, caller: SpanPlace | None) -> None:
        self._first, self._run_id = first, run_id
        span_id = span_id_of(first)
        self._root = caller._replace(span_id=span_id) if caller else SpanPlace(trace_id_of(first), span_id)
        self._tick, self._answers, self._parked = None, 0, False
        self._chat = self._tool = None

    def _before_run(self, kind: Kind, run_id: str | None) -> SpanPlace | None:
        """The objective belongs to the span of who says it, which is how the run finds its parent; without one, to the run."""
        assert self._telemetry is not None
        if run_id is None or not isinstance(kind, events.UserMessage):
            return self._root if run_id is not None and run_id == self._run_id else self._telemetry.caller()
        caller = self._telemetry.caller()
        self._said = (run_id, caller)
        return caller or SpanPlace(trace_id_of(run_id), span_id_of(run_id))

    def _place(self, kind: Kind, state: SessionState) -> SpanPlace | None:
        match kind:
            case events.StepStarted(index=index):
                self._tick, self._answers = index, 0
                self._chat = self._tool = None
            case events.Message(role="assistant"):
                self._chat = self._answer(self._tick)
                self._answers += 1
                return self._chat
            case events.ToolCallRequested():
                return self._chat or self._tick_place()
            case events.ToolCallStarted(tool_run_id=tool_run_id):
                self._tool = self._of("tool", tool_run_id)
                return self._tool
            case events.ToolCallCompleted(call_id=call_id) | events.ToolCallFailed(call_id=call_id):
                call = state.call(call_id or "")
                self._tool = self._of("tool", call.tool_run_id) if call is not None and call.tool_run_id else None
                return self._tool or self._tick_place()
            case events.ApprovalRequested():
                self._parked = True
            case events.RunFinished() | events.RunErrored():
                self._tick = None
            case events.ErrorRaised():
                return self._answer(self._tick)
            case events.Custom(event_type=event_type):
                return self._of_custom(event_type)
            case _ if isinstance(kind, _OF_TOOL):
                return self._tool or self._tick_place()
        return self._tick_place()

    def _of_custom(self, event_type: str) -> SpanPlace | None:
        if event_type == REASONING:
            return self._chat or self._tick_place()
        if event_type == MODEL_NOTICE:
            return self._answer(self._tick)
        if event_type == RUN_IN_DOUBT:
            self._parked = True
        return self._tick_place()

    def _tick_place(self) -> SpanPlace | None:
        return self._root if self._tick is None else self._of("tick", str(self._tick))

    def _answer(self, step: int | None) -> SpanPlace | None:
        return self._root if step is None else self._of("chat", f"{step}.{self._answers}")

    def _of(self, *parts: str) -> SpanPlace | None:
        return None if self._root is None else self._root._replace(span_id=span_id_of(self._first, *parts))
