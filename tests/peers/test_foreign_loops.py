"""What is particular to each framework, with its real package and its own test models (docs/bring-your-own-loop.md)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import RunContext

from life.aios.errors import InvalidInputError
from life.aios.ports.journal import Journal
from life.arcan.foreign.outside_loop import OutsideLoop
from life.arcan.foreign.port import ForeignLoop
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import SeededEntropy
from tests.arcan.workbench import EVERYTHING, Workbench, kinds


@asynccontextmanager
async def running(
    loop: ForeignLoop, bench: Workbench, journal: Journal, *, seed: str = "x", runtime_tools: tuple[str, ...] = ()
) -> AsyncIterator[Runtime]:
    """A runtime around the loop."""
    outside = OutsideLoop(loop, runtime_tools=runtime_tools)
    runtime = Runtime(
        journal,
        outside.toolbox(bench, journal),
        provider=outside,
        clock=bench.clock,
        entropy=SeededEntropy(seed),
        agent_id="agent-1",
        workspace_of=lambda session_id: str(bench.workspace),
        settings=RuntimeSettings(policy=EVERYTHING, shutdown_grace_ms=0, approval_timeout_s=None),
    )
    try:
        yield runtime
    finally:
        await runtime.aclose()
        await outside.aclose()


async def _report(loop: ForeignLoop, tmp_path: Path) -> Any:
    bench, journal = Workbench(tmp_path), MemoryJournal()
    async with running(loop, bench, journal) as runtime:
        await runtime.create_session("s")
        return await runtime.run("s", "Go.")


class TestPydanticAI:
    """pydantic-ai."""

    async def test_output_types_and_their_retries_stay_the_frameworks(self, tmp_path: Path) -> None:
        """A wrong output is told to the model by the framework and asked for again: each request is a step of its own, the
        output tool is no call of ours, and the answer is the output as JSON."""
        from pydantic import BaseModel
        from pydantic_ai import Agent, ModelRetry
        from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
        from pydantic_ai.models.function import AgentInfo, FunctionModel

        from life.arcan.foreign.pydantic_ai import PydanticAILoop

        class Verdict(BaseModel):
            good: bool
            score: int

        def play(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            place = sum(isinstance(message, ModelResponse) for message in messages)
            scores: list[Any] = ["many", 0, 7]
            return ModelResponse([ToolCallPart(info.output_tools[0].name, {"good": True, "score": scores[place]})])

        agent = Agent(FunctionModel(play), name="judge", output_type=Verdict, retries=5)

        @agent.output_validator
        def at_least_one(output: Verdict) -> Verdict:
            if output.score < 1:
                raise ModelRetry("Higher.")
            return output

        bench, journal = Workbench(tmp_path), MemoryJournal()
        async with running(PydanticAILoop(agent), bench, journal) as runtime:
            await runtime.create_session("s")
            report = await runtime.run("s", "Judge.")
        assert (report.reason, report.final_answer, report.steps) == ("completed", '{"good":true,"score":7}', 3)
        assert (await kinds(journal, "s")).count("Message") == 3

    async def test_arguments_that_do_not_fit_are_the_frameworks_business(self, tmp_path: Path) -> None:
        """It answers such a call itself, also beside one that fits; that one runs, and the model sees both answers."""
        from pydantic_ai import Agent
        from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
        from pydantic_ai.models.function import AgentInfo, FunctionModel

        from life.arcan.foreign.pydantic_ai import PydanticAILoop

        done: list[int] = []
        said: list[str] = []

        def play(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            said.append(str(messages[-1]))
            if sum(isinstance(message, ModelResponse) for message in messages) == 0:
                return ModelResponse([ToolCallPart("add", {"n": "x"}), ToolCallPart("add", {"n": 2})])
            return ModelResponse([TextPart("ok")])

        agent = Agent(FunctionModel(play), name="adder")

        @agent.tool_plain
        def add(n: int) -> int:
            """Add."""
            done.append(n)
            return n

        report = await _report(PydanticAILoop(agent), tmp_path)
        assert (report.reason, done) == ("completed", [2])
        assert "valid integer" in said[-1]

    async def test_sequential_tools_and_a_tool_that_asks_for_another_try(self, tmp_path: Path) -> None:
        """Tools that must not run side by side wait for each other's results; ModelRetry is a result that the model reads."""
        from pydantic_ai import Agent, ModelRetry
        from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
        from pydantic_ai.models.function import AgentInfo, FunctionModel

        from life.arcan.foreign.pydantic_ai import PydanticAILoop

        done: list[str] = []

        def play(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            if sum(isinstance(message, ModelResponse) for message in messages) == 0:
                return ModelResponse([ToolCallPart("step", {"name": name}) for name in ("a", "b", "c")])
            return ModelResponse([TextPart(str(messages[-1]))])

        agent = Agent(FunctionModel(play), name="steps", deps_type=str)

        @agent.tool(sequential=True)
        async def step(ctx: RunContext[str], name: str) -> str:
            """One step."""
            if name == "b":
                raise ModelRetry("Not b.")
            done.append(f"{ctx.deps}:{name}")
            return f"did {name}"

        report = await _report(PydanticAILoop(agent, deps="here"), tmp_path)
        assert (report.reason, done) == ("completed", ["here:a", "here:c"])
        assert "did a" in report.final_answer and "Not b." in report.final_answer and "did c" in report.final_answer

    async def test_a_tool_that_nobody_has_is_the_frameworks_business(self, tmp_path: Path) -> None:
        """It tells its model so, and the model asks for another one; nothing of ours was called."""
        from pydantic_ai import Agent
        from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
        from pydantic_ai.models.function import AgentInfo, FunctionModel

        from life.arcan.foreign.pydantic_ai import PydanticAILoop

        def play(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            place = sum(isinstance(message, ModelResponse) for message in messages)
            return ModelResponse([TextPart("Then not.") if place else ToolCallPart("fly", {})])

        bench, journal = Workbench(tmp_path), MemoryJournal()
        async with running(PydanticAILoop(Agent(FunctionModel(play), name="n")), bench, journal) as runtime:
            await runtime.create_session("s")
            report = await runtime.run("s", "Fly.")
        assert (report.reason, report.final_answer, report.steps) == ("completed", "Then not.", 2)

    async def test_its_own_test_model_runs(self, tmp_path: Path) -> None:
        """TestModel calls every tool once and says what they gave."""
        from pydantic_ai import Agent
        from pydantic_ai.models.test import TestModel

        from life.arcan.foreign.pydantic_ai import PydanticAILoop

        agent = Agent(TestModel(), name="t")

        @agent.tool_plain
        def now() -> str:
            """The time."""
            return "noon"

        report = await _report(PydanticAILoop(agent, read_only=("now",)), tmp_path)
        assert report.reason == "completed" and "noon" in report.final_answer

    async def test_what_can_not_be_recorded_is_refused(self) -> None:
        """No model, tools that defer, names that nobody has: said when the loop is made."""
        from pydantic_ai import Agent
        from pydantic_ai.models.test import TestModel
        from pydantic_ai.toolsets import FunctionToolset

        from life.arcan.foreign.pydantic_ai import PydanticAILoop

        with pytest.raises(InvalidInputError, match="no model"):
            PydanticAILoop(Agent())
        with pytest.raises(InvalidInputError, match="no function tool"):
            PydanticAILoop(Agent(TestModel()), read_only=("nothing",))
        agent = Agent(TestModel(), toolsets=[FunctionToolset().prefixed("x")])
        with pytest.raises(InvalidInputError, match="can't be recorded"):
            PydanticAILoop(agent)

    async def test_a_model_or_a_loop_that_fails_ends_the_run(self, tmp_path: Path) -> None:
        """Only the type of the error is told: its words may hold anything."""
        from pydantic_ai import Agent
        from pydantic_ai.messages import ModelMessage, ModelResponse
        from pydantic_ai.models.function import AgentInfo, FunctionModel

        from life.arcan.foreign.pydantic_ai import PydanticAILoop

        def play(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            raise ConnectionError("sk-secret")

        report = await _report(PydanticAILoop(Agent(FunctionModel(play), name="f")), tmp_path)
        assert report.reason == "error" and "ConnectionError" in report.error and "sk-secret" not in report.error


class TestOpenAIAgents:
    """The OpenAI Agents SDK."""

    async def test_handoffs_and_output_types_stay_the_frameworks(self, tmp_path: Path) -> None:
        """Agents hand off to each other and back; their models' requests are steps of one run, and the typed output is its
        answer."""
        from agents import Agent
        from agents.testing import ScriptedModel, assistant_message, function_call
        from pydantic import BaseModel

        from life.arcan.foreign.openai_agents import OpenAIAgentsLoop

        class Answer(BaseModel):
            n: int

        first: Any = Agent(name="first", model=ScriptedModel([[function_call("transfer_to_second", {}, call_id="1")]]))
        second: Any = Agent(name="second", model=ScriptedModel([[assistant_message('{"n": 3}')]]), output_type=Answer)
        first.handoffs, second.handoffs = [second], [first]
        report = await _report(OpenAIAgentsLoop(first), tmp_path)
        assert (report.reason, report.steps) == ("completed", 2)
        assert report.final_answer == '{"n": 3}'

    async def test_guardrails_end_the_run(self, tmp_path: Path) -> None:
        """An output guardrail that trips is an error of the loop."""
        from agents import Agent, GuardrailFunctionOutput, output_guardrail
        from agents.testing import ScriptedModel, assistant_message

        from life.arcan.foreign.openai_agents import OpenAIAgentsLoop

        @output_guardrail
        async def never(context: Any, agent: Any, output: Any) -> GuardrailFunctionOutput:
            return GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)

        agent: Any = Agent(name="g", model=ScriptedModel([[assistant_message("x")]]), output_guardrails=[never])
        report = await _report(OpenAIAgentsLoop(agent), tmp_path)
        assert report.reason == "error" and "OutputGuardrailTripwireTriggered" in report.error

    async def test_what_can_not_be_recorded_is_refused(self) -> None:
        """Shells and handoffs with code of their own: said when the loop is made; nothing is sent to a tracer."""
        from agents import Agent, LocalShellTool, handoff

        from life.arcan.foreign.openai_agents import OpenAIAgentsLoop

        other: Any = Agent(name="other")
        with pytest.raises(InvalidInputError, match="Handoffs"):
            OpenAIAgentsLoop(Agent(name="a", handoffs=[handoff(other)]))
        with pytest.raises(InvalidInputError, match="LocalShellTool"):
            OpenAIAgentsLoop(Agent(name="a", tools=[LocalShellTool(executor=lambda request: "")]))
        loop = OpenAIAgentsLoop(Agent(name="a"))
        assert loop._config.tracing_disabled


class TestLangGraph:
    """LangGraph."""

    async def test_a_checkpointer_and_a_response_format_are_refused(self, tmp_path: Path) -> None:
        """They are LangGraph's own way of what the journal does; the run says so and ends."""
        from langchain.agents import create_agent
        from langchain_core.language_models.fake_chat_models import FakeListChatModel
        from langgraph.checkpoint.memory import InMemorySaver

        from life.arcan.foreign.langgraph import LangGraphLoop

        model = FakeListChatModel(responses=["hello"])
        loop = LangGraphLoop(
            lambda tools, desk: create_agent(model, tools, middleware=[desk], checkpointer=InMemorySaver())
        )
        report = await _report(loop, tmp_path)
        assert report.reason == "error" and "arcan.loop_failed" in report.error

    async def test_a_graph_that_was_built_without_the_middleware_is_told_so(self, tmp_path: Path) -> None:
        """Nothing of it was recorded, so it is no success."""
        from langchain.agents import create_agent
        from langchain_core.language_models.fake_chat_models import FakeListChatModel

        from life.arcan.foreign.langgraph import LangGraphLoop

        model = FakeListChatModel(responses=["hello"])
        report = await _report(LangGraphLoop(lambda tools, desk: create_agent(model, tools)), tmp_path)
        assert report.reason == "error" and "arcan.loop_failed" in report.error

    async def test_langchains_own_fake_model_runs(self, tmp_path: Path) -> None:
        """A chat model of the package's own, without tools; usage that it does not count is estimated."""
        from langchain.agents import create_agent
        from langchain_core.language_models.fake_chat_models import FakeListChatModel

        from life.arcan.foreign.langgraph import LangGraphLoop

        model = FakeListChatModel(responses=["hello there"])
        report = await _report(
            LangGraphLoop(lambda tools, desk: create_agent(model, tools, middleware=[desk])), tmp_path
        )
        assert (report.reason, report.final_answer) == ("completed", "hello there")
        assert report.usage.total_tokens > 0


async def test_two_sessions_of_one_loop_do_not_meet(tmp_path: Path) -> None:
    """Runs of several sessions go on side by side through one loop."""
    from pydantic_ai import Agent
    from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
    from pydantic_ai.models.function import AgentInfo, FunctionModel

    from life.arcan.foreign.pydantic_ai import PydanticAILoop

    meeting = asyncio.Barrier(3)

    async def play(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        async with asyncio.timeout(5):
            await meeting.wait()
        return ModelResponse([TextPart(str(messages[0].parts[-1].content))])  # type: ignore[union-attr]

    bench, journal = Workbench(tmp_path), MemoryJournal()
    async with running(PydanticAILoop(Agent(FunctionModel(play), name="e")), bench, journal) as runtime:
        for name in "abc":
            await runtime.create_session(name)
        reports = await asyncio.gather(*(runtime.run(name, f"I am {name}.") for name in "abc"))
    assert [report.final_answer for report in reports] == ["I am a.", "I am b.", "I am c."]
