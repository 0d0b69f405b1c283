"""`life spaces chat`: a channel at the terminal, with what others write above the line one is typing."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Final

import click
from rich.text import Text

from life.aios.errors import LifeError
from life.aios.ports.clock import Clock
from life.cli.run import command_errors
from life.cli.shell.words import glyphs_for
from life.cli.spaces_chat_commands import COMMANDS, ChatCommands
from life.cli.spaces_chat_view import ChatView
from life.cli.spaces_connection import (
    Target,
    connection_options,
    find_channel,
    members_of,
    names_of,
    rows_of,
    with_client,
)
from life.cli.spaces_lines import name_of
from life.host.clock import SystemClock
from life.spaces.commands import MarkRead, StartTyping, StopTyping
from life.spaces.errors import SpacesError
from life.spaces.listeners.websocket.client import Snapshot, SpacesClient
from life.spaces.listeners.websocket.frames import TransientFrame, UpdateFrame
from life.spaces.model import Channel, DirectMessage, Message, Participant, Reaction, Row, Space, Tombstone
from life.spaces.queries import Unread

_TYPING_US: Final = 8_000_000
_TELL_TYPING_US: Final = 4_000_000
_LOOK_EVERY_S: Final = 15
_PIPE_WIDTH: Final = 10_000


@click.command()
@click.argument("channel", default="general")
@connection_options
@click.option("--space", metavar="NAME", help="The space, by name or number.")
@command_errors
def chat(channel: str, data_dir: Path, address: str | None, as_agent: bool, space: str | None) -> None:
    """Talk in a CHANNEL, at the terminal.

    /help there lists what else you can do; Tab completes. For programs there are `watch --json` and `send`.
    Example: life spaces chat plans --space Lab
    """

    async def work(client: SpacesClient) -> None:
        found = None
        if space is None and channel == "general":
            found = min(await rows_of(client, Channel, name="general"), key=lambda one: one.id, default=None)
        await Chat(client, SystemClock()).run(found or await find_channel(client, channel, space))

    with_client(Target(data_dir, address, as_agent), work)


class Chat:
    """One person's chat: the channel they are in, and direct messages wherever they are."""

    def __init__(self, client: SpacesClient, clock: Clock) -> None:
        self.client = client
        self._clock = clock
        self.names: dict[str, str] = {}
        self.channel: Channel | None = None
        self.channels: list[Channel] = []
        self.me = "" if client.welcome is None else client.welcome.identity
        self.last_own: Message | None = None
        self.last_other: Message | None = None
        self.spaces: dict[int, str] = {}
        self._partners: dict[int, str] = {}
        self._view = ChatView(self.names, self.me, glyphs_for(sys.stdout), partners=self._partners)
        self._commands = ChatCommands(self)
        self._readers: list[asyncio.Task[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._typing: dict[str, int] = {}
        self._draft = self._told_draft = ""
        self._told_typing_us = -_TELL_TYPING_US
        self._here = 0
        self._unread = 0
        self._width: Callable[[], int] = lambda: _PIPE_WIDTH
        self._print: Callable[[Sequence[Text]], None] = _print_plainly
        self._refresh: Callable[[], None] = lambda: None

    async def run(self, channel: Channel) -> None:
        """Until /quit or the end of the input."""
        lines = self._open_screen()
        await self.client.set_presence("online")
        await self.learn()
        await self.enter(channel)
        self._readers.append(asyncio.create_task(self._read_alone()))
        looking = asyncio.create_task(self._look_after())
        try:
            async with aclosing(lines):
                async for line in lines:
                    if line.strip() in ("/quit", "/exit"):
                        return
                    try:
                        await self._commands.obey(line)
                    except LifeError as error:
                        self.say(error.message, bad=True)
                    except TimeoutError:
                        self.say("The server does not answer.", bad=True)
        finally:
            for task in (looking, *self._readers, *self._tasks):
                task.cancel()
            await asyncio.gather(looking, *self._readers, *self._tasks, return_exceptions=True)

    def _open_screen(self) -> AsyncGenerator[str, None]:
        """Where lines come from and go: a terminal with prompt_toolkit, or streams."""
        from life.cli.spaces_chat_lines import plain_lines

        terminal = sys.stdin.isatty() and sys.stdout.isatty()
        if not terminal or importlib.util.find_spec("prompt_toolkit") is None:
            return plain_lines()
        from life.cli.spaces_chat_screen import ChatScreen

        screen = ChatScreen(self)
        self._width, self._print, self._refresh = (lambda: screen.width), screen.show, screen.refresh
        return screen.lines()

    # ── what the screen asks ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def prompt(self) -> str:
        """See Talk."""
        return "" if self.channel is None else f"#{self.channel.name}> "

    @property
    def status(self) -> str:
        """See Talk."""
        if self.channel is None:
            return ""
        now_us = self._clock.monotonic_us()
        typing = [name_of(who, self.names) for who, until_us in self._typing.items() if until_us > now_us]
        parts = [self.spaces.get(self.channel.space_id, ""), f"{self._here} here" if self._here else ""]
        if not self.client.is_connected:
            parts.append("offline, trying again")
        if typing:
            parts.append(f"{', '.join(typing[:3])} {'is' if len(typing) == 1 else 'are'} typing")
        if self._unread:
            parts.append(f"{self._unread} unread elsewhere")
        return "  " + " · ".join(part for part in [*parts, "/help"] if part)

    def words(self, before: str) -> Iterable[tuple[str, str]]:
        """See Talk."""
        word = before.rpartition(" ")[2]
        if before.startswith("/") and " " not in before:
            yield from ((name, says) for name, says in COMMANDS.items() if name.startswith(before))
        elif before.startswith("/join "):
            plain = word.removeprefix("#").casefold()
            for channel in self.channels:
                if channel.name.casefold().startswith(plain):
                    yield f"#{channel.name}", self.spaces.get(channel.space_id, "")
        elif word.startswith("@"):
            plain = word[1:].casefold()
            yield from ((f"@{name}", "") for name in sorted(self.names.values()) if name.casefold().startswith(plain))

    def typed(self, text: str) -> None:
        """See Talk. Others are told, now and then, that somebody writes."""
        self._draft = text.strip() if not text.startswith("/") else ""
        self._tell_draft()

    def _tell_draft(self) -> None:
        """Once for what is typed now, and no more often than the server takes it."""
        now_us = self._clock.monotonic_us()
        due = now_us - self._told_typing_us >= _TELL_TYPING_US
        if self.channel is None or self._draft == self._told_draft:
            return
        if not self._draft:
            self._told_draft = ""
            self._spawn(self._tell_typing(StopTyping(channel_id=self.channel.id)))
        elif due:
            self._told_typing_us, self._told_draft = now_us, self._draft
            self._spawn(self._tell_typing(StartTyping(channel_id=self.channel.id)))

    async def _tell_typing(self, command: StartTyping | StopTyping) -> None:
        with suppress(LifeError, TimeoutError):
            await self.client.call(command)

    # ── what is shown ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def say(self, words: str, *, bad: bool = False) -> None:
        """A word of the program's own."""
        self._print(self._view.note(words, self._width(), bad=bad))

    def list(self, words: str) -> None:
        """A line of a list."""
        self._print(self._view.table(words, self._width()))

    def show(self, rows: Iterable[Row]) -> None:
        """Messages and what happened to them."""
        width = self._width()
        self._print([line for row in rows for line in self._view.row(row, width)])

    async def learn(self) -> None:
        """Names, channels and spaces, as they are now."""
        self.names.update(await names_of(self.client))
        self.channels = sorted(await rows_of(self.client, Channel), key=lambda one: (one.space_id, one.position))
        self.spaces = {space.id: space.name for space in await rows_of(self.client, Space)}

    async def enter(self, channel: Channel) -> None:
        """Go into a channel: its newest messages, then what comes."""
        if self.channel is not None:
            reader = self._readers.pop(0)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        self.channel = channel
        self.last_own = self.last_other = None
        self._typing.clear()
        self._view.begin()
        heading = self._view.heading(
            channel.name, self.spaces.get(channel.space_id, ""), channel.topic or "", self._width()
        )
        self._print(heading)
        self._readers.insert(0, asyncio.create_task(self._read(channel)))
        await self._look()

    # ── what comes ────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _read(self, channel: Channel) -> None:
        try:
            async for news in self.client.follow([f"channel:{channel.id}"], latest=25):
                if isinstance(news, TransientFrame):
                    self._take_typing(news, channel)
                    continue
                rows = list(news.rows if isinstance(news, Snapshot) else news.inserts)
                if isinstance(news, UpdateFrame):
                    self._typing.pop(news.actor, None)
                    if any(isinstance(row, Channel) for row in rows):
                        await self.learn()
                shown: list[Message | Tombstone | Reaction]
                if isinstance(news, Snapshot):
                    shown = [*sorted((row for row in rows if isinstance(row, Message | Tombstone)), key=_place)]
                else:
                    shown = [row for row in rows if isinstance(row, Message | Tombstone | Reaction)]
                await self._take(shown, channel)
        except SpacesError as error:
            self.say(f"#{channel.name} is out of sight: {error.message}", bad=True)

    async def _take(self, rows: Sequence[Message | Tombstone | Reaction], channel: Channel) -> None:
        messages = [row for row in rows if isinstance(row, Message)]
        if any(row.sender not in self.names for row in messages):
            self.names.update(await names_of(self.client))
        for row in messages:
            if row.sender == self.me:
                self.last_own = row
            else:
                self.last_other = row
        self.show(rows)
        read = [row.id for row in messages if not row.thread_id]
        if read:
            with suppress(LifeError, TimeoutError):
                await self.client.call(MarkRead(channel_id=channel.id, message_id=max(read)))

    def _take_typing(self, news: TransientFrame, channel: Channel) -> None:
        if news.channel_id != channel.id or news.actor == self.me:
            return
        if news.kind == "typing.started":
            self._typing[news.actor] = self._clock.monotonic_us() + _TYPING_US
        elif news.kind == "typing.stopped":
            self._typing.pop(news.actor, None)
        self._refresh()

    async def _read_alone(self) -> None:
        """Direct messages, whatever channel one is in."""
        with suppress(SpacesError):
            async for news in self.client.follow(["dm:self"], latest=0):
                if isinstance(news, UpdateFrame):
                    fresh = [row for row in news.inserts if isinstance(row, DirectMessage) and not row.sealed]
                    if any(row.sender not in self.names for row in fresh):
                        self.names.update(await names_of(self.client))
                    if any(row.conversation_id not in self._partners for row in fresh):
                        await self._learn_partners()
                    self.show(fresh)

    async def _learn_partners(self) -> None:
        found: dict[int, list[str]] = {}
        for row in await rows_of(self.client, Participant):
            if row.identity != self.me:
                found.setdefault(row.conversation_id, []).append(name_of(row.identity, self.names))
        self._partners.update({place: ", ".join(sorted(names)) for place, names in found.items()})

    # ── the line of status ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _look_after(self) -> None:
        seconds = 0
        while True:
            await self._clock.sleep_us(1_000_000)
            seconds += 1
            self._tell_draft()
            self._refresh()
            if seconds % _LOOK_EVERY_S == 0:
                with suppress(LifeError, TimeoutError, ConnectionError):
                    await self._look()

    async def _look(self) -> None:
        channel = self.channel
        if channel is None:
            return
        members = await members_of(self.client, channel.space_id)
        here = (await self.client.who([member.identity for member in members[:200]])).presences
        counts = (await self.client.query(Unread())).counts
        self._here = sum(one.state != "offline" for one in here)
        self._unread = sum(one.unread for one in counts if one.channel_id != channel.id)
        self._refresh()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _place(row: Message | Tombstone) -> int:
    return row.id if isinstance(row, Message) else row.message_id


def _print_plainly(lines: Sequence[Text]) -> None:
    for line in lines:
        click.echo(line.plain)
    sys.stdout.flush()
