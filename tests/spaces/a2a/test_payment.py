"""A paid skill over x402, on the local ledger: asked, paid, worked once; refused, repeated and interrupted payments."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from x402.schemas import PaymentRequired

from life.haima.errors import OutcomeUnknownError
from life.haima.x402.networks import LOCAL
from life.haima.x402.till import Till
from life.lago.journal.memory import MemoryJournal
from life.spaces.a2a import payment
from life.spaces.a2a.card import X402_EXTENSION
from life.testing.chain import PAYEE
from life.testing.clock import ManualClock
from tests.haima.shop import PRICE_ATOMIC, CountingFacilitator, Shop, plain_app
from tests.spaces.a2a.kit import FREE, PAID, house, rpc, said

PAYS = {"a2a_extensions": X402_EXTENSION}
ASK = {"skillId": "report"}


def till_of(shop: Shop) -> Till:
    """A till of the shop's ledger."""
    return Till(
        pay_to=PAYEE,
        network=LOCAL,
        facilitator=shop.facilitator,
        journal=shop.journal,
        clock=shop.clock,
        entropy=shop.entropy,
        sole_server=True,
    )


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """A ledger whose payer has money."""
    made = Shop(app=plain_app, routes={"/unused": "$0.01"})
    await made.fund()
    yield made
    await made.aclose()


def paying(shop: Shop, task: Any, number: int, message_id: str, **changes: Any) -> dict[str, Any]:
    """A follow-up with a payment."""
    payload = msgspec.json.decode(base64.b64decode(shop.pay(number, **changes)))
    metadata = {payment.STATUS: payment.PAYMENT_SUBMITTED, payment.PAYLOAD: payload}
    return said("", message_id, taskId=task["id"], metadata=metadata, parts=[{"text": "Here is the money."}])


def status(answer: Any) -> tuple[str, dict[str, Any]]:
    """State and metadata of the status."""
    found = answer["result"].get("task", answer["result"])["status"]
    return found["state"].removeprefix("TASK_STATE_"), found.get("message", {}).get("metadata", {})


async def test_a_paid_skill_is_paid_once_and_worked_once(tmp_path: Path, shop: Shop) -> None:
    """Asked for money in the terms of x402 (read by the official package), settled before the work, receipt in the result; the same
    payment message again gives the same task and moves no more money."""
    async with house(tmp_path, skills=(FREE, PAID), till=till_of(shop)) as home:
        asked = await rpc(home, "SendMessage", said("write", metadata=ASK), **PAYS)
        task = asked["result"]["task"]
        state, metadata = status(asked)
        assert (state, metadata[payment.STATUS]) == ("INPUT_REQUIRED", "payment-required")
        terms = PaymentRequired.model_validate(metadata[payment.REQUIRED])
        assert terms.accepts[0].amount == str(PRICE_ATOMIC)
        assert len(await home.runtime.sessions()) == 0
        pay = paying(shop, task, 1, "m-2")
        done, again = await asyncio.gather(*(rpc(home, "SendMessage", pay, **PAYS) for _ in range(2)))
        state, metadata = status(done)
        assert (state, metadata[payment.STATUS]) == ("COMPLETED", "payment-completed")
        (receipt,) = metadata[payment.RECEIPTS]
        assert receipt["success"] is True
        assert receipt["transaction"]
        assert again["result"]["task"]["id"] == task["id"]
        assert await shop.earned() == PRICE_ATOMIC
        assert shop.facilitator.settled == 1
        text = (await rpc(home, "GetTask", {"id": task["id"]}))["result"]["artifacts"][0]["parts"][0]["text"]
        assert text == "You said 'write', question 1."
        assert "payload" not in msgspec.json.encode(done["result"]["task"]["history"]).decode()


async def test_the_extension_must_be_active_and_free_skills_stay_free(tmp_path: Path, shop: Shop) -> None:
    """-32008 without it; a message that names no skill is free."""
    async with house(tmp_path, skills=(FREE, PAID), till=till_of(shop)) as home:
        refused = await rpc(home, "SendMessage", said("write", metadata=ASK))
        assert refused["error"]["code"] == -32008
        assert status(await rpc(home, "SendMessage", said("hello", "m-2")))[0] == "COMPLETED"
        assert await shop.earned() == 0


async def test_a_bad_payment_is_refused_with_a_reason_and_a_good_one_still_counts(tmp_path: Path, shop: Shop) -> None:
    """Too little, and no payment at all: nothing is charged, nothing is worked; the terms stand again. A client that won't pay ends it."""
    async with house(tmp_path, skills=(FREE, PAID), till=till_of(shop)) as home:
        task = (await rpc(home, "SendMessage", said("write", metadata=ASK), **PAYS))["result"]["task"]
        bad = await rpc(home, "SendMessage", paying(shop, task, 1, "m-2", value_atomic=1), **PAYS)
        state, metadata = status(bad)
        assert (state, metadata[payment.STATUS]) == ("INPUT_REQUIRED", "payment-failed")
        assert metadata[payment.ERROR]
        assert metadata[payment.REQUIRED]["accepts"]
        junk = {payment.STATUS: payment.PAYMENT_SUBMITTED, payment.PAYLOAD: {"x402Version": 2, "x": [1]}}
        for number, metadata in enumerate((junk, {**junk, payment.PAYLOAD: {}})):
            message = said("pay", f"j-{number}", taskId=task["id"], metadata=metadata)
            assert status(await rpc(home, "SendMessage", message, **PAYS))[0] == "INPUT_REQUIRED"
        odd = said("pay", "m-o", taskId=task["id"], metadata={payment.STATUS: "payment-submitted"})
        assert (await rpc(home, "SendMessage", odd, **PAYS))["error"]["code"] == -32602
        talk = said("please", "m-t", taskId=task["id"])
        assert (await rpc(home, "SendMessage", talk, **PAYS))["error"]["code"] == -32004
        assert (await shop.earned(), len(await home.runtime.sessions())) == (0, 0)
        assert status(await rpc(home, "SendMessage", paying(shop, task, 2, "m-3"), **PAYS))[0] == "COMPLETED"
        assert await shop.earned() == PRICE_ATOMIC
        other = (await rpc(home, "SendMessage", said("write", "m-4", metadata=ASK), **PAYS))["result"]["task"]
        no = said("no", "m-5", taskId=other["id"], metadata={payment.STATUS: payment.PAYMENT_REJECTED})
        assert status(await rpc(home, "SendMessage", no, **PAYS))[0] == "CANCELED"


async def test_one_payment_pays_for_one_task(tmp_path: Path, shop: Shop) -> None:
    """The payment of one task brought to another is refused, and moves nothing."""
    async with house(tmp_path, skills=(FREE, PAID), till=till_of(shop)) as home:
        one = (await rpc(home, "SendMessage", said("write", metadata=ASK), **PAYS))["result"]["task"]
        two = (await rpc(home, "SendMessage", said("write", "m-2", metadata=ASK), **PAYS))["result"]["task"]
        assert status(await rpc(home, "SendMessage", paying(shop, one, 1, "m-3"), **PAYS))[0] == "COMPLETED"
        state, metadata = status(await rpc(home, "SendMessage", paying(shop, two, 1, "m-4"), **PAYS))
        assert (state, metadata[payment.STATUS]) == ("INPUT_REQUIRED", "payment-failed")
        assert await shop.earned() == PRICE_ATOMIC


class Unsure(CountingFacilitator):
    """Settles, and loses its word, as often as it is told."""

    lose = 1

    async def settle(self, payload: Any, requirements: Any) -> Any:
        """See Facilitator."""
        settled = await super().settle(payload, requirements)
        if self.lose > 0:
            self.lose -= 1
            raise OutcomeUnknownError("The answer was lost.")
        return settled


async def test_a_payment_whose_outcome_is_open_is_asked_for_again_and_never_replaced(
    tmp_path: Path, shop: Shop
) -> None:
    """The facilitator settles and its answer is lost: the agent is stopped meanwhile, started again, and finishes the task with the
    same payment. The money moved once."""
    shop.facilitator = Unsure(shop.facilitator.inner)
    async with MemoryJournal() as journal:
        clock = ManualClock()
        async with house(tmp_path, journal=journal, skills=(FREE, PAID), till=till_of(shop), clock=clock) as home:
            task = (await rpc(home, "SendMessage", said("write", metadata=ASK), **PAYS))["result"]["task"]
            pay = paying(shop, task, 1, "m-2")
            pay["configuration"] = {"returnImmediately": True}
            assert status(await rpc(home, "SendMessage", pay, **PAYS))[0] == "WORKING"
            for _ in range(500):
                if clock.sleepers:
                    break
                await asyncio.sleep(0.01)
            cancel = await rpc(home, "CancelTask", {"id": task["id"]})
            assert cancel["error"]["code"] == -32002
        async with house(tmp_path, journal=journal, skills=(FREE, PAID), till=till_of(shop)) as home:
            for _ in range(500):
                now = await rpc(home, "GetTask", {"id": task["id"]})
                if status(now)[0] == "COMPLETED":
                    break
                await asyncio.sleep(0.02)
            assert status(now)[0] == "COMPLETED"
            assert await shop.earned() == PRICE_ATOMIC
