"""Sessions: making, listing, showing."""

from __future__ import annotations

import itertools

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.json import Json
from life.aios.ports.http import Operation, Parameter
from life.lago.api.bodies import answer, json_body, number
from life.lago.api.callers import CallerReader
from life.lago.files.view import FileView
from life.lago.owners.names import SessionType, session_type
from life.lago.owners.registry import Owners, SessionInfo

MAX_PAGE = 1_000
_TYPES = ("vault", "agent", "site_assets", "site_content", "default")


class NewSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /v1/sessions. `session_id` only for names that are not reserved."""

    name: str
    session_id: str | None = None
    model: str = ""
    params: dict[str, str] = {}


class SessionMade(msgspec.Struct, frozen=True, kw_only=True):
    """A session that was made."""

    session_id: str
    branch_id: str
    session_type: SessionType
    owner: str


class SessionView(msgspec.Struct, frozen=True, kw_only=True):
    """A session. `created_at` is in microseconds."""

    session_id: str
    name: str
    model: str
    owner: str
    created_at: int
    branches: tuple[str, ...]
    session_type: SessionType


class SessionApi:
    """The routes."""

    def __init__(self, owners: Owners, view: FileView, caller: CallerReader) -> None:
        self._owners = owners
        self._view = view
        self._caller = caller

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        return [
            Operation(
                "POST",
                "/v1/sessions",
                "Make a session",
                self.create,
                NewSession,
                SessionMade,
                status=201,
                errors=(400, 409, 413, 429),
                scope="sessions:write",
            ),
            Operation(
                "GET",
                "/v1/sessions",
                "The caller's sessions in the order of their first events",
                self.list,
                None,
                list[SessionView],
                (
                    Parameter("type", f"Only these: {', '.join(_TYPES)}."),
                    Parameter("after", "Id of the last session of the page before."),
                    Parameter("limit", f"How many, 1 to {MAX_PAGE}; 100 unless told otherwise.", "integer"),
                ),
                errors=(400, 429),
                scope="sessions:read",
            ),
            Operation(
                "GET",
                "/v1/sessions/{session_id}",
                "A session",
                self.show,
                None,
                SessionView,
                errors=(400, 404, 429),
                scope="sessions:read",
            ),
        ]

    async def create(self, request: Request) -> Response:
        """POST /v1/sessions"""
        body = await json_body(request, NewSession)
        caller = self._caller(request)
        config: dict[str, Json] = {"model": body.model, "params": body.params}
        made = await self._owners.create(
            body.name, caller.owner, agent_id=caller.agent_id, session_id=body.session_id, config=config
        )
        return answer(
            SessionMade(
                session_id=made.session_id,
                branch_id="main",
                session_type=session_type(made.session_id),
                owner=made.owner,
            ),
            201,
        )

    async def list(self, request: Request) -> Response:
        """GET /v1/sessions"""
        wanted = request.query_params.get("type")
        if wanted is not None and wanted not in _TYPES:
            raise InvalidInputError(f"The parameter 'type' must be one of {', '.join(_TYPES)}.")
        limit = number(request, "limit", 100, 1, MAX_PAGE)
        after = request.query_params.get("after")
        caller = self._caller(request)
        owners = (await self._owners.read()).owners
        if after is not None and after not in owners:
            raise InvalidInputError("The parameter 'after' must be the id of a session.")
        every = iter(owners.items())
        if after is not None:
            next(session for session, _ in every if session == after)
        own = (
            session
            for session, owner in every
            if (caller.is_operator or owner == caller.owner) and (wanted is None or session_type(session) == wanted)
        )
        page = list(itertools.islice(own, limit))  # before anything is awaited: the table may grow meanwhile
        return answer([await self._view_of(await self._owners.info(each)) for each in page])

    async def show(self, request: Request) -> Response:
        """GET /v1/sessions/{session_id}"""
        session_id = str(request.path_params["session_id"])
        await self._owners.require(session_id, self._caller(request).owner, write=False)
        return answer(await self._view_of(await self._owners.info(session_id)))

    async def _view_of(self, info: SessionInfo) -> SessionView:
        model = info.config.get("model", "") if isinstance(info.config, dict) else ""
        branches = await self._view.branches(info.session_id)
        return SessionView(
            session_id=info.session_id,
            name=info.name,
            model=model if isinstance(model, str) else "",
            owner=info.owner,
            created_at=info.created_at_us,
            branches=tuple(branches),
            session_type=session_type(info.session_id),
        )
