"""Projections: state folded from the journal, with a cursor that is stored.

A projection is a pure fold. Its runner reads what lies behind the cursor, keeps a snapshot every so often, and after a
restart goes on from there; a snapshot that is missing, of another version, unreadable or ahead of the journal costs a
replay and nothing else. What stops one projection is named and stops no other.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, Generic, Protocol, TypeVar, cast

from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.snapshots import Snapshot, Snapshots
from life.aios.record import EventRecord
from life.lago.errors import ProjectionFailedError

S = TypeVar("S")

PAGE_EVENTS: Final = 1000
"""How many events are read at a time while catching up."""


class Projection(Protocol[S]):
    """A pure fold with a name. Another version is another projection: its state starts from the beginning."""

    @property
    def name(self) -> str:
        """Stable, without blanks, and unique among projections: for example `haima.ledger`."""
        ...

    @property
    def version(self) -> int:
        """Goes up whenever the same events should give another state or another encoding."""
        ...

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kind names that `apply` looks at (all Custom events are `Custom`); empty means all."""
        ...

    def initial(self) -> S:
        """The state before the first event."""
        ...

    def apply(self, state: S, record: EventRecord) -> S:
        """The state after one more event. Pure: no clock, no chance, no files. Events it does not know change nothing."""
        ...

    def encode(self, state: S) -> bytes:
        """The state as bytes, for a snapshot."""
        ...

    def decode(self, state: bytes) -> S:
        """The state that `encode` wrote."""
        ...


class ProjectionRunner(Generic[S]):
    """Keeps one projection's state up to date with a journal, or with one of its sessions or branches."""

    def __init__(
        self,
        journal: Journal,
        projection: Projection[S],
        snapshots: Snapshots | None = None,
        *,
        session_id: str | None = None,
        branch_id: str | None = None,
        snapshot_events: int = 1000,
    ) -> None:
        """With `snapshots`, the state is kept every `snapshot_events` folded events and whenever `save` is called."""
        self._journal = journal
        self._projection = projection
        self._snapshots = snapshots
        self._query = EventQuery(session_id, branch_id, kinds=tuple(projection.kinds))
        # Neither names nor ids have blanks in them, so different parts never give the same name.
        self._name = " ".join(part for part in (projection.name, session_id, branch_id) if part is not None)
        self._snapshot_events = snapshot_events
        self._state = projection.initial()
        self._position = 0
        self._saved_position = 0
        self._since_snapshot = 0
        self._is_started = False
        self._failure: ProjectionFailedError | None = None

    @property
    def state(self) -> S:
        """The state as of `position`."""
        return self._state

    @property
    def position(self) -> int:
        """The journal's position up to which events are folded in."""
        return self._position

    @property
    def failure(self) -> ProjectionFailedError | None:
        """What stopped this projection, if something did. Its state is that before the event."""
        return self._failure

    async def start(self) -> None:
        """Take up the stored snapshot, if there is one that fits."""
        if self._is_started:
            return
        self._is_started = True
        snapshot = await self._snapshots.load(self._name, self._projection.version) if self._snapshots else None
        if snapshot is None or not await self._fits(snapshot):
            return
        try:
            self._state = self._projection.decode(snapshot.state)
        except Exception:  # a snapshot is a cache: one that can't be read is thrown away
            self._state = self._projection.initial()
            return
        self._position = self._saved_position = snapshot.position

    async def catch_up(self) -> S:
        """Fold everything that the journal holds now; ProjectionFailedError where the projection can't."""
        await self.start()
        more = True
        while more:
            records = await self._journal.read(self._behind(), limit=PAGE_EVENTS)
            more = len(records) == PAGE_EVENTS
            self._fold(records)
            await self._save_when_due()
        return self._state

    async def follow(self, *, on_change: Callable[[S], None] | None = None) -> None:
        """Fold events as they come, until cancelled. When the projection fails, `failure` says so and this returns."""
        try:
            await self.catch_up()
            if on_change is not None:
                on_change(self._state)
            # The port promises `aclose`; its type names only the iterator.
            subscription = cast(AsyncGenerator[EventRecord, None], self._journal.subscribe(self._behind()))
            async with aclosing(subscription):
                async for record in subscription:
                    self._fold([record])
                    if on_change is not None:
                        on_change(self._state)
                    await self._save_when_due()
        except ProjectionFailedError:
            return

    async def save(self) -> None:
        """Keep a snapshot of the present state."""
        if self._snapshots is None or self._position == self._saved_position:
            return
        snapshot = Snapshot(self._position, self._projection.encode(self._state))
        await self._snapshots.save(self._name, self._projection.version, snapshot)
        self._saved_position = snapshot.position
        self._since_snapshot = 0

    async def _save_when_due(self) -> None:
        if self._since_snapshot >= self._snapshot_events:
            await self.save()

    async def _fits(self, snapshot: Snapshot) -> bool:
        """Whether the journal reaches as far as the snapshot (one restored from a backup may not)."""
        if snapshot.position <= 0:
            return False
        found = await self._journal.read(EventQuery(after_position=snapshot.position - 1), limit=1)
        return bool(found) and found[0].position == snapshot.position

    def _behind(self) -> EventQuery:
        return self._query._replace(after_position=self._position)

    def _fold(self, records: list[EventRecord]) -> None:
        if self._failure is not None:
            raise self._failure
        apply = self._projection.apply
        state = self._state
        record = None
        try:
            for record in records:
                state = apply(state, record)
        except Exception as error:
            assert record is not None
            reason = f"{type(error).__name__}: {error}"
            self._keep_before(record, records)
            self._failure = ProjectionFailedError(self._name, record.event_id, record.position, reason)
            raise self._failure from error
        self._state = state
        if record is not None:
            self._position = record.position
            self._since_snapshot += len(records)

    def _keep_before(self, failing: EventRecord, records: list[EventRecord]) -> None:
        """Fold once more what came before the event that failed: the state must be whole, not half-way."""
        for record in records:
            if record is failing:
                return
            self._state = self._projection.apply(self._state, record)
            self._position = record.position
