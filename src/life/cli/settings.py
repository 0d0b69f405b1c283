"""`life settings`"""

from __future__ import annotations

import os
from pathlib import Path

import click

from life.cli.run import command_errors, data_dir_option
from life.host.data_directory import DataDirectory
from life.host.settings import describe, load_settings


@click.command()
@data_dir_option
@command_errors
def settings(data_dir: Path) -> None:
    """List every setting, its variable and its value.

    Precedence: flag, then environment, then config.toml in the data directory, then the default.
    """
    rows = describe(load_settings(DataDirectory(data_dir).config, os.environ))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, variable, value in rows:
        click.echo(f"{name:<{widths[0]}}  {variable:<{widths[1]}}  {value}".rstrip())
