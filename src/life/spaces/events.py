"""What the log records (spaces.md §7): one entry per accepted command, with the events it caused and the rows they changed.

An entry carries everything that the state is made of, so replaying the log from empty gives the same state byte for byte,
without running a reducer again. `position` counts entries from 1 without gaps: it is what clients resume from. Each space
counts its own events (`space_seq`), without gaps as well.

Transient events (typing, presence, voice signals) are delivered and never stored; they have position 0.
"""

from __future__ import annotations

from typing import Final

import msgspec

from life.spaces.model import AnyRow

KINDS: Final = frozenset(
    {
        "space.created",
        "space.updated",
        "space.deleted",
        "space.transferred",
        "space.member_joined",
        "space.member_left",
        "space.member_kicked",
        "space.member_banned",
        "space.member_unbanned",
        "space.member_muted",
        "space.member_unmuted",
        "space.role_changed",
        "channel.created",
        "channel.updated",
        "channel.deleted",
        "thread.created",
        "thread.updated",
        "thread.archived",
        "thread.unarchived",
        "message.sent",
        "message.edited",
        "message.deleted",
        "message.pinned",
        "message.unpinned",
        "message.reported",
        "report.resolved",
        "reaction.added",
        "reaction.removed",
        "read.advanced",
        "dm.opened",
        "dm.left",
        "dm.sent",
        "dm.edited",
        "dm.deleted",
        "dm.read",
        "agentlog.event",
        "voice.joined",
        "voice.left",
        "notification.created",
        "notification.read",
        "invite.created",
        "invite.used",
        "invite.revoked",
        "directory.listed",
        "directory.updated",
        "directory.withdrawn",
        "directory.health",
        "a2a.task_created",
        "a2a.task_updated",
        "user.joined",
        "user.updated",
        "user.key_seen",
        "user.purged",
        "identity.blocked",
        "identity.unblocked",
        "command.forgotten",
    }
)
"""Every stored kind. In the journal they stand under `spaces.`: `spaces.message.sent`."""

TRANSIENT_KINDS: Final = frozenset({"typing.started", "typing.stopped", "presence.changed", "voice.signal"})
"""Kinds that are delivered and never stored."""


class RemovedRow(msgspec.Struct, frozen=True, array_like=True):
    """A row that is no more: its table and primary key."""

    table: str
    key: tuple[int | str, ...]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fact, with the rows that it put or removed, in this order: removed first."""

    kind: str
    space_id: int = 0
    space_seq: int = 0
    """The place among the space's events; 0 for an event of no space."""
    channel_id: int = 0
    conversation_id: int = 0
    removed: tuple[RemovedRow, ...] = ()
    puts: tuple[AnyRow, ...] = ()


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One accepted command in the log."""

    position: int
    at_us: int
    actor: str
    """The identity that acted; zeros for the server."""
    command: str
    """The reducer's name."""
    key: str | None = None
    """The caller's idempotency key."""
    trace_id: str | None = None
    events: tuple[Event, ...] = ()


class Transient(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that is true for seconds: delivered, never stored. `data` is small and JSON."""

    kind: str
    actor: str
    at_us: int
    space_id: int = 0
    channel_id: int = 0
    conversation_id: int = 0
    target: str = ""
    """The only identity it is for; empty: everybody who sees the channel (or space)."""
    expires_us: int = 0
    data: dict[str, str | int | bool] = {}


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    """The bytes of an entry, always the same for the same entry."""
    return _encoder.encode(entry)


def decode_entry(data: bytes) -> Entry:
    """The entry that `encode_entry` wrote."""
    return _decoder.decode(data)
