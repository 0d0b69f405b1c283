"""What all sandboxes share about one command that runs: its output, its time, its disk, and that nothing outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import Coroutine
from typing import Final, Protocol

from life.aios.ports.clock import Clock
from life.aios.ports.sandbox import Captured, SandboxCommand, SandboxLimits, StopReason
from life.praxis.errors import SandboxError
from life.praxis.sandbox.capture import Capture, OutputPipe

_DISK_LOOK_S: Final = 0.1
_LAST_OUTPUT_S: Final = 2.0
"""How long the output of a command that is gone is waited for; it ends at once unless something strange holds the pipe."""


class Running(Protocol):
    """A command that was started, with everything it starts."""

    @property
    def outputs(self) -> tuple[OutputPipe, OutputPipe]:
        """Standard output and standard error."""
        ...

    async def ended(self) -> int:
        """The command's exit code, once it has ended; others that it started may still be alive."""
        ...

    def kill(self) -> None:
        """End everything, at once."""
        ...

    async def gone(self) -> None:
        """Returns when nothing is alive any more. Called after `kill`."""
        ...


class Ended:
    """How a command ended, and what it said."""

    __slots__ = ("duration_ms", "exit_code", "stderr", "stdout", "stopped")

    def __init__(
        self, exit_code: int, stopped: StopReason | None, duration_ms: int, stdout: Captured, stderr: Captured
    ) -> None:
        self.exit_code = exit_code
        self.stopped = stopped
        self.duration_ms = duration_ms
        self.stdout = stdout
        self.stderr = stderr


async def run_to_end(running: Running, command: SandboxCommand, clock: Clock) -> Ended:
    """Wait for the end or a limit, then end everything that is left. The same when this is cancelled."""
    limits = command.limits
    began_us = clock.monotonic_us()
    out, err = _capture(limits), _capture(limits)
    stdout, stderr = running.outputs
    readers: list[asyncio.Future[None]] = [
        asyncio.ensure_future(stdout.drain(out)),
        asyncio.ensure_future(stderr.drain(err)),
    ]
    exit_code: int | None = None
    stopped: StopReason | None = None
    try:
        ended = asyncio.ensure_future(running.ended())
        disk = asyncio.ensure_future(_disk_fills_up(command.workspace, limits.min_free_disk_bytes))
        try:
            await asyncio.wait({ended, disk}, timeout=limits.wall_time_ms / 1000, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                exit_code = ended.result()
            else:
                stopped = "disk" if disk.done() and not disk.cancelled() else "time"
        finally:
            ended.cancel()
            disk.cancel()
    finally:
        running.kill()
        await through_cancellation(running.gone())
        await through_cancellation(_finish(readers))
    duration_ms = (clock.monotonic_us() - began_us) // 1000
    return Ended(128 + 9 if exit_code is None else exit_code, stopped, duration_ms, out.captured(), err.captured())


async def through_cancellation(work: Coroutine[object, object, None]) -> None:
    """Finish `work` even if this is cancelled meanwhile; the cancellation is passed on afterwards."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError


def _capture(limits: SandboxLimits) -> Capture:
    return Capture(kept_bytes=max(limits.kept_bytes, limits.shown_bytes), tail_bytes=limits.shown_bytes // 2)


async def _finish(readers: list[asyncio.Future[None]]) -> None:
    await asyncio.wait(readers, timeout=_LAST_OUTPUT_S)
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)


async def _disk_fills_up(workspace: str, min_free_bytes: int) -> None:
    """Returns when the disk is nearly full; waits for ever when it was so before the command began."""
    if _free_bytes(workspace) < min_free_bytes:
        await asyncio.Event().wait()
    while _free_bytes(workspace) >= min_free_bytes:  # noqa: ASYNC110 -- nobody tells of a disk that fills up
        await asyncio.sleep(_DISK_LOOK_S)


def _free_bytes(directory: str) -> int:
    with contextlib.suppress(OSError):
        found = os.statvfs(directory)
        return found.f_bavail * found.f_frsize
    return 1 << 62


def require_directory(workspace: str) -> None:
    """SandboxError unless an absolute path is a directory and no link."""
    try:
        is_directory = stat.S_ISDIR(os.lstat(workspace).st_mode)
    except OSError:
        is_directory = False
    if not is_directory or not workspace.startswith("/"):
        raise SandboxError("The workspace directory is missing, so the command did not run.")
