"""What is typed into the chat: words for everybody, and commands behind `/`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from life.aios.errors import InvalidInputError
from life.cli.spaces_connection import find_channel, find_person, members_of
from life.cli.spaces_lines import name_of
from life.spaces.commands import AddReaction, DeleteMessage, EditMessage, SendDirectMessage, SendMessage
from life.spaces.model import Message
from life.spaces.queries import Search, Unread

if TYPE_CHECKING:
    from life.cli.spaces_chat import Chat

COMMANDS: Final = {
    "/join": "CHANNEL: go to another channel",
    "/channels": "the channels that you can read, with what is unread",
    "/who": "who is here",
    "/reply": "[MESSAGE] TEXT: answer a message (without a number the newest)",
    "/react": "[MESSAGE] EMOJI: react to a message",
    "/edit": "[MESSAGE] TEXT: change your own (without a number the newest)",
    "/delete": "MESSAGE [REASON]: delete a message",
    "/dm": "@NAME TEXT: write to somebody alone",
    "/search": "TEXT: find messages in this channel",
    "/help": "this list",
    "/quit": "leave (also Ctrl-D)",
}


class ChatCommands:
    """Obeys one line at a time. LifeErrors are shown to whoever typed it."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    async def obey(self, line: str) -> None:
        """What one line says."""
        chat = self._chat
        if not line.startswith("/") or line.startswith("//"):
            if line.strip():
                await chat.client.call(SendMessage(channel_id=self._channel_id, content=line.removeprefix("/")))
            return
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        match word:
            case "/help":
                for name, says in COMMANDS.items():
                    chat.list(f"  {name:<10} {says}")
                chat.say("Alt-Enter begins a new line; a line that begins with // is said with one /.")
            case "/join" if rest:
                await chat.learn()
                await chat.enter(await find_channel(chat.client, rest, None))
            case "/channels":
                await self._channels()
            case "/who":
                await self._who()
            case "/dm":
                await self._dm(rest)
            case "/search" if rest:
                page = await chat.client.query(Search(text=rest, channel_id=self._channel_id, limit=10))
                if not page.rows:
                    chat.say("Nothing says that.")
                chat.show(reversed(page.rows))
            case "/reply" | "/edit" | "/react" if rest:
                await self._on_message(word, rest)
            case "/delete" if rest:
                number, _, reason = rest.partition(" ")
                await chat.client.call(DeleteMessage(message_id=_number(number), reason=reason.strip() or None))
            case _ if word in COMMANDS:
                raise InvalidInputError(f"{word} {COMMANDS[word]}")
            case _:
                near = [name for name in COMMANDS if name.startswith(word[:3])]
                raise InvalidInputError(
                    f"There is no {word}; /help lists what there is." + (f" {near[0]}?" if near else "")
                )

    @property
    def _channel_id(self) -> int:
        channel = self._chat.channel
        assert channel is not None
        return channel.id

    async def _on_message(self, word: str, rest: str) -> None:
        chat = self._chat
        first, _, text = rest.partition(" ")
        if first.isascii() and first.isdigit() and text.strip():
            message_id, text = int(first), text.strip()
        else:
            message_id, text = self._newest(word), rest
        match word:
            case "/reply":
                await chat.client.call(SendMessage(channel_id=self._channel_id, content=text, reply_to_id=message_id))
            case "/edit":
                await chat.client.call(EditMessage(message_id=message_id, content=text))
            case _:
                await chat.client.call(AddReaction(message_id=message_id, emoji=text))

    def _newest(self, word: str) -> int:
        found: Message | None = self._chat.last_own if word == "/edit" else self._chat.last_other
        if found is None:
            raise InvalidInputError(f"Say which message: {word} {COMMANDS[word]}")
        return found.id

    async def _channels(self) -> None:
        chat = self._chat
        await chat.learn()
        unread = {one.channel_id: one for one in (await chat.client.query(Unread())).counts}
        for channel in chat.channels:
            count = unread.get(channel.id)
            news = f"{count.unread} unread" if count is not None and count.unread else ""
            mark = ">" if channel.id == self._channel_id else " "
            chat.list(
                f"{mark} {channel.id:>4}  #{channel.name:<20} {chat.spaces.get(channel.space_id, ''):<16} {news}".rstrip()
            )

    async def _who(self) -> None:
        chat = self._chat
        assert chat.channel is not None
        members = await members_of(chat.client, chat.channel.space_id)
        here = await chat.client.who([member.identity for member in members[:200]])
        states = {one.identity: one for one in here.presences}
        for member in members[:200]:
            presence = states.get(member.identity)
            if presence is not None and presence.state != "offline":
                status = f"  {presence.status_text}" if presence.status_text else ""
                chat.list(
                    f"  {name_of(member.identity, chat.names):<20} {member.role.value:<10} {presence.state}{status}"
                )
        if len(members) > 200:
            chat.say(f"… of the first 200 of {len(members)} members.")

    async def _dm(self, rest: str) -> None:
        name, _, text = rest.partition(" ")
        if not name or not text.strip():
            raise InvalidInputError(f"/dm {COMMANDS['/dm']}")
        person = await find_person(self._chat.client, name)
        await self._chat.client.call(SendDirectMessage(recipient=person.identity, content=text.strip()))


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise InvalidInputError(f"{text!r} is no message's number; it stands behind the message.")
    return int(text)
