"""A session as JSON lines or as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from life.aios.record import EventRecord, encode_record, format_timestamp
from life.cli.shell.items import (
    Asked,
    CallDone,
    Decided,
    InDoubt,
    MessageEnd,
    Note,
    RunEnded,
    Said,
)
from life.cli.shell.known_files import Difference
from life.cli.shell.transcript import Transcript
from life.cli.shell.words import pretty_json, printable, short_arguments


def as_json_lines(records: Iterable[EventRecord]) -> Iterator[bytes]:
    """One canonical record a line."""
    for record in records:
        yield encode_record(record) + b"\n"


def as_markdown(session_id: str, records: Iterable[EventRecord]) -> str:
    """The conversation for people to read: words, calls, differences, decisions. The same events give the same text."""
    transcript = Transcript()
    parts = [f"# Session {session_id}"]
    began = False
    for record in records:
        if not began and record.sequence:
            parts.append(f"{format_timestamp(record.timestamp_us)[:19].replace('T', ' ')} UTC")
            began = True
        for item in transcript.take(record):
            match item:
                case Said():
                    attached = "".join(f"\n\n(attached: `{name}`)" for name in item.attachments)
                    parts.append(f"## You\n\n{printable(item.text)}{attached}")
                case MessageEnd() if item.text:
                    parts.append(f"## Agent\n\n{printable(item.text)}")
                case CallDone():
                    parts.append(_call(item))
                case Asked():
                    parts.append(f"*Asked about `{item.tool_name}` (risk {item.risk}).*")
                case Decided():
                    reason = f" ({printable(item.reason)})" if item.reason else ""
                    parts.append(f"*`{item.tool_name}`: {item.decision}{reason}*")
                case InDoubt():
                    parts.append(f"*In doubt: `{item.tool_name}`. {printable(item.explanation)}*")
                case RunEnded():
                    error = f" {printable(item.error)}" if item.error else ""
                    parts.append(f"*{item.reason}: {item.summary.replace('  ', ', ')}.{error}*")
                case Note():
                    parts.append(f"*{printable(item.text)}*")
                case _:
                    pass
    return "\n\n".join(parts) + "\n"


def _call(item: CallDone) -> str:
    head = f"**{item.tool_name}** `{short_arguments(item.arguments, 100).replace('`', chr(39))}` — {item.status}"
    if item.difference is not None and item.difference.lines:
        return f"{head}\n\n{_fenced(_patch(item.difference), 'diff')}"
    result = item.result if isinstance(item.result, str) else pretty_json(item.result)
    return f"{head}\n\n{_fenced(printable(result))}" if result and item.result is not None else head


def _patch(change: Difference) -> str:
    return "\n".join(f"{line.sign}{printable(line.text)}" for line in change.lines)


def _fenced(text: str, language: str = "") -> str:
    """A code block whose fence its text can't close."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"
