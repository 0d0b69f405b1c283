"""How messages, events and people look at a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from life.cli.shell.words import printable
from life.spaces.agent_events import parse_agent_event
from life.spaces.errors import InvalidArgumentError
from life.spaces.identity import SERVER_IDENTITY
from life.spaces.model import DirectMessage, Message, MessageType, Row, Tombstone


def clock_of(at_us: int) -> str:
    """Hours and minutes, UTC."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).strftime("%H:%M")


def day_and_clock(at_us: int) -> str:
    """Day, hours and minutes, UTC."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M")


def name_of(identity: str, names: Mapping[str, str]) -> str:
    """A name to show: the username, or the end of the identity, which differs from one to the next."""
    if identity == SERVER_IDENTITY:
        return "*"
    return printable(names.get(identity, "")) or f"…{identity[-8:]}"


def message_line(row: Row, names: Mapping[str, str]) -> str | None:
    """A message as one line (its own line breaks are kept, indented); None for what is no message."""
    match row:
        case Message():
            mark = "" if row.edited_us is None else " (edited)"
            sender = name_of(row.sender, names)
            if row.message_type in (MessageType.JOIN, MessageType.LEAVE, MessageType.SYSTEM):
                return f"{clock_of(row.created_us)}  * {printable(row.content)}"
            text = printable(row.content).replace("\n", "\n       ")
            reply = f" ↩ {row.reply_to_id}" if row.reply_to_id is not None else ""
            return f"{clock_of(row.created_us)}  {sender}{reply}: {text}{mark}   [{row.id}]"
        case DirectMessage():
            text = "(sealed)" if row.sealed else printable(row.content).replace("\n", "\n       ")
            return f"{clock_of(row.created_us)}  {name_of(row.sender, names)}: {text}   [{row.id}]"
        case Tombstone():
            by = name_of(row.deleted_by, names)
            why = f": {printable(row.reason)}" if row.reason else ""
            return f"{clock_of(row.at_us)}  (deleted by {by}{why})   [{row.message_id}]"
        case _:
            return None


def event_line(row: Message, names: Mapping[str, str]) -> str:
    """What an agent logged, as one line; a body that is none is shown as it is."""
    try:
        body = parse_agent_event(row.content)
    except InvalidArgumentError:
        return f"{day_and_clock(row.created_us)}  {name_of(row.sender, names)}: {printable(row.content)}"
    mark = "" if body.severity in ("info", "debug") else f" {body.severity.upper()}"
    run = f" run {body.run_id}" if body.run_id else ""
    data = " ".join(f"{key}={_brief(value)}" for key, value in body.data.items())
    return f"{day_and_clock(row.created_us)}  {name_of(row.sender, names)}{mark}  {body.kind}{run}  {data}".rstrip()


def _brief(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return printable(text) if len(text) <= 60 else printable(text[:59]) + "…"
