"""`life blobs …`: contents by their SHA-256."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Final

import click
import msgspec

from life.aios.errors import InvalidInputError, LifeError
from life.aios.record import format_timestamp
from life.cli.identity_opening import ask_passphrase
from life.cli.progress import progress_bar
from life.cli.run import command_errors, data_dir_option, run
from life.cli.tables import print_table
from life.host.lago_store import open_store
from life.lago.blobs.collection import GRACE_S, collect
from life.lago.errors import BlobDamagedError, BlobKeyMissingError

_PIECE_BYTES: Final = 1 << 18

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")


@click.command("list")
@data_dir_option
@json_option
@command_errors
def list_(data_dir: Path, as_json: bool) -> None:
    """List the blobs in the store."""
    run(_list(data_dir, as_json=as_json))


@click.command()
@data_dir_option
@click.argument("blob")
@click.option("--output", "-o", type=click.File("wb"), default="-", help="Where to; standard output unless told.")
@command_errors
def get(data_dir: Path, blob: str, output: BinaryIO) -> None:
    """Write a blob's content, verified.

    The last part comes only when the whole is what it was.
    """
    run(_get(data_dir, blob, output))


@click.command()
@data_dir_option
@click.argument("file", type=click.File("rb"))
@command_errors
def put(data_dir: Path, file: BinaryIO) -> None:
    """Store a content and print its SHA-256.

    What no event mentions goes with a later collection.
    """
    run(_put(data_dir, file))


@click.command()
@data_dir_option
@json_option
@command_errors
def verify(data_dir: Path, as_json: bool) -> None:
    """Read every blob and name those that are not what they were."""
    run(_verify(data_dir, as_json=as_json))


@click.command("collect")
@data_dir_option
@click.option("--yes", is_flag=True, help="Remove them. Without this it is only said what would go.")
@click.option(
    "--grace",
    "grace_s",
    type=click.IntRange(0),
    default=GRACE_S,
    show_default=True,
    help="Seconds for which a blob is kept although nothing mentions it yet. 0 only while nobody writes.",
)
@json_option
@command_errors
def collect_(data_dir: Path, yes: bool, grace_s: int, as_json: bool) -> None:
    """Find, and with --yes remove, blobs that no event of any session mentions."""
    run(_collect(data_dir, grace_s, dry_run=not yes, as_json=as_json))


async def _list(data_dir: Path, *, as_json: bool) -> None:
    async with open_store(data_dir, prompt=ask_passphrase) as store:
        found = sorted([blob async for blob in store.blobs.stored()])
    if as_json:
        click.echo(msgspec.json.encode([blob._asdict() for blob in found]).decode())
        return
    rows = [(one.hash, f"{one.stored_bytes:,}", format_timestamp(one.written_at_us)[:19]) for one in found]
    print_table(("blob", "stored bytes", "written"), rows, right=(1,))


async def _get(data_dir: Path, blob: str, output: BinaryIO) -> None:
    async with open_store(data_dir, prompt=ask_passphrase) as store:
        async for piece in store.blobs.stream(blob):
            output.write(piece)


async def _put(data_dir: Path, file: BinaryIO) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        while piece := file.read(_PIECE_BYTES):
            yield piece

    async with open_store(data_dir, prompt=ask_passphrase) as store:
        try:
            stored = await store.blobs.put_stream(pieces())
        except OSError as error:
            raise InvalidInputError(f"The content can't be read: {error.strerror}.") from None
    click.echo(stored.hash)


async def _verify(data_dir: Path, *, as_json: bool) -> None:
    damaged: list[LifeError] = []
    locked = 0
    async with open_store(data_dir, prompt=ask_passphrase) as store:
        names = sorted({blob.hash async for blob in store.blobs.stored()})
        with progress_bar() as step:
            for number, blob in enumerate(names, 1):
                try:
                    await store.blobs.verify(blob)
                except BlobDamagedError as error:
                    damaged.append(error)
                except BlobKeyMissingError:
                    locked += 1
                step("blobs", number, len(names))
    if as_json:
        bad = [one.details["blob"] for one in damaged]
        click.echo(msgspec.json.encode({"blobs": len(names), "damaged": bad, "without_key": locked}).decode())
    else:
        good = len(names) - len(damaged) - locked
        click.echo(
            f"{good} of {len(names)} blobs are what they were" + (f"; {locked} have no key here." if locked else ".")
        )
        for one in damaged:
            click.echo(f"  {one.message}")
    if damaged:
        sys.exit(1)


async def _collect(data_dir: Path, grace_s: int, *, dry_run: bool, as_json: bool) -> None:
    async with open_store(data_dir, prompt=ask_passphrase) as store:
        found = await collect(store.blobs, store.journal, store.clock, grace_s=grace_s, dry_run=dry_run)
    if as_json:
        click.echo(msgspec.json.encode(found._asdict()).decode())
        return
    what = "would go" if dry_run else "removed"
    click.echo(
        f"{len(found.removed)} blobs ({found.removed_bytes:,} bytes) {what}; {found.kept} are mentioned,"
        f" {found.young} are too young to say."
    )
    for blob in found.removed:
        click.echo(f"  {blob}")
    if dry_run and found.removed:
        click.echo("Nothing was removed: --yes does.")
