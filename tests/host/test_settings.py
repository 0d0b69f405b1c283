"""Settings: precedence, and no silent mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from life.host.errors import SettingsError
from life.host.settings import describe, load_settings


def write(folder: Path, text: str) -> Path:
    file = folder / "config.toml"
    file.write_text(text)
    return file


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    """Each source overrides the one behind it, setting by setting."""
    file = write(tmp_path, '[model]\nprovider = "file"\nmax_steps = 5\n[daemon]\nport = 4000\n')
    settings = load_settings(
        file,
        {"LIFE_MODEL_PROVIDER": "environment", "LIFE_DAEMON_PORT": "5000"},
        {"daemon.port": 6000, "daemon.host": None},
    )
    assert (settings.model.provider, settings.model.max_steps) == ("environment", 5)
    assert (settings.daemon.port, settings.daemon.host) == (6000, "127.0.0.1")


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ("[model]\nprovidr = 'x'\n", {}),
        ("[modell]\n", {}),
        ("[daemon]\nport = 'many'\n", {}),
        ("[daemon\n", {}),
        ("", {"LIFE_MODEL_PROVIDR": "x"}),
        ("", {"LIFE_DAEMON_PORT": "many"}),
    ],
)
def test_a_mistake_is_an_error_that_names_it(tmp_path: Path, text: str, environment: dict[str, str]) -> None:
    """Unknown names and unfit values are refused, in the file and in the environment."""
    with pytest.raises(SettingsError):
        load_settings(write(tmp_path, text), environment)


def test_lists_come_comma_separated_from_the_environment() -> None:
    """`a, b` is two entries; other programs' variables are not ours to judge."""
    settings = load_settings(None, {"LIFE_TOOLS_ALLOW_PRIVATE_HOSTS": "127.0.0.1:80, localhost", "PATH": "/bin"})
    assert settings.tools.allow_private_hosts == ("127.0.0.1:80", "localhost")


def test_every_setting_can_be_described() -> None:
    """The listing for people covers each setting with its variable and value."""
    rows = {name: (variable, value) for name, variable, value in describe(load_settings(None, {}))}
    assert rows["model.provider"] == ("LIFE_MODEL_PROVIDER", "scripted")
    assert len({variable for variable, _ in rows.values()}) == len(rows) > 10


def test_a_login_in_an_address_is_not_shown() -> None:
    """What lists the settings, at the terminal and on the page, leaves names and passwords of addresses out."""
    settings = load_settings(None, {"LIFE_JOURNAL_NATS_URLS": "nats://ann:secret@10.0.0.1:4222,nats://10.0.0.2:4222"})
    shown = {name: value for name, _, value in describe(settings)}
    assert shown["journal.nats_urls"] == "nats://…@10.0.0.1:4222, nats://10.0.0.2:4222"
    assert settings.journal.nats_urls[0] == "nats://ann:secret@10.0.0.1:4222"
