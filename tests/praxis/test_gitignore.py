"""gitignore rules, with git itself as the judge."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from life.praxis.file_walk import Walk
from life.praxis.gitignore import is_ignored, parse_ignore_file
from life.praxis.workspace import Workspace, WorkspacePolicy

RULES = """\
# a comment
*.log
!keep.log
build/
/top
/docs/*.txt
a/**/z
**/cache
deep/**
\\#hash
\\!bang
trailing\\\x20
spaces\x20\x20
odd[0-9]
not[^0-9]
mid/dle
star\\*
*.tmp/
"""

NAMES = [
    "x.log",
    "keep.log",
    "build",
    "top",
    "#hash",
    "!bang",
    "spaces",
    "odd1",
    "oddx",
    "not1",
    "notx",
    "star*",
    "starx",
    "cache",
    "w.tmp",
    "z",
    "docs",
    "deep",
    "a",
    "mid",
    "f.txt",
]


def make_tree(root: Path) -> None:
    """Every name as a file and as a directory with every name in it, two levels deep, and rules on three levels."""
    for name in (*NAMES, "trailing "):
        for directory in ("", "docs/", "a/", "a/b/", "build/", "deep/", "mid/", "sub/", "sub/docs/"):
            target = root / directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.write_text("x")
    for directory in ("w.tmp", "sub/build", "sub/cache", "sub/top", "a/q/z"):
        place = root / directory
        if place.exists():
            place.unlink()
        place.mkdir(parents=True)
        (place / "inside").write_text("x")
    (root / "mid" / "dle").write_text("x")
    (root / "sub" / "mid").unlink()
    (root / "sub" / "mid").mkdir()
    (root / "sub" / "mid" / "dle").write_text("x")
    (root / ".gitignore").write_text(RULES)
    (root / "sub" / ".gitignore").write_text("!x.log\nf.txt\n/starx\r\n")
    (root / "a" / ".gitignore").write_text("*\n!b\n!b/**\n")


def prepared(root: Path) -> None:
    """The tree; names that are both a file and a needed directory become directories first."""
    for name in ("docs", "a", "a/b", "build", "deep", "mid", "sub", "sub/docs"):
        (root / name).mkdir(parents=True, exist_ok=True)
    make_tree(root)


@pytest.mark.part("git")
def test_git_agrees(root: Path) -> None:
    """The walk finds exactly the files that git would list as neither ignored nor its own."""
    prepared(root)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(root.parent), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "init", "-q", "."], cwd=root, check=True, env=environment, capture_output=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--others", "--exclude-per-directory=.gitignore"],
        cwd=root,
        check=True,
        env=environment,
        capture_output=True,
    ).stdout.decode()
    with Workspace(str(root), WorkspacePolicy()) as workspace:
        ours = [found.path for found in Walk(workspace, ".", include_ignored=False) if not found.is_directory]
    assert sorted(ours) == sorted(name for name in listed.split("\0") if name)
    assert "keep.log" in ours
    assert "sub/x.log" in ours
    assert "x.log" not in ours


def test_lines_that_are_no_rules() -> None:
    """Blank lines, comments, a lone slash or exclamation mark, a damaged set: nothing, and no error."""
    rules = parse_ignore_file("", "\n  \n# c\n/\n!\n!/\n\r\n")
    assert rules.rules == ()
    assert not is_ignored("a", [parse_ignore_file("", "[\n[z-a]\n")], directory=False)


def test_the_last_rule_and_the_deepest_file_win() -> None:
    """Order within a file, then depth of files."""
    top = parse_ignore_file("", "*.a\n!x.a\nd/*.b\n")
    deep = parse_ignore_file("d", "!*.b\nx.a\n")
    assert is_ignored("y.a", [top], directory=False)
    assert not is_ignored("x.a", [top], directory=False)
    assert is_ignored("d/x.a", [top, deep], directory=False)
    assert not is_ignored("d/y.b", [top, deep], directory=False)
