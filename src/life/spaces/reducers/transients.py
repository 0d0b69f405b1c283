"""What is true for seconds: typing and voice signals. Checked like everything, delivered, never stored (W10)."""

from __future__ import annotations

from typing import Final

from life.spaces.commands import SendSignal, StartTyping, StopTyping
from life.spaces.errors import InvalidArgumentError, NotMemberError, TooLongError, WrongChannelTypeError
from life.spaces.events import Transient
from life.spaces.identity import check_identity
from life.spaces.model import Channel, ChannelType, Participant, VoiceMember
from life.spaces.permissions import Permission
from life.spaces.reducers.access import channel_of, require, require_voice
from life.spaces.reducers.conversations import require_writable
from life.spaces.reducers.messages import open_thread, require_posting
from life.spaces.reducers.transaction import Transaction
from life.spaces.validation import MAX_SIGNAL_BYTES

TYPING_US: Final = 8_000_000


def start_typing(command: StartTyping, tx: Transaction) -> None:
    """Somebody who may write here writes."""
    channel, member = channel_of(tx, command.channel_id)
    thread = open_thread(tx, command.thread_id, channel)
    require_posting(tx, channel, member, in_thread=thread is not None)
    _tell(tx, channel, "typing.started", command.thread_id, tx.now_us + TYPING_US)


def stop_typing(command: StopTyping, tx: Transaction) -> None:
    """And writes no more."""
    channel, _ = channel_of(tx, command.channel_id)
    _tell(tx, channel, "typing.stopped", command.thread_id, 0)


def _tell(tx: Transaction, channel: Channel, kind: str, thread_id: int, expires_us: int) -> None:
    tx.tell(
        Transient(
            kind=kind,
            actor=tx.caller.identity,
            at_us=tx.now_us,
            space_id=channel.space_id,
            channel_id=channel.id,
            expires_us=expires_us,
            data={"thread_id": thread_id} if thread_id else {},
        )
    )


def send_signal(command: SendSignal, tx: Transaction) -> None:
    """An opaque payload to one or all in a voice channel's roster; only those in the roster send and get."""
    if command.conversation_id:
        _signal_conversation(command, tx)
        return
    channel, member = channel_of(tx, command.channel_id)
    if channel.channel_type is not ChannelType.VOICE:
        raise WrongChannelTypeError("Signals go through a voice channel.")
    require(tx, member, Permission.VOICE_SIGNAL, channel_id=channel.id)
    require_voice(tx, channel)
    _check_payload(command.payload)
    roster = [row for row in tx.find(VoiceMember, ("channel_id",), channel.id) if row.until_us > tx.now_us]
    here = {row.identity for row in roster}
    if member.identity not in here:
        raise NotMemberError("Enter the voice channel first.")
    if command.target and check_identity(command.target) not in here:
        raise NotMemberError("They are not in the voice channel.")
    targets = [command.target] if command.target else sorted(here - {member.identity})
    for target in targets:
        tx.tell(
            Transient(
                kind="voice.signal",
                actor=member.identity,
                at_us=tx.now_us,
                space_id=channel.space_id,
                channel_id=channel.id,
                target=target,
                data={"payload": command.payload},
            )
        )


def _signal_conversation(command: SendSignal, tx: Transaction) -> None:
    """The same to the others of a conversation, under the rules of a message there."""
    if command.channel_id:
        raise InvalidArgumentError("A signal goes to a channel or to a conversation, not to both.")
    conversation = require_writable(tx, command.conversation_id)
    _check_payload(command.payload)
    here = {row.identity for row in tx.find(Participant, ("conversation_id",), conversation.id)}
    if command.target and check_identity(command.target) not in here:
        raise NotMemberError("They are not in the conversation.")
    for target in [command.target] if command.target else sorted(here - {tx.caller.identity}):
        tx.tell(
            Transient(
                kind="voice.signal",
                actor=tx.caller.identity,
                at_us=tx.now_us,
                conversation_id=conversation.id,
                target=target,
                data={"payload": command.payload, "conversation_id": conversation.id},
            )
        )


def _check_payload(payload: str) -> None:
    if not payload:
        raise InvalidArgumentError("A signal has a payload.")
    if len(payload.encode("utf-8", "surrogatepass")) > MAX_SIGNAL_BYTES:
        raise TooLongError(f"A signal has at most {MAX_SIGNAL_BYTES} bytes.", details={"limit_bytes": MAX_SIGNAL_BYTES})


REDUCERS: Final = {StartTyping: start_typing, StopTyping: stop_typing, SendSignal: send_signal}
