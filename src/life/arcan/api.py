"""The session API: sessions, runs, events, state at a position (arcan.md §8, our superset). What people decide and say while a run
goes on is `life.arcan.people_api`.

Every handler is thin: read the request, call the runtime, answer. Errors are LifeErrors; the host turns them into problem
details. A run answers when nothing drives it any more (finished, or waiting for a person), or at once with
`"wait": false` (or `"async": true`); it goes on when the client leaves. A run on a session that does not exist creates it.

`owner_of` says whose sessions a caller may use; None means everybody's (the operator). Somebody else's session is answered as if it
did not exist (404), and its id can't be taken (409). Only the operator names owners and providers, and nobody raises the limits that
the runtime was started with but the operator.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.events import Custom, encode_kind
from life.aios.ids import MAIN_BRANCH
from life.aios.json import Json, JsonObject
from life.aios.policy import PolicySet
from life.aios.ports.http import Operation, Parameter
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.provider import ToolSpec
from life.aios.record import DEFAULT_SCHEMA, SYSTEM, Actor, EventRecord, Stream, encode_record
from life.aios.state import AgentStateVector, OperatingMode, Phase
from life.arcan.checkpoints import SessionHistory
from life.arcan.errors import SessionNotFoundError
from life.arcan.events import RunLimits
from life.arcan.http_requests import BRANCH, answer_json, branch_of, number_of, read_body, session_of
from life.arcan.limits import within
from life.arcan.people_api import SCOPE, Callers, PeopleApi, RunAccepted
from life.arcan.reports import RunReport, past_report, report_of
from life.arcan.runtime import ProposedCall, Runtime
from life.arcan.session_state import (
    CallState,
    FinishedRun,
    QueuedMessage,
    RunState,
    SessionRule,
    SessionState,
    SessionStatus,
    Totals,
)
from life.arcan.sessions import SessionSummary

MAX_PAGE: Final = 10_000

STREAM_READY: Final = "arcan.stream_ready"
STREAM_CLOSED: Final = "arcan.stream_closed"

StreamResponse = Callable[[Request, Callable[[int], AsyncIterator[EventRecord]]], Response]
"""Makes a server-sent event stream: given the request and "events after this sequence"."""


class NewSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /sessions. Everything is optional."""

    session_id: str | None = None
    name: str = ""
    owner: str = ""
    provider: str = ""
    system_prompt: str | None = None


class Proposed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call to begin with. What it needs is found out here; the gate decides, as about a call of the model."""

    tool_name: str
    arguments: Json = None


class ClientTool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool that the client executes itself; the run waits for its result."""

    name: str
    description: str = ""
    input_schema: JsonObject = msgspec.field(default_factory=lambda: {"type": "object"})


class NewRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"background": "async"}):
    """Body of POST /sessions/{session_id}/runs."""

    objective: str
    limits: RunLimits | None = None
    wait: bool = True
    """False: answer 202 as soon as the objective is durable. `"async": true` says the same."""
    background: bool = False
    idempotency_key: str | None = None
    """The same key with the same objective is the same run. The header Idempotency-Key says the same."""
    branch: str = MAIN_BRANCH
    proposed_tool: Proposed | None = None
    client_tools: tuple[ClientTool, ...] = ()


class Closing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /sessions/{session_id}/close."""

    reason: str = "closed"


class ProviderChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of PUT /sessions/{session_id}/provider: a provider specification, or empty for the daemon's own."""

    provider: str = ""


class SessionView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session's state at a sequence (`version`)."""

    session_id: str
    branch: str
    version: int
    name: str
    status: SessionStatus
    mode: OperatingMode
    phase: Phase
    state: AgentStateVector
    totals: Totals
    agent_id: str
    owner: str
    created_us: int
    updated_us: int
    run: RunState | None = None
    last_run: FinishedRun | None = None
    calls: tuple[CallState, ...] = ()
    queue: tuple[QueuedMessage, ...] = ()
    rules: tuple[SessionRule, ...] = ()
    breaker_open: bool = False


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of events, oldest first; `next_sequence` continues, None at the end."""

    session_id: str
    branch: str
    from_sequence: int
    events: list[msgspec.Raw]
    next_sequence: int | None = None


def session_view(state: SessionState) -> SessionView:
    """What clients are told of a session."""
    return SessionView(
        session_id=state.session_id,
        branch=state.branch_id,
        version=state.head,
        name=state.name,
        status=state.status,
        mode=state.mode,
        phase=state.phase,
        state=state.vector,
        totals=state.totals,
        agent_id=state.agent_id,
        owner=state.config.owner,
        created_us=state.created_us,
        updated_us=state.updated_us,
        run=state.run,
        last_run=state.last_run,
        calls=state.calls,
        queue=state.queue,
        rules=state.rules,
        breaker_open=state.breaker_open,
    )


async def state_at(journal: Journal, session_id: str, *, branch: str, at: int | None) -> SessionState:
    """The state folded from the journal alone, up to and including sequence `at`; no model is called.

    NotFoundError when the branch has no events or ends before `at`.
    """
    state = await SessionHistory(journal).state(Stream(session_id, branch), at=at)
    if state.head == 0 or state.deleted:
        raise SessionNotFoundError(session_id)
    return state


class SessionApi:
    """The handlers over one runtime and its journal."""

    def __init__(
        self,
        runtime: Runtime,
        journal: Journal,
        stream_response: StreamResponse,
        *,
        owner_of: Callable[[Request], str | None] | None = None,
        actor_of: Callable[[Request], str] = lambda _request: "api",
        acting_for: Callable[[Request], str | None] = lambda _request: None,
        policy_of: Callable[[Request], PolicySet | None] = lambda _request: None,
    ) -> None:
        """`owner_of`: whose sessions the caller may use, None for everybody's; without it nobody but the operator is let in (no route
        names a scope). `actor_of`: their name in the journal.
        `acting_for`: who it is that the operator's own program begins a run for, if anybody.
        `policy_of`: what they may do, computed from who they are at each run; None leaves the session's policy."""
        self._runtime = runtime
        self._journal = journal
        self._stream_response = stream_response
        self._scope = None if owner_of is None else SCOPE
        self._callers = Callers(runtime, owner_of or _everybody, actor_of, acting_for)
        self._policy_of = policy_of
        self._people = PeopleApi(runtime, self._callers)

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        session = "/sessions/{session_id}"
        own = [
            Operation(
                "POST",
                "/sessions",
                "Create a session",
                self.create,
                NewSession,
                SessionView,
                status=201,
                errors=(400, 409),
            ),
            Operation(
                "GET",
                "/sessions",
                "List the sessions, newest first",
                self.list,
                None,
                list[SessionSummary],
                (Parameter("owner", "Whose; for the operator."),),
            ),
            Operation("GET", session, "A session's state now", self.show, None, SessionView, errors=(404,)),
            Operation(
                "POST", f"{session}/close", "Refuse further runs", self.close, Closing, SessionView, errors=(404, 409)
            ),
            Operation(
                "POST",
                f"{session}/runs",
                "Run an objective",
                self.run,
                NewRun,
                RunReport,
                errors=(400, 403, 404, 409),
                others=((202, RunAccepted),),
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
                (Parameter("at", "Sequence of the last event to fold.", "integer"), BRANCH),
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
                    BRANCH,
                ),
                errors=(400, 404),
            ),
            Operation(
                "GET",
                f"{session}/events/stream",
                "Events as they happen (server-sent events); resumes after Last-Event-ID or `cursor`. Text that is being "
                "written comes with sequence 0 and without an id; so does `arcan.stream_ready`, where history ends, and "
                "`arcan.stream_closed` with a reason; a comment every 15 seconds keeps the line open",
                self.stream,
                None,
                None,
                (Parameter("cursor", "The last sequence the client has.", "integer"), BRANCH),
                media_type="text/event-stream",
                errors=(400, 404),
            ),
            Operation(
                "DELETE",
                session,
                "Delete a session: nobody sees it any more, and its id is not given out again",
                self.delete,
                None,
                None,
                status=204,
                errors=(404, 409),
            ),
            Operation(
                "PUT",
                f"{session}/provider",
                "Choose the session's model, from its next run on",
                self.choose_provider,
                ProviderChoice,
                SessionView,
                errors=(400, 404, 409),
            ),
            Operation(
                "GET",
                f"{session}/journal",
                "The newest events, oldest of them first",
                self.journal,
                None,
                EventPage,
                (Parameter("limit", f"How many, 1 to {MAX_PAGE}; 100 unless told otherwise.", "integer"), BRANCH),
                errors=(400, 404),
            ),
        ]
        return [item._replace(scope=self._scope) for item in (*own, *self._people.operations())]

    async def create(self, request: Request) -> Response:
        """POST /sessions; an id that exists and is the caller's is answered as it is."""
        body = await read_body(request, NewSession)
        owner = self._callers.owner_of(request)
        if owner is not None and (body.owner not in ("", owner) or body.provider):
            raise InvalidInputError("Only the operator names owners and providers.")
        state = await self._runtime.create_session(
            body.session_id,
            name=body.name,
            owner=body.owner if owner is None else owner,
            provider=body.provider,
            system_prompt=body.system_prompt,
        )
        return answer_json(session_view(state), 201)

    async def list(self, request: Request) -> Response:
        """GET /sessions; of the caller's own, or for the operator of everybody's."""
        owner = self._callers.owner_of(request)
        return answer_json(await self._runtime.sessions(request.query_params.get("owner") if owner is None else owner))

    async def show(self, request: Request) -> Response:
        """GET /sessions/{session_id}"""
        session_id = await self._callers.session(request)
        return answer_json(session_view(await self._runtime.state(session_id)))

    async def close(self, request: Request) -> Response:
        """POST /sessions/{session_id}/close"""
        body = await read_body(request, Closing)
        await self._runtime.close_session(await self._callers.session(request), body.reason)
        return await self.show(request)

    async def delete(self, request: Request) -> Response:
        """DELETE /sessions/{session_id}"""
        session_id = await self._callers.session(request)
        await self._runtime.delete_session(session_id, actor=self._callers.actor_of(request))
        return Response(status_code=204)

    async def choose_provider(self, request: Request) -> Response:
        """PUT /sessions/{session_id}/provider; for the operator."""
        body = await read_body(request, ProviderChoice)
        session_id = await self._callers.session(request)
        if self._callers.owner_of(request) is not None:
            raise InvalidInputError("Only the operator names providers.")
        await self._runtime.set_provider(session_id, body.provider, actor=self._callers.actor_of(request))
        return await self.show(request)

    async def run(self, request: Request) -> Response:
        """POST /sessions/{session_id}/runs"""
        body = await read_body(request, NewRun)
        session_id, owner = session_of(request), self._callers.owner_of(request)
        said_by = self._callers.acting_for(request) or owner
        limits = body.limits
        if owner is not None and limits is not None:
            limits = within(limits, self._runtime.settings.limits)
        if not body.objective.strip():  # shall not leave a session behind
            raise InvalidInputError("The objective is empty.")
        await self._callers.session(request, make=body.branch == MAIN_BRANCH)
        proposed = body.proposed_tool
        run_id = await self._runtime.start(
            session_id,
            body.objective,
            limits=limits,
            idempotency_key=request.headers.get("idempotency-key") or body.idempotency_key,
            actor=Actor("user", said_by),
            branch=body.branch,
            policy=self._policy_of(request),
            proposed=None if proposed is None else ProposedCall(proposed.tool_name, proposed.arguments),
            client_tools=[ToolSpec(tool.name, tool.description, tool.input_schema) for tool in body.client_tools],
        )
        if body.background or not body.wait:
            return answer_json(RunAccepted(session_id=session_id, run_id=run_id), 202)
        return answer_json(await self._runtime.wait(session_id, run_id, branch=body.branch))

    async def show_run(self, request: Request) -> Response:
        """GET /sessions/{session_id}/runs/{run_id}; answers at once, also about a run that goes on."""
        session_id, run_id = await self._callers.session(request), str(request.path_params["run_id"])
        branch = branch_of(request)
        report = report_of(await self._runtime.state(session_id, branch=branch), run_id)
        return answer_json(report or await past_report(self._journal, session_id, run_id, branch=branch))

    async def resume(self, request: Request) -> Response:
        """POST /sessions/{session_id}/resume; answers at once, null when no run is open."""
        session_id, branch = await self._callers.session(request), branch_of(request)
        run_id = await self._runtime.recover(session_id, branch=branch)
        if run_id is None:
            return answer_json(None)
        return answer_json(report_of(await self._runtime.state(session_id, branch=branch), run_id))

    async def cancel(self, request: Request) -> Response:
        """POST /sessions/{session_id}/cancel; null when no run is open."""
        session_id = await self._callers.session(request)
        return answer_json(await self._runtime.cancel(session_id, branch=branch_of(request)))

    async def state(self, request: Request) -> Response:
        """GET /sessions/{session_id}/state"""
        at = number_of(request, "at", None, 0, 2**53)
        session_id = await self._callers.session(request)
        return answer_json(session_view(await state_at(self._journal, session_id, branch=branch_of(request), at=at)))

    async def events(self, request: Request) -> Response:
        """GET /sessions/{session_id}/events"""
        first = number_of(request, "from_sequence", 1, 1, 2**53) or 1
        limit = number_of(request, "limit", 256, 1, MAX_PAGE) or 256
        return await self._page(request, first, limit)

    async def journal(self, request: Request) -> Response:
        """GET /sessions/{session_id}/journal"""
        limit = number_of(request, "limit", 100, 1, MAX_PAGE) or 100
        session_id = await self._callers.session(request)
        head = (await self._journal.head(Stream(session_id, branch_of(request)))).sequence
        return await self._page(request, max(1, head - limit + 1), limit)

    async def _page(self, request: Request, first: int, limit: int) -> Response:
        session_id, branch = await self._callers.session(request), branch_of(request)
        records = await self._journal.read(EventQuery(session_id, branch, after_sequence=first - 1), limit=limit)
        full = len(records) == limit
        page = EventPage(
            session_id=session_id,
            branch=branch,
            from_sequence=first,
            events=[msgspec.Raw(encode_record(record)) for record in records],
            next_sequence=records[-1].sequence + 1 if full else None,
        )
        return answer_json(page)

    async def stream(self, request: Request) -> Response:
        """GET /sessions/{session_id}/events/stream"""
        session_id, branch = await self._callers.session(request), branch_of(request)
        await self._runtime.state(session_id, branch=branch)
        return self._stream_response(request, lambda after: self._marked(Stream(session_id, branch), after))

    async def _marked(self, stream: Stream, after: int) -> AsyncGenerator[EventRecord, None]:
        """The events behind `after`, with a marker where history ends and live begins, and one with the reason when the server ends the
        stream. Markers are ephemeral (sequence 0), so nobody takes them for the journal's (WS-EVT-2, WS-EVT-4)."""
        head = (await self._journal.head(stream)).sequence
        newest = await self._journal.read(EventQuery(*stream, after_sequence=max(0, head - 1)), limit=1)
        waits = after < head
        if not waits and newest:
            yield _marker(newest[0], STREAM_READY, {"head": head})
        async with aclosing(self._runtime.subscribe(stream.session_id, after, branch=stream.branch_id)) as events:
            async for record in events:
                yield record
                if waits and record.sequence >= head:
                    waits = False
                    yield _marker(record, STREAM_READY, {"head": record.sequence})
        if newest:
            yield _marker(newest[0], STREAM_CLOSED, {"reason": "shutdown"})


def _marker(beside: EventRecord, name: str, data: JsonObject) -> EventRecord:
    """An ephemeral record in the stream of `beside`, with its time."""
    kind = Custom(event_type=name, data=data)
    return EventRecord(
        event_id=f"{beside.event_id}.{name}",
        session_id=beside.session_id,
        branch_id=beside.branch_id,
        agent_id=beside.agent_id,
        sequence=0,
        timestamp_us=beside.timestamp_us,
        actor=SYSTEM,
        schema=DEFAULT_SCHEMA,
        kind_name=type(kind).__name__,
        payload=encode_kind(kind),
    )


def _everybody(_request: Request) -> str | None:
    """Whose sessions the operator may use."""
    return None
