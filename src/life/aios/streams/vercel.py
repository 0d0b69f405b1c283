"""The AI SDK's UI message stream, as its versions 6 and 7 read it: one message a run.

`start`, per step `start-step` … `finish-step`, text blocks with one id each, tool calls with their input and what came of them, `finish`,
`[DONE]`. Events that are none of these come as transient `data-aios-event` parts: they reach `onData` and never the message.
The response carries `x-vercel-ai-ui-message-stream: v1`. Source: AI SDK, "Stream protocols"; lago.md §8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from life.aios.errors import LifeError
from life.aios.json import Json
from life.aios.record import EventRecord, encode_record
from life.aios.streams.format import StreamFormat
from life.aios.streams.frames import Frame, comment, cursor_frame, render
from life.aios.streams.runs import (
    ApprovalAnswered,
    ApprovalAsked,
    Part,
    ReasoningTold,
    RunBroke,
    RunEnded,
    RunOpened,
    RunReader,
    StepEnded,
    TextEnded,
    TextPiece,
    ToolCalled,
    ToolDenied,
    ToolErred,
    ToolReturned,
    plain,
)

_DONE: Final = Frame(b"[DONE]")
_REASONS: Final = {
    "completed": "stop",
    "stop": "stop",
    "endturn": "stop",
    "maxtokens": "length",
    "length": "length",
    "maxiterations": "length",
    "budgetexhausted": "length",
    "budgetexceeded": "length",
    "safety": "content-filter",
    "contentfilter": "content-filter",
    "tooluse": "tool-calls",
    "toolcall": "tool-calls",
    "toolcalls": "tool-calls",
}
"""Everything else is `other`."""


class VercelMachine:
    """One open message at most, in it one open step, in it one open text block."""

    def __init__(self, *, tells_denials: bool = False, tells_answers: bool = False) -> None:
        """`tells_denials`: a refused call is `tool-output-denied` (readers since version 6); otherwise an error with its words.
        `tells_answers`: the answer to an approval is a part (readers since version 7)."""
        self.run_ended = False
        self._tells_denials = tells_denials
        self._tells_answers = tells_answers
        self._reader = RunReader()
        self._is_open = False
        self._is_done = False
        """Whether `[DONE]` was the last that was said, but for data parts."""
        self._step_open = False
        self._text_id: str | None = None
        self._texts = 0
        self._reasonings = 0

    def feed(self, record: EventRecord) -> Sequence[Frame]:
        """See Machine."""
        self.run_ended = False
        parts = self._reader.read(record)
        if not parts or (isinstance(parts[0], ApprovalAnswered) and not self._tells_answers):
            return (_data(record),) if record.sequence > 0 else ()
        frames: list[Frame] = []
        for part in parts:
            self._tell(part, frames)
        return frames

    def done(self) -> bytes:
        """See Machine. A message that is still open is closed for the reason `other`: the run goes on without this stream."""
        if not self._is_open:
            return b"" if self._is_done else b"data: [DONE]\n\n"
        frames: list[Frame] = []
        self._finish("other", frames)
        return render(frames, 0)

    def _tell(self, part: Part, frames: list[Frame]) -> None:
        match part:
            case RunOpened():
                self._is_open, self._is_done, self._texts, self._reasonings = True, False, 0, 0
                frames.append(_frame("start", messageId=part.run_id))
            case TextPiece():
                self._open_text(frames)
                frames.append(_frame("text-delta", id=self._text_id, delta=part.text))
            case TextEnded():
                self._end_text(frames)
            case ToolCalled():
                self._open_step(frames)
                frames += _call(part)
            case ToolReturned():
                frames.append(_frame("tool-output-available", toolCallId=part.call_id, output=part.output))
            case ToolErred():
                frames.append(_frame("tool-output-error", toolCallId=part.call_id, errorText=part.error))
            case ApprovalAsked():
                frames.append(_frame("tool-approval-request", approvalId=part.approval_id, toolCallId=part.call_id))
            case ApprovalAnswered():
                answer: dict[str, Json] = {"approvalId": part.approval_id, "approved": part.approved}
                if part.reason:
                    answer["reason"] = part.reason
                frames.append(_frame("tool-approval-response", **answer))
            case ToolDenied() if self._tells_denials:
                frames.append(_frame("tool-output-denied", toolCallId=part.call_id))
            case ToolDenied():
                frames.append(_frame("tool-output-error", toolCallId=part.call_id, errorText=part.error))
            case ReasoningTold():
                self._end_text(frames)
                self._open_step(frames)
                self._reasonings += 1
                name = f"reasoning-{self._reasonings}"
                frames.append(_frame("reasoning-start", id=name))
                frames.append(_frame("reasoning-delta", id=name, delta=part.text))
                frames.append(_frame("reasoning-end", id=name))
            case StepEnded():
                self._end_step(frames)
            case RunEnded():
                self._finish(_REASONS.get(plain(part.reason), "other"), frames)
            case RunBroke():
                frames.append(_frame("error", errorText=part.error))
                self._finish("error", frames)

    def _open_step(self, frames: list[Frame]) -> None:
        if not self._step_open:
            self._step_open = True
            frames.append(_frame("start-step"))

    def _open_text(self, frames: list[Frame]) -> None:
        if self._text_id is None:
            self._open_step(frames)
            self._texts += 1
            self._text_id = f"text-{self._texts}"
            frames.append(_frame("text-start", id=self._text_id))

    def _end_text(self, frames: list[Frame]) -> None:
        if self._text_id is not None:
            frames.append(_frame("text-end", id=self._text_id))
            self._text_id = None

    def _end_step(self, frames: list[Frame]) -> None:
        self._end_text(frames)
        if self._step_open:
            self._step_open = False
            frames.append(_frame("finish-step"))

    def _finish(self, reason: str, frames: list[Frame]) -> None:
        self._end_step(frames)
        frames += (_frame("finish", finishReason=reason), _DONE)
        self._is_open, self._is_done, self.run_ended = False, True, True


def _call(called: ToolCalled) -> list[Frame]:
    arguments = msgspec.json.encode(called.arguments).decode()
    call_id, name = called.call_id, called.tool_name
    return [
        _frame("tool-input-start", toolCallId=call_id, toolName=name),
        _frame("tool-input-delta", toolCallId=call_id, inputTextDelta=arguments),
        _frame("tool-input-available", toolCallId=call_id, toolName=name, input=called.arguments),
    ]


def _data(record: EventRecord) -> Frame:
    event_id = msgspec.json.encode(record.event_id)
    return Frame(b'{"type":"data-aios-event","id":%b,"data":%b,"transient":true}' % (event_id, encode_record(record)))


def _frame(type_: str, **fields: Json) -> Frame:
    return Frame(msgspec.json.encode({"type": type_, **fields}))


def _error(error: LifeError) -> bytes:
    return render([_frame("error", errorText=f"{error.message} [{error.code}]")], 0)


VERCEL: Final = StreamFormat(
    "vercel",
    VercelMachine,
    _error,
    heartbeat=lambda cursor, _moved: cursor_frame(cursor),
    ready=lambda sequence: comment(b"ready %d" % sequence),
    headers=(("x-vercel-ai-ui-message-stream", "v1"),),
)
