"""Middleware: programs around every model call and every tool call of the one loop (arcan.md §15).

    class Careful(Middleware):
        name = "careful"

        async def before_tool(self, call, context):
            return Veto("Not on a Friday.") if call.tool_name == "deploy" else None

    Runtime(…, middleware=[Careful()])

What a middleware may do, by what it returns (None: nothing):

    before_model   RequestEdit  another system text, fewer tools, a shorter answer, a note to the model; Veto ends the run
    after_model    AnswerEdit   other text, other calls; Veto drops every call of the answer and tells the model why
    before_tool    ArgumentsEdit, Veto, or a ToolOutcome that stands for the call: then the tool does not run
    after_tool     ToolOutcome  that stands for what the tool gave

Each sees what those before it made of things. Everything it changes is journaled before it counts, so the journal alone gives the same
requests without it: edited requests as `arcan.request_edited`, notes as `arcan.noted`, arguments as `arcan.call_edited`, answers and
results as the events they become; `arcan.intervened` says who did it. Edited arguments pass the gate like any others.

A middleware that raises, or takes longer than ten seconds, is named in the journal and passed over; one with `required = True` vetoes
instead. After a crash a point may be asked again, so middleware keeps its own effects repeatable.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from life.aios.json import Json
from life.aios.ports.provider import ModelRequest, ToolCallChunk
from life.aios.ports.tools import ToolCall, ToolContext, ToolOutcome
from life.arcan.control import Action, Intervened, Noted, Point, RequestEdited, control
from life.arcan.session_log import SessionLog
from life.arcan.session_state import SessionState

TIMEOUT_S: Final = 10

_T = TypeVar("_T")
_log = logging.getLogger("life.arcan")


class Veto(NamedTuple):
    """No. The reason is for the model and the journal."""

    reason: str


class RequestEdit(NamedTuple):
    """How the next request differs. What is None or empty stays."""

    system: str | None = None
    withheld_tools: tuple[str, ...] = ()
    max_output_tokens: int | None = None
    note: str = ""
    """Said to the model as a turn of its own, which stays in the conversation."""


class Answer(NamedTuple):
    """A model's answer before it counts."""

    text: str
    calls: tuple[ToolCallChunk, ...]


class AnswerEdit(NamedTuple):
    """Other words, or other calls. What is None stays."""

    text: str | None = None
    calls: tuple[ToolCallChunk, ...] | None = None


class ArgumentsEdit(NamedTuple):
    """The call with other arguments."""

    arguments: Json


class Middleware:
    """Override what you need. `name` stands in the journal."""

    name: str = "middleware"
    required: bool = False
    """Whether its failure is a veto."""
    timeout_s: int = TIMEOUT_S

    async def before_model(self, request: ModelRequest, state: SessionState) -> RequestEdit | Veto | None:
        """Before every model call. `request` is what it would be given."""
        return None

    async def after_model(self, answer: Answer, state: SessionState) -> AnswerEdit | Veto | None:
        """Before an answer counts."""
        return None

    async def before_tool(self, call: ToolCall, context: ToolContext) -> ArgumentsEdit | Veto | ToolOutcome | None:
        """Once per call, before the gate."""
        return None

    async def after_tool(self, call: ToolCall, context: ToolContext, outcome: ToolOutcome) -> ToolOutcome | None:
        """After every call that ran."""
        return None


class MiddlewareChain:
    """All middleware of a runtime around one session. Stages what it changes in the session's log."""

    def __init__(self, items: Sequence[Middleware], log: SessionLog) -> None:
        self._items = tuple(items)
        self._log = log

    def __bool__(self) -> bool:
        return bool(self._items)

    async def before_model(self, build: Callable[[], ModelRequest], state: SessionState) -> Veto | None:
        """Ask everybody about the request that `build` gives now, with the edits so far; a veto, or None."""
        for item in self._items:
            found = await self._asked(item, "before_model", item.before_model(build(), state))
            if isinstance(found, Veto):
                self._note(item, "before_model", "veto", explanation=found.reason)
                return found
            if found is not None:
                self._edit_request(item, found)
        return None

    async def after_model(self, answer: Answer, state: SessionState) -> Answer | Veto:
        """The answer as everybody leaves it, or the first veto."""
        for item in self._items:
            found = await self._asked(item, "after_model", item.after_model(answer, state))
            if isinstance(found, Veto):
                self._note(item, "after_model", "veto", explanation=found.reason)
                return found
            if found is not None:
                self._note(item, "after_model", "edit")
                answer = Answer(
                    answer.text if found.text is None else found.text,
                    answer.calls if found.calls is None else found.calls,
                )
        return answer

    async def before_tool(self, call: ToolCall, context: ToolContext) -> ToolCall | Veto | ToolOutcome:
        """The call as everybody leaves it, the first veto, or the first outcome that stands for it."""
        for item in self._items:
            found = await self._asked(item, "before_tool", item.before_tool(call, context))
            if isinstance(found, Veto):
                self._note(item, "before_tool", "veto", subject=call.call_id, explanation=found.reason)
                return found
            if isinstance(found, ToolOutcome):
                self._note(item, "before_tool", "replace", subject=call.call_id)
                return found
            if found is not None:
                self._note(item, "before_tool", "edit", subject=call.call_id)
                call = ToolCall(call.call_id, call.tool_name, found.arguments)
        return call

    async def after_tool(self, call: ToolCall, context: ToolContext, outcome: ToolOutcome) -> ToolOutcome:
        """The outcome as everybody leaves it. Nothing undoes an effect: a veto does not exist here."""
        for item in self._items:
            found = await self._asked(item, "after_tool", item.after_tool(call, context, outcome), vetoes=False)
            if isinstance(found, ToolOutcome):
                self._note(item, "after_tool", "replace", subject=call.call_id)
                outcome = found
        return outcome

    async def _asked(
        self, item: Middleware, point: Point, asking: Awaitable[_T], *, vetoes: bool = True
    ) -> _T | Veto | None:
        try:
            async with asyncio.timeout(item.timeout_s):
                return await asking
        except Exception as error:
            # Somebody's program must not take the run with it; its words may hold anything, so only the type.
            words = f"It failed: {type(error).__name__}."
            _log.warning("The middleware %s failed at %s: %s", item.name, point, type(error).__name__)
            self._note(item, point, "failed", explanation=words)
            return Veto(f"A required check ({item.name}) failed.") if item.required and vetoes else None

    def _edit_request(self, item: Middleware, edit: RequestEdit) -> None:
        run = self._log.state.run
        if edit.note:
            self._log.add(control(Noted(by=item.name, text=edit.note)))
        if edit.system is None and not edit.withheld_tools and edit.max_output_tokens is None:
            return
        before = run.edit if run is not None and run.edit is not None else RequestEdited(by="")
        edited = RequestEdited(
            by=f"{before.by} {item.name}".strip(),
            system=before.system if edit.system is None else edit.system,
            withheld_tools=(*before.withheld_tools, *edit.withheld_tools),
            max_output_tokens=edit.max_output_tokens or before.max_output_tokens,
        )
        self._log.add(control(edited))

    def _note(
        self, item: Middleware, point: Point, action: Action, *, subject: str = "", explanation: str = ""
    ) -> None:
        note = Intervened(by=item.name, point=point, action=action, subject=subject, explanation=explanation)
        self._log.add(control(note))
