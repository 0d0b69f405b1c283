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
    ToolDenied,
    ToolErred,
    ToolReturned,
    plain,
)

_DONE: Final = Frame(b"[DONE]")
_REASONS: Final = {
    "maxtokens": "length",
    "length": "length",
    "maxiterations": "length",
    "budgetexhausted": "length",
    "budgetexceeded": "length",
    "safety": "content_filter",
    "contentfilter": "content_filter",
    "tooluse": "tool_calls",
    "toolcall": "tool_calls",
    "toolcalls": "tool_calls",
}
"""Everything else is `stop`."""

APART: Final = "\n\n"
"""Between the messages of one run where they become one text."""

_NO_RUN: Final = RunOpened("none", 0, "lago")


def client_call_id(run_id: str, call_id: str) -> str:
    """What a client is told of a call that it has to run: call ids are unique within a session only."""
    return f"call_{run_id}_{call_id}"


class OpenAiMachine:
    """One open completion at most."""

    def __init__(self, *, with_usage: bool = False, with_tools: bool = True, model: str | None = None) -> None:
        """`model` is what the client calls it, where it named one. `with_tools=False` leaves out the calls, which are not the client's to run; messages are then set apart by an empty line."""
        self.run_ended = False
        self._with_usage = with_usage
        self._with_tools = with_tools
        self._model = model
        self._reader = RunReader()
        self._is_done = False
        """Whether `[DONE]` was the last that was said."""
        self._clear()

    def _clear(self) -> None:
        self._run = _NO_RUN
        self._has_role = False
        self._calls = 0
        self._open_calls: set[str] = set()
        """The client's calls without an answer."""
        self._is_apart = False
        """Whether a message has ended, so that the next one is set apart."""

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
                    apart = APART if self._is_apart and not self._with_tools else ""
                    self._is_apart = False
                    frames.append(self._delta({"content": apart + part.text}))
                case TextEnded():
                    self._is_apart = True
                case ToolCalled() if self._with_tools or part.is_clients:
                    self._is_apart = False
                    self._open_calls |= {part.call_id} if part.is_clients else set()
                    frames.append(self._delta({"tool_calls": [self._call(part)]}))
                case ToolReturned() | ToolErred() | ToolDenied():
                    self._open_calls.discard(part.call_id)
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

    def calls_out(self) -> bytes:
        """The end of a completion whose run waits for the client's own tools; empty when it does not."""
        if not self._open_calls:
            return b""
        self._is_done = True
        return render([self._delta({}, finish_reason="tool_calls"), _DONE], 0)

    def _call(self, called: ToolCalled) -> dict[str, Json]:
        arguments = msgspec.json.encode(called.arguments).decode()
        index, self._calls = self._calls, self._calls + 1
        return {
            "index": index,
            "id": called.call_id if self._with_tools else client_call_id(self._run.run_id, called.call_id),
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
                    "model": self._model or self._run.model,
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
