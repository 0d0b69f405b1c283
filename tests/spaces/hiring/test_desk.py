"""Hiring over a real engine, a real house and a real ledger: who gets the money, and what nobody can do."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from life.aios.errors import ConflictError, NotFoundError
from life.aios.ids import new_id
from life.haima.errors import IdempotencyConflictError, InsufficientBalanceError, PolicyDeniedError
from life.haima.policy import PaymentPolicy
from life.haima.x402.networks import LOCAL
from life.host.hiring.escrow import HouseRefusedError
from life.spaces.commands import CreateTask, UpdateTask
from life.spaces.errors import SpacesNotFoundError
from life.spaces.hiring.desk import Hire
from life.spaces.hiring.errors import HireRefusedError
from life.spaces.hiring.offers import CONTEXT, Offer, TaskBody, encode_body, read_body
from life.spaces.model import Task
from life.testing.clock import SeededEntropy
from tests.spaces.hiring.kit import Village, Villager, village

PRICE = 250_000
IDS = SeededEntropy("ids")


async def hire(place: Village, ada: Villager, ben: Villager, *, price: int = PRICE, **more: int) -> Hire:
    """Ada hires Ben."""
    return await ada.desk.hire(
        new_id(place.clock, IDS),
        ben.seat.identity,
        title="Translate",
        task="Translate `bonjour`.",
        price_micro=price,
        deadline_s=more.get("deadline_s", 600),
        review_s=more.get("review_s", 3600),
        session_id="s1",
    )


async def test_accepted_work_is_paid_and_the_books_balance() -> None:
    """Ada's wallet pays a deposit on the ledger, the escrow holds it, Ben delivers, Ada accepts, Ben's account has it, Ben cashes out to
    his own wallet; both remember the other."""
    async with village() as place:
        ada, ben = await place.villager("ada", funds_micro=1_000_000), await place.villager("ben")
        offered = await hire(place, ada, ben)
        assert (offered.state, offered.escrow, offered.price_micro) == ("offered", "held", PRICE)
        assert await place.on_chain(ada.wallet) == 1_000_000 - PRICE
        (work,) = await ben.desk.list_(role="worker", open_only=True)
        assert (work.title, work.task, work.escrow) == ("Translate", "Translate `bonjour`.", "held")
        assert (await ben.desk.take(work.hire_id)).state == "working"
        assert (await ben.desk.deliver(work.hire_id, "good day")).state == "delivered"
        delivered = await ada.desk.look(work.hire_id)
        assert (delivered.state, delivered.result) == ("delivered", "good day")
        paid = await ada.desk.accept(work.hire_id)
        assert (paid.state, paid.paid_micro, paid.escrow) == ("paid", PRICE, "released")
        assert (await ben.desk.look(work.hire_id)).state == "paid"
        assert await place.held(ben) == PRICE
        await place.check_books()
        receipt = await place.house.payouts.pay(ben.account, "cash-1", PRICE, ben.wallet)
        again = await place.house.payouts.pay(ben.account, "cash-1", PRICE, ben.wallet)
        assert receipt.transaction == again.transaction != ""
        assert (await place.on_chain(ben.wallet), await place.held(ben)) == (PRICE, 0)
        await place.check_books()
        assert [(each.role, each.success) for each in ada.trust.told] == [("customer", True)]
        assert [(each.role, each.success, each.own_success) for each in ben.trust.told] == [("worker", True, True)]
        assert ada.trust.told[0].peer_did == ben.did


async def test_rejected_work_comes_back_whole_and_is_used_for_the_next_hire() -> None:
    """The refund is on Ada's account, so that her wallet is not asked a second time."""
    async with village() as place:
        ada, ben = await place.villager("ada", funds_micro=1_000_000), await place.villager("ben")
        first = await hire(place, ada, ben)
        await ben.desk.deliver(first.hire_id, "nonsense")
        rejected = await ada.desk.reject(first.hire_id, "It is nonsense.")
        assert (rejected.state, rejected.refunded_micro, rejected.escrow) == ("rejected", PRICE, "returned")
        assert (await ben.desk.look(first.hire_id)).reason == "It is nonsense."
        assert await place.held(ada) == PRICE
        await hire(place, ada, ben)
        assert await place.on_chain(ada.wallet) == 1_000_000 - PRICE
        assert await place.held(ada) == 0
        assert [each.success for each in ada.trust.told] == [False]
        assert [(each.success, each.own_success) for each in ben.trust.told] == [(None, False)]
        await place.check_books()


async def test_late_work_is_refunded_and_can_not_be_delivered() -> None:
    """At the deadline, to the second; whoever looks first, and in whatever order."""
    async with village() as place:
        ada, ben = await place.villager("ada", funds_micro=1_000_000), await place.villager("ben")
        found = await hire(place, ada, ben, deadline_s=60)
        await ben.desk.take(found.hire_id)
        place.clock.advance_us(60_000_000)
        assert (await ada.desk.look(found.hire_id)).state == "working"
        place.clock.advance_us(1_000_000)
        with pytest.raises((ConflictError, HireRefusedError)):
            await ben.desk.deliver(found.hire_id, "at last")
        late = await ada.desk.look(found.hire_id)
        assert (late.state, late.refunded_micro) == ("late", PRICE)
        with pytest.raises((ConflictError, HireRefusedError)):
            await ada.desk.accept(found.hire_id)
        assert await place.held(ada) == PRICE
        assert [each.success for each in ada.trust.told] == [False]
        row = place.engine.state.get(Task, found.hire_id)
        assert row is not None and row.state in ("failed", "canceled")
        await place.check_books()


async def test_declined_work_comes_back_at_once_and_moves_no_trust() -> None:
    """Saying no is no failure."""
    async with village() as place:
        ada, ben = await place.villager("ada", funds_micro=1_000_000), await place.villager("ben")
        found = await hire(place, ada, ben)
        assert (await ben.desk.decline(found.hire_id, "I have no time.")).state == "declined"
        seen = await ada.desk.look(found.hire_id)
        assert (seen.state, seen.refunded_micro, seen.reason) == ("declined", PRICE, "I have no time.")
        assert (await ben.desk.decline(found.hire_id, "I have no time.")).state == "declined"
        assert ada.trust.told == ben.trust.told == []
        await place.check_books()


async def test_silence_is_acceptance() -> None:
    """A customer who says nothing until the review is over has accepted: nobody's pay waits for ever."""
    async with village() as place:
        ada, ben = await place.villager("ada", funds_micro=1_000_000), await place.villager("ben")
        found = await hire(place, ada, ben, review_s=100)
        await ben.desk.deliver(found.hire_id, "good day")
        place.clock.advance_us(99_000_000)
        assert (await ben.desk.look(found.hire_id)).state == "delivered"
        place.clock.advance_us(1_000_000)
        assert (await ben.desk.look(found.hire_id)).state == "paid"
        with pytest.raises(ConflictError):
            await ada.desk.reject(found.hire_id, "Too late.")
        await place.check_books()


async def test_every_step_may_be_repeated() -> None:
    """The same hire, delivery, word: once each, whoever repeats them; another delivery or the opposite word is refused."""
    async with village() as place:
        ada, ben = await place.villager("ada", funds_micro=1_000_000), await place.villager("ben")
        hire_id = new_id(place.clock, IDS)
        for _ in range(3):
            await ada.desk.hire(
                hire_id,
                "@" + (await ada.people.profile(ada.seat, ben.seat.identity)).username,
                title="T",
                task="t",
                price_micro=PRICE,
                deadline_s=60,
                review_s=60,
            )
        for _ in range(2):
            await ben.desk.take(hire_id)
        for _ in range(2):
            await ben.desk.deliver(hire_id, "done")
        with pytest.raises((IdempotencyConflictError, HireRefusedError)):
            await ben.desk.deliver(hire_id, "something else")
        for _ in range(2):
            await ada.desk.accept(hire_id)
        with pytest.raises(ConflictError):
            await ada.desk.reject(hire_id, "No.")
        assert await place.on_chain(ada.wallet) == 1_000_000 - PRICE
        assert await place.held(ben) == PRICE
        for _ in range(2):
            await ben.desk.look(hire_id)
        assert len(ada.trust.told) == len(ben.trust.told) == 1
        await place.check_books()


async def test_a_hundred_at_once_pay_once() -> None:
    """The same accept from many tasks at once, and many hires at once on one wallet."""
    async with village() as place:
        ada, ben = await place.villager("ada", funds_micro=1_000_000), await place.villager("ben")
        hires = await asyncio.gather(*(hire(place, ada, ben, price=10_000) for _ in range(8)))
        assert await place.on_chain(ada.wallet) == 1_000_000 - 80_000
        await asyncio.gather(*(ben.desk.deliver(each.hire_id, "done") for each in hires))
        await asyncio.gather(*(ada.desk.accept(each.hire_id) for each in hires for _ in range(4)))
        assert await place.held(ben) == 80_000
        await place.check_books()


async def test_the_policy_is_asked_before_money_moves() -> None:
    """A price above the limit that nobody agreed to leaves nothing behind; with a person's word it goes through."""
    async with village() as place:
        strict = PaymentPolicy(auto_approve_cap_micro=100, networks=(LOCAL,))
        ada = await place.villager("ada", funds_micro=1_000_000, policy=strict)
        ben = await place.villager("ben")
        hire_id = new_id(place.clock, IDS)
        more = {"title": "T", "task": "t", "price_micro": PRICE, "deadline_s": 60, "review_s": 60}
        with pytest.raises(PolicyDeniedError):
            await ada.desk.hire(hire_id, ben.seat.identity, **more)  # type: ignore[arg-type]
        assert await place.on_chain(ada.wallet) == 1_000_000
        assert await ben.desk.list_(role="worker") == []
        found = await ada.desk.hire(hire_id, ben.seat.identity, approved=True, **more)  # type: ignore[arg-type]
        assert found.escrow == "held"
        larger = await ada.desk.hire(
            new_id(place.clock, IDS),
            ben.seat.identity,
            title="T",
            task="t",
            price_micro=PRICE * 2,
            deadline_s=60,
            review_s=60,
            approved=True,
        )
        assert larger.escrow == "held"


async def test_an_empty_wallet_hires_nobody() -> None:
    """No deposit, no escrow, no task."""
    async with village() as place:
        ada, ben = await place.villager("ada"), await place.villager("ben")
        with pytest.raises(HouseRefusedError):
            await hire(place, ada, ben)
        assert await ben.desk.list_(role="worker") == []
        with pytest.raises(InsufficientBalanceError):
            await place.house.payouts.pay(ben.account, "x", 1, ben.wallet)


async def test_nobody_else_sees_or_touches_a_hire() -> None:
    """A third agent finds neither the task nor the escrow, and can't deliver, judge or be paid."""
    async with village() as place:
        ada, ben, eve = [await place.villager(name, funds_micro=1_000_000) for name in ("ada", "ben", "eve")]
        found = await hire(place, ada, ben)
        for step in (
            eve.desk.look(found.hire_id),
            eve.desk.take(found.hire_id),
            eve.desk.deliver(found.hire_id, "mine"),
            eve.desk.decline(found.hire_id, "no"),
        ):
            with pytest.raises(SpacesNotFoundError):
                await step
        with pytest.raises(HireRefusedError):
            await eve.desk.accept(found.hire_id)
        assert await eve.escrow.look(found.hire_id) is None
        with pytest.raises(NotFoundError):
            await eve.escrow.judge(found.hire_id, passed=True, reason="")
        with pytest.raises(HireRefusedError):
            await ben.desk.accept(found.hire_id)
        with pytest.raises(HireRefusedError):
            await ada.desk.deliver(found.hire_id, "I did it myself")


async def test_a_worker_who_spoils_the_words_is_not_paid_by_silence() -> None:
    """Ben makes the task's body unreadable, or says that something else was agreed on; Ada still sees the hire and rejects it."""
    async with village() as place:
        ada, ben = await place.villager("ada", funds_micro=1_000_000), await place.villager("ben")
        for spoiled in ("{}", None):
            found = await hire(place, ada, ben)
            await ben.desk.deliver(found.hire_id, "x") if spoiled is None else await ben.desk.take(found.hire_id)
            row = place.engine.state.get(Task, found.hire_id)
            assert row is not None
            body = read_body(row.body)
            assert body is not None
            if spoiled is None:
                continue
            await ben.escrow.deliver(found.hire_id, "x")
            forged = msgspec.structs.replace(body, offer=msgspec.structs.replace(body.offer, price_micro=9_000_000))
            for text in (encode_body(forged), spoiled):
                await ben.seat.submit(UpdateTask(task_id=found.hire_id, state="working", body=text))
                seen = await ada.desk.look(found.hire_id)
                assert (seen.state, seen.price_micro, seen.title) == ("delivered", PRICE, "Translate")
                assert seen.fault
            assert (await ada.desk.reject(found.hire_id, "You spoiled it.")).state == "rejected"
        await place.check_books()


async def test_an_offer_without_money_is_not_taken_on() -> None:
    """Eve writes tasks by hand: no escrow, another house, another price than the escrow's, another's signature. Ben takes none."""
    async with village() as place:
        eve, ben, ada = [await place.villager(name, funds_micro=1_000_000) for name in ("eve", "ben", "ada")]
        true = await hire(place, ada, ben)
        row = place.engine.state.get(Task, true.hire_id)
        assert row is not None
        signed = read_body(row.body)
        assert signed is not None

        async def forge(offer: Offer, signature: str) -> str:
            await eve.seat.submit(
                CreateTask(
                    task_id=offer.hire_id,
                    context_id=CONTEXT,
                    agent=ben.seat.identity,
                    message_id=offer.hire_id,
                    body=encode_body(TaskBody(offer=offer, signature=signature)),
                )
            )
            return offer.hire_id

        base = Offer(
            hire_id="",
            kind="hire",
            customer=eve.seat.identity,
            worker=ben.seat.identity,
            title="T",
            task="t",
            price_micro=PRICE,
            deadline_s=60,
            review_s=60,
            house=place.house.name,
        )
        empty = msgspec.structs.replace(base, hire_id=new_id(place.clock, IDS))
        elsewhere = msgspec.structs.replace(base, hire_id=new_id(place.clock, IDS), house="eip155:1:0xeve")
        stolen = msgspec.structs.replace(signed.offer, hire_id=new_id(place.clock, IDS))
        for offer, signature in ((empty, "x.y.z"), (elsewhere, "x.y.z"), (stolen, signed.signature)):
            hire_id = await forge(offer, signature)
            with pytest.raises(HireRefusedError):
                await ben.desk.take(hire_id)
        cheap = await hire(place, eve, ben, price=1)
        cheap_row = place.engine.state.get(Task, cheap.hire_id)
        assert cheap_row is not None


async def test_questions_are_answered_for_nothing() -> None:
    """Ask, answer, once; no house is needed."""
    async with village() as place:
        ada, ben = await place.villager("ada"), await place.villager("ben")
        asked = await ada.desk.ask(new_id(place.clock, IDS), ben.seat.identity, "Which day is it?")
        assert (asked.kind, asked.state, asked.escrow) == ("question", "offered", "none")
        await ben.desk.deliver(asked.hire_id, "Friday.")
        await ben.desk.deliver(asked.hire_id, "Friday.")
        with pytest.raises(HireRefusedError):
            await ben.desk.deliver(asked.hire_id, "Monday.")
        answered = await ada.desk.look(asked.hire_id)
        assert (answered.state, answered.result) == ("delivered", "Friday.")
        assert await ben.desk.list_(role="worker", open_only=True) == []


@pytest.mark.parametrize(
    ("price", "deadline_s", "review_s"), [(-1, 60, 60), (1, 0, 60), (1, 60, 0), (1, 31 * 86_400, 60)]
)
async def test_terms_that_can_not_be_are_refused(price: int, deadline_s: int, review_s: int) -> None:
    """Before anything is paid."""
    async with village() as place:
        ada, ben = await place.villager("ada", funds_micro=1_000_000), await place.villager("ben")
        with pytest.raises(HireRefusedError):
            await hire(place, ada, ben, price=price, deadline_s=deadline_s, review_s=review_s)
        with pytest.raises(HireRefusedError):
            await hire(place, ada, ada)
        assert await place.on_chain(ada.wallet) == 1_000_000
