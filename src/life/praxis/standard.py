"""The tools every agent has, in one registry."""

from __future__ import annotations

from life.praxis.egress import EgressClient
from life.praxis.fetch_request import HttpFetchPolicy
from life.praxis.registry import DEFAULT_MAX_RESULT_BYTES, ToolRegistry
from life.praxis.tools.http_fetch import HttpFetch
from life.praxis.tools.list_dir import ListDir
from life.praxis.tools.read_file import ReadFile
from life.praxis.tools.write_file import WriteFile
from life.praxis.workspace import WorkspacePolicy


def standard_tools(
    http_client: EgressClient,
    *,
    http: HttpFetchPolicy | None = None,
    workspace: WorkspacePolicy | None = None,
    max_result_bytes: int = DEFAULT_MAX_RESULT_BYTES,
    max_timeout_s: int | None = None,
) -> ToolRegistry:
    """`list_dir`, `read_file`, `write_file` and `http_fetch`.

    `http_client` is `EgressClient(http.egress, wrap=…)`, with the transport that pays as `wrap`; the caller closes it.
    ValueError when a policy can't be meant.
    """
    files = workspace or WorkspacePolicy()
    registry = ToolRegistry(max_result_bytes=max_result_bytes, max_timeout_s=max_timeout_s)
    registry.register(ListDir(files))
    registry.register(ReadFile(files))
    registry.register(WriteFile(files))
    registry.register(HttpFetch(http or HttpFetchPolicy(), http_client))
    return registry
