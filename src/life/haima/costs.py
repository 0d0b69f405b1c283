"""What things cost, by service and day (haima.md §4.6 `GET /v1/cost`, HM-AUTO): a projection.

    autonomic.CostCharged    a charge with its reason; `model_inference` is the cost of thinking, everything else of doing
    finance.payment_settled  a payment; the service is the host that was paid

Days are UTC, by the events' own times. Amounts are micro-credits.
"""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.record import EventRecord
from life.haima.events import PaymentReleased, PaymentReserved, PaymentSettled, read_finance

DAY_US: Final = 86_400_000_000
MONTH_DAYS: Final = 30
Window = Literal["1d", "7d", "30d", "all"]
_DAYS: Final[dict[str, int]] = {"1d": 1, "7d": 7, "30d": 30}


class ServiceCost(msgspec.Struct, array_like=True, gc=False):
    """Of one service on one day."""

    llm_micro: int = 0
    compute_micro: int = 0


class CostBook(msgspec.Struct, kw_only=True):
    """Costs by day (number of days since 1970) and service. Belongs to one fold."""

    days: dict[str, dict[str, ServiceCost]] = {}
    hosts: dict[str, str] = {}
    """Host of open reservations, by payment id."""

    def apply(self, record: EventRecord) -> None:
        """Fold one event in; those that cost nothing change nothing."""
        charge = _read_charge(record)
        if charge is not None:
            self._add(record, charge.data.service or charge.data.reason, charge.data)
            return
        event = read_finance(record)
        if isinstance(event, PaymentReserved):
            self.hosts[event.payment_id] = _host(event.resource_url)
        elif isinstance(event, PaymentReleased):
            self.hosts.pop(event.payment_id, None)
        elif isinstance(event, PaymentSettled):
            host = self.hosts.pop(event.payment_id or "", "other")
            self._service(record, host).compute_micro += max(0, event.amount_micro_credits)

    def _add(self, record: EventRecord, name: str, data: _Charge) -> None:
        service = self._service(record, name[:128])
        if data.reason == "model_inference":
            service.llm_micro += max(0, data.amount_micro_credits)
        else:
            service.compute_micro += max(0, data.amount_micro_credits)

    def _service(self, record: EventRecord, name: str) -> ServiceCost:
        day = self.days.setdefault(str(record.timestamp_us // DAY_US), {})
        return day.setdefault(name, ServiceCost())


class CostLine(msgspec.Struct, frozen=True, kw_only=True):
    """One service of a report, in micro-credits."""

    name: str
    llm_cost: int
    compute_cost: int
    total_cost: int


class CostReport(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /v1/cost`. `monthly_burn_estimate` is that of the last 30 days; None where the journal is younger than a day."""

    window: str
    total_micro_credits: int
    services: tuple[CostLine, ...]
    economic_mode: str | None = None
    balance_micro_credits: int | None = None
    monthly_burn_estimate: int | None = None


def report(
    book: CostBook,
    window: str,
    *,
    now_us: int,
    economic_mode: str | None = None,
    balance_micro: int | None = None,
) -> CostReport:
    """Costs of the last days, today included, dearest first. InvalidInputError for a window that is none."""
    if window not in (*_DAYS, "all"):
        raise InvalidInputError("A window is 1d, 7d, 30d or all.")
    today = now_us // DAY_US
    first = 0 if window == "all" else today - _DAYS[window] + 1
    services = _sum(book, first)
    lines = sorted(
        (
            CostLine(
                name=name,
                llm_cost=cost.llm_micro,
                compute_cost=cost.compute_micro,
                total_cost=cost.llm_micro + cost.compute_micro,
            )
            for name, cost in services.items()
        ),
        key=lambda line: (-line.total_cost, line.name),
    )
    return CostReport(
        window=window,
        total_micro_credits=sum(line.total_cost for line in lines),
        services=tuple(lines),
        economic_mode=economic_mode,
        balance_micro_credits=balance_micro,
        monthly_burn_estimate=_burn(book, today),
    )


class CostProjection:
    """Costs as a projection (life.lago.projection.Projection)."""

    name = "haima.costs"
    version = 1
    kinds = ("Custom",)

    def initial(self) -> CostBook:
        """No costs."""
        return CostBook()

    def apply(self, state: CostBook, record: EventRecord) -> CostBook:
        """Fold one event in."""
        state.apply(record)
        return state

    def encode(self, state: CostBook) -> bytes:
        """Equal books give equal bytes."""
        return msgspec.json.encode(state, order="deterministic")

    def decode(self, state: bytes) -> CostBook:
        """What `encode` wrote."""
        return msgspec.json.decode(state, type=CostBook)


def _sum(book: CostBook, first_day: int) -> dict[str, ServiceCost]:
    services: dict[str, ServiceCost] = {}
    for day, costs in book.days.items():
        if int(day) < first_day:
            continue
        for name, cost in costs.items():
            total = services.setdefault(name, ServiceCost())
            total.llm_micro += cost.llm_micro
            total.compute_micro += cost.compute_micro
    return services


def _burn(book: CostBook, today: int) -> int | None:
    """Costs of the last 30 days; a younger journal is extrapolated from the days it has."""
    days = [int(day) for day in book.days]
    if not days or min(days) >= today:
        return None
    covered = min(MONTH_DAYS, today - min(days) + 1)
    spent = sum(cost.llm_micro + cost.compute_micro for cost in _sum(book, today - MONTH_DAYS + 1).values())
    return spent * MONTH_DAYS // covered


class _Charge(msgspec.Struct):
    amount_micro_credits: int
    reason: str = "adjustment"
    service: str | None = None


class _Charged(msgspec.Struct):
    event_type: str
    data: _Charge


_charged: Final = msgspec.json.Decoder(_Charged)


def _read_charge(record: EventRecord) -> _Charged | None:
    if record.kind_name != "Custom" or b"autonomic.CostCharged" not in record.payload[:200]:
        return None
    try:
        charge = _charged.decode(record.payload)
    except msgspec.DecodeError:
        return None
    return charge if charge.event_type == "autonomic.CostCharged" else None


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "other"
    except ValueError:
        return "other"
