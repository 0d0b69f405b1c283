"""One rotation of an identity at a time on this machine: a lock on its folder, held while a rotator is open."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from life.aios.errors import ConflictError
from life.anima.errors import CustodyUnavailableError

LOCK_FILE: Final = ".rotation.lock"


class RotationLock:
    """Held from its making to `release`; the system releases it when the process ends."""

    def __init__(self, folder: Path) -> None:
        """ConflictError while another rotator of the identity in `folder` works; CustodyUnavailableError when the folder
        can't be used."""
        try:
            descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CustodyUnavailableError(f"{folder} can't be locked: {error.strerror}.") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise ConflictError(
                "Another process is rotating this identity's key.", next_step="Wait until it is done."
            ) from None
        self._descriptor = descriptor

    def release(self) -> None:
        """Let the next one in. May be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
