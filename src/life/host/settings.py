"""Settings: flag > environment > file > default.

The file is `config.toml` in the data directory, with the sections below. The environment spells a setting
`LIFE_<SECTION>_<NAME>` (`LIFE_MODEL_PROVIDER=anthropic`); lists are comma-separated. A setting that nobody knows, in
either place, is an error, so a typing mistake never silently does nothing. Secrets are not settings: API keys come from
the vendors' own variables, the passphrase from `LIFE_PASSPHRASE` or a prompt.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, get_type_hints

import msgspec

from life.aios.state import EconomicMode
from life.host.errors import SettingsError

KNOWN_ELSEWHERE: Final = frozenset({"LIFE_DATA_DIR", "LIFE_PASSPHRASE", "LIFE_KEY_FILE", "LIFE_PROVIDER_API_KEY"})
"""`LIFE_` variables that are read by other parts."""


class DaemonSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a daemon listens."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 3000
    proxy_hosts: tuple[str, ...] = ()
    """Host names under which a proxy with TLS forwards to us; setting one permits binding beyond loopback."""
    journal_writer: Literal["process", "in_loop"] = "process"
    """Where the journal commits: a process of its own stays quick beside a busy loop."""


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which model thinks, and how long."""

    provider: str = "scripted"
    """`scripted`, `scripted:FILE`, `anthropic[:MODEL]`, `openai[:MODEL]`, `ollama[:MODEL]`."""
    system: str = ""
    """Instructions that every session begins with."""
    max_steps: Annotated[int, msgspec.Meta(ge=1)] = 24
    max_output_tokens: Annotated[int, msgspec.Meta(ge=1)] = 4096


class PaymentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the agent may spend (haima.md §1.4). 1,000,000 micro-credits are 1 USDC."""

    enabled: bool = True
    network: str = "eip155:4020402"
    """CAIP-2. The default is the embedded local ledger with play money."""
    auto_approve_cap_micro: int = 100
    hard_cap_per_tx_micro: int = 1_000_000
    session_spend_cap_micro: int = 10_000_000
    total_spend_cap_micro: int | None = None
    max_tx_per_minute: int = 10
    economic_mode: EconomicMode = "sovereign"


class ToolSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What tools may reach."""

    allow_private_hosts: tuple[str, ...] = ()
    """`host` or `host:port` patterns on private or loopback addresses that `http_fetch` may use."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All settings."""

    daemon: DaemonSettings = DaemonSettings()
    model: ModelSettings = ModelSettings()
    payments: PaymentSettings = PaymentSettings()
    tools: ToolSettings = ToolSettings()


def load_settings(
    file: Path | None, environment: Mapping[str, str], flags: Mapping[str, str | int | list[str] | None] | None = None
) -> Settings:
    """The settings in force. `flags` are `section.name` → value, None meaning "not given"."""
    values = _from_file(file) if file is not None and file.exists() else {}
    _merge_environment(values, environment)
    for key, value in (flags or {}).items():
        if value is not None:
            section, name = key.split(".")
            values.setdefault(section, {})[name] = value
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"A setting can't be right: {error}.") from None


def _from_file(file: Path) -> dict[str, dict[str, object]]:
    try:
        with file.open("rb") as stream:
            values = tomllib.load(stream)
        msgspec.convert(values, Settings)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}.") from None
    except msgspec.ValidationError as error:
        raise SettingsError(f"{file}: {error}.") from None
    except OSError as error:
        raise SettingsError(f"{file} can't be read: {error.strerror}.") from None
    return values


def _merge_environment(values: dict[str, dict[str, object]], environment: Mapping[str, str]) -> None:
    names = _environment_names()
    for variable, text in environment.items():
        if not variable.startswith("LIFE_") or variable in KNOWN_ELSEWHERE:
            continue
        if variable not in names:
            raise SettingsError(
                f"The environment variable {variable} is not a setting of Life.",
                next_step="`life settings` lists them all.",
            )
        section, name, is_list = names[variable]
        value: object = [part.strip() for part in text.split(",") if part.strip()] if is_list else text
        values.setdefault(section, {})[name] = value


def _environment_names() -> dict[str, tuple[str, str, bool]]:
    names = {}
    for section, kind in get_type_hints(Settings).items():
        for name, hint in get_type_hints(kind).items():
            names[f"LIFE_{section}_{name}".upper()] = (section, name, hint == tuple[str, ...])
    return names


def describe(settings: Settings) -> list[tuple[str, str, str]]:
    """(setting, environment variable, value in force) of every setting, for people."""
    rows = []
    for variable, (section, name, _) in _environment_names().items():
        value = getattr(getattr(settings, section), name)
        rows.append((f"{section}.{name}", variable, ", ".join(value) if isinstance(value, tuple) else str(value)))
    return rows
