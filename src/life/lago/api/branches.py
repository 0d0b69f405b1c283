"""Branches: making, listing, merging."""

from __future__ import annotations

from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.ids import MAIN_BRANCH
from life.aios.ports.http import Operation
from life.lago.api.bodies import answer, json_body
from life.lago.api.callers import CallerReader
from life.lago.api.desks import Desks
from life.lago.files.view import Branch
from life.lago.owners.registry import Owners


class NewBranch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST …/branches. `parent` is any branch, by id or name; the fork is right after its event `fork_point_seq`, or its head."""

    name: str
    parent: str = MAIN_BRANCH
    fork_point_seq: int | None = None


class BranchView(msgspec.Struct, frozen=True, kw_only=True):
    """A branch. `parent` is null for main."""

    branch_id: str
    name: str
    parent: str | None
    fork_point_seq: int


class MergeWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST …/merge. Without a strategy, paths that both sides changed are a conflict (409)."""

    target: str = MAIN_BRANCH
    strategy: Literal["ours", "theirs"] | None = None


class MergeView(msgspec.Struct, frozen=True, kw_only=True):
    """A merge. `merge_seq`: the source counts up to this event; `seq`: the event on the target that says so."""

    merged: bool
    strategy: str
    merge_seq: int
    files_changed: int
    seq: int


class BranchApi:
    """The routes."""

    def __init__(self, owners: Owners, desks: Desks, caller: CallerReader) -> None:
        self._owners = owners
        self._desks = desks
        self._caller = caller

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        branches = "/v1/sessions/{session_id}/branches"
        return [
            Operation(
                "POST",
                branches,
                "Fork a branch",
                self.create,
                NewBranch,
                BranchView,
                status=201,
                errors=(400, 404, 409, 413, 429),
                scope="sessions:write",
            ),
            Operation(
                "GET",
                branches,
                "The branches, main first",
                self.list,
                None,
                list[BranchView],
                errors=(400, 404, 429),
                scope="sessions:read",
            ),
            Operation(
                "POST",
                f"{branches}/{{branch}}/merge",
                "Bring a branch's files into another one",
                self.merge,
                MergeWanted,
                MergeView,
                errors=(400, 404, 409, 413, 429),
                scope="sessions:write",
            ),
        ]

    async def create(self, request: Request) -> Response:
        """POST …/branches"""
        body = await json_body(request, NewBranch)
        caller = self._caller(request)
        session_id = str(request.path_params["session_id"])
        owner = await self._owners.require(session_id, caller.owner, write=True)
        async with self._owners.within(owner, events=1):
            made = await self._desks.of(caller).create_branch(
                session_id, body.name, parent=body.parent, at=body.fork_point_seq
            )
        return answer(_view(made), 201)

    async def list(self, request: Request) -> Response:
        """GET …/branches"""
        session_id = str(request.path_params["session_id"])
        await self._owners.require(session_id, self._caller(request).owner, write=False)
        return answer([_view(branch) for branch in (await self._desks.view.branches(session_id)).values()])

    async def merge(self, request: Request) -> Response:
        """POST …/branches/{branch}/merge"""
        body = await json_body(request, MergeWanted)
        caller = self._caller(request)
        session_id = str(request.path_params["session_id"])
        owner = await self._owners.require(session_id, caller.owner, write=True)
        async with self._owners.within(owner, events=1):
            done = await self._desks.of(caller).merge(
                session_id, str(request.path_params["branch"]), into=body.target, strategy=body.strategy
            )
        return answer(
            MergeView(
                merged=True,
                strategy=done.strategy,
                merge_seq=done.merge_seq,
                files_changed=done.changed,
                seq=done.sequence,
            )
        )


def _view(branch: Branch) -> BranchView:
    return BranchView(
        branch_id=branch.branch_id, name=branch.name, parent=branch.parent, fork_point_seq=branch.fork_sequence
    )
