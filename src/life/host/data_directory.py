"""The data directory: where everything of a project lives.

    .life/
      journal.db      the journal
      blobs/          contents by their hash
      identity/       soul.json (public), seed.enc (0600)
      workspaces/     one directory per session, or a link to the operator's own
      token           the daemons' access token (0600)
      config.toml     settings
      arcand.lock     held by the daemon that works here; says its process and address
      .gitignore      keeps everything but config.toml and the public soul out of a repository

It is made with mode 0700. A daemon holds an advisory lock on its lock file for as long as it lives; the kernel drops
the lock when the process dies, so a crash leaves nothing to clean up.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from life.host.errors import DataDirectoryError, DataDirectoryLockedError

DEFAULT_NAME: Final = ".life"

_PAUSES_S: Final = (0.0, 0.05, 0.1)
"""Before each attempt to claim the lock."""

_GIT_IGNORE: Final = "*\n!.gitignore\n!config.toml\n!identity/\n!identity/soul.json\n"


@dataclass(frozen=True)
class DataDirectory:
    """Paths below one root. `create` makes the root."""

    root: Path

    @classmethod
    def create(cls, root: Path) -> Self:
        """The directory, made with mode 0700 when it is new; DataDirectoryError when that or writing fails."""
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            (root / "workspaces").mkdir(mode=0o700, exist_ok=True)
            if not (root / ".gitignore").exists():
                (root / ".gitignore").write_text(_GIT_IGNORE)
        except FileExistsError:
            raise DataDirectoryError(f"{root} is not a directory.") from None
        except OSError as error:
            raise DataDirectoryError(
                f"The data directory {root} can't be made: {error.strerror}.",
                next_step="Choose another one with --data-dir.",
            ) from None
        if not os.access(root, os.W_OK | os.X_OK):
            raise DataDirectoryError(
                f"The data directory {root} is not writable.", next_step="Choose another one with --data-dir."
            )
        return cls(root)

    @property
    def journal(self) -> Path:
        """The journal's database file."""
        return self.root / "journal.db"

    @property
    def identity(self) -> Path:
        """The folder of soul and seed."""
        return self.root / "identity"

    @property
    def token(self) -> Path:
        """The daemons' access token."""
        return self.root / "token"

    @property
    def blobs(self) -> Path:
        """Contents by their hash."""
        return self.root / "blobs"

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.root / "config.toml"

    def workspace(self, session_id: str) -> Path:
        """The directory of a session (whose id passed `check_path_id`), made when it is new."""
        path = self.root / "workspaces" / session_id
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def adopt_workspace(self, session_id: str, directory: Path) -> None:
        """Let a session (whose id passed `check_path_id`) work in a directory of the operator's, instead of one of its own.
        Before its first run; doing it again is fine. What lies below a `.life` in it stays out of the agent's reach.

        DataDirectoryError: no directory, one that holds this data directory in the open, or a session that has another.
        """
        target = directory.resolve()
        if not target.is_dir():
            raise DataDirectoryError(f"{directory} is not a directory.")
        data = self.root.resolve()
        if target == data or target.is_relative_to(data):
            raise DataDirectoryError(f"{directory} belongs to the data directory; agents don't work there.")
        if data.is_relative_to(target) and DEFAULT_NAME not in data.relative_to(target).parts:
            raise DataDirectoryError(
                f"The data directory {self.root} lies in {directory}, where the agent would see it.",
                next_step=f"Keep it outside, or call it {DEFAULT_NAME}: that name is hidden from agents.",
            )
        place = self.root / "workspaces" / session_id
        try:
            place.symlink_to(target, target_is_directory=True)
        except FileExistsError:
            if place.resolve() != target:
                raise DataDirectoryError(
                    f"Session {session_id} works in {place.resolve()} already.", next_step="Begin another session."
                ) from None

    def lock(self, daemon: str) -> DirectoryLock:
        """Claim the directory for one daemon of this name; DataDirectoryLockedError when one runs already."""
        return DirectoryLock(self.root / f"{daemon}.lock", daemon)

    def address_of(self, daemon: str) -> str | None:
        """The URL of the daemon of this name that works here, or None when none does.

        It is believed only while the lock is held, so that a token is never sent to whoever took over the port of a
        daemon that is gone.
        """
        try:
            descriptor = os.open(self.root / f"{daemon}.lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            _, _, address = os.pread(descriptor, 256, 0).decode(errors="replace").strip().partition(" ")
            return address or None
        else:
            return None
        finally:
            os.close(descriptor)


class DirectoryLock:
    """An advisory lock that lives as long as the process."""

    def __init__(self, path: Path, daemon: str) -> None:
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirectoryError(f"The lock file {path} can't be opened: {error.strerror}.") from None
        if not self._claim():
            holder = os.pread(self._descriptor, 256, 0).decode(errors="replace").split()
            os.close(self._descriptor)
            raise DataDirectoryLockedError(
                f"Another {daemon} (process {holder[0] if holder else 'unknown'}) already works in {path.parent}.",
                next_step="Stop it first, or choose another --data-dir.",
            ) from None
        self._write(f"{os.getpid()}\n")

    def publish(self, address: str) -> None:
        """Leave the daemon's URL where `DataDirectory.address_of` looks for it."""
        self._write(f"{os.getpid()} {address}\n")

    def _claim(self) -> bool:
        """Whether the lock is ours now; somebody who only asks for the address holds it for a moment."""
        for pause_s in _PAUSES_S:
            time.sleep(pause_s)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            return True
        return False

    def _write(self, text: str) -> None:
        with suppress(OSError):  # a full disk: the lock holds all the same, only nobody learns who has it
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text.encode(), 0)

    def release(self) -> None:
        """Let the next daemon in."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
