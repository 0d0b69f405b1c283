"""The seller with a facilitator over real HTTP that lies, comes late, never or twice (x402.md §12 rows 3, 8, 9, 10)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from life.haima.facilitator.port import REPEATABLE_SETTLEMENT
from life.haima.facilitator.remote import RemoteFacilitator
from life.haima.x402.networks import LOCAL
from life.host.clock import SystemClock
from tests.haima.scripted_facilitator import ScriptedFacilitator
from tests.haima.shop import PRICE_ATOMIC, Shop, error_of, settlement_of


@pytest.fixture
def scripted() -> Iterator[ScriptedFacilitator]:
    """A facilitator that remembers, unless told otherwise."""
    with ScriptedFacilitator(LOCAL, extensions=(REPEATABLE_SETTLEMENT,)) as facilitator:
        yield facilitator


@pytest.fixture
async def shop(scripted: ScriptedFacilitator) -> AsyncIterator[Shop]:
    """A seller that uses it."""
    remote = RemoteFacilitator(scripted.url, SystemClock(), timeout_s=0.5, pending_resends=1, pending_pause_us=1000)
    made = Shop(facilitator=remote)
    yield made
    await made.aclose()


@pytest.mark.parametrize("step", ["pending 200", "pending 500", "pending 202"])
async def test_late_once_is_delivered_at_once(shop: Shop, scripted: ScriptedFacilitator, step: str) -> None:
    """Pending once is asked again with the identical call: the buyer notices nothing."""
    scripted.script("settle", step)
    answer = await shop.get("/paid", shop.pay(1))
    assert answer.status_code == 200
    assert scripted.count("settle") == 2
    assert await shop.booked() == PRICE_ATOMIC


@pytest.mark.parametrize(
    "steps",
    [
        ["pending 200", "pending 200"],
        ["moves and hangs up"],
        ["hangs up"],
        ["status 500"],
        ["status 502"],
        ["status 401"],
        ["garbage"],
        ["silent"],
        ["refuse unexpected_settle_error"],
    ],
    ids=lambda steps: steps[0],
)
async def test_unknown_is_503_until_it_is_known(shop: Shop, scripted: ScriptedFacilitator, steps: list[str]) -> None:
    """Whatever leaves the outcome open is 503; the same payment again is delivered, run once, moved once, booked once."""
    scripted.script("settle", *steps)
    header = shop.pay(1)
    unknown = await shop.get("/paid", header)
    assert unknown.status_code == 503
    assert "payment-required" not in unknown.headers
    assert await shop.booked() == 0
    delivered = await shop.get("/paid", header)
    assert (delivered.status_code, delivered.json()["runs"]) == (200, 1)
    assert settlement_of(delivered).success
    assert (await shop.hits())["paid"] == 1
    assert set(scripted.moved.values()) == {1}
    assert await shop.booked() == PRICE_ATOMIC


@pytest.mark.parametrize("step", ["status 500", "status 404", "garbage", "hangs up", "silent"])
async def test_unverifiable_is_503_and_runs_nothing(shop: Shop, scripted: ScriptedFacilitator, step: str) -> None:
    """A facilitator that can't verify is no reason to refuse, nor to run."""
    scripted.script("verify", step)
    header = shop.pay(1)
    assert (await shop.get("/paid", header)).status_code == 503
    assert (await shop.hits())["paid"] == 0
    assert scripted.count("settle") == 0
    assert (await shop.get("/paid", header)).status_code == 200


async def test_liar_is_believed_and_the_answer_kept_back(shop: Shop, scripted: ScriptedFacilitator) -> None:
    """A facilitator that moved the money and denies it is the one the seller chose to trust: no delivery, no booking, 402,
    and its own words in PAYMENT-RESPONSE, with the hash that proves it."""
    scripted.script("settle", "moves and refuses")
    answer = await shop.get("/paid", shop.pay(1))
    assert answer.status_code == 402
    assert error_of(answer) == "transaction_failed"
    assert settlement_of(answer).transaction
    assert b"runs" not in answer.content
    assert await shop.booked() == 0


async def test_says_yes_twice(shop: Shop, scripted: ScriptedFacilitator) -> None:
    """A settlement that is confirmed a second time is booked once."""
    scripted.script("settle", "pending 200", "ok")
    header = shop.pay(1)
    for _ in range(3):
        assert (await shop.get("/paid", header)).status_code == 200
    assert scripted.count("settle") == 2
    assert await shop.booked() == PRICE_ATOMIC


async def test_verifies_what_can_not_be_settled(shop: Shop, scripted: ScriptedFacilitator) -> None:
    """Verified, run, and then refused: no delivery, no booking."""
    scripted.script("settle", "refuse insufficient_funds")
    answer = await shop.get("/paid", shop.pay(1))
    assert (answer.status_code, error_of(answer)) == (402, "insufficient_funds")
    assert await shop.booked() == 0
