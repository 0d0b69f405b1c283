"""Which messages a group of batches becomes, and where each event will stand.

A group is laid out as one atomic batch of the server. For every event, in this order: a mark, where one is due; its id,
expected to be new; the event itself. The first event of each stream carries the expectation that its stream ends where
we think. Where a caller expects something of a stream that gets no event, a guard message at the beginning carries it.
So whatever another process has done meanwhile, the group is stored exactly as planned or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Final, NamedTuple, TypeAlias

from life.aios.errors import EventConflictError, LifeError, SequenceConflictError
from life.aios.record import Stream
from life.lago.journal import chain
from life.lago.journal.chain import Compact, expand_id
from life.lago.journal.entries import Batch, Entry, Placed
from life.lago.journal.nats.messages import is_same, is_twin, unwrap, wrap
from life.lago.journal.nats.reader import Found, HeadAt
from life.lago.journal.nats.subjects import MARK_EVERY, Subjects

Sent: TypeAlias = tuple[str, bytes, dict[str, str]]
"""Subject, body and headers of a message to publish."""

_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
_EXPECTED_OF: Final = "Nats-Expected-Last-Subject-Sequence-Subject"


class Spot(NamedTuple):
    """Where an event of this plan will stand: which message of the batch it is, once the batch has a position."""

    sequence: int
    at: int
    digest: bytes
    duplicate: bool


Outcome: TypeAlias = list[Placed | Spot] | LifeError
"""What became, or will become, of one batch."""


class StaleError(Exception):
    """What is remembered may no longer be true; look at the journal and plan again."""


class Plan:
    """A group's messages and outcomes. `heads` must hold every stream of the group; `known` the stored events by id.

    With `looked_up` false, ids are taken for new and heads for remembered ones: what does not fit raises StaleError.
    `own` are the batch ids of earlier attempts for this very group: what they stored is ours, not a duplicate.
    """

    def __init__(
        self,
        subjects: Subjects,
        heads: Mapping[Stream, HeadAt],
        known: Mapping[Compact, Found],
        *,
        looked_up: bool,
        own: Set[str] = frozenset(),
    ) -> None:
        self.messages: list[Sent] = []
        self.outcomes: list[Outcome] = []
        self.ends: dict[Stream, Spot] = {}
        """Where the streams that get events will end."""
        self._subjects = subjects
        self._before = heads
        self._known = known
        self._looked_up = looked_up
        self._own = own
        self._claimed: set[Compact] = set()
        self._fresh: dict[Compact, tuple[Entry, Spot]] = {}
        self._relied: dict[Stream, HeadAt] = {}
        self.begun: list[bool] = []
        """For each batch whether an earlier attempt of ours has stored some of it; a server without room may stop there."""

    def add(self, batches: Sequence[Batch]) -> None:
        """Lay out the batches, in order. A batch that can't be stored has an error for its outcome."""
        for batch in batches:
            self.begun.append(False)
            try:
                self.outcomes.append(self._add(batch))
            except (EventConflictError, SequenceConflictError) as error:
                if not self._looked_up:
                    raise StaleError from None
                self.outcomes.append(error)
        self._guard()

    def settle(self, last_position: int) -> list[list[Placed] | LifeError]:
        """The outcomes, now that the last message has this position."""
        first = last_position - len(self.messages) + 1
        return [outcome if isinstance(outcome, LifeError) else _placed(outcome, first) for outcome in self.outcomes]

    def heads_after(self, last_position: int) -> dict[Stream, HeadAt]:
        """Where the streams end, now that the last message has this position."""
        first = last_position - len(self.messages) + 1
        return {stream: HeadAt(spot.sequence, spot.digest, first + spot.at) for stream, spot in self.ends.items()}

    def _add(self, batch: Batch) -> list[Placed | Spot]:
        entries, expected = batch
        stored: list[Placed | Spot | None] = []
        own: dict[Compact, Entry] = {}
        for entry in entries:
            stored.append(self._stored(entry))
            if not is_twin(entry, own.setdefault(entry[1], entry)):
                raise EventConflictError(expand_id(entry[1]))
        missing = any(place is None for place in stored)
        begun = self._has_begun(stored)
        self.begun[-1] = begun
        if not entries or (missing and not begun):  # what has begun met its expectations
            for session_id, branch_id, sequence in expected:
                self._expect(Stream(session_id, branch_id), sequence)
        outcome: list[Placed | Spot] = []
        for entry, place in zip(entries, stored, strict=True):
            if place is None:
                twin = self._fresh.get(entry[1])
                place = self._append(entry) if twin is None else twin[1]._replace(duplicate=True)
            elif isinstance(place, tuple) and not isinstance(place, Spot) and not place[3]:
                # Stored by an earlier attempt of ours: the first who asked gets it as new, the others as a duplicate.
                place = (*place[:3], entry[1] in self._claimed)
                self._claimed.add(entry[1])
            outcome.append(place)
        return outcome

    def _has_begun(self, stored: Sequence[Placed | Spot | None]) -> bool:
        return any(place is not None and not isinstance(place, Spot) and not place[3] for place in stored)

    def _stored(self, entry: Entry) -> Placed | Spot | None:
        """Where the event already stands, or will; EventConflictError when another one has its id."""
        key = entry[1]
        fresh = self._fresh.get(key)
        if fresh is not None:
            if not is_twin(entry, fresh[0]):
                raise EventConflictError(expand_id(key))
            return fresh[1]._replace(duplicate=True)
        message = self._known[key].message if key in self._known else None
        if message is None:
            return None
        if not is_same(entry, message):
            raise EventConflictError(expand_id(key))
        _, wired = unwrap(message)
        return (wired.sequence, message.position, wired.digest, message.batch_id not in self._own)

    def _expect(self, stream: Stream, sequence: int) -> None:
        spot = self.ends.get(stream)
        if spot is None:
            self._relied[stream] = self._before[stream]
        actual = self._before[stream].sequence if spot is None else spot.sequence
        if actual != sequence:
            raise SequenceConflictError(*stream, expected=sequence, actual=actual)

    def _append(self, entry: Entry) -> Spot:
        stream = Stream(*chain.place_fields(entry[0]))
        end = self.ends.get(stream)
        before = self._before[stream]
        sequence, previous = (before.sequence, before.digest) if end is None else (end.sequence, end.digest)
        sequence += 1
        body, digest = wrap(entry, previous, sequence)
        if sequence % MARK_EVERY == 1:
            self.messages.append((self._subjects.mark(stream, sequence // MARK_EVERY), b"", {}))
        vacant = self._known[entry[1]].identity if entry[1] in self._known else 0
        self.messages.append((self._subjects.identity(expand_id(entry[1])), b"", {_EXPECTED: str(vacant)}))
        headers = {_EXPECTED: str(before.position)} if end is None else {}
        self.messages.append((self._subjects.event(stream), body, headers))
        spot = self.ends[stream] = Spot(sequence, len(self.messages) - 1, digest, False)
        self._fresh[entry[1]] = (entry, spot)
        return spot

    def _guard(self) -> None:
        """Put expectations about streams without an event first, so that the batch still ends with an event."""
        if not self.messages:
            return
        guards: list[Sent] = [
            (
                self._subjects.guard,
                b"",
                {_EXPECTED: str(head.position), _EXPECTED_OF: self._subjects.event(stream)},
            )
            for stream, head in self._relied.items()
            if stream not in self.ends
        ]
        if guards:
            self.messages[:0] = guards
            moved = len(guards)
            self.ends = {stream: spot._replace(at=spot.at + moved) for stream, spot in self.ends.items()}
            self.outcomes = [
                outcome
                if isinstance(outcome, LifeError)
                else [place._replace(at=place.at + moved) if isinstance(place, Spot) else place for place in outcome]
                for outcome in self.outcomes
            ]


def streams_of(batches: Sequence[Batch]) -> dict[Stream, None]:
    """Every stream that the batches write to or expect something of, once."""
    streams: dict[Stream, None] = {}
    for entries, expected in batches:
        for place in dict.fromkeys(entry[0] for entry in entries):
            streams[Stream(*chain.place_fields(place))] = None
        for session_id, branch_id, _ in expected:
            streams[Stream(session_id, branch_id)] = None
    return streams


def _placed(places: list[Placed | Spot], first: int) -> list[Placed]:
    return [
        (place.sequence, first + place.at, place.digest, place.duplicate) if isinstance(place, Spot) else place
        for place in places
    ]
