"""The shell without a terminal: one message or command a line, answers on standard output, everything else on standard error.

It ends with the input. When a person has to decide and cannot be asked, it ends at once and says how to decide.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final, TextIO

from life.cli.shell.conversation import Conversation
from life.cli.shell.reading import LineReader

WAITS_FOR_PERSON: Final = 3
INTERRUPTED: Final = 130
"""Exit statuses: see docs/shell.md."""


async def run_plain(conversation: Conversation, lines: TextIO | None = None) -> int:
    """Read to the end; the exit status: 0, 1 when the last run failed, 3 when it waits for a person."""
    source = LineReader(lines or sys.stdin)
    while not conversation.quitting.is_set():
        await conversation.rest()
        if conversation.questions.is_open and not conversation.asks:
            conversation.view.note(
                f"The run waits for a person. Decide with: arcan shell -s {conversation.session_id}", bad=True
            )
            return WAITS_FOR_PERSON
        if conversation.questions.is_open:
            conversation.view.note(f"{conversation.questions.prompt}  ({conversation.questions.help})")
        line = await _unless_quitting(conversation, source)
        if line is None:
            break
        if line.strip():
            await conversation.enter(line)
    await conversation.rest()
    if conversation.failure is not None:
        raise conversation.failure
    if conversation.quitting.is_set() and conversation.view.busy:
        return INTERRUPTED
    ended = conversation.last_end
    return 0 if ended is None or ended.reason == "completed" else 1


async def _unless_quitting(conversation: Conversation, source: LineReader) -> str | None:
    """The next line; None at the end of the input, or when the person leaves."""
    reading = asyncio.ensure_future(source.line())
    leaving = asyncio.ensure_future(conversation.quitting.wait())
    try:
        await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return reading.result() if reading.done() else None
    finally:
        for task in (reading, leaving):
            task.cancel()
        await asyncio.gather(reading, leaving, return_exceptions=True)
