"""A SERVER span for every request of an MCP client, below the span that the client's `_meta` names (vigil.md §17).

What a request begins becomes a child of its span: the run of a tool call stands below `tools/call read_file`. The spans exist live
only; no event tells of a request. Imported only with telemetry on and the extra `mcp`.
"""

from __future__ import annotations

from typing import Any, Final

import mcp_types as types
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from life.aios.ports.telemetry import working_in
from life.praxis.mcp.server import McpServer
from life.vigil import names as n
from life.vigil.propagation import extract
from life.vigil.span import Attributes, Span, SpanLink
from life.vigil.telemetry import LiveTelemetry

_CLIENTS_FAULT: Final = frozenset({-32700, -32600, -32601, -32602, -32002})
"""Codes that the convention does not count as the server's errors."""

_METHODS: Final = frozenset(
    {
        "initialize",
        "ping",
        "server/discover",
        "tools/list",
        "tools/call",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "prompts/list",
        "prompts/get",
        "completion/complete",
        "logging/setLevel",
    }
)


def trace_requests(server: McpServer, telemetry: LiveTelemetry) -> None:
    """Make spans of this server's requests from now on."""
    server.protocol.middleware.append(_Traced(telemetry))


def _has_failed(result: HandlerResult) -> bool:
    """Whether a tool's result says so, as an object or as it goes over the wire."""
    if isinstance(result, types.CallToolResult):
        return result.is_error is True
    return isinstance(result, dict) and result.get("isError") is True


class _Traced:
    """A middleware of the SDK, inside its own (which makes no span without a global provider of OpenTelemetry)."""

    def __init__(self, telemetry: LiveTelemetry) -> None:
        self._telemetry = telemetry

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Serve the request within its span. Notifications, and streams that are listened to for hours, have none."""
        if ctx.request_id is None or ctx.method not in _METHODS:
            return await call_next(ctx)
        telemetry = self._telemetry
        ambient = working_in.get()
        parent = extract(ctx.meta or {}) or telemetry.caller()  # type: ignore[arg-type]
        place = telemetry.new_place(parent)
        began_us = telemetry.now_us()
        attributes: Attributes = {
            n.MCP_METHOD: ctx.method,
            n.MCP_PROTOCOL: ctx.protocol_version,
            n.TRANSPORT: "pipe" if ctx.request is None else "tcp",
        }
        if isinstance(ctx.request_id, int):  # a string may be anybody's words
            attributes[n.RPC_REQUEST] = str(ctx.request_id)
        error: str | None = "_OTHER"
        refused = False
        try:
            with telemetry.within(place):
                telemetry.caller()  # notes a trace that is not recorded
                result = await call_next(ctx)
            error = "tool_error" if ctx.method == "tools/call" and _has_failed(result) else None
            return result
        except MCPError as failure:
            code = failure.error.code
            attributes[n.RPC_STATUS] = str(code)
            refused = code in _CLIENTS_FAULT
            error = None if refused else str(code)
            raise
        except ValidationError:
            attributes[n.RPC_STATUS] = str(types.INVALID_PARAMS)
            refused, error = True, None
            raise
        finally:
            name = ctx.method
            target = None if refused else (ctx.params or {}).get("name")  # a name that nothing has is the client's word
            if isinstance(target, str) and ctx.method in ("tools/call", "prompts/get"):
                name = f"{ctx.method} {target}"
                attributes[n.TOOL_NAME if ctx.method == "tools/call" else n.PROMPT_NAME] = target
            if ctx.method == "tools/call":
                attributes[n.OPERATION] = "execute_tool"
            if error is not None:
                attributes[n.ERROR_TYPE] = error
            telemetry.span(
                Span(
                    name=name,
                    kind="server",
                    trace_id=place.trace_id,
                    span_id=place.span_id,
                    parent_id=None if parent is None else parent.span_id,
                    start_us=began_us,
                    end_us=max(telemetry.now_us(), began_us),
                    attributes=attributes,
                    links=()
                    if ambient is None or ambient == parent
                    else (SpanLink(ambient.trace_id, ambient.span_id),),
                    error=error,
                )
            )
