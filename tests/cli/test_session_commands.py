"""`arcan session`: reading a session from its events, beside a daemon or without one."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
import pytest

from life.aios.errors import ConflictError
from life.cli.session_daemon import refusal
from tests.cli.daemon import Arcand
from tests.cli.shell_kit import Turns, environment, run, script

TURNS: Turns = [
    {"text": "I write.", "calls": [{"tool": "write_file", "arguments": {"path": "a.txt", "content": "one\n"}}]},
    {"text": "Written."},
]


def make(folder: Path, session_id: str = "talk") -> None:
    ran = run("run", folder, "please write", "-s", session_id, "--model", script(folder, TURNS))
    assert ran.returncode == 0, ran.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one session, for those who only read."""
    folder = tmp_path_factory.mktemp("project")
    make(folder)
    (folder / "script.json").unlink()
    return folder


def test_list_and_show(project: Path) -> None:
    """A table for people, whole values as JSON."""
    listed = run("session", project, "list").stdout
    assert listed.splitlines()[0].split()[:3] == ["Session", "State", "Events"]
    assert "talk" in listed
    [summary] = json.loads(run("session", project, "list", "--json").stdout)
    assert (summary["session_id"], summary["state"]) == ("talk", "idle")
    shown = run("session", project, "show", "talk").stdout
    assert "last run  completed after 2 steps" in shown
    assert "answer    Written." in shown
    early = json.loads(run("session", project, "show", "talk", "--at", "2", "--json").stdout)
    assert early["session"]["version"] == 2
    missing = run("session", project, "show", "nothing")
    assert missing.returncode == 1
    assert "There is no session nothing" in missing.stderr


def test_replay_draws_it_again_without_a_model(project: Path) -> None:
    """The same cards and words, from the journal alone: the model's script is gone, and no event is written."""
    before = run("session", project, "export", "talk").stdout
    replayed = run("session", project, "replay", "talk")
    assert replayed.returncode == 0, replayed.stderr
    assert "› please write" in replayed.stdout
    assert "  │ + one" in replayed.stdout
    assert "Written." in replayed.stdout
    assert "please write" not in run("session", project, "replay", "talk", "--from", "5").stdout
    timed = run("session", project, "replay", "talk", "--speed", "8")
    assert timed.stdout == replayed.stdout
    assert run("session", project, "export", "talk").stdout == before


def test_export(project: Path) -> None:
    """Canonical records line by line, the same bytes each time; Markdown for people."""
    lines = run("session", project, "export", "talk").stdout.splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == list(range(1, len(lines) + 1))
    markdown = run("session", project, "export", "talk", "--format", "markdown", "-o", "talk.md")
    assert markdown.returncode == 0
    assert "```diff\n+one\n```" in (project / "talk.md").read_text()


@pytest.mark.slow
def test_fork_and_delete(tmp_path: Path) -> None:
    """A branch from an event; a deleted session is not shown any more, and deleting needs a yes."""
    make(tmp_path)
    forked = run("session", tmp_path, "fork", "talk", "idea", "--at", "3", "--json")
    assert json.loads(forked.stdout)["fork_sequence"] == 3, forked.stderr
    assert "branch    idea from main after 3" in run("session", tmp_path, "show", "talk").stdout
    assert run("session", tmp_path, "delete", "talk").returncode == 2
    assert run("session", tmp_path, "delete", "talk", "--yes").returncode == 0
    assert run("session", tmp_path, "show", "talk").returncode == 1
    assert run("session", tmp_path, "replay", "talk").returncode == 1


@pytest.mark.slow
def test_beside_a_daemon(tmp_path: Path) -> None:
    """Reading does not disturb it, and changes go through it."""
    with Arcand(tmp_path, "--provider", script(tmp_path, TURNS), env=environment(tmp_path)):
        assert run("run", tmp_path, "please write", "-s", "talk").returncode == 0
        assert "Written." in run("session", tmp_path, "replay", "talk").stdout
        forked = run("session", tmp_path, "fork", "talk", "idea")
        assert forked.returncode == 0, forked.stderr
        assert run("session", tmp_path, "delete", "talk", "--yes").returncode == 0
        assert run("session", tmp_path, "list").stdout == ""


def test_an_error_of_the_daemon_keeps_its_code() -> None:
    """Words, code and next step of a problem document are those that a session in this process would give; what is no problem document
    is told by its status."""
    problem = {"detail": "A run is open.", "code": "arcan.run_in_progress", "status": 409, "next_step": "Wait."}
    refused = refusal(httpx2.Response(409, json=problem))
    assert isinstance(refused, ConflictError)
    assert (refused.message, refused.code, refused.next_step) == ("A run is open.", "arcan.run_in_progress", "Wait.")
    assert ConflictError.code == "life.conflict"
    assert "status 502" in refusal(httpx2.Response(502, text="<html>")).message
