"""The directory of a wallet, a shop or a facilitator."""

from __future__ import annotations

from pathlib import Path

import pytest

from life.host.data_directory import DataDirectory
from life.host.errors import DataDirectoryError, DataDirectoryLockedError
from life.host.haima_directory import default_directory, lock_directory, open_directory


def test_it_is_private_and_kept_out_of_repositories(tmp_path: Path) -> None:
    """Mode 0700, also of the folder above that it had to make; the same .gitignore as a project's data directory."""
    root = open_directory(tmp_path / ".life" / "shop-4021")
    assert root.stat().st_mode & 0o777 == 0o700
    assert root.parent.stat().st_mode & 0o777 == 0o700
    DataDirectory.create(tmp_path / "project")
    assert (root / ".gitignore").read_text() == (tmp_path / "project" / ".gitignore").read_text()


def test_what_is_there_stays_as_it_is(tmp_path: Path) -> None:
    """Opening again changes nothing, and an existing folder gets no .gitignore."""
    (tmp_path / "there").mkdir(mode=0o755)
    open_directory(tmp_path / "there")
    assert not list((tmp_path / "there").iterdir())
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o755


def test_what_can_not_be_a_directory_is_refused(tmp_path: Path) -> None:
    """A file, something below a file, something that the system does not allow."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/life")):
        with pytest.raises(DataDirectoryError):
            open_directory(path)


def test_one_daemon_of_a_name(tmp_path: Path) -> None:
    """The second is refused until the first is gone; another daemon may work beside it."""
    with lock_directory(tmp_path, "shop"), lock_directory(tmp_path, "facilitator"):
        with pytest.raises(DataDirectoryLockedError):
            lock_directory(tmp_path, "shop")
    lock_directory(tmp_path, "shop").release()


def test_a_port_has_a_directory_of_its_own() -> None:
    """So two daemons on two ports don't get into each other's way."""
    assert default_directory(Path(".life"), "shop", 4021) == Path(".life/shop-4021")
