"""The roster of a voice channel: who is in the call. Media flows elsewhere."""

from __future__ import annotations

from typing import Final

from life.spaces.commands import VoiceJoin, VoiceLeave
from life.spaces.errors import SpacesConflictError, SpacesNotFoundError, WrongChannelTypeError
from life.spaces.model import ChannelType, VoiceMember
from life.spaces.permissions import Permission
from life.spaces.reducers.access import channel_of, require, require_voice
from life.spaces.reducers.transaction import Transaction
from life.spaces.validation import check_number

MAX_ROSTER: Final = 100
MAX_LIFETIME_S: Final = 300


def voice_join(command: VoiceJoin, tx: Transaction) -> VoiceMember:
    """Enter, or stay for longer."""
    channel, member = channel_of(tx, command.channel_id)
    if channel.channel_type is not ChannelType.VOICE:
        raise WrongChannelTypeError("This is no voice channel.")
    require(tx, member, Permission.VOICE_SIGNAL, channel_id=channel.id)
    require_voice(tx, channel)
    check_number(command.lifetime_s, what="lifetime", least=10, most=MAX_LIFETIME_S)
    known = tx.get(VoiceMember, (channel.id, member.identity))
    roster = [row for row in tx.find(VoiceMember, ("channel_id",), channel.id) if row.until_us > tx.now_us]
    if known not in roster and len(roster) >= MAX_ROSTER:
        raise SpacesConflictError(f"A voice channel takes at most {MAX_ROSTER}.")
    row = tx.put(
        VoiceMember(
            channel_id=channel.id,
            identity=member.identity,
            space_id=channel.space_id,
            joined_us=tx.now_us if known is None else known.joined_us,
            until_us=tx.now_us + command.lifetime_s * 1_000_000,
        )
    )
    tx.emit("voice.joined", space_id=channel.space_id, channel_id=channel.id)
    return row


def voice_leave(command: VoiceLeave, tx: Transaction) -> None:
    """Leave."""
    channel, member = channel_of(tx, command.channel_id)
    known = tx.get(VoiceMember, (channel.id, member.identity))
    if known is None:
        raise SpacesNotFoundError("You are not in this voice channel.")
    tx.remove(known)
    tx.emit("voice.left", space_id=channel.space_id, channel_id=channel.id)


REDUCERS: Final = {VoiceJoin: voice_join, VoiceLeave: voice_leave}
