"""What is handed over for export, in this process or in another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from life.aios.record import NewEvent
from life.vigil.config import TelemetryConfig
from life.vigil.span import Span


class Committed(NamedTuple):
    """An event that is on disk, and its place in its stream."""

    event: NewEvent
    sequence: int
    is_past: bool = False
    """Whether it was followed before, by a process that is gone: it is needed to understand what comes, and not exported again."""


class Reading(NamedTuple):
    """What something stands at now; its name is one of `life.vigil.metrics.READINGS`."""

    name: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


class ExportOrders(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What to export, where to, and in whose name."""

    config: TelemetryConfig
    version: str
    root: str
    """Where a relative file stands."""
    agent_name: str = "life"
    agent_id: str = ""
    headers: dict[str, str] = {}
    """Of OTLP; they may hold a key."""

    def __repr__(self) -> str:
        return f"ExportOrders(exporters={self.config.exporters!r})"


class ExportStatus(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How export goes."""

    exporting: bool
    """Whether anything takes spans or metrics."""
    exported: int = 0
    dropped: int = 0
    """Spans that no receiver got."""
    lost_events: int = 0
    """Events that found no room on the way; the journal has them."""
    problems: tuple[str, ...] = ()
    """Exporters that could not be opened, in a sentence each."""


class Exports(Protocol):
    """Where committed events go. `take`, `span`, `readings` and `leave_out` never wait; the rest may."""

    def take(self, batch: Sequence[Committed]) -> None:
        """Events of one append."""
        ...

    def span(self, span: Span) -> None:
        """A span that no event tells of."""
        ...

    def readings(self, readings: Sequence[Reading]) -> None:
        """Values that no event tells of."""
        ...

    def leave_out(self, trace_id: str) -> None:
        """Export no spans of this trace: who began it does not record it."""
        ...

    def status(self, timeout_s: float) -> ExportStatus:
        """How it goes."""
        ...

    def flush(self, timeout_s: float) -> bool:
        """Try everything now; whether it was tried in time."""
        ...

    def close(self, timeout_s: float) -> None:
        """Export what can be exported in this time, and end."""
        ...
