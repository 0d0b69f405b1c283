"""An agent of the OpenAI Agents SDK as a session of ours (extra `openai-agents`; 0.24 or later).

    loop = OutsideLoop(OpenAIAgentsLoop(agent, idempotent=("send_mail",)))

Models, instructions, output types, guardrails and handoffs between agents stay what they are. Every request to a model is a step; every
call of a function tool passes the gate and is journaled; a handoff is the framework's own and stays within it. Tools that the
vendor runs (web search, …) are part of its model call. Local shells, computers and MCP servers are refused when the loop is made,
and so are `Handoff` objects with code of their own. The SDK's tracing is off: nothing goes to the vendor but model calls.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from life.aios.errors import InvalidInputError, MissingExtraError, ToolError
from life.aios.json import Json, JsonObject
from life.aios.ports.provider import ChatMessage, ToolSpec
from life.aios.ports.tools import ToolAnnotations
from life.aios.state import TokenUsage
from life.arcan.foreign.history import turns_of
from life.arcan.foreign.port import LoopDesk, LoopTool, NativeAnswer, NativeCall

try:
    from agents import Agent, FunctionTool, Model, ModelResponse, RunConfig, Runner, Usage
    from agents.items import TResponseInputItem, TResponseOutputItem, TResponseStreamEvent
    from agents.models.multi_provider import MultiProvider
    from agents.tool_context import ToolContext
    from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText
    from pydantic import TypeAdapter
    from pydantic_core import to_jsonable_python
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] not in ("agents", "openai", "pydantic", "pydantic_core"):
        raise
    raise MissingExtraError("OpenAI agents", "openai-agents") from None

_HOSTED = ("WebSearchTool", "FileSearchTool", "CodeInterpreterTool", "ImageGenerationTool", "HostedMCPTool")
_MOST_TURNS = 100_000


class OpenAIAgentsLoop:
    """An agent of the OpenAI Agents SDK, with those that it hands off to (life.arcan.foreign.port.ForeignLoop)."""

    def __init__(
        self,
        agent: Agent[Any],
        *,
        name: str = "",
        context: object = None,
        read_only: Sequence[str] = (),
        idempotent: Sequence[str] = (),
        confirm: Sequence[str] = (),
        run_config: RunConfig | None = None,
    ) -> None:
        """`read_only` and `idempotent`: function tools that may run again after a crash; `confirm`: those a person is asked
        about, beside those with `needs_approval`. InvalidInputError: the agent has something that can't be recorded."""
        self._agent = agent
        self._context = context
        self._config = dataclasses.replace(run_config or RunConfig(), tracing_disabled=True)
        self._name = f"openai-agents:{name or agent.name.replace(' ', '-')}"
        tools: dict[str, LoopTool] = {}
        for each in _family(agent):
            for tool in each.tools:
                if not isinstance(tool, FunctionTool):
                    _check_hosted(tool)
                    continue
                tools[tool.name] = LoopTool(
                    tool.name,
                    tool.description,
                    tool.params_json_schema,
                    ToolAnnotations(
                        read_only=tool.name in read_only,
                        idempotent=tool.name in idempotent,
                        requires_confirmation=tool.name in confirm or tool.needs_approval is not False,
                    ),
                    timeout_s=int(tool.timeout_seconds) if tool.timeout_seconds else 300,
                )
        unknown = {*read_only, *idempotent, *confirm} - set(tools)
        if unknown:
            raise InvalidInputError(f"The agent has no function tool named {', '.join(sorted(unknown))}.")
        self._tools = tuple(tools.values())

    @property
    def name(self) -> str:
        """`openai-agents:<name of the agent>`."""
        return self._name

    def tools(self) -> Sequence[LoopTool]:
        """The function tools of the agent and of those that it hands off to."""
        return self._tools

    async def run(
        self, desk: LoopDesk, objective: str, *, history: Sequence[ChatMessage], offered: Sequence[ToolSpec]
    ) -> str:
        """See ForeignLoop. The SDK's own limit of turns is off: the run's limits hold."""
        own = {tool.name for tool in self._tools}
        extra = [_runtime_tool(desk, spec) for spec in offered if spec.name not in own]
        agent = _through(self._agent, desk, extra, self._config, {})
        said: list[TResponseInputItem] = [*_items(history), {"role": "user", "content": objective}]
        config = dataclasses.replace(self._config, model=None)
        result = await Runner.run(agent, said, context=self._context, max_turns=_MOST_TURNS, run_config=config)
        output = result.final_output
        return output if isinstance(output, str) else json.dumps(to_jsonable_python(output))


class _DeskModel(Model):
    """An agent's model, asked through the desk."""

    def __init__(self, wrapped: Model, desk: LoopDesk) -> None:
        self._wrapped = wrapped
        self._desk = desk

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        """The recorded answer, or the wrapped model's."""

        async def ask() -> NativeAnswer:
            return _answer(await self._wrapped.get_response(*args, **kwargs))

        return _response(await self._desk.model(ask))

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[TResponseStreamEvent]:
        """Not asked for: the loop is run without the SDK's own streaming."""
        raise InvalidInputError("A recorded loop does not stream through the SDK.")


_OUTPUT: TypeAdapter[list[TResponseOutputItem]] = TypeAdapter(list[TResponseOutputItem])


def _answer(response: ModelResponse) -> NativeAnswer:
    calls, texts = [], []
    for item in response.output:
        if isinstance(item, ResponseFunctionToolCall):
            calls.append(NativeCall(item.call_id, item.name, _arguments(item.arguments)))
        elif isinstance(item, ResponseOutputMessage):
            texts += [part.text for part in item.content if isinstance(part, ResponseOutputText)]
    usage = response.usage
    native: Json = {
        "output": _OUTPUT.dump_python(response.output, mode="json", exclude_none=True),
        "usage": {
            "requests": usage.requests,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
        },
        "response_id": response.response_id,
    }
    tokens = TokenUsage(usage.input_tokens, usage.output_tokens, usage.total_tokens)
    return NativeAnswer(native, "".join(texts), tuple(calls), tokens)


def _response(native: Json) -> ModelResponse:
    assert isinstance(native, dict)
    return ModelResponse(
        output=_OUTPUT.validate_python(native["output"]),
        usage=TypeAdapter(Usage).validate_python(native["usage"]),
        response_id=TypeAdapter(str | None).validate_python(native["response_id"]),
    )


def _arguments(text: str) -> Json:
    """The arguments; what is not JSON stays text, and the gate says so."""
    try:
        found: Json = json.loads(text or "{}")
    except ValueError:
        return text
    return found


def _family(agent: Agent[Any]) -> list[Agent[Any]]:
    """The agent and all that it can hand off to."""
    found: list[Agent[Any]] = []
    waiting: list[object] = [agent]
    while waiting:
        each = waiting.pop(0)
        if not isinstance(each, Agent):
            raise InvalidInputError("Handoffs with code of their own can't be recorded; name the agents themselves.")
        if type(each) is not Agent:
            raise InvalidInputError(f"An agent of the kind {type(each).__name__} can't be recorded.")
        if any(each is known for known in found):
            continue
        if each.mcp_servers:
            raise InvalidInputError(f"The MCP servers of {each.name} can't be recorded; only functions can.")
        found.append(each)
        waiting += each.handoffs
    return found


def _check_hosted(tool: object) -> None:
    if type(tool).__name__ not in _HOSTED:
        raise InvalidInputError(f"A tool of the kind {type(tool).__name__} can't be recorded; only functions can.")


def _through(
    agent: Agent[Any], desk: LoopDesk, extra: list[FunctionTool], config: RunConfig, known: dict[int, Agent[Any]]
) -> Agent[Any]:
    """The agent with its model and its tools behind the desk; agents that hand off to each other do so still."""
    if id(agent) in known:
        return known[id(agent)]
    chosen = config.model or agent.model
    model = chosen if isinstance(chosen, Model) else (config.model_provider or MultiProvider()).get_model(chosen)
    clone = known[id(agent)] = agent.clone(
        model=_DeskModel(model, desk),
        tools=[*(_tool(each, desk) if isinstance(each, FunctionTool) else each for each in agent.tools), *extra],
        handoffs=[],
    )
    clone.handoffs = [_through(each, desk, extra, config, known) for each in agent.handoffs if isinstance(each, Agent)]
    return clone


def _tool(tool: FunctionTool, desk: LoopDesk) -> FunctionTool:
    """A function tool whose calls are made when the gate lets them."""

    async def invoke(context: ToolContext[Any], given: str) -> str:
        async def perform(arguments: JsonObject) -> Json:
            same = _arguments(given) == arguments
            try:
                output = await tool.on_invoke_tool(context, given if same else json.dumps(arguments))
                found: Json = to_jsonable_python(output)
            except (ValueError, TypeError) as error:
                raise ToolError(f"{tool.name} failed: {type(error).__name__}.") from None
            return found

        return (await desk.tool(context.tool_call_id, perform)).text

    return dataclasses.replace(tool, on_invoke_tool=invoke, needs_approval=False, timeout_seconds=None)


def _runtime_tool(desk: LoopDesk, spec: ToolSpec) -> FunctionTool:
    async def invoke(context: ToolContext[Any], _: str) -> str:
        return (await desk.tool(context.tool_call_id, None)).text

    return FunctionTool(
        name=spec.name,
        description=spec.description,
        params_json_schema=dict(spec.input_schema),
        on_invoke_tool=invoke,
        strict_json_schema=False,
    )


def _items(history: Sequence[ChatMessage]) -> list[TResponseInputItem]:
    """What was said before, as the SDK has it."""
    items: list[TResponseInputItem] = []
    for turn in turns_of(history):
        for result in turn.results:
            items.append({"type": "function_call_output", "call_id": result.call_id, "output": result.content})
        if turn.text:
            if turn.role == "assistant":
                items.append({"role": "assistant", "content": turn.text})
            else:
                items.append({"role": "user", "content": turn.text})
        for use in turn.calls:
            arguments = json.dumps(use.arguments if isinstance(use.arguments, dict) else {})
            items.append(
                {"type": "function_call", "call_id": use.call_id, "name": use.tool_name, "arguments": arguments}
            )
    return items
