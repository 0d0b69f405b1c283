"""Tools that say something. What a call makes has an id that follows from the call, so that making it again makes it once."""

from __future__ import annotations

import msgspec

from life.aios.errors import ToolError
from life.aios.json import Json
from life.aios.ports.tools import ToolContext
from life.spaces.agent_events import AgentEventBody
from life.spaces.commands import AddReaction, CreateChannel, CreateThread, LogEvent, SendDirectMessage, SendMessage
from life.spaces.errors import AlreadyExistsError
from life.spaces.hiring.peers import rows_of, shown
from life.spaces.model import Channel, ChannelType, DirectMessage, Message, Reaction, Row, Thread
from life.spaces.signatures import place_of
from life.spaces.tools.arguments import (
    CreateChannelArguments,
    LogEventArguments,
    React,
    ReplyInThread,
    SendDm,
    SendMessageArguments,
)
from life.spaces.tools.room import Room, client_id
from life.spaces.tools.telling import LONG, JsonMap, Told, cut, peer_ref

_TYPES = {
    "text": ChannelType.TEXT,
    "announcement": ChannelType.ANNOUNCEMENT,
    "agent_log": ChannelType.AGENT_LOG,
    "voice": ChannelType.VOICE,
}


async def create_channel(room: Room, given: CreateChannelArguments, context: ToolContext) -> Told:
    """A channel."""
    seat = await room.open_seat()
    command = CreateChannel(server_id=given.space, name=given.name, channel_type=_TYPES[given.type], topic=given.topic)
    row = (await seat.submit(command, key=client_id(context))).row
    if not isinstance(row, Channel):
        raise ToolError("The channel was made, and is gone again.")
    told: JsonMap = {"channel_id": row.id, "name": row.name}
    return Told(told, (("channel_created", {"space_id": row.space_id, **told}),))


async def send_message(room: Room, given: SendMessageArguments, context: ToolContext) -> Told:
    """A message."""
    seat = await room.open_seat()
    channel = await room.channel(seat, given.channel, given.space)
    outcome = await seat.submit(
        SendMessage(
            channel_id=channel.id,
            content=given.content,
            reply_to_id=given.reply_to_id,
            client_id=client_id(context),
        )
    )
    return sent(outcome.row, channel.name)


async def sent_before(room: Room, given: SendMessageArguments, context: ToolContext) -> Told | None:
    """The message of an interrupted call, when it was sent."""
    seat = await room.open_seat()
    channel = await room.channel(seat, given.channel, given.space)
    row = await _own_message(room, channel.id, context)
    return None if row is None else sent(row, channel.name)


def sent(row: Row | None, channel: str) -> Told:
    """A message that stands."""
    if not isinstance(row, Message):
        raise ToolError("The message was sent, and is deleted again.")
    told: JsonMap = {"message_id": row.id, "channel_id": row.channel_id, "thread_id": row.thread_id}
    note: JsonMap = {
        "space_id": row.space_id,
        **told,
        "channel": channel,
        "text": cut(row.content, LONG),
        "at_us": row.created_us,
    }
    return Told(told, (("message_sent", note),))


async def reply_in_thread(room: Room, given: ReplyInThread, context: ToolContext) -> Told:
    """A message in a thread, or a thread with its first message."""
    seat = await room.open_seat()
    if given.thread_id is not None:
        rows = await rows_of(seat, "thread", {"id": given.thread_id})
        if not rows or not isinstance(rows[0], Thread):
            raise ToolError("There is no such thread here.")
        channel = await room.channel(seat, rows[0].channel_id, given.space)
        command = SendMessage(
            channel_id=channel.id,
            thread_id=given.thread_id,
            content=given.content,
            client_id=client_id(context),
        )
        return sent((await seat.submit(command)).row, channel.name)
    if given.channel is None or given.name is None:
        raise ToolError("Give a thread_id, or a channel and a name to open a thread.")
    channel = await room.channel(seat, given.channel, given.space)
    opened = CreateThread(channel_id=channel.id, name=given.name, content=given.content, client_id=client_id(context))
    row = (await seat.submit(opened)).row
    if not isinstance(row, Thread):
        raise ToolError("The thread was opened, and is gone again.")
    told: JsonMap = {"message_id": row.opener_id, "channel_id": row.channel_id, "thread_id": row.id}
    note: JsonMap = {
        "space_id": row.space_id,
        **told,
        "channel": channel.name,
        "text": cut(given.content, LONG),
        "at_us": row.created_us,
    }
    return Told(told, (("message_sent", note),))


async def react(room: Room, given: React, context: ToolContext) -> Told:
    """A reaction; one that stands already is as good."""
    seat = await room.open_seat()
    try:
        row = (
            await seat.submit(AddReaction(message_id=given.message_id, emoji=given.emoji), key=client_id(context))
        ).row
    except AlreadyExistsError:
        row = None
    emoji = row.emoji if isinstance(row, Reaction) else given.emoji
    return Told({"message_id": given.message_id, "emoji": emoji})


async def send_dm(room: Room, given: SendDm, context: ToolContext) -> Told:
    """A direct message."""
    seat = await room.open_seat()
    profile = await room.people.resolve(seat, given.peer)
    command = SendDirectMessage(recipient=profile.identity, content=given.content, client_id=client_id(context))
    return dm_sent((await seat.submit(command)).row, peer_ref(shown(profile)))


async def dm_before(room: Room, given: SendDm, context: ToolContext) -> Told | None:
    """The direct message of an interrupted call, when it was sent."""
    seat = await room.open_seat()
    where: dict[str, int | str | bool] = {"sender": seat.identity, "client_id": client_id(context)}
    rows = await rows_of(seat, "direct_message", where)
    if not rows:
        return None
    return dm_sent(rows[0], peer_ref(shown(await room.people.resolve(seat, given.peer))))


def dm_sent(row: Row | None, peer: JsonMap) -> Told:
    """A direct message that stands."""
    if not isinstance(row, DirectMessage):
        raise ToolError("The message was sent, and is deleted again.")
    told: JsonMap = {"message_id": row.id, "conversation_id": row.conversation_id, "peer": peer}
    note: JsonMap = {**told, "text": cut(row.content, LONG), "at_us": row.created_us}
    return Told(told, (("dm_sent", note),))


async def log_event(room: Room, given: LogEventArguments, context: ToolContext) -> Told:
    """A signed event in an agent log."""
    seat = await room.open_seat()
    channel = await room.channel(seat, given.channel, given.space)
    row = await log_into(room, channel, context, kind=given.kind, data=given.data, severity=given.severity)
    told: JsonMap = {"message_id": row.id, "channel_id": row.channel_id}
    return Told(told, (("logged", {**told, "kind": given.kind, "severity": given.severity}),))


async def log_into(
    room: Room, channel: Channel, context: ToolContext, *, kind: str, data: dict[str, Json], severity: str
) -> Message:
    """Write it, once per call."""
    seat = await room.open_seat()
    mine = await room.people.profile(seat, seat.identity)
    body = msgspec.convert(
        {
            "kind": kind,
            "agent": mine.username,
            "run_id": context.run_id,
            "session_id": context.session_id,
            "severity": severity,
            "data": data,
        },
        AgentEventBody,
    )
    content = msgspec.json.encode(body).decode()
    written = client_id(context)
    signature = await seat.sign(place_of(channel_id=channel.id), written, content)
    outcome = await seat.submit(
        LogEvent(channel_id=channel.id, content=content, client_id=written, signature=signature)
    )
    if not isinstance(outcome.row, Message):
        raise ToolError("The event was written, and is gone again.")
    return outcome.row


async def logged_before(room: Room, given: LogEventArguments, context: ToolContext) -> Told | None:
    """The event of an interrupted call, when it was written."""
    seat = await room.open_seat()
    channel = await room.channel(seat, given.channel, given.space)
    row = await _own_message(room, channel.id, context)
    if row is None:
        return None
    told: JsonMap = {"message_id": row.id, "channel_id": row.channel_id}
    return Told(told, (("logged", {**told, "kind": given.kind, "severity": given.severity}),))


async def _own_message(room: Room, channel_id: int, context: ToolContext) -> Message | None:
    seat = await room.open_seat()
    where: dict[str, int | str | bool] = {
        "channel_id": channel_id,
        "sender": seat.identity,
        "client_id": client_id(context),
    }
    rows = await rows_of(seat, "message", where)
    return rows[0] if rows and isinstance(rows[0], Message) else None
