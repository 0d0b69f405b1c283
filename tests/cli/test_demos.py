"""`life demo list | show | run | replay | copy | record` as a stranger runs them: without a network, a key or a wallet of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from life.workspace.demos.catalogue import SLUGS, demo, recording, recording_id
from tests.cli.haima_commands import run


def test_list_and_show_need_nothing(tmp_path: Path) -> None:
    """Both tell from the files alone, for people and as JSON; nothing is made."""
    shown = run("life", "demo", "list", env={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert shown.code == 0, shown
    assert [line.split()[0] for line in shown.stdout.splitlines()[1:7]] == list(SLUGS)
    listed = run("life", "demo", "list", "--json", env={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert [each["slug"] for each in json.loads(listed.stdout)["demos"]] == list(SLUGS)
    one = run("life", "demo", "show", "materiales", "--json", env={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert json.loads(one.stdout)["language"] == "es"
    for people in ("research", "sentinel"):
        told = run("life", "demo", "show", people, env={"HOME": str(tmp_path)}, cwd=tmp_path)
        assert demo(people).description in told.stdout
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_none_gets_a_sentence(tmp_path: Path) -> None:
    """With the names that there are, and exit code 1."""
    shown = run("life", "demo", "run", "nothing", "--yes", env={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert shown.code == 1
    assert "There is no demo 'nothing'. [demo.not_found]" in shown.stderr
    assert "sentinel, materiales" in shown.stderr


def test_a_run_with_a_decision_leaves_nothing_behind(tmp_path: Path) -> None:
    """Every step is told, the refusal among them; what the demo promises is checked; the temporary project is gone."""
    shown = run(
        "life", "demo", "run", "sentinel", "--yes", env={"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}, cwd=tmp_path
    )
    assert shown.code == 0, shown
    for label in ("you", "agent", "tool", "question", "answer", "branch", "end", "judge", "checked"):
        assert any(line.startswith(f"  {label} ") for line in shown.stdout.splitlines()), label
    assert "denied: Orders are evidence." in shown.stdout
    assert "\x1b" not in shown.stdout
    assert not list(tmp_path.iterdir())


def test_a_question_that_nobody_can_answer_ends_the_command(tmp_path: Path) -> None:
    """Without a terminal and without --yes: what is asked, and how to go on; exit code 1."""
    shown = run("life", "demo", "run", "sentinel", env={"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}, cwd=tmp_path)
    assert shown.code == 1
    assert "This needs a person: edit_file" in shown.stderr
    assert "--yes" in shown.stderr


@pytest.mark.slow
def test_a_run_that_is_kept_pays_and_can_be_looked_into(tmp_path: Path) -> None:
    """JSON on standard output; the session is in the project's journal, which verifies, and its payment among the wallet's."""
    env = {"LIFE_KEY_FILE": str(tmp_path / "key"), "HOME": str(tmp_path)}
    shown = run("life", "demo", "run", "ingest", "--yes", "--json", "--data-dir", tmp_path / "life", env=env)
    assert shown.code == 0, shown
    result = json.loads(shown.stdout)
    assert (result["reason"], result["checked"], result["unmet"]) == ("completed", True, [])
    verified = run("lago", "journal", "verify", "--data-dir", tmp_path / "life", env=env)
    assert verified.code == 0, verified
    copied = run("life", "demo", "copy", "sentinel", "--as", "Mine", "--json", "--data-dir", tmp_path / "life", env=env)
    session_id = json.loads(copied.stdout)["session_id"]
    listed = run("arcan", "session", "list", "--data-dir", tmp_path / "life", env=env)
    assert result["session_id"] in listed.stdout
    assert session_id in listed.stdout


@pytest.mark.parametrize("slug", ["materiales", "research"])
def test_a_replay_shows_the_story_and_asks_nobody(tmp_path: Path, slug: str) -> None:
    """The recorded events as people read them, then the count of requests that came out as recorded."""
    shown = run("life", "demo", "replay", slug, env={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert shown.code == 0, shown
    assert "byte for byte, without a provider" in shown.stdout
    assert "paid" in shown.stdout
    told = run("life", "demo", "replay", slug, "--json", env={"HOME": str(tmp_path)}, cwd=tmp_path)
    result = json.loads(told.stdout)
    assert (result["slug"], result["provider_calls"]) == (slug, 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_recording_can_be_made_anew(tmp_path: Path) -> None:
    """Same session, same number of model calls and kinds of events as the one that is shipped; it replays."""
    shown = run(
        "life", "demo", "record", "sentinel", tmp_path / "sentinel.jsonl", "--json", env={"HOME": str(tmp_path)}
    )
    assert shown.code == 0, shown
    made = [json.loads(line) for line in (tmp_path / "sentinel.jsonl").read_bytes().splitlines()[1:]]
    kept = [json.loads(line) for line in recording("sentinel").read_bytes().splitlines()[1:]]
    assert {event["session_id"] for event in made} == {recording_id("sentinel")}
    assert sorted(event["kind"]["type"] for event in made) == sorted(event["kind"]["type"] for event in kept)
    assert made[0] == kept[0] | {"timestamp": made[0]["timestamp"], "digest": made[0]["digest"]}
