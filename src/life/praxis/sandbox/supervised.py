"""Commands under `supervisor.py`: what the Landlock and the plain process sandbox have in common."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from life.aios.ports.clock import Clock
from life.aios.ports.sandbox import SandboxCommand, SandboxDescription, SandboxRun
from life.praxis.blocking import on_thread
from life.praxis.errors import SandboxError
from life.praxis.sandbox.capture import OutputPipe
from life.praxis.sandbox.child import Child
from life.praxis.sandbox.control_groups import ControlGroup, ControlGroups, group_name
from life.praxis.sandbox.running import require_directory, run_to_end, through_cancellation
from life.praxis.sandbox.status_pipe import StatusPipe
from life.praxis.sandbox.surroundings import environment

_SUPERVISOR: Final = Path(__file__).with_name("supervisor.py")
_START_LIMIT_S: Final = 10.0
_PREFIX: Final = "life-sandbox-"


class LandlockRules(msgspec.Struct, frozen=True):
    """What the supervisor hands to the kernel."""

    attributes: str
    """`struct landlock_ruleset_attr`, base64."""
    rules: Sequence[tuple[str, int, int]]
    """Path, access below it if it is a directory, access to it if it is a file."""


class Confinement(msgspec.Struct, frozen=True, kw_only=True):
    """What a command is held by beside limits."""

    landlock: LandlockRules | None
    seccomp: str | None
    """The filter, base64."""
    drop_capabilities: bool


class _Config(msgspec.Struct, frozen=True, kw_only=True):
    argv: tuple[str, ...]
    directory: str
    environment: dict[str, str]
    limits: dict[str, int]
    landlock: LandlockRules | None
    seccomp: str | None
    drop_capabilities: bool


class SupervisedSandbox:
    """The `Sandbox` port over the supervisor. A description and a way to confine make a backend of it."""

    def __init__(
        self,
        description: SandboxDescription,
        *,
        clock: Clock,
        groups: ControlGroups | None,
        confine: Callable[[str, str], Confinement],
    ) -> None:
        """`confine(workspace, private temporary directory)` says what holds a command."""
        self._description = description
        self._clock = clock
        self._groups = groups
        self._confine = confine
        self._numbers = itertools.count(1)

    @property
    def description(self) -> SandboxDescription:
        """See `Sandbox.description`."""
        return self._description

    async def run(self, command: SandboxCommand) -> SandboxRun:
        """See `Sandbox.run`."""
        require_directory(command.workspace)
        if os.path.realpath(command.workspace) != command.workspace:
            raise SandboxError("The workspace directory is reached through a link; the command did not run.")
        tmp = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")
        try:
            running = self._start(command, tmp)
            try:
                try:
                    await running.release()
                except BaseException as failure:
                    running.kill()
                    await through_cancellation(running.gone())
                    if isinstance(failure, (OSError, TimeoutError)):
                        raise SandboxError("The command could not be started; it did not run.") from None
                    raise
                ended = await run_to_end(running, command, self._clock)
            finally:
                await through_cancellation(running.close())
        finally:
            await on_thread(lambda: _remove(tmp))
        if running.setup_failed is not None:
            reason = os.strerror(running.setup_failed)
            raise SandboxError(f"The sandbox could not be set up, so the command did not run: {reason}.")
        return SandboxRun(
            exit_code=ended.exit_code,
            stopped=ended.stopped,
            duration_ms=ended.duration_ms,
            stdout=ended.stdout,
            stderr=ended.stderr,
        )

    def _start(self, command: SandboxCommand, tmp: str) -> _RunningSupervised:
        with contextlib.ExitStack() as stack, contextlib.ExitStack() as on_failure:
            config_fd = os.memfd_create("life-sandbox", os.MFD_CLOEXEC)
            stack.callback(os.close, config_fd)
            os.write(config_fd, msgspec.json.encode(self._config(command, tmp)))
            os.lseek(config_fd, 0, os.SEEK_SET)
            status_read, status_write = os.pipe2(os.O_CLOEXEC)
            control_read, control_write = os.pipe2(os.O_CLOEXEC)
            for fd in (status_write, control_read):
                stack.callback(os.close, fd)
            for fd in (status_read, control_write):
                on_failure.callback(os.close, fd)
            outputs = (OutputPipe(), OutputPipe())
            for output in outputs:
                on_failure.callback(output.close)
            group: ControlGroup | None = None
            try:
                if self._groups is not None:
                    limits = command.limits
                    group = self._groups.make(
                        group_name(next(self._numbers)), memory_bytes=limits.memory_bytes, processes=limits.processes
                    )
                    on_failure.callback(group.remove)
                passed = (config_fd, status_write, control_read)
                argv = [sys.executable, "-I", "-S", "-B", str(_SUPERVISOR), *(str(fd) for fd in passed)]
                process = Child(argv, stdout=outputs[0].write_fd, stderr=outputs[1].write_fd, pass_fds=passed)
            except OSError:
                raise SandboxError("The command could not be started; it did not run.") from None
            for output in outputs:
                output.started()
            on_failure.pop_all()
            return _RunningSupervised(process, outputs, status_read, control_write, group)

    def _config(self, command: SandboxCommand, tmp: str) -> _Config:
        limits = command.limits
        confinement = self._confine(command.workspace, tmp)
        wanted = {
            "RLIMIT_CORE": 0,
            "RLIMIT_CPU": limits.cpu_time_s,
            "RLIMIT_FSIZE": limits.file_bytes,
            "RLIMIT_NOFILE": limits.open_files,
        }
        if self._groups is None:
            wanted |= {"RLIMIT_AS": limits.memory_bytes, "RLIMIT_NPROC": limits.processes}
        home = f"{tmp}/home"
        Path(home).mkdir(mode=0o700)
        return _Config(
            argv=command.argv,
            directory=f"{command.workspace}/{command.directory}",
            environment=environment(command.environment, home=home, tmp=tmp, proxy=False),
            limits=wanted,
            landlock=confinement.landlock,
            seccomp=confinement.seccomp,
            drop_capabilities=confinement.drop_capabilities,
        )


def remove_left_over() -> None:
    """Temporary directories of our own user whose process was killed before it could take them away. Blocks."""
    for place in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = place.name.removeprefix(_PREFIX).split("-")[0]
        with contextlib.suppress(OSError):
            found = place.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not Path("/proc", owner).exists():
                _remove(str(place))


def _remove(directory: str) -> None:
    """Take a temporary directory away, whatever permissions the command left in it. Nothing of the command is alive."""
    shutil.rmtree(directory, ignore_errors=True)
    waiting = [directory] if os.path.lexists(directory) else []
    while waiting:
        place = waiting.pop()
        with contextlib.suppress(OSError):
            Path(place).chmod(0o700)
            with os.scandir(place) as entries:
                waiting += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    shutil.rmtree(directory, ignore_errors=True)


class _RunningSupervised:
    """One started supervisor. Closing the control pipe makes it end everything below it."""

    def __init__(
        self,
        process: Child,
        outputs: tuple[OutputPipe, OutputPipe],
        status_fd: int,
        control_fd: int,
        group: ControlGroup | None,
    ) -> None:
        self.outputs = outputs
        self._process = process
        self.setup_failed: int | None = None
        self._status = StatusPipe(status_fd)
        self._control_fd: int | None = control_fd
        self._group = group

    async def release(self) -> None:
        """Limit the command's process and let it begin. OSError and TimeoutError: it never will."""
        async with asyncio.timeout(_START_LIMIT_S):
            status = await self._status.next()
        if status is None or self._control_fd is None:
            raise OSError("the supervisor ended before it had a process")
        if self._group is not None:
            self._group.add(status["child-pid"])
        os.write(self._control_fd, b"x")

    async def ended(self) -> int:
        """See `Running.ended`. A supervisor that was killed counts as the command killed."""
        code = 128 + 9
        while (status := await self._status.next()) is not None:
            self.setup_failed = status.get("setup-failed", self.setup_failed)
            code = status.get("exit-code", code)
        return code

    def kill(self) -> None:
        """See `Running.kill`."""
        if self._control_fd is not None:
            os.close(self._control_fd)
            self._control_fd = None

    async def gone(self) -> None:
        """See `Running.gone`. Should somebody have killed the supervisor, the control group still knows all processes."""
        await self._process.wait()
        while self._group is not None and not self._group.end_all():  # noqa: ASYNC110 -- version 1 tells nobody
            await asyncio.sleep(0.005)

    async def close(self) -> None:
        """Give descriptors and the control group back."""
        self.kill()
        self._status.close()
        self._process.close()
        for output in self.outputs:
            output.close()
        if self._group is not None:
            with contextlib.suppress(OSError):
                self._group.remove()
