"""An owner's own files under `/v1/memory`: the session `vault:<sub>` of a user, `agent:<agent id>` of an agent, and of the operator
`agent:operator`, which no agent's id is. It is made when something is first written to it.

Searching and traversing notes belong to the knowledge index; its routes are added with `also`, by whoever has one.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import ConflictError, NotFoundError
from life.aios.ports.http import Operation, Parameter
from life.lago.api.bodies import answer, empty
from life.lago.api.callers import Caller, CallerReader
from life.lago.api.files import FileApi, FileStored, ManifestView
from life.lago.owners.names import OPERATOR
from life.lago.owners.registry import Owners

_MARKDOWN: Final = "text/markdown"


def vault_of(caller: Caller) -> str:
    """The session of a caller's own files."""
    if caller.owner.startswith("user:"):
        return "vault:" + caller.owner.removeprefix("user:")
    return "agent:operator" if caller.owner == OPERATOR else caller.owner


class MemoryApi:
    """The routes."""

    def __init__(self, files: FileApi, owners: Owners, caller: CallerReader) -> None:
        self._files = files
        self._owners = owners
        self._caller = caller

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        file = "/v1/memory/files/{path:path}"
        return [
            Operation(
                "GET",
                "/v1/memory/manifest",
                "The caller's own files",
                self.manifest,
                None,
                ManifestView,
                (
                    Parameter("after_path", "`next_path` of the page before."),
                    Parameter("limit", "How many.", "integer"),
                ),
                errors=(400, 429),
                scope="memory:read",
            ),
            Operation(
                "GET",
                file,
                "One of the caller's own files",
                self.read,
                media_type="application/octet-stream",
                errors=(400, 404, 416, 429),
                scope="memory:read",
            ),
            Operation(
                "PUT",
                file,
                "Write one of the caller's own files; markdown unless told otherwise",
                self.write,
                None,
                FileStored,
                status=201,
                errors=(400, 409, 413, 429),
                scope="memory:write",
            ),
            Operation(
                "DELETE",
                file,
                "Remove one of the caller's own files",
                self.delete,
                status=204,
                errors=(400, 409, 429),
                scope="memory:write",
            ),
        ]

    async def manifest(self, request: Request) -> Response:
        """GET /v1/memory/manifest"""
        vault = vault_of(self._caller(request))
        if not await self._files.head_of(vault):
            return answer(ManifestView(session_id=vault, entries=[]))
        return await self._files.manifest_of(request, vault)

    async def read(self, request: Request) -> Response:
        """GET /v1/memory/files/{path}"""
        vault = vault_of(self._caller(request))
        if not await self._files.head_of(vault):
            raise NotFoundError("There is no such file.")
        return await self._files.read_from(request, vault)

    async def write(self, request: Request) -> Response:
        """PUT /v1/memory/files/{path}"""
        caller = self._caller(request)
        vault = vault_of(caller)
        if not await self._files.head_of(vault):
            try:
                await self._owners.create(vault, caller.owner, agent_id=caller.agent_id)
            except ConflictError:
                pass  # another request of the same owner was quicker
        owner = await self._owners.require(vault, caller.owner, write=True)
        return await self._files.write_into(request, vault, caller, owner, default_type=_MARKDOWN)

    async def delete(self, request: Request) -> Response:
        """DELETE /v1/memory/files/{path}"""
        caller = self._caller(request)
        vault = vault_of(caller)
        if not await self._files.head_of(vault):
            return empty()
        owner = await self._owners.require(vault, caller.owner, write=True)
        return await self._files.delete_from(request, vault, caller, owner)
