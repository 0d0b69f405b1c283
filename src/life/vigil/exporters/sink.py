"""What the pipeline needs of an exporter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from life.vigil.span import Span


class SpanSink(Protocol):
    """Takes finished spans."""

    name: str

    def export(self, spans: Sequence[Span]) -> bool:
        """Whether the receiver took them. May wait, and raises nothing."""
        ...

    def close(self) -> None:
        """Let go of everything; an export that is under way ends soon."""
        ...
