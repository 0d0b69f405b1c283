"""One trace of a run while it is being put together: its root, and what is open below it.

invoke_agent {agent}        from the objective to the end, or until a person is waited for
  life.tick                 from a StepStarted to the next one
    life.phase {name}       perceive, deliberate, gate, execute, commit, reflect: those in which something happened
      chat {model}          one answer, automatic repeats included
      execute_tool {tool}   one run of a tool
        life.sandbox {tier} one command
"""

from __future__ import annotations

from typing import NamedTuple

from life.aios.json import Json
from life.aios.ports.telemetry import span_id_of, trace_id_of
from life.vigil import names as n
from life.vigil.span import Attributes, OpenSpan, Span, SpanLink


class Asked(NamedTuple):
    """A call that has no result yet."""

    call_id: str
    tool_name: str
    category: str | None
    arguments: Json


class Running(NamedTuple):
    """A tool that runs."""

    phase: OpenSpan
    tool: OpenSpan
    call_id: str


class Segment:
    """The open spans of one trace. Closing moves them to `done`, children before their parents."""

    def __init__(
        self,
        first: str,
        *,
        run_id: str,
        start_us: int,
        name: str,
        attributes: Attributes,
        trace_id: str | None = None,
        parent_id: str | None = None,
        links: tuple[SpanLink, ...] = (),
    ) -> None:
        """`first`: the id of the event that begins it."""
        self.first = first
        self.run_id = run_id
        self.root = OpenSpan(
            name,
            trace_id=trace_id or trace_id_of(first),
            span_id=span_id_of(first),
            parent_id=parent_id,
            start_us=start_us,
            attributes=attributes,
            links=links,
        )
        self.done: list[Span] = []
        self.last_us = start_us
        self.index: int | None = None
        self.answers = 0
        self.answered = False
        self.errored = False
        self.parked = False
        self.tick: OpenSpan | None = None
        self.phase: OpenSpan | None = None
        self.phase_name = ""
        self.chat: OpenSpan | None = None
        self.chat_ended_us = 0
        self.running: dict[str, Running] = {}
        """Tools that run, by their run's id; agents that work for this one run side by side."""
        self.past_tool: Span | None = None
        self.boundary_us = start_us
        """Where the next phase begins: the end of the last answer or result."""
        self.retries = 0
        self.fell_back = False
        self.perceived = 0
        self._phases = 0

    @property
    def link(self) -> SpanLink:
        """To this trace's root."""
        return SpanLink(self.root.trace_id, self.root.span_id)

    def id_of(self, *parts: str) -> str:
        """The id of a part."""
        return span_id_of(self.first, *parts)

    def child(self, name: str, span_id: str, start_us: int, parent: OpenSpan | None = None) -> OpenSpan:
        """A span below `parent`, by default the innermost of phase, tick and root."""
        parent = parent or self.phase or self.tick or self.root
        return OpenSpan(name, trace_id=self.root.trace_id, span_id=span_id, parent_id=parent.span_id, start_us=start_us)

    def open_tick(self, index: int, at_us: int) -> OpenSpan:
        """A step begins (or goes on, in a trace that begins in the middle of one)."""
        self.index, self.answers, self.answered, self.errored = index, 0, False, False
        self.retries, self.fell_back, self.perceived, self._phases = 0, False, 0, 0
        self.boundary_us = at_us
        self.past_tool = None
        tick = self.tick = self.child(n.TICK, self.id_of("tick", str(index)), at_us, self.root)
        tick.attributes[n.TICK_INDEX] = index
        return tick

    def close_tick(self, at_us: int) -> None:
        """The step is over."""
        self.close_phase(at_us)
        for tool_run_id in list(self.running):
            self.end_tool(tool_run_id, at_us, unfinished=True)
        if self.tick is not None:
            self.done.append(self.tick.end(at_us))
            self.tick = None

    def enter(self, name: str, at_us: int) -> OpenSpan:
        """The phase of this name, begun now unless it is open."""
        if self.phase is not None and self.phase_name == name:
            return self.phase
        self.close_phase(at_us)
        span_id = self.id_of("phase", str(self.index), str(self._phases))
        self._phases += 1
        phase = self.phase = self.child(f"{n.PHASE} {name}", span_id, at_us, self.tick or self.root)
        phase.attributes[n.LOOP_PHASE] = name
        self.phase_name = name
        return phase

    def close_phase(self, at_us: int) -> None:
        """Close the phase that is open, and an answer in it. Tools that run go on."""
        self.close_chat()
        if self.phase is not None:
            self.done.append(self.phase.end(at_us))
            self.boundary_us = max(at_us, self.phase.start_us)
            self.phase, self.phase_name = None, ""

    def close_chat(self) -> None:
        """The answer is whole, and why it ended is known."""
        if self.chat is not None:
            if self.retries:
                self.chat.attributes[n.RETRIES] = self.retries
            if self.fell_back:
                self.chat.attributes[n.FELL_BACK] = True
            self.retries, self.fell_back = 0, False
            self.done.append(self.chat.end(self.chat_ended_us))
            self.chat = None

    def start_tool(self, tool_run_id: str, call_id: str, name: str, at_us: int) -> OpenSpan:
        """A tool begins to run, in a phase of its own."""
        phase = self.enter("execute", at_us)
        self.phase, self.phase_name = None, ""
        tool = self.child(name, self.id_of("tool", tool_run_id), at_us, phase)
        self.running[tool_run_id] = Running(phase, tool, call_id)
        self.boundary_us = at_us
        return tool

    def end_tool(self, tool_run_id: str, at_us: int, *, unfinished: bool = False) -> None:
        """The tool has its outcome; or, `unfinished`, the trace ends without one."""
        running = self.running.pop(tool_run_id, None)
        if running is None:
            return
        if unfinished:
            running.tool.attributes[n.UNFINISHED] = True
        self.past_tool = running.tool.end(at_us)
        self.done += [self.past_tool, running.phase.end(at_us)]
        self.boundary_us = max(self.boundary_us, at_us)

    def close(self, at_us: int) -> None:
        """The trace is over."""
        self.close_tick(at_us)
        self.done.append(self.root.end(at_us))

    def take(self) -> list[Span]:
        """What was closed since the last call."""
        done, self.done = self.done, []
        return done
