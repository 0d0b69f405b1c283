"""Opening below a handle: the kernel's call and the walk by hand keep the same rule."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from life.praxis.beneath import kernel_has_openat2, open_beneath, open_with_openat2, open_with_walk

Opener = Callable[[int, str, int], int]
READ = os.O_RDONLY | os.O_NONBLOCK


@pytest.fixture
def root_fd(root: Path) -> Iterator[int]:
    """A handle of the workspace."""
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture(params=[open_with_walk, *([open_with_openat2] if kernel_has_openat2() else [])])
def opened(request: pytest.FixtureRequest) -> Opener:
    """The walk by hand, and the kernel's call where there is one (Linux 5.6)."""
    chosen: Opener = request.param
    return chosen


def read(fd: int) -> bytes:
    """Up to 100 bytes, and close."""
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


def test_files_and_directories_below_open(root: Path, root_fd: int, opened: Opener) -> None:
    """A nested file, a directory and the root itself open; descriptors are not inherited."""
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "c").write_bytes(b"inside")
    assert read(opened(root_fd, "a/b/c", READ)) == b"inside"
    for path in (".", "a", "a/b"):
        fd = opened(root_fd, path, os.O_RDONLY | os.O_DIRECTORY)
        assert not os.get_inheritable(fd)
        os.close(fd)


@pytest.mark.parametrize(
    "path",
    ["file", "dir/file", "dangling", "self", "inner/file", "deep/dir/file", "proc/self/environ", "root/etc/hostname"],
)
def test_every_link_is_refused(path: str, tmp_path: Path, root: Path, root_fd: int, opened: Opener) -> None:
    """Links as last or as middle component, dangling, circular, absolute, relative, and links that stay inside."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"OUTSIDE")
    (root / "file").symlink_to(outside / "file")
    (root / "dir").symlink_to("../outside")
    (root / "dangling").symlink_to("../nothing")
    (root / "self").symlink_to("self")
    (root / "real").mkdir()
    (root / "real" / "file").write_bytes(b"inside")
    (root / "inner").symlink_to("real")
    (root / "deep").mkdir()
    (root / "deep" / "dir").symlink_to("../../outside")
    (root / "proc").symlink_to("/proc")
    (root / "root").symlink_to("/proc/self/root")
    with pytest.raises(OSError) as refused:
        os.close(opened(root_fd, path, READ))
    assert refused.value.errno in (errno.ELOOP, errno.ENOTDIR)


def test_missing_components_are_missing(root: Path, root_fd: int, opened: Opener) -> None:
    """A path to nothing is ENOENT, a file taken for a directory ENOTDIR."""
    (root / "file").write_bytes(b"")
    for path, code in (("none", errno.ENOENT), ("none/x", errno.ENOENT), ("file/x", errno.ENOTDIR)):
        with pytest.raises(OSError) as refused:
            os.close(opened(root_fd, path, READ))
        assert refused.value.errno == code


def test_no_descriptor_leaks(root: Path, root_fd: int, opened: Opener) -> None:
    """Success and failure at every depth leave no descriptor behind."""
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "link").symlink_to("/etc")
    before = len(os.listdir("/proc/self/fd"))
    for path in ("a/b", "a/b/none", "a/link/x", "none/b", "a/none/b"):
        with contextlib.suppress(OSError):
            os.close(opened(root_fd, path, READ))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_swapped_component_never_leads_out(tmp_path: Path, root: Path, root_fd: int, opened: Opener) -> None:
    """While a thread exchanges files and directories for links to the outside, no outside byte is ever read."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"OUTSIDE")
    (root / "door").mkdir()
    (root / "door" / "file").write_bytes(b"inside")
    (root / "last").write_bytes(b"inside")
    stop = threading.Event()
    swaps = 0

    def swap() -> None:
        nonlocal swaps
        while not stop.is_set():
            os.rename(root / "door", root / "kept")
            os.symlink(outside, root / "door")
            os.unlink(root / "door")
            os.rename(root / "kept", root / "door")
            os.symlink(outside / "file", root / "new")
            os.replace(root / "new", root / "last")
            (root / "new").write_bytes(b"inside")
            os.replace(root / "new", root / "last")
            swaps += 1

    thread = threading.Thread(target=swap)
    thread.start()
    seen: set[bytes | int | None] = set()
    deadline = time.monotonic() + 1.0
    try:
        while time.monotonic() < deadline:
            for path in ("door/file", "last"):
                try:
                    seen.add(read(opened(root_fd, path, READ)))
                except OSError as refused:
                    seen.add(refused.errno)
    finally:
        stop.set()
        thread.join()
    assert swaps > 50
    assert b"OUTSIDE" not in seen
    assert b"inside" in seen
    assert seen & {errno.ELOOP, errno.ENOTDIR}, "the race was never met; the test would prove nothing"


def test_the_kernel_call_is_preferred(root: Path, root_fd: int, opener: str) -> None:
    """`open_beneath` works with and without the kernel's call."""
    (root / "f").write_bytes(b"x")
    assert read(open_beneath(root_fd, "f", READ)) == b"x"
