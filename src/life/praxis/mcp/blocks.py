"""Results as MCP content blocks, and back.

A tool's output is any JSON. One shape is special: `{"content": [blocks], …}` with blocks of the protocol (text, image, audio,
resource, resource_link) stands for exactly these blocks. The client bridge makes outputs of this shape from what other servers
answer, so an image that came over MCP leaves over MCP as an image. Everything else is sent as JSON text, and as
structured content when it is an object.

Source: MCP 2026-07-28 and 2025-11-25, server/tools "Tool Result".
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Final

import msgspec

from life.aios.json import Json, JsonObject

MAX_TEXT_CHARACTERS: Final = 200_000
"""Longest text block that is sent; the journal has the whole result."""

_TEXT_MEMBERS: Final = {
    "text": ("text",),
    "image": ("data", "mimeType"),
    "audio": ("data", "mimeType"),
    "resource_link": ("uri", "name"),
}


def content_blocks(output: Json) -> list[JsonObject] | None:
    """The blocks that this output stands for; None when it is not of that shape."""
    if not isinstance(output, Mapping):
        return None
    content = output.get("content")
    if not isinstance(content, list) or not content:
        return None
    return content if all(is_block(block) for block in content) else None


def is_block(block: Json) -> bool:
    """Whether this is a content block of the protocol, with data that is Base64 where it has to be."""
    if not isinstance(block, Mapping):
        return False
    kind = block.get("type")
    if kind == "resource":
        resource = block.get("resource")
        if not isinstance(resource, Mapping) or not isinstance(resource.get("uri"), str):
            return False
        return isinstance(resource.get("text"), str) or _is_base64(resource.get("blob"))
    members = _TEXT_MEMBERS.get(kind) if isinstance(kind, str) else None
    if members is None or not all(isinstance(block.get(member), str) for member in members):
        return False
    return "data" not in members or _is_base64(block.get("data"))


def as_text(output: Json) -> str:
    """An output as the text of one block; what is too long loses its end and says so."""
    text = output if isinstance(output, str) else msgspec.json.encode(output).decode()
    if len(text) <= MAX_TEXT_CHARACTERS:
        return text
    return f"{text[:MAX_TEXT_CHARACTERS]}\n… {len(text) - MAX_TEXT_CHARACTERS} more characters are in the journal."


def _is_base64(value: Json) -> bool:
    if not isinstance(value, str):
        return False
    try:
        b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
