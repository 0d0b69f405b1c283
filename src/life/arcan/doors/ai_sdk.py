"""`POST /ai-sdk/chat`: what the AI SDK's chat transport (`useChat`, `DefaultChatTransport`) posts to; versions 6 and 7.

The chat's id is the session. A user's message begins a run; its answer is one UI message whose id is the run's. When a call waits for approval,
the stream tells `tool-approval-request` and ends there; the client's answer (`addToolApprovalResponse`) comes with the next post, in the parts of
the last assistant message, and the stream goes on with the same message. A post that repeats the last user message of a run
(its id is the key) is that run again, not another one.

`regenerate-message` is refused: what happened stays in the journal. Source: AI SDK, "Transport", "Stream protocols", "Tool approvals".
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.events import ApprovalRequested
from life.aios.ids import MAIN_BRANCH, derived_event_id
from life.aios.json import Json
from life.aios.ports.http import Operation, Parameter
from life.aios.ports.journal import EventQuery
from life.arcan.doors.conversations import Conversations, OpenedRun, opened_run
from life.arcan.doors.errors import UnsupportedParameterError
from life.arcan.doors.following import follow_run
from life.arcan.doors.openai_chat import RUN_HEADER, SESSION_HEADER
from life.arcan.doors.requests import Parts, check_owner, owned_state, read_json, text_of
from life.arcan.doors.run_streams import AI_SDK_V6, AI_SDK_V7
from life.arcan.doors.telling import GeneratedWrites, tell
from life.arcan.errors import NothingToDecideError
from life.arcan.people_api import SCOPE

_VERSIONS: Final = {"6": AI_SDK_V6, "7": AI_SDK_V7}
_RESTS: Final[tuple[Literal["waiting", "in_doubt", "paused"], ...]] = ("waiting", "in_doubt", "paused")
_PAGE: Final = 500


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """The `approval` of a tool part."""

    id: str
    approved: bool | None = None
    reason: str | None = None


class MessagePart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a UI message; other fields are passed over."""

    type: str
    text: str | None = None
    state: str | None = None
    approval: Approval | None = None


class UiMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A UI message."""

    id: str
    role: Literal["system", "user", "assistant"]
    parts: list[MessagePart]


class ChatPost(msgspec.Struct, frozen=True, kw_only=True):
    """Body of POST /ai-sdk/chat."""

    id: str
    messages: list[UiMessage]
    trigger: str = "submit-message"
    model: str = ""
    """Ours: which agent answers a new chat (`body` of the transport)."""


class AiSdkDoor:
    """The handlers."""

    def __init__(self, parts: Parts, conversations: Conversations) -> None:
        self._parts = parts
        self._conversations = conversations

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        version = Parameter("version", "The AI SDK's major version, 6 or 7; 6 unless told otherwise.", "integer")
        return [
            Operation(
                "POST",
                "/ai-sdk/chat",
                "What the AI SDK's chat transport posts to; approvals are answered here, too",
                self.chat,
                ChatPost,
                None,
                (version,),
                media_type="text/event-stream",
                errors=(400, 404, 409),
                scope=SCOPE,
            ),
            Operation(
                "GET",
                "/ai-sdk/chat/{chat_id}/stream",
                "Resume the open run of a chat from its beginning; 204 when none is open",
                self.resume,
                None,
                None,
                (version,),
                media_type="text/event-stream",
                errors=(400, 404),
                scope=SCOPE,
            ),
        ]

    async def chat(self, request: Request) -> Response:
        """POST /ai-sdk/chat"""
        body = await read_json(request, ChatPost)
        if body.trigger != "submit-message":
            raise UnsupportedParameterError("trigger", "what happened stays; fork the session instead.")
        if not body.messages:
            raise InvalidInputError("There is no message.")
        last = body.messages[-1]
        if last.role == "assistant":
            return await self._answered(request, body.id, last)
        if last.role != "user":
            raise InvalidInputError(
                "The last message must be the user's, or the assistant's with answers to approvals."
            )
        for part in last.parts:
            if part.type == "file":
                raise UnsupportedParameterError("messages", "files can't be given to this agent.")
        texts: list[Json] = [{"type": "text", "text": part.text} for part in last.parts if part.type == "text"]
        owner = self._parts.owner_of(request)
        model = self._conversations.model(body.model, owner) if body.model else self._parts.models["life"]
        runtime = self._parts.runtime
        state = await runtime.create_session(
            body.id, owner=owner or "", provider=model.provider, system_prompt=model.system_prompt
        )
        check_owner(state, owner)
        key = derived_event_id("arcan.ai_sdk_message", body.id, last.id)
        run_id = await runtime.start(body.id, text_of(texts, "messages"), idempotency_key=key)
        return self._stream(request, await opened_run(self._parts, body.id, run_id), 0)

    async def resume(self, request: Request) -> Response:
        """GET /ai-sdk/chat/{chat_id}/stream"""
        state = await owned_state(self._parts, request, str(request.path_params["chat_id"]))
        if state.run is None or state.status in _RESTS:
            return Response(status_code=204)
        return self._stream(request, await opened_run(self._parts, state.session_id, state.run.run_id), 0)

    async def _answered(self, request: Request, session_id: str, message: UiMessage) -> Response:
        """Decide what the client has answered, and tell the rest of the run."""
        state = await owned_state(self._parts, request, session_id)
        opened = await opened_run(self._parts, session_id, message.id)
        answers = [part.approval for part in message.parts if part.state == "approval-responded" and part.approval]
        decided = [answer for answer in answers if answer.approved is not None]
        if not decided:
            raise InvalidInputError("The last message answers no approval.")
        for answer in decided:
            try:
                await self._parts.runtime.resolve_approval(
                    session_id, answer.id, approved=bool(answer.approved), actor="ai-sdk", reason=answer.reason
                )
            except NothingToDecideError:
                if not await self._was_asked(opened, answer.id):
                    raise  # otherwise it is answered: by a post that is repeated now, or by somebody else meanwhile
        start = msgspec.json.encode({"type": "start", "messageId": message.id})
        return self._stream(request, opened, state.head, b"data: %b\n\n" % start)

    async def _was_asked(self, opened: OpenedRun, approval_id: str) -> bool:
        """Whether the run has asked for this approval."""
        after = opened.after_sequence
        while True:
            query = EventQuery(opened.session_id, MAIN_BRANCH, after_sequence=after, kinds=("ApprovalRequested",))
            page = await self._parts.journal.read(query, limit=_PAGE)
            for record in page:
                if isinstance(record.kind, ApprovalRequested) and record.kind.approval_id == approval_id:
                    return True
            if len(page) < _PAGE:
                return False
            after = page[-1].sequence

    def _stream(self, request: Request, opened: OpenedRun, after: int, opening: bytes = b"") -> Response:
        format_ = _VERSIONS.get(request.query_params.get("version", "6"))
        if format_ is None:
            raise InvalidInputError("The version must be 6 or 7.")
        batches = follow_run(self._parts.runtime, opened.session_id, opened.run_id, opened.after_sequence, rests=_RESTS)
        chunks = tell(
            batches, format_.machine(), format_.heartbeat, after=max(after, opened.after_sequence), opening=opening
        )
        return self._parts.stream(
            GeneratedWrites(chunks),
            error=format_.error,
            headers=(*format_.headers, (SESSION_HEADER, opened.session_id), (RUN_HEADER, opened.run_id)),
        )
