"""SomaCustody: the keys are with the custody oracle of this machine, `somad` (anima.md §13.6; AN-SOM-1 to AN-SOM-3).

Requests go out without waiting for one another. A connection that was closed is opened again by the next call, and the
oracle must then still hold the same keys; a call that loses its connection is told so and is not repeated by itself. Asking
again is safe: the oracle gives the same signature and counts it once.

Errors: CustodyUnavailableError when nobody listens or the connection ends, CustodyTimeoutError, InsecureFileError for a socket
that is not to be trusted, CustodyAuthFailedError for a user who may not connect, PolicyDeniedError, RateLimitedError and the
others as the oracle says.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

import msgspec

from life.aios.ports.clock import Clock
from life.anima.custody.oracle_handle import OracleAnima
from life.anima.custody.soma.peers import check_socket, peer_of
from life.anima.custody.soma.policy import check_agent_name
from life.anima.custody.soma.protocol import (
    MAX_FRAME_BYTES,
    AgentFacts,
    AnyRequest,
    Describe,
    Reply,
    decode_reply,
    encode,
    frame,
    raise_refusal,
    take_frames,
)
from life.anima.custody.wallet_rules import CustodyObserver, WalletRules
from life.anima.errors import (
    CustodyInputError,
    CustodyProtocolError,
    CustodyTimeoutError,
    CustodyUnavailableError,
    InsecureFileError,
    StaleHandleError,
)

DEFAULT_SOCKET: Final = Path("/run/life/soma-admin.sock")
DEFAULT_TIMEOUT_S: Final = 10.0
_DEFAULT_RULES: Final = WalletRules()
_READ_BYTES: Final = 256 * 1024


class SomaCustody(OracleAnima):
    """The Custody port over somad. Make one with `open`; close it."""

    @classmethod
    async def open(
        cls,
        path: Path,
        agent: str,
        *,
        clock: Clock,
        did: str | None = None,
        rules: WalletRules = _DEFAULT_RULES,
        observer: CustodyObserver | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> SomaCustody:
        """The handle of `agent` at the oracle that listens at `path`. StaleHandleError when its key is not `did`."""
        channel = SocketChannel(path, timeout_s=timeout_s)
        try:
            facts = await describe(channel, agent)
            if did is not None and facts.did != did:
                raise StaleHandleError(
                    f"The oracle holds another key for {agent} than the identity's.", details={"did": facts.did}
                )
            channel.expect(facts)
            return cls(channel, facts, backend="soma", clock=clock, rules=rules, observer=observer)
        except BaseException:
            await channel.close()
            raise


async def describe(channel: SocketChannel, agent: str) -> AgentFacts:
    """What the oracle says of `agent`, with its soul."""
    reply = await channel.ask(Describe(agent=check_agent_name(agent)))
    if not reply.agents or reply.agents[0].agent != agent:
        raise CustodyProtocolError("The oracle's description is not of this agent.")
    return reply.agents[0]


class SocketChannel:
    """An OracleChannel over a Unix socket, opened when it is needed."""

    def __init__(self, path: Path, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._numbers = itertools.count(1)
        self._connecting = asyncio.Lock()
        self._connection: _Connection | None = None
        self._expected: AgentFacts | None = None
        self._closed = False

    def expect(self, facts: AgentFacts) -> None:
        """From now on a new connection must lead to these keys (AN-SOM-2)."""
        self._expected = facts

    async def ask(self, request: AnyRequest) -> Reply:
        """See OracleChannel."""
        connection = self._connection
        if connection is None or connection.lost is not None:
            connection = await self._connected()
        reply = await self._ask(connection, request)
        raise_refusal(reply)
        return reply

    async def close(self) -> None:
        """See OracleChannel."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def _ask(self, connection: _Connection, request: AnyRequest) -> Reply:
        number = next(self._numbers)
        return await connection.ask(number, encode(_numbered(request, number)), self._timeout_s)

    async def _connected(self) -> _Connection:
        async with self._connecting:
            if self._connection is not None and self._connection.lost is None:
                return self._connection
            if self._closed:
                raise StaleHandleError("This custody handle is closed.", next_step="Open the identity again.")
            connection = await self._connect()
            try:
                await self._check_keys(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            return connection

    async def _connect(self) -> _Connection:
        owner = check_socket(self._path)
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        opened.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait_for(loop.sock_connect(opened, str(self._path)), self._timeout_s)
            if peer_of(opened).uid != owner:
                raise InsecureFileError(f"Whoever listens at {self._path} is not its owner.")
            _, connection = await loop.create_connection(lambda: _Connection(self._path), sock=opened)
        except TimeoutError:
            opened.close()
            raise CustodyTimeoutError(f"The oracle at {self._path} does not take connections.") from None
        except PermissionError:
            opened.close()
            raise CustodyUnavailableError(
                f"This user may not connect to {self._path}.", next_step="Whoever is in its group may."
            ) from None
        except OSError as error:
            opened.close()
            raise CustodyUnavailableError(
                f"Nobody listens at {self._path}: {error.strerror or error}.",
                next_step=f"Start it: somad --socket {self._path}",
            ) from None
        except BaseException:
            opened.close()
            raise
        return connection

    async def _check_keys(self, connection: _Connection) -> None:
        expected = self._expected
        if expected is None:
            return
        reply = await self._ask(connection, Describe(agent=expected.agent))
        raise_refusal(reply)
        facts = reply.agents[0] if reply.agents else None
        if facts is None or (facts.did, facts.wallet_address) != (expected.did, expected.wallet_address):
            raise StaleHandleError(
                "The oracle holds other keys than before; nothing was asked of them.",
                next_step="Find out why, then open the identity again.",
            )


class _Connection(asyncio.Protocol):
    """One connection: replies find their calls by number."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._buffer = bytearray()
        self._calls: dict[int, asyncio.Future[Reply]] = {}
        self._transport: asyncio.Transport | None = None
        self.lost: Exception | None = None
        """Why the connection ended; None while it holds."""

    async def ask(self, number: int, content: bytes, timeout_s: float) -> Reply:
        if len(content) > MAX_FRAME_BYTES:
            raise CustodyInputError("The request is too large for the oracle.")
        if self.lost is not None:
            raise self.lost
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        call: asyncio.Future[Reply] = loop.create_future()
        self._calls[number] = call
        late = loop.call_later(timeout_s, self._give_up, number)
        try:
            self._transport.write(frame(content))
            return await call
        finally:
            late.cancel()
            self._calls.pop(number, None)

    def close(self) -> None:
        self._end(StaleHandleError("This custody handle is closed.", next_step="Open the identity again."))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            for content in take_frames(self._buffer):
                self._settle(decode_reply(content))
        except CustodyProtocolError as error:
            self._end(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(
            CustodyUnavailableError(
                f"The connection to the oracle at {self._path} ended; whether it signed is not known.",
                next_step="Ask again: the same request gives the same signature.",
            )
        )

    def _settle(self, reply: Reply) -> None:
        if reply.id == 0:  # about the connection, not about a call
            try:
                raise_refusal(reply)
            except Exception as error:
                self._end(error)
            return
        call = self._calls.get(reply.id)
        if call is not None and not call.done():
            call.set_result(reply)

    def _give_up(self, number: int) -> None:
        call = self._calls.get(number)
        if call is not None and not call.done():
            call.set_exception(
                CustodyTimeoutError("The oracle did not answer in time; whether it signed is not known.")
            )

    def _end(self, reason: Exception) -> None:
        if self.lost is None:
            self.lost = reason
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if not call.done():
                call.set_exception(_again(self.lost))
        if self._transport is not None:
            with suppress(RuntimeError):
                self._transport.close()


def _again(error: Exception) -> Exception:
    """The same refusal for another call: an exception object has one traceback."""
    if isinstance(error, CustodyUnavailableError | CustodyProtocolError | StaleHandleError):
        return type(error)(error.message, next_step=error.next_step)
    return error


def _numbered(request: AnyRequest, number: int) -> AnyRequest:
    return msgspec.structs.replace(request, id=number)
