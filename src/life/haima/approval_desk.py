"""Where people decide on payments that wait: every wallet of a journal, without any key.

    desk = ApprovalDesk(journal, clock, entropy, agent_id="operator")
    page = await desk.page(state="pending")
    await desk.decide(page.tickets[0].ticket_id, approved=True, by="ada")

Questions and answers are events in the wallet's own stream (life.haima.approvals). The desk folds those streams as purses do and
appends an answer with the head that it has seen, so that of two contradicting answers one stands and the other is told so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, NamedTuple

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import Stream
from life.haima.approvals import APPROVAL_LIFETIME_S, Ticket, TicketState, check_decided, decision
from life.haima.events import ApprovalExpired, ApprovalRequested, ApprovalResolved, PaymentReserved, read_finance
from life.haima.wallet_log import WalletLog

WALLET_PREFIX = "wallet:"
MAX_PAGE = 500

Listed = Literal["all"] | TicketState


class TicketPage(NamedTuple):
    """Some tickets, oldest first. `next_cursor` is None on the last page."""

    tickets: tuple[Ticket, ...]
    next_cursor: str | None


class ApprovalDesk:
    """The queue of every wallet in a journal. Belongs to one event loop."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        entropy: Entropy,
        *,
        agent_id: str,
        lifetime_s: int = APPROVAL_LIFETIME_S,
    ) -> None:
        """`lifetime_s` is how long a grant is good."""
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._agent_id = agent_id
        self._lifetime_s = lifetime_s
        self._logs: dict[Stream, WalletLog] = {}

    async def page(self, *, state: Listed = "pending", after: str | None = None, limit: int = 50) -> TicketPage:
        """Tickets in this state by the clock, after the one that `after` names. NotFoundError when that one is not there (any
        more); InvalidInputError for a limit that can't be."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInputError(f"A page has 1 to {MAX_PAGE} tickets.")
        tickets = await self._tickets()
        if after is not None:
            place = next((number for number, ticket in enumerate(tickets) if ticket.ticket_id == after), None)
            if place is None:
                raise NotFoundError("The cursor names no ticket.", details={"cursor": after[:64]})
            tickets = tickets[place + 1 :]
        now_us = self._clock.now_us()
        found = [ticket for ticket in tickets if state in ("all", ticket.at(now_us))]
        page = tuple(found[:limit])
        return TicketPage(page, page[-1].ticket_id if len(found) > limit else None)

    async def get(self, ticket_id: str) -> Ticket:
        """One ticket; NotFoundError when there is none."""
        return (await self._find(ticket_id))[1]

    async def decide(
        self, ticket_id: str, *, approved: bool, by: str | None = None, reason: str | None = None
    ) -> Ticket:
        """A person's decision, durable on return; the same one again changes nothing. Errors: see `approvals.decision`."""
        log, ticket = await self._find(ticket_id)
        event = decision(
            ticket,
            ticket_id,
            approved=approved,
            by=by,
            reason=reason,
            now_us=self._clock.now_us(),
            lifetime_s=self._lifetime_s,
        )
        if event is not None:
            await log.record(event)
        return check_decided(log.state.ticket(ticket_id), ticket_id, approved=approved)

    async def watch(self) -> AsyncIterator[Ticket]:
        """Every ticket that waits now, then each one whenever something happens to it, in whatever process, without end."""
        cursor = 0
        while records := await self._journal.read(EventQuery(after_position=cursor, kinds=("Custom",)), limit=10_000):
            cursor = records[-1].position or cursor
        for ticket in (await self.page(limit=MAX_PAGE)).tickets:
            yield ticket
        async for record in self._journal.subscribe(EventQuery(after_position=cursor, kinds=("Custom",))):
            event = read_finance(record)
            if isinstance(event, ApprovalRequested | ApprovalResolved | ApprovalExpired):
                ticket_id: str | None = event.ticket_id
            else:
                ticket_id = event.approval_id if isinstance(event, PaymentReserved) else None
            if ticket_id is not None:
                yield await self.get(ticket_id)

    async def aclose(self) -> None:
        """Store what waits, then stop."""
        for log in self._logs.values():
            await log.aclose()

    # --- inside ---------------------------------------------------------------------------------------------------

    async def _tickets(self) -> list[Ticket]:
        await self._catch_up()
        tickets = [ticket for log in self._logs.values() for ticket in log.state.tickets.all()]
        return sorted(tickets, key=lambda ticket: (ticket.asked_at_us, ticket.ticket_id))

    async def _find(self, ticket_id: str) -> tuple[WalletLog, Ticket]:
        await self._catch_up()
        for log in self._logs.values():
            ticket = log.state.ticket(ticket_id)
            if ticket is not None:
                return log, ticket
        raise NotFoundError("There is no question with this id.", details={"ticket_id": ticket_id[:64]})

    async def _catch_up(self) -> None:
        """Read every wallet's stream to its end, and write down what is expired."""
        for stream in await self._journal.streams():
            if stream.session_id.startswith(WALLET_PREFIX) and stream not in self._logs:
                self._logs[stream] = WalletLog(
                    self._journal, self._clock, self._entropy, stream=stream, agent_id=self._agent_id
                )
        now_us = self._clock.now_us()
        for log in self._logs.values():
            await log.catch_up()
            for ticket in log.state.tickets.overdue(now_us):
                log.note(ApprovalExpired(ticket_id=ticket.ticket_id))
            await log.flush()
