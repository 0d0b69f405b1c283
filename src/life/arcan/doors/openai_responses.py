"""`POST /v1/responses`: an agent as OpenAI's Responses API offers one.

A response is a run; its id is `resp_<run id>`. `previous_response_id` goes on in that run's session when nothing happened there since, and
otherwise in a new session that knows the turns up to there. With `background` the answer comes at once, and `GET /v1/responses/{id}` and
`POST /v1/responses/{id}/cancel` follow. `store: false` is refused: the journal keeps everything. The agent's tools and the client's are treated as
in `openai_chat`.

Source: OpenAI API reference, "Responses", "Streaming events"; docs/doors.md.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError, LifeError
from life.aios.events import Message, UserMessage
from life.aios.ids import MAIN_BRANCH
from life.aios.json import Json
from life.aios.ports.http import Operation
from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord
from life.aios.state import TokenUsage
from life.aios.streams.frames import Frame, comment, render
from life.aios.streams.runs import (
    RunBroke,
    RunEnded,
    RunOpened,
    RunReader,
    TextEnded,
    TextPiece,
    plain,
)
from life.arcan.doors.answers import Answer, AnswerReader, read_answer
from life.arcan.doors.conversations import Asked, Conversations, OpenedRun, Turn, opened_run
from life.arcan.doors.errors import RunFailedError, RunNeedsPersonError, UnsupportedParameterError
from life.arcan.doors.following import follow_run
from life.arcan.doors.openai_chat import KEY_HEADER, SESSION_HEADER, check_tools, finish_reason, is_retry, run_headers
from life.arcan.doors.requests import Parts, answer_json, check_owner, read_json, text_of
from life.arcan.doors.telling import GeneratedWrites, tell
from life.arcan.errors import RunNotFoundError
from life.arcan.people_api import SCOPE

PREFIX: Final = "resp_"
_PAGE: Final = 500
_NOT_APPLIED: Final = ("temperature", "top_p", "max_output_tokens", "reasoning", "truncation", "include", "user")


class ResponseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Body of POST /v1/responses; unknown fields are passed over."""

    model: str
    input: Json
    instructions: str | None = None
    previous_response_id: str | None = None
    stream: bool | None = None
    background: bool | None = None
    store: bool | None = None
    metadata: dict[str, Json] | None = None
    tools: list[Json] | None = None
    tool_choice: Json = None
    text: dict[str, Json] | None = None
    conversation: Json = None
    prompt: Json = None
    temperature: Json = None
    top_p: Json = None
    max_output_tokens: Json = None
    reasoning: Json = None
    truncation: Json = None
    include: Json = None
    user: Json = None


class OpenAiResponsesDoor:
    """The handlers."""

    def __init__(self, parts: Parts, conversations: Conversations) -> None:
        self._parts = parts
        self._conversations = conversations

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        one = "/v1/responses/{response_id}"
        summary = "Run an agent as OpenAI's responses do"
        errors = (400, 404, 409, 502)
        return [
            Operation("POST", "/v1/responses", summary, self.create, ResponseRequest, None, errors=errors, scope=SCOPE),
            Operation("GET", one, "How a response stands", self.show, None, None, errors=(404,), scope=SCOPE),
            Operation("POST", f"{one}/cancel", "Stop its run", self.cancel, None, None, errors=(404,), scope=SCOPE),
        ]

    async def create(self, request: Request) -> Response:
        """POST /v1/responses"""
        body = await read_json(request, ResponseRequest)
        _check(body)
        opened = await self._conversations.open_run(await self._asked(request, body))
        headers = run_headers(opened, body, _NOT_APPLIED)
        shell = _Shell(opened, body.model, previous=body.previous_response_id, metadata=body.metadata or {})
        batches = follow_run(self._parts.runtime, opened.session_id, opened.run_id, opened.after_sequence)
        if body.stream:
            chunks = tell(
                batches,
                ResponsesMachine(shell),
                lambda _cursor, _moved: comment(b"ping"),
                before_end=lambda: self._conversations.noted(opened.run_id),
                at_rest=bytes,
                unfinished=RunNeedsPersonError(opened.session_id),
            )
            return self._parts.stream(GeneratedWrites(chunks), error=_error, headers=headers)
        if body.background:
            await batches.aclose()
            return answer_json(shell.response("in_progress", Answer()), headers=dict(headers))
        try:
            answer = await read_answer(batches, opened.session_id)
        except RunFailedError as error:
            return answer_json(shell.response("failed", Answer(), error=error.message), headers=dict(headers))
        await self._conversations.noted(opened.run_id)
        return answer_json(shell.response(_status(answer), answer), headers=dict(headers))

    async def show(self, request: Request) -> Response:
        """GET /v1/responses/{response_id}"""
        return await self._shown(await self._opened(request, str(request.path_params["response_id"])))

    async def cancel(self, request: Request) -> Response:
        """POST /v1/responses/{response_id}/cancel; one that has ended is answered as it is."""
        opened = await self._opened(request, str(request.path_params["response_id"]))
        run = (await self._parts.runtime.state(opened.session_id)).run
        if run is not None and run.run_id == opened.run_id:
            await self._parts.runtime.cancel(opened.session_id)
        return await self._shown(opened)

    # ---- what came before

    async def _opened(self, request: Request, response_id: str) -> OpenedRun:
        """The run of a response of the caller's; RunNotFoundError."""
        run_id = response_id.removeprefix(PREFIX)
        record = await self._parts.journal.get(run_id)
        if record is None or run_id == response_id:
            raise RunNotFoundError("any", response_id[:64])
        opened = await opened_run(self._parts, record.session_id, run_id)
        try:
            check_owner(await self._parts.runtime.state(opened.session_id), self._parts.owner_of(request))
        except LifeError:
            raise RunNotFoundError("any", response_id[:64]) from None
        return opened

    async def _asked(self, request: Request, body: ResponseRequest) -> Asked:
        system, turns = _input(body.input)
        if body.instructions:
            system = [body.instructions, *system]
        asked = Asked(
            owner=self._parts.owner_of(request),
            model=body.model,
            system="\n\n".join(system),
            turns=tuple(turns),
            session_id=request.headers.get(SESSION_HEADER),
            key=request.headers.get(KEY_HEADER),
            is_retry=is_retry(request),
        )
        if body.previous_response_id is None:
            return asked
        previous = await self._opened(request, body.previous_response_id)
        state = await self._parts.runtime.state(previous.session_id)
        if state.last_run is not None and state.last_run.run_id == previous.run_id and state.run is None:
            return asked._replace(session_id=previous.session_id)
        earlier = await self._turns_up_to(previous)
        return asked._replace(turns=(*earlier, *asked.turns), session_id=None)

    async def _turns_up_to(self, opened: OpenedRun) -> list[Turn]:
        """What was said in the session until this run ended."""
        turns: list[Turn] = []
        async for record in _history(self._parts, opened.session_id, 0):
            kind = record.kind
            if isinstance(kind, UserMessage):
                turns.append(Turn("user", kind.content))
            elif isinstance(kind, Message) and kind.role == "assistant":
                turns.append(Turn("assistant", kind.content))
            elif record.kind_name in ("RunFinished", "RunErrored") and record.correlation_id == opened.run_id:
                break
        return turns

    async def _shown(self, opened: OpenedRun) -> Response:
        reader = AnswerReader()
        async for record in _history(self._parts, opened.session_id, opened.after_sequence):
            reader.feed(record)
            if reader.answer.is_ended:
                break
        answer = reader.answer
        model = answer.opened.model if answer.opened is not None else ""
        shell = _Shell(opened, model, previous=None, metadata={})
        error = answer.broke.error if answer.broke is not None else None
        return answer_json(shell.response(_status(answer), answer, error=error))


class _Shell:
    """A response object without its contents."""

    def __init__(self, opened: OpenedRun, model: str, *, previous: str | None, metadata: dict[str, Json]) -> None:
        self.run_id = opened.run_id
        self._model = model
        self._previous = previous
        self._metadata = metadata

    def response(self, status: str, answer: Answer, *, error: str | None = None) -> dict[str, Json]:
        """The response object, with every field that the official client's type demands."""
        usage = answer.ended.usage if answer.ended is not None else None
        output = [self.item(number, text, "completed") for number, text in enumerate(answer.messages)]
        failure: Json = {"code": "server_error", "message": error} if error is not None else None
        return {
            "id": f"{PREFIX}{self.run_id}",
            "object": "response",
            "created_at": answer.at_us // 1_000_000,
            "status": status,
            "background": False,
            "error": failure,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": None,
            "metadata": self._metadata,
            "model": self._model,
            "output": output,
            "parallel_tool_calls": True,
            "previous_response_id": self._previous,
            "store": True,
            "temperature": None,
            "tool_choice": "auto",
            "tools": [],
            "top_p": None,
            "usage": None if usage is None else _usage(usage),
        }

    def item(self, number: int, text: str | None, status: str) -> dict[str, Json]:
        """An output message; without text it has just begun."""
        content: list[Json] = [] if text is None else [_part(text)]
        return {
            "id": f"msg_{self.run_id}_{number}",
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": content,
        }


class ResponsesMachine:
    """One response: its messages as output items, each with one text part."""

    def __init__(self, shell: _Shell) -> None:
        self.run_ended = False
        self._shell = shell
        self._reader = RunReader()
        self._answer = Answer()
        self._pieces: list[str] | None = None
        self._number = 0

    def feed(self, record: EventRecord) -> Sequence[Frame]:
        """See Machine."""
        frames: list[Frame] = []
        for part in self._reader.read(record):
            if self.run_ended:
                break
            match part:
                case RunOpened():
                    self._answer.opened = part
                    frames.append(self._frame("response.created", response=self._response("in_progress")))
                    frames.append(self._frame("response.in_progress", response=self._response("in_progress")))
                case TextPiece():
                    frames += self._text(part.text)
                case TextEnded():
                    frames += self._end_text()
                case RunEnded():
                    self._answer.ended = part
                    self.run_ended = True
                    status = _status(self._answer)
                    # There is no event for a cancelled response; clients are told that it is not whole.
                    name = "incomplete" if status == "cancelled" else status
                    frames.append(self._frame(f"response.{name}", response=self._response(status)))
                case RunBroke():
                    self.run_ended = True
                    failed = self._shell.response("failed", self._answer, error=part.error)
                    frames.append(self._frame("response.failed", response=failed))
                case _:
                    pass
        return frames

    def done(self) -> bytes:
        """See Machine: the run goes on without this stream."""
        if self.run_ended:
            return b""
        return render([*self._end_text(), self._frame("response.incomplete", response=self._response("incomplete"))], 0)

    def _response(self, status: str) -> dict[str, Json]:
        return self._shell.response(status, self._answer)

    def _frame(self, type_: str, **fields: Json) -> Frame:
        data = msgspec.json.encode({"type": type_, "sequence_number": self._number, **fields})
        self._number += 1
        return Frame(data, type_.encode())

    def _at(self) -> dict[str, Json]:
        index = len(self._answer.messages)
        return {"item_id": f"msg_{self._shell.run_id}_{index}", "output_index": index, "content_index": 0}

    def _text(self, text: str) -> list[Frame]:
        frames: list[Frame] = []
        if self._pieces is None:
            self._pieces = []
            index = len(self._answer.messages)
            item = self._shell.item(index, None, "in_progress")
            frames.append(self._frame("response.output_item.added", output_index=index, item=item))
            frames.append(self._frame("response.content_part.added", **self._at(), part=_part("")))
        self._pieces.append(text)
        frames.append(self._frame("response.output_text.delta", **self._at(), delta=text, logprobs=[]))
        return frames

    def _end_text(self) -> list[Frame]:
        if self._pieces is None:
            return []
        text, self._pieces = "".join(self._pieces), None
        index = len(self._answer.messages)
        frames = [
            self._frame("response.output_text.done", **self._at(), text=text, logprobs=[]),
            self._frame("response.content_part.done", **self._at(), part=_part(text)),
            self._frame(
                "response.output_item.done", output_index=index, item=self._shell.item(index, text, "completed")
            ),
        ]
        self._answer.messages.append(text)
        return frames


def _part(text: str) -> dict[str, Json]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(usage: TokenUsage) -> dict[str, Json]:
    cached = usage.cached_prompt_tokens
    reasoning = usage.reasoning_tokens
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0 if cached is msgspec.UNSET else cached},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0 if reasoning is msgspec.UNSET else reasoning},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _status(answer: Answer) -> str:
    if answer.broke is not None:
        return "failed"
    if answer.ended is None:
        return "in_progress"
    if plain(answer.ended.reason) == "cancelled":
        return "cancelled"
    return "incomplete" if finish_reason(answer.reason) == "length" else "completed"


def _input(value: Json) -> tuple[list[str], list[Turn]]:
    """System texts and turns of `input`: a string, or a list of messages. Calls, results and reasoning are passed over."""
    if isinstance(value, str):
        return [], [Turn("user", value)]
    if not isinstance(value, list):
        raise InvalidInputError("'input' must be text or a list of items.", details={"param": "input"})
    system: list[str] = []
    turns: list[Turn] = []
    for number, item in enumerate(value):
        where = f"input[{number}]"
        if not isinstance(item, dict):
            raise InvalidInputError(f"'{where}' must be an object.", details={"param": where})
        if item.get("type", "message") != "message":
            if item.get("type") in ("function_call", "function_call_output", "reasoning", "item_reference"):
                continue
            raise UnsupportedParameterError(where, f"items of the kind '{str(item.get('type'))[:32]}' can't be given.")
        role, text = item.get("role"), text_of(item.get("content"), f"{where}.content")
        if role in ("system", "developer"):
            system.append(text)
        elif role == "user":
            turns.append(Turn("user", text))
        elif role == "assistant":
            turns.append(Turn("assistant", text))
        else:
            raise InvalidInputError(f"There is no role '{str(role)[:32]}'.", details={"param": f"{where}.role"})
    return system, turns


def _check(body: ResponseRequest) -> None:
    check_tools(body.tools, body.tool_choice)
    if body.store is False:
        raise UnsupportedParameterError("store", "the journal keeps what happens; it can't be turned off.")
    if body.conversation is not None:
        raise UnsupportedParameterError("conversation", "use previous_response_id or the header X-Life-Session.")
    if body.prompt is not None:
        raise UnsupportedParameterError("prompt", "there are no stored prompts here.")
    if body.background and body.stream:
        raise UnsupportedParameterError(
            "background", "a stream or the background, not both; a run outlives its stream."
        )
    format_ = (body.text or {}).get("format")
    if isinstance(format_, dict) and format_.get("type") != "text":
        raise UnsupportedParameterError("text.format", "an agent answers in text.")


async def _history(parts: Parts, session_id: str, after: int) -> AsyncGenerator[EventRecord, None]:
    """The events of a session after a sequence."""
    while True:
        page = await parts.journal.read(EventQuery(session_id, MAIN_BRANCH, after_sequence=after), limit=_PAGE)
        for record in page:
            yield record
        if len(page) < _PAGE:
            return
        after = page[-1].sequence


def _error(error: LifeError) -> bytes:
    data = {"type": "error", "sequence_number": 0, "code": error.code, "message": error.message, "param": None}
    return render([Frame(msgspec.json.encode(data), b"error")], 0)
