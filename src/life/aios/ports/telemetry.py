"""Telemetry as the other parts see it: which span work belongs to, and where its ids come from.

Ids are derived from event ids, so that the ids in the events, the spans that are exported while a run goes on and those that are
rebuilt from the journal are the same. A run's trace has the id of its RunStarted (`trace_id_of`), unless its caller brought a
trace of its own. `working_in` is the span that work of this task, and of tasks that it begins, belongs to: writers of events put
it into them, and the HTTP client sends it along. It is None unless telemetry is on, and then everything here costs next to nothing.

Source: vigil.md §6, §23 (4, 5, 8); W3C Trace Context, level 1.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Final, NamedTuple, Protocol

from life.aios import events
from life.aios.events import Kind

_GOES_ON: Final = (
    events.ApprovalResolved,
    events.ToolCallStarted,
    events.ToolCallCompleted,
    events.ToolCallFailed,
    events.StepStarted,
    events.StepFinished,
    events.RunErrored,
    events.RunFinished,
)


class SpanPlace(NamedTuple):
    """A span of a trace: 32 and 16 lower-case hex digits, never all zero."""

    trace_id: str
    span_id: str
    sampled: bool = True
    """Whether who began the trace records it."""
    tracestate: str = ""
    """What other vendors pass along with it, unread."""

    @property
    def traceparent(self) -> str:
        """The header of W3C Trace Context."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


working_in: Final[ContextVar[SpanPlace | None]] = ContextVar("life.working_in", default=None)
"""The span that the work of this task belongs to."""


def trace_id_of(event_id: str) -> str:
    """The id of the trace that begins with this event."""
    return hashlib.sha256(b"life.trace.1:" + event_id.encode()).hexdigest()[:32]


def span_id_of(event_id: str, *parts: str) -> str:
    """The id of a part of what begins with this event; without parts, of the whole."""
    return hashlib.sha256("\0".join(("life.span.1", event_id, *parts)).encode()).hexdigest()[:16]


def goes_on(kind: Kind) -> bool:
    """Whether a run that waited for a person goes on with this event: another trace begins."""
    if isinstance(kind, events.Custom):
        return kind.event_type == "arcan.doubt_resolved"
    return isinstance(kind, _GOES_ON)


class Telemetry(Protocol):
    """What the runtime asks. No method waits or raises."""

    def caller(self) -> SpanPlace | None:
        """The span that called this code: of a request that is being served, or of the program around."""
        ...

    def within(self, place: SpanPlace | None) -> AbstractContextManager[None]:
        """Work inside, and tasks that it begins, belongs to this span (None: to no span)."""
        ...
