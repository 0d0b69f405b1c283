"""The inbox: calls and payments that wait for a person, decided by plain forms. The decision itself is the runtime's and the desk's."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.ids import MAIN_BRANCH
from life.arcan.approvals import Edited, PendingApproval
from life.arcan.session_state import CallState
from life.haima.approvals import Ticket
from life.host.pages.areas.room import Place, Room, back_to
from life.host.pages.listing import listed
from life.host.pages.parts import Block, Button, Card, Choice, Column, Fact, Field, Form, Note, Row, Tab, View
from life.host.pages.transcript import as_text
from life.host.pages.visit import Visit
from life.host.pages.words import Words

_MOST_CARDS = 50
_STATES = ("pending", "granted", "refused", "used", "expired")


class InboxPages:
    """The handlers."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def places(self) -> list[Place]:
        """The addresses."""
        return [
            Place("/inbox", self.inbox),
            Place("/inbox/payments", self.payments),
            Place("/inbox/calls/{approval_id}", self.decide_call, "POST"),
            Place("/inbox/payments/{ticket_id}", self.decide_payment, "POST"),
        ]

    async def inbox(self, visit: Visit) -> View:
        """What waits, oldest first."""
        say = visit.say
        calls = await self._room.system.runtime.pending_approvals()
        tickets = (await self._room.approvals.page(limit=500)).tickets
        blocks: list[Block] = [self._call(say, call) for call in calls[:_MOST_CARDS]]
        blocks += [self._ticket(say, ticket) for ticket in tickets[:_MOST_CARDS]]
        doubts = await self._doubts()
        blocks += [self._doubt(say, session_id, call) for session_id, call in doubts]
        hidden = max(0, len(calls) - _MOST_CARDS) + max(0, len(tickets) - _MOST_CARDS)
        if hidden:
            blocks.append(Note(say("{hidden} more wait; they come up when these are decided.", hidden=hidden)))
        rows: list[Row] = [
            {
                "what": "call",
                "name": call.tool_name,
                "session": call.session_id,
                "asked": call.asked_us,
                "arguments": as_text(call.arguments),
            }
            for call in calls
        ]
        rows += [
            {
                "what": "payment",
                "name": ticket.request.resource_url,
                "session": ticket.request.session_id,
                "asked": ticket.asked_at_us,
                "arguments": ticket.request.payee,
                "amount": ticket.request.amount_micro,
            }
            for ticket in tickets
        ]
        rows += [
            {
                "what": "doubt",
                "name": call.tool_name,
                "session": session_id,
                "asked": call.asked_us or None,
                "arguments": as_text(call.arguments),
            }
            for session_id, call in doubts
        ]
        columns = [
            Column("what", say("What"), "tag"),
            Column("name", say("Name")),
            Column("amount", say("Amount"), "money"),
            Column("session", say("Session"), "code", href=lambda row: f"/s/{row['session']}"),
            Column("asked", say("Asked (UTC)"), "time"),
            Column("arguments", say("Arguments"), "code", shown=False),
        ]
        table = listed(
            visit.query, columns, rows, empty=say("Nothing waits for you."), title=say("All that waits"), searches=False
        )
        return View(
            say("Inbox"),
            [*blocks, table],
            "haima approvals list",
            tabs=_tabs(say),
            lead=say("What you decide here is written to the journal before anything runs."),
        )

    async def _doubts(self) -> list[tuple[str, CallState]]:
        """Calls of open runs whose effect nobody knows, of the newest sessions."""
        runtime, found = self._room.system.runtime, []
        for summary in [each for each in await runtime.sessions() if each.state == "open"][:_MOST_CARDS]:
            state = await runtime.state(summary.session_id)
            found += [(state.session_id, call) for call in state.calls if call.phase == "in_doubt"]
        return found

    def _doubt(self, say: Words, session_id: str, call: CallState) -> Card:
        facts = [
            Fact(say("Session"), session_id, "code", f"/s/{session_id}"),
            Fact(say("Why"), call.explanation),
            Fact(say("Decide"), say("in the session"), href=f"/s/{session_id}#end"),
        ]
        return Card(call.tool_name, facts, as_text(call.arguments), tone="wait", tag=say("in doubt"))

    def _call(self, say: Words, call: PendingApproval) -> Card:
        action = f"/inbox/calls/{call.approval_id}"
        place = [
            Field("session", "", "hidden", call.session_id),
            Field("branch", "", "hidden", call.branch),
        ]
        arguments = as_text(call.arguments)
        facts = [
            Fact(say("Session"), call.session_id, "code", f"/s/{call.session_id}"),
            Fact(say("Risk"), call.risk, "tag", tone="bad" if call.risk in ("high", "critical") else ""),
            Fact(say("Needs"), call.capabilities, "code"),
            Fact(say("Asked (UTC)"), call.asked_us, "time"),
            Fact(say("Counts as refused after (UTC)"), call.expires_us, "time"),
        ]
        forms = [
            Form(
                action,
                [
                    Button(say("Approve this call"), "decision", "approve"),
                    Button(say("Allow for this session"), "decision", "session", quiet=True),
                ],
                place,
            ),
            Form(
                action,
                [Button(say("Refuse"), "decision", "refuse", quiet=True)],
                [*place, Field("reason", say("Reason, which the agent is told"), most=2_000)],
                title=say("Refuse, with a reason"),
            ),
            Form(
                action,
                [Button(say("Approve as edited"), "decision", "edit")],
                [*place, Field("arguments", say("Arguments (JSON)"), "area", arguments, most=200_000)],
                title=say("Edit, then approve"),
                note=say("Edited arguments pass the policy again."),
            ),
        ]
        return Card(
            call.tool_name, [fact for fact in facts if fact.value], arguments, forms, "wait", tag=say("tool call")
        )

    def _ticket(self, say: Words, ticket: Ticket) -> Card:
        asked, action = ticket.request, f"/inbox/payments/{ticket.ticket_id}"
        facts = [
            Fact(say("Amount"), asked.amount_micro, "money"),
            Fact(say("For"), asked.resource_url),
            Fact(say("Payee"), asked.payee, "code"),
            Fact(say("Network"), asked.network, "code"),
            Fact(say("Why you are asked"), asked.reason or asked.code),
            Fact(say("Expected"), asked.expected),
            Fact(say("Session"), asked.session_id, "code", f"/s/{asked.session_id}"),
            Fact(say("Asked (UTC)"), ticket.asked_at_us, "time"),
            Fact(say("Expires (UTC)"), ticket.expires_at_us, "time"),
        ]
        forms = [
            Form(
                action,
                [Button(say("Approve this payment"), "decision", "approve")],
                note=say("One payment of exactly these terms, if every cap still allows it."),
            ),
            Form(
                action,
                [Button(say("Refuse"), "decision", "refuse", quiet=True)],
                [Field("reason", say("Reason"), most=2_000)],
                title=say("Refuse, with a reason"),
            ),
        ]
        return Card(say("Payment"), [fact for fact in facts if fact.value], "", forms, "wait", tag=say("payment"))

    async def payments(self, visit: Visit) -> View:
        """Every question about a payment, and what became of it."""
        say, now_us = visit.say, self._room.system.clock.now_us()
        tickets: list[Ticket] = []
        cursor: str | None = None
        while True:
            found = await self._room.approvals.page(state="all", after=cursor, limit=500)
            tickets += found.tickets
            cursor = found.next_cursor
            if cursor is None:
                break
        rows: list[Row] = [
            {
                "state": ticket.at(now_us),
                "amount": ticket.request.amount_micro,
                "resource": ticket.request.resource_url,
                "payee": ticket.request.payee,
                "asked": ticket.asked_at_us,
                "by": ticket.by,
                "reason": ticket.reason,
                "ticket_id": ticket.ticket_id,
            }
            for ticket in reversed(tickets)
        ]
        columns = [
            Column("state", say("State"), "tag"),
            Column("amount", say("Amount"), "money"),
            Column("resource", say("For")),
            Column("payee", say("Payee"), "code"),
            Column("asked", say("Asked (UTC)"), "time"),
            Column("by", say("Decided by")),
            Column("reason", say("Reason")),
            Column("ticket_id", say("Id"), "code", shown=False),
        ]
        choice = Choice("state", say("State"), [(name, say.known(name)) for name in _STATES])
        table = listed(visit.query, columns, rows, empty=say("No payment was ever asked about."), choices=[choice])
        return View(say("Questions about payments"), [table], "haima approvals list --state all", tabs=_tabs(say))

    async def decide_call(self, visit: Visit) -> Response:
        """Approve, allow for the session, edit or refuse one call."""
        form = await visit.form()
        session_id, branch = form.get("session", ""), form.get("branch", "") or MAIN_BRANCH
        approval_id, decision = visit.part("approval_id"), form.get("decision", "")
        runtime = self._room.system.runtime
        if decision == "approve":
            await runtime.resolve_approval(session_id, approval_id, approved=True, actor="page", branch=branch)
        elif decision == "session":
            await runtime.resolve_approval(
                session_id, approval_id, approved=True, actor="page", branch=branch, scope="session"
            )
        elif decision == "edit":
            edited = Edited(_json(form.get("arguments", "")))
            await runtime.resolve_approval(
                session_id, approval_id, approved=True, actor="page", branch=branch, edited=edited
            )
        elif decision == "refuse":
            reason = form.get("reason", "").strip() or None
            await runtime.resolve_approval(
                session_id, approval_id, approved=False, actor="page", branch=branch, reason=reason
            )
        else:
            raise InvalidInputError("The decision must be approve, session, edit or refuse.")
        return back_to("/inbox")

    async def decide_payment(self, visit: Visit) -> Response:
        """Approve or refuse one payment."""
        form = await visit.form()
        decision = form.get("decision", "")
        if decision not in ("approve", "refuse"):
            raise InvalidInputError("The decision must be approve or refuse.")
        await self._room.approvals.decide(
            visit.part("ticket_id"),
            approved=decision == "approve",
            by="page",
            reason=form.get("reason", "").strip() or None,
        )
        return back_to("/inbox")


def _json(text: str) -> msgspec.Raw:
    try:
        value: msgspec.Raw = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidInputError("The edited arguments are not JSON.", next_step="Go back and look at them.") from None
    return value


def _tabs(say: Words) -> tuple[Tab, ...]:
    return (Tab(say("Waiting"), "/inbox"), Tab(say("Payments"), "/inbox/payments"))
