"""Payments that wait for a person (HM-POL): the fold of their tickets, and the desk where people decide.

    pending ─┬─ granted ── used        by one reservation of exactly the asked terms
             ├─ refused
             └─ expired                nobody decided, or the grant was not used, in time

A ticket is bound to wallet, network, token, payee, exact amount and request (method, URL and body). A grant replaces the last
step of the policy and nothing else: caps, lists and modes are asked again when the payment is reserved. It is good once; it
comes back only when the payment never left this process.

Everything is in the wallet's own stream, so questions, answers and what was done with them survive any process, and every
process that shares the journal sees the same queue.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from life.aios.errors import InvalidInputError, NotFoundError
from life.haima.errors import ApprovalDecidedError
from life.haima.events import ApprovalExpired, ApprovalRequested, ApprovalResolved

APPROVAL_LIFETIME_S: Final = 900
"""How long a question to a person, and then the grant, stays good, unless the payer is made with another time."""

MAX_PENDING: Final = 256
"""How many questions of one wallet may wait at once: a payee that asks for ever other amounts must not flood people."""

KEPT_TICKETS: Final = 512
"""How many tickets stay in memory. What is pending or granted stays in any case."""

TicketState = Literal["pending", "granted", "refused", "used", "expired"]


class Ticket(NamedTuple):
    """A payment that waits for a person, or was granted or refused by one."""

    request: ApprovalRequested
    state: TicketState
    expires_at_us: int
    asked_at_us: int = 0
    decided_at_us: int | None = None
    by: str | None = None
    reason: str | None = None
    payment_id: str | None = None
    """The one payment that used the grant."""

    @property
    def ticket_id(self) -> str:
        """The id people name it by."""
        return self.request.ticket_id

    def at(self, now_us: int) -> TicketState:
        """Its state at this time: what waits too long is expired, also before anybody wrote that down."""
        if self.state in ("pending", "granted") and now_us >= self.expires_at_us:
            return "expired"
        return self.state


class TicketBook:
    """The tickets of one wallet. `changes` of the fold are (ticket id, what stood there before)."""

    def __init__(self) -> None:
        self._tickets: dict[str, Ticket] = {}
        self._alive: dict[str, list[str]] = {}
        """Ids of pending and granted tickets by the digest of their terms."""

    # --- reading --------------------------------------------------------------------------------------------------

    def all(self) -> list[Ticket]:
        """Every ticket in memory, oldest first."""
        return sorted(self._tickets.values(), key=_age)

    def get(self, ticket_id: str) -> Ticket | None:
        """One ticket."""
        return self._tickets.get(ticket_id)

    def find(self, terms_digest: str, state: Literal["pending", "granted"], *, now_us: int) -> Ticket | None:
        """An unexpired ticket in this state for exactly these terms, the oldest first."""
        for ticket_id in self._alive.get(terms_digest, ()):
            ticket = self._tickets[ticket_id]
            if ticket.state == state and now_us < ticket.expires_at_us:
                return ticket
        return None

    def pending(self, now_us: int) -> int:
        """How many questions wait."""
        return sum(
            self._tickets[ticket_id].at(now_us) == "pending" for ids in self._alive.values() for ticket_id in ids
        )

    def overdue(self, now_us: int) -> list[Ticket]:
        """What is expired and not written down as that."""
        return [
            ticket
            for ids in self._alive.values()
            for ticket_id in ids
            if (ticket := self._tickets[ticket_id]).at(now_us) == "expired"
        ]

    def summary(self) -> dict[str, Ticket]:
        """All tickets by id, for comparing folds."""
        return self._tickets

    # --- folding --------------------------------------------------------------------------------------------------

    def ask(self, event: ApprovalRequested, timestamp_us: int) -> list[tuple[str, Ticket | None]]:
        """A question was put."""
        if event.ticket_id in self._tickets:
            return []
        changes = [self._put(event.ticket_id, Ticket(event, "pending", event.expires_at_us, timestamp_us))]
        if len(self._tickets) > KEPT_TICKETS:
            over = [ticket for ticket in self.all() if ticket.state not in ("pending", "granted")]
            changes += [self._put(ticket.ticket_id, None) for ticket in over[: len(self._tickets) - KEPT_TICKETS]]
        return changes

    def resolve(self, event: ApprovalResolved, timestamp_us: int) -> list[tuple[str, Ticket | None]]:
        """A person decided. The first decision stands."""
        ticket = self._tickets.get(event.ticket_id)
        if ticket is None or ticket.state != "pending":
            return []
        decided = ticket._replace(
            state="granted" if event.approved else "refused",
            expires_at_us=event.expires_at_us,
            decided_at_us=timestamp_us,
            by=event.by,
            reason=event.reason,
        )
        return [self._put(event.ticket_id, decided)]

    def expire(self, event: ApprovalExpired) -> list[tuple[str, Ticket | None]]:
        """Its time is over."""
        ticket = self._tickets.get(event.ticket_id)
        if ticket is None or ticket.state not in ("pending", "granted"):
            return []
        return [self._put(event.ticket_id, ticket._replace(state="expired"))]

    def use(self, ticket_id: str, payment_id: str) -> list[tuple[str, Ticket | None]]:
        """A payment was reserved under this grant."""
        ticket = self._tickets.get(ticket_id)
        if ticket is None:
            return []
        return [self._put(ticket_id, ticket._replace(state="used", payment_id=payment_id))]

    def give_back(self, ticket_id: str, payment_id: str) -> list[tuple[str, Ticket | None]]:
        """That payment never left: the grant is good again."""
        ticket = self._tickets.get(ticket_id)
        if ticket is None or ticket.state != "used" or ticket.payment_id != payment_id:
            return []
        return [self._put(ticket_id, ticket._replace(state="granted", payment_id=None))]

    def take_back(self, ticket_id: str, before: Ticket | None) -> None:
        """Undo one change, the newest that stands."""
        self._put(ticket_id, before)

    def _put(self, ticket_id: str, ticket: Ticket | None) -> tuple[str, Ticket | None]:
        before = self._tickets.get(ticket_id)
        self._list(before, ticket)
        if ticket is None:
            del self._tickets[ticket_id]
        else:
            self._tickets[ticket_id] = ticket
        return ticket_id, before

    def _list(self, before: Ticket | None, after: Ticket | None) -> None:
        was, now = _is_alive(before), _is_alive(after)
        ticket = after or before
        if was == now or ticket is None:
            return
        ids = self._alive.setdefault(ticket.request.terms_digest, [])
        if now:
            ids.append(ticket.ticket_id)
            ids.sort()
        else:
            ids.remove(ticket.ticket_id)
            if not ids:
                del self._alive[ticket.request.terms_digest]


MAX_REASON_CHARS: Final = 500


def decision(
    ticket: Ticket | None,
    ticket_id: str,
    *,
    approved: bool,
    by: str | None,
    reason: str | None,
    now_us: int,
    lifetime_s: int = APPROVAL_LIFETIME_S,
) -> ApprovalResolved | None:
    """The event of a person's decision; None when exactly this was decided before.

    NotFoundError when there is no such ticket, ApprovalDecidedError when it was decided otherwise, used, or its time is over;
    InvalidInputError for words that are too long.
    """
    if (reason is not None and len(reason) > MAX_REASON_CHARS) or (by is not None and len(by) > MAX_REASON_CHARS):
        raise InvalidInputError(f"A reason has at most {MAX_REASON_CHARS} characters.")
    if ticket is None:
        raise NotFoundError("There is no open question with this id.", details={"ticket_id": ticket_id})
    state = ticket.at(now_us)
    if state == ("granted" if approved else "refused"):
        return None
    if state != "pending":
        raise ApprovalDecidedError(
            f"This question can't be decided any more: it is {state}.",
            next_step="Let the payer ask again." if state == "expired" else None,
            details={"ticket_id": ticket_id, "state": state},
        )
    return ApprovalResolved(
        ticket_id=ticket_id, approved=approved, expires_at_us=now_us + lifetime_s * 1_000_000, by=by, reason=reason
    )


def check_decided(ticket: Ticket | None, ticket_id: str, *, approved: bool) -> Ticket:
    """The ticket after a decision was stored; ApprovalDecidedError when somebody decided otherwise at the same moment."""
    if ticket is None or ticket.state not in (("granted", "used") if approved else ("refused",)):
        raise ApprovalDecidedError("Somebody decided otherwise at the same moment.", details={"ticket_id": ticket_id})
    return ticket


def _is_alive(ticket: Ticket | None) -> bool:
    return ticket is not None and ticket.state in ("pending", "granted")


def _age(ticket: Ticket) -> tuple[int, str]:
    return ticket.asked_at_us, ticket.ticket_id
