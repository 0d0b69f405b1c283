"""How the commands of `life spaces` reach the daemon, and how they name things: spaces, channels and people by name or number."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import click
import msgspec

from life.aios.errors import InvalidInputError, NotFoundError
from life.cli.run import data_dir_option, run
from life.cli.spaces_lines import message_line
from life.host.spaces_client import agent_client, operator_client
from life.spaces.listeners.websocket.client import SpacesClient
from life.spaces.model import Channel, Conversation, Member, Profile, Row, Space
from life.spaces.queries import Rows, TableQuery, pair_of
from life.spaces.validation import username_key

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
R = TypeVar("R", bound=Row)


_CHANNELS: Final = "`life spaces channels` shows the channels."

json_option = click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
space_option = click.option("--space", metavar="NAME", help="The space, by name or number.")


class Target(NamedTuple):
    """Which daemon, as whom."""

    data_dir: Path
    address: str | None
    as_agent: bool


def connection_options(function: F) -> F:
    """The options that every command has: the data directory, another address, and as whom."""
    for option in (
        click.option("--as-agent", is_flag=True, help="Act as the project's own agent instead of as the operator."),
        click.option("--address", metavar="URL", help="A daemon elsewhere, for example https://spaces.example."),
        data_dir_option,
    ):
        function = option(function)
    return function


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[SpacesClient]:
    """A client, logged in."""
    if not target.as_agent:
        async with operator_client(target.data_dir, target.address) as client:
            yield client
        return
    from life.cli.identity_opening import opened_identity  # opens keys; only when asked for

    async with opened_identity(target.data_dir) as opened:
        agent_id = opened.identity.agent_id
        async with agent_client(opened.custody, agent_id, target.data_dir, target.address) as client:
            yield client


def with_client(target: Target, work: Callable[[SpacesClient], Coroutine[object, object, T]]) -> T:
    """Connect, do it, disconnect."""

    async def main() -> T:
        async with connected(target) as client:
            return await work(client)

    return run(main())


async def rows_of(client: SpacesClient, table: type[R], **where: int | str | bool) -> list[R]:
    """The visible rows of a table."""
    query = TableQuery(table=str(table.__struct_config__.tag), where=dict(where))
    answer = await client.query(Rows(tables=(query,)))
    return [row for row in answer.rows if isinstance(row, table)]


async def find_space(client: SpacesClient, name: str) -> Space:
    """A space by its number or name."""
    spaces = await rows_of(client, Space)
    found = [space for space in spaces if str(space.id) == name] or [
        space for space in spaces if space.name.casefold() == name.casefold()
    ]
    return _only(found, f"space {name!r}", missing="`life spaces list` shows the spaces.")


async def find_channel(client: SpacesClient, name: str, space: str | None) -> Channel:
    """A channel by its number, or by its name (with or without #) in a space; without one in all that one is in."""
    plain = name.removeprefix("#")
    if plain.isdigit():
        return _only(await rows_of(client, Channel, id=int(plain)), f"channel {name}", missing=_CHANNELS)
    channels = (
        await rows_of(client, Channel)
        if space is None
        else await rows_of(client, Channel, space_id=(await find_space(client, space)).id)
    )
    found = [channel for channel in channels if channel.name.casefold() == plain.casefold()]
    hint = "Name its space with --space, or give its number."
    return _only(found, f"channel {name!r}", hint=hint, missing=_CHANNELS)


async def find_person(client: SpacesClient, name: str) -> Profile:
    """Somebody by username (with or without @) or identity."""
    plain = name.removeprefix("@")
    by_identity = await rows_of(client, Profile, identity=plain) if len(plain) == 64 else []
    found = by_identity or await rows_of(client, Profile, username_key=username_key(plain))
    return _only(found, f"user {name!r}", missing="`life spaces members SPACE` shows who is where.")


async def names_of(client: SpacesClient) -> dict[str, str]:
    """Usernames by identity."""
    return {profile.identity: profile.username for profile in await rows_of(client, Profile)}


async def members_of(client: SpacesClient, space_id: int) -> list[Member]:
    """The members of a space, highest role first."""
    members = await rows_of(client, Member, space_id=space_id)
    return sorted(members, key=lambda member: (-member.role.level, member.joined_us))


async def find_conversation(client: SpacesClient, identity: str) -> Conversation | None:
    """The conversation of two with somebody, if there is one."""
    me = "" if client.welcome is None else client.welcome.identity
    found = await rows_of(client, Conversation, pair=pair_of(me, identity))
    return found[0] if found else None


def print_json(value: object) -> None:
    """One line of JSON."""
    click.echo(msgspec.json.encode(value).decode())


def show_rows(rows: Sequence[Row], names: Mapping[str, str]) -> None:
    """The messages among rows, one by one."""
    for row in rows:
        line = message_line(row, names)
        if line is not None:
            click.echo(line)


def _only(found: list[R], what: str, *, missing: str, hint: str = "Give its number.") -> R:
    if not found:
        raise NotFoundError(f"There is no {what} that you can see.", next_step=missing)
    if len(found) > 1:
        raise InvalidInputError(f"There is more than one {what}.", next_step=hint)
    return found[0]
