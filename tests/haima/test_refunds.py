"""Refunds: never above what came in, each once, killed at every write, in doubt where nobody can tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.ports.journal import EventQuery, Journal
from life.anima.custody.in_process import InProcessAnima
from life.haima import events
from life.haima.errors import (
    FacilitatorUnavailableError,
    IdempotencyConflictError,
    OutcomeUnknownError,
    RefundRefusedError,
    WalletMismatchError,
)
from life.haima.events import FinanceEvent, read_finance
from life.haima.facilitator.port import Facilitator
from life.haima.ledger import Books
from life.haima.state import EMPTY, apply
from life.haima.x402 import codes, wire
from life.haima.x402.claims import STREAM, Claims
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.haima.x402.refunds import RefundBook, Refunds
from life.testing.chain import PAYER
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.faulty_journal import CrashError, Fault, FaultyJournal
from tests.haima.shop import PRICE_ATOMIC, Shop

PAYEE_KEY = bytes.fromhex("7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6")
"""Of life.testing.chain.PAYEE: the fourth development key that every EVM toolkit prints."""


def payee_custody(clock: ManualClock) -> InProcessAnima:
    """The seller's wallet: the payee's own."""
    return InProcessAnima.from_wallet_key(bytearray(PAYEE_KEY), clock=clock)


def refunds_of(
    shop: Shop, *, journal: Journal | None = None, facilitator: Facilitator | None = None, **options: Any
) -> Refunds:
    """A seller's refunds, as a process makes them."""
    entropy = SeededEntropy("refunds")
    claims = Claims(journal or shop.journal, shop.clock, entropy, agent_id="seller", stream=STREAM, owner="refunds")
    return Refunds(
        journal or shop.journal,
        shop.clock,
        entropy,
        claims=claims,
        custody=payee_custody(shop.clock),
        facilitator=facilitator or shop.facilitator,
        agent_id="seller",
        **options,
    )


async def payment_id_of(shop: Shop) -> str:
    """The payment id of the shop's one charge."""
    return next(event.payment_id for event in await shop.events() if isinstance(event, events.ChargeClaimed))


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """A shop that has sold once."""
    made = Shop()
    await made.fund(PRICE_ATOMIC)
    assert (await made.get("/paid", made.pay(1))).status_code == 200
    yield made
    await made.aclose()


async def held_by_payer(shop: Shop) -> int:
    """What the payer has got back."""
    return await shop.ledger.balance(PAYER, asset=PLAY_MONEY.address)


async def test_whole_refund(shop: Shop) -> None:
    """Everything goes back to the payer, on chain and on record; the charge has nothing left."""
    refunds = refunds_of(shop)
    await refunds.open()
    payment_id = await payment_id_of(shop)
    refund = await refunds.refund(payment_id, key="order-1", reason="not delivered")
    assert (refund.state, refund.amount_atomic) == ("settled", PRICE_ATOMIC)
    assert refund.transaction.startswith("local:")
    assert await held_by_payer(shop) == PRICE_ATOMIC
    assert await shop.earned() == 0
    found = await shop.events("refunds")
    assert [type(event).__name__ for event in found] == ["RefundIntended", "RefundSigned", "RefundSettled"]
    settled = found[-1]
    assert isinstance(settled, events.RefundSettled)
    assert (settled.amount_micro_credits, settled.payer_address, settled.payment_id) == (
        PRICE_ATOMIC,
        PAYER,
        payment_id,
    )
    assert (await refunds.charged(payment_id)).left_atomic == 0
    with pytest.raises(RefundRefusedError):
        await refunds.refund(payment_id, key="order-2")


async def test_partial_refunds_never_exceed_the_charge(shop: Shop) -> None:
    """Parts add up to the charge and not one unit more (W35, invariant 6)."""
    refunds = refunds_of(shop)
    await refunds.open()
    payment_id = await payment_id_of(shop)
    await refunds.refund(payment_id, key="a", amount_atomic=4000)
    await refunds.refund(payment_id, key="b", amount_atomic=5999)
    for amount in (2, 10_000, 0, -5):
        with pytest.raises(RefundRefusedError):
            await refunds.refund(payment_id, key=f"c{amount}", amount_atomic=amount)
    rest = await refunds.refund(payment_id, key="d")
    assert rest.amount_atomic == 1
    assert await held_by_payer(shop) == PRICE_ATOMIC
    assert [refund.amount_atomic for refund in await refunds.of(payment_id)] == [4000, 5999, 1]


async def test_repeated_refund_is_the_same(shop: Shop) -> None:
    """One key, one refund: at once, later, in another process. The same key for another amount is a conflict."""
    refunds, other = refunds_of(shop), refunds_of(shop)
    await refunds.open()
    payment_id = await payment_id_of(shop)
    made = await asyncio.gather(
        *(each.refund(payment_id, key="k", amount_atomic=4000) for each in (refunds, other) for _ in range(5))
    )
    assert {refund.refund_id for refund in made} == {made[0].refund_id}
    assert await held_by_payer(shop) == 4000
    later = refunds_of(shop)
    await later.open()
    assert (await later.refund(payment_id, key="k", amount_atomic=4000)).state == "settled"
    with pytest.raises(IdempotencyConflictError):
        await later.refund(payment_id, key="k", amount_atomic=4001)
    with pytest.raises(IdempotencyConflictError):
        await later.refund(payment_id, key="k")
    assert await held_by_payer(shop) == 4000


async def test_many_at_once_never_exceed_the_charge(shop: Shop) -> None:
    """Sixty-four refunds of a third each, from four processes at once: three of them hold."""
    processes = [refunds_of(shop) for _ in range(4)]
    payment_id = await payment_id_of(shop)
    made = await asyncio.gather(
        *(
            processes[number % 4].refund(payment_id, key=str(number), amount_atomic=PRICE_ATOMIC // 3)
            for number in range(64)
        ),
        return_exceptions=True,
    )
    good = [refund for refund in made if not isinstance(refund, BaseException)]
    assert len(good) == 3
    assert all(isinstance(refund, RefundRefusedError) for refund in made if isinstance(refund, BaseException))
    assert await held_by_payer(shop) == 3 * (PRICE_ATOMIC // 3)


async def test_only_settled_charges_are_refunded(shop: Shop) -> None:
    """Nothing goes back for a charge that never settled, or is not known."""
    refunds = refunds_of(shop)
    await refunds.open()
    await shop.fund()
    await shop.get("/fail", shop.pay(2))
    failed = [event.payment_id for event in await shop.events() if isinstance(event, events.ChargeClaimed)][-1]
    with pytest.raises(RefundRefusedError, match="never settled"):
        await refunds.refund(failed, key="k")
    with pytest.raises(NotFoundError):
        await refunds.refund("01JD0000000000000000000000", key="k")
    with pytest.raises(InvalidInputError):
        await refunds.refund(failed, key="")


async def test_refused_refund_frees_what_it_held(shop: Shop) -> None:
    """The facilitator refuses: the refund fails for good, nothing moved, and another one can be made."""
    refunds = refunds_of(shop, facilitator=Scripted(shop.facilitator, ["refuse"]))
    await refunds.open()
    payment_id = await payment_id_of(shop)
    failed = await refunds.refund(payment_id, key="a")
    assert (failed.state, failed.reason) == ("failed", codes.INSUFFICIENT_BALANCE)
    assert (await refunds.refund(payment_id, key="a")).state == "failed"
    assert (await refunds.refund(payment_id, key="b")).state == "settled"
    assert await held_by_payer(shop) == PRICE_ATOMIC


class Scripted:
    """A facilitator that settles as told, once each, then well; it may forget what it settled."""

    def __init__(self, inner: Facilitator, script: list[str], *, remembers: bool = True) -> None:
        self.inner = inner
        self.script = script
        self.remembers = remembers
        self.moved = 0

    async def repeatable(self) -> bool:
        return self.remembers

    async def verify(self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements) -> wire.VerifyResponse:
        return await self.inner.verify(payload, requirements)

    async def settle(
        self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements
    ) -> wire.SettlementResponse:
        step = self.script.pop(0) if self.script else "ok"
        if step == "down":
            raise FacilitatorUnavailableError("down")
        if step == "refuse":
            return wire.SettlementResponse(success=False, network=LOCAL, error_reason=codes.INSUFFICIENT_BALANCE)
        if self.moved and not self.remembers:
            return wire.SettlementResponse(success=False, network=LOCAL, error_reason=codes.NONCE_ALREADY_USED)
        settled = await self.inner.settle(payload, requirements)
        self.moved += settled.success
        if step == "lost":
            raise OutcomeUnknownError("lost")
        if step == "pending":
            return wire.SettlementResponse(
                success=False,
                transaction=settled.transaction,
                network=LOCAL,
                error_reason=codes.SETTLEMENT_PENDING,
            )
        return settled

    async def supported(self) -> wire.SupportedResponse:
        return await self.inner.supported()

    async def aclose(self) -> None:
        """Nothing of its own."""


@pytest.mark.parametrize("trouble", ["down", "lost", "pending"])
async def test_unknown_outcome_stays_pending_and_is_finished(shop: Shop, trouble: str) -> None:
    """Nobody knows whether the money moved: the refund is pending, counts against the charge, and the identical authorization
    finishes it, once."""
    refunds = refunds_of(shop, facilitator=Scripted(shop.facilitator, [trouble]))
    await refunds.open()
    payment_id = await payment_id_of(shop)
    doubt = await refunds.refund(payment_id, key="k")
    assert doubt.state == "pending"
    with pytest.raises(RefundRefusedError):
        await refunds.refund(payment_id, key="other", amount_atomic=1)
    assert (await refunds.refund(payment_id, key="k")).state == "settled"
    assert await held_by_payer(shop) == PRICE_ATOMIC


async def test_forgetful_facilitator_needs_the_chain(shop: Shop) -> None:
    """A refusal of a repeated refund proves nothing. Without a chain to ask it stays pending; the chain's word ends it."""
    forgetful = Scripted(shop.facilitator, ["lost"], remembers=False)
    refunds = refunds_of(shop, facilitator=forgetful)
    await refunds.open()
    payment_id = await payment_id_of(shop)
    assert (await refunds.refund(payment_id, key="k")).state == "pending"
    assert (await refunds.refund(payment_id, key="k")).state == "pending"

    async def chain(network: str, asset: str, wallet: str, nonce: bytes) -> Literal["used"]:
        return "used"

    knowing = refunds_of(shop, facilitator=forgetful, authorization_state=chain)
    assert await knowing.open() == 0
    assert (await knowing.refund(payment_id, key="k")).state == "settled"
    assert await held_by_payer(shop) == PRICE_ATOMIC


async def test_expired_and_unused_is_free_again(shop: Shop) -> None:
    """A refund that never left its facilitator fails when its hour is over and the chain says that its nonce is unused."""

    async def chain(network: str, asset: str, wallet: str, nonce: bytes) -> Literal["unused"]:
        return "unused"

    down = Scripted(shop.facilitator, ["down"] * 9, remembers=False)
    refunds = refunds_of(shop, facilitator=down, authorization_state=chain)
    await refunds.open()
    payment_id = await payment_id_of(shop)
    assert (await refunds.refund(payment_id, key="k")).state == "pending"
    shop.clock.advance_us(1800 * 1_000_000)
    assert await refunds.reconcile() == 1
    shop.clock.advance_us(1800 * 1_000_000)
    assert await refunds.reconcile() == 0
    failed = await refunds.refund(payment_id, key="k")
    assert (failed.state, failed.reason) == ("failed", "expired_unused")
    assert (await refunds.charged(payment_id)).left_atomic == PRICE_ATOMIC


@pytest.mark.parametrize("when", ["crash_before", "crash_after"])
async def test_killed_at_every_write(when: Fault) -> None:
    """The seller dies before and after every write of a refund, and starts again: the money goes back exactly once."""
    for write in range(12):
        shop = Shop(journal=FaultyJournal())
        journal = shop.journal
        assert isinstance(journal, FaultyJournal)
        await shop.fund(PRICE_ATOMIC)
        await shop.get("/paid", shop.pay(1))
        payment_id = await payment_id_of(shop)
        refunds = refunds_of(shop)
        await refunds.open()
        before: list[Fault] = ["none" for _ in range(write)]
        journal.faults = [*before, when]
        try:
            await refunds.refund(payment_id, key="k")
        except CrashError:
            pass
        if not journal.dead:
            assert write >= 3
            break
        again = Shop(journal=journal.inner, clock=shop.clock, entropy_seed="again")
        restarted = refunds_of(again)
        assert await restarted.open() == 0
        assert (await restarted.refund(payment_id, key="k")).state == "settled"
        assert await held_by_payer(again) == PRICE_ATOMIC
        assert sum(isinstance(event, events.RefundSettled) for event in await again.events("refunds")) == 1
    else:
        raise AssertionError("more writes than the walk has steps")


async def test_cut_off_caller_does_not_cut_the_refund_off(shop: Shop) -> None:
    """The caller goes away while the refund is being settled: it is finished and on record all the same."""
    go_on = asyncio.Event()

    class Slow(Scripted):
        async def settle(
            self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements
        ) -> wire.SettlementResponse:
            await go_on.wait()
            return await super().settle(payload, requirements)

    refunds = refunds_of(shop, facilitator=Slow(shop.facilitator, []))
    await refunds.open()
    payment_id = await payment_id_of(shop)
    asked = asyncio.ensure_future(refunds.refund(payment_id, key="k"))
    while len(await shop.events("refunds")) < 2:
        await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    go_on.set()
    await refunds.aclose()
    assert (await refunds.of(payment_id))[0].state == "settled"
    assert await held_by_payer(shop) == PRICE_ATOMIC


def test_refunds_need_a_wallet() -> None:
    """Custody without a wallet pays nothing back."""
    clock = ManualClock()

    class NoWallet:
        def capabilities(self) -> Any:
            return type("Capabilities", (), {"wallet_address": None, "operations": frozenset()})()

    with pytest.raises(WalletMismatchError):
        Refunds(
            Shop().journal,
            clock,
            SeededEntropy("x"),
            claims=None,  # type: ignore[arg-type]
            custody=NoWallet(),  # type: ignore[arg-type]
            facilitator=None,  # type: ignore[arg-type]
            agent_id="seller",
        )


_IDS = st.sampled_from(["r1", "r2", "r3"])


def _event(kind: str, refund_id: str, amount: int) -> FinanceEvent:
    ids = {"refund_id": refund_id, "payment_id": "p"}
    if kind == "intended":
        return events.RefundIntended(
            **ids,
            key=refund_id,
            request_digest="",
            network=LOCAL,
            asset="0x",
            token_name="",
            token_version="",
            wallet="0x",
            payer_address="0x",
            amount_atomic=str(amount),
            amount_micro=amount,
            valid_after_s=0,
            valid_before_s=1,
            nonce="0x",
            reason="",
        )
    if kind == "signed":
        return events.RefundSigned(**ids, signature="00")
    if kind == "pending":
        return events.RefundPending(**ids, reason="r")
    if kind == "settled":
        return events.RefundSettled(
            **ids,
            tx_hash="t",
            amount_micro_credits=amount,
            amount_atomic=str(amount),
            network=LOCAL,
            asset="0x",
            wallet="0x",
            payer_address="0x",
        )
    return events.RefundFailed(**ids, reason="r")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["intended", "signed", "pending", "settled", "failed"]), _IDS, st.integers(1, 9)),
        max_size=30,
    )
)
def test_fold_is_total_and_ends_are_final(history: list[tuple[str, str, int]]) -> None:
    """Any order of events folds; an end is never undone, and what failed does not count."""
    book = RefundBook(refunds={}, by_payment={})
    ended: dict[str, str] = {}
    for number, (kind, refund_id, amount) in enumerate(history):
        book.apply(_event(kind, refund_id, amount), number)
        for each in book.refunds.values():
            if each.refund_id in ended:
                assert each.state == ended[each.refund_id]
            elif not each.is_open:
                ended[each.refund_id] = each.state
    counted = sum(refund.amount_atomic for refund in book.refunds.values() if refund.state != "failed")
    assert book.given_back("p") == counted


async def test_refunds_stand_in_the_books(shop: Shop) -> None:
    """What went back is taken out of the sale's own income and out of the wallet; the books balance, and the financial state has
    earned that much less."""
    refunds = refunds_of(shop)
    await refunds.refund(await payment_id_of(shop), key="k", amount_atomic=4000)
    books, state = Books(), EMPTY
    for record in await shop.journal.read(EventQuery(), limit=1000):
        books.apply(record)
        state = apply(state, read_finance(record), record.timestamp_us)
    assert books.balance("Income:Sales") == -(PRICE_ATOMIC - 4000)
    assert books.trial_balance_micro == 0
    assert (state.total_revenue, state.net_balance) == (PRICE_ATOMIC - 4000, PRICE_ATOMIC - 4000)


async def test_refund_events_survive_the_journal(shop: Shop) -> None:
    """Every event of a refund is read back as it was written."""
    refunds = refunds_of(shop)
    await refunds.refund(await payment_id_of(shop), key="k")
    book = RefundBook(refunds={}, by_payment={})
    for record in await shop.journal.read(EventQuery(session_id="refunds"), limit=100):
        event = read_finance(record)
        assert event is not None
        book.apply(event, record.timestamp_us)
    assert [refund.state for refund in book.refunds.values()] == ["settled"]
