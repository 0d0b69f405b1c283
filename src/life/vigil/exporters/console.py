"""Spans on a terminal, a line each, as they end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from life.vigil.span import Span


class ConsoleSink:
    """Writes to a text stream, by convention standard error."""

    name = "console"

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def export(self, spans: Sequence[Span]) -> bool:
        """A line each: trace, span, duration, name, failure."""
        lines = [
            f"{span.trace_id[:8]} {span.span_id} {(span.end_us - span.start_us) / 1000:>10.3f} ms  {span.name}"
            + (f"  error: {span.error}" if span.error else "")
            for span in spans
        ]
        try:
            self._stream.write("".join(line + "\n" for line in lines))
            self._stream.flush()
        except (OSError, ValueError):
            return False
        return True

    def close(self) -> None:
        """The stream is the program's."""
