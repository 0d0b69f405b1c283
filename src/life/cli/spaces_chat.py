"""`life spaces chat`: a channel at the terminal, with what others write above the line one is typing."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import click

from life.aios.errors import LifeError
from life.cli.run import command_errors
from life.cli.spaces_connection import (
    Target,
    connection_options,
    find_channel,
    find_person,
    members_of,
    names_of,
    rows_of,
    with_client,
)
from life.cli.spaces_lines import message_line, name_of
from life.spaces.commands import (
    AddReaction,
    DeleteMessage,
    EditMessage,
    MarkRead,
    SendDirectMessage,
    SendMessage,
)
from life.spaces.errors import SpacesError
from life.spaces.listeners.websocket.client import Snapshot, SpacesClient
from life.spaces.listeners.websocket.frames import TransientFrame, UpdateFrame
from life.spaces.model import Channel, Message

HELP = """\
  text                  write into the channel
  /join CHANNEL         go to another channel        /channels          those that you can read
  /reply MESSAGE text   answer a message             /react MESSAGE 👍   react to it
  /edit MESSAGE text    change your own              /delete MESSAGE    delete it
  /dm @NAME text        write to somebody alone      /who               who is here
  /help                 this                         /quit              leave (also Ctrl-D)"""


@click.command()
@click.argument("channel", default="general")
@connection_options
@click.option("--space", metavar="NAME", help="The space, by name or number.")
@command_errors
def chat(channel: str, data_dir: Path, address: str | None, as_agent: bool, space: str | None) -> None:
    """Talk in a CHANNEL, at the terminal. /help lists what else you can do there."""

    async def work(client: SpacesClient) -> None:
        if space is None and channel == "general":
            found = min(await rows_of(client, Channel, name="general"), key=lambda one: one.id, default=None)
        else:
            found = None
        await _Chat(client, found or await find_channel(client, channel, space)).run()

    with_client(Target(data_dir, address, as_agent), work)


class _Chat:
    def __init__(self, client: SpacesClient, channel: Channel) -> None:
        self._client = client
        self._channel = channel
        self._names: dict[str, str] = {}
        self._reader: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until /quit or the end of the input."""
        await self._client.set_presence("online")
        self._names = await names_of(self._client)
        await self._enter(self._channel)
        try:
            async for line in _lines(lambda: f"#{self._channel.name}> "):
                if line in ("/quit", "/exit"):
                    return
                try:
                    await self._obey(line)
                except LifeError as error:
                    click.echo(f"  ! {error.message}")
        finally:
            await self._leave()

    async def _enter(self, channel: Channel) -> None:
        await self._leave()
        self._channel = channel
        click.echo(f"── #{channel.name}{f': {channel.topic}' if channel.topic else ''}   (/help)")
        self._reader = asyncio.create_task(self._read(channel))

    async def _leave(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError, LifeError):
                await self._reader
            self._reader = None

    async def _read(self, channel: Channel) -> None:
        typing: set[str] = set()
        try:
            async for news in self._client.follow([f"channel:{channel.id}"], latest=25):
                if isinstance(news, TransientFrame):
                    if news.kind == "typing.started" and news.actor not in typing:
                        typing.add(news.actor)
                        click.echo(f"       … {name_of(news.actor, self._names)} is typing")
                    continue
                rows = news.rows if isinstance(news, Snapshot) else news.inserts
                if isinstance(news, UpdateFrame):
                    typing.discard(news.actor)
                if any(isinstance(row, Message) and row.sender not in self._names for row in rows):
                    self._names = await names_of(self._client)
                for row in rows:
                    line = message_line(row, self._names)
                    if line is not None:
                        click.echo(line)
                messages = [row.id for row in rows if isinstance(row, Message) and not row.thread_id]
                if messages:
                    await self._client.call(MarkRead(channel_id=channel.id, message_id=max(messages)))
        except SpacesError as error:
            click.echo(f"  ! #{channel.name} is out of sight: {error.message}")

    async def _obey(self, line: str) -> None:
        if not line.startswith("/"):
            if line.strip():
                await self._client.call(SendMessage(channel_id=self._channel.id, content=line))
            return
        word, _, rest = line.partition(" ")
        first, _, text = rest.strip().partition(" ")
        match word:
            case "/help":
                click.echo(HELP)
            case "/join":
                await self._enter(await find_channel(self._client, rest.strip(), None))
            case "/channels":
                for channel in await rows_of(self._client, Channel):
                    click.echo(f"  {channel.id:>4}  #{channel.name}")
            case "/who":
                await self._who()
            case "/dm":
                person = await find_person(self._client, first)
                await self._client.call(SendDirectMessage(recipient=person.identity, content=text))
            case "/reply" | "/edit" | "/delete" | "/react" if first.isdigit():
                await self._on_message(word, int(first), text)
            case _:
                click.echo("  ! Not that way; /help lists what there is.")

    async def _on_message(self, word: str, message_id: int, text: str) -> None:
        match word:
            case "/reply":
                await self._client.call(SendMessage(channel_id=self._channel.id, content=text, reply_to_id=message_id))
            case "/edit":
                await self._client.call(EditMessage(message_id=message_id, content=text))
            case "/delete":
                await self._client.call(DeleteMessage(message_id=message_id, reason=text or None))
            case _:
                await self._client.call(AddReaction(message_id=message_id, emoji=text.strip()))

    async def _who(self) -> None:
        members = await members_of(self._client, self._channel.space_id)
        here = await self._client.who([member.identity for member in members[:200]])
        states = {one.identity: one for one in here.presences}
        for member in members[:200]:
            presence = states[member.identity]
            if presence.state != "offline":
                status = f"  {presence.status_text}" if presence.status_text else ""
                click.echo(f"  {name_of(member.identity, self._names)} ({member.role.value}, {presence.state}){status}")


async def _lines(prompt: Callable[[], str]) -> AsyncIterator[str]:
    """What is typed, line by line: with prompt_toolkit where it is installed and somebody sits there, else as it comes."""
    if sys.stdin.isatty() and importlib.util.find_spec("prompt_toolkit") is not None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.patch_stdout import patch_stdout

        session: PromptSession[str] = PromptSession()
        with patch_stdout():
            while True:
                try:
                    yield await session.prompt_async(prompt)
                except (EOFError, KeyboardInterrupt):
                    return
    while True:
        line = await asyncio.to_thread(sys.stdin.readline)
        if not line:
            return
        yield line.rstrip("\n")
