"""The command line: one module per command, imported when it is called.

The console scripts point here. Nothing but `click` is imported for `--help`.
"""

from __future__ import annotations


def life() -> None:
    """`life …`"""
    from life.cli.groups import life as group

    group()


def arcan() -> None:
    """`arcan …`"""
    from life.cli.groups import arcan as group

    group()


def haima() -> None:
    """`haima …`"""
    from life.cli.groups import haima as group

    group()


def lago() -> None:
    """`lago …`"""
    from life.cli.groups import lago as group

    group()


def arcand() -> None:
    """`arcand …`"""
    from life.cli.arcand import arcand as command

    command()


def haimad() -> None:
    """`haimad …`"""
    from life.cli.haimad import haimad as command

    command()


def somad() -> None:
    """`somad …`"""
    from life.cli.somad import somad as command

    command()


def lagod() -> None:
    """`lagod …`"""
    from life.cli.lagod import lagod as command

    command()


def autonomicd() -> None:
    """`autonomicd …`"""
    from life.cli.autonomicd import autonomicd as command

    command()


def spacesd() -> None:
    """`spacesd …`"""
    from life.cli.spacesd import spacesd as command

    command()
