"""A session as a Git repository, read back by git itself."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from life.aios.errors import ConflictError
from life.lago.files.git_export import Exported, GitExport, export_to_git
from tests.lago.files.kit import Office, S, open_office


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with open_office(tmp_path / "blobs") as opened:
        yield opened


def git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(repository), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def tree(repository: Path, ref: str) -> dict[str, str]:
    """Path to content at a ref."""
    paths = [name for name in git(repository, "ls-tree", "-rz", "--name-only", ref).split("\0") if name]
    return {"/" + path: git(repository, "show", f"{ref}:{path}") for path in paths}


async def export(office: Office, repository: Path) -> Exported:
    return await export_to_git(GitExport(office.journal, office.blobs, office.desk, S), repository)


async def test_every_branch_tag_and_version_is_there(office: Office, tmp_path: Path) -> None:
    """Files, deletions, renames, a branch, a merge with two parents, snapshots: git shows what the journal says."""
    await office.put("/readme.md", "first")
    await office.put("/src/a.py", "a = 1")
    await office.desk.snapshot(S, "v1")
    await office.desk.create_branch(S, "idea")
    await office.put("/src/b.py", "b = 1", branch="idea")
    await office.put("/readme.md", "second")
    await office.desk.rename(S, "/src/a.py", "/src/c.py")
    await office.desk.merge(S, "idea")
    await office.desk.delete(S, "/readme.md")
    repository = tmp_path / "repository"
    done = await export(office, repository)
    assert done == Exported(7, 2, 1)
    git(repository, "fsck", "--strict")
    assert tree(repository, "main") == await office.files()
    assert tree(repository, "idea") == await office.files("idea")
    assert tree(repository, "main/v1") == {"/readme.md": "first", "/src/a.py": "a = 1"}
    parents = git(repository, "rev-list", "--parents", "--merges", "main").split()
    assert len(parents) == 3
    assert (repository / "src" / "b.py").read_text() == "b = 1"


async def test_the_same_journal_gives_the_same_commits(office: Office, tmp_path: Path) -> None:
    """Export twice, compare every ref."""
    await office.put("/a", "1")
    await office.desk.create_branch(S, "side")
    await office.put("/a", "2")
    await export(office, tmp_path / "one")
    await export(office, tmp_path / "other")
    refs = git(tmp_path / "one", "show-ref")
    assert refs == git(tmp_path / "other", "show-ref")
    assert len(refs.splitlines()) == 2


async def test_names_that_git_does_not_take(office: Office, tmp_path: Path) -> None:
    """Branches, files and snapshots with every awkward name come through, and nothing falls together."""
    await office.put("/a file\nwith a line end", "x")
    await office.put('/"quoted" \\ name', "y")
    await office.put("/ümlaut/日本", "z")
    for name in ("a", "a/b", "a:b", "a b", ".hidden", "x.lock", "--flag", "@{now}"):
        await office.desk.create_branch(S, name)
        await office.put("/on", name, branch=name)
    await office.desk.snapshot(S, "release: 1..2")
    repository = tmp_path / "repository"
    done = await export(office, repository)
    assert done == Exported(3 + 8, 9, 1)
    git(repository, "fsck", "--strict")
    heads = git(repository, "for-each-ref", "--format=%(refname)", "refs/heads").splitlines()
    contents = sorted(git(repository, "show", f"{head}:on") for head in heads if head != "refs/heads/main")
    assert contents == sorted(("a", "a/b", "a:b", "a b", ".hidden", "x.lock", "--flag", "@{now}"))
    names = [name for name in git(repository, "ls-tree", "-rz", "--name-only", "main").split("\0") if name]
    assert set(names) == {"a file\nwith a line end", '"quoted" \\ name', "ümlaut/日本"}


async def test_a_fork_in_the_middle_of_a_session_has_its_parents_past(office: Office, tmp_path: Path) -> None:
    """A branch without events of its own is a ref to the commit that it was forked at."""
    first = await office.put("/a", "1")
    await office.put("/a", "2")
    await office.desk.create_branch(S, "early", at=first)
    await export(office, tmp_path / "repository")
    assert tree(tmp_path / "repository", "early") == {"/a": "1"}
    assert git(tmp_path / "repository", "merge-base", "main", "early") == git(
        tmp_path / "repository", "rev-parse", "early"
    )


async def test_a_directory_with_something_in_it_is_refused(office: Office, tmp_path: Path) -> None:
    """Nobody's files are overwritten."""
    await office.put("/a", "1")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    with pytest.raises(ConflictError):
        await export(office, tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]
