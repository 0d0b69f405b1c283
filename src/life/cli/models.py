"""`life models`: which models can be asked and what they cost; their keys, tried and sealed under the agent's custody."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from life.aios.errors import InvalidInputError, NotFoundError
from life.cli.identity_opening import ask_passphrase
from life.cli.run import command_errors, data_dir_option, run
from life.cli.tables import print_table
from life.host.data_directory import DataDirectory

if TYPE_CHECKING:
    from life.host.model_keys import ModelKeys
    from life.host.model_test_call import KeyTester, Tested

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
MODEL = click.option(
    "--model", default="", help="Ask this model, instead of the cheapest known; for compatible MODEL@URL."
)
_MICRO: Final = 1_000_000


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def models() -> None:
    """Models, their prices, and the keys of their providers."""


@models.command("list")
@data_dir_option
@JSON
@click.option("--ready", "only_ready", is_flag=True, help="Only those that can be asked now.")
@command_errors
def list_(data_dir: Path, as_json: bool, only_ready: bool) -> None:
    """List the models that can be named, with prices in USD per million tokens."""
    import msgspec

    from life.host.model_api import ModelList
    from life.host.model_list import list_models
    from life.host.settings import load_settings

    data = DataDirectory(data_dir)
    settings = load_settings(data.config, os.environ)
    found = run(list_models(settings, _keys(data)))
    if only_ready:
        found = [line for line in found if line.ready]
    if as_json:
        click.echo(msgspec.json.encode(ModelList(models=found, default=settings.model.provider)).decode())
        return
    rows = [
        (
            f"{line.id} *" if line.id == settings.model.provider else line.id,
            _usd(line.input_micro_per_mtok),
            _usd(line.output_micro_per_mtok),
            line.priced_on or "",
            "ready" if line.ready else line.why_not,
        )
        for line in found
    ]
    print_table(("model", "input", "output", "priced on", ""), rows, right=(1, 2))
    click.echo(f"Sessions that name none use {settings.model.provider} (model.provider).")


@models.group()
def key() -> None:
    """Keys of model providers: anthropic, openai, gemini; compatible for addresses in a specification (MODEL@URL)."""


@key.command("list")
@data_dir_option
@JSON
@command_errors
def list_keys(data_dir: Path, as_json: bool) -> None:
    """Show which keys are in force, and where from. Never a key."""
    import msgspec

    lines = _keys(DataDirectory(data_dir)).lines()
    if as_json:
        click.echo(msgspec.json.encode({"keys": lines}).decode())
        return
    rows = []
    for line in lines:
        source = {"environment": line.variable, "stored": "stored", "none": "none"}[line.source]
        remark = "" if line.readable else "can't be opened; enter it again"
        if line.stored and line.source == "environment":
            remark = f"a stored key is there; {line.variable} goes before it"
        rows.append((line.provider, source, (line.set_at or "")[:19].replace("T", " "), line.address, remark))
    print_table(("provider", "key", "set at (UTC)", "sent to", ""), rows)


@key.command("set")
@data_dir_option
@click.argument("provider")
@MODEL
@click.option("--no-test", is_flag=True, help="Store it without asking the vendor.")
@JSON
@command_errors
def set_(data_dir: Path, provider: str, model: str, no_test: bool, as_json: bool) -> None:
    """Try a key with one short call, and seal it under the agent's custody.

    The key is asked for without being shown, or read from standard input (`life models key set anthropic < FILE`). It is never an argument:
    those are seen by everybody on the machine.
    """
    import msgspec

    from life.host.model_keys import check_key, check_provider

    check_provider(provider)
    data = DataDirectory(data_dir)
    _has_identity(data)
    keys = _keys(data)
    given = _read_key(provider)
    check_key(given)
    tested = None if no_test else run(_test(_tester(keys), provider, model, given))
    line = keys.store(provider, given)
    if as_json:
        click.echo(msgspec.json.encode(line).decode())
        return
    if tested is not None:
        click.echo(f"{tested.model} answered within {tested.took_ms} ms.")
    click.echo(f"The key of {provider} is sealed in {data.root}. It counts from the next call on.")
    if line.source == "environment":
        click.echo(f"{line.variable} of the environment goes before it.", err=True)


@key.command()
@data_dir_option
@click.argument("provider")
@MODEL
@JSON
@command_errors
def test(data_dir: Path, provider: str, model: str, as_json: bool) -> None:
    """Try the key in force with one short call."""
    import msgspec

    tested = run(_test(_tester(_keys(DataDirectory(data_dir))), provider, model, None))
    if as_json:
        click.echo(msgspec.json.encode({"provider": provider, **tested._asdict()}).decode())
        return
    click.echo(f"{tested.model} answered within {tested.took_ms} ms.")


@key.command()
@data_dir_option
@click.argument("provider")
@command_errors
def forget(data_dir: Path, provider: str) -> None:
    """Remove a stored key. Revoke it at the vendor as well when somebody may have seen it."""
    keys = _keys(DataDirectory(data_dir))
    had = keys.line(provider).stored
    line = keys.forget(provider)
    click.echo(f"The stored key of {provider} is gone." if had else f"There was no stored key of {provider}.")
    if line.source == "environment":
        click.echo(f"{line.variable} of the environment is still in force.", err=True)


def _keys(data: DataDirectory) -> ModelKeys:
    from life.host.clock import SystemClock, SystemEntropy
    from life.host.model_keys import project_model_keys

    return project_model_keys(data, SystemClock(), SystemEntropy(), environment=os.environ, prompt=ask_passphrase)


def _tester(keys: ModelKeys) -> KeyTester:
    from life.host.clock import SystemClock, SystemEntropy
    from life.host.model_test_call import KeyTester

    return KeyTester(keys, os.environ, SystemClock(), SystemEntropy())


async def _test(tester: KeyTester, provider: str, model: str, given: str | None) -> Tested:
    return await tester.test(provider, key=given, model=model)


def _has_identity(data: DataDirectory) -> None:
    if not (data.identity / "soul.json").exists():
        raise NotFoundError(
            f"There is no identity in {data.root} that a key could be sealed under.", next_step="life init makes one."
        )


def _read_key(provider: str) -> str:
    if sys.stdin.isatty():
        return str(click.prompt(f"Key of {provider}", hide_input=True, err=True)).strip()
    given = sys.stdin.read(4096).strip()
    if not given:
        raise InvalidInputError("Standard input holds no key.")
    return given


def _usd(micro: int | None) -> str:
    """USD with as many digits as it needs, at least two; `?` when it is not known."""
    if micro is None:
        return "?"
    whole, rest = divmod(micro, _MICRO)
    return f"{whole}.{f'{rest:06}'.rstrip('0').ljust(2, '0')}"
