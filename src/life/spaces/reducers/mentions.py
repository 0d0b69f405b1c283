"""Whom a text names: `@name`, `@everyone`, `@role:Moderator`, `#channel`. Parsed when it is sent, kept in a table of their own."""

from __future__ import annotations

import re
from typing import Final

from life.spaces.model import Block, Channel, Member, Mention, Message, Profile
from life.spaces.permissions import Permission
from life.spaces.reducers.access import name_of, notify
from life.spaces.reducers.transaction import Transaction
from life.spaces.validation import username_key
from life.spaces.visibility import allows, can_read_channel

MAX_MENTIONS: Final = 20
_USER: Final = re.compile(r"(?<![\w@])@([^\W_][\w.\-]{0,31})")
_ROLE: Final = re.compile(r"(?<![\w@])@role:(Owner|Admin|Moderator|Member|Agent)\b")
_CHANNEL: Final = re.compile(r"(?<![\w#])#(\w[\w\-]{0,99})")
_PREVIEW: Final = 120


def find_mentions(tx: Transaction, message: Message, member: Member) -> list[Mention]:
    """The mentions of a message: members of the space, roles and channels that exist. `@everyone` and roles count only from those who may."""
    text = message.content
    if "@" not in text and "#" not in text:
        return []
    found: dict[tuple[str, str], None] = {}
    many = allows(
        tx.state, member, Permission.MENTION_EVERYONE, channel_id=message.channel_id, ceiling=tx.caller.ceiling
    )
    if many:
        found.update({("role", name): None for name in _ROLE.findall(text)})
    for name in _USER.findall(text)[: 4 * MAX_MENTIONS]:
        if name == "everyone":
            if many:
                found["everyone", "everyone"] = None
            continue
        identity = _identity_of(tx, name, message.space_id)
        if identity is not None:
            found["user", identity] = None
    if "#" in text:
        channels = {channel.name: channel.id for channel in tx.find(Channel, ("space_id",), message.space_id)}
        found.update({("channel", str(channels[name])): None for name in _CHANNEL.findall(text) if name in channels})
    return [
        Mention(
            message_id=message.id,
            kind=kind,  # type: ignore[arg-type]  # one of the four words above
            target=target,
            space_id=message.space_id,
            channel_id=message.channel_id,
        )
        for kind, target in list(found)[:MAX_MENTIONS]
    ]


def _identity_of(tx: Transaction, name: str, space_id: int) -> str | None:
    for spelled in (name, name.rstrip(".-")):  # "ask @bob." names bob
        for profile in tx.find(Profile, ("username_key",), username_key(spelled)):
            if tx.get(Member, (space_id, profile.identity)) is not None:
                return profile.identity
    return None


def notify_mentioned(tx: Transaction, message: Message, mentions: list[Mention], channel: Channel) -> None:
    """An inbox entry for each member who is named, reads the channel, and has not blocked the sender."""
    for mention in mentions:
        if mention.kind != "user" or mention.target == message.sender:
            continue
        if not can_read_channel(tx.state, mention.target, channel):
            continue
        if tx.get(Block, (mention.target, message.sender)) is not None:
            continue
        title = f"{name_of(tx, message.sender)} mentioned you in #{channel.name}"
        notify(tx, mention.target, "mention", title, body=message.content[:_PREVIEW], ref=f"message:{message.id}")
