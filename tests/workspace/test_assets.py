"""The committed page is the one that its sources give, small enough, and complete."""

from __future__ import annotations

import filecmp
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from life.workspace import assets

UI = Path(__file__).parents[2] / "ui"
COMPILED = ("workspace.js", "workspace.css", "home.js", "panes.js", "en_more.js", "viewer.js", "headless.js")


def test_the_page_is_not_older_than_its_sources() -> None:
    """Every source has the digest that the build noted. When this fails: make ui, and commit what it changes."""
    assert assets.is_built()
    assert assets.stale_sources(UI) == []


def test_a_changed_source_is_noticed(tmp_path: Path) -> None:
    """A source that changed, came or went since the build is named."""
    copy = tmp_path / "ui"
    shutil.copytree(UI, copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "src" / "App.svelte").write_text("changed")
    (copy / "src" / "New.svelte").write_text("new")
    (copy / "src" / "main.ts").unlink()
    assert assets.stale_sources(copy) == ["src/App.svelte", "src/New.svelte", "src/main.ts"]


def test_the_page_is_small() -> None:
    """What a session's page needs to be drawn stays under 80 kB in gzip, and more so as Chromium is sent it (zstd); so do the first page's
    own parts and the panes, each. (The panes come with the first one that is opened.)"""
    first = [found for name in ("workspace.js", "workspace.css") if (found := assets.asset(name)) is not None]
    later = [found for name in ("home.js", "panes.js", "en_more.js") if (found := assets.asset(name)) is not None]
    assert sum(len(found.gzip) for found in first) < 80_000
    assert sum(len(found.zstd) for found in first) < 73_000
    assert sum(len(found.gzip) for found in later) < 48 * 1024


def test_the_address_changes_with_any_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All files stand under one digest, so that a part of a newer page never meets the older one."""
    before = assets.page_digest()
    shutil.copytree(assets.DIRECTORY, tmp_path / "static")
    (tmp_path / "static" / "panes.js").write_text("export {}")
    monkeypatch.setattr(assets, "DIRECTORY", tmp_path / "static")
    assets.asset.cache_clear()
    assets.page_digest.cache_clear()
    assert assets.page_digest() != before
    monkeypatch.undo()
    assets.asset.cache_clear()
    assets.page_digest.cache_clear()
    assert assets.page_digest() == before


def test_no_html_is_made_of_text() -> None:
    """No source uses raw HTML or an inline style attribute, and the lock names no registry."""
    for path in (UI / "src").rglob("*.svelte"):
        content = path.read_text()
        assert "{@html" not in content, path
        assert ' style="' not in content, path
    for path in (UI / "src").rglob("*.ts"):
        assert "innerHTML" not in path.read_text(), path
    assert '"resolved"' not in (UI / "package-lock.json").read_text()


def test_both_languages_have_every_word() -> None:
    """The Spanish words are those that were built; nothing is missing (the type check compares the English ones with their uses)."""
    words = json.loads((UI / "src" / "i18n" / "es.json").read_text())
    english = "".join((UI / "src" / "i18n" / name).read_text() for name in ("en.ts", "en_more.ts"))
    assert all(f'{name}: "' in english or f'"{name}": "' in english for name in words)
    assert len(words) == english.count(': "')
    assert all(words.values())


@pytest.mark.slow
@pytest.mark.part("node")
@pytest.mark.skipif(
    not (UI / "node_modules" / "vite").is_dir(), reason="the page's build packages are missing; run: make ui"
)
def test_a_rebuild_gives_the_same_bytes(tmp_path: Path) -> None:
    """Built again from these sources, the output is what is committed, byte for byte."""
    vite = UI / "node_modules" / ".bin" / "vite"
    for options in ([], ["--mode", "viewer"], ["--config", "vite.headless.config.ts"]):
        command = [str(vite), "build", *options, "--outDir", str(tmp_path), "--emptyOutDir", "false"]
        done = subprocess.run(command, cwd=UI, capture_output=True, timeout=100)
        assert done.returncode == 0, done.stderr.decode()
    _, differing, missing = filecmp.cmpfiles(tmp_path, assets.DIRECTORY, COMPILED, shallow=False)
    assert (differing, missing) == ([], [])
