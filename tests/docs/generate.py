"""Write the reference pages that must equal the code: `python -m tests.docs.generate`.

docs/reference/cli.md     every command's help, as it prints
docs/reference/errors.md  every error code, its HTTP status and its meaning
"""

from __future__ import annotations

import copy
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import click

import life
from life.aios.errors import LifeError
from life.cli.arcand import arcand
from life.cli.autonomicd import autonomicd
from life.cli.groups import arcan, haima, lago
from life.cli.groups import life as life_group
from life.cli.haimad import haimad
from life.cli.lagod import lagod
from life.cli.somad import somad
from life.cli.spacesd import spacesd

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
_WIDTH = 100


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command by its words; a group that appears under two names is listed once, where it stands first."""
    seen: set[int] = set()

    def walk(words: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        if id(command) in seen:
            return
        seen.add(id(command))
        yield words, command
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=words)
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                assert child is not None
                yield from walk(f"{words} {name}", child)

    for name, command in (
        ("arcand", arcand),
        ("haimad", haimad),
        ("lagod", lagod),
        ("autonomicd", autonomicd),
        ("spacesd", spacesd),
        ("somad", somad),
        ("arcan", arcan),
        ("haima", haima),
        ("lago", lago),
        ("life", life_group),
    ):
        yield from walk(name, command)


def cli_page() -> str:
    """The page of all helps."""
    parts = ["# Commands\n\nWritten by `python -m tests.docs.generate`; a test compares it with the commands.\n"]
    for words, command in commands():
        # Commands inherit `-h` from their group. Click keeps the option that a command was first asked with, so a fresh copy is asked.
        fresh = copy.copy(command)
        vars(fresh)["_help_option"] = None
        context = click.Context(
            fresh,
            info_name=words,
            terminal_width=_WIDTH,
            max_content_width=_WIDTH,
            help_option_names=["-h", "--help"],
        )
        parts.append(f"## `{words}`\n\n```text\n{fresh.get_help(context)}\n```\n")
    return "\n".join(parts)


def error_classes() -> list[type[LifeError]]:
    """Every error class of the package, by code."""
    for module in pkgutil.walk_packages(life.__path__, "life."):
        if not module.name.startswith("life.testing") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: dict[type[LifeError], None] = {}
    pending: list[type[LifeError]] = [LifeError]
    while pending:
        kind = pending.pop()
        if kind not in found and kind.__module__.startswith("life."):
            found[kind] = None
            pending += kind.__subclasses__()
    return sorted(found, key=lambda kind: (kind.code, kind.__name__))


def errors_page() -> str:
    """The page of all codes."""
    rows = [
        "# Error codes\n",
        "Written by `python -m tests.docs.generate`; a test compares it with the classes. HTTP answers are problem",
        "details (RFC 9457) that carry the code; the command line prints it in brackets.\n",
        "| code | HTTP | try again? | class | meaning |",
        "|---|---|---|---|---|",
    ]
    for kind in error_classes():
        meaning = (kind.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
        again = "yes" if kind.retryable else ""
        rows.append(f"| `{kind.code}` | {kind.status} | {again} | `{kind.__name__}` | {' '.join(meaning.split())} |")
    return "\n".join(rows) + "\n"


PAGES = {"cli.md": cli_page, "errors.md": errors_page}

if __name__ == "__main__":
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page())
