"""What a hostile command tries, against the real sandboxes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from life.aios.ports.sandbox import Sandbox, SandboxCommand, SandboxLimits, SandboxRun
from life.host.clock import SystemClock
from life.praxis.sandbox import running as running_module
from life.praxis.sandbox.bubblewrap import open_bubblewrap
from life.praxis.sandbox.process import open_process
from life.testing.sandbox import alive_with, run_bash

SECRET = "ATTACK-SECRET-51c2"


def said(ran: SandboxRun) -> str:
    """Both streams."""
    return (ran.stdout.kept + ran.stderr.kept).decode(errors="replace")


async def test_a_fork_bomb_is_bounded_and_gone(confining: Sandbox, workspace: Path) -> None:
    """It meets the limit of processes, ends with its time, and nothing of it is left."""
    if "process_limit" in confining.description.gaps:
        pytest.skip("the number of processes can't be limited here; the sandbox says so")
    (workspace / "life-bomb.sh").write_text("while :; do bash life-bomb.sh & done\n")
    began = time.monotonic()
    limits = SandboxLimits(wall_time_ms=1500, processes=64)
    ran = await run_bash(confining, workspace, "bash life-bomb.sh", limits=limits)
    assert ran.stopped == "time" or "fork" in said(ran)
    assert time.monotonic() - began < 10
    assert alive_with("life-bomb.sh") == []


async def test_a_memory_bomb_ends_the_command_only(confining: Sandbox, workspace: Path) -> None:
    """Much more than the limit, in a private temporary directory as well."""
    limits = SandboxLimits(wall_time_ms=20_000, memory_bytes=64 * 1024**2, tmp_bytes=8 * 1024**2)
    ran = await run_bash(confining, workspace, "head -c 1G /dev/zero | tail | wc -c; echo still here", limits=limits)
    assert str(1024**3) not in said(ran)
    assert (await run_bash(confining, workspace, "echo fine")).stdout.kept == b"fine\n"


@pytest.mark.part("bubblewrap")
async def test_temporary_directories_can_not_be_filled_beyond_their_size(workspace: Path) -> None:
    """/tmp and /dev/shm are small file systems of their own; the root and /dev are not writable."""
    sandbox = await open_bubblewrap(clock=SystemClock())
    limits = SandboxLimits(wall_time_ms=20_000, tmp_bytes=4 * 1024**2)
    script = "for place in /tmp /dev/shm; do head -c 16M /dev/zero > $place/big; stat -c %s $place/big; done; echo x > /big; echo x > /dev/big"
    ran = await run_bash(sandbox, workspace, script, limits=limits)
    assert all(int(size) <= 4 * 1024**2 for size in ran.stdout.kept.split())
    assert said(ran).count("Read-only file system") == 2


async def test_a_disk_that_fills_up_ends_the_command(
    confining: Sandbox, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The free space is looked at while the command runs; here it is told to shrink."""
    free = iter([1 << 40, 1 << 40])
    monkeypatch.setattr(running_module, "_free_bytes", lambda place: next(free, 0))
    ran = await run_bash(confining, workspace, "sleep 20")
    assert ran.stopped == "disk"
    assert ran.duration_ms < 5000


@pytest.mark.slow
async def test_a_gigabyte_of_output_does_not_stay_in_memory(confining: Sandbox, workspace: Path) -> None:
    """1 GiB is drained; this process grows by a few megabytes."""
    await run_bash(confining, workspace, "head -c 32M /dev/zero")
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    limits = SandboxLimits(wall_time_ms=60_000, kept_bytes=1024**2)
    ran = await run_bash(confining, workspace, "head -c 1G /dev/zero", limits=limits)
    assert ran.stdout.total_bytes == 1024**3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 64 * 1024


async def test_secrets_of_the_machine_can_not_be_read(
    confining: Sandbox, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Password hashes, keys, the journal next to the workspace, our environment, memory and descriptors."""
    data = workspace.parent / ".life"
    (data / "identity").mkdir(parents=True)
    (data / "journal.db").write_text(SECRET)
    (data / "identity" / "seed").write_text(SECRET)
    monkeypatch.setenv("ATTACK_API_KEY", SECRET)
    own = os.getpid()
    script = f"""
        cat /etc/shadow /etc/gshadow /etc/ssl/private/* ~root/.ssh/* ~root/.bash_history 2>&1 | grep -v -E 'denied|No such'
        cat {data}/journal.db ../.life/journal.db ../../.life/identity/seed
        cat /proc/{own}/environ /proc/1/environ /proc/$PPID/environ /proc/{own}/maps | tr '\\0' '\\n'
        ls -l /proc/{own}/fd /proc/{own}/cwd/ /proc/{own}/root/root /proc/1/root/root
        head -c 64 /proc/kcore /proc/kmsg /dev/mem /dev/kmsg /dev/vda /dev/sda 2>&1 | grep -v -E 'denied|No such|permitted'
        env
    """
    ran = await run_bash(confining, workspace, script)
    text = ran.stdout.kept.decode(errors="replace")
    assert SECRET not in said(ran)
    assert "ATTACK_API_KEY" not in said(ran)
    assert "root:$" not in text
    assert ":/bin/" not in text.replace(":/bin/bash", "")


async def test_links_planted_in_the_workspace_lead_nowhere(confining: Sandbox, workspace: Path) -> None:
    """Planted before, as files and as directories, absolute and relative, and through /proc."""
    outside = workspace.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_text(SECRET)
    (workspace / "absolute").symlink_to(outside / "secret")
    (workspace / "relative").symlink_to("../outside/secret")
    (workspace / "directory").symlink_to(outside)
    (workspace / "magic").symlink_to(f"/proc/{os.getpid()}/root{outside}")
    script = "cat absolute relative directory/secret magic/secret; echo x > directory/new; echo x >> absolute; mv absolute moved; echo x >> moved"
    ran = await run_bash(confining, workspace, script)
    assert SECRET not in said(ran)
    assert (outside / "secret").read_text() == SECRET
    assert [one.name for one in outside.iterdir()] == ["secret"]


@pytest.mark.part("bubblewrap")
async def test_names_that_are_hidden_or_protected_stay_so(workspace: Path) -> None:
    """Covered names are empty and can't be uncovered; a protected directory can't be changed, replaced or moved away."""
    sandbox = await open_bubblewrap(clock=SystemClock())
    for name in (".life", ".git"):
        (workspace / name).mkdir()
    (workspace / ".life" / "journal.db").write_text(SECRET)
    (workspace / ".git" / "hooks").mkdir()
    (workspace / ".git" / "config").write_text("as it was")
    (workspace / "trap").symlink_to("/etc")
    script = """
        cat .life/journal.db; ls -A .life; umount .life; rm -rf .life; mv .life elsewhere; echo x > .life/new
        echo evil > .git/hooks/pre-commit; echo evil >> .git/config; mv .git/hooks .git/h; rm -rf .git/hooks; mv .git g; rm .git/config
        echo fine > .git/index; ls .git; cat .git/config
    """
    ran = await sandbox.run(
        SandboxCommand(
            argv=("/bin/bash", "-c", script),
            workspace=str(workspace),
            hidden=(".life", "missing", "trap"),
            read_only=(".git/hooks", ".git/config", "trap"),
        )
    )
    assert SECRET not in said(ran)
    assert (workspace / ".life" / "journal.db").read_text() == SECRET
    assert list((workspace / ".git" / "hooks").iterdir()) == []
    assert (workspace / ".git" / "config").read_text() == "as it was"
    assert (workspace / ".git" / "index").read_text() == "fine\n"


PTRACE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
pid = int(sys.argv[1])
print('attach', libc.ptrace(16, pid, 0, 0))
local = (ctypes.c_char * 16)()
vec = (ctypes.c_void_p * 2)(ctypes.addressof(local), 16)
print('readv', libc.process_vm_readv(pid, vec, 1, vec, 1, 0))
print('writev', libc.process_vm_writev(pid, vec, 1, vec, 1, 0))
print('pidfd', libc.syscall(434, pid, 0))
"""


async def test_a_process_outside_can_not_be_traced_read_or_killed(confining: Sandbox, workspace: Path) -> None:
    """By its number, by its group, by all numbers; this process and one beside it live on."""
    (workspace / "trace.py").write_text(PTRACE)
    victim = subprocess.Popen(["/bin/sleep", "300"], start_new_session=True, env={})
    try:
        script = f"python3 trace.py {victim.pid}; kill -9 {victim.pid}; kill -9 -{victim.pid}; kill -9 {os.getpid()}; kill -9 $PPID; kill -9 -1; kill -9 1"
        ran = await run_bash(confining, workspace, script)
        lines = ran.stdout.kept.decode()
        assert "attach 0" not in lines
        assert "readv 16" not in lines
        assert "writev 16" not in lines
        await asyncio.sleep(0.05)
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


SOCKETS = """
import socket, sys
port, abstract, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
def attempt(words, act):
    try:
        act(); print('REACHED', words)
    except OSError as failure:
        print('refused', words, failure.errno)
def tcp(address, family=socket.AF_INET):
    with socket.socket(family) as s: s.settimeout(2); s.connect(address)
def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s: s.sendto(b'hello', ('127.0.0.1', port))
def unix(name):
    with socket.socket(socket.AF_UNIX) as s: s.connect(name)
attempt('loopback', lambda: tcp(('127.0.0.1', port)))
attempt('v6', lambda: tcp(('::1', port), socket.AF_INET6))
attempt('mapped', lambda: tcp(('::ffff:127.0.0.1', port), socket.AF_INET6))
attempt('elsewhere', lambda: tcp(('192.0.2.1', 80)))
attempt('name', lambda: socket.getaddrinfo('example.com', 443))
attempt('abstract', lambda: unix(chr(0) + abstract))
attempt('path', lambda: unix(path))
for words, family, kind, protocol in (('icmp', 2, 3, 1), ('raw6', 10, 3, 58), ('packet', 17, 3, 768), ('vsock', 40, 1, 0), ('alg', 38, 5, 0), ('sctp', 2, 10, 0)):
    attempt(words, lambda: socket.socket(family, kind, protocol).close())
try: udp()
except OSError: pass
"""


async def test_no_way_to_any_socket_outside(confining: Sandbox, workspace: Path) -> None:
    """TCP, UDP, IPv6, names, raw and exotic sockets, and Unix sockets of the host by path and by abstract name."""
    (workspace / "sockets.py").write_text(SOCKETS)
    abstract = f"life-attack-{os.getpid()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_UNIX) as filed,
    ):
        port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        named.bind(f"\0{abstract}")
        filed.bind(str(workspace.parent / "s"))
        for listener in (named, filed):
            listener.listen()
        ran = await run_bash(confining, workspace, f"python3 sockets.py {port} {abstract} {workspace.parent}/s")
        lines = ran.stdout.kept.decode().splitlines()
        assert len(lines) == 13, said(ran)
        assert not [line for line in lines if line.startswith("REACHED")]
        for one in (tcp, udp, named, filed):
            one.setblocking(False)
            with pytest.raises(BlockingIOError):
                one.recv(1) if one is udp else one.accept()


ESCAPES = """
import ctypes, fcntl, os, sys, termios
libc = ctypes.CDLL(None, use_errno=True)
def call(words, *arguments):
    answer = libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    print('ALLOWED' if answer >= 0 else 'refused', words)
call('unshare user', 272, 0x10000000)
call('unshare mount', 272, 0x20000)
call('setns', 308, 0, 0)
call('mount', 165, b'none', b'/tmp', b'tmpfs', 0, 0)
call('umount', 166, b'/proc', 2)
call('pivot_root', 155, b'/', b'/tmp')
call('keyctl', 250, 0, -3, 1)
call('add_key', 248, b'user', b'life', b'x', 1, -3)
call('bpf', 321, 0, 0, 0)
call('perf', 298, 0, 0, -1, -1, 0)
call('io_uring', 425, 8, (ctypes.c_char * 120)())
call('userfaultfd', 323, 1)
call('open_by_handle', 304, -100, (ctypes.c_char * 64)(), 0)
call('kexec', 246, 0, 0, 0, 0)
call('init_module', 175, 0, 0, b'')
call('clone newuser', 56, 0x10000000 | 17, 0, 0, 0, 0)
call('clone3', 435, (ctypes.c_char * 88)(), 88)
call('mknod', 133, b'device', 0o60666, 0xFE00)
call('chroot', 161, b'/tmp')
call('sethostname', 170, b'evil', 4)
"""


async def test_system_calls_that_lead_out_are_refused(confining: Sandbox, workspace: Path) -> None:
    """Namespaces, mounts, keyrings, BPF, io_uring, handles, devices: none is to be had, by number, on x86-64."""
    if os.uname().machine != "x86_64":
        pytest.skip("the numbers in this test are those of x86-64")
    (workspace / "escapes.py").write_text(ESCAPES)
    ran = await run_bash(confining, workspace, "python3 escapes.py")
    lines = ran.stdout.kept.decode().splitlines()
    assert len(lines) == 20, said(ran)
    assert [line for line in lines if not line.startswith("refused")] == []


async def test_privileges_can_not_be_gained(confining: Sandbox, workspace: Path) -> None:
    """A set-user-id program gives nothing, and the kernel's settings stay as they are."""
    settings = {name: Path("/proc/sys/kernel", name).read_text() for name in ("core_pattern", "hostname", "pid_max")}
    script = """
        cp /bin/bash shell; chmod 4755 shell; ./shell -p -c 'cat /proc/self/status' | grep -E '^(CapEff|NoNewPrivs)'
        for name in core_pattern hostname pid_max modprobe; do echo '|evil' > /proc/sys/kernel/$name; done
        echo 1 > /proc/sys/vm/drop_caches; echo c > /proc/sysrq-trigger; echo -1000 > /proc/self/oom_score_adj
        ulimit -n unlimited; ulimit -c unlimited; ulimit -c
    """
    ran = await run_bash(confining, workspace, script)
    assert b"NoNewPrivs:\t1" in ran.stdout.kept
    assert b"CapEff:\t0000000000000000" in ran.stdout.kept
    assert ran.stdout.kept.splitlines()[-1] == b"0"
    assert {name: Path("/proc/sys/kernel", name).read_text() for name in settings} == settings


async def test_a_terminal_can_not_be_fed(confining: Sandbox, workspace: Path) -> None:
    """The command has no controlling terminal, and TIOCSTI is refused."""
    script = "python3 -c 'import fcntl; fcntl.ioctl(0, 0x5412, b\"x\")'; exec 3<>/dev/tty; tty"
    ran = await run_bash(confining, workspace, script)
    assert b"not a tty" in ran.stdout.kept
    assert ran.stderr.kept.count(b"Error") >= 1


async def test_children_that_ignore_every_signal_end_with_the_time(confining: Sandbox, workspace: Path) -> None:
    """The limit holds within a second of slack, for children in sessions of their own as well."""
    script = "trap '' TERM INT HUP QUIT; for i in 1 2 3; do (trap '' TERM; setsid sleep 16180) & done; while :; do sleep 16180; done"
    ran = await run_bash(confining, workspace, script, limits=SandboxLimits(wall_time_ms=500))
    assert ran.stopped == "time"
    assert 500 <= ran.duration_ms < 2000
    assert alive_with("16180") == []


async def test_a_command_that_kills_its_supervisor_does_not_get_away(workspace: Path) -> None:
    """Plain processes can kill what watches them; where control groups are there, what is left is ended all the same."""
    sandbox = await open_process(clock=SystemClock())
    if "memory_limit_of_all" in sandbox.description.gaps:
        pytest.skip("there are no control groups here")
    ran = await run_bash(sandbox, workspace, "(setsid sleep 14142 &) ; kill -9 $PPID; sleep 14142")
    assert ran.exit_code == 128 + 9
    assert alive_with("14142") == []


DAEMON = """
import asyncio, sys
from pathlib import Path
from life.aios.ports.sandbox import SandboxCommand
from life.host.clock import SystemClock
from life.praxis.sandbox import bubblewrap, landlock, process
async def main():
    opened = {"bubblewrap": bubblewrap.open_bubblewrap, "landlock": landlock.open_landlock, "process": process.open_process}
    sandbox = await opened[sys.argv[1]](clock=SystemClock())
    script = "trap '' TERM; (setsid sleep 12345 &); echo up > up; while :; do sleep 12345; done"
    await sandbox.run(SandboxCommand(argv=("/bin/bash", "-c", script), workspace=sys.argv[2]))
asyncio.run(main())
"""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("bubblewrap", marks=pytest.mark.part("bubblewrap")),
        pytest.param("landlock", marks=pytest.mark.part("landlock")),
        "process",
    ],
)
def test_when_the_daemon_is_killed_its_commands_die(name: str, workspace: Path) -> None:
    """kill -9 leaves nobody to clean up; the kernel or the supervisor does it."""
    daemon = subprocess.Popen([sys.executable, "-c", DAEMON, name, str(workspace)])
    try:
        deadline = time.monotonic() + 20
        while not (workspace / "up").exists():
            assert time.monotonic() < deadline
            assert daemon.poll() is None
            time.sleep(0.02)
        assert alive_with("12345")
    finally:
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()
    deadline = time.monotonic() + 5
    while alive_with("12345"):
        assert time.monotonic() < deadline, alive_with("12345")
        time.sleep(0.02)
    with contextlib.suppress(OSError):
        (workspace / "up").unlink()


async def test_temporary_files_are_taken_away_whatever_their_permissions(confining: Sandbox, workspace: Path) -> None:
    """Directories that can't be entered, links to the outside; what the links point to stays."""
    (workspace.parent / "outside").mkdir()
    script = f"mkdir -p $TMPDIR/a/b; touch $TMPDIR/a/b/c; ln -s {workspace.parent}/outside $TMPDIR/a/l; chmod 0 $TMPDIR/a/b $TMPDIR/a; echo $TMPDIR"
    place = (await run_bash(confining, workspace, script)).stdout.kept.decode().strip()
    assert place == "/tmp" or not os.path.lexists(place)
    assert (workspace.parent / "outside").is_dir()
