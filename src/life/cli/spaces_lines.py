"""How messages, events and people look at a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from life.spaces.identity import SERVER_IDENTITY
from life.spaces.model import DirectMessage, Message, MessageType, Row, Tombstone


def clock_of(at_us: int) -> str:
    """Hours and minutes, UTC."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).strftime("%H:%M")


def name_of(identity: str, names: Mapping[str, str]) -> str:
    """A name to show: the username, or the end of the identity, which differs from one to the next."""
    if identity == SERVER_IDENTITY:
        return "*"
    return names.get(identity) or f"…{identity[-8:]}"


def message_line(row: Row, names: Mapping[str, str]) -> str | None:
    """A message as one line (its own line breaks are kept, indented); None for what is no message."""
    match row:
        case Message():
            mark = "" if row.edited_us is None else " (edited)"
            sender = name_of(row.sender, names)
            if row.message_type in (MessageType.JOIN, MessageType.LEAVE, MessageType.SYSTEM):
                return f"{clock_of(row.created_us)}  * {row.content}"
            text = row.content.replace("\n", "\n       ")
            reply = f" ↩ {row.reply_to_id}" if row.reply_to_id is not None else ""
            return f"{clock_of(row.created_us)}  {sender}{reply}: {text}{mark}   [{row.id}]"
        case DirectMessage():
            text = row.content.replace("\n", "\n       ")
            return f"{clock_of(row.created_us)}  {name_of(row.sender, names)}: {text}   [{row.id}]"
        case Tombstone():
            by = name_of(row.deleted_by, names)
            why = f": {row.reason}" if row.reason else ""
            return f"{clock_of(row.at_us)}  (deleted by {by}{why})   [{row.message_id}]"
        case _:
            return None
