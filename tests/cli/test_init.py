"""`life init`: makes what is missing, tries what is there, asks nothing."""

from __future__ import annotations

import json
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

from life.host.project import config_text, found_models
from life.host.settings import Settings, describe, load_settings
from tests.cli.shell_kit import run


def init(folder: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return run("init", folder, *options, env=variables)


def test_twice_is_once(tmp_path: Path) -> None:
    """The second run changes no byte, and says that it tried the identity."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("*.pyc")
    first = json.loads(init(tmp_path, "--json").stdout)
    assert {step["what"] for step in first["steps"]} == {"made", "added"}
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and ".git/" not in str(path)}
    second = json.loads(init(tmp_path, "--json").stdout)
    assert {step["what"] for step in second["steps"]} == {"kept", "checked"}
    assert first["did"] == second["did"]
    assert files == {
        path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and ".git/" not in str(path)
    }
    assert "nothing was changed" in init(tmp_path).stdout


def test_git_keeps_settings_and_soul_only(tmp_path: Path) -> None:
    """What `git add` would take of the project: never the seed, the journal or the token."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    init(tmp_path)
    (tmp_path / "life" / "token").write_text("secret")
    (tmp_path / "life" / ".gitignore").unlink()
    listed = subprocess.run(
        ["git", "-C", tmp_path, "ls-files", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    inside = {line for line in listed.stdout.splitlines() if line.startswith("life/")}
    assert inside == {"life/config.toml", "life/identity/soul.json"}


def test_private_from_the_first_byte(tmp_path: Path) -> None:
    """The data directory is 0700, the seed 0600."""
    init(tmp_path)
    assert stat.S_IMODE((tmp_path / "life").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "life" / "identity" / "seed.enc").stat().st_mode) == 0o600


def test_an_identity_that_does_not_hold_is_found(tmp_path: Path) -> None:
    """A seed that is gone or changed is an error of the second run, not a success."""
    init(tmp_path)
    seed = tmp_path / "life" / "identity" / "seed.enc"
    content = seed.read_bytes()
    seed.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    broken = init(tmp_path)
    assert broken.returncode == 1
    assert "Traceback" not in broken.stderr
    seed.unlink()
    assert init(tmp_path).returncode == 1


def test_keys_are_found_by_name_only(tmp_path: Path) -> None:
    """A vendor whose key is set is named; the key itself is nowhere. --provider beats what was found."""
    ran = init(tmp_path, ANTHROPIC_API_KEY="sk-very-secret")
    assert "ANTHROPIC_API_KEY" in ran.stdout
    assert "sk-very-secret" not in ran.stdout + ran.stderr
    assert not any(b"sk-very-secret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    found = found_models({"OPENAI_API_KEY": "x", "GOOGLE_API_KEY": "y", "GEMINI_API_KEY": "z"})
    assert [(each.variable, each.provider) for each in found] == [
        ("OPENAI_API_KEY", "openai"),
        ("GEMINI_API_KEY", "gemini"),
    ]
    other = tmp_path / "other"
    other.mkdir()
    init(other, "--provider", "ollama:llama3.2", ANTHROPIC_API_KEY="sk-very-secret")
    assert load_settings(other / "life" / "config.toml", {}).model.provider == "ollama:llama3.2"


@pytest.mark.parametrize("provider", [None, "anthropic"])
def test_the_settings_file_is_true(tmp_path: Path, provider: str | None) -> None:
    """As it is written it changes nothing but the model; with every comment taken away it says the defaults."""
    path = tmp_path / "config.toml"
    path.write_text(config_text(provider))
    assert load_settings(path, {}).model.provider == (provider or "scripted")
    settings = {name: value for name, _, value in describe(Settings())}
    bare = "\n".join(
        line.removeprefix("# ") if line.startswith("# ") and " = " in line else line
        for line in config_text(None).splitlines()
    )
    for section, values in tomllib.loads(bare).items():
        for name, value in values.items():
            default = settings[f"{section}.{name}"]
            if name != "effort":
                assert (str(value) if not isinstance(value, list) else ", ".join(value)) == default, name


def test_it_says_when_it_can_not(tmp_path: Path) -> None:
    """Settings that can't be right are one sentence, no traceback."""
    (tmp_path / "life").mkdir()
    (tmp_path / "life" / "config.toml").write_text("nonsense = 1")
    ran = init(tmp_path)
    assert ran.returncode == 1
    assert "nonsense" in ran.stderr
    assert "Traceback" not in ran.stderr
