"""The MCP server under the npm conformance suite: our server, door, gate and journal, with the tools that the suite names.

The suite sends no Authorization header; this fixture adds it, so that the requests go through the real entrance. Everything
else is as `life mcp serve --http` has it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from life.aios.json import Json, JsonObject
from life.aios.policy import PolicySet
from life.aios.ports.tools import Probe, ToolAnnotations, ToolCall, ToolContext, ToolDefinition, ToolOutcome
from life.arcan.direct_calls import DirectCallProvider, DirectCalls
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.host.clock import SystemClock, SystemEntropy
from life.host.http.server import bind, host_names
from life.host.mcp_server import RuntimeDoor
from life.lago.journal.sqlite import SqliteJournal
from life.praxis.mcp.doors import (
    LOCAL_CALLER,
    Caller,
    Prompt,
    PromptArgument,
    Resource,
    ResourceContent,
    ResourceTemplate,
)
from life.praxis.mcp.http import caller_of, http_application
from life.praxis.mcp.server import McpServer

TOKEN = "conformance-token-of-thirty-two-characters"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAVE = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="
_OBJECT: JsonObject = {"type": "object", "properties": {}}
_JSON_RESOURCE: JsonObject = {
    "type": "resource",
    "resource": {
        "uri": "test://mixed-content-resource",
        "mimeType": "application/json",
        "text": '{"test":"data","value":123}',
    },
}
_CONTENT: dict[str, list[Json]] = {
    "test_simple_text": [{"type": "text", "text": "This is a simple text response for testing."}],
    "test_image_content": [{"type": "image", "data": PIXEL, "mimeType": "image/png"}],
    "test_audio_content": [{"type": "audio", "data": WAVE, "mimeType": "audio/wav"}],
    "test_embedded_resource": [
        {
            "type": "resource",
            "resource": {
                "uri": "test://embedded-resource",
                "mimeType": "text/plain",
                "text": "This is an embedded resource content.",
            },
        }
    ],
    "test_multiple_content_types": [
        {"type": "text", "text": "Multiple content types test:"},
        {"type": "image", "data": PIXEL, "mimeType": "image/png"},
        _JSON_RESOURCE,
    ],
    "test_tool_with_logging": [{"type": "text", "text": "Logged."}],
    "test_tool_with_progress": [{"type": "text", "text": "Done."}],
    "test_elicitation": [{"type": "text", "text": "The person agreed."}],
    "json_schema_2020_12_tool": [{"type": "text", "text": "Valid."}],
    "test_x_mcp_header": [{"type": "text", "text": "Routed."}],
}
_SCHEMAS: dict[str, JsonObject] = {
    "test_elicitation": {"type": "object", "properties": {"message": {"type": "string"}}},
    "json_schema_2020_12_tool": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
    "test_x_mcp_header": {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}, "query": {"type": "string"}},
        "required": ["region", "query"],
    },
}


CONFIRMED = (
    "test_elicitation",
    "test_input_required_result_elicitation",
    "test_input_required_result_request_state",
    "test_input_required_result_tampered_state",
    "test_streaming_elicitation",
)
"""Tools that want to be confirmed: our server asks its client for that and for nothing else."""

for _name in (*CONFIRMED, "test_logging_tool"):
    _CONTENT.setdefault(_name, [{"type": "text", "text": "state-ok"}])


class ConformanceTools:
    """Tools whose results are fixed; `test_error_handling` fails."""

    def definitions(self) -> Sequence[ToolDefinition]:
        """By name."""
        names = sorted([*_CONTENT, "test_error_handling"])
        return [
            ToolDefinition(
                name=name,
                description=f"The suite's {name}.",
                input_schema=_SCHEMAS.get(name, _OBJECT),
                annotations=ToolAnnotations(read_only=True, requires_confirmation=name in CONFIRMED),
            )
            for name in names
        ]

    def capabilities(self, call: ToolCall, context: ToolContext) -> tuple[str, ...]:
        """None."""
        return ()

    async def prepare(self, call: ToolCall, context: ToolContext) -> Json:
        """Nothing."""
        return None

    async def execute(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """The fixed result."""
        if call.tool_name == "test_error_handling":
            return ToolOutcome(status="error", output={"error": "This tool intentionally returns an error for testing"})
        return ToolOutcome(status="ok", output={"content": _CONTENT[call.tool_name]})

    async def probe(self, call: ToolCall, context: ToolContext, prepared: Json) -> Probe:
        """Harmless."""
        return Probe(answer="repeatable", explanation="Fixed.")


class ConformanceResources:
    """The resources that the suite names."""

    async def list(self, caller: Caller) -> Sequence[Resource]:
        """Two and one to be watched."""
        return [
            Resource("test://static-binary", "static binary", "An image.", "image/png"),
            Resource("test://static-text", "static text", "A text."),
            Resource("test://watched-resource", "watched", "Changes."),
        ]

    def templates(self) -> Sequence[ResourceTemplate]:
        """One."""
        return [ResourceTemplate("test://template/{id}/data", "template", "By id.", "application/json")]

    async def read(self, caller: Caller, uri: str) -> ResourceContent | None:
        """Fixed contents."""
        if uri == "test://static-text":
            return ResourceContent(uri, "text/plain", "This is the content of the static text resource.")
        if uri == "test://static-binary":
            return ResourceContent(uri, "image/png", b"\x89PNG\r\n\x1a\n")
        if uri == "test://watched-resource":
            return ResourceContent(uri, "text/plain", "Watched.")
        if uri.startswith("test://template/") and uri.endswith("/data"):
            number = uri.removeprefix("test://template/").removesuffix("/data")
            text = f'{{"id":"{number}","templateTest":true,"data":"Data for ID: {number}"}}'
            return ResourceContent(uri, "application/json", text)
        return None


class ConformancePrompts:
    """The prompts that the suite names."""

    async def list(self, caller: Caller) -> Sequence[Prompt]:
        """Four."""
        return [
            Prompt(
                "test_prompt_with_arguments",
                "With arguments.",
                (PromptArgument("arg1", "", True), PromptArgument("arg2", "", True)),
            ),
            Prompt(
                "test_prompt_with_embedded_resource", "With a resource.", (PromptArgument("resourceUri", "", True),)
            ),
            Prompt("test_prompt_with_image", "With an image."),
            Prompt("test_simple_prompt", "Simple."),
        ]

    async def get(self, caller: Caller, name: str, arguments: Mapping[str, str]) -> Sequence[JsonObject] | None:
        """Fixed messages."""
        if name == "test_simple_prompt":
            return [{"type": "text", "text": "This is a simple prompt for testing."}]
        if name == "test_prompt_with_arguments":
            text = f"Prompt with arguments: arg1='{arguments.get('arg1')}', arg2='{arguments.get('arg2')}'"
            return [{"type": "text", "text": text}]
        if name == "test_prompt_with_embedded_resource":
            resource: JsonObject = {
                "uri": arguments.get("resourceUri", ""),
                "mimeType": "text/plain",
                "text": "Embedded.",
            }
            return [{"type": "resource", "resource": resource}, {"type": "text", "text": "Please process it."}]
        if name == "test_prompt_with_image":
            return [{"type": "image", "data": PIXEL, "mimeType": "image/png"}, {"type": "text", "text": "Analyze it."}]
        return None


async def main() -> None:
    """Serve until killed; says `ready <address>` when requests are answered."""
    clock, entropy = SystemClock(), SystemEntropy()
    tools = ConformanceTools()
    with tempfile.TemporaryDirectory() as folder:
        async with SqliteJournal.open(Path(folder) / "journal.db", clock=clock) as journal:
            async with Runtime(
                journal,
                tools,
                provider=DirectCallProvider(),
                open_provider=lambda _: DirectCallProvider(),
                clock=clock,
                entropy=entropy,
                agent_id="conformance",
                workspace_of=lambda _: folder,
                settings=RuntimeSettings(policy=PolicySet(allow_capabilities=("*",))),
            ) as runtime:
                door = RuntimeDoor(DirectCalls(runtime, journal), tools.definitions, offered=("*",))
                server = McpServer(
                    door,
                    resources=[ConformanceResources()],
                    prompts=[ConformancePrompts()],
                    caller_of=caller_of,
                    version="1",
                )
                await _serve(server)


async def _serve(server: McpServer) -> None:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]

        async def keeper(token: str) -> Caller | None:
            return LOCAL_CALLER if token == TOKEN else None

        address = f"http://127.0.0.1:{port}"
        async with http_application(
            server, keeper, hosts=host_names("127.0.0.1", port, ()), resource=f"{address}/mcp"
        ) as app:
            sys.stdout.write(f"ready {address}\n")
            sys.stdout.flush()
            config = uvicorn.Config(_with_token(app), log_config=None, lifespan="off", ws="none")
            await uvicorn.Server(config).serve(sockets=[listener])


def _with_token(app: ASGIApp) -> ASGIApp:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "headers": [*scope["headers"], (b"authorization", f"Bearer {TOKEN}".encode())]}
        await app(scope, receive, send)

    return inner


if __name__ == "__main__":
    asyncio.run(main())
