"""The recovery report: what became of what was running when a process died, or when a run was stopped.

It is read from the events alone. An attempt is interrupted when its intent (ToolCallStarted) got a probe (`arcan.tool_probed`); what
followed tells the rest:

    done       it had happened; its outcome was taken over, not repeated
    not_done   it had not happened; it ran (again), or its run was stopped before
    repeated   running it again has its effect once at most, so it ran again
    in_doubt   only a person can tell: nobody has yet, or `decision` says what they said
    open       it was interrupted and nothing has looked at it yet

Source: ARCHITECTURE.md §2.4; aios.md §15 (resume).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from life.aios import events
from life.aios.events.codec import read_custom
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, Stream
from life.arcan import events as arcan
from life.arcan.events import DoubtDecision

Verdict = Literal["done", "not_done", "repeated", "in_doubt", "open"]

_PAGE: Final = 1000
_KINDS: Final = ("SessionResumed", "ToolCallStarted", "ToolCallCompleted", "ToolCallFailed", "RunFinished", "Custom")
_VERDICTS: Final[dict[str, Verdict]] = {
    "done": "done",
    "not_done": "not_done",
    "repeatable": "repeated",
    "unknown": "in_doubt",
}


class InterruptedCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt of a call that was cut off. `started_us` and `found_us` are microseconds since the epoch."""

    run_id: str
    call_id: str
    tool_name: str
    tool_run_id: str
    started_us: int
    verdict: Verdict = "open"
    explanation: str = ""
    """The probe's words."""
    found_us: int = 0
    decision: DoubtDecision | None = None
    decided_by: str = ""
    note: str = ""
    ran_again: bool = False


class RecoveryReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was ever interrupted in a session (one branch), oldest first."""

    session_id: str
    branch: str
    recoveries: int
    """How often the session was taken up again."""
    calls: tuple[InterruptedCall, ...]

    @property
    def undecided(self) -> tuple[InterruptedCall, ...]:
        """What a person still has to decide."""
        return tuple(call for call in self.calls if call.verdict == "in_doubt" and call.decision is None)


class Recoveries:
    """Folds events into a report. Feed it every event of a branch, oldest first; other kinds change nothing."""

    def __init__(self) -> None:
        self._running: dict[str, InterruptedCall] = {}
        self._found: dict[str, InterruptedCall] = {}
        self._count = 0

    def feed(self, record: EventRecord) -> None:
        """One more event."""
        kind = record.kind
        if isinstance(kind, events.SessionResumed):
            self._count += 1
            for attempt in self._running.values():
                self._found.setdefault(attempt.tool_run_id, attempt)
        elif isinstance(kind, events.ToolCallStarted):
            self._started(kind, record)
        elif isinstance(kind, events.ToolCallCompleted | events.ToolCallFailed):
            self._running.pop(kind.call_id or "", None)
        elif isinstance(kind, events.RunFinished):
            self._running.clear()
        elif isinstance(kind, events.Custom):
            self._custom(kind, record)

    def report(self, stream: Stream) -> RecoveryReport:
        """The report so far."""
        return RecoveryReport(
            session_id=stream.session_id,
            branch=stream.branch_id,
            recoveries=self._count,
            calls=tuple(self._found.values()),
        )

    def _started(self, kind: events.ToolCallStarted, record: EventRecord) -> None:
        call_id = kind.call_id or ""
        before = self._running.get(call_id)
        if before is not None and before.tool_run_id in self._found:
            found = self._found[before.tool_run_id]
            self._found[before.tool_run_id] = replace(found, ran_again=True)
        self._running[call_id] = InterruptedCall(
            run_id=record.correlation_id or "",
            call_id=call_id,
            tool_name=kind.tool_name,
            tool_run_id=kind.tool_run_id,
            started_us=record.timestamp_us,
        )

    def _custom(self, kind: events.Custom, record: EventRecord) -> None:
        probed = read_custom(kind, arcan.TOOL_PROBED, arcan.ToolProbed)
        if probed is not None:
            attempt = self._found.get(probed.tool_run_id) or self._running.get(probed.call_id)
            if attempt is not None:
                self._found[attempt.tool_run_id] = replace(
                    attempt,
                    verdict=_VERDICTS[probed.answer],
                    explanation=probed.explanation,
                    found_us=record.timestamp_us,
                )
            return
        resolved = read_custom(kind, arcan.DOUBT_RESOLVED, arcan.DoubtResolved)
        if resolved is not None and resolved.tool_run_id in self._found:
            doubted = self._found[resolved.tool_run_id]
            self._found[resolved.tool_run_id] = replace(
                doubted, decision=resolved.decision, decided_by=resolved.actor, note=resolved.note
            )


def recoveries_of(records: Iterable[EventRecord], stream: Stream) -> RecoveryReport:
    """The report about these events of one branch."""
    fold = Recoveries()
    for record in records:
        fold.feed(record)
    return fold.report(stream)


async def read_recoveries(journal: Journal, stream: Stream) -> RecoveryReport:
    """The report about a branch, read from the journal page by page."""
    fold = Recoveries()
    session_id, branch_id = stream
    after = 0
    while True:
        query = EventQuery(session_id, branch_id, after_sequence=after, kinds=_KINDS)
        page = await journal.read(query, limit=_PAGE)
        for record in page:
            fold.feed(record)
            after = record.sequence
        if len(page) < _PAGE:
            return fold.report(stream)
