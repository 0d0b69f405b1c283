"""The agent's means: charged once, metered only when somebody said so, and never broken by a clock or a number."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios import events
from life.aios.events import Kind
from life.aios.state import TokenUsage
from life.autonomic.economy import Economy, TokenRates
from life.autonomic.readings import MAX_COUNT
from tests.autonomic.vitals import T0_MS, economy_of, named, record, stream

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


def call(cost_micro: int | None = None, prompt: int = 1_000, completion: int = 100) -> Kind:
    """A model call."""
    usage = TokenUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
    if cost_micro is not None:
        usage = msgspec.structs.replace(usage, cost_micro=cost_micro)
    return events.Message(role="assistant", content="", token_usage=usage)


def deposit(amount: int) -> Kind:
    return named("autonomic.CreditDeposited", amount_micro_credits=amount, source="test")


def at(economy: Economy, kind: Kind, at_ms: int) -> None:
    """One more event, then."""
    economy.apply(record(kind, at_ms=at_ms))


def test_without_a_credit_nothing_is_metered() -> None:
    """Costs are counted, a balance there is none, and the mode stays sovereign."""
    economy = economy_of(stream(call(10**9)))
    assert (economy.balance_micro, economy.costs_micro) == (None, 10**9)
    assert economy.ruling_mode(T0_MS + HOUR_MS) == "sovereign"


def test_its_own_price_counts_else_the_rates() -> None:
    """3 and 15 micro-credits for a token, unless the event says what it cost; a free call costs nothing."""
    assert economy_of(stream(call())).costs_micro == 1_000 * 3 + 100 * 15
    assert economy_of(stream(call(7))).costs_micro == 7
    assert economy_of(stream(call(0))).costs_micro == 0
    free = Economy(rates=TokenRates(prompt_micro=0, completion_micro=0))
    at(free, call(), T0_MS)
    assert free.costs_micro == 0


def test_every_way_that_money_moves() -> None:
    """Deposits, model calls, payments, charges, revenue and refunds move one balance."""
    course = [
        deposit(1_000_000),
        call(1_000),
        named("finance.payment_settled", amount_micro_credits=2_000),
        named("autonomic.CostCharged", amount_micro_credits=3_000, reason="r"),
        named("finance.revenue_received", amount_micro_credits=500),
        named("finance.refund_settled", amount_micro_credits=100),
        events.ContextCompacted(
            dropped_count=1, tokens_before=2, tokens_after=1, token_usage=TokenUsage(1, 1, 2, cost_micro=50)
        ),
    ]
    economy = economy_of(stream(*course))
    assert economy.balance_micro == 1_000_000 - 1_000 - 2_000 - 3_000 + 500 - 100 - 50
    assert (economy.costs_micro, economy.revenue_micro) == (6_050, 400)


def test_a_stale_balance_in_a_deposit_loses_no_charge() -> None:
    """What the depositor took for the balance is for people; between its look and its event others spent."""
    stale = named("autonomic.CreditDeposited", amount_micro_credits=100, source="s", balance_after=1_100)
    economy = economy_of(stream(deposit(1_000), call(600), stale))
    assert economy.balance_micro == 1_000 - 600 + 100


def test_a_charge_of_another_maker_tells_the_balance() -> None:
    """Where nobody said what the agent may spend, the first event that knows does; later ones are counted."""
    first = named("autonomic.CostCharged", amount_micro_credits=100_000, reason="r", balance_after=9_900_000)
    again = named("autonomic.CostCharged", amount_micro_credits=100_000, reason="r", balance_after=1)
    assert economy_of(stream(first)).balance_micro == 9_900_000
    assert economy_of(stream(first, again)).balance_micro == 9_800_000


def test_burn_is_what_the_last_day_cost_thirty_times() -> None:
    """Nothing in the first ten minutes, then the last 24 hours, and nothing of before."""
    economy = economy_of(stream(call(1_000)))
    assert economy.monthly_burn(T0_MS + 9 * MINUTE_MS) == 0
    assert economy.monthly_burn(T0_MS + 10 * MINUTE_MS) == 30_000
    assert economy.monthly_burn(T0_MS + 23 * HOUR_MS) == 30_000
    assert economy.monthly_burn(T0_MS + 25 * HOUR_MS) == 0


def test_velocity_opens_at_its_threshold_and_closes_at_seven_tenths() -> None:
    """Half a dollar in five minutes."""
    economy = economy_of(stream(call(499_999)))
    assert not economy.pillar(T0_MS).velocity_gate.active
    at(economy, call(1), T0_MS + 1_000)
    assert economy.pillar(T0_MS + 1_000).velocity_gate.active
    at(economy, call(1), T0_MS + 2 * MINUTE_MS)
    assert economy.pillar(T0_MS + 4 * MINUTE_MS).velocity_gate.active
    assert not economy.pillar(T0_MS + 6 * MINUTE_MS).velocity_gate.active


def test_the_recorded_mode_moves_by_its_event_alone_and_holds() -> None:
    """Relaxation within 30 seconds is ignored, after them it is taken; escalation is taken at once."""

    def move(to: str) -> Kind:
        return named("autonomic.EconomicModeChanged", **{"from": "x"}, to=to, reason="r")

    economy, modes = economy_of(stream(move("hibernate"))), []
    for to, after_ms in (("sovereign", 29_999), ("sovereign", 30_000), ("hustle", 30_001)):
        at(economy, move(to), T0_MS + after_ms)
        modes.append(economy.mode)
    assert modes == ["hibernate", "sovereign", "hustle"]


@pytest.mark.parametrize("jump_ms", [10 * 365 * 86_400_000, -10 * 365 * 86_400_000, 3_600_000])
def test_a_clock_that_jumped_and_came_back_holds_nothing_for_years(jump_ms: int) -> None:
    """A mode that was recorded under a wrong clock can be left half a minute after the clock is right again."""
    economy = economy_of(stream(deposit(10_000_000)))
    at(economy, call(20_000_000), T0_MS + jump_ms)
    at(economy, named("autonomic.EconomicModeChanged", to="hibernate", reason="r"), T0_MS + jump_ms)
    back_ms = T0_MS + 60_000
    at(economy, deposit(10**12), back_ms)
    assert economy.next_mode(back_ms + 31_000) in ("sovereign", "conserving", "hustle")
    assert economy.next_mode(back_ms + 2 * 86_400_000) == "sovereign"


@given(st.integers(-(2**200), 2**200), st.integers(-(2**200), 2**200))
def test_no_amount_is_too_large(first: int, second: int) -> None:
    """Whatever a journal says, balance and burn are numbers that everything can work with."""
    data = b'{"type":"Custom","event_type":"%b","data":{"amount_micro_credits":%d}}'
    economy = Economy()
    for event_type, amount in ((b"autonomic.CreditDeposited", first), (b"autonomic.CostCharged", second)):
        one = record(events.UserMessage(content=""))
        economy.apply(msgspec.structs.replace(one, kind_name="Custom", payload=data % (event_type, amount)))
    pillar = economy.pillar(T0_MS + 11 * MINUTE_MS)
    assert pillar.balance_micro_credits is None or abs(pillar.balance_micro_credits) <= 2 * MAX_COUNT
    assert economy.next_mode(T0_MS + 11 * MINUTE_MS) in ("sovereign", "conserving", "hustle", "hibernate")
    assert pillar.runway_days is None or pillar.runway_days >= 0


@given(
    st.lists(st.tuples(st.integers(0, 120_000), st.integers(0, 10**6), st.booleans()), max_size=80),
    st.integers(0, 80),
)
def test_a_snapshot_in_between_changes_nothing(course: list[tuple[int, int, bool]], cut: int) -> None:
    """Folding on from a saved economy gives what folding everything gives."""
    records, now_ms = [], T0_MS
    for number, (passed_ms, amount, is_deposit) in enumerate(course):
        now_ms += passed_ms
        records.append(record(deposit(amount) if is_deposit else call(amount), sequence=number + 1, at_ms=now_ms))
    whole, first = economy_of(records), economy_of(records[:cut])
    saved = msgspec.msgpack.decode(msgspec.msgpack.encode(first), type=Economy)
    for one in records[cut:]:
        saved.apply(one)
    assert msgspec.json.encode(saved) == msgspec.json.encode(whole)
