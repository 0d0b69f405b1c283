"""Child processes that a test starts, waits for and ends by their own process id."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self

POLL_S = 0.01
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")


class ProcessError(Exception):
    """A child process died, or did not do in time what was waited for. The message carries the end of its output."""


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A small environment: where programs are, and no proxy, so that loopback stays on this machine."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, "NO_PROXY": "*", "no_proxy": "*", "PYTHONUNBUFFERED": "1", **(extra or {})}


class ChildProcess:
    """One running program. Its output goes to unnamed files, so it can never block on a full pipe.

    Use it as a context manager, or call `stop` in the end; `stop` may be called any number of times. Output stays readable
    afterwards.
    """

    def __init__(self, name: str, popen: subprocess.Popen[bytes], stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self.name = name
        self.pid = popen.pid
        self._popen = popen
        self._files = {"stdout": stdout, "stderr": stderr}
        self._final: dict[str, str] = {}

    @classmethod
    def spawn(
        cls,
        argv: Sequence[str | Path],
        *,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Self:
        """Start a program; `env` is added to `child_environment()`. The first of `argv` must be the program itself."""
        command = [str(part) for part in argv]
        stdout, stderr = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        try:
            popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=child_environment(env), cwd=cwd
            )
        except BaseException:
            stdout.close()
            stderr.close()
            raise
        return cls(name or Path(command[0]).name, popen, stdout, stderr)

    @property
    def is_running(self) -> bool:
        """Whether the program has not ended yet."""
        return self._popen.poll() is None

    def stdout(self) -> str:
        """Everything written to standard output so far."""
        return self._read("stdout")

    def stderr(self) -> str:
        """Everything written to standard error so far."""
        return self._read("stderr")

    def wait_for_line(self, pattern: str, *, deadline_s: float = 60.0) -> re.Match[str]:
        """Wait until a line of standard output matches `pattern`; its match.

        Raises ProcessError if the program ends first or `deadline_s` passes; the program is stopped then.
        """
        line = re.compile(pattern + r"\n", re.MULTILINE)
        deadline = time.monotonic() + deadline_s
        while True:
            is_running = self.is_running  # asked first, so that last words before the end are still read
            found = line.search(self.stdout())
            if found is not None:
                return found
            if not is_running:
                raise self._failure(f"ended with code {self._popen.returncode} before it was ready")
            if time.monotonic() > deadline:
                raise self._failure(f"was not ready after {deadline_s} s")
            time.sleep(POLL_S)

    def wait(self, *, deadline_s: float = 60.0) -> int:
        """Wait for the program to end by itself; its exit code. Raises ProcessError, and stops it, after `deadline_s`."""
        try:
            return self._popen.wait(timeout=deadline_s)
        except subprocess.TimeoutExpired:
            raise self._failure(f"was still running after {deadline_s} s") from None

    def suspend(self) -> None:
        """Freeze the program (SIGSTOP) and wait until all its threads stand: its sockets stay open and nobody answers."""
        self._popen.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._popen.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a frozen program go on (SIGCONT)."""
        self._popen.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the program at once (SIGKILL), as a crash would, and wait until it is gone."""
        self._popen.kill()
        self._popen.wait()
        self._close()

    def stop(self, *, patience_s: float = 5.0) -> None:
        """Ask the program to end (SIGTERM), and kill it when `patience_s` was not enough."""
        if self.is_running:
            self._popen.terminate()
            self.resume()
            try:
                self._popen.wait(timeout=patience_s)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _read(self, stream: str) -> str:
        if stream in self._final:
            return self._final[stream]
        # The child shares the file's position, so it is read by offset and never moved.
        descriptor = self._files[stream].fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")

    def _close(self) -> None:
        for stream, file in self._files.items():
            self._final.setdefault(stream, self._read(stream))
            file.close()

    def _failure(self, what: str) -> ProcessError:
        self.stop()
        return ProcessError(
            f"{self.name} {what}\n--- stdout\n{self.stdout()[-2000:]}\n--- stderr\n{self.stderr()[-4000:]}"
        )
