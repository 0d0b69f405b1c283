"""What the tests of agents work with: definitions from text, and a model that plays another script for every agent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from life.aios.ports.journal import Journal
from life.aios.ports.provider import ModelProvider, ModelRequest
from life.aios.state import TokenUsage
from life.arcan.agents.catalogue import AgentCatalogue
from life.arcan.agents.definition import AgentDefinition, parse_definition
from life.arcan.providers.scripted import Script, ScriptedCall, ScriptedProvider, ScriptedTurn
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.testing.clock import SeededEntropy
from tests.arcan.workbench import EVERYTHING, Workbench

VERDICT = "output_schema: {type: object, required: [verdict], properties: {verdict: {enum: [good, bad]}}}"


def agent(name: str, *lines: str, body: str = "") -> AgentDefinition:
    """A definition; its instructions name it, so that the model below knows who asks."""
    head = "\n".join(("---", f"name: {name}", f"description: The agent {name}.", *lines, "---"))
    definition = parse_definition(f"{head}\nYou are {name}. {body}\n".encode(), stem=name)
    assert definition is not None
    return definition


def spawn(name: str, value: object = "Go.") -> ScriptedCall:
    """A call of `spawn_agent`."""
    return ScriptedCall("spawn_agent", {"name": name, "input": value})  # type: ignore[dict-item]


def record(answer: object) -> ScriptedTurn:
    """A turn that records an answer."""
    return ScriptedTurn(calls=(ScriptedCall("record_answer", {"answer": answer}),))  # type: ignore[dict-item]


def turn(*calls: ScriptedCall, text: str = "", tokens: int = 10) -> ScriptedTurn:
    """A turn with calls or text that costs so many tokens."""
    return ScriptedTurn(text=text, calls=calls, usage=TokenUsage(tokens - 1, 1, tokens))


class Cast:
    """A model that plays the script of whoever's instructions begin the request; `root` for everybody else."""

    def __init__(self, scripts: Mapping[str, Script], bench: Workbench) -> None:
        self._players = {name: ScriptedProvider(script, clock=bench.clock) for name, script in scripts.items()}
        self.asked: list[str] = []
        self.requests: list[ModelRequest] = []

    @property
    def name(self) -> str:
        return "cast"

    async def stream(self, request: ModelRequest):  # type: ignore[no-untyped-def]
        who = request.system.split(".")[0].removeprefix("You are ") if request.system.startswith("You are ") else ""
        who = who if who in self._players else "root"
        self.asked.append(who)
        self.requests.append(request)
        async for chunk in self._players[who].stream(request):
            yield chunk


@asynccontextmanager
async def fleet_on(
    journal: Journal,
    bench: Workbench,
    provider: ModelProvider,
    *agents: AgentDefinition,
    seed: str = "test",
    settings: RuntimeSettings | None = None,
    open_provider: Callable[[str], ModelProvider] | None = None,
) -> AsyncIterator[Runtime]:
    """A runtime with these agents."""
    runtime = Runtime(
        journal,
        bench,
        provider=provider,
        clock=bench.clock,
        entropy=SeededEntropy(seed),
        agent_id="agent-1",
        workspace_of=lambda session_id: str(bench.workspace),
        settings=settings or RuntimeSettings(policy=EVERYTHING, shutdown_grace_ms=0, system_prompt="You are root."),
        open_provider=open_provider,
        agents=AgentCatalogue(agents),
    )
    try:
        yield runtime
    finally:
        await runtime.aclose()
