"""`haima cost …`"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar, get_args

import click
import msgspec

from life.aios.money import format_micro
from life.aios.record import format_timestamp
from life.cli.run import command_errors, data_dir_option, run
from life.cli.subcommands import is_alone
from life.cli.tables import print_table
from life.haima.cost_items import CostGroup, CostItem, Dimension
from life.haima.costs import CostReport, Window
from life.host.clock import SystemClock
from life.host.haima_approvals import WalletView, open_purses, view
from life.host.haima_costs import CostFilter, open_costs

F = TypeVar("F", bound=Callable[..., object])

_HELP: Final = {"help_option_names": ["-h", "--help"]}
_SPANS: Final[dict[str, str]] = {"1d": "today", "7d": "7 days", "30d": "30 days", "all": "all days"}

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")
window_option = click.option(
    "--window",
    type=click.Choice(get_args(Window)),
    default="30d",
    show_default=True,
    help="Whole UTC days, today included.",
)


def _filters(command: F) -> F:
    """The options that choose some costs."""
    for name, told in (
        ("counterparty", "Only what went to this address."),
        ("agent", "Only this agent's."),
        ("task", "Only this task's."),
        ("session", "Only this session's."),
    ):
        command = click.option(f"--{name}", help=told)(command)
    return command


@click.group(invoke_without_command=True, context_settings=_HELP)
@data_dir_option
@click.option(
    "--by",
    type=click.Choice(get_args(Dimension)),
    default="service",
    show_default=True,
    help="What the costs are added up by. The service of a payment is the host that was paid.",
)
@window_option
@_filters
@click.option("-n", "count", type=click.IntRange(1), help="At most so many lines.  [default: all]")
@json_option
@click.pass_context
@command_errors
def cost(
    ctx: click.Context,
    data_dir: Path,
    by: Dimension,
    window: Window,
    session: str | None,
    task: str | None,
    agent: str | None,
    counterparty: str | None,
    count: int | None,
    as_json: bool,
) -> None:
    """Show what was spent, by service, day, session, task, agent or counterparty.

    Payments that settled and the regulator's charges (autonomic.CostCharged), read from the journal.
    """
    if is_alone(ctx):
        wanted = CostFilter(window, session, task, agent, counterparty)
        run(_show(data_dir, by, wanted, count, as_json=as_json))


@cost.command("list", context_settings=_HELP)
@data_dir_option
@window_option
@_filters
@click.option("-n", "count", type=click.IntRange(1), default=50, show_default=True, help="How many, the newest.")
@json_option
@command_errors
def list_(
    data_dir: Path,
    window: Window,
    session: str | None,
    task: str | None,
    agent: str | None,
    counterparty: str | None,
    count: int,
    as_json: bool,
) -> None:
    """List single costs, the newest last."""

    async def read() -> list[CostItem]:
        wanted = CostFilter(window, session, task, agent, counterparty)
        async with open_costs(data_dir) as costs:
            return await costs.newest(count, wanted, now_us=SystemClock().now_us())

    items = run(read())
    if as_json:
        click.echo(json.dumps([_item(item) for item in items], indent=2))
    elif not items:
        click.echo("Nothing was spent.")
    else:
        print_table(
            ("Time (UTC)", "Service", "Amount", "Session", "Task", "Counterparty"),
            [
                (
                    format_timestamp(item.at_us)[:19].replace("T", " "),
                    _plain(item.service),
                    format_micro(item.total_micro),
                    _plain(item.session_id),
                    _plain(item.task_id),
                    _plain(item.counterparty),
                )
                for item in items
            ],
            right=(2,),
        )


@cost.command(context_settings=_HELP)
@data_dir_option
@json_option
@command_errors
def budgets(data_dir: Path, as_json: bool) -> None:
    """Show the lifetime cap of every wallet, and what is left of it.

    What is promised counts as spent until it is known not to be. The cap is the one that is kept with the wallet
    (haima wallet cap); caps of sessions, tasks and days belong to the program that pays.
    """

    async def read() -> list[WalletView]:
        async with open_purses(data_dir) as purses:
            return [view(purse) for purse in purses]

    wallets = run(read())
    if as_json:
        click.echo(json.dumps([_budget(wallet) for wallet in wallets], indent=2))
    elif not wallets:
        click.echo("No wallet has paid anything here.")
    else:
        print_table(
            ("Wallet", "Network", "Paid", "Promised", "Cap", "Left"),
            [
                (
                    wallet.address,
                    wallet.network,
                    format_micro(wallet.settled_micro),
                    format_micro(wallet.outstanding_micro),
                    "-" if wallet.total_cap_micro is None else format_micro(wallet.total_cap_micro),
                    "-" if (left := _left(wallet)) is None else format_micro(left),
                )
                for wallet in wallets
            ],
            right=(2, 3, 4, 5),
        )


async def _show(data_dir: Path, by: Dimension, wanted: CostFilter, count: int | None, *, as_json: bool) -> None:
    now_us = SystemClock().now_us()
    async with open_costs(data_dir) as costs:
        told = await costs.report(wanted.window, now_us=now_us)
        groups = await costs.groups(by, wanted, now_us=now_us)
    total_micro = sum(group.total_cost for group in groups)
    shown = groups if count is None else groups[-count:] if by == "day" else groups[:count]
    if as_json:
        click.echo(json.dumps(_document(by, wanted, told, total_micro, shown), indent=2))
        return
    if not groups:
        click.echo("Nothing was spent.")
        return
    print_table(
        (by.capitalize(), "Thinking", "Doing", "Total"),
        [
            (
                _plain(group.name),
                format_micro(group.llm_cost),
                format_micro(group.compute_cost),
                format_micro(group.total_cost),
            )
            for group in shown
        ],
        right=(1, 2, 3),
    )
    left_out = f" ({len(groups) - len(shown)} lines not shown)" if len(shown) < len(groups) else ""
    click.echo(f"\nTotal of {_SPANS[wanted.window]}: {format_micro(total_micro)}{left_out}.")
    if told.monthly_burn_estimate is not None and not wanted.narrows:
        click.echo(f"Spent in 30 days at the pace of the last 30: {format_micro(told.monthly_burn_estimate)}.")


def _document(
    by: Dimension, wanted: CostFilter, told: CostReport, total_micro: int, groups: tuple[CostGroup, ...]
) -> dict[str, object]:
    filters = {name: value for name, value in wanted._asdict().items() if name != "window" and value is not None}
    return {
        "window": wanted.window,
        "by": by,
        "filters": filters,
        "total_micro_credits": total_micro,
        "monthly_burn_estimate": None if wanted.narrows else told.monthly_burn_estimate,
        "groups": msgspec.to_builtins(groups),
    }


def _item(item: CostItem) -> dict[str, str | int | None]:
    return {
        "event_id": item.event_id,
        "position": item.position,
        "timestamp": format_timestamp(item.at_us),
        "service": item.service,
        "llm_cost": item.llm_micro,
        "compute_cost": item.compute_micro,
        "agent_id": item.agent_id,
        "session_id": item.session_id,
        "task_id": item.task_id,
        "counterparty": item.counterparty,
        "payment_id": item.payment_id,
        "transaction": item.transaction,
    }


def _budget(wallet: WalletView) -> dict[str, str | int | None]:
    return {
        "address": wallet.address,
        "network": wallet.network,
        "settled_micro": wallet.settled_micro,
        "outstanding_micro": wallet.outstanding_micro,
        "total_cap_micro": wallet.total_cap_micro,
        "left_micro": _left(wallet),
    }


def _left(wallet: WalletView) -> int | None:
    """What may still be spent; None without a cap. A cap that was lowered below what is spent leaves nothing."""
    if wallet.total_cap_micro is None:
        return None
    return max(0, wallet.total_cap_micro - wallet.settled_micro - wallet.outstanding_micro)


def _plain(text: str | None) -> str:
    """Names come from others: what a terminal would take for a command is not printed."""
    return "-" if text is None else "".join(letter if letter.isprintable() else "�" for letter in text)[:80]
