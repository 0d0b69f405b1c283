"""Opening below a directory handle, with the kernel's word that nothing above it was touched.

Linux 5.6 and later: `openat2(2)` with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and RESOLVE_NO_MAGICLINKS; one call, no
window. Older kernels, and sandboxes that filter the call: the same rule by hand, each component opened relative to the
handle of the one before with O_NOFOLLOW. Both refuse every symbolic link, in every component, also the last and also
one that is being exchanged during the call, because a component is looked up and opened in one step.

What this can't see: a hard link to a file elsewhere on the same filesystem (only somebody who may already read that
file can make one), a bind mount that the operator placed inside, and a directory that somebody with rights outside
moves away between opening and use.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from typing import Final

_SYS_OPENAT2: Final = 437  # the same number on every architecture that CPython supports on Linux but Alpha
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_NO_SYMLINKS: Final = 0x04
_RESOLVE_BENEATH: Final = 0x08
_RESOLVE: Final = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
_MAX_RETRIES: Final = 16
"""openat2 answers EAGAIN when a rename crossed the lookup and asks the caller to try again."""


class _OpenHow(ctypes.Structure):
    """`struct open_how` of linux/openat2.h."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@functools.cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    library.syscall.argtypes = (
        ctypes.c_long,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.POINTER(_OpenHow),
        ctypes.c_size_t,
    )
    return library


def open_with_openat2(root_fd: int, path: str, flags: int) -> int:
    """One `openat2` call. OSError as the kernel says; ENOSYS where the call does not exist."""
    how = _OpenHow(flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0, _RESOLVE)
    library = _libc()
    encoded = os.fsencode(path)
    for _ in range(_MAX_RETRIES):
        opened = library.syscall(_SYS_OPENAT2, root_fd, encoded, ctypes.byref(how), ctypes.sizeof(how))
        if opened >= 0:
            return int(opened)
        if (code := ctypes.get_errno()) not in (errno.EAGAIN, errno.EINTR):
            raise OSError(code, os.strerror(code))
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def open_with_walk(root_fd: int, path: str, flags: int) -> int:
    """Component by component, each with O_NOFOLLOW relative to the one before. OSError as the kernel says."""
    *parents, last = path.split("/")
    current = root_fd
    try:
        for name in parents:
            below = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=current)
            if current != root_fd:
                os.close(current)
            current = below
        return os.open(last, flags | os.O_NOFOLLOW, dir_fd=current)
    finally:
        if current != root_fd:
            os.close(current)


@functools.cache
def kernel_has_openat2() -> bool:
    """Whether the call works here; asked once per process. Filters of containers answer ENOSYS or EPERM."""
    try:
        root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        os.close(open_with_openat2(root_fd, ".", os.O_PATH | os.O_DIRECTORY))
    except OSError:
        return False
    finally:
        os.close(root_fd)
    return True


def open_beneath(root_fd: int, path: str, flags: int) -> int:
    """A file descriptor of the canonical `path` below `root_fd`, close-on-exec. The caller closes it.

    OSError: ELOOP or ENOTDIR where a component is a symbolic link, otherwise as `open(2)`.
    """
    if kernel_has_openat2():
        return open_with_openat2(root_fd, path, flags)
    return open_with_walk(root_fd, path, flags)
