"""AG-UI's events of one run (protocol 1.0), as a state machine over the journal's.

    RUN_STARTED, STATE_SNAPSHOT              when the telling begins
    STEP_STARTED … STEP_FINISHED             one model call and what follows from it
    TEXT_MESSAGE_START, _CONTENT, _END       what the agent says; REASONING_* what it thought
    TOOL_CALL_START, _ARGS, _END, _RESULT    its calls, which run here
    STATE_DELTA                              mode and state vector when they move
    RUN_FINISHED                             outcome success (perhaps with calls that the client has to run), cancelled, or interrupt:
                                             approvals that are open
    RUN_ERROR                                the run broke

Source: AG-UI 1.0, "Events", "Interrupts".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from life.aios.events import ApprovalRequested, StateEstimated, StepStarted
from life.aios.json import Json
from life.aios.record import EventRecord
from life.aios.state import TokenUsage
from life.aios.streams.frames import Frame, render
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
from life.arcan.session_state import SessionState

PROTOCOL_VERSION: Final = "1.0"
_ANSWER_SCHEMA: Final[dict[str, Json]] = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "reason": {"type": "string"}},
    "required": ["approved"],
}


class AgUiMachine:
    """One run of the client's. What stands at or before `after` was told in an earlier one: it is read, and not told."""

    def __init__(self, thread_id: str, client_run_id: str, *, after: int) -> None:
        self.run_ended = False
        self._ids: dict[str, Json] = {"threadId": thread_id, "runId": client_run_id}
        self._after = after
        self._reader = RunReader()
        self._run_id = ""
        self._model = ""
        self._message: str | None = None
        self._messages = 0
        self._step: str | None = None
        self._interrupts: dict[str, ApprovalRequested] = {}
        self._pending: list[str] = []
        """The client's own calls that wait for its answers."""

    def begin(self, state: SessionState) -> bytes:
        """How the telling begins."""
        snapshot: Json = {
            "session_id": state.session_id,
            "mode": state.mode,
            "state": msgspec.to_builtins(state.vector),
        }
        started = _frame("RUN_STARTED", protocolVersion=PROTOCOL_VERSION, **self._ids)
        return render([started, _frame("STATE_SNAPSHOT", snapshot=snapshot)], 0)

    def feed(self, record: EventRecord) -> Sequence[Frame]:
        """See Machine."""
        frames: list[Frame] = []
        kind = record.kind
        if isinstance(kind, ApprovalRequested):
            self._interrupts[kind.approval_id] = kind
        elif isinstance(kind, StepStarted):
            frames += self._end_step()
            self._step = f"step-{kind.index}"
            frames.append(_frame("STEP_STARTED", stepName=self._step))
        elif isinstance(kind, StateEstimated):
            moved: Json = [
                {"op": "replace", "path": "/mode", "value": kind.mode},
                {"op": "replace", "path": "/state", "value": msgspec.to_builtins(kind.state)},
            ]
            frames.append(_frame("STATE_DELTA", delta=moved))
        for part in self._reader.read(record):
            if not self.run_ended:
                self._tell(part, frames)
        if 0 < record.sequence <= self._after:
            self._step = self._message = None
            self.run_ended = False
            return ()
        return frames

    def done(self) -> bytes:
        """The run rests: it waits for answers, which come with another run of the client's."""
        frames = [*self._end_text(), *self._end_step()]
        if not self._interrupts and self._pending:
            outcome: Json = {"type": "success", "pendingToolCallIds": list(self._pending)}
            return render([*frames, _frame("RUN_FINISHED", outcome=outcome, **self._ids)], 0)
        if not self._interrupts:
            message = "The run stands still until a person decides about a tool call in doubt."
            return render([*frames, _frame("RUN_ERROR", message=message, code="arcan.run_needs_person")], 0)
        interrupts: list[Json] = [
            {
                "id": asked.approval_id,
                "reason": "tool_call",
                "message": f"May the tool {asked.tool_name} run? ({asked.risk} risk)",
                "toolCallId": asked.call_id,
                "responseSchema": _ANSWER_SCHEMA,
            }
            for asked in self._interrupts.values()
        ]
        outcome = {"type": "interrupt", "interrupts": interrupts}
        return render([*frames, _frame("RUN_FINISHED", outcome=outcome, **self._ids)], 0)

    def _tell(self, part: Part, frames: list[Frame]) -> None:
        match part:
            case RunOpened():
                self._run_id, self._model = part.run_id, part.model
            case TextPiece():
                frames += self._text(part.text)
            case TextEnded():
                frames += self._end_text()
            case ReasoningTold():
                frames += self._end_text()
                frames += self._reasoning(part.text)
            case ToolCalled():
                frames += self._end_text()
                frames += _call(part)
                if part.is_clients:
                    self._pending.append(part.call_id)
            case ToolReturned() | ToolErred() if part.call_id in self._pending:
                self._pending.remove(part.call_id)  # the client knows its own answer
            case ToolReturned():
                frames.append(_result(part.call_id, _as_text(part.output)))
            case ToolErred() | ToolDenied():
                frames.append(_result(part.call_id, part.error))
            case ApprovalAsked():
                pass
            case ApprovalAnswered():
                self._interrupts.pop(part.approval_id, None)
            case StepEnded():
                frames += self._end_text()
                frames += self._end_step()
            case RunEnded():
                frames += [*self._end_text(), *self._end_step(), self._finished(part)]
                self.run_ended = True
            case RunBroke():
                frames += [*self._end_text(), *self._end_step(), _frame("RUN_ERROR", message=part.error)]
                self.run_ended = True

    def _finished(self, ended: RunEnded) -> Frame:
        outcome: Json = {"type": "cancelled" if plain(ended.reason) == "cancelled" else "success"}
        result: Json = {"reason": ended.reason}
        return _frame(
            "RUN_FINISHED", outcome=outcome, result=result, usage=[_usage(ended.usage, self._model)], **self._ids
        )

    def _text(self, text: str) -> list[Frame]:
        frames: list[Frame] = []
        if self._message is None:
            self._message = self._new_message()
            frames.append(_frame("TEXT_MESSAGE_START", messageId=self._message, role="assistant"))
        return [*frames, _frame("TEXT_MESSAGE_CONTENT", messageId=self._message, delta=text)]

    def _end_text(self) -> list[Frame]:
        if self._message is None:
            return []
        message, self._message = self._message, None
        return [_frame("TEXT_MESSAGE_END", messageId=message)]

    def _reasoning(self, text: str) -> list[Frame]:
        message = self._new_message()
        return [
            _frame("REASONING_START", messageId=message),
            _frame("REASONING_MESSAGE_START", messageId=message, role="reasoning"),
            _frame("REASONING_MESSAGE_CONTENT", messageId=message, delta=text),
            _frame("REASONING_MESSAGE_END", messageId=message),
            _frame("REASONING_END", messageId=message),
        ]

    def _new_message(self) -> str:
        self._messages += 1
        return f"{self._run_id}-{self._messages}"

    def _end_step(self) -> list[Frame]:
        if self._step is None:
            return []
        step, self._step = self._step, None
        return [_frame("STEP_FINISHED", stepName=step)]


def _call(called: ToolCalled) -> list[Frame]:
    arguments = msgspec.json.encode(called.arguments).decode()
    return [
        _frame("TOOL_CALL_START", toolCallId=called.call_id, toolCallName=called.tool_name),
        _frame("TOOL_CALL_ARGS", toolCallId=called.call_id, delta=arguments),
        _frame("TOOL_CALL_END", toolCallId=called.call_id),
    ]


def _result(call_id: str, content: str) -> Frame:
    return _frame("TOOL_CALL_RESULT", messageId=f"{call_id}-result", toolCallId=call_id, content=content, role="tool")


def _usage(usage: TokenUsage | None, model: str) -> dict[str, Json]:
    used = usage or TokenUsage()
    return {
        "model": model,
        "inputTokens": used.prompt_tokens,
        "outputTokens": used.completion_tokens,
        "totalTokens": used.prompt_tokens + used.completion_tokens,
    }


def _as_text(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _frame(type_: str, **fields: Json) -> Frame:
    return Frame(msgspec.json.encode({"type": type_, **fields}))
