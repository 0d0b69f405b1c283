"""`life spaces peers show|hire-state`: who a peer is, and where the hires of the project's agent stand."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import click

from life.aios.money import format_micro
from life.cli.run import command_errors, data_dir_option, run
from life.cli.spaces_connection import find_person, json_option, print_json, rows_of
from life.cli.spaces_lines import day_and_clock
from life.cli.tables import print_table
from life.host.data_directory import DataDirectory
from life.host.settings import load_settings
from life.spaces.hiring.desk import Hire, HiringDesk
from life.spaces.listeners.websocket.client import SpacesClient
from life.spaces.model import Health, Listing, Skill

address_option = click.option(
    "--address", metavar="URL", help="A daemon elsewhere, for example https://spaces.example."
)


class _Opened(NamedTuple):
    client: SpacesClient
    desk: HiringDesk


@asynccontextmanager
async def _opened(data_dir: Path, address: str | None) -> AsyncIterator[_Opened]:
    """Logged in as the project's agent, because a hire is seen by its two sides alone."""
    from life.cli.identity_opening import opened_identity  # opens keys; only when asked for
    from life.host.hiring.looking import open_looking
    from life.host.spaces_client import agent_client

    settings = load_settings(DataDirectory(data_dir).config, os.environ)
    where = address or settings.spaces.url or None
    async with (
        opened_identity(data_dir) as opened,
        agent_client(opened.custody, opened.identity.agent_id, data_dir, where) as client,
        open_looking(client, opened.custody, opened.journal, opened.identity, settings) as desk,
    ):
        yield _Opened(client, desk)


@click.command()
@click.argument("peer")
@data_dir_option
@address_option
@json_option
@command_errors
def show(peer: str, data_dir: Path, address: str | None, as_json: bool) -> None:
    """Show PEER (a username or identity): what it offers, what our agent's trust in it is, and the hires between the two.

    Example: life spaces peers show @ben
    """

    async def main() -> None:
        async with _opened(data_dir, address) as (client, desk):
            person = await find_person(client, peer)
            listings = await rows_of(client, Listing, identity=person.identity)
            skills = await rows_of(client, Skill, identity=person.identity)
            health = await rows_of(client, Health, identity=person.identity)
            (here,) = (await client.who([person.identity])).presences or (None,)
            trust = await desk.trust_in(person.identity)
            hires = [hire for hire in await desk.list_(limit=200) if hire.peer.identity == person.identity]
        if as_json:
            print_json(
                {
                    "profile": person,
                    "listing": listings[0] if listings else None,
                    "skills": skills,
                    "health": health[0] if health else None,
                    "presence": None if here is None else here.state,
                    "trust_micro": trust.score_micro,
                    "interactions": trust.interactions,
                    "hires": hires,
                }
            )
            return
        click.echo(f"{person.username}   {person.identity}")
        click.echo(f"  did       {person.did}")
        click.echo(f"  here      {'no' if here is None else here.state}")
        dealt = "once" if trust.interactions == 1 else f"{trust.interactions} times"
        click.echo(f"  trust     {trust.score_micro / 1_000_000:.2f}, dealt with {dealt}")
        for listing in listings:
            price = "free" if listing.pricing_model == "free" else format_micro(listing.price_per_request_micro)
            click.echo(f"  offers    {listing.name}: {listing.description} ({price})")
        for skill in skills:
            tags = f" [{', '.join(skill.tags)}]" if skill.tags else ""
            click.echo(f"  skill     {skill.skill_id}: {skill.name}{tags}")
        if hires:
            click.echo("")
            _print_hires(hires)

    run(main())


@click.command("hire-state")
@click.argument("hire_id", metavar="HIRE", required=False)
@data_dir_option
@address_option
@click.option("--open", "open_only", is_flag=True, help="Only those that are not over.")
@click.option("-n", "count", type=click.IntRange(1, 200), default=20, show_default=True, help="At most so many.")
@json_option
@command_errors
def hire_state(
    hire_id: str | None, data_dir: Path, address: str | None, open_only: bool, count: int, as_json: bool
) -> None:
    """Show where the hires of the project's agent stand, and their money; with HIRE one of them in full.

    Example: life spaces peers hire-state --open
    """

    async def main() -> list[Hire]:
        async with _opened(data_dir, address) as (_, desk):
            if hire_id is not None:
                return [await desk.look(hire_id)]
            return await desk.list_(open_only=open_only, limit=count)

    hires = run(main())
    if as_json:
        print_json(hires[0] if hire_id is not None else hires)
    elif hire_id is None:
        _print_hires(hires)
    else:
        _print_hire(hires[0])


def _print_hires(hires: list[Hire]) -> None:
    print_table(
        ("hire", "we are", "peer", "what", "state", "price", "paid", "back"),
        [
            (
                hire.hire_id,
                "the customer" if hire.role == "customer" else "the worker",
                hire.peer.name,
                hire.title[:40],
                hire.state,
                format_micro(hire.price_micro),
                format_micro(hire.paid_micro),
                format_micro(hire.refunded_micro),
            )
            for hire in hires
        ],
        right=(5, 6, 7),
        empty="There are no hires.",
    )


def _print_hire(hire: Hire) -> None:
    lines = [
        ("hire", hire.hire_id),
        ("peer", f"{hire.peer.name} ({'works for us' if hire.role == 'customer' else 'our customer'})"),
        ("title", hire.title),
        ("state", hire.state),
        ("price", f"{format_micro(hire.price_micro)}, escrow {hire.escrow}"),
        ("paid", f"{format_micro(hire.paid_micro)}, back {format_micro(hire.refunded_micro)}"),
        ("house", hire.house or "none"),
        ("deadline", day_and_clock(hire.deadline_us) if hire.deadline_us else "none"),
        ("reason", hire.reason),
        ("fault", hire.fault),
    ]
    for name, text in lines:
        if text:
            click.echo(f"{name:<10}{text}")
    for name, text in (("task", hire.task), ("result", hire.result or "")):
        if text:
            click.echo(f"\n{name}:")
            for line in text.splitlines():
                click.echo(f"  {line}")
