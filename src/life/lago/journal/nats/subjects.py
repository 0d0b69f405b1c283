"""Subjects of a journal's messages. `<name>` is the journal's name, which is the stream's as well.

    <name>.e.<session>.<branch>             an event
    <name>.i.<event id>                     the id of the event that is the very next message
    <name>.m.<session>.<branch>.<number>    a mark before event `number` x 128 + 1 of its stream; number 0 begins the stream
    <name>.g                                a guard: no content, only an expectation about another subject
    <name>.live.<session>.<branch>          not stored: the server repeats each stored event's headers here
    <name>.contend                          not stored: writers who were too late say so (see contention)

Ids go into subjects as they are, but for the characters that mean something to NATS (`.`, `*`, `>`), the percent sign and
`$`, which are escaped as in URLs. So a stream's events are one subject, and every id is a subject of its own: the server
itself sees to it that an id occurs once, for ever, and that a head is where the writer thinks it is.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from life.aios.errors import InvalidInputError
from life.aios.record import Stream

MARK_EVERY: Final = 128
"""Every so many events of a stream have a mark, which is where reading by sequence begins."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SPECIAL: Final = re.compile(r"[%.*>$]")


def token(value: str) -> str:
    """An id as one token of a subject."""
    return _SPECIAL.sub(lambda found: f"%{ord(found[0]):02X}", value)


class Subjects:
    """The subjects of one journal."""

    def __init__(self, name: str) -> None:
        """InvalidInputError for a name that is not 1 to 64 letters, digits, `-` and `_`."""
        if _NAME.fullmatch(name) is None:
            raise InvalidInputError(
                "A journal on NATS is named with 1 to 64 letters, digits, '-' and '_', beginning with a letter or digit."
            )
        self.name = name
        self.guard = f"{name}.g"
        self.stored = [f"{name}.e.*.*", f"{name}.i.*", f"{name}.m.*.*.*", self.guard]
        """Everything the stream stores."""
        self.republish = (f"{name}.e.*.*", f"{name}.live.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}")
        """Source and destination of what is repeated live."""

    def event(self, stream: Stream) -> str:
        """Where a stream's events are."""
        return f"{self.name}.e.{token(stream.session_id)}.{token(stream.branch_id)}"

    def events(self, session_id: str | None, branch_id: str | None) -> str:
        """The filter for the events of a query."""
        return f"{self.name}.e.{_some(session_id)}.{_some(branch_id)}"

    def live(self, session_id: str | None, branch_id: str | None) -> str:
        """Where the arrival of such events is announced."""
        return f"{self.name}.live.{_some(session_id)}.{_some(branch_id)}"

    def identity(self, event_id: str) -> str:
        """The subject that is an event's id."""
        return f"{self.name}.i.{token(event_id)}"

    def mark(self, stream: Stream, number: int) -> str:
        """The mark before event `number` x 128 + 1."""
        return f"{self.name}.m.{token(stream.session_id)}.{token(stream.branch_id)}.{number}"

    def beginnings(self, session_id: str | None) -> str:
        """The filter for the first marks of all streams (of one session)."""
        return f"{self.name}.m.{_some(session_id)}.*.0"


def stream_of(subject: str) -> Stream:
    """The stream that an event or a mark belongs to, by its subject."""
    parts = subject.split(".")
    return Stream(unquote(parts[2]), unquote(parts[3]))


def _some(value: str | None) -> str:
    return "*" if value is None else token(value)
