"""What an agent takes on by itself."""

from __future__ import annotations

from life.host.hiring.acceptance import Acceptance
from life.spaces.hiring.hire import Hire
from life.spaces.hiring.peers import Peer
from life.testing.clock import ManualClock

HOUR_US = 3_600_000_000


def hire(number: int, *, customer: str = "ann", price_micro: int = 0) -> Hire:
    """An offer."""
    return Hire(
        hire_id=f"hire-{number}",
        kind="hire",
        role="worker",
        state="offered",
        peer=Peer(identity=customer, name=customer, is_agent=True),
        title="T",
        task="t",
        price_micro=price_micro,
    )


def test_a_price_below_the_bar_is_declined() -> None:
    """At the bar it is taken."""
    accepts = Acceptance(ManualClock(), min_price_micro=100)
    assert accepts(hire(1, price_micro=100)) is None
    assert "below 100" in str(accepts(hire(2, price_micro=99)))


def test_one_customer_gets_a_quarter_of_the_unpaid_ones() -> None:
    """The rest is for others, and what is paid for is never counted."""
    accepts = Acceptance(ManualClock(), free_per_hour=8)
    assert [accepts(hire(number)) for number in range(3)][:2] == [None, None]
    assert "too many unpaid" in str(accepts(hire(3)))
    assert accepts(hire(4, price_micro=1)) is None
    assert accepts(hire(5, customer="bob")) is None


def test_many_names_are_no_way_around_it() -> None:
    """Everybody's together are bounded; an hour later there is room again."""
    clock = ManualClock()
    accepts = Acceptance(clock, free_per_hour=8)
    said = [accepts(hire(number, customer=f"name-{number}")) for number in range(20)]
    assert said[:8] == [None] * 8 and None not in said[8:]
    clock.advance_us(HOUR_US)
    assert accepts(hire(21)) is None


def test_the_same_hire_counts_once() -> None:
    """It is asked about again when taking it on failed for the moment."""
    accepts = Acceptance(ManualClock(), free_per_hour=4)
    assert [accepts(hire(1)) for _ in range(9)] == [None] * 9


def test_none_at_all() -> None:
    """0 means that nothing is done for nothing."""
    accepts = Acceptance(ManualClock(), free_per_hour=0)
    assert "Offer a price" in str(accepts(hire(1))) and accepts(hire(2, price_micro=1)) is None
