"""Working copies of branches: laid out whole, recorded as they are, brought up to date without following a link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from life.aios import events
from life.aios.ports.working_copies import Position
from life.aios.record import EventWriter, Stream
from life.host.working_copies import BranchCopies
from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.store import BlobStore
from life.lago.files.view import FileView
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy

MAIN, IDEA = Stream("s"), Stream("s", "idea")


class Place:
    """A session `s` with a branch `idea`, and its copies."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.journal = MemoryJournal()
        self.clock = ManualClock()
        self.entropy = SeededEntropy("copies")
        self.main = root / "main"
        self.main.mkdir()
        self.idea = root / "branches" / "s" / "idea"
        self.copies = self.open()

    def open(self) -> BranchCopies:
        """Copies that know nothing yet, as after a restart."""
        blobs = BlobStore(DirectoryObjects(self.root / "blobs", self.entropy), self.entropy)
        return BranchCopies(
            self.journal,
            blobs,
            self.clock,
            self.entropy,
            agent_id="a",
            workspace_of=lambda session_id: self.main,
            branches=self.root / "branches",
        )

    async def append(self, stream: Stream, *kinds: events.Kind) -> None:
        writer = EventWriter(self.clock, self.entropy, agent_id="a", stream=stream)
        await self.journal.append([writer.event(kind) for kind in kinds])

    async def head(self, stream: Stream) -> int:
        return (await self.journal.head(stream)).sequence

    async def files(self, stream: Stream) -> list[str]:
        return list(await FileView(self.journal).manifest(*stream))

    async def fork(self) -> None:
        head = await self.head(MAIN)
        await self.append(IDEA, events.BranchCreated(new_branch_id="idea", fork_point_seq=head, name="idea"))


@pytest.fixture
async def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    await place.append(MAIN, events.SessionCreated(name="S"))
    return place


async def test_a_copy_is_laid_out_whole_or_not_at_all(place: Place) -> None:
    """What a crash left of an earlier attempt goes; a copy that is there is left alone."""
    (place.main / "a.txt").write_text("alpha")
    (place.main / "sub").mkdir()
    (place.main / "sub" / "b.txt").write_text("beta")
    await place.copies.keep(MAIN)
    await place.fork()
    partial = place.idea.with_name(".idea.partial")
    partial.mkdir(parents=True)
    (partial / "half").write_text("half")
    await place.copies.lay_out(IDEA)
    assert sorted(str(path.relative_to(place.idea)) for path in place.idea.rglob("*.*")) == ["a.txt", "sub/b.txt"]
    assert not partial.exists()
    (place.idea / "a.txt").write_text("mine")
    await place.open().lay_out(IDEA)
    assert (place.idea / "a.txt").read_text() == "mine"
    assert (place.main / "a.txt").read_text() == "alpha"


async def test_the_directory_is_right(place: Place) -> None:
    """What people added, changed and removed is recorded, also by a process that has not seen it before."""
    (place.main / "a.txt").write_text("one")
    (place.main / "b.txt").write_text("one")
    await place.copies.keep(MAIN)
    (place.main / "a.txt").write_text("two")
    (place.main / "b.txt").unlink()
    (place.main / "ü.txt").write_text("new")
    await place.open().keep(MAIN)
    assert await place.files(MAIN) == ["/a.txt", "/ü.txt"]
    head = await place.head(MAIN)
    await place.copies.keep(MAIN)
    assert await place.head(MAIN) == head
    await place.copies.keep(IDEA)  # a branch without a directory has nothing to keep


async def test_what_tools_wrote(place: Place) -> None:
    """Paths that a tool names become events with their contents stored; links, folders and ignored names do not."""
    outside = place.root / "outside"
    outside.write_text("secret")
    (place.main / "a.txt").write_text("alpha")
    (place.main / "link").symlink_to(outside)
    (place.main / "folder").mkdir()
    (place.main / "way").symlink_to(place.root)
    (place.main / ".git").mkdir()
    (place.main / ".git" / "config").write_text("x")
    os.mkfifo(place.main / "pipe")
    paths = ["a.txt", "./a.txt", "gone.txt", "link", "folder", "way/outside", ".git/config", "../outside", "pipe", ""]
    recorded = await place.copies.written(MAIN, paths)
    assert [type(kind).__name__ for kind in recorded.kinds] == ["FileWrite", "FileDelete"]
    assert recorded.stored is not None
    await recorded.stored
    await place.append(MAIN, *recorded.kinds)
    await place.fork()
    await place.copies.lay_out(IDEA)
    assert (place.idea / "a.txt").read_text() == "alpha"


async def test_bringing_a_copy_up_to_date(place: Place) -> None:
    """New, changed and removed files follow the journal; it may be repeated; what somebody changed is left and named."""
    for name in ("same", "changed", "removed", "touched", "dropped"):
        (place.main / name).write_text(name)
    (place.main / "changed").chmod(0o755)
    await place.copies.keep(MAIN)
    since = await place.head(MAIN)
    wanted = place.root / "wanted"
    wanted.mkdir()
    (wanted / "changed").write_text("new")
    (wanted / "touched").write_text("new")
    (wanted / "deep").mkdir()
    (wanted / "deep" / "added").write_text("added")
    other = BranchCopies(
        place.journal,
        place.copies._blobs,
        place.clock,
        place.entropy,
        agent_id="a",
        workspace_of=lambda session_id: wanted,
        branches=place.root / "unused",
    )
    recorded = await other.written(MAIN, ["changed", "touched", "deep/added", "removed", "dropped"])
    assert recorded.stored is not None
    await recorded.stored
    await place.append(MAIN, *recorded.kinds)
    (place.main / "touched").write_text("a person's")
    (place.main / "dropped").write_text("a person's")
    for _ in range(2):
        assert await place.open().place(MAIN, since) == ("/dropped", "/touched")
        assert (place.main / "changed").read_text() == "new"
        assert (place.main / "changed").stat().st_mode & 0o777 == 0o755
        assert (place.main / "deep" / "added").read_text() == "added"
        assert not (place.main / "removed").exists()
        assert (place.main / "touched").read_text() == "a person's"
        assert (place.main / "same").read_text() == "same"


async def test_no_link_leads_out(place: Place) -> None:
    """A folder or file that was swapped for a link is left alone; nothing is written or removed behind it."""
    (place.main / "folder").mkdir()
    (place.main / "folder" / "a").write_text("one")
    (place.main / "b").write_text("one")
    await place.copies.keep(MAIN)
    since = await place.head(MAIN)
    outside = place.root / "outside"
    outside.mkdir()
    (outside / "a").write_text("one")
    (outside / "b").write_text("one")
    before = await FileView(place.journal).manifest("s", "main", at=since)
    blob = before["/b"].blob_hash
    await place.append(
        MAIN,
        events.FileDelete(path="/folder/a"),
        events.FileDelete(path="/b"),
        events.FileWrite(path="/folder/new", blob_hash=blob, size_bytes=3),
    )
    (place.main / "folder" / "a").unlink()
    (place.main / "folder").rmdir()
    (place.main / "folder").symlink_to(outside)
    (place.main / "b").unlink()
    (place.main / "b").symlink_to(outside / "b")
    assert await place.copies.place(MAIN, since) == ("/b", "/folder/a", "/folder/new")
    assert sorted(path.name for path in outside.iterdir()) == ["a", "b"]


async def test_differences_of_positions(place: Place) -> None:
    """Added, removed, renamed and modified files; text as a diff, bytes without."""
    (place.main / "a.txt").write_text("one\n")
    (place.main / "old.txt").write_text("moves\n")
    (place.main / "data.bin").write_bytes(b"\0\1")
    await place.copies.keep(MAIN)
    then = await place.head(MAIN)
    (place.main / "a.txt").write_text("two\n")
    (place.main / "old.txt").rename(place.main / "new.txt")
    (place.main / "data.bin").write_bytes(b"\0\2")
    await place.copies.keep(MAIN)
    found = await place.copies.differences(Position(MAIN, then), Position(MAIN, await place.head(MAIN)))
    assert [(each.change, each.path, each.old_path) for each in found] == [
        ("modified", "/a.txt", None),
        ("modified", "/data.bin", None),
        ("renamed", "/new.txt", "/old.txt"),
    ]
    assert "-one\n+two\n" in (found[0].text or "")
    assert found[1].text is None
