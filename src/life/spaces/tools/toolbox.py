"""The tools of Spaces behind the Toolbox port (spaces.md §9; W18): gated, journaled and probed like all others.

    spaces:read      spaces_list_spaces, spaces_list_channels, spaces_list_members, spaces_read_messages, spaces_read_dms, spaces_search,
                     spaces_find_agent, spaces_wait_for, spaces_hired
    spaces:write     spaces_send_message, spaces_reply_in_thread, spaces_react, spaces_send_dm, spaces_log_event, spaces_rate,
                     spaces_ask, spaces_create_channel (a person confirms it)
    spaces:hire      spaces_hire, spaces_deliver, spaces_accept, spaces_reject
    payments:hire    spaces_hire, as well, for a price above what the payment policy agrees to by itself

Every tool acts as the session's agent. An interrupted call is exact: what a call makes has ids that follow from the call, so running it
again makes it once, and where Spaces forgets such ids after a day, the probe looks for what was made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from life.aios.errors import LifeError, PaymentError, ToolError
from life.aios.json import Json, JsonObject
from life.aios.ports.tools import Probe, ToolAnnotations, ToolCall, ToolContext, ToolDefinition, ToolOutcome
from life.spaces.tools import arguments as given
from life.spaces.tools import hires, reading, waiting, writing
from life.spaces.tools.room import Room
from life.spaces.tools.telling import Told, outcome_notes

TIMEOUT_S: Final = 30
WAIT_TIMEOUT_S: Final = 310
"""Of tools that wait; their own limit is 300 s."""
HIRE_TIMEOUT_S: Final = 120
CATEGORY: Final = "spaces"
CAPABILITY: Final = "spaces:*"
GATED: Final = "payments:hire:*"
"""What a session's policy should ask a person about."""

_Run = Callable[[Room, Any, ToolContext], Awaitable[Told]]
_Before = Callable[[Room, Any, ToolContext], Awaitable[Told | None]]


class _Tool(NamedTuple):
    definition: ToolDefinition
    arguments: type[msgspec.Struct]
    needs: Callable[[Any], tuple[str, ...]]
    run: _Run
    before: _Before | None = None
    """What an interrupted call made, or None; without it, running it again makes it once."""


class SpacesToolbox:
    """The Toolbox port over a seat and a hiring desk. The host joins it with the others."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._tools = {tool.definition.name: tool for tool in self._all()}
        self._definitions = tuple(self._tools[name].definition for name in sorted(self._tools))

    def definitions(self) -> Sequence[ToolDefinition]:
        """See Toolbox."""
        return self._definitions

    def capabilities(self, call: ToolCall, context: ToolContext) -> tuple[str, ...]:
        """See Toolbox. A hire above the limit of the payment policy needs a person."""
        tool, arguments = self._opened(call)
        return tool.needs(arguments)

    async def prepare(self, call: ToolCall, context: ToolContext) -> Json:
        """See Toolbox. What a probe needs is in the call's key."""
        self._opened(call)
        return None

    async def execute(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """See Toolbox."""
        try:
            tool, arguments = self._opened(call)
            async with asyncio.timeout(tool.definition.timeout_s):
                told = await tool.run(self._room, arguments, context)
        except LifeError as error:
            return ToolOutcome(status="error", output=_failure(error, call, context))
        except TimeoutError:
            seconds = self._tools[call.tool_name].definition.timeout_s
            output: dict[str, Json] = {"error": f"{call.tool_name} did not end within {seconds} s."}
            return ToolOutcome(status="timeout", output=output | _open_hire(call, context))
        return _outcome(told, call)

    async def probe(self, call: ToolCall, context: ToolContext, prepared: Json) -> Probe:
        """See Toolbox."""
        try:
            tool, arguments = self._opened(call)
        except ToolError as unfit:
            return Probe(answer="unknown", explanation=unfit.message)
        if tool.before is None:
            words = (
                "It only reads." if tool.definition.annotations.read_only else "Its effect follows from its id, once."
            )
            return Probe(answer="repeatable", explanation=words)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                told = await tool.before(self._room, arguments, context)
        except (LifeError, TimeoutError) as error:
            return Probe(answer="repeatable", explanation=f"Spaces could not be asked ({type(error).__name__}).")
        if told is None:
            return Probe(answer="not_done", explanation="Spaces does not have it.")
        return Probe(answer="done", explanation="Spaces has it.", outcome=_outcome(told, call))

    def _opened(self, call: ToolCall) -> tuple[_Tool, msgspec.Struct]:
        tool = self._tools.get(call.tool_name)
        if tool is None:
            raise ToolError(f"There is no Spaces tool named '{call.tool_name[:64]}'.")
        try:
            return tool, msgspec.convert(call.arguments, tool.arguments, strict=True)
        except msgspec.ValidationError as unfit:
            raise ToolError(f"Invalid arguments for {call.tool_name}: {unfit}.") from None

    def _hire_needs(self, arguments: given.HireArguments) -> tuple[str, ...]:
        peer = arguments.peer.removeprefix("@")
        if arguments.price_micro > self._room.auto_limit():
            return f"spaces:hire:{peer}", f"payments:hire:{peer}"
        return (f"spaces:hire:{peer}",)

    def _all(self) -> list[_Tool]:
        return [
            _reading("spaces_list_spaces", "List the spaces that you can see.", given.ListSpaces, reading.list_spaces),
            _reading(
                "spaces_list_channels", "List the channels of a space.", given.ListChannels, reading.list_channels
            ),
            _reading(
                "spaces_list_members",
                "List the members of a space, and who is here now.",
                given.ListMembers,
                reading.list_members,
            ),
            _reading(
                "spaces_read_messages",
                "Read messages of a channel or thread, the newest unless you say before or after which.",
                given.ReadMessages,
                reading.read_messages,
            ),
            _reading("spaces_read_dms", "Read your direct messages with a peer.", given.ReadDms, reading.read_dms),
            _reading("spaces_search", "Find messages that contain a text.", given.SearchArguments, reading.search),
            _reading(
                "spaces_find_agent",
                "Find agents in the directory by skill, price and your own trust in them.",
                given.FindAgent,
                reading.find_agent,
            ),
            _reading(
                "spaces_wait_for",
                "Wait (at most 300 s) for a message, a direct message, a delivered hire, work for you, or an answer.",
                given.WaitFor,
                waiting.wait_for,
                timeout_s=WAIT_TIMEOUT_S,
            ),
            _reading(
                "spaces_hired",
                "Show hires, yours and those that others made of you, and where they and their money stand.",
                given.Hired,
                hires.hired,
            ),
            _writing(
                "spaces_create_channel",
                "Make a channel in a space that you may manage.",
                given.CreateChannelArguments,
                writing.create_channel,
                annotations=ToolAnnotations(open_world=True, idempotent=True, requires_confirmation=True),
            ),
            _writing(
                "spaces_send_message",
                "Write a message into a channel.",
                given.SendMessageArguments,
                writing.send_message,
                before=writing.sent_before,
            ),
            _writing(
                "spaces_reply_in_thread",
                "Write into a thread (thread_id), or open one in a channel (channel, name).",
                given.ReplyInThread,
                writing.reply_in_thread,
            ),
            _writing("spaces_react", "React to a message with an emoji.", given.React, writing.react),
            _writing(
                "spaces_send_dm",
                "Write a direct message to one peer.",
                given.SendDm,
                writing.send_dm,
                before=writing.dm_before,
            ),
            _writing(
                "spaces_log_event",
                "Write a signed, structured event into an agent log.",
                given.LogEventArguments,
                writing.log_event,
                before=writing.logged_before,
            ),
            _writing(
                "spaces_ask",
                "Ask a peer a question, for nothing, and wait for the answer.",
                given.Ask,
                hires.ask,
                timeout_s=WAIT_TIMEOUT_S,
            ),
            _writing(
                "spaces_rate",
                "Say in the agent log how a hire that is over went, with 1 to 5 stars.",
                given.Rate,
                hires.rate,
            ),
            _Tool(
                _definition(
                    "spaces_hire",
                    "Hire a peer: the price is put into escrow at once, and paid when you accept the delivery (or say nothing until "
                    "the review is over); it comes back when you reject it or nothing is delivered in time.",
                    given.HireArguments,
                    ToolAnnotations(open_world=True),
                    HIRE_TIMEOUT_S,
                ),
                given.HireArguments,
                self._hire_needs,
                hires.hire,
            ),
            _hiring(
                "spaces_deliver",
                "Deliver the work of a hire (or the answer to a question) that you were asked for, or decline it.",
                given.Deliver,
                hires.deliver,
            ),
            _hiring(
                "spaces_accept",
                "Accept a delivery: its worker is paid from the escrow.",
                given.Accept,
                hires.accept,
            ),
            _hiring(
                "spaces_reject",
                "Reject a delivery that is not what was agreed on: the money comes back to you.",
                given.Reject,
                hires.reject,
            ),
        ]


def _open_hire(call: ToolCall, context: ToolContext) -> dict[str, Json]:
    """What is said of a hire of which nobody knows how far it came: calling again would be another one, paid for as well."""
    if call.tool_name != "spaces_hire":
        return {}
    advice = (
        "Its price may be put aside already. Look with spaces_hired (hire_id) before you hire anybody for this again; a price whose worker "
        "was never told comes back at the deadline."
    )
    return {"hire_id": hires.hire_id_of(context), "advice": advice}


def _failure(error: LifeError, call: ToolCall, context: ToolContext) -> dict[str, Json]:
    """What a model reads when a call failed. A payment is never to be made again on its own account (ARCHITECTURE, decision 7)."""
    output: dict[str, Json] = {"error": error.message, "code": error.code}
    if isinstance(error, PaymentError):
        output["advice"] = "Do not hire again to get around this: look with spaces_hired first, and ask a person."
    elif error.retryable:
        output["advice"] = "The same call may go through later."
        output |= _open_hire(call, context)
    if error.next_step is not None:
        output["next_step"] = error.next_step
    return output


def _outcome(told: Told, call: ToolCall) -> ToolOutcome:
    notes = outcome_notes(told, call_id=call.call_id, tool=call.tool_name)
    return ToolOutcome(status="ok", output=told.output, notes=notes)


def _reading(
    name: str, description: str, arguments: type[msgspec.Struct], run: _Run, *, timeout_s: int = TIMEOUT_S
) -> _Tool:
    annotations = ToolAnnotations(read_only=True, idempotent=True, open_world=True)
    definition = _definition(name, description, arguments, annotations, timeout_s)
    return _Tool(definition, arguments, lambda _: ("spaces:read:messages",), run)


def _writing(
    name: str,
    description: str,
    arguments: type[msgspec.Struct],
    run: _Run,
    *,
    annotations: ToolAnnotations | None = None,
    before: _Before | None = None,
    timeout_s: int = TIMEOUT_S,
) -> _Tool:
    definition = _definition(name, description, arguments, annotations or ToolAnnotations(open_world=True), timeout_s)
    return _Tool(definition, arguments, lambda _: (f"spaces:write:{name.removeprefix('spaces_')}",), run, before)


def _hiring(name: str, description: str, arguments: type[msgspec.Struct], run: _Run) -> _Tool:
    annotations = ToolAnnotations(open_world=True, idempotent=True)
    definition = _definition(name, description, arguments, annotations, TIMEOUT_S)
    return _Tool(definition, arguments, lambda _: (f"spaces:hire:{name.removeprefix('spaces_')}",), run)


def _definition(
    name: str,
    description: str,
    arguments: type[msgspec.Struct],
    annotations: ToolAnnotations,
    timeout_s: int,
) -> ToolDefinition:
    return ToolDefinition(
        name=name,
        description=description,
        input_schema=_schema(arguments),
        annotations=annotations,
        category=CATEGORY,
        timeout_s=timeout_s,
        cost_class="expensive" if name == "spaces_hire" else "normal",
    )


def _schema(arguments: type[msgspec.Struct]) -> JsonObject:
    (reference,), components = msgspec.json.schema_components((arguments,), ref_template="#/$defs/{name}")
    schema = components.pop(reference["$ref"].rpartition("/")[2])
    out = {key: value for key, value in schema.items() if key not in ("title", "description")}
    out.setdefault("properties", {})
    if components:
        out["$defs"] = components
    return out
