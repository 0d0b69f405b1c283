"""A span as plain data, before any library of OpenTelemetry sees it."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

import msgspec

_TRACE: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
_SPAN: Final = re.compile(r"(?!0{16})[0-9a-f]{16}")

AttributeValue = str | int | float | bool | tuple[str, ...]
Attributes = dict[str, AttributeValue]
SpanKind = Literal["internal", "server", "client"]


def is_trace_id(text: str | None) -> bool:
    """Whether an event's `trace_id` is one of OpenTelemetry's; other makers write what they like there."""
    return text is not None and _TRACE.fullmatch(text) is not None


def is_span_id(text: str | None) -> bool:
    """The same of a `span_id`."""
    return text is not None and _SPAN.fullmatch(text) is not None


class SpanOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How spans are made."""

    agent_name: str = "life"
    v1_41: bool = False
    """The attribute names of the convention's v1.41 where they differ."""


class SpanEvent(NamedTuple):
    """Something that happened within a span, at microseconds since the epoch."""

    name: str
    at_us: int
    attributes: Attributes


class SpanLink(NamedTuple):
    """Another span that this one has to do with."""

    trace_id: str
    span_id: str


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A finished span. Ids are lower-case hex; times are microseconds since the epoch, start ≤ end."""

    name: str
    kind: SpanKind = "internal"
    trace_id: str
    span_id: str
    parent_id: str | None = None
    start_us: int
    end_us: int
    attributes: Attributes = {}
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    error: str | None = None
    """`error.type` of a failed span, which is also all that its status says; None: the status is unset."""


class OpenSpan:
    """A span that has not ended."""

    def __init__(
        self,
        name: str,
        *,
        trace_id: str,
        span_id: str,
        parent_id: str | None,
        start_us: int,
        kind: SpanKind = "internal",
        attributes: Attributes | None = None,
        links: tuple[SpanLink, ...] = (),
    ) -> None:
        self.name = name
        self.kind: SpanKind = kind
        self.trace_id, self.span_id, self.parent_id = trace_id, span_id, parent_id
        self.start_us = start_us
        self.attributes: Attributes = {} if attributes is None else attributes
        self.links = links
        self.events: list[SpanEvent] = []
        self.error: str | None = None

    def event(self, name: str, at_us: int, attributes: Attributes) -> None:
        """Note something that happened."""
        self.events.append(SpanEvent(name, at_us, attributes))

    def end(self, at_us: int) -> Span:
        """The finished span. A clock that went back does not make it end before it began."""
        attributes = self.attributes
        if self.error is not None:
            attributes["error.type"] = self.error
        return Span(
            name=self.name,
            kind=self.kind,
            trace_id=self.trace_id,
            span_id=self.span_id,
            parent_id=self.parent_id,
            start_us=self.start_us,
            end_us=max(at_us, self.start_us),
            attributes=attributes,
            events=tuple(self.events),
            links=self.links,
            error=self.error,
        )
