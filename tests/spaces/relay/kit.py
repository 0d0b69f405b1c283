"""A hub in memory that a test can make do anything, a runtime that remembers what it was told, and time that the test moves.

`Hub` is a faithful stand-in for a Spaces server in what Relay relies on: it carries text between places, keeps what was posted, and, asked to, loses,
repeats, reorders, changes and invents. The end-to-end tests use the real one.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import NamedTuple, TypeVar

import msgspec

from life.aios.errors import LifeError
from life.aios.ports.custody import Custody
from life.lago.journal.memory import MemoryJournal
from life.spaces.errors import SpacesNotFoundError
from life.spaces.identity import identity_of
from life.spaces.relay.carrier import Incoming
from life.spaces.relay.events import OPERATOR, Right
from life.spaces.relay.log import RelayLog
from life.spaces.relay.node import RelayNode
from life.spaces.relay.operations import Arguments, Nothing
from life.spaces.relay.owner import RelayOwner
from life.testing.clock import ManualClock, SeededEntropy
from tests.anima.material import did_of, handle, seed_of

T = TypeVar("T")
TICK_US = 50_000
NOTHING = Nothing()


class Sent(NamedTuple):
    """One text on its way."""

    place: int
    sender: str
    text: str
    stored: bool


class Hub:
    """Carries text between identities. `meddle` sees every text and says what is delivered instead (nothing, several, others)."""

    def __init__(self) -> None:
        self.log: list[Sent] = []
        self.meddle: Callable[[Sent], list[Sent]] = lambda sent: [sent]
        self.cut = False
        self._queues: dict[str, list[asyncio.Queue[Incoming]]] = {}
        self._places: dict[tuple[str, str], int] = {}
        self._keys: set[str] = set()
        self._numbers = itertools.count(1)

    def carrier(self, did: str) -> HubCarrier:
        self._queues.setdefault(did, [])
        return HubCarrier(self, did)

    def place(self, one: str, other: str) -> int:
        first, second = sorted((one, other))
        known = self._places.get((first, second))
        if known is None:
            known = self._places[first, second] = next(self._numbers)
        return known

    def parties(self, place: int) -> tuple[str, str]:
        return next(pair for pair, number in self._places.items() if number == place)

    def carry(self, sent: Sent) -> None:
        self.log.append(sent)
        if self.cut:
            return
        for one in self.meddle(sent):
            self.deliver(one)

    def deliver(self, sent: Sent) -> None:
        for party in self.parties(sent.place):
            if party != sent.sender:
                for queue in self._queues.get(party, []):
                    queue.put_nowait(Incoming(sent.place, sent.text, sender=identity_of(sent.sender)))


class HubCarrier:
    """`Carrier` of one identity."""

    def __init__(self, hub: Hub, did: str) -> None:
        self._hub = hub
        self._did = did

    async def reach(self, did: str, text: str) -> int:
        if did not in self._hub._queues:
            raise SpacesNotFoundError("This node has never logged in at this server.")
        place = self._hub.place(self._did, did)
        self._hub.carry(Sent(place, self._did, text, True))
        return place

    async def post(self, place: int, text: str, *, key: str) -> None:
        if key not in self._hub._keys:
            self._hub._keys.add(key)
            self._hub.carry(Sent(place, self._did, text, True))

    async def signal(self, place: int, text: str) -> None:
        self._hub.carry(Sent(place, self._did, text, False))

    async def incoming(self) -> AsyncGenerator[Incoming, None]:
        queue: asyncio.Queue[Incoming] = asyncio.Queue()
        self._hub._queues[self._did].append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._hub._queues[self._did].remove(queue)


class Done(NamedTuple):
    """What the runtime was asked to do."""

    operation: str
    session: str
    arguments: Arguments
    owner: str


class RecordingSessions:
    """`Sessions` whose sessions are lists of records. `answer` may be replaced; `hold` keeps commands waiting."""

    def __init__(self) -> None:
        self.done: list[Done] = []
        self.records: dict[str, list[bytes]] = {"notes": [], "diary": []}
        self.answer: Callable[[Done], bytes] = lambda _: b"null"
        self.hold: asyncio.Event | None = None
        self.grown = asyncio.Event()

    def add(self, session: str, text: str) -> None:
        records = self.records[session]
        records.append(msgspec.json.encode({"sequence": len(records) + 1, "text": text}))
        grown, self.grown = self.grown, asyncio.Event()
        grown.set()

    async def carry_out(
        self, operation: str, session: str, arguments: Arguments, *, command_id: str, owner: str
    ) -> bytes:
        done = Done(operation, session, arguments, owner)
        self.done.append(done)
        if self.hold is not None:
            await self.hold.wait()
        if operation == "sessions":
            return msgspec.json.encode([{"session_id": name} for name in self.records])
        return self.answer(done)

    async def watch(self, session: str, branch: str, after: int) -> AsyncGenerator[bytes, None]:
        while True:
            grown = self.grown
            for record in self.records[session][after:]:
                after += 1
                yield record
            await grown.wait()


class World:
    """A hub, a node, and owners; all time is the test's."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.entropy = SeededEntropy()
        self.hub = Hub()
        self.sessions = RecordingSessions()
        self.journal = MemoryJournal()
        self.node_custody = handle(seed_of(1), clock=self.clock)
        self.node_did = did_of(self.node_custody)
        self.log = RelayLog(self.journal, self.clock, self.entropy, agent_id="agent-home")
        self.node: RelayNode | None = None
        self._serving: asyncio.Task[None] | None = None

    def custody(self, number: int) -> Custody:
        return handle(seed_of(number), clock=self.clock)

    def did(self, number: int) -> str:
        return did_of(self.custody(number))

    async def allow(self, number: int, *rights: Right, session: str = "*") -> str:
        did = self.did(number)
        await self.log.allow(did, session=session, rights=rights, by=OPERATOR)
        return did

    async def start_node(self) -> RelayNode:
        """As a new process would: nothing is known but the journal."""
        self.node = RelayNode(
            self.hub.carrier(self.node_did),
            self.sessions,
            RelayLog(self.journal, self.clock, self.entropy, agent_id="agent-home"),
            self.node_custody,
            did=self.node_did,
            clock=self.clock,
            entropy=self.entropy,
        )
        self._serving = asyncio.create_task(self.node.run())
        await self.settle()
        return self.node

    async def kill_node(self) -> None:
        """Gone without a word: what it sends on its way out is lost."""
        assert self._serving is not None
        self.hub.cut = True
        self._serving.cancel()
        await asyncio.gather(self._serving, return_exceptions=True)
        self.hub.cut = False

    @asynccontextmanager
    async def owner(self, number: int = 2, *, node: str | None = None) -> AsyncIterator[RelayOwner]:
        custody = self.custody(number)
        attached = RelayOwner.attached(
            self.hub.carrier(did_of(custody)),
            node or self.node_did,
            custody,
            did=did_of(custody),
            clock=self.clock,
            entropy=self.entropy,
        )
        async with AsyncExitStack() as stack:
            owner = await self.during(stack.enter_async_context(attached))
            try:
                yield owner
            finally:
                await self.during(stack.aclose())

    async def ask(
        self, owner: RelayOwner, operation: str, session: str = "notes", arguments: Arguments = NOTHING, **more: str
    ) -> object:
        raw = await self.during(owner.ask(operation, session, arguments, command_id=more.get("command_id")))
        return msgspec.json.decode(raw)

    async def refused(
        self, owner: RelayOwner, operation: str, session: str = "notes", arguments: Arguments = NOTHING, **more: str
    ) -> LifeError:
        try:
            found = await self.ask(owner, operation, session, arguments, **more)
        except LifeError as error:
            return error
        raise AssertionError(f"{operation} was not refused: {found}")

    async def collect(self, owner: RelayOwner, count: int, *, session: str = "notes", after: int = 0) -> list[bytes]:
        async def read() -> list[bytes]:
            found: list[bytes] = []
            async with aclosing(owner.watch(session, "main", after)) as records:
                async for record in records:
                    found.append(record)
                    if len(found) == count:
                        break
            return found

        return await self.during(read())

    async def settle(self) -> None:
        for _ in range(40):
            await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds * 1_000_000) // TICK_US):
            self.clock.advance_us(TICK_US)
            for _ in range(6):
                await asyncio.sleep(0)

    async def during(self, work: Awaitable[T], *, seconds: float = 200) -> T:
        """Let time pass until something is done."""
        task = asyncio.ensure_future(work)
        for _ in range(int(seconds * 1_000_000) // TICK_US):
            for _ in range(25):
                await asyncio.sleep(0)
                if task.done():
                    return task.result()
            self.clock.advance_us(TICK_US)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise AssertionError("it did not end in time")

    async def aclose(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)
        await self.journal.aclose()


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """A world with a running node."""
    made = World()
    try:
        await made.start_node()
        yield made
    finally:
        await made.aclose()
