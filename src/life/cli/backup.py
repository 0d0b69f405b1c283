"""`life backup …`: create, verify, restore, list."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from life.cli.progress import progress_bar
from life.cli.run import command_errors, data_dir_option, run
from life.cli.tables import print_table
from life.host.backups import open_repository, side_files
from life.host.clock import SystemClock, SystemEntropy
from life.host.data_directory import DataDirectory
from life.lago.backup.making import create_backup
from life.lago.backup.restoring import CheckedBackup, restore_backup, verify_backup
from life.lago.blobs.directory import DirectoryObjects

Command = TypeVar("Command", bound=Callable[..., Any])

place_option = click.option(
    "--to",
    "--from",
    "place",
    required=True,
    envvar="LIFE_BACKUP",
    help="Where backups are: a folder, or s3://BUCKET/PREFIX?endpoint=https://HOST.",
)
backup_argument = click.argument("backup", required=False)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")


@click.command()
@data_dir_option
@place_option
@click.option("--repair", is_flag=True, help="Read what earlier backups left there, and write what is damaged again.")
@json_option
@command_errors
def create(data_dir: Path, place: str, repair: bool, as_json: bool) -> None:
    """Back up the journal and its blobs, while they are in use.

    With them the log of Spaces, and the keys of webhooks and A2A. Only what is new is copied. The identity is not in it: keep identity/seed.enc and its key elsewhere.
    """
    run(_create(data_dir, place, repair=repair, as_json=as_json))


@click.command()
@place_option
@backup_argument
@json_option
@command_errors
def verify(place: str, backup: str | None, as_json: bool) -> None:
    """Read a whole backup (the newest unless one is named) and check every event, digest and blob in it."""
    run(_verify(place, backup, as_json=as_json))


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@place_option
@click.option("--backup", help="Which one; the newest unless told.")
@json_option
@command_errors
def restore(target: Path, place: str, backup: str | None, as_json: bool) -> None:
    """Put a backup back, into a data directory that is empty or not there yet, and verify it."""
    run(_restore(target, place, backup, as_json=as_json))


@click.command("list")
@place_option
@json_option
@command_errors
def list_(place: str, as_json: bool) -> None:
    """List the backups at a place, oldest first."""
    run(_list(place, as_json=as_json))


async def _create(data_dir: Path, place: str, *, repair: bool, as_json: bool) -> None:
    data, clock, entropy = DataDirectory(data_dir), SystemClock(), SystemEntropy()
    async with open_repository(place, clock=clock, entropy=entropy, environment=os.environ) as repository:
        with progress_bar() as step:
            made = await create_backup(
                repository,
                data.journal,
                DirectoryObjects(data.blobs, entropy),
                clock=clock,
                entropy=entropy,
                repair=repair,
                on_progress=step,
                files=side_files(data),
            )
    if as_json:
        click.echo(msgspec.json.encode(made._asdict()).decode())
        return
    click.echo(
        f"{made.backup}: {made.events} events in {made.streams} streams, {made.journal_bytes:,} bytes"
        f" ({made.pieces_new} new pieces); {made.blobs} blobs ({made.blobs_new} new)."
    )
    if made.files:
        click.echo(f"  Also {', '.join(made.files)}.")
    for blob in made.damaged:
        click.echo(f"  The blob {blob} is damaged here and was never backed up.", err=True)


async def _verify(place: str, backup: str | None, *, as_json: bool) -> None:
    entropy = SystemEntropy()
    async with open_repository(place, clock=SystemClock(), entropy=entropy, environment=os.environ) as repository:
        with progress_bar() as step:
            name = backup or await repository.newest()
            checked = await verify_backup(repository, name, entropy=entropy, on_progress=step)
    _tell(checked, "holds", as_json=as_json)


async def _restore(target: Path, place: str, backup: str | None, *, as_json: bool) -> None:
    entropy = SystemEntropy()
    async with open_repository(place, clock=SystemClock(), entropy=entropy, environment=os.environ) as repository:
        with progress_bar() as step:
            name = backup or await repository.newest()
            checked = await restore_backup(repository, name, target, entropy=entropy, on_progress=step)
    _tell(checked, f"is restored to {target}", as_json=as_json)


async def _list(place: str, *, as_json: bool) -> None:
    async with open_repository(
        place, clock=SystemClock(), entropy=SystemEntropy(), environment=os.environ
    ) as repository:
        found = [(name, await repository.read(name)) for name in await repository.backups()]
    if as_json:
        rows = [
            {
                "backup": name,
                "created_at": one.created_at,
                "events": one.journal.events,
                "journal_bytes": one.journal.size_bytes,
                "blobs": one.blobs.objects,
                "blob_bytes": one.blobs.size_bytes,
            }
            for name, one in found
        ]
        click.echo(msgspec.json.encode(rows).decode())
        return
    if not found:
        click.echo("There is no backup here yet: `life backup create` makes one.")
        return
    print_table(
        ("backup", "events", "journal", "blobs", "their bytes"),
        [
            (
                name,
                f"{one.journal.events:,}",
                f"{one.journal.size_bytes:,}",
                f"{one.blobs.objects:,}",
                f"{one.blobs.size_bytes:,}",
            )
            for name, one in found
        ],
        right=(1, 2, 3, 4),
    )


def _tell(checked: CheckedBackup, what: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(checked._asdict()).decode())
        return
    click.echo(
        f"{checked.backup} of {checked.created_at} {what}: {checked.events} events in {checked.streams} streams,"
        f" {checked.blobs} blobs."
    )
    if checked.sealed:
        click.echo(f"{checked.sealed} blobs are encrypted: their stored bytes are what they were.")
    for blob in checked.missing:
        click.echo(f"  The blob {blob}, which a file was written with, was gone when the backup was made.", err=True)
