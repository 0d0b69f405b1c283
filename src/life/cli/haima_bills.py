"""`haima bills …`"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
import msgspec

from life.aios.errors import InvalidInputError
from life.aios.ids import new_id
from life.aios.money import format_micro, parse_price_atomic
from life.cli.run import command_errors, data_dir_option, run
from life.cli.subcommands import is_alone
from life.cli.tables import print_table
from life.haima.house import Key
from life.haima.outcomes.answers import TaskDecision
from life.host.clock import SystemClock, SystemEntropy
from life.host.haima_bills import BillDetail, BillFilter, BillView, open_bills

_HELP: Final = {"help_option_names": ["-h", "--help"]}
_CALLER: Final = "command-line"
_STATUSES: Final = ("open", "part_paid", "paid", "void", "refunded", "overdue", "disputed")

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")
reason_option = click.option("--reason", required=True, help="Why, for the record.")
key_option = click.option(
    "--key",
    help="Idempotency key: the same command with the same key is carried out once.  [default: a new one]",
)
bill_argument = click.argument("bill_id", metavar="BILL")


class _Amount(click.ParamType[int]):
    """USDC in decimal, like 0.05."""

    name = "usdc"

    def __init__(self, *, zero: bool = False) -> None:
        self._zero = zero

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Micro-credits."""
        text = str(value).strip()
        if isinstance(value, int) or (self._zero and text in ("0", "$0")):
            return int(text.lstrip("$"))
        try:
            return parse_price_atomic(text, 6, what="amount")
        except InvalidInputError as error:
            self.fail(error.message, param, ctx)


@click.group(invoke_without_command=True, context_settings=_HELP)
@data_dir_option
@click.option("--status", type=click.Choice(_STATUSES), help="Only these.")
@click.option("--payer", help="Only what this customer owes or paid.")
@click.option("--payee", help="Only what this agent gets or got.")
@click.option("--task", help="Only this task's.")
@click.option("-n", "count", type=click.IntRange(1), help="At most so many, the newest.  [default: all]")
@json_option
@click.pass_context
@command_errors
def bills(
    ctx: click.Context,
    data_dir: Path,
    status: str | None,
    payer: str | None,
    payee: str | None,
    task: str | None,
    count: int | None,
    as_json: bool,
) -> None:
    """List the bills for finished tasks: who owes whom, what is paid, what is disputed.

    The directory is that of the finance daemon (haimad --lago-data-dir); it may be running.
    """
    if is_alone(ctx):
        _list(data_dir, BillFilter(status, payer, payee, task), count, as_json=as_json)


@bills.command(context_settings=_HELP)
@bill_argument
@data_dir_option
@json_option
@command_errors
def show(bill_id: str, data_dir: Path, as_json: bool) -> None:
    """Show one bill with what it rests on: results, payments, and the journal's events."""

    async def read() -> BillDetail:
        async with open_bills(data_dir) as opened:
            return await opened.show(bill_id)

    detail = run(read())
    if as_json:
        click.echo(msgspec.json.encode(detail).decode())
    else:
        _print_detail(detail)


@bills.command(context_settings=_HELP)
@bill_argument
@click.argument("amount", type=_Amount(), required=False)
@data_dir_option
@key_option
@json_option
@command_errors
def pay(bill_id: str, amount: int | None, data_dir: Path, key: str | None, as_json: bool) -> None:
    """Pay a bill from its payer's account: AMOUNT in USDC, or all that is owed."""

    async def work() -> None:
        async with open_bills(data_dir) as opened:
            paid = await opened.pay(bill_id, amount, _key(key, f"pay {bill_id} {amount}"))
        if as_json:
            click.echo(msgspec.json.encode(paid).decode())
        else:
            left = paid.open_micro_credits
            rest = f"{format_micro(left)} are still owed" if left else "nothing is owed any more"
            click.echo(f"The bill is {_words(paid.status)}; {rest}.")

    run(work())


@bills.command(context_settings=_HELP)
@bill_argument
@reason_option
@data_dir_option
@json_option
@command_errors
def void(bill_id: str, reason: str, data_dir: Path, as_json: bool) -> None:
    """Give up what is still owed on a bill."""

    async def work() -> None:
        async with open_bills(data_dir) as opened:
            answer = await opened.void(bill_id, reason)
        if as_json:
            click.echo(msgspec.json.encode(answer).decode())
        else:
            click.echo("The bill is void; nothing is owed any more.")

    run(work())


@bills.command(context_settings=_HELP)
@bill_argument
@reason_option
@data_dir_option
@json_option
@command_errors
def dispute(bill_id: str, reason: str, data_dir: Path, as_json: bool) -> None:
    """Object to a result in the customer's name, before its money is paid out."""

    async def work() -> None:
        async with open_bills(data_dir) as opened:
            _tell_decision(await opened.dispute(bill_id, reason), as_json=as_json)

    run(work())


@bills.command(context_settings=_HELP)
@bill_argument
@click.option(
    "--to-agent", "to_agent", type=_Amount(zero=True), required=True, help="How much the agent gets, in USDC."
)
@reason_option
@data_dir_option
@json_option
@command_errors
def resolve(bill_id: str, to_agent: int, reason: str, data_dir: Path, as_json: bool) -> None:
    """Decide a dispute: so much of what is put aside to the agent, the rest back to the customer."""

    async def work() -> None:
        async with open_bills(data_dir) as opened:
            _tell_decision(await opened.resolve(bill_id, to_agent, reason), as_json=as_json)

    run(work())


@bills.command(context_settings=_HELP)
@bill_argument
@reason_option
@data_dir_option
@key_option
@json_option
@command_errors
def refund(bill_id: str, reason: str, data_dir: Path, key: str | None, as_json: bool) -> None:
    """Give the customer back what was received, by the percentage of the contract."""

    async def work() -> None:
        async with open_bills(data_dir) as opened:
            answer = await opened.refund(bill_id, reason, _key(key, f"refund {bill_id} {reason}"))
        if as_json:
            click.echo(msgspec.json.encode(answer).decode())
        else:
            click.echo(f"{format_micro(answer.refund_micro_credits)} went back to the customer.")

    run(work())


@bills.command(context_settings=_HELP)
@data_dir_option
@json_option
@command_errors
def release(data_dir: Path, as_json: bool) -> None:
    """End tasks that are late, and pay out what was put aside and is due now.

    A finance daemon does this by itself; this is for one that runs with --no-sla-monitor, or not at all.
    """

    async def work() -> None:
        async with open_bills(data_dir) as opened:
            settled = await opened.release()
        if as_json:
            click.echo(msgspec.json.encode(settled).decode())
        elif not settled.task_ids:
            click.echo("Nothing is late, and nothing is due.")
        else:
            for task_id in settled.task_ids:
                click.echo(f"Done: {_plain(task_id)}")

    run(work())


def _list(data_dir: Path, wanted: BillFilter, count: int | None, *, as_json: bool) -> None:
    async def read() -> list[BillView]:
        async with open_bills(data_dir) as opened:
            return await opened.list_(wanted)

    found = run(read())
    shown = found if count is None else found[-count:]
    if as_json:
        click.echo(msgspec.json.encode(shown).decode())
        return
    if not found:
        click.echo("There is no such bill." if any(wanted) else "There are no bills.")
        return
    print_table(
        ("Bill", "Status", "Task", "Payer", "Payee", "Amount", "Open", "Due (UTC)"),
        [
            (
                bill.bill_id,
                _status(bill),
                _plain(bill.task_id),
                _plain(bill.payer),
                _plain(bill.payee),
                format_micro(bill.amount_micro_credits),
                format_micro(bill.open_micro_credits),
                _minute(bill.due_at),
            )
            for bill in shown
        ],
        right=(5, 6),
    )
    owed = format_micro(sum(bill.open_micro_credits for bill in found))
    left_out = f" {len(found) - len(shown)} older ones are not shown." if len(shown) < len(found) else ""
    number = "1 bill" if len(found) == 1 else f"{len(found)} bills"
    click.echo(f"\n{number}, {owed} still owed.{left_out}")


def _print_detail(detail: BillDetail) -> None:
    bill = detail.bill
    for name, value in (
        ("bill", bill.bill_id),
        ("status", _status(bill)),
        ("task", f"{_plain(bill.task_id)} ({_words(bill.task_status or 'unknown')})"),
        ("for", _plain(bill.description)),
        ("outcome", _words(detail.outcome or "-")),
        ("payer", _plain(bill.payer)),
        ("payee", _plain(bill.payee)),
        ("amount", format_micro(bill.amount_micro_credits)),
        ("paid", format_micro(bill.allocated_micro_credits)),
        ("open", format_micro(bill.open_micro_credits)),
        ("overpaid", format_micro(bill.overpaid_micro_credits)),
        ("refunded", format_micro(bill.refunded_micro_credits)),
        ("billed", _minute(bill.billed_at)),
        ("due", _minute(bill.due_at)),
        ("result", f"SHA-256 {detail.result_digest}" if detail.result_digest else "-"),
    ):
        click.echo(f"{name:<10}{value}")
    if detail.criteria:
        click.echo()
        print_table(
            ("Criterion", "Holds", "Says", "Details"),
            [
                (str(found.index), "yes" if found.passed else "no", _plain(found.by), _plain(found.details))
                for found in detail.criteria
            ],
        )
    if detail.payments:
        click.echo()
        print_table(
            ("Payment", "From", "Network", "Amount", "Transaction"),
            [
                (
                    payment.payment_id or payment.event_id,
                    _plain(payment.payer),
                    _plain(payment.network),
                    format_micro(payment.amount_micro_credits),
                    _plain(payment.transaction or None),
                )
                for payment in detail.payments
            ],
            right=(3,),
        )
    click.echo()
    print_table(
        ("Time (UTC)", "Event", "What", "Event id"),
        [
            (
                proof.timestamp[:19].replace("T", " "),
                proof.type.removeprefix("finance."),
                _plain(proof.what),
                proof.event_id,
            )
            for proof in detail.proofs
        ],
    )


def _tell_decision(decision: TaskDecision, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(decision).decode())
    elif decision.status == "disputed":
        click.echo("Disputed: the money stays where it is until somebody decides (haima bills resolve).")
    else:
        agent, customer = format_micro(decision.price_micro_credits), format_micro(decision.refund_micro_credits)
        click.echo(f"Decided: {agent} to the agent, {customer} back to the customer.")


def _status(bill: BillView) -> str:
    marks = [word for word, holds in (("disputed", bill.disputed), ("overdue", bill.overdue)) if holds]
    return _words(bill.status) + (f" ({', '.join(marks)})" if marks else "")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _minute(timestamp: str | None) -> str:
    return "-" if timestamp is None else timestamp[:16].replace("T", " ")


def _plain(text: str | None) -> str:
    """Names and reasons come from others: what a terminal would take for a command is not printed."""
    return "-" if not text else "".join(letter if letter.isprintable() else "�" for letter in text)[:200]


def _key(key: str | None, request: str) -> Key:
    return Key(_CALLER, key or new_id(SystemClock(), SystemEntropy()), request.encode())
