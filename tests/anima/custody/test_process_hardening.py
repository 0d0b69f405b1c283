"""Hardening a process that holds keys, tried on a process of its own."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import ctypes, resource
from life.anima.custody.process_hardening import harden_process
first = harden_process()
assert first == harden_process(), "it may be repeated"
dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)  # PR_GET_DUMPABLE
print(first.not_dumpable, first.no_core_files, dumpable, *resource.getrlimit(resource.RLIMIT_CORE))
"""


def test_not_dumpable_and_no_core_files() -> None:
    """Afterwards the kernel itself says so: not dumpable, core files of zero bytes, and no way back up."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout.split() == ["True", "True", "0", "0", "0"]
