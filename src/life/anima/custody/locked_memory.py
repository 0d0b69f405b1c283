"""Memory for secrets: one private page each, kept out of swap and core dumps where the system allows, wiped on release.

Python cannot promise that no other copy exists (AN-KEY-3): libraries copy, registers spill, pages move. What can be done is
done: the secret lies in an anonymous mapping of its own, so locking or wiping it touches nothing else, it is handed to
C code in place, and it is overwritten when its owner closes or is collected. A process that was forked off sees zeros.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Final, NoReturn

from life.crypto.wiping import wipe

_MADV_DONTDUMP: Final = 16
_MADV_WIPEONFORK: Final = 18


class LockedSecret:
    """A secret of a fixed length in a page of its own. It can't be printed, pickled or copied.

    `locked` says whether the system let us keep the page out of swap (RLIMIT_MEMLOCK may forbid it).
    """

    __slots__ = ("__weakref__", "_map", "_view", "locked")

    def __init__(self, secret: bytearray | memoryview) -> None:
        """Copy `secret` in; the caller's buffer stays the caller's to wipe."""
        length = memoryview(secret).nbytes
        self._map = mmap.mmap(-1, max(length, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.locked = _protect(self._map)
        self._view: memoryview | None = memoryview(self._map)[:length]
        self._view[:] = memoryview(secret).cast("B")

    @property
    def view(self) -> memoryview:
        """The secret in place. Hold it no longer than one call; ValueError after `wipe`."""
        if self._view is None:
            raise ValueError("the secret was wiped")
        return self._view

    @property
    def wiped(self) -> bool:
        """Whether the secret is gone."""
        return self._view is None

    def wipe(self) -> None:
        """Overwrite the secret. May be called again."""
        view, self._view = self._view, None
        if view is None:
            return
        wipe(view)
        try:
            view.release()
        except BufferError:  # a call in another thread still holds it; what it sees is zeros
            pass

    def __del__(self) -> None:
        # Absent when __init__ failed half way.
        if getattr(self, "_view", None) is not None:
            self.wipe()

    def __repr__(self) -> str:
        return "<secret wiped>" if self._view is None else "<secret>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")


def _protect(page: mmap.mmap) -> bool:
    """Keep the page out of swap, dumps and forked children as far as the system allows; True when it is out of swap."""
    if not sys.platform.startswith("linux"):
        return False
    for advice in (_MADV_DONTDUMP, _MADV_WIPEONFORK):
        try:
            page.madvise(advice)
        except OSError:  # an older kernel; the page is still usable
            pass
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    libc = ctypes.CDLL(None)
    return bool(libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(len(page))) == 0)
