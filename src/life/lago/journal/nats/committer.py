"""Group commit over the network: whatever was appended while one batch was under way is the next one.

A group is first published on the assumption that its ids are new and the streams end where we remember. The server checks
both when it stores the batch. If it refuses, or if no answer comes, each id and each head is asked of the stream's leader
and the group is planned again; so nothing is guessed:

    refused        nothing is stored: somebody else was quicker, or an id is there already
    acknowledged   everything is stored, on disk at every replica that counts
    no answer      either. An id that is found tells by the batch that stored it whether that was this attempt. If none is
                   found the group is published again with the same expectations, so at most one attempt can succeed.

When `patience_s` passes without an answer, callers get OutcomeUnknownError: never an acknowledgement, never a refusal that
may be untrue.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Final

from life.aios.errors import JournalFullError, JournalUnavailableError, LifeError
from life.aios.ports.clock import Entropy
from life.aios.record import Stream
from life.lago.journal.chain import Compact, expand_id
from life.lago.journal.entries import Batch, Placed
from life.lago.journal.nats.connection import Connection, RefusedError, UnreachableError
from life.lago.journal.nats.contention import Contention
from life.lago.journal.nats.errors import BatchTooLargeError, OutcomeUnknownError, TornBatchError
from life.lago.journal.nats.planning import Plan, Spot, StaleError, streams_of
from life.lago.journal.nats.reader import Found, HeadAt, Reader
from life.lago.journal.nats.subjects import Subjects

GROUP_EVENTS: Final = 480
"""How many events of several callers become one batch: with ids and marks below the servers' default of 1000 messages."""

GROUP_BYTES: Final = 8 * 2**20
"""How many bytes of payload they may have together."""

_REMEMBERED_STREAMS: Final = 50_000
_LOOK_UPS_AT_ONCE: Final = 64
_IDS_EVERY: Final = 8
_RETRY_S: Final = 0.02

_WRONG_SEQUENCE: Final = frozenset({10071, 10164})
_BATCH_TOO_LARGE: Final = 10199
_STORE_FAILED: Final = 10077
_NO_ROOM: Final = frozenset({10023, 10047, 10122})
_FINAL: Final = frozenset({0, 10054, 10174})
"""Refusals that asking again would not change: too large a message, JetStream's limits on one, batches not allowed."""

Outcome = list[Placed] | LifeError


class _Waiting:
    """One caller's batch, with its answer to come."""

    __slots__ = ("answer", "batch", "size")

    def __init__(self, batch: Batch, answer: asyncio.Future[list[Placed]]) -> None:
        self.batch = batch
        self.answer = answer
        self.size = sum(len(entry[10]) for entry in batch[0])


class Committer:
    """Takes batches, answers when they are durable. For one event loop."""

    def __init__(
        self, connection: Connection, reader: Reader, subjects: Subjects, entropy: Entropy, patience_s: float
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._subjects = subjects
        self._entropy = entropy
        self._patience_s = patience_s
        self._writer = entropy.token_bytes(12).hex()
        self._attempts = 0
        self.contention = Contention(connection, subjects, entropy, self._writer)
        self._heads: dict[Stream, HeadAt] = {}
        self._waiting: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def submit(self, batch: Batch) -> asyncio.Future[list[Placed]]:
        """Commit the batch with whatever else waits; the answer comes once it is durable."""
        answer: asyncio.Future[list[Placed]] = self._loop.create_future()
        self._waiting.append(_Waiting(batch, answer))
        if self._task is None:
            self._task = self._loop.create_task(self._work())
        return answer

    async def aclose(self) -> None:
        """Finish what waits."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _work(self) -> None:
        try:
            while True:
                # Everything appended in this pass of the loop goes along, also by those who were just answered.
                await asyncio.sleep(0)
                if not self._waiting:
                    return
                group = self._next_group()
                outcomes = await self._commit([each.batch for each in group])
                for each, outcome in zip(group, outcomes, strict=True):
                    if each.answer.done():  # its caller was cancelled; the events are stored all the same
                        continue
                    if isinstance(outcome, LifeError):
                        each.answer.set_exception(outcome)
                    else:
                        each.answer.set_result(outcome)
        finally:
            self._task = None

    def _next_group(self) -> list[_Waiting]:
        group = [self._waiting.popleft()]
        events, size = len(group[0].batch[0]), group[0].size
        while self._waiting:
            events += len(self._waiting[0].batch[0]) + len(self._waiting[0].batch[1])
            size += self._waiting[0].size
            if events > GROUP_EVENTS or size > GROUP_BYTES:
                break
            group.append(self._waiting.popleft())
        return group

    async def _commit(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Outcomes of a group. Every failure is an outcome."""
        try:
            return await _Attempts(self, batches).run()
        except (BatchTooLargeError, JournalFullError) as error:
            if len(batches) == 1:
                return [error]
            return [(await self._commit([batch]))[0] for batch in batches]
        except LifeError as error:
            return [error] * len(batches)
        except Exception as error:  # a defect, or a server that speaks otherwise: no caller may wait for ever
            unavailable = JournalUnavailableError(f"The NATS journal can't be written: {type(error).__name__}: {error}")
            return [unavailable] * len(batches)

    def next_attempt(self) -> str:
        """A batch id that no other attempt of any process has."""
        self._attempts += 1
        return f"{self._writer}-{self._attempts}"

    async def plan(self, batches: Sequence[Batch], *, heads: bool, ids: bool, own: set[str]) -> Plan:
        """The group's messages; with the heads, or the heads and then the ids, as the leader knows them now."""
        streams = streams_of(batches)
        reconnects = self._connection.reconnects
        if heads:
            for stream in streams:
                self._heads.pop(stream, None)
        await self._learn_heads([stream for stream in streams if stream not in self._heads])
        known = await self._find([entry[1] for batch in batches for entry in batch[0]]) if ids else {}
        if own and reconnects != self._connection.reconnects:
            # Heads of one server and ids of another, who may have been cut off, could contradict each other.
            raise UnreachableError("the connection changed while the journal was looked at")
        plan = Plan(self._subjects, self._heads, known, looked_up=heads and ids, own=own)
        plan.add(batches)
        return plan

    def remember(self, heads: dict[Stream, HeadAt]) -> None:
        """Where streams end after our own batch."""
        self._heads.update(heads)

    def forget(self, batches: Sequence[Batch]) -> None:
        """What we remember of these streams may be wrong."""
        for stream in streams_of(batches):
            self._heads.pop(stream, None)

    async def publish(self, plan: Plan, batch_id: str) -> int:
        """Publish a plan; the position of its last message."""
        return (await self._connection.publish_batch(plan.messages, batch_id)).seq

    @property
    def deadline(self) -> float:
        """When an append that begins now stops waiting, in the loop's time."""
        return self._loop.time() + self._patience_s

    async def _learn_heads(self, streams: list[Stream]) -> None:
        if len(self._heads) + len(streams) > _REMEMBERED_STREAMS:
            self._heads.clear()
        for start in range(0, len(streams), _LOOK_UPS_AT_ONCE):
            some = streams[start : start + _LOOK_UPS_AT_ONCE]
            heads = await asyncio.gather(*(self._reader.head(stream) for stream in some))
            self._heads.update(zip(some, heads, strict=True))

    async def _find(self, keys: list[Compact]) -> dict[Compact, Found]:
        unique = list(dict.fromkeys(keys))
        known: dict[Compact, Found] = {}
        for start in range(0, len(unique), _LOOK_UPS_AT_ONCE):
            some = unique[start : start + _LOOK_UPS_AT_ONCE]
            found = await asyncio.gather(*(self._reader.find(expand_id(key)) for key in some))
            known.update(zip(some, found, strict=True))
        return known


class _Attempts:
    """One group, until its outcome is known or its time is up."""

    def __init__(self, committer: Committer, batches: Sequence[Batch]) -> None:
        self._committer = committer
        self._batches = batches
        self._deadline = committer.deadline
        self._own: set[str] = set()
        self._open = False
        """Whether the outcome of an attempt is not known."""
        self._seen: Plan | None = None
        """The newest plan for which the ids were looked up."""

    async def run(self) -> list[Outcome]:
        """Plan and publish until it is settled."""
        contention = self._committer.contention
        ids = False
        refused = 0
        reason = "no answer in time"
        while True:
            heads = await contention.turn() or ids or refused > 0
            try:
                outcomes = await self._once(heads=heads, ids=ids)
                if outcomes is not None:
                    return outcomes
                refused += 1
                # Mostly it is a head that moved. That it is an id is looked at once, and then now and then.
                ids = refused % _IDS_EVERY == 1
                reason = "other processes were quicker every time"
                if refused > 1:
                    await contention.lost()
            except StaleError:
                ids = True
            except UnreachableError as error:
                ids = True
                reason = str(error)
                await asyncio.sleep(_RETRY_S)
            if asyncio.get_running_loop().time() >= self._deadline:
                return await self._last_look(reason)

    async def _once(self, *, heads: bool, ids: bool) -> list[Outcome] | None:
        """One attempt; None when the server refused it because a head or an id is not as planned."""
        committer = self._committer
        began = asyncio.get_running_loop().time()
        try:
            plan = await committer.plan(self._batches, heads=heads, ids=ids, own=self._own)
        except RefusedError as error:
            raise UnreachableError(error.description) from None
        if ids:
            self._seen = plan
        if not plan.messages:
            return list(plan.settle(0))
        batch_id = committer.next_attempt()
        self._own.add(batch_id)
        try:
            last_position = await committer.publish(plan, batch_id)
        except RefusedError as error:
            committer.forget(self._batches)
            if error.code in _WRONG_SEQUENCE:
                return None
            self._refuse(error)
            if error.code in _NO_ROOM or (error.code == _STORE_FAILED and "maximum" in error.description):
                return await self._without_room(error.description)
            raise UnreachableError(error.description) from None
        except UnreachableError:
            committer.forget(self._batches)
            self._open = True
            raise
        except BaseException:
            committer.forget(self._batches)
            raise
        committer.remember(plan.heads_after(last_position))
        committer.contention.took(asyncio.get_running_loop().time() - began)
        return list(plan.settle(last_position))

    def _refuse(self, error: RefusedError) -> None:
        """Raise what the caller should know; return when asking again may help."""
        if error.code == _BATCH_TOO_LARGE:
            raise BatchTooLargeError(sum(len(batch[0]) for batch in self._batches), error.description)
        if error.code in _FINAL:
            raise JournalUnavailableError(f"The NATS servers refuse the events: {error.description}.")

    async def _without_room(self, reason: str) -> list[Outcome]:
        """What became of a group for which there was no room: a server may have stored part of it before it noticed."""
        try:
            self._seen = plan = await self._committer.plan(self._batches, heads=True, ids=True, own=self._own)
        except RefusedError as error:
            raise UnreachableError(error.description) from None
        if plan.messages and any(plan.begun):
            return self._give_up(reason)
        if plan.messages:
            raise JournalFullError(f"The NATS servers have no room for the events: {reason}.")
        return list(plan.settle(0))

    async def _last_look(self, reason: str) -> list[Outcome]:
        """The time is up: what the journal says now, if it says anything."""
        with contextlib.suppress(UnreachableError, RefusedError):
            self._seen = await self._committer.plan(self._batches, heads=True, ids=True, own=self._own)
        return self._give_up(reason)

    def _give_up(self, reason: str) -> list[Outcome]:
        """What can be said of each batch when there is no more to do: what was found stored is stored."""
        plan = self._seen
        if plan is None:
            return [self._given_up(reason)] * len(self._batches)
        outcomes: list[Outcome] = []
        for outcome, begun in zip(plan.outcomes, plan.begun, strict=True):
            if isinstance(outcome, LifeError):
                outcomes.append(self._given_up(reason) if self._open else outcome)
            elif any(isinstance(place, Spot) for place in outcome):
                outcomes.append(TornBatchError(reason) if begun else self._given_up(reason))
            else:
                outcomes.append([place for place in outcome if not isinstance(place, Spot)])
        return outcomes

    def _given_up(self, reason: str) -> JournalUnavailableError:
        if self._open:
            return OutcomeUnknownError(reason)
        return JournalUnavailableError(
            f"The NATS journal could not store the events: {reason}.",
            next_step="Nothing of this batch is stored. See that a majority of the NATS servers runs.",
        )
