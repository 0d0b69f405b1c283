"""After a run: proposals from what the user asked to be remembered, batches of observations, and reflections over them. No model takes part.

    MemoryProposed       (user scope)     one per run that was asked to remember something; waits for a decision
    ObservationAppended  (session scope)  20 noteworthy events of the session, their text in a blob
    ReflectionCompacted  (session scope)  three batches or more, joined: the same words once, with how often they were seen

Ids follow from the ranges of events that are covered, so looking at a session again, or from two processes, adds nothing twice.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

import msgspec

from life.aios import events
from life.aios.errors import LifeError
from life.aios.events import Kind
from life.aios.ids import MAIN_BRANCH, derived_event_id
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, Stream
from life.arcan.memory.notes import MemoryEntry, Provenance
from life.arcan.memory.observations import (
    MAX_PROPOSED,
    OBSERVER_THRESHOLD,
    Observation,
    ObservationBatch,
    observe,
)
from life.arcan.memory.scopes import Place, stream_of
from life.arcan.memory.service import MemoryService
from life.arcan.memory.state import MemoryFold

BATCHES_PER_REFLECTION: Final = 3
MAX_REFLECTION_CHARACTERS: Final = 16_000
"""About 4,000 tokens (arcan.md §6.4)."""

LOOKED_AT_EVENTS: Final = 20_000
"""Events of a session that one look takes in; the next look goes on."""

_PAGE: Final = 1_000
_KEPT_LOOKS: Final = 1_000
_KINDS: Final = ("UserMessage", "ToolCallFailed", "ToolCallCompleted", "RunFinished")
_decode_batch: Final = msgspec.json.Decoder(ObservationBatch).decode


class Learned(NamedTuple):
    """What a look at a session brought."""

    proposals: int
    batches: int
    reflections: int


class _Looked(NamedTuple):
    """How far a session was looked at, and what was noteworthy but no whole batch."""

    through: int
    waiting: tuple[Observation, ...]
    last_ref: str
    """The newest batch then; when another process has added one since, the look begins anew behind it."""


class Reflector:
    """Looks at sessions after their runs."""

    def __init__(self, service: MemoryService, journal: Journal, *, threshold: int = OBSERVER_THRESHOLD) -> None:
        self._service = service
        self._journal = journal
        self._threshold = threshold
        self._looked: OrderedDict[tuple[str, str], _Looked] = OrderedDict()

    async def run_finished(self, place: Place, run_id: str, *, branch_id: str = MAIN_BRANCH) -> Learned:
        """Take in what a session has done since the last look; what this run was asked to remember is proposed."""
        proposals = await self._propose(place, run_id, branch_id)
        batches = await self._observe(place, branch_id)
        return Learned(proposals, batches, await self.reflect(place))

    async def catch_up(self, place: Place, *, branch_id: str = MAIN_BRANCH) -> int:
        """Take in everything that a session has done, also what no whole batch would hold, and reflect on it; the reflections that were added."""
        await self._observe(place, branch_id, least=1)
        return await self.reflect(place, least=1)

    async def reflect(self, place: Place, *, least: int = BATCHES_PER_REFLECTION) -> int:
        """Join batches of observations that no reflection covers; 1 when there were enough of them."""
        stream = stream_of("session", place)
        fold = await self._service.state_of(stream)
        rows = fold.unreflected()
        if len(rows) < max(1, least):
            return 0
        counted: dict[str, int] = {}
        if fold.reflection_ref:
            for line in (await self._text(fold.reflection_ref)).splitlines():
                number, _, text = line.removeprefix("- ").partition("× ")
                if number.isascii() and number.isdigit() and text:
                    counted[text] = counted.get(text, 0) + int(number[:9])
        for row in rows:
            for item in await self._batch(row.ref):
                text = f"{item.kind}: {item.text}"
                counted[text] = counted.get(text, 0) + 1
        summary = ""
        for text, count in sorted(counted.items(), key=lambda pair: -pair[1]):
            line = f"- {count}× {text}\n"
            if len(summary) + len(line) > MAX_REFLECTION_CHARACTERS:
                break
            summary += line
        covers = rows[-1].sequence
        ref = await self._service.put_blob(summary.encode())

        def kinds(now: MemoryFold) -> list[tuple[Kind, str]]:
            if now.reflected_through >= covers:
                return []
            kind = events.ReflectionCompacted(scope="session", summary_ref=ref, covers_through_seq=covers)
            return [(kind, derived_event_id("arcan.memory.reflection", *stream, str(covers)))]

        await self._service.append_kinds(stream, kinds)
        return 1

    async def reflection(self, place: Place) -> str:
        """The last reflection of a session; empty when there is none."""
        fold = await self._service.state_of(stream_of("session", place))
        return await self._text(fold.reflection_ref) if fold.reflection_ref else ""

    async def _propose(self, place: Place, run_id: str, branch_id: str) -> int:
        started = await self._journal.get(run_id)
        if started is None or started.session_id != place.session_id or started.kind_name != "RunStarted":
            return 0
        # The objective stands right before its run.
        records = await self._read(place.session_id, branch_id, max(0, started.sequence - 2), limit=_PAGE)
        asked = [item for item in observe(records) if item.kind == "asked_to_remember" and item.run_id == run_id][
            :MAX_PROPOSED
        ]
        if not asked:
            return 0
        source = Provenance(
            session_id=place.session_id,
            branch_id=branch_id,
            event_start=asked[0].sequence,
            event_end=asked[-1].sequence,
        )
        await self._service.propose(
            place,
            "user",
            [MemoryEntry(content=item.text) for item in asked],
            run_id=run_id,
            provenance=source,
            once=f"run:{run_id}",
        )
        return 1

    async def _observe(self, place: Place, branch_id: str, *, least: int | None = None) -> int:
        """Write batches of what is noteworthy after the last one's end: full ones, and with `least` also a last one of so many."""
        stream = stream_of("session", place)
        key = (place.session_id, branch_id)
        looked = self._looked.pop(key, None)
        if looked is None or looked.last_ref != await self._last_ref(stream):
            looked = await self._last_look(stream, branch_id)
        records = await self._read(place.session_id, branch_id, looked.through, limit=LOOKED_AT_EVENTS)
        found = [*looked.waiting, *observe(records)]
        whole = len(found) - len(found) % self._threshold
        if least is not None and len(found) - whole >= least:
            whole = len(found)
        through = records[-1].sequence if records else looked.through
        written = 0
        for start in range(0, whole, self._threshold):
            some = found[start : min(start + self._threshold, whole)]
            content = ObservationBatch(
                session_id=place.session_id,
                branch_id=branch_id,
                event_start=some[0].sequence,
                event_end=some[-1].sequence,
                observations=tuple(some),
            )
            ref = await self._service.put_blob(msgspec.json.encode(content))
            kind = events.ObservationAppended(scope="session", observation_ref=ref, source_run_id=some[-1].run_id)
            event_id = derived_event_id(
                "arcan.memory.observed", *stream, branch_id, str(content.event_start), str(content.event_end)
            )

            def kinds(
                now: MemoryFold, kind: events.ObservationAppended = kind, event_id: str = event_id
            ) -> list[tuple[Kind, str]]:
                known = any(row.ref == kind.observation_ref for row in now.observations)
                return [] if known else [(kind, event_id)]

            await self._service.append_kinds(stream, kinds)
            written += 1
        self._looked[key] = _Looked(through, tuple(found[whole:]), await self._last_ref(stream))
        while len(self._looked) > _KEPT_LOOKS:
            self._looked.popitem(last=False)
        return written

    async def _last_look(self, stream: Stream, branch_id: str) -> _Looked:
        """Where the last batch of a branch ended."""
        for row in reversed((await self._service.state_of(stream)).observations):
            batch = await self._whole_batch(row.ref)
            if batch is not None and batch.branch_id == branch_id:
                return _Looked(batch.event_end, (), await self._last_ref(stream))
        return _Looked(0, (), await self._last_ref(stream))

    async def _last_ref(self, stream: Stream) -> str:
        rows = (await self._service.state_of(stream)).observations
        return rows[-1].ref if rows else ""

    async def _read(self, session_id: str, branch_id: str, after: int, *, limit: int) -> list[EventRecord]:
        records: list[EventRecord] = []
        while len(records) < limit:
            query = EventQuery(session_id, branch_id, after_sequence=after, kinds=_KINDS)
            page = await self._journal.read(query, limit=_PAGE)
            records += page
            if len(page) < _PAGE:
                break
            after = page[-1].sequence
        return records[:limit]

    async def _whole_batch(self, ref: str) -> ObservationBatch | None:
        try:
            return _decode_batch(await self._service.get_blob(ref))
        except (LifeError, msgspec.DecodeError):
            return None

    async def _batch(self, ref: str) -> tuple[Observation, ...]:
        batch = await self._whole_batch(ref)
        return batch.observations if batch is not None else ()

    async def _text(self, ref: str) -> str:
        try:
            return (await self._service.get_blob(ref)).decode("utf-8", "replace")
        except LifeError:
            return ""
