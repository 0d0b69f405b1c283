"""`haima bills`: what is owed, what it rests on, and what an operator does about it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result

from life.aios.record import Stream
from life.cli.haima_bills import bills
from life.haima.accounts import account, move, wallet_of
from life.haima.events import RevenueReceived, finance_event
from life.haima.events.accounts import LedgerPosted
from life.haima.events.tasks import Criterion, TaskContract
from life.haima.house import Decision, House, Key
from life.haima.house_state import HouseState
from life.haima.outcomes.answers import Settled, Subject
from life.haima.outcomes.desk import OutcomeDesk
from life.host.clock import SystemClock, SystemEntropy
from life.host.haima_directory import JOURNAL_FILE, open_directory
from life.lago.journal.sqlite import SqliteJournal
from life.testing.clock import ManualClock, SeededEntropy

DAY_US = 86_400_000_000
CUSTOMER, WORKER = "client", "worker"
PRICE = 1_000_000


class Setting(NamedTuple):
    """A house that a test fills."""

    journal: SqliteJournal
    house: House
    desk: OutcomeDesk
    clock: ManualClock
    entropy: SeededEntropy

    def key(self, name: str) -> Key:
        """A key for a command."""
        return Key("test", name, b"{}")

    async def task(self, task_id: str, contract_id: str, *, escrow: bool = False) -> None:
        """A task from its acceptance to its bill."""
        await self.desk.accept(
            task_id, contract_id, WORKER, "simple", key=self.key(task_id), customer_id=CUSTOMER, escrow=escrow
        )
        await self.desk.submit(task_id, Subject(WORKER), "done", key=self.key("submit " + task_id))
        await self.desk.judge(task_id, 0, Subject(CUSTOMER), passed=True, details="as \x1b[31mordered")
        await self.desk.verify(task_id)


def contract(name: str, *, dispute_window_seconds: int = 0) -> TaskContract:
    return TaskContract(
        contract_id=name,
        task_type="custom",
        name="Work",
        price_floor_micro_credits=PRICE,
        price_ceiling_micro_credits=PRICE,
        success_criteria=(Criterion(type="manual_approval", approver="customer"),),
        min_trust_ppm=0,
        dispute_window_seconds=dispute_window_seconds,
    )


def fill(root: Path, work: Callable[[Setting], Awaitable[None]], *, ago_us: int = 0, seed: str = "bills") -> None:
    """Let `work` happen in a directory's house, so long ago; the customer has 10 USDC."""

    async def trust(_agent_id: str) -> int:
        return 1_000_000

    async def write() -> None:
        clock, entropy = ManualClock(SystemClock().now_us() - ago_us), SeededEntropy(seed)
        async with SqliteJournal.open(root / JOURNAL_FILE, clock=clock) as journal:
            house = House(journal, clock, entropy, agent_id="haima")
            await house.open()
            desk = OutcomeDesk(house, clock, entropy, trust=trust, verifiers={})
            for offered in (contract("plain"), contract("waiting", dispute_window_seconds=3600)):
                await desk.register(offered)
            entries = move(account("external", "network", "test"), wallet_of(CUSTOMER), 10 * PRICE)

            def fund(state: HouseState, _now_us: int) -> Decision[Settled]:
                known = state.accounts.balance(wallet_of(CUSTOMER))
                posted = LedgerPosted(posting_id="fund", entries=entries, reason="deposit")
                return Decision(() if known else (posted,), Settled())

            await house.decide(fund)
            await work(Setting(journal, house, desk, clock, entropy))
            await house.aclose()

    asyncio.run(write())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The directory of a finance daemon that never ran."""
    return open_directory(tmp_path / "haima")


def run(directory: Path, *words: str) -> Result:
    """One command."""
    return CliRunner().invoke(bills, [*words, "--data-dir", str(directory)])


def ok(directory: Path, *words: str) -> str:
    """One command that must succeed; what it printed."""
    result = run(directory, *words)
    assert result.exit_code == 0, result.output
    return result.stdout


def listed(directory: Path, *words: str) -> list[dict[str, object]]:
    """The bills as programs get them."""
    found = json.loads(ok(directory, *words, "--json"))
    assert isinstance(found, list)
    return found


def only(directory: Path, *words: str) -> dict[str, object]:
    """The one bill there is."""
    (bill,) = listed(directory, *words)
    return bill


def bill_id(directory: Path, task_id: str = "t-1") -> str:
    """The id of a task's bill."""
    return str(only(directory, "--task", task_id)["bill_id"])


def balance(directory: Path, agent_id: str) -> int:
    """What the house holds for somebody, by its events."""

    async def read() -> int:
        async with SqliteJournal.open(directory / JOURNAL_FILE, clock=SystemClock()) as journal:
            house = House(journal, SystemClock(), SystemEntropy(), agent_id="haima")
            await house.open()
            return house.state.accounts.balance(wallet_of(agent_id))

    return asyncio.run(read())


def test_a_bill_is_listed_shown_and_paid(directory: Path) -> None:
    """Tables for people; the payer's account pays a part, then the rest, and each command counts once."""
    fill(directory, lambda setting: setting.task("t-1", "plain"))
    shown = ok(directory)
    assert "1 bill, 1.00 USDC still owed." in shown
    bill = bill_id(directory)
    detail = ok(directory, "show", bill)
    for word in ("t-1 (billed)", "success", "criterion 0 holds, says client", "task_billed", "SHA-256"):
        assert word in detail
    assert "\x1b" not in detail
    assert "0.60 USDC are still owed" in ok(directory, "pay", bill, "0.4", "--key", "k")
    assert "0.60 USDC are still owed" in ok(directory, "pay", bill, "0.4", "--key", "k")
    assert only(directory, "--status", "part_paid")["open_micro_credits"] == 600_000
    assert (balance(directory, CUSTOMER), balance(directory, WORKER)) == (9_600_000, 400_000)
    assert "haima.idempotency_conflict" in run(directory, "pay", bill, "0.5", "--key", "k").stderr
    assert "nothing is owed any more" in ok(directory, "pay", bill)
    assert only(directory, "--status", "paid")["task_status"] == "paid"
    assert balance(directory, WORKER) == PRICE
    again = run(directory, "pay", bill)
    assert (again.exit_code, "life.invalid_input" in again.stderr) == (1, True)


def test_the_filters(directory: Path) -> None:
    """By status, payer, payee and task; the newest when a number is given."""

    async def two(setting: Setting) -> None:
        await setting.task("t-1", "plain")
        setting.clock.advance_us(1_000_000)
        await setting.task("t-2", "plain")

    fill(directory, two)
    assert [bill["task_id"] for bill in listed(directory)] == ["t-1", "t-2"]
    assert [bill["task_id"] for bill in listed(directory, "-n", "1")] == ["t-2"]
    assert len(listed(directory, "--payer", CUSTOMER, "--payee", WORKER)) == 2
    for words in (("--payer", WORKER), ("--status", "paid"), ("--status", "overdue"), ("--task", "t-3")):
        assert listed(directory, *words) == []
        assert "There is no such bill." in ok(directory, *words)
    assert "1 older ones are not shown" in ok(directory, "-n", "1")


def test_an_old_bill_is_overdue(directory: Path) -> None:
    """A week after it was written, unless it is paid."""
    fill(directory, lambda setting: setting.task("t-1", "plain"), ago_us=8 * DAY_US)
    assert only(directory, "--status", "overdue")["overdue"]
    assert "open (overdue)" in ok(directory)
    ok(directory, "pay", bill_id(directory))
    assert listed(directory, "--status", "overdue") == []


def test_a_bill_is_given_up(directory: Path) -> None:
    """Once, with a reason; nothing moves."""
    fill(directory, lambda setting: setting.task("t-1", "plain"))
    bill = bill_id(directory)
    assert run(directory, "void", bill).exit_code == 2
    assert "void" in ok(directory, "void", bill, "--reason", "a gift")
    assert "a gift" in ok(directory, "show", bill)
    assert balance(directory, CUSTOMER) == 10 * PRICE
    again = run(directory, "void", bill, "--reason", "again")
    assert (again.exit_code, "life.conflict" in again.stderr) == (1, True)


def test_money_that_is_put_aside_is_not_paid_again(directory: Path) -> None:
    """Neither paid from the account nor given up while it waits in escrow; released when it is due."""
    fill(directory, lambda setting: setting.task("t-1", "waiting", escrow=True))
    bill = bill_id(directory)
    for words in (("pay", bill), ("void", bill, "--reason", "r")):
        refused = run(directory, *words)
        assert (refused.exit_code, "life.conflict" in refused.stderr) == (1, True), words
    assert balance(directory, CUSTOMER) == 9 * PRICE
    assert "Nothing is late" in ok(directory, "release")


def test_what_is_due_is_released(directory: Path) -> None:
    """After the dispute window the agent gets it, once."""
    fill(directory, lambda setting: setting.task("t-1", "waiting", escrow=True), ago_us=DAY_US)
    assert not only(directory)["overdue"]
    assert json.loads(ok(directory, "release", "--json")) == {"task_ids": ["t-1"]}
    assert "Nothing is late" in ok(directory, "release")
    assert (balance(directory, WORKER), only(directory)["status"]) == (PRICE, "paid")


def test_a_dispute_is_decided(directory: Path) -> None:
    """Nothing is released meanwhile; then the money is split, and no more than there is."""
    fill(directory, lambda setting: setting.task("t-1", "waiting", escrow=True))
    bill = bill_id(directory)
    assert "stays where it is" in ok(directory, "dispute", bill, "--reason", "half of it is missing")
    assert only(directory, "--status", "disputed")["disputed"]
    assert "open (disputed)" in ok(directory)
    assert run(directory, "dispute", bill, "--reason", "again").exit_code == 1
    assert run(directory, "resolve", bill, "--to-agent", "1.01", "--reason", "too much").exit_code == 1
    told = ok(directory, "resolve", bill, "--to-agent", "0.25", "--reason", "a quarter is there")
    assert "0.25 USDC to the agent, 0.75 USDC back" in told
    assert (balance(directory, WORKER), balance(directory, CUSTOMER)) == (250_000, 9_750_000)
    assert run(directory, "resolve", bill, "--to-agent", "0", "--reason", "r").exit_code == 1


def test_a_paid_bill_is_refunded_once(directory: Path) -> None:
    """From the agent's account; never more than was received."""
    fill(directory, lambda setting: setting.task("t-1", "plain"))
    bill = bill_id(directory)
    nothing = run(directory, "refund", bill, "--reason", "r")
    assert (nothing.exit_code, "life.conflict" in nothing.stderr) == (1, True)
    ok(directory, "pay", bill)
    assert "1.00 USDC went back" in ok(directory, "refund", bill, "--reason", "late", "--key", "k")
    assert "1.00 USDC went back" in ok(directory, "refund", bill, "--reason", "late", "--key", "k")
    assert run(directory, "refund", bill, "--reason", "late").exit_code == 1
    assert (balance(directory, CUSTOMER), only(directory)["refunded_micro_credits"]) == (10 * PRICE, PRICE)


def test_payments_from_outside_are_named_with_their_transactions(directory: Path) -> None:
    """What came in over x402 for the task stands with its event and its hash, and too much of it as overpaid."""

    async def paid(setting: Setting) -> None:
        await setting.task("t-1", "plain")
        revenue = RevenueReceived(
            tx_hash="0xabc", amount_micro_credits=PRICE + 5, payer_address="0xpayer", payment_id="p-1", task_id="t-1"
        )
        stored = finance_event(revenue, setting.clock, setting.entropy, stream=Stream("shop"), agent_id="shop")
        await setting.journal.append([stored])
        await setting.desk.allocate_payment("t-1", "p-1", PRICE + 5, network="eip155:84532")

    fill(directory, paid)
    bill = bill_id(directory)
    document = json.loads(ok(directory, "show", bill, "--json"))
    assert document["bill"]["overpaid_micro_credits"] == 5
    (payment,) = document["payments"]
    assert (payment["transaction"], payment["amount_micro_credits"]) == ("0xabc", PRICE + 5)
    types = [proof["type"] for proof in document["proofs"]]
    assert types[0] == "finance.task_contracted"
    assert {"finance.task_billed", "finance.bill_status_changed", "finance.ledger_posted"} <= set(types)
    assert all(proof["digest"] for proof in document["proofs"])
    assert "0xabc" in ok(directory, "show", bill)


def test_what_is_not_there_is_said(directory: Path, tmp_path: Path) -> None:
    """Unknown bills, no journal, a journal without a house, a file that is no journal: a sentence and a code."""
    fill(directory, lambda setting: setting.task("t-1", "plain"))
    for words in (
        ("show", "nothing"),
        ("pay", "nothing"),
        ("void", "nothing", "--reason", "r"),
        ("dispute", "\x1b[31m", "--reason", "r"),
        ("resolve", "", "--to-agent", "1", "--reason", "r"),
        ("refund", "x" * 5000, "--reason", "r"),
    ):
        result = run(directory, *words)
        assert (result.exit_code, "life.not_found" in result.stderr) == (1, True), words
    missing = run(tmp_path / "nowhere")
    assert (missing.exit_code, "life.not_found" in missing.stderr) == (1, True)
    assert not (tmp_path / "nowhere").exists()
    other = open_directory(tmp_path / "other")

    async def empty() -> None:
        async with SqliteJournal.open(other / JOURNAL_FILE, clock=SystemClock()):
            pass

    asyncio.run(empty())
    assert "There are no bills." in ok(other)
    assert "Nothing is late" in ok(other, "release")
    (other / JOURNAL_FILE).write_bytes(b"no journal at all" * 1000)
    broken = run(other)
    assert (broken.exit_code, "Error:" in broken.stderr, "Traceback" in broken.output) == (1, True, False)


def test_amounts_and_places_of_options(directory: Path) -> None:
    """Odd amounts are refused before anything is read, and options before a command are no way to change it."""
    fill(directory, lambda setting: setting.task("t-1", "plain"))
    bill = bill_id(directory)
    for amount in ("0", "-1", "1e3", "0.0000001", "٣", "9" * 30):
        assert run(directory, "pay", "--", bill, amount).exit_code == 2, amount
    assert run(directory, "pay", bill, "9" * 18).exit_code == 1
    misplaced = CliRunner().invoke(bills, ["--data-dir", str(directory), "show", bill])
    assert (misplaced.exit_code, "--data-dir must stand behind show" in misplaced.stderr) == (2, True)
    assert balance(directory, CUSTOMER) == 10 * PRICE
