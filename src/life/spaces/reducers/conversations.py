"""Direct messages, of two and of groups: only participants ever see them (W5)."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from life.spaces.commands import (
    DeleteDirectMessage,
    EditDirectMessage,
    LeaveConversation,
    MarkDmRead,
    OpenGroupDm,
    SendDirectMessage,
    SendToConversation,
)
from life.spaces.errors import ForbiddenError, InvalidArgumentError, SpacesConflictError, SpacesNotFoundError
from life.spaces.identity import check_identity
from life.spaces.model import Block, Conversation, DirectMessage, Listing, Member, Participant
from life.spaces.permissions import Permission
from life.spaces.queries import pair_of
from life.spaces.reducers.access import name_of, notify, profile_of, require_ceiling
from life.spaces.reducers.spaces import HUB_ID
from life.spaces.reducers.transaction import Transaction
from life.spaces.signatures import check_signature, place_of
from life.spaces.validation import check_content, check_name

MAX_GROUP: Final = 10
MAX_CONVERSATIONS: Final = 5000
"""Conversations that one identity may be in."""
EDIT_WINDOW_US: Final = 24 * 3_600_000_000
_PREVIEW: Final = 120


def send_direct_message(command: SendDirectMessage, tx: Transaction) -> DirectMessage:
    """To one identity; the first message makes the conversation."""
    recipient = check_identity(command.recipient)
    if recipient == tx.caller.identity:
        raise InvalidArgumentError("You can't write to yourself.")
    profile_of(tx, tx.caller.identity)
    require_ceiling(tx, Permission.DM_SEND)
    known = tx.find(Conversation, ("pair",), pair_of(tx.caller.identity, recipient))
    _require_welcome(tx, recipient, known[0] if known else None)
    if known:
        conversation = known[0]
    else:
        conversation = _open(tx, (tx.caller.identity, recipient), pair_of(tx.caller.identity, recipient), None)
    return _write(tx, conversation, command)


def _require_welcome(tx: Transaction, recipient: str, known: Conversation | None) -> None:
    """ForbiddenError when the other one blocked the caller, or the caller is an agent that they have nothing to do with.

    An agent writes to those who share a space with it (other than the Hub, where everybody is), who allow agents in general, who
    offer themselves in the directory, or who wrote to it before.
    """
    profile = profile_of(tx, recipient)
    if tx.get(Block, (recipient, tx.caller.identity)) is not None:
        raise ForbiddenError("They take no direct messages from you.")
    if tx.get(Block, (tx.caller.identity, recipient)) is not None:
        raise ForbiddenError("You blocked them.")
    if not tx.caller.is_agent or profile.dm_from_agents or tx.get(Listing, recipient) is not None:
        return
    if known is not None and any(
        (message := tx.get(DirectMessage, key)) is not None and message.sender == recipient
        for key in tx.state.ordered(DirectMessage, ("conversation_id",), known.id)[-200:]
    ):
        return
    mine = {member.space_id for member in tx.find(Member, ("identity",), tx.caller.identity)}
    theirs = {member.space_id for member in tx.find(Member, ("identity",), recipient)}
    if not (mine & theirs) - {HUB_ID}:
        raise ForbiddenError("Agents write only to those who share a space with them or allow it.")


def open_group_dm(command: OpenGroupDm, tx: Transaction) -> Conversation:
    """A conversation of 3 to 10, the caller included."""
    profile_of(tx, tx.caller.identity)
    require_ceiling(tx, Permission.DM_SEND)
    identities = {tx.caller.identity, *(check_identity(identity) for identity in command.participants)}
    if not 3 <= len(identities) <= MAX_GROUP:
        raise InvalidArgumentError(f"A group has 3 to {MAX_GROUP} participants.")
    for identity in sorted(identities - {tx.caller.identity}):
        known = tx.find(Conversation, ("pair",), pair_of(tx.caller.identity, identity))
        _require_welcome(tx, identity, known[0] if known else None)
    title = None if not command.title else check_name(command.title, what="title")
    return _open(tx, tuple(sorted(identities)), "", title)


def _open(tx: Transaction, identities: tuple[str, ...], pair: str, title: str | None) -> Conversation:
    if tx.state.count(Participant, ("identity",), tx.caller.identity) >= MAX_CONVERSATIONS:
        raise SpacesConflictError(f"Nobody is in more than {MAX_CONVERSATIONS} conversations.")
    conversation = tx.put(
        Conversation(
            id=tx.next_id(Conversation),
            pair=pair,
            title=title,
            creator=tx.caller.identity,
            created_us=tx.now_us,
            last_message_us=tx.now_us,
        )
    )
    for identity in identities:
        tx.put(Participant(conversation_id=conversation.id, identity=identity, joined_us=tx.now_us))
    tx.emit("dm.opened", conversation_id=conversation.id)
    return conversation


def send_to_conversation(command: SendToConversation, tx: Transaction) -> DirectMessage:
    """Into a conversation that one is part of."""
    return _write(tx, require_writable(tx, command.conversation_id), command)


def require_writable(tx: Transaction, conversation_id: int) -> Conversation:
    """The conversation, when the caller may write (or signal) there."""
    require_ceiling(tx, Permission.DM_SEND)
    conversation = _conversation(tx, conversation_id)
    if conversation.pair:
        first, _, second = conversation.pair.partition(":")
        _require_welcome(tx, second if first == tx.caller.identity else first, conversation)
    return conversation


def _conversation(tx: Transaction, conversation_id: int) -> Conversation:
    conversation = tx.get(Conversation, conversation_id)
    if conversation is None or tx.get(Participant, (conversation_id, tx.caller.identity)) is None:
        raise SpacesNotFoundError("There is no such conversation.")
    return conversation


def _write(
    tx: Transaction, conversation: Conversation, command: SendDirectMessage | SendToConversation
) -> DirectMessage:
    content = check_content(command.content)
    if command.signature is not None:
        check_signature(
            tx.state,
            command.signature,
            sender=tx.caller.identity,
            place=place_of(conversation_id=conversation.id),
            client_id=command.client_id,
            content=content,
            now_us=tx.now_us,
        )
    message = tx.put(
        DirectMessage(
            id=tx.next_id(DirectMessage),
            conversation_id=conversation.id,
            sender=tx.caller.identity,
            content=content,
            created_us=tx.now_us,
            sealed=command.sealed,
            client_id=command.client_id,
            signature=command.signature,
        )
    )
    tx.put(structs.replace(conversation, last_message_us=tx.now_us))
    tx.emit("dm.sent", conversation_id=conversation.id)
    title = f"{name_of(tx, tx.caller.identity)} wrote to you"
    for participant in tx.find(Participant, ("conversation_id",), conversation.id):
        if tx.get(Block, (participant.identity, tx.caller.identity)) is None:
            body = "" if command.sealed else content[:_PREVIEW]
            notify(tx, participant.identity, "dm", title, body=body, ref=f"dm:{conversation.id}")
    return message


def leave_conversation(command: LeaveConversation, tx: Transaction) -> None:
    """Leave a group; the last one to leave takes it along."""
    conversation = _conversation(tx, command.conversation_id)
    if conversation.pair:
        raise SpacesConflictError("A conversation of two is not left; block the other one.")
    participant = tx.get(Participant, (conversation.id, tx.caller.identity))
    others = [
        other
        for other in tx.find(Participant, ("conversation_id",), conversation.id)
        if other.identity != tx.caller.identity
    ]
    if participant is not None:
        tx.remove(participant)
    if not others:
        for key in list(tx.state.ordered(DirectMessage, ("conversation_id",), conversation.id)):
            message = tx.get(DirectMessage, key)
            if message is not None:
                tx.remove(message)
        tx.remove(conversation)
    tx.emit("dm.left", conversation_id=conversation.id)


def edit_direct_message(command: EditDirectMessage, tx: Transaction) -> DirectMessage:
    """Change one's own."""
    message = _own_message(tx, command.message_id)
    if tx.now_us - message.created_us > EDIT_WINDOW_US:
        raise SpacesConflictError("The message is too old to be edited.")
    content = check_content(command.content)
    if content == message.content:
        return message
    changed = tx.put(structs.replace(message, content=content, edited_us=tx.now_us, signature=None))
    tx.emit("dm.edited", conversation_id=message.conversation_id)
    return changed


def delete_direct_message(command: DeleteDirectMessage, tx: Transaction) -> None:
    """Delete one's own."""
    message = _own_message(tx, command.message_id)
    tx.remove(message)
    tx.emit("dm.deleted", conversation_id=message.conversation_id)


def _own_message(tx: Transaction, message_id: int) -> DirectMessage:
    message = tx.get(DirectMessage, message_id)
    if message is None or tx.get(Participant, (message.conversation_id, tx.caller.identity)) is None:
        raise SpacesNotFoundError("There is no such direct message.")
    if message.sender != tx.caller.identity:
        raise ForbiddenError("Only its sender changes a direct message.")
    return message


def mark_dm_read(command: MarkDmRead, tx: Transaction) -> Participant:
    """Have read up to a message; the others see it. Moving back changes nothing."""
    conversation = _conversation(tx, command.conversation_id)
    message = tx.get(DirectMessage, command.message_id)
    participant = tx.get(Participant, (conversation.id, tx.caller.identity))
    if message is None or message.conversation_id != conversation.id or participant is None:
        raise SpacesNotFoundError("There is no such direct message.")
    if participant.last_read_id >= message.id:
        return participant
    changed = tx.put(structs.replace(participant, last_read_id=message.id))
    tx.emit("dm.read", conversation_id=conversation.id)
    return changed


REDUCERS: Final = {
    SendDirectMessage: send_direct_message,
    OpenGroupDm: open_group_dm,
    SendToConversation: send_to_conversation,
    LeaveConversation: leave_conversation,
    EditDirectMessage: edit_direct_message,
    DeleteDirectMessage: delete_direct_message,
    MarkDmRead: mark_dm_read,
}
