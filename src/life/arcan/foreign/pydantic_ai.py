"""A pydantic-ai agent as a session of ours (extra `pydantic-ai`; pydantic-ai 2.x).

    loop = OutsideLoop(PydanticAILoop(agent, idempotent=("send_mail",)))

Its model, instructions, output type, output validators and function tools stay what they are. Every request to its model is a step; every
call of a function tool passes the gate and is journaled; output tools are the framework's own and stay within it. Toolsets
other than functions (MCP), deferred tools and stream handlers are refused when the loop is made: nothing of them could be recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from life.aios.errors import InvalidInputError, MissingExtraError, ToolError
from life.aios.json import Json, JsonObject
from life.aios.ports.provider import ChatMessage, ToolSpec
from life.aios.ports.tools import ToolAnnotations
from life.aios.state import TokenUsage
from life.arcan.foreign.history import turns_of
from life.arcan.foreign.port import LoopDesk, LoopTool, NativeAnswer, NativeCall

try:
    from pydantic_ai import Agent, ModelRetry, RunContext
    from pydantic_ai.messages import (
        ModelMessage,
        ModelMessagesTypeAdapter,
        ModelRequest,
        ModelRequestPart,
        ModelResponse,
        ModelResponsePart,
        TextPart,
        ToolCallPart,
        ToolReturnPart,
        UserPromptPart,
    )
    from pydantic_ai.models import ModelRequestParameters, infer_model
    from pydantic_ai.models.wrapper import WrapperModel
    from pydantic_ai.settings import ModelSettings
    from pydantic_ai.tools import Tool
    from pydantic_ai.toolsets import AbstractToolset, FunctionToolset, ToolsetTool, WrapperToolset
    from pydantic_ai.usage import UsageLimits
    from pydantic_core import to_json, to_jsonable_python
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] not in ("pydantic_ai", "pydantic_core"):
        raise
    raise MissingExtraError("pydantic-ai agents", "pydantic-ai") from None

if TYPE_CHECKING:
    from pydantic_ai.models import Model


class PydanticAILoop:
    """A pydantic-ai agent (life.arcan.foreign.port.ForeignLoop)."""

    def __init__(
        self,
        agent: Agent[Any, Any],
        *,
        name: str = "",
        deps: object = None,
        read_only: Sequence[str] = (),
        idempotent: Sequence[str] = (),
        confirm: Sequence[str] = (),
    ) -> None:
        """`read_only` and `idempotent`: function tools that may run again after a crash; `confirm`: those a person is asked
        about. InvalidInputError: the agent has something that can't be recorded, or no model."""
        self._agent = agent
        self._deps = deps
        self._name = f"pydantic-ai:{name or agent.name or 'agent'}"
        if agent.model is None:
            raise InvalidInputError("The pydantic-ai agent has no model of its own.")
        self._model: Model = infer_model(agent.model)
        self._tools = tuple(
            LoopTool(
                tool.name,
                tool.tool_def.description or "",
                tool.tool_def.parameters_json_schema,
                ToolAnnotations(
                    read_only=tool.name in read_only,
                    idempotent=tool.name in idempotent,
                    requires_confirmation=tool.name in confirm,
                ),
                timeout_s=int(tool.timeout) if tool.timeout else 300,
            )
            for tool in _function_tools(agent)
        )
        _check_names(self._tools, (*read_only, *idempotent, *confirm))

    @property
    def name(self) -> str:
        """`pydantic-ai:<name of the agent>`."""
        return self._name

    def tools(self) -> Sequence[LoopTool]:
        """Its function tools."""
        return self._tools

    async def run(
        self, desk: LoopDesk, objective: str, *, history: Sequence[ChatMessage], offered: Sequence[ToolSpec]
    ) -> str:
        """See ForeignLoop. The framework's own limit of requests is off: the run's limits hold."""
        toolsets: list[AbstractToolset[Any]] = [_DeskToolset(each, desk) for each in self._agent.toolsets]
        if offered:
            toolsets.append(FunctionToolset([_runtime_tool(desk, spec) for spec in offered]))
        with self._agent.override(model=_DeskModel(self._model, desk), toolsets=toolsets, tools=[]):
            result = await self._agent.run(
                objective,
                message_history=_messages(history) or None,
                deps=self._deps,
                usage_limits=UsageLimits(request_limit=None),
            )
        output = result.output
        return output if isinstance(output, str) else to_json(output).decode()


class _DeskModel(WrapperModel):
    """The agent's model, asked through the desk."""

    def __init__(self, wrapped: Model, desk: LoopDesk) -> None:
        super().__init__(wrapped)
        self._desk = desk

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        async def ask() -> NativeAnswer:
            response = await self.wrapped.request(messages, model_settings, model_request_parameters)
            return _answer(response)

        native = await self._desk.model(ask)
        response = ModelMessagesTypeAdapter.validate_python(native)[0]
        assert isinstance(response, ModelResponse)
        return response


@dataclass
class _DeskToolset(WrapperToolset[Any]):
    """A toolset whose calls are made when the gate lets them."""

    desk: LoopDesk

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> str:
        async def perform(arguments: JsonObject) -> Json:
            given = tool_args
            if arguments != to_jsonable_python(tool_args, fallback=str) and arguments != _sent(ctx, name):
                given = tool.args_validator.validate_python(dict(arguments))  # somebody changed them
            try:
                found: Json = to_jsonable_python(await self.wrapped.call_tool(name, given, ctx, tool))
            except ModelRetry as retry:
                raise ToolError(retry.message) from None
            return found

        return (await self.desk.tool(_call_id(ctx), perform)).text


def _sent(ctx: RunContext[Any], name: str) -> Json:
    """The arguments as the model sent them; validation may have filled in defaults since."""
    for message in reversed(ctx.messages):
        if isinstance(message, ModelResponse):
            for part in message.parts:
                if isinstance(part, ToolCallPart) and part.tool_call_id == ctx.tool_call_id and part.tool_name == name:
                    return _arguments(part)
            break
    return None


def _runtime_tool(desk: LoopDesk, spec: ToolSpec) -> Tool[Any]:
    """A tool of the runtime, as the framework's model sees it."""

    async def call(ctx: RunContext[Any], **_: object) -> str:
        return (await desk.tool(_call_id(ctx), None)).text

    return Tool.from_schema(
        call, name=spec.name, description=spec.description, json_schema=dict(spec.input_schema), takes_ctx=True
    )


def _call_id(ctx: RunContext[Any]) -> str:
    assert ctx.tool_call_id is not None
    return ctx.tool_call_id


def _answer(response: ModelResponse) -> NativeAnswer:
    calls = tuple(
        NativeCall(part.tool_call_id, part.tool_name, _arguments(part))
        for part in response.parts
        if isinstance(part, ToolCallPart)
    )
    usage = response.usage
    tokens = TokenUsage(usage.input_tokens, usage.output_tokens, usage.input_tokens + usage.output_tokens)
    native: Json = ModelMessagesTypeAdapter.dump_python([response], mode="json")
    return NativeAnswer(native, response.text or "", calls, tokens, response.model_name)


def _arguments(part: ToolCallPart) -> Json:
    """The arguments; what is not an object stays text, and the gate says so."""
    try:
        return part.args_as_dict()
    except (ValueError, AssertionError):
        return part.args if isinstance(part.args, str) else None


def _function_tools(agent: Agent[Any, Any]) -> list[Tool[Any]]:
    found: list[Tool[Any]] = []
    for toolset in agent.toolsets:
        if not isinstance(toolset, FunctionToolset):
            raise InvalidInputError(
                f"A toolset of the kind {type(toolset).__name__} can't be recorded; only functions can."
            )
        for tool in toolset.tools.values():
            if tool.requires_approval:
                raise InvalidInputError(f"Name {tool.name} in `confirm` instead of requires_approval=True.")
            found.append(tool)
    if agent.event_stream_handler is not None:
        raise InvalidInputError("An agent with an event stream handler can't be recorded.")
    return found


def _check_names(tools: Sequence[LoopTool], named: Sequence[str]) -> None:
    unknown = set(named) - {tool.name for tool in tools}
    if unknown:
        raise InvalidInputError(f"The agent has no function tool named {', '.join(sorted(unknown))}.")


def _messages(history: Sequence[ChatMessage]) -> list[ModelMessage]:
    """What was said before, as the framework has it."""
    found: list[ModelMessage] = []
    names: dict[str, str] = {}
    for turn in turns_of(history):
        if turn.role == "assistant":
            said: list[ModelResponsePart] = [TextPart(turn.text)] if turn.text else []
            for use in turn.calls:
                names[use.call_id] = use.tool_name
                arguments = use.arguments if isinstance(use.arguments, dict) else {}
                said.append(ToolCallPart(use.tool_name, arguments, use.call_id))
            found.append(ModelResponse(said))
            continue
        parts: list[ModelRequestPart] = [
            ToolReturnPart(names.get(result.call_id, "tool"), result.content, result.call_id) for result in turn.results
        ]
        if turn.text:
            parts.append(UserPromptPart(turn.text))
        found.append(ModelRequest(parts))
    return found
