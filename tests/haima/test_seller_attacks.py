"""The findings about the original's server, as attacks that fail (haima.md §8.2, §8.4; x402.md §12), at the seller's door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from life.haima.facilitator.remote import RemoteFacilitator
from life.haima.x402 import codes
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.haima.x402.paid_routes import Route
from life.host.clock import SystemClock
from life.testing.chain import PAYER, STRANGER_KEY, sign
from life.testing.clock import ManualClock
from tests.haima.scripted_facilitator import ScriptedFacilitator
from tests.haima.shop import PRICE, PRICE_ATOMIC, Shop, edited, error_of, plain_app, settlement_of

STRANGER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """A shop whose payer has money."""
    made = Shop()
    await made.fund()
    yield made
    await made.aclose()


async def test_w14_any_64_bytes_settle_nothing(shop: Shop) -> None:
    """W14: 64 or 65 bytes of 0xab, of zeros, of somebody's hash: no payer, payee or transaction is invented from them."""
    for signature in (b"\xab" * 64, b"\xab" * 65, bytes(65), b"\xab" * 64 + b"\x1b", bytes(64) + b"\x1c"):
        answer = await shop.get("/paid", shop.header(shop.authorization(1), signature))
        assert answer.status_code == 402
        assert "payment-response" not in answer.headers
    assert (await shop.hits())["paid"] == 0
    assert await shop.events() == []
    assert await shop.earned() == await shop.booked() == 0


async def test_w15_replays_buy_nothing_more(shop: Shop) -> None:
    """W15: the same header for ever, in other spellings, for other resources, after a restart, after its time: one sale."""
    header = shop.pay(1)
    await shop.get("/paid", header)
    restarted = Shop(journal=shop.journal, clock=shop.clock, entropy_seed="restarted")
    for each in (shop, restarted):
        for path in ("/paid", "/fail", "/paid?x=1"):
            for spelling in (header, edited(header, payload__authorization__from=PAYER.lower())):
                await each.get(path, spelling)
    shop.clock.advance_us(2 * 3600 * 1_000_000)
    assert (await shop.get("/paid", header)).status_code == 409
    assert await shop.earned() == await shop.booked() == PRICE_ATOMIC
    assert (await shop.hits())["paid"] == 1
    assert (await restarted.hits())["paid"] == 0
    await restarted.aclose()


async def test_w16_nobody_poisons_the_figures(shop: Shop) -> None:
    """W16: a thousand forged, refused and malformed requests leave no trace in what is counted: figures are folds of events, and
    only a settled sale writes revenue."""
    await shop.get("/paid", shop.pay(1))
    before = len(await shop.events())
    for number in range(2, 200):
        await shop.get("/paid", shop.header(shop.authorization(number), sign(shop.authorization(number), STRANGER_KEY)))
        await shop.get("/paid", edited(shop.pay(number), payload__authorization__value=str(2**255)))
        await shop.get("/paid", "x" * number)
    assert len(await shop.events()) == before
    assert await shop.booked() == PRICE_ATOMIC


async def test_w17_exposure_never_exceeds_what_is_there(shop: Shop) -> None:
    """W17: sixty payments at once out of a purse for ten: ten are sold, the others are refused, and nothing is delivered or
    booked that did not move."""
    poor = Shop(journal=shop.journal, clock=shop.clock, verify="local", entropy_seed="poor")
    await poor.ledger.fund(STRANGER, 10 * PRICE_ATOMIC, asset=PLAY_MONEY.address)

    def header(number: int) -> str:
        authorization = poor.authorization(number, from_address=STRANGER)
        return poor.header(authorization, sign(authorization, STRANGER_KEY))

    answers = await asyncio.gather(*(poor.get("/paid", header(number)) for number in range(1, 61)))
    sold = [answer for answer in answers if answer.status_code == 200]
    assert len(sold) == 10
    assert all(b"runs" not in answer.content for answer in answers if answer.status_code != 200)
    assert await poor.earned() == await poor.booked() == 10 * PRICE_ATOMIC
    await poor.aclose()


async def test_w18_unknown_payers_have_no_privilege(shop: Shop) -> None:
    """W18: one rule for everybody. Somebody nobody knows, without money, gets nothing, whatever he claims to be."""
    authorization = shop.authorization(1, from_address=STRANGER)
    header = shop.header(authorization, sign(authorization, STRANGER_KEY))
    for extra in ({}, {"agent_id": "trusted"}, {"extensions": {"credit": {"info": {"limit": "unlimited"}}}}):
        answer = await shop.get("/paid", edited(header, **extra))
        assert (answer.status_code, error_of(answer)) == (402, codes.INSUFFICIENT_BALANCE)
    assert await shop.events() == []


async def test_w22_the_claim_comes_first() -> None:
    """W22: not look up, run, store. Two processes with the same payment and identifier in the same instant: the insert decides,
    one runs."""
    runs: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        runs.append(scope["path"])
        await asyncio.sleep(0)
        await plain_app(scope, receive, send)

    first = Shop(app=app, routes={"/goods": PRICE}, sole_server=False)
    await first.fund()
    others = [
        Shop(
            app=app,
            routes={"/goods": PRICE},
            journal=first.journal,
            clock=first.clock,
            entropy_seed=f"process {number}",
            sole_server=False,
        )
        for number in range(3)
    ]
    header = first.pay(1, identifier="purchase-00000001")
    asked = [asyncio.ensure_future(each.get("/goods", header)) for each in (first, *others) for _ in range(4)]
    while not all(task.done() for task in asked):
        first.clock.advance_us(50_000)
        await asyncio.sleep(0)
    assert {task.result().content for task in asked} == {b"goods"}
    assert runs == ["/goods"]
    assert await first.earned() == await first.booked() == PRICE_ATOMIC
    for each in (first, *others):
        await each.aclose()


def remote_shop(facilitator: ScriptedFacilitator, **options: Any) -> Shop:
    """A shop that uses a facilitator over real HTTP."""
    clock = ManualClock(SystemClock().now_us())
    remote = RemoteFacilitator(facilitator.url, clock, pending_resends=0, timeout_s=5.0)
    return Shop(clock=clock, facilitator=remote, **options)


async def test_row_1_one_payment_six_times_at_once() -> None:
    """x402.md §12 row 1: the same payment six times at once: six equal answers, one run, one settlement asked for."""
    with ScriptedFacilitator(LOCAL) as facilitator:
        shop = remote_shop(facilitator)
        header = shop.pay(1)
        answers = await asyncio.gather(*(shop.get("/paid", header) for _ in range(6)))
        assert {answer.status_code for answer in answers} == {200}
        assert (await shop.hits())["paid"] == 1
        assert facilitator.count("settle") == 1
        await shop.aclose()


@pytest.mark.parametrize("extensions", [(), ("repeatable-settlement",)])
async def test_row_3_settled_and_the_answer_lost(extensions: tuple[str, ...]) -> None:
    """Row 3: the settlement succeeded, its answer was lost, the identical payment comes again. Never 402: with a facilitator
    that remembers it is delivered, with another one it stays 503 until somebody knows."""
    with ScriptedFacilitator(LOCAL, extensions=extensions) as facilitator:
        facilitator.script("settle", "moves and hangs up", *([] if extensions else ["forgets"] * 5))
        shop = remote_shop(facilitator)
        header = shop.pay(1)
        assert (await shop.get("/paid", header)).status_code == 503
        again = await shop.get("/paid", header)
        assert again.status_code == (200 if extensions else 503)
        assert "payment-required" not in again.headers
        assert sum(facilitator.moved.values()) == 1
        await shop.aclose()


@pytest.mark.parametrize("status", [200, 500])
async def test_rows_8_and_9_pending_in_either_form(status: int) -> None:
    """Rows 8 and 9: `settlement_pending` under 200 or 500 is read, answered 503 with its hash, and reconciled by the resend."""
    with ScriptedFacilitator(LOCAL) as facilitator:
        facilitator.script("settle", f"pending {status}")
        shop = remote_shop(facilitator)
        header = shop.pay(1)
        pending = await shop.get("/paid", header)
        assert pending.status_code == 503
        assert settlement_of(pending).error_reason == codes.SETTLEMENT_PENDING
        assert settlement_of(pending).transaction != ""
        assert (await shop.get("/paid", header)).status_code == 200
        assert (await shop.hits())["paid"] == 1
        assert sum(facilitator.moved.values()) == 1
        await shop.aclose()


@pytest.mark.parametrize("trouble", ["status 503", "garbage", "hangs up"])
async def test_row_10_facilitator_down(trouble: str) -> None:
    """Row 10: a facilitator that is down is 503, not 402, and tells nothing of the inside; later the same payment buys."""
    with ScriptedFacilitator(LOCAL) as facilitator:
        facilitator.script("verify", trouble)
        shop = remote_shop(facilitator)
        header = shop.pay(1)
        down = await shop.get("/paid", header)
        assert (down.status_code, down.json()["code"]) == (503, "haima.facilitator_unavailable")
        assert "Traceback" not in down.text
        assert "payment-required" not in down.headers
        assert (await shop.get("/paid", header)).status_code == 200
        await shop.aclose()


async def test_refusal_after_an_upfront_settlement_is_no_way_to_pay_twice(shop: Shop) -> None:
    """A stream or an upfront sale whose handler failed is owed, not asked for again: no answer to its payment is a 402."""

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("broken")

    for route in (Route(PRICE, settle_first=True), Route(PRICE, stream=True)):
        mine = Shop(
            app=broken, routes={"/goods": route}, journal=shop.journal, clock=shop.clock, entropy_seed=str(route)
        )
        header = mine.pay(100 + route.stream)
        with pytest.raises(ValueError, match="broken"):
            await mine.get("/goods", header)
        owed = await mine.get("/goods", header)
        assert (owed.status_code, owed.json()["code"]) == (500, "haima.delivery_failed")
        assert settlement_of(owed).success
        assert "payment-required" not in owed.headers
        await mine.aclose()
