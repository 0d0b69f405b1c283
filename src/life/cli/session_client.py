"""Sessions for the command line: in this process, or on the arcand that works in the data directory.

    async with open_client(data_dir) as client:
        view = await client.open_session("notes")
        await client.send("notes", "write hello.txt: Hello")

One interface, two implementations with the same answers. A daemon that holds the data directory's lock and says where it listens is
asked over its HTTP API (its token is sent only while it holds the lock); otherwise everything is opened here, under the same lock.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from life.aios.json import Json
from life.aios.ports.working_copies import Prefer
from life.aios.record import EventRecord
from life.aios.state import SteeringMode
from life.arcan.api import SessionView
from life.arcan.approvals import Scope
from life.arcan.branches import BranchInfo
from life.arcan.branching import MergeResult, RestoreResult
from life.arcan.events import DoubtDecision, RunLimits
from life.arcan.messages import QueuedReceipt
from life.arcan.reports import RunReport
from life.arcan.sessions import SessionSummary
from life.arcan.workspace_files import WorkspaceFile
from life.host.data_directory import DataDirectory
from life.host.settings import load_settings


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word about a call that waits. `arguments` set: run it with these instead."""

    approved: bool
    reason: str | None = None
    arguments: Json | msgspec.UnsetType = msgspec.UNSET
    scope: Scope = "once"


class SessionClient(Protocol):
    """What the shell, `arcan run` and `arcan session` need. Failures are LifeErrors, whichever side they come from."""

    @property
    def place(self) -> str:
        """`in this process`, or the daemon's address."""
        ...

    @property
    def model(self) -> str:
        """The specification that serves sessions which name none; empty where only the daemon knows."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person has to be told at the start."""
        ...

    async def open_session(self, session_id: str | None, *, name: str = "") -> SessionView:
        """The session, made when it is not there; a new one without an id."""
        ...

    async def sessions(self) -> list[SessionSummary]:
        """All sessions, newest first."""
        ...

    async def view(self, session_id: str, branch: str) -> SessionView:
        """The state now."""
        ...

    async def events(self, session_id: str, branch: str, *, after: int = 0, limit: int = 1000) -> list[EventRecord]:
        """A page of stored events after a sequence, oldest first."""
        ...

    def subscribe(self, session_id: str, branch: str, after: int) -> AsyncGenerator[EventRecord, None]:
        """Events after a sequence, then live. UnavailableError when the daemon is gone."""
        ...

    async def start(
        self, session_id: str, objective: str, *, branch: str, limits: RunLimits | None = None, key: str | None = None
    ) -> str:
        """Begin a run; its id."""
        ...

    async def report(self, session_id: str, run_id: str, branch: str) -> RunReport:
        """How a run stands."""
        ...

    async def send(self, session_id: str, message: str, *, steering: SteeringMode, branch: str) -> QueuedReceipt:
        """Say something: it begins a run, or waits its turn."""
        ...

    async def begin_with_skill(self, session_id: str, text: str, branch: str) -> str:
        """The objective that a person's `/skill …` means, with the skill active in the session's next run."""
        ...

    async def withdraw(self, session_id: str, branch: str, queue_id: str) -> None:
        """Take a message back that waits. An error when it does not wait any more."""
        ...

    async def cancel(self, session_id: str, branch: str) -> None:
        """Stop the open run, if there is one."""
        ...

    async def resume(self, session_id: str, branch: str) -> str | None:
        """Take up an open run that nothing drives; its id."""
        ...

    async def pause(self, session_id: str, branch: str) -> None:
        """Begin nothing new in the open run."""
        ...

    async def go_on(self, session_id: str, branch: str) -> None:
        """Continue a paused run."""
        ...

    async def decide(self, session_id: str, branch: str, approval_id: str, answer: Answer) -> None:
        """Decide about a call that waits."""
        ...

    async def resolve_doubt(
        self, session_id: str, branch: str, call_id: str, decision: DoubtDecision, note: str
    ) -> None:
        """Say what became of a call in doubt."""
        ...

    async def revoke_rule(self, session_id: str, branch: str, rule_id: str) -> None:
        """Take back what was allowed for the session."""
        ...

    async def set_model(self, session_id: str, specification: str, branch: str) -> None:
        """The session's model from its next run on."""
        ...

    async def branches(self, session_id: str) -> list[BranchInfo]:
        """All branches, main first."""
        ...

    async def fork(self, session_id: str, name: str, *, parent: str, at: int | None = None) -> BranchInfo:
        """A branch from right after an event (the head unless told)."""
        ...

    async def fork_before(self, session_id: str, message_sequence: int, *, branch: str) -> BranchInfo:
        """A branch from right before a message of the user."""
        ...

    async def merge(self, session_id: str, source: str, *, into: str, prefer: Prefer | None = None) -> MergeResult:
        """Make a branch part of another one."""
        ...

    async def restore(self, session_id: str, to_sequence: int, *, branch: str) -> RestoreResult:
        """Go on from an earlier event of the same branch."""
        ...

    async def files(self, session_id: str, branch: str) -> Sequence[WorkspaceFile]:
        """The files of the workspace."""
        ...

    async def file(self, session_id: str, branch: str, path: str) -> bytes:
        """One file's content; NotFoundError."""
        ...

    async def delete(self, session_id: str) -> None:
        """Nobody sees the session any more."""
        ...


@asynccontextmanager
async def open_client(data_dir: Path, *, model: str | None = None) -> AsyncIterator[SessionClient]:
    """The client for a data directory. `model` serves sessions that name none, where everything is opened here; a running daemon keeps its
    own (callers set a session's model instead)."""
    data = DataDirectory(data_dir)
    address = data.address_of("arcand")
    if address is not None:
        from life.cli.session_daemon import open_daemon_client

        async with open_daemon_client(data, address) as remote:
            yield remote
        return
    from life.cli.identity_opening import ask_passphrase
    from life.cli.session_local import open_local_client

    settings = load_settings(data.config, os.environ, {"model.provider": model})
    async with open_local_client(data_dir, settings, prompt=ask_passphrase) as local:
        yield local
