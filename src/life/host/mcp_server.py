"""`life mcp serve`: this project's tools, files and sessions for other MCP hosts.

A call that arrives becomes a run of a session of the caller (`life.arcan.direct_calls`), so policy, approvals and the journal are
those of a model's call. Only tools that change nothing are offered, unless the operator names others (`mcp.tools`).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

import life
from life.aios import events
from life.aios.errors import LifeError, MissingExtraError
from life.aios.json import JsonObject
from life.aios.policy import WORKSPACE_POLICY, PolicySet, evaluate
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.tools import ToolDefinition
from life.aios.record import Actor, EventRecord, encode_record
from life.arcan.direct_calls import DirectCalls, DirectOutcome
from life.arcan.runtime import Runtime
from life.host.access import load_or_create_token
from life.host.anima_verifier import IdentityServices, open_identity_services
from life.host.clock import SystemEntropy
from life.host.data_directory import DataDirectory
from life.host.http.server import bind, check_bind, host_names, local_address, serve
from life.host.keys import Prompt
from life.host.mcp_clients import workspace_name
from life.host.settings import Settings
from life.host.skills import SkillPrompts
from life.host.system import System, open_system
from life.praxis.blocking import on_thread
from life.praxis.mcp.doors import (
    LOCAL_CALLER,
    Answer,
    Caller,
    Observer,
    Resource,
    ResourceContent,
    ResourceTemplate,
)
from life.praxis.paths import canonical_path
from life.praxis.workspace import Workspace, WorkspacePolicy

if TYPE_CHECKING:  # the SDK is an extra
    from life.praxis.mcp.server import McpServer

MAX_LISTED_FILES: Final = 2_000
MAX_READ_BYTES: Final = 2 * 1024 * 1024
TAIL_EVENTS: Final = 100
WORKSPACE: Final = "life://workspace/"
SESSIONS: Final = "life://sessions"
TAIL: Final = "life://journal/"

INSTRUCTIONS: Final = (
    "Tools of a Life agent. Every call is judged by its policy and written to its journal; a call that needs a person's "
    "approval says so. Files of the workspace are resources under life://workspace/."
)


class RuntimeDoor:
    """Calls from outside as direct calls of the runtime (life.praxis.mcp.doors.ToolDoor)."""

    def __init__(
        self,
        calls: DirectCalls,
        definitions: Callable[[], Sequence[ToolDefinition]],
        *,
        offered: Sequence[str] = (),
        changed: Callable[[str], None] | None = None,
    ) -> None:
        """`offered`: names of tools, `*` for all; none named: those that change nothing. `changed` hears of files that
        a call changed, by their path."""
        self._calls = calls
        self._definitions = definitions
        self._offered = frozenset(offered)
        self._changed = changed

    def definitions(self, caller: Caller) -> Sequence[ToolDefinition]:
        """What the operator offers."""
        return [tool for tool in self._definitions() if self._is_offered(tool)]

    async def call(self, caller: Caller, tool: str, arguments: JsonObject, observe: Observer) -> Answer:
        """Run it in one of the caller's sessions."""

        def hear(record: EventRecord) -> None:
            sentence = _sentence(record)
            if sentence is not None:
                observe(sentence)
            if self._changed is not None and isinstance(record.kind, events.FileMutated):
                self._changed(record.kind.path)

        outcome = await self._calls.call(
            home_of_caller(caller),
            tool,
            arguments,
            owner=caller.owner,
            actor=Actor("user", f"mcp:{caller.name}"),
            observe=hear,
        )
        return _answer(outcome)

    async def decide(self, caller: Caller, answer: Answer, *, approved: bool) -> Answer:
        """The person at the client has the word; the journal says that it came over MCP."""
        waiting = DirectOutcome(
            "waiting", answer.output, answer.session_id, answer.run_id, answer.approval_id, answer.call_id, answer.risk
        )
        reason = None if approved else "Refused by the person at the MCP client."
        actor = f"mcp:{caller.name}"
        return _answer(await self._calls.decide(waiting, approved=approved, actor=actor, reason=reason))

    def _is_offered(self, tool: ToolDefinition) -> bool:
        if not self._offered:
            return tool.annotations.read_only and not tool.by_name_only
        return tool.name in self._offered or ("*" in self._offered and not tool.by_name_only)


def home_of_caller(caller: Caller) -> str:
    """The home of a caller's sessions; its workspace has this name."""
    return f"mcp-{caller.name}"


class WorkspaceFiles:
    """The files of the caller's workspace, `life://workspace/<path>` (life.praxis.mcp.doors.ResourceSource)."""

    def __init__(self, workspace_of: Callable[[str], str], policy: PolicySet, files: WorkspacePolicy) -> None:
        self._workspace_of = workspace_of
        self._policy = policy
        self._files = files

    async def list(self, caller: Caller) -> Sequence[Resource]:
        """At most `MAX_LISTED_FILES`, by path; hidden names are left out."""
        root = self._workspace_of(f"{home_of_caller(caller)}-1")
        return await on_thread(
            lambda: [Resource(WORKSPACE + path, path, size_bytes=size) for path, size in self._walk(root)]
        )

    def templates(self) -> Sequence[ResourceTemplate]:
        """Any path."""
        return [ResourceTemplate(WORKSPACE + "{+path}", "workspace file", "A file of the workspace, by its path.")]

    async def read(self, caller: Caller, uri: str) -> ResourceContent | None:
        """The file, when the policy lets it be read. ToolErrors: closed, too large, not a file."""
        if not uri.startswith(WORKSPACE):
            return None
        path = canonical_path(uri.removeprefix(WORKSPACE))
        if evaluate(self._policy, (f"fs:read:{path}",)).decision != "allow":
            return None
        root = self._workspace_of(f"{home_of_caller(caller)}-1")

        def read() -> bytes | None:
            with Workspace(root, self._files) as workspace:
                if workspace.size_bytes(path) is None:
                    return None
                with workspace.open_file(path) as opened:
                    return opened.read_up_to(MAX_READ_BYTES)

        content = await on_thread(read)
        if content is None:
            return None
        try:
            return ResourceContent(uri, "text/plain", content.decode())
        except UnicodeDecodeError:
            return ResourceContent(uri, "application/octet-stream", content)

    def _walk(self, root: str) -> Sequence[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        for folder, folders, names in os.walk(root, followlinks=False):
            folders[:] = sorted(name for name in folders if not self._files.hides(name) and name != ".git")
            for name in sorted(names):
                place = Path(folder, name)
                path = place.relative_to(root).as_posix()
                if self._files.hides(name) or place.is_symlink() or not place.is_file():
                    continue
                found.append((path, place.stat().st_size))
                if len(found) >= MAX_LISTED_FILES:
                    return found
        return found


class JournalViews:
    """The caller's sessions, and the newest events of each (life.praxis.mcp.doors.ResourceSource)."""

    def __init__(self, runtime: Runtime, journal: Journal) -> None:
        self._runtime = runtime
        self._journal = journal

    async def list(self, caller: Caller) -> Sequence[Resource]:
        """The list of sessions, and each session's tail."""
        tails = [
            Resource(TAIL + each.session_id, each.name, "Its newest events, as JSON lines.", "application/x-ndjson")
            for each in await self._runtime.sessions(caller.owner)
        ]
        sessions = Resource(SESSIONS, "sessions", "Your sessions, newest first, as JSON.", "application/json")
        return [sessions, *tails]

    def templates(self) -> Sequence[ResourceTemplate]:
        """By session id."""
        return [ResourceTemplate(TAIL + "{session}", "journal tail", "The newest events of a session.")]

    async def read(self, caller: Caller, uri: str) -> ResourceContent | None:
        """Only sessions of the caller's owner."""
        if uri == SESSIONS:
            mine = await self._runtime.sessions(caller.owner)
            return ResourceContent(uri, "application/json", msgspec.json.encode(mine).decode())
        if not uri.startswith(TAIL):
            return None
        try:
            state = await self._runtime.state(uri.removeprefix(TAIL))
        except LifeError:
            return None
        if state.config.owner != caller.owner:
            return None
        query = EventQuery(state.session_id, state.branch_id, after_sequence=max(0, state.head - TAIL_EVENTS))
        records = await self._journal.read(query, limit=TAIL_EVENTS)
        return ResourceContent(
            uri, "application/x-ndjson", b"\n".join(encode_record(each) for each in records).decode()
        )


def _sentence(record: EventRecord) -> str | None:
    """What a client is told about one event of its call."""
    match record.kind:
        case events.ToolCallRequested():
            return "asked for"
        case events.PolicyEvaluated(decision=decision, explanation=explanation):
            return f"policy: {decision}" + (f" ({explanation})" if explanation else "")
        case events.ApprovalResolved(decision=decision):
            return f"approval: {decision}"
        case events.ToolCallStarted():
            return "started"
        case events.ToolCallCompleted(status=status):
            return f"ended: {status}"
        case events.ToolCallFailed():
            return "not run"
    return None


def _answer(outcome: DirectOutcome) -> Answer:
    return Answer(
        status=outcome.status,
        output=outcome.output,
        session_id=outcome.session_id,
        run_id=outcome.run_id,
        approval_id=outcome.approval_id,
        call_id=outcome.call_id,
        risk=outcome.risk,
    )


def open_mcp_server(
    system: System, *, tools: Sequence[str] | None = None, caller_of: Callable[[object], Caller] | None = None
) -> McpServer:
    """The server of an open system; `tools` instead of the setting. MissingExtraError without the SDK."""
    try:
        from life.praxis.mcp.server import McpServer
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
            raise
        raise MissingExtraError("MCP", "mcp") from None
    tasks: set[asyncio.Task[None]] = set()

    def changed(path: str) -> None:
        task = asyncio.get_running_loop().create_task(server.resource_changed(WORKSPACE + path))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    settings = system.settings.mcp
    door = RuntimeDoor(
        DirectCalls(system.runtime, system.journal),
        system.equipment.toolbox.definitions,
        offered=settings.tools if tools is None else tools,
        changed=changed,
    )
    files = WorkspaceFiles(
        lambda session_id: str(system.data.workspace(workspace_name(session_id)).resolve()),
        WORKSPACE_POLICY,
        WorkspacePolicy(),
    )
    server = McpServer(
        door,
        resources=[files, JournalViews(system.runtime, system.journal)],
        prompts=[SkillPrompts(system.equipment.skills)],
        caller_of=caller_of or (lambda _: LOCAL_CALLER),
        version=life.__version__,
        instructions=INSTRUCTIONS,
        ask_client=settings.ask_client,
    )
    if system.telemetry is not None:
        from life.host.mcp_tracing import trace_requests

        trace_requests(server, system.telemetry)
    return server


async def serve_mcp_stdio(root: Path, settings: Settings, *, tools: Sequence[str] | None) -> None:
    """Serve whoever started us, on standard input and output, until they close them. Nobody can be asked for a passphrase."""
    async with open_system(root, settings=settings) as system:
        server = open_mcp_server(system, tools=tools)
        await system.runtime.recover_all()
        await server.serve_stdio()


async def serve_mcp_http(
    root: Path,
    settings: Settings,
    *,
    prompt: Prompt,
    tools: Sequence[str] | None,
    on_ready: Callable[[str, Path], None],
) -> None:
    """Serve streamable HTTP until SIGINT or SIGTERM; `on_ready` hears the address and where the token is."""
    mcp = settings.mcp
    check_bind(mcp.host, mcp.proxy_hosts)
    data = DataDirectory.create(root)
    with data.lock("mcpd") as lock:
        listener = bind(mcp.host, mcp.port)
        port = listener.getsockname()[1]
        with listener:
            async with AsyncExitStack() as stack:
                system = await stack.enter_async_context(open_system(root, settings=settings, prompt=prompt))
                from life.praxis.mcp.http import PATH, caller_of, http_application

                server = open_mcp_server(system, tools=tools, caller_of=caller_of)
                services = await stack.enter_async_context(
                    open_identity_services(
                        system.journal,
                        clock=system.clock,
                        directory=None,
                        daemon="mcpd",
                        environment=os.environ,
                        registry=system.registry,
                    )
                )
                local = local_address(mcp.host, port)
                address = f"https://{mcp.proxy_hosts[0]}" if mcp.proxy_hosts else local
                await system.runtime.recover_all()
                app = await stack.enter_async_context(
                    http_application(
                        server,
                        door_keeper(load_or_create_token(data.token, SystemEntropy()), services),
                        hosts=host_names(mcp.host, port, mcp.proxy_hosts),
                        origins=mcp.origins,
                        resource=address + PATH,
                        authorization_servers=mcp.authorization_servers,
                    )
                )

                def tell() -> None:
                    lock.publish(local)
                    on_ready(address + PATH, data.token)

                await serve(app, listener, tell, on_stop=system.runtime.aclose)


def door_keeper(token: str, services: IdentityServices | None = None) -> Callable[[str], Awaitable[Caller | None]]:
    """Who stands behind a bearer token: the daemon's own is the owner; a user's needs the scope `mcp`, and gets sessions and
    files of its own."""

    async def keeper(presented: str) -> Caller | None:
        if hmac.compare_digest(presented.encode(errors="replace"), token.encode()):
            return LOCAL_CALLER
        if services is None or services.user_tokens is None or presented.count(".") != 2:
            return None
        try:
            claims = services.user_tokens.verify_user_token(presented)
        except LifeError:
            return None
        if "mcp" not in claims.scopes and "*" not in claims.scopes:
            return None
        return Caller(hashlib.sha256(f"user:{claims.sub}".encode()).hexdigest()[:24], claims.sub)

    return keeper
