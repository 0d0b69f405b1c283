"""A payer in a directory, its cap, and purchases that commands share."""

from __future__ import annotations

from pathlib import Path

import httpx2
import msgspec
import pytest

from life.aios.errors import InvalidInputError
from life.aios.ports.journal import EventQuery
from life.haima.errors import OutcomeUnknownError, PolicyDeniedError
from life.haima.events import SpendingCapSet, read_finance, wallet_stream
from life.haima.payer import Payer
from life.haima.x402 import wire
from life.haima.x402.driving import purchase_request
from life.haima.x402.networks import LOCAL
from life.haima.x402.transport import AsyncPayingTransport
from life.host.clock import SystemClock, SystemEntropy
from life.host.haima_client import open_payer
from life.host.haima_purchases import PREFIX, Purchases
from life.lago.journal.sqlite import SqliteJournal
from tests.haima.payee import Payee

KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
URL = "http://localhost/paid"


def client_of(payer: Payer, payee: Payee) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=AsyncPayingTransport(payer, httpx2.ASGITransport(app=payee)))


def purchases_of(root: Path) -> Purchases:
    return Purchases(root / "purchases", SystemClock(), SystemEntropy())


def request_key() -> str:
    return purchase_request(httpx2.Request("GET", URL), b"").key()


async def buy(client: httpx2.AsyncClient, purchase_id: str) -> httpx2.Response:
    return await client.get(URL, extensions={"life": {"purchase_id": purchase_id}})


async def caps_in(root: Path) -> list[int | None]:
    async with SqliteJournal.open(root / "journal.db", clock=SystemClock()) as journal:
        events = [read_finance(record) for record in await journal.read(EventQuery(), limit=1000)]
    return [event.total_cap_micro for event in events if isinstance(event, SpendingCapSet)]


async def test_being_run_is_the_approval_up_to_the_limit(tmp_path: Path) -> None:
    """What a person's command may cost is paid without a ticket; one unit more is declined."""
    async with open_payer(tmp_path, key=KEY, network="local", max_payment_atomic=50) as payer:
        async with client_of(payer, Payee(amount="50")) as client:
            assert (await client.get(URL)).status_code == 200
        async with client_of(payer, Payee(amount="51")) as client:
            with pytest.raises(PolicyDeniedError) as declined:
                await client.get(URL)
    assert declined.value.verdict == "hard_cap"


async def test_a_person_is_not_rationed_by_the_minute(tmp_path: Path) -> None:
    """Twenty commands in a row are twenty payments: the agent's rate limit is not for people."""
    async with open_payer(tmp_path, key=KEY, network="local") as payer:
        async with client_of(payer, Payee()) as client:
            for number in range(20):
                assert (await buy(client, f"{PREFIX}{number}")).status_code == 200


async def test_a_total_cap_is_kept_with_the_wallet(tmp_path: Path) -> None:
    """It is written once, binds whoever opens the directory later without one, and another one replaces it."""
    for _ in range(2):
        async with open_payer(tmp_path, key=KEY, network="local", total_cap_atomic=75):
            pass
    assert await caps_in(tmp_path) == [75]
    async with open_payer(tmp_path, key=KEY, network="local") as payer:
        async with client_of(payer, Payee()) as client:
            assert (await client.get(URL)).status_code == 200
            with pytest.raises(PolicyDeniedError) as declined:
                await client.get(URL)
    assert declined.value.verdict == "total_cap"
    async with open_payer(tmp_path, key=KEY, network="local", total_cap_atomic=100) as payer:
        async with client_of(payer, Payee()) as client:
            assert (await client.get(URL)).status_code == 200
    assert await caps_in(tmp_path) == [75, 100]


@pytest.mark.parametrize("network", ["eip155:31337", "bitcoin"])
async def test_a_network_without_a_known_token_is_refused(tmp_path: Path, network: str) -> None:
    """Before anything is opened or made."""
    with pytest.raises(InvalidInputError):
        async with open_payer(tmp_path / "w", key=KEY, network=network):
            pass
    assert not (tmp_path / "w").exists()


async def test_an_unclear_purchase_is_taken_up_and_a_finished_one_is_not(tmp_path: Path) -> None:
    """After a lost answer the same request gets the same purchase; after delivery, or for another request, a new one."""
    payee = Payee()
    payee.faults = ["lose_answer"]
    async with open_payer(tmp_path, key=KEY, network="local") as payer, client_of(payer, payee) as client:
        purchases = purchases_of(tmp_path)
        first = await purchases.begin(payer, request_key())
        with pytest.raises(OutcomeUnknownError):
            await buy(client, first.purchase_id)
        await first.end(payer)
        other = await purchases.begin(payer, "0" * 64)
        assert other.purchase_id != first.purchase_id
        await other.end(payer)
        second = await purchases.begin(payer, request_key())
        assert (second.purchase_id, second.is_repeated) == (first.purchase_id, True)
        answer = await buy(client, second.purchase_id)
        assert answer.status_code == 200
        payer.note_delivered(answer.extensions["life.settlement"].payment)
        await second.end(payer)
        third = await purchases.begin(payer, request_key())
        assert (third.purchase_id == first.purchase_id, third.is_repeated) == (False, False)
        await third.end(payer)
    assert payee.charged == 50
    assert not list((tmp_path / "purchases").iterdir())


async def test_a_purchase_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    """As long as somebody holds it, others make their own; `anew` does so in any case."""
    payee = Payee()
    payee.faults = ["lose_answer"]
    async with open_payer(tmp_path, key=KEY, network="local") as payer, client_of(payer, payee) as client:
        purchases = purchases_of(tmp_path)
        first = await purchases.begin(payer, request_key())
        with pytest.raises(OutcomeUnknownError):
            await buy(client, first.purchase_id)
        beside = await purchases.begin(payer, request_key())
        assert beside.purchase_id != first.purchase_id
        await beside.end(payer)
        await first.end(payer)
        anew = await purchases.begin(payer, request_key(), anew=True)
        assert anew.purchase_id != first.purchase_id
        await anew.end(payer)
        assert len(list((tmp_path / "purchases").iterdir())) == 1


async def test_purchases_are_found_again_without_their_files(tmp_path: Path) -> None:
    """The files are names and locks only: the journal alone leads to what is unclear."""
    payee = Payee()
    payee.faults = ["lose_answer"]
    async with open_payer(tmp_path, key=KEY, network="local") as payer, client_of(payer, payee) as client:
        first = await purchases_of(tmp_path).begin(payer, request_key())
        with pytest.raises(OutcomeUnknownError):
            await buy(client, first.purchase_id)
        await first.end(payer)
    for file in (tmp_path / "purchases").iterdir():
        file.unlink()
    async with open_payer(tmp_path, key=KEY, network="local") as payer:
        again = await purchases_of(tmp_path).begin(payer, request_key())
        assert again.purchase_id == first.purchase_id
        await again.end(payer)


async def test_an_agents_own_purchases_are_not_taken_for_a_commands(tmp_path: Path) -> None:
    """The same wallet pays for the same URL in a session: a command begins a purchase of its own."""
    payee = Payee()
    payee.faults = ["lose_answer"]
    async with open_payer(tmp_path, key=KEY, network="local") as payer, client_of(payer, payee) as client:
        with pytest.raises(OutcomeUnknownError):
            await buy(client, "call-1")
        assert len(payer.purse(LOCAL).state.open_payments()) == 1
        begun = await purchases_of(tmp_path).begin(payer, request_key())
        assert begun.purchase_id.startswith(PREFIX)
        await begun.end(payer)
        assert wallet_stream(LOCAL, payer.address).session_id.startswith(f"wallet:{LOCAL}")


async def test_a_gas_key_needs_a_node(tmp_path: Path) -> None:
    """Cancelling happens on a chain: without its node the key is refused, not ignored."""
    with pytest.raises(InvalidInputError, match="rpc_url"):
        async with open_payer(tmp_path, key=KEY, network="local", gas_key=KEY):
            pass


async def test_above_the_limit_a_person_decides(tmp_path: Path) -> None:
    """`ask_above_atomic`: up to it a payment is made, above it waits, and above the maximum it is declined."""
    asked: list[str] = []
    async with open_payer(
        tmp_path,
        key=KEY,
        network="local",
        max_payment_atomic=100,
        ask_above_atomic=50,
        on_question=lambda ticket: asked.append(ticket.ticket_id),
    ) as payer:
        for amount, verdict in (("50", None), ("51", "needs_approval"), ("101", "hard_cap")):
            async with client_of(payer, Payee(amount=amount)) as client:
                if verdict is None:
                    assert (await client.get(URL)).status_code == 200
                    continue
                with pytest.raises(PolicyDeniedError) as declined:
                    await client.get(URL)
                assert declined.value.verdict == verdict
    assert len(asked) == 1


async def test_a_seller_that_changed_is_told(tmp_path: Path) -> None:
    """A person's own command pays it all the same, and says what is odd; asked to ask, it asks."""
    told: list[str] = []
    for change, expected in (("alarm", 200), ("ask", "payee_changed")):
        async with open_payer(
            tmp_path / change,
            key=KEY,
            network="local",
            on_payee_change=change,  # type: ignore[arg-type]
            on_alarm=lambda alarm: told.append(alarm.code),
        ) as payer:
            payee = Payee()
            async with client_of(payer, payee) as client:
                assert (await client.get(URL)).status_code == 200
                payee.requirements = msgspec.structs.replace(
                    payee.requirements, pay_to="0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"
                )
                payee.terms = wire.offer((payee.requirements,))
                try:
                    assert (await client.get(URL)).status_code == expected
                except PolicyDeniedError as denied:
                    assert denied.verdict == expected
    assert told == ["payee_changed", "payee_changed"]
