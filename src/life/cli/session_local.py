"""Sessions in this process: the runtime itself, over the data directory, under arcand's lock."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.journal import EventQuery
from life.aios.ports.working_copies import Prefer
from life.aios.record import EventRecord
from life.aios.state import SteeringMode
from life.arcan.api import SessionView, session_view
from life.arcan.approvals import Edited
from life.arcan.branches import BranchInfo
from life.arcan.branching import MergeResult, RestoreResult
from life.arcan.events import DoubtDecision, RunLimits
from life.arcan.messages import QueuedReceipt
from life.arcan.reports import RunReport, past_report, report_of
from life.arcan.sessions import SessionSummary
from life.arcan.workspace_files import WorkspaceFile, list_files, read_file
from life.cli.session_client import Answer
from life.host.data_directory import DataDirectory
from life.host.keys import Prompt
from life.host.settings import Settings
from life.host.system import System, open_system

ACTOR: Final = "shell"
"""Who decides, in the journal."""


class LocalClient:
    """`SessionClient` over an open system."""

    place = "in this process"

    def __init__(self, system: System) -> None:
        self._system = system
        self._runtime = system.runtime

    @property
    def system(self) -> System:
        """What is open."""
        return self._system

    @property
    def model(self) -> str:
        """See SessionClient."""
        return self._system.settings.model.provider

    @property
    def warnings(self) -> tuple[str, ...]:
        """See SessionClient."""
        warning = self._system.equipment.warning
        return () if warning is None else (warning,)

    async def open_session(self, session_id: str | None, *, name: str = "") -> SessionView:
        """See SessionClient."""
        return session_view(await self._runtime.create_session(session_id, name=name))

    async def sessions(self) -> list[SessionSummary]:
        """See SessionClient."""
        return await self._runtime.sessions()

    async def view(self, session_id: str, branch: str) -> SessionView:
        """See SessionClient."""
        return session_view(await self._runtime.state(session_id, branch=branch))

    async def events(self, session_id: str, branch: str, *, after: int = 0, limit: int = 1000) -> list[EventRecord]:
        """See SessionClient."""
        await self._runtime.state(session_id, branch=branch)
        return await self._system.journal.read(EventQuery(session_id, branch, after_sequence=after), limit=limit)

    async def subscribe(self, session_id: str, branch: str, after: int) -> AsyncGenerator[EventRecord, None]:
        """See SessionClient."""
        async with aclosing(self._runtime.subscribe(session_id, after, branch=branch)) as records:
            async for record in records:
                yield record

    async def start(
        self, session_id: str, objective: str, *, branch: str, limits: RunLimits | None = None, key: str | None = None
    ) -> str:
        """See SessionClient."""
        return await self._runtime.start(session_id, objective, branch=branch, limits=limits, idempotency_key=key)

    async def report(self, session_id: str, run_id: str, branch: str) -> RunReport:
        """See SessionClient."""
        known = report_of(await self._runtime.state(session_id, branch=branch), run_id)
        return known or await past_report(self._system.journal, session_id, run_id, branch=branch)

    async def send(self, session_id: str, message: str, *, steering: SteeringMode, branch: str) -> QueuedReceipt:
        """See SessionClient."""
        return await self._runtime.send(session_id, message, steering=steering, branch=branch)

    async def begin_with_skill(self, session_id: str, text: str, branch: str) -> str:
        """See SessionClient."""
        if branch != MAIN_BRANCH:
            raise InvalidInputError("A skill is begun on the main branch.")
        system = self._system
        return await system.equipment.skills.begin_with(
            text,
            session_id,
            journal=system.journal,
            clock=system.clock,
            entropy=system.entropy,
            agent_id=system.identity.agent_id,
        )

    async def withdraw(self, session_id: str, branch: str, queue_id: str) -> None:
        """See SessionClient."""
        await self._runtime.withdraw(session_id, queue_id, actor=ACTOR, branch=branch)

    async def cancel(self, session_id: str, branch: str) -> None:
        """See SessionClient."""
        await self._runtime.cancel(session_id, branch=branch)

    async def resume(self, session_id: str, branch: str) -> str | None:
        """See SessionClient."""
        return await self._runtime.recover(session_id, branch=branch)

    async def pause(self, session_id: str, branch: str) -> None:
        """See SessionClient."""
        await self._runtime.pause(session_id, actor=ACTOR, branch=branch)

    async def go_on(self, session_id: str, branch: str) -> None:
        """See SessionClient."""
        await self._runtime.go_on(session_id, actor=ACTOR, branch=branch)

    async def decide(self, session_id: str, branch: str, approval_id: str, answer: Answer) -> None:
        """See SessionClient."""
        await self._runtime.resolve_approval(
            session_id,
            approval_id,
            approved=answer.approved,
            actor=ACTOR,
            reason=answer.reason,
            branch=branch,
            edited=None if isinstance(answer.arguments, msgspec.UnsetType) else Edited(answer.arguments),
            scope=answer.scope,
        )

    async def resolve_doubt(
        self, session_id: str, branch: str, call_id: str, decision: DoubtDecision, note: str
    ) -> None:
        """See SessionClient."""
        await self._runtime.resolve_doubt(session_id, call_id, decision, actor=ACTOR, note=note, branch=branch)

    async def revoke_rule(self, session_id: str, branch: str, rule_id: str) -> None:
        """See SessionClient."""
        await self._runtime.revoke_rule(session_id, rule_id, actor=ACTOR, branch=branch)

    async def set_model(self, session_id: str, specification: str, branch: str) -> None:
        """See SessionClient."""
        await self._runtime.set_provider(session_id, specification, actor=ACTOR, branch=branch)

    async def branches(self, session_id: str) -> list[BranchInfo]:
        """See SessionClient."""
        return await self._runtime.branches.all(session_id)

    async def fork(self, session_id: str, name: str, *, parent: str, at: int | None = None) -> BranchInfo:
        """See SessionClient."""
        return await self._runtime.branches.fork(session_id, name, parent=parent, at=at)

    async def fork_before(self, session_id: str, message_sequence: int, *, branch: str) -> BranchInfo:
        """See SessionClient."""
        return await self._runtime.branches.fork_before(session_id, message_sequence, branch=branch)

    async def merge(self, session_id: str, source: str, *, into: str, prefer: Prefer | None = None) -> MergeResult:
        """See SessionClient."""
        return await self._runtime.branches.merge(session_id, source, into=into, prefer=prefer)

    async def restore(self, session_id: str, to_sequence: int, *, branch: str) -> RestoreResult:
        """See SessionClient."""
        return await self._runtime.branches.restore(session_id, to_sequence, branch=branch)

    async def files(self, session_id: str, branch: str) -> Sequence[WorkspaceFile]:
        """See SessionClient."""
        return list_files(await self._runtime.workspace(session_id, branch=branch))

    async def file(self, session_id: str, branch: str, path: str) -> bytes:
        """See SessionClient."""
        return read_file(await self._runtime.workspace(session_id, branch=branch), path)

    async def delete(self, session_id: str) -> None:
        """See SessionClient."""
        await self._runtime.delete_session(session_id, actor=ACTOR)


@asynccontextmanager
async def open_local_client(data_dir: Path, settings: Settings, *, prompt: Prompt) -> AsyncIterator[LocalClient]:
    """Open everything, take up interrupted runs, close everything. DataDirectoryLockedError while another process works there."""
    with DataDirectory.create(data_dir).lock("arcand"):
        async with open_system(data_dir, settings=settings, environment=os.environ, prompt=prompt) as system:
            await system.runtime.recover_all()
            yield LocalClient(system)
