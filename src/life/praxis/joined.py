"""Several toolboxes as one: the built-in tools, MCP servers, skills, what the host brings.

Names: the toolbox that stands earlier has its name; a later tool of the same name is left out and listed in `shadowed`,
so that a server which adds a tool in the middle of a session can never take the place of `write_file`. Toolboxes that
change their tools are asked anew every time; a call goes to the box that has the name at that moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from life.aios.json import Json
from life.aios.ports.tools import Probe, Toolbox, ToolCall, ToolContext, ToolDefinition, ToolOutcome
from life.praxis.errors import ToolNotFoundError
from life.praxis.failures import failure_output


class Shadowed(NamedTuple):
    """A tool that can't be called because an earlier toolbox has its name."""

    tool_name: str
    toolbox: str
    hidden_by: str


class _Index(NamedTuple):
    sources: tuple[Sequence[ToolDefinition], ...]
    definitions: tuple[ToolDefinition, ...]
    owners: dict[str, int]
    shadowed: tuple[Shadowed, ...]


class JoinedToolbox:
    """The toolboxes in order of precedence, each with a name for people."""

    def __init__(self, *toolboxes: tuple[str, Toolbox]) -> None:
        self._toolboxes = toolboxes
        self._index: _Index | None = None

    def definitions(self) -> Sequence[ToolDefinition]:
        """All tools that can be called, by name."""
        return self._current().definitions

    def shadowed(self) -> Sequence[Shadowed]:
        """The tools that can't be called because of their names."""
        return self._current().shadowed

    def capabilities(self, call: ToolCall, context: ToolContext) -> tuple[str, ...]:
        """What the tool's own toolbox says. ToolNotFoundError when none has it."""
        return self._owner(call).capabilities(call, context)

    async def prepare(self, call: ToolCall, context: ToolContext) -> Json:
        """What the tool's own toolbox says. ToolNotFoundError when none has it."""
        return await self._owner(call).prepare(call, context)

    async def execute(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """Run the call where it belongs."""
        try:
            owner = self._owner(call)
        except ToolNotFoundError as missing:
            return ToolOutcome(status="error", output=failure_output(missing))
        return await owner.execute(call, context)

    async def probe(self, call: ToolCall, context: ToolContext, prepared: Json) -> Probe:
        """Ask where it belongs; a tool that is gone leaves its calls unknown."""
        try:
            owner = self._owner(call)
        except ToolNotFoundError as missing:
            return Probe(answer="unknown", explanation=missing.message)
        return await owner.probe(call, context, prepared)

    def _owner(self, call: ToolCall) -> Toolbox:
        index = self._current()
        owner = index.owners.get(call.tool_name)
        if owner is None:
            known = ", ".join(definition.name for definition in index.definitions[:100]) or "none"
            raise ToolNotFoundError(f"There is no tool named {call.tool_name[:64]!r}. Tools: {known}.")
        return self._toolboxes[owner][1]

    def _current(self) -> _Index:
        """The index over what the toolboxes have now; built again only when one of them says something else."""
        sources = tuple(toolbox.definitions() for _, toolbox in self._toolboxes)
        index = self._index
        if index is None or not all(new is old for new, old in zip(sources, index.sources, strict=True)):
            index = self._index = self._built(sources)
        return index

    def _built(self, sources: tuple[Sequence[ToolDefinition], ...]) -> _Index:
        owners: dict[str, int] = {}
        chosen: dict[str, ToolDefinition] = {}
        shadowed: list[Shadowed] = []
        for number, definitions in enumerate(sources):
            for definition in definitions:
                owner = owners.setdefault(definition.name, number)
                if owner == number:
                    chosen[definition.name] = definition
                else:
                    names = self._toolboxes[number][0], self._toolboxes[owner][0]
                    shadowed.append(Shadowed(definition.name, *names))
        # A list may be changed in place by its owner: it is never taken for the same.
        kept = tuple(source if isinstance(source, tuple) else tuple(source) for source in sources)
        return _Index(kept, tuple(chosen[name] for name in sorted(chosen)), owners, tuple(shadowed))
