"""Private files: 0600 from creation, whole or not at all, and never read when others could have a hand in them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from life.anima.errors import InsecureFileError
from life.anima.private_files import (
    MAX_FILE_BYTES,
    FolderLock,
    make_private_folder,
    read_private,
    read_public,
    write_private,
    write_public,
)


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Every umask a shell may have set, and worse."""
    value: int = request.param
    before = os.umask(value)
    yield value
    os.umask(before)


def mode(path: Path) -> int:
    """Permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_mode_is_exact_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """Private files are 0600 and public ones 0644 under any umask."""
    write_private(tmp_path / "private", b"x")
    write_public(tmp_path / "public", b"x")
    assert mode(tmp_path / "private") == 0o600
    assert mode(tmp_path / "public") == 0o644


def test_the_file_is_private_before_it_has_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At no moment does a secret lie in a file that others may open, and the final name never holds a part."""
    seen: list[int] = []
    real_write = os.write

    def watching(descriptor: int, data: bytes) -> int:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        assert not (tmp_path / "secret").exists()
        return real_write(descriptor, data[:3])  # a disk that takes three bytes at a time

    monkeypatch.setattr(os, "write", watching)
    before = os.umask(0)
    try:
        write_private(tmp_path / "secret", b"0123456789")
    finally:
        os.umask(before)
    assert seen == [0o600] * 4
    assert read_private(tmp_path / "secret") == bytearray(b"0123456789")
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_left_over_parts_are_replaced(tmp_path: Path) -> None:
    """What a crash left behind, even as a planted link, is removed and never written through."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"keep")
    (tmp_path / "secret.new").symlink_to(victim)
    write_private(tmp_path / "secret", b"new")
    assert victim.read_bytes() == b"keep"
    assert read_private(tmp_path / "secret") == bytearray(b"new")
    (tmp_path / "secret.new").write_bytes(b"half")
    write_private(tmp_path / "secret", b"newer")
    assert read_private(tmp_path / "secret") == bytearray(b"newer")


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666, 0o777])
def test_files_that_others_may_use_are_refused(tmp_path: Path, bits: int) -> None:
    """Any permission for group or others is a refusal that names the repair."""
    path = tmp_path / "secret"
    write_private(path, b"x")
    path.chmod(bits)
    with pytest.raises(InsecureFileError) as refusal:
        read_private(path)
    assert "chmod 600" in str(refusal.value.next_step)


def test_links_and_other_things_are_refused(tmp_path: Path) -> None:
    """A link, a folder and a pipe are not read; a missing file is None."""
    write_private(tmp_path / "secret", b"x")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "folder").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("link", "folder", "pipe"):
        with pytest.raises(InsecureFileError):
            read_private(tmp_path / name)
    assert read_private(tmp_path / "missing") is None
    assert read_public(tmp_path / "missing") is None


def test_files_of_other_users_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A private file that belongs to another user is not read, even by root."""
    path = tmp_path / "secret"
    write_private(path, b"x")
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(InsecureFileError):
        read_private(path)


def test_huge_files_are_refused(tmp_path: Path) -> None:
    """A file far larger than anything stored here is not read into memory."""
    path = tmp_path / "secret"
    write_private(path, b"x")
    os.truncate(path, MAX_FILE_BYTES + 1)
    with pytest.raises(InsecureFileError):
        read_private(path)


def test_folders_are_private(tmp_path: Path) -> None:
    """New folders are 0700; an existing one keeps its mode; a file in the way is an error."""
    make_private_folder(tmp_path / "a" / "b")
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o700
    (tmp_path / "open").mkdir(mode=0o755)
    make_private_folder(tmp_path / "open")
    assert mode(tmp_path / "open") == 0o755
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InsecureFileError):
        make_private_folder(tmp_path / "file")


def test_lock_excludes_threads(tmp_path: Path) -> None:
    """Threads of one process take turns."""
    inside, most = 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            with FolderLock(tmp_path):
                with guard:
                    inside += 1
                    most = max(most, inside)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_lock_ends_with_its_process(tmp_path: Path) -> None:
    """A process that dies while it holds the lock does not keep the others out."""
    program = (
        "import os, sys; from pathlib import Path; from life.anima.private_files import FolderLock\n"
        "FolderLock(Path(sys.argv[1])).__enter__(); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert ended.returncode == -9
    with FolderLock(tmp_path):
        pass
