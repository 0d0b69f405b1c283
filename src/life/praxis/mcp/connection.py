"""A connection to one server: started when it is needed, restarted with patience, and never the end of the runtime.

The SDK's client lives in a task of its own; calls come from any task of the same loop. When the server ends in the middle of a
call, that call is McpLostError (its effect is in doubt), and the next call starts the server again, at the earliest after a
pause that doubles with every failure. A server is not asked for anything but tools, and nothing is lent to it: no
sampling, no roots, no elicitation.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import mcp_types as types
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from life.aios.errors import LifeError
from life.aios.json import Json, JsonObject
from life.aios.ports.clock import Clock
from life.praxis.errors import McpError, McpLostError, McpProtocolError, McpSignInError, McpUnavailableError
from life.praxis.mcp.bounded_http import BoundedTransport
from life.praxis.mcp.config import ServerConfig
from life.praxis.mcp.definitions import MAX_REMOTE_NAME, MAX_TOOLS, schema_problem
from life.praxis.mcp.stdio_transport import ChildProcess, child_server
from life.praxis.mcp.trust import RemoteTool

MAX_PAGES: Final = 50
MAX_LIST_BYTES: Final = 4 * 1024 * 1024
FIRST_PAUSE_S: Final = 1
LONGEST_PAUSE_S: Final = 60
RELIST_PAUSE_US: Final = 2_000_000
"""A server that announces changes without end is listed again at most this often."""

_WORDS: Final = 400
_ENDED: Final = "its process ended"
_CLOSED: Final = "the connection ended"

_log = logging.getLogger("life.praxis")

AuthOf = Callable[[ServerConfig], httpx2.Auth | None]


class ServerConnection:
    """One server of the configuration."""

    def __init__(
        self,
        config: ServerConfig,
        *,
        clock: Clock,
        environment: Mapping[str, str],
        auth_of: AuthOf = lambda _: None,
        list_changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`list_changed` hears that the server announces other tools; it is called on the loop and must not block."""
        self.config = config
        self._clock = clock
        self._environment = environment
        self._auth_of = auth_of
        self._list_changed = list_changed
        self._starting = asyncio.Lock()
        self._client: Client | None = None
        self._child = ChildProcess()
        self._owner: asyncio.Task[None] | None = None
        self._failures = 0
        self._not_before_us = 0
        self._last_failure = ""
        self._closed = False

    @property
    def is_up(self) -> bool:
        """Whether there is a connection now."""
        return self._client is not None and not self._child.ended.is_set()

    @property
    def last_failure(self) -> str:
        """Why the last attempt or connection ended; empty when none did."""
        return self._last_failure

    @property
    def protocol_version(self) -> str | None:
        """What was agreed on, once there is a connection."""
        return None if self._client is None else self._client.protocol_version

    def route(self) -> dict[str, Json]:
        """How the server is reached, for who traces calls: `transport`, `protocol_version`, over HTTP `address` and `port`."""
        facts: dict[str, Json] = {"transport": "pipe" if self.config.command is not None else "tcp"}
        if self.config.url is not None:
            parts = urlsplit(self.config.url)
            facts["address"] = parts.hostname or ""
            facts["port"] = parts.port or (443 if parts.scheme == "https" else 80)
        if self.protocol_version is not None:
            facts["protocol_version"] = self.protocol_version
        return facts

    async def call(self, tool: str, arguments: JsonObject) -> types.CallToolResult:
        """Call one tool once. McpUnavailableError: nothing was sent. McpLostError: the effect is in doubt.
        McpProtocolError: the server refused or answered nonsense."""
        client = await self._connected()
        ended = self._child.ended
        calling = asyncio.create_task(
            client.call_tool(tool, dict(arguments), read_timeout_seconds=float(self.config.timeout_s))
        )
        watching = asyncio.create_task(ended.wait())
        try:
            await asyncio.wait({calling, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not calling.done():  # its last answer may still be on the way through the session
                await asyncio.wait({calling}, timeout=0.5)
            if not calling.done():
                raise self._lost(self._child.reason)
            result = calling.result()
        except MCPError as error:
            if error.code in (types.CONNECTION_CLOSED, types.REQUEST_TIMEOUT):
                closed = error.code == types.CONNECTION_CLOSED
                if closed:
                    await asyncio.wait({watching}, timeout=0.5)
                if isinstance(self._child.cause, McpSignInError):
                    raise self._child.cause from None  # the server answered 401: nothing was done
                raise self._lost(self._child.reason if closed else "no answer came in time") from None
            refusal = McpProtocolError(f"{self.config.name} answered with an error: {_words(error.message)}")
            refusal.rpc_code = error.code
            raise refusal from None
        except (httpx2.HTTPError, OSError) as error:
            raise self._lost(type(error).__name__) from None
        except LifeError:
            raise
        except Exception as error:
            _log.warning("The MCP server %s answered in no known form: %s", self.config.name, type(error).__name__)
            raise McpProtocolError(
                f"{self.config.name} answered in no form that is known. The call may have worked."
            ) from None
        finally:
            for task in (calling, watching):
                task.cancel()
            await asyncio.gather(calling, watching, return_exceptions=True)
        self._failures = 0
        return result

    async def list_tools(self) -> dict[str, RemoteTool]:
        """The server's tools by their names, unfit ones left out. McpErrors."""
        client = await self._connected()
        try:
            async with asyncio.timeout(self.config.start_timeout_s):
                return await self._listed(client)
        except TimeoutError:
            raise McpUnavailableError(f"{self.config.name} did not list its tools in time.") from None
        except MCPError as error:
            raise McpProtocolError(f"{self.config.name} can't list its tools: {_words(error.message)}") from None
        except McpError:
            raise
        except Exception as error:
            raise McpProtocolError(f"{self.config.name} can't list its tools: {type(error).__name__}.") from None

    async def aclose(self) -> None:
        """End the connection and the process."""
        self._closed = True
        await self._drop()

    async def _listed(self, client: Client) -> dict[str, RemoteTool]:
        found: dict[str, RemoteTool] = {}
        size = 0
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await client.list_tools(cursor=cursor, cache_mode="bypass")
            for tool in page.tools:
                problem = _unfit(tool)
                if problem is not None:
                    _log.warning("A tool of the MCP server %s is left out: %s.", self.config.name, problem)
                    continue
                size += len(str(tool.input_schema)) + len(tool.description or "")
                if len(found) >= MAX_TOOLS or size > MAX_LIST_BYTES:
                    _log.warning("The MCP server %s has more tools than are taken (%d).", self.config.name, MAX_TOOLS)
                    return found
                if tool.name not in found and self.config.permits(tool.name):
                    found[tool.name] = _remote(tool)
            cursor = page.next_cursor
            if cursor is None:
                break
        return found

    async def _connected(self) -> Client:
        """The client of a live connection."""
        if self._closed:
            raise McpUnavailableError(f"The MCP server {self.config.name} is being shut down.")
        async with self._starting:
            if self._client is not None and not self._child.ended.is_set():
                return self._client
            if self._client is not None:
                self._failed(self._child.reason, since_us=self._child.ended_us)
            await self._drop()
            now_us = self._clock.monotonic_us()
            if now_us < self._not_before_us:
                wait_s = -(-(self._not_before_us - now_us) // 1_000_000)
                raise McpUnavailableError(
                    f"The MCP server {self.config.name} failed ({self._last_failure}); it is tried again in {wait_s} s."
                )
            return await self._start()

    async def _start(self) -> Client:
        self._child = ChildProcess(reason=_ENDED if self.config.command is not None else _CLOSED)
        ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._own(self._child, ready))
        try:
            async with asyncio.timeout(self.config.start_timeout_s):
                self._client = await asyncio.shield(ready)
        except TimeoutError:
            reason = f"it was not ready in {self.config.start_timeout_s} s"
        except asyncio.CancelledError:
            await self._drop()
            raise
        except Exception as error:
            reason = _reason(error)
        else:
            return self._client
        words = self._child.last_words.strip().splitlines()[-1:]
        self._failed(reason)
        await self._drop()
        told = f" Its last words: {_words(words[0])}" if words else ""
        raise McpUnavailableError(f"The MCP server {self.config.name} can't be used: {reason}.{told}")

    async def _own(self, child: ChildProcess, ready: asyncio.Future[Client]) -> None:
        """Hold the connection open from one task, as the SDK's scopes demand, until it ends."""
        try:
            async with self._transport(child) as streams:
                client = Client(
                    _Ready(streams), mode="auto", cache=None, message_handler=self._hear, input_required_max_rounds=1
                )
                async with client:
                    listening = asyncio.create_task(self._listen(client))
                    try:
                        if not ready.done():
                            ready.set_result(client)
                        await child.ended.wait()
                    finally:
                        listening.cancel()
                        await asyncio.gather(listening, return_exceptions=True)
        except BaseException as error:
            if not ready.done():
                ready.set_exception(
                    McpUnavailableError("the start was broken off")
                    if isinstance(error, asyncio.CancelledError)
                    else error
                )
                ready.exception()
            if not isinstance(error, Exception):
                raise
            child.cause = _cause(error)
            if child.reason in (_ENDED, _CLOSED):
                child.reason = _reason(error)
        finally:
            child.ended_us = self._clock.monotonic_us()
            child.ended.set()

    @asynccontextmanager
    async def _transport(self, child: ChildProcess) -> AsyncGenerator[Any, None]:
        config = self.config
        if config.command is not None:
            async with child_server(config, child, clock=self._clock, environment=self._environment) as streams:
                yield streams
            return
        assert config.url is not None
        # A call's own limit strikes first and ends only the call; this one ends the connection.
        timeout = httpx2.Timeout(30.0, read=float(config.timeout_s) + 30)
        async with (
            httpx2.AsyncClient(
                transport=BoundedTransport(httpx2.AsyncHTTPTransport()),
                headers=config.headers,
                auth=self._auth_of(config),
                timeout=timeout,
                follow_redirects=False,
                trust_env=False,
            ) as http,
            streamable_http_client(config.url, http_client=http) as streams,
        ):
            yield streams

    async def _hear(self, message: object) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self._list_changed()

    async def _listen(self, client: Client) -> None:
        """In 2026-07-28 changes are told to who listens. A server that has no such stream is listed at starts only."""
        tools = client.server_capabilities.tools
        if client.protocol_version < "2026-07-28" or tools is None or not tools.list_changed:
            return
        with suppress(MCPError, httpx2.HTTPError, OSError, RuntimeError):
            async with client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    self._list_changed()

    async def _drop(self) -> None:
        owner, was_ready = self._owner, self._client is not None
        self._owner = self._client = None
        if owner is not None:
            self._child.ended.set()
            if was_ready:  # it leaves by itself; one that is still starting would wait for its server
                await asyncio.wait({owner}, timeout=8)
            owner.cancel()
            await asyncio.gather(owner, return_exceptions=True)

    def _failed(self, reason: str, *, since_us: int | None = None) -> None:
        self._failures += 1
        self._last_failure = reason
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S << min(self._failures - 1, 6))
        failed_us = self._clock.monotonic_us() if since_us is None else since_us
        self._not_before_us = failed_us + pause_s * 1_000_000

    def _lost(self, reason: str) -> McpLostError:
        self._last_failure = reason
        return McpLostError(
            f"The connection to {self.config.name} was lost during the call ({reason}): it is not known whether the call took effect."
        )


class _Ready:
    """Streams that are open already, as an SDK transport."""

    def __init__(self, streams: Any) -> None:
        self._streams = streams

    async def __aenter__(self) -> Any:
        return self._streams

    async def __aexit__(self, *_: object) -> None:
        return None


def _unfit(tool: types.Tool) -> str | None:
    if not 1 <= len(tool.name) <= MAX_REMOTE_NAME or not tool.name.isprintable():
        return "its name can't be used"
    return schema_problem(tool.input_schema)


def _remote(tool: types.Tool) -> RemoteTool:
    hints = tool.annotations or types.ToolAnnotations()
    return RemoteTool(
        name=tool.name,
        description=(tool.description or tool.title or "")[:8_000].encode(errors="replace").decode(),
        input_schema=tool.input_schema,
        read_only=hints.read_only_hint is True,
        destructive=hints.destructive_hint is not False,
        idempotent=hints.idempotent_hint is True,
        open_world=hints.open_world_hint is not False,
    )


def _reason(error: BaseException) -> str:
    """What is told about a failure: our own words, a protocol error's, or only its type."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    if isinstance(error, LifeError):
        return error.message.rstrip(".")
    if isinstance(error, MCPError):
        return _words(error.message).rstrip(".")
    return type(error).__name__


def _cause(error: BaseException) -> LifeError | None:
    """The error of ours inside, when there is one."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error if isinstance(error, LifeError) else None


def _words(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text[:_WORDS])
