"""Settings for a process that holds keys: nobody attaches to it, and it leaves no core file (AN-KEY-3).

Daemons call `harden_process` before they open an identity. It cannot be undone for the life of the process.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final, NamedTuple

_PR_SET_DUMPABLE: Final = 4


class Hardening(NamedTuple):
    """What the system allowed."""

    not_dumpable: bool
    """Other processes of the same user can't attach to this one or read its memory (Linux only)."""
    no_core_files: bool


def harden_process() -> Hardening:
    """Turn off attaching and core files for this process. What the system does not offer is reported, not raised."""
    return Hardening(not_dumpable=_forbid_attaching(), no_core_files=_forbid_core_files())


def _forbid_attaching() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)


def _forbid_core_files() -> bool:
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        return False
    return True
