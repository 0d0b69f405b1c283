"""Commands of Spaces that carry a trace: each is a span of the hub's, below the span of whoever gave it.

In the journal an entry's first event has the caller's trace and span (W3C Trace Context, from `trace_id` of the command). When the entry was
decided is its time; how long its caller waited is the caller's to measure, so the span has no length. Commands without a trace make none.
"""

from __future__ import annotations

from typing import Final

from life.aios import events
from life.aios.ports.telemetry import span_id_of
from life.aios.record import EventRecord
from life.vigil import names as n
from life.vigil.span import Attributes, Span, is_span_id, is_trace_id

STREAMS: Final = "spaces:"
"""How the sessions are called that the logs of Spaces are exported into."""


def entry_span(record: EventRecord, kind: events.Custom) -> Span | None:
    """The span of an entry, by its first event; None for other events and entries without a trace."""
    data = kind.data
    if not record.session_id.startswith(STREAMS) or not isinstance(data, dict) or data.get("index") != 0:
        return None
    trace_id, parent_id = record.trace_id, record.span_id
    if trace_id is None or not is_trace_id(trace_id) or not is_span_id(parent_id):
        return None
    command = data.get("command")
    name = command if isinstance(command, str) and command else "entry"
    attributes: Attributes = {n.SPACES_COMMAND: name, n.SPACES_EVENT: kind.event_type}
    position = data.get("position")
    if isinstance(position, int):
        attributes[n.SPACES_POSITION] = position
    return Span(
        name=f"spaces {name}",
        kind="server",
        trace_id=trace_id,
        span_id=span_id_of(record.event_id),
        parent_id=parent_id,
        start_us=record.timestamp_us,
        end_us=record.timestamp_us,
        attributes=attributes,
    )
