"""Threads of a channel."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from life.spaces.commands import ArchiveThread, CreateThread, RenameThread, UnarchiveThread
from life.spaces.errors import SpacesConflictError
from life.spaces.model import Channel, Member, Message, Thread
from life.spaces.permissions import Permission
from life.spaces.reducers.access import audit, channel_of, require, require_voice, thread_of
from life.spaces.reducers.messages import is_archived, post, require_posting
from life.spaces.reducers.transaction import Transaction
from life.spaces.validation import check_content, check_name, check_number

MAX_THREADS: Final = 10_000
"""Threads of one channel."""
MAX_IDLE_S: Final = 30 * 86_400


def create_thread(command: CreateThread, tx: Transaction) -> Thread:
    """A thread with its opener, which links back by `thread_id`; `opener_id` is the opener. In an announcement channel replies go there."""
    channel, member = channel_of(tx, command.channel_id)
    require(tx, member, Permission.THREAD_CREATE, channel_id=channel.id)
    require_posting(tx, channel, member, in_thread=True)
    name = check_name(command.name, what="thread's name")
    content = check_content(command.content)
    check_number(command.auto_archive_s, what="idle time", most=MAX_IDLE_S)
    if tx.state.count(Thread, ("channel_id",), channel.id) >= MAX_THREADS:
        raise SpacesConflictError(f"A channel has at most {MAX_THREADS} threads.")
    opener_id = tx.next_id(Message)
    thread = tx.put(
        Thread(
            id=tx.next_id(Thread),
            channel_id=channel.id,
            space_id=channel.space_id,
            name=name,
            creator=member.identity,
            created_us=tx.now_us,
            last_message_us=tx.now_us,
            opener_id=opener_id,
            auto_archive_s=command.auto_archive_s,
        )
    )
    tx.emit("thread.created", space_id=channel.space_id, channel_id=channel.id)
    opener = Message(
        id=opener_id,
        space_id=channel.space_id,
        channel_id=channel.id,
        thread_id=thread.id,
        sender=member.identity,
        content=content,
        created_us=tx.now_us,
        client_id=command.client_id,
    )
    post(tx, channel, member, opener, thread=None)
    return thread


def rename_thread(command: RenameThread, tx: Transaction) -> Thread:
    """Another name."""
    thread, channel, _ = _governed(tx, command.thread_id)
    changed = structs.replace(thread, name=check_name(command.name, what="thread's name"))
    if changed != thread:
        tx.put(changed)
        tx.emit("thread.updated", space_id=channel.space_id, channel_id=channel.id)
    return changed


def archive_thread(command: ArchiveThread, tx: Transaction) -> Thread:
    """Close a thread; closing it again changes nothing."""
    thread, channel, member = _governed(tx, command.thread_id)
    if thread.archived:
        return thread
    changed = tx.put(structs.replace(thread, archived=True))
    if thread.creator != member.identity:
        audit(tx, channel.space_id, "thread.archive", f"thread:{thread.id}")
    tx.emit("thread.archived", space_id=channel.space_id, channel_id=channel.id)
    return changed


def unarchive_thread(command: UnarchiveThread, tx: Transaction) -> Thread:
    """Open a thread again, whoever or whatever closed it."""
    thread, channel, member = _governed(tx, command.thread_id)
    if not is_archived(thread, tx.now_us):
        return thread
    changed = tx.put(structs.replace(thread, archived=False, last_message_us=tx.now_us))
    if thread.creator != member.identity:
        audit(tx, channel.space_id, "thread.unarchive", f"thread:{thread.id}")
    tx.emit("thread.unarchived", space_id=channel.space_id, channel_id=channel.id)
    return changed


def _governed(tx: Transaction, thread_id: int) -> tuple[Thread, Channel, Member]:
    """A thread that the caller may close: their own (while they may write here), or any with thread.archive.any."""
    thread, channel, member = thread_of(tx, thread_id)
    if thread.creator == member.identity:
        require(tx, member, Permission.THREAD_CREATE, channel_id=channel.id)
        require_voice(tx, channel)
    else:
        require(tx, member, Permission.THREAD_ARCHIVE_ANY, channel_id=channel.id)
    return thread, channel, member


REDUCERS: Final = {
    CreateThread: create_thread,
    RenameThread: rename_thread,
    ArchiveThread: archive_thread,
    UnarchiveThread: unarchive_thread,
}
