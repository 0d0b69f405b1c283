"""`life journal …`: watch, verify, count, export, import. What signs or checks signatures is in life.cli.journal_proof."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Final

import click
import msgspec

from life.aios.errors import NotFoundError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord, Stream, format_timestamp
from life.cli.journal_lines import line_of, matches
from life.cli.progress import Step, progress_bar
from life.cli.run import command_errors, data_dir_option, run
from life.cli.tables import print_table
from life.host.clock import SystemClock
from life.host.data_directory import DataDirectory
from life.lago.export import export_records, import_records, redactions_in
from life.lago.journal.sqlite import SqliteJournal
from life.lago.journal.statistics import statistics_of

_PAGE: Final = 2000
_HASH: Final = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")

session_option = click.option("--session", "session_id", help="Only this session's main branch, or its --branch.")
branch_option = click.option("--branch", "branch_id", default=MAIN_BRANCH, show_default=True, help="With --session.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")


@click.command()
@data_dir_option
@session_option
@branch_option
@click.option(
    "-n", "count", type=click.IntRange(0), default=20, show_default=True, help="How many events to begin with."
)
@click.option(
    "--kind",
    "-k",
    "kinds",
    multiple=True,
    help="Only events whose kind begins so: ToolCall, finance. (may be repeated).",
)
@click.option("--follow/--no-follow", "-f", default=False, help="Go on as events happen, until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="One JSON record a line.")
@command_errors
def tail(
    data_dir: Path,
    session_id: str | None,
    branch_id: str,
    count: int,
    kinds: tuple[str, ...],
    follow: bool,
    as_json: bool,
) -> None:
    """Show the newest events, and follow."""
    stream = None if session_id is None else Stream(session_id, branch_id)
    run(_tail(data_dir, stream, count, kinds, follow=follow, as_json=as_json))


@click.command()
@data_dir_option
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A copy that was kept elsewhere: an export, an archive, a list of checkpoints.",
)
@json_option
@command_errors
def verify(data_dir: Path, against: Path | None, as_json: bool) -> None:
    """Check every event against the chain of digests, and every signature in the journal.

    With --against also whether an earlier copy tells the same history, and where it does not.
    """
    run(_verify(data_dir, against, as_json=as_json))


@click.command()
@data_dir_option
@json_option
@command_errors
def stats(data_dir: Path, as_json: bool) -> None:
    """Count events, sessions and bytes."""
    run(_stats(data_dir, as_json=as_json))


@click.command()
@data_dir_option
@session_option
@branch_option
@click.option(
    "--output", "-o", type=click.File("wb"), default="-", help="Where to; standard output unless told otherwise."
)
@click.option(
    "--blobs",
    "blob_folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write the contents that the events mention into this folder, each under its SHA-256.",
)
@command_errors
def export(data_dir: Path, session_id: str | None, branch_id: str, output: BinaryIO, blob_folder: Path | None) -> None:
    """Write events as JSON lines.

    The same events give the same bytes.
    """
    stream = None if session_id is None else Stream(session_id, branch_id)
    run(_export(data_dir, stream, output, blob_folder))


@click.command("import")
@data_dir_option
@click.argument("file", type=click.File("rb"))
@click.option("--renumber", is_flag=True, help="Give the events new sequences, as an excerpt of a journal needs.")
@click.option(
    "--blobs",
    "blob_folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="First take in the contents of this folder, as `export --blobs` wrote them.",
)
@command_errors
def import_(data_dir: Path, file: BinaryIO, renumber: bool, blob_folder: Path | None) -> None:
    """Append events from JSON lines.

    Records in this version's spelling and in the two older ones are read; events that are stored already are passed over.
    """
    run(_import(data_dir, file, blob_folder, renumber=renumber))


@asynccontextmanager
async def open_journal(data_dir: Path, *, verify: bool = False, create: bool = False) -> AsyncIterator[SqliteJournal]:
    """The project's journal; NotFoundError when there is none, unless it is to be made."""
    data = DataDirectory.create(data_dir) if create else DataDirectory(data_dir)
    if not create and not (data.journal.exists() and data.journal.stat().st_size):
        raise NotFoundError(
            f"There is no journal in {data_dir}.", next_step="Name the project's folder with --data-dir."
        )
    async with SqliteJournal.open(data.journal, clock=SystemClock(), verify=verify) as journal:
        yield journal


async def _tail(
    data_dir: Path, stream: Stream | None, count: int, kinds: tuple[str, ...], *, follow: bool, as_json: bool
) -> None:
    async with open_journal(data_dir) as journal:
        newest, query = await _newest(journal, stream, count, kinds, must_exist=not follow)
        for record in newest:
            click.echo(line_of(record, as_json=as_json))
        if follow:
            sys.stdout.flush()
            async for record in journal.subscribe(query):
                if matches(record, kinds):
                    click.echo(line_of(record, as_json=as_json))
                    sys.stdout.flush()


async def _newest(
    journal: SqliteJournal, stream: Stream | None, count: int, kinds: tuple[str, ...], *, must_exist: bool
) -> tuple[list[EventRecord], EventQuery]:
    """The newest `count` events of these kinds, and the query for what comes behind them."""
    if stream is None:
        end = await journal.last_position()
        query = EventQuery()
    else:
        end = await _head(journal, stream, must_exist=must_exist)
        query = EventQuery(*stream)
    window = count
    while True:
        start = max(0, end - window)
        found: list[EventRecord] = []
        at = _at(query, start)
        while _reached(at) < end:
            page = await journal.read(at, limit=min(_PAGE, end - _reached(at)))
            if not page:
                break
            found += [record for record in page if matches(record, kinds)]
            at = _after(at, page[-1])
        if len(found) >= count or start == 0:
            return found[-count:] if count else [], at if _reached(at) else _at(query, end)
        window = window * 4 + 1000


def _reached(query: EventQuery) -> int:
    return query.after_position if query.session_id is None else query.after_sequence


def _at(query: EventQuery, place: int) -> EventQuery:
    if query.session_id is not None:
        return query._replace(after_sequence=place)
    return query._replace(after_position=place)


def _after(query: EventQuery, last: EventRecord) -> EventQuery:
    return _at(query, last.position if query.session_id is None else last.sequence)


async def _head(journal: SqliteJournal, stream: Stream, *, must_exist: bool = True) -> int:
    """The last sequence of a branch; NotFoundError when there is none and one must be."""
    head = (await journal.head(stream)).sequence
    if must_exist and head == 0:
        what = "session" if stream.branch_id == MAIN_BRANCH else "branch"
        name = stream.session_id if stream.branch_id == MAIN_BRANCH else str(stream)
        raise NotFoundError(
            f"There is no {what} '{name}' in this journal.",
            next_step="`life journal tail` shows which there are.",
        )
    return head


async def _verify(data_dir: Path, against: Path | None, *, as_json: bool) -> None:
    from life.cli.journal_report import report_of  # with the cryptography, which watching does not need

    async with open_journal(data_dir) as journal:
        total = await journal.last_position()
        with progress_bar() as step:
            verified = await journal.verify(on_progress=lambda done: step("events", done, total))
        report = await report_of(journal, DataDirectory(data_dir), verified, against)
    if as_json:
        click.echo(msgspec.json.encode(report.summary()).decode())
    else:
        for line in report.lines():
            click.echo(line)
    if report.divergences:
        raise report.divergences[0]


async def _stats(data_dir: Path, *, as_json: bool) -> None:
    async with open_journal(data_dir) as journal:
        found = await asyncio.to_thread(statistics_of, journal.path)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found._asdict())))
        return
    each = found.file_bytes // found.events if found.events else 0
    click.echo(f"{found.events} events in {found.sessions} sessions, {found.branches} branches")
    if found.events:
        click.echo(f"from {format_timestamp(found.first_us)} to {format_timestamp(found.last_us)}")
    click.echo(f"{found.file_bytes:,} bytes in the file ({each} per event), {found.log_bytes:,} in its log\n")
    rows = [(kind.kind, f"{kind.events:,}", f"{kind.payload_bytes:,}") for kind in found.kinds]
    print_table(("kind", "events", "bytes"), rows, right=(1, 2))
    click.echo()
    sessions = [(one.session_id, str(one.branches), f"{one.events:,}") for one in found.largest]
    print_table(("largest sessions", "branches", "events"), sessions, right=(1, 2))


async def _export(data_dir: Path, stream: Stream | None, output: BinaryIO, blob_folder: Path | None) -> None:
    async with open_journal(data_dir) as journal:
        query = EventQuery()
        if stream is not None:
            await _head(journal, stream)
            query = EventQuery(*stream)
        mentioned: set[str] = set()
        async for line in export_records(journal, query):
            output.write(line + b"\n")
            if blob_folder is not None:
                mentioned |= {found.decode() for found in _HASH.findall(line, line.index(b',"kind":'))}
    if blob_folder is not None:
        from life.cli.journal_blobs import export_blobs  # with the keys of sealed blobs

        count = await export_blobs(data_dir, mentioned, blob_folder)
        click.echo(f"{count} blobs written to {blob_folder}.", err=True)


async def _import(data_dir: Path, file: BinaryIO, blob_folder: Path | None, *, renumber: bool) -> None:
    if blob_folder is not None:
        from life.cli.journal_blobs import import_blobs  # with the keys of sealed blobs

        count = await import_blobs(data_dir, blob_folder)
        click.echo(f"{count} blobs taken in.", err=True)
    async with open_journal(data_dir, create=True) as journal:
        with progress_bar() as step:
            redactions = {}
            if not renumber and file.seekable():
                redactions = redactions_in(file)
                file.seek(0)
            done = await import_records(journal, _watched(file, step), renumber=renumber, redactions=redactions)
    click.echo(f"{done.stored} events stored, {done.already_there} were there already.")


def _watched(file: BinaryIO, step: Step) -> Iterator[bytes]:
    """The lines of a file, and a bar that moves with them."""
    size, done = _size_of(file), 0
    for number, line in enumerate(file):
        done += len(line)
        if not number & 0x3FF:
            step("bytes", done, size)
        yield line


def _size_of(file: BinaryIO) -> int:
    try:
        return Path(file.name).stat().st_size
    except (AttributeError, OSError, TypeError, ValueError):  # standard input has no length
        return 0
