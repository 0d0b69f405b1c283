"""One branch of one session: where one looks, what is live, and what is being written.

Three modes, always named: `live` follows the head, `paused` stands at a position, `replay` moves along the past. Moving reads the journal and nothing
else. Within a block the state is folded here, with a copy kept every hundred events; a jump costs one block.

The same as the page's `ui/src/app/session.svelte.ts`. Source: WS-EVT-3, WS-EVT-9, WS-REP-1, WS-REP-4, WS-REP-6.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Final, Literal

from life.aios.errors import LifeError, NotFoundError, UnavailableError
from life.aios.ports.clock import Clock
from life.aios.record import EventRecord, Stream
from life.cli.chat.reader import Block, Reader
from life.cli.session_client import SessionClient
from life.workspace.fold import advance
from life.workspace.positions import EVERY
from life.workspace.state import Mark, State, decode_state, encode_state
from life.workspace.values import count, fields_of, text

Mode = Literal["live", "paused", "replay"]
Connection = Literal["connecting", "open", "lost", "closed"]

_KEEP: Final = 100
_MOST_BLOCKS: Final = 24
_RETRY_US: Final = 500_000
_LONGEST_WAIT_US: Final = 2_000_000
"""Between two events of a replay, at speed 1; longer waits are shortened (WS-REP-2)."""

_SHORTEST_WAIT_US: Final = 30_000
SPEEDS: Final = (0.5, 1.0, 2.0, 5.0)


class _Loaded:
    """A block, and folded states within it."""

    def __init__(self, block: Block) -> None:
        self.base = block.base
        self.records = list(block.records)
        self._states: list[bytes] = [block.state]

    def at(self, sequence: int) -> State:
        """The state after event `sequence`, which stands in this block."""
        within = max(0, min(sequence - self.base, len(self.records)))
        place = min(within // _KEEP, len(self._states) - 1)
        state = decode_state(self._states[place])
        for index in range(place * _KEEP, within):
            advance(state, self.records[index])
            if (index + 1) % _KEEP == 0 and len(self._states) == (index + 1) // _KEEP:
                self._states.append(encode_state(state))
        return state


class Track:
    """A branch, live and at any position. `on_change` hears that there is something new to draw."""

    def __init__(self, client: SessionClient, reader: Reader, clock: Clock, stream: Stream) -> None:
        self.stream = stream
        self.state = State()
        """What every pane draws."""
        self.live = State()
        self.position: int | None = None
        """The position that is looked at; None follows the head."""
        self.playing = False
        self.speed = 1.0
        self.connection: Connection = "connecting"
        self.trouble = ""
        """What the connection broke off with."""
        self.writing = ""
        """A message that is being written; only at the head."""
        self.new_since = 0
        """Events that came while one looked at the past."""
        self.seeking = 0
        """The position that is being read; 0: none."""
        self.on_change: Callable[[], None] = lambda: None
        self.on_record: Callable[[EventRecord], None] = lambda _record: None
        """Hears every stored event that comes, after it was folded."""
        self._client = client
        self._reader = reader
        self._clock = clock
        self._blocks: dict[tuple[str, int], _Loaded] = {}
        self._asked: set[tuple[str, int]] = set()
        self._failed: set[tuple[str, int]] = set()
        self._writing_id = ""
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._player: asyncio.Task[None] | None = None

    @property
    def head(self) -> int:
        """The last event that is known."""
        return self.live.seq

    @property
    def shown(self) -> int:
        """The event that one looks at."""
        return self.head if self.position is None else self.position

    @property
    def mode(self) -> Mode:
        """Where one stands to time."""
        return "live" if self.position is None else "replay" if self.playing else "paused"

    @property
    def marks(self) -> list[Mark]:
        """Points of the whole branch, wherever one looks."""
        return self.live.marks

    async def open(self, position: int | None = None) -> None:
        """Load the end of the branch, and the moment `position`. NotFoundError when there is no such branch."""
        block = await self._reader.block(self.stream)
        loaded = self._keep(self.stream.branch_id, block)
        self.live = self.state = loaded.at(block.head)
        if position is not None and position < self.head:
            await self.seek(position)

    def follow_stream(self) -> None:
        """Begin to listen."""
        self._spawn(self._listen())

    async def aclose(self) -> None:
        """Stop listening and playing."""
        self.playing = False
        tasks = [*self._tasks, *([self._player] if self._player else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # What comes

    async def _listen(self) -> None:
        while True:
            try:
                if self.connection == "lost":
                    await self._client.view(*self.stream)  # says whether anybody is there again
                self._connected("open")
                async with aclosing(self._client.subscribe(*self.stream, self.live.seq)) as records:
                    async for record in records:
                        self.take(record)
                self._connected("closed")
                return
            except UnavailableError as error:
                self._connected("lost", error.message)
                await self._clock.sleep_us(_RETRY_US)
            except LifeError as error:
                self._connected("lost", error.message)
                return

    def _connected(self, now: Connection, trouble: str = "") -> None:
        if (now, trouble) != (self.connection, self.trouble):
            self.connection, self.trouble = now, trouble
            self.on_change()

    def take(self, record: EventRecord) -> None:
        """One event of the stream. What was taken already is passed over."""
        if record.branch_id != self.stream.branch_id:
            return
        if record.sequence <= 0:
            self._write(record)
            return
        if record.sequence <= self.live.seq:
            return
        if record.sequence != self.live.seq + 1:
            raise UnavailableError(f"Event {self.live.seq + 1} is missing in the stream.")
        self._append(record)
        advance(self.live, record)
        if self._writing_id and (
            self._writing_id == record.event_id
            or record.kind_name in ("StepFinished", "RunFinished", "RunErrored", "RunStarted")
        ):
            self.writing, self._writing_id = "", ""
        if self.position is None:
            self.state = self.live
        else:
            self.new_since += 1
        self.on_record(record)
        self.on_change()

    def _write(self, record: EventRecord) -> None:
        """A piece of a message: `index` counts the characters before it, so a piece that was missed leaves no wrong words behind."""
        told = fields_of(record.payload)
        message, piece = record.causation_id or "", told.get("delta")
        if not isinstance(piece, str):
            return
        before = self.writing if message == self._writing_id else ""
        start = count(told.get("index")) if "index" in told else len(before)
        if start > len(before):
            return  # the whole message tells the rest
        self._writing_id, self.writing = message, before[:start] + text(piece)
        if self.position is None:
            self.on_change()

    def _append(self, record: EventRecord) -> None:
        """Into the block that it stands in, before it is folded; unless that was read with it in it."""
        key = (self.stream.branch_id, _base(record.sequence))
        block = self._blocks.get(key)
        if block is None and self.live.seq == key[1]:
            block = self._blocks[key] = _Loaded(Block(self.live.seq, key[1], encode_state(self.live), ()))
        if block is not None and block.base + len(block.records) == record.sequence - 1:
            block.records.append(record)

    # Blocks

    def _keep(self, branch: str, block: Block) -> _Loaded:
        key = (branch, block.base)
        known = self._blocks.get(key)
        if known is not None and len(known.records) >= len(block.records):
            return known
        loaded = self._blocks[key] = _Loaded(block)
        newest = (self.stream.branch_id, max(0, self.live.seq - 1) // EVERY * EVERY)
        for old in list(self._blocks):
            if len(self._blocks) <= _MOST_BLOCKS:
                break
            if old not in (key, newest):
                del self._blocks[old]
        return loaded

    async def _load(self, branch: str, sequence: int) -> _Loaded:
        base = _base(sequence)
        known = self._blocks.get((branch, base))
        if known is not None and known.base + len(known.records) >= sequence:
            return known
        block = await self._reader.block(Stream(self.stream.session_id, branch), max(1, sequence))
        return self._keep(branch, block)

    def record(self, sequence: int, branch: str = "") -> EventRecord | None:
        """An event by its place; None until it is here, and then `on_change` is told."""
        branch = branch or self.stream.branch_id
        key = (branch, _base(sequence))
        block = self._blocks.get(key)
        if sequence >= 1 and block is not None and 0 <= sequence - block.base - 1 < len(block.records):
            return block.records[sequence - block.base - 1]
        if sequence < 1 or (branch == self.stream.branch_id and sequence > self.head):
            return None
        if key not in self._asked and key not in self._failed:
            self._asked.add(key)
            self._spawn(self._fetch(branch, sequence))
        return None

    async def _fetch(self, branch: str, sequence: int) -> None:
        key = (branch, _base(sequence))
        try:
            await self._load(branch, sequence)
        except LifeError:
            self._failed.add(key)
        finally:
            self._asked.discard(key)
        self.on_change()

    async def ready(self, sequence: int, branch: str = "") -> EventRecord | None:
        """The event, waited for; None when there is none."""
        with suppress(LifeError):
            await self._load(branch or self.stream.branch_id, sequence)
        return self.record(sequence, branch)

    async def state_at(self, sequence: int) -> State:
        """The state after an event of the branch; where one looks stays where it is."""
        return (await self._load(self.stream.branch_id, sequence)).at(sequence)

    # Position: looking, never running

    async def seek(self, sequence: int) -> None:
        """Look at the moment after event `sequence`."""
        wanted = max(0, min(sequence, self.head))
        self._turn += 1
        turn = self._turn
        known = self._blocks.get((self.stream.branch_id, _base(wanted)))
        if known is None or known.base + len(known.records) < wanted:
            self.seeking = wanted
            self.on_change()
            try:
                known = await self._load(self.stream.branch_id, wanted)
            except (NotFoundError, UnavailableError) as error:
                if turn == self._turn:
                    self.seeking, self.trouble = 0, error.message
                    self.on_change()
                return
        if turn != self._turn:
            return  # somebody went elsewhere meanwhile
        self.seeking, self.position = 0, wanted
        self.state = known.at(wanted)
        self.on_change()

    def follow(self) -> None:
        """Follow the head again."""
        self.stop()
        self._turn += 1
        self.seeking, self.position, self.new_since = 0, None, 0
        self.state = self.live
        self.on_change()

    def play(self) -> None:
        """Move along the past, from where one stands (at the head: from the beginning); or stop moving."""
        if self.playing:
            self.stop()
            return
        self.playing = True
        self._player = asyncio.get_running_loop().create_task(self._play())

    def stop(self) -> None:
        """Stand still."""
        self.playing = False
        if self._player is not None and self._player is not asyncio.current_task():
            self._player.cancel()
            self._player = None
        self.on_change()

    async def _play(self) -> None:
        if self.shown >= self.head:
            await self.seek(0)
        else:
            await self.seek(self.shown)
        while self.playing and self.shown < self.head:
            await self._clock.sleep_us(self._wait_us())
            await self.seek(self.shown + 1)
        self.playing = False
        self.on_change()

    def _wait_us(self) -> int:
        """How long it took then, shortened, at this speed."""
        one, next_one = self.record(self.shown), self.record(self.shown + 1)
        gap = 100_000 if one is None or next_one is None else next_one.timestamp_us - one.timestamp_us
        return max(_SHORTEST_WAIT_US, round(min(max(0, gap), _LONGEST_WAIT_US) / self.speed))

    def run_beside(self, direction: int) -> int:
        """Where the run before (-1) or after (1) the position begins; the ends of the branch where there is none."""
        begins = {run.seq for run in (*self.state.runs, *self.live.runs)}
        if direction < 0:
            return max((seq for seq in begins if seq < self.shown), default=1)
        return min((seq for seq in begins if seq > self.shown), default=self.head)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _base(sequence: int) -> int:
    """The base of the block that an event stands in."""
    return max(0, (sequence - 1) // EVERY * EVERY)
