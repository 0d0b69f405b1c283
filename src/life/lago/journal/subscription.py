"""Subscriptions: every matching event exactly once, in order, history first and then live.

A subscription is a cursor, not a queue. It reads pages from storage, and where a page is empty it waits for the bell of
its stream. The bell is armed before the page is read, so an append in between rings it; the next page begins behind the
last one, so nothing repeats at the seam. A slow consumer holds one page and nothing else. Source: lago.md §3.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from life.aios.errors import InvalidInputError, LifeError
from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord, Stream

PAGE_EVENTS: Final = 256
"""How many events a subscription reads, and holds, at most."""

MAX_LIMIT: Final = 10_000
"""The largest page a reader may ask for."""

_LARGEST: Final = 2**63 - 1


class Page(NamedTuple):
    """Part of an answer: matching records, the query that goes on behind all that was looked at, and whether to go on."""

    records: list[EventRecord]
    after: EventQuery
    more: bool


def check_query(query: EventQuery) -> EventQuery:
    """The query with its cursors inside of 64 bits; InvalidInputError for one that has no meaning."""
    if query.session_id is None and query.branch_id is not None:
        raise InvalidInputError("A branch belongs to a session; name the session as well.")
    if query.branch_id is None and (query.after_sequence or query.before_sequence is not None):
        raise InvalidInputError(
            "Sequences count within one branch of one session; over streams the cursor is a position."
        )
    return query._replace(
        after_sequence=min(max(query.after_sequence, 0), _LARGEST),
        before_sequence=None if query.before_sequence is None else min(max(query.before_sequence, 0), _LARGEST),
        after_position=min(max(query.after_position, 0), _LARGEST),
    )


def check_limit(limit: int) -> int:
    """The limit, when it is 1 to 10,000."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidInputError(f"The limit must be between 1 and {MAX_LIMIT}.")
    return limit


class Subscription:
    """One reader's place in the journal. Not for several tasks at once."""

    def __init__(self, bells: Bells, scan: Callable[[EventQuery, int], Page], query: EventQuery) -> None:
        self.query = check_query(query)
        self._bells = bells
        self._scan = scan
        self._page: deque[EventRecord] = deque()
        self._rung = True
        self._waiter: asyncio.Future[None] | None = None
        self._end: LifeError | StopAsyncIteration | None = None
        bells.add(self)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> EventRecord:
        page = self._page
        while not page:
            if self._end is not None:
                raise self._end
            await self._turn_page()
        return page.popleft()

    async def aclose(self) -> None:
        """Forget the page and stop listening. Whoever waits for an event sees the end."""
        self._finish(StopAsyncIteration())

    def ring(self) -> None:
        """There may be something new."""
        self._rung = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def fail(self, error: LifeError) -> None:
        """The journal is gone: what was read already is still given out, then `error` is raised."""
        self._bells.remove(self)
        self._end = self._end or error
        self.ring()

    async def _turn_page(self) -> None:
        if not self._rung:
            await self._wait()
            return
        self._rung = False
        page = self._scan(self.query, PAGE_EVENTS)
        self.query = page.after
        self._page.extend(page.records)
        if page.more or page.records:
            self._rung = True
            await asyncio.sleep(0)  # a long history leaves room for others between its pages
        elif self._is_past_the_end():
            self._finish(StopAsyncIteration())

    def _is_past_the_end(self) -> bool:
        before = self.query.before_sequence
        return before is not None and self.query.after_sequence >= before - 1

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise InvalidInputError("Two tasks wait for the same subscription; give each its own.")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _finish(self, end: StopAsyncIteration) -> None:
        self._bells.remove(self)
        self._page.clear()
        self._end = end
        self.ring()


class Bells:
    """Who listens to which session, and who to all of them."""

    def __init__(self, on_change: Callable[[bool], None] | None = None) -> None:
        """`on_change` hears whether anybody listens, whenever that changes."""
        self._by_session: dict[str | None, set[Subscription]] = {}
        self._on_change = on_change

    def __bool__(self) -> bool:
        """Whether anybody listens."""
        return bool(self._by_session)

    def __len__(self) -> int:
        """How many subscriptions are open."""
        return sum(len(listening) for listening in self._by_session.values())

    def add(self, subscription: Subscription) -> None:
        """Listen from now on."""
        was_silent = not self._by_session
        self._by_session.setdefault(subscription.query.session_id, set()).add(subscription)
        if was_silent and self._on_change is not None:
            self._on_change(True)

    def remove(self, subscription: Subscription) -> None:
        """Listen no longer."""
        session_id = subscription.query.session_id
        listening = self._by_session.get(session_id)
        if listening is None or subscription not in listening:
            return
        listening.remove(subscription)
        if not listening:
            del self._by_session[session_id]
        if not self._by_session and self._on_change is not None:
            self._on_change(False)

    def ring(self, streams: Iterable[Stream]) -> None:
        """These streams have new events, stored and readable."""
        if not self._by_session:
            return
        for subscription in self._by_session.get(None, ()):
            subscription.ring()
        for session_id, branch_id in streams:
            for subscription in self._by_session.get(session_id, ()):
                if subscription.query.branch_id in (None, branch_id):
                    subscription.ring()

    def ring_all(self) -> None:
        """Anything may be new."""
        for listening in self._by_session.values():
            for subscription in listening:
                subscription.ring()

    def fail(self, error: LifeError) -> None:
        """The journal is gone."""
        for subscription in [each for listening in self._by_session.values() for each in listening]:
            subscription.fail(error)
