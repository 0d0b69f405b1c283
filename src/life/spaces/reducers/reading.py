"""How far somebody has read. Read states only move forward (W12)."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from life.spaces.commands import MarkNotificationRead, MarkRead
from life.spaces.errors import SpacesNotFoundError
from life.spaces.model import Notification, ReadState
from life.spaces.reducers.access import channel_of
from life.spaces.reducers.transaction import Transaction


def mark_read(command: MarkRead, tx: Transaction) -> ReadState:
    """Up to a message of this channel or thread."""
    channel, member = channel_of(tx, command.channel_id)
    message = tx.state.message_at(command.message_id)
    if message is None or message.channel_id != channel.id or message.thread_id != command.thread_id:
        raise SpacesNotFoundError("There is no such message here.")
    known = tx.get(ReadState, (member.identity, channel.id, command.thread_id))
    if known is not None and known.last_read_id >= command.message_id:
        return known
    state = tx.put(
        ReadState(
            identity=member.identity,
            channel_id=channel.id,
            thread_id=command.thread_id,
            last_read_id=command.message_id,
        )
    )
    tx.emit("read.advanced", channel_id=channel.id)
    return state


def mark_notification_read(command: MarkNotificationRead, tx: Transaction) -> Notification | None:
    """One inbox entry, or all of them."""
    mine = tx.caller.identity
    if command.notification_id:
        entry = tx.get(Notification, command.notification_id)
        if entry is None or entry.target != mine:
            raise SpacesNotFoundError("There is no such notification.")
        entries = [entry]
    else:
        keys = tx.state.ordered(Notification, ("target",), mine)
        entries = [entry for key in keys if (entry := tx.get(Notification, key)) is not None]
    last: Notification | None = entries[-1] if entries else None
    changed = [entry for entry in entries if entry.read_us is None]
    for entry in changed:
        last = tx.put(structs.replace(entry, read_us=tx.now_us))
    if changed:
        tx.emit("notification.read")
    return last


REDUCERS: Final = {MarkRead: mark_read, MarkNotificationRead: mark_notification_read}
