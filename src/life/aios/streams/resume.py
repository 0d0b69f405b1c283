"""Where the open run begins, so that a machine can be folded again up to a cursor.

The journal reads forwards only, so the search looks at windows before the cursor, each twice as long as the last. Most runs are short: one
window is the rule.
"""

from __future__ import annotations

from typing import Final

from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, Stream
from life.aios.streams.format import Machine, StreamFormat
from life.aios.streams.runs import MESSAGE_KINDS, RUN_KINDS

PAGE_EVENTS: Final = 500
_FIRST_WINDOW: Final = 256


async def machine_at(journal: Journal, stream: Stream, format_: StreamFormat, cursor: int) -> Machine:
    """A machine that has read everything up to `cursor` that still matters."""
    machine = format_.machine()
    if not format_.needs_runs or cursor == 0:
        return machine
    after = await run_beginning(journal, stream, cursor)
    while after < cursor:
        page = await read_page(journal, stream, after, cursor)
        if not page:
            break
        for record in page:
            machine.feed(record)
        after = page[-1].sequence
    return machine


async def run_beginning(journal: Journal, stream: Stream, cursor: int) -> int:
    """The sequence before the first event that the state at `cursor` depends on: the open run's, or that of output without a run."""
    last = await _last(journal, stream, RUN_KINDS, floor=0, cursor=cursor)
    if last is not None and last.kind_name == "RunStarted":
        return last.sequence - 1
    floor = 0 if last is None else last.sequence
    message = await _last(journal, stream, MESSAGE_KINDS, floor=floor, cursor=cursor)
    return floor if message is None else message.sequence


async def read_page(
    journal: Journal, stream: Stream, after: int, upto: int, *, limit: int = PAGE_EVENTS
) -> list[EventRecord]:
    """Events of a stream after one sequence and up to another."""
    query = EventQuery(stream.session_id, stream.branch_id, after_sequence=after, before_sequence=upto + 1)
    return await journal.read(query, limit=limit)


async def _last(
    journal: Journal, stream: Stream, kinds: tuple[str, ...], *, floor: int, cursor: int
) -> EventRecord | None:
    """The last event of these kinds in (floor, cursor]."""
    end, window = cursor, _FIRST_WINDOW
    while end > floor:
        start = max(floor, end - window)
        found: EventRecord | None = None
        after = start
        while True:
            query = EventQuery(
                stream.session_id, stream.branch_id, after_sequence=after, before_sequence=end + 1, kinds=kinds
            )
            page = await journal.read(query, limit=PAGE_EVENTS)
            if page:
                found, after = page[-1], page[-1].sequence
            if len(page) < PAGE_EVENTS:
                break
        if found is not None:
            return found
        end, window = start, window * 2
    return None
