"""What another server answered, as the outcome of a tool: whole where it is small, and honest about what was left out."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

import mcp_types as types
import msgspec

from life.aios.json import Json
from life.aios.ports.tools import ToolOutcome

MAX_TEXT_CHARACTERS: Final = 64_000
"""Of all text of one result."""

MAX_MEDIA_CHARACTERS: Final = 128 * 1024
"""Of all images and sounds of one result, in Base64."""

MAX_BLOCKS: Final = 200
MAX_STRUCTURED_BYTES: Final = 64 * 1024


def outcome_of(result: types.CallToolResult) -> ToolOutcome:
    """`{text}` for text alone, otherwise `{content: [blocks]}` (life.praxis.mcp.blocks); with `structured` where there is some."""
    reading = _Reading()
    blocks = [reading.block(block) for block in result.content[:MAX_BLOCKS]]
    if len(result.content) > MAX_BLOCKS:
        blocks.append({"type": "text", "text": f"… {len(result.content) - MAX_BLOCKS} more blocks were left out."})
    output: dict[str, Json] = {}
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    if len(texts) == len(blocks):
        output["text"] = "\n".join(str(text) for text in texts)
    else:
        output["content"] = list(blocks)
    if result.structured_content is not None:
        _add_structured(output, result.structured_content)
    if result.is_error:
        output["error"] = output.get("text") or "The server says that the call failed."
        return ToolOutcome(status="error", output=output)
    return ToolOutcome(status="ok", output=output)


class _Reading:
    """Counts down what one result may still hold."""

    def __init__(self) -> None:
        self._characters = MAX_TEXT_CHARACTERS
        self._media = MAX_MEDIA_CHARACTERS

    def block(self, block: types.ContentBlock) -> dict[str, Json]:
        match block:
            case types.TextContent():
                return {"type": "text", "text": self._text(block.text)}
            case types.ImageContent():
                return self._data("image", block.data, block.mime_type)
            case types.AudioContent():
                return self._data("audio", block.data, block.mime_type)
            case types.ResourceLink():
                link: dict[str, Json] = {"type": "resource_link", "uri": block.uri[:2048], "name": block.name[:256]}
                if block.mime_type:
                    link["mimeType"] = block.mime_type[:128]
                return link
            case types.EmbeddedResource(resource=types.TextResourceContents() as resource):
                shown: Json = {
                    "uri": resource.uri[:2048],
                    "mimeType": (resource.mime_type or "text/plain")[:128],
                    "text": self._text(resource.text),
                }
                return {"type": "resource", "resource": shown}
            case types.EmbeddedResource(resource=types.BlobResourceContents() as resource):
                if not self._fits(resource.blob):
                    return _left_out("resource", resource.blob, resource.mime_type or "application/octet-stream")
                held: Json = {
                    "uri": resource.uri[:2048],
                    "mimeType": (resource.mime_type or "application/octet-stream")[:128],
                    "blob": resource.blob,
                }
                return {"type": "resource", "resource": held}
        return {"type": "text", "text": "(A block of an unknown kind was left out.)"}

    def _text(self, text: str) -> str:
        shown = text[: self._characters]
        self._characters -= len(shown)
        return (
            shown if len(shown) == len(text) else f"{shown}\n… {len(text) - len(shown)} more characters were left out."
        )

    def _data(self, kind: str, data: str, mime_type: str) -> dict[str, Json]:
        if not self._fits(data):
            return _left_out(kind, data, mime_type)
        return {"type": kind, "data": data, "mimeType": mime_type[:128]}

    def _fits(self, data: str) -> bool:
        if len(data) > self._media:
            return False
        self._media -= len(data)
        return True


def _left_out(kind: str, data: str, mime_type: str) -> dict[str, Json]:
    """In the place of data that is too large or no Base64: what it was."""
    try:
        content = base64.b64decode(data, validate=True)
    except ValueError:
        return {"type": "text", "text": f"(The {kind} was not Base64 and was left out.)"}
    digest = hashlib.sha256(content).hexdigest()
    words = f"(The {kind}, {mime_type[:128]}, {len(content)} bytes, SHA-256 {digest}, is too large and was left out.)"
    return {"type": "text", "text": words}


def _add_structured(output: dict[str, Json], structured: object) -> None:
    try:
        encoded = msgspec.json.encode(structured)
    except (TypeError, ValueError, RecursionError):
        output["structured_note"] = "The structured content was not JSON."
        return
    if len(encoded) > MAX_STRUCTURED_BYTES:
        output["structured_note"] = f"The structured content has {len(encoded)} bytes and was left out."
        return
    decoded: Json = msgspec.json.decode(encoded)
    if set(output) == {"text"} and _same_json(str(output["text"]), decoded):
        return  # servers repeat structured content as text, for older clients
    output["structured"] = decoded


def _same_json(text: str, value: Json) -> bool:
    try:
        said: Json = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return said == value
