"""What was said before a loop's run, turn by turn, for adapters to put into their framework's form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from life.aios.ports.provider import ChatMessage, TextBlock, ToolResultBlock, ToolUseBlock
from life.arcan.foreign.record import GO_ON

_NOTHING: Final = "…"


class Turn(NamedTuple):
    """One message: words of either side, calls of the assistant, or their results."""

    role: str
    text: str
    calls: tuple[ToolUseBlock, ...]
    results: tuple[ToolResultBlock, ...]


def turns_of(history: Sequence[ChatMessage]) -> list[Turn]:
    """The turns, without the calls that only stood for a loop's going on."""
    passed: set[str] = set()
    turns: list[Turn] = []
    for message in history:
        uses = [block for block in message.content if isinstance(block, ToolUseBlock)]
        passed.update(use.call_id for use in uses if use.tool_name == GO_ON)
        calls = tuple(use for use in uses if use.call_id not in passed)
        results = tuple(
            block for block in message.content if isinstance(block, ToolResultBlock) and block.call_id not in passed
        )
        text = "\n\n".join(block.text for block in message.content if isinstance(block, TextBlock))
        if text or calls or results:
            turns.append(Turn(message.role, text, calls, results))
        elif message.role == "assistant":
            turns.append(Turn(message.role, _NOTHING, (), ()))
    return turns
