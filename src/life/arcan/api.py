"""The session API: sessions, runs, events, state at a position, decisions of people (arcan.md §8, our superset).

Every handler is thin: read the request, call the runtime, answer. Errors are LifeErrors; the host turns them into problem
details. A run answers when nothing drives it any more (finished, or waiting for a person), or at once with
`"wait": false`; it goes on when the client leaves. A run on a session that does not exist creates it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.http import Operation, Parameter
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, encode_record
from life.aios.state import AgentStateVector, OperatingMode
from life.arcan.errors import SessionNotFoundError
from life.arcan.events import DoubtDecision, RunLimits
from life.arcan.reports import RunReport, past_report, report_of
from life.arcan.runtime import Runtime
from life.arcan.session_state import CallState, FinishedRun, RunState, SessionState, SessionStatus, Totals
from life.arcan.sessions import SessionSummary
from life.arcan.state import advance

MAX_BODY_BYTES: Final = 1_048_576
MAX_PAGE: Final = 10_000
_PAGE: Final = 1000

StreamResponse = Callable[[Request, Callable[[int], AsyncIterator[EventRecord]]], Response]
"""Makes a server-sent event stream: given the request and "events after this sequence"."""

_T = TypeVar("_T")


class NewSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /sessions. Everything is optional."""

    session_id: str | None = None
    name: str = ""
    owner: str = ""
    provider: str = ""
    system_prompt: str | None = None


class NewRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /sessions/{session_id}/runs."""

    objective: str
    limits: RunLimits | None = None
    wait: bool = True
    """False: answer 202 as soon as the objective is durable."""
    idempotency_key: str | None = None
    """The same key with the same objective is the same run. The header Idempotency-Key says the same."""


class Closing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /sessions/{session_id}/close."""

    reason: str = "closed"


class ApprovalAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /sessions/{session_id}/approvals/{approval_id}."""

    approved: bool
    reason: str | None = None


class DoubtAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /sessions/{session_id}/doubts/{call_id}."""

    decision: DoubtDecision
    note: str = ""


class RunAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """A run that goes on."""

    session_id: str
    run_id: str


class SessionView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session's state at a sequence (`version`)."""

    session_id: str
    branch: str
    version: int
    name: str
    status: SessionStatus
    mode: OperatingMode
    state: AgentStateVector
    totals: Totals
    agent_id: str
    owner: str
    created_us: int
    updated_us: int
    run: RunState | None = None
    last_run: FinishedRun | None = None
    calls: tuple[CallState, ...] = ()


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of events, oldest first; `next_sequence` continues, None at the end."""

    session_id: str
    branch: str
    from_sequence: int
    events: list[msgspec.Raw]
    next_sequence: int | None = None


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that a person has to decide about."""

    session_id: str
    calls: tuple[CallState, ...]


def session_view(state: SessionState) -> SessionView:
    """What clients are told of a session."""
    return SessionView(
        session_id=state.session_id,
        branch=state.branch_id,
        version=state.head,
        name=state.name,
        status=state.status,
        mode=state.mode,
        state=state.vector,
        totals=state.totals,
        agent_id=state.agent_id,
        owner=state.config.owner,
        created_us=state.created_us,
        updated_us=state.updated_us,
        run=state.run,
        last_run=state.last_run,
        calls=state.calls,
    )


async def state_at(journal: Journal, session_id: str, *, branch: str, at: int | None) -> SessionState:
    """The state folded from the journal alone, up to and including sequence `at`; no model is called.

    NotFoundError when the branch has no events or ends before `at`.
    """
    state = SessionState(session_id=session_id, branch_id=branch)
    while at is None or state.head < at:
        query = EventQuery(
            session_id, branch, after_sequence=state.head, before_sequence=None if at is None else at + 1
        )
        page = await journal.read(query, limit=_PAGE)
        for record in page:
            state = advance(state, record)
        if len(page) < _PAGE:
            break
    if state.head == 0:
        raise SessionNotFoundError(session_id)
    if at is not None and state.head < at:
        raise NotFoundError(f"The branch ends at sequence {state.head}.")
    return state


class SessionApi:
    """The handlers over one runtime and its journal."""

    def __init__(self, runtime: Runtime, journal: Journal, stream_response: StreamResponse) -> None:
        self._runtime = runtime
        self._journal = journal
        self._stream_response = stream_response

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        session = "/sessions/{session_id}"
        branch = Parameter("branch", "Which branch; `main` unless told otherwise.")
        return [
            Operation(
                "POST", "/sessions", "Create a session", self.create, NewSession, SessionView, status=201, errors=(400,)
            ),
            Operation("GET", "/sessions", "List the sessions, newest first", self.list, None, list[SessionSummary]),
            Operation("GET", session, "A session's state now", self.show, None, SessionView, errors=(404,)),
            Operation(
                "POST", f"{session}/close", "Refuse further runs", self.close, Closing, SessionView, errors=(404, 409)
            ),
            Operation(
                "POST", f"{session}/runs", "Run an objective", self.run, NewRun, RunReport, errors=(400, 404, 409)
            ),
            Operation(
                "GET", f"{session}/runs/{{run_id}}", "How a run stands", self.show_run, None, RunReport, errors=(404,)
            ),
            Operation(
                "POST",
                f"{session}/resume",
                "Take up an open run that nothing drives (after a full disk, say)",
                self.resume,
                None,
                RunReport,
                errors=(404, 409),
            ),
            Operation("POST", f"{session}/cancel", "Stop the open run", self.cancel, None, RunReport, errors=(404,)),
            Operation(
                "GET",
                f"{session}/state",
                "The state at a position, rebuilt from the journal alone",
                self.state,
                None,
                SessionView,
                (Parameter("at", "Sequence of the last event to fold.", "integer"), branch),
                errors=(400, 404),
            ),
            Operation(
                "GET",
                f"{session}/events",
                "A page of events",
                self.events,
                None,
                EventPage,
                (
                    Parameter("from_sequence", "First sequence to return; 1 unless told otherwise.", "integer"),
                    Parameter("limit", f"How many, 1 to {MAX_PAGE}; 256 unless told otherwise.", "integer"),
                    branch,
                ),
                errors=(400, 404),
            ),
            Operation(
                "GET",
                f"{session}/events/stream",
                "Events as they happen (server-sent events); resumes after Last-Event-ID or `cursor`. Text that is being "
                "written comes with sequence 0 and without an id; a comment every 15 seconds keeps the line open",
                self.stream,
                None,
                None,
                (Parameter("cursor", "The last sequence the client has.", "integer"),),
                media_type="text/event-stream",
                errors=(400, 404),
            ),
            Operation(
                "GET",
                f"{session}/approvals",
                "Calls that wait for approval",
                self.approvals,
                None,
                Pending,
                errors=(404,),
            ),
            Operation(
                "POST",
                f"{session}/approvals/{{approval_id}}",
                "Approve or refuse a waiting call",
                self.decide_approval,
                ApprovalAnswer,
                RunAccepted,
                status=202,
                errors=(400, 404, 409),
            ),
            Operation("GET", f"{session}/doubts", "Calls in doubt", self.doubts, None, Pending, errors=(404,)),
            Operation(
                "POST",
                f"{session}/doubts/{{call_id}}",
                "Say what became of a call in doubt: done, not_done or retry",
                self.decide_doubt,
                DoubtAnswer,
                RunAccepted,
                status=202,
                errors=(400, 404, 409),
            ),
        ]

    async def create(self, request: Request) -> Response:
        """POST /sessions; an id that exists is answered as it is."""
        body = await _body(request, NewSession)
        state = await self._runtime.create_session(
            body.session_id,
            name=body.name,
            owner=body.owner,
            provider=body.provider,
            system_prompt=body.system_prompt,
        )
        return _json(session_view(state), 201)

    async def list(self, request: Request) -> Response:
        """GET /sessions"""
        return _json(await self._runtime.sessions(request.query_params.get("owner")))

    async def show(self, request: Request) -> Response:
        """GET /sessions/{session_id}"""
        return _json(session_view(await self._runtime.state(_session(request))))

    async def close(self, request: Request) -> Response:
        """POST /sessions/{session_id}/close"""
        body = await _body(request, Closing)
        await self._runtime.close_session(_session(request), body.reason)
        return await self.show(request)

    async def run(self, request: Request) -> Response:
        """POST /sessions/{session_id}/runs"""
        body = await _body(request, NewRun)
        session_id = _session(request)
        if body.objective.strip():  # an empty one is refused below, and shall not leave a session behind
            await self._runtime.create_session(session_id)
        key = request.headers.get("idempotency-key") or body.idempotency_key
        run_id = await self._runtime.start(session_id, body.objective, limits=body.limits, idempotency_key=key)
        if not body.wait:
            return _json(RunAccepted(session_id=session_id, run_id=run_id), 202)
        return _json(await self._runtime.wait(session_id, run_id))

    async def show_run(self, request: Request) -> Response:
        """GET /sessions/{session_id}/runs/{run_id}; answers at once, also about a run that goes on."""
        session_id, run_id = _session(request), str(request.path_params["run_id"])
        report = report_of(await self._runtime.state(session_id), run_id)
        return _json(report or await past_report(self._journal, session_id, run_id))

    async def resume(self, request: Request) -> Response:
        """POST /sessions/{session_id}/resume; answers at once, null when no run is open."""
        session_id = _session(request)
        run_id = await self._runtime.recover(session_id)
        return _json(None if run_id is None else report_of(await self._runtime.state(session_id), run_id))

    async def cancel(self, request: Request) -> Response:
        """POST /sessions/{session_id}/cancel; null when no run is open."""
        return _json(await self._runtime.cancel(_session(request)))

    async def state(self, request: Request) -> Response:
        """GET /sessions/{session_id}/state"""
        at = _number(request, "at", None, 0, 2**53)
        branch = request.query_params.get("branch", MAIN_BRANCH)
        return _json(session_view(await state_at(self._journal, _session(request), branch=branch, at=at)))

    async def events(self, request: Request) -> Response:
        """GET /sessions/{session_id}/events"""
        session_id = _session(request)
        branch = request.query_params.get("branch", MAIN_BRANCH)
        first = _number(request, "from_sequence", 1, 1, 2**53) or 1
        limit = _number(request, "limit", 256, 1, MAX_PAGE) or 256
        records = await self._journal.read(EventQuery(session_id, branch, after_sequence=first - 1), limit=limit)
        if not records:
            await self._runtime.state(session_id)  # an unknown session is not an empty one
        full = len(records) == limit
        page = EventPage(
            session_id=session_id,
            branch=branch,
            from_sequence=first,
            events=[msgspec.Raw(encode_record(record)) for record in records],
            next_sequence=records[-1].sequence + 1 if full else None,
        )
        return _json(page)

    async def stream(self, request: Request) -> Response:
        """GET /sessions/{session_id}/events/stream"""
        session_id = _session(request)
        await self._runtime.state(session_id)
        return self._stream_response(request, lambda after: self._runtime.subscribe(session_id, after))

    async def approvals(self, request: Request) -> Response:
        """GET /sessions/{session_id}/approvals"""
        return await self._pending(request, "awaiting_approval")

    async def doubts(self, request: Request) -> Response:
        """GET /sessions/{session_id}/doubts"""
        return await self._pending(request, "in_doubt")

    async def decide_approval(self, request: Request) -> Response:
        """POST /sessions/{session_id}/approvals/{approval_id}"""
        body = await _body(request, ApprovalAnswer)
        session_id = _session(request)
        run_id = await self._runtime.resolve_approval(
            session_id, str(request.path_params["approval_id"]), approved=body.approved, actor="api", reason=body.reason
        )
        return _json(RunAccepted(session_id=session_id, run_id=run_id), 202)

    async def decide_doubt(self, request: Request) -> Response:
        """POST /sessions/{session_id}/doubts/{call_id}"""
        body = await _body(request, DoubtAnswer)
        session_id = _session(request)
        run_id = await self._runtime.resolve_doubt(
            session_id, str(request.path_params["call_id"]), body.decision, actor="api", note=body.note
        )
        return _json(RunAccepted(session_id=session_id, run_id=run_id), 202)

    async def _pending(self, request: Request, phase: str) -> Response:
        state = await self._runtime.state(_session(request))
        calls = tuple(call for call in state.calls if call.phase == phase)
        return _json(Pending(session_id=state.session_id, calls=calls))


def _session(request: Request) -> str:
    return str(request.path_params["session_id"])


async def _body(request: Request, kind: type[_T]) -> _T:
    """The JSON body; an empty one counts as `{}`. InvalidInputError names what does not fit."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY_BYTES:
            raise InvalidInputError(f"The body is larger than {MAX_BODY_BYTES} bytes.")
    try:
        return msgspec.json.decode(bytes(raw) or b"{}", type=kind)
    except msgspec.DecodeError as error:
        raise InvalidInputError(f"The body does not fit: {error}.") from None
    except UnicodeDecodeError:
        raise InvalidInputError("The body is not UTF-8.") from None
    except RecursionError:
        raise InvalidInputError("The body is nested too deeply.") from None


def _number(request: Request, name: str, default: int | None, low: int, high: int) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise InvalidInputError(f"The parameter '{name}' must be a whole number from {low} to {high}.")
    return int(text)


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, {"cache-control": "no-store"}, "application/json")
