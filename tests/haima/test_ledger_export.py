"""The books as other programs read them; hledger and beancount themselves are the judges."""

from __future__ import annotations

import csv
import io
import subprocess
from pathlib import Path

import pytest

from life.haima import events
from life.haima.ledger import Books, post_all
from life.haima.ledger_export import Exporter, Format, decimal
from tests.haima.books_kit import billed, earned, records, reserved, settled

HOSTILE = 'https://shop.example/"a\n2026-01-01 open Assets:Stolen\r;x|y=1'


def history() -> list[events.FinanceEvent]:
    return [
        reserved("p1", 1_234_567),
        settled("p1", 1_234_567),
        reserved("p2", 5, url=HOSTILE),
        events.PaymentReleased(payment_id="p2", reason="=cmd()|' /C calc'!A0"),
        billed("t1", 300),
        earned(200, task_id="t1"),
    ]


def exported(format: Format) -> str:
    exporter = Exporter(format)
    return exporter.header + "".join(exporter.text(posting) for posting in post_all(records(*history())))


def balances() -> dict[str, str]:
    books = Books()
    for _ in post_all(records(*history()), books):
        pass
    return {name: decimal(amount) for name, amount in books.balances.items()}


def test_amounts_are_exact_decimals() -> None:
    """Six digits, no float, the sign in front."""
    assert [decimal(amount) for amount in (0, 1, -1, 1_000_000, -12_345_678)] == [
        "0.000000",
        "0.000001",
        "-0.000001",
        "1.000000",
        "-12.345678",
    ]


def test_csv_has_a_line_per_entry_and_no_formula() -> None:
    """Spreadsheets read it, lines balance by event, and nothing from outside begins a formula or a new line."""
    rows = list(csv.DictReader(io.StringIO(exported("csv"), newline="")))
    assert sum(int(row["amount"].replace(".", "")) for row in rows) == 0
    for row in rows:
        for name in ("what", "counterparty", "payment_id"):
            assert not row[name].startswith(("=", "+", "-", "@"))
            assert "\n" not in row[name] and "\r" not in row[name]


@pytest.mark.part("hledger")
def test_hledger_reads_the_books_strictly(tmp_path: Path) -> None:
    """hledger accepts every transaction, finds all accounts declared, and comes to our balances."""
    journal = tmp_path / "books.journal"
    journal.write_text(exported("hledger"))
    command = ["hledger", "-f", str(journal)]
    subprocess.run([*command, "check", "--strict"], check=True, timeout=30)
    answer = subprocess.run(
        [*command, "balance", "--flat", "--no-total", "-O", "csv"],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    told = {name: amount.removeprefix("USDC ") for name, amount in list(csv.reader(io.StringIO(answer.stdout)))[1:]}
    assert told == balances()


def test_beancount_reads_the_books(tmp_path: Path) -> None:
    """beancount's own loader finds no error, and its realized balances are ours."""
    from beancount import loader
    from beancount.core import realization

    file = tmp_path / "books.beancount"
    file.write_text(exported("beancount"))
    entries, errors, _ = loader.load_file(str(file))
    assert errors == []
    root = realization.realize(entries)
    told = {
        account.account: decimal(int(position.units.number * 1_000_000))
        for account in realization.iter_children(root)
        for position in account.balance.get_positions()
    }
    assert {name: amount for name, amount in told.items() if amount != "0.000000"} == balances()
