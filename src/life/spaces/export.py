"""Every event of Spaces also reaches Lago, exactly once (W22).

The log's entries are appended to the journal stream `spaces:<deployment>` as Custom events `spaces.<kind>`, one batch per entry. Their
ids are derived from deployment, position and place within the entry, so that appending again after a crash changes nothing; how
far the journal is, its last event says. A journal that does not answer holds nobody up: the export catches up later.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import msgspec

from life.aios.errors import LifeError
from life.aios.events import Custom
from life.aios.events.codec import decode_kind, encode_kind
from life.aios.ids import derived_event_id
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import Actor, NewEvent, Stream
from life.spaces.errors import LogDamagedError, SpacesUnavailableError
from life.spaces.events import Entry, Event
from life.spaces.model import Idempotency

_log: Final = logging.getLogger(__name__)

AGENT_ID: Final = "spaces"
ACTOR: Final = Actor("system", "spaces")
BATCH: Final = 100
RETRY_US: Final = 1_000_000
STREAM_PREFIX: Final = "spaces:"
TRACEPARENT: Final = re.compile(r"00-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-[0-9a-f]{2}")
"""W3C Trace Context, level 1; any other trace id stands in the event's data only."""


class Log(Protocol):
    """What is exported: an engine."""

    async def entries(self, after: int, *, limit: int = 500) -> list[Entry]:
        """The log after a position."""
        ...


class JournalExport:
    """Copies one log into the journal, and stays behind it."""

    def __init__(self, log: Log, journal: Journal, clock: Clock, *, deployment: str) -> None:
        self._log = log
        self._journal = journal
        self._clock = clock
        self._deployment = deployment
        self.stream = Stream(STREAM_PREFIX + deployment)
        """Where the events stand."""
        self.position = 0
        """Up to which position of the log the journal has everything."""

    async def catch_up(self) -> int:
        """Export everything that is not in the journal yet; how many entries."""
        self.position = max(self.position, await self._exported())
        count = 0
        while entries := await self._log.entries(self.position, limit=BATCH):
            events = [event for entry in entries for event in journal_events(entry, self._deployment, self.stream)]
            if events:
                await self._journal.append(events)
            self.position = entries[-1].position
            count += len(entries)
        return count

    async def require_behind(self, position: int) -> None:
        """LogDamagedError when the journal has more than the log, which ends at `position`: entries that were acknowledged are missing."""
        exported = await self._exported()
        if exported > position:
            raise LogDamagedError(
                f"The log ends at {position}, but {exported} entries of it are in the journal.",
                next_step="Restore the log of Spaces from a backup.",
                details={"position": position, "exported": exported},
            )

    async def run(self, committed: Callable[[], Awaitable[None]]) -> None:
        """Export for as long as the task runs; `committed` waits for news of the log."""
        while True:
            try:
                await self.catch_up()
                await committed()
            except SpacesUnavailableError:
                return  # the engine is closed
            except LifeError as error:
                _log.warning("the export into the journal waits: %s", error)
                await self._clock.sleep_us(RETRY_US)

    async def _exported(self) -> int:
        head = await self._journal.head(self.stream)
        if head.sequence == 0:
            return 0
        query = EventQuery(self.stream.session_id, self.stream.branch_id, after_sequence=head.sequence - 1)
        (last,) = await self._journal.read(query, limit=1)
        kind = decode_kind(last.payload)
        if (
            not isinstance(kind, Custom)
            or not isinstance(kind.data, dict)
            or not isinstance(kind.data.get("position"), int)
        ):
            raise LogDamagedError(f"The last event of {self.stream.session_id} is none of Spaces.")
        position = kind.data["position"]
        assert isinstance(position, int)
        return position


def journal_events(entry: Entry, deployment: str, stream: Stream) -> list[NewEvent]:
    """An entry's events as they stand in the journal: what happened, with the rows, without the engine's own bookkeeping; and in the envelope
    the span that it was done for, when its command brought one."""
    found = None if entry.trace_id is None else TRACEPARENT.fullmatch(entry.trace_id)
    trace_id, span_id = (None, None) if found is None else found.groups()
    return [
        NewEvent(
            event_id=derived_event_id("spaces", deployment, str(entry.position), str(index)),
            session_id=stream.session_id,
            branch_id=stream.branch_id,
            agent_id=AGENT_ID,
            timestamp_us=entry.at_us,
            payload=encode_kind(Custom(event_type=f"spaces.{event.kind}", data=_data(entry, event, index))),
            kind_name="Custom",
            actor=ACTOR,
            trace_id=trace_id,
            span_id=span_id,
        )
        for index, event in enumerate(entry.events)
    ]


def _data(entry: Entry, event: Event, index: int) -> JsonObject:
    puts = [row for row in event.puts if not isinstance(row, Idempotency)]
    places = {field: getattr(event, field) for field in ("space_id", "space_seq", "channel_id", "conversation_id")}
    return {
        "position": entry.position,
        "index": index,
        "actor": entry.actor,
        "command": entry.command,
        **{field: value for field, value in places.items() if value},
        **({} if entry.trace_id is None else {"trace_id": entry.trace_id}),
        "puts": msgspec.to_builtins(puts),
        "removed": msgspec.to_builtins(event.removed),
    }
