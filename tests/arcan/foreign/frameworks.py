"""The same small agent in three frameworks, each with its own package's function or test model: no network, no key.

It looks at something, then makes two transfers in one answer, then says that it is done. `asked` counts what its model was asked,
`done` what its tools did; both outlive the process that a test kills.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from life.arcan.foreign.port import ForeignLoop

Make = Callable[["Counters"], ForeignLoop]


class Counters:
    """What happened for real."""

    def __init__(self) -> None:
        self.asked = 0
        self.done: list[str] = []
        self.confirm: Sequence[str] = ()
        self.fail = False
        self.said: list[str] = []
        """What the model was last shown, as text."""


def pydantic_ai_loop(counters: Counters) -> ForeignLoop:
    """pydantic-ai with its FunctionModel."""
    from pydantic_ai import Agent
    from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import AgentInfo, FunctionModel
    from pydantic_ai.usage import RequestUsage

    from life.arcan.foreign.pydantic_ai import PydanticAILoop

    def play(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        counters.asked += 1
        counters.said.append(str(messages))
        place = sum(isinstance(message, ModelResponse) for message in messages)
        names = {tool.name for tool in info.function_tools}
        usage = RequestUsage(input_tokens=40, output_tokens=2)
        if place == 0:
            return ModelResponse([ToolCallPart("balance", {"account": "a"})], usage=usage)
        if place == 1:
            calls = [ToolCallPart("transfer", {"to": "bob"}), ToolCallPart("transfer", {"to": "carol"})]
            shared = [ToolCallPart("write", {"path": "a.txt", "content": "x"})] if "write" in names else []
            return ModelResponse([TextPart("Now the transfers."), *calls, *shared], usage=usage)
        return ModelResponse([TextPart("All is done.")], usage=usage)

    agent = Agent(FunctionModel(play), name="teller", instructions="You move money.")

    @agent.tool_plain
    def balance(account: str) -> dict[str, int]:
        """How much there is."""
        counters.done.append(f"balance:{account}")
        return {"micro": 5_000_000}

    @agent.tool_plain
    async def transfer(to: str, amount_micro: int = 1) -> str:
        """Move money."""
        counters.done.append(f"transfer:{to}")
        return f"moved to {to}"

    return PydanticAILoop(agent, read_only=("balance",), confirm=counters.confirm)


def openai_agents_loop(counters: Counters) -> ForeignLoop:
    """The OpenAI Agents SDK with a model of its interface, made of its testing package's items."""
    from agents import Agent, Model, ModelResponse, Usage, function_tool
    from agents.testing import assistant_message, function_call

    from life.arcan.foreign.openai_agents import OpenAIAgentsLoop

    class Play(Model):
        async def get_response(self, system_instructions: Any, input: Any, *args: Any, **kwargs: Any) -> ModelResponse:
            counters.asked += 1
            counters.said.append(str(input))
            tools = {tool.name for tool in args[1]} if len(args) > 1 else {tool.name for tool in kwargs["tools"]}
            items = input if isinstance(input, list) else []
            made = sum(1 for item in items if isinstance(item, dict) and item.get("type") == "function_call")
            usage = Usage(requests=1, input_tokens=40, output_tokens=2, total_tokens=42)
            if made == 0:
                output = [function_call("balance", {"account": "a"}, call_id=f"c{counters.asked}")]
            elif made == 1:
                output = [
                    function_call("transfer", {"to": "bob"}, call_id=f"b{counters.asked}"),
                    function_call("transfer", {"to": "carol"}, call_id=f"d{counters.asked}"),
                ]
                if "write" in tools:
                    output.append(function_call("write", {"path": "a.txt", "content": "x"}, call_id="w"))
            else:
                output = [assistant_message("All is done.")]
            return ModelResponse(output=output, usage=usage, response_id=None)

        def stream_response(self, *args: Any, **kwargs: Any) -> Any:
            raise AssertionError("not streamed")

    @function_tool
    def balance(account: str) -> dict[str, int]:
        """How much there is."""
        counters.done.append(f"balance:{account}")
        return {"micro": 5_000_000}

    @function_tool
    async def transfer(to: str) -> str:
        """Move money."""
        counters.done.append(f"transfer:{to}")
        return f"moved to {to}"

    agent = Agent(name="teller", instructions="You move money.", model=Play(), tools=[balance, transfer])
    return OpenAIAgentsLoop(agent, read_only=("balance",), confirm=counters.confirm)


def langgraph_loop(counters: Counters) -> ForeignLoop:
    """LangChain's create_agent on LangGraph, with a chat model of its interface."""
    from langchain.agents import create_agent
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import ChatGeneration, ChatResult
    from langchain_core.tools import tool

    from life.arcan.foreign.langgraph import LangGraphLoop

    class Play(BaseChatModel):
        names: frozenset[str] = frozenset()

        @property
        def _llm_type(self) -> str:
            return "play"

        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            return Play(names=frozenset(each.name for each in tools))

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            counters.asked += 1
            counters.said.append(str(messages))
            place = sum(isinstance(message, AIMessage) for message in messages)
            usage = {"input_tokens": 40, "output_tokens": 2, "total_tokens": 42}
            calls: list[dict[str, Any]] = []
            if place == 0:
                calls = [{"name": "balance", "args": {"account": "a"}, "id": f"c{counters.asked}"}]
            elif place == 1:
                calls = [
                    {"name": "transfer", "args": {"to": "bob"}, "id": f"b{counters.asked}"},
                    {"name": "transfer", "args": {"to": "carol"}, "id": f"d{counters.asked}"},
                ]
                if "write" in self.names:
                    calls.append({"name": "write", "args": {"path": "a.txt", "content": "x"}, "id": "w"})
            text = "All is done." if place >= 2 else ""
            message = AIMessage(text, tool_calls=calls, usage_metadata=usage)
            return ChatResult(generations=[ChatGeneration(message=message)])

    @tool
    def balance(account: str) -> str:
        """How much there is."""
        counters.done.append(f"balance:{account}")
        return "5000000"

    @tool
    async def transfer(to: str) -> str:
        """Move money."""
        counters.done.append(f"transfer:{to}")
        return f"moved to {to}"

    return LangGraphLoop(
        lambda tools, desk: create_agent(Play(), tools, system_prompt="You move money.", middleware=[desk]),
        tools=[balance, transfer],
        name="teller",
        read_only=("balance",),
        confirm=counters.confirm,
    )


FRAMEWORKS: dict[str, Make] = {
    "pydantic-ai": pydantic_ai_loop,
    "openai-agents": openai_agents_loop,
    "langgraph": langgraph_loop,
}
