"""A LangGraph agent as a session of ours (extra `langgraph`; langgraph 1.x with langchain 1.x).

    loop = OutsideLoop(
        LangGraphLoop(lambda tools, desk: create_agent(model, tools, middleware=[desk]), tools=[send_mail], idempotent=("send_mail",))
    )

The graph is built anew for every run from the tools and the middleware that it is given. Every model call is a step; every call of a
tool passes the gate and is journaled; other nodes and middleware of the graph run as they are, again after a restart, and so
must have no effects. A checkpointer, interrupts and `response_format` are LangGraph's own way of what the journal does here: a graph
with one of them is refused.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from life.aios.errors import InvalidInputError, MissingExtraError
from life.aios.json import Json, JsonObject
from life.aios.ports.provider import ChatMessage, ToolSpec
from life.aios.ports.tools import ToolAnnotations
from life.aios.state import TokenUsage
from life.arcan.foreign.history import turns_of
from life.arcan.foreign.port import LoopDesk, LoopTool, NativeAnswer, NativeCall

try:
    from langchain.agents.middleware.types import AgentMiddleware, ModelRequest, ModelResponse
    from langchain_core.messages import (
        AIMessage,
        AnyMessage,
        HumanMessage,
        ToolMessage,
        messages_from_dict,
        messages_to_dict,
    )
    from langchain_core.tools import BaseTool, StructuredTool
    from langchain_core.utils.function_calling import convert_to_openai_tool
    from langgraph.graph.state import CompiledStateGraph
    from langgraph.prebuilt.tool_node import ToolCallRequest
    from langgraph.types import Command
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] not in ("langchain", "langchain_core", "langgraph"):
        raise
    raise MissingExtraError("LangGraph agents", "langgraph") from None

_MOST_STEPS = 1_000_000

Build = Callable[[list[BaseTool], AgentMiddleware[Any, Any, Any]], CompiledStateGraph[Any, Any, Any, Any]]
"""(tools, middleware) → the graph with exactly these tools, and this middleware as its last."""


class LangGraphLoop:
    """A LangGraph agent (life.arcan.foreign.port.ForeignLoop)."""

    def __init__(
        self,
        build: Build,
        *,
        tools: Sequence[BaseTool] = (),
        name: str = "agent",
        read_only: Sequence[str] = (),
        idempotent: Sequence[str] = (),
        confirm: Sequence[str] = (),
    ) -> None:
        """`read_only` and `idempotent`: tools that may run again after a crash; `confirm`: those a person is asked about."""
        self._build = build
        self._functions = tuple(tools)
        self._name = f"langgraph:{name}"
        self._tools = tuple(
            LoopTool(
                tool.name,
                tool.description,
                convert_to_openai_tool(tool)["function"].get("parameters") or {"type": "object", "properties": {}},
                ToolAnnotations(
                    read_only=tool.name in read_only,
                    idempotent=tool.name in idempotent,
                    requires_confirmation=tool.name in confirm,
                ),
            )
            for tool in self._functions
        )
        unknown = {*read_only, *idempotent, *confirm} - {tool.name for tool in self._tools}
        if unknown:
            raise InvalidInputError(f"There is no tool named {', '.join(sorted(unknown))}.")

    @property
    def name(self) -> str:
        """`langgraph:<name>`."""
        return self._name

    def tools(self) -> Sequence[LoopTool]:
        """The tools it was made with."""
        return self._tools

    async def run(
        self, desk: LoopDesk, objective: str, *, history: Sequence[ChatMessage], offered: Sequence[ToolSpec]
    ) -> str:
        """See ForeignLoop. The graph's own limit of steps is off: the run's limits hold."""
        extra = [_runtime_tool(spec) for spec in offered]
        middleware = _DeskMiddleware(desk, {spec.name for spec in offered})
        graph = self._build([*self._functions, *extra], middleware)
        if graph.checkpointer:
            raise InvalidInputError("A graph with a checkpointer can't be recorded: the journal is its checkpoint.")
        messages: list[AnyMessage] = [*_messages(history), HumanMessage(objective)]
        state = await graph.ainvoke({"messages": messages}, {"recursion_limit": _MOST_STEPS})
        if not middleware.was_used:
            raise InvalidInputError(
                "The graph was not built with the middleware that it was given: nothing was recorded."
            )
        last = state["messages"][-1] if state.get("messages") else None
        return str(last.text) if last is not None else json.dumps(None)


class _DeskMiddleware(AgentMiddleware[Any, Any, Any]):
    """Model and tool calls, made through the desk."""

    def __init__(self, desk: LoopDesk, shared: set[str]) -> None:
        super().__init__()
        self.tools = []
        self._desk = desk
        self._shared = shared
        self.was_used = False
        """Whether the graph came to its model."""

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """The recorded answer, or the model's."""
        self.was_used = True
        if request.response_format is not None:
            raise InvalidInputError("A graph with response_format can't be recorded.")

        async def ask() -> NativeAnswer:
            return _answer(await handler(request))

        native = await self._desk.model(ask)
        assert isinstance(native, list)
        return ModelResponse(result=messages_from_dict(native))

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """The recorded result, or the tool's once the gate lets it run."""
        call = request.tool_call
        call_id = call["id"] or ""

        async def perform(arguments: JsonObject) -> Json:
            made = await handler(request.override(tool_call={**call, "args": dict(arguments)}))
            if not isinstance(made, ToolMessage):
                raise InvalidInputError("A tool that gives a Command can't be recorded.")
            return made.content if isinstance(made.content, str) else json.loads(json.dumps(made.content))

        result = await self._desk.tool(call_id, None if call["name"] in self._shared else perform)
        status = "error" if result.is_error else "success"
        return ToolMessage(result.text, tool_call_id=call_id, name=call["name"], status=status)


def _answer(response: ModelResponse[Any]) -> NativeAnswer:
    calls: list[NativeCall] = []
    text, model = "", None
    prompt = completion = 0
    counted = False
    for message in response.result:
        if not isinstance(message, AIMessage):
            continue
        text += str(message.text)
        calls += [NativeCall(call["id"] or "", call["name"], call["args"]) for call in message.tool_calls]
        model = message.response_metadata.get("model_name") or model
        if message.usage_metadata is not None:
            counted = True
            prompt += message.usage_metadata["input_tokens"]
            completion += message.usage_metadata["output_tokens"]
    native: Json = json.loads(json.dumps(messages_to_dict(response.result), default=str))
    usage = TokenUsage(prompt, completion, prompt + completion) if counted else None
    return NativeAnswer(native, text, tuple(calls), usage, model)


def _runtime_tool(spec: ToolSpec) -> BaseTool:
    """A tool of the runtime as the graph's model sees it; its calls are caught before it."""

    async def never(**_: object) -> str:
        raise InvalidInputError(f"{spec.name} is called through the desk only.")

    return StructuredTool.from_function(
        coroutine=never, name=spec.name, description=spec.description, args_schema=dict(spec.input_schema)
    )


def _messages(history: Sequence[ChatMessage]) -> list[AnyMessage]:
    """What was said before, as LangChain has it."""
    found: list[AnyMessage] = []
    for turn in turns_of(history):
        found += [ToolMessage(result.content, tool_call_id=result.call_id) for result in turn.results]
        if turn.role == "assistant":
            calls = [
                {
                    "name": use.tool_name,
                    "args": use.arguments if isinstance(use.arguments, dict) else {},
                    "id": use.call_id,
                }
                for use in turn.calls
            ]
            found.append(AIMessage(turn.text, tool_calls=calls))
        elif turn.text:
            found.append(HumanMessage(turn.text))
    return found
