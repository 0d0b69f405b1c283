"""somad's socket: who may connect, frames in, frames out, and nobody who can hold it up (AN-SOMA-2, AN-SOMA-8).

A connection belongs to one user, as the kernel says. Its requests are answered in their order, many at a time; one that sends
a frame in drips, does not read its answers, or says nothing for long is closed; so is everyone beyond the limits. Whatever a
client does, the others are answered.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from life.aios.errors import ConflictError, LifeError
from life.anima.custody.errors import RateLimitedError
from life.anima.custody.soma.peers import Peer, check_folder, peer_of
from life.anima.custody.soma.policy import Principal
from life.anima.custody.soma.protocol import AnyRequest, decode_request, encode, error_reply, frame, take_frames
from life.anima.custody.soma.service import SomaService
from life.anima.errors import (
    CustodyAuthFailedError,
    CustodyProtocolError,
    CustodyTimeoutError,
    CustodyUnavailableError,
    InsecureFileError,
)

_log: Final = logging.getLogger(__name__)

BATCH: Final = 256
"""Requests of one connection that are answered, and put on disk together, before the next connection's turn."""
_MAX_BUFFER_BYTES: Final = 1 << 20
_MAX_TURNED_AWAY: Final = 32
_FAREWELL_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """How much the daemon puts up with."""

    connections: int = 64
    connections_per_user: int = 16
    frame_s: float = 10.0
    """A frame that has begun must be whole by then, and an answer read."""
    idle_s: float = 600.0
    """A connection that asks nothing for so long is closed; clients connect again."""


class SomaServer:
    """The listening socket and its connections. Make it with `open`, `close` it."""

    def __init__(self, service: SomaService, path: Path, listener: socket.socket, limits: ServerLimits) -> None:
        """Takes over `listener`. Callers use `open`."""
        self._service = service
        self._path = path
        self._listener = listener
        self._limits = limits
        self._connections: set[_Connection] = set()
        self._per_user: Counter[int] = Counter()
        self._accepting: asyncio.Task[None] | None = None
        self._turned_away: set[socket.socket] = set()
        self._inode = path.stat().st_ino

    @classmethod
    async def open(cls, service: SomaService, path: Path, *, limits: ServerLimits | None = None) -> SomaServer:
        """Listen at `path`: mode 0660, for the policy's group.

        InsecureFileError when others could replace the socket, or something else is there; ConflictError when somebody
        answers there; CustodyUnavailableError when the system refuses; the policy's own errors.
        """
        group_id = service.policy.group_id
        check_folder(path.parent)
        listener = _listen(path, group_id)
        server = cls(service, path, listener, limits or ServerLimits())
        server._accepting = asyncio.create_task(server._accept())
        return server

    async def close(self) -> None:
        """Stop listening, answer what is being answered, close every connection. May be called again."""
        if self._accepting is not None:
            self._accepting.cancel()
            with suppress(asyncio.CancelledError):
                await self._accepting
            self._accepting = None
            with suppress(OSError):
                if self._path.stat(follow_symlinks=False).st_ino == self._inode:
                    self._path.unlink()
        self._listener.close()
        for accepted in tuple(self._turned_away):
            self._gone(accepted)
        await asyncio.gather(*(connection.finish() for connection in tuple(self._connections)))

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._listener)
            except OSError as error:  # out of descriptors: those of others come back
                _log.error("a connection can't be accepted: %s", error.strerror)
                await asyncio.sleep(0.1)
                continue
            try:
                await self._admit(accepted)
            except Exception:
                _log.exception("a connection could not be taken")
                accepted.close()

    async def _admit(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        peer: Peer | None = None
        try:
            peer = peer_of(accepted)
            if not self._service.policy.may_connect(peer.uid, peer.groups):
                raise CustodyAuthFailedError(
                    f"User {peer.uid} may not use this oracle.",
                    next_step="Its group lets users connect: see docs/custody/soma.md.",
                )
            if len(self._connections) >= self._limits.connections:
                raise RateLimitedError("The oracle has too many connections; try again shortly.")
            if self._per_user[peer.uid] >= self._limits.connections_per_user:
                raise RateLimitedError(f"User {peer.uid} has too many connections to the oracle.")
        except LifeError as error:
            principal = Principal() if peer is None else Principal(uid=peer.uid, gid=peer.gid, pid=peer.pid)
            self._service.refuse_connection(principal, error.code)
            self._turn_away(accepted, error)
            return
        principal = Principal(uid=peer.uid, gid=peer.gid, pid=peer.pid)
        connection = _Connection(self._service, principal, self._limits, self._forget)
        self._connections.add(connection)
        self._per_user[peer.uid] += 1
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, accepted)
        except BaseException:
            self._forget(connection)
            raise

    def _turn_away(self, accepted: socket.socket, error: LifeError) -> None:
        """Say why, and leave the other side a moment to read it; of many at once only some get that moment."""
        with suppress(OSError):
            accepted.send(frame(encode(error_reply(0, error))))
            accepted.shutdown(socket.SHUT_WR)
        if len(self._turned_away) >= _MAX_TURNED_AWAY:
            accepted.close()
            return
        self._turned_away.add(accepted)
        asyncio.get_running_loop().call_later(_FAREWELL_S, self._gone, accepted)

    def _gone(self, accepted: socket.socket) -> None:
        self._turned_away.discard(accepted)
        accepted.close()

    def _forget(self, connection: _Connection) -> None:
        if connection in self._connections:
            self._connections.discard(connection)
            uid = connection.principal.uid
            if uid is not None:
                self._per_user[uid] -= 1
                if not self._per_user[uid]:
                    del self._per_user[uid]


class _Connection(asyncio.Protocol):
    """One client: bytes come in, batches of requests are answered, bytes go out."""

    def __init__(
        self, service: SomaService, principal: Principal, limits: ServerLimits, forget: Callable[[_Connection], None]
    ) -> None:
        self.principal = principal
        self._service = service
        self._limits = limits
        self._forget = forget
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._work: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._deadline: asyncio.TimerHandle | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to count the idle time."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name
        self._expect(self._limits.idle_s)

    def data_received(self, data: bytes) -> None:
        """Collect; a batch that is being answered takes the next frames itself."""
        started = not self._buffer
        self._buffer += data
        if len(self._buffer) > _MAX_BUFFER_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        if self._work is None:
            if started:
                self._expect(self._limits.frame_s)
            self._start()

    def eof_received(self) -> bool:
        """A client that has finished sending gets the rest of its answers."""
        return self._work is not None

    def connection_lost(self, exc: Exception | None) -> None:
        """What is being answered is finished and thrown away."""
        self._transport = None
        self._writable.set()
        self._expect(None)
        self._forget(self)

    def pause_writing(self) -> None:
        """The client does not read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It reads again."""
        self._writable.set()

    async def finish(self) -> None:
        """Answer what is being answered, then close."""
        work = self._work
        if work is not None:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(work), self._limits.frame_s)
        if self._transport is not None:
            self._transport.close()

    def _start(self) -> None:
        """Take what is whole in the buffer and answer it in a task of its own."""
        batch = self._take()
        if batch:
            self._expect(None)
            self._work = asyncio.get_running_loop().create_task(self._answer(batch))

    def _take(self) -> list[AnyRequest]:
        try:
            return [decode_request(content) for content in take_frames(self._buffer, limit=BATCH)]
        except CustodyProtocolError as error:
            self._say_goodbye(error)
            return []

    async def _answer(self, batch: list[AnyRequest]) -> None:
        try:
            while batch and self._transport is not None:
                replies = await self._service.answer(self.principal, batch)
                if self._transport is None or self._transport.is_closing():
                    return
                self._transport.write(b"".join(frame(encode(reply)) for reply in replies))
                if not self._writable.is_set():
                    await asyncio.wait_for(self._writable.wait(), self._limits.frame_s)
                else:
                    await asyncio.sleep(0)  # the others' turn
                batch = self._take()
                if self._paused and len(self._buffer) < _MAX_BUFFER_BYTES and self._transport is not None:
                    self._paused = False
                    self._transport.resume_reading()
        except TimeoutError:
            self._abort()
        except Exception:
            _log.exception("a connection is closed after an error inside the oracle")
            self._abort()
        finally:
            self._work = None
            if self._transport is not None and not self._transport.is_closing():
                self._expect(self._limits.frame_s if self._buffer else self._limits.idle_s)

    def _expect(self, seconds: float | None) -> None:
        """Close the connection unless something happens within `seconds`."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if seconds is not None:
            self._deadline = asyncio.get_running_loop().call_later(seconds, self._too_late)

    def _too_late(self) -> None:
        if self._buffer:
            self._say_goodbye(CustodyTimeoutError("The oracle waited too long for the rest of a frame."))
        elif self._transport is not None:
            self._transport.close()

    def _say_goodbye(self, error: LifeError) -> None:
        self._buffer.clear()
        self._service.refuse_connection(self.principal, error.code)
        if self._transport is not None:
            self._transport.write(frame(encode(error_reply(0, error))))
            self._transport.close()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _listen(path: Path, group_id: int) -> socket.socket:
    """A bound socket that is nobody else's from its first moment."""
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        os.chown(path, -1, group_id, follow_symlinks=False)
        path.chmod(0o660)
        listener.listen(128)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise CustodyUnavailableError(f"somad can't listen at {path}: {error.strerror or error}.") from None
    return listener


def _remove_stale(path: Path) -> None:
    """Take away what a killed daemon left; nothing else."""
    try:
        status = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid != os.geteuid():
        raise InsecureFileError(f"{path} exists and is not a socket of this user.", next_step="Look what it is.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise ConflictError(f"Another somad listens at {path}.", next_step="Stop it, or choose another socket.")
