"""Group commit over the network: whatever was submitted while one block was under way is the next one.

    acknowledged, or read back   the block is in the log, on the disks of a majority: apply it, answer, tell subscribers
    refused (another is there)   read what came in between, decide the group again
    no answer                    either. The same block is offered again with the same expectation, so it is stored at most once;
                                 if another block turns up at its place it never will be, and the group is decided again

A group without changes (refusals, repeats, nothing to do) is answered once the leader has said that the state it was decided against
is the newest. When `patience_s` passes without an answer, callers get OutcomeUnknownError if a block may still be stored and
SpacesUnavailableError otherwise.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from life.aios.ports.clock import Clock, Entropy
from life.spaces.engine.nats.blocks import FORMAT, Block, Packed, chained, pack
from life.spaces.engine.nats.contention import Contention
from life.spaces.engine.nats.draft import Asked, Draft, draft
from life.spaces.engine.nats.errors import OutcomeUnknownError
from life.spaces.engine.nats.follower import Follower
from life.spaces.engine.nats.link import Link, RefusedError, UnreachableError
from life.spaces.engine.nats.names import Names
from life.spaces.engine.nats.replica import Replica
from life.spaces.engine.port import Result
from life.spaces.errors import SpacesConflictError, SpacesError, SpacesUnavailableError
from life.spaces.events import Transient

_log: Final = logging.getLogger(__name__)

GROUP_COMMANDS: Final = 256
GROUP_BYTES: Final = 512 * 1024
"""Entries of a block, uncompressed, unless one alone is longer."""
MAX_WAITING: Final = 20_000
_HEADROOM_BYTES: Final = 16 * 1024
_RETRY_S: Final = 0.05
_ADVANCE_S: Final = 0.5
_NONCE_BYTES: Final = 32


class _Waiting(NamedTuple):
    asked: Asked
    answer: asyncio.Future[Result]
    since_s: float


class _Offer(NamedTuple):
    """A block under way."""

    expected: int
    block: Block
    packed: Packed
    made: Draft


class Writer:
    """Everything that one hub writes. One block is under way at a time."""

    def __init__(
        self,
        link: Link,
        names: Names,
        replica: Replica,
        follower: Follower,
        contention: Contention,
        *,
        hub: str,
        clock: Clock,
        entropy: Entropy,
        patience_s: float,
        on_transient: Callable[[Transient], None],
    ) -> None:
        self._link = link
        self._names = names
        self._replica = replica
        self._follower = follower
        self._contention = contention
        self._hub = hub
        self._clock = clock
        self._entropy = entropy
        self._patience_s = patience_s
        self._on_transient = on_transient
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None
        self._offer: _Offer | None = None
        self._stored = ""
        """The block of the offer under way, once it was seen in the log."""
        self._newest_hub = ""
        self._attempts = 0
        self._chance = b""
        self._closed: SpacesError | None = None
        self.accepted = 0
        self.refused = 0
        self.blocks = 0
        """Blocks of ours that were stored."""

    def submit(self, asked: Asked) -> asyncio.Future[Result]:
        """Line up. The answer is a result, a refusal, or SpacesUnavailableError."""
        if self._closed is not None:
            raise self._closed
        if len(self._queue) >= MAX_WAITING:
            raise SpacesUnavailableError("Too many commands wait.")
        answer: asyncio.Future[Result] = self._loop.create_future()
        self._queue.append(_Waiting(asked, answer, self._loop.time()))
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        return answer

    def nonce(self) -> bytes:
        """Chance for one command, drawn for many at once."""
        if len(self._chance) < _NONCE_BYTES:
            self._chance = self._entropy.token_bytes(128 * _NONCE_BYTES)
        nonce, self._chance = self._chance[:_NONCE_BYTES], self._chance[_NONCE_BYTES:]
        return nonce

    def saw(self, block: Block) -> None:
        """A block was taken from the log; perhaps it is ours, and its acknowledgement was lost or is slower."""
        self._newest_hub = block.hub
        if self._offer is not None and block.block == self._offer.block.block:
            self._stored = block.block

    def close(self, error: SpacesError) -> None:
        """Take nothing more; whoever waits in line is told."""
        self._closed = self._closed or error
        for waiting in self._queue:
            _fail(waiting, error)
        self._queue.clear()

    async def finish(self) -> None:
        """Let what was submitted come to its end, within the patience."""
        if self._task is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience_s):
                    await asyncio.shield(self._task)

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    # ── the task ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _drain(self) -> None:
        group: list[_Waiting] = []
        try:
            while True:
                await asyncio.sleep(0)  # everything submitted in this pass of the loop goes along
                group = self._next_group()
                if not group:
                    return
                try:
                    await self._settle(group)
                except SpacesError as error:
                    for waiting in group:
                        _fail(waiting, error)
                except Exception as error:
                    _log.exception("a group of commands failed")
                    for waiting in group:
                        _fail(waiting, SpacesUnavailableError(f"The log failed: {type(error).__name__}."))
        finally:
            self._task = None
            for waiting in group:
                _fail(waiting, OutcomeUnknownError("this hub stopped"))

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        while self._queue and len(group) < GROUP_COMMANDS:
            waiting = self._queue.popleft()
            if not waiting.answer.done():  # otherwise its caller was cancelled before anything happened
                group.append(waiting)
        return group

    async def _settle(self, group: list[_Waiting]) -> None:
        """Decide and offer until it is settled, or the patience of the first in the group is over."""
        deadline = group[0].since_s + self._patience_s
        fresh = False
        while True:
            await self._contention.turn(lambda: self._newest_hub, self._moved)
            self._offer = offer = self._decide(group)
            self._return_rest(group, len(offer.made.answers))
            if offer.made.is_empty:
                if fresh or await self._is_newest(offer, deadline):
                    self._succeed(group, offer)
                    return
                fresh = True
            elif await self._store(offer, deadline):
                self._succeed(group, offer)
                return
            self._require_open()
            if self._loop.time() >= deadline:
                raise self._given_up("other hubs were quicker every time")

    async def _moved(self, within_s: float) -> bool:
        return await self._follower.advanced(self._replica.sequence, within_s)

    async def _store(self, offer: _Offer, deadline: float) -> bool:
        """Offer one block until it is stored (True) or never will be (False)."""
        began = self._loop.time()
        while True:
            try:
                stored = await self._once(offer)
            except UnreachableError as error:
                if self._is_stored(offer):
                    return True
                if self._replica.sequence != offer.expected:
                    return False
                self._require_open()
                if self._loop.time() >= deadline:
                    raise self._given_up(str(error), unknown=True) from None
            else:
                if stored:
                    self._contention.took(self._loop.time() - began)
                return stored
            await asyncio.sleep(_RETRY_S)
            with suppress(UnreachableError, RefusedError):
                await self._follower.sync()

    async def _once(self, offer: _Offer) -> bool:
        """One attempt: True when it is stored, False when it never will be. UnreachableError when that is not known."""
        try:
            await self._link.append(
                self._names.stream,
                self._names.log,
                offer.packed.body,
                offer.packed.headers,
                expected=offer.expected,
            )
        except RefusedError as error:
            if not error.is_stale:
                self._refuse(error)
                raise UnreachableError(error.description) from None
            return await self._overtaken(offer)
        self._follower.wrote(offer.expected + 1, offer.block, offer.made.entries)
        return True

    async def _overtaken(self, offer: _Offer) -> bool:
        """Something is stored at the block's place already: read what. It may be an earlier attempt of ours."""
        if not await self._follower.advanced(offer.expected, _ADVANCE_S):
            try:
                await self._follower.sync()
            except RefusedError as error:
                raise UnreachableError(error.description) from None
        if self._replica.sequence == offer.expected:
            raise UnreachableError("the log moved on, and no server shows how yet")
        if self._is_stored(offer):
            return True
        await self._contention.lost(self._newest_hub)
        return False

    def _is_stored(self, offer: _Offer) -> bool:
        return self._stored == offer.block.block

    async def _is_newest(self, offer: _Offer, deadline: float) -> bool:
        """Whether the state that an offer was decided against is the newest. Afterwards this hub knows what was the newest."""
        while True:
            try:
                await self._follower.sync()
                return self._replica.sequence == offer.expected
            except (UnreachableError, RefusedError) as error:
                self._require_open()
                if self._loop.time() >= deadline:
                    raise self._given_up(str(error)) from None
            await asyncio.sleep(_RETRY_S)

    def _decide(self, group: list[_Waiting]) -> _Offer:
        replica = self._replica
        limit = min(GROUP_BYTES, self._link.max_message_bytes - _HEADROOM_BYTES)
        made = draft(
            replica.state,
            [waiting.asked for waiting in group],
            now_us=self._clock.now_us(),
            nonce=self.nonce,
            limit_bytes=limit,
        )
        self._attempts += 1
        before = replica.store.digest
        block = Block(
            format=FORMAT,
            block=f"{self._hub}-{self._attempts}",
            hub=self._hub,
            first=replica.state.position + 1,
            before=before.hex(),
            after=chained(before, made.encoded).hex(),
            entries=tuple(msgspec.Raw(data) for data in made.encoded),
            kicks=tuple(made.kicks),
        )
        return _Offer(replica.sequence, block, Packed(b"", {}) if made.is_empty else pack(block), made)

    def _return_rest(self, group: list[_Waiting], decided: int) -> None:
        """What did not fit into the block goes back to the head of the line."""
        self._queue.extendleft(reversed(group[decided:]))
        del group[decided:]

    def _succeed(self, group: list[_Waiting], offer: _Offer) -> None:
        self._stored, self._offer = "", None
        self.blocks += not offer.made.is_empty
        for transient in offer.made.transients:
            self._on_transient(transient)
        for waiting, answer in zip(group, offer.made.answers, strict=True):
            if isinstance(answer, SpacesError):
                self.refused += 1
                _fail(waiting, answer)
            else:
                self.accepted += bool(answer.events)
                if not waiting.answer.done():  # otherwise its caller was cancelled; it is stored all the same
                    waiting.answer.set_result(answer)
        group.clear()

    def _refuse(self, error: RefusedError) -> None:
        """Raise what the callers should know; return when asking again may help."""
        if error.may_pass:
            return
        if error.code == 0:
            raise SpacesConflictError("This changes more at once than one message of the log can hold.")
        raise SpacesUnavailableError(f"The NATS servers refuse the block: {error.description}.")

    def _given_up(self, reason: str, *, unknown: bool = False) -> SpacesUnavailableError:
        """What a group is told whose time is up; whoever has waited in line as long is told as well."""
        late = self._loop.time() - self._patience_s
        error = SpacesUnavailableError(
            f"The log can't be written: {reason}.",
            next_step="Nothing happened. A majority of the NATS servers must run and reach each other.",
        )
        while self._queue and self._queue[0].since_s <= late:
            _fail(self._queue.popleft(), error)
        return OutcomeUnknownError(reason) if unknown else error

    def _require_open(self) -> None:
        if self._closed is not None:
            raise self._closed


def _fail(waiting: _Waiting, error: SpacesError) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)
