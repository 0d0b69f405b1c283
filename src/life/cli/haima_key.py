"""How commands take a private key: from HAIMA_PRIVATE_KEY, or, for tests, from the command line; for Solana from
HAIMA_SOLANA_KEY."""

from __future__ import annotations

import os
import re

import click

VARIABLE = "HAIMA_PRIVATE_KEY"
SOLANA_VARIABLE = "HAIMA_SOLANA_KEY"

_KEY = re.compile(r"(?<![0-9a-zA-Z])(0[xX])?[0-9a-fA-F]{64}(?![0-9a-zA-Z])")


class KeyCommand(click.Command):
    """A command that takes a key. A slip on the command line must not print it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click; what looks like a key is cut out of every message."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(_KEY.sub("<key>", error.format_message()), ctx) from None


def key_option(help: str) -> click.Option:
    """`--key`, with `help` and where else a key may come from."""
    return click.Option(
        ["--key"],
        metavar="0x…",
        help=f"{help} Better: export {VARIABLE}. A key on the command line is visible to others and is for tests.",
    )


def take_key(given: str | None) -> str | None:
    """The key, if there is one; a warning when it stood on the command line. The variable is taken out of the environment,
    so that no child process inherits it."""
    exported = os.environ.pop(VARIABLE, None)
    if given is not None:
        click.echo(
            f"Warning: other users of this machine can read a key on the command line (/proc/<pid>/cmdline, ps), and the "
            f"shell remembers it. Export {VARIABLE} instead.",
            err=True,
        )
        return given
    return exported or None


def take_solana_key() -> str | None:
    """The key for Solana, from HAIMA_SOLANA_KEY only; taken out of the environment like the other one."""
    return os.environ.pop(SOLANA_VARIABLE, None) or None
