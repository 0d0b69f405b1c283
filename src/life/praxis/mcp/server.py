"""Our tools, resources and prompts as an MCP server, on the official SDK (protocol 2026-07-28 and the handshake era).

    server = McpServer(door, resources=[…], prompts=[…])
    await server.serve_stdio()                     # or `life.praxis.mcp.http.http_application(server, …)`

Every call goes through the host's door. While it runs, the client that asked for progress gets one notification for each thing
that happens to it (asked for, permitted, started, ended), and the same sentences as log messages when it turned those on.
A call that needs a person is put to the person at the client by elicitation, when the client can do that and the operator
permits it; otherwise the answer says that it waits, and asking again for the same call joins the one that waits.
Payments and other calls of critical risk are never put to the client.

Source: MCP 2026-07-28, 2025-11-25; praxis.md §7.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import warnings
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated, ToolsListChanged
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError

from life.aios.errors import LifeError
from life.aios.json import JsonObject
from life.praxis.mcp.answers import APPROVE, CONTENT_BLOCK, approval_question, call_result, tool_entry
from life.praxis.mcp.doors import (
    LOCAL_CALLER,
    Answer,
    Caller,
    PromptSource,
    Resource,
    ResourceSource,
    ResourceTemplate,
    ToolDoor,
)

logger = logging.getLogger("life.praxis")

PAGE: Final = 100
"""Entries per page of a list."""

MAX_SUBSCRIPTIONS: Final = 1_000
NAME: Final = "life"
_LEVELS: Final[tuple[types.LoggingLevel, ...]] = (
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
)
_T = TypeVar("_T")
_MODERN: Final = "2026-07-28"


class McpServer:
    """One server for any number of connections."""

    def __init__(
        self,
        door: ToolDoor,
        *,
        resources: Sequence[ResourceSource] = (),
        prompts: Sequence[PromptSource] = (),
        caller_of: Callable[[Any], Caller] = lambda _: LOCAL_CALLER,
        version: str = "",
        instructions: str | None = None,
        ask_client: bool = True,
    ) -> None:
        """`caller_of` tells who stands behind a request (None over stdio); `ask_client`: approvals may be put to the client."""
        self._door = door
        self._resources = resources
        self._prompts = prompts
        self._caller_of = caller_of
        self._ask_client = ask_client
        self._bus = InMemorySubscriptionBus()
        self._levels: OrderedDict[str, types.LoggingLevel] = OrderedDict()
        self._subscribed: OrderedDict[tuple[str, str], Any] = OrderedDict()
        with warnings.catch_warnings():
            # Logging is deprecated in 2026-07-28; clients of the handshake era still ask for it.
            warnings.simplefilter("ignore", MCPDeprecationWarning)
            self.protocol: Server[Any] = Server(
                NAME,
                version=version,
                title="Life",
                instructions=instructions,
                get_tool_input_schema=self._input_schema,
                on_list_tools=_answering(self._list_tools),
                on_call_tool=_answering(self._call_tool),
                on_list_resources=_answering(self._list_resources),
                on_list_resource_templates=_answering(self._list_templates),
                on_read_resource=_answering(self._read_resource),
                on_subscribe_resource=self._subscribe,
                on_unsubscribe_resource=self._unsubscribe,
                on_subscriptions_listen=ListenHandler(self._bus, max_subscriptions=MAX_SUBSCRIPTIONS),
                on_list_prompts=_answering(self._list_prompts),
                on_get_prompt=_answering(self._get_prompt),
                on_completion=self._complete,
                on_set_logging_level=self._set_level,
            )

    async def serve_stdio(self) -> None:
        """Serve one client on standard input and output, until it closes them. Nothing else may be written there."""
        from mcp.server.stdio import stdio_server

        async with stdio_server() as (read_stream, write_stream):
            await self.protocol.run(read_stream, write_stream, self.protocol.create_initialization_options())

    async def resource_changed(self, uri: str) -> None:
        """Tell everybody who subscribed to this resource."""
        await self._bus.publish(ResourceUpdated(uri=uri))
        for (_, subscribed), session in list(self._subscribed.items()):
            if subscribed == uri:
                try:
                    await session.send_resource_updated(uri)
                except Exception as gone:  # a client that left must not fail the call of another
                    logger.debug("a subscriber could not be told: %s", type(gone).__name__)

    async def tools_changed(self) -> None:
        """Tell everybody who listens that the list of tools is another one."""
        await self._bus.publish(ToolsListChanged())

    # Tools

    def _input_schema(self, name: str) -> JsonObject | None:
        return next((tool.input_schema for tool in self._door.definitions(LOCAL_CALLER) if tool.name == name), None)

    async def _list_tools(self, ctx: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        tools, cursor = _page(self._door.definitions(self._caller(ctx)), params, lambda tool: tool.name)
        return types.ListToolsResult(
            tools=[tool_entry(tool) for tool in tools], next_cursor=cursor, ttl_ms=0, cache_scope="private"
        )

    async def _call_tool(
        self, ctx: Any, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        caller = self._caller(ctx)
        if all(tool.name != params.name for tool in self._door.definitions(caller)):
            raise MCPError(types.INVALID_PARAMS, f"There is no tool named {params.name[:64]!r}.")
        news: asyncio.Queue[str | None] = asyncio.Queue()
        telling = asyncio.get_running_loop().create_task(self._tell(ctx, params.name, news))
        try:
            answer = await self._door.call(caller, params.name, params.arguments or {}, news.put_nowait)
            if answer.status == "waiting":
                news.put_nowait("waiting for a person's decision")
                asked = await self._ask(ctx, caller, params, answer)
                if isinstance(asked, types.InputRequiredResult):
                    return asked
                answer = asked
        finally:
            news.put_nowait(None)
            await asyncio.gather(telling, return_exceptions=True)
        return call_result(answer)

    async def _tell(self, ctx: Any, tool: str, news: asyncio.Queue[str | None]) -> None:
        """Progress and log messages for one call. A client that stopped listening is not an error of the call."""
        done = 0
        while (sentence := await news.get()) is not None:
            done += 1
            try:
                await ctx.session.report_progress(done, None, sentence)
                if self._wants(ctx, "info"):
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", MCPDeprecationWarning)
                        await ctx.session.send_log_message("info", f"{tool}: {sentence}", NAME, ctx.request_id)
            except Exception as gone:
                logger.debug("progress of %s could not be told: %s", tool, type(gone).__name__)

    async def _ask(
        self, ctx: Any, caller: Caller, params: types.CallToolRequestParams, answer: Answer
    ) -> Answer | types.InputRequiredResult:
        """Put a waiting call to the person at the client, as far as client and operator permit it."""
        if not self._ask_client or answer.risk == "critical" or answer.approval_id is None:
            return answer
        if not ctx.session.check_client_capability(types.ClientCapabilities(elicitation=types.ElicitationCapability())):
            return answer
        question = approval_question(params)
        if ctx.protocol_version >= _MODERN:
            if params.request_state not in (None, answer.approval_id):
                raise MCPError(types.INVALID_PARAMS, "The request state is not the one of the call that waits.")
            given = (params.input_responses or {}).get(APPROVE)
            if params.request_state is None or not isinstance(given, types.ElicitResult):
                request = types.ElicitRequest(params=question)
                return types.InputRequiredResult(input_requests={APPROVE: request}, request_state=answer.approval_id)
            decided = given
        elif ctx.session.can_send_request:
            decided = await ctx.session.elicit_form(question.message, question.requested_schema, ctx.request_id)
        else:
            return answer
        if decided.action == "cancel":
            return answer
        approved = decided.action == "accept" and (decided.content or {}).get(APPROVE) is True
        return await self._door.decide(caller, answer, approved=approved)

    # Resources

    async def _list_resources(self, ctx: Any, params: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
        caller = self._caller(ctx)
        found: list[Resource] = []
        for source in self._resources:
            found.extend(await source.list(caller))
        some, cursor = _page(found, params, lambda resource: resource.uri)
        return types.ListResourcesResult(
            resources=[
                types.Resource(
                    uri=each.uri,
                    name=each.name,
                    description=each.description or None,
                    mime_type=each.mime_type,
                    size=each.size_bytes,
                )
                for each in some
            ],
            next_cursor=cursor,
            ttl_ms=0,
            cache_scope="private",
        )

    async def _list_templates(
        self, ctx: Any, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        found: list[ResourceTemplate] = [each for source in self._resources for each in source.templates()]
        some, cursor = _page(found, params, lambda template: template.uri_template)
        return types.ListResourceTemplatesResult(
            resource_templates=[
                types.ResourceTemplate(
                    uri_template=each.uri_template,
                    name=each.name,
                    description=each.description or None,
                    mime_type=each.mime_type,
                )
                for each in some
            ],
            next_cursor=cursor,
            ttl_ms=0,
            cache_scope="private",
        )

    async def _read_resource(self, ctx: Any, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        caller, uri = self._caller(ctx), str(params.uri)
        for source in self._resources:
            read = await source.read(caller, uri)
            if read is None:
                continue
            content: types.TextResourceContents | types.BlobResourceContents
            if isinstance(read.content, str):
                content = types.TextResourceContents(uri=read.uri, mime_type=read.mime_type, text=read.content)
            else:
                encoded = base64.b64encode(read.content).decode()
                content = types.BlobResourceContents(uri=read.uri, mime_type=read.mime_type, blob=encoded)
            return types.ReadResourceResult(contents=[content], ttl_ms=0, cache_scope="private")
        raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri[:2048]})

    async def _subscribe(self, ctx: Any, params: types.SubscribeRequestParams) -> types.EmptyResult:
        key = (_connection(ctx), str(params.uri)[:2048])
        self._subscribed[key] = ctx.session
        self._subscribed.move_to_end(key)
        while len(self._subscribed) > MAX_SUBSCRIPTIONS:
            self._subscribed.popitem(last=False)
        return types.EmptyResult()

    async def _unsubscribe(self, ctx: Any, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        self._subscribed.pop((_connection(ctx), str(params.uri)[:2048]), None)
        return types.EmptyResult()

    # Prompts

    async def _list_prompts(self, ctx: Any, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        caller = self._caller(ctx)
        found = [prompt for source in self._prompts for prompt in await source.list(caller)]
        some, cursor = _page(found, params, lambda prompt: prompt.name)
        return types.ListPromptsResult(
            prompts=[
                types.Prompt(
                    name=each.name,
                    description=each.description,
                    arguments=[
                        types.PromptArgument(name=one.name, description=one.description or None, required=one.required)
                        for one in each.arguments
                    ],
                )
                for each in some
            ],
            next_cursor=cursor,
            ttl_ms=0,
            cache_scope="private",
        )

    async def _get_prompt(self, ctx: Any, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        caller = self._caller(ctx)
        for source in self._prompts:
            blocks = await source.get(caller, params.name, params.arguments or {})
            if blocks is not None:
                messages = [
                    types.PromptMessage(role="user", content=CONTENT_BLOCK.validate_python(block, by_alias=True))
                    for block in blocks
                ]
                return types.GetPromptResult(messages=messages)
        raise MCPError(types.INVALID_PARAMS, f"There is no prompt named {params.name[:64]!r}.")

    async def _complete(self, ctx: Any, params: types.CompleteRequestParams) -> types.CompleteResult:
        """Resources by their beginning; nothing else here has a known set of values."""
        values: list[str] = []
        if isinstance(params.ref, types.ResourceTemplateReference):
            head, found, _ = params.ref.uri.partition("{")
            if found:
                caller = self._caller(ctx)
                for source in self._resources:
                    values += [
                        each.uri.removeprefix(head)
                        for each in await source.list(caller)
                        if each.uri.startswith(head + params.argument.value)
                    ]
        return types.CompleteResult(
            completion=types.Completion(values=values[:100], total=len(values), has_more=len(values) > 100)
        )

    # Logging

    async def _set_level(self, ctx: Any, params: types.SetLevelRequestParams) -> types.EmptyResult:
        key = _connection(ctx)
        self._levels[key] = params.level
        self._levels.move_to_end(key)
        while len(self._levels) > MAX_SUBSCRIPTIONS:
            self._levels.popitem(last=False)
        return types.EmptyResult()

    def _wants(self, ctx: Any, level: types.LoggingLevel) -> bool:
        """In 2026-07-28 the SDK knows from the request itself; before, whoever has set a level."""
        if ctx.protocol_version >= _MODERN:
            return True
        wanted = self._levels.get(_connection(ctx))
        return wanted is not None and _LEVELS.index(level) >= _LEVELS.index(wanted)

    def _caller(self, ctx: Any) -> Caller:
        return self._caller_of(ctx.request)


def _answering(handler: Callable[[Any, Any], Awaitable[_T]]) -> Callable[[Any, Any], Awaitable[_T]]:
    """The handler, with our errors as protocol errors that carry the code; anything else tells only its type."""

    async def guarded(ctx: Any, params: Any) -> _T:
        try:
            return await handler(ctx, params)
        except MCPError:
            raise
        except LifeError as error:
            code = types.INVALID_PARAMS if error.status < 500 else types.INTERNAL_ERROR
            raise MCPError(code, error.message, {"code": error.code}) from None
        except Exception as defect:
            logger.exception("a request over MCP failed in a way it should not")
            raise MCPError(types.INTERNAL_ERROR, f"The request failed ({type(defect).__name__}).") from None

    return guarded


def _connection(ctx: Any) -> str:
    """What tells one connection of the handshake era from another: its session id; over stdio there is only one."""
    request = ctx.request
    return "" if request is None else str(request.headers.get("mcp-session-id", ""))


def _page(
    entries: Sequence[_T], params: types.PaginatedRequestParams | None, key: Callable[[_T], str]
) -> tuple[Sequence[_T], str | None]:
    """One page, and the cursor of the next. A cursor is the last key that was given, so lists may change in between."""
    start = 0
    if params is not None and params.cursor is not None:
        try:
            last = base64.urlsafe_b64decode(params.cursor.encode()).decode()
        except ValueError:
            raise MCPError(types.INVALID_PARAMS, "The cursor is not one of this server's.") from None
        start = next((place + 1 for place, entry in enumerate(entries) if key(entry) == last), -1)
        if start < 0:
            raise MCPError(types.INVALID_PARAMS, "The cursor's place is gone; begin the list again.")
    page = entries[start : start + PAGE]
    more = start + PAGE < len(entries)
    return page, base64.urlsafe_b64encode(key(page[-1]).encode()).decode() if more else None
