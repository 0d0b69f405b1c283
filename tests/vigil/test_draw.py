"""The tree in the terminal."""

from __future__ import annotations

from typing import Any

from life.vigil.draw import draw
from life.vigil.span import Span, SpanLink


def a_span(name: str, span_id: str, parent_id: str | None, start_us: int, end_us: int, **more: Any) -> Span:
    """A span of one trace."""
    return Span(
        name=name, trace_id="ab" * 16, span_id=span_id, parent_id=parent_id, start_us=start_us, end_us=end_us, **more
    )


def test_a_tree() -> None:
    """Children stand below their parents in the order of their beginning, with bars that show when and how long."""
    (found,) = draw(
        [
            a_span(
                "chat m", "c", "b", 0, 500, attributes={"gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 2}
            ),
            a_span("execute_tool t", "d", "b", 500, 1_000_000, error="timeout"),
            a_span("step", "b", "a", 0, 1_000_000),
            a_span("run", "a", "remote", 0, 2_000_000, links=(SpanLink("cd" * 16, "x"),)),
        ],
        bar=4,
    )
    assert [(line.name, line.bar, line.duration, line.notes, line.failed) for line in found.lines] == [
        ("run", "████", "2.00 s", "after cdcdcdcd", False),
        ("└─ step", "██··", "1.00 s", "", False),
        ("   ├─ chat m", "█···", "500 µs", "5+2 tokens", False),
        ("   └─ execute_tool t", "██··", "999.5 ms", "error: timeout", True),
    ]


def test_nothing_and_orphans() -> None:
    """No spans are no traces; a span that is its own parent, or whose parent is missing, is a root."""
    assert draw([]) == []
    (found,) = draw([a_span("x", "a", "a", 5, 5), a_span("y", "b", "gone", 1, 2)])
    assert [line.name for line in found.lines] == ["y", "x"]
