"""A program: make a network of its own, listen there, hand the listening socket out, and become another program.

`enter_network.py SOCKET_FD PORT PROGRAM ARGUMENTS…`. Uses nothing but the standard library and imports nothing of this package, because it
runs in an isolated interpreter. On failure it says why on standard error and ends with 125.
"""

# ruff: noqa: S606 -- this program becomes another one, and starts without needless imports
from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys

CLONE_NEWUSER = 0x1000_0000
CLONE_NEWNET = 0x4000_0000
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 1


def unshare(flags: int) -> None:
    """unshare(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"unshare: {os.strerror(code)}")


def keep_own_ids(user: int, group: int) -> None:
    """In the new user namespace we are who we were (user_namespaces(7))."""
    for file, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        fd = os.open(f"/proc/self/{file}", os.O_WRONLY)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)


def raise_loopback() -> None:
    """Bring `lo` up (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        _, flags, _ = struct.unpack("16sH14s", fcntl.ioctl(control, SIOCGIFFLAGS, request))
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", flags | IFF_UP, b""))


def main(arguments: list[str]) -> int:
    """See the module."""
    door_fd, port, *program = arguments
    try:
        user, group = os.geteuid(), os.getegid()
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
        keep_own_ids(user, group)
        raise_loopback()
        with socket.socket(fileno=int(door_fd)) as door, socket.socket() as listener:
            listener.bind(("127.0.0.1", int(port)))
            listener.listen(64)
            socket.send_fds(door, [b"listening"], [listener.fileno()])
        os.execv(program[0], program)
    except OSError as failure:
        os.write(2, f"bwrap: no network of its own: {failure.strerror}\n".encode())
    return 125


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
