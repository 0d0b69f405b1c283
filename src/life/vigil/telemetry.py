"""Telemetry that is on: the port for the runtime, and everything behind it.

    telemetry = open_telemetry(config, environment, clock=…, entropy=…, version=…)
    journal = telemetry.watch(journal)          # what is committed is projected
    Runtime(journal, …, telemetry=telemetry)    # events carry the ids of their spans

It uses no global provider: a program that has telemetry of its own keeps it, and its current span becomes a run's parent.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import Token
from pathlib import Path
from typing import Final

import msgspec
from opentelemetry import context as otel_context
from opentelemetry import trace as otel_trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.span import TraceState

from life.aios.errors import LifeError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Appended, EventQuery, Head, Journal
from life.aios.ports.telemetry import SpanPlace, working_in
from life.aios.record import EventRecord, NewEvent, Stream
from life.vigil import names as n
from life.vigil.config import TelemetryConfig, otlp_headers
from life.vigil.export_process import ExportProcess
from life.vigil.exporting import Exporting
from life.vigil.exports import Committed, ExportOrders, Exports, ExportStatus
from life.vigil.span import Attributes, Span

_MOST_UNSAMPLED: Final = 10_000
_PAGE: Final = 2000
_BEFORE_RUN: Final = 4
"""Events before a RunStarted that may belong to it: its objective."""
_FIELDS: Final = tuple(field.name for field in msgspec.structs.fields(NewEvent))


class LiveTelemetry:
    """A `Telemetry` (life.aios.ports.telemetry) that exports."""

    def __init__(self, config: TelemetryConfig, exports: Exports, *, clock: Clock, entropy: Entropy) -> None:
        self.config = config
        self.exports = exports
        self._clock, self._entropy = clock, entropy
        self._unsampled: OrderedDict[str, None] = OrderedDict()

    # The port

    def caller(self) -> SpanPlace | None:
        """The span that this task works in: ours, or one of the program around us (OpenTelemetry's current span)."""
        place = working_in.get()
        if place is None:
            found = otel_trace.get_current_span().get_span_context()
            if not found.is_valid:
                return None
            place = SpanPlace(
                f"{found.trace_id:032x}",
                f"{found.span_id:016x}",
                found.trace_flags.sampled,
                found.trace_state.to_header(),
            )
        if not place.sampled and place.trace_id not in self._unsampled:
            self._unsampled[place.trace_id] = None
            if len(self._unsampled) > _MOST_UNSAMPLED:
                self._unsampled.popitem(last=False)
            self.exports.leave_out(place.trace_id)
        return place

    def within(self, place: SpanPlace | None) -> AbstractContextManager[None]:
        """Make it the current span, for us and for libraries that use OpenTelemetry's API."""
        return _Within(place)

    # Spans without events

    def new_place(self, parent: SpanPlace | None) -> SpanPlace:
        """A place for a span below `parent`, or in a trace of its own."""
        span_id = _nonzero(self._entropy, 8)
        if parent is not None:
            return parent._replace(span_id=span_id)
        trace_id = _nonzero(self._entropy, 16)
        return SpanPlace(trace_id, span_id)

    def span(self, span: Span) -> None:
        """Export a span that only this process knows of."""
        self.exports.span(span)

    def now_us(self) -> int:
        """The clock that spans are measured by."""
        return self._clock.now_us()

    # The journal

    def watch(self, journal: Journal) -> WatchedJournal:
        """The journal, whose appends are followed."""
        return WatchedJournal(journal, self, spans=self.config.settings.journal_spans)

    def committed(self, events: Sequence[NewEvent], stored: Sequence[Appended]) -> None:
        """These events are on disk."""
        self.exports.take(
            [
                Committed(event, place.sequence)
                for event, place in zip(events, stored, strict=True)
                if not place.duplicate
            ]
        )

    # How it goes

    def status(self, timeout_s: float = 1.0) -> ExportStatus:
        """What became of spans so far; asks another process, so call it in a thread beside a busy loop."""
        return self.exports.status(timeout_s)

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Try to export everything now; whether that was done in time. Blocks. Whether it arrived, only the receiver knows."""
        return self.exports.flush(timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Export what can be exported within about `timeout_s`, and end; blocks."""
        self.exports.close(timeout_s)


class WatchedJournal:
    """A `Journal` that tells telemetry what it stored. Everything else passes through."""

    def __init__(self, inner: Journal, telemetry: LiveTelemetry, *, spans: bool = False) -> None:
        """`spans`: one for each append, below the span that the writer works in. They exist live only."""
        self.inner = inner
        self._telemetry = telemetry
        self._spans = spans

    async def append(
        self, events: Sequence[NewEvent], *, expected: Mapping[Stream, int] | None = None
    ) -> list[Appended]:
        """Store the events; then tell."""
        for event in events:
            if event.kind_name == "SessionResumed":
                self._telemetry.exports.take(await self._past_of(event.stream))
        if not self._spans:
            stored = await self.inner.append(events, expected=expected)
            self._telemetry.committed(events, stored)
            return stored
        place = _parent_of(events)
        began_us = self._telemetry.now_us()
        error: str | None = "_OTHER"
        try:
            stored = await self.inner.append(events, expected=expected)
            error = None
        except LifeError as failure:
            error = failure.code
            raise
        finally:
            if place is not None:
                attributes: Attributes = {n.LAGO_EVENTS: len(events)}
                if error is not None:
                    attributes[n.ERROR_TYPE] = error
                span = Span(
                    name=n.APPEND,
                    trace_id=place.trace_id,
                    span_id=self._telemetry.new_place(place).span_id,
                    parent_id=place.span_id,
                    start_us=began_us,
                    end_us=max(self._telemetry.now_us(), began_us),
                    attributes=attributes,
                    error=error,
                )
                self._telemetry.span(span)
        self._telemetry.committed(events, stored)
        return stored

    async def _past_of(self, stream: Stream) -> list[Committed]:
        """The open run's events so far, for a run that is taken up again: who followed them is gone."""
        query = EventQuery(*stream, kinds=("RunStarted",))
        after = 0
        try:
            while page := await self.inner.read(query, limit=_PAGE):
                after = page[-1].sequence
                query = query._replace(after_sequence=after)
            past: list[Committed] = []
            after = max(after - _BEFORE_RUN, 0)
            while page := await self.inner.read(EventQuery(*stream, after_sequence=after), limit=_PAGE):
                after = page[-1].sequence
                past += [Committed(_event(record), record.sequence, is_past=True) for record in page]
        except LifeError:
            return []  # the append will say what is wrong with the journal
        return past

    async def read(self, query: EventQuery, *, limit: int = 500) -> list[EventRecord]:
        """As the journal's."""
        return await self.inner.read(query, limit=limit)

    async def get(self, event_id: str) -> EventRecord | None:
        """As the journal's."""
        return await self.inner.get(event_id)

    async def head(self, stream: Stream) -> Head:
        """As the journal's."""
        return await self.inner.head(stream)

    async def streams(self, session_id: str | None = None) -> list[Stream]:
        """As the journal's."""
        return await self.inner.streams(session_id)

    def subscribe(self, query: EventQuery) -> AsyncIterator[EventRecord]:
        """As the journal's."""
        return self.inner.subscribe(query)


class _Within(AbstractContextManager[None]):
    """Sets both notions of the current span, and puts them back."""

    __slots__ = ("_ours", "_place", "_theirs")

    def __init__(self, place: SpanPlace | None) -> None:
        self._place = place
        self._ours: Token[SpanPlace | None] | None = None
        self._theirs: Token[Context] | None = None

    def __enter__(self) -> None:
        place = self._place
        self._ours = working_in.set(place)
        if place is None:
            self._theirs = otel_context.attach(Context())
            return
        found = SpanContext(
            int(place.trace_id, 16),
            int(place.span_id, 16),
            is_remote=False,
            trace_flags=TraceFlags(TraceFlags.SAMPLED if place.sampled else TraceFlags.DEFAULT),
            trace_state=TraceState.from_header([place.tracestate]) if place.tracestate else TraceState(),
        )
        self._theirs = otel_context.attach(otel_trace.set_span_in_context(NonRecordingSpan(found)))

    def __exit__(self, *_: object) -> None:
        if self._ours is not None:
            working_in.reset(self._ours)
        if self._theirs is not None:
            otel_context.detach(self._theirs)


def open_telemetry(
    config: TelemetryConfig,
    environment: Mapping[str, str],
    *,
    clock: Clock,
    entropy: Entropy,
    version: str,
    root: Path = Path(),
    agent_name: str = "life",
    agent_id: str = "",
    in_process: bool | None = None,
) -> LiveTelemetry:
    """Telemetry with what can be opened of its exporters. `root`: where a relative file stands. `in_process`: export in threads
    of this process (what `memory` and `console` need, and tests like) instead of a process of its own."""
    orders = ExportOrders(
        config=config,
        headers=otlp_headers(environment),
        version=version,
        root=str(root.absolute()),
        agent_name=agent_name,
        agent_id=agent_id,
    )
    if in_process is None:
        in_process = any(exporter in ("memory", "console") for exporter in config.exporters)
    exports: Exports = Exporting(orders) if in_process else ExportProcess(orders)
    return LiveTelemetry(config, exports, clock=clock, entropy=entropy)


def _event(record: EventRecord) -> NewEvent:
    return NewEvent(**{name: getattr(record, name) for name in _FIELDS})


def _parent_of(events: Sequence[NewEvent]) -> SpanPlace | None:
    for event in events:
        if event.trace_id is not None and event.span_id is not None:
            return SpanPlace(event.trace_id, event.span_id)
    return None


def _nonzero(entropy: Entropy, length: int) -> str:
    while not any(value := entropy.token_bytes(length)):
        continue
    return value.hex()
