"""The session API, continued: approvals, rules, doubts, messages, pausing, results of clients' tools, files, recovery (arcan.md §8)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.json import Json
from life.aios.ports.http import Operation, Parameter
from life.aios.record import Actor
from life.aios.state import OperatingMode, SteeringMode
from life.arcan.approvals import Edited, PendingApproval, Scope
from life.arcan.errors import NoOpenRunError, SessionNotFoundError, SessionTakenError
from life.arcan.events import DoubtDecision
from life.arcan.http_requests import BRANCH, answer_json, branch_of, read_body, session_of
from life.arcan.messages import QueuedReceipt
from life.arcan.recovery import RecoveryReport
from life.arcan.runtime import Runtime
from life.arcan.session_state import CallState, SessionRule
from life.arcan.workspace_files import WorkspaceFile, list_files, read_file

SCOPE: Final = "sessions:run"
"""What an agent's or a user's token must permit."""


_BEGINS_WITHIN_S: Final = 10
_BEGUN: Final = ("ToolCallStarted", "ToolCallFailed", "RunFinished", "RunErrored")
"""After one of these the call that was approved waits no more."""


class ApprovalAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /sessions/{session_id}/approvals/{approval_id}."""

    approved: bool
    reason: str | None = None
    arguments: Json | msgspec.UnsetType = msgspec.UNSET
    """With an approval: run the call with these arguments instead. They pass the gate again, and the model is told."""
    scope: Scope = "once"
    """`session`: do not ask about such calls again in this session."""
    patterns: tuple[str, ...] = ()
    """Capability patterns that the scope `session` covers; without any, what this call needs."""
    pause_after: bool = False
    """Let the call run, and hold the run behind it."""


class DoubtAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /sessions/{session_id}/doubts/{call_id}."""

    decision: DoubtDecision
    note: str = ""


class NewMessage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /sessions/{session_id}/messages."""

    message: str
    steering: SteeringMode = "collect"


class ClientResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /sessions/{session_id}/calls/{call_id}/result."""

    output: Json = None
    is_error: bool = False


class RunAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """A run that goes on."""

    session_id: str
    run_id: str


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that a person has to decide about."""

    session_id: str
    calls: tuple[CallState, ...]


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What is allowed for the rest of the session."""

    session_id: str
    rules: tuple[SessionRule, ...]


class QueueEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A message that waits."""

    id: str
    steering_mode: SteeringMode
    content: str
    queued_us: int


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    """What waits in a session."""

    session_id: str
    mode: OperatingMode
    queue_depth: int
    has_active_run: bool
    oldest_message_us: int | None
    """When the oldest one came, in microseconds since the epoch."""
    pending: tuple[QueueEntry, ...]


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """The files of a session's workspace."""

    session_id: str
    files: tuple[WorkspaceFile, ...]


class Callers(NamedTuple):
    """Who calls, and what is theirs."""

    runtime: Runtime
    owner_of: Callable[[Request], str | None]
    actor_of: Callable[[Request], str]
    acting_for: Callable[[Request], str | None] = lambda _request: None
    """For whom the operator's own program acts; None for themselves."""

    async def session(self, request: Request, *, make: bool = False) -> str:
        """The session in the path, when the caller may use it; SessionNotFoundError for somebody else's, too. With `make` one
        is made where none ever was."""
        session_id, owner = session_of(request), self.owner_of(request)
        try:
            # Also for the operator: a session that was deleted, or never was, is not there on any branch.
            await self.runtime.require_owner(session_id, owner)
        except SessionNotFoundError as unknown:
            if not make:
                raise
            try:
                await self.runtime.create_session(session_id, owner=owner or "")
            except SessionTakenError:
                raise unknown from None
        return session_id

    async def reader(self, request: Request) -> str:
        """The session in the path, when the caller may look at it: for what is read from the journal, not from the session's state."""
        session_id = session_of(request)
        await self.runtime.require_reader(session_id, self.owner_of(request))
        return session_id


class PeopleApi:
    """The handlers over one runtime."""

    def __init__(self, runtime: Runtime, callers: Callers) -> None:
        self._runtime = runtime
        self._callers = callers

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        session = "/sessions/{session_id}"
        return [
            Operation(
                "GET",
                "/approvals",
                "Calls that wait for approval in all sessions, oldest first",
                self.all_approvals,
                None,
                list[PendingApproval],
            ),
            Operation(
                "GET",
                f"{session}/approvals",
                "Calls that wait for approval",
                self.approvals,
                None,
                Pending,
                (BRANCH,),
                errors=(404,),
            ),
            Operation(
                "POST",
                f"{session}/approvals/{{approval_id}}",
                "Approve or refuse a waiting call; approve it with other arguments, or for the rest of the session",
                self.decide_approval,
                ApprovalAnswer,
                RunAccepted,
                (BRANCH,),
                status=202,
                errors=(400, 403, 404, 409),
            ),
            Operation(
                "GET",
                f"{session}/rules",
                "What is allowed for the session",
                self.rules,
                None,
                Rules,
                (BRANCH,),
                errors=(404,),
            ),
            Operation(
                "DELETE",
                f"{session}/rules/{{rule_id}}",
                "Take back what was allowed for the session",
                self.revoke_rule,
                None,
                None,
                (BRANCH,),
                status=204,
                errors=(404, 409),
            ),
            Operation(
                "GET", f"{session}/doubts", "Calls in doubt", self.doubts, None, Pending, (BRANCH,), errors=(404,)
            ),
            Operation(
                "POST",
                f"{session}/doubts/{{call_id}}",
                "Say what became of a call in doubt: done, not_done or retry",
                self.decide_doubt,
                DoubtAnswer,
                RunAccepted,
                (BRANCH,),
                status=202,
                errors=(400, 404, 409),
            ),
            Operation(
                "POST",
                f"{session}/calls/{{call_id}}/result",
                "Give the result of a tool that the client executes",
                self.client_result,
                ClientResult,
                RunAccepted,
                (BRANCH,),
                status=202,
                errors=(400, 404, 409),
            ),
            Operation(
                "POST",
                f"{session}/messages",
                "Say something while a run goes on: collect, steer, followup or interrupt. Without a run it begins one",
                self.send,
                NewMessage,
                QueuedReceipt,
                (BRANCH,),
                status=202,
                errors=(400, 403, 404, 409, 429),
            ),
            Operation(
                "GET", f"{session}/queue", "Messages that wait", self.queue, None, QueueView, (BRANCH,), errors=(404,)
            ),
            Operation(
                "DELETE",
                f"{session}/queue/{{queue_id}}",
                "Take a message back that waits",
                self.withdraw,
                None,
                None,
                (BRANCH,),
                status=204,
                errors=(404, 409),
            ),
            Operation(
                "POST",
                f"{session}/pause",
                "Begin nothing new in the open run",
                self.pause,
                None,
                RunAccepted,
                (BRANCH,),
                status=202,
                errors=(404, 409),
            ),
            Operation(
                "POST",
                f"{session}/continue",
                "Let a paused run go on",
                self.go_on,
                None,
                RunAccepted,
                (BRANCH,),
                status=202,
                errors=(404, 409),
            ),
            Operation(
                "GET",
                f"{session}/recovery",
                "What became of what was running when a process died or a run was stopped",
                self.recovery,
                None,
                RecoveryReport,
                (BRANCH,),
                errors=(404,),
            ),
            Operation(
                "GET",
                f"{session}/files",
                "The files of the workspace",
                self.files,
                None,
                Files,
                (BRANCH,),
                errors=(404,),
            ),
            Operation(
                "GET",
                f"{session}/files/{{path:path}}",
                "The content of one file",
                self.file,
                None,
                None,
                (Parameter("branch", "Which branch; `main` unless told otherwise."),),
                media_type="application/octet-stream",
                errors=(400, 404),
            ),
        ]

    async def all_approvals(self, request: Request) -> Response:
        """GET /approvals; of the caller's own sessions, or for the operator of everybody's."""
        return answer_json(await self._runtime.pending_approvals(self._callers.owner_of(request)))

    async def approvals(self, request: Request) -> Response:
        """GET /sessions/{session_id}/approvals"""
        return await self._pending(request, "awaiting_approval")

    async def doubts(self, request: Request) -> Response:
        """GET /sessions/{session_id}/doubts"""
        return await self._pending(request, "in_doubt")

    async def decide_approval(self, request: Request) -> Response:
        """POST /sessions/{session_id}/approvals/{approval_id}"""
        body = await read_body(request, ApprovalAnswer)
        session_id = await self._callers.session(request)
        before = await self._runtime.state(session_id, branch=branch_of(request))
        run_id = await self._runtime.resolve_approval(
            session_id,
            str(request.path_params["approval_id"]),
            approved=body.approved,
            actor=self._callers.actor_of(request),
            reason=body.reason,
            branch=branch_of(request),
            edited=None if isinstance(body.arguments, msgspec.UnsetType) else Edited(body.arguments),
            scope=body.scope,
            patterns=body.patterns,
        )
        if body.pause_after:
            await self._pause_behind(request, session_id, before.head)
        return answer_json(RunAccepted(session_id=session_id, run_id=run_id), 202)

    async def _pause_behind(self, request: Request, session_id: str, head: int) -> None:
        """Pause once the call that was approved has begun: a run that is paused before would hold it, too."""
        branch, actor = branch_of(request), self._callers.actor_of(request)
        with suppress(TimeoutError):
            async with (
                asyncio.timeout(_BEGINS_WITHIN_S),
                aclosing(self._runtime.subscribe(session_id, head, branch=branch)) as records,
            ):
                async for record in records:
                    if record.kind_name in _BEGUN:
                        break
        with suppress(NoOpenRunError):  # it may have been the last thing to do
            await self._runtime.pause(session_id, actor=actor, branch=branch)

    async def rules(self, request: Request) -> Response:
        """GET /sessions/{session_id}/rules"""
        session_id = await self._callers.session(request)
        state = await self._runtime.state(session_id, branch=branch_of(request))
        return answer_json(Rules(session_id=session_id, rules=state.rules))

    async def revoke_rule(self, request: Request) -> Response:
        """DELETE /sessions/{session_id}/rules/{rule_id}"""
        session_id = await self._callers.session(request)
        rule_id, actor = str(request.path_params["rule_id"]), self._callers.actor_of(request)
        await self._runtime.revoke_rule(session_id, rule_id, actor=actor, branch=branch_of(request))
        return Response(status_code=204)

    async def decide_doubt(self, request: Request) -> Response:
        """POST /sessions/{session_id}/doubts/{call_id}"""
        body = await read_body(request, DoubtAnswer)
        session_id = await self._callers.session(request)
        run_id = await self._runtime.resolve_doubt(
            session_id,
            str(request.path_params["call_id"]),
            body.decision,
            actor=self._callers.actor_of(request),
            note=body.note,
            branch=branch_of(request),
        )
        return answer_json(RunAccepted(session_id=session_id, run_id=run_id), 202)

    async def client_result(self, request: Request) -> Response:
        """POST /sessions/{session_id}/calls/{call_id}/result"""
        body = await read_body(request, ClientResult)
        session_id = await self._callers.session(request)
        run_id = await self._runtime.answer_client_call(
            session_id,
            str(request.path_params["call_id"]),
            body.output,
            is_error=body.is_error,
            actor=self._callers.actor_of(request),
            branch=branch_of(request),
        )
        return answer_json(RunAccepted(session_id=session_id, run_id=run_id), 202)

    async def send(self, request: Request) -> Response:
        """POST /sessions/{session_id}/messages; the session has to exist."""
        body = await read_body(request, NewMessage)
        session_id = await self._callers.session(request)
        receipt = await self._runtime.send(
            session_id,
            body.message,
            steering=body.steering,
            actor=Actor("user", self._callers.actor_of(request)),
            branch=branch_of(request),
        )
        return answer_json(receipt, 202)

    async def queue(self, request: Request) -> Response:
        """GET /sessions/{session_id}/queue"""
        session_id = await self._callers.session(request)
        state = await self._runtime.state(session_id, branch=branch_of(request))
        pending = tuple(
            QueueEntry(id=each.queue_id, steering_mode=each.mode, content=each.message, queued_us=each.queued_us)
            for each in state.queue
        )
        view = QueueView(
            session_id=session_id,
            mode=state.mode,
            queue_depth=len(pending),
            has_active_run=state.run is not None,
            oldest_message_us=min((each.queued_us for each in state.queue), default=None),
            pending=pending,
        )
        return answer_json(view)

    async def withdraw(self, request: Request) -> Response:
        """DELETE /sessions/{session_id}/queue/{queue_id}"""
        session_id = await self._callers.session(request)
        actor = self._callers.actor_of(request)
        queue_id = str(request.path_params["queue_id"])
        await self._runtime.withdraw(session_id, queue_id, actor=actor, branch=branch_of(request))
        return Response(None, 204)

    async def pause(self, request: Request) -> Response:
        """POST /sessions/{session_id}/pause"""
        session_id = await self._callers.session(request)
        actor = self._callers.actor_of(request)
        run_id = await self._runtime.pause(session_id, actor=actor, branch=branch_of(request))
        return answer_json(RunAccepted(session_id=session_id, run_id=run_id), 202)

    async def go_on(self, request: Request) -> Response:
        """POST /sessions/{session_id}/continue"""
        session_id = await self._callers.session(request)
        actor = self._callers.actor_of(request)
        run_id = await self._runtime.go_on(session_id, actor=actor, branch=branch_of(request))
        return answer_json(RunAccepted(session_id=session_id, run_id=run_id), 202)

    async def recovery(self, request: Request) -> Response:
        """GET /sessions/{session_id}/recovery"""
        session_id = await self._callers.session(request)
        return answer_json(await self._runtime.recovery_report(session_id, branch=branch_of(request)))

    async def files(self, request: Request) -> Response:
        """GET /sessions/{session_id}/files"""
        session_id = await self._callers.session(request)
        root = await self._runtime.workspace(session_id, branch=branch_of(request))
        found = await asyncio.to_thread(list_files, root)
        return answer_json(Files(session_id=session_id, files=tuple(found)))

    async def file(self, request: Request) -> Response:
        """GET /sessions/{session_id}/files/{path}"""
        session_id = await self._callers.session(request)
        root = await self._runtime.workspace(session_id, branch=branch_of(request))
        content = await asyncio.to_thread(read_file, root, str(request.path_params["path"]))
        # What an agent wrote is never run by a browser that looks at it.
        headers = {
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            "content-security-policy": "sandbox; default-src 'none'",
            "content-disposition": "attachment",
        }
        return Response(content, 200, headers, "application/octet-stream")

    async def _pending(self, request: Request, phase: str) -> Response:
        session_id = await self._callers.session(request)
        state = await self._runtime.state(session_id, branch=branch_of(request))
        calls = tuple(call for call in state.calls if call.phase == phase)
        return answer_json(Pending(session_id=state.session_id, calls=calls))
