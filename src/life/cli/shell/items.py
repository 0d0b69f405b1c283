"""What a person is shown of a session: one thing after the other, without a terminal in it."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from life.aios.json import Json
from life.aios.state import ApprovalDecision, RiskLevel
from life.cli.shell.known_files import Difference
from life.cli.shell.words import dollars

Tone = Literal["plain", "good", "bad", "warning"]


class Said(NamedTuple):
    """What the user said; attachments are named, not shown."""

    text: str
    attachments: tuple[str, ...] = ()
    sequence: int = 0


class Piece(NamedTuple):
    """Text of an answer that is being written, or the rest of one that was."""

    text: str


class MessageEnd(NamedTuple):
    """The answer's text is complete."""

    text: str


class Thought(NamedTuple):
    """What the model let people read of its thinking."""

    text: str


class CallBegun(NamedTuple):
    """A tool began to work."""

    call_id: str
    tool_name: str
    arguments: Json


class CallDone(NamedTuple):
    """A call has its result."""

    call_id: str
    tool_name: str
    arguments: Json
    status: str
    """`ok`, `error`, `timeout`, `cancelled`, or `refused` when it never ran."""
    result: Json
    duration_ms: int
    difference: Difference | None


class Asked(NamedTuple):
    """A call waits for a person."""

    approval_id: str
    call_id: str
    tool_name: str
    arguments: Json
    risk: RiskLevel
    capabilities: tuple[str, ...]
    asked_us: int


class Decided(NamedTuple):
    """The question is answered, by whoever."""

    approval_id: str
    tool_name: str
    decision: ApprovalDecision
    reason: str


class InDoubt(NamedTuple):
    """Nobody but a person can tell whether a call took effect."""

    call_id: str
    tool_name: str
    explanation: str


class DoubtOver(NamedTuple):
    """The doubt was resolved."""

    call_id: str


class RunBegun(NamedTuple):
    """A run began."""

    run_id: str
    model: str


class RunEnded(NamedTuple):
    """A run is over."""

    run_id: str
    reason: str
    summary: str
    error: str
    final_answer: str
    dropped: tuple[str, ...] = ()
    """Messages that waited and will not be said."""


class Note(NamedTuple):
    """Something to know."""

    text: str
    tone: Tone = "plain"


Item = (
    Said
    | Piece
    | MessageEnd
    | Thought
    | CallBegun
    | CallDone
    | Asked
    | Decided
    | InDoubt
    | DoubtOver
    | RunBegun
    | RunEnded
    | Note
)


class Usage(msgspec.Struct):
    """What was used, as far as providers told."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost_micro: int = 0
    uncosted: int = 0
    answers: int = 0
    steps: int = 0
    tool_calls: int = 0
    tool_errors: int = 0

    @property
    def cost(self) -> str:
        """In dollars; empty where nobody knows any."""
        if self.uncosted and not self.cost_micro:
            return ""
        return dollars(self.cost_micro) + ("+" if self.uncosted else "")
