"""The port of adapters: a loop asks for models and tools through a desk, and the desk answers once they ran, or from the record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import NamedTuple, Protocol

from life.aios.json import Json, JsonObject
from life.aios.ports.provider import ChatMessage, ToolSpec
from life.aios.ports.tools import ToolAnnotations
from life.aios.state import TokenUsage


class NativeCall(NamedTuple):
    """A call that the loop's model asks for, under the framework's own id."""

    native_id: str
    name: str
    arguments: Json


class NativeAnswer(NamedTuple):
    """An answer of the loop's model. `native` is all that the framework needs to have it again, as JSON."""

    native: Json
    text: str
    calls: tuple[NativeCall, ...] = ()
    usage: TokenUsage | None = None
    model: str | None = None


class NativeResult(NamedTuple):
    """What the journal holds as the result of a call: the text that the model is given."""

    text: str
    is_error: bool


class LoopTool(NamedTuple):
    """A tool of the loop's own. `annotations` decide what happens to a call that a crash cut off: a tool that only reads or
    is idempotent runs again, about any other a person is asked."""

    name: str
    description: str
    input_schema: JsonObject
    annotations: ToolAnnotations = ToolAnnotations()
    timeout_s: int = 300


Ask = Callable[[], Awaitable[NativeAnswer]]
Perform = Callable[[JsonObject], Awaitable[Json]]


class LoopDesk(Protocol):
    """What a loop is given to work with. One model call at a time; tool calls of one answer may come together."""

    async def model(self, ask: Ask) -> Json:
        """`native` of the next answer: recorded, or asked for now. `ask` runs at most once, and not at all when recorded."""
        ...

    async def tool(self, native_id: str, perform: Perform | None) -> NativeResult:
        """The result of a call of the last answer: recorded, or once the gate let it run. `perform` gets the arguments that
        were allowed, and is None for tools of the runtime."""
        ...


class ForeignLoop(Protocol):
    """An agent of another framework."""

    @property
    def name(self) -> str:
        """For the journal: `pydantic-ai:assistant`."""
        ...

    def tools(self) -> Sequence[LoopTool]:
        """Its own tools. All of them, and the same every time."""
        ...

    def run(
        self, desk: LoopDesk, objective: str, *, history: Sequence[ChatMessage], offered: Sequence[ToolSpec]
    ) -> Coroutine[object, object, str]:
        """Run the loop to its end; its final output as text. `history`: what was said before. `offered`: tools of the runtime
        that the loop's model may call as well. The same objective, history and recorded answers must lead to the same
        next question: then a run goes on after a restart where it was."""
        ...
