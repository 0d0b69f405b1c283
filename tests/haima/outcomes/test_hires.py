"""Hires at the house itself: what a contract made for one hire does, without Spaces around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from life.aios.errors import ConflictError, InvalidInputError, NotFoundError
from life.aios.ports.journal import Appended
from life.aios.record import NewEvent
from life.haima.accounts import wallet_of
from life.haima.errors import EvidenceUsedError, IdempotencyConflictError, InsufficientBalanceError, RoleRefusedError
from life.haima.events.tasks import Criterion
from life.haima.house import House
from life.haima.outcomes import hires as module
from life.haima.outcomes.answers import Subject
from life.haima.outcomes.contracts import check_contract
from life.haima.outcomes.desk import OutcomeDesk
from life.haima.outcomes.hires import Hires, HireTerms
from life.haima.outcomes.verifiers import SilentApproval
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.outcomes.kit import contract

ADA, BEN, EVE = Subject("ada"), Subject("ben"), Subject("eve")
TERMS = HireTerms(
    hire_id="h1", customer_id="ada", worker_id="ben", price_micro_credits=100, deadline_s=60, review_s=30, title="Work",
    offer_digest="0" * 64,
)  # fmt: skip


class Desk(NamedTuple):
    """A house with Ada's money in it."""

    clock: ManualClock
    house: House
    hires: Hires

    def balance(self, name: str) -> int:
        """Of an account."""
        return self.house.state.accounts.balance(wallet_of(name))


async def _nobody(_: str) -> int:
    return 0


@asynccontextmanager
async def opened(funds: int = 1_000) -> AsyncIterator[Desk]:
    """The desk."""
    clock, entropy = ManualClock(), SeededEntropy()
    async with MemoryJournal() as journal:
        house = House(journal, clock, entropy, agent_id="house")
        await house.open()
        verifiers = {"manual_approval": SilentApproval(clock)}
        desk = OutcomeDesk(house, clock, entropy, trust=_nobody, verifiers=verifiers)  # type: ignore[arg-type]
        hires = Hires(house, desk, clock, entropy)
        await hires.deposit("ada", "payment-1", funds, network="eip155:1")
        yield Desk(clock, house, hires)
        await house.aclose()


async def test_a_deposit_is_booked_once() -> None:
    """The same payment again changes nothing; as another's, or of another amount, it is a conflict."""
    async with opened() as desk:
        for _ in range(2):
            await desk.hires.deposit("ada", "payment-1", 1_000, network="eip155:1")
        with pytest.raises(IdempotencyConflictError):
            await desk.hires.deposit("ada", "payment-1", 2_000, network="eip155:1")
        with pytest.raises(EvidenceUsedError):
            await desk.hires.deposit("eve", "payment-1", 1_000, network="eip155:1")
        assert (desk.balance("ada"), desk.balance("eve")) == (1_000, 0)


async def test_a_withdrawal_is_made_once_and_never_overdraws() -> None:
    """Under its id; another amount under the same id is a conflict."""
    async with opened() as desk:
        for _ in range(2):
            await desk.hires.withdraw("ada", "p1", 400, network="eip155:1", to="0x1")
        with pytest.raises(IdempotencyConflictError):
            await desk.hires.withdraw("ada", "p1", 401, network="eip155:1", to="0x1")
        with pytest.raises(InsufficientBalanceError):
            await desk.hires.withdraw("ada", "p2", 601, network="eip155:1", to="0x1")
        assert desk.balance("ada") == 600


async def test_who_may_do_what() -> None:
    """Only the customer puts aside and judges, only the worker delivers and gives up, and others find nothing."""
    async with opened() as desk:
        hires = desk.hires
        with pytest.raises(RoleRefusedError):
            await hires.put_aside(TERMS, EVE)
        await hires.put_aside(TERMS, ADA)
        for step in (hires.look("h1", EVE), hires.deliver("h1", EVE, "x"), hires.give_up("h1", EVE, "x")):
            with pytest.raises(NotFoundError):
                await step
        for refused in (hires.deliver("h1", ADA, "x"), hires.give_up("h1", ADA, "x")):
            with pytest.raises(RoleRefusedError):
                await refused
        with pytest.raises(ConflictError):
            await hires.judge("h1", ADA, passed=True)
        await hires.deliver("h1", BEN, "x")
        with pytest.raises(RoleRefusedError):
            await hires.judge("h1", BEN, passed=True)
        with pytest.raises(ConflictError):
            await hires.give_up("h1", BEN, "too late")
        assert (await hires.judge("h1", ADA, passed=True)).status == "paid"
        assert (desk.balance("ada"), desk.balance("ben")) == (900, 100)


async def test_other_terms_under_the_same_id_are_refused() -> None:
    """And leave the first as they were."""
    async with opened() as desk:
        await desk.hires.put_aside(TERMS, ADA)
        for change in ({"price_micro_credits": 1}, {"worker_id": "eve"}, {"offer_digest": "1" * 64}):
            with pytest.raises((ConflictError, IdempotencyConflictError)):
                await desk.hires.put_aside(msgspec.structs.replace(TERMS, **change), ADA)
        assert (await desk.hires.look("h1", BEN)).price_micro_credits == 100


async def test_the_job_settles_what_time_decides() -> None:
    """Late ones are refunded, reviews that are over pay, the rest stays; doing it again does nothing."""
    async with opened() as desk:
        for number in range(3):
            await desk.hires.put_aside(
                msgspec.structs.replace(TERMS, hire_id=f"h{number}", deadline_s=60 + number), ADA
            )
        await desk.hires.deliver("h0", BEN, "done")
        desk.clock.advance_us(61_500_000)
        assert set(await desk.hires.settle_due()) == {"h0", "h1"}
        assert await desk.hires.settle_due() == ()
        states = [(await desk.hires.look(f"h{number}", ADA)).status for number in range(3)]
        assert states == ["paid", "late", "open"]
        assert (desk.balance("ada"), desk.balance("ben")) == (800, 100)


async def test_a_hire_for_nothing_has_an_end_too() -> None:
    """No escrow, and the customer's word all the same."""
    async with opened() as desk:
        free = msgspec.structs.replace(TERMS, price_micro_credits=0)
        await desk.hires.put_aside(free, ADA)
        await desk.hires.deliver("h1", BEN, "x")
        assert (await desk.hires.judge("h1", ADA, passed=True)).status == "paid"
        assert desk.balance("ada") == 1_000


async def test_a_customer_has_so_many_open_hires(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond that a new one is refused, and a known one is not."""
    monkeypatch.setattr(module, "MAX_OPEN", 2)
    async with opened() as desk:
        for number in range(2):
            await desk.hires.put_aside(msgspec.structs.replace(TERMS, hire_id=f"h{number}"), ADA)
        with pytest.raises(ConflictError):
            await desk.hires.put_aside(msgspec.structs.replace(TERMS, hire_id="h2"), ADA)
        await desk.hires.put_aside(msgspec.structs.replace(TERMS, hire_id="h1"), ADA)
        await desk.hires.give_up("h0", BEN, "no")
        await desk.hires.put_aside(msgspec.structs.replace(TERMS, hire_id="h2"), ADA)


async def test_a_customer_without_the_price_leaves_nothing_behind() -> None:
    """No contract is written for who can't pay it, so that nobody fills the house's journal for nothing."""
    async with opened() as desk:
        with pytest.raises(InsufficientBalanceError):
            await desk.hires.put_aside(msgspec.structs.replace(TERMS, price_micro_credits=1_001), ADA)
        state = await desk.house.catch_up()
        assert not state.outcomes.contracts and not state.outcomes.tasks


async def test_a_task_whose_price_nobody_put_aside_is_no_hire() -> None:
    """The same contract taken on without an escrow (haimad's own command) is never shown as one that is paid."""
    async with opened() as desk:
        await desk.hires.put_aside(TERMS, ADA)
        known = desk.house.state.outcomes.tasks["h1"]
        unpaid = msgspec.structs.replace(known, escrowed=False)
        with pytest.raises(RoleRefusedError):
            module.standing_of(desk.house.state, unpaid, 0)


async def test_any_number_of_late_hires_ends_in_batches_that_a_journal_takes() -> None:
    """Hundreds that are late at once are ended by one call, never more than a hundred in one batch."""
    async with opened() as desk:
        journal, sizes = desk.house._journal, []
        true = journal.append

        async def counted(batch: Sequence[NewEvent], **given: Any) -> list[Appended]:
            sizes.append(len(batch))
            return await true(batch, **given)

        for number in range(230):
            terms = msgspec.structs.replace(TERMS, hire_id=f"h{number}", customer_id=f"c{number // 199}")
            await desk.hires.put_aside(
                msgspec.structs.replace(terms, price_micro_credits=0), Subject(f"c{number // 199}")
            )
        desk.clock.advance_us(61_500_000)
        journal.append = counted  # type: ignore[method-assign,assignment]
        assert (await desk.hires.look("h7", BEN)).status == "late"
        assert sizes == [2]
        assert len(await desk.hires.settle_due()) == 229
        assert max(sizes) <= 200 and sum(sizes) == 460


def test_only_a_manual_approval_has_a_time_for_review() -> None:
    """A contract with anything else is refused."""
    check_contract(contract(Criterion(type="manual_approval", approver="customer", review_seconds=1)))
    for wrong in (
        Criterion(type="tests_passed", scope="unit", review_seconds=1),
        Criterion(type="manual_approval", approver="x", review_seconds=-1),
        Criterion(type="manual_approval", approver="x", review_seconds=366 * 86_400),
    ):
        with pytest.raises(InvalidInputError):
            check_contract(contract(wrong))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["put", "deliver", "accept", "reject", "give_up", "late", "review", "look"]), max_size=12)
)
async def test_no_order_of_steps_loses_or_makes_money(steps: list[str]) -> None:
    """Whatever the two do, in whatever order: the money is with one of them or in escrow, once."""
    async with opened() as desk:
        for step in steps:
            try:
                match step:
                    case "put":
                        await desk.hires.put_aside(TERMS, ADA)
                    case "deliver":
                        await desk.hires.deliver("h1", BEN, "x")
                    case "accept" | "reject":
                        await desk.hires.judge("h1", ADA, passed=step == "accept")
                    case "give_up":
                        await desk.hires.give_up("h1", BEN, "no")
                    case "late":
                        desk.clock.advance_us(61_000_000)
                    case "review":
                        desk.clock.advance_us(31_000_000)
                    case _:
                        await desk.hires.look("h1", BEN)
            except (ConflictError, NotFoundError, IdempotencyConflictError):
                continue
        state = await desk.house.catch_up()
        task = state.outcomes.tasks.get("h1")
        held = 0 if task is None else state.accounts.balance(task.escrow)
        assert desk.balance("ada") + desk.balance("ben") + held == 1_000
        assert desk.balance("ben") in (0, 100)
        if task is not None and task.status in ("paid", "refunded"):
            assert held == 0
