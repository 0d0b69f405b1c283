"""Account nonces: every one goes out once, returned ones first, no gap stays."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from life.haima.chain.account_nonces import AccountNonces


def counted(start: int = 7) -> tuple[AccountNonces, list[int]]:
    """Nonces over a node that always answers `start`, and how often it was asked."""
    asked: list[int] = []

    async def fetch() -> int:
        asked.append(start)
        return start

    return AccountNonces(fetch), asked


async def test_reserved_at_once_are_all_different() -> None:
    """Twelve reservations at the same time are twelve nonces in a row; the node is asked once."""
    nonces, asked = counted()
    reserved = await asyncio.gather(*(nonces.reserve() for _ in range(12)))
    assert sorted(reserved) == list(range(7, 19))
    assert len(asked) == 1


async def test_returned_nonce_goes_out_again() -> None:
    """What was given back is reserved before anything new."""
    nonces, _ = counted()
    first, second, third = [await nonces.reserve() for _ in range(3)]
    nonces.spend(second)
    nonces.spend(third)
    nonces.give_back(first)
    assert list(nonces.gaps) == [7]
    assert await nonces.reserve() == first
    assert not nonces.gaps
    assert await nonces.reserve() == 10


async def test_giving_back_twice_or_after_spending_changes_nothing() -> None:
    """Only what is reserved can be given back."""
    nonces, _ = counted()
    nonce = await nonces.reserve()
    nonces.spend(nonce)
    nonces.give_back(nonce)
    nonces.give_back(99)
    assert await nonces.reserve() == 8


async def test_resync_asks_again_and_keeps_reservations() -> None:
    """After a resync the node's word counts, and what is still reserved is not handed out a second time."""
    nonces, asked = counted()
    held = await nonces.reserve()
    nonces.resync()
    assert await nonces.reserve() == held + 1
    assert len(asked) == 2


@given(st.lists(st.sampled_from(["reserve", "spend", "give back"]), max_size=60), st.randoms(use_true_random=False))
def test_no_nonce_is_held_twice(steps: list[str], random: object) -> None:
    """Whatever happens in whatever order, no nonce is held by two, and those spent and missing lie below the next one."""

    async def run() -> None:
        nonces, _ = counted(0)
        held: list[int] = []
        spent: set[int] = set()
        for step in steps:
            if step == "reserve":
                nonce = await nonces.reserve()
                assert nonce not in held
                assert nonce not in spent
                held.append(nonce)
            elif held:
                nonce = held.pop(random.randrange(len(held)))  # type: ignore[attr-defined]
                if step == "spend":
                    nonces.spend(nonce)
                    spent.add(nonce)
                else:
                    nonces.give_back(nonce)
        upcoming = [await nonces.reserve() for _ in range(len(steps) + 1)]
        assert set(upcoming) | set(held) | spent == set(range(len(upcoming) + len(held) + len(spent)))

    asyncio.run(run())
