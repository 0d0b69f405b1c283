"""`life settings` as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from life.cli.groups import life


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    return CliRunner()


def settings(runner: CliRunner, **env: str) -> Result:
    return runner.invoke(life, ["settings", "--data-dir", "d"], env=env)


def value(result: Result, name: str) -> str:
    line = next(line for line in result.output.splitlines() if line.startswith(f"{name} "))
    return " ".join(line.split()[2:])


def config(folder: Path, text: str) -> None:
    (folder / "d").mkdir()
    (folder / "d" / "config.toml").write_text(text)


def test_it_shows_what_is_in_force(runner: CliRunner, tmp_path: Path) -> None:
    """Default, then the file over it, then the environment over both; nothing is made on disk."""
    assert value(settings(runner), "daemon.port") == "3000"
    assert not (tmp_path / "d").exists()
    config(tmp_path, '[daemon]\nport = 4000\nproxy_hosts = ["a.example", "b.example"]\n[payments]\nenabled = false\n')
    shown = settings(runner)
    assert value(shown, "daemon.port") == "4000"
    assert value(shown, "daemon.proxy_hosts") == "a.example, b.example"
    assert value(shown, "payments.enabled") == "False"
    assert value(settings(runner, LIFE_DAEMON_PORT="5000"), "daemon.port") == "5000"
    listed = settings(runner, LIFE_TOOLS_ALLOW_PRIVATE_HOSTS="127.0.0.1:80, ,::1")
    assert value(listed, "tools.allow_private_hosts") == "127.0.0.1:80, ::1"
    assert value(settings(runner, LIFE_PAYMENTS_TOTAL_SPEND_CAP_MICRO="5"), "payments.total_spend_cap_micro") == "5"


def test_secrets_are_not_settings(runner: CliRunner) -> None:
    """Passphrase and API keys may be in the environment; they are neither refused nor shown."""
    shown = settings(
        runner, LIFE_PASSPHRASE="horse", LIFE_PROVIDER_API_KEY="sk-1", LIFE_KEY_FILE="/k", LIFE_DATA_DIR="d"
    )
    assert shown.exit_code == 0, shown.output
    assert "horse" not in shown.output
    assert "sk-1" not in shown.output


@pytest.mark.parametrize(
    "env",
    [
        {"LIFE_DEAMON_PORT": "1"},
        {"LIFE_DAEMON_PORT": "x"},
        {"LIFE_DAEMON_PORT": ""},
        {"LIFE_DAEMON_PORT": "70000"},
        {"LIFE_DAEMON_PORT": "-1"},
        {"LIFE_MODEL_MAX_OUTPUT_TOKENS": "-5"},
        {"LIFE_PAYMENTS_ENABLED": "perhaps"},
        {"LIFE_PAYMENTS_AUTO_APPROVE_CAP_MICRO": "0.5"},
        {"LIFE_DAEMON_JOURNAL_WRITER": "thread"},
        {"LIFE_DAEMON": "x"},
        {"LIFE_": "x"},
    ],
)
def test_a_wrong_variable_is_named(runner: CliRunner, env: dict[str, str]) -> None:
    """Unknown, or a value that can't be right: one sentence with the code, exit 1."""
    result = settings(runner, **env)
    assert result.exit_code == 1
    assert "[host.invalid_setting]" in result.output
    assert next(iter(env)).removeprefix("LIFE_").lower().split("_")[-1] in result.output.lower()


@pytest.mark.parametrize(
    "text",
    [
        "[daemon\n",
        "[demon]\n",
        "[daemon]\nprot = 1\n",
        '[daemon]\nport = "x"\n',
        "daemon = 5\n",
        "\x00",
        "[model]\nsystem = 5\n",
    ],
)
def test_a_wrong_file_is_named(runner: CliRunner, tmp_path: Path, text: str) -> None:
    """The sentence names the file and what does not fit."""
    config(tmp_path, text)
    result = settings(runner)
    assert result.exit_code == 1
    assert "[host.invalid_setting]" in result.output
    assert "config.toml" in result.output


def test_a_file_that_is_not_text_is_named(runner: CliRunner, tmp_path: Path) -> None:
    """Neither bytes that are no UTF-8 nor a folder in its place lead to a traceback."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "config.toml").write_bytes(b"\xff\xfe[daemon]\n")
    assert "[host.invalid_setting]" in settings(runner).output
    (tmp_path / "d" / "config.toml").unlink()
    (tmp_path / "d" / "config.toml").mkdir()
    assert "[host.invalid_setting]" in settings(runner).output
