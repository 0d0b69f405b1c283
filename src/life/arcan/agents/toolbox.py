"""`spawn_agent` among the tools of a runtime: what it is, what it needs. Who runs it is the loop (`life.arcan.agents.spawn`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from life.aios.errors import ToolError
from life.aios.json import Json, JsonObject
from life.aios.ports.tools import Probe, ToolAnnotations, Toolbox, ToolCall, ToolContext, ToolDefinition, ToolOutcome
from life.arcan.agents.budget import SPAWN_AGENT
from life.arcan.agents.catalogue import AgentCatalogue

_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "The agent's name."},
        "input": {"description": "What it is to work on: text, or what its input schema asks for."},
    },
    "required": ["name", "input"],
    "additionalProperties": False,
}


class SpawnArguments(NamedTuple):
    """The arguments of `spawn_agent`."""

    name: str
    input: Json


def spawn_tool(
    catalogue: AgentCatalogue, permitted: Callable[[str], bool] = lambda name: True
) -> ToolDefinition | None:
    """`spawn_agent` with the agents that may be named; None when there are none."""
    lines = [f"- {agent.name}: {agent.description}" for agent in catalogue.agents if permitted(agent.name)]
    if not lines:
        return None
    return ToolDefinition(
        name=SPAWN_AGENT,
        description=(
            "Let another agent do a part of the work, and get its answer. It sees nothing of this conversation but what you "
            "give it as input, and works in the same workspace. Calls in one answer work side by side.\n"
            + "\n".join(lines)
        ),
        input_schema=_SCHEMA,
        annotations=ToolAnnotations(),
        category="agents",
        timeout_s=30,
    )


def spawn_arguments(arguments: Json) -> SpawnArguments:
    """The arguments, when they fit; ToolError otherwise."""
    if not isinstance(arguments, Mapping) or set(arguments) - {"name", "input"}:
        raise ToolError("The arguments are an object with 'name' and 'input'.")
    name = arguments.get("name")
    if not isinstance(name, str) or "input" not in arguments:
        raise ToolError("The arguments are an object with 'name' and 'input'.")
    return SpawnArguments(name, arguments["input"])


class AgentToolbox:
    """A toolbox with `spawn_agent` beside its own tools. A tool of that name in the inner one gives way."""

    def __init__(self, inner: Toolbox, catalogue: AgentCatalogue) -> None:
        self._inner = inner
        self._catalogue = catalogue
        self._source: Sequence[ToolDefinition] | None = None
        self._known: tuple[ToolDefinition, ...] = ()

    def definitions(self) -> Sequence[ToolDefinition]:
        """All tools, by name."""
        source = self._inner.definitions()
        if source is not self._source:
            spawn = spawn_tool(self._catalogue)
            own = () if spawn is None else (spawn,)
            others = (definition for definition in source if definition.name != SPAWN_AGENT)
            self._known = tuple(sorted((*others, *own), key=lambda definition: definition.name))
            self._source = source
        return self._known

    def capabilities(self, call: ToolCall, context: ToolContext) -> tuple[str, ...]:
        """`agent:spawn:<name>`."""
        if call.tool_name != SPAWN_AGENT:
            return self._inner.capabilities(call, context)
        name = spawn_arguments(call.arguments).name
        if self._catalogue.find(name) is None:
            known = ", ".join(agent.name for agent in self._catalogue.agents)
            raise ToolError(f"There is no agent named '{name[:64]}'. There are: {known}.")
        return (f"agent:spawn:{name}",)

    async def prepare(self, call: ToolCall, context: ToolContext) -> Json:
        """Nothing for `spawn_agent`: its child is found again by its id."""
        return None if call.tool_name == SPAWN_AGENT else await self._inner.prepare(call, context)

    async def execute(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """The inner tools'. An agent is spawned by a run of a session only."""
        if call.tool_name == SPAWN_AGENT:
            return ToolOutcome(status="error", output={"error": "Agents are spawned by a session's run only."})
        return await self._inner.execute(call, context)

    async def probe(self, call: ToolCall, context: ToolContext, prepared: Json) -> Probe:
        """A spawn that no child belongs to has not happened."""
        if call.tool_name == SPAWN_AGENT:
            return Probe(answer="not_done", explanation="No agent was begun.")
        return await self._inner.probe(call, context, prepared)
