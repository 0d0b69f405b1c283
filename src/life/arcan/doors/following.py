"""The records of a run as they come, until it ends or comes to rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from typing import Final

from msgspec.structs import replace

from life.aios.events import AssistantTextDelta, encode_kind
from life.aios.record import EventRecord
from life.arcan.errors import RuntimeClosedError
from life.arcan.reports import RunReport
from life.arcan.runtime import Runtime
from life.arcan.session_state import SessionState, SessionStatus

HEARTBEAT_S: Final = 15.0
MAX_BATCH: Final = 256
_IN_DOUBT: Final[tuple[SessionStatus, ...]] = ("in_doubt",)


async def follow(
    runtime: Runtime, session_id: str, after_sequence: int, *, heartbeat_s: float = HEARTBEAT_S
) -> AsyncGenerator[list[EventRecord], None]:
    """What is ready after `after_sequence`, batch by batch; an empty batch after silence. Ends when the runtime closes."""
    async with aclosing(runtime.subscribe(session_id, after_sequence)) as records:
        following: asyncio.Future[EventRecord | None] | None = None
        try:
            while True:
                following = following or asyncio.ensure_future(anext(records, None))
                done, _ = await asyncio.wait({following}, timeout=heartbeat_s)
                if not done:
                    yield []
                    continue
                batch: list[EventRecord] = []
                while following is not None and following.done():
                    record, following = following.result(), None
                    if record is None:
                        if batch:
                            yield coalesced(batch)
                        return
                    batch.append(record)
                    if len(batch) < MAX_BATCH:
                        following = asyncio.ensure_future(anext(records, None))
                        await asyncio.sleep(0)
                yield coalesced(batch)
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)


async def follow_run(
    runtime: Runtime,
    session_id: str,
    run_id: str,
    after_sequence: int,
    *,
    rests: Collection[SessionStatus] = _IN_DOUBT,
    heartbeat_s: float = HEARTBEAT_S,
) -> AsyncGenerator[list[EventRecord], None]:
    """Like `follow`, until nothing drives the run any more: it has ended, its driver failed (which is raised), or the session
    rests in one of `rests`. In other rests it is waited for on."""
    driving: asyncio.Task[RunReport] | None = asyncio.create_task(runtime.wait(session_id, run_id))
    head, seen = -1, after_sequence
    try:
        async with aclosing(_Batches(follow(runtime, session_id, after_sequence, heartbeat_s=heartbeat_s))) as batches:
            while True:
                wanted = {batches.pending()} | ({driving} if driving is not None else set())
                await asyncio.wait(wanted, return_when=asyncio.FIRST_COMPLETED)
                if batches.is_ready:
                    batch = await batches.take()
                    if batch is None:
                        raise RuntimeClosedError("The daemon is stopping; the run can be taken up again.")
                    seen = max([seen, *(record.sequence for record in batch)])
                    if driving is None and any(record.sequence for record in batch):
                        driving = asyncio.create_task(runtime.wait(session_id, run_id))
                    yield batch
                elif driving is not None:
                    driving.result()
                    state = await runtime.state(session_id)
                    head, driving = state.head, None
                    is_open = state.run is not None and state.run.run_id == run_id
                    if is_open and state.status not in (*rests, "running") and not waits_for_client(state):
                        head = -1  # it waits for a person, and so do we
                if 0 <= head <= seen:
                    return
    finally:
        if driving is not None:
            driving.cancel()
            await asyncio.gather(driving, return_exceptions=True)


class _Batches:
    """A generator of batches of which the next can be waited for together with something else."""

    def __init__(self, batches: AsyncGenerator[list[EventRecord], None]) -> None:
        self._batches = batches
        self._next: asyncio.Future[list[EventRecord] | None] | None = None

    def pending(self) -> asyncio.Future[list[EventRecord] | None]:
        """The next batch."""
        if self._next is None:
            self._next = asyncio.ensure_future(anext(self._batches, None))
        return self._next

    @property
    def is_ready(self) -> bool:
        """Whether it is there."""
        return self._next is not None and self._next.done()

    async def take(self) -> list[EventRecord] | None:
        """The next batch; None at the end."""
        following = self.pending()
        batch = await following
        self._next = None
        return batch

    async def aclose(self) -> None:
        """Stop."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)
        await self._batches.aclose()


def waits_for_client(state: SessionState) -> bool:
    """Whether nothing but the client's own tools holds the run up."""
    phases = {call.phase for call in state.calls}
    return "awaiting_client" in phases and not phases & {"awaiting_approval", "in_doubt"}


def coalesced(records: Sequence[EventRecord]) -> list[EventRecord]:
    """Neighbouring pieces of one message as one piece. More than one is ready only while the reader is slower than the model."""
    merged: list[EventRecord] = []
    for record in records:
        last = merged[-1] if merged else None
        if last is not None and last.sequence == record.sequence == 0 and last.causation_id == record.causation_id:
            one, two = last.kind, record.kind
            if (
                isinstance(one, AssistantTextDelta)
                and isinstance(two, AssistantTextDelta)
                and (one.index or 0) + len(one.delta) == two.index
            ):
                both = AssistantTextDelta(delta=one.delta + two.delta, index=one.index)
                merged[-1] = replace(last, payload=encode_kind(both), _kind=None)
                continue
        merged.append(record)
    return merged
