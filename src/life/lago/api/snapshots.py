"""Snapshots: named states of a branch."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import NotFoundError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.http import Operation, Parameter
from life.lago.api.bodies import answer, json_body, word
from life.lago.api.callers import CallerReader
from life.lago.api.desks import Desks
from life.lago.api.entries import EntryView, entry_view
from life.lago.files.desk import NamedPoint
from life.lago.owners.registry import Owners


class NewSnapshot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST …/snapshots."""

    name: str
    branch: str = MAIN_BRANCH


class SnapshotView(msgspec.Struct, frozen=True, kw_only=True):
    """A named point of a branch; `data_hash` is the blob with the manifest's canonical form."""

    name: str
    branch: str
    seq: int
    created_at: int
    data_hash: str


class SnapshotManifest(msgspec.Struct, frozen=True, kw_only=True):
    """The files at a named point."""

    snapshot: str
    session_id: str
    branch: str
    seq: int
    entries: list[EntryView]


class SnapshotApi:
    """The routes."""

    def __init__(self, owners: Owners, desks: Desks, caller: CallerReader) -> None:
        self._owners = owners
        self._desks = desks
        self._caller = caller

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        session = "/v1/sessions/{session_id}"
        branch = Parameter("branch", "Id or name of the branch; `main` unless told otherwise.")
        return [
            Operation(
                "POST",
                f"{session}/snapshots",
                "Name the present state of a branch",
                self.snapshot,
                NewSnapshot,
                SnapshotView,
                status=201,
                errors=(400, 404, 409, 413, 429),
                scope="files:write",
            ),
            Operation(
                "GET",
                f"{session}/snapshots",
                "A branch's named states",
                self.snapshots,
                None,
                list[SnapshotView],
                (branch,),
                errors=(400, 404, 429),
                scope="files:read",
            ),
            Operation(
                "GET",
                f"{session}/snapshots/{{name}}/manifest",
                "The files at a named state",
                self.snapshot_manifest,
                None,
                SnapshotManifest,
                (branch,),
                errors=(400, 404, 429),
                scope="files:read",
            ),
        ]

    async def snapshot(self, request: Request) -> Response:
        """POST …/snapshots"""
        body = await json_body(request, NewSnapshot)
        caller = self._caller(request)
        session_id = str(request.path_params["session_id"])
        owner = await self._owners.require(session_id, caller.owner, write=True)
        async with self._owners.within(owner, events=1):
            point = await self._desks.of(caller).snapshot(session_id, body.name, branch=body.branch)
        return answer(_point_view(point), 201)

    async def snapshots(self, request: Request) -> Response:
        """GET …/snapshots"""
        session_id = await self._readable(request)
        caller = self._caller(request)
        points = await self._desks.of(caller).snapshots(session_id, branch=word(request, "branch", MAIN_BRANCH))
        return answer([_point_view(point) for point in points])

    async def snapshot_manifest(self, request: Request) -> Response:
        """GET …/snapshots/{name}/manifest"""
        session_id = await self._readable(request)
        name = str(request.path_params["name"])
        point = await find_point(self._desks, session_id, word(request, "branch", MAIN_BRANCH), name)
        manifest = await self._desks.view.manifest(session_id, point.branch_id, at=point.covers_through)
        return answer(
            SnapshotManifest(
                snapshot=name,
                session_id=session_id,
                branch=point.branch_id,
                seq=point.covers_through,
                entries=[entry_view(manifest[path]) for path in manifest],
            )
        )

    async def _readable(self, request: Request) -> str:
        session_id = str(request.path_params["session_id"])
        await self._owners.require(session_id, self._caller(request).owner, write=False)
        return session_id


async def find_point(desks: Desks, session_id: str, branch: str, name: str) -> NamedPoint:
    """A branch's snapshot of this name; NotFoundError."""
    for point in await desks.reader.snapshots(session_id, branch=branch):
        if point.name == name:
            return point
    raise NotFoundError("The branch has no such snapshot.", details={"snapshot": name[:200]})


def _point_view(point: NamedPoint) -> SnapshotView:
    return SnapshotView(
        name=point.name,
        branch=point.branch_id,
        seq=point.covers_through,
        created_at=point.at_us,
        data_hash=point.manifest_hash,
    )
