"""Deleting what has something in it: nothing is left behind (W14)."""

from __future__ import annotations

from typing import Final

from life.spaces.model import (
    Audit,
    Ban,
    Channel,
    Invite,
    Member,
    Mention,
    Message,
    MessageEdit,
    Mute,
    Override,
    Pin,
    Reaction,
    ReadState,
    Report,
    Row,
    SlowMode,
    Space,
    Thread,
    Tombstone,
    VoiceMember,
)
from life.spaces.reducers.transaction import Transaction

_OF_CHANNEL: Final[tuple[type[Row], ...]] = (Override, Thread, Pin, ReadState, SlowMode, VoiceMember, Mute)
_OF_MESSAGE: Final[tuple[type[Row], ...]] = (Reaction, Mention, MessageEdit, Report)
_OF_SPACE: Final[tuple[type[Row], ...]] = (Invite, Ban, Mute, Report, Member)


def remove_message(tx: Transaction, message: Message) -> None:
    """A message with what hangs on it, edits included."""
    for table in _OF_MESSAGE:
        for row in tx.find(table, ("message_id",), message.id):
            tx.remove(row)
    tx.remove(message)


def remove_channel(tx: Transaction, channel: Channel) -> None:
    """A channel with its messages, threads, overrides, pins, read states and mutes."""
    for key in list(tx.state.ordered(Message, ("channel_id",), channel.id)):
        message = tx.get(Message, key)
        if message is not None:
            remove_message(tx, message)
    for key in list(tx.state.ordered(Tombstone, ("channel_id",), channel.id)):
        stone = tx.get(Tombstone, key)
        if stone is not None:
            tx.remove(stone)
    for table in _OF_CHANNEL:
        for row in tx.find(table, ("channel_id",), channel.id):
            tx.remove(row)
    tx.remove(channel)


def remove_space(tx: Transaction, space: Space) -> None:
    """A space with its channels, members, invites, bans, mutes, reports and moderation log."""
    for channel in tx.find(Channel, ("space_id",), space.id):
        remove_channel(tx, channel)
    for table in _OF_SPACE:
        for row in tx.find(table, ("space_id",), space.id):
            tx.remove(row)
    for key in list(tx.state.ordered(Audit, ("space_id",), space.id)):
        line = tx.get(Audit, key)
        if line is not None:
            tx.remove(line)
    tx.remove(space)


def remove_member(tx: Transaction, member: Member) -> None:
    """A membership with what goes with it: read states, voice rosters and overrides for this identity in the space's channels."""
    channels = {channel.id for channel in tx.find(Channel, ("space_id",), member.space_id)}
    for read in tx.find(ReadState, ("identity",), member.identity):
        if read.channel_id in channels:
            tx.remove(read)
    for voice in tx.find(VoiceMember, ("identity",), member.identity):
        if voice.channel_id in channels:
            tx.remove(voice)
    for channel_id in sorted(channels):
        slow = tx.get(SlowMode, (channel_id, member.identity))
        if slow is not None:
            tx.remove(slow)
        for override in tx.find(Override, ("channel_id",), channel_id):
            if override.subject == f"identity:{member.identity}":
                tx.remove(override)
    tx.remove(member)
