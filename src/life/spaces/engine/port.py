"""The port of Spaces' engines (spaces-engines.md §7). An engine orders, stores and delivers; everything else is in the reducers.

What every engine promises (suite: life.testing.spaces):

* Commands are applied one after the other. An accepted one is durable before its answer, in the log once, with its events.
* A command with a key is carried out once per identity and key within 24 hours; a repeat gets the first answer.
* A refused command changes nothing.
* A subscriber gets the rows it may see, then every change that concerns them, in order, without gap, as of positions of the log.
* Whoever loses sight of rows is told that they are gone; whoever is kicked out of the engine gets nothing more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from life.spaces.commands import Command
from life.spaces.events import Entry, Event, Transient
from life.spaces.identity import Caller
from life.spaces.model import PresenceState, Row
from life.spaces.queries import Answer, AnyQuery, TableQuery
from life.spaces.state import State

LEASE_US = 15 * 60 * 1_000_000
"""How long a session lasts without renewal."""
PRESENCE_TTL_US = 30 * 1_000_000
"""How long a connection counts as present after its last heartbeat (one every 10 s)."""
QUEUE_LIMIT = 1024
"""Updates that wait for one subscriber."""


class Result(NamedTuple):
    """What became of a command."""

    position: int
    """Its place in the log; 0 for a transient one, and for one that found nothing to do."""
    space_seq: int
    """The last `space_seq` that it made; 0 when it concerned no space."""
    row: Row | None
    """The row it is about: the message sent, the space made. None where there is none (any more)."""
    events: tuple[Event, ...] = ()
    """Empty for a duplicate."""
    duplicate: bool = False
    """It was carried out before; position and row are those of then."""


class Removed(NamedTuple):
    """A row that the subscriber no longer sees."""

    table: str
    key: tuple[int | str, ...]
    row: Row | None
    """What it was, where that is still known."""


class Update:
    """What one entry of the log (or one transient event) means to a subscriber. Shared between subscribers who see the same."""

    __slots__ = (
        "actor",
        "at_us",
        "cache",
        "command",
        "events",
        "inserts",
        "position",
        "removed",
        "trace_id",
        "transient",
    )

    def __init__(
        self,
        position: int,
        *,
        at_us: int,
        actor: str,
        command: str = "",
        trace_id: str | None = None,
        events: Sequence[Event] = (),
        inserts: Sequence[Row] = (),
        removed: Sequence[Removed] = (),
        transient: Transient | None = None,
    ) -> None:
        self.position = position
        """0 for a transient event."""
        self.at_us = at_us
        self.actor = actor
        self.command = command
        self.trace_id = trace_id
        self.events = tuple(events)
        """The events, each with the rows that the subscriber sees and asked for."""
        self.inserts = tuple(inserts)
        """Rows put (new or replaced), in order."""
        self.removed = tuple(removed)
        self.transient = transient
        self.cache: dict[str, bytes] = {}
        """Encodings, by the listener that made them: many subscribers share one update."""


class Subscription(Protocol):
    """Rows now, and changes from then on. Close it with `aclose`."""

    @property
    def position(self) -> int:
        """The position that `initial` is as of (or that was resumed from)."""
        ...

    @property
    def initial(self) -> tuple[Row, ...]:
        """The visible rows at `position`; empty when resumed."""
        ...

    def __aiter__(self) -> AsyncIterator[Update]:
        """The updates after `position`, in order, without end. SlowConsumerError when too many wait, RevokedError and the like
        when the subscriber was thrown out; StaleSequenceError on a resumed one when a new snapshot is needed."""
        ...

    async def ready(self) -> None:
        """Wait until `take` gives something (or an error)."""
        ...

    def take(self) -> list[Update]:
        """Every update that waits, at once, for listeners that write several in one frame; empty when none does. The errors of `__aiter__`."""
        ...

    async def aclose(self) -> None:
        """Stop."""
        ...


class Session(Protocol):
    """A login: a caller for as long as its lease runs."""

    @property
    def id(self) -> str:
        """Unique."""
        ...

    @property
    def caller(self) -> Caller:
        """Who it is."""
        ...

    @property
    def lease_until_us(self) -> int:
        """When it ends unless renewed."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether it still counts; False at once when it was ended."""
        ...

    async def closed(self) -> str:
        """Wait for the end and say why: `closed`, `expired`, `revoked`, `kicked`, `engine_closed`."""
        ...


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's presence, over all their connections."""

    identity: str
    state: PresenceState
    status_text: str = ""
    last_seen_us: int


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How an engine is doing."""

    ready: bool
    position: int
    sessions: int
    subscriptions: int
    detail: Mapping[str, int | str]


class Engine(Protocol):
    """An engine. Methods may be called from any task of the event loop that opened it. A closed one: SpacesUnavailableError."""

    @property
    def state(self) -> State:
        """The state as far as this process knows it; only to be read."""
        ...

    async def submit(
        self, command: Command, caller: Caller, *, key: str | None = None, trace_id: str | None = None
    ) -> Result:
        """Carry a command out and return once it is durable. SpacesErrors are refusals that changed nothing;
        SpacesUnavailableError: ask again with the same key to learn whether it happened. A command with a `client_id` needs no key."""
        ...

    async def query(self, query: AnyQuery, caller: Caller) -> Answer:
        """Answer from the state, with every row checked for the caller's sight; own accepted commands are included."""
        ...

    async def subscribe(
        self, queries: Sequence[TableQuery], caller: Caller, *, since: int | None = None, session: Session | None = None
    ) -> Subscription:
        """Rows of these queries with all later changes; `since` (a position) resumes without rows. StaleSequenceError when that
        can't be done. With a session, the subscription ends with it, at once (TokenExpiredError)."""
        ...

    async def entries(self, after: int, *, limit: int = 500) -> list[Entry]:
        """The log after a position, for exporters and replicas; not filtered for anybody."""
        ...

    async def login(self, token: str) -> Session:
        """Open a session by an agent token. UnauthenticatedError and its leaves."""
        ...

    async def renew(self, session: Session, token: str) -> Session:
        """Prolong a session by a fresh token of the same identity."""
        ...

    async def logout(self, session: Session, *, reason: str = "closed") -> None:
        """End a session with its presence and subscriptions."""
        ...

    async def kick(self, identity: str, *, reason: str = "kicked") -> int:
        """End every session of an identity at once, on all nodes; how many of them were here."""
        ...

    async def set_presence(self, session: Session, state: PresenceState, status_text: str = "") -> None:
        """A heartbeat: this session is present for another 30 s. Told to those who share a space when something changed."""
        ...

    async def presence(self, identities: Sequence[str]) -> list[Presence]:
        """Who of these is here."""
        ...

    async def health(self) -> Health:
        """Whether commands can be carried out now."""
        ...

    async def aclose(self) -> None:
        """Finish what was submitted, end all sessions and subscriptions, release everything."""
        ...
