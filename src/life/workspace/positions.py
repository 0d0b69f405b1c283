"""Folded states of sessions at any position, without folding a long session twice.

A state is kept every `EVERY` events as compressed JSON, in memory, for the streams that were last asked for. It is a cache: what is asked for
is folded from the nearest kept state on, page by page, so the event loop gets its turn between pages.

A branch's state goes on from its parent's at the fork.

Source: workspace-ui.md WS-EVT-5, WS-REP-6.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import NotFoundError
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.snapshots import Snapshot, Snapshots
from life.aios.record import Stream
from life.workspace.fold import advance
from life.workspace.state import VERSION, State, decode_state, encode_state

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

EVERY: Final = 1000
"""Events between two kept states; also what the page asks for at once."""

SAVE_EVERY: Final = 5000
"""Events after which a state is kept over restarts."""

_NEAR: Final = 20_000
"""On the way to a far position states are kept every `SAVE_EVERY` events, and close to it every `EVERY`."""

_MOST_STREAMS: Final = 16


def _name(stream: Stream) -> str:
    return f"workspace.fold:{stream.session_id}/{stream.branch_id}"


class Fork(NamedTuple):
    """Where a branch begins."""

    parent: str
    sequence: int
    """The last event of the parent that it inherits."""


ForkOf = Callable[[str, str], Awaitable[Fork | None]]
"""The fork that a branch of a session began with; None for main."""


class _Kept:
    """The kept states of one stream."""

    def __init__(self) -> None:
        self.saved = 0
        """Through which event a state was written to where it outlives the process."""
        self._sequences: list[int] = []
        self._states: list[bytes] = []

    def before(self, sequence: int) -> tuple[int, State] | None:
        """The newest kept state at or before `sequence`."""
        place = bisect_right(self._sequences, sequence)
        if place == 0:
            return None
        return self._sequences[place - 1], decode_state(zstd.decompress(self._states[place - 1]))

    def keep(self, sequence: int, state: State) -> None:
        """Keep a state, unless it is kept already."""
        place = bisect_right(self._sequences, sequence)
        if place and self._sequences[place - 1] == sequence:
            return
        self._sequences.insert(place, sequence)
        self._states.insert(place, zstd.compress(encode_state(state), 1))


class Positions:
    """The states of one journal's sessions."""

    def __init__(self, journal: Journal, fork_of: ForkOf, snapshots: Snapshots | None = None) -> None:
        """`snapshots`: where the newest state of long streams is kept over restarts; a redaction drops what is kept there."""
        self._journal = journal
        self._fork_of = fork_of
        self._snapshots = snapshots
        self._kept: OrderedDict[Stream, _Kept] = OrderedDict()
        self._kept_up: dict[Stream, int] = {}

    async def at(self, stream: Stream, sequence: int | None = None) -> State:
        """The state after event `sequence` of `stream` (its head unless told); NotFoundError when the stream ends before it."""
        head = (await self._journal.head(stream)).sequence
        sequence = head if sequence is None else sequence
        if sequence > head:
            raise NotFoundError(f"The branch ends at event {head}.")
        kept = self._kept.get(stream)
        if kept is None:
            kept = self._kept[stream] = _Kept()
            await self._remember(stream, kept, head)
        self._kept.move_to_end(stream)
        while len(self._kept) > _MOST_STREAMS:
            self._kept.popitem(last=False)
        found = kept.before(sequence)
        done, state = found if found is not None else (0, await self._beginning(stream))
        while done < sequence:
            wanted = min(EVERY - done % EVERY, sequence - done)
            query = EventQuery(*stream, after_sequence=done)
            records = await self._journal.read(query, limit=wanted)
            if not records:
                raise NotFoundError(f"The branch ends at event {done}.")
            for record in records:
                advance(state, record)
            done = records[-1].sequence
            if done % EVERY == 0 and (done % SAVE_EVERY == 0 or sequence - done < _NEAR):
                kept.keep(done, state)
                if self._snapshots is not None and done - kept.saved >= SAVE_EVERY and sequence - done < EVERY:
                    kept.saved = done
                    await self._snapshots.save(_name(stream), VERSION, Snapshot(done, encode_state(state)))
        return state

    async def keep_up(self, streams: Iterable[Stream]) -> int:
        """Fold those of the streams that have grown by `SAVE_EVERY` events since their state was last written down, so that nobody who opens a
        long session waits for it to be folded; how many were."""
        if self._snapshots is None:
            return 0
        done = 0
        for stream in streams:
            head = (await self._journal.head(stream)).sequence
            if head - self._kept_up.get(stream, 0) < SAVE_EVERY:
                continue
            self._kept_up[stream] = head
            found = await self._snapshots.load(_name(stream), VERSION)
            if found is None or head - found.position >= SAVE_EVERY:
                await self.at(stream, head)
                done += 1
        return done

    async def _remember(self, stream: Stream, kept: _Kept, head: int) -> None:
        """What was kept before the process started."""
        if self._snapshots is None or head < SAVE_EVERY:
            return
        found = await self._snapshots.load(_name(stream), VERSION)
        if found is None or found.position > head:
            return
        try:
            state = decode_state(found.state)
        except msgspec.DecodeError:
            return  # a cache of other code
        if state.seq == found.position and state.branch == stream.branch_id:
            kept.saved = found.position
            kept.keep(found.position, state)

    async def fork_of(self, stream: Stream) -> Fork | None:
        """Where the branch begins; None for main."""
        return await self._fork_of(stream.session_id, stream.branch_id)

    async def _beginning(self, stream: Stream) -> State:
        fork = await self._fork_of(stream.session_id, stream.branch_id)
        return State() if fork is None else await self.at(Stream(stream.session_id, fork.parent), fork.sequence)

    def forget(self, session_id: str) -> None:
        """Drop what is kept of a session."""
        for stream in [stream for stream in self._kept if stream.session_id == session_id]:
            del self._kept[stream]
