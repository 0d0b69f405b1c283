"""A request in the words of the Gemini API: contents of parts, and the configuration.

Source: the API reference of `models.generateContent`; the guide "Thought signatures" (a signature goes back on the part that
carried it).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from life.aios.json import Json
from life.aios.ports.provider import (
    ChatMessage,
    ImageBlock,
    ModelRequest,
    ReasoningBlock,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from life.arcan.providers.translation import Effort, call_ids

if TYPE_CHECKING:
    from google.genai import types

_ROLES: Final = {"user": "user", "assistant": "model"}


def contents(request: ModelRequest, origin: str, images: Mapping[str, str]) -> list[types.ContentUnion]:
    """The conversation; neighbours of one role are joined."""
    from google.genai import types

    ids = call_ids(request.messages, origin)
    names = {
        block.call_id: block.tool_name
        for message in request.messages
        for block in message.content
        if isinstance(block, ToolUseBlock)
    }
    turns: list[types.Content] = []
    for message in request.messages:
        parts = _Parts(origin, ids, names, images).of(message)
        if not parts:
            continue
        role = _ROLES[message.role]
        if turns and turns[-1].role == role:
            turns[-1].parts = [*(turns[-1].parts or ()), *parts]
        else:
            turns.append(types.Content(role=role, parts=parts))
    return list(turns)


def generation_config(request: ModelRequest, effort: Effort | None) -> types.GenerateContentConfig:
    """Instructions, tools and limits. The client's own loop around function calls stays off: tools run under our gate."""
    from google.genai import types

    declarations = [
        types.FunctionDeclaration(
            name=tool.name, description=tool.description, parameters_json_schema=dict(tool.input_schema)
        )
        for tool in request.tools
    ]
    thinking = None
    if effort is not None:
        thinking = types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel(effort.upper()))
    return types.GenerateContentConfig(
        system_instruction=request.system or None,
        max_output_tokens=request.max_output_tokens,
        tools=[types.Tool(function_declarations=declarations)] if declarations else None,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        thinking_config=thinking,
    )


class _Parts:
    """The parts of one turn."""

    def __init__(
        self, origin: str, ids: Mapping[str, str], names: Mapping[str, str], images: Mapping[str, str]
    ) -> None:
        self._origin = origin
        self._ids = ids
        self._names = names
        self._images = images

    def of(self, message: ChatMessage) -> list[types.Part]:
        """Each block in its place, signatures on the parts that carried them."""
        from google.genai import types

        parts: list[types.Part] = []
        signatures: dict[str, bytes] = {}
        for block in message.content:
            if isinstance(block, ReasoningBlock):
                place, signature = _signature(block) if block.origin == self._origin else ("", b"")
                if place in ("call", "text"):
                    signatures[place] = signature
                elif place:
                    parts.append(types.Part(text=block.text if place == "thought" else "", thought_signature=signature))
                    parts[-1].thought = True if place == "thought" else None
            elif isinstance(block, TextBlock):
                if block.text:
                    parts.append(types.Part(text=block.text, thought_signature=signatures.pop("text", None)))
            elif isinstance(block, ImageBlock):
                parts.append(self._image(block))
            elif isinstance(block, ToolUseBlock):
                parts.append(self._call(block, signatures.pop("call", None)))
            else:
                parts.append(self._result(block))
                parts.extend(self._image(image) for image in block.images)
        return parts

    def _call(self, block: ToolUseBlock, signature: bytes | None) -> types.Part:
        from google.genai import types

        arguments = block.arguments if isinstance(block.arguments, dict) else {"invalid_json": block.arguments}
        call = types.FunctionCall(
            id=self._ids.get(block.call_id, block.call_id), name=block.tool_name, args=dict(arguments)
        )
        return types.Part(function_call=call, thought_signature=signature)

    def _result(self, block: ToolResultBlock) -> types.Part:
        from google.genai import types

        said: dict[str, Json] = {"error" if block.is_error else "output": block.content}
        response = types.FunctionResponse(
            id=self._ids.get(block.call_id, block.call_id), name=self._names.get(block.call_id, ""), response=dict(said)
        )
        return types.Part(function_response=response)

    def _image(self, block: ImageBlock) -> types.Part:
        from google.genai import types

        content = base64.b64decode(self._images[block.blob])
        return types.Part(inline_data=types.Blob(mime_type=block.media_type, data=content))


def _signature(block: ReasoningBlock) -> tuple[str, bytes]:
    """The place of a signature (`call`, `text`, `empty`, `thought`) and the signature; "" where there is none."""
    sealed = block.sealed
    if not isinstance(sealed, dict):
        return "", b""
    place, text = sealed.get("on"), sealed.get("thought_signature")
    if not (isinstance(place, str) and isinstance(text, str)):
        return "", b""
    try:
        return place, base64.b64decode(text)
    except ValueError:
        return "", b""
