"""The economic pillar: what the agent's means are, folded from the events of all its sessions and wallets.

    Message, AssistantMessageCommitted, ContextCompacted   what a model call cost (`token_usage`), once per call
    finance.payment_settled, finance.revenue_received      money that left and came
    finance.balance_synced, finance.wallet_created         what the chain says, for people
    autonomic.CreditDeposited, autonomic.CostCharged       what the agent may spend, and other charges against it
    autonomic.EconomicModeChanged                          the recorded mode
    anima.economic_belief_updated                          a balance somebody vouches for

A model call without a price is charged at the fallback rates. The monthly burn is the cost of the last 24 hours times 30,
and 0 in the first ten minutes. An agent works in bursts, so a first hour is not taken for the rate of a whole day: the
estimate would fall by its twentyfold as soon as there is a day to look at. All of it is event time, so a replay gives the
same.

Source: autonomic.md §2.4, §3, §3.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from life.aios.record import EventRecord
from life.aios.state import EconomicMode
from life.autonomic import modes, readings
from life.autonomic.hysteresis import HysteresisGate
from life.autonomic.readings import MAX_COUNT, bounded, count
from life.autonomic.state import VELOCITY_GATE, EconomicPillar
from life.autonomic.windows import SlidingSum

VELOCITY_WINDOW_MS: Final = 300_000
DAY_MS: Final = 86_400_000
FIRST_ESTIMATE_MS: Final = 600_000
DAYS_PER_MONTH: Final = 30


class TokenRates(msgspec.Struct, frozen=True, kw_only=True):
    """What a token costs where no event says it, in micro-credits (3 and 15 USD per million tokens)."""

    prompt_micro: int = 3
    completion_micro: int = 15


class Economy(msgspec.Struct, kw_only=True):
    """The fold. Give it every event of the agent, in the order of the journal; it never fails and never looks at a clock."""

    rates: TokenRates = TokenRates()
    address: str | None = None
    balance_micro: int | None = None
    wallet_micro: int | None = None
    revenue_micro: int = 0
    costs_micro: int = 0
    mode: EconomicMode = "sovereign"
    mode_since_ms: int = 0
    velocity: SlidingSum = msgspec.field(default_factory=lambda: SlidingSum(VELOCITY_WINDOW_MS, 1_000))
    day: SlidingSum = msgspec.field(default_factory=lambda: SlidingSum(DAY_MS, 60_000))
    gate: HysteresisGate = VELOCITY_GATE
    first_cost_ms: int = 0
    last_cost_ms: int = 0
    latest_ms: int = 0
    """The newest time that was seen."""
    charges: int = 0

    def copied(self) -> Economy:
        """Another one with the same contents, to be moved on without this one."""
        return msgspec.structs.replace(self, velocity=self.velocity.copied(), day=self.day.copied())

    def apply(self, record: EventRecord) -> None:
        """Take in one event; unknown ones change nothing."""
        name, at_ms = record.kind_name, record.timestamp_us // 1000
        if name in readings.USAGE_KINDS:
            self.used(readings.used_tokens(record.payload), at_ms)
        elif name == "Custom":
            try:
                custom = readings.NAMED.decode(record.payload)
                self.named(custom.event_type, custom.data, at_ms)
            except msgspec.DecodeError:
                return  # of another maker: it says nothing that can be read

    def used(self, usage: readings.Usage | None, at_ms: int) -> None:
        """What a model call used, if it said so."""
        if usage is not None:
            cost = usage.cost_micro
            self.charge(self.cost_of(usage) if cost is None else cost, at_ms)

    def named(self, event_type: str, data: msgspec.Raw, at_ms: int) -> None:
        """An event of a subsystem; msgspec.DecodeError when it does not fit."""
        handler = _HANDLERS.get(event_type)
        if handler is not None:
            handler(self, data, at_ms)

    def cost_of(self, usage: readings.Usage) -> int:
        """Micro-credits of a model call: its own price, else the fallback rates."""
        if usage.cost_micro is not None:
            return usage.cost_micro
        return (
            count(usage.prompt_tokens) * self.rates.prompt_micro
            + count(usage.completion_tokens) * self.rates.completion_micro
        )

    def charge(self, amount_micro: int, at_ms: int) -> None:
        """Money that was spent."""
        if amount_micro <= 0:
            return
        if amount_micro > MAX_COUNT:
            amount_micro = MAX_COUNT
        if at_ms < self.latest_ms:
            self.clock_seen(at_ms)
        self.latest_ms = at_ms
        self.charges += 1
        self.costs_micro += amount_micro
        if self.balance_micro is not None:
            self.balance_micro -= amount_micro
        self.velocity.add(at_ms, amount_micro)
        self.day.add(at_ms, amount_micro)
        self.first_cost_ms = self.first_cost_ms or at_ms
        self.last_cost_ms = at_ms
        gate, total = self.gate, self.velocity.total
        if total <= gate.threshold_exit if gate.active else total >= gate.threshold_enter:
            self.gate = gate.evaluate(total, at_ms)

    def clock_seen(self, at_ms: int) -> None:
        """After the clock has stepped back, what was noted later is as old as this: no hold lasts for as long as the step was."""
        self.latest_ms = at_ms
        self.mode_since_ms = min(self.mode_since_ms, at_ms)
        self.first_cost_ms = min(self.first_cost_ms, at_ms)
        self.last_cost_ms = min(self.last_cost_ms, at_ms)

    def next_mode(self, now_ms: int) -> EconomicMode:
        """The mode that should be recorded now."""
        since_ms = max(0, now_ms - self.mode_since_ms)
        return modes.next_mode(self.mode, self.balance_micro, self.monthly_burn(now_ms), since_last_change_ms=since_ms)

    def ruling_mode(self, now_ms: int) -> EconomicMode:
        """The mode that governs now: what is recorded, or what the means call for if that is stricter."""
        return modes.stricter(self.mode, modes.target_mode(self.balance_micro, self.monthly_burn(now_ms)))

    def monthly_burn(self, now_ms: int) -> int:
        """Micro-credits per 30 days, estimated at `now_ms`."""
        observed_ms = now_ms - self.first_cost_ms if self.first_cost_ms else 0
        if observed_ms < FIRST_ESTIMATE_MS:
            return 0
        return self.day.sum_at(now_ms) * DAYS_PER_MONTH

    def pillar(self, now_ms: int) -> EconomicPillar:
        """The economic pillar as of `now_ms`."""
        velocity = self.velocity.sum_at(now_ms)
        return EconomicPillar(
            identity_address=self.address,
            balance_micro_credits=self.balance_micro,
            lifetime_revenue=self.revenue_micro,
            lifetime_costs=self.costs_micro,
            monthly_burn_estimate=self.monthly_burn(now_ms),
            mode=self.mode,
            mode_since_ms=self.mode_since_ms,
            cost_last_5min=velocity,
            last_cost_event_ms=self.last_cost_ms,
            velocity_gate=self.gate.evaluate(velocity, now_ms),
            wallet_balance_micro=self.wallet_micro,
        )


def _settled(economy: Economy, data: msgspec.Raw, at_ms: int) -> None:
    economy.charge(readings.read(data, readings.Amount).amount_micro_credits, at_ms)


def _received(economy: Economy, data: msgspec.Raw, at_ms: int) -> None:
    amount = count(readings.read(data, readings.Amount).amount_micro_credits)
    economy.revenue_micro += amount
    if economy.balance_micro is not None:
        economy.balance_micro += amount


def _refunded(economy: Economy, data: msgspec.Raw, at_ms: int) -> None:
    amount = count(readings.read(data, readings.Amount).amount_micro_credits)
    economy.revenue_micro -= amount
    if economy.balance_micro is not None:
        economy.balance_micro -= amount


def _deposited(economy: Economy, data: msgspec.Raw, at_ms: int) -> None:
    # The amount counts. What the depositor took for the balance is used only while nobody has said what it is: between its
    # look and this event others may have spent.
    deposit = readings.read(data, readings.Amount)
    economy.clock_seen(at_ms)
    if economy.balance_micro is None and deposit.balance_after is not None:
        economy.balance_micro = bounded(deposit.balance_after)
    else:
        economy.balance_micro = bounded((economy.balance_micro or 0) + count(deposit.amount_micro_credits))


def _charged(economy: Economy, data: msgspec.Raw, at_ms: int) -> None:
    charge = readings.read(data, readings.Amount)
    known = economy.balance_micro is not None
    economy.charge(charge.amount_micro_credits, at_ms)
    if not known and charge.balance_after is not None:
        economy.balance_micro = bounded(charge.balance_after)


def _moved(economy: Economy, data: msgspec.Raw, at_ms: int) -> None:
    to = readings.read(data, readings.ModeMove).to
    economy.clock_seen(at_ms)
    if modes.may_move(economy.mode, to, since_last_change_ms=max(0, at_ms - economy.mode_since_ms)):
        economy.mode, economy.mode_since_ms = to, at_ms


def _believed(economy: Economy, data: msgspec.Raw, at_ms: int) -> None:
    economy.balance_micro = bounded(readings.read(data, readings.Believed).balance_micro_credits)


def _synced(economy: Economy, data: msgspec.Raw, at_ms: int) -> None:
    economy.wallet_micro = count(readings.read(data, readings.Synced).on_chain_micro_credits)


def _wallet(economy: Economy, data: msgspec.Raw, at_ms: int) -> None:
    economy.address = economy.address or readings.read(data, readings.Wallet).address


_HANDLERS: Final[dict[str, Callable[[Economy, msgspec.Raw, int], None]]] = {
    "finance.payment_settled": _settled,
    "finance.revenue_received": _received,
    "finance.refund_settled": _refunded,
    "finance.balance_synced": _synced,
    "finance.wallet_created": _wallet,
    "autonomic.CreditDeposited": _deposited,
    "autonomic.CostCharged": _charged,
    "autonomic.EconomicModeChanged": _moved,
    "anima.economic_belief_updated": _believed,
}
