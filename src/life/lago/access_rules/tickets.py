"""Approvals: what a rule wants a person to decide, and what was decided.

A ticket is an ApprovalRequested in `lago:policy`. It belongs to one request: subject, tool, session and arguments, by their hash. Once
approved it lets that request through once; a claim under a derived id makes sure of that.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, Literal

import msgspec

from life.aios.events import ApprovalRequested, ApprovalResolved
from life.aios.events.codec import read_custom
from life.aios.record import EventRecord, Stream
from life.lago.access_rules.conditions import Request

POLICY_STREAM: Final = Stream("lago:policy")
TICKET_USED: Final = "lago.approval_used"

TicketState = Literal["waiting", "approved", "denied", "timeout", "used"]


class TicketUsed(msgspec.Struct, frozen=True, kw_only=True):
    """The approval let its request through."""

    approval_id: str


class Ticket(msgspec.Struct, kw_only=True):
    """One approval and how it stands."""

    approval_id: str
    subject: str
    tool_name: str
    session_id: str
    request_hash: str
    risk: str
    asked_at_us: int
    state: TicketState = "waiting"
    reason: str | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an ApprovalRequested of ours carries as arguments."""

    subject: str
    session_id: str
    request_hash: str


def request_hash(request: Request) -> str:
    """What makes two requests the same one."""
    told = [request.subject, request.tool_name, request.session_id, request.arguments]
    return sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()


class Tickets:
    """All tickets, folded from `lago:policy`."""

    def __init__(self) -> None:
        self.by_id: dict[str, Ticket] = {}
        self.sequence = 0

    def apply(self, record: EventRecord) -> None:
        """Fold one event of `lago:policy` in."""
        self.sequence = record.sequence
        match record.kind:
            case ApprovalRequested() as kind:
                try:
                    asked = msgspec.convert(kind.arguments, Asked)
                except msgspec.ValidationError:
                    return
                self.by_id[kind.approval_id] = Ticket(
                    approval_id=kind.approval_id,
                    subject=asked.subject,
                    tool_name=kind.tool_name,
                    session_id=asked.session_id,
                    request_hash=asked.request_hash,
                    risk=kind.risk,
                    asked_at_us=record.timestamp_us,
                )
            case ApprovalResolved() as kind:
                ticket = self.by_id.get(kind.approval_id)
                if ticket is not None and ticket.state == "waiting":
                    ticket.state, ticket.reason = kind.decision, kind.reason
            case other:
                used = read_custom(other, TICKET_USED, TicketUsed)
                if used is not None and used.approval_id in self.by_id:
                    self.by_id[used.approval_id].state = "used"
