"""Other MCP servers for this project's agents: which there are, what was accepted, and their tools beside ours.

The SDK (`lifeos[mcp]`) is imported only when a server is configured and accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from life.aios.errors import MissingExtraError
from life.aios.policy import PolicySet, matches
from life.aios.ports.clock import Clock
from life.aios.ports.provider import ModelProvider
from life.aios.ports.tools import Toolbox
from life.arcan.direct_calls import DIRECT, DirectCallProvider, home_of
from life.host.data_directory import DataDirectory
from life.host.settings import McpSettings
from life.praxis.mcp.config import ServerConfig, load_servers
from life.praxis.mcp.trust import TrustStore

if TYPE_CHECKING:
    from life.praxis.mcp.toolbox import McpToolbox

CAPABILITIES: Final = "mcp:*"
REDIRECT_PORT: Final = 33_418
"""Where the browser comes back to after signing in. Authorization servers keep it, so it is always the same."""


class KnownServers(NamedTuple):
    """The configured servers, and what is wrong with the others."""

    servers: tuple[ServerConfig, ...]
    problems: tuple[str, ...]

    def get(self, name: str) -> ServerConfig | None:
        """The server of this name."""
        return next((server for server in self.servers if server.name == name), None)


def server_files(data: DataDirectory, settings: McpSettings, environment: Mapping[str, str]) -> list[Path]:
    """The files that are read; the first that names a server counts."""
    project = data.root.resolve().parent
    if settings.servers_file:
        return [project / settings.servers_file]
    files = [project / ".mcp.json", data.root / "mcp.json"]
    home = environment.get("XDG_CONFIG_HOME") or (f"{environment['HOME']}/.config" if "HOME" in environment else "")
    return [*files, Path(home) / "life" / "mcp.json"] if home else files


def known_servers(data: DataDirectory, settings: McpSettings, environment: Mapping[str, str]) -> KnownServers:
    """All servers of all files. McpConfigError: a file is there and can't be read."""
    servers: dict[str, ServerConfig] = {}
    problems: list[str] = []
    for path in server_files(data, settings, environment):
        if not path.is_file():
            continue
        file = load_servers(path, environment)
        problems += [f"{path}: {problem}" for problem in file.problems]
        for server in file.servers:
            servers.setdefault(server.name, server)
    return KnownServers(tuple(server for _, server in sorted(servers.items())), tuple(problems))


def trust_store(data: DataDirectory) -> TrustStore:
    """What was accepted in this project."""
    return TrustStore(data.root / "mcp-accepted.json")


def token_folder(data: DataDirectory) -> Path:
    """Where OAuth tokens are."""
    return data.root / "mcp-tokens"


def redirect_uri() -> str:
    """Where the browser comes back to."""
    return f"http://127.0.0.1:{REDIRECT_PORT}/callback"


async def with_mcp_tools(
    inner: Toolbox,
    data: DataDirectory,
    known: KnownServers,
    trust: TrustStore,
    *,
    environment: Mapping[str, str],
    clock: Clock,
    stack: AsyncExitStack,
) -> Toolbox:
    """`inner`, with the tools of accepted servers when there are any. Servers are started by their first call."""
    if not any(server.enabled and trust.is_accepted(server.name, server.entry) for server in known.servers):
        return inner
    toolbox = mcp_toolbox(inner, data, known, trust, environment=environment, clock=clock)
    stack.push_async_callback(toolbox.aclose)
    return toolbox


def mcp_toolbox(
    inner: Toolbox,
    data: DataDirectory,
    known: KnownServers,
    trust: TrustStore,
    *,
    environment: Mapping[str, str],
    clock: Clock,
) -> McpToolbox:
    """The bridge. MissingExtraError without the SDK."""
    try:
        from life.praxis.mcp.sign_in import oauth, token_file
        from life.praxis.mcp.toolbox import McpToolbox
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
            raise
        raise MissingExtraError("MCP", "mcp") from None
    return McpToolbox(
        inner,
        known.servers,
        trust,
        clock=clock,
        environment=environment,
        auth_of=lambda server: (
            oauth(server, token_file(token_folder(data), server, clock), redirect_uri=redirect_uri())
            if server.oauth
            else None
        ),
    )


def with_mcp_policy(policy: PolicySet, settings: McpSettings, trust: TrustStore, known: KnownServers) -> PolicySet:
    """The policy under which other servers' tools need a person's approval, but for those that the operator allows.

    The gate list is asked first, so with allowed tools the others are named one by one; a tool that is accepted later is denied
    in sessions from before. Without any configured server the policy is as it was.
    """
    if not known.servers:
        return policy
    allowed = tuple(each if each.startswith("mcp:") else f"mcp:{each}" for each in settings.allow)
    gated: tuple[str, ...] = (CAPABILITIES,)
    if allowed:
        gated = tuple(
            needed
            for server in known.servers
            for tool in sorted(trust.tools(server.name))
            if not any(matches(pattern, needed := f"mcp:{server.name}:{tool}") for pattern in allowed)
        )
    return msgspec.structs.replace(
        policy,
        allow_capabilities=(*policy.allow_capabilities, *allowed),
        gate_capabilities=(*policy.gate_capabilities, *gated),
    )


def with_direct_calls(open_provider: Callable[[str], ModelProvider]) -> Callable[[str], ModelProvider]:
    """Providers by their specification, the one of direct calls among them."""
    return lambda specification: DirectCallProvider() if specification == DIRECT else open_provider(specification)


def workspace_name(session_id: str) -> str:
    """The workspace of a session: its own, and for lanes of direct calls over MCP that of their home."""
    home = home_of(session_id)
    return home if home is not None and home.startswith("mcp-") else session_id
