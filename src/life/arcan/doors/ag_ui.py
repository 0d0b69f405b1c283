"""`POST /ag-ui/runs`: AG-UI's RunAgentInput in, a server-sent stream of AG-UI events out.

The thread is the session; the last user message is the objective. The client's run id is the key: the same run posted again is told
again, not run again. A call that waits for approval ends the client's run with the outcome `interrupt`; the next post answers in `resume`
(`payload: {"approved": true}`; `cancelled` counts as no), and the same run of ours goes on. A call of the client's own tools ends it with
`pendingToolCallIds`; the next post brings their results as tool messages.

Source: AG-UI 1.0, "RunAgentInput", "Interrupts"; docs/doors.md.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError, LifeError
from life.aios.ids import derived_event_id
from life.aios.json import Json
from life.aios.ports.http import Operation
from life.aios.ports.provider import ToolSpec
from life.aios.streams.frames import comment
from life.arcan.doors.ag_ui_machine import AgUiMachine
from life.arcan.doors.client_tools import NO_ARGUMENTS, give_result
from life.arcan.doors.conversations import Conversations, opened_run
from life.arcan.doors.errors import UnsupportedParameterError
from life.arcan.doors.following import follow_run
from life.arcan.doors.openai_chat import RUN_HEADER, SESSION_HEADER
from life.arcan.doors.requests import Parts, check_owner, owned_state, read_json, text_of
from life.arcan.doors.telling import GeneratedWrites, tell
from life.arcan.errors import NothingToDecideError
from life.arcan.people_api import SCOPE

_RESTS: Final[tuple[Literal["waiting", "in_doubt", "paused"], ...]] = ("waiting", "in_doubt", "paused")


class AgUiMessage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One message of the thread."""

    role: str
    content: Json = None
    tool_call_id: str | None = None


class AgUiTool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that the client runs itself."""

    name: str
    description: str = ""
    parameters: dict[str, Json] | None = None


class Resume(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer to an interrupt."""

    interrupt_id: str
    status: Literal["resolved", "cancelled"]
    payload: Json = None


class RunAgentInput(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Body of POST /ag-ui/runs. `state` and `context` are the client's own and are not read; unknown fields are passed over."""

    thread_id: str
    run_id: str
    messages: list[AgUiMessage]
    tools: list[AgUiTool] | None = None
    resume: list[Resume] | None = None
    forwarded_props: Json = None
    """`{"model": "…"}` says which agent answers a new thread."""


class AgUiDoor:
    """The handler."""

    def __init__(self, parts: Parts, conversations: Conversations) -> None:
        self._parts = parts
        self._conversations = conversations

    def operations(self) -> list[Operation[Request, Response]]:
        """The route."""
        return [
            Operation(
                "POST",
                "/ag-ui/runs",
                "Run an agent by AG-UI",
                self.run,
                RunAgentInput,
                None,
                media_type="text/event-stream",
                errors=(400, 404, 409),
                scope=SCOPE,
            )
        ]

    async def run(self, request: Request) -> Response:
        """POST /ag-ui/runs"""
        body = await read_json(request, RunAgentInput)
        if body.messages and body.messages[-1].role == "tool":
            run_id, after = await self._results(request, body)
        elif body.resume:
            run_id, after = await self._resume(request, body, body.resume)
        else:
            run_id, after = await self._start(request, body), 0
        opened = await opened_run(self._parts, body.thread_id, run_id)
        after = max(after, opened.after_sequence)
        machine = AgUiMachine(body.thread_id, body.run_id, after=after)
        opening = machine.begin(await self._parts.runtime.state(body.thread_id))
        batches = follow_run(self._parts.runtime, body.thread_id, run_id, opened.after_sequence, rests=_RESTS)
        chunks = tell(batches, machine, lambda _cursor, _moved: comment(b"ping"), after=after, opening=opening)
        headers = ((SESSION_HEADER, body.thread_id), (RUN_HEADER, run_id))
        return self._parts.stream(GeneratedWrites(chunks), error=_error, headers=headers)

    async def _start(self, request: Request, body: RunAgentInput) -> str:
        said = next((message for message in reversed(body.messages) if message.role == "user"), None)
        if said is None:
            raise InvalidInputError("There is no message of the user.")
        objective = text_of(said.content, "messages")
        owner = self._parts.owner_of(request)
        props = body.forwarded_props if isinstance(body.forwarded_props, dict) else {}
        name = props.get("model")
        model = self._conversations.model(name if isinstance(name, str) else "life", owner)
        runtime = self._parts.runtime
        state = await runtime.create_session(
            body.thread_id, owner=owner or "", provider=model.provider, system_prompt=model.system_prompt
        )
        check_owner(state, owner)
        key = derived_event_id("arcan.ag_ui_run", body.thread_id, body.run_id)
        tools = []
        for tool in body.tools or ():
            if tool.name in runtime.tool_names:
                raise UnsupportedParameterError("tools", f"the agent has a tool '{tool.name[:64]}' of its own.")
            tools.append(ToolSpec(tool.name, tool.description, tool.parameters or NO_ARGUMENTS))
        return await runtime.start(body.thread_id, objective, idempotency_key=key, client_tools=tools)

    async def _results(self, request: Request, body: RunAgentInput) -> tuple[str, int]:
        """Give what the client's tools gave to the run that waits for it."""
        state = await owned_state(self._parts, request, body.thread_id)
        waiting = {call.call_id for call in state.calls if call.phase == "awaiting_client"}
        given = {message.tool_call_id: message for message in body.messages if message.role == "tool"}
        if state.run is None or not waiting & given.keys():
            raise NothingToDecideError(body.thread_id, str(body.messages[-1].tool_call_id)[:64])
        opened = await opened_run(self._parts, body.thread_id, state.run.run_id)
        for call_id in sorted(waiting & given.keys()):
            await give_result(self._parts, opened, call_id, text_of(given[call_id].content, "messages"))
        return state.run.run_id, state.head

    async def _resume(self, request: Request, body: RunAgentInput, answers: list[Resume]) -> tuple[str, int]:
        """Decide what the client has answered; the open run, and how far it was told."""
        state = await owned_state(self._parts, request, body.thread_id)
        run = state.run
        if run is None:
            raise NothingToDecideError(body.thread_id, answers[0].interrupt_id)
        for answer in answers:
            approved, reason = _decision(answer)
            await self._parts.runtime.resolve_approval(
                body.thread_id, answer.interrupt_id, approved=approved, actor="ag-ui", reason=reason
            )
        return run.run_id, state.head


def _decision(answer: Resume) -> tuple[bool, str | None]:
    if answer.status == "cancelled":
        return False, "The user did not answer."
    payload = answer.payload
    if isinstance(payload, bool):
        return payload, None
    if isinstance(payload, dict) and isinstance(payload.get("approved"), bool):
        reason = payload.get("reason")
        return bool(payload["approved"]), reason if isinstance(reason, str) else None
    raise InvalidInputError('The payload of an answer must be {"approved": true} or {"approved": false}.')


def _error(error: LifeError) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode({"type": "RUN_ERROR", "message": error.message, "code": error.code})
