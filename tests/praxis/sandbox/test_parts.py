"""Capturing output, marking starts, finding changes, filters and control groups: the parts by themselves."""

from __future__ import annotations

import asyncio
import os
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.ports.sandbox import SandboxCommand
from life.host.clock import SystemClock
from life.praxis.errors import SandboxError, SandboxUnavailableError
from life.praxis.sandbox import bubblewrap, control_groups, landlock, seccomp, start_marks, workspace_changes
from life.praxis.sandbox.bubblewrap import Bubblewrap, open_bubblewrap
from life.praxis.sandbox.capture import Capture, shown_text
from life.praxis.sandbox.landlock import open_landlock
from life.praxis.sandbox.probing import holds
from life.praxis.sandbox.process import open_process
from life.praxis.sandbox.start_marks import StartMarks
from life.praxis.sandbox.surroundings import environment
from life.praxis.sandbox.workspace_changes import changes_since, take_snapshot
from life.praxis.workspace import Workspace, WorkspacePolicy
from life.testing.clock import SeededEntropy


@given(st.lists(st.binary(max_size=50)), st.integers(0, 60), st.integers(0, 40))
def test_a_capture_is_the_beginning_and_the_end(pieces: list[bytes], kept_bytes: int, tail_bytes: int) -> None:
    """Whatever the pieces: the beginning up to the limit, then the end of what came after it, and the exact length."""
    capture = Capture(kept_bytes=kept_bytes, tail_bytes=tail_bytes)
    for piece in pieces:
        capture.add(piece)
    whole = b"".join(pieces)
    captured = capture.captured()
    assert captured.total_bytes == len(whole)
    assert captured.kept == whole[:kept_bytes]
    rest = whole[kept_bytes:]
    assert captured.tail == (rest[-tail_bytes:] if tail_bytes else b"")


@given(st.binary(max_size=400), st.integers(2, 100), st.integers(0, 300))
def test_shown_text_counts_what_it_leaves_out(whole: bytes, limit_bytes: int, more: int) -> None:
    """Whole when it fits; otherwise head, the number of missing bytes, tail. Any bytes make text."""
    capture = Capture(kept_bytes=limit_bytes + more, tail_bytes=limit_bytes // 2)
    capture.add(whole)
    text, cut = shown_text(capture.captured(), limit_bytes)
    assert cut is (len(whole) > limit_bytes)
    if cut:
        half = limit_bytes // 2
        assert text.startswith(whole[:half].decode(errors="replace"))
        assert text.endswith(whole[len(whole) - half :].decode(errors="replace"))
        assert f"[… {len(whole) - 2 * half} bytes left out …]" in text
    else:
        assert text == whole.decode(errors="replace")


def test_marks_tell_begun_from_not_begun(tmp_path: Path) -> None:
    """By session and key, for whoever opens the same directory later."""
    marks = StartMarks(tmp_path / "marks", SeededEntropy())
    book = marks.book("sess-1")
    assert marks.book("sess-1") == book
    marks.mark("sess-1", "key-1")
    later = StartMarks(tmp_path / "marks", SeededEntropy("other"))
    assert later.was_begun("sess-1", "key-1", book) is True
    assert later.was_begun("sess-1", "key-2", book) is False
    assert later.was_begun("sess-2", "key-1", book) is None


def test_a_lost_or_other_record_tells_nothing(tmp_path: Path) -> None:
    """A file that was made anew has another name, so nothing is concluded from what it lacks."""
    marks = StartMarks(tmp_path / "marks", SeededEntropy())
    book = marks.book("sess-1")
    for file in (tmp_path / "marks").iterdir():
        file.unlink()
    assert marks.was_begun("sess-1", "key-1", book) is None
    assert marks.book("sess-1") != book
    assert marks.was_begun("sess-1", "key-1", book) is None


def test_marks_stay_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old ones are dropped, the latest stay, and the record keeps its name."""
    monkeypatch.setattr(start_marks, "_FOLD_AT_BYTES", 2000)
    monkeypatch.setattr(start_marks, "_KEPT", 20)
    marks = StartMarks(tmp_path, SeededEntropy())
    book = marks.book("s")
    for number in range(200):
        marks.mark("s", f"key-{number}")
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size <= 2000 + 33
    assert marks.was_begun("s", "key-199", book) is True
    assert marks.was_begun("s", "key-185", book) is True


def test_changes_are_what_another_command_really_did(tmp_path: Path) -> None:
    """Made, changed with the same size and time put back, replaced, removed; links, hidden names and .git left out."""
    for name in ("same", "edited", "removed"):
        (tmp_path / name).write_text("one")
    (tmp_path / ".git").mkdir()
    with Workspace(str(tmp_path), WorkspacePolicy()) as workspace:
        before = take_snapshot(workspace)
        script = """
            touch -r edited stamp; printf two > edited; touch -r stamp edited; rm stamp removed; mkdir -p deep/er; printf n > deep/er/new
            ln -s /etc/passwd link; mkfifo pipe; mkdir .life; printf x > .life/x; printf x > .git/HEAD; printf x > $(printf 'bad\\377')
        """
        subprocess.run(["/bin/bash", "-c", script], cwd=tmp_path, check=True)
        changes = changes_since(workspace, before)
    assert [(path, digest[:4]) for path, digest in changes.paths] == [
        ("deep/er/new", "1b16"),
        ("edited", "3fc4"),
        ("removed", "dele"),
    ]
    assert changes.notes == ()
    assert before.hidden == ()
    assert before.read_only == (".git/hooks", ".git/config")


def test_bounds_that_are_met_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many entries, too many changes, too much to hash: never silently."""
    monkeypatch.setattr(workspace_changes, "MAX_CHANGED", 3)
    monkeypatch.setattr(workspace_changes, "MAX_HASHED_BYTES", 10)
    with Workspace(str(tmp_path), WorkspacePolicy()) as workspace:
        before = take_snapshot(workspace)
        for number in range(5):
            (tmp_path / f"f{number}").write_text("x" * (20 if number == 1 else 1))
        changes = changes_since(workspace, before)
        assert [path for path, _ in changes.paths] == ["f0", "f2"]
        assert len(changes.notes) == 2
        monkeypatch.setattr(workspace_changes, "MAX_ENTRIES", 2)
        (tmp_path / "d").mkdir()
        assert "changes may be missing" in changes_since(workspace, before).notes[0]


def test_every_rule_of_the_filter_ends_inside_it() -> None:
    """Jumps stay within the program, every path ends in a return, and it is of a length the kernel takes."""
    for sockets in (True, False):
        program = seccomp.assemble(sockets=sockets)
        count = len(program) // 8
        assert count <= 4096
        for index, (code, if_true, if_false, _) in enumerate(struct.iter_unpack("=HBBI", program)):
            assert index + 1 + max(if_true, if_false) < count or code == 0x06
        assert program[-8:-6] == struct.pack("=H", 0x06)


def test_landlock_rules_name_no_more_than_they_should(tmp_path: Path) -> None:
    """Only the workspace and the temporary directory may be written, and no device may be made."""
    rules = landlock.rules_for(7, workspace=str(tmp_path / "w"), tmp=str(tmp_path / "t")).rules
    write = (1 << 1) | (1 << 4) | (1 << 5) | (1 << 7) | (1 << 8) | (1 << 14)
    writable = {path for path, below, _ in rules if below & write}
    assert writable == {str(tmp_path / "w"), str(tmp_path / "t")}
    assert all(below & ((1 << 6) | (1 << 11)) == 0 for _, below, _ in rules)


def test_an_environment_holds_what_was_given_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours is not looked at."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    made = environment({"GIVEN": "1"}, home="/h", tmp="/t", proxy=False)
    assert made["GIVEN"] == "1"
    assert "OPENAI_API_KEY" not in made
    assert not [name for name in made if "proxy" in name.lower()]
    assert environment({}, home="/h", tmp="/t", proxy=True)["https_proxy"] == "http://127.0.0.1:3128"


async def test_bubblewrap_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence and what to do."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SandboxUnavailableError) as refused:
        await open_bubblewrap(clock=SystemClock())
    assert refused.value.message == "The sandbox bubblewrap is not installed."
    assert "apt install bubblewrap" in (refused.value.next_step or "")


@pytest.mark.parametrize(
    ("says", "advice"),
    [
        (
            "bwrap: No permissions to create new namespace, likely because the kernel does not allow it",
            "user namespaces",
        ),
        ("bwrap: setting up uid map: Permission denied", "user namespaces"),
        ("bwrap: Can't mount proc on /newroot/proc: Operation not permitted", "systempaths=unconfined"),
        ("bwrap: something new", "landlock"),
    ],
)
async def test_bubblewrap_that_is_there_but_forbidden(
    says: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usual trap: installed, and the kernel or the container says no. Its reason is told, with what helps."""
    fake = tmp_path / "bwrap"
    fake.write_text(f'#!/bin/sh\necho "{says}" >&2\nexit 1\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxUnavailableError) as refused:
        await open_bubblewrap(clock=SystemClock())
    assert says.removeprefix("bwrap: ") in refused.value.message
    assert advice in (refused.value.next_step or "")


@pytest.mark.part("bubblewrap")
async def test_a_setup_that_fails_is_not_taken_for_the_command(tmp_path: Path) -> None:
    """A mount that can't be made: an error that says nothing ran, and nothing did; no descriptor is lost."""
    sandbox = Bubblewrap("/usr/bin/bwrap", clock=SystemClock(), groups=None, system_paths=("/nonexistent",))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(SandboxError, match="did not run"):
            await sandbox.run(SandboxCommand(argv=("/bin/touch", "ran"), workspace=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) <= before + 1


@pytest.mark.part("bubblewrap")
async def test_a_command_may_say_what_bubblewrap_says(tmp_path: Path) -> None:
    """Words on standard error alone do not make an error of the sandbox."""
    sandbox = await open_bubblewrap(clock=SystemClock())
    command = SandboxCommand(argv=("/bin/bash", "-c", "echo 'bwrap: fake' >&2; exit 1"), workspace=str(tmp_path))
    ran = await sandbox.run(command)
    assert (ran.exit_code, ran.stderr.kept) == (1, b"bwrap: fake\n")


@pytest.mark.part("bubblewrap")
async def test_without_control_groups_limits_are_per_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the sandbox says what that leaves open."""
    monkeypatch.setattr(bubblewrap, "find_control_groups", lambda: None)
    sandbox = await open_bubblewrap(clock=SystemClock())
    assert "memory_limit_of_all" in sandbox.description.gaps
    assert ("process_limit" in sandbox.description.gaps) is (os.geteuid() == 0)
    command = SandboxCommand(argv=("/bin/bash", "-c", "ulimit -v"), workspace=str(tmp_path))
    assert (await sandbox.run(command)).stdout.kept == b"4194304\n"


async def test_a_kernel_without_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence and what to do; likewise for one that is too old."""
    for abi, words in ((0, "does not offer Landlock"), (2, "has Landlock ABI 2")):
        monkeypatch.setattr(landlock, "landlock_abi", lambda abi=abi: abi)
        with pytest.raises(SandboxUnavailableError, match=words):
            await open_landlock(clock=SystemClock())


async def test_what_a_killed_runtime_left_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the next start: directories of dead processes, not those of living ones, and nothing that is a link."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "outside").mkdir()
    (tmp_path / "life-sandbox-999999999-x" / "a").mkdir(parents=True)
    (tmp_path / f"life-sandbox-{os.getpid()}-x").mkdir()
    (tmp_path / "life-sandbox-999999999-y").symlink_to(tmp_path / "outside")
    await open_process(clock=SystemClock())
    assert sorted(place.name for place in tmp_path.iterdir()) == sorted(
        [f"life-sandbox-{os.getpid()}-x", "life-sandbox-999999999-y", "outside"]
    )


def test_control_groups_are_taken_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by doing; a group that is made and removed leaves no directory."""
    groups = control_groups.find_control_groups()
    if groups is None:
        return  # this user may not make any; the sandboxes then say so
    group = groups.make(control_groups.group_name(77), memory_bytes=1 << 26, processes=8)
    with subprocess.Popen(["/bin/sleep", "60"], env={}) as held:
        group.add(held.pid)
        assert group.end_all() is False
        assert held.wait() == -9
    assert group.end_all() is True
    group.remove()
    with pytest.raises(OSError):
        group.add(os.getpid())


@pytest.mark.part("bubblewrap")
def test_no_descriptor_is_passed_on_under_uvloop() -> None:
    """uvloop's own way to start a process leaves open what is not marked; ours does not use it."""
    uvloop = pytest.importorskip("uvloop")

    async def check() -> bool:
        return await holds(await open_bubblewrap(clock=SystemClock()), "no_inherited_files")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(check())
