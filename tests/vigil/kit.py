"""What the tests of telemetry share: a clock that moves, a runtime that is watched, and spans as a tree of words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from life.aios.policy import PolicySet
from life.arcan.providers.scripted import Script, ScriptedProvider
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from life.vigil.config import TelemetrySettings, read_config
from life.vigil.exporting import Exporting
from life.vigil.exports import ExportStatus
from life.vigil.span import Span
from life.vigil.telemetry import LiveTelemetry, open_telemetry
from tests.arcan.workbench import Workbench

FILES_ONLY = PolicySet(allow_capabilities=("fs:*",))


class MovingClock(ManualClock):
    """A clock that moves a millisecond whenever somebody looks at it, so that spans have durations."""

    def now_us(self) -> int:
        """The time, a millisecond later than last time."""
        self.advance_us(1000)
        return super().now_us()


def telemetry_on(
    environment: Mapping[str, str] | None = None,
    *,
    clock: ManualClock | None = None,
    seed: str = "vigil",
    in_process: bool | None = None,
    root: Path = Path(),
    **settings: object,
) -> LiveTelemetry:
    """Telemetry with these settings; `memory` where nothing else is said."""
    chosen = TelemetrySettings(**settings)  # type: ignore[arg-type]
    if not settings.get("exporters") and not environment:
        chosen = TelemetrySettings(**{**settings, "exporters": ("memory",)})  # type: ignore[arg-type]
    return open_telemetry(
        read_config(chosen, environment or {}),
        environment or {},
        clock=clock or MovingClock(),
        entropy=SeededEntropy(seed),
        version="1.2.3",
        root=root,
        in_process=in_process,
    )


def spans_of(telemetry: LiveTelemetry) -> list[Span]:
    """What was exported to memory."""
    assert isinstance(telemetry.exports, Exporting)
    assert telemetry.flush()
    assert telemetry.exports.memory is not None
    return telemetry.exports.memory.spans


class NoExports:
    """Takes everything and exports nothing."""

    def take(self, batch: Sequence[object]) -> None:
        """Forget it."""

    def span(self, span: Span) -> None:
        """Forget it."""

    def readings(self, readings: Sequence[object]) -> None:
        """Forget it."""

    def leave_out(self, trace_id: str) -> None:
        """Forget it."""

    def status(self, timeout_s: float) -> ExportStatus:
        """Nothing."""
        return ExportStatus(exporting=False)

    def flush(self, timeout_s: float) -> bool:
        """Done."""
        return True

    def close(self, timeout_s: float) -> None:
        """Done."""


@asynccontextmanager
async def watched_runtime(
    bench: Workbench,
    script: Script,
    telemetry: LiveTelemetry | None,
    *,
    journal: MemoryJournal | None = None,
    clock: ManualClock | None = None,
    seed: str = "run",
    settings: RuntimeSettings | None = None,
) -> AsyncIterator[tuple[Runtime, MemoryJournal]]:
    """A runtime on a journal in memory, with telemetry or without."""
    journal = journal or MemoryJournal()
    the_clock = clock or MovingClock()
    runtime = Runtime(
        journal if telemetry is None else telemetry.watch(journal),
        bench,
        provider=ScriptedProvider(script, clock=the_clock),
        clock=the_clock,
        entropy=SeededEntropy(seed),
        agent_id="agent-1",
        workspace_of=lambda _: str(bench.workspace),
        settings=settings or RuntimeSettings(policy=FILES_ONLY, shutdown_grace_ms=0, model_repeats=1),
        telemetry=telemetry,
    )
    try:
        yield runtime, journal
    finally:
        await runtime.aclose()


def tree(spans: Sequence[Span], *notes: str) -> list[str]:
    """One line per span, indented below its parent: name, then `error` and the attributes of `notes`."""
    known = {(span.trace_id, span.span_id) for span in spans}
    ordered = sorted(spans, key=lambda span: (span.start_us, -span.end_us))

    def lines(parent: Span | None, indent: str) -> list[str]:
        found = []
        for span in ordered:
            is_child = (
                (span.trace_id, span.parent_id) not in known
                if parent is None
                else (span.trace_id, span.parent_id) == (parent.trace_id, parent.span_id)
            )
            if is_child:
                words = [span.name]
                words += [f"error={span.error}"] if span.error else []
                words += [
                    f"{name.rpartition('.')[2]}={span.attributes[name]}" for name in notes if name in span.attributes
                ]
                found.append(indent + " ".join(words))
                found += lines(span, indent + "  ")
        return found

    return lines(None, "")
