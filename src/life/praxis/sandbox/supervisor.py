"""A program: run one command with limits and, if asked, inside Landlock, and leave nothing of it alive.

`supervisor.py CONFIG_FD STATUS_FD CONTROL_FD`. Uses nothing but the standard library and imports nothing of this package, because it runs
in an isolated interpreter. The configuration is JSON; the status is lines of JSON: `{"child-pid": n}` when the command's process exists,
`{"exit-code": n}` when it has ended, `{"setup-failed": errno}` when it never began. The command begins when a byte comes over the
control descriptor; when that descriptor ends, because the caller wants it so or is dead, everything is killed.

Orphans of the command come back to this process (PR_SET_CHILD_SUBREAPER, prctl(2)), whatever session or group they moved to, so no
descendant is ever lost. They are stopped before they are killed: what is stopped can't fork.
"""

# ruff: noqa: PTH112, PTH123, PTH208, S606 -- this program becomes another one, and starts without needless imports
from __future__ import annotations

import base64
import contextlib
import ctypes
import errno
import json
import os
import resource
import select
import signal
import struct
import sys

PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECCOMP_MODE_FILTER = 2
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446  # the same on every architecture
LANDLOCK_PATH_BENEATH = 1
CAPABILITY_VERSION_3 = 0x2008_0522

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def checked(answer: int) -> int:
    """A system call's answer, as an OSError when it is one."""
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def prctl(option: int, *values: int) -> None:
    """prctl(2) with whole numbers."""
    padded = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    checked(libc.prctl(ctypes.c_int(option), *padded))


def drop_capabilities() -> None:
    """Every capability, the bounding set included, so that no program brings one back (capabilities(7))."""
    for number in range(64):
        try:
            prctl(PR_CAPBSET_DROP, number)
        except OSError as failure:
            if failure.errno == errno.EINVAL:
                break  # beyond the last one
            if failure.errno == errno.EPERM:
                break  # not privileged: there is nothing to drop, and no_new_privs keeps it so
            raise
    with contextlib.suppress(OSError):
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    checked(libc.capset(header, bytes(24)))


def restrict_files(landlock: dict[str, object]) -> None:
    """A Landlock ruleset with the configured paths, enforced on this thread and what it starts (landlock(7))."""
    attributes = base64.b64decode(str(landlock["attributes"]))
    ruleset = checked(libc.syscall(LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0))
    rules = landlock["rules"]
    assert isinstance(rules, list)
    for path, access_directory, access_file in rules:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # this machine does not have it
        try:
            is_directory = os.path.isdir(f"/proc/self/fd/{fd}")
            rule = struct.pack("=Qi", access_directory if is_directory else access_file, fd)
            checked(libc.syscall(LANDLOCK_ADD, ruleset, LANDLOCK_PATH_BENEATH, rule, 0))
        finally:
            os.close(fd)
    checked(libc.syscall(LANDLOCK_RESTRICT, ruleset, 0))
    os.close(ruleset)


def filter_calls(filter_bytes: bytes) -> None:
    """Install a seccomp filter (seccomp(2))."""
    buffer = ctypes.create_string_buffer(filter_bytes, len(filter_bytes))
    program = struct.pack("HxxxxxxP", len(filter_bytes) // 8, ctypes.addressof(buffer))
    checked(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0))


def become(config: dict[str, object], go_fd: int, failure_fd: int) -> None:
    """In the child: take the limits on, wait for the word, and become the command. Returns only by an exception."""
    os.setsid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.read(go_fd, 1) != b"x":
        os._exit(125)
    os.chdir(str(config["directory"]))
    limits = config["limits"]
    assert isinstance(limits, dict)
    for name, value in limits.items():
        kind = getattr(resource, name)
        _, most = resource.getrlimit(kind)
        bounded = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(kind, (bounded, bounded))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    if config["drop_capabilities"]:
        drop_capabilities()
    if isinstance(config["landlock"], dict):
        restrict_files(config["landlock"])
    if config["seccomp"]:
        filter_calls(base64.b64decode(str(config["seccomp"])))
    argv, environment = config["argv"], config["environment"]
    assert isinstance(argv, list)
    assert isinstance(environment, dict)
    for signal_number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGXFSZ):
        signal.signal(signal_number, signal.SIG_DFL)
    os.set_inheritable(failure_fd, False)
    os.closerange(failure_fd + 1, 1 << 16)
    os.closerange(3, failure_fd)
    os.execve(argv[0], argv, environment)


def descendants(root: int) -> set[int]:
    """Process ids of everything below a process."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError):
                continue
            parents.setdefault(parent, []).append(int(name))
    found: set[int] = set()
    waiting = [root]
    while waiting:
        for child in parents.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def send(process_ids: set[int], number: int) -> None:
    """A signal to each that is still there."""
    for process_id in process_ids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process_id, number)


def reap() -> dict[int, int]:
    """Exit codes of all children that have ended, by process id; one entry for -1 when there is no child left."""
    ended: dict[int, int] = {}
    while True:
        try:
            process_id, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            ended[-1] = 0
            return ended
        if process_id == 0:
            return ended
        code = os.waitstatus_to_exitcode(status)
        ended[process_id] = code if code >= 0 else 128 - code


def end_all() -> None:
    """Stop all descendants until none is new, kill them, and do it again until there are none."""
    while -1 not in reap():
        stopped: set[int] = set()
        while new := descendants(os.getpid()) - stopped:
            send(new, signal.SIGSTOP)
            stopped |= new
        send(stopped, signal.SIGKILL)
        select.select([], [], [], 0.002)


def main(arguments: list[str]) -> int:
    """See the module."""
    config_fd, status_fd, control_fd = (int(text) for text in arguments)
    with open(config_fd, "rb") as file:
        config = json.loads(file.read())
    prctl(PR_SET_SUBREAPER, 1)
    go_read, go_write = os.pipe()
    failure_read, failure_write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for fd in (status_fd, control_fd, go_write, failure_read):
                os.close(fd)
            become(config, go_read, failure_write)
        except BaseException as failure:
            number = failure.errno if isinstance(failure, OSError) and failure.errno else errno.EINVAL
            os.write(failure_write, str(number).encode())
        os._exit(125)
    os.close(go_read)
    os.close(failure_write)
    for fd in (1, 2):  # the command alone holds the output, so that its end is the output's end
        os.close(fd)
    os.write(status_fd, json.dumps({"child-pid": child}).encode() + b"\n")
    handle = os.pidfd_open(child)
    waiting = {handle, control_fd}
    while True:
        ready, _, _ = select.select(waiting, [], [], 0.2)
        if control_fd in ready:
            if os.read(control_fd, 1) != b"x":
                break
            os.write(go_write, b"x")
        ended = reap()
        if child in ended:
            if told := os.read(failure_read, 16):  # at its end already: the command closed it, or the child died
                os.write(status_fd, json.dumps({"setup-failed": int(told)}).encode() + b"\n")
            os.write(status_fd, json.dumps({"exit-code": ended[child]}).encode() + b"\n")
            break
    end_all()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
