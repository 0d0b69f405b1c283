"""The pages of a daemon: handlers that read the journal, render, and pass people's decisions on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

import life
from life.aios.errors import InvalidInputError, LifeError
from life.aios.events import Custom
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord
from life.anima.identity_file import Identity
from life.arcan.session_state import SessionState
from life.host.access import COOKIE_LIFETIME_S, COOKIE_NAME, Access
from life.host.pages import ledger_view
from life.host.pages.rendering import STATIC_ROUTES, page
from life.host.pages.transcript import as_text, short_time, transcript
from life.host.system import System

_MAX_FORM_BYTES: Final = 262_144
_EVENTS_PER_PAGE: Final = 200
_TURNS_SHOWN: Final = 200
"""Of a long conversation the end is shown; a link shows all of it."""
_REFRESH_S: Final = 2
_QUIET_US: Final = 30_000_000
"""After so long without an event a running run is offered to be taken up: perhaps a full disk cut it off."""
_DECISIONS: Final[Mapping[str, Literal["done", "not_done", "retry"]]] = {
    "done": "done",
    "not_done": "not_done",
    "retry": "retry",
}
_TONES: Final = {
    "running": "wait",
    "paused": "wait",
    "waiting": "wait",
    "in_doubt": "wait",
    "idle": "good",
    "closed": "",
}


class Pages:
    """Handlers over one open system."""

    def __init__(self, system: System, access: Access, started_us: int) -> None:
        self._system = system
        self._access = access
        self._started_us = started_us

    def routes(self) -> list[Route]:
        """The routes, `/login` and the stylesheet among them."""
        return [
            *STATIC_ROUTES,
            Route("/login", _for_people(self.login)),
            Route("/", _for_people(self.sessions)),
            Route("/sessions", _for_people(self.new_session), methods=["POST"]),
            Route("/s/{session_id}", _for_people(self.session)),
            Route("/s/{session_id}/journal", _for_people(self.journal)),
            Route("/s/{session_id}/{action}", _for_people(self.act), methods=["POST"]),
            Route("/ledger", _for_people(self.ledger)),
            Route("/identity", _for_people(self.identity)),
            Route("/system", _for_people(self.system)),
        ]

    async def login(self, request: Request) -> Response:
        """Redeem a one-time link; without one, say where to get it. HEAD, as link previews send it, redeems nothing."""
        code = request.query_params.get("code") if request.method == "GET" else None
        cookie = self._access.redeem_link(code) if code else None
        if cookie is None:
            problem = "That link was used already or is too old." if code else ""
            return page("login.html", "Log in", problem=problem, http_status=401 if code else 200)
        response = RedirectResponse("/workspace", 303, {"cache-control": "no-store"})
        response.set_cookie(
            COOKIE_NAME,
            cookie,
            max_age=COOKIE_LIFETIME_S,
            path="/",
            secure=request.headers.get("host") in self._system.settings.daemon.proxy_hosts,  # the proxy speaks TLS
            httponly=True,
            samesite="strict",
        )
        return response

    async def sessions(self, _: Request) -> Response:
        """All sessions, and the form that starts one."""
        rows = []
        for summary in await self._system.runtime.sessions():
            state = await self._system.runtime.state(summary.session_id)
            rows.append(
                {
                    "session_id": state.session_id,
                    "label": _title(state),
                    "status": state.status.replace("_", " "),
                    "tone": _TONES[state.status],
                    "runs": state.totals.runs,
                    "tool_calls": state.totals.calls_requested,
                    "events": state.head,
                    "updated": short_time(state.updated_us),
                }
            )
        return page("sessions.html", "Sessions", "/", sessions=rows, provider=self._system.settings.model.provider)

    async def new_session(self, request: Request) -> Response:
        """Start a session with its first objective, then show it. (Programs post JSON to the same address.)"""
        form = await _form(request)
        objective = form.get("objective", "")
        if not objective.strip():
            raise InvalidInputError("The objective is empty.")
        name = " ".join(objective.split())[:80]
        state = await self._system.runtime.create_session(name=name)
        await self._system.runtime.start(state.session_id, objective)
        return RedirectResponse(f"/s/{state.session_id}", 303)

    async def session(self, request: Request) -> Response:
        """One session: the conversation, what waits for a decision, and the next message."""
        return await self._session(request)

    async def _session(self, request: Request, problem: str = "", http_status: int = 200) -> Response:
        state = await self._system.runtime.state(str(request.path_params["session_id"]))
        turns = transcript(await self._all_records(state.session_id))
        hidden = 0 if "all" in request.query_params else max(0, len(turns) - _TURNS_SHOWN)
        waiting = [
            {
                "call_id": call.call_id,
                "approval_id": call.approval_id or "",
                "tool_name": call.tool_name,
                "explanation": call.explanation,
                "arguments": as_text(call.arguments),
                "phase": call.phase,
            }
            for call in state.calls
        ]
        return page(
            "session.html",
            _title(state),
            "/",
            http_status=http_status,
            problem=problem,
            refresh_s=_REFRESH_S if state.status == "running" else 0,
            session_id=state.session_id,
            status=state.status,
            tone=_TONES[state.status],
            is_quiet=state.status == "running" and self._system.clock.now_us() - state.updated_us > _QUIET_US,
            head=state.head,
            turns=turns[hidden:],
            hidden=hidden,
            doubts=[call for call in waiting if call["phase"] == "in_doubt"],
            approvals=[call for call in waiting if call["phase"] == "awaiting_approval"],
        )

    async def act(self, request: Request) -> Response:
        """A person's form: a message, a decision, a cancel."""
        session_id, action = str(request.path_params["session_id"]), request.path_params["action"]
        runtime = self._system.runtime
        form = await _form(request)
        try:
            if action == "runs":
                await runtime.start(session_id, form.get("objective", ""))
            elif action == "resume":
                await runtime.recover(session_id)
            elif action == "cancel":
                await runtime.cancel(session_id)
            elif action == "approval":
                verdict = form.get("decision", "")
                if verdict not in ("approved", "denied"):
                    raise InvalidInputError("The decision must be approved or denied.")
                await runtime.resolve_approval(
                    session_id, form.get("approval_id", ""), approved=verdict == "approved", actor="page"
                )
            elif action == "doubt":
                decision = _DECISIONS.get(form.get("decision", ""))
                if decision is None:
                    raise InvalidInputError("The decision must be done, not_done or retry.")
                await runtime.resolve_doubt(session_id, form.get("call_id", ""), decision, actor="page")
            else:
                return Response(status_code=404)
        except LifeError as error:
            return await self._session(request, f"{error.message} [{error.code}]", error.status)
        return RedirectResponse(f"/s/{session_id}#end", 303)

    async def journal(self, request: Request) -> Response:
        """A page of a session's events, as they stand in the journal."""
        state = await self._system.runtime.state(str(request.path_params["session_id"]))
        text = request.query_params.get("after", "0")
        after = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
        query = EventQuery(state.session_id, MAIN_BRANCH, after_sequence=after)
        records = await self._system.journal.read(query, limit=_EVENTS_PER_PAGE)
        last = records[-1].sequence if records else after
        return page(
            "journal.html",
            f"Journal of {_title(state)}",
            "/",
            head=state.head,
            stream=f"{state.session_id}/{state.branch_id}",
            first=records[0].sequence if records else after,
            last=last,
            previous=max(0, after - _EVENTS_PER_PAGE) if after else None,
            following=last if last < state.head else None,
            events=[_event_row(record) for record in records],
        )

    async def ledger(self, _: Request) -> Response:
        """What was earned and spent, and the events that say so."""
        return page("ledger.html", "Ledger", "/ledger", books=await ledger_view.read_books(self._system))

    async def identity(self, _: Request) -> Response:
        """Who the agent is. Public facts only."""
        identity = self._system.identity
        origin = identity.soul.origin
        facts = [
            ("Name", origin.name),
            ("Mission", origin.mission),
            ("DID", identity.did),
            ("Agent id", identity.agent_id),
            ("Wallet", f"{identity.wallet.address} on {identity.wallet.chain}"),
            ("Custody", _custody(identity)),
            ("Soul hash", identity.soul.soul_hash),
            ("Born", origin.created_at),
        ]
        return page("identity.html", "Identity", "/identity", facts=facts)

    async def system(self, _: Request) -> Response:
        """How the daemon is doing."""
        settings = self._system.settings
        streams = await self._system.journal.streams()
        uptime_s = (self._system.clock.monotonic_us() - self._started_us) // 1_000_000
        facts = [
            ("Version", life.__version__),
            ("Up for", f"{uptime_s // 3600} h {uptime_s // 60 % 60} min {uptime_s % 60} s"),
            ("Data directory", str(self._system.data.root.resolve())),
            ("Journal", f"{len(streams)} streams, verified at start"),
            ("Journal", settings.journal.engine),
            ("Journal writer", settings.daemon.journal_writer),
            ("Model", settings.model.provider),
            ("Payments", f"{'on' if settings.payments.enabled else 'off'}, network {settings.payments.network}"),
        ]
        return page("system.html", "System", "/system", facts=facts)

    async def _all_records(self, session_id: str) -> list[EventRecord]:
        records: list[EventRecord] = []
        while True:
            query = EventQuery(session_id, MAIN_BRANCH, after_sequence=len(records))
            following = await self._system.journal.read(query, limit=2000)
            records += following
            if len(following) < 2000:
                return records


def _for_people(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """What Life raised on purpose becomes a page that says so."""

    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except LifeError as error:
            problem = f"{error.message} [{error.code}]"
            return page("layout.html", "That did not work", request.url.path, http_status=error.status, problem=problem)

    return answered


def _custody(identity: Identity) -> str:
    """Who holds the keys, and where their seed is when they have one here."""
    sealed = f", seed sealed in {identity.seed_path.name}" if identity.custody == "in_process" else ""
    return identity.custody + sealed


def _title(state: SessionState) -> str:
    return state.name or state.session_id


def _event_row(record: EventRecord) -> dict[str, object]:
    kind = record.kind
    name = kind.event_type if isinstance(kind, Custom) and record.kind_name == "Custom" else record.kind_name
    content = record.payload.decode()
    return {
        "sequence": record.sequence,
        "time": short_time(record.timestamp_us),
        "kind": name,
        "summary": _summary(content, record.kind_name),
        "content": content,
        "digest": record.digest or "",
    }


def _summary(content: str, kind_name: str) -> str:
    """The content's beginning without the tag, which has a column of its own."""
    text = content.replace(f'{{"type":"{kind_name}",', "{", 1).replace(f'{{"type":"{kind_name}"}}', "{}", 1)
    return text if len(text) <= 120 else text[:119] + "…"


async def _form(request: Request) -> dict[str, str]:
    """The fields of a urlencoded form; the last one wins."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > _MAX_FORM_BYTES:
            raise InvalidInputError("The form is too large.")
    try:
        fields = parse_qs(raw.decode(errors="replace"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise InvalidInputError("The form has too many fields.") from None
    return {name: values[-1] for name, values in fields.items()}
