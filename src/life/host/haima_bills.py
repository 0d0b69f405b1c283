"""The bills of a directory's journal: what is owed, how it came about, and what an operator does about it.

    async with open_bills(directory) as bills:
        for bill in await bills.list_(): …
        await bills.pay(bill_id, None, key)

An operator acts for every agent and customer of its house, as over HTTP (life.haima.callers). A daemon may work on the same
journal meanwhile: everything is decided on the house's stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import ConflictError, InvalidInputError, NotFoundError
from life.aios.money import format_micro
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, format_timestamp
from life.haima.events import FinanceEvent, RevenueReceived, event_type, read_finance
from life.haima.events.accounts import LedgerPosted
from life.haima.events.tasks import (
    BillStatusChanged,
    CriterionJudged,
    CriterionResult,
    TaskBilled,
    TaskClosed,
    TaskContracted,
    TaskDisputed,
    TaskRefunded,
    TaskSubmitted,
    TaskVerified,
)
from life.haima.house import STREAM, House, Key
from life.haima.house_state import HouseState
from life.haima.outcomes.answers import BillPaid, Refunded, Settled, Subject, TaskDecision
from life.haima.outcomes.desk import OutcomeDesk
from life.haima.outcomes.lookups import find_bill
from life.haima.outcomes.room import Bill, Task
from life.host.clock import SystemClock, SystemEntropy
from life.host.haima_credit import HOUSE_AGENT
from life.host.haima_directory import JOURNAL_FILE
from life.lago.journal.sqlite import SqliteJournal
from life.lago.snapshots import SqliteSnapshots

OPERATOR: Final = Subject("operator", frozenset({"operator", "arbiter"}))
_PAGE: Final = 2_000


class BillView(msgspec.Struct, frozen=True, kw_only=True):
    """One bill, with where its task stands. Times are RFC 3339."""

    bill_id: str
    task_id: str
    status: str
    payer: str | None
    payee: str | None
    description: str
    amount_micro_credits: int
    allocated_micro_credits: int
    open_micro_credits: int
    overpaid_micro_credits: int
    refunded_micro_credits: int
    billed_at: str
    due_at: str | None
    overdue: bool
    """Still owed after it was due. What is put aside is never overdue: it is paid out when it is due."""
    escrowed: bool
    """The money was put aside when the task was taken on."""
    task_status: str | None
    disputed: bool
    """The customer objects, and nobody has decided yet."""


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the journal that the bill rests on."""

    event_id: str
    session_id: str
    sequence: int
    digest: str | None
    """The journal's chain up to this event."""
    timestamp: str
    type: str
    what: str
    """In a few words, for people."""
    data: msgspec.Raw


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment from outside that was allocated to the bill."""

    event_id: str
    payment_id: str | None
    payer: str
    network: str | None
    amount_micro_credits: int
    transaction: str


class BillDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A bill with everything it rests on."""

    bill: BillView
    contract_id: str | None
    outcome: str | None
    price_micro_credits: int | None
    """What was agreed for full success."""
    result_digest: str | None
    criteria: tuple[CriterionResult, ...]
    payments: tuple[Payment, ...]
    proofs: tuple[Proof, ...]


class BillFilter(NamedTuple):
    """Which bills. None: all."""

    status: str | None = None
    """A bill's status, or `overdue` or `disputed`."""
    payer: str | None = None
    payee: str | None = None
    task_id: str | None = None

    def takes(self, view: BillView) -> bool:
        """Whether a bill is meant."""
        match self.status:
            case None:
                fits = True
            case "overdue":
                fits = view.overdue
            case "disputed":
                fits = view.disputed
            case status:
                fits = view.status == status
        return (
            fits
            and (self.payer is None or view.payer == self.payer)
            and (self.payee is None or view.payee == self.payee)
            and (self.task_id is None or view.task_id == self.task_id)
        )


class OpenBills:
    """The bills of one journal. Make it with `open_bills`."""

    def __init__(self, journal: Journal, house: House, desk: OutcomeDesk, clock: Clock) -> None:
        self._journal = journal
        self._house = house
        self._desk = desk
        self._clock = clock

    async def list_(self, wanted: BillFilter | None = None) -> list[BillView]:
        """Bills, oldest first."""
        wanted = wanted or BillFilter()
        state, now_us = await self._house.catch_up(), self._clock.now_us()
        views = (_view(state, bill, now_us) for bill in state.outcomes.bills.values())
        return [view for view in views if wanted.takes(view)]

    async def show(self, bill_id: str) -> BillDetail:
        """One bill with its proofs; NotFoundError."""
        state = await self._house.catch_up()
        bill = find_bill(state, bill_id)
        task = state.outcomes.tasks.get(bill.task_id)
        proofs, payments = await self._evidence(bill)
        return BillDetail(
            bill=_view(state, bill, self._clock.now_us()),
            contract_id=task.contract_id if task else None,
            outcome=task.outcome if task else None,
            price_micro_credits=task.price_micro_credits if task else None,
            result_digest=task.result_digest if task else None,
            criteria=tuple(sorted(task.results.values(), key=lambda result: result.index)) if task else (),
            payments=payments,
            proofs=proofs,
        )

    async def pay(self, bill_id: str, amount_micro: int | None, key: Key) -> BillPaid:
        """Pay a bill from its payer's account: this much, or (None) all that is owed. ConflictError when its money is put
        aside already."""
        bill, task = await self._find(bill_id)
        _check_not_escrowed(bill, task, "it would be paid twice", "It is paid out when it is due: haima bills release.")
        amount = bill.open_micro_credits if amount_micro is None else amount_micro
        payer = Subject(bill.payer or "", OPERATOR.roles)
        return await self._desk.pay_bill(bill_id, payer, amount, key=key)

    async def void(self, bill_id: str, reason: str) -> BillPaid:
        """Give up what is still owed; ConflictError when nothing is, or when its money is put aside."""
        bill, task = await self._find(bill_id)
        _check_not_escrowed(bill, task, "nobody would get it", "Give it back: haima bills refund.")
        return await self._desk.void_bill(bill_id, OPERATOR, reason=reason)

    async def dispute(self, bill_id: str, reason: str) -> TaskDecision:
        """Object in the customer's name, while the money is not paid out."""
        bill, task = await self._find(bill_id)
        customer = task.customer_id if task is not None else None
        if customer is None:
            raise InvalidInputError("This bill has no customer who could object.", details={"bill_id": bill.bill_id})
        return await self._desk.dispute(bill.task_id, Subject(customer, OPERATOR.roles), reason)

    async def resolve(self, bill_id: str, to_agent_micro: int, reason: str) -> TaskDecision:
        """Decide a dispute: this much of what is put aside to the agent, the rest back to the customer."""
        bill, _ = await self._find(bill_id)
        return await self._desk.resolve_dispute(bill.task_id, OPERATOR, to_agent_micro=to_agent_micro, reason=reason)

    async def refund(self, bill_id: str, reason: str, key: Key) -> Refunded:
        """Give the customer its money back, by the contract's percentage of what was received."""
        bill, _ = await self._find(bill_id)
        return await self._desk.refund(bill.task_id, OPERATOR, reason=reason, key=key)

    async def release(self) -> Settled:
        """What a daemon's SLA monitor does: end tasks that are late, and pay out what is put aside and due."""
        late = await self._desk.expire_overdue()
        due = await self._desk.release_due()
        return Settled(task_ids=late.task_ids + due.task_ids)

    async def _find(self, bill_id: str) -> tuple[Bill, Task | None]:
        state = await self._house.catch_up()
        bill = find_bill(state, bill_id)
        return bill, state.outcomes.tasks.get(bill.task_id)

    async def _evidence(self, bill: Bill) -> tuple[tuple[Proof, ...], tuple[Payment, ...]]:
        """The house's events about the bill's task, and the revenue that paid it. Payments from outside stand in other
        streams, so only a bill that has some makes the whole journal be read."""
        wanted = frozenset(bill.payments)
        query = EventQuery(kinds=("Custom",)) if wanted else EventQuery(STREAM.session_id, kinds=("Custom",))
        proofs: list[Proof] = []
        payments: list[Payment] = []
        while True:
            page = await self._journal.read(query, limit=_PAGE)
            for record in page:
                if record.stream == STREAM:
                    proof = _proof(record, bill)
                    if proof is not None:
                        proofs.append(proof)
                elif wanted:
                    payment = _payment(record, wanted)
                    if payment is not None:
                        payments.append(payment)
            if len(page) < _PAGE:
                return tuple(proofs), tuple(payments)
            query = query._replace(after_position=page[-1].position)


@asynccontextmanager
async def open_bills(
    data_dir: Path, *, clock: Clock | None = None, entropy: Entropy | None = None
) -> AsyncIterator[OpenBills]:
    """The bills of a finance daemon's directory; NotFoundError when there is no journal in it."""
    path = data_dir / JOURNAL_FILE
    if not (path.exists() and path.stat().st_size):
        raise NotFoundError(
            f"There is no journal in {data_dir}.", next_step="Name the folder of the finance daemon with --data-dir."
        )
    clock, entropy = clock or SystemClock(), entropy or SystemEntropy()
    async with SqliteJournal.open(path, clock=clock) as journal, SqliteSnapshots(path) as snapshots:
        house = House(journal, clock, entropy, agent_id=HOUSE_AGENT, snapshots=snapshots)
        await house.open()
        # Trust and verifiers decide what work is taken on and what came out of it, which is the daemon's business.
        desk = OutcomeDesk(house, clock, entropy, trust=_no_trust, verifiers={})
        try:
            yield OpenBills(journal, house, desk, clock)
        finally:
            await house.aclose()


async def _no_trust(_agent_id: str) -> int:
    return 0


def _view(state: HouseState, bill: Bill, now_us: int) -> BillView:
    task = state.outcomes.tasks.get(bill.task_id)
    escrowed = task is not None and task.escrowed
    return BillView(
        bill_id=bill.bill_id,
        task_id=bill.task_id,
        status=bill.status,
        payer=bill.payer,
        payee=bill.payee,
        description=bill.description,
        amount_micro_credits=bill.amount_micro_credits,
        allocated_micro_credits=bill.allocated_micro_credits,
        open_micro_credits=bill.open_micro_credits,
        overpaid_micro_credits=bill.overpaid_micro_credits,
        refunded_micro_credits=task.refunded_micro_credits if task else 0,
        billed_at=format_timestamp(bill.billed_at_us),
        due_at=format_timestamp(bill.due_at_us) if bill.due_at_us > 0 else None,
        overdue=not escrowed and bill.open_micro_credits > 0 and 0 < bill.due_at_us < now_us,
        escrowed=escrowed,
        task_status=task.status if task else None,
        disputed=task is not None and task.status == "disputed",
    )


def _check_not_escrowed(bill: Bill, task: Task | None, why: str, next_step: str) -> None:
    """Whether a task's money is put aside never changes, so this can be asked before the desk decides."""
    if task is not None and task.escrowed:
        raise ConflictError(
            f"The money for this bill is put aside already; {why}.",
            next_step=next_step,
            details={"bill_id": bill.bill_id},
        )


class _Stored(msgspec.Struct):
    data: msgspec.Raw


_stored: Final = msgspec.json.Decoder(_Stored)


def _proof(record: EventRecord, bill: Bill) -> Proof | None:
    """The event, when it is a finance event about the bill's task."""
    event = read_finance(record)
    if event is None:
        return None
    about = (getattr(event, "task_id", None), getattr(event, "cause_id", None))
    if bill.task_id not in about:
        return None
    return Proof(
        event_id=record.event_id,
        session_id=record.session_id,
        sequence=record.sequence,
        digest=record.digest,
        timestamp=format_timestamp(record.timestamp_us),
        type=event_type(event),
        what=_what(event),
        data=_stored.decode(record.payload).data,
    )


def _what(event: FinanceEvent) -> str:
    """The event in a few words."""
    match event:
        case TaskContracted():
            aside = ", put aside" if event.escrowed else ""
            return f"{event.agent_id} takes the task on for {format_micro(event.price_micro_credits)}{aside}"
        case TaskSubmitted():
            return f"delivered, SHA-256 {event.result_digest}"
        case CriterionJudged():
            found = event.result
            return f"criterion {found.index} {'holds' if found.passed else 'does not hold'}, says {found.by}"
        case TaskVerified():
            return f"{event.outcome}: {event.criteria_passed} of {event.criteria_total} criteria"
        case TaskBilled():
            return f"billed {format_micro(event.price_micro_credits)}"
        case BillStatusChanged():
            paid = f", {format_micro(event.amount_micro_credits)}" if event.amount_micro_credits else ""
            why = f": {event.reason}" if event.reason else ""
            return f"{event.status.replace('_', ' ')}{paid}{why}"
        case LedgerPosted():
            moves = (f"{entry.account} {format_micro(entry.amount_micro)}" for entry in event.entries)
            return f"{event.reason}: {', '.join(moves)}"
        case TaskRefunded():
            return f"{format_micro(event.refund_micro_credits)} went back: {event.reason}"
        case TaskDisputed():
            return f"{event.by} objects: {event.reason}"
        case TaskClosed():
            return event.status
        case _:
            return ""


def _payment(record: EventRecord, wanted: frozenset[str]) -> Payment | None:
    event = read_finance(record)
    if not isinstance(event, RevenueReceived) or (event.payment_id or record.event_id) not in wanted:
        return None
    return Payment(
        event_id=record.event_id,
        payment_id=event.payment_id,
        payer=event.payer_address,
        network=event.network,
        amount_micro_credits=event.amount_micro_credits,
        transaction=event.tx_hash,
    )
