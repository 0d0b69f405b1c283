"""Every guarantee of a sandbox, tried by running something in it. Used by `life doctor` and by the conformance suite.

A check sets up something that is really there (a secret file, a listening server, a process to kill), lets a command go for it with nothing
but bash and the standard tools, and looks at what happened. It answers whether the guarantee held; it does not believe exit codes.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from life.aios.ports.sandbox import Guarantee, Sandbox, SandboxCommand, SandboxLimits, SandboxRun

Area = Literal["filesystem", "network", "processes", "memory", "time", "environment", "privileges"]

SECRET: Final = "PROBE-SECRET-1f0c"  # noqa: S105 -- not a secret: what a command must not be able to read
_QUICK: Final = SandboxLimits(wall_time_ms=10_000)


class Room(NamedTuple):
    """Where one check works: a workspace, and a directory outside it."""

    sandbox: Sandbox
    workspace: Path
    outside: Path

    async def bash(self, script: str, *, limits: SandboxLimits = _QUICK, hidden: tuple[str, ...] = ()) -> SandboxRun:
        """Run a script in the workspace."""
        return await self.sandbox.run(
            SandboxCommand(
                argv=("/bin/bash", "-c", script), workspace=str(self.workspace), limits=limits, hidden=hidden
            )
        )


Check = Callable[[Room], Awaitable[bool]]


class Promise(NamedTuple):
    """A guarantee in words, where it belongs, and how it is tried."""

    area: Area
    says: str
    check: Check


@asynccontextmanager
async def room_for(sandbox: Sandbox) -> AsyncIterator[Room]:
    """Two fresh directories that are not below each other."""
    with tempfile.TemporaryDirectory(prefix="life-check-") as directory:
        root = Path(directory).resolve()
        workspace, outside = root / "workspace", root / "outside"
        workspace.mkdir()
        outside.mkdir()
        yield Room(sandbox, workspace, outside)


def output(ran: SandboxRun) -> str:
    """Both streams as text."""
    return (ran.stdout.kept + ran.stderr.kept).decode(errors="replace")


async def _outside_unreadable(room: Room) -> bool:
    (room.outside / "secret").write_text(SECRET)
    (room.workspace / "link").symlink_to(room.outside / "secret")
    (room.workspace / "door").symlink_to(room.outside)
    ran = await room.bash(
        f"cat {room.outside}/secret; cat link; cat door/secret; cat /proc/1/root{room.outside}/secret"
    )
    return SECRET not in output(ran)


async def _outside_unwritable(room: Room) -> bool:
    victim = room.outside / "victim"
    victim.write_text("as it was")
    (room.workspace / "link").symlink_to(victim)
    await room.bash(
        f"echo x > {victim}; echo x > link; rm -f {victim}; truncate -s 0 {victim}; mkdir {room.outside}/new"
    )
    return victim.is_file() and victim.read_text() == "as it was" and list(room.outside.iterdir()) == [victim]


async def _system_unwritable(room: Room) -> bool:
    """Directories by making one in them; a kernel setting by opening it for writing, which changes nothing."""
    ran = await room.bash(
        "for place in / /usr /usr/bin /etc /var /boot /dev /root; do "
        "made=$(mktemp -d $place/life-check.XXXXXX 2>/dev/null) && rmdir $made && echo OPEN; done; "
        "(: >> /proc/sys/kernel/core_pattern) 2>/dev/null && echo OPEN; echo tried"
    )
    return ran.stdout.kept == b"tried\n"


async def _hidden_names(room: Room) -> bool:
    (room.workspace / ".life").mkdir()
    (room.workspace / ".life" / "journal.db").write_text(SECRET)
    (room.workspace / ".netrc").write_text(SECRET)
    ran = await room.bash("cat .life/journal.db .netrc; echo tried", hidden=(".life", ".netrc"))
    return SECRET not in output(ran) and "tried" in output(ran)


async def _private_tmp(room: Room) -> bool:
    with tempfile.NamedTemporaryFile(prefix="life-check-", mode="w", encoding="utf-8") as host_file:
        host_file.write(SECRET)
        host_file.flush()
        ran = await room.bash(f"cat {host_file.name}; ls /tmp; echo left > $TMPDIR/left; echo $TMPDIR")
        listed = ran.stdout.kept.decode(errors="replace")
        return SECRET not in listed and Path(host_file.name).name not in listed and not await _left_over(room)


async def _left_over(room: Room) -> bool:
    """Whether a later command finds what an earlier one left in its temporary directory."""
    return b"left" in (await room.bash("ls $TMPDIR")).stdout.kept


async def _stable_path(room: Room) -> bool:
    return (await room.bash("pwd")).stdout.kept == b"/workspace\n"


async def _no_network(room: Room) -> bool:
    reached = asyncio.Event()

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        datagrams.bind(("127.0.0.1", 0))
        datagrams.setblocking(False)
        port, udp_port = server.sockets[0].getsockname()[1], datagrams.getsockname()[1]
        await room.bash(
            f"(exec 3<>/dev/tcp/127.0.0.1/{port}; echo hello >&3); (echo hello >/dev/udp/127.0.0.1/{udp_port})"
        )
        await asyncio.sleep(0)
        with contextlib.suppress(BlockingIOError):
            datagrams.recv(16)
            return False
        return not reached.is_set()
    finally:
        datagrams.close()
        server.close()


_CONNECT_ABSTRACT: Final = {
    "python3": "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1].replace('@', chr(0)))",
    "perl": "use Socket; socket(S,PF_UNIX,SOCK_STREAM,0) or die; $n=$ARGV[0]; $n=~s/^@/\\0/; connect(S,pack_sockaddr_un($n)) or die;",
}


async def _no_host_sockets(room: Room) -> bool:
    """An abstract and a file socket of the host; the latter would be that of a container engine or a key agent."""
    abstract = f"life-check-{os.getpid()}-{room.outside.parent.name}"
    reached = []
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        first.bind(f"\0{abstract}")
        second.bind(str(room.outside / "s"))
        for listener in (first, second):
            listener.listen(4)
            listener.setblocking(False)
        for program, flag in (("python3", "-c"), ("perl", "-e")):
            code = _CONNECT_ABSTRACT[program]
            for name in (f"@{abstract}", str(room.outside / "s")):
                reached.append(
                    await room.bash(f"{program} {flag} '{code.replace(chr(39), chr(34))}' {name} && echo REACHED")
                )
        return not any("REACHED" in output(ran) for ran in reached)


async def _no_survivors(room: Room) -> bool:
    """Children that fork twice, leave session and group, and ignore every signal that can be ignored."""
    mark = f"life-check-{room.outside.parent.name}"
    await room.bash(
        f"cp $(command -v sleep) ./{mark}; for i in 1 2 3; do (trap '' TERM HUP INT; setsid nohup ./{mark} 300 >/dev/null 2>&1 </dev/null &) ; done; "
        f"./{mark} 300 & disown; echo started"
    )
    return not any(mark in line for line in _command_lines())


def _command_lines() -> list[str]:
    lines = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                lines.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return lines


async def _signals_confined(room: Room) -> bool:
    victim = await asyncio.create_subprocess_exec("/bin/sleep", "300", env={})
    try:
        await room.bash(f"kill -9 {victim.pid}; kill {victim.pid}")
        await asyncio.sleep(0.05)
        return victim.returncode is None
    finally:
        with contextlib.suppress(ProcessLookupError):
            victim.kill()
        await victim.wait()


async def _processes_hidden(room: Room) -> bool:
    mark = "271828182"
    victim = await asyncio.create_subprocess_exec("/bin/sleep", mark, env={})
    try:
        ran = await room.bash("for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $f; done")
        return mark not in output(ran)
    finally:
        victim.kill()
        await victim.wait()


async def _process_limit(room: Room) -> bool:
    limits = SandboxLimits(wall_time_ms=10_000, processes=20)
    script = "for i in $(seq 60); do sleep 30 & echo started; done; kill $(jobs -p)"
    ran = await room.bash(f"sh -c '{script}'", limits=limits)  # not bash, which waits and tries to fork again
    return 0 < ran.stdout.kept.count(b"started") <= 20


async def _memory_limit(room: Room) -> bool:
    limits = SandboxLimits(wall_time_ms=10_000, memory_bytes=64 * 1024**2)
    ran = await room.bash("head -c 256M /dev/zero | tail | wc -c", limits=limits)
    return ran.stdout.kept.strip() != str(256 * 1024**2).encode()


async def _memory_limit_of_all(room: Room) -> bool:
    limits = SandboxLimits(wall_time_ms=20_000, memory_bytes=96 * 1024**2)
    one = "(head -c 40M /dev/zero; sleep 0.4) | tail | wc -c"
    ran = await room.bash(f"for i in 1 2 3 4 5 6; do ({one}) & done; wait", limits=limits)
    return ran.stdout.kept.split().count(str(40 * 1024**2).encode()) < 6


async def _time_limit(room: Room) -> bool:
    began = asyncio.get_running_loop().time()
    ran = await room.bash("trap '' TERM INT HUP; while :; do sleep 60; done", limits=SandboxLimits(wall_time_ms=300))
    return ran.stopped == "time" and asyncio.get_running_loop().time() - began < 2.5


async def _file_size_limit(room: Room) -> bool:
    await room.bash("head -c 2M /dev/zero > big", limits=SandboxLimits(wall_time_ms=10_000, file_bytes=1024**2))
    return (room.workspace / "big").stat().st_size <= 1024**2


_OWN_VARIABLES: Final = frozenset(
    [
        "PATH",
        "HOME",
        "TMPDIR",
        "LANG",
        "LC_ALL",
        "TERM",
        "SHELL",
        "USER",
        "LOGNAME",
        "PAGER",
        "GIT_PAGER",
        "GIT_TERMINAL_PROMPT",
        "DEBIAN_FRONTEND",
        "PWD",
        "SHLVL",
        "_",
        "OLDPWD",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
    ]
)


async def _clean_environment(room: Room) -> bool:
    """Neither the command's own environment nor that of the process above it holds anything of ours."""
    ran = await room.bash("env; tr '\\0' '\\n' < /proc/$PPID/environ")
    names = {line.partition("=")[0] for line in ran.stdout.kept.decode(errors="replace").splitlines() if "=" in line}
    return bool(names) and names <= _OWN_VARIABLES


async def _no_inherited_files(room: Room) -> bool:
    (room.outside / "open").write_text(SECRET)
    fd = os.open(room.outside / "open", os.O_RDONLY)
    try:
        high = fcntl.fcntl(fd, fcntl.F_DUPFD, 200)  # not closed when a program is started, as careless code leaves them
        try:
            ran = await room.bash(f"cat <&{high}; ls /proc/self/fd | wc -l")
        finally:
            os.close(high)
    finally:
        os.close(fd)
    return SECRET not in output(ran) and ran.stdout.kept.strip() == b"4"


async def _no_privileges(room: Room) -> bool:
    ran = await room.bash("cat /proc/self/status")
    lines = dict(line.split(":", 1) for line in ran.stdout.kept.decode().splitlines() if ":" in line)
    return int(lines.get("CapEff", "1").strip(), 16) == 0 and lines.get("NoNewPrivs", "").strip() == "1"


async def _system_calls_filtered(room: Room) -> bool:
    ran = await room.bash("grep ^Seccomp: /proc/self/status")
    return ran.stdout.kept.split()[-1:] == [b"2"]


PROMISES: Final[Mapping[Guarantee, Promise]] = MappingProxyType(
    {
        "outside_unreadable": Promise("filesystem", "files outside the workspace can't be read", _outside_unreadable),
        "outside_unwritable": Promise(
            "filesystem", "files outside the workspace can't be changed", _outside_unwritable
        ),
        "system_unwritable": Promise(
            "filesystem", "the system's files and settings can't be changed", _system_unwritable
        ),
        "hidden_names": Promise("filesystem", "hidden names inside the workspace can't be read", _hidden_names),
        "private_tmp": Promise("filesystem", "temporary files are private", _private_tmp),
        "stable_path": Promise("filesystem", "the workspace is at /workspace", _stable_path),
        "file_size_limit": Promise("filesystem", "files have a largest size", _file_size_limit),
        "no_network": Promise("network", "no connection gets out", _no_network),
        "no_host_sockets": Promise("network", "the host's Unix sockets can't be reached", _no_host_sockets),
        "no_survivors": Promise("processes", "nothing is left running", _no_survivors),
        "signals_confined": Promise("processes", "processes outside can't be signalled", _signals_confined),
        "processes_hidden": Promise("processes", "processes outside can't be seen", _processes_hidden),
        "process_limit": Promise("processes", "the number of processes is limited", _process_limit),
        "memory_limit": Promise("memory", "the memory of a process is limited", _memory_limit),
        "memory_limit_of_all": Promise(
            "memory", "the memory of all processes together is limited", _memory_limit_of_all
        ),
        "time_limit": Promise("time", "time is limited, whatever signals are ignored", _time_limit),
        "clean_environment": Promise("environment", "no variable of ours is passed on", _clean_environment),
        "no_inherited_files": Promise("environment", "no open file of ours is passed on", _no_inherited_files),
        "no_privileges": Promise("privileges", "no capability, and no way to gain one", _no_privileges),
        "system_calls_filtered": Promise("privileges", "dangerous system calls are refused", _system_calls_filtered),
    }
)
"""Every guarantee but `host_allow_list`, which needs a server and a proxy (the conformance suite brings them)."""


async def holds(sandbox: Sandbox, guarantee: Guarantee) -> bool:
    """Whether a guarantee holds, tried now. ToolError when a command can't be started."""
    async with room_for(sandbox) as room:
        return await PROMISES[guarantee].check(room)
