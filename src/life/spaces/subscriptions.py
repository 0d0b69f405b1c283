"""Delivery: who is told what of every entry. Engine-independent; one per process.

Visibility is computed per subscriber, as of the state after the entry. What somebody stops seeing (kicked, denied, demoted) is
sent as removed rows, what they begin to see as inserts. Subscribers who see the same share one update, so that a listener encodes it once.
Queues are bounded: transient updates are dropped first, then the subscription ends with SlowConsumerError and can be resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, cast

from msgspec import structs

from life.spaces.engine.port import QUEUE_LIMIT, Removed, Update
from life.spaces.errors import (
    InvalidArgumentError,
    SpacesError,
    StaleSequenceError,
)
from life.spaces.events import Entry, Event, RemovedRow, Transient
from life.spaces.identity import Caller
from life.spaces.live_subscription import Backlog, LiveSubscription, Places
from life.spaces.model import TABLES, Channel, Member, Participant, Row, Space, table_name
from life.spaces.permissions import Permission
from life.spaces.queries import TableQuery, select
from life.spaces.state import SIGHT_TABLES, AppliedEvent, State, key_of, removed_row
from life.spaces.visibility import Sight

__all__ = ["Backlog", "Fanout", "LiveSubscription"]

MAX_QUERIES: Final = 200
"""Queries of one subscription."""


class Fanout:
    """All subscriptions of one process over one state."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._all: dict[LiveSubscription, None] = {}
        self._anywhere: dict[type[Row], dict[LiveSubscription, None]] = {}
        self._in_channel: dict[tuple[type[Row], int], dict[LiveSubscription, None]] = {}
        """Those who want a table's rows of certain channels only: a message is not shown to whoever listens elsewhere."""

    def __len__(self) -> int:
        return len(self._all)

    def add(
        self,
        queries: Sequence[TableQuery],
        caller: Caller,
        *,
        limit: int = QUEUE_LIMIT,
        session_id: str | None = None,
        since: int | None = None,
        backlog: Backlog | None = None,
    ) -> LiveSubscription:
        """Subscribe. Without `since` the rows are selected now. With it, what was missed comes from `backlog`, and StaleSequenceError
        (at once, or from the subscription) says that this does not suffice: the caller's sight changed in between."""
        if not 1 <= len(queries) <= MAX_QUERIES:
            raise InvalidArgumentError(f"A subscription has 1 to {MAX_QUERIES} queries.")
        subscription = LiveSubscription(
            self, caller, queries, position=self.state.position, limit=limit, session_id=session_id
        )
        subscription.places = self._places(subscription)
        if since is None or backlog is None:
            rows: dict[tuple[type[Row], object], Row] = {}
            for query in queries:
                for row in select(self.state, query, subscription.sight):
                    rows[type(row), key_of(row)] = row
            subscription.start(list(rows.values()))
        else:
            subscription.resume(backlog, since)
        self._all[subscription] = None
        for index, key in self._shelves(subscription):
            index.setdefault(key, {})[subscription] = None
        return subscription

    def _shelves(
        self, subscription: LiveSubscription
    ) -> Iterator[tuple[dict[Any, dict[LiveSubscription, None]], object]]:
        for table, queries in subscription.by_table.items():
            channels = [query.where.get("channel_id") for query in queries]
            if any(channel is None for channel in channels):
                yield self._anywhere, table
            else:
                for channel in channels:
                    yield self._in_channel, (table, channel)

    def forget(self, subscription: LiveSubscription) -> None:
        """Stop telling it."""
        self._all.pop(subscription, None)
        for index, key in self._shelves(subscription):
            shelf = index.get(key)
            if shelf is not None:
                shelf.pop(subscription, None)
                if not shelf:
                    del index[key]

    def end(self, chosen: Callable[[LiveSubscription], bool], error: SpacesError) -> int:
        """End the subscriptions that are chosen, with an error; how many."""
        ended = [subscription for subscription in self._all if chosen(subscription)]
        for subscription in ended:
            subscription.fail(error)
        return len(ended)

    # ── entries ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

    def prepare(self, entry: Entry, applied: Sequence[AppliedEvent]) -> list[tuple[LiveSubscription, Update]]:
        """What an entry, which the state has just taken, means to everybody. Nothing is told before `deliver`."""
        prepared: list[tuple[LiveSubscription, Update]] = []
        if not self._all:
            return prepared
        rows = [row for one in applied for row in (*one.removed, *one.event.puts)]
        gone = _numbers_of_removed(applied)
        interested: dict[LiveSubscription, None] = {}
        for row in rows:
            table = type(row)
            if table in self._anywhere:
                interested.update(self._anywhere[table])
            channel_id = getattr(row, "channel_id", None)
            if channel_id is not None and (table, channel_id) in self._in_channel:
                interested.update(self._in_channel[table, channel_id])
        shifting = self._shifting(rows) if any(type(row) in SIGHT_TABLES for row in rows) else {}
        interested.update(shifting)
        told: dict[tuple[int, ...], Update] = {}
        for subscription in interested:
            update = self._meaning(subscription, entry, applied, rows, gone, told, moved=subscription in shifting)
            if update is not None:
                prepared.append((subscription, update))
        return prepared

    def deliver(self, prepared: Sequence[tuple[LiveSubscription, Update]]) -> None:
        """Tell it, now that the entry is durable."""
        for subscription, update in prepared:
            subscription.push(update)

    def publish(self, entry: Entry, applied: Sequence[AppliedEvent]) -> None:
        """Both at once."""
        self.deliver(self.prepare(entry, applied))

    def _meaning(
        self,
        subscription: LiveSubscription,
        entry: Entry,
        applied: Sequence[AppliedEvent],
        rows: Sequence[Row],
        gone: frozenset[int],
        told: dict[tuple[int, ...], Update],
        *,
        moved: bool,
    ) -> Update | None:
        sight, wants = subscription.sight, subscription.wants
        mask = tuple(
            number
            for number, row in enumerate(rows)
            if wants(row) and (subscription.saw(row) if number in gone else sight.sees(row))
        )
        hidden = [
            _removed(row)
            for one in applied
            for row in one.replaced
            if isinstance(row, Space) and wants(row) and row.visibility != "private" and not self._lists(sight, row.id)
        ]
        lost, gained = self._move(subscription) if moved else ([], [])
        if lost or gained or hidden:
            return _with_shift(_update(entry, applied, frozenset(mask)), [*hidden, *lost], gained)
        if not mask:
            return None
        return told.get(mask) or told.setdefault(mask, _update(entry, applied, frozenset(mask)))

    def _lists(self, sight: Sight, space_id: int) -> bool:
        space = self.state.get(Space, space_id)
        return space is not None and sight.sees(space)

    def transient(self, event: Transient) -> None:
        """Tell whoever subscribed to the channel (or space) and sees it; or only the target."""
        update = Update(0, at_us=event.at_us, actor=event.actor, transient=event)
        for subscription in list(self._all):
            if event.target and subscription.caller.identity != event.target:
                continue
            if event.channel_id:
                if not self._listens(subscription, "channel_id", event.channel_id):
                    continue
                if not subscription.sight.channel(event.channel_id):
                    continue
            elif event.conversation_id:
                if not self._listens(subscription, "conversation_id", event.conversation_id):
                    continue
                if not subscription.sight.conversation(event.conversation_id):
                    continue
            elif (event.space_id and subscription.sight.member(event.space_id) is None) or (
                not event.space_id and not self._watches(subscription, event.actor)
            ):
                continue
            subscription.push(update)

    def _listens(self, subscription: LiveSubscription, field: str, value: int) -> bool:
        return any(query.where.get(field) == value or not query.where for query in subscription.queries)

    def _watches(self, subscription: LiveSubscription, identity: str) -> bool:
        """Whether a subscription lists the members of a space that somebody is in: those are told of presence."""
        queries = subscription.by_table.get(Member)
        if not queries:
            return False
        asked = {query.where.get("space_id") for query in queries}
        for space_id in asked:
            if space_id is None:
                theirs = self.state.find(Member, ("identity",), identity)
                if any(subscription.sight.member(member.space_id) is not None for member in theirs):
                    return True
            elif (
                isinstance(space_id, int)
                and self.state.get(Member, (space_id, identity)) is not None
                and subscription.sight.member(space_id) is not None
            ):
                return True
        return False

    # ── changes of sight ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _shifting(self, rows: Sequence[Row]) -> dict[LiveSubscription, None]:
        """The subscriptions whose sight these rows may have changed."""
        identities = {row.identity for row in rows if isinstance(row, Member | Participant)}
        spaces = {
            cast(int, getattr(row, "space_id", None) or getattr(row, "id", 0))
            for row in rows
            if type(row) in SIGHT_TABLES and not isinstance(row, Member | Participant)
        }
        return {
            subscription: None
            for subscription in self._all
            if subscription.caller.identity in identities or (spaces and spaces & subscription.places.spaces)
        }

    def _places(self, subscription: LiveSubscription) -> Places:
        """The spaces and conversations a subscriber is in, and the channels among them that it reads."""
        spaces = subscription.sight.spaces()
        channels = frozenset(
            channel.id
            for space_id in spaces
            for channel in self.state.find(Channel, ("space_id",), space_id)
            if subscription.sight.channel(channel.id)
        )
        conversations = frozenset(
            row.conversation_id for row in self.state.find(Participant, ("identity",), subscription.caller.identity)
        )
        moderated = frozenset(
            space_id for space_id in spaces if subscription.sight.may(space_id, Permission.MESSAGE_DELETE_ANY)
        )
        administered = frozenset(
            space_id for space_id in spaces if subscription.sight.may(space_id, Permission.AUDIT_READ)
        )
        return Places(spaces, channels, conversations, moderated, administered)

    def _move(self, subscription: LiveSubscription) -> tuple[list[Removed], list[Row]]:
        """What the subscriber no longer sees, and what it sees now, of rows that the entry itself did not touch."""
        before, after = subscription.places, self._places(subscription)
        subscription.places = after
        if before == after:
            return [], []
        lost: list[Removed] = []
        gained: list[Row] = []
        for table, queries in subscription.by_table.items():
            for place, field in _place_fields(table):
                gone, fresh = before[place] - after[place], after[place] - before[place]
                for query in queries:
                    for value in sorted(gone):
                        rows = self._all_of(query, field, value)
                        lost += [_removed(row) for row in rows if not subscription.sight.sees(row)]
                    for value in sorted(fresh):
                        narrowed = _narrowed(query, field, value)
                        if narrowed is not None:
                            gained += select(self.state, narrowed, subscription.sight)
        return _unique(lost), list({(type(row), removed_row(row).key): row for row in gained}.values())

    def _all_of(self, query: TableQuery, field: str, value: int) -> list[Row]:
        narrowed = _narrowed(query, field, value)
        return [] if narrowed is None else select(self.state, narrowed, _EVERYTHING)

    # ── resuming ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    def past(self, subscription: LiveSubscription, entry: Entry) -> Update | None:
        """What an entry of the past means to a subscriber now. StaleSequenceError when it changed what they see."""
        if self._shifted_since(subscription, entry):
            raise StaleSequenceError("What you may see has changed since; subscribe anew.")
        events = [event for event in (self._past(subscription, event) for event in entry.events) if event is not None]
        if not events:
            return None
        return Update(
            entry.position,
            at_us=entry.at_us,
            actor=entry.actor,
            command=entry.command,
            trace_id=entry.trace_id,
            events=events,
            inserts=[row for event in events for row in event.puts],
            removed=[Removed(gone.table, gone.key, None) for event in events for gone in event.removed],
        )

    def _shifted_since(self, subscription: LiveSubscription, entry: Entry) -> bool:
        mine = subscription.caller.identity
        for event in entry.events:
            for row in event.puts:
                if isinstance(row, Member | Participant):
                    if row.identity == mine:
                        return True
                elif (
                    type(row) in SIGHT_TABLES
                    and event.space_id in subscription.places.spaces
                    and event.kind not in _OPENING
                ):
                    return True
            for gone in event.removed:
                if TABLES[gone.table] in (Member, Participant):
                    if gone.key[1] == mine:
                        return True
                elif TABLES[gone.table] in SIGHT_TABLES and event.space_id in subscription.places.spaces:
                    return True
        return False

    def _past(self, subscription: LiveSubscription, event: Event) -> Event | None:
        """A past event as the subscriber sees it now. A removed row is named only where its place is visible."""
        puts = tuple(row for row in event.puts if subscription.wants(row) and subscription.sight.sees(row))
        removed = tuple(gone for gone in event.removed if self._may_know(subscription, event, gone))
        if not puts and not removed:
            return None
        return structs.replace(event, puts=puts, removed=removed)

    def _may_know(self, subscription: LiveSubscription, event: Event, gone: RemovedRow) -> bool:
        table = TABLES[gone.table]
        if table not in subscription.by_table:
            return False
        match table.SIGHT:
            case "everybody":
                return True
            case "channel":
                return subscription.sight.channel(event.channel_id)
            case "space" | "listed":
                return subscription.sight.member(event.space_id) is not None
            case "conversation":
                return subscription.sight.conversation(event.conversation_id)
            case "own":
                return subscription.caller.identity in gone.key
            case _:
                return False


_OPENING: Final = frozenset({"channel.created", "space.created"})


class _Everything(Sight):
    """Sees all: for rows that somebody could see until now."""

    def __init__(self) -> None:
        super().__init__(State(), Caller(identity="", did="", kind="system"))

    def sees(self, row: Row) -> bool:
        """Yes."""
        return row.SIGHT != "nobody"


_EVERYTHING: Final = _Everything()


def _place_fields(table: type[Row]) -> list[tuple[int, str]]:
    """Which of a subscriber's places (index into Places) decide about rows of a table, and the field that names the place."""
    if table.SIGHT == "channel":
        return [(1, "id" if table is Channel else "channel_id")]
    if table.SIGHT == "moderators":
        return [(3, "space_id")]
    if table.SIGHT == "space":
        return [(0, "space_id")]
    if table.SIGHT == "listed":
        return [(0, "id")]
    if table.SIGHT == "admins":
        return [(4, "space_id")]
    if table.SIGHT == "conversation":
        return [(2, "id" if table_name(table) == "direct_conversation" else "conversation_id")]
    return []


def _narrowed(query: TableQuery, field: str, value: int) -> TableQuery | None:
    """The query within one place; None when it looks elsewhere."""
    asked = query.where.get(field)
    if asked is not None and asked != value:
        return None
    if field not in TABLES[query.table].__struct_fields__:
        return None
    return structs.replace(query, where={**query.where, field: value})


def _removed(row: Row) -> Removed:
    return Removed(table_name(row), removed_row(row).key, row)


def _unique(removed: list[Removed]) -> list[Removed]:
    return list({(one.table, one.key): one for one in removed}.values())


def _numbers_of_removed(applied: Sequence[AppliedEvent]) -> frozenset[int]:
    """Which of the rows of an entry (numbered removed first, then put, event by event) are removed ones."""
    numbers: set[int] = set()
    start = 0
    for event, gone, _ in applied:
        numbers.update(range(start, start + len(gone)))
        start += len(gone) + len(event.puts)
    return frozenset(numbers)


def _update(entry: Entry, applied: Sequence[AppliedEvent], mask: frozenset[int]) -> Update:
    """What an entry means to those who see exactly the rows of the mask (numbered removed first, then put, event by event)."""
    number = 0
    events: list[Event] = []
    inserts: list[Row] = []
    removed: list[Removed] = []
    for event, gone, _ in applied:
        seen_gone = []
        for row in gone:
            if number in mask:
                seen_gone.append(row)
            number += 1
        seen_puts = []
        for put in event.puts:
            if number in mask:
                seen_puts.append(put)
            number += 1
        if seen_gone or seen_puts:
            shown = tuple(removed_row(row) for row in seen_gone)
            events.append(structs.replace(event, puts=tuple(seen_puts), removed=shown))
            inserts += seen_puts
            removed += [_removed(row) for row in seen_gone]
    return Update(
        entry.position,
        at_us=entry.at_us,
        actor=entry.actor,
        command=entry.command,
        trace_id=entry.trace_id,
        events=events,
        inserts=inserts,
        removed=removed,
    )


def _with_shift(update: Update, lost: Sequence[Removed], gained: Sequence[Row]) -> Update:
    """The update with what came into sight and went out of it."""
    known = {(table_name(row), removed_row(row).key) for row in update.inserts}
    gone = {(one.table, one.key) for one in update.removed}
    return Update(
        update.position,
        at_us=update.at_us,
        actor=update.actor,
        command=update.command,
        trace_id=update.trace_id,
        events=update.events,
        inserts=[*update.inserts, *(row for row in gained if (table_name(row), removed_row(row).key) not in known)],
        removed=[*update.removed, *(one for one in lost if (one.table, one.key) not in gone)],
    )
