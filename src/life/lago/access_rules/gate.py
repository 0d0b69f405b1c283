"""The gate: evaluate a request, journal the decision, ask a person where a rule says so, tell who wants to be told.

Decisions are PolicyEvaluated events of the stream `lago:policy`, flushed before the request goes on. Allowed requests that only read are
journaled when the policy says `journal_reads = true`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, cast

import msgspec

from life.aios.errors import ConflictError, InvalidInputError, NotFoundError
from life.aios.events import ApprovalRequested, ApprovalResolved, Custom, Kind, PolicyEvaluated
from life.aios.events.codec import custom
from life.aios.ids import derived_event_id, new_id
from life.aios.json import Json
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import Actor, EventWriter, NewEvent, Stream
from life.aios.state import RiskLevel
from life.lago.access_rules.conditions import RISKS, Request, matches
from life.lago.access_rules.engine import OPERATOR, PolicyEngine, Verdict
from life.lago.access_rules.rules import Hook, Log, Notify, Rules
from life.lago.access_rules.tickets import (
    POLICY_STREAM,
    TICKET_USED,
    Asked,
    Ticket,
    Tickets,
    TicketUsed,
    request_hash,
)
from life.lago.errors import ApprovalRequiredError, PolicyDeniedError

NOTIFICATION: Final = "lago.notification"
_log: Final = logging.getLogger(__name__)
_PAGE: Final = 1_000


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """What a Notify hook appends to `lago:notify:<channel>`. `decision` is None before it is known."""

    hook: str
    tool_name: str
    subject: str
    session_id: str
    decision: str | None = None


class PolicyGate:
    """Where every request and every tool call passes. Belongs to one event loop."""

    def __init__(self, rules: Rules, journal: Journal, clock: Clock, entropy: Entropy) -> None:
        self.engine = PolicyEngine(rules)
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._writer = EventWriter(clock, entropy, agent_id="lagod", stream=POLICY_STREAM)
        self._tickets = Tickets()
        self._reading = asyncio.Lock()

    async def check(self, request: Request, *, reads_only: bool = False, approval_id: str | None = None) -> Verdict:
        """The verdict, when it allows the request. PolicyDeniedError; ApprovalRequiredError with the ticket's id, unless
        `approval_id` is that of an approved ticket for this very request."""
        if request.subject == OPERATOR:
            return self.engine.evaluate(request)  # not judged, so there is no decision to journal
        events = self._told(request, "pre", None)
        verdict = self.engine.evaluate(request)
        if verdict.decision == "require_approval" and approval_id is not None:
            events.append(await self._claim(request, approval_id))
            verdict = msgspec.structs.replace(verdict, decision="allow", explanation=f"Approved by {approval_id}.")
        if verdict.decision != "allow" or not reads_only or self.engine.rules.journal_reads:
            events.append(self._writer.event(_evaluated(request, verdict)))
        ticket = None
        if verdict.decision == "require_approval":
            ticket = new_id(self._clock, self._entropy)
            events.append(self._writer.event(_asked(request, ticket)))
        events += self._told(request, "post", verdict)
        if events:
            appended = await self._journal.append(events)
            if approval_id is not None and any(
                each.duplicate
                for each, event in zip(appended, events, strict=True)
                if event.event_id == _use_of(approval_id)
            ):
                raise ConflictError("The approval was used before.", details={"approval_id": approval_id})
        if verdict.decision == "deny":
            raise PolicyDeniedError(verdict.explanation, verdict.rule_id)
        if ticket is not None:
            raise ApprovalRequiredError(verdict.explanation, verdict.rule_id, ticket)
        return verdict

    def explain(self, request: Request) -> Verdict:
        """What `check` would say, and every step to it. Nothing is journaled and nobody told."""
        return self.engine.evaluate(request)

    async def tickets(self) -> list[Ticket]:
        """Every ticket, oldest first."""
        await self._catch_up()
        return list(self._tickets.by_id.values())

    async def resolve(self, approval_id: str, *, approved: bool, reason: str | None, by: str) -> Ticket:
        """Decide a ticket. NotFoundError; ConflictError when it is decided."""
        await self._catch_up()
        ticket = self._tickets.by_id.get(approval_id)
        if ticket is None:
            raise NotFoundError("There is no such approval.", details={"approval_id": approval_id[:64]})
        if ticket.state != "waiting":
            raise ConflictError(f"The approval is {ticket.state} already.", details={"approval_id": approval_id})
        kind = ApprovalResolved(approval_id=approval_id, decision="approved" if approved else "denied", reason=reason)
        event = self._writer.event(
            kind, event_id=derived_event_id("lago.approval_resolved", approval_id), actor=Actor("user", by[:128])
        )
        await self._journal.append([event])  # two people at once: the second is told of a conflict
        await self._catch_up()
        return self._tickets.by_id[approval_id]

    async def _claim(self, request: Request, approval_id: str) -> NewEvent:
        await self._catch_up()
        ticket = self._tickets.by_id.get(approval_id)
        if ticket is None or ticket.request_hash != request_hash(request):
            raise InvalidInputError(
                "The approval is not one of this request.", details={"approval_id": approval_id[:64]}
            )
        if ticket.state != "approved":
            raise ConflictError(f"The approval is {ticket.state}.", details={"approval_id": approval_id})
        used = custom(TICKET_USED, TicketUsed(approval_id=approval_id))
        return self._writer.event(used, event_id=_use_of(approval_id))

    def _told(self, request: Request, phase: str, verdict: Verdict | None) -> list[NewEvent]:
        """Run the hooks of a phase: lines into the log, and the events that tell channels."""
        return [
            event
            for hook in self.engine.rules.hooks
            if hook.phase == phase and matches(hook.condition, request)
            for event in self._run(hook, request, verdict)
        ]

    def _run(self, hook: Hook, request: Request, verdict: Verdict | None) -> list[NewEvent]:
        decision = verdict.decision if verdict is not None else None
        match hook.action:
            case Log():
                _log.info(
                    "policy hook %s: %s (tool %r, subject %r, session %r, decision %s)",
                    hook.name,
                    hook.action.message,
                    request.tool_name[:128],
                    request.subject[:128],
                    request.session_id[:128],
                    decision,
                )
                return []
            case Notify():
                told = Notification(
                    hook=hook.name,
                    tool_name=request.tool_name,
                    subject=request.subject,
                    session_id=request.session_id,
                    decision=decision,
                )
                stream = Stream(f"lago:notify:{hook.action.channel}")
                writer = EventWriter(self._clock, self._entropy, agent_id="lagod", stream=stream)
                return [writer.event(custom(NOTIFICATION, told))]

    async def _catch_up(self) -> None:
        async with self._reading:
            while True:
                query = EventQuery(*POLICY_STREAM, after_sequence=self._tickets.sequence, kinds=_TICKET_KINDS)
                page = await self._journal.read(query, limit=_PAGE)
                for record in page:
                    self._tickets.apply(record)
                if len(page) < _PAGE:
                    return


_TICKET_KINDS: Final = ("ApprovalRequested", "ApprovalResolved", Custom.__name__)


def _evaluated(request: Request, verdict: Verdict) -> Kind:
    who = f"{request.subject}: " if request.subject else ""
    return PolicyEvaluated(
        tool_name=request.tool_name,
        decision=verdict.decision,
        rule_id=verdict.rule_id,
        explanation=who + verdict.explanation,
    )


def _asked(request: Request, ticket: str) -> Kind:
    asked = Asked(subject=request.subject, session_id=request.session_id, request_hash=request_hash(request))
    arguments: Json = msgspec.to_builtins(asked)
    risk = cast(RiskLevel, request.risk) if request.risk in RISKS else "medium"
    return ApprovalRequested(
        approval_id=ticket, call_id=ticket, tool_name=request.tool_name, arguments=arguments, risk=risk
    )


def _use_of(approval_id: str) -> str:
    return derived_event_id(TICKET_USED, approval_id)
