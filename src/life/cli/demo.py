"""`life demo …`"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from life.cli.run import command_errors, run
from life.host.first_payment import Line
from life.host.first_payment import first_payment as play
from life.host.first_payment_proof import Proof

_LABEL_COLUMNS = 12
_NAME_COLUMNS = 24


@click.command(name="first-payment", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Play it in this data directory and keep it.  [default: a temporary one]",
)
@command_errors
def first_payment(data_dir: Path | None) -> None:
    """An agent meets a price, decides, pays and proves it, step by step.

    A shop and an agent run in this terminal, with real HTTP on loopback, play money, and the real journal. In the end
    every state is built again from the journal alone and compared, byte for byte. The exit code is 0 only if every proof
    holds.
    """
    where = "a temporary data directory" if data_dir is None else str(data_dir)
    click.echo(click.style("The first payment", bold=True) + f"  (offline, play money, in {where})\n")
    proofs = run(play(data_dir, _tell))
    click.echo(click.style("\nThe proof", bold=True))
    for proof in proofs:
        _prove(proof)
    failed = [proof.name for proof in proofs if not proof.holds]
    if failed:
        click.echo(f"\nThis does not hold: {', '.join(failed)}.", err=True)
        sys.exit(1)
    if data_dir is not None:
        click.echo(f"\nLook into it: lago journal tail --data-dir {data_dir}")


def _tell(line: Line) -> None:
    label = click.style(f"{line.label:<{_LABEL_COLUMNS}}", fg="cyan") if line.label else " " * _LABEL_COLUMNS
    click.echo(f"  {label}{line.text}")


def _prove(proof: Proof) -> None:
    mark = click.style("holds", fg="green") if proof.holds else click.style("FAILS", fg="red", bold=True)
    click.echo(f"  {mark}  {proof.name:<{_NAME_COLUMNS}}{proof.found}")
