"""The journal's money, kept up to date from request to request: totals, the money events in plain words, accounts, bills.

Each reading folds only what came since the last one; the folds are Haima's own.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord
from life.haima import events, state
from life.haima.house import STREAM
from life.haima.house_state import HouseState
from life.haima.ledger import Books
from life.haima.outcomes.room import Bill, Task
from life.haima.state import EMPTY, FinancialState

_PAGE: Final = 2000
MOST_ROWS: Final = 100_000
"""Of the money events the newest are kept; the journal has all."""


class MoneyEvent(NamedTuple):
    """One money event. Amounts are micro-credits."""

    at_us: int
    what: str
    amount_micro: int | None = None
    purpose: str = ""
    counterparty: str = ""
    transaction: str = ""
    remark: str = ""
    session_id: str = ""
    event_id: str = ""


class BillLine(NamedTuple):
    """A bill, and the task that it is for."""

    bill: Bill
    task: Task | None


class MoneyBooks:
    """What the journal says about money. Belongs to one event loop."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._position = 0
        self._reading = asyncio.Lock()
        self._reserved: dict[str, events.PaymentReserved] = {}
        self.totals: FinancialState = EMPTY
        self.books = Books()
        self.house = HouseState()
        self.rows: list[MoneyEvent] = []
        """Oldest first."""

    async def catch_up(self) -> None:
        """Fold what came since the last time."""
        async with self._reading:
            while True:
                query = EventQuery(after_position=self._position, kinds=("Custom",))
                page = await self._journal.read(query, limit=_PAGE)
                for record in page:
                    self._apply(record)
                if page:
                    self._position = page[-1].position
                if len(page) < _PAGE:
                    break
            del self.rows[:-MOST_ROWS]

    def bills(self) -> list[BillLine]:
        """All bills, newest first."""
        room = self.house.outcomes
        return [BillLine(bill, room.tasks.get(bill.task_id)) for bill in reversed(list(room.bills.values()))]

    def _apply(self, record: EventRecord) -> None:
        event = events.read_finance(record)
        if event is None:
            return
        self.totals = state.apply(self.totals, event, record.timestamp_us)
        self.books.apply(record)
        if record.stream == STREAM:
            self.house.apply(event, record.timestamp_us)
        if isinstance(event, events.PaymentReserved):
            self._reserved[event.payment_id] = event
        row = self._row(record, event)
        if row is not None:
            self.rows.append(row)

    def _row(self, record: EventRecord, event: object) -> MoneyEvent | None:
        """The event in a few words. Later events of a payment name only its id; what it was for stands in its reservation."""
        intent = self._reserved.get(getattr(event, "payment_id", None) or "")
        amount, purpose, payee = (
            (None, "", "") if intent is None else (intent.amount_micro, intent.resource_url, intent.payee)
        )
        begun = MoneyEvent(
            record.timestamp_us,
            "",
            amount,
            purpose,
            payee,
            session_id=getattr(event, "session_id", None) or (intent.session_id or "" if intent else ""),
            event_id=record.event_id,
        )
        match event:
            case events.PaymentReserved():
                return begun._replace(what="reserved")
            case events.PaymentSettled():
                return begun._replace(
                    what="paid",
                    amount_micro=event.amount_micro_credits,
                    counterparty=event.payee or payee,
                    transaction=event.tx_hash,
                )
            case events.PaymentFailed():
                return begun._replace(
                    what="refused",
                    amount_micro=event.amount_micro_credits,
                    purpose=event.resource_url or purpose,
                    counterparty=event.payee or payee,
                    remark=event.reason,
                )
            case events.PaymentDeclined():
                return begun._replace(
                    what="declined",
                    amount_micro=None,
                    purpose=event.resource_url or purpose,
                    counterparty=event.payee,
                    remark=f"{event.code}, {event.amount_atomic} atomic",
                )
            case events.PaymentAmbiguous():
                return begun._replace(what="outcome unknown", remark=event.reason)
            case events.PaymentReleased():
                return begun._replace(what="given back", remark=event.reason)
            case events.RevenueReceived():
                return begun._replace(
                    what="earned",
                    amount_micro=event.amount_micro_credits,
                    purpose=event.resource_url or "",
                    counterparty=event.payer_address,
                    transaction=event.tx_hash,
                )
            case _:
                return None
