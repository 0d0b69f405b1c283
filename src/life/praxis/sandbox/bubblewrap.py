"""Commands under bubblewrap(1): namespaces of their own, a read-only system, and the workspace.

What a command gets: user, process, IPC, host name and network namespaces; the system's programs read-only; its workspace, writable, at
`/workspace`; a private `/tmp`; its own `/proc` with `/proc/sys` read-only; a minimal `/dev`; no capability, no way to a new user
namespace, the filter of `seccomp`, a session of its own without a terminal. bubblewrap is itself started with an empty environment and
takes its arguments from a file descriptor, because a command can read `/proc/1/environ` and `/proc/1/cmdline`.

The command waits (`--block-fd`) until a handle to its first process is held and its limits are set; killing that process ends the
namespace, and the handle tells when everything in it is gone. When this process dies, `--die-with-parent` does the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final, Protocol, Self

from life.aios.ports.clock import Clock
from life.aios.ports.sandbox import Guarantee, SandboxCommand, SandboxDescription, SandboxRun
from life.praxis.errors import SandboxError, SandboxUnavailableError
from life.praxis.sandbox import seccomp
from life.praxis.sandbox.capture import Capture, OutputPipe
from life.praxis.sandbox.child import Child
from life.praxis.sandbox.control_groups import ControlGroup, ControlGroups, find_control_groups, group_name
from life.praxis.sandbox.private_network import NetworkDoor, network_launcher
from life.praxis.sandbox.proxy import AttemptLog, FilteringProxy
from life.praxis.sandbox.running import require_directory, run_to_end, through_cancellation
from life.praxis.sandbox.status_pipe import StatusPipe, readable
from life.praxis.sandbox.surroundings import (
    HOME,
    MASKED_FILES,
    SHARED_MEMORY,
    SYSTEM_DIRECTORIES,
    SYSTEM_FILES,
    TMP,
    WORKSPACE,
    environment,
    etc_files,
    link_target,
    present,
)

NAME: Final = "bubblewrap"
_START_LIMIT_S: Final = 10.0
_BASH: Final = "/bin/bash"
_INSTALL: Final = "Install bubblewrap (Debian and Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap)."


class Bubblewrap:
    """The `Sandbox` port over bwrap. Open it with `open_bubblewrap`, which tries it."""

    def __init__(
        self,
        program: str,
        *,
        clock: Clock,
        groups: ControlGroups | None,
        proxy: FilteringProxy | None = None,
        system_paths: Sequence[str] = (),
        nested_namespaces: bool = False,
    ) -> None:
        self._program = program
        self._clock = clock
        self._groups = groups
        self._proxy = proxy
        self._system_paths = tuple(system_paths)
        self._nested_namespaces = nested_namespaces
        self._numbers = itertools.count(1)
        filter_bytes = seccomp.assemble(sockets=True) if seccomp.is_supported() else None
        self._filter = filter_bytes
        gaps: set[Guarantee] = set()
        if filter_bytes is None:
            gaps.add("system_calls_filtered")
        if groups is None:
            gaps.add("memory_limit_of_all")
            if os.geteuid() == 0:  # RLIMIT_NPROC does not bind root (kernel/fork.c, copy_process)
                gaps.add("process_limit")
        if proxy is None:
            gaps.add("host_allow_list")
        self._description = SandboxDescription(
            name=NAME,
            tier="container",
            gaps=frozenset(gaps),
            workspace_path=WORKSPACE,
            allowed_hosts=proxy.allowed_hosts if proxy is not None else (),
        )

    @property
    def description(self) -> SandboxDescription:
        """See `Sandbox.description`."""
        return self._description

    async def run(self, command: SandboxCommand) -> SandboxRun:
        """See `Sandbox.run`. SandboxError when bwrap could not set the sandbox up: the command did not run."""
        log = AttemptLog()
        async with contextlib.AsyncExitStack() as stack:
            door = stack.enter_context(NetworkDoor()) if self._proxy is not None else None
            running = self._start(command, door)
            try:
                if door is not None and self._proxy is not None:
                    listener = await door.receive()
                    await stack.enter_async_context(self._proxy.serving(listener, log))
                await running.release(command)
            except BaseException as failure:
                running.kill()
                await through_cancellation(running.gone())
                try:
                    if isinstance(failure, (OSError, TimeoutError)):
                        raise await running.refusal() from None
                finally:
                    await through_cancellation(running.close())
                raise
            try:
                ended = await run_to_end(running, command, self._clock)
            finally:
                await through_cancellation(running.close())
            if not running.reported_exit and ended.stopped is None and ended.stdout.total_bytes == 0:
                text = ended.stderr.kept.decode(errors="replace")
                if text.startswith("bwrap:"):
                    raise _refused(text)
        return SandboxRun(
            exit_code=ended.exit_code,
            stopped=ended.stopped,
            duration_ms=ended.duration_ms,
            stdout=ended.stdout,
            stderr=ended.stderr,
            connections=log.attempts(),
        )

    def _start(self, command: SandboxCommand, door: NetworkDoor | None) -> _RunningBubblewrap:
        require_directory(command.workspace)
        with contextlib.ExitStack() as stack, contextlib.ExitStack() as on_failure:
            passed: list[int] = []

            def give(content: bytes) -> int:
                fd = os.memfd_create("life-sandbox", os.MFD_CLOEXEC)
                stack.callback(os.close, fd)
                os.write(fd, content)
                os.lseek(fd, 0, os.SEEK_SET)
                passed.append(fd)
                return fd

            status_read, status_write = os.pipe2(os.O_CLOEXEC)
            status = stack.enter_context(_Descriptors(status_read))
            stack.callback(os.close, status_write)
            block_read, block_write = os.pipe2(os.O_CLOEXEC)
            block = stack.enter_context(_Descriptors(block_write))
            stack.callback(os.close, block_read)
            passed += [status_write, block_read]
            options = ["--json-status-fd", str(status_write), "--block-fd", str(block_read)]
            if self._filter is not None:
                options += ["--seccomp", str(give(self._filter))]
            options += self._namespaces(own_network=door is None)
            options += self._files(command, give)
            arguments = give(b"\0".join(os.fsencode(option) for option in options) + b"\0")
            argv = [self._program, "--args", str(arguments), "--", *command.argv]
            if door is not None:
                argv = network_launcher(door.inner_fd, argv)
                passed.append(door.inner_fd)
            outputs = (OutputPipe(), OutputPipe())
            on_failure.callback(outputs[0].close)
            on_failure.callback(outputs[1].close)
            group = self._make_group(command)
            if group is not None:
                on_failure.callback(group.remove)
            try:
                process = Child(argv, stdout=outputs[0].write_fd, stderr=outputs[1].write_fd, pass_fds=passed)
            except OSError:
                raise SandboxError("bubblewrap could not be started, so the command did not run.") from None
            for output in outputs:
                output.started()
            on_failure.pop_all()
            return _RunningBubblewrap(process, outputs, status.take(), block.take(), group)

    def _make_group(self, command: SandboxCommand) -> ControlGroup | None:
        if self._groups is None:
            return None
        limits = command.limits
        return self._groups.make(
            group_name(next(self._numbers)), memory_bytes=limits.memory_bytes, processes=limits.processes
        )

    def _namespaces(self, *, own_network: bool) -> Iterator[str]:
        yield from ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
        if own_network:
            yield "--unshare-net"
        yield from ("--die-with-parent", "--new-session", "--hostname", "sandbox", "--cap-drop", "ALL")
        if not self._nested_namespaces:
            yield "--disable-userns"

    def _files(self, command: SandboxCommand, give: _Give) -> Iterator[str]:
        """The file system, from nothing. Later entries lie over earlier ones."""
        for path in present(SYSTEM_DIRECTORIES):
            target = link_target(path)
            yield from ("--ro-bind", path, path) if target is None else ("--symlink", target, path)
        for path in ("/etc", "/etc/ssl"):
            yield from ("--perms", "0755", "--dir", path)
        for path in present(SYSTEM_FILES):
            yield from ("--ro-bind", path, path)
        for path in self._system_paths:
            yield from ("--ro-bind", path, path)
        for path, content in etc_files().items():
            yield from ("--perms", "0444", "--ro-bind-data", str(give(content)), path)
        tmp_bytes = str(command.limits.tmp_bytes)
        yield from ("--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev")
        for path in present(MASKED_FILES):
            yield from ("--ro-bind", "/dev/null", path)
        yield from ("--perms", "1777", "--size", tmp_bytes, "--tmpfs", SHARED_MEMORY, "--remount-ro", "/dev")
        yield from ("--perms", "1777", "--size", tmp_bytes, "--tmpfs", TMP, "--perms", "0700", "--dir", HOME)
        yield from ("--bind", command.workspace, WORKSPACE)
        yield from _protect(command.workspace, command.read_only)
        for path in command.hidden:
            yield from _cover(command.workspace, path)
        yield from ("--remount-ro", "/", "--clearenv")
        variables = environment(command.environment, home=HOME, tmp=TMP, proxy=self._proxy is not None)
        for name, value in variables.items():
            yield from ("--setenv", name, value)
        yield from ("--chdir", WORKSPACE if command.directory == "." else f"{WORKSPACE}/{command.directory}")


class _Give(Protocol):
    """Makes a descriptor with this content that bwrap inherits."""

    def __call__(self, content: bytes) -> int: ...


class _Descriptors:
    """A descriptor that is closed unless it is taken."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def take(self) -> int:
        """The descriptor, now the caller's to close."""
        fd, self._fd = self._fd, -1
        return fd


class _RunningBubblewrap:
    """One started bwrap: its status, the handle of the namespace's first process, and its limits."""

    def __init__(
        self,
        process: Child,
        outputs: tuple[OutputPipe, OutputPipe],
        status_fd: int,
        block_fd: int,
        group: ControlGroup | None,
    ) -> None:
        self.process = process
        self.outputs = outputs
        self.reported_exit = False
        self._status = StatusPipe(status_fd)
        self._block_fd = block_fd
        self._group = group
        self._first: int | None = None

    async def release(self, command: SandboxCommand) -> None:
        """Hold the first process, limit it, and let the command begin. OSError and TimeoutError: it never will."""
        async with asyncio.timeout(_START_LIMIT_S):
            status = await self._status.next()
        if status is None:
            raise OSError("bwrap ended before it had a process")
        process_id = int(status["child-pid"])
        self._first = os.pidfd_open(process_id)
        limits = command.limits
        if self._group is not None:
            self._group.add(process_id)
        wanted = {
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_CPU: limits.cpu_time_s,
            resource.RLIMIT_FSIZE: limits.file_bytes,
            resource.RLIMIT_NOFILE: limits.open_files,
        }
        if self._group is None:
            wanted |= {resource.RLIMIT_AS: limits.memory_bytes, resource.RLIMIT_NPROC: limits.processes}
        for kind, value in wanted.items():
            _, most = resource.prlimit(process_id, kind)
            bounded = value if most == resource.RLIM_INFINITY else min(value, most)
            resource.prlimit(process_id, kind, (bounded, bounded))
        os.write(self._block_fd, b"x")

    async def ended(self) -> int:
        """See `Running.ended`."""
        code = await self.process.wait()
        while (status := await self._status.next()) is not None:
            self.reported_exit = self.reported_exit or "exit-code" in status
        return code if code >= 0 else 128 - code

    def kill(self) -> None:
        """See `Running.kill`."""
        if self._first is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first, signal.SIGKILL)
        self.process.kill()

    async def gone(self) -> None:
        """See `Running.gone`. The handle of the first process tells when the whole namespace is empty (pidfd_open(2))."""
        await self.process.wait()
        if self._first is not None:
            await readable(self._first)

    async def close(self) -> None:
        """Give descriptors and the control group back."""
        self._status.close()
        self.process.close()
        for output in self.outputs:
            output.close()
        for fd in (self._block_fd, self._first):
            if fd is not None:
                os.close(fd)
        if self._group is not None:
            self._group.remove()

    async def refusal(self) -> SandboxError:
        """Why it never began, from what bwrap said. Called when it is gone."""
        said = Capture(kept_bytes=4096, tail_bytes=0)
        await self.outputs[1].drain(said)
        return _refused(said.captured().kept.decode(errors="replace"))


def _refused(text: str) -> SandboxError:
    reason = text.strip().splitlines()[-1] if text.strip() else "it gave no reason"
    return SandboxError(f"The sandbox could not be set up, so the command did not run: {reason[:300]}.")


def _is_plain(workspace: str, path: str) -> bool:
    """Whether something is at the path and no component of it is a link."""
    place = workspace
    for name in path.split("/"):
        place = f"{place}/{name}"
        if not os.path.lexists(place) or Path(place).is_symlink():
            return False
    return True


def _protect(workspace: str, paths: Sequence[str]) -> Iterator[str]:
    """Read-only mounts over workspace paths. The directories above them become mounts, too: what is one can't be renamed, so nobody
    moves `.git` away to put another in its place."""
    pinned: set[str] = set()
    for path in paths:
        if not _is_plain(workspace, path):
            continue
        above = [parent.as_posix() for parent in reversed(PurePosixPath(path).parents) if parent.name]
        for directory in above:
            if directory not in pinned:
                pinned.add(directory)
                yield from ("--bind", f"{workspace}/{directory}", f"{WORKSPACE}/{directory}")
        yield from ("--ro-bind", f"{workspace}/{path}", f"{WORKSPACE}/{path}")


def _cover(workspace: str, path: str) -> Iterator[str]:
    """An empty directory or file over a workspace path; nothing where nothing, or a link, is."""
    if _is_plain(workspace, path):
        inside = f"{WORKSPACE}/{path}"
        if Path(workspace, path).is_dir():
            yield from ("--perms", "0555", "--size", "4096", "--tmpfs", inside, "--remount-ro", inside)
        else:
            yield from ("--ro-bind", "/dev/null", inside)


async def open_bubblewrap(
    *, clock: Clock, proxy: FilteringProxy | None = None, system_paths: Sequence[str] = ()
) -> Bubblewrap:
    """bubblewrap, found by running it. SandboxUnavailableError says what does not work and what to do.

    `system_paths` are further host paths that commands may read. Where the kernel refuses to forbid further user namespaces inside (old
    bubblewrap, nested containers), they stay possible: the filter refuses the calls anyway.
    """
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxUnavailableError("The sandbox bubblewrap is not installed.", next_step=_INSTALL)
    groups = await asyncio.to_thread(find_control_groups)
    refusal: SandboxError | None = None
    for nested in (False, True):
        if nested and not seccomp.is_supported():
            break
        sandbox = Bubblewrap(
            program, clock=clock, groups=groups, proxy=proxy, system_paths=system_paths, nested_namespaces=nested
        )
        try:
            await _try(sandbox)
        except SandboxError as failure:
            refusal = refusal or failure
        else:
            return sandbox
    reason = refusal.message.partition("did not run: ")[2] if refusal else ""
    raise SandboxUnavailableError(
        f"bubblewrap is installed but does not work here: {reason}", next_step=_advice(reason)
    )


async def _try(sandbox: Bubblewrap) -> None:
    with tempfile.TemporaryDirectory(prefix="life-probe-") as workspace:
        probe = SandboxCommand(argv=(_BASH, "-c", "echo works > result && cat result"), workspace=workspace)
        ran = await sandbox.run(probe)
    if ran.exit_code != 0 or ran.stdout.kept != b"works\n":
        said = ran.stderr.kept.decode(errors="replace").strip()[:200]
        raise SandboxError(f"The sandbox could not be set up, so the command did not run: {said or 'no answer'}.")


def _advice(reason: str) -> str:
    """What helps, by bwrap's own words."""
    explicit = 'set sandbox.backend to "landlock", or, without any protection, to "process"'
    if "namespace" in reason or "uid map" in reason:
        return (
            "Allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, or on Ubuntu "
            f"kernel.apparmor_restrict_unprivileged_userns=0), or {explicit}."
        )
    if "proc" in reason:
        return (
            f"In a container, start it with an unmasked /proc (--security-opt systempaths=unconfined), or {explicit}."
        )
    return f"Make it work (`bwrap --unshare-all --ro-bind / / true` shows the reason), or {explicit}."
