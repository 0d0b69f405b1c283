"""One client of the protocol: its query sets, its calls, and the order in which it hears of things.

A query set is a subscription of the engine. Every row that was sent for it is remembered as bytes, so that a deletion names exactly what
the client has, and a row that is replaced is a deletion and an insertion of one transaction. What a call of the client's own changed comes
with the call's result, as in SpacetimeDB; everything else as a transaction. Both are in the order of the log.

Nothing grows with the other side's behaviour: the calls in flight, the query sets and the rows of each are bounded; a client that does not
read ends its subscriptions (life.spaces.subscriptions), and its connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from life.aios.errors import LifeError
from life.aios.ports.clock import Clock
from life.spaces.commands import Command
from life.spaces.engine.port import Result, Session, Update
from life.spaces.errors import RateLimitedError, SpacesError
from life.spaces.identity import Caller
from life.spaces.limits import Pace
from life.spaces.listeners.spacetimedb import messages
from life.spaces.listeners.spacetimedb.errors import MalformedMessageError, UnsupportedRequestError
from life.spaces.listeners.spacetimedb.messages import (
    CallProcedure,
    CallReducer,
    ClientMessage,
    Compression,
    OneOffQuery,
    RowChanges,
    Subscribe,
    Unsubscribe,
)
from life.spaces.listeners.spacetimedb.sql import parse
from life.spaces.listeners.spacetimedb.types import TABLES_SEEN, decode_call, encode_row
from life.spaces.model import Row, key_values, table_name
from life.spaces.queries import Answer, AnyQuery, Rows, TableQuery

MAX_QUERY_SETS: Final = 256
MAX_IN_FLIGHT: Final = 64
"""Calls of one client that wait for the disk; beyond that it is not read from."""
SEND_TIMEOUT_US: Final = 10_000_000
"""How long one write to a client may take."""
_log: Final = logging.getLogger("life.spaces.spacetimedb")

_Key = tuple[str, tuple[int | str, ...]]


class Changes(Protocol):
    """A subscription that can be emptied at once (life.spaces.subscriptions.LiveSubscription)."""

    @property
    def initial(self) -> tuple[Row, ...]:
        """The rows it begins with."""
        ...

    def take(self) -> list[Update]:
        """Everything that waits. A SpacesError when it has ended."""
        ...

    async def ready(self) -> None:
        """Wait until `take` gives something."""
        ...

    async def aclose(self) -> None:
        """Stop."""
        ...


class Engine(Protocol):
    """What is needed of an engine (life.spaces.engine.port.Engine)."""

    async def submit(
        self, command: Command, caller: Caller, *, key: str | None = None, trace_id: str | None = None
    ) -> Result:
        """Carry a command out."""
        ...

    async def query(self, query: AnyQuery, caller: Caller) -> Answer:
        """Answer from the state."""
        ...

    async def subscribe(self, queries: Sequence[TableQuery], caller: Caller, *, session: Session) -> Changes:
        """Rows and their changes, for as long as the session lasts."""
        ...

    async def login(self, token: str) -> Session:
        """Open a session by an agent token."""
        ...

    async def renew(self, session: Session, token: str) -> Session:
        """Prolong one."""
        ...

    async def logout(self, session: Session, *, reason: str = "closed") -> None:
        """End one."""
        ...


class ClientGoneError(Exception):
    """The client left while it was written to."""


class Socket(Protocol):
    """The client's end."""

    async def receive(self) -> bytes | None:
        """The next frame; None at the end. MalformedMessageError for a frame of text."""
        ...

    async def send(self, frame: bytes) -> None:
        """Write a frame. ClientGoneError when nobody is there any more."""
        ...


class _QuerySet:
    """The rows that a client has of one query set."""

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.rows: dict[_Key, bytes] = {}
        for row in changes.initial:
            self.rows[_key(row)] = encode_row(row)

    def tables(self) -> list[tuple[str, list[bytes]]]:
        """All of them, by table."""
        found: dict[str, list[bytes]] = {}
        for (table, _), row in self.rows.items():
            found.setdefault(table, []).append(row)
        return list(found.items())

    def apply(self, update: Update) -> list[RowChanges]:
        """Take a change in; what it means to the client."""
        inserts: dict[str, list[bytes]] = {}
        deletes: dict[str, list[bytes]] = {}
        for removed in update.removed:
            had = self.rows.pop((removed.table, removed.key), None)
            if had is not None:
                deletes.setdefault(removed.table, []).append(had)
        for row in update.inserts:
            key = _key(row)
            if key[0] not in TABLES_SEEN:
                continue
            had, has = self.rows.get(key), _encoded(update, key, row)
            if had == has:
                continue
            if had is not None:
                deletes.setdefault(key[0], []).append(had)
            self.rows[key] = has
            inserts.setdefault(key[0], []).append(has)
        return [
            RowChanges(table, inserts.get(table, ()), deletes.get(table, ()))
            for table in dict.fromkeys((*deletes, *inserts))
        ]


class Connection:
    """See the module. `run` it; it ends with the client, the session or an error, and says why."""

    def __init__(
        self,
        engine: Engine,
        session: Session,
        socket: Socket,
        clock: Clock,
        *,
        connection_id: bytes,
        several: bool,
        compression: Compression,
        send_timeout_us: int = SEND_TIMEOUT_US,
    ) -> None:
        self._send_timeout_us = send_timeout_us
        self._engine = engine
        self.session = session
        self._caller = session.caller
        self._socket = socket
        self._clock = clock
        self._connection_id = connection_id
        self._several = several
        self._compression: Compression = compression
        self._sets: dict[int, _QuerySet] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._pace = Pace()
        self._writing = asyncio.Lock()
        self._write_begun_us: int | None = None
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._held: dict[int, list[tuple[int, list[RowChanges]]]] = {}
        """Changes by position that wait for the results of the client's own calls."""
        self._own: set[int] = set()
        """Positions among them that are the client's own."""

    async def run(self) -> str:
        """Serve the client; why it ended (empty: the client left)."""
        await self._send([messages.initial_connection(self._caller.identity, self._connection_id)])
        running = [
            asyncio.create_task(self._read()),
            asyncio.create_task(self._tell()),
            asyncio.create_task(self._watch()),
            asyncio.create_task(self._guard()),
        ]
        try:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        except SpacesError as error:
            return error.message
        except ClientGoneError:
            return ""
        finally:
            for task in (*running, *self._calls):
                task.cancel()
            await asyncio.gather(*running, *self._calls, return_exceptions=True)
            for held in self._sets.values():
                await held.changes.aclose()

    # ---- from the client

    async def _read(self) -> str:
        while (frame := await self._socket.receive()) is not None:
            for message in messages.read_messages(frame, several=self._several):
                await self._handle(message)
                pause_s = self._pace.pause_s or self._pace.frame(self._clock.monotonic_us() / 1_000_000)
                if pause_s:
                    await asyncio.sleep(pause_s)
        return ""

    async def _handle(self, message: ClientMessage) -> None:
        match message:
            case Subscribe():
                await self._subscribe(message)
            case Unsubscribe():
                await self._unsubscribe(message)
            case OneOffQuery():
                await self._ask(message)
            case CallReducer():
                await self._room.acquire()
                # Begun in the order they came; each waits for the disk by itself.
                call = asyncio.create_task(self._call(message))
                self._calls.add(call)
                call.add_done_callback(self._called)
            case CallProcedure():
                refused = f"There is no procedure '{message.procedure[:64]}'."
                await self._send([messages.procedure_failed(message.request_id, self._clock.now_us(), refused)])

    async def _subscribe(self, message: Subscribe) -> None:
        try:
            if message.query_set_id in self._sets:
                raise UnsupportedRequestError("This query set is open already.")
            if len(self._sets) >= MAX_QUERY_SETS:
                raise UnsupportedRequestError(f"A client has at most {MAX_QUERY_SETS} query sets.")
            queries = [parse(query) for query in message.queries]
            changes = await self._engine.subscribe(queries, self._caller, session=self.session)
        except MalformedMessageError:
            raise
        except SpacesError as error:
            await self._send([messages.subscription_error(message.request_id, message.query_set_id, _words(error))])
            if isinstance(error, RateLimitedError):
                self._pace.refused()
            return
        held = _QuerySet(changes)
        applied = messages.subscribe_applied(message.request_id, message.query_set_id, held.tables())
        async with self._writing:
            self._sets[message.query_set_id] = held
            await self._write([applied])
        self._changed.set()

    async def _unsubscribe(self, message: Unsubscribe) -> None:
        async with self._writing:
            held = self._sets.pop(message.query_set_id, None)
            if held is None:
                words = "There is no such query set."
                await self._write([messages.subscription_error(message.request_id, message.query_set_id, words)])
                return
            # What it was told until now is what it has; what it was not told yet is dropped with the subscription.
            for waiting in self._held.values():
                waiting[:] = [entry for entry in waiting if entry[0] != message.query_set_id]
            await held.changes.aclose()
            tables = held.tables() if message.send_rows else None
            await self._write([messages.unsubscribe_applied(message.request_id, message.query_set_id, tables)])
        self._changed.set()

    async def _ask(self, message: OneOffQuery) -> None:
        try:
            query = parse(message.query)
            found = await self._engine.query(Rows(tables=(query,)), self._caller)
            rows = [encode_row(row) for row in found.rows]
            answer = messages.one_off_result(message.request_id, [(query.table, rows)])
        except MalformedMessageError:
            raise
        except SpacesError as error:
            answer = messages.one_off_result(message.request_id, _words(error))
            if isinstance(error, RateLimitedError):
                self._pace.refused()
        await self._send([answer])

    # ---- calls

    async def _call(self, message: CallReducer) -> None:
        position, at_us = 0, self._clock.now_us()
        try:
            command = decode_call(message.reducer, message.arguments)
            result = await self._engine.submit(command, self._caller)
            position = 0 if result.duplicate else result.position
            refusal = None
            self._pace.accepted()
        except MalformedMessageError as error:
            refusal = f"The arguments of '{message.reducer[:64]}' are not of its types: {error.message}"
        except LifeError as error:
            refusal = _words(error)
            if isinstance(error, RateLimitedError):
                self._pace.refused()
        async with self._writing:
            self._calls.discard(asyncio.current_task())
            self._collect()
            told = self._due(position)
            if refusal is not None:
                told.append(messages.reducer_refused(message.request_id, at_us, refusal))
            else:
                own = self._held.pop(position, [])
                self._own.discard(position)
                told.append(messages.reducer_done(message.request_id, at_us, own))
            told += self._due(None)
            await self._write(told)

    def _called(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._room.release()
        if not self._calls:
            self._idle.set()
            self._changed.set()
        failed = None if call.cancelled() else call.exception()
        if failed is not None and not isinstance(failed, ClientGoneError | SpacesError):
            _log.error("a call could not be answered", exc_info=failed)

    # ---- to the client

    async def _tell(self) -> str:
        """Tell what others change, as it happens."""
        while True:
            waiting: list[asyncio.Future[object]] = [
                asyncio.ensure_future(held.changes.ready()) for held in self._sets.values()
            ]
            waiting.append(asyncio.ensure_future(self._changed.wait()))
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waiting:
                    task.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)
            self._changed.clear()
            while self._calls:
                # Results of its own calls are on their way and tell what waits, in order.
                self._idle.clear()
                await self._idle.wait()
            async with self._writing:
                if self._calls:
                    self._changed.set()
                    continue
                self._collect()
                await self._write(self._due(None))

    async def _watch(self) -> str:
        reason = await self.session.closed()
        return f"The session is over: {reason}."

    def _collect(self) -> None:
        """Take what waits out of every subscription. A SpacesError when one has ended."""
        for query_set_id, held in self._sets.items():
            for update in held.changes.take():
                if not update.position:
                    continue  # transient: there is no table of it
                if update.actor == self._caller.identity:
                    self._own.add(update.position)
                changes = held.apply(update)
                if changes:
                    self._held.setdefault(update.position, []).append((query_set_id, changes))

    def _due(self, before: int | None) -> list[bytes]:
        """Transactions that can be told: those before a position, or all but own ones whose calls are not answered yet."""
        told: list[bytes] = []
        for position in sorted(self._held):
            if before is not None and position >= before:
                break
            if before is None and self._calls and position in self._own:
                break
            self._own.discard(position)
            changes = self._held.pop(position)
            if changes:
                told.append(messages.transaction_update(changes))
        if not self._held:
            self._own.clear()
        return told

    async def _send(self, told: list[bytes]) -> None:
        async with self._writing:
            await self._write(told)

    async def _write(self, told: list[bytes]) -> None:
        for frame in messages.frames(told, several=self._several, compression=self._compression):
            self._write_begun_us = self._clock.monotonic_us()
            await self._socket.send(frame)
        self._write_begun_us = None

    async def _guard(self) -> str:
        """End a client that does not take what is written to it. One look for all writes, as most take no time at all."""
        while True:
            await self._clock.sleep_us(self._send_timeout_us // 2)
            begun_us = self._write_begun_us
            if begun_us is not None and self._clock.monotonic_us() - begun_us > self._send_timeout_us:
                return "The client reads too slowly."


def _key(row: Row) -> _Key:
    return table_name(row), key_values(row)


def _encoded(update: Update, key: _Key, row: Row) -> bytes:
    """The row's bytes, made once for everybody who is told of this update."""
    name = f"spacetimedb:{key}"
    made = update.cache.get(name)
    if made is None:
        made = update.cache[name] = encode_row(row)
    return made


def _words(error: LifeError) -> str:
    code = error.word if isinstance(error, SpacesError) else error.code
    return f"{code}: {error.message}"
