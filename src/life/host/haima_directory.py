"""The directory in which a wallet, a shop or a facilitator keeps its journal.

    DIR/
      journal.db     the journal
      purchases/     one lock file per purchase that is under way (life.host.haima_purchases)
      token          a daemon's access token (0600), where it has one
      <name>.lock    held by the daemon that works here

It is made with mode 0700 and keeps itself out of repositories. A project's data directory (`.life`) is one of these, too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from life.host.data_directory import DirectoryLock
from life.host.errors import DataDirectoryError

JOURNAL_FILE: Final = "journal.db"

_GIT_IGNORE: Final = "*\n!.gitignore\n!config.toml\n!identity/\n!identity/soul.json\n"
"""What `DataDirectory` writes too, since a wallet's directory may become a project's."""


def open_directory(root: Path) -> Path:
    """The directory, made when it is missing; DataDirectoryError when it can't be made or written to."""
    try:
        is_new = not root.exists()
        root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        root.mkdir(mode=0o700, exist_ok=True)
        if is_new:
            (root / ".gitignore").write_text(_GIT_IGNORE)
    except FileExistsError:
        raise DataDirectoryError(f"{root} is not a directory.", next_step="Name another directory.") from None
    except OSError as error:
        raise DataDirectoryError(
            f"The directory {root} can't be made: {error.strerror}.", next_step="Name another directory."
        ) from None
    if not os.access(root, os.W_OK | os.X_OK):
        raise DataDirectoryError(f"The directory {root} is not writable.", next_step="Name another directory.")
    return root


def lock_directory(root: Path, daemon: str) -> DirectoryLock:
    """Claim the directory for one daemon of this name; DataDirectoryLockedError when one works there already."""
    return DirectoryLock(root / f"{daemon}.lock", daemon)


def default_directory(data_dir: Path, daemon: str, port: int) -> Path:
    """Where a daemon on this port keeps its journal when nobody says: `.life/<daemon>-<port>`."""
    return data_dir / f"{daemon}-{port}"
