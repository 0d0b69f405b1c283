"""The books: double entry, folded from finance events (haima.md §1.19, HM-EVT, invariant 4 of §8.7).

Nobody writes a posting of the books; each one follows from an event, by the table below, and every posting sums to zero.
Amounts are micro-credits, debits positive, as plain-text accounting has them: assets and expenses grow upwards, income and
liabilities downwards.

    payment_reserved    Assets:Reserved + a                   Assets:Wallet − a
    payment_released    Assets:Wallet + a                     Assets:Reserved − a
    payment_settled     Expenses:Payments + paid              Assets:Reserved − a, what was not taken back to Assets:Wallet
    revenue_received    Assets:Wallet + a                     Assets:Receivable − what its task still owes, Income:Sales − rest
    refund_settled      Income:Sales + a                      Assets:Wallet − a
    task_billed         Assets:Receivable + price             Income:Tasks − price   (a bill of ours; one that names a payee is
                                                              paid through the house, whose postings say so)
    bill_status_changed Income:Tasks + what is written off    Assets:Receivable − that         (void or refunded)
    facilitator_fee_accrued, facilitator_fee_waived
                        Assets:Receivable + fee               Income:Fees:Facilitation − fee   (waived: the other way round)
    balance_synced      Assets:Wallet + difference            Equity:Outside − difference      (only when it says `adjusted`)
    ledger_posted       the house's accounts, one by one: what is held for others is a liability, debts of others are assets

What the house takes in for somebody names the payment that brought it, and takes it out of Income:Sales again: it is not
ours.
Wallets begin at zero; what a wallet held before comes in with the first reconciliation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.record import EventRecord
from life.haima.accounts import parse_account
from life.haima.events import (
    BalanceSynced,
    FacilitatorFeeAccrued,
    FacilitatorFeeWaived,
    FinanceEvent,
    PaymentReleased,
    PaymentReserved,
    PaymentSettled,
    RefundSettled,
    RevenueReceived,
    TaskBilled,
    read_finance,
)
from life.haima.events.accounts import LedgerPosted
from life.haima.events.tasks import BillStatusChanged

KEPT_SALES: Final = 10_000
"""How many of the newest sales are remembered by their payment, for the deposits that may follow them."""

_COMPONENT: Final = re.compile(r"[A-Z0-9][A-Za-z0-9-]{0,63}")
_ODD: Final = re.compile(r"[^A-Za-z0-9-]+")


class BookEntry(NamedTuple):
    """One line of a posting; debit positive."""

    account: str
    amount_micro: int


class Posting(NamedTuple):
    """One transaction of the books, and the event it follows from."""

    event_id: str
    position: int
    at_us: int
    what: str
    entries: tuple[BookEntry, ...]
    payment_id: str | None = None
    session_id: str | None = None
    task_id: str | None = None
    counterparty: str | None = None
    transaction: str | None = None


class _Reserved(msgspec.Struct, frozen=True, array_like=True, gc=False):
    amount_micro: int
    wallet: str
    expense: str
    payee: str
    session_id: str | None
    task_id: str | None


class _Bill(msgspec.Struct, array_like=True, gc=False):
    payer: str
    open_micro: int


class Books(msgspec.Struct, kw_only=True):
    """Balances of every account, and what is needed to post what comes next. Belongs to one fold."""

    balances: dict[str, int] = {}
    postings: int = 0
    last_at_us: int = 0
    reserved: dict[str, _Reserved] = {}
    """Open reservations by payment id."""
    bills: dict[str, _Bill] = {}
    """Open bills by task id."""
    sales: dict[str, str] = {}
    """Income account of recent sales, by payment id."""
    wallets: dict[str, tuple[str, str]] = {}
    """Network and address of every wallet of ours, by its account."""

    def apply(self, record: EventRecord) -> Posting | None:
        """Fold one event in; the posting that it made, if it made one. Events that are not about money change nothing."""
        event = read_finance(record)
        if event is None:
            return None
        posting = self._posting(event, record)
        if posting is None:
            return None
        for account, amount in posting.entries:
            balance = self.balances.get(account, 0) + amount
            if balance:
                self.balances[account] = balance
            else:
                self.balances.pop(account, None)
        self.postings += 1
        self.last_at_us = record.timestamp_us
        return posting

    def balance(self, prefix: str) -> int:
        """The sum of an account and all below it, in micro-credits."""
        below = prefix + ":"
        return sum(
            amount for account, amount in self.balances.items() if account == prefix or account.startswith(below)
        )

    def wallet(self, network: str, address: str) -> tuple[int, int]:
        """What a wallet has free and what it has reserved, by the books, in micro-credits."""
        name = wallet_account(network, address)
        return self.balances.get(name, 0), self.balances.get(reserved_account(name), 0)

    @property
    def trial_balance_micro(self) -> int:
        """The sum over all accounts. Anything but zero is a defect."""
        return sum(self.balances.values())

    # ---- one event, one posting

    def _posting(self, event: FinanceEvent, record: EventRecord) -> Posting | None:
        match event:
            case PaymentReserved():
                return self._reserve(event, record)
            case PaymentReleased():
                return self._release(event, record)
            case PaymentSettled():
                return self._settle(event, record)
            case RevenueReceived():
                return self._earn(event, record)
            case RefundSettled():
                return self._refund(event, record)
            case TaskBilled():
                return self._bill(event, record)
            case BillStatusChanged(status="void" | "refunded"):
                return self._write_off(event, record)
            case BalanceSynced():
                return self._adjust(event, record)
            case FacilitatorFeeAccrued() | FacilitatorFeeWaived():
                return self._facilitate(event, record)
            case LedgerPosted():
                return self._house(event, record)
            case _:
                return None

    def _reserve(self, event: PaymentReserved, record: EventRecord) -> Posting | None:
        if event.payment_id in self.reserved or event.amount_micro <= 0:
            return None
        wallet = self._wallet(event.network, event.wallet)
        expense = f"Expenses:Payments:{_host(event.resource_url)}"
        self.reserved[event.payment_id] = _Reserved(
            event.amount_micro, wallet, expense, event.payee, event.session_id, event.task_id
        )
        entries = (BookEntry(reserved_account(wallet), event.amount_micro), BookEntry(wallet, -event.amount_micro))
        return _post(
            record,
            f"reserved for {event.resource_url}",
            entries,
            payment_id=event.payment_id,
            session_id=event.session_id,
            task_id=event.task_id,
            counterparty=event.payee,
        )

    def _release(self, event: PaymentReleased, record: EventRecord) -> Posting | None:
        held = self.reserved.pop(event.payment_id, None)
        if held is None:
            return None
        entries = (
            BookEntry(held.wallet, held.amount_micro),
            BookEntry(reserved_account(held.wallet), -held.amount_micro),
        )
        return _post(
            record,
            f"given back: {event.reason}",
            entries,
            payment_id=event.payment_id,
            session_id=held.session_id,
            task_id=held.task_id,
            counterparty=held.payee,
        )

    def _settle(self, event: PaymentSettled, record: EventRecord) -> Posting | None:
        paid = event.amount_micro_credits
        held = self.reserved.pop(event.payment_id, None) if event.payment_id is not None else None
        if held is None:
            wallet = self._wallet(event.network or event.chain, event.wallet or "unknown")
            lines = [BookEntry("Expenses:Payments:Other", paid), BookEntry(wallet, -paid)]
        else:
            lines = [
                BookEntry(held.expense, paid),
                BookEntry(held.wallet, held.amount_micro - paid),
                BookEntry(reserved_account(held.wallet), -held.amount_micro),
            ]
        return _post(
            record,
            "paid",
            lines,
            payment_id=event.payment_id,
            session_id=event.session_id or (held.session_id if held else None),
            task_id=event.task_id or (held.task_id if held else None),
            counterparty=event.payee or (held.payee if held else None),
            transaction=event.tx_hash or None,
        )

    def _earn(self, event: RevenueReceived, record: EventRecord) -> Posting | None:
        amount = event.amount_micro_credits
        wallet = self._wallet(event.network or "unknown", event.payee or "unknown")
        sales = f"Income:Sales:{_host(event.resource_url or '')}"
        owed = 0
        lines = [BookEntry(wallet, amount)]
        bill = self.bills.get(event.task_id) if event.task_id is not None else None
        if bill is not None and event.task_id is not None:
            owed = min(bill.open_micro, amount)
            bill.open_micro -= owed
            if not bill.open_micro:
                del self.bills[event.task_id]
            lines.append(BookEntry(_receivable(bill.payer), -owed))
        lines.append(BookEntry(sales, owed - amount))
        if event.payment_id is not None and amount > owed:
            self.sales[event.payment_id] = sales
            while len(self.sales) > KEPT_SALES:
                del self.sales[next(iter(self.sales))]
        return _post(
            record,
            f"earned with {event.resource_url}" if event.resource_url else "earned",
            lines,
            payment_id=event.payment_id,
            session_id=event.session_id,
            task_id=event.task_id,
            counterparty=event.payer_address,
            transaction=event.tx_hash or None,
        )

    def _refund(self, event: RefundSettled, record: EventRecord) -> Posting | None:
        amount = event.amount_micro_credits
        sales = self.sales.get(event.payment_id, "Income:Sales:Other")
        return _post(
            record,
            "refunded",
            (BookEntry(sales, amount), BookEntry(self._wallet(event.network, event.wallet), -amount)),
            payment_id=event.payment_id,
            counterparty=event.payer_address,
            transaction=event.tx_hash or None,
        )

    def _bill(self, event: TaskBilled, record: EventRecord) -> Posting | None:
        price = event.price_micro_credits
        if event.task_id in self.bills or price <= 0 or event.payee is not None:
            return None
        payer = event.payer or "unknown"
        self.bills[event.task_id] = _Bill(payer, price)
        entries = (BookEntry(_receivable(payer), price), BookEntry("Income:Tasks", -price))
        return _post(
            record,
            f"billed: {event.description}",
            entries,
            session_id=event.session_id,
            task_id=event.task_id,
            counterparty=event.payer,
        )

    def _write_off(self, event: BillStatusChanged, record: EventRecord) -> Posting | None:
        bill = self.bills.pop(event.task_id, None)
        if bill is None:
            return None
        entries = (BookEntry("Income:Tasks", bill.open_micro), BookEntry(_receivable(bill.payer), -bill.open_micro))
        return _post(record, f"written off: {event.reason}", entries, task_id=event.task_id, counterparty=bill.payer)

    def _house(self, event: LedgerPosted, record: EventRecord) -> Posting | None:
        comes_in = any(entry.account.startswith("external:") and entry.amount_micro < 0 for entry in event.entries)
        outside = self.sales.pop(event.cause_id, None) if comes_in and event.cause_id else None
        lines = [BookEntry(_house_account(entry.account, outside), -entry.amount_micro) for entry in event.entries]
        return _post(
            record,
            f"{event.reason}: {event.memo}" if event.memo else event.reason,
            lines,
            session_id=event.session_id,
            task_id=event.task_id,
            counterparty=event.cause_id,
        )

    def _facilitate(self, event: FacilitatorFeeAccrued | FacilitatorFeeWaived, record: EventRecord) -> Posting | None:
        if not event.fee_micro:
            return None  # a token whose value is not known: owed in its own units only
        is_owed = isinstance(event, FacilitatorFeeAccrued)
        amount = event.fee_micro if is_owed else -event.fee_micro
        entries = (BookEntry(_receivable(event.payee), amount), BookEntry("Income:Fees:Facilitation", -amount))
        what = "fee for settling" if is_owed else "fee waived: the settlement was taken back"
        return _post(record, what, entries, payment_id=event.payment_id, counterparty=event.payee)

    def _adjust(self, event: BalanceSynced, record: EventRecord) -> Posting | None:
        if not event.adjusted or event.drift == 0:
            return None
        wallet = self._wallet(event.chain, event.address)
        entries = (BookEntry(wallet, event.drift), BookEntry(f"Equity:Outside:{_network(event.chain)}", -event.drift))
        return _post(record, "what the chain holds", entries)

    def _wallet(self, network: str, address: str) -> str:
        name = wallet_account(network, address)
        if name not in self.wallets:
            self.wallets[name] = (network, address)
        return name


def post_all(records: Iterable[EventRecord], books: Books | None = None) -> Iterator[Posting]:
    """The postings of these events, in order, folded into `books`."""
    books = books if books is not None else Books()
    for record in records:
        posting = books.apply(record)
        if posting is not None:
            yield posting


class LedgerProjection:
    """The books as a projection (life.lago.projection.Projection): started from a snapshot, kept up to date by a cursor."""

    name = "haima.ledger"
    version = 1
    kinds = ("Custom",)

    def initial(self) -> Books:
        """Empty books."""
        return Books()

    def apply(self, state: Books, record: EventRecord) -> Books:
        """Fold one event in."""
        state.apply(record)
        return state

    def encode(self, state: Books) -> bytes:
        """Equal books give equal bytes."""
        return msgspec.json.encode(state, order="deterministic")

    def decode(self, state: bytes) -> Books:
        """What `encode` wrote."""
        return msgspec.json.decode(state, type=Books)


def wallet_account(network: str, address: str) -> str:
    """The books' account of a wallet on a network."""
    return f"Assets:Wallet:{_network(network)}:{component(address.lower())}"


def component(text: str) -> str:
    """`text` as one part of an account's name: letters, digits and dashes, beginning with a capital or a digit, as
    beancount wants it. What needs more than a capital gets a mark from its digest, so that two texts share no name."""
    plain = text[:1].upper() + text[1:]
    if _COMPONENT.fullmatch(plain):
        return plain
    readable = _ODD.sub("-", plain)[:40].strip("-") or "X"
    return f"{readable[:1].upper()}{readable[1:]}-{sha256(text.encode(errors='replace')).hexdigest()[:8]}"


def _network(name: str) -> str:
    return component(name.replace(":", "-", 1))


def reserved_account(wallet: str) -> str:
    """Where the reservations of a wallet's account stand."""
    return wallet.replace("Assets:Wallet:", "Assets:Reserved:", 1)


def _receivable(payer: str) -> str:
    return f"Assets:Receivable:{component(payer)}"


def _host(url: str) -> str:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    return component((host or "other").replace("-", "--").replace(".", "-"))


def _house_account(name: str, outside: str | None) -> str:
    try:
        kind, owner_type, owner = parse_account(name)
    except InvalidInputError:
        return f"Equity:Unknown:{component(name)}"
    part = component(owner)
    match kind:
        case "external":
            return outside or f"Equity:Outside:{_network(owner)}"
        case "wallet" if owner_type == "platform":
            return f"Equity:House:{part}"
        case "wallet":
            return f"Liabilities:Held:{owner_type.capitalize()}:{part}"
        case "escrow":
            return f"Liabilities:Escrow:{part}"
        case "premium_pool":
            return f"Liabilities:Pool:{part}"
        case "fee_income":
            return f"Income:Fees:{part}"
        case "interest_income":
            return f"Income:Interest:{part}"
        case "credit_line":
            return f"Assets:Loans:{part}"
        case _:
            return f"Assets:Receivable:{part}"


def _post(
    record: EventRecord,
    what: str,
    entries: Iterable[BookEntry],
    *,
    payment_id: str | None = None,
    session_id: str | None = None,
    task_id: str | None = None,
    counterparty: str | None = None,
    transaction: str | None = None,
) -> Posting | None:
    """The posting without empty lines; None when nothing moves, or when the lines would not balance."""
    lines = tuple(entry for entry in entries if entry.amount_micro)
    balance: int = sum(entry.amount_micro for entry in lines)
    if not lines or balance:
        return None
    return Posting(
        record.event_id,
        record.position,
        record.timestamp_us,
        what,
        lines,
        payment_id,
        session_id,
        task_id,
        counterparty,
        transaction,
    )
