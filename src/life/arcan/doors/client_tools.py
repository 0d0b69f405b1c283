"""Tools that a chat client runs itself: the run waits for them, and the next request brings their results.

A call is told under an id that holds the run's, so the results find their session by themselves. A result that is brought again (a retried request)
changes nothing, and what followed it is told again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.requests import Request

from life.aios.errors import InvalidInputError
from life.aios.events import ToolCallCompleted
from life.aios.ids import MAIN_BRANCH
from life.aios.json import Json, JsonObject
from life.aios.ports.journal import EventQuery
from life.aios.ports.provider import ToolSpec
from life.arcan.doors.conversations import OpenedRun, opened_run
from life.arcan.doors.errors import UnsupportedParameterError
from life.arcan.doors.requests import Parts, owned_state, text_of
from life.arcan.errors import NothingToDecideError

if TYPE_CHECKING:
    from life.arcan.doors.openai_chat import ChatMessage, ChatRequest

_PREFIX: Final = "call_"
_RUN_ID_LENGTH: Final = 26
_PAGE: Final = 500
NO_ARGUMENTS: Final[JsonObject] = {"type": "object", "properties": {}}


class _Function(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    description: str = ""
    parameters: dict[str, Json] | None = None


class _Tool(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    function: _Function | None = None


def client_tools(body: ChatRequest, own: Collection[str]) -> tuple[ToolSpec, ...]:
    """The request's tools. UnsupportedParameterError for other kinds than functions, and for names that the agent's own tools have:
    a client must not take the place of a tool that is trusted."""
    if body.tool_choice == "none":
        return ()
    try:
        tools = msgspec.convert(body.tools or [], list[_Tool])
    except msgspec.ValidationError as error:
        raise InvalidInputError(f"'tools' does not fit: {error}.", details={"param": "tools"}) from None
    specs: list[ToolSpec] = []
    for tool in tools:
        if tool.type != "function" or tool.function is None:
            raise UnsupportedParameterError(
                "tools", f"there are no tools of the type '{tool.type[:32]}', only functions."
            )
        name = tool.function.name
        if name in own:
            raise UnsupportedParameterError(
                "tools", f"the agent has a tool '{name[:64]}' of its own; take another name."
            )
        specs.append(ToolSpec(name, tool.function.description, tool.function.parameters or NO_ARGUMENTS))
    return tuple(specs)


async def answer_client_calls(parts: Parts, request: Request, messages: Sequence[ChatMessage]) -> tuple[OpenedRun, int]:
    """Give the results at the end of the messages to the run that waits for them; the run, and the sequence after which it is told."""
    results = _results(messages)
    run_id = next(iter(results))[0]
    record = await parts.journal.get(run_id)
    if record is None or any(run != run_id for run, _ in results):
        raise InvalidInputError("The tool messages answer no open calls of one run.", details={"param": "messages"})
    state = await owned_state(parts, request, record.session_id)
    opened = await opened_run(parts, record.session_id, run_id)
    answered = await _answered(parts, opened)
    after = state.head
    for (_, call_id), output in results.items():
        if call_id in answered:
            after = min(after, answered[call_id] - 1)
            continue
        await give_result(parts, opened, call_id, output)
    return opened, after


async def give_result(parts: Parts, opened: OpenedRun, call_id: str, output: str) -> None:
    """One result. While something of the same run is still under way, it is waited for."""
    while True:
        try:
            await parts.runtime.answer_client_call(opened.session_id, call_id, output, actor="chat")
            return
        except NothingToDecideError:
            if call_id in await _answered(parts, opened):
                return  # by the same request at the same time
            call = (await parts.runtime.state(opened.session_id)).call(call_id)
            if call is None or call.phase != "awaiting_client":
                raise
            await parts.runtime.wait(opened.session_id, opened.run_id)


def _results(messages: Sequence[ChatMessage]) -> Mapping[tuple[str, str], str]:
    """Run id, call id and text of the tool messages at the end."""
    found: dict[tuple[str, str], str] = {}
    for number in range(len(messages) - 1, -1, -1):
        message = messages[number]
        if message.role != "tool":
            break
        where = f"messages[{number}]"
        named = message.tool_call_id or ""
        run_id, separator, call_id = named.removeprefix(_PREFIX).partition("_")
        if not named.startswith(_PREFIX) or len(run_id) != _RUN_ID_LENGTH or not separator or not call_id:
            raise InvalidInputError(
                f"'{where}.tool_call_id' names no call of this daemon.", details={"param": f"{where}.tool_call_id"}
            )
        found[run_id, call_id] = text_of(message.content, f"{where}.content")
    return dict(reversed(found.items()))


async def _answered(parts: Parts, opened: OpenedRun) -> dict[str, int]:
    """Sequences of the results of a run, by their calls."""
    found: dict[str, int] = {}
    after = opened.after_sequence
    while True:
        query = EventQuery(opened.session_id, MAIN_BRANCH, after_sequence=after, kinds=("ToolCallCompleted",))
        page = await parts.journal.read(query, limit=_PAGE)
        for record in page:
            kind, is_ours = record.kind, record.correlation_id == opened.run_id
            if is_ours and isinstance(kind, ToolCallCompleted) and kind.call_id is not None:
                found[kind.call_id] = record.sequence
        if len(page) < _PAGE:
            return found
        after = page[-1].sequence
