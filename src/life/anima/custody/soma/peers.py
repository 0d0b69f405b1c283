"""Who is at the other end of a Unix socket, and whether a socket's place can be trusted (AN-SOMA-2).

The kernel says who connected: user, group and process when the connection was made (`SO_PEERCRED`), and every group of that
process (`SO_PEERGROUPS`). Nothing is looked up by name, so nothing can be out of date.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from pathlib import Path
from typing import Final, NamedTuple

from life.anima.errors import CustodyAuthFailedError, CustodyUnavailableError, InsecureFileError

_SO_PEERGROUPS: Final = 59
_CREDENTIALS: Final = struct.Struct("3i")
_GROUPS_BYTES: Final = 1024
"""The most that Python's `getsockopt` reads: a process in more than 256 groups can't be judged, and is refused."""


class Peer(NamedTuple):
    """The process at the other end, as it was when it connected."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int]
    """Every group it was in, the first one too."""


def peer_of(connection: socket.socket) -> Peer:
    """The peer of a connected Unix socket. CustodyAuthFailedError when the kernel does not say."""
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, gid = _CREDENTIALS.unpack(raw)
        groups = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    except (OSError, struct.error):
        raise CustodyAuthFailedError("The system does not say who connected.") from None
    if uid < 0 or gid < 0:
        raise CustodyAuthFailedError("The system does not say who connected.")
    return Peer(pid, uid, gid, frozenset({gid, *struct.unpack(f"{len(groups) // 4}I", groups)}))


def check_folder(folder: Path) -> None:
    """InsecureFileError unless only root or this process's user can put something into `folder`, or replace it."""
    try:
        path = folder.resolve(strict=True)
        _check_step(path, path.stat(), sticky_is_enough=False)
        for above in path.parents:
            _check_step(above, above.stat(), sticky_is_enough=True)
    except OSError as error:
        raise CustodyUnavailableError(f"The folder {folder} can't be used: {error.strerror}.") from None


def check_socket(path: Path) -> int:
    """The user who owns the socket at `path`. CustodyUnavailableError without one; InsecureFileError when it is something
    else, belongs to a user who is neither root nor the folder's owner, is open to everybody, or lies where anybody could
    have put it."""
    try:
        status, folder = path.stat(follow_symlinks=False), path.parent.stat()
    except OSError as error:
        raise CustodyUnavailableError(
            f"There is no oracle at {path}: {error.strerror}.", next_step=f"Start it: somad --socket {path}"
        ) from None
    if not stat.S_ISSOCK(status.st_mode):
        raise InsecureFileError(f"{path} is not a socket.")
    if status.st_uid not in (0, os.geteuid(), folder.st_uid):
        raise InsecureFileError(f"The socket {path} belongs to user {status.st_uid}, who does not own its folder.")
    if status.st_mode & 0o007:
        raise InsecureFileError(f"The socket {path} is open to every user of this machine.")
    if folder.st_mode & 0o002 or (folder.st_uid not in (0, status.st_uid)):
        raise InsecureFileError(f"Any user could put a socket into {path.parent}, so the one there is not trusted.")
    return status.st_uid


def _check_step(path: Path, status: os.stat_result, *, sticky_is_enough: bool) -> None:
    if status.st_uid not in (0, os.geteuid()):
        raise InsecureFileError(f"The folder {path} belongs to another user, who could replace the socket.")
    if status.st_mode & 0o022 and not (sticky_is_enough and status.st_mode & stat.S_ISVTX):
        raise InsecureFileError(
            f"Other users may write into {path}, so they could replace the socket.",
            next_step=f"chmod go-w {path}",
        )
