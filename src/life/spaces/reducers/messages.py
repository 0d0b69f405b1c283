"""Messages: send, log, edit, delete, pin."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from life.spaces.agent_events import parse_agent_event
from life.spaces.commands import DeleteMessage, EditMessage, LogEvent, PinMessage, SendMessage, UnpinMessage
from life.spaces.errors import (
    AlreadyExistsError,
    ArchivedError,
    ForbiddenError,
    InvalidArgumentError,
    RateLimitedError,
    SpacesConflictError,
    SpacesNotFoundError,
    WrongChannelTypeError,
)
from life.spaces.model import (
    TAKES_TEXT,
    Attachment,
    Channel,
    ChannelType,
    Member,
    Mention,
    Message,
    MessageEdit,
    MessageType,
    Pin,
    Reaction,
    SlowMode,
    Thread,
    Tombstone,
)
from life.spaces.permissions import Permission
from life.spaces.reducers.access import audit, channel_of, message_of, name_of, require, require_rank, require_voice
from life.spaces.reducers.mentions import find_mentions, notify_mentioned
from life.spaces.reducers.server_messages import write_notice
from life.spaces.reducers.transaction import Transaction
from life.spaces.signatures import check_signature, place_of
from life.spaces.validation import MAX_ATTACHMENTS, MAX_REASON, check_attachment, check_content, check_optional
from life.spaces.visibility import allows

MAX_PINS: Final = 50
MAX_EDITS: Final = 100
EDIT_WINDOW_US: Final = 24 * 3_600_000_000
"""How long after sending a message may be edited."""


def send_message(command: SendMessage, tx: Transaction) -> Message:
    """A Text message into a Text channel, an Announcement channel (message.announce), or a thread of either."""
    channel, member = channel_of(tx, command.channel_id)
    thread = open_thread(tx, command.thread_id, channel)
    require_posting(tx, channel, member, in_thread=thread is not None)
    content = check_content(command.content)
    _check_attachments(command.attachments)
    if command.reply_to_id is not None:
        _check_reply(tx, command.reply_to_id, channel.id, command.thread_id)
    if command.signature is not None:
        check_signature(
            tx.state,
            command.signature,
            sender=tx.caller.identity,
            place=place_of(channel_id=channel.id, thread_id=command.thread_id),
            client_id=command.client_id,
            content=content,
            now_us=tx.now_us,
        )
    return post(
        tx,
        channel,
        member,
        Message(
            id=tx.next_id(Message),
            space_id=channel.space_id,
            channel_id=channel.id,
            thread_id=command.thread_id,
            sender=tx.caller.identity,
            content=content,
            created_us=tx.now_us,
            reply_to_id=command.reply_to_id,
            client_id=command.client_id,
            attachments=command.attachments,
            signature=command.signature,
        ),
        thread=thread,
    )


def open_thread(tx: Transaction, thread_id: int, channel: Channel) -> Thread | None:
    """The thread to write into, which must be of this channel and open; None for the channel itself."""
    if not thread_id:
        return None
    thread = tx.get(Thread, thread_id)
    if thread is None or thread.channel_id != channel.id:
        raise SpacesNotFoundError("There is no such thread in this channel.")
    if is_archived(thread, tx.now_us):
        raise ArchivedError("The thread is archived.")
    return thread


def is_archived(thread: Thread, now_us: int) -> bool:
    """Whether a thread is closed, by somebody or by being idle for its time."""
    if thread.archived:
        return True
    return thread.auto_archive_s > 0 and now_us - thread.last_message_us > thread.auto_archive_s * 1_000_000


def require_posting(tx: Transaction, channel: Channel, member: Member, *, in_thread: bool) -> None:
    """May the caller write text here: type of the channel, permission, mute, slow mode."""
    if channel.channel_type in (ChannelType.VOICE, ChannelType.AGENT_LOG):
        raise WrongChannelTypeError(f"A {channel.channel_type.value} channel takes no text.")
    announcing = channel.channel_type is ChannelType.ANNOUNCEMENT and not in_thread
    wanted = Permission.MESSAGE_ANNOUNCE if announcing else Permission.MESSAGE_SEND
    require(tx, member, wanted, channel_id=channel.id)
    require_voice(tx, channel)
    if channel.slow_mode_s and not allows(tx.state, member, Permission.CHANNEL_SETTINGS, channel_id=channel.id):
        last = tx.get(SlowMode, (channel.id, member.identity))
        ready_us = last.last_us + channel.slow_mode_s * 1_000_000 if last is not None else 0
        if ready_us > tx.now_us:
            raise RateLimitedError(
                f"This channel takes one message per {channel.slow_mode_s} seconds.",
                retry_after_ms=-(-(ready_us - tx.now_us) // 1000),
            )


def post(tx: Transaction, channel: Channel, member: Member, message: Message, *, thread: Thread | None) -> Message:
    """Store a message with its mentions, in one event, and tell those who are named."""
    tx.put(message)
    mentions = find_mentions(tx, message, member)
    for mention in mentions:
        tx.put(mention)
    if thread is not None:
        tx.put(structs.replace(thread, last_message_us=tx.now_us))
    if channel.slow_mode_s:
        tx.put(SlowMode(channel_id=channel.id, identity=member.identity, last_us=tx.now_us))
    tx.emit("message.sent", space_id=channel.space_id, channel_id=channel.id)
    if mentions:
        notify_mentioned(tx, message, mentions, channel)
    return message


def _check_attachments(attachments: tuple[Attachment, ...]) -> None:
    if len(attachments) > MAX_ATTACHMENTS:
        raise InvalidArgumentError(f"A message has at most {MAX_ATTACHMENTS} attachments.")
    for attachment in attachments:
        check_attachment(attachment.digest, attachment.media_type, attachment.size_bytes, attachment.name)


def _check_reply(tx: Transaction, message_id: int, channel_id: int, thread_id: int) -> None:
    target = tx.state.message_at(message_id)
    if target is None or target.channel_id != channel_id or target.thread_id != thread_id:
        raise SpacesNotFoundError("There is no such message to reply to here.")  # W12


def log_event(command: LogEvent, tx: Transaction) -> Message:
    """A signed event of an agent, into an AgentLog channel. It stays as it is: no edit, no delete."""
    channel, member = channel_of(tx, command.channel_id)
    if channel.channel_type is not ChannelType.AGENT_LOG:
        raise WrongChannelTypeError("Agent events go into an AgentLog channel.")
    require(tx, member, Permission.LOG_WRITE, channel_id=channel.id)
    require_voice(tx, channel)
    thread = open_thread(tx, command.thread_id, channel)
    content = check_content(command.content)
    parse_agent_event(content)
    check_signature(
        tx.state,
        command.signature,
        sender=tx.caller.identity,
        place=place_of(channel_id=channel.id, thread_id=command.thread_id),
        client_id=command.client_id,
        content=content,
        now_us=tx.now_us,
    )
    message = tx.put(
        Message(
            id=tx.next_id(Message),
            space_id=channel.space_id,
            channel_id=channel.id,
            thread_id=command.thread_id,
            sender=member.identity,
            content=content,
            message_type=MessageType.AGENT_EVENT,
            created_us=tx.now_us,
            client_id=command.client_id,
            signature=command.signature,
        )
    )
    if thread is not None:
        tx.put(structs.replace(thread, last_message_us=tx.now_us))
    tx.emit("agentlog.event", space_id=channel.space_id, channel_id=channel.id)
    return message


def edit_message(command: EditMessage, tx: Transaction) -> Message:
    """Change one's own Text message while one may still write there (W8, W9); what it said before is kept."""
    message, channel, member = message_of(tx, command.message_id)
    if message.sender != member.identity or message.message_type is not MessageType.TEXT:
        raise ForbiddenError("Only its sender edits a text message.")
    if tx.now_us - message.created_us > EDIT_WINDOW_US:
        raise SpacesConflictError("The message is too old to be edited.")
    if message.version > MAX_EDITS:
        raise SpacesConflictError(f"A message is edited at most {MAX_EDITS} times.")
    require(tx, member, Permission.MESSAGE_SEND, channel_id=channel.id)
    require_voice(tx, channel)
    open_thread(tx, message.thread_id, channel)
    content = check_content(command.content)
    if content == message.content:
        return message
    if command.signature is not None:
        check_signature(
            tx.state,
            command.signature,
            sender=member.identity,
            place=place_of(channel_id=channel.id, thread_id=message.thread_id),
            client_id=message.client_id,
            content=content,
            now_us=tx.now_us,
        )
    tx.put(
        MessageEdit(
            message_id=message.id,
            version=message.version,
            space_id=message.space_id,
            channel_id=message.channel_id,
            sender=message.sender,
            content=message.content,
            at_us=tx.now_us,
        )
    )
    changed = tx.put(
        structs.replace(
            message,
            content=content,
            edited_us=tx.now_us,
            version=message.version + 1,
            signature=command.signature,  # the old one was over the old text
        )
    )
    for mention in tx.find(Mention, ("message_id",), message.id):
        tx.remove(mention)
    tx.emit("message.edited", space_id=channel.space_id, channel_id=channel.id)
    mentions = find_mentions(tx, changed, member)
    if mentions:
        for mention in mentions:
            tx.put(mention)
        tx.emit("message.edited", space_id=channel.space_id, channel_id=channel.id)
    return changed


def delete_message(command: DeleteMessage, tx: Transaction) -> Tombstone:
    """Delete one's own message, or one by somebody of a lower level; a tombstone stays. Agent logs are append-only."""
    message, channel, member = message_of(tx, command.message_id)
    if message.message_type is MessageType.AGENT_EVENT:
        raise WrongChannelTypeError("An agent log is append-only.")
    reason = check_optional(command.reason, MAX_REASON, what="reason")
    foreign = message.sender != member.identity
    if foreign:
        require(tx, member, Permission.MESSAGE_DELETE_ANY, channel_id=channel.id)
        author = tx.get(Member, (channel.space_id, message.sender))
        if author is not None:
            require_rank(member, author.role)
    stone = bury(tx, message, by=member.identity, reason=reason)
    if foreign:
        audit(tx, channel.space_id, "message.delete", f"message:{message.id}", reason=reason, before=message.sender)
    tx.emit("message.deleted", space_id=channel.space_id, channel_id=channel.id)
    return stone


def bury(tx: Transaction, message: Message, *, by: str, reason: str | None) -> Tombstone:
    """Put a tombstone in a message's place; its content, edits, reactions, mentions and pin go. The caller emits the event."""
    for table in (Reaction, Mention, MessageEdit):
        for row in tx.find(table, ("message_id",), message.id):
            tx.remove(row)
    pin = tx.get(Pin, (message.channel_id, message.id))
    if pin is not None:
        tx.remove(pin)
    tx.remove(message)
    return tx.put(
        Tombstone(
            message_id=message.id,
            space_id=message.space_id,
            channel_id=message.channel_id,
            thread_id=message.thread_id,
            sender=message.sender,
            deleted_by=by,
            reason=reason,
            at_us=tx.now_us,
        )
    )


def pin_message(command: PinMessage, tx: Transaction) -> Pin:
    """Pin a message."""
    message, channel, member = message_of(tx, command.message_id)
    require(tx, member, Permission.MESSAGE_PIN, channel_id=channel.id)
    if tx.get(Pin, (channel.id, message.id)) is not None:
        raise AlreadyExistsError("The message is pinned already.")
    if tx.state.count(Pin, ("channel_id",), channel.id) >= MAX_PINS:
        raise SpacesConflictError(f"A channel has at most {MAX_PINS} pins.")
    pin = tx.put(
        Pin(
            channel_id=channel.id,
            message_id=message.id,
            space_id=channel.space_id,
            by=member.identity,
            at_us=tx.now_us,
        )
    )
    audit(tx, channel.space_id, "message.pin", f"message:{message.id}")
    tx.emit("message.pinned", space_id=channel.space_id, channel_id=channel.id)
    if channel.channel_type in TAKES_TEXT:
        words = f"{name_of(tx, member.identity)} pinned message {message.id}"
        write_notice(tx, channel.space_id, MessageType.SYSTEM, words, channel=channel)
    return pin


def unpin_message(command: UnpinMessage, tx: Transaction) -> None:
    """Take a pin away."""
    message, channel, member = message_of(tx, command.message_id)
    require(tx, member, Permission.MESSAGE_PIN, channel_id=channel.id)
    pin = tx.get(Pin, (channel.id, message.id))
    if pin is None:
        raise SpacesNotFoundError("The message is not pinned.")
    tx.remove(pin)
    audit(tx, channel.space_id, "message.unpin", f"message:{message.id}")
    tx.emit("message.unpinned", space_id=channel.space_id, channel_id=channel.id)


REDUCERS: Final = {
    SendMessage: send_message,
    LogEvent: log_event,
    EditMessage: edit_message,
    DeleteMessage: delete_message,
    PinMessage: pin_message,
    UnpinMessage: unpin_message,
}
