"""Files of a session: writes that don't overwrite unseen, branches that inherit, merges, named points, time travel."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from life.aios.errors import ConflictError, InvalidInputError, NotFoundError
from life.aios.record import Stream
from life.lago.errors import MergeConflictError
from life.lago.files.desk import ABSENT
from tests.lago.files.kit import S, open_office


async def test_files_are_written_read_renamed_and_removed(tmp_path: Path) -> None:
    """Every change is an event, and every state stays readable by its number."""
    async with open_office(tmp_path) as office:
        first = await office.put("/a", "one")
        second = await office.put("/a", "two")
        await office.desk.rename(S, "/a", "/b")
        await office.desk.delete(S, "/b")
        assert await office.files() == {}
        assert await office.files(at=first) == {"/a": "one"}
        assert await office.files(at=second) == {"/a": "two"}
        assert await office.files(at=second + 1) == {"/b": "two"}
        assert await office.desk.read(S, "/a", at=first) == b"one"
        for work in (office.desk.read(S, "/a"), office.desk.delete(S, "/a"), office.desk.rename(S, "/a", "/c")):
            with pytest.raises(NotFoundError):
                await work
        with pytest.raises(InvalidInputError):
            await office.files(at=99)


async def test_nobody_overwrites_what_was_not_seen(tmp_path: Path) -> None:
    """`expected` holds at the moment of storing: of eight writers with the same knowledge one wins."""
    async with open_office(tmp_path) as office:
        await office.put("/a", "one")
        seen = (await office.desk.view.manifest(S))["/a"].blob_hash
        tries = [office.desk.write(S, "/a", f"w{n}".encode(), expected=seen) for n in range(8)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 7
        with pytest.raises(ConflictError):
            await office.desk.write(S, "/a", b"new", expected=ABSENT)
        await office.desk.write(S, "/b", b"new", expected=ABSENT)
        with pytest.raises(ConflictError):
            await office.desk.delete(S, "/b", expected=seen)
        with pytest.raises(ConflictError):
            await office.desk.rename(S, "/a", "/b")
        with pytest.raises(InvalidInputError):
            await office.desk.rename(S, "/a", "/a/inside")


async def test_writers_of_different_files_all_get_through(tmp_path: Path) -> None:
    """Sixteen at once on one branch: no change is lost."""
    async with open_office(tmp_path) as office:
        await asyncio.gather(*(office.put(f"/f{n}", str(n)) for n in range(16)))
        assert await office.files() == {f"/f{n}": str(n) for n in range(16)}


async def test_a_branch_inherits_and_goes_its_own_way(tmp_path: Path) -> None:
    """It has its parent's files as they were at the fork, by id and by name; neither sees the other's changes."""
    async with open_office(tmp_path) as office:
        fork = await office.put("/a", "one")
        await office.put("/b", "later")
        branch = await office.desk.create_branch(S, "experiment", at=fork)
        assert await office.files("experiment") == await office.files(branch.branch_id) == {"/a": "one"}
        await office.put("/a", "two", "experiment")
        await office.put("/c", "mine", branch.branch_id)
        assert await office.files("experiment") == {"/a": "two", "/c": "mine"}
        assert await office.files() == {"/a": "one", "/b": "later"}
        grand = await office.desk.create_branch(S, "deeper", parent="experiment")
        await office.put("/d", "deep", "deeper")
        assert await office.files(grand.branch_id) == {"/a": "two", "/c": "mine", "/d": "deep"}
        for name in ("experiment", "main", branch.branch_id):
            with pytest.raises(ConflictError):
                await office.desk.create_branch(S, name)
        with pytest.raises(InvalidInputError):
            await office.desk.create_branch(S, "far", at=10_000)
        with pytest.raises(NotFoundError):
            await office.files("nothing")


async def test_a_fast_forward_is_one_event(tmp_path: Path) -> None:
    """However many files it brings; a second merge of the same finds nothing new."""
    async with open_office(tmp_path) as office:
        await office.put("/a", "one")
        await office.desk.create_branch(S, "work")
        for number in range(20):
            await office.put(f"/f{number}", str(number), "work")
        await office.desk.delete(S, "/a", branch="work")
        before = (await office.journal.head(Stream(S))).sequence
        done = await office.desk.merge(S, "work")
        assert (done.strategy, done.changed, done.sequence) == ("fast-forward", 21, before + 1)
        assert await office.files() == await office.files("work")
        with pytest.raises(ConflictError):
            await office.desk.merge(S, "work")
        assert await office.files(at=before) == {"/a": "one"}


async def test_both_sides_changes_come_together(tmp_path: Path) -> None:
    """A three-way merge, again and again, each against what was merged before; and back into the branch."""
    async with open_office(tmp_path) as office:
        await office.put("/a", "1")
        await office.put("/b", "1")
        await office.desk.create_branch(S, "work")
        await office.put("/a", "ours")
        await office.put("/b", "theirs", "work")
        assert (await office.desk.merge(S, "work")).strategy == "three-way"
        assert await office.files() == {"/a": "ours", "/b": "theirs"}
        await office.put("/b", "theirs again", "work")
        await office.put("/c", "new")
        await office.desk.merge(S, "work")
        assert await office.files() == {"/a": "ours", "/b": "theirs again", "/c": "new"}
        await office.desk.merge(S, "main", into="work")
        assert await office.files("work") == await office.files()


async def test_conflicts_are_data_and_nothing_happens_until_they_are_decided(tmp_path: Path) -> None:
    """Every path with its three hashes; ours, theirs, or by hand on the branch first."""
    async with open_office(tmp_path) as office:
        await office.put("/a", "1")
        await office.put("/b", "1")
        await office.desk.create_branch(S, "work")
        await office.put("/a", "ours")
        await office.put("/a", "theirs", "work")
        await office.desk.delete(S, "/b")
        await office.put("/b", "kept", "work")
        before = (await office.journal.head(Stream(S))).sequence
        with pytest.raises(MergeConflictError) as refused:
            await office.desk.merge(S, "work")
        assert [conflict["path"] for conflict in refused.value.conflicts] == ["/a", "/b"]
        assert refused.value.conflicts[1]["ours"] == ABSENT
        assert (await office.journal.head(Stream(S))).sequence == before
        assert (await office.desk.merge(S, "work", strategy="theirs")).strategy == "theirs"
        assert await office.files() == {"/a": "theirs", "/b": "kept"}


async def test_siblings_merge_over_their_common_ancestor(tmp_path: Path) -> None:
    """Two branches of one parent."""
    async with open_office(tmp_path) as office:
        await office.put("/a", "1")
        await office.desk.create_branch(S, "one")
        await office.desk.create_branch(S, "two")
        await office.put("/b", "one", "one")
        await office.put("/c", "two", "two")
        await office.desk.merge(S, "one", into="two")
        assert await office.files("two") == {"/a": "1", "/b": "one", "/c": "two"}
        with pytest.raises(InvalidInputError):
            await office.desk.merge(S, "one", into="one")


async def test_named_points_can_be_gone_back_to(tmp_path: Path) -> None:
    """A snapshot has the hash of its manifest, a name of its own, and restoring it is new events; history stays."""
    async with open_office(tmp_path) as office:
        await office.put("/a", "one")
        await office.put("/x/y", "deep")
        point = await office.desk.snapshot(S, "v1")
        stored = await office.desk.view.manifest(S, at=point.covers_through)
        assert point.manifest_hash == stored.digest
        assert await office.blobs.get(point.manifest_hash) == stored.canonical()
        with pytest.raises(ConflictError):
            await office.desk.snapshot(S, "v1")
        await office.put("/a", "two")
        await office.put("/x", "a file now")
        later = await office.put("/b", "new")
        await office.desk.restore(S, "v1")
        assert await office.files() == {"/a": "one", "/x/y": "deep"}
        assert await office.files(at=later) == {"/a": "two", "/b": "new", "/x": "a file now"}
        await office.desk.restore(S, later)
        assert await office.files() == {"/a": "two", "/b": "new", "/x": "a file now"}
        with pytest.raises(NotFoundError):
            await office.desk.restore(S, "v2")


async def test_the_history_of_a_path_goes_through_renames_and_branches(tmp_path: Path) -> None:
    """Every version with its event, whatever it was called then and wherever it was written."""
    async with open_office(tmp_path) as office:
        await office.put("/old", "1")
        await office.put("/other", "x")
        await office.desk.rename(S, "/old", "/new")
        await office.desk.create_branch(S, "work")
        await office.put("/new", "2", "work")
        await office.desk.delete(S, "/new", branch="work")
        versions = await office.desk.view.history(S, "/new", "work")
        assert [version.change for version in versions] == ["FileWrite", "FileRename", "FileWrite", "FileDelete"]
        assert [version.branch_id == "main" for version in versions] == [True, True, False, False]
        assert [version.entry.path if version.entry else None for version in versions] == ["/old", None, "/new", None]
        assert await office.desk.view.history(S, "/nothing") == []
