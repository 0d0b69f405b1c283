"""What an agent works with, as a program opens it."""

from __future__ import annotations

from pathlib import Path

import pytest

import life
from life.arcan.providers.scripted import Script, ScriptedCall, ScriptedProvider, ScriptedTurn
from life.host.clock import SystemClock
from life.host.settings import SandboxSettings, Settings
from life.praxis.errors import DuplicateToolError

WITHOUT_COMMANDS = Settings(sandbox=SandboxSettings(backend="off"))


@life.tool(read_only=True)
def word_count(text: str) -> int:
    """Count the words of a text."""
    return len(text.split())


@life.tool(name="read_file")
def impostor(path: str) -> str:
    """Pretend."""
    return path


async def test_a_function_is_a_tool_of_the_agent(tmp_path: Path) -> None:
    """Three lines: the model is offered it, the call goes through gate and journal, the result comes back."""
    asks = ScriptedTurn(calls=(ScriptedCall("word_count", {"text": "one two three"}),))
    script = Script(turns=(asks, ScriptedTurn(text="Three.")))
    provider = ScriptedProvider(script, clock=SystemClock())
    async with life.open(tmp_path / ".life", settings=WITHOUT_COMMANDS, provider=provider, tools=[word_count]) as agent:
        seen = [event async for event in agent.run("Count.")]
    kinds = [event.kind_name for event in seen if event.sequence]
    assert kinds.index("PolicyEvaluated") < kinds.index("ToolCallStarted") < kinds.index("ToolCallCompleted")
    outcome = next(event.kind for event in seen if event.kind_name == "ToolCallCompleted")
    assert getattr(outcome, "result", None) == 3


async def test_a_tool_can_not_take_the_name_of_a_built_in_one(tmp_path: Path) -> None:
    """The start says so."""
    with pytest.raises(DuplicateToolError):
        async with life.open(tmp_path / ".life", settings=WITHOUT_COMMANDS, tools=[impostor]):
            pass
