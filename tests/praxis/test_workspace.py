"""The workspace boundary: reads and atomic writes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from life.aios.errors import ToolError
from life.praxis.errors import (
    FileAccessError,
    FileChangedError,
    OutsideWorkspaceError,
    PathNotFoundError,
    PolicyViolationError,
    TooLargeError,
    WorkspaceUnavailableError,
    WriteQuotaError,
    WrongFileKindError,
)
from life.praxis.file_locks import FILE_LOCKS
from life.praxis.workspace import TEMPORARY_PREFIX, Workspace, WorkspacePolicy

pytestmark = pytest.mark.usefixtures("opener")


@pytest.fixture
def workspace(root: Path) -> Iterator[Workspace]:
    """The workspace under the default policy."""
    with Workspace(str(root), WorkspacePolicy()) as opened:
        yield opened


def read(workspace: Workspace, path: str) -> bytes:
    """A file's first 100 bytes."""
    with workspace.open_file(path) as opened:
        return opened.read_up_to(100)


def names(directory: Path) -> list[str]:
    """Entries of a directory."""
    return sorted(os.listdir(directory))


def test_a_missing_workspace_is_named_without_its_place(tmp_path: Path) -> None:
    """A session directory that does not exist, or is a file, is an error without a host path."""
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(WorkspaceUnavailableError) as refused:
            Workspace(str(place), WorkspacePolicy())
        assert str(tmp_path) not in refused.value.message
    for text in ("", ".", "relative", "/nul\0"):
        with pytest.raises(WorkspaceUnavailableError):
            Workspace(text, WorkspacePolicy())


def test_reading(root: Path, workspace: Workspace) -> None:
    """Content, offsets and digests of regular files; nothing there is None for the digest."""
    (root / "d").mkdir()
    (root / "d" / "f").write_bytes(b"0123456789")
    assert read(workspace, "d/f") == b"0123456789"
    with workspace.open_file("d/f") as opened:
        assert opened.size_bytes == 10
        assert opened.read_up_to(3, 8) == b"89"
        assert opened.read_up_to(3, 20) == b""
    assert workspace.content_sha256("d/f") == hashlib.sha256(b"0123456789").hexdigest()
    assert workspace.content_sha256("d/none") is None
    assert (workspace.size_bytes("d/f"), workspace.size_bytes("d/none")) == (10, None)
    assert workspace.content_sha256("none/none") is None


def test_large_reads_come_in_one_piece(root: Path, workspace: Workspace) -> None:
    """More than one block is joined in order."""
    content = os.urandom(1_000_000)
    (root / "f").write_bytes(content)
    with workspace.open_file("f") as opened:
        assert opened.read_up_to(2_000_000) == content
        assert opened.read_up_to(600_000, 100_000) == content[100_000:700_000]


def make_fifo(path: Path) -> None:
    """A FIFO: opening one without O_NONBLOCK would wait for ever."""
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    """A Unix socket, made relative to its directory since socket paths are short."""
    bound = socket.socket(socket.AF_UNIX)
    here = os.open(".", os.O_PATH)
    os.chdir(path.parent)
    try:
        bound.bind(path.name)
    finally:
        os.fchdir(here)
        os.close(here)
        bound.close()


@pytest.mark.parametrize("make", [make_fifo, make_socket])
def test_special_files_are_refused_at_once(make: Callable[[Path], None], root: Path, workspace: Workspace) -> None:
    """FIFOs and sockets are neither read nor replaced, and nothing waits for their other end."""
    make(root / "special")
    with pytest.raises(WrongFileKindError):
        read(workspace, "special")
    with pytest.raises(WrongFileKindError):
        workspace.content_sha256("special")
    with pytest.raises(WrongFileKindError):
        workspace.replace_file("special", b"x", tag="t")
    with pytest.raises(WrongFileKindError):
        workspace.replace_file("special/below", b"x", tag="t")
    assert names(root) == ["special"]


def test_devices_are_refused(root: Path, workspace: Workspace) -> None:
    """A device node is no regular file. Where the test may not make one, the kernel's refusal is the promise."""
    try:
        os.mknod(root / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        assert names(root) == []
        return
    with pytest.raises((WrongFileKindError, FileAccessError)):  # a filesystem mounted nodev answers EACCES
        read(workspace, "null")
    with pytest.raises(WrongFileKindError):
        workspace.replace_file("null", b"x", tag="t")


def test_kinds_are_told_apart(root: Path, workspace: Workspace) -> None:
    """A directory for a file, a file for a directory, nothing at all: each has its own clear error."""
    (root / "d").mkdir()
    (root / "f").write_bytes(b"")
    with pytest.raises(WrongFileKindError, match="'d' is a directory"):
        read(workspace, "d")
    with pytest.raises(WrongFileKindError, match="'f' is a file, not a directory"):
        with workspace.open_directory("f"):
            pass
    with pytest.raises(WrongFileKindError, match="'f' is not a directory"):
        read(workspace, "f/x")
    with pytest.raises(WrongFileKindError):
        workspace.replace_file("f/x", b"", tag="t")
    with pytest.raises(WrongFileKindError):
        workspace.replace_file("d", b"", tag="t")
    with pytest.raises(WrongFileKindError):
        workspace.replace_file(".", b"", tag="t")
    with pytest.raises(PathNotFoundError, match="'none/x' does not exist"):
        read(workspace, "none/x")


def test_links_are_refused_without_a_word_about_the_outside(tmp_path: Path, root: Path, workspace: Workspace) -> None:
    """The same error whether the outside exists or not, no outside path in it, and nothing outside changes."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "there").write_bytes(b"OUTSIDE")
    texts: set[str] = set()
    for target in (outside / "there", outside / "not-there", Path("../outside/there"), Path("../outside/not-there")):
        (root / "link").symlink_to(target)
        for act in (
            lambda: read(workspace, "link"),
            lambda: workspace.content_sha256("link"),
            lambda: workspace.replace_file("link", b"x", tag="t"),
            lambda: workspace.replace_file("link/sub/file", b"x", tag="t"),
        ):
            with pytest.raises(OutsideWorkspaceError) as refused:
                act()
            texts.add(refused.value.message)
        (root / "link").unlink()
    assert texts == {"'link' is a symbolic link that may leave the workspace."}
    assert names(outside) == ["there"]
    assert (outside / "there").read_bytes() == b"OUTSIDE"
    assert names(root) == []


def test_a_link_that_stays_inside_says_where_to_go(root: Path, workspace: Workspace) -> None:
    """The gate judged the link's name, so the link is not followed; the model is told the path to ask for."""
    (root / "d").mkdir()
    (root / "d" / "real").write_bytes(b"x")
    (root / "d" / "link").symlink_to("real")
    with pytest.raises(OutsideWorkspaceError, match="points to 'd/real'"):
        read(workspace, "d/link")
    with pytest.raises(OutsideWorkspaceError):
        workspace.replace_file("d/link", b"y", tag="t")
    assert (root / "d" / "link").is_symlink()


def test_writing_creates_replaces_and_leaves_no_trace(root: Path, workspace: Workspace) -> None:
    """New file with new parents, then replaced; only the file remains."""
    first = workspace.replace_file("a/b/c.txt", b"one", tag="t")
    assert first == (hashlib.sha256(b"one").hexdigest(), True)
    second = workspace.replace_file("a/b/c.txt", b"two", tag="t")
    assert second == (hashlib.sha256(b"two").hexdigest(), False)
    assert (root / "a/b/c.txt").read_bytes() == b"two"
    assert names(root / "a/b") == ["c.txt"]


def test_mode_bits_are_kept_and_special_bits_are_not(root: Path, workspace: Workspace) -> None:
    """0755 stays 0755; set-user-id does not survive new content; a new file follows the umask."""
    (root / "f").write_bytes(b"")
    os.chmod(root / "f", 0o4751)
    workspace.replace_file("f", b"x", tag="t")
    assert stat.S_IMODE((root / "f").stat().st_mode) == 0o751
    before = os.umask(0o027)
    try:
        workspace.replace_file("new", b"x", tag="t")
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "new").stat().st_mode) == 0o640


def test_a_hard_link_elsewhere_keeps_its_content(tmp_path: Path, root: Path, workspace: Workspace) -> None:
    """A write replaces the name, never the bytes that another name may share."""
    (tmp_path / "outside").write_bytes(b"kept")
    os.link(tmp_path / "outside", root / "f")
    workspace.replace_file("f", b"new", tag="t")
    assert (tmp_path / "outside").read_bytes() == b"kept"


def test_what_a_killed_write_left_is_removed_by_the_same_call(tmp_path: Path, root: Path, workspace: Workspace) -> None:
    """A temporary file of the same call, even one replaced by a link to the outside, is removed and never followed."""
    (root / f"{TEMPORARY_PREFIX}t").symlink_to(tmp_path / "outside")
    workspace.replace_file("f", b"new", tag="t")
    assert names(root) == ["f"]
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("failing", ["write", "fsync", "rename"])
def test_a_failed_write_leaves_the_old_content(
    failing: str, root: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Disk full at any step: an error without a host path, the old file in place, no temporary file."""
    (root / "f").write_bytes(b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(root / "f"))

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(FileAccessError) as refused:
        workspace.replace_file("f", b"new", tag="t")
    monkeypatch.undo()
    assert refused.value.message == "'f': No space left on device."
    assert names(root) == ["f"]
    assert (root / "f").read_bytes() == b"old"


def test_hidden_and_read_only_names(root: Path, workspace: Workspace) -> None:
    """The data directory is closed at any depth and in any case of letters; `.git` is read but not changed."""
    (root / ".life").mkdir()
    (root / ".life" / "key").write_bytes(b"SECRET")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_bytes(b"x")
    (root / ".github").mkdir()
    for path in (".life", ".life/key", ".LIFE/key", "sub/.life/key"):
        for act in (
            lambda path=path: read(workspace, path),
            lambda path=path: workspace.content_sha256(path),
            lambda path=path: workspace.replace_file(path, b"x", tag="t"),
            lambda path=path: workspace.open_directory(path).__enter__(),
        ):
            with pytest.raises(PolicyViolationError):
                act()
    assert read(workspace, ".git/config") == b"x"
    for path in (".git/config", ".git/hooks/pre-commit", "sub/.git/config", ".Git/config"):
        with pytest.raises(PolicyViolationError):
            workspace.replace_file(path, b"x", tag="t")
    workspace.replace_file(".github/workflow", b"x", tag="t")
    assert names(root) == [".git", ".github", ".life"]


def test_limits(root: Path) -> None:
    """Content over the write limit and files over the file limit are refused before anything changes."""
    (root / "big").write_bytes(b"x" * 101)
    with Workspace(str(root), WorkspacePolicy(max_file_bytes=100, max_write_bytes=10)) as workspace:
        with pytest.raises(TooLargeError):
            workspace.replace_file("sub/new", b"x" * 11, tag="t")
        with pytest.raises(TooLargeError):
            workspace.replace_file("big", b"x", tag="t")
        with pytest.raises(TooLargeError):
            workspace.content_sha256("big")
        workspace.replace_file("new", b"x" * 10, tag="t")
    assert names(root) == ["big", "new"]


def test_permissions_of_the_system_hold(root: Path, workspace: Workspace) -> None:
    """What the system refuses is an error with the system's reason; a superuser is refused nothing."""
    (root / "f").write_bytes(b"x")
    os.chmod(root / "f", 0)
    if os.geteuid() == 0:
        assert read(workspace, "f") == b"x"
        return
    with pytest.raises(FileAccessError, match="Permission denied"):
        read(workspace, "f")


def test_concurrent_writers_never_mix(root: Path) -> None:
    """Four writers and a reader on one file: every read sees one writer's content, whole."""
    contents = [bytes([65 + number]) * (50_000 + number) for number in range(4)]
    (root / "f").write_bytes(contents[0])
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            with Workspace(str(root), WorkspacePolicy()) as workspace:
                for _ in range(15):
                    workspace.replace_file("f", contents[number], tag=f"writer{number}")
        except BaseException as failure:
            failures.append(failure)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    seen: set[bytes] = set()
    with Workspace(str(root), WorkspacePolicy()) as workspace:
        while any(writer.is_alive() for writer in writers):
            with workspace.open_file("f") as opened:
                seen.add(opened.read_up_to(100_000))
    for writer in writers:
        writer.join()
    assert failures == []
    assert seen <= set(contents)
    assert names(root) == ["f"]


def test_a_write_through_swapped_directories_never_lands_outside(tmp_path: Path, root: Path) -> None:
    """While a thread exchanges the parent for a link to the outside, nothing is ever created there."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "door").mkdir()
    stop = threading.Event()

    def swap() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            os.rename(root / "door", root / "kept")
            with contextlib.suppress(FileExistsError):  # the writer was faster and made a directory: that is inside
                os.symlink(outside, root / "door")
                time.sleep(0)
                os.unlink(root / "door")
            while True:
                try:
                    os.rename(root / "kept", root / "door")
                    break
                except OSError:  # the same, with a file in it already
                    turn += 1
                    os.rename(root / "door", root / f"grown-{turn}")

    thread = threading.Thread(target=swap)
    thread.start()
    outcomes: set[str] = set()
    deadline = time.monotonic() + 1.0
    try:
        with Workspace(str(root), WorkspacePolicy()) as workspace:
            while time.monotonic() < deadline:
                try:
                    workspace.replace_file("door/file", b"x", tag="t")
                    outcomes.add("written")
                except ToolError as refused:
                    outcomes.add(refused.code)
    finally:
        stop.set()
        thread.join()
    assert names(outside) == []
    assert "written" in outcomes
    assert "praxis.outside_workspace" in outcomes, "the race was never met; the test would prove nothing"


def test_acceptance_3_a_write_onto_a_name_that_becomes_a_link_never_lands_outside(tmp_path: Path, root: Path) -> None:
    """Acceptance 3: another process exchanges the file itself for a link to the outside; a rename replaces the link and
    never follows it, and a read never gets the other content."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_bytes(b"kept")
    script = """
import os, sys
target, name = sys.argv[1:]
print("ready", flush=True)
while True:
    for make in (lambda: os.symlink(target, name + ".new"), lambda: open(name + ".new", "w").close()):
        make()
        os.rename(name + ".new", name)
"""
    swapper = subprocess.Popen(
        [sys.executable, "-c", script, str(outside / "victim"), str(root / "f")], stdout=subprocess.PIPE
    )
    assert swapper.stdout is not None
    swapper.stdout.readline()
    outcomes: set[str] = set()
    deadline = time.monotonic() + 1.0
    try:
        with Workspace(str(root), WorkspacePolicy()) as workspace:
            while time.monotonic() < deadline:
                try:
                    workspace.replace_file("f", b"x", tag="t")
                    outcomes.add("written")
                    with workspace.open_file("f") as opened:
                        assert opened.read_up_to(100) in (b"", b"x")
                except ToolError as refused:
                    outcomes.add(refused.code)
    finally:
        swapper.kill()
        swapper.wait()
        swapper.stdout.close()
    assert (outside / "victim").read_bytes() == b"kept"
    assert names(outside) == ["victim"]
    assert {"written", "praxis.outside_workspace"} <= outcomes


def test_a_full_disk_leaves_the_old_file(root: Path) -> None:
    """The system ends a write in the middle (a limit on file size stands for a full disk): the old content is whole,
    and nothing is left beside it."""
    (root / "f").write_bytes(b"old")
    script = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from life.aios.errors import ToolError
from life.praxis.workspace import Workspace, WorkspacePolicy
with Workspace(sys.argv[1], WorkspacePolicy()) as workspace:
    for name in ("f", "new"):
        try:
            workspace.replace_file(name, b"x" * 200_000, tag="t")
        except ToolError as refused:
            print(refused.code, refused.message)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, str(root)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout.count("praxis.file_access") == 2, ended.stderr
    assert str(root) not in ended.stdout
    assert (root / "f").read_bytes() == b"old"
    assert names(root) == ["f"]


def test_what_must_stand_there_is_compared_last(root: Path, workspace: Workspace) -> None:
    """With `expected`, a file that is another by now, or gone, is left as it is."""
    (root / "f").write_bytes(b"old")
    digest = hashlib.sha256(b"old").hexdigest()
    workspace.replace_file("f", b"new", tag="t", expected=digest)
    for _ in range(2):
        with pytest.raises(FileChangedError):
            workspace.replace_file("f", b"newer", tag="t", expected=digest)
        assert names(root) in (["f"], [])
        (root / "f").unlink(missing_ok=True)
    assert names(root) == []


def test_written_bytes_have_a_quota(root: Path) -> None:
    """The sum of all writes, and what must stay free on the disk."""
    with Workspace(str(root), WorkspacePolicy(max_written_bytes=10)) as workspace:
        workspace.replace_file("f", b"123456", tag="t")
        with pytest.raises(WriteQuotaError):
            workspace.replace_file("g", b"12345", tag="t")
        workspace.replace_file("g", b"1234", tag="t")
    with (
        Workspace(str(root), WorkspacePolicy(min_free_bytes=1 << 60)) as workspace,
        pytest.raises(WriteQuotaError, match="nearly full"),
    ):
        workspace.replace_file("h", b"", tag="t")
    assert names(root) == ["f", "g"]


def test_hidden_names_in_every_spelling(root: Path) -> None:
    """Wildcards, upper case, and characters that some file systems take for plain ones."""
    policy = WorkspacePolicy(hidden_names=("*.pem", "secret", "key[0-9]"))
    for path in ("a/b.pem", "B.PEM", "SECRET/x", "x/\uff53ecret", "key7", "KEY7/y"):
        assert policy.hides(path), path
    for path in ("pem", "secrets", "keys", "a.pem.txt"):
        assert not policy.hides(path), path
    default = WorkspacePolicy()
    for path in (".life/identity", "x/.ssh/known_hosts", ".Life", "home/id_ed25519", ".git-credentials"):
        with pytest.raises(PolicyViolationError):
            default.check_read(path)
    default.check_read("id_ed25519.pub")
    for path in (".git/hooks/x", "sub/.GIT/config", ".git", f"d/{TEMPORARY_PREFIX}x"):
        with pytest.raises(PolicyViolationError):
            default.check_write(path)


def test_one_writer_at_a_time(root: Path) -> None:
    """A file's lock is held by one thread at a time, other files go on, and nothing is kept of a lock that is free."""
    inside, most = 0, 0

    def work(name: str) -> None:
        nonlocal inside, most
        with Workspace(str(root), WorkspacePolicy()) as workspace:
            for _ in range(50):
                with workspace.locked(name):
                    if name == "f":
                        inside += 1
                        most = max(most, inside)
                        time.sleep(0)
                        inside -= 1

    threads = [threading.Thread(target=work, args=(name,)) for name in ("f", "f", "f", "g")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert FILE_LOCKS.free
