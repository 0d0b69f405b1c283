"""Anthropic's Messages stream: one message a run.

`message_start` opens; blocks are numbered, text and `tool_use` (its arguments as one `input_json_delta`); `message_delta` with the stop reason
and `message_stop` close. A run that broke ends with the `error` event. `ping` keeps the line open and moves the cursor.
Source: Anthropic API, "Streaming Messages"; lago.md §8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from life.aios.errors import LifeError
from life.aios.json import Json
from life.aios.record import EventRecord
from life.aios.streams.format import StreamFormat
from life.aios.streams.frames import Frame, comment, render
from life.aios.streams.runs import (
    RunBroke,
    RunEnded,
    RunOpened,
    RunReader,
    TextEnded,
    TextPiece,
    ToolCalled,
    plain,
)

_REASONS: Final = {
    "maxtokens": "max_tokens",
    "length": "max_tokens",
    "maxiterations": "max_tokens",
    "budgetexhausted": "max_tokens",
    "budgetexceeded": "max_tokens",
    "safety": "refusal",
    "contentfilter": "refusal",
    "tooluse": "tool_use",
    "toolcall": "tool_use",
    "toolcalls": "tool_use",
}
"""Everything else is `end_turn`."""


class AnthropicMachine:
    """One open message at most, and in it one open text block at most."""

    def __init__(self, *, with_tools: bool = True, model: str | None = None) -> None:
        """`model` is what the client calls it, where it named one. `with_tools=False` leaves out the calls, which are not the client's to run."""
        self.run_ended = False
        self._with_tools = with_tools
        self._model = model
        self._reader = RunReader()
        self._is_open = False
        self._text_open = False
        self._blocks = 0

    def feed(self, record: EventRecord) -> Sequence[Frame]:
        """See Machine."""
        self.run_ended = False
        frames: list[Frame] = []
        for part in self._reader.read(record):
            match part:
                case RunOpened():
                    frames.append(self._start(part))
                case TextPiece():
                    frames += self._text(part)
                case TextEnded():
                    frames += self._stop_text()
                case ToolCalled() if self._with_tools:
                    frames += self._tool(part)
                case RunEnded():
                    frames += self._end(_REASONS.get(plain(part.reason), "end_turn"), part)
                    self.run_ended = True
                case RunBroke():
                    frames += self._stop_text()
                    frames.append(_error("api_error", part.error))
                    self._is_open, self.run_ended = False, True
                case _:
                    pass
        return frames

    def done(self) -> bytes:
        """See Machine. A message that is still open is closed without a stop reason: the run goes on without this stream."""
        if not self._is_open:
            return b""
        return render([*self._stop_text(), *self._end(None, None)], 0)

    def _start(self, opened: RunOpened) -> Frame:
        self._is_open, self._blocks = True, 0
        message: Json = {
            "id": f"msg_{opened.run_id}",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": self._model or opened.model,
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},
        }
        return _frame("message_start", message=message)

    def _text(self, piece: TextPiece) -> list[Frame]:
        frames = []
        if not self._text_open:
            self._text_open = True
            block: Json = {"type": "text", "text": ""}
            frames.append(_frame("content_block_start", index=self._blocks, content_block=block))
        delta: Json = {"type": "text_delta", "text": piece.text}
        return [*frames, _frame("content_block_delta", index=self._blocks, delta=delta)]

    def _stop_text(self) -> list[Frame]:
        if not self._text_open:
            return []
        self._text_open = False
        index, self._blocks = self._blocks, self._blocks + 1
        return [_frame("content_block_stop", index=index)]

    def _tool(self, called: ToolCalled) -> list[Frame]:
        index, self._blocks = self._blocks, self._blocks + 1
        block: Json = {"type": "tool_use", "id": called.call_id, "name": called.tool_name, "input": {}}
        arguments = msgspec.json.encode(called.arguments).decode()
        delta: Json = {"type": "input_json_delta", "partial_json": arguments}
        return [
            _frame("content_block_start", index=index, content_block=block),
            _frame("content_block_delta", index=index, delta=delta),
            _frame("content_block_stop", index=index),
        ]

    def _end(self, stop_reason: str | None, ended: RunEnded | None) -> list[Frame]:
        self._is_open = False
        used = ended.usage if ended is not None else None
        usage: dict[str, Json] = {"output_tokens": used.completion_tokens if used is not None else 0}
        if used is not None:
            usage["input_tokens"] = used.prompt_tokens
        delta: Json = {"stop_reason": stop_reason, "stop_sequence": None}
        return [_frame("message_delta", delta=delta, usage=usage), _frame("message_stop")]


def _frame(type_: str, **fields: Json) -> Frame:
    return Frame(msgspec.json.encode({"type": type_, **fields}), type_.encode())


def _error(type_: str, message: str) -> Frame:
    return _frame("error", error={"type": type_, "message": message})


def _error_bytes(error: LifeError) -> bytes:
    return render([_error("api_error", f"{error.message} [{error.code}]")], 0)


ANTHROPIC: Final = StreamFormat(
    "anthropic",
    AnthropicMachine,
    _error_bytes,
    heartbeat=lambda cursor, _moved: render([_frame("ping")], cursor),
    ready=lambda sequence: comment(b"ready %d" % sequence),
)
