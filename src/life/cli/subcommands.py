"""Groups that do something themselves when no command is named."""

from __future__ import annotations

import click
from click.core import ParameterSource


def is_alone(ctx: click.Context) -> bool:
    """Whether the group was called without a command. UsageError when options stand before a command: they are the group's
    own and would change nothing there."""
    if ctx.invoked_subcommand is None:
        return True
    for param in ctx.command.params:
        if param.name is not None and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{param.opts[0]} must stand behind {ctx.invoked_subcommand}.", ctx)
    return False
