"""The routes for branches: list, fork, merge, compare, go back (arcan.md §3, §8; docs/branches.md).

A table like that of `life.arcan.api`, for the same callers: somebody else's session is answered as if it did not exist. Edit and run
again is two requests: a branch from before the message, then a run on it (`POST /sessions/{session_id}/runs` with `branch`).
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.http import Operation, Parameter
from life.aios.ports.working_copies import Prefer
from life.aios.record import Actor
from life.arcan.branches import BranchInfo
from life.arcan.branching import MergeResult, RestoreResult
from life.arcan.comparison import Comparison
from life.arcan.http_requests import answer_json, number_of, read_body
from life.arcan.people_api import SCOPE, Callers
from life.arcan.runtime import Runtime


class NewBranch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /sessions/{session_id}/branches. The fork is right after `fork_sequence` of `from_branch` (its head unless told), or
    right before the user's message at `before_message`; then the name may be left out."""

    branch: str = ""
    from_branch: str = MAIN_BRANCH
    fork_sequence: int | None = None
    before_message: int | None = None


class Merging(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST …/branches/{branch}/merge. Without `prefer`, files that both sides changed are a conflict (409)."""

    target_branch: str = MAIN_BRANCH
    prefer: Prefer | None = None


class Restoring(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /sessions/{session_id}/restore."""

    to_sequence: int
    branch: str = MAIN_BRANCH


class BranchList(msgspec.Struct, frozen=True, kw_only=True):
    """Every branch, main first."""

    session_id: str
    branches: list[BranchInfo]


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """A merge."""

    session_id: str
    result: MergeResult


class BranchApi:
    """The handlers over one runtime."""

    def __init__(self, runtime: Runtime, callers: Callers) -> None:
        self._branches = runtime.branches
        self._callers = callers

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        session = "/sessions/{session_id}"
        own = [
            Operation(
                "GET", f"{session}/branches", "The session's branches", self.list, None, BranchList, errors=(404,)
            ),
            Operation(
                "POST",
                f"{session}/branches",
                "Fork a branch at any event; the same fork again is the same branch",
                self.fork,
                NewBranch,
                BranchInfo,
                status=201,
                errors=(400, 404, 409),
            ),
            Operation(
                "POST",
                f"{session}/branches/{{branch}}/merge",
                "Merge a branch into another one; it is read-only afterwards",
                self.merge,
                Merging,
                Merged,
                errors=(400, 404, 409),
            ),
            Operation(
                "GET",
                f"{session}/compare",
                "Two branches or positions side by side: turns, events, files, state, what was spent",
                self.compare,
                None,
                Comparison,
                (
                    Parameter("one", "A branch, by id or name; `main` unless told otherwise."),
                    Parameter("other", "Another branch, or the same one."),
                    Parameter("one_at", "Sequence of the last event that counts; the head unless told.", "integer"),
                    Parameter("other_at", "The same for the other side.", "integer"),
                ),
                errors=(400, 404),
            ),
            Operation(
                "POST",
                f"{session}/restore",
                "Go on from an earlier event; what came between stays in the journal",
                self.restore,
                Restoring,
                RestoreResult,
                errors=(400, 404, 409),
            ),
        ]
        return [operation._replace(scope=SCOPE) for operation in own]

    async def list(self, request: Request) -> Response:
        """GET /sessions/{session_id}/branches"""
        session_id = await self._callers.session(request)
        return answer_json(BranchList(session_id=session_id, branches=await self._branches.all(session_id)))

    async def fork(self, request: Request) -> Response:
        """POST /sessions/{session_id}/branches"""
        session_id = await self._callers.session(request)
        body = await read_body(request, NewBranch)
        if body.before_message is not None:
            if body.fork_sequence is not None:
                raise InvalidInputError("Say either 'fork_sequence' or 'before_message'.")
            made = await self._branches.fork_before(
                session_id, body.before_message, name=body.branch, branch=body.from_branch, actor=self._actor(request)
            )
        else:
            made = await self._branches.fork(
                session_id, body.branch, parent=body.from_branch, at=body.fork_sequence, actor=self._actor(request)
            )
        return answer_json(made, 201)

    async def merge(self, request: Request) -> Response:
        """POST /sessions/{session_id}/branches/{branch}/merge"""
        session_id = await self._callers.session(request)
        body = await read_body(request, Merging)
        source = str(request.path_params["branch"])
        result = await self._branches.merge(
            session_id, source, into=body.target_branch, prefer=body.prefer, actor=self._actor(request)
        )
        return answer_json(Merged(session_id=session_id, result=result))

    async def compare(self, request: Request) -> Response:
        """GET /sessions/{session_id}/compare"""
        session_id = await self._callers.session(request)
        one, other = request.query_params.get("one", MAIN_BRANCH), request.query_params.get("other")
        if other is None:
            raise InvalidInputError("Say with which branch to compare: 'other'.")
        return answer_json(
            await self._branches.compare(
                session_id,
                one,
                other,
                one_at=number_of(request, "one_at", None, 0, 2**53),
                other_at=number_of(request, "other_at", None, 0, 2**53),
            )
        )

    async def restore(self, request: Request) -> Response:
        """POST /sessions/{session_id}/restore"""
        session_id = await self._callers.session(request)
        body = await read_body(request, Restoring)
        return answer_json(
            await self._branches.restore(session_id, body.to_sequence, branch=body.branch, actor=self._actor(request))
        )

    def _actor(self, request: Request) -> Actor:
        return Actor("user", self._callers.actor_of(request))
