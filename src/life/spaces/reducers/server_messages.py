"""Messages that the server writes: Join and Leave, and System for what was changed, into the channel concerned or the first text channel
of the space. Nobody can edit them (W8)."""

from __future__ import annotations

from life.spaces.identity import SERVER_IDENTITY
from life.spaces.model import TAKES_TEXT, Channel, ChannelType, Message, MessageType
from life.spaces.reducers.transaction import Transaction


def write_notice(
    tx: Transaction, space_id: int, kind: MessageType, content: str, *, channel: Channel | None = None
) -> None:
    """A server message, as an event of its own: into `channel` when it takes text, otherwise where there is a text channel."""
    if channel is None or channel.channel_type not in TAKES_TEXT:
        channels = [
            channel for channel in tx.find(Channel, ("space_id",), space_id) if channel.channel_type is ChannelType.TEXT
        ]
        if not channels:
            return
        channel = min(channels, key=lambda channel: (channel.position, channel.id))
    tx.put(
        Message(
            id=tx.next_id(Message),
            space_id=space_id,
            channel_id=channel.id,
            sender=SERVER_IDENTITY,
            content=content,
            message_type=kind,
            created_us=tx.now_us,
        )
    )
    tx.emit("message.sent", space_id=space_id, channel_id=channel.id)
