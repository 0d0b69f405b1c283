"""What a conversation remembers of a loop's run: its answers in the framework's own form, and the results of their calls.

The last words of the user are the objective; what stands before them is history, what stands after them is the run so far. The
framework's form of an answer is the sealed payload of a reasoning block, which only its origin reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from life.aios.json import Json
from life.aios.ports.provider import ChatMessage, ReasoningBlock, TextBlock, ToolResultBlock, ToolUseBlock
from life.arcan.errors import LoopDivergedError
from life.arcan.foreign.port import NativeResult

GO_ON: Final = "loop_goes_on"
"""The tool that stands for "the loop asks its model again" where no tool of ours was called."""


class RecordedAnswer(NamedTuple):
    """An answer and what became of its calls. `calls`: (our id, native id) in their order; `results` by native id."""

    native: Json
    calls: tuple[tuple[str, str], ...]
    results: dict[str, NativeResult]


class LoopRecord(NamedTuple):
    """Where a loop's run stands."""

    history: tuple[ChatMessage, ...]
    objective: str
    answers: tuple[RecordedAnswer, ...]


def read_record(
    messages: Sequence[ChatMessage], origin: str, *, open_calls: frozenset[str] = frozenset()
) -> LoopRecord:
    """The record in a conversation. Results of `open_calls` are not there yet. LoopDivergedError: an answer is missing or not this
    loop's."""
    place = max((index for index, each in enumerate(messages) if _words(each)), default=-1)
    if place < 0:
        raise LoopDivergedError("The conversation has no objective.")
    answers: list[RecordedAnswer] = []
    for message in messages[place + 1 :]:
        if message.role == "assistant":
            answers.append(_answer(message, origin))
        elif answers:
            ours = dict(answers[-1].calls)
            for block in message.content:
                if isinstance(block, ToolResultBlock) and block.call_id in ours and block.call_id not in open_calls:
                    answers[-1].results[ours[block.call_id]] = NativeResult(block.content, block.is_error)
    return LoopRecord(tuple(messages[:place]), _words(messages[place]), tuple(answers))


def _words(message: ChatMessage) -> str:
    """What the user says in a message; a note of the runtime may stand before it."""
    if message.role != "user":
        return ""
    return next((block.text for block in reversed(message.content) if isinstance(block, TextBlock)), "")


def _answer(message: ChatMessage, origin: str) -> RecordedAnswer:
    for block in message.content:
        if isinstance(block, ReasoningBlock) and block.origin == origin:
            uses = [use for use in message.content if isinstance(use, ToolUseBlock) and use.tool_name != GO_ON]
            return RecordedAnswer(block.sealed, tuple((use.call_id, use.vendor_id) for use in uses), {})
    raise LoopDivergedError(
        f"An answer of this run did not come from {origin}, or was changed; the run can't be taken up."
    )
