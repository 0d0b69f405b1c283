"""Sessions: the overview, the list, a conversation with what waits in it, and its events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final, Literal

from starlette.responses import Response

from life.aios.errors import InvalidInputError, LifeError
from life.aios.events import Custom
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord
from life.arcan.session_state import SessionState
from life.arcan.sessions import SessionSummary
from life.host.pages.areas.room import Place, Room, back_to
from life.host.pages.listing import address, listed, number
from life.host.pages.parts import Block, Button, Choice, Column, Fact, Facts, Field, Form, Note, Row, Table, Tone, View
from life.host.pages.rendering import page
from life.host.pages.transcript import as_text, transcript
from life.host.pages.visit import Visit
from life.host.pages.words import Words

_EVENTS_PER_PAGE: Final = 200
_TURNS_SHOWN: Final = 200
"""Of a long conversation the end is shown; a link shows all of it."""
_REFRESH_S: Final = 2
_QUIET_US: Final = 30_000_000
"""After so long without an event a running run is offered to be taken up: perhaps a full disk cut it off."""
_RECENT: Final = 8
_DECISIONS: Final[Mapping[str, Literal["done", "not_done", "retry"]]] = {
    "done": "done",
    "not_done": "not_done",
    "retry": "retry",
}
TONES: Final[Mapping[str, Tone]] = {
    "running": "wait",
    "paused": "wait",
    "waiting": "wait",
    "in_doubt": "wait",
    "open": "wait",
    "idle": "good",
    "closed": "",
}


class SessionPages:
    """The handlers."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._system = room.system

    def places(self) -> list[Place]:
        """The addresses."""
        return [
            Place("/", self.overview),
            Place("/sessions", self.sessions),
            Place("/sessions", self.new_session, "POST"),
            Place("/s/{session_id}", self.session),
            Place("/s/{session_id}/journal", self.journal),
            Place("/s/{session_id}/{action}", self.act, "POST"),
        ]

    async def overview(self, visit: Visit) -> View:
        """How things stand, what the next useful step is, the form that starts a session, and the newest sessions."""
        say, system = visit.say, self._system
        summaries = await system.runtime.sessions()
        calls = len(await system.runtime.pending_approvals())
        payments = len((await self._room.approvals.page(limit=500)).tickets)
        figures = [
            Fact(say("Sessions"), len(summaries), "number", "/sessions"),
            Fact(say("Wait for you"), calls + payments, "number", "/inbox"),
            Fact(say("Mode of means"), system.autonomic.mode(), "tag", "/autonomic"),
            Fact(say("Model"), system.settings.model.provider, "code", "/system/models"),
        ]
        blocks: list[Block] = [Facts(figures, figures=True)]
        if calls + payments:
            blocks.append(
                Note(say("Somebody waits for your decision."), "wait", href="/inbox", link=say("Open the inbox"))
            )
        elif not summaries:
            blocks.append(
                Note(
                    say("Nothing has happened here yet. Say what the agent should do, or watch a demonstration."),
                    href="/workspace",
                    link=say("Demonstrations"),
                )
            )
        blocks.append(_new_session(say))
        rows = [_summary(summary) for summary in summaries[:_RECENT]]
        table = Table(
            columns=_columns(say),
            rows=rows,
            every=rows,
            empty=say("No sessions yet. Every session you start is kept in the journal."),
            title=say("Newest sessions"),
            searches=False,
        )
        return View(say("Overview"), [*blocks, table], "life status")

    async def sessions(self, visit: Visit) -> View:
        """All sessions, newest first."""
        say = visit.say
        rows = [_summary(summary) for summary in await self._system.runtime.sessions()]
        state = Choice("state", say("State"), [(name, say.known(name)) for name in ("idle", "open", "closed")])
        table = listed(
            visit.query,
            _columns(say),
            rows,
            empty=say("No sessions yet. Every session you start is kept in the journal."),
            choices=[state],
        )
        return View(say("Sessions"), [_new_session(say), table], "arcan session list")

    async def new_session(self, visit: Visit) -> Response:
        """Start a session with its first objective, then show it. (Programs post JSON to the same address.)"""
        form = await visit.form()
        objective = form.get("objective", "")
        if not objective.strip():
            raise InvalidInputError("The objective is empty.")
        state = await self._system.runtime.create_session(
            name=" ".join(objective.split())[:80], provider=form.get("provider", "").strip()
        )
        await self._system.runtime.start(state.session_id, objective)
        return back_to(f"/s/{state.session_id}")

    async def session(self, visit: Visit) -> Response:
        """One session: the conversation, what waits for a decision, and the next message."""
        return await self._session(visit)

    async def _session(self, visit: Visit, problem: str = "", status: int = 200) -> Response:
        state = await self._system.runtime.state(visit.part("session_id"))
        turns = transcript(await self._all_records(state.session_id))
        hidden = 0 if "all" in visit.query else max(0, len(turns) - _TURNS_SHOWN)
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
            visit,
            "session.html",
            title_of(state),
            status=status,
            problem=problem,
            command=f"arcan session show {state.session_id}",
            refresh_s=_REFRESH_S if state.status == "running" else 0,
            session_id=state.session_id,
            status_word=state.status,
            tone=TONES[state.status],
            is_quiet=state.status == "running" and self._system.clock.now_us() - state.updated_us > _QUIET_US,
            head=state.head,
            turns=turns[hidden:],
            hidden=hidden,
            doubts=[call for call in waiting if call["phase"] == "in_doubt"],
            approvals=[call for call in waiting if call["phase"] == "awaiting_approval"],
        )

    async def act(self, visit: Visit) -> Response:
        """A person's form: a message, a decision, a cancel."""
        session_id, action = visit.part("session_id"), visit.part("action")
        runtime = self._system.runtime
        form = await visit.form()
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
            return await self._session(visit, f"{error.message} [{error.code}]", error.status)
        return back_to(f"/s/{session_id}#end")

    async def journal(self, visit: Visit) -> View:
        """A page of a session's events, as they stand in the journal."""
        say = visit.say
        state = await self._system.runtime.state(visit.part("session_id"))
        branch = visit.query.get("branch", MAIN_BRANCH)[:255]
        head = (await self._system.journal.head((await self._branch(state.session_id, branch)).stream)).sequence
        after = number(visit.query.get("after"), 0)
        query = EventQuery(state.session_id, branch, after_sequence=after)
        records = await self._system.journal.read(query, limit=_EVENTS_PER_PAGE)
        last = records[-1].sequence if records else after
        kept = {"branch": branch} if branch != MAIN_BRANCH else {}
        table = Table(
            columns=event_columns(say),
            rows=[event_row(record) for record in records],
            every=[],
            empty=say("There are no events after this one."),
            searches=False,
            previous=address(kept, after=max(0, after - _EVENTS_PER_PAGE)) if after else "",
            following=address(kept, after=last) if last < head else "",
            stream=lambda: self._rows(state.session_id, branch),
        )
        facts = Facts(
            [
                Fact(say("Session"), title_of(state), href=f"/s/{state.session_id}"),
                Fact(say("Branch"), branch, "code"),
                Fact(say("Events"), head, "number"),
            ]
        )
        note = Note(say("Each digest covers the event and the digest before it."))
        return View(
            say("Journal of {name}", name=title_of(state)),
            [facts, table, note],
            f"lago journal tail --session {state.session_id}",
        )

    async def _branch(self, session_id: str, branch: str) -> EventRecord:
        """The first event of a branch; InvalidInputError for one that there is not."""
        found = await self._system.journal.read(EventQuery(session_id, branch), limit=1)
        if not found:
            raise InvalidInputError("The session has no such branch.")
        return found[0]

    async def _rows(self, session_id: str, branch: str) -> AsyncIterator[Row]:
        after = 0
        while records := await self._system.journal.read(
            EventQuery(session_id, branch, after_sequence=after), limit=2000
        ):
            for record in records:
                yield event_row(record)
            after = records[-1].sequence

    async def _all_records(self, session_id: str) -> list[EventRecord]:
        records: list[EventRecord] = []
        while True:
            query = EventQuery(session_id, MAIN_BRANCH, after_sequence=len(records))
            following = await self._system.journal.read(query, limit=2000)
            records += following
            if len(following) < 2000:
                return records


def title_of(state: SessionState) -> str:
    """The session's name, or its id."""
    return state.name or state.session_id


def event_columns(say: Words) -> list[Column]:
    """What a list of events shows."""
    return [
        Column("sequence", say("Sequence"), "number"),
        Column("time", say("Time (UTC)"), "time"),
        Column("kind", say("Kind"), "code"),
        Column("actor", say("Actor")),
        Column("content", say("Content"), "fold"),
        Column("event_id", say("Event"), "code", shown=False),
        Column("digest", say("Digest"), "code", shown=False),
        Column("short", say("Digest"), "code"),
    ]


def event_row(record: EventRecord) -> Row:
    """One event as a row."""
    kind = record.kind
    name = kind.event_type if isinstance(kind, Custom) and record.kind_name == "Custom" else record.kind_name
    return {
        "sequence": record.sequence,
        "time": record.timestamp_us,
        "kind": name,
        "actor": record.actor.type,
        "content": record.payload.decode(),
        "event_id": record.event_id,
        "digest": record.digest or "",
        "short": (record.digest or "")[:8],
    }


def _new_session(say: Words) -> Form:
    return Form(
        "/sessions",
        [Button(say("Start a session"))],
        [Field("objective", say("What should the agent do?"), "area", required=True)],
    )


def _columns(say: Words) -> list[Column]:
    return [
        Column("name", say("Session"), href=lambda row: f"/s/{row['session_id']}"),
        Column("session_id", say("Id"), "code", shown=False),
        Column("state", say("State"), "tag", tone=lambda row: TONES.get(str(row["state"]), "")),
        Column("owner", say("Owner")),
        Column("events", say("Events"), "number", href=lambda row: f"/s/{row['session_id']}/journal"),
        Column("created", say("Begun (UTC)"), "time"),
        Column("updated", say("Last event (UTC)"), "time"),
    ]


def _summary(summary: SessionSummary) -> Row:
    return {
        "name": summary.name or summary.session_id,
        "session_id": summary.session_id,
        "state": summary.state,
        "owner": summary.owner,
        "events": summary.head,
        "created": summary.created_us,
        "updated": summary.updated_us,
    }
