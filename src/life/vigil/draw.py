"""A span tree as lines of text: what `life trace` shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from life.vigil import names as n
from life.vigil.span import Span

_BAR: Final = 24


class Line(NamedTuple):
    """One span. `name` is indented with the lines of the tree."""

    name: str
    bar: str
    duration: str
    notes: str
    failed: bool


class Trace(NamedTuple):
    """A trace and its lines, the root first."""

    trace_id: str
    lines: tuple[Line, ...]


def draw(spans: Sequence[Span], *, bar: int = _BAR) -> list[Trace]:
    """The traces in the order of their beginning. A span whose parent is not among them stands as a root."""
    by_trace: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda span: (span.start_us, -span.end_us)):
        by_trace.setdefault(span.trace_id, []).append(span)
    return [Trace(trace_id, tuple(_lines(found, bar))) for trace_id, found in by_trace.items()]


def _lines(spans: list[Span], bar: int) -> Iterator[Line]:
    known = {span.span_id for span in spans}
    children: dict[str | None, list[Span]] = {}
    for span in spans:
        parent = span.parent_id if span.parent_id in known and span.parent_id != span.span_id else None
        children.setdefault(parent, []).append(span)
    began, ended = min(span.start_us for span in spans), max(span.end_us for span in spans)
    scale = (began, max(ended - began, 1), bar)
    for root in children.get(None, []):
        yield _line(root, "", scale)
        yield from _below(root, children, "", scale)


def _below(
    span: Span, children: dict[str | None, list[Span]], indent: str, scale: tuple[int, int, int]
) -> Iterator[Line]:
    below = children.get(span.span_id, [])
    for place, child in enumerate(below):
        last = place == len(below) - 1
        yield _line(child, indent + ("└─ " if last else "├─ "), scale)
        yield from _below(child, children, indent + ("   " if last else "│  "), scale)


def _line(span: Span, indent: str, scale: tuple[int, int, int]) -> Line:
    began, length, width = scale
    first = min((span.start_us - began) * width // length, width - 1)
    last = min(max((span.end_us - began) * width // length, first + 1), width)
    bar = "·" * first + "█" * (last - first) + "·" * (width - last)
    return Line(indent + span.name, bar, _duration(span.end_us - span.start_us), _notes(span), span.error is not None)


def _duration(us: int) -> str:
    if us < 1000:
        return f"{us} µs"
    if us < 1_000_000:
        return f"{us / 1000:.1f} ms"
    return f"{us / 1_000_000:.2f} s"


def _notes(span: Span) -> str:
    """The few attributes that say most."""
    found = span.attributes
    notes = []
    if span.error is not None:
        notes.append(f"error: {span.error}")
    for name in (n.GATE_DECISION, n.RUN_REASON, n.RUN_WAITS_FOR, n.PAYMENT_OUTCOME):
        if name in found:
            notes.append(str(found[name]))
    if n.GATE_TOOL in found:
        notes.append(str(found[n.GATE_TOOL]))
    if n.INPUT_TOKENS in found:
        notes.append(f"{found[n.INPUT_TOKENS]}+{found.get(n.OUTPUT_TOKENS, 0)} tokens")
    if n.PAYMENT_AMOUNT in found:
        notes.append(f"{found[n.PAYMENT_AMOUNT]} µcredits")
    if n.EXIT_CODE in found:
        notes.append(f"exit {found[n.EXIT_CODE]}")
    if n.UNFINISHED in found:
        notes.append("unfinished")
    if span.links:
        notes.append(f"after {span.links[0].trace_id[:8]}")
    return ", ".join(notes)
