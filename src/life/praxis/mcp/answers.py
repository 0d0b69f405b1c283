"""What the server says in the protocol's own types: tools, results of calls, and the question about a call that waits."""

from __future__ import annotations

from typing import Final

import mcp_types as types
import msgspec
from pydantic import TypeAdapter, ValidationError

from life.aios.ports.tools import ToolDefinition
from life.praxis.mcp.blocks import as_text, content_blocks
from life.praxis.mcp.doors import Answer

APPROVE: Final = "approve"
"""The key of the one input request, and of its one field."""

META_PREFIX: Final = "dev.lifeos/"
CONTENT_BLOCK: Final[TypeAdapter[types.ContentBlock]] = TypeAdapter(types.ContentBlock)


def tool_entry(tool: ToolDefinition) -> types.Tool:
    marks = tool.annotations
    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=dict(tool.input_schema),
        annotations=types.ToolAnnotations(
            read_only_hint=marks.read_only,
            destructive_hint=marks.destructive,
            idempotent_hint=marks.idempotent,
            open_world_hint=marks.open_world,
        ),
        _meta={
            f"{META_PREFIX}requiresConfirmation": marks.requires_confirmation,
            f"{META_PREFIX}category": tool.category,
        },
    )


def call_result(answer: Answer) -> types.CallToolResult:
    """The answer as content; a call that waits or is in doubt is an error that says so."""
    meta = {f"{META_PREFIX}session": answer.session_id, f"{META_PREFIX}run": answer.run_id}
    if answer.status in ("waiting", "in_doubt"):
        words = (
            "This call waits for a person's decision. Nothing was done yet. Make the same call again to wait for it."
            if answer.status == "waiting"
            else "It is not known whether this call took effect; a person has to say. Do not repeat it."
        )
        return types.CallToolResult(
            content=[types.TextContent(text=words)],
            is_error=True,
            _meta={**meta, f"{META_PREFIX}status": answer.status},
        )
    is_error = answer.status != "ok"
    blocks = content_blocks(answer.output)
    if blocks is not None:
        try:
            content = [CONTENT_BLOCK.validate_python(block, by_alias=True) for block in blocks]
        except ValidationError:
            blocks = None
        else:
            structured = answer.output.get("structured") if isinstance(answer.output, dict) else None
            return types.CallToolResult(
                content=content,
                structured_content=structured if isinstance(structured, dict) else None,
                is_error=is_error,
                _meta=meta,
            )
    output = msgspec.to_builtins(answer.output)
    return types.CallToolResult(
        content=[types.TextContent(text=as_text(output))],
        structured_content=output if isinstance(output, dict) and not is_error else None,
        is_error=is_error,
        _meta=meta,
    )


def approval_question(params: types.CallToolRequestParams) -> types.ElicitRequestFormParams:
    """What the person is shown: the tool, and the very arguments."""
    shown = as_text(params.arguments or {})
    shown = shown if len(shown) <= 2_000 else shown[:2_000] + " …"
    return types.ElicitRequestFormParams(
        message=f"May {params.name} run with these arguments?\n{shown}",
        requested_schema={
            "type": "object",
            "properties": {
                APPROVE: {
                    "type": "boolean",
                    "title": "Run it",
                    "description": "Yes runs this call, once.",
                    "default": False,
                }
            },
            "required": [APPROVE],
        },
    )
