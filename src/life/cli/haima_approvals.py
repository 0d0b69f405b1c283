"""`haima approvals`: payments that wait for a person."""

from __future__ import annotations

import getpass
import json
from contextlib import suppress
from pathlib import Path
from typing import Final

import click
import msgspec

from life.aios.money import format_micro
from life.cli.run import command_errors, run
from life.cli.tables import print_table
from life.haima.approval_desk import MAX_PAGE, Listed, TicketPage
from life.haima.approvals import Ticket
from life.haima.approvals_api import describe
from life.host.clock import SystemClock
from life.host.data_directory import DEFAULT_NAME
from life.host.haima_approvals import open_desk

state_option = click.option(
    "--state",
    "--data-dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(DEFAULT_NAME),
    envvar="LIFE_DATA_DIR",
    show_default=True,
    help="Directory of the payer's journal.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON for programs, one object a line.")
_HELP: Final = {"help_option_names": ["-h", "--help"]}
_STATES: Final = ("pending", "granted", "refused", "used", "expired", "all")


@click.command("list", context_settings=_HELP)
@state_option
@click.option("--show", "state", type=click.Choice(_STATES), default="pending", show_default=True, help="Which ones.")
@click.option("--after", metavar="TICKET", help="Only what comes after this one: the cursor of the page before.")
@click.option("--limit", type=click.IntRange(1, MAX_PAGE), default=50, show_default=True, help="At most so many.")
@json_option
@command_errors
def list_(directory: Path, state: Listed, after: str | None, limit: int, as_json: bool) -> None:
    """List payments that wait for a person, oldest first."""

    async def read() -> TicketPage:
        async with open_desk(directory) as desk:
            return await desk.page(state=state, after=after, limit=limit)

    page = run(read())
    if as_json:
        for ticket in page.tickets:
            click.echo(_json(ticket))
    elif not page.tickets:
        click.echo("Nothing waits." if state == "pending" else "There is none.")
    else:
        print_table(
            ("TICKET", "STATE", "AMOUNT", "WHY", "SELLER", "LEFT"),
            [_row(ticket) for ticket in page.tickets],
            right=(2, 5),
        )
    if page.next_cursor is not None:
        click.echo(f"There are more: --after {page.next_cursor}", err=True)


@click.command(context_settings=_HELP)
@click.argument("ticket_id", metavar="TICKET")
@state_option
@json_option
@command_errors
def show(ticket_id: str, directory: Path, as_json: bool) -> None:
    """Show one payment that waits, in full."""

    async def read() -> Ticket:
        async with open_desk(directory) as desk:
            return await desk.get(ticket_id)

    ticket = run(read())
    if as_json:
        click.echo(_json(ticket))
        return
    for name, value in msgspec.to_builtins(describe(ticket, now_us=SystemClock().now_us())).items():
        click.echo(f"{name.replace('_', ' '):<16}{value}")


@click.command(context_settings=_HELP)
@click.argument("ticket_id", metavar="TICKET")
@click.option("--reason", help="Why, for the record.")
@click.option("--by", help="Who decides.  [default: the user of this machine]")
@state_option
@json_option
@command_errors
def approve(ticket_id: str, reason: str | None, by: str | None, directory: Path, as_json: bool) -> None:
    """Let one payment of exactly these terms be made.

    Every cap, list and mode is checked again when it is. The grant is good once, and for a while.
    """
    _decide(ticket_id, approved=True, reason=reason, by=by, directory=directory, as_json=as_json)


@click.command(context_settings=_HELP)
@click.argument("ticket_id", metavar="TICKET")
@click.option("--reason", help="Why, for the record and for whoever asked.")
@click.option("--by", help="Who decides.  [default: the user of this machine]")
@state_option
@json_option
@command_errors
def deny(ticket_id: str, reason: str | None, by: str | None, directory: Path, as_json: bool) -> None:
    """Refuse a payment."""
    _decide(ticket_id, approved=False, reason=reason, by=by, directory=directory, as_json=as_json)


@click.command(context_settings=_HELP)
@state_option
@json_option
@command_errors
def watch(directory: Path, as_json: bool) -> None:
    """Show what waits, then everything that happens, until interrupted."""

    async def follow() -> None:
        async with open_desk(directory) as desk:
            async for ticket in desk.watch():
                if as_json:
                    click.echo(_json(ticket))
                else:
                    click.echo("  ".join(_row(ticket)))

    run(follow())


def _decide(
    ticket_id: str, *, approved: bool, reason: str | None, by: str | None, directory: Path, as_json: bool
) -> None:
    async def record() -> Ticket:
        async with open_desk(directory) as desk:
            return await desk.decide(ticket_id, approved=approved, by=by or _user(), reason=reason)

    ticket = run(record())
    if as_json:
        click.echo(_json(ticket))
    elif approved:
        amount, seller = format_micro(ticket.request.amount_micro), ticket.request.resource_url
        click.echo(f"Approved: {amount} for {seller}, once, within {_left(ticket)}.")
    else:
        click.echo("Denied.")


def _user() -> str | None:
    with suppress(KeyError, OSError):  # nobody has a name in some containers
        return getpass.getuser()
    return None


def _json(ticket: Ticket) -> str:
    return json.dumps(msgspec.to_builtins(describe(ticket, now_us=SystemClock().now_us())), ensure_ascii=False)


def _row(ticket: Ticket) -> tuple[str, ...]:
    asked = ticket.request
    return (
        ticket.ticket_id,
        ticket.at(SystemClock().now_us()),
        format_micro(asked.amount_micro),
        asked.code.replace("_", " "),
        asked.resource_url,
        _left(ticket),
    )


def _left(ticket: Ticket) -> str:
    now_us = SystemClock().now_us()
    if ticket.at(now_us) not in ("pending", "granted"):
        return "-"
    seconds = (ticket.expires_at_us - now_us) // 1_000_000
    return f"{seconds // 60} min" if seconds >= 120 else f"{seconds} s"
