"""The projection `haima.credit`: what the journal says about every agent's conduct (HM-CREDIT, HM-BUREAU, W25, W30).

It reads all streams, keeps a bounded record per agent, and answers for any of them at any time. Only events that the system
wrote count: what an agent or a person put into a stream of its own says nothing about its credit.

    payment history   (met + 1) / (due + 2) (Laplace). Due: payments that settled, statements with a minimum, bills that were
                      paid or are overdue, and payments that failed because the money was not there. A payee's refusal for
                      any other reason proves nothing.
    volume            settled payments, out and in, by counterparty. Money that goes to oneself does not count, nor what
                      comes back from the same counterparty: A pays B pays A counts the difference. Counterparties are
                      addresses, taken together when the journal shows that one agent uses them.
    age               whole days since the first settled payment
    stability         share of the time since the start of the day 29 days ago, as far as a mode is known, in Sovereign or
                      Conserving (`autonomic.EconomicModeChanged`, `autonomic.GatingDecision`); needs a day of it
    trust             the newest `autonomic.TrustAssessed` {score, tier, trajectory, agent_id?}; after 30 days it is missing
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from life.aios.record import EventRecord
from life.haima.credit import ONE_PPM
from life.haima.credit_book import (
    DAY_US,
    SECOND_US,
    STABILITY_DAYS,
    STABLE,
    VELOCITY_WINDOW_S,
    Conduct,
    CreditBook,
    Day,
    Pair,
    party,
)
from life.haima.events import FinanceEvent, read_finance
from life.haima.events.credit import CreditLineStatusChanged, CreditPaymentMissed, CreditStatementSettled
from life.haima.events.payments import PaymentFailed, PaymentReleased, PaymentSettled, RevenueReceived
from life.haima.events.tasks import BillStatusChanged, TaskBilled
from life.haima.events.wallets import WalletCreated

_COUNTERPARTIES: Final = 256
_FAILED: Final = 256
_BILLS: Final = 256
_MODES: Final = STABLE | {"hustle", "hibernate"}
_S = TypeVar("_S", bound=msgspec.Struct)


class CreditProjection:
    """The fold, in the shape of a journal projection (life.lago.projection.Projection)."""

    name: Final = "haima.credit"
    version: Final = 1
    kinds: Final[tuple[str, ...]] = ("Custom",)

    def initial(self) -> CreditBook:
        """Nobody is known."""
        return CreditBook()

    def apply(self, state: CreditBook, record: EventRecord) -> CreditBook:
        """The state after one more event; the same object. Never raises."""
        if record.actor.type != "system":
            return state
        name = _event_type(record.payload)
        finance = _FINANCE.get(name)
        if finance is not None:
            event = read_finance(record)
            if event is not None:
                finance(state, record, event)
            return state
        other = _OTHERS.get(name)
        if other is not None:
            try:
                other(state, record)
            except msgspec.DecodeError:
                return state
        return state

    def encode(self, state: CreditBook) -> bytes:
        """See CreditBook.encode."""
        return state.encode()

    def decode(self, state: bytes) -> CreditBook:
        """See CreditBook.decode."""
        return CreditBook.decode(state)


def _settled(book: CreditBook, record: EventRecord, event: FinanceEvent) -> None:
    assert isinstance(event, PaymentSettled)
    agent, amount, at_us = record.agent_id, event.amount_micro_credits, record.timestamp_us
    if amount < 0:
        return
    conduct = book.of(agent)
    conduct.met += 1
    conduct.due += 0 if event.payment_id is not None and conduct.failed.pop(event.payment_id, 0) else 1
    conduct.latency_ms += max(0, event.latency_ms)
    conduct.latencies += 1
    book.uses(agent, event.wallet)
    _count(conduct, at_us, amount)
    if event.payee:
        _pair(conduct, event.payee).paid += amount
    second = at_us // SECOND_US
    conduct.spent.append((second, amount))
    if len(conduct.spent) > 1 and conduct.spent[-2][0] == second:
        (_, before), _ = conduct.spent[-2:]
        conduct.spent[-2:] = [(second, before + amount)]
    if conduct.spent[0][0] <= second - VELOCITY_WINDOW_S or len(conduct.spent) > 2 * VELOCITY_WINDOW_S:
        by_second: dict[int, int] = {}
        for when, spent in conduct.spent:
            if when > second - VELOCITY_WINDOW_S:
                by_second[when] = by_second.get(when, 0) + spent
        conduct.spent = sorted(by_second.items())[-2 * VELOCITY_WINDOW_S :]


def _failed(book: CreditBook, record: EventRecord, event: FinanceEvent) -> None:
    assert isinstance(event, PaymentFailed)
    if not _is_want_of_money(event.reason):
        return
    conduct = book.of(record.agent_id)
    if event.payment_id is not None:
        if event.payment_id in conduct.failed:
            return
        while len(conduct.failed) >= _FAILED:
            del conduct.failed[next(iter(conduct.failed))]
        conduct.failed[event.payment_id] = 1
    conduct.due += 1


def _released(book: CreditBook, record: EventRecord, event: FinanceEvent) -> None:
    assert isinstance(event, PaymentReleased)
    conduct = book.conduct(record.agent_id)
    if event.payment_id in conduct.failed:
        del book.of(record.agent_id).failed[event.payment_id]


def _earned(book: CreditBook, record: EventRecord, event: FinanceEvent) -> None:
    assert isinstance(event, RevenueReceived)
    if event.amount_micro_credits < 0:
        return
    conduct = book.of(record.agent_id)
    book.uses(record.agent_id, event.payee)
    _count(conduct, record.timestamp_us, event.amount_micro_credits)
    if event.payer_address:
        _pair(conduct, event.payer_address).earned += event.amount_micro_credits


def _wallet(book: CreditBook, record: EventRecord, event: FinanceEvent) -> None:
    assert isinstance(event, WalletCreated)
    book.uses(record.agent_id, event.address)


def _statement_settled(book: CreditBook, _: EventRecord, event: FinanceEvent) -> None:
    assert isinstance(event, CreditStatementSettled)
    if event.on_time:  # one that was missed was counted when it was
        conduct = book.of(event.agent_id)
        conduct.met += 1
        conduct.due += 1


def _missed(book: CreditBook, _: EventRecord, event: FinanceEvent) -> None:
    assert isinstance(event, CreditPaymentMissed)
    conduct = book.of(event.agent_id)
    conduct.due += 1
    conduct.missed += 1


def _line_status(book: CreditBook, record: EventRecord, event: FinanceEvent) -> None:
    assert isinstance(event, CreditLineStatusChanged)
    if event.to_status == "defaulted":
        conduct = book.of(event.agent_id)
        conduct.defaults += 1
        conduct.last_default_us = max(conduct.last_default_us or 0, record.timestamp_us)


def _billed(book: CreditBook, record: EventRecord, event: FinanceEvent) -> None:
    assert isinstance(event, TaskBilled)
    if event.bill_id is None or event.payer is None or event.bill_id in book.payers:
        return
    bills = book.of(event.payer).bills
    if len(bills) >= _BILLS:  # the oldest is not waited for any longer: it counts as not met
        oldest = next(iter(bills))
        del bills[oldest], book.payers[oldest]
        book.of(event.payer).due += 1
    bills[event.bill_id] = event.due_at_us
    book.payers[event.bill_id] = event.payer


def _bill_status(book: CreditBook, record: EventRecord, event: FinanceEvent) -> None:
    assert isinstance(event, BillStatusChanged)
    if event.status not in ("paid", "void", "refunded") or event.bill_id not in book.payers:
        return
    conduct = book.of(book.payers.pop(event.bill_id))
    due_at_us = conduct.bills.pop(event.bill_id, 0)
    if event.status == "paid":
        conduct.due += 1
        conduct.met += 1 if due_at_us == 0 or record.timestamp_us <= due_at_us else 0


def _count(conduct: Conduct, at_us: int, amount_micro: int) -> None:
    conduct.transactions += 1
    conduct.volume_micro += amount_micro
    first = conduct.first_settled_us
    conduct.first_settled_us = at_us if first is None else min(first, at_us)


def _pair(conduct: Conduct, address: str) -> Pair:
    name = party(address)
    pair = conduct.pairs.get(name)
    if pair is None:
        if len(conduct.pairs) >= 2 * _COUNTERPARTIES:
            largest = sorted(conduct.pairs.items(), key=lambda item: (-item[1].total, item[0]))
            conduct.pairs = dict(largest[:_COUNTERPARTIES])
        pair = conduct.pairs[name] = Pair()
    return pair


def _is_want_of_money(reason: str) -> bool:
    return "insufficient_funds" in reason or "insufficient_balance" in reason


_FINANCE: Final[dict[str, Callable[[CreditBook, EventRecord, FinanceEvent], None]]] = {
    "finance.payment_settled": _settled,
    "finance.payment_failed": _failed,
    "finance.payment_released": _released,
    "finance.revenue_received": _earned,
    "finance.wallet_created": _wallet,
    "finance.task_billed": _billed,
    "finance.bill_status_changed": _bill_status,
    "finance.credit_statement_settled": _statement_settled,
    "finance.credit_payment_missed": _missed,
    "finance.credit_line_status_changed": _line_status,
}


# ---- events of other subsystems, read by their wire form


class _TrustAssessed(msgspec.Struct):
    score: float
    tier: str = "unverified"
    trajectory: str = "stable"
    agent_id: str | None = None


class _ModeChanged(msgspec.Struct):
    to: str
    agent_id: str | None = None


class _Gating(msgspec.Struct):
    economic_mode: str


class _Did(msgspec.Struct):
    did: str


class _Rotated(msgspec.Struct):
    new_did: str


def _trust(book: CreditBook, record: EventRecord) -> None:
    data = _data(record, _TrustAssessed)
    if not 0 <= data.score <= 1:  # also what is no number
        return
    conduct = book.of(data.agent_id or record.agent_id)
    if conduct.trust_at_us is None or record.timestamp_us >= conduct.trust_at_us:
        conduct.trust_ppm = int(data.score * ONE_PPM + 0.5)
        conduct.trust_tier, conduct.trajectory = data.tier, data.trajectory.lower()
        conduct.trust_at_us = record.timestamp_us


def _mode(book: CreditBook, record: EventRecord) -> None:
    data = _data(record, _ModeChanged)
    _set_mode(book.of(data.agent_id or record.agent_id), data.to.lower(), record.timestamp_us)


def _gating(book: CreditBook, record: EventRecord) -> None:
    data = _data(record, _Gating)
    _set_mode(book.of(record.agent_id), data.economic_mode.lower(), record.timestamp_us)


def _set_mode(conduct: Conduct, mode: str, at_us: int) -> None:
    if mode not in _MODES:
        return
    if conduct.mode is None:
        conduct.mode, conduct.mode_since_us = mode, at_us
        return
    if at_us < conduct.mode_since_us:
        return  # a clock ran back; the mode of then is known already
    since_us = max(conduct.mode_since_us, (at_us // DAY_US - STABILITY_DAYS) * DAY_US)
    while since_us < at_us:
        day = since_us // DAY_US
        until_us = min(at_us, (day + 1) * DAY_US)
        if not conduct.days or conduct.days[-1].day < day:
            conduct.days.append(Day(day))
        conduct.days[-1].known_us += until_us - since_us
        conduct.days[-1].stable_us += until_us - since_us if conduct.mode in STABLE else 0
        since_us = until_us
    del conduct.days[: -(STABILITY_DAYS + 1)]
    conduct.mode, conduct.mode_since_us = mode, at_us


def _identity(book: CreditBook, record: EventRecord) -> None:
    book.of(record.agent_id).did = _data(record, _Did).did


def _rotated(book: CreditBook, record: EventRecord) -> None:
    book.of(record.agent_id).did = _data(record, _Rotated).new_did


_OTHERS: Final[dict[str, Callable[[CreditBook, EventRecord], None]]] = {
    "autonomic.TrustAssessed": _trust,
    "autonomic.EconomicModeChanged": _mode,
    "autonomic.GatingDecision": _gating,
    "anima.identity_created": _identity,
    "anima.identity_rotated": _rotated,
}

_HEAD: Final = b'{"type":"Custom","event_type":"'


class _Kind(msgspec.Struct):
    event_type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


_kind: Final = msgspec.json.Decoder(_Kind)


def _data(record: EventRecord, shape: type[_S]) -> _S:
    """The data of a custom event; msgspec.DecodeError when it does not fit."""
    return msgspec.json.decode(_kind.decode(record.payload).data, type=shape)


def _event_type(payload: bytes) -> str:
    """The event type, read without decoding the rest where the bytes stand as our writers put them."""
    if payload.startswith(_HEAD):
        end = payload.find(b'"', len(_HEAD))
        return payload[len(_HEAD) : end].decode("utf-8", "replace")
    try:
        return _kind.decode(payload).event_type
    except msgspec.DecodeError:
        return ""
