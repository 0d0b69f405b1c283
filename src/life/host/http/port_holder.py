"""Who listens on a port that we wanted, and which one is free instead.

Linux tells by `/proc`: the listening sockets of the machine with their inodes, and each process's open files. Of other users' processes
only that they exist can be seen; elsewhere than on Linux nothing is said. Nothing is asked of the port itself.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

_LISTENING: Final = "0A"
_TABLES: Final = ("tcp", "tcp6")
_TRIED: Final = 50
_MOST_CHARACTERS: Final = 80


class Holder(NamedTuple):
    """A process that listens."""

    process_id: int
    command: str
    """Its command line, cut short."""

    def __str__(self) -> str:
        return f"process {self.process_id} ({self.command})"


def holder_of(port: int, proc: Path = Path("/proc")) -> Holder | None:
    """The process that listens on this port of the machine; None when nobody can tell."""
    inodes = set(_listening(port, proc))
    if not inodes:
        return None
    wanted = {f"socket:[{inode}]" for inode in inodes}
    with suppress(OSError):
        for entry in proc.iterdir():
            if entry.name.isdigit() and _holds(entry, wanted):
                return Holder(int(entry.name), _command(entry))
    return None


def next_free(host: str, port: int, family: socket.AddressFamily) -> int | None:
    """The first port after this one that can be listened on now; None when the next fifty are taken."""
    for candidate in range(port + 1, min(port + 1 + _TRIED, 65_536)):
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host, candidate))
            except OSError:
                continue
            return candidate
    return None


def _listening(port: int, proc: Path) -> Iterator[str]:
    """The inodes of the sockets that listen there (proc(5): `local_address` is hex, `st` the state)."""
    for table in _TABLES:
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _holds(process: Path, wanted: set[str]) -> bool:
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:
        return False  # another user's, or gone
    for descriptor in descriptors:
        with suppress(OSError):
            if str(descriptor.readlink()) in wanted:
                return True
    return False


def _command(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "unknown"
    plain = "".join(character if character.isprintable() else " " for character in words).strip() or "unknown"
    return plain if len(plain) <= _MOST_CHARACTERS else plain[:_MOST_CHARACTERS] + "…"
