"""`life spaces …`: look around, write, watch, invite, hand out roles."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from pathlib import Path

import click
import msgspec

from life.aios.errors import InvalidInputError, NotFoundError
from life.cli.run import command_errors
from life.cli.spaces_connection import (
    Target,
    connection_options,
    find_channel,
    find_person,
    find_space,
    json_option,
    members_of,
    names_of,
    print_json,
    rows_of,
    show_rows,
    space_option,
    with_client,
)
from life.cli.spaces_lines import name_of
from life.cli.tables import print_table
from life.spaces.commands import (
    BY_NAME,
    CreateChannel,
    CreateInvite,
    CreateServer,
    JoinServer,
    SendDirectMessage,
    SendMessage,
    UpdateMemberRole,
    UseInvite,
)
from life.spaces.listeners.websocket.client import Snapshot, SpacesClient
from life.spaces.listeners.websocket.frames import UpdateFrame, decode_command
from life.spaces.model import Channel, ChannelType, Health, Invite, Listing, Member, Role, Skill, Space
from life.spaces.permissions import MATRIX
from life.spaces.queries import History


@click.command("list")
@connection_options
@json_option
@command_errors
def list_(data_dir: Path, address: str | None, as_agent: bool, as_json: bool) -> None:
    """List the spaces that you can see.

    Example: life spaces list --json
    """

    async def work(client: SpacesClient) -> None:
        spaces = await rows_of(client, Space)
        if as_json:
            print_json(spaces)
            return
        me = client.welcome.identity if client.welcome is not None else ""
        mine = {member.space_id: member.role for member in await rows_of(client, Member, identity=me)}
        print_table(
            ("", "space", "visibility", "you are"),
            [(str(space.id), space.name, space.visibility, mine.get(space.id, "")) for space in spaces],
        )

    with_client(Target(data_dir, address, as_agent), work)


@click.command()
@connection_options
@space_option
@json_option
@command_errors
def channels(data_dir: Path, address: str | None, as_agent: bool, space: str | None, as_json: bool) -> None:
    """List the channels of a space (without --space: of all that you are in).

    Example: life spaces channels --space Lab
    """

    async def work(client: SpacesClient) -> None:
        if space is None:
            found = await rows_of(client, Channel)
        else:
            found = await rows_of(client, Channel, space_id=(await find_space(client, space)).id)
        found.sort(key=lambda channel: (channel.space_id, channel.position))
        if as_json:
            print_json(found)
            return
        names = {one.id: one.name for one in await rows_of(client, Space)}
        print_table(
            ("", "channel", "type", "space", "topic"),
            [
                (str(one.id), f"#{one.name}", one.channel_type.value, names.get(one.space_id, ""), one.topic or "")
                for one in found
            ],
        )

    with_client(Target(data_dir, address, as_agent), work)


@click.command()
@click.argument("channel")
@click.argument("text", required=False)
@connection_options
@space_option
@click.option("--thread", type=click.IntRange(1), help="Into this thread.")
@click.option("--reply-to", type=click.IntRange(1), metavar="MESSAGE", help="As a reply to this message.")
@json_option
@command_errors
def send(
    channel: str,
    text: str | None,
    data_dir: Path,
    address: str | None,
    as_agent: bool,
    space: str | None,
    thread: int | None,
    reply_to: int | None,
    as_json: bool,
) -> None:
    """Write TEXT into a CHANNEL (its name or number), or (@NAME) to somebody.

    Without TEXT it is read from standard input. Example: life spaces send '#general' 'hello' --space Lab
    """
    if text is None and sys.stdin.isatty():
        click.echo("Write the text; Ctrl-D ends it.", err=True)
    content = text if text is not None else sys.stdin.read().rstrip("\n")

    async def work(client: SpacesClient) -> None:
        if channel.startswith("@"):
            person = await find_person(client, channel)
            result = await client.call(SendDirectMessage(recipient=person.identity, content=content))
        else:
            found = await find_channel(client, channel, space)
            result = await client.call(
                SendMessage(channel_id=found.id, content=content, thread_id=thread or 0, reply_to_id=reply_to)
            )
        if as_json:
            print_json(result.row)
        else:
            click.echo(f"Sent ({getattr(result.row, 'id', '')}).")

    with_client(Target(data_dir, address, as_agent), work)


@click.command()
@click.argument("channel")
@connection_options
@space_option
@click.option("--limit", type=click.IntRange(1, 200), default=25, show_default=True, help="How many messages.")
@click.option("--before", type=click.IntRange(1), metavar="MESSAGE", help="Those before this message.")
@click.option("--thread", type=click.IntRange(1), help="Of this thread.")
@json_option
@command_errors
def history(
    channel: str,
    data_dir: Path,
    address: str | None,
    as_agent: bool,
    space: str | None,
    limit: int,
    before: int | None,
    thread: int | None,
    as_json: bool,
) -> None:
    """Show the newest messages of a channel.

    Example: life spaces history general --space Lab --limit 50
    """

    async def work(client: SpacesClient) -> None:
        found = await find_channel(client, channel, space)
        page = await client.query(History(channel_id=found.id, thread_id=thread or 0, before=before, limit=limit))
        if as_json:
            print_json(page.rows)
        else:
            show_rows(page.rows, await names_of(client))

    with_client(Target(data_dir, address, as_agent), work)


@click.command()
@click.argument("topics", nargs=-1, required=True)
@connection_options
@space_option
@click.option("--since", type=click.IntRange(0), metavar="POSITION", help="Resume after this position of the log.")
@json_option
@command_errors
def watch(
    topics: tuple[str, ...],
    data_dir: Path,
    address: str | None,
    as_agent: bool,
    space: str | None,
    since: int | None,
    as_json: bool,
) -> None:
    """Follow channels (#general) and topics (space:1, dm:self, inbox:self, directory, tasks:self), until Ctrl-C.

    --json gives a frame a line; the position of the last one is what --since takes. Example: life spaces watch '#general' dm:self
    """

    async def work(client: SpacesClient) -> None:
        wanted = [
            topic if ":" in topic or topic in ("spaces", "directory") else f"channel:{(await find_channel(client, topic, space)).id}"
            for topic in topics
        ]  # fmt: skip
        names = await names_of(client)
        async for news in client.follow(wanted, since=since):
            if as_json:
                print_json(news._asdict() if isinstance(news, Snapshot) else news)
            elif isinstance(news, Snapshot):
                show_rows(news.rows, names)
            elif isinstance(news, UpdateFrame):
                if any(event.kind.startswith("user.") or "member" in event.kind for event in news.events):
                    names = await names_of(client)
                show_rows(news.inserts, names)
                for event in news.events:
                    if not event.kind.startswith(("message.", "dm.", "agentlog.")):
                        click.echo(f"       · {event.kind} by {name_of(news.actor, names)}")
            sys.stdout.flush()

    with_client(Target(data_dir, address, as_agent), work)


@click.command()
@click.argument("space")
@connection_options
@json_option
@command_errors
def members(space: str, data_dir: Path, address: str | None, as_agent: bool, as_json: bool) -> None:
    """List the members of a space, with their roles and whether they are here.

    Example: life spaces members Lab
    """

    async def work(client: SpacesClient) -> None:
        found = await members_of(client, (await find_space(client, space)).id)
        here = {
            one.identity: one.state
            for start in range(0, len(found), 200)
            for one in (await client.who([member.identity for member in found[start : start + 200]])).presences
        }
        if as_json:
            print_json([{**msgspec.to_builtins(one), "presence": here.get(one.identity)} for one in found])
            return
        names = await names_of(client)
        print_table(
            ("member", "role", "here"),
            [(name_of(one.identity, names), one.role.value, here.get(one.identity, "")) for one in found],
        )

    with_client(Target(data_dir, address, as_agent), work)


@click.command()
@click.argument("space", required=False)
@click.argument("person", required=False)
@click.argument("role", required=False, type=click.Choice([role.value for role in Role if role is not Role.OWNER]))
@connection_options
@json_option
@command_errors
def roles(
    space: str | None,
    person: str | None,
    role: str | None,
    data_dir: Path,
    address: str | None,
    as_agent: bool,
    as_json: bool,
) -> None:
    """Show what each role may do; with SPACE PERSON ROLE give somebody a role.

    Example: life spaces roles Lab @bob Moderator
    """
    if space is None:
        table = {permission.value: [one.value for one in Role if one in MATRIX[permission]] for permission in MATRIX}
        if as_json:
            print_json(table)
            return
        print_table(
            ("permission", *(one.value for one in Role)),
            [(name, *("yes" if one.value in granted else "-" for one in Role)) for name, granted in table.items()],
        )
        return
    if person is None or role is None:
        raise InvalidInputError("To give somebody a role, name SPACE, PERSON and ROLE.")

    async def work(client: SpacesClient) -> None:
        command = UpdateMemberRole(
            server_id=(await find_space(client, space)).id,
            identity=(await find_person(client, person)).identity,
            role=Role(role),
        )
        result = await client.call(command)
        if as_json:
            print_json(result.row)
        else:
            click.echo(f"{person} is {role} now.")

    with_client(Target(data_dir, address, as_agent), work)


@click.command()
@click.argument("space")
@connection_options
@click.option("--role", type=click.Choice([role.value for role in Role if role is not Role.OWNER]), default="Member")
@click.option("--uses", type=click.IntRange(0), default=1, show_default=True, help="How often it is good; 0 always.")
@click.option("--days", type=click.IntRange(0, 365), default=7, show_default=True, help="How long; 0 for good.")
@json_option
@command_errors
def invite(
    space: str, data_dir: Path, address: str | None, as_agent: bool, role: str, uses: int, days: int, as_json: bool
) -> None:
    """Make a code by which somebody joins a space (`life spaces join CODE`).

    Example: life spaces invite Lab --role Member --uses 5 --days 1
    """

    async def work(client: SpacesClient) -> None:
        found = await find_space(client, space)
        command = CreateInvite(server_id=found.id, role=Role(role), max_uses=uses, lifetime_s=days * 86_400)
        row = (await client.call(command)).row
        if as_json:
            print_json(row)
        elif isinstance(row, Invite):
            click.echo(row.code)
            if sys.stdout.isatty():
                click.echo(f"They join with: life spaces join {row.code}", err=True)

    with_client(Target(data_dir, address, as_agent), work)


@click.command()
@click.argument("what")
@connection_options
@json_option
@command_errors
def join(what: str, data_dir: Path, address: str | None, as_agent: bool, as_json: bool) -> None:
    """Join a public space by its name or number, or any space by an invite's code.

    Example: life spaces join Lab
    """

    async def work(client: SpacesClient) -> None:
        try:
            command: JoinServer | UseInvite = JoinServer(server_id=(await find_space(client, what)).id)
        except NotFoundError:
            command = UseInvite(code=what)
        result = await client.call(command)
        if as_json:
            print_json(result.row)
        else:
            click.echo("Joined.")

    with_client(Target(data_dir, address, as_agent), work)


@click.command()
@click.argument("name")
@connection_options
@click.option("--in", "space", metavar="SPACE", help="Make a channel in this space instead of a space.")
@click.option("--type", "kind", type=click.Choice([kind.value for kind in ChannelType]), default="Text")
@click.option("--visibility", type=click.Choice(["public", "invite", "private"]), default="public")
@json_option
@command_errors
def create(
    name: str, data_dir: Path, address: str | None, as_agent: bool, space: str | None, kind: str, visibility: str, as_json: bool
) -> None:  # fmt: skip
    """Make a space, or (--in SPACE) a channel.

    Example: life spaces create plans --in Lab --type Announcement
    """

    async def work(client: SpacesClient) -> None:
        if space is None:
            found = msgspec.convert({"command": "create_server", "name": name, "visibility": visibility}, CreateServer)
            row = (await client.call(found)).row
        else:
            place = (await find_space(client, space)).id
            row = (await client.call(CreateChannel(server_id=place, name=name, channel_type=ChannelType(kind)))).row
        if as_json:
            print_json(row)
        else:
            click.echo(f"Made {name} ({getattr(row, 'id', '')}).")

    with_client(Target(data_dir, address, as_agent), work)


@click.command()
@click.argument("skill", required=False)
@connection_options
@json_option
@command_errors
def peers(skill: str | None, data_dir: Path, address: str | None, as_agent: bool, as_json: bool) -> None:
    """List the agents of the directory, with what they do and cost; with SKILL those who have it (its id, or a tag).

    Example: life spaces peers list translate
    """

    async def work(client: SpacesClient) -> None:
        skills = await rows_of(client, Skill)
        wanted = None if skill is None else skill.casefold()
        able = {one.identity for one in skills if wanted is None or wanted in (one.skill_id, *one.tags)}
        listings = [one for one in await rows_of(client, Listing) if wanted is None or one.identity in able]
        if as_json:
            print_json(listings)
            return
        health = {one.identity: one.score for one in await rows_of(client, Health)}
        print_table(
            ("agent", "skills", "price", "health"),
            [
                (
                    one.name,
                    ", ".join(sorted(own.skill_id for own in skills if own.identity == one.identity)),
                    _price(one),
                    str(health.get(one.identity, "")),
                )
                for one in listings
            ],
            empty="Nobody is in the directory." if skill is None else "Nobody in the directory has that skill.",
        )

    with_client(Target(data_dir, address, as_agent), work)


def _price(listing: Listing) -> str:
    if listing.pricing_model == "free":
        return "free"
    whole, rest = divmod(listing.price_per_request_micro, 1_000_000)
    return f"{whole}.{rest:06d} {listing.currency}"


@click.command()
@click.argument("command")
@click.argument("arguments", nargs=-1)
@connection_options
@command_errors
def call(command: str, arguments: tuple[str, ...], data_dir: Path, address: str | None, as_agent: bool) -> None:
    """Carry out any COMMAND with its ARGUMENTS as name=value (docs/spaces.md lists them). The row it concerns is printed as JSON.

    A value is JSON, or a text as it is: life spaces call kick_member server_id=2 identity=c200… reason=spam
    """
    known = [name for name, kind in BY_NAME.items() if not kind.SYSTEM]
    if command not in known:
        raise InvalidInputError(f"There is no command {command!r}.", next_step=_nearest(command, known))
    fields: dict[str, object] = {"command": command}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals:
            raise InvalidInputError(f"{argument!r} does not look like name=value.")
        fields[name] = _value(value)
    wanted = decode_command(msgspec.json.encode(fields))

    async def work(client: SpacesClient) -> None:
        print_json((await client.call(wanted)).row)

    with_client(Target(data_dir, address, as_agent), work)


def _nearest(command: str, known: list[str]) -> str:
    near = get_close_matches(command, known, cutoff=0.5)
    return f"Did you mean {' or '.join(near)}?" if near else "docs/spaces.md lists them all."


def _value(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
