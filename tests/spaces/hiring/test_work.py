"""A server of hires: takes them on, carries them out, delivers, and goes on after it was stopped anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from life.aios.errors import UnavailableError
from life.aios.ids import new_id
from life.spaces.hiring.desk import Hire
from life.spaces.hiring.work import AGAIN_US, HireServer, NotDoneError
from life.spaces.seat import Seat
from tests.spaces.hiring.kit import Village, Villager, village
from tests.spaces.hiring.test_desk import IDS, PRICE, hire


class Shouting:
    """Makes the task loud; the first tries may fail."""

    def __init__(self, *troubles: Exception) -> None:
        self.troubles = list(troubles)
        self.seen: list[str] = []

    async def carry_out(self, hire: Hire) -> str:
        """See Work."""
        self.seen.append(hire.hire_id)
        if self.troubles:
            raise self.troubles.pop(0)
        return hire.task.upper()


def server(
    place: Village, ben: Villager, work: Shouting, accepts: Callable[[Hire], str | None] = lambda _: None
) -> HireServer:
    """Ben's."""

    async def seat() -> Seat:
        return ben.seat

    return HireServer(ben.desk, seat, work, accepts=accepts, clock=place.clock)


async def until(villager: Villager, hire_id: str, *states: str) -> Hire:
    """The hire, in one of these states."""
    async with asyncio.timeout(5):
        while True:
            found = await villager.desk.look(hire_id)
            if found.state in states:
                return found
            await asyncio.sleep(0.005)


async def test_hires_that_came_before_and_after_are_carried_out() -> None:
    """What waited when it started, what comes while it runs, and questions."""
    async with village() as place:
        ada, ben = await place.villager("ada", funds_micro=1_000_000), await place.villager("ben")
        before = await hire(place, ada, ben)
        work = Shouting()
        async with server(place, ben, work).running():
            assert (await until(ada, before.hire_id, "delivered")).result == "TRANSLATE `BONJOUR`."
            after = await hire(place, ada, ben)
            await until(ada, after.hire_id, "delivered")
            asked = await ada.desk.ask(new_id(place.clock, IDS), ben.seat.identity, "loud?")
            assert (await until(ada, asked.hire_id, "delivered")).result == "LOUD?"
        assert work.seen == [before.hire_id, after.hire_id, asked.hire_id]


async def test_what_is_not_accepted_or_can_not_be_done_is_declined() -> None:
    """With the reason, and the money back at once."""
    async with village() as place:
        ada, ben = await place.villager("ada", funds_micro=1_000_000), await place.villager("ben")
        refused, broken = await hire(place, ada, ben, price=10), await hire(place, ada, ben)
        work = Shouting(NotDoneError("I can't shout that."))
        async with server(place, ben, work, lambda found: "Too cheap." if found.price_micro < 100 else None).running():
            assert (await until(ada, refused.hire_id, "declined")).reason == "Too cheap."
            assert (await until(ada, broken.hire_id, "declined")).reason == "I can't shout that."
        assert work.seen == [broken.hire_id]
        await place.check_books()


async def test_trouble_that_passes_is_tried_again() -> None:
    """A worker that is not there for a moment costs nobody the hire."""
    async with village() as place:
        ada, ben = await place.villager("ada", funds_micro=1_000_000), await place.villager("ben")
        found = await hire(place, ada, ben)
        work = Shouting(UnavailableError("Not now."))
        async with server(place, ben, work).running():
            await until(ada, found.hire_id, "working")
            async with asyncio.timeout(5):
                while not work.seen:
                    await asyncio.sleep(0.005)
            place.clock.advance_us(AGAIN_US)
            await until(ada, found.hire_id, "delivered")
        assert len(work.seen) == 2


@pytest.mark.parametrize("stop_at", ["offered", "working", "delivered"])
async def test_a_server_that_stopped_goes_on(stop_at: str) -> None:
    """Whatever was done by then is not done again; a delivery that the customer was not told of is told."""
    async with village() as place:
        ada, ben = await place.villager("ada", funds_micro=1_000_000), await place.villager("ben")
        found = await hire(place, ada, ben)
        if stop_at != "offered":
            await ben.desk.take(found.hire_id)
        if stop_at == "delivered":
            await ben.escrow.deliver(found.hire_id, "already done")
        work = Shouting()
        async with server(place, ben, work).running():
            assert await until(ada, found.hire_id, "delivered")
            async with asyncio.timeout(5):
                while (await ben.desk.list_(role="worker"))[0].state != "delivered":
                    await asyncio.sleep(0.005)
            await asyncio.sleep(0.05)
        assert len(work.seen) == (0 if stop_at == "delivered" else 1)
        assert (await ada.desk.accept(found.hire_id)).paid_micro == PRICE
        assert [each.success for each in ada.trust.told] == [True]
        await place.check_books()
