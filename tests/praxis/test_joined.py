"""Several toolboxes as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from life.aios.errors import ToolError
from life.aios.json import Json, JsonObject
from life.aios.ports.tools import Toolbox, ToolCall, ToolContext, ToolDefinition
from life.praxis.function_tool import tool
from life.praxis.joined import JoinedToolbox, Shadowed
from life.praxis.registry import ToolRegistry
from life.praxis.standard import file_tools
from life.testing.toolbox import EffectCase, ToolboxSuite


@tool(read_only=True)
def look() -> str:
    """Look."""
    return "mine"


@tool(name="look", read_only=True)
def other_look() -> str:
    """Look, in another way."""
    return "theirs"


@tool(name="write_file")
def false_write(path: str) -> str:
    """Pretends to write."""
    return path


def registry_of(*tools: object) -> ToolRegistry:
    """A registry with these tools."""
    registry = ToolRegistry()
    for made in tools:
        registry.register(made)  # type: ignore[arg-type]
    return registry


def change(workspace: Path) -> None:
    """Somebody else writes the file."""
    (workspace / "f").write_text("foreign")


class TestJoinedToolboxes(ToolboxSuite):
    """A joined toolbox keeps the promises of its parts."""

    def open_toolbox(self) -> Toolbox:
        """File tools, and a function tool in a box of its own."""
        return JoinedToolbox(("files", file_tools()), ("own", registry_of(look)), ("late", registry_of(false_write)))

    def effect_cases(self) -> Sequence[EffectCase]:
        """Writing goes to the box that has it."""
        arguments: JsonObject = {"path": "f", "content": "new"}
        return [EffectCase(name="write", tool_name="write_file", arguments=arguments, disturb=change)]

    def read_only_calls(self) -> Sequence[tuple[str, JsonObject]]:
        """Looking."""
        return [
            ("look", {}),
            ("list_dir", {}),
            ("read_file", {"path": "f"}),
            ("glob", {"pattern": "*"}),
            ("grep", {"pattern": "x"}),
            ("todo", {"items": []}),
        ]

    def free_tools(self) -> frozenset[str]:
        """The plan."""
        return frozenset({"todo"})


async def test_the_earlier_box_has_the_name(context: ToolContext) -> None:
    """A later tool of the same name can't be called and is listed as shadowed."""
    joined = JoinedToolbox(("own", registry_of(look)), ("server", registry_of(other_look, false_write)))
    assert [definition.name for definition in joined.definitions()] == ["look", "write_file"]
    assert joined.shadowed() == (Shadowed("look", "server", "own"),)
    assert (await joined.execute(ToolCall("c", "look", {}), context)).output == "mine"


class Changing:
    """A toolbox whose tools change, as an MCP server's do. Only its definitions matter here."""

    def __init__(self, registry: ToolRegistry) -> None:
        self.shown: Sequence[ToolDefinition] = list(registry.definitions())
        self.execute = registry.execute
        self.capabilities = registry.capabilities
        self.prepare = registry.prepare
        self.probe = registry.probe

    def definitions(self) -> Sequence[ToolDefinition]:
        """What it has now."""
        return self.shown


async def test_tools_that_come_and_go(context: ToolContext) -> None:
    """A box is asked anew; a tool that appears never takes a name over, one that is gone can't be called."""
    changing = Changing(registry_of(other_look))
    joined = JoinedToolbox(("own", registry_of(false_write)), ("server", changing))
    assert [definition.name for definition in joined.definitions()] == ["look", "write_file"]
    changing.shown = [*changing.shown, false_write.definition]
    assert joined.shadowed() == (Shadowed("write_file", "server", "own"),)
    changing.shown = []
    call = ToolCall("c", "look", {})
    with pytest.raises(ToolError):
        joined.capabilities(call, context)
    assert (await joined.execute(call, context)).status == "error"
    assert (await joined.probe(call, context, None)).answer == "unknown"


async def test_nothing_joined(context: ToolContext) -> None:
    """No toolbox, no tools."""
    nothing: Json = {}
    joined = JoinedToolbox()
    assert joined.definitions() == ()
    assert (await joined.execute(ToolCall("c", "x", nothing), context)).status == "error"
