"""A folder of notes, as it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from life.lago.knowledge.directory import DirectoryNotes
from life.lago.knowledge.errors import KnowledgeSourceError
from life.lago.knowledge.note import MAX_NOTE_BYTES
from life.lago.knowledge.source import NoteFile, Written
from life.lago.knowledge.vault import Vault
from life.testing.clock import ManualClock


def make(root: Path, files: dict[str, bytes | str]) -> Path:
    for path, content in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


async def paths(root: Path) -> list[str]:
    changes = await DirectoryNotes(root, ManualClock()).changes(None)
    assert changes.complete
    return sorted(step.file.path for step in changes.steps if isinstance(step, Written))


async def test_markdown_files_below_the_folder_are_notes(tmp_path: Path) -> None:
    """Only `.md`, nothing hidden, nothing behind a link."""
    outside = make(tmp_path / "outside", {"secret.md": "secret"})
    vault = make(
        tmp_path / "vault",
        {
            "a.md": "",
            "b.MD": "",
            "c.txt": "",
            "deep/er/d é.md": "",
            ".obsidian/x.md": "",
            ".hidden.md": "",
            "folder.md/e.md": "",
        },
    )
    (vault / "link.md").symlink_to(outside / "secret.md")
    (vault / "folder").symlink_to(outside)
    (vault / "loop").symlink_to(vault)
    os.mkfifo(vault / "pipe.md")
    (vault / os.fsdecode(b"\xff.md")).write_text("")
    assert await paths(vault) == ["/a.md", "/deep/er/d é.md", "/folder.md/e.md"]


async def test_a_file_swapped_for_a_link_is_not_followed(tmp_path: Path) -> None:
    """Between the scan and the reading."""
    make(tmp_path, {"secret": "secret", "vault/a.md": "note"})
    source = DirectoryNotes(tmp_path / "vault", ManualClock())
    (tmp_path / "vault" / "a.md").unlink()
    (tmp_path / "vault" / "a.md").symlink_to(tmp_path / "secret")
    assert await source.contents([NoteFile("/a.md", "v", 0, 0)]) == ["Too many levels of symbolic links"]
    make(tmp_path, {"elsewhere/b.md": "secret"})
    (tmp_path / "vault" / "f").symlink_to(tmp_path / "elsewhere")
    through, missing = await source.contents([NoteFile("/f/b.md", "v", 0, 0), NoteFile("/missing/x.md", "v", 0, 0)])
    assert (through, missing) == ("Not a directory", "No such file or directory")


async def test_a_change_within_the_tick_of_a_clock_is_seen(tmp_path: Path) -> None:
    """The same size, the same times: what changed lately is read again, and is no news when it says the same."""
    file = make(tmp_path / "vault", {"a.md": "lake"}) / "a.md"
    clock = ManualClock(file.stat().st_mtime_ns // 1000 + 1000)
    async with Vault(DirectoryNotes(tmp_path / "vault", clock), clock, looks_first=False) as vault:
        source = DirectoryNotes(tmp_path / "vault", clock)
        assert (await vault.sync()).read == 1
        (first,) = (await source.changes(None)).steps
        clock.advance_us(1000)
        assert (await source.changes(None)).steps != (first,)
        assert (await vault.sync()).read == 0
        clock.advance_us(5_000_000)
        (second,) = (await source.changes(None)).steps
        clock.advance_us(5_000_000)
        assert (await source.changes(None)).steps == (second,)


async def test_a_folder_must_be_there(tmp_path: Path) -> None:
    """A file or nothing is no vault."""
    for path in (tmp_path / "none", make(tmp_path, {"f": ""}) / "f"):
        with pytest.raises(KnowledgeSourceError):
            DirectoryNotes(path, ManualClock())


async def test_a_vault_follows_its_folder(tmp_path: Path) -> None:
    """New, changed, renamed and removed files; what can't be read is named and stops nobody; the folder is not touched."""
    root = make(
        tmp_path / "vault",
        {"a.md": "lake", "bad.md": b"\xff", "huge.md": b"x" * (MAX_NOTE_BYTES + 1), "yaml.md": "---\na: [\n---\nlake"},
    )
    async with Vault(
        DirectoryNotes(root, ManualClock()), ManualClock(), index_file=tmp_path / "i.db", looks_first=False
    ) as vault:
        assert (await vault.sync())[:4] == (2, 0, 2, 2)
        assert [problem.path for problem in await vault.problems()] == ["/bad.md", "/huge.md", "/yaml.md"]
        assert [hit.path for hit in await vault.search("lake")] == ["/a.md", "/yaml.md"]
        assert (await vault.sync())[:3] == (0, 0, 0)
        (root / "a.md").write_text("river")
        (root / "yaml.md").rename(root / "new.md")
        make(root, {"bad.md": "lake"})
        assert (await vault.sync())[:4] == (3, 1, 0, 3)
        assert [hit.path for hit in await vault.search("lake")] == ["/bad.md", "/new.md"]
        (hit,) = await vault.search("river")
        assert hit.sequence == 0
    assert sorted(os.listdir(root)) == ["a.md", "bad.md", "huge.md", "new.md"]
