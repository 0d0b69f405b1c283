"""The tools every agent has, in one registry."""

from __future__ import annotations

from life.praxis.egress import EgressClient
from life.praxis.fetch_request import HttpFetchPolicy
from life.praxis.registry import DEFAULT_MAX_RESULT_BYTES, ToolRegistry
from life.praxis.result_store import ResultBlobs
from life.praxis.ripgrep import find_ripgrep
from life.praxis.tools.edit_file import EditFile
from life.praxis.tools.glob import Glob
from life.praxis.tools.grep import Grep
from life.praxis.tools.http_fetch import HttpFetch
from life.praxis.tools.knowledge_search import KnowledgeSearch, VaultOf
from life.praxis.tools.list_dir import ListDir
from life.praxis.tools.read_file import ReadFile
from life.praxis.tools.read_result import ReadResult
from life.praxis.tools.todo import Todo
from life.praxis.tools.write_file import WriteFile
from life.praxis.workspace import WorkspacePolicy


def file_tools(
    workspace: WorkspacePolicy | None = None,
    *,
    blobs: ResultBlobs | None = None,
    max_result_bytes: int = DEFAULT_MAX_RESULT_BYTES,
    max_timeout_s: int | None = None,
) -> ToolRegistry:
    """`list_dir`, `read_file`, `write_file`, `edit_file`, `glob`, `grep` and `todo`; with `blobs` also `read_result`.

    Register further tools on the result, or join it with other toolboxes (`life.praxis.joined`).
    """
    files = workspace or WorkspacePolicy()
    registry = ToolRegistry(max_result_bytes=max_result_bytes, max_timeout_s=max_timeout_s, blobs=blobs)
    registry.register(ListDir(files))
    registry.register(ReadFile(files))
    registry.register(WriteFile(files))
    registry.register(EditFile(files))
    registry.register(Glob(files))
    registry.register(Grep(files, ripgrep_path=find_ripgrep()))
    registry.register(Todo())
    if blobs is not None:
        registry.register(ReadResult(blobs, max_result_bytes=max_result_bytes))
    return registry


def standard_tools(
    http_client: EgressClient,
    *,
    http: HttpFetchPolicy | None = None,
    workspace: WorkspacePolicy | None = None,
    blobs: ResultBlobs | None = None,
    knowledge: VaultOf | None = None,
    max_result_bytes: int = DEFAULT_MAX_RESULT_BYTES,
    max_timeout_s: int | None = None,
) -> ToolRegistry:
    """`file_tools` and `http_fetch`; with `knowledge` also `knowledge_search`.

    `http_client` is `EgressClient(http.egress, wrap=…)`, with the transport that pays as `wrap`; the caller closes it.
    `knowledge` says which vault the owner of a session may search. ValueError when a policy can't be meant.
    """
    registry = file_tools(workspace, blobs=blobs, max_result_bytes=max_result_bytes, max_timeout_s=max_timeout_s)
    registry.register(HttpFetch(http or HttpFetchPolicy(), http_client))
    if knowledge is not None:
        registry.register(KnowledgeSearch(knowledge))
    return registry
