"""Budgets by day, host, payee and task: for tasks and processes at once, and whatever the clock does."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.haima import events
from life.haima.budgets import QUARTER_US, QUARTERS_PER_DAY, Budgets
from life.haima.errors import PolicyDeniedError
from life.haima.policy import PaymentPolicy
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock
from tests.haima.payer_kit import replayed, same_state
from tests.haima.test_purse import make, order
from tests.haima.test_reservations import reserved

DAY_US = QUARTERS_PER_DAY * QUARTER_US
MIDNIGHT_US = 1_763_596_800_000_000
"""2025-11-20T00:00:00Z."""
WIDE = {"max_tx_per_minute": 10**6, "session_spend_cap_micro": 10**12, "auto_approve_cap_micro": 10**6}


@pytest.mark.parametrize(
    ("caps", "changes", "code"),
    [
        ({"day_cap_micro": 1_050}, {}, "day_cap"),
        ({"rolling_day_cap_micro": 1_050}, {}, "day_cap"),
        ({"payee_cap_micro": 1_050}, {}, "payee_cap"),
        ({"task_cap_micro": 1_050}, {"task_id": "t"}, "task_cap"),
        ({"host_cap_micro": 1_050}, {}, "host_cap"),
        ({"total_cap_micro": 1_050}, {}, "total_cap"),
        ({"session_spend_cap_micro": 1_050}, {}, "session_cap"),
    ],
    ids=lambda value: str(value),
)
async def test_sixty_four_tasks_in_two_processes_share_a_cap(
    caps: dict[str, int], changes: dict[str, object], code: str
) -> None:
    """Room for twenty-one of fifty; sixty-four tasks in two processes jump at it: twenty-one get through."""
    journal, clock = MemoryJournal(), ManualClock(MIDNIGHT_US)
    policy = PaymentPolicy(**{**WIDE, **caps})  # type: ignore[arg-type]
    purses = [make(journal, seed=f"p{number}", policy=policy, clock=clock) for number in range(2)]
    for purse in purses:
        await purse.open()
    outcomes = await asyncio.gather(
        *(purses[number % 2].reserve(order(f"o{number}", 50, **changes)) for number in range(64)),
        return_exceptions=True,
    )
    denials = [outcome for outcome in outcomes if isinstance(outcome, PolicyDeniedError)]
    assert len(outcomes) - len(denials) == 21 and {denial.verdict for denial in denials} == {code}
    state = await replayed(journal)
    assert state.outstanding_micro == 1_050
    for purse in purses:
        await purse.catch_up()
        assert same_state(purse.state, await replayed(journal))


async def test_a_new_utc_day_and_a_sliding_one() -> None:
    """The UTC day begins at midnight; the sliding one has room again when what filled it is a day old, give or take 15 min."""
    clock = ManualClock(MIDNIGHT_US - 1)
    utc = make(MemoryJournal(), clock=clock, policy=PaymentPolicy(**WIDE, day_cap_micro=100))  # type: ignore[arg-type]
    sliding = make(MemoryJournal(), clock=clock, policy=PaymentPolicy(**WIDE, rolling_day_cap_micro=100))  # type: ignore[arg-type]
    for purse in (utc, sliding):
        await purse.open()
        await purse.reserve(order("a", 100))
    clock.advance_us(1)
    assert (await utc.reserve(order("b", 100))).created
    with pytest.raises(PolicyDeniedError):
        await sliding.reserve(order("b", 100))
    clock.advance_us(DAY_US - QUARTER_US)
    with pytest.raises(PolicyDeniedError):
        await sliding.reserve(order("b", 100))
    clock.advance_us(2 * QUARTER_US)
    assert (await sliding.reserve(order("b", 100))).created


@pytest.mark.parametrize("jump_us", [-DAY_US // 2, -3 * DAY_US, DAY_US // 2, 400 * DAY_US])
@pytest.mark.parametrize("cap", ["day_cap_micro", "rolling_day_cap_micro"])
async def test_a_clock_that_jumps_there_and_back(cap: str, jump_us: int) -> None:
    """Whatever time a clock claims, what was spent at a time counts there: jumping away and back opens no spent day."""
    clock = ManualClock(MIDNIGHT_US + DAY_US // 2)
    purse = make(MemoryJournal(), clock=clock, policy=PaymentPolicy(**WIDE, **{cap: 100}))  # type: ignore[arg-type]
    await purse.open()
    for number in range(6):
        for purchase in range(2):
            try:
                await purse.reserve(order(f"{number}-{purchase}", 100))
            except PolicyDeniedError as denied:
                assert denied.verdict == "day_cap"
        clock.step_wall_us(jump_us if number % 2 == 0 else -jump_us)
    assert purse.state.outstanding_micro <= 200, "one day's cap here, one day's cap there"


async def test_the_rate_after_a_clock_was_wrong() -> None:
    """A clock that was a year ahead for a moment does not ration the year; and within a minute of any reservation's time
    there are never more than the rate."""
    clock = ManualClock()
    purse = make(MemoryJournal(), clock=clock, policy=PaymentPolicy(max_tx_per_minute=3))
    await purse.open()
    clock.step_wall_us(365 * DAY_US)
    for number in range(3):
        await purse.reserve(order(f"ahead-{number}", 1))
    clock.step_wall_us(-365 * DAY_US)
    for number in range(3):
        await purse.reserve(order(f"back-{number}", 1))
    with pytest.raises(PolicyDeniedError) as denied:
        await purse.reserve(order("more", 1))
    assert denied.value.verdict == "rate_limited"
    clock.step_wall_us(-30_000_000)
    with pytest.raises(PolicyDeniedError):
        await purse.reserve(order("more", 1))
    clock.advance_us(91_000_000)
    assert (await purse.reserve(order("more", 1))).created


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 4 * QUARTERS_PER_DAY), st.integers(1, 100)), min_size=1, max_size=40),
    st.integers(0, 4 * QUARTERS_PER_DAY),
)
def test_the_sums_of_days(spent: list[tuple[int, int]], now: int) -> None:
    """Property: the sums are those of a straight count, for few quarters and for many."""
    for filler in (0, 3 * QUARTERS_PER_DAY):
        budgets = Budgets()
        for number in range(filler):
            budgets.move(reserved(f"f{number}"), (10_000 + number) * QUARTER_US, 1)
        for quarter, amount in spent:
            budgets.move(reserved("p"), quarter * QUARTER_US + 7, amount)
        found = budgets.spending(
            session_id="s", task_id=None, payee=None, host=None, total_micro=0, now_us=now * QUARTER_US
        )
        day = now // QUARTERS_PER_DAY
        assert found.day_micro == sum(a for quarter, a in spent if quarter // QUARTERS_PER_DAY == day)
        assert found.rolling_day_micro == sum(a for quarter, a in spent if abs(quarter - now) <= QUARTERS_PER_DAY)
        assert found.host_micro == 0
        seen = budgets.spending(
            session_id="s", task_id=None, payee=None, host="a.example", total_micro=0, now_us=now, days=False
        )
        assert seen.host_micro == filler + sum(a for _, a in spent) and seen.day_micro == 0


async def test_modes_have_their_own_auto_approve_cap() -> None:
    """A table of caps by economic mode; a mode that is not in it has the general one."""
    policy = PaymentPolicy(auto_approve_cap_micro=100, auto_approve_by_mode_micro={"conserving": 10, "hustle": 0})
    assert [policy.auto_approve_cap_in(mode) for mode in (None, "unknown", "sovereign", "conserving", "hustle")] == [
        100,
        100,
        100,
        10,
        0,
    ]
    for wrong in ({"auto_approve_by_mode_micro": {"hustle": -1}}, {"price_jump_percent": 99}, {"day_cap_micro": -1}):
        with pytest.raises(InvalidInputError):
            PaymentPolicy(**wrong)


def test_a_session_is_still_a_session() -> None:
    """The counted session of an event without one is the empty one."""
    budgets = Budgets()
    budgets.move(msgspec.structs.replace(reserved("p"), session_id=None), 0, 5)
    assert (
        budgets.spending(session_id="", task_id=None, payee=None, host=None, total_micro=0, now_us=0).session_micro == 5
    )
    assert isinstance(reserved("p"), events.PaymentReserved)
