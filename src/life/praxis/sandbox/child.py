"""A child process with exactly the descriptors it is given.

Not asyncio's: event loops differ in what a child inherits (uvloop leaves every descriptor that is not marked close-on-exec open, and
bubblewrap hands on what it finds), and in who reaps it. Here the standard library closes everything else, and a process handle
(pidfd_open(2)) tells the loop when the child has ended.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence

from life.praxis.sandbox.status_pipe import readable


class Child:
    """One started child. It is a session of its own, without input and with an empty environment."""

    def __init__(self, argv: Sequence[str], *, stdout: int, stderr: int, pass_fds: Sequence[int]) -> None:
        """OSError when it can't be started. Started on the calling thread, whose death may be the child's (PR_SET_PDEATHSIG)."""
        self._process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env={},
            cwd="/",
            close_fds=True,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        self._handle = os.pidfd_open(self._process.pid)

    async def wait(self) -> int:
        """The exit code, negative after a signal. May be asked again."""
        if self._process.returncode is None:
            await readable(self._handle)
        return self._process.wait()

    def kill(self) -> None:
        """SIGKILL, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def close(self) -> None:
        """Give the handle back; the child has been waited for."""
        os.close(self._handle)
