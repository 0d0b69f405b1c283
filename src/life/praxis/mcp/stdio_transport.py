"""A server as a child process, on its standard input and output; one that crashes, hangs or floods hurts nobody else.

Unlike the SDK's own transport this one has limits: a line has at most `MAX_LINE_BYTES`, notifications beyond
`NOTIFICATIONS_PER_S` are dropped and beyond `MAX_DROPPED` end the connection, what the server writes to its standard error is kept
as its last few kilobytes and never reaches our terminal. The environment is empty but for `PATH` and the like and what
the entry names. The process leads a group of its own, and the whole group is ended when the connection is.

Source: MCP 2026-07-28 basic/transports "stdio"; praxis.md §8, §12.10.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import anyio
import mcp_types as types
import msgspec
from mcp.shared.message import SessionMessage

from life.aios.errors import LifeError
from life.aios.ports.clock import Clock
from life.praxis.errors import McpUnavailableError
from life.praxis.mcp.config import ServerConfig

MAX_LINE_BYTES: Final = 4 * 1024 * 1024
NOTIFICATIONS_PER_S: Final = 200
MAX_DROPPED: Final = 20_000
STDERR_KEPT_BYTES: Final = 8 * 1024
INHERITED: Final = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")
"""Of our own environment. API keys and the like are not among them; who wants one in a server names it in `env`."""

_CHUNK_BYTES: Final = 64 * 1024
_GRACE_S: Final = (1.5, 1.5, 1.0)
"""After its input was closed, after SIGTERM, after SIGKILL."""

_log = logging.getLogger("life.praxis")


class ChildProcess:
    """What is known of a running server."""

    def __init__(self, *, reason: str = "its process ended") -> None:
        self.ended = asyncio.Event()
        """Set once nothing more can come from it."""
        self.reason = reason
        """Why it ended, once it has."""
        self.ended_us: int | None = None
        """When, on the monotonic clock; None while nobody noted it."""
        self.cause: LifeError | None = None
        """The error of ours behind it, when there is one."""
        self._stderr: deque[bytes] = deque()
        self._kept = 0

    @property
    def last_words(self) -> str:
        """The end of what it wrote to its standard error, for the person who asks why."""
        return b"".join(self._stderr)[-STDERR_KEPT_BYTES:].decode(errors="replace")

    def _wrote(self, chunk: bytes) -> None:
        self._stderr.append(chunk[-STDERR_KEPT_BYTES:])
        self._kept += len(self._stderr[-1])
        while self._kept > 2 * STDERR_KEPT_BYTES and len(self._stderr) > 1:
            self._kept -= len(self._stderr.popleft())


@asynccontextmanager
async def child_server(
    config: ServerConfig, child: ChildProcess, *, clock: Clock, environment: Mapping[str, str]
) -> AsyncGenerator[Any, None]:
    """The streams of a server that is started now (an SDK transport). McpUnavailableError: it can't be started."""
    assert config.command is not None
    inherited = {key: environment[key] for key in INHERITED if key in environment}
    try:
        process = await asyncio.create_subprocess_exec(
            config.command,
            *config.args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**inherited, **config.env},
            cwd=config.cwd,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
        raise McpUnavailableError(f"The MCP server {config.name} can't be started: {reason}.") from None
    to_session, read_stream = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write_stream, from_session = anyio.create_memory_object_stream[SessionMessage](0)
    tasks = [
        asyncio.create_task(_read(process, to_session, child, clock)),
        asyncio.create_task(_write(process, from_session, to_session)),
        asyncio.create_task(_collect(process, child)),
    ]
    try:
        yield read_stream, write_stream
    finally:
        with anyio.CancelScope(shield=True):
            read_stream.close()
            write_stream.close()
            await _stop(process)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for stream in (to_session, from_session):
                stream.close()
            child.ended.set()


async def _read(
    process: asyncio.subprocess.Process,
    to_session: anyio.abc.ObjectSendStream[SessionMessage | Exception],
    child: ChildProcess,
    clock: Clock,
) -> None:
    """Lines to messages, within limits; ends with the process's output or with its first breach."""
    assert process.stdout is not None
    limiter = _NotificationLimit(clock)
    waiting = bytearray()
    try:
        while chunk := await process.stdout.read(_CHUNK_BYTES):
            start = len(waiting)
            waiting += chunk
            if b"\n" not in chunk:
                if len(waiting) > MAX_LINE_BYTES:
                    child.reason = f"it sent a line of more than {MAX_LINE_BYTES} bytes"
                    return
                continue
            end = waiting.rindex(b"\n", start) + 1
            lines = bytes(waiting[:end]).split(b"\n")
            del waiting[:end]
            for line in lines:
                if len(line) > MAX_LINE_BYTES:
                    child.reason = f"it sent a line of more than {MAX_LINE_BYTES} bytes"
                    return
                message = _message(line)
                if message is None or limiter.drops(message):
                    if limiter.dropped > MAX_DROPPED:
                        child.reason = "it sent notifications without end"
                        return
                    continue
                await to_session.send(SessionMessage(message))
    except (anyio.ClosedResourceError, anyio.BrokenResourceError):
        pass  # the session is gone
    finally:
        child.ended.set()
        await to_session.aclose()
        with suppress(Exception):  # let it end: what it still writes is thrown away
            while await process.stdout.read(_CHUNK_BYTES):
                pass


def _message(line: bytes) -> types.JSONRPCMessage | None:
    """A line as a message; None when it is none. Servers print other things to their output, too."""
    if not line.strip():
        return None
    try:
        decoded = msgspec.json.decode(line)
        message: types.JSONRPCMessage = types.jsonrpc_message_adapter.validate_python(decoded, by_name=False)
    except (ValueError, RecursionError):
        _log.debug("a line of an MCP server is not a message (%d bytes)", len(line))
        return None
    return message


async def _write(
    process: asyncio.subprocess.Process,
    from_session: anyio.abc.ObjectReceiveStream[SessionMessage],
    to_session: anyio.abc.ObjectSendStream[SessionMessage | Exception],
) -> None:
    assert process.stdin is not None
    try:
        async for message in from_session:
            process.stdin.write(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await process.stdin.drain()
    except (OSError, anyio.ClosedResourceError, anyio.BrokenResourceError):
        await to_session.aclose()  # the session learns that nothing will be answered


async def _collect(process: asyncio.subprocess.Process, child: ChildProcess) -> None:
    assert process.stderr is not None
    while chunk := await process.stderr.read(_CHUNK_BYTES):
        child._wrote(chunk)


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Close its input, then ask the whole group to end, then end it."""
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    for patience_s, number in zip(_GRACE_S, (signal.SIGTERM, signal.SIGKILL, None), strict=True):
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while process.returncode is None:  # noqa: ASYNC110 - its wait() also waits for pipes that a grandchild holds
                    await asyncio.sleep(0.01)
        if number is None:
            break
        # The group, even when its leader has ended: it may have left children behind.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL if process.returncode is not None else number)
        if process.returncode is not None:
            break
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()  # a child that kept a pipe open must not keep ours


class _NotificationLimit:
    """Lets `NOTIFICATIONS_PER_S` notifications through each second; answers and requests always."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = 0
        self._passed = 0
        self.dropped = 0

    def drops(self, message: types.JSONRPCMessage) -> bool:
        """Whether this one is too much."""
        if not isinstance(message, types.JSONRPCNotification):
            return False
        second = self._clock.monotonic_us() // 1_000_000
        if second != self._second:
            self._second, self._passed = second, 0
        self._passed += 1
        if self._passed <= NOTIFICATIONS_PER_S:
            return False
        self.dropped += 1
        return True
