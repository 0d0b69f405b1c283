"""Two-way sync of a folder and a session: what each side changed, and that nothing is ever lost."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import ConflictError
from life.lago.knowledge.directory import DirectoryNotes
from life.lago.knowledge.errors import KnowledgeSourceError
from life.lago.knowledge.folder_sync import FolderSync
from life.lago.knowledge.sync_plan import Step, conflict_path, plan_sync
from life.testing.clock import ManualClock, SeededEntropy
from tests.lago.files.kit import Office, S, open_office
from tests.lago.knowledge.kit import digest


class Pair(NamedTuple):
    """A folder, a session, and what makes them the same."""

    root: Path
    office: Office
    syncing: FolderSync

    def write(self, path: str, text: str) -> None:
        file = self.root / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def here(self) -> dict[str, str]:
        return {
            "/" + str(file.relative_to(self.root)): file.read_text()
            for file in sorted(self.root.rglob("*.md"))
            if file.is_file() and not file.is_symlink()
        }

    async def there(self) -> dict[str, str]:
        return {path: text for path, text in (await self.office.files()).items() if path.endswith(".md")}

    async def sync(self) -> dict[str, str]:
        """Path to action."""
        result = await self.syncing.sync()
        assert result.left == ()
        return {step.path: step.action for step in result.done}


def syncing_of(office: Office, root: Path, state: Path) -> FolderSync:
    clock = ManualClock()
    return FolderSync(
        DirectoryNotes(root, clock),
        office.journal,
        office.desk,
        office.blobs,
        SeededEntropy("sync"),
        session_id=S,
        state_file=state,
    )


@asynccontextmanager
async def open_pair(tmp_path: Path) -> AsyncIterator[Pair]:
    root = tmp_path / "vault"
    root.mkdir()
    async with open_office(tmp_path / "blobs") as office:
        yield Pair(root, office, syncing_of(office, root, tmp_path / "state" / "s.json"))


HASHES = st.one_of(st.none(), st.sampled_from("abc"))


@given(HASHES, HASHES, HASHES)
def test_the_rule_for_one_path(base: str | None, here: str | None, there: str | None) -> None:
    """Every combination of the three states: who is as before takes the other's; deletion needs a base; a change wins over it."""

    def side(blob: str | None) -> dict[str, str]:
        return {} if blob is None else {"/p.md": blob}

    steps = plan_sync(side(base), side(here), side(there))
    if here == there:
        assert steps == []
        return
    ((action, path, *_),) = steps
    assert path == "/p.md"
    expected = {
        (True, False): "download" if there is not None else "delete here",
        (False, True): "upload" if here is not None else "delete there",
        (False, False): "upload" if there is None else "download" if here is None else "conflict",
    }
    assert action == expected[(here == base, there == base)]
    if base is None:
        assert not action.startswith("delete")


def test_a_note_takes_no_place_of_a_folder_or_file() -> None:
    """What stands in its way there is not pushed aside."""
    here = {"/f.md": "a", "/g.md/x.md": "b"}
    steps = plan_sync({}, here, {"/g.md": "c"}, other_paths=["/f.md/picture.png"])
    assert [(step.path, step.action) for step in steps] == [
        ("/f.md", "blocked"),
        ("/g.md", "download"),
        ("/g.md/x.md", "blocked"),
    ]
    assert conflict_path("/a/b.md", "0123456789") == "/a/b (conflict 01234567).md"


async def test_changes_go_both_ways(tmp_path: Path) -> None:
    """New, changed and deleted notes of either side; the second sync has nothing to do."""
    async with open_pair(tmp_path) as pair:
        pair.write("/a.md", "here")
        await pair.office.put("/f/b.md", "there")
        await pair.office.put("/picture.png", "no note")
        assert await pair.sync() == {"/a.md": "upload", "/f/b.md": "download"}
        assert pair.here() == await pair.there() == {"/a.md": "here", "/f/b.md": "there"}
        assert await pair.sync() == {}
        pair.write("/f/b.md", "changed here")
        await pair.office.put("/a.md", "changed there")
        assert await pair.sync() == {"/a.md": "download", "/f/b.md": "upload"}
        (pair.root / "a.md").unlink()
        await pair.office.desk.delete(S, "/f/b.md")
        pair.write("/keep.md", "x")
        assert await pair.sync() == {"/a.md": "delete there", "/f/b.md": "delete here", "/keep.md": "upload"}
        assert pair.here() == await pair.there() == {"/keep.md": "x"}
        assert sorted(os.listdir(pair.root)) == ["f", "keep.md"]


async def test_what_both_changed_is_kept_twice(tmp_path: Path) -> None:
    """The session's version has the path, the folder's is beside it, on both sides."""
    async with open_pair(tmp_path) as pair:
        pair.write("/a.md", "one")
        await pair.sync()
        pair.write("/a.md", "two")
        await pair.office.put("/a.md", "three")
        assert await pair.sync() == {"/a.md": "conflict"}
        copy = conflict_path("/a.md", digest("two"))
        assert pair.here() == await pair.there() == {"/a.md": "three", copy: "two"}
        assert await pair.sync() == {}


async def test_a_changed_note_wins_over_its_deletion(tmp_path: Path) -> None:
    """On either side."""
    async with open_pair(tmp_path) as pair:
        pair.write("/a.md", "one")
        pair.write("/b.md", "one")
        pair.write("/c.md", "one")
        await pair.sync()
        (pair.root / "a.md").unlink()
        await pair.office.put("/a.md", "two")
        await pair.office.desk.delete(S, "/b.md")
        pair.write("/b.md", "two")
        assert await pair.sync() == {"/a.md": "download", "/b.md": "upload"}
        assert pair.here() == await pair.there() == {"/a.md": "two", "/b.md": "two", "/c.md": "one"}


async def test_a_dry_run_does_nothing(tmp_path: Path) -> None:
    """It only says what it would do."""
    async with open_pair(tmp_path) as pair:
        pair.write("/a.md", "one")
        result = await pair.syncing.sync(dry_run=True)
        assert result.done == (Step("upload", "/a.md", digest("one"), None),)
        assert not (tmp_path / "state").exists()
        assert (await pair.office.journal.streams()) == []


async def test_an_empty_folder_deletes_nothing_unasked(tmp_path: Path) -> None:
    """A disk that is not mounted looks like one."""
    async with open_pair(tmp_path) as pair:
        pair.write("/a.md", "one")
        await pair.sync()
        (pair.root / "a.md").unlink()
        with pytest.raises(ConflictError):
            await pair.syncing.sync()
        assert await pair.there() == {"/a.md": "one"}
        assert [step.action for step in (await pair.syncing.sync(allow_empty=True)).done] == ["delete there"]


async def test_another_journal_deletes_nothing(tmp_path: Path) -> None:
    """A new journal, or one that was put back: what is missing there is brought there again."""
    async with open_pair(tmp_path) as pair:
        for name in "abc":
            pair.write(f"/{name}.md", name)
        await pair.sync()
    async with open_office(tmp_path / "others") as office:
        other = Pair(pair.root, office, syncing_of(office, pair.root, tmp_path / "state" / "s.json"))
        await office.put("/z.md", "z")
        assert await other.sync() == {"/a.md": "upload", "/b.md": "upload", "/c.md": "upload", "/z.md": "download"}


@pytest.mark.parametrize(
    "state",
    ["", "{", '{"cursor": "x", "paths": {"/a.md": "0"}}', '{"cursor": "99 abc", "paths": {"/a.md": "0"}}', "[]"],
)
async def test_a_state_file_that_is_none_costs_nothing(tmp_path: Path, state: str) -> None:
    """Without it both sides are compared, and nothing is deleted."""
    async with open_pair(tmp_path) as pair:
        await pair.office.put("/a.md", "one")
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "s.json").write_text(state)
        assert await pair.sync() == {"/a.md": "download"}


async def test_files_that_can_not_be_read_stay_on_both_sides(tmp_path: Path) -> None:
    """Too long, ignored, or a link in the place of a note: passed over, never taken for deleted."""
    async with open_pair(tmp_path) as pair:
        for name in "abc":
            pair.write(f"/{name}.md", name)
        await pair.sync()
        (pair.root / "a.md").write_bytes(b"x" * (4 * 1024 * 1024 + 1))
        (pair.root / ".lifeignore").write_text("# not these\nb*\nprivate/*\n")
        pair.write("/private/x.md", "secret")
        (pair.root / "b.md").unlink()
        (pair.root / "c.md").unlink()
        (pair.root / "c.md").symlink_to(tmp_path)
        result = await pair.syncing.sync(allow_empty=True)
        assert result.done == ()
        assert [(step.path, reason) for step, reason in result.left] == [("/c.md", "changed meanwhile")]
        assert result.passed_over == ("/a.md", "/private/x.md")
        assert await pair.there() == {"/a.md": "a", "/b.md": "b", "/c.md": "c"}


async def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """A folder that is a link, a name that is one, a path of the journal that is none."""
    outside = tmp_path / "outside"
    outside.mkdir()
    async with open_pair(tmp_path) as pair:
        (pair.root / "f").symlink_to(outside)
        (pair.root / "n.md").symlink_to(outside / "target.md")
        await pair.office.put("/f/a.md", "x")
        await pair.office.put("/n.md", "x")
        await pair.office.put("/.hidden/a.md", "x")
        await pair.office.put("/ok.md", "x")
        result = await pair.syncing.sync()
        assert [step.path for step in result.done] == ["/ok.md"]
        assert sorted(step.path for step, _ in result.left) == ["/f/a.md", "/n.md"]
        assert list(outside.iterdir()) == []


async def test_a_folder_that_can_not_be_read_stops_the_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its notes were not deleted."""
    async with open_pair(tmp_path) as pair:
        pair.write("/f/a.md", "x")
        pair.write("/b.md", "x")
        await pair.sync()
        original = os.scandir

        def refusing(path: os.PathLike[str]) -> object:
            if str(path).endswith("/f"):
                raise PermissionError(13, "Permission denied")
            return original(path)

        monkeypatch.setattr(os, "scandir", refusing)
        with pytest.raises(KnowledgeSourceError):
            await pair.syncing.sync()
        monkeypatch.setattr(os, "scandir", original)
        assert len(await pair.there()) == 2


async def test_random_work_on_both_sides_loses_nothing(tmp_path: Path) -> None:
    """Eighty syncs: both sides end up the same, and every text that one side wrote since the last sync is somewhere, unless the
    same side deleted or replaced it itself."""
    rng = random.Random(11)
    names = [f"/{folder}{name}.md" for folder in ("", "f/") for name in "abc"]
    async with open_pair(tmp_path) as pair:
        number = 0
        for _ in range(80):
            mine: dict[str, str] = {}
            theirs: dict[str, str] = {}
            for _ in range(rng.randint(0, 4)):
                name, number = rng.choice(names), number + 1
                file = pair.root / name[1:]
                if rng.random() < 0.7:
                    pair.write(name, f"here {number}")
                    mine[name] = f"here {number}"
                elif file.exists():
                    file.unlink()
                    mine.pop(name, None)
                name, number = rng.choice(names), number + 1
                if rng.random() < 0.7:
                    await pair.office.put(name, f"there {number}")
                    theirs[name] = f"there {number}"
                elif name in await pair.there():
                    await pair.office.desk.delete(S, name)
                    theirs.pop(name, None)
            result = await pair.syncing.sync(allow_empty=True)
            assert result.left == ()
            assert pair.here() == await pair.there()
            assert set(pair.here().values()) >= {*mine.values(), *theirs.values()}
            assert (await pair.syncing.sync(allow_empty=True)).done == ()
