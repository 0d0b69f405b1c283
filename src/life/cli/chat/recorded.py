"""A session that is only looked at: `SessionClient` over a reader. What acts is refused, so nothing can run, be asked or cost.

Source: WS-REP-4, WS-DEMO-6 (a recording constructs no provider).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Final

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.clock import Clock
from life.aios.ports.working_copies import Prefer
from life.aios.record import EventRecord, Stream
from life.aios.state import SteeringMode
from life.arcan.api import SessionView, session_view
from life.arcan.branches import BranchInfo
from life.arcan.branching import MergeResult, RestoreResult
from life.arcan.events import DoubtDecision, RunLimits
from life.arcan.messages import QueuedReceipt
from life.arcan.reports import RunReport
from life.arcan.sessions import SessionSummary
from life.arcan.state import fold as fold_session
from life.arcan.workspace_files import WorkspaceFile
from life.cli.chat.reader import ListReader, Reader
from life.cli.session_client import Answer

_POLL_US: Final = 500_000


class OnlyLookingError(InvalidInputError):
    """Something was asked for that a recording can't do."""

    code = "life.only_looking"

    def __init__(self) -> None:
        super().__init__(
            "This is only a view: nothing runs here.",
            next_step="Open the session itself with life chat -s ID, without --read-only.",
        )


class RecordedClient:
    """`SessionClient` that only reads."""

    model = ""
    warnings: tuple[str, ...] = ()

    def __init__(
        self,
        reader: Reader,
        clock: Clock,
        *,
        place: str,
        sessions: Callable[[], Awaitable[list[SessionSummary]]],
        branches: Callable[[str], Awaitable[list[BranchInfo]]],
        view: Callable[[str, str], Awaitable[SessionView]],
        grows: bool,
    ) -> None:
        """`grows`: whether somebody else may write more."""
        self.place = place
        self._sessions = sessions
        self._branches = branches
        self._view = view
        self._reader = reader
        self._clock = clock
        self._grows = grows

    async def open_session(self, session_id: str | None, *, name: str = "") -> SessionView:
        """See SessionClient; one that is there."""
        if session_id is None:
            raise OnlyLookingError
        return await self.view(session_id, MAIN_BRANCH)

    async def sessions(self) -> list[SessionSummary]:
        """See SessionClient."""
        return await self._sessions()

    async def view(self, session_id: str, branch: str) -> SessionView:
        """See SessionClient."""
        return await self._view(session_id, branch)

    async def branches(self, session_id: str) -> list[BranchInfo]:
        """See SessionClient."""
        return await self._branches(session_id)

    async def events(self, session_id: str, branch: str, *, after: int = 0, limit: int = 1000) -> list[EventRecord]:
        """See SessionClient."""
        head = (await self._reader.block(Stream(session_id, branch))).head
        found: list[EventRecord] = []
        while len(found) < limit and after < head:
            block = await self._reader.block(Stream(session_id, branch), after + 1)
            fresh = [record for record in block.records if record.sequence > after][: limit - len(found)]
            if not fresh:
                break
            found += fresh
            after = fresh[-1].sequence
        return found

    async def subscribe(self, session_id: str, branch: str, after: int) -> AsyncGenerator[EventRecord, None]:
        """See SessionClient; what somebody else writes, looked for twice a second."""
        while True:
            for record in await self.events(session_id, branch, after=after):
                after = record.sequence
                yield record
            if not self._grows:
                return
            await self._clock.sleep_us(_POLL_US)

    async def start(
        self, session_id: str, objective: str, *, branch: str, limits: RunLimits | None = None, key: str | None = None
    ) -> str:
        """See SessionClient; refused."""
        raise OnlyLookingError

    async def report(self, session_id: str, run_id: str, branch: str) -> RunReport:
        """See SessionClient; refused."""
        raise OnlyLookingError

    async def send(self, session_id: str, message: str, *, steering: SteeringMode, branch: str) -> QueuedReceipt:
        """See SessionClient; refused."""
        raise OnlyLookingError

    async def begin_with_skill(self, session_id: str, text: str, branch: str) -> str:
        """See SessionClient; refused."""
        raise OnlyLookingError

    async def withdraw(self, session_id: str, branch: str, queue_id: str) -> None:
        """See SessionClient; refused."""
        raise OnlyLookingError

    async def cancel(self, session_id: str, branch: str) -> None:
        """See SessionClient; refused."""
        raise OnlyLookingError

    async def resume(self, session_id: str, branch: str) -> str | None:
        """See SessionClient; refused."""
        raise OnlyLookingError

    async def pause(self, session_id: str, branch: str) -> None:
        """See SessionClient; refused."""
        raise OnlyLookingError

    async def go_on(self, session_id: str, branch: str) -> None:
        """See SessionClient; refused."""
        raise OnlyLookingError

    async def decide(self, session_id: str, branch: str, approval_id: str, answer: Answer) -> None:
        """See SessionClient; refused."""
        raise OnlyLookingError

    async def resolve_doubt(
        self, session_id: str, branch: str, call_id: str, decision: DoubtDecision, note: str
    ) -> None:
        """See SessionClient; refused."""
        raise OnlyLookingError

    async def revoke_rule(self, session_id: str, branch: str, rule_id: str) -> None:
        """See SessionClient; refused."""
        raise OnlyLookingError

    async def set_model(self, session_id: str, specification: str, branch: str) -> None:
        """See SessionClient; refused."""
        raise OnlyLookingError

    async def fork(self, session_id: str, name: str, *, parent: str, at: int | None = None) -> BranchInfo:
        """See SessionClient; refused."""
        raise OnlyLookingError

    async def fork_before(self, session_id: str, message_sequence: int, *, branch: str) -> BranchInfo:
        """See SessionClient; refused."""
        raise OnlyLookingError

    async def merge(self, session_id: str, source: str, *, into: str, prefer: Prefer | None = None) -> MergeResult:
        """See SessionClient; refused."""
        raise OnlyLookingError

    async def restore(self, session_id: str, to_sequence: int, *, branch: str) -> RestoreResult:
        """See SessionClient; refused."""
        raise OnlyLookingError

    async def files(self, session_id: str, branch: str) -> Sequence[WorkspaceFile]:
        """See SessionClient; a recording has none beside it."""
        return ()

    async def file(self, session_id: str, branch: str, path: str) -> bytes:
        """See SessionClient; a recording has none beside it."""
        raise NotFoundError("There are no files beside a recording.")

    async def delete(self, session_id: str) -> None:
        """See SessionClient; refused."""
        raise OnlyLookingError


def list_client(reader: ListReader, clock: Clock, *, place: str) -> RecordedClient:
    """A client of a recording in memory."""

    async def sessions() -> list[SessionSummary]:
        found: dict[str, SessionSummary] = {}
        for stream in reader.streams:
            own = reader.of(stream)
            found.setdefault(
                stream.session_id,
                SessionSummary(
                    session_id=stream.session_id,
                    name=stream.session_id,
                    owner="",
                    agent_id=own[0].agent_id,
                    created_us=own[0].timestamp_us,
                    updated_us=own[-1].timestamp_us,
                    head=len(own),
                    state="closed",
                ),
            )
        return list(found.values())

    async def branches(session_id: str) -> list[BranchInfo]:
        return [
            BranchInfo(
                branch_id=stream.branch_id,
                name=stream.branch_id,
                parent_branch=None,
                fork_sequence=0,
                head_sequence=len(reader.of(stream)),
                created_us=reader.of(stream)[0].timestamp_us,
            )
            for stream in reader.streams
            if stream.session_id == session_id
        ]

    async def view(session_id: str, branch: str) -> SessionView:
        return session_view(fold_session(session_id, reader.of(Stream(session_id, branch)), branch_id=branch))

    return RecordedClient(reader, clock, place=place, sessions=sessions, branches=branches, view=view, grows=False)
