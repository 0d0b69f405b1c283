"""Our MCP server over a real runtime, journal and workspace, for the tests: in process and over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx2
import uvicorn

from life.aios.policy import PolicySet
from life.aios.ports.journal import Journal
from life.arcan.direct_calls import DirectCallProvider, DirectCalls
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.host.clock import SystemClock, SystemEntropy
from life.host.http.server import bind, host_names
from life.host.mcp_server import JournalViews, RuntimeDoor, WorkspaceFiles, door_keeper
from life.lago.journal.memory import MemoryJournal
from life.praxis.egress import EgressClient, EgressPolicy
from life.praxis.fetch_request import HttpFetchPolicy
from life.praxis.mcp.http import caller_of, http_application
from life.praxis.mcp.server import McpServer
from life.praxis.standard import standard_tools
from life.praxis.workspace import WorkspacePolicy

TOKEN = "a-token-of-more-than-thirty-two-characters"
POLICY = PolicySet(allow_capabilities=("fs:read:**",), gate_capabilities=("fs:write:**",))


class Served(NamedTuple):
    """The open parts."""

    server: McpServer
    runtime: Runtime
    journal: Journal
    workspace: Path


@asynccontextmanager
async def served(
    folder: Path,
    *,
    offered: Sequence[str] = (),
    policy: PolicySet = POLICY,
    ask_client: bool = True,
    journal: Journal | None = None,
) -> AsyncIterator[Served]:
    """A server with the file tools on one workspace; writes need approval."""
    clock = SystemClock()
    workspace = folder / "workspace"
    workspace.mkdir(exist_ok=True)
    journal = journal or MemoryJournal()
    http = HttpFetchPolicy(egress=EgressPolicy())
    client = EgressClient(http.egress)
    tools = standard_tools(client, http=http)
    try:
        async with Runtime(
            journal,
            tools,
            provider=DirectCallProvider(),
            open_provider=lambda _: DirectCallProvider(),
            clock=clock,
            entropy=SystemEntropy(),
            agent_id="agent",
            workspace_of=lambda _: str(workspace),
            settings=RuntimeSettings(policy=policy, shutdown_grace_ms=0),
        ) as runtime:
            door = RuntimeDoor(DirectCalls(runtime, journal), tools.definitions, offered=offered)
            files = WorkspaceFiles(lambda _: str(workspace), policy, WorkspacePolicy())
            server = McpServer(
                door,
                resources=[files, JournalViews(runtime, journal)],
                caller_of=caller_of,
                version="1",
                ask_client=ask_client,
            )
            yield Served(server, runtime, journal, workspace)
    finally:
        await client.aclose()


@asynccontextmanager
async def over_http(server: McpServer) -> AsyncIterator[str]:
    """The address of the server on loopback."""
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        address = f"http://127.0.0.1:{port}"
        async with http_application(
            server,
            door_keeper(TOKEN),
            hosts=host_names("127.0.0.1", port, ()),
            resource=f"{address}/mcp",
            authorization_servers=("https://auth.example",),
        ) as app:
            web = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
            web.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
            serving = asyncio.create_task(web.serve(sockets=[listener]))
            while not web.started:
                await asyncio.sleep(0.005)
            try:
                yield address
            finally:
                web.should_exit = True
                web.force_exit = True
                await serving


def bearer(token: str = TOKEN) -> httpx2.AsyncClient:
    """An HTTP client with a token."""
    return httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=20)
