"""Single costs, and their sums by service, day, session, task, agent or counterparty (HM-AUTO, haima.md §4.6).

What an event costs is what `life.haima.costs` says of it, so these sums and those of `GET /v1/cost` agree. A payment belongs to
the session and the task that it was reserved for; a charge (`autonomic.CostCharged`) to the session whose stream it stands in.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from life.aios.record import EventRecord, format_timestamp
from life.haima.costs import DAY_US, CostBook, Window
from life.haima.events import PaymentReleased, PaymentReserved, PaymentSettled, read_finance

Dimension: TypeAlias = Literal["service", "day", "session", "task", "agent", "counterparty"]
_DAYS: Final[dict[Window, int]] = {"1d": 1, "7d": 7, "30d": 30}


class CostItem(NamedTuple):
    """One event that cost something. Amounts in micro-credits; `llm_micro` is thinking, `compute_micro` everything else."""

    event_id: str
    position: int
    at_us: int
    service: str
    llm_micro: int
    compute_micro: int
    agent_id: str
    session_id: str | None = None
    task_id: str | None = None
    counterparty: str | None = None
    """The address that was paid; None for a charge."""
    payment_id: str | None = None
    transaction: str | None = None

    @property
    def total_micro(self) -> int:
        """Thinking and everything else."""
        return self.llm_micro + self.compute_micro

    def name(self, by: Dimension) -> str | None:
        """What the cost counts for along a dimension; None where it has no such thing. Days are UTC, like 2026-01-31."""
        match by:
            case "service":
                return self.service
            case "day":
                return format_timestamp(self.at_us)[:10]
            case "session":
                return self.session_id
            case "task":
                return self.task_id
            case "agent":
                return self.agent_id
            case "counterparty":
                return self.counterparty


class CostGroup(msgspec.Struct, frozen=True, kw_only=True):
    """The costs that share a name, in micro-credits. `name` None: those that have none along this dimension."""

    name: str | None
    llm_cost: int
    compute_cost: int
    total_cost: int


class _Purpose(NamedTuple):
    session_id: str | None
    task_id: str | None
    payee: str


class CostReader:
    """Reads costs out of events. Give it every `Custom` event from the journal's beginning, oldest first: what a payment was
    for stands in its reservation."""

    def __init__(self) -> None:
        self._book = CostBook()
        self._purposes: dict[str, _Purpose] = {}

    def read(self, record: EventRecord) -> CostItem | None:
        """What the event cost; None for one that cost nothing."""
        event = read_finance(record)
        self._book.apply(record)
        match event:
            case PaymentReserved():
                self._purposes[event.payment_id] = _Purpose(event.session_id, event.task_id, event.payee)
            case PaymentReleased():
                self._purposes.pop(event.payment_id, None)
            case _:
                pass
        if not self._book.days:
            return None
        ((service, cost),) = self._book.days.popitem()[1].items()
        item = CostItem(
            record.event_id,
            record.position,
            record.timestamp_us,
            service,
            cost.llm_micro,
            cost.compute_micro,
            record.agent_id,
        )
        if not isinstance(event, PaymentSettled):
            return item._replace(session_id=record.session_id)
        purpose = self._purposes.pop(event.payment_id or "", None)
        return item._replace(
            session_id=event.session_id or (purpose.session_id if purpose else None),
            task_id=event.task_id or (purpose.task_id if purpose else None),
            counterparty=event.payee or (purpose.payee if purpose else None),
            payment_id=event.payment_id,
            transaction=event.tx_hash or None,
        )


def window_start_us(window: Window, now_us: int) -> int:
    """When a window begins: its days are whole UTC days, today included."""
    if window == "all":
        return 0
    return (now_us // DAY_US - _DAYS[window] + 1) * DAY_US


class CostSums:
    """Costs added up along a dimension, one at a time."""

    def __init__(self, by: Dimension) -> None:
        self._by = by
        self._sums: dict[str | None, list[int]] = {}

    def add(self, item: CostItem) -> None:
        """One cost more."""
        total = self._sums.setdefault(item.name(self._by), [0, 0])
        total[0] += item.llm_micro
        total[1] += item.compute_micro

    def groups(self) -> tuple[CostGroup, ...]:
        """The sums: days in their order, everything else dearest first."""
        groups = (
            CostGroup(name=name, llm_cost=llm, compute_cost=compute, total_cost=llm + compute)
            for name, (llm, compute) in self._sums.items()
        )
        if self._by == "day":
            return tuple(sorted(groups, key=lambda group: group.name or ""))
        return tuple(sorted(groups, key=lambda group: (-group.total_cost, group.name or "")))
