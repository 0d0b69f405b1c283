"""`haima cost`: what was spent, by everything one may ask by."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from life.aios.json import JsonObject
from life.aios.record import NewEvent
from life.cli.haima_cost import cost
from life.haima.costs import DAY_US
from life.haima.events import FinanceEvent, SpendingCapSet, wallet_stream
from life.host.clock import SystemClock
from life.host.haima_directory import JOURNAL_FILE, open_directory
from life.lago.journal.sqlite import SqliteJournal
from tests.haima.books_kit import NETWORK, PAYEE, WALLET, reserved, settled
from tests.haima.credit_kit import custom, finance

NOW_US = SystemClock().now_us()
WALLET_STREAM = wallet_stream(NETWORK, WALLET).session_id


def payment(event: FinanceEvent, at_us: int = NOW_US) -> NewEvent:
    """An event of the wallet."""
    return finance(event, "agent-a", at_us, stream=WALLET_STREAM)


def thought(amount: int, at_us: int = NOW_US) -> NewEvent:
    """A charge of the regulator."""
    data: JsonObject = {"amount_micro_credits": amount, "reason": "model_inference", "service": "claude"}
    return custom("autonomic.CostCharged", data, "agent-b", at_us, stream="chat")


def write(root: Path, told: Sequence[NewEvent]) -> None:
    """Put events into a directory's journal."""

    async def append() -> None:
        async with SqliteJournal.open(root / JOURNAL_FILE, clock=SystemClock()) as journal:
            await journal.append(list(told))

    asyncio.run(append())


def run(directory: Path, *words: str) -> Result:
    """One command."""
    return CliRunner().invoke(cost, [*words, "--data-dir", str(directory)])


def ok(directory: Path, *words: str) -> str:
    """One command that must succeed; what it printed."""
    result = run(directory, *words)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A journal with a payment, one that is under way, and a charge of last week and one of today."""
    root = open_directory(tmp_path / "life")
    write(
        root,
        [
            thought(1_000, NOW_US - 8 * DAY_US),
            payment(reserved("p1", 500_000)),
            payment(settled("p1", 400_000)),
            payment(reserved("p2", 70_000)),
            thought(30_000),
        ],
    )
    return root


def groups(directory: Path, *words: str) -> list[tuple[str | None, int]]:
    """Names and sums as programs get them."""
    document = json.loads(ok(directory, *words, "--json"))
    return [(group["name"], group["total_cost"]) for group in document["groups"]]


def test_the_report_for_people(directory: Path) -> None:
    """By service, with thinking and doing apart, the total and the pace."""
    shown = ok(directory)
    for words in ("shop.example", "0.40 USDC", "claude", "0.031 USDC", "Total of 30 days: 0.431 USDC.", "at the pace"):
        assert words in shown


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("service", [("shop.example", 400_000), ("claude", 31_000)]),
        ("session", [("session", 400_000), ("chat", 31_000)]),
        ("task", [("task", 400_000), (None, 31_000)]),
        ("agent", [("agent-a", 400_000), ("agent-b", 31_000)]),
        ("counterparty", [(PAYEE, 400_000), (None, 31_000)]),
    ],
)
def test_every_dimension(directory: Path, by: str, expected: list[tuple[str | None, int]]) -> None:
    """The same costs, added up by something else."""
    assert groups(directory, "--by", by) == expected


def test_the_projection_and_the_reading_agree(directory: Path) -> None:
    """Sums by service come from the projection; with a filter that leaves nothing out they are read, and are the same."""
    whole = groups(directory, "--window", "all")
    by_agent = [
        groups(directory, "--window", "all", "--agent", name) for name, _ in groups(directory, "--by", "agent") if name
    ]
    assert sorted(whole) == sorted(line for lines in by_agent for line in lines)


def test_days_windows_and_filters(directory: Path) -> None:
    """Days in their order; a window is of whole days; filters narrow, addresses in any case."""
    assert [total for _, total in groups(directory, "--by", "day")] == [1_000, 430_000]
    assert [total for _, total in groups(directory, "--by", "day", "-n", "1")] == [430_000]
    assert groups(directory, "--window", "7d", "--agent", "agent-b") == [("claude", 30_000)]
    assert groups(directory, "--counterparty", PAYEE.upper().replace("0X", "0x")) == [("shop.example", 400_000)]
    assert groups(directory, "--session", "chat", "--task", "task") == []
    assert "Nothing was spent." in ok(directory, "--task", "other")
    document = json.loads(ok(directory, "--agent", "agent-b", "--json"))
    assert (document["filters"], document["monthly_burn_estimate"]) == ({"agent_id": "agent-b"}, None)
    assert "1 lines not shown" in ok(directory, "-n", "1")


def test_single_costs(directory: Path) -> None:
    """Each with its event, the newest last."""
    items = json.loads(ok(directory, "list", "--json"))
    assert [item["service"] for item in items] == ["claude", "shop.example", "claude"]
    assert (items[1]["transaction"], items[1]["task_id"], items[1]["compute_cost"]) == ("0xabc", "task", 400_000)
    assert [item["llm_cost"] for item in json.loads(ok(directory, "list", "-n", "1", "--json"))] == [30_000]
    assert "shop.example" in ok(directory, "list", "--task", "task")
    assert "Nothing was spent." in ok(directory, "list", "--session", "other")


def test_budgets_against_what_is_spent(directory: Path) -> None:
    """What is promised counts; without a cap nothing is left to tell; a cap below what is spent leaves nothing."""
    (wallet,) = json.loads(ok(directory, "budgets", "--json"))
    assert (wallet["settled_micro"], wallet["outstanding_micro"], wallet["left_micro"]) == (500_000, 70_000, None)
    for cap_micro, left in ((1_000_000, 430_000), (100, 0)):
        capped = SpendingCapSet(wallet=WALLET, network=NETWORK, total_cap_micro=cap_micro)
        write(directory, [payment(capped)])
        (wallet,) = json.loads(ok(directory, "budgets", "--json"))
        assert wallet["left_micro"] == left
    assert "0.0001 USDC" in ok(directory, "budgets")


def test_directories_that_have_nothing_to_tell(tmp_path: Path) -> None:
    """No journal is said; an empty one and one of another kind have no costs; a file that is no journal is an error."""
    for words in ((), ("list",), ("budgets",)):
        missing = run(tmp_path / "nowhere", *words)
        assert (missing.exit_code, "life.not_found" in missing.stderr) == (1, True)
    assert not (tmp_path / "nowhere").exists()
    other = open_directory(tmp_path / "other")
    write(other, [])
    assert "Nothing was spent." in ok(other)
    write(other, [custom("spaces.Told", {"amount_micro_credits": 5}, "a", NOW_US)])
    assert groups(other, "--window", "all") == []
    assert "Nothing was spent." in ok(other, "list")
    assert "No wallet" in ok(other, "budgets")
    assert json.loads(ok(other, "budgets", "--json")) == []
    (other / JOURNAL_FILE).write_bytes(b"no journal at all" * 1000)
    broken = run(other)
    assert (broken.exit_code, "Error:" in broken.stderr, "Traceback" in broken.output) == (1, True, False)


def test_huge_amounts_and_hostile_names(tmp_path: Path) -> None:
    """Amounts beyond 64 bits are added exactly, and no name reaches the terminal as a command."""
    root = open_directory(tmp_path / "life")
    hostile = reserved("p1", 5)
    write(
        root,
        [
            payment(hostile),
            payment(settled("p1", 10**30)),
            custom(
                "autonomic.CostCharged",
                {"amount_micro_credits": 7, "reason": "storage", "service": "\x1b[31mred\n"},
                "a",
                NOW_US,
            ),
        ],
    )
    assert groups(root, "--by", "agent")[0] == ("agent-a", 10**30)
    assert "\x1b" not in ok(root)
    assert "1000000000000000000000000.000007 USDC" in ok(root)


def test_options_stand_behind_the_command(directory: Path) -> None:
    """An option of the group before a command would change nothing, so it is refused."""
    for words in (["--window", "7d", "list"], ["--data-dir", str(directory), "budgets"]):
        result = CliRunner().invoke(cost, words)
        assert (result.exit_code, "must stand behind" in result.stderr) == (2, True)
    assert run(directory, "--by", "colour").exit_code == 2
    assert run(directory, "--window", "1y").exit_code == 2
