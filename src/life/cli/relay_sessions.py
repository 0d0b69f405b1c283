"""Sessions at a node elsewhere, for the shell: `SessionClient` over Relay."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, NoReturn, TypeVar

import msgspec

from life.aios.envelope import decode_record
from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.ports.working_copies import Prefer
from life.aios.record import EventRecord
from life.aios.state import SteeringMode
from life.arcan.api import SessionView
from life.arcan.branch_api import BranchList
from life.arcan.branches import BranchInfo
from life.arcan.branching import MergeResult, RestoreResult
from life.arcan.events import DoubtDecision, RunLimits
from life.arcan.messages import QueuedReceipt
from life.arcan.people_api import Files, RunAccepted
from life.arcan.reports import RunReport
from life.arcan.sessions import SessionSummary
from life.arcan.workspace_files import WorkspaceFile
from life.cli.session_client import Answer
from life.spaces.relay.errors import RelayError
from life.spaces.relay.operations import (
    MAX_PAGE,
    Arguments,
    Decide,
    Doubt,
    FileNamed,
    Nothing,
    OnBranch,
    OpenSession,
    Page,
    QueueNamed,
    RuleNamed,
    RunNamed,
    Say,
    Start,
)
from life.spaces.relay.owner import RelayOwner

T = TypeVar("T")

_NOTHING: Final = Nothing()


class RelaySessions:
    """`SessionClient` of one node. What Relay does not carry (branches, models, deleting) is refused in one sentence."""

    model = ""
    warnings: tuple[str, ...] = ()

    def __init__(self, owner: RelayOwner, place: str) -> None:
        self._owner = owner
        self.place = place

    async def open_session(self, session_id: str | None, *, name: str = "") -> SessionView:
        """See SessionClient. A session that is there is only looked at, so that whoever may watch can attach."""
        if session_id is None:
            raise InvalidInputError("Name the session; `life relay sessions` lists them.")
        try:
            return await self.view(session_id, "main")
        except NotFoundError:
            return await self._ask("open_session", session_id, OpenSession(name=name), SessionView)

    async def sessions(self) -> list[SessionSummary]:
        """See SessionClient. Those that one may watch."""
        return await self._ask("sessions", "", _NOTHING, list[SessionSummary])

    async def view(self, session_id: str, branch: str) -> SessionView:
        """See SessionClient."""
        return await self._ask("view", session_id, OnBranch(branch=branch), SessionView)

    async def events(self, session_id: str, branch: str, *, after: int = 0, limit: int = 1000) -> list[EventRecord]:
        """See SessionClient."""
        found: list[EventRecord] = []
        while len(found) < limit:  # one answer may hold fewer than there are; an empty one is the end
            page = Page(branch=branch, after=after, limit=min(limit - len(found), MAX_PAGE))
            part = await self._ask("events", session_id, page, list[msgspec.Raw])
            if not part:
                break
            found += [decode_record(bytes(raw)) for raw in part]
            after = found[-1].sequence
        return found

    async def subscribe(self, session_id: str, branch: str, after: int) -> AsyncGenerator[EventRecord, None]:
        """See SessionClient."""
        async with aclosing(self._owner.watch(session_id, branch, after)) as records:
            async for raw in records:
                yield decode_record(raw)

    async def start(
        self, session_id: str, objective: str, *, branch: str, limits: RunLimits | None = None, key: str | None = None
    ) -> str:
        """See SessionClient."""
        bounds = None if limits is None else msgspec.to_builtins(limits)
        wanted = Start(objective=objective, branch=branch, limits=bounds, key=key)
        return (await self._ask("start", session_id, wanted, RunAccepted)).run_id

    async def report(self, session_id: str, run_id: str, branch: str) -> RunReport:
        """See SessionClient."""
        return await self._ask("report", session_id, RunNamed(run_id=run_id, branch=branch), RunReport)

    async def send(self, session_id: str, message: str, *, steering: SteeringMode, branch: str) -> QueuedReceipt:
        """See SessionClient."""
        wanted = Say(message=message, steering=steering, branch=branch)
        return await self._ask("send", session_id, wanted, QueuedReceipt)

    async def begin_with_skill(self, session_id: str, text: str, branch: str) -> str:
        """See SessionClient."""
        self._not_carried()

    async def withdraw(self, session_id: str, branch: str, queue_id: str) -> None:
        """See SessionClient."""
        await self._owner.ask("withdraw", session_id, QueueNamed(queue_id=queue_id, branch=branch))

    async def cancel(self, session_id: str, branch: str) -> None:
        """See SessionClient."""
        await self._owner.ask("cancel", session_id, OnBranch(branch=branch))

    async def resume(self, session_id: str, branch: str) -> str | None:
        """See SessionClient."""
        report = await self._ask("resume", session_id, OnBranch(branch=branch), RunReport | None)  # type: ignore[arg-type]
        return None if report is None else report.run_id

    async def pause(self, session_id: str, branch: str) -> None:
        """See SessionClient."""
        await self._owner.ask("pause", session_id, OnBranch(branch=branch))

    async def go_on(self, session_id: str, branch: str) -> None:
        """See SessionClient."""
        await self._owner.ask("continue", session_id, OnBranch(branch=branch))

    async def decide(self, session_id: str, branch: str, approval_id: str, answer: Answer) -> None:
        """See SessionClient."""
        wanted = Decide(
            approval_id=approval_id,
            approved=answer.approved,
            reason=answer.reason,
            arguments=answer.arguments,
            scope=answer.scope,
            branch=branch,
        )
        await self._owner.ask("decide", session_id, wanted)

    async def resolve_doubt(
        self, session_id: str, branch: str, call_id: str, decision: DoubtDecision, note: str
    ) -> None:
        """See SessionClient."""
        await self._owner.ask("doubt", session_id, Doubt(call_id=call_id, decision=decision, note=note, branch=branch))

    async def revoke_rule(self, session_id: str, branch: str, rule_id: str) -> None:
        """See SessionClient."""
        await self._owner.ask("revoke_rule", session_id, RuleNamed(rule_id=rule_id, branch=branch))

    async def set_model(self, session_id: str, specification: str, branch: str) -> None:
        """See SessionClient."""
        self._not_carried()

    async def branches(self, session_id: str) -> list[BranchInfo]:
        """See SessionClient."""
        return (await self._ask("branches", session_id, _NOTHING, BranchList)).branches

    async def fork(self, session_id: str, name: str, *, parent: str, at: int | None = None) -> BranchInfo:
        """See SessionClient."""
        self._not_carried()

    async def fork_before(self, session_id: str, message_sequence: int, *, branch: str) -> BranchInfo:
        """See SessionClient."""
        self._not_carried()

    async def merge(self, session_id: str, source: str, *, into: str, prefer: Prefer | None = None) -> MergeResult:
        """See SessionClient."""
        self._not_carried()

    async def restore(self, session_id: str, to_sequence: int, *, branch: str) -> RestoreResult:
        """See SessionClient."""
        self._not_carried()

    async def files(self, session_id: str, branch: str) -> Sequence[WorkspaceFile]:
        """See SessionClient."""
        return (await self._ask("files", session_id, OnBranch(branch=branch), Files)).files

    async def file(self, session_id: str, branch: str, path: str) -> bytes:
        """See SessionClient."""
        found = await self._ask("file", session_id, FileNamed(path=path, branch=branch), _Content)
        return base64.b64decode(found.content)

    async def delete(self, session_id: str) -> None:
        """See SessionClient."""
        self._not_carried()

    def _not_carried(self) -> NoReturn:
        raise InvalidInputError("This can't be done from elsewhere; do it at the node itself.")

    async def _ask(self, operation: str, session_id: str, arguments: Arguments, kind: type[T]) -> T:
        raw = await self._owner.ask(operation, session_id, arguments)
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.DecodeError as unfit:
            raise RelayError(f"The node answers in a way that this version does not understand: {unfit}.") from None


class _Content(msgspec.Struct):
    content: str
