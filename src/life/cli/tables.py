"""Tables for people: columns as wide as their words, amounts on the right."""

from __future__ import annotations

from collections.abc import Sequence

import click


def print_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), empty: str = ""
) -> None:
    """Print rows under their headings. `right` names the columns (from 0) that are set flush right.

    Without rows, `empty` stands instead where it is given, on stderr: it is no row.
    """
    if not rows and empty:
        click.echo(empty, err=True)
        return
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    for number, row in enumerate((headings, *rows)):
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        line = "  ".join(cells).rstrip()
        click.echo(click.style(line, bold=True) if number == 0 else line)
