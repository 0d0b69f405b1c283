"""Reactions."""

from __future__ import annotations

from typing import Final

from life.spaces.commands import AddReaction, RemoveReaction
from life.spaces.errors import AlreadyExistsError, SpacesConflictError, SpacesNotFoundError
from life.spaces.model import Reaction
from life.spaces.permissions import Permission
from life.spaces.reducers.access import message_of, require, require_voice
from life.spaces.reducers.transaction import Transaction
from life.spaces.validation import check_emoji

MAX_DISTINCT: Final = 20


def add_reaction(command: AddReaction, tx: Transaction) -> Reaction:
    """One emoji, once per identity."""
    message, channel, member = message_of(tx, command.message_id)
    require(tx, member, Permission.REACTION_ADD, channel_id=channel.id)
    require_voice(tx, channel)
    emoji = check_emoji(command.emoji)
    if tx.get(Reaction, (message.id, member.identity, emoji)) is not None:
        raise AlreadyExistsError("You reacted with this already.")
    distinct = {reaction.emoji for reaction in tx.find(Reaction, ("message_id",), message.id)}
    if emoji not in distinct and len(distinct) >= MAX_DISTINCT:
        raise SpacesConflictError(f"A message has at most {MAX_DISTINCT} different reactions.")
    reaction = tx.put(
        Reaction(
            message_id=message.id,
            identity=member.identity,
            emoji=emoji,
            space_id=channel.space_id,
            channel_id=channel.id,
            at_us=tx.now_us,
        )
    )
    tx.emit("reaction.added", space_id=channel.space_id, channel_id=channel.id)
    return reaction


def remove_reaction(command: RemoveReaction, tx: Transaction) -> None:
    """Take one's own away, as long as one is a member (W9)."""
    message, channel, member = message_of(tx, command.message_id)
    reaction = tx.get(Reaction, (message.id, member.identity, command.emoji))
    if reaction is None:
        raise SpacesNotFoundError("You did not react with this.")
    tx.remove(reaction)
    tx.emit("reaction.removed", space_id=channel.space_id, channel_id=channel.id)


REDUCERS: Final = {AddReaction: add_reaction, RemoveReaction: remove_reaction}
