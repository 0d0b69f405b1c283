"""Tools of other servers as ours: names, descriptions and schemas that can be shown to a model.

Everything here comes from a stranger. A description is cut, cleaned of control characters and marked with where it comes
from; a schema that is too large, too deep or points elsewhere leaves its tool out; names are made to fit `mcp__server__tool` in
64 characters, with a hash where that is not possible, and two tools never share one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from life.aios.json import Json, JsonObject
from life.aios.ports.tools import ToolAnnotations, ToolDefinition
from life.praxis.mcp.config import ServerConfig
from life.praxis.mcp.trust import RemoteTool

MAX_TOOLS: Final = 256
"""Of one server; of more, the first by name."""

MAX_DESCRIPTION_CHARACTERS: Final = 2_000
MAX_SCHEMA_BYTES: Final = 32 * 1024
MAX_SCHEMA_DEPTH: Final = 24
MAX_REMOTE_NAME: Final = 128

_NAME_CHARACTERS: Final = 64
_HASH_CHARACTERS: Final = 8
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_-]")
_INVISIBLE: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\U000e0000-\U000e007f]"
)


def local_names(server: str, tools: Iterable[str]) -> dict[str, str]:
    """Our names of a server's tools: `mcp__<server>__<tool>`. A name that doesn't fit or is taken gets a hash of its own."""
    out: dict[str, str] = {}
    taken: set[str] = set()
    for tool in sorted(tools):
        plain = f"mcp__{server}__{_UNFIT.sub('_', tool)}"
        if len(plain) > _NAME_CHARACTERS or plain in taken or _UNFIT.search(tool) is not None:
            mark = hashlib.sha256(f"{server}\x00{tool}".encode(errors="surrogatepass")).hexdigest()[:_HASH_CHARACTERS]
            plain = f"{plain[: _NAME_CHARACTERS - _HASH_CHARACTERS - 1]}_{mark}"
        taken.add(plain)
        out[tool] = plain
    return out


def schema_problem(schema: Json) -> str | None:
    """Why this can't be the schema of a tool's arguments; None when it can."""
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        return "its schema does not describe an object"
    try:
        size = len(msgspec.json.encode(schema))
    except (TypeError, ValueError, RecursionError):
        return "its schema is not JSON"
    if size > MAX_SCHEMA_BYTES:
        return f"its schema has {size} bytes"
    if _depth(schema) > MAX_SCHEMA_DEPTH:
        return "its schema is nested too deeply"
    if _points_elsewhere(schema):
        return "its schema points to another document"
    return None


def definition(server: ServerConfig, tool: RemoteTool, name: str) -> ToolDefinition:
    """The tool as our models and people see it. Hints count only when the person trusts this server's."""
    told = _INVISIBLE.sub("", tool.description)[:MAX_DESCRIPTION_CHARACTERS].strip() or "No description."
    marks = (
        ToolAnnotations(
            read_only=tool.read_only,
            destructive=tool.destructive and not tool.read_only,
            idempotent=tool.idempotent,
            open_world=tool.open_world,
        )
        if server.trust_annotations
        else ToolAnnotations(destructive=True, open_world=True)
    )
    return ToolDefinition(
        name=name,
        description=f"[MCP server {server.name}; its own words, not verified] {told}",
        input_schema=tool.input_schema,
        annotations=marks,
        category="mcp",
        timeout_s=server.timeout_s,
    )


def capability(server: str, tool: str) -> str:
    """`mcp:<server>:<tool>`."""
    return f"mcp:{server}:{tool}"


def _depth(value: Json) -> int:
    deepest = 0
    stack: list[tuple[Json, int]] = [(value, 1)]
    while stack:
        each, depth = stack.pop()
        deepest = max(deepest, depth)
        if isinstance(each, Mapping):
            stack.extend((member, depth + 1) for member in each.values())
        elif isinstance(each, list | tuple):
            stack.extend((member, depth + 1) for member in each)
    return deepest


def _points_elsewhere(schema: JsonObject) -> bool:
    stack: list[Json] = [schema]
    while stack:
        each = stack.pop()
        if isinstance(each, Mapping):
            for key in ("$ref", "$dynamicRef"):
                target = each.get(key)
                if isinstance(target, str) and not target.startswith("#"):
                    return True
            stack.extend(each.values())
        elif isinstance(each, list | tuple):
            stack.extend(each)
    return False
