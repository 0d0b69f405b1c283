"""Frames of an event stream (the HTML standard, "Server-sent events").

An event of the journal may become several frames. Only the last one carries the `id:`, so that a client that is cut off in between
asks again for the whole event.

Comments stand on one line without an empty line behind them: parsers that remember the last id (those of the OpenAI and Anthropic
clients among them) would take the empty line for an event without data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Frame(NamedTuple):
    """One frame: its data, which is one line, and the name of the event where it has one."""

    data: bytes
    event: bytes | None = None


def render(frames: Sequence[Frame], sequence: int) -> bytes:
    """The frames of one event. Sequence 0 is an ephemeral event, which nobody can resume at: it has no id."""
    if not frames:
        return b""
    parts: list[bytes] = []
    for frame in frames:
        if frame.event is not None:
            parts += (b"event: ", frame.event, b"\n")
        if frame is frames[-1] and sequence > 0:
            parts.append(b"id: %d\n" % sequence)
        parts += (b"data: ", frame.data, b"\n\n")
    return b"".join(parts)


def comment(text: bytes) -> bytes:
    """A comment, which no parser hands on."""
    return b": %b\n" % text


def cursor_frame(sequence: int) -> bytes:
    """A comment and an id without data: it moves the client's cursor and hands on nothing."""
    return b": ping\nid: %d\n\n" % sequence
