"""A session's events as the turns of a conversation, for reading.

Pure: the same events give the same turns. Internal events (phases, steps, estimates) have no turn of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

import msgspec

from life.aios import events
from life.aios.json import Json
from life.aios.record import EventRecord, format_timestamp
from life.arcan.conversation import result_text

MAX_TEXT: Final = 4000
"""Characters of a tool's result that a turn shows; the journal has all of it."""

_ENDINGS: Final = {
    "max_iterations": "The run ended: the limit of steps was reached.",
    "budget_exceeded": "The run ended: a budget was used up.",
    "cancelled": "The run was cancelled.",
}
_RESUMED: Final = "Taken up again after a restart."
_TURNING: Final = re.compile("[\x7f-\x9f\u061c\u202a-\u202e\u2066-\u2069]")
_json: Final = msgspec.json.Encoder(order="sorted")


class Turn(NamedTuple):
    """One thing that a reader sees."""

    kind: Literal["user", "assistant", "tool", "note"]
    title: str = ""
    text: str = ""
    time: str = ""
    arguments: str = ""
    state: str = ""
    tone: Literal["", "good", "bad", "wait"] = ""


def transcript(records: Iterable[EventRecord]) -> list[Turn]:
    """The turns, oldest first. A tool's result joins the turn of its call."""
    turns: list[Turn] = []
    calls: dict[str, int] = {}
    for record in records:
        kind = record.kind
        time = short_time(record.timestamp_us)
        match kind:
            case events.UserMessage(content=content):
                turns.append(Turn("user", "You", content, time))
            case (
                events.Message(role=role, content=content)
                | events.AssistantMessageCommitted(role=role, content=content)
            ) if content:
                turns.append(
                    Turn("user" if role == "user" else "assistant", "You" if role == "user" else "Agent", content, time)
                )
            case events.ToolCallRequested(call_id=call_id, tool_name=tool_name, arguments=arguments):
                calls[call_id] = len(turns)
                turns.append(Turn("tool", tool_name, "", time, as_text(arguments), "asked", "wait"))
            case events.ToolCallStarted(call_id=str(call_id)) if call_id in calls:
                _change(turns, calls[call_id], state="running", tone="wait")
            case events.ApprovalRequested(call_id=call_id) if call_id in calls:
                _change(turns, calls[call_id], state="waits for approval", tone="wait")
            case events.Custom(event_type="arcan.run_in_doubt", data={"call_id": str(call_id)}) if call_id in calls:
                _change(turns, calls[call_id], state="in doubt", tone="wait")
            case events.ToolCallCompleted(
                call_id=str(call_id), result=result, status=status, duration_ms=duration_ms
            ) if call_id in calls:
                state = f"{status} · {duration_ms} ms"
                tone: Literal["good", "bad"] = "good" if status == "ok" else "bad"
                _change(turns, calls[call_id], text=cut(result_text(result)), state=state, tone=tone)
            case events.ToolCallFailed(call_id=call_id, error=error) if call_id in calls:
                _change(turns, calls[call_id], text=cut(error), state="failed", tone="bad")
            case events.RunErrored(error=error):
                turns.append(Turn("note", text=f"The run ended by an error: {error}"))
            case events.RunFinished(reason=reason) if reason in _ENDINGS:
                turns.append(Turn("note", text=_ENDINGS[reason]))
            case events.SessionResumed():
                if not turns or turns[-1].text != _RESUMED:  # a run that waits is taken up at every start
                    turns.append(Turn("note", text=_RESUMED))
            case events.SessionClosed(reason=reason):
                turns.append(Turn("note", text=f"Closed: {reason}"))
            case _:
                pass
    return turns


def as_text(value: Json) -> str:
    """JSON for reading: indented, keys sorted, with marks that turn text around in JSON's own spelling."""
    text = msgspec.json.format(_json.encode(value), indent=2).decode()
    return _TURNING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def cut(text: str) -> str:
    """At most MAX_TEXT characters, saying how many are missing."""
    missing = len(text) - MAX_TEXT
    return text if missing <= 0 else f"{text[:MAX_TEXT]}\n… {missing} more characters in the journal"


def short_time(timestamp_us: int) -> str:
    """`2026-11-20 07:23:00` in UTC."""
    return format_timestamp(timestamp_us)[:19].replace("T", " ")


def _change(turns: list[Turn], index: int, **changes: str) -> None:
    turns[index] = turns[index]._replace(**changes)  # type: ignore[arg-type]
