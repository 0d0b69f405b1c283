"""`haima credit …`"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

import click
import msgspec

from life.aios.errors import InvalidInputError
from life.aios.ids import new_id
from life.aios.money import format_micro, parse_price_atomic
from life.aios.record import format_timestamp
from life.anima.custody.wallet_rules import WalletRules
from life.cli.identity_opening import ask_passphrase
from life.cli.run import command_errors, data_dir_option, run
from life.cli.tables import print_table
from life.haima import bureau
from life.haima.credit_api import read_report
from life.haima.credit_views import CreditScoreView, line_view, score_view
from life.haima.house import Done, Key
from life.haima.lending import Purpose
from life.haima.lending_desk import LendingDesk
from life.haima.lending_work import CreditLine, LineAnswer
from life.host.clock import SystemClock, SystemEntropy
from life.host.haima_credit import OpenCredit, open_credit
from life.host.haima_wallet import wallet_of_identity

_DECIMALS: Final = 6
_CALLER: Final = "command-line"

T = TypeVar("T", bound=msgspec.Struct)

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")
key_option = click.option(
    "--key",
    help="Idempotency key: the same command with the same key is carried out once.  [default: a new one]",
)
agent_argument = click.argument("agent")


class _Amount(click.ParamType[int]):
    """USDC in decimal, like 0.05."""

    name = "usdc"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Micro-credits."""
        try:
            return value if isinstance(value, int) else parse_price_atomic(str(value), _DECIMALS, what="amount")
        except InvalidInputError as error:
            self.fail(error.message, param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def credit() -> None:
    """Credit scores, credit lines, reports.

    Everything is computed from the directory's journal. Amounts are USDC in decimal, like 0.05.
    """


@credit.command()
@agent_argument
@data_dir_option
@json_option
@command_errors
def show(agent: str, data_dir: Path, as_json: bool) -> None:
    """Show an agent's score and credit line."""
    run(_show(agent, data_dir, as_json=as_json))


@credit.command()
@agent_argument
@data_dir_option
@click.option("--redacted", is_flag=True, help="As third parties see it: no amounts, no scores.")
@click.option("--jws", is_flag=True, help="Signed by the project's identity, for others to check offline.")
@click.option("--audience", help="With --jws: who the report is for.")
@json_option
@command_errors
def report(agent: str, data_dir: Path, redacted: bool, jws: bool, audience: str | None, as_json: bool) -> None:
    """Show an agent's credit report."""
    run(_report(agent, data_dir, redacted=redacted, jws=jws, audience=audience, as_json=as_json))


@credit.command("open")
@agent_argument
@data_dir_option
@click.option("--limit", type=_Amount(), help="At most the tier's limit.  [default: the tier's limit]")
@key_option
@json_option
@command_errors
def open_(agent: str, data_dir: Path, limit: int | None, key: str | None, as_json: bool) -> None:
    """Open a credit line, or change the limit of the open one."""
    _change(
        data_dir,
        as_json,
        lambda desk: desk.open_or_modify(agent, _key(key, f"open {agent} {limit}"), limit_micro=limit),
    )


@credit.command()
@agent_argument
@click.argument("amount", type=_Amount())
@data_dir_option
@click.option(
    "--purpose",
    type=click.Choice(["task_payment", "prepay", "overdraft"]),
    default="task_payment",
    show_default=True,
    help="What it is for.",
)
@key_option
@json_option
@command_errors
def draw(agent: str, amount: int, data_dir: Path, purpose: str, key: str | None, as_json: bool) -> None:
    """Draw AMOUNT into the agent's wallet account."""
    chosen: Purpose = msgspec.convert(purpose, Purpose)

    async def work() -> None:
        async with open_credit(data_dir) as opened:
            await opened.lending.run()
            done = await opened.desk.draw(agent, amount, _key(key, f"draw {agent} {amount} {purpose}"), purpose=chosen)
        if as_json:
            click.echo(msgspec.json.encode(done.answer).decode())
            return
        answer = done.answer
        click.echo(f"Drew {format_micro(answer.drawn_amount)}{_again(done)}.")
        print_table(
            ["owed", "available"], [[format_micro(answer.new_balance), format_micro(answer.available)]], right=(0, 1)
        )

    run(work())


@credit.command()
@agent_argument
@click.argument("amount", type=_Amount(), required=False)
@data_dir_option
@click.option("--payment", "event_id", metavar="EVENT_ID", help="Instead of AMOUNT: a settled payment to the lender.")
@click.option("--address", "addresses", multiple=True, help="With --payment: the lender's address for repayments.")
@key_option
@json_option
@command_errors
def repay(
    agent: str,
    amount: int | None,
    data_dir: Path,
    event_id: str | None,
    addresses: tuple[str, ...],
    key: str | None,
    as_json: bool,
) -> None:
    """Repay AMOUNT from the agent's wallet account, interest first."""
    if (amount is None) == (event_id is None):
        raise click.UsageError("Give either AMOUNT or --payment.")

    async def work() -> None:
        async with open_credit(data_dir, repayment_addresses=addresses) as opened:
            await opened.lending.run()
            name = _key(key, f"repay {agent} {amount} {event_id}")
            if amount is not None:
                done = await opened.desk.repay(agent, amount, name)
            else:
                done = await opened.desk.repay_with_payment(agent, event_id or "", name)
        if as_json:
            click.echo(msgspec.json.encode(done.answer).decode())
            return
        record = done.answer
        click.echo(f"Repaid {format_micro(record.amount_micro_usd)}{_again(done)}.")
        print_table(
            ["interest", "principal", "principal left"],
            [
                [
                    format_micro(each)
                    for each in (record.interest_portion, record.principal_portion, record.remaining_balance)
                ]
            ],
            right=(0, 1, 2),
        )

    run(work())


@credit.command()
@agent_argument
@data_dir_option
@key_option
@json_option
@command_errors
def freeze(agent: str, data_dir: Path, key: str | None, as_json: bool) -> None:
    """Freeze a credit line: nothing can be drawn."""
    _change(data_dir, as_json, lambda desk: desk.freeze(agent, _key(key, f"freeze {agent}")))


@credit.command()
@agent_argument
@data_dir_option
@key_option
@json_option
@command_errors
def unfreeze(agent: str, data_dir: Path, key: str | None, as_json: bool) -> None:
    """Make a frozen line active again, when what froze it is over."""
    _change(data_dir, as_json, lambda desk: desk.unfreeze(agent, _key(key, f"unfreeze {agent}")))


@credit.command()
@agent_argument
@data_dir_option
@key_option
@json_option
@command_errors
def close(agent: str, data_dir: Path, key: str | None, as_json: bool) -> None:
    """Close a credit line on which nothing is owed."""
    _change(data_dir, as_json, lambda desk: desk.close(agent, _key(key, f"close {agent}")))


@credit.command()
@agent_argument
@data_dir_option
@json_option
@command_errors
def statement(agent: str, data_dir: Path, as_json: bool) -> None:
    """Show what is due on a credit line, after doing what time demands (interest, statements, missed payments)."""

    async def work() -> CreditLine:
        async with open_credit(data_dir) as opened:
            await opened.lending.run()
            return await opened.desk.line(agent)

    line = run(work())
    if as_json:
        click.echo(msgspec.json.encode(line_view(line)).decode())
        return
    _print_line(line)
    due = line.statement
    if due is None:
        click.echo("No statement is open.")
        return
    late = "" if due.missed_at_us is None else "  (overdue)"
    print_table(
        ["statement", "balance", "minimum", "paid", "due"],
        [
            [
                str(due.number),
                format_micro(due.balance_micro_usd),
                format_micro(due.minimum_micro_usd),
                format_micro(due.paid_micro_usd),
                format_timestamp(due.due_at_us)[:10] + late,
            ]
        ],
        right=(1, 2, 3),
    )


@credit.command()
@click.argument("amount", type=_Amount())
@data_dir_option
@key_option
@json_option
@command_errors
def fund(amount: int, data_dir: Path, key: str | None, as_json: bool) -> None:
    """Give the lender AMOUNT of the operator's capital, for agents to draw on."""

    async def work() -> None:
        async with open_credit(data_dir, create=True) as opened:
            done = await opened.desk.fund(amount, _key(key, f"fund {amount}"))
        if as_json:
            click.echo(msgspec.json.encode(done.answer).decode())
        else:
            click.echo(f"The lender has {format_micro(amount)} more{_again(done)}.")

    run(work())


async def _show(agent: str, data_dir: Path, *, as_json: bool) -> None:
    async with open_credit(data_dir) as opened:
        reading = await opened.read()
        assessed = await opened.desk.assess(agent)
        line = opened.house.state.lending.line(agent)
        score = score_view(
            assessed,
            owed_micro=0 if line is None else line.owed_micro_usd,
            counterparties=reading.book.counterparties(agent),
        )
        shown = None if line is None else await opened.desk.line(agent)
    if as_json:
        document = {"score": score, "credit_line": None if shown is None else line_view(shown)}
        click.echo(msgspec.json.encode(document).decode())
        return
    _print_score(score)
    if shown is None:
        click.echo("No credit line.")
    else:
        _print_line(shown)


async def _report(
    agent: str, data_dir: Path, *, redacted: bool, jws: bool, audience: str | None, as_json: bool
) -> None:
    async with open_credit(data_dir) as opened:
        full = await read_report(opened.desk, agent)
        content: bureau.Report = bureau.redact(full) if redacted else full
        if jws:
            click.echo(await _signed(opened, content, data_dir, audience))
            return
    if as_json:
        click.echo(msgspec.json.encode(content).decode())
        return
    rows = [
        ["agent", content.agent_id],
        ["DID", content.did or "unknown"],
        ["risk", content.risk_rating],
        ["credit tier", content.credit_tier],
        ["trust tier", content.trust_tier],
    ]
    if isinstance(content, bureau.AgentCreditReport):
        summary = content.payment_summary
        rows += [
            ["credit score", f"{content.credit_score:.6f}"],
            ["trust score", f"{content.trust_score:.2f}"],
            ["confidence", f"{content.provenance.confidence:.0%}"],
            ["missing", ", ".join(content.provenance.missing_factors) or "nothing"],
            ["transactions", f"{summary.total_transactions}, {format_micro(summary.total_volume_micro_usd)}"],
            ["on time", f"{summary.on_time_rate:.1%}"],
            ["defaults", str(summary.defaults)],
            ["as of position", str(content.provenance.as_of_position)],
        ]
    print_table(["report", ""], rows)
    for flag in content.flags:
        click.echo(f"{flag.severity}: {flag.flag_type}")


async def _signed(opened: OpenCredit, content: bureau.Report, data_dir: Path, audience: str | None) -> str:
    clock = SystemClock()
    wallet = await wallet_of_identity(
        data_dir, environment=os.environ, prompt=ask_passphrase, clock=clock, rules=WalletRules()
    )
    try:
        return await bureau.sign_report(content, wallet.custody, now_us=opened.house.now_us, audience=audience)
    finally:
        wallet.custody.close()


def _change(data_dir: Path, as_json: bool, command: Callable[[LendingDesk], Awaitable[Done[LineAnswer]]]) -> None:
    """Carry out a command about a line and show what became of it."""

    async def work() -> Done[LineAnswer]:
        async with open_credit(data_dir) as opened:
            await opened.lending.run()
            return await command(opened.desk)

    done = run(work())
    answer = done.answer
    if as_json:
        document = {"status": answer.status, "credit_line": line_view(answer.credit_line)}
        click.echo(msgspec.json.encode(document).decode())
        return
    click.echo(f"{answer.status.capitalize()}{_again(done)}.")
    _print_line(answer.credit_line)


def _print_score(score: CreditScoreView) -> None:
    factors = score.factors
    shown = {
        "trust_score": f"{factors.trust_score:.6f}",
        "payment_history": f"{factors.payment_history:.6f}",
        "transaction_volume": format_micro(factors.transaction_volume),
        "account_age_days": f"{factors.account_age_days} days",
        "economic_stability": f"{factors.economic_stability:.6f}",
    }
    click.echo(f"{score.agent_id}: {score.score:.6f}, tier {score.tier}, confidence {score.confidence:.0%}")
    rows = [[name, "missing" if name in score.missing else value] for name, value in shown.items()]
    print_table(["factor", "value"], rows, right=(1,))


def _print_line(line: CreditLine) -> None:
    print_table(
        ["line", "status", "tier", "limit", "drawn", "interest", "available", "rate"],
        [
            [
                line.line_id,
                line.status if line.status == "active" else f"{line.status} ({line.status_reason})",
                line.tier,
                format_micro(line.limit_micro_usd),
                format_micro(line.drawn_micro_usd),
                format_micro(line.accrued_interest_micro_usd),
                format_micro(line.available_micro_usd),
                f"{line.interest_rate_bps / 100:.2f} %",
            ]
        ],
        right=(3, 4, 5, 6, 7),
    )


def _key(key: str | None, request: str) -> Key:
    return Key(_CALLER, key or new_id(SystemClock(), SystemEntropy()), request.encode())


def _again(done: Done[T]) -> str:
    return " (by an earlier command with this key)" if done.repeated else ""
