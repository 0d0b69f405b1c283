"""What every command shares: the data directory option, running a coroutine, and errors for people."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from life.aios.errors import LifeError
from life.host.data_directory import DEFAULT_NAME

P = ParamSpec("P")
T = TypeVar("T")

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(DEFAULT_NAME),
    envvar="LIFE_DATA_DIR",
    show_default=True,
    help="Where the project's journal, identity and workspaces live.",
)

workspace_option = click.option(
    "--workspace",
    type=click.Path(path_type=Path, file_okay=False),
    help="Work in this directory, instead of an empty one; for a session that has not run yet.",
)


def command_errors(function: Callable[P, T]) -> Callable[P, T]:
    """A LifeError becomes one sentence and the next step on stderr, and exit code 1. Interrupts are quiet."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except LifeError as error:
            report(error)
            sys.exit(1)
        except KeyboardInterrupt:
            sys.exit(130)

    return guarded


def report(error: LifeError) -> None:
    """The sentence, the code and the next step, on stderr."""
    click.echo(f"Error: {error.message} [{error.code}]", err=True)
    if error.next_step:
        click.echo(f"  → {error.next_step}", err=True)


def run(coroutine: Coroutine[object, object, T]) -> T:
    """Run an async command to its end."""
    return asyncio.run(coroutine)
