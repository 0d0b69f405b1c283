"""The seller is killed (SIGKILL) at every point of a sale and started again: charged once or not at all, booked once,
delivered or resolvable, and the handler never runs twice for one payment."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from msgspec import Raw

from life.aios.ports.custody import TransferAuthorization
from life.aios.ports.journal import EventQuery
from life.haima.chain.local_ledger import DEVELOPMENT_BALANCE_ATOMIC, LocalLedger
from life.haima.events import RevenueReceived, read_finance
from life.haima.facilitator.port import REPEATABLE_SETTLEMENT
from life.haima.x402 import exact, wire
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.sqlite import SqliteJournal
from life.testing.chain import PAYEE, PAYER, sign
from tests.haima.scripted_facilitator import ScriptedFacilitator
from tests.haima.shop import OFFER, PRICE_ATOMIC, error_of, settlement_of
from tests.peers.processes import Peer, free_port, python

pytestmark = pytest.mark.slow


class Seller:
    """Files of one seller that outlive its processes, and the facilitator it uses (None: its own)."""

    def __init__(self, folder: Path, facilitator: ScriptedFacilitator | None) -> None:
        self.journal = folder / "journal.db"
        self.runs_file = folder / "runs"
        self.hold_file = folder / "hold"
        self.facilitator = facilitator
        self.port = free_port()
        self._valid_before_s = SystemClock().now_us() // 1_000_000 + 300

    def start(self, *, settle_first: bool = False, stream: bool = False) -> Peer:
        """Its next process, at the same address."""
        command = python(
            "x",
            journal=str(self.journal),
            runs=str(self.runs_file),
            hold=str(self.hold_file),
            facilitator=self.facilitator.url if self.facilitator else "",
            settle_first=settle_first,
            stream=stream,
            port=str(self.port),
        )
        return Peer.start([command[0], "-m", "tests.haima.seller_process", *command[3:]])

    @property
    def runs(self) -> int:
        """How often the handler ran, over all processes."""
        return len(self.runs_file.read_text().splitlines()) if self.runs_file.exists() else 0

    def pay(self, number: int) -> str:
        """A payment of the price, valid for the next five minutes of real time; always the same for a number."""
        authorization = TransferAuthorization(
            network=LOCAL,
            asset=PLAY_MONEY.address,
            token_name=PLAY_MONEY.name,
            token_version=PLAY_MONEY.version,
            from_address=PAYER,
            to_address=PAYEE,
            value_atomic=PRICE_ATOMIC,
            valid_after_s=0,
            valid_before_s=self._valid_before_s,
            nonce=number.to_bytes(32, "big"),
        )
        return wire.encode_header(exact.build_payload(Raw(OFFER.raw), authorization, sign(authorization)))

    def get(self, number: int) -> httpx2.Response:
        """One paid request."""
        url = f"http://127.0.0.1:{self.port}/paid"
        return httpx2.get(url, headers={"PAYMENT-SIGNATURE": self.pay(number)}, timeout=30, trust_env=False)

    def get_in_background(self, number: int) -> threading.Thread:
        """One paid request that will be cut off."""

        def run() -> None:
            try:
                self.get(number)
            except httpx2.HTTPError:
                pass

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def booked(self) -> int:
        """Revenue in the journal file, read while no process has it open."""
        return asyncio.run(self._booked())

    async def _booked(self) -> int:
        async with SqliteJournal.open(self.journal, clock=SystemClock()) as journal:
            records = await journal.read(EventQuery(session_id="sales"), limit=10_000)
            found = [read_finance(record) for record in records]
            return sum(event.amount_micro_credits for event in found if isinstance(event, RevenueReceived))

    def earned(self) -> int:
        """What the payee, a funded development account, got on the seller's own local ledger."""
        return asyncio.run(self._earned())

    async def _earned(self) -> int:
        async with SqliteJournal.open(self.journal, clock=SystemClock()) as journal:
            ledger = LocalLedger(journal, SystemClock(), SystemEntropy(), network=LOCAL)
            return await ledger.balance(PAYEE, asset=PLAY_MONEY.address) - DEVELOPMENT_BALANCE_ATOMIC


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll for at most ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.005)


@pytest.fixture
def remembering() -> Iterator[ScriptedFacilitator]:
    """A facilitator that says that it remembers."""
    with ScriptedFacilitator(LOCAL, extensions=(REPEATABLE_SETTLEMENT,)) as facilitator:
        yield facilitator


@pytest.fixture
def forgetful() -> Iterator[ScriptedFacilitator]:
    """A facilitator that promises nothing."""
    with ScriptedFacilitator(LOCAL) as facilitator:
        yield facilitator


def test_killed_in_the_handler(remembering: ScriptedFacilitator, tmp_path: Path) -> None:
    """The handler had begun: the payment is void, neither charged nor run again; a new payment buys."""
    seller = Seller(tmp_path, remembering)
    seller.hold_file.touch()
    with seller.start() as first:
        asked = seller.get_in_background(1)
        wait_until(lambda: seller.runs == 1, "the handler")
        first.process.kill()
        asked.join(10)
    seller.hold_file.unlink()
    with seller.start():
        for _ in range(2):
            void = seller.get(1)
            assert void.status_code == 402
            assert error_of(void) == "payment_interrupted"
        assert remembering.count("settle") == 0
        assert seller.get(2).status_code == 200
    assert seller.runs == 2
    assert seller.booked() == PRICE_ATOMIC


def test_killed_while_it_settles(remembering: ScriptedFacilitator, tmp_path: Path) -> None:
    """The settlement was asked for and its answer never arrived: at the next start it is settled again, identically,
    booked once, and the repetition gets the answer of the one run."""
    seller = Seller(tmp_path, remembering)
    remembering.script("settle", "holds")
    with seller.start() as first:
        asked = seller.get_in_background(1)
        wait_until(lambda: remembering.count("settle") == 1, "the settlement")
        first.process.kill()
        asked.join(10)
    remembering.release()
    with seller.start():
        delivered = seller.get(1)
        assert (delivered.status_code, delivered.json()) == (200, {"runs": 1})
        assert settlement_of(delivered).success
    assert seller.runs == 1
    assert set(remembering.moved.values()) == {1}
    assert seller.booked() == PRICE_ATOMIC


def test_killed_while_a_forgetful_facilitator_settles(forgetful: ScriptedFacilitator, tmp_path: Path) -> None:
    """A facilitator that refuses what it settled itself leaves the sale in doubt: 503, never "pay again", not booked."""
    seller = Seller(tmp_path, forgetful)
    forgetful.script("settle", "holds", *["forgets"] * 10)
    with seller.start() as first:
        asked = seller.get_in_background(1)
        wait_until(lambda: forgetful.count("settle") == 1, "the settlement")
        first.process.kill()
        asked.join(10)
    forgetful.release()
    wait_until(lambda: sum(forgetful.moved.values()) == 1, "the money")
    with seller.start():
        for _ in range(2):
            doubt = seller.get(1)
            assert doubt.status_code == 503
            assert "payment-required" not in doubt.headers
    assert seller.runs == 1
    assert seller.booked() == 0


def test_killed_before_the_settlement_left(remembering: ScriptedFacilitator, tmp_path: Path) -> None:
    """The facilitator was down, the seller died in between: the repetition settles and delivers, without another run."""
    seller = Seller(tmp_path, remembering)
    remembering.script("settle", "status 503", "status 503")
    with seller.start() as first:
        assert seller.get(1).status_code == 503
        first.process.kill()
    with seller.start():
        delivered = seller.get(1)
        assert (delivered.status_code, delivered.json()) == (200, {"runs": 1})
    assert seller.runs == 1
    assert seller.booked() == PRICE_ATOMIC


def test_killed_right_after_the_answer(remembering: ScriptedFacilitator, tmp_path: Path) -> None:
    """Whoever got the answer finds it booked: the outcome was on disk before the answer left."""
    seller = Seller(tmp_path, remembering)
    with seller.start() as first:
        answer = seller.get(1)
        first.process.kill()
    assert answer.status_code == 200
    assert seller.booked() == PRICE_ATOMIC
    with seller.start():
        again = seller.get(1)
        assert (again.status_code, again.content) == (200, answer.content)
    assert seller.runs == 1
    assert remembering.count("settle") == 1
    assert seller.booked() == PRICE_ATOMIC


def test_settle_first_killed_in_the_handler(remembering: ScriptedFacilitator, tmp_path: Path) -> None:
    """Charged, and the handler had begun: it does not run again, and the answer says that a refund is due."""
    seller = Seller(tmp_path, remembering)
    seller.hold_file.touch()
    with seller.start(settle_first=True) as first:
        asked = seller.get_in_background(1)
        wait_until(lambda: seller.runs == 1, "the handler")
        first.process.kill()
        asked.join(10)
    seller.hold_file.unlink()
    with seller.start(settle_first=True):
        owed = seller.get(1)
        assert owed.status_code == 500
        assert owed.json()["code"] == "haima.delivery_failed"
        assert settlement_of(owed).success
    assert seller.runs == 1
    assert seller.booked() == PRICE_ATOMIC


def test_settle_first_killed_while_it_settles(remembering: ScriptedFacilitator, tmp_path: Path) -> None:
    """Killed before it was known whether the money moved, and nobody came back before the restart: it is void when the
    money had not moved. Here it had not: the facilitator says that the payment is good."""
    seller = Seller(tmp_path, remembering)
    remembering.script("settle", "silent")
    with seller.start(settle_first=True) as first:
        asked = seller.get_in_background(1)
        wait_until(lambda: remembering.count("settle") == 1, "the settlement")
        first.process.kill()
        asked.join(10)
    with seller.start(settle_first=True):
        void = seller.get(1)
        assert void.status_code == 402
        assert error_of(void) == "payment_interrupted"
    assert seller.runs == 0
    assert sum(remembering.moved.values()) == 0
    assert seller.booked() == 0


def test_stream_killed_in_the_middle(remembering: ScriptedFacilitator, tmp_path: Path) -> None:
    """Charged, and the first part of the stream had left: it does not run again, and the answer says that a refund is due. An
    undisturbed stream is given again from what was kept."""
    seller = Seller(tmp_path, remembering)
    seller.hold_file.touch()
    url = f"http://127.0.0.1:{seller.port}/paid"
    with seller.start(stream=True) as first:
        with httpx2.Client(timeout=30, trust_env=False) as client:
            with client.stream("GET", url, headers={"PAYMENT-SIGNATURE": seller.pay(1)}) as answer:
                assert settlement_of(answer).success
                parts = answer.iter_raw()  # held on to: dropping it would hang up
                assert next(parts) == b"one "
                first.process.kill()
    seller.hold_file.unlink()
    with seller.start(stream=True) as second:
        for _ in range(2):
            owed = seller.get(1)
            assert (owed.status_code, owed.json()["code"]) == (500, "haima.delivery_failed")
            assert settlement_of(owed).success
        assert seller.get(2).content == b"one two"
        second.process.kill()
    with seller.start(stream=True):
        assert seller.get(2).content == b"one two"
    assert seller.runs == 2
    assert remembering.count("settle") == 2
    assert seller.booked() == 2 * PRICE_ATOMIC


@pytest.mark.parametrize("delay_ms", [3, 10, 25, 60])
def test_killed_under_load(tmp_path: Path, delay_ms: int) -> None:
    """Thirty payments at once, each presented twice, and a kill in the middle. After the restart every payment is either
    delivered or void; what was delivered was charged and booked, once, and nothing else was."""
    seller = Seller(tmp_path, None)
    numbers = range(1, 31)
    with seller.start() as first:
        asked = [seller.get_in_background(number) for number in (*numbers, *numbers)]
        time.sleep(delay_ms / 1000)  # the point of the kill is meant to be any
        first.process.kill()
        for thread in asked:
            thread.join(10)
    runs_before = seller.runs
    with seller.start() as second:
        answers = {number: seller.get(number) for number in numbers}
        again = {number: seller.get(number) for number in numbers}
        second.stop()
    delivered = [number for number, answer in answers.items() if answer.status_code == 200]
    void = [number for number, answer in answers.items() if answer.status_code == 402]
    assert len(delivered) + len(void) == len(numbers), {each.status_code for each in answers.values()}
    assert all(error_of(answers[number]) == "payment_interrupted" for number in void)
    assert all(again[number].content == answers[number].content for number in delivered)
    assert seller.earned() == seller.booked() == PRICE_ATOMIC * len(delivered)
    assert runs_before <= seller.runs <= len(numbers)
