"""The house itself: what it books, whose tokens it takes, and which money its books may hold."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import httpx2
import pytest

from life.aios.errors import ConflictError, JournalUnavailableError, LifeError
from life.aios.ids import new_id
from life.anima.tokens import issue_agent_token
from life.haima.x402.networks import LOCAL
from life.host.anima_verifier import open_identity_services
from life.host.hiring.api import BesideHouse
from life.host.hiring.escrow import AUDIENCE, audience_of
from life.host.hiring.house import SETTLE_S, open_play_house
from life.host.spaces_routes import admits
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import SeededEntropy
from tests.spaces.hiring.kit import Timed, Villager, village

IDS = SeededEntropy("house")
PRICE = 1_000


async def _paid_and_not_booked(place: Timed) -> Villager:
    """Ada's deposit settled on the ledger, and the disk was full when it was to be booked."""
    ada, ben = await place.villager("ada", funds_micro=10_000), await place.villager("ben")
    true = place.house.hires.deposit

    async def full(*_: object, **__: object) -> object:
        raise JournalUnavailableError("The disk is full.")

    place.house.hires.deposit = full  # type: ignore[assignment,method-assign]
    with pytest.raises(LifeError):
        await ada.desk.hire(
            new_id(place.clock, IDS), ben.seat.identity, title="T", task="t", price_micro=PRICE, deadline_s=60, review_s=60
        )  # fmt: skip
    place.house.hires.deposit = true  # type: ignore[method-assign]
    assert (await place.on_chain(ada.wallet), await place.held(ada)) == (10_000 - PRICE, 0)
    return ada


async def test_a_deposit_is_booked_under_whatever_address_it_was_asked_for() -> None:
    """The payment settled and was not booked; the house comes back under another address, and knows whose money it is."""
    async with village() as place:
        ada = await _paid_and_not_booked(place)
        elsewhere = "http://other.localhost/under"
        async with open_play_house(place.journal, place.ledger, place.clock, IDS, base_url=elsewhere) as house:
            assert await house.hires.balance(ada.account) == PRICE


async def test_a_deposit_that_could_not_be_booked_is_booked_later() -> None:
    """Without a restart, and without another deposit: the house's own job does it."""
    async with village() as place:
        ada = await _paid_and_not_booked(place)
        place.clock.advance_us(SETTLE_S * 1_000_000)
        async with asyncio.timeout(5):
            while await place.held(ada) != PRICE:
                await asyncio.sleep(0)
        await place.check_books()


async def test_books_hold_one_money() -> None:
    """A journal whose house owes USDC of a chain opens no house with play money, which would pay it out in that, nor the other way round."""
    async with village() as place:
        await place.house.hires.deposit("ada", "payment", PRICE, network="eip155:8453")
        with pytest.raises(ConflictError, match="eip155:8453"):
            async with open_play_house(place.journal, place.ledger, place.clock, IDS):
                raise AssertionError("it opened")
        await place.house.hires.withdraw("ada", "out", PRICE, network="eip155:8453", to="0x1")
        async with open_play_house(place.journal, place.ledger, place.clock, IDS) as house:
            assert house.network == LOCAL


async def test_a_token_for_one_house_is_worth_nothing_at_another() -> None:
    """A house that Ada asks can't go to another one with her token and take her money there, whatever it calls itself."""
    async with village() as place, AsyncExitStack() as stack:
        ada = await place.villager("ada")

        async def served(host: str) -> httpx2.AsyncClient:
            journal = await stack.enter_async_context(MemoryJournal())
            services = await stack.enter_async_context(
                open_identity_services(
                    journal, clock=place.clock, directory=None, daemon=AUDIENCE, environment={}, allow_unregistered=True
                )
            )
            app = BesideHouse(_nothing, place.house, services.verifier, admits=admits([host]))
            transport = httpx2.ASGITransport(app)
            return await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url=f"http://{host}"))

        two = await served("two.example")

        async def asked(client: httpx2.AsyncClient, audience: str) -> int:
            token = await issue_agent_token(
                ada.custody, agent_id=ada.account, audience=audience, clock=place.clock, entropy=IDS
            )
            answer = await client.get("/v1/house/account", headers={"authorization": f"Bearer {token}"})
            return answer.status_code

        assert await asked(two, audience_of("http://TWO.example/")) == 200
        assert await asked(two, audience_of("https://one.example")) == 401
        assert await asked(two, AUDIENCE) == 401
        assert await asked(two, f"{AUDIENCE}:") == 401


async def _nothing(*_: object) -> None:
    raise AssertionError("not a path of the house")
