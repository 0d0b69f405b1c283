"""`GET /sessions/{id}/events/stream?format=…`: one run of a session in a provider's format.

    canonical    every event, as the session API streams it; without end
    openai       chat.completion.chunk
    anthropic    Messages
    ai_sdk_v6    UI message stream as AI SDK 6 reads it
    ai_sdk_v7    the same for AI SDK 7, which also reads the answers to approvals

Everything but the canonical format tells one run and ends with it: one `start`, one `finish`, `[DONE]`. Which run: the one named by `run`; or the
one that stands at `cursor` (or Last-Event-ID), told from there on; or the open one, from its beginning; or the next to begin. With
`wait=false` there is 204 when none is open, as the AI SDK's chat transport wants it to resume.

Source: arcan.md §9.2; AI SDK, "Stream protocols", "Resume streams".
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.ports.http import Operation, Parameter
from life.aios.record import Stream
from life.aios.streams.anthropic import ANTHROPIC
from life.aios.streams.format import StreamFormat
from life.aios.streams.openai import OPENAI, OPENAI_WITH_USAGE
from life.aios.streams.resume import run_beginning
from life.aios.streams.vercel import VERCEL, VercelMachine
from life.arcan.doors.conversations import opened_run
from life.arcan.doors.following import follow
from life.arcan.doors.requests import Parts, owned_state
from life.arcan.doors.telling import GeneratedWrites, tell

CANONICAL: Final = "canonical"
AI_SDK_V6: Final = VERCEL._replace(name="ai_sdk_v6", machine=lambda: VercelMachine(tells_denials=True))
AI_SDK_V7: Final = VERCEL._replace(
    name="ai_sdk_v7", machine=lambda: VercelMachine(tells_denials=True, tells_answers=True)
)
FORMATS: Final = {each.name: each for each in (OPENAI, ANTHROPIC, AI_SDK_V6, AI_SDK_V7)}
_OLD_NAMES: Final = {"vercel_ai_sdk_v6": AI_SDK_V6, "aisdk_v6": AI_SDK_V6}
"""What the Rust original calls it."""


class RunStreams:
    """The canonical stream's route with the other formats beside it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def beside(self, canonical: Operation[Request, Response]) -> Operation[Request, Response]:
        """The session API's operation, extended by `format`, `run`, `wait` and `include_usage`."""

        async def either(request: Request) -> Response:
            if request.query_params.get("format", CANONICAL) == CANONICAL:
                return await canonical.endpoint(request)
            return await self.stream(request)

        names = ", ".join((CANONICAL, *FORMATS))
        query = (
            *canonical.query,
            Parameter("format", f"One of {names}. Other than canonical: one run, told to its end."),
            Parameter("run", "The run to tell; the one at the cursor, the open or the next one unless told otherwise."),
            Parameter("wait", "False: 204 when no run is open.", "boolean"),
            Parameter("include_usage", "With openai: the usage chunk.", "boolean"),
        )
        return canonical._replace(endpoint=either, query=query)

    async def stream(self, request: Request) -> Response:
        """One run in the format asked for."""
        format_ = _format(request)
        session_id = str(request.path_params["session_id"])
        state = await owned_state(self._parts, request, session_id)
        cursor = _cursor(request)
        named = request.query_params.get("run")
        stream = Stream(session_id)
        if named is not None:
            begin = (await opened_run(self._parts, session_id, named)).after_sequence
        elif cursor:
            cursor = min(cursor, state.head)
            begin = await run_beginning(self._parts.journal, stream, cursor)
        elif state.run is not None:
            begin = (await opened_run(self._parts, session_id, state.run.run_id)).after_sequence
        elif request.query_params.get("wait") == "false":
            return Response(status_code=204)
        else:
            begin = state.head
        chunks = tell(
            follow(self._parts.runtime, session_id, begin),
            format_.machine(),
            format_.heartbeat,
            after=max(cursor, begin),
        )
        return self._parts.stream(GeneratedWrites(chunks), error=format_.error, headers=format_.headers)


def _format(request: Request) -> StreamFormat:
    name = request.query_params.get("format", "")
    found = FORMATS.get(name) or _OLD_NAMES.get(name)
    if found is None:
        raise InvalidInputError(
            "There is no such stream format.",
            next_step=f"Use one of {', '.join((CANONICAL, *FORMATS))}.",
            details={"format": name[:64]},
        )
    wants_usage = request.query_params.get("include_usage") == "true"
    return OPENAI_WITH_USAGE if wants_usage and found is OPENAI else found


def _cursor(request: Request) -> int:
    text = request.headers.get("last-event-id") or request.query_params.get("cursor") or "0"
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInputError("The cursor must be the sequence number of an event.")
    return int(text)
