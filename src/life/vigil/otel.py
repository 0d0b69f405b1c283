"""Spans as the SDK of OpenTelemetry has them. Imported only when something is exported that needs it (extra `otel`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from life.vigil import names as n
from life.vigil.span import Span

_KINDS = {"internal": SpanKind.INTERNAL, "server": SpanKind.SERVER, "client": SpanKind.CLIENT}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET = Status(StatusCode.UNSET)


class Converter:
    """Makes the SDK's spans, all of one resource and one scope."""

    def __init__(self, resource: Mapping[str, str], version: str, *, v1_41: bool = False) -> None:
        self.resource = Resource(dict(resource))
        self._scope = InstrumentationScope(n.SCOPE, version, n.SCHEMA_URL_V1_41 if v1_41 else n.SCHEMA_URL)

    def readable(self, spans: Iterable[Span]) -> list[ReadableSpan]:
        """The spans, sampled, with nanoseconds."""
        return [self._one(span) for span in spans]

    def _one(self, span: Span) -> ReadableSpan:
        trace_id = int(span.trace_id, 16)
        parent = None if span.parent_id is None else _context(trace_id, span.parent_id)
        return ReadableSpan(
            name=span.name,
            context=_context(trace_id, span.span_id),
            parent=parent,
            resource=self.resource,
            attributes=span.attributes,
            events=[Event(event.name, event.attributes, event.at_us * 1000) for event in span.events],
            links=[Link(_context(int(link.trace_id, 16), link.span_id)) for link in span.links],
            kind=_KINDS[span.kind],
            status=_UNSET if span.error is None else Status(StatusCode.ERROR, span.error),
            start_time=span.start_us * 1000,
            end_time=span.end_us * 1000,
            instrumentation_scope=self._scope,
        )


def _context(trace_id: int, span_id: str) -> SpanContext:
    return SpanContext(trace_id, int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)
