"""`life spaces dm`, `threads`, `search`, `log`: what was said, where, and what was done."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from life.aios.errors import InvalidInputError
from life.cli.run import command_errors
from life.cli.spaces_connection import (
    Target,
    connection_options,
    find_channel,
    find_conversation,
    find_person,
    find_space,
    json_option,
    names_of,
    print_json,
    rows_of,
    show_rows,
    space_option,
    with_client,
)
from life.cli.spaces_lines import day_and_clock, event_line, name_of
from life.cli.tables import print_table
from life.spaces.agent_events import parse_agent_event
from life.spaces.commands import ArchiveThread, CreateThread, SendDirectMessage, UnarchiveThread
from life.spaces.errors import InvalidArgumentError
from life.spaces.listeners.websocket.client import SpacesClient
from life.spaces.model import (
    Audit,
    Channel,
    ChannelType,
    Conversation,
    Message,
    MessageType,
    Participant,
    Thread,
)
from life.spaces.queries import DmHistory, History, Search, Unread

_limit_option = click.option(
    "--limit", type=click.IntRange(1, 200), default=25, show_default=True, help="How many, newest last."
)
SEVERITIES = ("debug", "info", "warning", "error")


@click.command()
@click.argument("person", required=False)
@click.argument("text", required=False)
@connection_options
@_limit_option
@json_option
@command_errors
def dm(
    person: str | None,
    text: str | None,
    data_dir: Path,
    address: str | None,
    as_agent: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Write TEXT to PERSON alone; without TEXT read what was said, without PERSON list with whom.

    A TEXT of - is read from standard input. Example: life spaces dm @bob "are you there?"
    """
    content = sys.stdin.read().rstrip("\n") if text == "-" else text

    async def work(client: SpacesClient) -> None:
        if person is None:
            await _list_conversations(client, as_json=as_json)
            return
        whom = (await find_person(client, person)).identity
        if content is not None:
            row = (await client.call(SendDirectMessage(recipient=whom, content=content))).row
            if as_json:
                print_json(row)
            else:
                click.echo(f"Sent ({getattr(row, 'id', '')}).")
            return
        conversation = await find_conversation(client, whom)
        page = (
            None
            if conversation is None
            else await client.query(DmHistory(conversation_id=conversation.id, limit=limit))
        )
        rows = () if page is None else page.rows
        if as_json:
            print_json(rows)
        else:
            show_rows(rows, await names_of(client))

    with_client(Target(data_dir, address, as_agent), work)


async def _list_conversations(client: SpacesClient, *, as_json: bool) -> None:
    found = sorted(await rows_of(client, Conversation), key=lambda one: -one.last_message_us)
    people: dict[int, list[str]] = {}
    me = "" if client.welcome is None else client.welcome.identity
    for row in await rows_of(client, Participant):
        if row.identity != me:
            people.setdefault(row.conversation_id, []).append(row.identity)
    unread = {one.conversation_id: one.unread for one in (await client.query(Unread())).counts if one.conversation_id}
    if as_json:
        print_json(
            [
                {
                    "conversation": one,
                    "participants": people.get(one.id, []),
                    "unread": unread.get(one.id, 0),
                }
                for one in found
            ]
        )
        return
    names = await names_of(client)
    print_table(
        ("with", "last", "unread"),
        [
            (
                one.title or ", ".join(f"@{name_of(each, names)}" for each in people.get(one.id, [])),
                day_and_clock(one.last_message_us),
                str(unread.get(one.id) or ""),
            )
            for one in found
        ],
        right=(2,),
        empty="No direct messages yet: life spaces dm @NAME TEXT writes one.",
    )


@click.command()
@click.argument("channel")
@connection_options
@space_option
@click.option("--create", "name", metavar="NAME", help="Begin a thread; --text is its first message.")
@click.option("--text", help="The first message of a new thread.")
@click.option("--archive", type=click.IntRange(1), metavar="THREAD", help="Close a thread for writing.")
@click.option("--unarchive", type=click.IntRange(1), metavar="THREAD", help="Open it again.")
@click.option("--all", "everything", is_flag=True, help="Archived ones, too.")
@json_option
@command_errors
def threads(
    channel: str,
    data_dir: Path,
    address: str | None,
    as_agent: bool,
    space: str | None,
    name: str | None,
    text: str | None,
    archive: int | None,
    unarchive: int | None,
    everything: bool,
    as_json: bool,
) -> None:
    """List the threads of a CHANNEL; begin, close and open them.

    `history`, `send` and `watch thread:N` go into one. Example: life spaces threads general --create ideas --text "what next?"
    """
    if (name is None) != (text is None):
        raise InvalidInputError("A new thread has a name and a first message: --create NAME --text TEXT")

    async def work(client: SpacesClient) -> None:
        found = await find_channel(client, channel, space)
        if name is not None and text is not None:
            row = (await client.call(CreateThread(channel_id=found.id, name=name, content=text))).row
            if as_json:
                print_json(row)
            else:
                click.echo(f"Began {name} ({getattr(row, 'id', '')}).")
            return
        if archive is not None:
            await client.call(ArchiveThread(thread_id=archive))
        if unarchive is not None:
            await client.call(UnarchiveThread(thread_id=unarchive))
        rows = [one for one in await rows_of(client, Thread, channel_id=found.id) if everything or not one.archived]
        if as_json:
            print_json(rows)
            return
        names = await names_of(client)
        print_table(
            ("", "thread", "by", "begun", ""),
            [
                (
                    str(one.id),
                    one.name,
                    name_of(one.creator, names),
                    day_and_clock(one.created_us),
                    "archived" if one.archived else "",
                )
                for one in rows
            ],
            empty=f"#{found.name} has no threads: --create NAME --text TEXT begins one.",
        )

    with_client(Target(data_dir, address, as_agent), work)


@click.command()
@click.argument("text")
@connection_options
@space_option
@click.option("--channel", metavar="NAME", help="In this channel only.")
@click.option("--from", "sender", metavar="NAME", help="By this sender only.")
@_limit_option
@json_option
@command_errors
def search(
    text: str,
    data_dir: Path,
    address: str | None,
    as_agent: bool,
    space: str | None,
    channel: str | None,
    sender: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Find messages that contain TEXT, wherever you may read.

    Example: life spaces search "release notes" --space Lab --from @bob
    """

    async def work(client: SpacesClient) -> None:
        query = Search(
            text=text,
            space_id=0 if space is None else (await find_space(client, space)).id,
            channel_id=0 if channel is None else (await find_channel(client, channel, space)).id,
            sender="" if sender is None else (await find_person(client, sender)).identity,
            limit=limit,
        )
        page = await client.query(query)
        if as_json:
            print_json(page.rows)
            return
        names = await names_of(client)
        channels = {one.id: one.name for one in await rows_of(client, Channel)}
        if not page.rows:
            click.echo("Nothing is there that you may read.", err=True)
        for row in reversed(page.rows):
            if isinstance(row, Message):
                where = channels.get(row.channel_id, str(row.channel_id))
                click.echo(
                    f"{day_and_clock(row.created_us)}  #{where}  {name_of(row.sender, names)}: {row.content}   [{row.id}]"
                )
        if page.more:
            click.echo(f"There is more; --limit shows up to 200 (now {limit}).", err=True)

    with_client(Target(data_dir, address, as_agent), work)


@click.command()
@click.argument("where", required=False)
@connection_options
@space_option
@click.option("--moderation", is_flag=True, help="What moderators did in the space WHERE, instead.")
@click.option("--severity", type=click.Choice(SEVERITIES), default="debug", help="Only from this one on.")
@click.option("--kind", metavar="PREFIX", help="Only kinds that begin like this, such as task.")
@_limit_option
@json_option
@command_errors
def log(
    where: str | None,
    data_dir: Path,
    address: str | None,
    as_agent: bool,
    space: str | None,
    moderation: bool,
    severity: str,
    kind: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show what agents logged: in the channel WHERE, or in all agent logs that you can see.

    Examples: life spaces log agent-logs --severity warning, life spaces log Lab --moderation
    """

    async def work(client: SpacesClient) -> None:
        if moderation:
            if where is None:
                raise InvalidInputError("Name the space: life spaces log SPACE --moderation")
            await _show_audit(client, (await find_space(client, where)).id, limit, as_json=as_json)
            return
        if where is None:
            places = [one for one in await rows_of(client, Channel) if one.channel_type is ChannelType.AGENT_LOG]
        else:
            places = [await find_channel(client, where, space)]
        found: list[Message] = []
        for place in places:
            page = await client.query(History(channel_id=place.id, limit=200))
            found += [row for row in page.rows if isinstance(row, Message) and _fits(row, severity, kind)]
        found = sorted(found, key=lambda row: row.id)[-limit:]
        if as_json:
            print_json(found)
            return
        names = await names_of(client)
        if not found:
            click.echo("Nothing was logged.", err=True)
        for row in found:
            click.echo(event_line(row, names))

    with_client(Target(data_dir, address, as_agent), work)


def _fits(row: Message, severity: str, kind: str | None) -> bool:
    if row.message_type is not MessageType.AGENT_EVENT:
        return False
    try:
        body = parse_agent_event(row.content)
    except InvalidArgumentError:
        return False
    return SEVERITIES.index(body.severity) >= SEVERITIES.index(severity) and body.kind.startswith(kind or "")


async def _show_audit(client: SpacesClient, space_id: int, limit: int, *, as_json: bool) -> None:
    found = sorted(await rows_of(client, Audit, space_id=space_id), key=lambda one: one.id)[-limit:]
    if as_json:
        print_json(found)
        return
    names = await names_of(client)
    print_table(
        ("at", "who", "did", "to", "reason"),
        [
            (
                day_and_clock(one.at_us),
                name_of(one.actor, names),
                one.action,
                name_of(one.target, names) if len(one.target) == 64 else one.target,
                one.reason or "",
            )
            for one in found
        ],
    )
