"""The extension `payment-identifier` with a real store: every rule of x402.md §5, at once, after a restart, across processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from life.haima import events
from life.haima.x402 import codes
from life.haima.x402.networks import PLAY_MONEY
from life.host.clock import SystemClock
from life.lago.journal.sqlite import SqliteJournal
from life.testing.chain import STRANGER_KEY, sign
from life.testing.clock import ManualClock
from tests.haima.shop import PRICE_ATOMIC, Shop, edited, error_of

ID, OTHER_ID = "purchase-00000001", "purchase-00000002"


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """A shop whose payer has money."""
    made = Shop()
    await made.fund()
    yield made
    await made.aclose()


async def test_new_identifier_is_processed(shop: Shop) -> None:
    """A new id: one run, one charge; another id with another payment: another one."""
    assert (await shop.get("/paid", shop.pay(1, identifier=ID))).json()["runs"] == 1
    assert (await shop.get("/paid", shop.pay(2, identifier=OTHER_ID))).json()["runs"] == 2
    assert await shop.earned() == 2 * PRICE_ATOMIC


async def test_same_identifier_and_payload_gets_the_cached_answer(shop: Shop) -> None:
    """Repeated: the first answer, byte for byte, without a run or a charge."""
    first = await shop.get("/paid", shop.pay(1, identifier=ID))
    for _ in range(3):
        again = await shop.get("/paid", shop.pay(1, identifier=ID))
        assert (again.content, again.headers["payment-response"]) == (first.content, first.headers["payment-response"])
    assert (await shop.hits())["paid"] == 1
    assert await shop.earned() == PRICE_ATOMIC


async def test_same_identifier_and_other_payload_is_a_conflict(shop: Shop) -> None:
    """The id of another payment is 409, nothing runs, and the second payment stays unused: it buys under its own id."""
    await shop.get("/paid", shop.pay(1, identifier=ID))
    conflict = await shop.get("/paid", shop.pay(2, identifier=ID))
    assert (conflict.status_code, conflict.json()["code"]) == (409, "haima.identifier_conflict")
    assert (await shop.hits())["paid"] == 1
    assert (await shop.get("/paid", shop.pay(2, identifier=OTHER_ID))).status_code == 200


async def test_conflict_also_while_the_first_is_under_way() -> None:
    """Ten payments under one id at once, in two processes: one is sold, nine are conflicts."""
    one = Shop(sole_server=False)
    await one.fund()
    two = Shop(journal=one.journal, clock=one.clock, entropy_seed="two", sole_server=False)
    answers = await asyncio.gather(
        *((one, two)[number % 2].get("/paid", one.pay(number, identifier=ID)) for number in range(1, 11))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    assert await one.earned() == await one.booked() == PRICE_ATOMIC
    for each in (one, two):
        await each.aclose()


@pytest.mark.parametrize("change", ["missing", "no extension"])
async def test_required_and_missing_is_400(change: str) -> None:
    """Where an id is required, a payment without one is malformed, and nothing happens."""
    shop = Shop(payment_identifier="required")
    await shop.fund()
    header = shop.pay(1)
    if change == "missing":
        header = edited(shop.pay(1), extensions={"payment-identifier": {"info": {"required": True}}})
    answer = await shop.get("/paid", header)
    assert (answer.status_code, answer.json()["code"]) == (400, "haima.malformed_payment")
    assert await shop.events() == []
    good = edited(shop.pay(1), extensions={"payment-identifier": {"info": {"required": True, "id": ID}}})
    assert (await shop.get("/paid", good)).status_code == 200
    await shop.aclose()


@pytest.mark.parametrize("identifier", ["short", "x" * 129, "with blanks in it!", "ümlaut-ümlaut-ümlaut", 7, None, []])
async def test_unfit_identifiers(shop: Shop, identifier: object) -> None:
    """16 to 128 letters, digits, '-' and '_'; null is none."""
    header = edited(shop.pay(1), extensions={"payment-identifier": {"info": {"required": False, "id": identifier}}})
    answer = await shop.get("/paid", header)
    assert answer.status_code == (200 if identifier is None else 400)


async def test_identifiers_of_two_payers_do_not_meet(shop: Shop) -> None:
    """An id is the payer's own: somebody else's payment under the same id is no conflict, so nobody can occupy another's."""
    stranger = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
    await shop.ledger.fund(stranger, PRICE_ATOMIC, asset=PLAY_MONEY.address)
    theirs = shop.authorization(9, from_address=stranger)
    assert (await shop.get("/paid", shop.header(theirs, sign(theirs, STRANGER_KEY), identifier=ID))).status_code == 200
    assert (await shop.get("/paid", shop.pay(1, identifier=ID))).status_code == 200


async def test_identifier_of_a_failed_sale_still_belongs_to_its_payment(shop: Shop) -> None:
    """The handler failed, nothing was charged: the payment may come again under its id, another one may not."""
    await shop.get("/fail", shop.pay(1, identifier=ID))
    assert (await shop.get("/fail", shop.pay(2, identifier=ID))).status_code == 409
    assert (await shop.get("/paid", shop.pay(1, identifier=ID))).status_code == 200


async def test_kept_answer_is_for_who_knows_the_identifier(shop: Shop) -> None:
    """The signed payment is public after the settlement, the id is not: without it, or with another one, the answer stays."""
    await shop.get("/paid", shop.pay(1, identifier=ID))
    for header in (shop.pay(1), shop.pay(1, identifier=OTHER_ID)):
        answer = await shop.get("/paid", header)
        assert (answer.status_code, error_of(answer)) == (402, codes.NONCE_ALREADY_USED)


async def test_store_survives_restarts(tmp_path: Path) -> None:
    """On a journal file: the process ends, the next one knows the id, answers its payment from the store and refuses others."""
    clock = ManualClock(SystemClock().now_us())

    async with SqliteJournal.open(tmp_path / "journal.db", clock=clock) as journal:
        first = Shop(journal=journal, clock=clock, entropy_seed="first")
        await first.fund()
        header = first.pay(1, identifier=ID)
        answer = await first.get("/paid", header)
        await first.aclose()
    async with SqliteJournal.open(tmp_path / "journal.db", clock=clock) as journal:
        second = Shop(journal=journal, clock=clock, entropy_seed="second")
        again = await second.get("/paid", header)
        assert (again.status_code, again.content) == (200, answer.content)
        assert (await second.hits())["paid"] == 0
        assert (await second.get("/paid", second.pay(2, identifier=ID))).status_code == 409
        identified = [event for event in await second.events() if isinstance(event, events.ChargeIdentified)]
        assert [event.identifier for event in identified] == [ID]
        await second.aclose()
