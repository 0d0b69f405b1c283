"""The demos over HTTP.

    GET  /workspace/demos                       all of them, with what a run costs and why one can't run here
    GET  /workspace/demos/{slug}                one, with its files, tools and instructions
    POST /workspace/demos/{slug}/runs           a new session, running
    POST /workspace/demos/{slug}/recording      its recording as a session that can be looked at
    POST /workspace/demos/{slug}/copies         its files, tools and policy in a session of one's own

Tables as everywhere: the host puts them into the router and the document. What is begun belongs to whoever asks.
"""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.ports.http import Operation
from life.aios.record import Actor
from life.arcan.http_requests import answer_json, read_body
from life.arcan.people_api import SCOPE, Callers
from life.host.demos.demos import Demos
from life.host.demos.lines import DemoDetail, DemoLine, detail_of, line_of
from life.workspace.demos.catalogue import demo, demos

_ROOT: Final = "/workspace/demos"


class DemoList(msgspec.Struct, frozen=True, kw_only=True):
    """All demos, in order."""

    demos: tuple[DemoLine, ...]


class NewDemoRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST …/runs. Without a model the scripted one plays."""

    suggestion: int = 0
    model: str | None = None


class NewDemoCopy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST …/copies. Without a model the daemon's own thinks."""

    name: str = ""
    model: str | None = None


class DemoSession(msgspec.Struct, frozen=True, kw_only=True):
    """The session of a demo."""

    session_id: str
    run_id: str | None = None


class DemosApi:
    """The handlers."""

    def __init__(self, demos: Demos, callers: Callers) -> None:
        self._demos = demos
        self._callers = callers

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        own: list[Operation[Request, Response]] = [
            Operation("GET", _ROOT, "The demos that are shipped", self.list, None, DemoList),
            Operation("GET", f"{_ROOT}/{{slug}}", "One demo in full", self.show, None, DemoDetail, errors=(404,)),
            Operation(
                "POST",
                f"{_ROOT}/{{slug}}/runs",
                "Run a demo in a new session",
                self.run,
                NewDemoRun,
                DemoSession,
                status=201,
                errors=(400, 404, 409),
            ),
            Operation(
                "POST",
                f"{_ROOT}/{{slug}}/recording",
                "Open a demo's recording, to look at it; no model is opened",
                self.recording,
                None,
                DemoSession,
                status=201,
                errors=(404,),
            ),
            Operation(
                "POST",
                f"{_ROOT}/{{slug}}/copies",
                "Make a demo one's own: its files, instructions, tools and policy in a new session",
                self.copy,
                NewDemoCopy,
                DemoSession,
                status=201,
                errors=(400, 404, 409),
            ),
        ]
        return [operation._replace(scope=SCOPE) for operation in own]

    async def list(self, _: Request) -> Response:
        """GET /workspace/demos"""
        return answer_json(DemoList(demos=tuple(line_of(each, self._demos.unavailable(each.slug)) for each in demos())))

    async def show(self, request: Request) -> Response:
        """GET /workspace/demos/{slug}"""
        found = demo(_slug(request))
        return answer_json(detail_of(found, self._demos.unavailable(found.slug)))

    async def run(self, request: Request) -> Response:
        """POST /workspace/demos/{slug}/runs"""
        body = await read_body(request, NewDemoRun)
        started = await self._demos.run(
            _slug(request),
            suggestion=body.suggestion,
            model=body.model or "",
            owner=self._callers.owner_of(request) or "",
            actor=Actor("user", self._callers.actor_of(request)),
        )
        return answer_json(DemoSession(session_id=started.session_id, run_id=started.run_id), 201)

    async def recording(self, request: Request) -> Response:
        """POST /workspace/demos/{slug}/recording"""
        return answer_json(DemoSession(session_id=await self._demos.open_recording(_slug(request))), 201)

    async def copy(self, request: Request) -> Response:
        """POST /workspace/demos/{slug}/copies"""
        body = await read_body(request, NewDemoCopy)
        session_id = await self._demos.copy(
            _slug(request),
            name=body.name,
            model=body.model or "",
            owner=self._callers.owner_of(request) or "",
        )
        return answer_json(DemoSession(session_id=session_id), 201)


def _slug(request: Request) -> str:
    return str(request.path_params["slug"])
