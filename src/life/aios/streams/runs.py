"""What the assistant put out, run by run.

The provider formats tell one thing each from the same events; this reading finds it. Both pairs of names are read
(Message/AssistantMessageCommitted, TextDelta/AssistantTextDelta). Text that was told in pieces is not told again by the message that closes it;
only what the pieces lacked is. Messages of other roles are nobody's output.

A run goes from RunStarted to RunFinished or RunErrored. Output outside of one is a run by itself: from its first piece to the
next whole message. Nothing reaches over the end of a run, so a reading may begin at any run's beginning.

Ephemeral pieces (sequence 0) name their message in `causation_id` and count the characters before them in `index`; a piece that overlaps
what is known is cut, one behind a gap is left to the whole message. They wait for no disk: the first ones of a message may overtake the stored
end of the step before it, which is then told in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

import msgspec

from life.aios.events import (
    ApprovalRequested,
    ApprovalResolved,
    AssistantMessageCommitted,
    AssistantTextDelta,
    Custom,
    Message,
    RunErrored,
    RunFinished,
    RunStarted,
    StepFinished,
    TextDelta,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallRequested,
    ToolCallStarted,
    UserMessage,
)
from life.aios.json import Json
from life.aios.record import EventRecord
from life.aios.state import TokenUsage

RUN_KINDS: Final = ("RunStarted", "RunFinished", "RunErrored")
MESSAGE_KINDS: Final = ("Message", "AssistantMessageCommitted", "UserMessage")
REASONING: Final = "arcan.reasoning"
UNKNOWN_MODEL: Final = "lago"
_ERROR_TEXT: Final = "The run ended with an error."
_INTERRUPTED: Final = "interrupted"


class RunOpened(NamedTuple):
    """A run begins. `run_id` is the id of the event that it begins with."""

    run_id: str
    at_us: int
    model: str


class TextPiece(NamedTuple):
    """More of the message that is being written."""

    text: str


class ReasoningTold(NamedTuple):
    """What the model thought, as far as people may read it. It is known after the message that it stands in."""

    text: str


class TextEnded(NamedTuple):
    """The message is whole."""


class ToolCalled(NamedTuple):
    """The assistant asks for a tool."""

    call_id: str
    tool_name: str
    arguments: Json
    is_clients: bool = False
    """Whether the client has to run it, and answers."""


class ToolReturned(NamedTuple):
    """The tool's answer to a call of this run."""

    call_id: str
    output: Json


class ToolErred(NamedTuple):
    """A call of this run without an answer."""

    call_id: str
    error: str


class ApprovalAsked(NamedTuple):
    """A person has to decide about a call of this run."""

    approval_id: str
    call_id: str


class ApprovalAnswered(NamedTuple):
    """The decision about a call of this run."""

    approval_id: str
    call_id: str
    approved: bool
    reason: str | None


class ToolDenied(NamedTuple):
    """A call of this run that was refused by a person, or by the time that ran out."""

    call_id: str
    error: str


class StepEnded(NamedTuple):
    """A model call and what followed from it is over."""


class RunEnded(NamedTuple):
    """The run is over, for this reason."""

    reason: str
    usage: TokenUsage | None


class RunBroke(NamedTuple):
    """The run is over by an error."""

    error: str


Part: TypeAlias = (
    RunOpened
    | TextPiece
    | ReasoningTold
    | TextEnded
    | ToolCalled
    | ToolReturned
    | ToolErred
    | ApprovalAsked
    | ApprovalAnswered
    | ToolDenied
    | StepEnded
    | RunEnded
    | RunBroke
)


class RunReader:
    """Reads records in order. `read` gives what an event means for the assistant's output; nothing for most."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._run: RunOpened | None = None
        self._is_own = False
        """Whether the open run is one by itself, without a RunStarted."""
        self._text: list[str] = []
        self._message_id: str | None = None
        self._characters = 0
        self._has_text = False
        """Whether the run has told any text."""
        self._step_spoke = False
        """Whether the open step has its whole message."""
        self._step_told = False
        """Whether the end of the step was told before its event came."""
        self._calls: set[str] = set()
        self._answered: set[str] = set()
        self._approvals: dict[str, str] = {}
        """Call ids by the approvals that were asked for."""
        self._denied: set[str] = set()
        self._call_of_run: dict[str, str] = {}
        """Call ids by the ids of their tool runs: older events name only those."""
        self._usage: TokenUsage | None = None

    @property
    def is_open(self) -> bool:
        """Whether a run is open."""
        return self._run is not None

    def read(self, record: EventRecord) -> list[Part]:
        """The meaning of the next event."""
        match record.kind:
            case RunStarted() as kind:
                parts = self._close(_INTERRUPTED)
                return [*parts, self._open(record, kind.provider or UNKNOWN_MODEL, is_own=False)]
            case RunFinished() as kind:
                return self._finish(kind) if self._run is not None else []
            case RunErrored() as kind:
                return [*self._end_text(), *self._reset(RunBroke(kind.error or _ERROR_TEXT))] if self._run else []
            case AssistantTextDelta() | TextDelta() as kind:
                return self._piece(record, kind.delta, kind.index)
            case Message() | AssistantMessageCommitted() as kind:
                return self._message(record, kind)
            case UserMessage():
                return self._close(_INTERRUPTED) if self._is_own else []
            case ToolCallRequested() as kind:
                if kind.call_id in self._calls:
                    return []
                opened = self._opened(record)
                self._calls.add(kind.call_id)
                return [*opened, *self._end_text(), self._called(kind)]
            case ToolCallStarted() as kind:
                if kind.call_id is not None:
                    self._call_of_run[kind.tool_run_id] = kind.call_id
                return []
            case ToolCallCompleted() as kind:
                return self._completed(kind)
            case ToolCallFailed() as kind:
                return self._failed(kind)
            case ApprovalRequested() as kind:
                return self._asked(kind)
            case ApprovalResolved() as kind:
                return self._resolved(kind)
            case Custom() as kind if kind.event_type == REASONING and self._run is not None:
                text = _readable(kind.data)
                return [ReasoningTold(text)] if text else []
            case StepFinished():
                return self._step_finished() if self._run is not None else []
            case _:
                return []

    # ---- runs

    def _opened(self, record: EventRecord, model: str | None = None) -> list[Part]:
        """What opens a run for output that comes without one."""
        return [] if self._run is not None else [self._open(record, model or UNKNOWN_MODEL, is_own=True)]

    def _open(self, record: EventRecord, model: str, *, is_own: bool) -> RunOpened:
        # The first piece of an ephemeral message is not stored: the message it belongs to is what stays.
        run_id = record.causation_id if record.sequence == 0 and record.causation_id else record.event_id
        self._run = RunOpened(run_id, record.timestamp_us, model)
        self._is_own = is_own
        return self._run

    def _finish(self, kind: RunFinished) -> list[Part]:
        if kind.reason.lower() == "error":
            return [*self._end_text(), *self._reset(RunBroke(_ERROR_TEXT))]
        parts: list[Part] = self._end_text()
        if not self._has_text and kind.final_answer:
            parts += (TextPiece(kind.final_answer), TextEnded())
        return [*parts, *self._reset(RunEnded(kind.reason, kind.usage or self._usage))]

    def _close(self, reason: str) -> list[Part]:
        if self._run is None:
            return []
        return [*self._end_text(), *self._reset(RunEnded(reason, self._usage))]

    def _reset(self, last: RunEnded | RunBroke) -> list[Part]:
        self._clear()  # nothing reaches over the end of a run
        return [last]

    def _step_finished(self) -> list[Part]:
        told, self._step_told, self._step_spoke = self._step_told, False, False
        return [] if told else [*self._end_text(), StepEnded()]

    # ---- text

    def _piece(self, record: EventRecord, text: str, index: int | None) -> list[Part]:
        parts: list[Part] = []
        if record.sequence == 0 and index is not None:
            if self._message_id != record.causation_id:
                parts += self._end_text()
                if self._step_spoke:  # its end is on its way to the disk: the next message is not part of it
                    parts.append(StepEnded())
                    self._step_spoke, self._step_told = False, True
                self._message_id = record.causation_id
            if index > self._characters:
                return parts
            text = text[self._characters - index :]
        if not text:
            return parts
        self._text.append(text)
        self._characters += len(text)
        self._has_text = True
        return [*parts, *self._opened(record), TextPiece(text)]

    def _message(self, record: EventRecord, kind: Message | AssistantMessageCommitted) -> list[Part]:
        if kind.role.lower() != "assistant":
            return self._close(_INTERRUPTED) if self._is_own else []
        parts: list[Part] = [] if not kind.content else self._opened(record, kind.model)
        told = "".join(self._text)
        rest = kind.content[len(told) :] if kind.content.startswith(told) else ""
        if rest:
            parts.append(TextPiece(rest))
        self._has_text = self._has_text or bool(rest)
        if told or rest:
            self._text = [""]
            parts += self._end_text()
        self._usage = _sum(self._usage, kind.token_usage)
        self._step_spoke, self._step_told = not self._is_own, False
        if self._is_own:
            parts += self._reset(RunEnded("completed", self._usage))
        return parts

    def _end_text(self) -> list[Part]:
        was_open = bool(self._text)
        self._text, self._characters, self._message_id = [], 0, None
        return [TextEnded()] if was_open else []

    # ---- tools

    def _completed(self, kind: ToolCallCompleted) -> list[Part]:
        call_id = kind.call_id or self._call_of_run.get(kind.tool_run_id, kind.tool_run_id)
        if not self._answer(call_id):
            return []
        if kind.status == "ok":
            return [ToolReturned(call_id, kind.result)]
        return [ToolErred(call_id, kind.result if isinstance(kind.result, str) else _as_text(kind.result))]

    def _called(self, kind: ToolCallRequested) -> ToolCalled:
        return ToolCalled(kind.call_id, kind.tool_name, kind.arguments, kind.category == "client")

    def _failed(self, kind: ToolCallFailed) -> list[Part]:
        if not self._answer(kind.call_id):
            return []
        told = ToolDenied if kind.call_id in self._denied else ToolErred
        return [told(kind.call_id, kind.error)]

    def _asked(self, kind: ApprovalRequested) -> list[Part]:
        if kind.call_id not in self._calls:
            return []
        self._approvals[kind.approval_id] = kind.call_id
        return [ApprovalAsked(kind.approval_id, kind.call_id)]

    def _resolved(self, kind: ApprovalResolved) -> list[Part]:
        call_id = self._approvals.pop(kind.approval_id, None)
        if call_id is None:
            return []
        approved = kind.decision == "approved"
        if not approved:
            self._denied.add(call_id)
        return [ApprovalAnswered(kind.approval_id, call_id, approved, kind.reason)]

    def _answer(self, call_id: str) -> bool:
        """Whether this is the first answer to a call of this run."""
        if call_id not in self._calls or call_id in self._answered:
            return False
        self._answered.add(call_id)
        return True


def plain(reason: str) -> str:
    """A reason without case and separators: `MaxTokens` and `max_tokens` are one."""
    return reason.replace("_", "").replace("-", "").lower()


def _readable(data: Json) -> str:
    """The readable texts of a reasoning event: `{"blocks": [{"block": {"text": …}}, …]}`."""
    blocks = data.get("blocks") if isinstance(data, Mapping) else None
    texts: list[str] = []
    for placed in blocks if isinstance(blocks, list | tuple) else ():
        block = placed.get("block") if isinstance(placed, Mapping) else None
        text = block.get("text") if isinstance(block, Mapping) else None
        if isinstance(text, str) and text:
            texts.append(text)
    return "\n\n".join(texts)


def _sum(one: TokenUsage | None, other: TokenUsage | None) -> TokenUsage | None:
    if one is None or other is None:
        return one or other
    return TokenUsage(
        one.prompt_tokens + other.prompt_tokens,
        one.completion_tokens + other.completion_tokens,
        one.total_tokens + other.total_tokens,
    )


def _as_text(value: Json) -> str:
    return msgspec.json.encode(value).decode()
