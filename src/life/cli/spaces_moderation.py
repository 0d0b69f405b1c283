"""`life spaces kick`, `ban`, `mute`, `reports`: keep order in a space."""

from __future__ import annotations

from pathlib import Path

import click

from life.aios.errors import InvalidInputError
from life.cli.run import command_errors
from life.cli.spaces_connection import (
    Target,
    connection_options,
    find_channel,
    find_person,
    find_space,
    json_option,
    names_of,
    print_json,
    rows_of,
    with_client,
)
from life.cli.spaces_lines import day_and_clock, name_of
from life.cli.tables import print_table
from life.spaces.commands import BanMember, KickMember, MuteMember, ResolveReport, UnbanMember, UnmuteMember
from life.spaces.listeners.websocket.client import SpacesClient
from life.spaces.model import Ban, Mute, Report

_reason_option = click.option("--reason", help="Why; it stands in the moderation log.")


@click.command()
@click.argument("space")
@click.argument("person", required=False)
@connection_options
@_reason_option
@click.option("--sessions", is_flag=True, help="End all sessions of PERSON at this server instead (the operator only).")
@json_option
@command_errors
def kick(
    space: str,
    person: str | None,
    data_dir: Path,
    address: str | None,
    as_agent: bool,
    reason: str | None,
    sessions: bool,
    as_json: bool,
) -> None:
    """Remove PERSON from SPACE; they may come back.

    Examples: life spaces kick Lab @bob --reason spam, life spaces kick --sessions @bob
    """
    if sessions and person is not None:
        raise InvalidInputError(
            "Sessions end at the whole server, not in one space: life spaces kick --sessions PERSON"
        )
    if not sessions and person is None:
        raise InvalidInputError("Name SPACE and PERSON.")

    async def work(client: SpacesClient) -> None:
        whom = (await find_person(client, person or space)).identity
        if sessions:
            count = await client.kick(whom, reason=reason or "kicked")
            if as_json:
                print_json({"identity": whom, "sessions": count})
            else:
                click.echo(f"Ended {count} session{'' if count == 1 else 's'}.")
            return
        server_id = (await find_space(client, space)).id
        await client.call(KickMember(server_id=server_id, identity=whom, reason=reason))
        if as_json:
            print_json({"space_id": server_id, "identity": whom})
        else:
            click.echo(f"{person} is out.")

    with_client(Target(data_dir, address, as_agent), work)


@click.command()
@click.argument("space")
@click.argument("person", required=False)
@connection_options
@_reason_option
@click.option("--days", type=click.IntRange(0, 3650), default=0, help="For how long; 0 for good.")
@click.option("--lift", is_flag=True, help="Let them come back.")
@json_option
@command_errors
def ban(
    space: str,
    person: str | None,
    data_dir: Path,
    address: str | None,
    as_agent: bool,
    reason: str | None,
    days: int,
    lift: bool,
    as_json: bool,
) -> None:
    """Keep PERSON out of SPACE; without PERSON list who is.

    Example: life spaces ban Lab @bob --days 7 --reason spam
    """
    if lift and person is None:
        raise InvalidInputError("Name whose ban is to be lifted.")

    async def work(client: SpacesClient) -> None:
        server_id = (await find_space(client, space)).id
        if person is None:
            await _list_bans(client, server_id, as_json=as_json)
            return
        whom = (await find_person(client, person)).identity
        if lift:
            await client.call(UnbanMember(server_id=server_id, identity=whom))
            _tell(
                {"space_id": server_id, "identity": whom, "banned": False}, f"{person} may come back.", as_json=as_json
            )
            return
        command = BanMember(server_id=server_id, identity=whom, reason=reason, duration_s=days * 86_400)
        row = (await client.call(command)).row
        length = "for good" if days == 0 else f"for {days} day{'' if days == 1 else 's'}"
        _tell(row, f"{person} stays out, {length}.", as_json=as_json)

    with_client(Target(data_dir, address, as_agent), work)


async def _list_bans(client: SpacesClient, server_id: int, *, as_json: bool) -> None:
    found = await rows_of(client, Ban, space_id=server_id)
    if as_json:
        print_json(found)
        return
    names = await names_of(client)
    print_table(
        ("who", "until", "by", "reason"),
        [
            (name_of(one.identity, names), _until(one.until_us), name_of(one.by, names), one.reason or "")
            for one in found
        ],
    )


@click.command()
@click.argument("space")
@click.argument("person", required=False)
@connection_options
@_reason_option
@click.option("--minutes", type=click.IntRange(1, 60 * 24 * 28), default=10, show_default=True, help="For how long.")
@click.option("--channel", metavar="NAME", help="In this channel only.")
@click.option("--lift", is_flag=True, help="Let them write again.")
@json_option
@command_errors
def mute(
    space: str,
    person: str | None,
    data_dir: Path,
    address: str | None,
    as_agent: bool,
    reason: str | None,
    minutes: int,
    channel: str | None,
    lift: bool,
    as_json: bool,
) -> None:
    """Keep PERSON from writing in SPACE for a while; without PERSON list who is.

    Example: life spaces mute Lab @bob --minutes 30 --channel general
    """
    if lift and person is None:
        raise InvalidInputError("Name who may write again.")

    async def work(client: SpacesClient) -> None:
        server_id = (await find_space(client, space)).id
        if person is None:
            await _list_mutes(client, server_id, as_json=as_json)
            return
        whom = (await find_person(client, person)).identity
        channel_id = 0 if channel is None else (await find_channel(client, channel, space)).id
        if lift:
            await client.call(UnmuteMember(server_id=server_id, identity=whom, channel_id=channel_id))
            _tell(
                {"space_id": server_id, "identity": whom, "muted": False}, f"{person} may write again.", as_json=as_json
            )
            return
        command = MuteMember(
            server_id=server_id, identity=whom, duration_s=60 * minutes, channel_id=channel_id, reason=reason
        )
        row = (await client.call(command)).row
        _tell(row, f"{person} is muted for {minutes} minute{'' if minutes == 1 else 's'}.", as_json=as_json)

    with_client(Target(data_dir, address, as_agent), work)


async def _list_mutes(client: SpacesClient, server_id: int, *, as_json: bool) -> None:
    found = await rows_of(client, Mute, space_id=server_id)
    if as_json:
        print_json(found)
        return
    names = await names_of(client)
    print_table(
        ("who", "channel", "until", "by", "reason"),
        [
            (
                name_of(one.identity, names),
                str(one.channel_id or "all"),
                _until(one.until_us),
                name_of(one.by, names),
                one.reason or "",
            )
            for one in found
        ],
    )


@click.command()
@click.argument("space")
@connection_options
@click.option("--resolve", type=click.IntRange(1), metavar="REPORT", help="Something was done about this one.")
@click.option("--dismiss", type=click.IntRange(1), metavar="REPORT", help="Nothing is to be done about this one.")
@click.option("--all", "everything", is_flag=True, help="Closed ones, too.")
@json_option
@command_errors
def reports(
    space: str,
    data_dir: Path,
    address: str | None,
    as_agent: bool,
    resolve: int | None,
    dismiss: int | None,
    everything: bool,
    as_json: bool,
) -> None:
    """List the messages of a SPACE that were reported; close a report.

    Example: life spaces reports Lab --resolve 3
    """

    async def work(client: SpacesClient) -> None:
        server_id = (await find_space(client, space)).id
        for report_id, dismissed in ((resolve, False), (dismiss, True)):
            if report_id is not None:
                await client.call(ResolveReport(report_id=report_id, dismissed=dismissed))
        found = [one for one in await rows_of(client, Report, space_id=server_id) if everything or one.state == "open"]
        if as_json:
            print_json(found)
            return
        names = await names_of(client)
        print_table(
            ("", "message", "by", "at", "state", "reason"),
            [
                (
                    str(one.id),
                    str(one.message_id),
                    name_of(one.by, names),
                    day_and_clock(one.at_us),
                    one.state,
                    one.reason,
                )
                for one in found
            ],
        )

    with_client(Target(data_dir, address, as_agent), work)


def _until(at_us: int | None) -> str:
    return "for good" if at_us is None else day_and_clock(at_us)


def _tell(row: object, words: str, *, as_json: bool) -> None:
    if as_json:
        print_json(row)
    else:
        click.echo(words)
