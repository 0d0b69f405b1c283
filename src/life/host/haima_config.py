"""`haimad --config FILE`: what a finance daemon offers besides settling (TOML).

    [outcomes]
    schemas = "schemas"                     # folder of <rule_id>.json, JSON Schemas for `data_validated`
    webhook_secret_file = "webhook.secret"  # at least 32 bytes; without it no webhook is asked
    fleet_contracts = false

    [outcomes.tests.unit]                   # scope `unit` of `tests_passed`
    command = ["python", "-m", "pytest", "-q"]
    directory = "/srv/checkouts/{task_id}"
    timeout_secs = 600

    [insurance]
    enabled = true
    seed_micro_usd = 0                      # the operator's own money, booked as that

    [accounts]
    deposit_addresses = ["0x…"]             # addresses of ours that take deposits and nothing else
    repayment_addresses = ["0x…"]

Relative paths begin at the file's folder. A name that nobody knows is an error.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final

import msgspec

from life.aios.json import JsonObject
from life.host.errors import SettingsError
from life.host.haima_wallet import read_address

MIN_SECRET_BYTES: Final = 32


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the file."""


class TestCommand(_Section, frozen=True, kw_only=True):
    """What is run for a scope. `{task_id}` and `{session_id}` in the directory are the task's."""

    __test__ = False  # not a test of ours, whatever its name

    command: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    directory: str
    timeout_secs: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 600


class OutcomeConfig(_Section, frozen=True, kw_only=True):
    """Outcome pricing."""

    schemas: str | None = None
    webhook_secret_file: str | None = None
    fleet_contracts: bool = False
    tests: dict[str, TestCommand] = {}


class InsuranceConfig(_Section, frozen=True, kw_only=True):
    """Insurance."""

    enabled: bool = True
    seed_micro_usd: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0


class AccountConfig(_Section, frozen=True, kw_only=True):
    """The house's accounts."""

    deposit_addresses: tuple[str, ...] = ()
    repayment_addresses: tuple[str, ...] = ()


class HaimadConfig(_Section, frozen=True, kw_only=True):
    """The file."""

    outcomes: OutcomeConfig = OutcomeConfig()
    insurance: InsuranceConfig = InsuranceConfig()
    accounts: AccountConfig = AccountConfig()


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """The file with everything that it names, read."""

    config: HaimadConfig = HaimadConfig()
    schemas: dict[str, JsonObject] = {}
    webhook_secret: bytes | None = None

    def __repr__(self) -> str:
        return f"Prepared(schemas={sorted(self.schemas)}, webhook_secret={'set' if self.webhook_secret else 'unset'})"


def load_config(file: Path | None) -> Prepared:
    """The file and what it names; SettingsError with the place of what can't be right. No file: the defaults."""
    if file is None:
        return Prepared()
    try:
        config = msgspec.convert(tomllib.loads(file.read_text("utf-8")), HaimadConfig, strict=True)
    except OSError as error:
        raise SettingsError(f"The file {file} can't be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"The file {file} is no TOML: {error}.") from None
    except msgspec.ValidationError as error:
        raise SettingsError(f"A setting in {file} can't be right: {error}.") from None
    for address in (*config.accounts.deposit_addresses, *config.accounts.repayment_addresses):
        read_address(address, "address of the house")
    both = {a.lower() for a in config.accounts.deposit_addresses} & {
        a.lower() for a in config.accounts.repayment_addresses
    }
    if both:
        raise SettingsError(f"An address takes either deposits or repayments, not both: {sorted(both)[0]}.")
    folder = file.resolve().parent
    secret = None
    if config.outcomes.webhook_secret_file is not None:
        secret = _secret(folder / config.outcomes.webhook_secret_file)
    schemas = {} if config.outcomes.schemas is None else _schemas(folder / config.outcomes.schemas)
    return Prepared(config=config, schemas=schemas, webhook_secret=secret)


def _secret(path: Path) -> bytes:
    try:
        mode, secret = path.stat().st_mode, path.read_bytes().strip()
    except OSError as error:
        raise SettingsError(f"The webhook secret {path} can't be read: {error.strerror}.") from None
    if mode & 0o077:
        raise SettingsError(f"Others can read the webhook secret {path}.", next_step=f"chmod 600 {path}")
    if len(secret) < MIN_SECRET_BYTES:
        raise SettingsError(f"The webhook secret {path} has less than {MIN_SECRET_BYTES} bytes.")
    return secret


def _schemas(folder: Path) -> dict[str, JsonObject]:
    if not folder.is_dir():
        raise SettingsError(f"The folder of schemas {folder} is not there.")
    found: dict[str, JsonObject] = {}
    for file in sorted(folder.glob("*.json")):
        try:
            found[file.stem] = msgspec.json.decode(file.read_bytes(), type=dict)
        except (OSError, msgspec.DecodeError) as error:
            raise SettingsError(f"The schema {file} can't be read: {error}.") from None
    return found
