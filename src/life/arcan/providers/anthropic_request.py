"""A request in the words of Anthropic's Messages API: turns, blocks, and where the prompt cache's breakpoints stand.

Source: the API reference of `POST /v1/messages` and its documentation of prompt caching and preserved thinking.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from life.aios.json import Json, JsonObject
from life.aios.ports.provider import Block, ImageBlock, ModelRequest, ReasoningBlock, TextBlock, ToolUseBlock
from life.arcan.providers.translation import call_ids

if TYPE_CHECKING:
    from anthropic.types import MessageParam, TextBlockParam, ToolParam

_EPHEMERAL: Final[JsonObject] = {"type": "ephemeral"}
"""A breakpoint that lives for five minutes after its last use."""


def message_params(
    request: ModelRequest, origin: str, images: Mapping[str, str], *, caching: bool
) -> list[MessageParam]:
    """Turns of the API: roles alternate, so neighbours of one role are joined."""
    ids = call_ids(request.messages, origin)
    turns: list[tuple[str, list[JsonObject]]] = []
    for message in request.messages:
        blocks = [_block(block, ids, images) for block in message.content if _is_sent(block, origin)]
        if not blocks:
            continue
        if turns and turns[-1][0] == message.role:
            turns[-1][1].extend(blocks)
        else:
            turns.append((message.role, blocks))
    if caching:
        for _, blocks in [turn for turn in turns if turn[0] == "user"][-2:]:
            blocks[-1] = {**blocks[-1], "cache_control": _EPHEMERAL}
    return cast("list[MessageParam]", [{"role": role, "content": blocks} for role, blocks in turns])


def _is_sent(block: Block, origin: str) -> bool:
    """The API refuses text without a visible character, and other models' thinking."""
    if isinstance(block, TextBlock):
        return bool(block.text.strip())
    return not isinstance(block, ReasoningBlock) or block.origin == origin


def _block(block: Block, ids: Mapping[str, str], images: Mapping[str, str]) -> JsonObject:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text}
    if isinstance(block, ImageBlock):
        return _image(block, images)
    if isinstance(block, ReasoningBlock):
        sealed = block.sealed if isinstance(block.sealed, dict) else {}
        if "data" in sealed:
            return {"type": "redacted_thinking", "data": sealed["data"]}
        return {"type": "thinking", "thinking": block.text, "signature": sealed.get("signature", "")}
    if isinstance(block, ToolUseBlock):
        call_id = ids.get(block.call_id, block.call_id)
        return {"type": "tool_use", "id": call_id, "name": block.tool_name, "input": _input(block.arguments)}
    content: Json = block.content
    if block.images:
        shown: list[Json] = [_image(image, images) for image in block.images]
        content = [{"type": "text", "text": block.content}, *shown] if block.content.strip() else shown
    return {
        "type": "tool_result",
        "tool_use_id": ids.get(block.call_id, block.call_id),
        "content": content,
        "is_error": block.is_error,
    }


def _image(block: ImageBlock, images: Mapping[str, str]) -> JsonObject:
    source: JsonObject = {"type": "base64", "media_type": block.media_type, "data": images[block.blob]}
    return {"type": "image", "source": source}


def _input(arguments: Json) -> Json:
    """The API takes objects only; text that was not one is replayed inside of one."""
    return arguments if isinstance(arguments, dict) else {"invalid_json": _text(arguments)}


def _text(arguments: Json) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def system_param(request: ModelRequest, *, caching: bool) -> list[TextBlockParam] | str:
    """The system prompt; with caching its end closes the frozen prefix, tools included."""
    if not (caching and request.system):
        return request.system
    block: JsonObject = {"type": "text", "text": request.system, "cache_control": _EPHEMERAL}
    return cast("list[TextBlockParam]", [block])


def tool_params(request: ModelRequest, *, caching: bool) -> list[ToolParam]:
    """The tools; with caching the last one closes the prefix (where no system prompt does)."""
    tools: list[dict[str, Json]] = [
        {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema}
        for tool in request.tools
    ]
    if caching and tools:
        tools[-1]["cache_control"] = _EPHEMERAL
    return cast("list[ToolParam]", tools)
