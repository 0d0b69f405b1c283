"""`life files …` as a person types it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from life.cli.groups import life


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "css").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>One</h1>\n")
    (folder / "css" / "main.css").write_text("h1 {}\n")
    return tmp_path


def command(project: Path, *arguments: str) -> Result:
    where = ["--data-dir", str(project / ".life")]
    name, *rest = arguments or ("",)
    if not name or name.startswith("-"):
        return CliRunner().invoke(life, ["files", *where, *arguments])
    return CliRunner().invoke(life, ["files", name, *where, *rest])


def told(project: Path, *arguments: str) -> str:
    result = command(project, *arguments)
    assert result.exit_code == 0, result.output
    return result.output


def bring_in(project: Path) -> None:
    told(project, "import", str(project / "site"), "--session", "site")


def test_time_travel(project: Path) -> None:
    """`life files --at SEQ` shows what there was; `show --at` what was in it; `history` every version."""
    bring_in(project)
    (project / "site" / "index.html").write_text("<h1>Two</h1>\n")
    bring_in(project)
    now = json.loads(told(project, "--json"))
    assert [entry["path"] for entry in now["files"]] == ["/css/main.css", "/index.html"]
    past = json.loads(told(project, "--json", "--at", "1"))
    assert [entry["path"] for entry in past["files"]] == ["/css/main.css"]
    assert told(project, "show", "index.html") == "<h1>Two</h1>\n"
    assert told(project, "show", "/index.html", "--at", "2") == "<h1>One</h1>\n"
    versions = json.loads(told(project, "history", "/index.html", "--json"))
    assert [version["sequence"] for version in versions] == [2, 3]
    assert "2 files" in told(project)


def test_diff_between_points(project: Path) -> None:
    """Unified text, exit status 1 when something differs and 0 when nothing does."""
    bring_in(project)
    (project / "site" / "index.html").write_text("<h1>Two</h1>\n")
    (project / "site" / "logo.png").write_bytes(b"\x89PNG\0")
    bring_in(project)
    result = command(project, "diff", "@2")
    assert result.exit_code == 1
    assert "-<h1>One</h1>\n+<h1>Two</h1>\n" in result.output
    assert "added /logo.png\nBinary: nothing -> 5 bytes" in result.output
    assert command(project, "diff", "main@4", "main").exit_code == 0
    assert command(project, "diff", "@2", "--names").output == "~ /index.html\n+ /logo.png\n"
    assert "[life.invalid_input]" in command(project, "diff", "@x").output


def test_branch_merge_and_conflicts(project: Path) -> None:
    """A conflict stores nothing, names its paths and exits 1; a choice goes through."""
    bring_in(project)
    told(project, "fork", "idea")
    (project / "site" / "index.html").write_text("idea\n")
    told(project, "import", str(project / "site"), "--session", "site", "--branch", "idea")
    (project / "site" / "index.html").write_text("main\n")
    bring_in(project)
    refused = command(project, "merge", "idea")
    assert refused.exit_code == 1
    assert "conflict  /index.html" in refused.output
    assert "[lago.merge_conflict]" in refused.output
    assert told(project, "show", "index.html") == "main\n"
    assert "1 path changed" in told(project, "merge", "idea", "--conflicts", "theirs")
    assert told(project, "show", "index.html") == "idea\n"
    assert "idea" in told(project, "branches")


def test_snapshot_restore_checkout_and_git(project: Path, tmp_path: Path) -> None:
    """Back to a name, out to a folder, out to a repository that git can read."""
    bring_in(project)
    told(project, "snapshot", "launch")
    (project / "site" / "index.html").write_text("broken\n")
    bring_in(project)
    told(project, "restore", "launch")
    told(project, "checkout", str(tmp_path / "out"))
    assert (tmp_path / "out" / "index.html").read_text() == "<h1>One</h1>\n"
    told(project, "export-git", str(tmp_path / "repository"))
    log = subprocess.run(
        ["git", "-C", str(tmp_path / "repository"), "log", "--format=%s"], check=True, capture_output=True, text=True
    )
    assert log.stdout.splitlines() == ["Write /index.html", "Write /index.html", "Change 2 files"]
    stream = command(project, "export-git", "--stream", str(tmp_path / "stream"))
    assert stream.exit_code == 0
    assert (tmp_path / "stream").read_bytes().startswith(b"feature done\n")


def test_what_can_not_be_is_said(project: Path) -> None:
    """No journal, no files, several sessions, unknown paths: one sentence, a code, what to do."""
    assert "[life.not_found]" in command(project).output
    assert not (project / ".life").exists()
    bring_in(project)
    told(project, "import", str(project / "site"), "--session", "other")
    several = command(project)
    assert "2 sessions have files: other, site." in several.output
    assert "--session" in several.output
    missing = command(project, "show", "nothing.txt", "--session", "site")
    assert (missing.exit_code, "[life.not_found]" in missing.output) == (1, True)
    assert command(project, "--session", "site", "--at", "99").exit_code == 1
    assert command(project, "export-git", "--session", "site").exit_code == 2


def test_an_option_before_a_command_is_not_passed_over(project: Path) -> None:
    """`--at 1 show …` would show the present: it is an error that says where the option belongs."""
    bring_in(project)
    where = ["--data-dir", str(project / ".life")]
    misplaced = CliRunner().invoke(life, ["files", "--at", "1", "show", "index.html", *where])
    assert (misplaced.exit_code, "--at must stand behind show" in misplaced.output) == (2, True)
