"""Channels: make, name, order, restrict, delete."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET, structs

from life.spaces.commands import (
    CreateChannel,
    DeleteChannel,
    MoveChannel,
    SetChannelOverride,
    SetChannelType,
    SetSlowMode,
    UpdateChannel,
)
from life.spaces.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    RoleRankError,
    SpacesConflictError,
    WrongChannelTypeError,
)
from life.spaces.identity import check_identity
from life.spaces.model import TAKES_TEXT, Channel, Member, MessageType, Override, Role
from life.spaces.permissions import IN_CHANNEL, Permission
from life.spaces.reducers.access import audit, channel_of, member_of, name_of, require, require_rank
from life.spaces.reducers.cascades import remove_channel
from life.spaces.reducers.server_messages import write_notice
from life.spaces.reducers.transaction import Transaction
from life.spaces.validation import MAX_TOPIC, check_name, check_number, check_optional

MAX_CHANNELS: Final = 500
"""Channels of one space."""
MAX_OVERRIDES: Final = 200
"""Overrides of one channel."""
MAX_SLOW_MODE_S: Final = 6 * 3600


def create_channel(command: CreateChannel, tx: Transaction) -> Channel:
    """A channel at the end of the list; names are unique within the space."""
    member = member_of(tx, command.server_id)
    require(tx, member, Permission.CHANNEL_MANAGE)
    name = check_name(command.name, what="channel's name")
    topic = check_optional(command.topic, MAX_TOPIC, what="topic")
    siblings = tx.find(Channel, ("space_id",), member.space_id)
    if len(siblings) >= MAX_CHANNELS:
        raise SpacesConflictError(f"A space has at most {MAX_CHANNELS} channels.")
    _require_free(siblings, name, 0)
    channel = tx.put(
        Channel(
            id=tx.next_id(Channel),
            space_id=member.space_id,
            name=name,
            topic=topic,
            channel_type=command.channel_type,
            position=max((sibling.position for sibling in siblings), default=-1) + 1,
            created_us=tx.now_us,
        )
    )
    audit(tx, member.space_id, "channel.create", f"channel:{channel.id}", after=name)
    tx.emit("channel.created", space_id=member.space_id, channel_id=channel.id)
    return channel


def _require_free(siblings: list[Channel], name: str, own_id: int) -> None:
    wanted = name.casefold()
    if any(sibling.id != own_id and sibling.name.casefold() == wanted for sibling in siblings):
        raise AlreadyExistsError("The space has a channel of this name.")


def update_channel(command: UpdateChannel, tx: Transaction) -> Channel:
    """Another name, another topic; each with its own permission."""
    channel, member = channel_of(tx, command.channel_id)
    changed = channel
    if command.name is UNSET and command.topic is UNSET:
        require(tx, member, Permission.CHANNEL_SETTINGS, channel_id=channel.id)
    if command.name is not UNSET:
        require(tx, member, Permission.CHANNEL_MANAGE)
        name = check_name(command.name, what="channel's name")
        _require_free(tx.find(Channel, ("space_id",), channel.space_id), name, channel.id)
        changed = structs.replace(changed, name=name)
    if command.topic is not UNSET:
        require(tx, member, Permission.CHANNEL_SETTINGS, channel_id=channel.id)
        changed = structs.replace(changed, topic=check_optional(command.topic, MAX_TOPIC, what="topic"))
    _changed(tx, channel, changed, "channel.update")
    who = name_of(tx, member.identity)
    if changed.name != channel.name and changed.channel_type in TAKES_TEXT:
        write_notice(
            tx, channel.space_id, MessageType.SYSTEM, f"{who} renamed the channel to {changed.name}", channel=changed
        )
    if changed.topic != channel.topic and changed.channel_type in TAKES_TEXT:
        words = f"{who} cleared the topic" if changed.topic is None else f"{who} set the topic: {changed.topic}"
        write_notice(tx, channel.space_id, MessageType.SYSTEM, words, channel=changed)
    return changed


def set_slow_mode(command: SetSlowMode, tx: Transaction) -> Channel:
    """At most one message per member and so many seconds."""
    channel, member = channel_of(tx, command.channel_id)
    require(tx, member, Permission.CHANNEL_SETTINGS, channel_id=channel.id)
    check_number(command.seconds, what="slow mode", most=MAX_SLOW_MODE_S)
    return _changed(tx, channel, structs.replace(channel, slow_mode_s=command.seconds), "channel.slow_mode")


def set_channel_type(command: SetChannelType, tx: Transaction) -> Channel:
    """Text becomes Announcement and back; the others are what they are."""
    channel, member = channel_of(tx, command.channel_id)
    require(tx, member, Permission.CHANNEL_MANAGE)
    if channel.channel_type not in TAKES_TEXT or command.channel_type not in TAKES_TEXT:
        raise WrongChannelTypeError("Only Text and Announcement channels change into each other.")
    return _changed(tx, channel, structs.replace(channel, channel_type=command.channel_type), "channel.type")


def _changed(tx: Transaction, before: Channel, after: Channel, action: str) -> Channel:
    if before != after:
        tx.put(after)
        audit(tx, after.space_id, action, f"channel:{after.id}", before=_told(before), after=_told(after))
        tx.emit("channel.updated", space_id=after.space_id, channel_id=after.id)
    return after


def _told(channel: Channel) -> str:
    return f"{channel.name} ({channel.channel_type.value}, slow mode {channel.slow_mode_s} s)"


def move_channel(command: MoveChannel, tx: Transaction) -> Channel:
    """Put a channel at another place; the positions of the space are 0.. without gaps afterwards."""
    channel, member = channel_of(tx, command.channel_id)
    require(tx, member, Permission.CHANNEL_MANAGE)
    siblings = sorted(
        tx.find(Channel, ("space_id",), channel.space_id), key=lambda sibling: (sibling.position, sibling.id)
    )
    check_number(command.position, what="position", most=len(siblings) - 1)
    others = [sibling for sibling in siblings if sibling.id != channel.id]
    others.insert(command.position, channel)
    moved = channel
    anything = False
    for position, sibling in enumerate(others):
        if sibling.position != position:
            placed = tx.put(structs.replace(sibling, position=position))
            anything = True
            moved = placed if sibling.id == channel.id else moved
    if anything:
        audit(tx, channel.space_id, "channel.move", f"channel:{channel.id}", after=str(command.position))
        tx.emit("channel.updated", space_id=channel.space_id, channel_id=channel.id)
    return moved


def set_channel_override(command: SetChannelOverride, tx: Transaction) -> Override | None:
    """One permission of one role or identity below one's own level, in one channel."""
    channel, member = channel_of(tx, command.channel_id)
    require(tx, member, Permission.CHANNEL_MANAGE)
    if command.permission not in {permission.value for permission in IN_CHANNEL}:
        raise InvalidArgumentError("This permission is not one that a channel can override.")
    _check_subject(tx, command.subject, member)
    if command.effect == "allow" and member.role is not Role.OWNER:
        # Nobody gives away what they do not have themselves.
        require(tx, member, Permission(command.permission), channel_id=channel.id)
    key = (channel.id, command.subject, command.permission)
    known = tx.get(Override, key)
    if command.effect is None:
        if known is None:
            return None
        tx.remove(known)
        changed = None
    else:
        if known is None and tx.state.count(Override, ("channel_id",), channel.id) >= MAX_OVERRIDES:
            raise SpacesConflictError(f"A channel has at most {MAX_OVERRIDES} overrides.")
        changed = Override(
            channel_id=channel.id,
            space_id=channel.space_id,
            subject=command.subject,
            permission=command.permission,
            effect=command.effect,
        )
        if changed == known:
            return known
        tx.put(changed)
    audit(
        tx,
        channel.space_id,
        "channel.override",
        f"channel:{channel.id}",
        before=None if known is None else known.effect,
        after=f"{command.subject} {command.permission} {command.effect or 'inherit'}",
    )
    tx.emit("channel.updated", space_id=channel.space_id, channel_id=channel.id)
    return changed


def _check_subject(tx: Transaction, subject: str, member: Member) -> None:
    kind, _, name = subject.partition(":")
    if kind == "role":
        if name not in {role.value for role in Role}:
            raise InvalidArgumentError("There is no such role.")
        require_rank(member, Role(name))
    elif kind == "identity":
        target = tx.get(Member, (member.space_id, check_identity(name)))
        if target is None:
            raise InvalidArgumentError("They are not a member of this space.")
        if target.identity == member.identity:
            raise RoleRankError("Nobody makes exceptions for themselves.")
        require_rank(member, target.role)
    else:
        raise InvalidArgumentError("The subject looks like role:Member or identity:<hex>.")


def delete_channel(command: DeleteChannel, tx: Transaction) -> None:
    """Delete with everything in it."""
    channel, member = channel_of(tx, command.channel_id)
    require(tx, member, Permission.CHANNEL_MANAGE)
    remove_channel(tx, channel)
    audit(tx, channel.space_id, "channel.delete", f"channel:{channel.id}", before=channel.name)
    tx.emit("channel.deleted", space_id=channel.space_id, channel_id=channel.id)


REDUCERS: Final = {
    CreateChannel: create_channel,
    UpdateChannel: update_channel,
    SetSlowMode: set_slow_mode,
    SetChannelType: set_channel_type,
    MoveChannel: move_channel,
    SetChannelOverride: set_channel_override,
    DeleteChannel: delete_channel,
}
