"""Directories and branches: promises of files/workspace.py."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from life.aios.errors import ConflictError, InvalidInputError, NotFoundError
from life.host.clock import SystemClock
from life.lago.errors import MergeConflictError
from life.lago.files.workspace import Workspace
from tests.lago.files.kit import Office, S, open_office


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with open_office(tmp_path / "blobs") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "work"
    (root / "a" / "deep").mkdir(parents=True)
    (root / "one.txt").write_text("one")
    (root / "a" / "deep" / "two.txt").write_text("two")
    return root


def workspace(office: Office, root: Path, branch: str = "main") -> Workspace:
    return Workspace(office.desk, office.blobs, SystemClock(), root, session_id=S, branch=branch)


async def test_what_is_in_the_directory_is_on_the_branch(office: Office, folder: Path) -> None:
    """Every file, in one batch of events that belong together; a second scan brings nothing."""
    looked = workspace(office, folder)
    taken = await looked.take_in()
    assert await office.files() == {"/one.txt": "one", "/a/deep/two.txt": "two"}
    assert [(change.change, change.path) for change in taken.changes] == [
        ("added", "/a/deep/two.txt"),
        ("added", "/one.txt"),
    ]
    records = [record async for record in _events(office)]
    assert len({record for _, record in records}) == 1
    again = await looked.take_in()
    assert (again.changes, again.sequence) == ((), taken.sequence)


async def test_changes_deletions_and_a_file_that_becomes_a_folder(office: Office, folder: Path) -> None:
    """Whatever becomes of the directory becomes of the branch."""
    looked = workspace(office, folder)
    await looked.take_in()
    (folder / "one.txt").unlink()
    (folder / "one.txt").mkdir()
    (folder / "one.txt" / "inner").write_text("now a folder")
    (folder / "a" / "deep" / "two.txt").unlink()
    (folder / "a" / "deep").rmdir()
    (folder / "a" / "deep").write_text("now a file")
    await looked.take_in()
    assert await office.files() == {"/one.txt/inner": "now a folder", "/a/deep": "now a file"}


async def test_same_size_and_time_within_two_seconds_is_read_again(office: Office, folder: Path) -> None:
    """A change that a coarse clock can't show is not missed."""
    looked = workspace(office, folder)
    before = (folder / "one.txt").stat()
    await looked.take_in()
    with (folder / "one.txt").open("r+") as file:
        file.write("eno")
    os.utime(folder / "one.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    await looked.take_in()
    assert (await office.files())["/one.txt"] == "eno"


async def test_an_unchanged_file_is_not_read_again(office: Office, folder: Path) -> None:
    """Old size, time and inode: its content is not opened (it could not be: nobody may)."""
    old = 1_000_000_000
    for path in (folder / "one.txt", folder / "a" / "deep" / "two.txt"):
        os.utime(path, (old, old))
    looked = workspace(office, folder)
    await looked.take_in()
    opened: list[str] = []
    original = os.open

    def spy(path: str | Path, flags: int, *arguments: int, dir_fd: int | None = None) -> int:
        opened.append(str(path))
        return original(path, flags, *arguments, dir_fd=dir_fd)

    os.open = spy  # type: ignore[assignment]
    try:
        (folder / "new.txt").write_text("new")
        opened.clear()
        await looked.take_in()
    finally:
        os.open = original
    assert "new.txt" in opened
    assert not {"one.txt", "two.txt"} & set(opened)


async def test_links_devices_and_foreign_names_stay_outside(office: Office, folder: Path, tmp_path: Path) -> None:
    """A link is not followed, not to a file, not to a folder, and a pipe does not stop the scan."""
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret.txt")
    (folder / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("not ours")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).write_text("no name")
    taken = await workspace(office, folder).take_in()
    assert set(await office.files()) == {"/one.txt", "/a/deep/two.txt"}
    assert taken.passed_over == ("/\\udcff", "/link", "/pipe", "/up")


async def test_both_sides_changed_a_file_and_nobody_loses(office: Office, folder: Path) -> None:
    """What the branch alone changed stays; what both changed is refused, with nothing stored."""
    looked = workspace(office, folder)
    await looked.take_in()
    await office.put("/agent.txt", "written by the agent")
    (folder / "person.txt").write_text("written by a person")
    await looked.take_in()
    both = await office.files()
    assert both["/agent.txt"] == "written by the agent"
    assert both["/person.txt"] == "written by a person"
    await office.put("/one.txt", "agent")
    (folder / "one.txt").write_text("person")
    before = await office.files()
    with pytest.raises(MergeConflictError) as refused:
        await looked.take_in()
    assert [conflict["path"] for conflict in refused.value.conflicts] == ["/one.txt"]
    assert await office.files() == before


async def test_written_out_and_taken_in_is_the_same(office: Office, folder: Path, tmp_path: Path) -> None:
    """A checkout has the very files, also those of an earlier event, and never writes over something."""
    taken = await workspace(office, folder).take_in()
    await office.put("/one.txt", "later")
    out = tmp_path / "out"
    await workspace(office, out).write_out(at=taken.sequence)
    assert (out / "one.txt").read_text() == "one"
    assert (out / "a" / "deep" / "two.txt").read_text() == "two"
    with pytest.raises(ConflictError):
        await workspace(office, out).write_out()
    target = tmp_path / "elsewhere"
    target.mkdir()
    (tmp_path / "by-link").symlink_to(target)
    with pytest.raises(ConflictError):
        await workspace(office, tmp_path / "by-link").write_out()
    with pytest.raises(NotFoundError):
        await Workspace(office.desk, office.blobs, SystemClock(), tmp_path / "no", session_id="nobody").write_out()
    assert not (tmp_path / "no").exists()


async def test_watching_tells_of_changes_until_it_is_stopped(office: Office, folder: Path) -> None:
    """The first scan at once, then one for what changes."""
    stop = asyncio.Event()
    seen: list[str] = []
    async with asyncio.timeout(60):
        async for taken in workspace(office, folder).watch(stop=stop):
            seen += [change.path for change in taken.changes]
            if "/fresh.txt" in seen:
                stop.set()
            elif not (folder / "fresh.txt").exists():
                (folder / "fresh.txt").write_text("fresh")
    assert (await office.files())["/fresh.txt"] == "fresh"


async def test_what_is_no_directory_is_refused(office: Office, folder: Path) -> None:
    """And nothing is deleted because of it."""
    looked = workspace(office, folder)
    await looked.take_in()
    with pytest.raises(InvalidInputError):
        await workspace(office, folder / "one.txt").take_in()
    folder.rename(folder.parent / "moved")
    with pytest.raises(InvalidInputError):
        await looked.take_in()
    assert set(await office.files()) == {"/one.txt", "/a/deep/two.txt"}


async def _events(office: Office) -> AsyncIterator[tuple[str, str | None]]:
    from life.aios.ports.journal import EventQuery

    for record in await office.journal.read(EventQuery(S, "main")):
        yield record.kind_name, record.correlation_id
