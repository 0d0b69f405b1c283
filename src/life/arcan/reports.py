"""What callers are told about a run."""

from __future__ import annotations

from typing import Literal

import msgspec

from life.aios import events
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.journal import EventQuery, Journal
from life.aios.state import TokenUsage
from life.arcan.errors import RunNotFoundError
from life.arcan.session_state import CallState, SessionState

ReportStatus = Literal["finished", "running", "paused", "waiting", "in_doubt"]


class RunReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a run stands, or how it ended."""

    session_id: str
    run_id: str
    status: ReportStatus
    reason: str | None = None
    """Of a finished run: completed, max_tokens, refused, max_iterations, budget_exceeded, cancelled, in_doubt, error."""
    final_answer: str | None = None
    steps: int = 0
    usage: TokenUsage = TokenUsage()
    error: str | None = None
    """Of a run that ended by an error: its code and words."""
    pending: CallState | None = None
    """The call that a person has to decide about, while the run waits or is in doubt."""


def report_of(state: SessionState, run_id: str) -> RunReport | None:
    """The report about the open run or the last one; None about any other."""
    run, last = state.run, state.last_run
    if run is not None and run.run_id == run_id:
        status = state.status
        return RunReport(
            session_id=state.session_id,
            run_id=run_id,
            status=status if status in ("paused", "waiting", "in_doubt") else "running",
            steps=run.steps,
            usage=TokenUsage(run.prompt_tokens, run.completion_tokens, run.prompt_tokens + run.completion_tokens),
            pending=next(
                (call for call in state.calls if call.phase in ("awaiting_approval", "awaiting_client", "in_doubt")),
                None,
            ),
        )
    if last is not None and last.run_id == run_id:
        return RunReport(
            session_id=state.session_id,
            run_id=run_id,
            status="finished",
            reason=last.reason,
            final_answer=last.final_answer,
            steps=last.steps,
            usage=last.usage,
            error=last.error,
        )
    return None


async def past_report(journal: Journal, session_id: str, run_id: str, *, branch: str = MAIN_BRANCH) -> RunReport:
    """The report about an older run, read from its last events. RunNotFoundError when the session has no such run."""
    started = await journal.get(run_id)
    if started is None or started.stream != (session_id, branch) or started.kind_name != "RunStarted":
        raise RunNotFoundError(session_id, run_id)
    error: str | None = None
    after = started.sequence
    while True:
        query = EventQuery(session_id, branch, after_sequence=after, kinds=("RunErrored", "RunFinished"))
        page = await journal.read(query, limit=50)
        if not page:
            raise RunNotFoundError(session_id, run_id)
        for record in page:
            kind = record.kind
            if record.correlation_id == run_id and isinstance(kind, events.RunErrored):
                error = kind.error
            if record.correlation_id == run_id and isinstance(kind, events.RunFinished):
                return RunReport(
                    session_id=session_id,
                    run_id=run_id,
                    status="finished",
                    reason=kind.reason,
                    final_answer=kind.final_answer,
                    steps=kind.total_iterations,
                    usage=kind.usage or TokenUsage(),
                    error=error,
                )
            after = record.sequence
