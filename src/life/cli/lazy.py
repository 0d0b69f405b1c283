"""Groups whose commands are imported when they are called, so that help and completion stay quick."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import NamedTuple

import click


class Lazy(NamedTuple):
    """Where a command lives, and the line that the group's help shows for it (a test holds both together)."""

    target: str
    """`module:attribute`."""
    short_help: str


class LazyGroup(click.Group):
    """A click group over a table of commands."""

    def __init__(self, name: str, commands: Mapping[str, Lazy], *, help: str) -> None:
        super().__init__(name=name, help=help, context_settings={"help_option_names": ["-h", "--help"]})
        self.lazy = dict(commands)
        self.params.append(_version_option())

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        lazy = self.lazy.get(cmd_name)
        return None if lazy is None else load(lazy)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.short_help) for name, lazy in self.lazy.items()])


def load(lazy: Lazy) -> click.Command:
    """The command itself."""
    module, _, attribute = lazy.target.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    return command


def _version_option() -> click.Option:
    def show(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            import life

            click.echo(f"life {life.__version__}")
            ctx.exit()

    return click.Option(
        ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=show, help="Show the version and exit."
    )
