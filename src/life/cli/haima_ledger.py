"""`haima ledger …` and `life ledger …`"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final, TextIO

import click

from life.aios.money import format_micro
from life.aios.record import format_timestamp
from life.cli.run import command_errors, data_dir_option, run
from life.cli.subcommands import is_alone
from life.cli.tables import print_table
from life.haima.ledger import Books, Posting
from life.haima.ledger_export import Exporter, Format, decimal
from life.host.haima_books import open_books, read_postings

_ROOTS: Final = ("Assets", "Liabilities", "Equity", "Income", "Expenses")

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@data_dir_option
@json_option
@click.pass_context
@command_errors
def ledger(ctx: click.Context, data_dir: Path, as_json: bool) -> None:
    """Show the books: every account and its balance.

    Double entry, folded from the journal. Debits are positive: assets and expenses grow upwards, income and liabilities
    downwards, and all accounts together are always zero.
    """
    if is_alone(ctx):
        run(_show(data_dir, as_json=as_json))


@ledger.command()
@data_dir_option
@click.option("--account", "-a", "prefix", default="", help="Only lines of this account and those below it.")
@click.option("-n", "count", type=click.IntRange(1), default=50, show_default=True, help="How many, the newest.")
@json_option
@command_errors
def register(data_dir: Path, prefix: str, count: int, as_json: bool) -> None:
    """List the newest postings, line by line."""
    run(_register(data_dir, prefix, count, as_json=as_json))


@ledger.command("export")
@data_dir_option
@click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "hledger", "beancount"]),
    default="hledger",
    show_default=True,
    help="CSV for spreadsheets, or a plain-text-accounting journal.",
)
@click.option(
    "--output",
    "-o",
    type=click.File("w", encoding="utf-8", lazy=True),
    default="-",
    help="File; standard output unless told.",
)
@command_errors
def export_(data_dir: Path, format_: Format, output: TextIO) -> None:
    """Write every posting for another program."""
    run(_export(data_dir, format_, output.write))


async def _show(data_dir: Path, *, as_json: bool) -> None:
    async with open_books(data_dir) as opened:
        books = await opened.read()
        position = opened.runner.position
    if as_json:
        document = {
            "as_of_position": position,
            "postings": books.postings,
            "trial_balance_micro": books.trial_balance_micro,
            "accounts": [{"account": name, "balance_micro": amount} for name, amount in sorted(books.balances.items())],
        }
        click.echo(json.dumps(document, indent=2))
        return
    rows = _balance_rows(books)
    if not rows:
        click.echo("The books are empty: nothing was reserved, paid or earned yet.")
        return
    print_table(("Account", "USDC"), rows, right=(1,))
    click.echo(
        f"\n{books.postings} postings up to journal position {position};"
        f" all accounts together: {decimal(books.trial_balance_micro)}."
    )


def _balance_rows(books: Books) -> list[tuple[str, str]]:
    rows = []
    for root in _ROOTS:
        below = sorted(name for name in books.balances if name.startswith(root + ":"))
        if below:
            rows.append((root, decimal(books.balance(root))))
            rows += [(f"  {name.partition(':')[2]}", decimal(books.balances[name])) for name in below]
    return rows


async def _register(data_dir: Path, prefix: str, count: int, *, as_json: bool) -> None:
    below = prefix.rstrip(":") + ":"
    lines: list[tuple[Posting, str, int]] = []
    async with open_books(data_dir) as opened:
        async for posting in read_postings(opened.journal):
            for account, amount in posting.entries:
                if not prefix or account == prefix or account.startswith(below):
                    lines.append((posting, account, amount))
            del lines[:-count]
    if as_json:
        click.echo(json.dumps([_line(posting, account, amount) for posting, account, amount in lines], indent=2))
        return
    if not lines:
        click.echo("No posting touches this account." if prefix else "The books are empty.")
        return
    rows = [
        (format_timestamp(posting.at_us)[:19].replace("T", " "), account, format_micro(amount), posting.what[:60])
        for posting, account, amount in lines
    ]
    print_table(("Time (UTC)", "Account", "Amount", "What"), rows, right=(2,))


def _line(posting: Posting, account: str, amount_micro: int) -> dict[str, str | int | None]:
    return {
        "event_id": posting.event_id,
        "position": posting.position,
        "timestamp": format_timestamp(posting.at_us),
        "account": account,
        "amount_micro": amount_micro,
        "what": posting.what,
        "payment_id": posting.payment_id,
        "session_id": posting.session_id,
        "task_id": posting.task_id,
        "counterparty": posting.counterparty,
        "transaction": posting.transaction,
    }


async def _export(data_dir: Path, format_: Format, write: Callable[[str], object]) -> None:
    exporter = Exporter(format_)
    async with open_books(data_dir) as opened:
        write(exporter.header)
        async for posting in read_postings(opened.journal):
            write(exporter.text(posting))
