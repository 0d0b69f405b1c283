"""`lago journal …`"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

import click

from life.aios.errors import NotFoundError
from life.aios.events import Custom
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord, Stream, encode_record, format_timestamp
from life.cli.run import command_errors, data_dir_option, run
from life.host.clock import SystemClock
from life.host.data_directory import DataDirectory
from life.lago.export import export_records, import_records
from life.lago.journal.sqlite import SqliteJournal

_PAGE = 2000

session_option = click.option("--session", "session_id", help="Only this session's main branch.")


@click.command()
@data_dir_option
@session_option
@click.option(
    "-n", "count", type=click.IntRange(0), default=20, show_default=True, help="How many events to begin with."
)
@click.option("--follow/--no-follow", "-f", default=False, help="Go on as events happen, until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="One JSON record a line.")
@command_errors
def tail(data_dir: Path, session_id: str | None, count: int, follow: bool, as_json: bool) -> None:
    """Show the newest events, and follow."""
    run(_tail(data_dir, session_id, count, follow=follow, as_json=as_json))


@click.command()
@data_dir_option
@command_errors
def verify(data_dir: Path) -> None:
    """Check every event against the chain of digests."""
    run(_verify(data_dir))


@click.command()
@data_dir_option
@session_option
@click.option(
    "--output", "-o", type=click.File("wb"), default="-", help="Where to; standard output unless told otherwise."
)
@command_errors
def export(data_dir: Path, session_id: str | None, output: BinaryIO) -> None:
    """Write events as JSON lines."""
    run(_export(data_dir, session_id, output))


@click.command("import")
@data_dir_option
@click.argument("file", type=click.File("rb"))
@click.option("--renumber", is_flag=True, help="Give the events new sequences, as an excerpt of a journal needs.")
@command_errors
def import_(data_dir: Path, file: BinaryIO, renumber: bool) -> None:
    """Append events from JSON lines.

    Records in this version's spelling and in the two older ones are read; events that are stored already are passed over.
    """
    run(_import(data_dir, file, renumber=renumber))


@asynccontextmanager
async def _open(data_dir: Path, *, verify: bool = False, create: bool = False) -> AsyncIterator[SqliteJournal]:
    data = DataDirectory.create(data_dir) if create else DataDirectory(data_dir)
    if not create and not (data.journal.exists() and data.journal.stat().st_size):
        raise NotFoundError(
            f"There is no journal in {data_dir}.", next_step="Name the project's folder with --data-dir."
        )
    async with SqliteJournal.open(data.journal, clock=SystemClock(), verify=verify) as journal:
        yield journal


async def _tail(data_dir: Path, session_id: str | None, count: int, *, follow: bool, as_json: bool) -> None:
    async with _open(data_dir) as journal:
        query = await _before_the_end(journal, session_id, count, must_exist=not follow)
        while page := await journal.read(query, limit=_PAGE):
            for record in page:
                click.echo(_line(record, as_json=as_json))
            query = _after(query, page[-1])
        if follow:
            sys.stdout.flush()
            async for record in journal.subscribe(query):
                click.echo(_line(record, as_json=as_json))
                sys.stdout.flush()


async def _before_the_end(
    journal: SqliteJournal, session_id: str | None, count: int, *, must_exist: bool
) -> EventQuery:
    """The query that skips everything but the newest `count` events."""
    if session_id is not None:
        head = await _head(journal, session_id, must_exist=must_exist)
        return EventQuery(session_id, MAIN_BRANCH, after_sequence=max(0, head - count))
    # Positions have no gaps, so the last one is the number of all events.
    heads = [(await journal.head(stream)).sequence for stream in await journal.streams()]
    return EventQuery(after_position=max(0, sum(heads) - count))


async def _head(journal: SqliteJournal, session_id: str, *, must_exist: bool = True) -> int:
    """The last sequence of a session's main branch; NotFoundError when there is none and one must be."""
    head = (await journal.head(Stream(session_id))).sequence
    if must_exist and head == 0:
        raise NotFoundError(
            f"There is no session '{session_id}' in this journal.",
            next_step="`lago journal tail` shows which there are.",
        )
    return head


async def _verify(data_dir: Path) -> None:
    async with _open(data_dir) as journal:
        verified = await journal.verify()
    click.echo(f"{verified.events} events in {verified.streams} streams: every digest holds.")


async def _export(data_dir: Path, session_id: str | None, output: BinaryIO) -> None:
    async with _open(data_dir) as journal:
        query = EventQuery()
        if session_id is not None:
            await _head(journal, session_id)
            query = EventQuery(session_id, MAIN_BRANCH)
        async for line in export_records(journal, query):
            output.write(line + b"\n")


async def _import(data_dir: Path, file: BinaryIO, *, renumber: bool) -> None:
    async with _open(data_dir, create=True) as journal:
        done = await import_records(journal, file, renumber=renumber)
    click.echo(f"{done.stored} events stored, {done.already_there} were there already.")


def _after(query: EventQuery, last: EventRecord) -> EventQuery:
    if query.session_id is not None:
        return query._replace(after_sequence=last.sequence)
    return query._replace(after_position=last.position)


def _line(record: EventRecord, *, as_json: bool) -> str:
    if as_json:
        return encode_record(record).decode()
    kind = record.kind
    name = kind.event_type if isinstance(kind, Custom) and record.kind_name == "Custom" else record.kind_name
    time = format_timestamp(record.timestamp_us)[11:23]
    return f"{time}  {record.session_id:<28} {record.sequence:>5}  {name:<28} {record.payload.decode()[:160]}"
