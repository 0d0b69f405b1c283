"""Payments and signatures: their events stand in streams of their own, under the span in which they were made.

A payment's span begins with its reservation (the intent) and ends when its outcome is known, which may be after the tool's. A
signature's event carries no duration, so its span has none either: how long custody took is not known afterwards.

A facilitator's settlement of somebody's payment has a span for each attempt: the first from the intent, others from the
transaction that they prepare, to the confirmation or the failure.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from life.aios import events
from life.aios.ids import derived_event_id
from life.aios.json import Json
from life.aios.ports.telemetry import span_id_of, trace_id_of
from life.aios.record import EventRecord
from life.vigil import names as n
from life.vigil.span import AttributeValue, OpenSpan, Span, is_span_id, is_trace_id

_OUTCOMES: Final = {
    "finance.payment_settled": "settled",
    "finance.payment_failed": "failed",
    "finance.payment_released": "released",
    "finance.payment_ambiguous": "ambiguous",
}
_SETTLED: Final = {"finance.settlement_confirmed": "settled", "finance.settlement_failed": "failed"}
_NOTES: Final = {
    "finance.payment_signed": "life.payment_signed",
    "finance.payment_submitted": "life.payment_submitted",
    "finance.payment_claimed": "life.payment_claimed",
}
_MOST_OPEN: Final = 10_000


class PaymentProjection:
    """Open payments by their id."""

    def __init__(self) -> None:
        self._open: dict[str, OpenSpan] = {}
        self._settling: dict[str, OpenSpan] = {}

    def add(self, record: EventRecord, kind: events.Custom) -> list[Span]:
        """The span that ends with this event, if one does."""
        if kind.event_type in ("anima.custody_signed", "anima.custody_denied"):
            return [_signature(record, kind)]
        payment_id = _text(kind.data, "payment_id")
        if kind.event_type.startswith("finance.settlement_"):
            return self._settle(record, kind, payment_id)
        if kind.event_type == "finance.payment_declined":
            return [_declined(record, kind.data)]
        if not payment_id:
            return []
        if kind.event_type == "finance.payment_reserved":
            self._open[payment_id] = _reserved(record, payment_id, kind.data)
            return self._evict()
        span = self._open.get(payment_id)
        if span is None:
            return []
        if kind.event_type in _NOTES:
            span.event(_NOTES[kind.event_type], record.timestamp_us, {n.EVENT_KIND: kind.event_type})
        outcome = _OUTCOMES.get(kind.event_type)
        if outcome is None:
            return []
        del self._open[payment_id]
        span.attributes[n.PAYMENT_OUTCOME] = outcome
        if outcome in ("failed", "ambiguous"):
            span.error = f"payment_{outcome}"
        return [span.end(record.timestamp_us)]

    def finish(self) -> list[Span]:
        """Payments without an outcome."""
        spans = [*self._open.values(), *self._settling.values()]
        self._open, self._settling = {}, {}
        return [_unfinished(span) for span in spans]

    def _settle(self, record: EventRecord, kind: events.Custom, payment_id: str) -> list[Span]:
        if kind.event_type == "finance.settlement_refused":
            span = _settlement(record, kind.data, "refused", record.event_id)
            span.attributes |= {n.PAYMENT_OUTCOME: "refused", n.GATE_DECISION: "denied"}
            return [span.end(record.timestamp_us)]
        if not payment_id:
            return []
        open_span = self._settling.get(payment_id)
        if kind.event_type in ("finance.settlement_intended", "finance.settlement_prepared"):
            if open_span is None:
                attempt = kind.data.get("attempt", 0) if isinstance(kind.data, dict) else 0
                span = _settlement(record, kind.data, payment_id, str(attempt))
                span.attributes[n.PAYMENT_ID] = payment_id
                self._settling[payment_id] = span
            elif kind.event_type == "finance.settlement_prepared":
                open_span.event("life.payment_submitted", record.timestamp_us, {n.EVENT_KIND: kind.event_type})
            if len(self._settling) > _MOST_OPEN:
                return [_unfinished(self._settling.pop(next(iter(self._settling))))]
        outcome = _SETTLED.get(kind.event_type)
        if outcome is None or open_span is None:
            return []
        del self._settling[payment_id]
        open_span.attributes[n.PAYMENT_OUTCOME] = outcome
        _put_amount(open_span, kind.data)
        if outcome == "failed":
            open_span.error = "settlement_failed"
        return [open_span.end(record.timestamp_us)]

    def _evict(self) -> list[Span]:
        if len(self._open) <= _MOST_OPEN:
            return []
        return [_unfinished(self._open.pop(next(iter(self._open))))]


def _unfinished(span: OpenSpan) -> Span:
    span.attributes[n.UNFINISHED] = True
    last = span.events[-1].at_us if span.events else span.start_us
    return span.end(last)


def _span(record: EventRecord, name: str, *key: str) -> OpenSpan:
    """A span where the event says it belongs; a trace of its own where it says nothing."""
    first = derived_event_id("vigil", *key)
    placed = is_trace_id(record.trace_id) and is_span_id(record.span_id)
    return OpenSpan(
        name,
        trace_id=record.trace_id if placed and record.trace_id else trace_id_of(first),
        span_id=span_id_of(first),
        parent_id=record.span_id if placed else None,
        start_us=record.timestamp_us,
    )


def _reserved(record: EventRecord, payment_id: str, data: Json) -> OpenSpan:
    span = _span(record, n.PAYMENT, "payment", payment_id)
    span.kind = "client"
    _describe(span, data)
    span.attributes[n.PAYMENT_ID] = payment_id
    return span


def _declined(record: EventRecord, data: Json) -> Span:
    """Our own policy said no: not an error."""
    span = _span(record, n.PAYMENT, "declined", record.event_id)
    _describe(span, data)
    span.attributes[n.PAYMENT_OUTCOME] = "declined"
    span.attributes[n.GATE_DECISION] = "denied"
    return span.end(record.timestamp_us)


def _settlement(record: EventRecord, data: Json, *key: str) -> OpenSpan:
    span = _span(record, n.SETTLEMENT, "settlement", *key)
    span.kind = "client"
    _put(span, n.PAYMENT_NETWORK, _text(data, "network"))
    _put(span, n.PAYMENT_ASSET, _text(data, "asset"))
    return span


def _put_amount(span: OpenSpan, data: Json) -> None:
    amount = data.get("amount_micro") if isinstance(data, dict) else None
    if isinstance(amount, int):
        span.attributes[n.PAYMENT_AMOUNT] = amount


def _describe(span: OpenSpan, data: Json) -> None:
    _put(span, n.PAYMENT_NETWORK, _text(data, "network"))
    _put(span, n.PAYMENT_ASSET, _text(data, "asset"))
    _put(span, n.PAYMENT_RAIL, _text(data, "rail"))
    _put(span, n.PAYMENT_SCHEME, _text(data, "scheme"))
    _put(span, n.CONVERSATION, _text(data, "session_id"))
    _put_amount(span, data)
    try:
        _put(span, n.SERVER_ADDRESS, urlsplit(_text(data, "resource_url")).hostname or "")
    except ValueError:
        return


def _signature(record: EventRecord, kind: events.Custom) -> Span:
    operation = _text(kind.data, "op")
    span = _span(record, f"{n.CUSTODY} {operation}", "custody", record.event_id)
    _put(span, n.CUSTODY_OPERATION, operation)
    _put(span, n.CUSTODY_BACKEND, _text(kind.data, "backend"))
    _put(span, n.CUSTODY_PURPOSE, _text(kind.data, "purpose"))
    if kind.event_type == "anima.custody_denied":
        _put(span, n.CUSTODY_REFUSED, _text(kind.data, "reason"))
    return span.end(record.timestamp_us)


def _put(span: OpenSpan, name: str, value: AttributeValue) -> None:
    if value != "":
        span.attributes[name] = value


def _text(data: Json, name: str) -> str:
    value = data.get(name) if isinstance(data, dict) else None
    return value if isinstance(value, str) else ""
