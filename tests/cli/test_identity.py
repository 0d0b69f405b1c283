"""`arcan identity …` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from life.cli.groups import arcan


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    return CliRunner(env={"LIFE_KEY_FILE": str(tmp_path / "keys" / "identity.key"), "LIFE_PASSPHRASE": None})


def invoke(runner: CliRunner, *words: str) -> Result:
    return runner.invoke(arcan, ["identity", *words])


def test_new_makes_an_identity_once(runner: CliRunner) -> None:
    """It prints DID, wallet, custody and the next step; running it again changes nothing."""
    first = invoke(runner, "new", "--name", "scout")
    assert first.exit_code == 0, first.output
    assert all(word in first.output for word in ("did:key:zDn", "0x", "in_process", "scout", "Next:"))
    again = invoke(runner, "new", "--name", "other", "--json")
    facts = json.loads(again.output)
    assert facts["created"] is False
    assert facts["name"] == "scout"
    assert facts["did"] in first.output


def test_the_seed_is_private_from_the_start(runner: CliRunner, tmp_path: Path) -> None:
    """seed.enc has mode 0600 and the project's repository will not take it."""
    invoke(runner, "new")
    assert (tmp_path / ".life" / "identity" / "seed.enc").stat().st_mode & 0o777 == 0o600
    assert "!identity/soul.json" in (tmp_path / ".life" / ".gitignore").read_text().split("\n")


def test_show_verifies_and_token_is_issued(runner: CliRunner) -> None:
    """`show` proves the seed; `token` is a compact JWS of three parts."""
    invoke(runner, "new")
    assert "match the seed" in invoke(runner, "show").output
    assert invoke(runner, "token", "--audience", "svc").output.count(".") == 2


def test_a_changed_soul_is_refused(runner: CliRunner, tmp_path: Path) -> None:
    """One changed letter of the mission is found, named, and nothing is overwritten."""
    invoke(runner, "new", "--mission", "Do good.")
    soul = tmp_path / ".life" / "identity" / "soul.json"
    soul.write_text(soul.read_text().replace("Do good.", "Do evil."))
    result = invoke(runner, "show")
    assert result.exit_code == 1
    assert "Error:" in result.output
    assert "Traceback" not in result.output
    assert invoke(runner, "new").exit_code == 1
    assert "Do evil." in soul.read_text()


def test_without_an_identity_show_says_what_to_do(runner: CliRunner) -> None:
    """One sentence and the next step."""
    result = invoke(runner, "show")
    assert result.exit_code == 1
    assert "arcan identity new" in result.output


def test_a_wrong_passphrase_is_said_plainly(runner: CliRunner) -> None:
    """Neither passphrase appears in the output."""
    assert runner.invoke(arcan, ["identity", "new"], env={"LIFE_PASSPHRASE": "right horse battery"}).exit_code == 0
    result = runner.invoke(arcan, ["identity", "show"], env={"LIFE_PASSPHRASE": "wrong horse battery"})
    assert result.exit_code == 1
    assert "horse" not in result.output
