"""How an event looks in `life journal tail`: one line, aligned, with a colour for what it is about."""

from __future__ import annotations

import shutil
import sys
from typing import Final

import click
import msgspec

from life.aios.events import Custom
from life.aios.record import EventRecord, encode_record, format_timestamp

_SESSION_WIDTH: Final = 22
_KIND_WIDTH: Final = 26
_PLAIN_WIDTH: Final = 240
_TELLING: Final = ("content", "delta", "message", "reason", "error", "path", "tool_name", "summary", "name", "status")
"""Fields that say most about an event, where it has them."""

_COLOURS: Final = (
    (("UserMessage", "ExternalSignal", "Steered", "Queued"), "cyan"),
    (("Assistant", "Message", "TextDelta"), "green"),
    (("ToolCallFailed", "RunErrored", "ErrorRaised", "CircuitBreaker", "SandboxViolation"), "red"),
    (("ToolCall", "Sandbox"), "yellow"),
    (("Approval", "Policy", "Intent"), "magenta"),
    (("File", "Snapshot", "Branch", "Checkpoint"), "blue"),
    (("finance.",), "bright_yellow"),
    (("anima.",), "bright_magenta"),
    (("lago.",), "bright_blue"),
)


def kind_of(record: EventRecord) -> str:
    """The kind's name, or the dotted type of a Custom event."""
    kind = record.kind
    return kind.event_type if isinstance(kind, Custom) and record.kind_name == "Custom" else record.kind_name


def matches(record: EventRecord, kinds: tuple[str, ...]) -> bool:
    """Whether the event is of one of these kinds, or of one that begins like one of them; none asked for: any."""
    return not kinds or kind_of(record).startswith(kinds)


def line_of(record: EventRecord, *, as_json: bool) -> str:
    """One line."""
    if as_json:
        return encode_record(record).decode()
    name = kind_of(record)
    time = format_timestamp(record.timestamp_us)[11:23]
    branch = "" if record.branch_id == "main" else f"/{record.branch_id}"
    session = _fit(f"{record.session_id}{branch}", _SESSION_WIDTH)
    width = shutil.get_terminal_size((_PLAIN_WIDTH, 24)).columns if sys.stdout.isatty() else _PLAIN_WIDTH
    head = f"{time}  {session:<{_SESSION_WIDTH}} {record.sequence:>6}  "
    kind = f"{_fit(name, _KIND_WIDTH):<{_KIND_WIDTH}}  "
    rest = _printable(_summary(record))
    room = max(20, width - len(head) - len(kind))
    rest = rest if len(rest) <= room else f"{rest[: room - 1]}…"
    return click.style(head, dim=True) + click.style(kind, fg=_colour(name), bold=_colour(name) == "red") + rest


def _summary(record: EventRecord) -> str:
    """What the event says, as short as it can be said."""
    try:
        fields = msgspec.json.decode(record.payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return record.payload.decode(errors="replace")
    if not isinstance(fields, dict):
        return str(fields)
    fields.pop("type", None)
    if record.kind_name == "Custom":
        data = fields.get("data")
        fields = data if isinstance(data, dict) else fields
    told = [str(fields[name]) for name in _TELLING if isinstance(fields.get(name), str)]
    if told and len(fields) <= len(told) + 1:
        return "  ".join(told)
    return msgspec.json.encode(fields).decode()


def _printable(text: str) -> str:
    """The text without anything that steers a terminal: what was recorded may come from anybody."""
    return "".join(character if character.isprintable() else " " for character in text)


def _fit(text: str, width: int) -> str:
    text = _printable(text)
    return text if len(text) <= width else f"{text[: width // 2 - 1]}…{text[-(width - width // 2) :]}"


def _colour(name: str) -> str | None:
    return next((colour for starts, colour in _COLOURS if name.startswith(starts)), None)
