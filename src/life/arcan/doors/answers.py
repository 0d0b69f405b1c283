"""A whole run as one answer, for clients that do not stream."""

from __future__ import annotations

from contextlib import aclosing

from life.aios.record import EventRecord
from life.aios.streams.openai import APART
from life.aios.streams.runs import (
    RunBroke,
    RunEnded,
    RunOpened,
    RunReader,
    TextEnded,
    TextPiece,
    ToolCalled,
    ToolDenied,
    ToolErred,
    ToolReturned,
    plain,
)
from life.arcan.doors.errors import RunFailedError, RunNeedsPersonError
from life.arcan.doors.telling import Batches


class Answer:
    """What the assistant said in a run, and how the run ended."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.calls: dict[str, ToolCalled] = {}
        """The client's calls that wait for its answers."""
        self.opened: RunOpened | None = None
        self.ended: RunEnded | None = None
        self.broke: RunBroke | None = None

    @property
    def is_ended(self) -> bool:
        """Whether the run is over."""
        return self.ended is not None or self.broke is not None

    @property
    def text(self) -> str:
        """Everything said, message by message."""
        return APART.join(self.messages)

    @property
    def at_us(self) -> int:
        """When the run began."""
        return self.opened.at_us if self.opened is not None else 0

    @property
    def reason(self) -> str:
        """How the run ended, without case and separators; empty when it broke or goes on."""
        return plain(self.ended.reason) if self.ended is not None else ""


class AnswerReader:
    """Builds the answer from the records of one run."""

    def __init__(self) -> None:
        self.answer = Answer()
        self._reader = RunReader()
        self._pieces: list[str] = []

    def feed(self, record: EventRecord) -> None:
        """Take in the next event."""
        answer = self.answer
        for part in self._reader.read(record):
            match part:
                case RunOpened():
                    answer.opened = part
                case TextPiece():
                    self._pieces.append(part.text)
                case TextEnded():
                    answer.messages.append("".join(self._pieces))
                    self._pieces = []
                case ToolCalled() if part.is_clients:
                    answer.calls[part.call_id] = part
                case ToolReturned() | ToolErred() | ToolDenied():
                    answer.calls.pop(part.call_id, None)
                case RunEnded():
                    answer.ended = part
                case RunBroke():
                    answer.broke = part
                case _:
                    pass
            if answer.is_ended:
                return


async def read_answer(batches: Batches, session_id: str, *, after: int = 0) -> Answer:
    """The answer once the run has ended, or waits for the client's own tools; what was said up to `after` is left out. RunFailedError when it ended by an error, RunNeedsPersonError when it stands still."""
    reader = AnswerReader()
    async with aclosing(batches):
        async for batch in batches:
            for record in batch:
                if record.sequence:
                    reader.feed(record)
                    if record.sequence <= after:
                        reader.answer.messages.clear()
            if reader.answer.is_ended:
                break
    answer = reader.answer
    if answer.broke is not None:
        raise RunFailedError(session_id, answer.broke.error)
    if answer.ended is None and not answer.calls:
        raise RunNeedsPersonError(session_id)
    return answer
