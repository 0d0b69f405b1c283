"""What the ledger page shows: totals from Haima's fold, and the money events in plain words."""

from __future__ import annotations

from typing import Final, NamedTuple

from life.aios.money import format_micro
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord
from life.haima import events
from life.haima.state import FinancialState, fold
from life.haima.x402.networks import LOCAL
from life.host.pages.transcript import short_time
from life.host.system import System

MAX_ROWS: Final = 200
_PAGE: Final = 2000


class Row(NamedTuple):
    """One money event."""

    time: str
    event: str
    amount: str = ""
    purpose: str = ""
    counterparty: str = ""
    transaction: str = ""


class Books(NamedTuple):
    """What the template shows."""

    figures: list[tuple[str, str]]
    rows: list[Row]
    network: str
    play_money: bool


async def read_books(system: System) -> Books:
    """The books as of now."""
    records = await finance_records(system.journal)
    state = fold(records)
    network = system.settings.payments.network
    reserved = _reservations(records)
    rows = [row for record in reversed(records) if (row := _row(record, reserved)) is not None]
    return Books(_figures(state), rows[:MAX_ROWS], network, play_money=network == LOCAL)


async def finance_records(journal: Journal) -> list[EventRecord]:
    """Every finance event of the journal, oldest first."""
    found: list[EventRecord] = []
    position = 0
    while True:
        page = await journal.read(EventQuery(after_position=position, kinds=("Custom",)), limit=_PAGE)
        found += [record for record in page if events.read_finance(record) is not None]
        if len(page) < _PAGE:
            return found
        position = page[-1].position


def _figures(state: FinancialState) -> list[tuple[str, str]]:
    return [
        ("Spent", format_micro(state.total_expenses)),
        ("Earned", format_micro(state.total_revenue)),
        ("Net", format_micro(state.net_balance)),
        ("Payments", str(state.payment_count)),
        ("Failed", str(state.failed_count)),
    ]


def _reservations(records: list[EventRecord]) -> dict[str, events.PaymentReserved]:
    """What each payment was reserved for, by its id: later events name only the id."""
    reserved = {}
    for record in records:
        event = events.read_finance(record)
        if isinstance(event, events.PaymentReserved):
            reserved[event.payment_id] = event
    return reserved


def _row(record: EventRecord, reserved: dict[str, events.PaymentReserved]) -> Row | None:
    time = short_time(record.timestamp_us)
    event = events.read_finance(record)
    intent = reserved.get(getattr(event, "payment_id", None) or "")
    amount, purpose, payee = (
        (format_micro(intent.amount_micro), intent.resource_url, intent.payee) if intent is not None else ("", "", "")
    )
    match event:
        case events.PaymentReserved():
            return Row(time, "reserved", amount, purpose, payee)
        case events.PaymentSettled():
            amount = format_micro(event.amount_micro_credits)
            return Row(time, "paid", amount, purpose, event.payee or payee, event.tx_hash)
        case events.PaymentFailed():
            amount = format_micro(event.amount_micro_credits)
            return Row(time, f"refused: {event.reason}", amount, event.resource_url, event.payee or payee)
        case events.PaymentDeclined():
            return Row(
                time, f"declined: {event.code}", f"{event.amount_atomic} atomic", event.resource_url, event.payee
            )
        case events.PaymentAmbiguous():
            return Row(time, f"outcome unknown: {event.reason}", amount, purpose, payee)
        case events.PaymentReleased():
            return Row(time, f"given back: {event.reason}", amount, purpose, payee)
        case events.RevenueReceived():
            amount = format_micro(event.amount_micro_credits)
            return Row(time, "earned", amount, event.resource_url or "", event.payer_address, event.tx_hash)
        case _:
            return None
