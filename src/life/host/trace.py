"""The spans of a past session, rebuilt from its events, and sent to any OTLP endpoint.

Payments, signatures and commands of Spaces stand in other streams; those that carry the ids of one of the session's traces, or name the session, are
read from the stretch of the journal in which the session took place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Final, Literal

import msgspec

import life
from life.aios.errors import MissingExtraError, NotFoundError
from life.aios.events import Custom
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord
from life.host.telemetry import AGENT_NAME
from life.vigil import names as n
from life.vigil.config import TelemetryConfig, otlp_headers, signal_endpoint
from life.vigil.content import Content
from life.vigil.errors import TelemetryExportError
from life.vigil.span import Span, SpanOptions
from life.vigil.spans import project

_PAGE: Final = 2000
_SEND: Final = 512
_AFTERMATH: Final = 10_000
"""Events behind the session's last that are searched for outcomes of its payments."""
_ELSEWHERE: Final = ("finance.payment_", "anima.custody_", "spaces.")


async def session_spans(
    journal: Journal,
    session_id: str,
    *,
    branch_id: str = MAIN_BRANCH,
    run_id: str | None = None,
    options: SpanOptions | None = None,
    content: Content | None = None,
) -> list[Span]:
    """All spans of a session's branch (of one run). NotFoundError when there is none."""
    records = [record async for record in _pages(journal, EventQuery(session_id, branch_id))]
    if not records:
        raise NotFoundError(
            f"There is no session '{session_id}' in this journal.",
            next_step="`life journal tail` shows which there are.",
        )
    spans = project(records, options or SpanOptions(agent_name=AGENT_NAME), content)
    if run_id is not None:
        kept = {span.trace_id for span in spans if span.attributes.get(n.LIFE_RUN) == run_id}
        spans = [span for span in spans if span.trace_id in kept]
        if not spans:
            raise NotFoundError(f"The session '{session_id}' has no run '{run_id}'.")
    spans += await _elsewhere(journal, records, spans, session_id)
    for child in _children(records, {span.trace_id for span in spans} if run_id is not None else None):
        spans += await session_spans(journal, child, options=options, content=content)
    return spans


def _children(records: list[EventRecord], traces: set[str] | None) -> list[str]:
    """Sessions of agents that worked for this one (for its runs in these traces)."""
    found = []
    for record in records:
        kind = record.kind
        if not isinstance(kind, Custom) or kind.event_type != "arcan.subagent_started":
            continue
        child = kind.data.get("session_id") if isinstance(kind.data, dict) else None
        if isinstance(child, str) and child not in found and (traces is None or record.trace_id in traces):
            found.append(child)
    return found


async def _elsewhere(journal: Journal, records: list[EventRecord], spans: list[Span], session_id: str) -> list[Span]:
    traces = {span.trace_id for span in spans}
    first, last = records[0].position, records[-1].position
    found: list[EventRecord] = []
    payments: set[object] = set()
    query = EventQuery(after_position=max(first - 1, 0), kinds=(Custom.__name__,))
    async for record in _pages(journal, query, until=last + _AFTERMATH):
        kind = record.kind
        if not isinstance(kind, Custom) or not kind.event_type.startswith(_ELSEWHERE):
            continue
        if record.session_id == session_id:
            continue  # it is among the session's own
        data = kind.data if isinstance(kind.data, dict) else {}
        payment = data.get("payment_id")
        if record.trace_id in traces or data.get("session_id") == session_id or (payment and payment in payments):
            found.append(record)
            if payment:
                payments.add(payment)
    return [_placed(span, spans) for span in project(found)]


def _placed(span: Span, spans: list[Span]) -> Span:
    """A payment whose events carry no ids belongs to the tool that ran when it was reserved."""
    if span.parent_id is not None:
        return span
    for tool in spans:
        if tool.attributes.get(n.OPERATION) == "execute_tool" and tool.start_us <= span.start_us <= tool.end_us:
            return msgspec.structs.replace(span, trace_id=tool.trace_id, parent_id=tool.span_id)
    return span


async def _pages(journal: Journal, query: EventQuery, *, until: int | None = None) -> AsyncIterator[EventRecord]:
    while True:
        page = await journal.read(query, limit=_PAGE)
        for record in page:
            if until is not None and record.position > until:
                return
            yield record
        if len(page) < _PAGE:
            return
        last = page[-1]
        if query.session_id is None:
            query = query._replace(after_position=last.position)
        else:
            query = query._replace(after_sequence=last.sequence)


async def send_spans(
    spans: list[Span],
    endpoint: str,
    *,
    protocol: Literal["http", "grpc"],
    environment: Mapping[str, str],
    config: TelemetryConfig,
) -> None:
    """Send them to an OTLP receiver. TelemetryExportError when it does not take them; MissingExtraError without the extra."""
    address = signal_endpoint(endpoint, protocol, "traces")
    try:
        from life.vigil.exporters.otlp import OtlpSink
        from life.vigil.otel import Converter

        v1_41 = config.settings.convention == "v1.41"
        resource = {
            **config.resource,
            "service.name": config.settings.service_name,
            "service.version": life.__version__,
        }
        converter = Converter(resource, life.__version__, v1_41=v1_41)
        sink = OtlpSink(address, protocol, converter, headers=otlp_headers(environment))
    except ModuleNotFoundError:
        raise MissingExtraError("Sending spans", "otel") from None
    try:
        for start in range(0, len(spans), _SEND):
            if not await asyncio.to_thread(sink.export, spans[start : start + _SEND]):
                raise TelemetryExportError(
                    f"The receiver at {sink.name.partition(':')[2]} did not take the spans.",
                    next_step="Look whether it runs, speaks OTLP over "
                    f"{'gRPC' if protocol == 'grpc' else 'HTTP'}, and wants a key (OTEL_EXPORTER_OTLP_HEADERS).",
                )
    finally:
        await asyncio.to_thread(sink.close)
