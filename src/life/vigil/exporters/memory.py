"""Spans kept in memory, for tests and for programs that show them themselves."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from life.vigil.span import Span


class MemorySink:
    """The newest `most` spans."""

    name = "memory"

    def __init__(self, most: int = 10_000) -> None:
        self._spans: deque[Span] = deque(maxlen=most)

    @property
    def spans(self) -> list[Span]:
        """In the order in which they ended."""
        return list(self._spans)

    def export(self, spans: Sequence[Span]) -> bool:
        """Keep them."""
        self._spans.extend(spans)
        return True

    def close(self) -> None:
        """Nothing to let go of."""
