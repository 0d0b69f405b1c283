"""OpenAI's `chat.completion.chunk`: one completion a run.

The role stands in the first delta only. Tool calls come as `delta.tool_calls`, each whole in one chunk; what tools answer is not part of
a completion. A run ends with one chunk that has the finish reason, the usage chunk where it was asked for, and `[DONE]`.

The official client takes a frame without data for broken JSON, so a cursor can't be told by an id alone: a heartbeat whose cursor
moved is a chunk with an empty delta. Source: OpenAI API reference, "Chat completion chunk object"; lago.md §8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from life.aios.json import Json
from life.aios.record import EventRecord
from life.lago.streams.format import StreamFormat
from life.lago.streams.frames import Frame, comment
from life.lago.streams.runs import (
    RunBroke,
    RunEnded,
    RunOpened,
    RunReader,
    TextPiece,
    ToolCalled,
    plain,
)

_DONE: Final = Frame(b"[DONE]")
_REASONS: Final = {
    "maxtokens": "length",
    "length": "length",
    "maxiterations": "length",
    "budgetexhausted": "length",
    "safety": "content_filter",
    "contentfilter": "content_filter",
    "tooluse": "tool_calls",
    "toolcall": "tool_calls",
    "toolcalls": "tool_calls",
}
"""Everything else is `stop`."""

_NO_RUN: Final = RunOpened("none", 0, "lago")


class OpenAiMachine:
    """One open completion at most."""

    def __init__(self, *, with_usage: bool = False) -> None:
        self.run_ended = False
        self._with_usage = with_usage
        self._reader = RunReader()
        self._is_done = False
        """Whether `[DONE]` was the last that was said."""
        self._clear()

    def _clear(self) -> None:
        self._run = _NO_RUN
        self._has_role = False
        self._calls = 0

    def feed(self, record: EventRecord) -> Sequence[Frame]:
        """See Machine."""
        self.run_ended = False
        frames: list[Frame] = []
        for part in self._reader.read(record):
            match part:
                case RunOpened():
                    self._clear()
                    self._run, self._is_done = part, False
                case TextPiece():
                    frames.append(self._delta({"content": part.text}))
                case ToolCalled():
                    frames.append(self._delta({"tool_calls": [self._call(part)]}))
                case RunEnded():
                    frames += self._end(part)
                case RunBroke():
                    self.run_ended = self._is_done = True
                    frames += (Frame(_error(part.error, "run_error", "run_failed")), _DONE)
                case _:
                    pass
        return frames

    def done(self) -> bytes:
        """See Machine."""
        return b"" if self._is_done else b"data: [DONE]\n\n"

    def _call(self, called: ToolCalled) -> dict[str, Json]:
        arguments = msgspec.json.encode(called.arguments).decode()
        index, self._calls = self._calls, self._calls + 1
        return {
            "index": index,
            "id": called.call_id,
            "type": "function",
            "function": {"name": called.tool_name, "arguments": arguments},
        }

    def _end(self, ended: RunEnded) -> list[Frame]:
        self.run_ended = self._is_done = True
        frames = [self._delta({}, finish_reason=_REASONS.get(plain(ended.reason), "stop"))]
        if self._with_usage and ended.usage is not None:
            frames.append(self._chunk([], usage=msgspec.to_builtins(ended.usage)))
        return [*frames, _DONE]

    def _delta(self, delta: dict[str, Json], *, finish_reason: str | None = None) -> Frame:
        if not self._has_role:
            delta = {"role": "assistant", **delta}
            self._has_role = True
        return self._chunk([{"index": 0, "delta": delta, "finish_reason": finish_reason}])

    def _chunk(self, choices: Sequence[Mapping[str, Json]], **more: Json) -> Frame:
        return Frame(
            msgspec.json.encode(
                {
                    "id": f"chatcmpl-{self._run.run_id}",
                    "object": "chat.completion.chunk",
                    "created": self._run.at_us // 1_000_000,
                    "model": self._run.model,
                    "choices": choices,
                    **more,
                }
            )
        )


def _error(message: str, type_: str, code: str) -> bytes:
    return msgspec.json.encode({"error": {"message": message, "type": type_, "param": None, "code": code}})


def _heartbeat(cursor: int, moved: bool) -> bytes:
    if not moved:
        return comment(b"ping")
    return (
        b'id: %d\ndata: {"id":"chatcmpl-heartbeat","object":"chat.completion.chunk","created":0,"model":"lago","choices":[{"index":0,"delta":{},"finish_reason":null}]}\n\n'
        % (cursor)
    )


def _format(name: str, *, with_usage: bool) -> StreamFormat:
    return StreamFormat(
        name,
        lambda: OpenAiMachine(with_usage=with_usage),
        lambda error: b"data: %b\n\n" % _error(error.message, "server_error", error.code),
        heartbeat=_heartbeat,
        ready=lambda sequence: comment(b"ready %d" % sequence),
    )


OPENAI: Final = _format("openai", with_usage=False)
OPENAI_WITH_USAGE: Final = _format("openai+usage", with_usage=True)
"""With the usage chunk, as `stream_options.include_usage` gives it."""
