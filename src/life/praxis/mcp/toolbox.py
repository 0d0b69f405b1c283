"""The client bridge: other servers' tools among ours, under the same gate.

`McpToolbox` stands around a toolbox and adds the tools of accepted servers as `mcp__<server>__<tool>`, each behind the capability
`mcp:<server>:<tool>`. What a model is offered is what a person has accepted, also while the server is down; a server whose tools
differ from that is noticed at its next list, and the tools that are new or changed stay out until they are accepted.

A call is compared with the accepted definition before it is sent: a connection whose list was not compared since it was made is
listed first. A call whose connection is lost is in doubt, and so is one that a crash of ours cut off, unless the person trusts
this server's own word that the tool only reads or may be repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from life.aios.errors import LifeError
from life.aios.json import Json
from life.aios.ports.clock import Clock
from life.aios.ports.tools import (
    MCP_CALLED,
    OutcomeNote,
    Probe,
    Toolbox,
    ToolCall,
    ToolContext,
    ToolDefinition,
    ToolOutcome,
)
from life.praxis.errors import McpLostError, McpNotAcceptedError, McpProtocolError, ToolInputError, ToolNotFoundError
from life.praxis.failures import failure_output
from life.praxis.mcp.config import ServerConfig
from life.praxis.mcp.connection import RELIST_PAUSE_US, AuthOf, ServerConnection
from life.praxis.mcp.definitions import capability, definition, local_names
from life.praxis.mcp.results import outcome_of
from life.praxis.mcp.trust import Differences, RemoteTool, TrustStore

PREFIX: Final = "mcp__"
MAX_ARGUMENTS_BYTES: Final = 1024 * 1024

ServerStatus = Literal["disabled", "not_accepted", "down", "up"]

_log = logging.getLogger("life.praxis")


class ServerReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a server stands, for people."""

    name: str
    status: ServerStatus
    tools: tuple[str, ...] = ()
    """Our names of those that are offered."""
    differences: Differences = Differences()
    """What waits to be accepted."""
    last_failure: str = ""
    protocol_version: str | None = None


class _Offered(NamedTuple):
    server: ServerConfig
    tool: RemoteTool
    definition: ToolDefinition


class McpToolbox:
    """A toolbox with the tools of MCP servers (life.aios.ports.tools.Toolbox). Close it with `aclose`."""

    def __init__(
        self,
        inner: Toolbox,
        servers: Sequence[ServerConfig],
        trust: TrustStore,
        *,
        clock: Clock,
        environment: Mapping[str, str],
        auth_of: AuthOf = lambda _: None,
        changed: Callable[[str, Differences], None] = lambda _name, _differences: None,
    ) -> None:
        """`changed` hears that a server's tools differ from what was accepted."""
        self._inner = inner
        self._trust = trust
        self._clock = clock
        self._changed = changed
        self._servers = {server.name: server for server in servers}
        self._connections = {
            server.name: ServerConnection(
                server,
                clock=clock,
                environment=environment,
                auth_of=auth_of,
                list_changed=lambda name=server.name: self._list_changed(name),  # type: ignore[misc]
            )
            for server in servers
            if server.enabled
        }
        self._listed: dict[str, dict[str, RemoteTool]] = {}
        self._differences: dict[str, Differences] = {}
        self._compared_us: dict[str, int] = {}
        self._stale: set[str] = set()
        self._relisting: dict[str, asyncio.Task[None]] = {}
        self._offered: dict[str, _Offered] = {}
        self._definitions: tuple[ToolDefinition, ...] | None = None

    async def aclose(self) -> None:
        """End all connections and processes."""
        for task in self._relisting.values():
            task.cancel()
        await asyncio.gather(*self._relisting.values(), return_exceptions=True)
        await asyncio.gather(*(connection.aclose() for connection in self._connections.values()))

    async def refresh(self) -> list[ServerReport]:
        """Connect to every accepted server and compare its list. A server that fails is reported, never raised."""
        await asyncio.gather(*(self._refreshed(name) for name in self._connections))
        return self.reports()

    def reports(self) -> list[ServerReport]:
        """How every server stands now, by name."""
        return [self._report(server) for _, server in sorted(self._servers.items())]

    def listed(self, name: str) -> dict[str, RemoteTool]:
        """What a server listed last, accepted or not: what a person is shown before accepting it."""
        return dict(self._listed.get(name, {}))

    # The port

    def definitions(self) -> Sequence[ToolDefinition]:
        """All tools, by name."""
        if self._definitions is None:
            self._offered = self._offers()
            self._definitions = tuple(offered.definition for _, offered in sorted(self._offered.items()))
        inner = [tool for tool in self._inner.definitions() if tool.name not in self._offered]
        return sorted([*inner, *self._definitions], key=lambda tool: tool.name)

    def capabilities(self, call: ToolCall, context: ToolContext) -> tuple[str, ...]:
        """`mcp:<server>:<tool>`. ToolInputError: the arguments are no object, too large, or miss something."""
        if not call.tool_name.startswith(PREFIX):
            return self._inner.capabilities(call, context)
        offered = self._offer(call.tool_name)
        _check_arguments(call.tool_name, call.arguments, offered.tool)
        return (capability(offered.server.name, offered.tool.name),)

    async def prepare(self, call: ToolCall, context: ToolContext) -> Json:
        """The digest of the definition that the call was judged by."""
        if not call.tool_name.startswith(PREFIX):
            return await self._inner.prepare(call, context)
        return {"definition": self._offer(call.tool_name).tool.digest}

    async def execute(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """Send it once. A lost connection gives an outcome that is in doubt."""
        if not call.tool_name.startswith(PREFIX):
            return await self._inner.execute(call, context)
        try:
            offered = self._offer(call.tool_name)
            _check_arguments(call.tool_name, call.arguments, offered.tool)
            assert isinstance(call.arguments, Mapping)
            await self._compare(offered)
            connection = self._connections[offered.server.name]
            began_us = self._clock.monotonic_us()
            try:
                result = await connection.call(offered.tool.name, call.arguments)
            except McpProtocolError as refusal:
                note = self._called(call, connection, began_us, refusal.rpc_code)
                return ToolOutcome(status="error", output=failure_output(refusal), notes=(note,))
        except McpLostError as lost:
            if self._may_repeat(offered):
                return ToolOutcome(status="error", output=failure_output(lost))
            return ToolOutcome(status="error", output=failure_output(lost), in_doubt=lost.message)
        except LifeError as refusal:
            return ToolOutcome(status="error", output=failure_output(refusal))
        note = self._called(call, connection, began_us, None)
        return msgspec.structs.replace(outcome_of(result), notes=(note,))

    async def probe(self, call: ToolCall, context: ToolContext, prepared: Json) -> Probe:
        """After a crash: unknown, unless the person trusts the server's word and it says the call may be repeated."""
        if not call.tool_name.startswith(PREFIX):
            return await self._inner.probe(call, context, prepared)
        try:
            offered = self._offer(call.tool_name)
        except LifeError as refusal:
            return Probe(answer="unknown", explanation=refusal.message)
        if self._may_repeat(offered):
            return Probe(
                answer="repeatable", explanation="The server, whose word is trusted, says that it may be repeated."
            )
        return Probe(
            answer="unknown",
            explanation=f"The MCP server {offered.server.name} can't be asked what became of a call. It may have taken effect.",
        )

    # Inside

    def _called(self, call: ToolCall, connection: ServerConnection, began_us: int, rpc_code: int | None) -> OutcomeNote:
        """That the server answered, how it was reached and how long it took: what a trace shows (vigil.md §17)."""
        data: dict[str, Json] = {"call_id": call.call_id, **connection.route()}
        data["duration_us"] = self._clock.monotonic_us() - began_us
        if rpc_code is not None:
            data["rpc_code"] = rpc_code
        return OutcomeNote(MCP_CALLED, data)

    def _may_repeat(self, offered: _Offered) -> bool:
        tool = offered.tool
        return offered.server.trust_annotations and (tool.read_only or tool.idempotent)

    def _offer(self, name: str) -> _Offered:
        self.definitions()
        offered = self._offered.get(name)
        if offered is None:
            raise ToolNotFoundError(f"There is no accepted tool named {name[:64]!r} on an MCP server.")
        return offered

    def _offers(self) -> dict[str, _Offered]:
        """The accepted tools of accepted servers, without those that are known to be different or gone by now."""
        offers: dict[str, _Offered] = {}
        for _, server in sorted(self._servers.items()):
            if not server.enabled or not self._trust.is_accepted(server.name, server.entry):
                continue
            accepted = self._trust.tools(server.name)
            differences = self._differences.get(server.name, Differences())
            held_back = {*differences.changed, *differences.gone}
            for tool, name in local_names(server.name, accepted).items():
                if tool in held_back or not server.permits(tool):
                    continue
                offers[name] = _Offered(server, accepted[tool], definition(server, accepted[tool], name))
        return offers

    async def _compare(self, offered: _Offered) -> None:
        """Before a call: the server must be the one that was accepted, and its tool too."""
        name = offered.server.name
        if not self._trust.is_accepted(name, offered.server.entry):
            raise McpNotAcceptedError(f"The MCP server {name} is not accepted.", next_step=f"life mcp accept {name}")
        connection = self._connections[name]
        if not connection.is_up or name not in self._compared_us or name in self._stale:
            await self._list(name)
        listed = self._listed[name].get(offered.tool.name)
        if listed is None or listed.digest != offered.tool.digest:
            raise McpNotAcceptedError(
                f"{offered.tool.name} of the MCP server {name} is not the tool that was accepted.",
                next_step=f"Look at it with `life mcp tools {name}`; accept it with `life mcp accept {name}`.",
            )

    async def _list(self, name: str) -> None:
        self._stale.discard(name)
        listed = await self._connections[name].list_tools()
        self._compared_us[name] = self._clock.monotonic_us()
        self._listed[name] = listed
        differences = self._trust.compare(name, listed)
        if differences != self._differences.get(name):
            self._differences[name] = differences
            if differences:
                _log.warning("The tools of the MCP server %s are not those that were accepted.", name)
                self._changed(name, differences)
        self._definitions = None

    async def _refreshed(self, name: str) -> None:
        server = self._servers[name]
        if not self._trust.is_accepted(name, server.entry):
            return
        try:
            await self._list(name)
        except LifeError as error:
            _log.warning("The MCP server %s is not there: %s", name, error.message)

    def _list_changed(self, name: str) -> None:
        """The server says that its tools changed: look, but not more often than every `RELIST_PAUSE_US`."""
        self._stale.add(name)
        running = self._relisting.get(name)
        if running is None or running.done():
            self._relisting[name] = asyncio.get_running_loop().create_task(self._relist(name))

    async def _relist(self, name: str) -> None:
        due_us = self._compared_us.get(name, 0) + RELIST_PAUSE_US
        await self._clock.sleep_us(max(0, due_us - self._clock.monotonic_us()))
        if name in self._stale:
            await self._refreshed(name)

    def _report(self, server: ServerConfig) -> ServerReport:
        self.definitions()
        connection = self._connections.get(server.name)
        status: ServerStatus = "down"
        if connection is None:
            status = "disabled"
        elif not self._trust.is_accepted(server.name, server.entry):
            status = "not_accepted"
        elif connection.is_up:
            status = "up"
        return ServerReport(
            name=server.name,
            status=status,
            tools=tuple(name for name, offered in sorted(self._offered.items()) if offered.server.name == server.name),
            differences=self._differences.get(server.name, Differences()),
            last_failure="" if connection is None else connection.last_failure,
            protocol_version=None if connection is None else connection.protocol_version,
        )


def _check_arguments(name: str, arguments: Json, tool: RemoteTool) -> None:
    """The parts of the schema that can be checked without running anything of the server's: an object, not too large, with
    what is required, without what is not permitted, and of the simple types that were asked for."""
    if not isinstance(arguments, Mapping):
        raise ToolInputError(f"Invalid arguments for {name}: they must be an object.")
    if len(msgspec.json.encode(arguments)) > MAX_ARGUMENTS_BYTES:
        raise ToolInputError(f"Invalid arguments for {name}: they are larger than {MAX_ARGUMENTS_BYTES} bytes.")
    properties = tool.input_schema.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    required = tool.input_schema.get("required")
    missing = (
        [key for key in required if isinstance(key, str) and key not in arguments] if isinstance(required, list) else []
    )
    if missing:
        raise ToolInputError(f"Invalid arguments for {name}: {', '.join(missing[:10])} is required.")
    if tool.input_schema.get("additionalProperties") is False and "patternProperties" not in tool.input_schema:
        unknown = [key for key in arguments if key not in properties]
        if unknown:
            raise ToolInputError(f"Invalid arguments for {name}: there is no parameter {unknown[0][:64]!r}.")
    for key, value in arguments.items():
        wanted = properties.get(key)
        kind = wanted.get("type") if isinstance(wanted, Mapping) else None
        if isinstance(kind, str) and not _is_of(kind, value):
            raise ToolInputError(f"Invalid arguments for {name}: {key[:64]} must be of type {kind}.")


def _is_of(kind: str, value: Json) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return (isinstance(value, int) and not isinstance(value, bool)) or (
                isinstance(value, float) and value.is_integer()
            )
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "array":
            return isinstance(value, list | tuple)
        case "object":
            return isinstance(value, Mapping)
        case "null":
            return value is None
    return True
