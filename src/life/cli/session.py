"""`arcan session`: list, show, replay, export, fork, delete. Reading needs neither a daemon nor a key; it works beside a running one."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

import click
import msgspec

from life.aios.errors import NotFoundError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, Stream, format_timestamp
from life.arcan.api import session_view, state_at
from life.arcan.branches import BranchInfo, find_branch, read_branches
from life.arcan.sessions import SessionIndex
from life.cli.run import command_errors, data_dir_option, run
from life.cli.session_client import open_client
from life.cli.session_export import as_json_lines, as_markdown
from life.cli.shell.surface import StreamSurface, terminal_width
from life.cli.shell.view import ShellView
from life.cli.shell.words import one_line, plural, printable
from life.cli.tables import print_table
from life.host.clock import SystemClock
from life.host.lago_store import open_store

_PAGE: Final = 2000
_LONGEST_PAUSE_US: Final = 2_000_000
"""Between two events of a replay, at speed 1."""

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")
branch_option = click.option("--branch", default=MAIN_BRANCH, show_default=True, help="A branch, by id or name.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def session() -> None:
    """Sessions: list, show, replay, export, fork, delete."""


@session.command("list")
@data_dir_option
@click.option("--owner", help="Only those of this owner, like user:ada.")
@click.option("--limit", "-n", type=click.IntRange(1), default=50, show_default=True)
@json_option
@command_errors
def list_(data_dir: Path, owner: str | None, limit: int, as_json: bool) -> None:
    """List the sessions, newest first."""
    run(_list(data_dir, owner, limit, as_json=as_json))


@session.command()
@data_dir_option
@click.argument("session_id")
@branch_option
@click.option("--at", type=click.IntRange(1), help="As it was after this event.")
@json_option
@command_errors
def show(data_dir: Path, session_id: str, branch: str, at: int | None, as_json: bool) -> None:
    """Show a session's state, rebuilt from the journal, and its branches."""
    run(_show(data_dir, session_id, branch, at, as_json=as_json))


@session.command()
@data_dir_option
@click.argument("session_id")
@branch_option
@click.option("--from", "first", type=click.IntRange(1), default=1, show_default=True, help="Begin at this event.")
@click.option("--to", "last", type=click.IntRange(1), help="End at this event.")
@click.option(
    "--speed",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="1 as it was (pauses at most 2 s), 4 four times as fast, 0 at once.",
)
@click.option("--reasoning", is_flag=True, help="Show what the model thought.")
@command_errors
def replay(
    data_dir: Path, session_id: str, branch: str, first: int, last: int | None, speed: float, reasoning: bool
) -> None:
    """Show a session again, as the shell showed it.

    No model is asked and no tool runs. Example: arcan session replay notes --speed 2
    """
    run(_replay(data_dir, session_id, branch, first, last, speed, reasoning=reasoning))


@session.command()
@data_dir_option
@click.argument("session_id")
@branch_option
@click.option("--format", "kind", type=click.Choice(["jsonl", "markdown", "html"]), default="jsonl", show_default=True)
@click.option("--html", is_flag=True, help="The same as --format html.")
@click.option("--output", "-o", type=click.File("wb"), default="-", help="Where to; standard output unless told.")
@command_errors
def export(data_dir: Path, session_id: str, branch: str, kind: str, html: bool, output: BinaryIO) -> None:
    """Write a session as JSON lines (canonical records), as Markdown for people, or as one HTML file with the workspace page inside.

    The HTML file opens from disk, without a network. Example: arcan session export notes --html -o notes.html
    """
    run(_export(data_dir, session_id, branch, "html" if html else kind, output))


@session.command()
@data_dir_option
@click.argument("session_id")
@click.argument("name")
@branch_option
@click.option("--at", type=click.IntRange(0), help="Right after this event.  [default: now]")
@json_option
@command_errors
def fork(data_dir: Path, session_id: str, name: str, branch: str, at: int | None, as_json: bool) -> None:
    """Make a branch called NAME. Example: arcan session fork notes idea --at 12"""
    made = run(_fork(data_dir, session_id, name, branch, at))
    if as_json:
        click.echo(msgspec.json.encode(made).decode())
        return
    click.echo(f"The branch {made.name} begins after event {made.fork_sequence} of {made.parent_branch}.")
    click.echo(f"Next: arcan shell -s {session_id} --branch {made.branch_id}", err=True)


@session.command()
@data_dir_option
@click.argument("session_id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command_errors
def delete(data_dir: Path, session_id: str, yes: bool) -> None:
    """Let nobody see a session any more. Its events stay in the journal, its id is not given out again."""
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Without a terminal, deleting needs --yes.")
        click.confirm(f"Delete session {session_id}?", abort=True, err=True)
    run(_delete(data_dir, session_id))
    click.echo(f"Deleted {session_id}.")


@asynccontextmanager
async def _journal(data_dir: Path) -> AsyncIterator[Journal]:
    async with open_store(data_dir) as store:
        yield store.journal


async def _list(data_dir: Path, owner: str | None, limit: int, *, as_json: bool) -> None:
    async with _journal(data_dir) as journal:
        found = (await SessionIndex(journal).list(owner))[:limit]
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    if not found:
        click.echo("No sessions are here.", err=True)
        return
    room = max(10, terminal_width(sys.stdout) - 62)
    rows = [
        [
            each.session_id,
            each.state,
            str(each.head),
            format_timestamp(each.updated_us)[:16].replace("T", " "),
            one_line(each.name if each.name != each.session_id else "", room),
        ]
        for each in found
    ]
    print_table(["Session", "State", "Events", "Used (UTC)", "Name"], rows, right=[2])


async def _show(data_dir: Path, session_id: str, branch: str, at: int | None, *, as_json: bool) -> None:
    async with _journal(data_dir) as journal:
        info = await find_branch(journal, session_id, branch)
        state = session_view(await state_at(journal, session_id, branch=info.branch_id, at=at))
        branches = list((await read_branches(journal, session_id)).values())
    if as_json:
        click.echo(msgspec.json.encode({"session": state, "branches": branches}).decode())
        return
    rows = [
        ("session", f"{state.session_id}  {state.name if state.name != state.session_id else ''}".rstrip()),
        ("owner", state.owner or "the operator"),
        ("branch", f"{state.branch}, at event {state.version}"),
        ("state", f"{state.status}, mode {state.mode}"),
        ("made", f"{format_timestamp(state.created_us)[:19].replace('T', ' ')} UTC"),
        (
            "totals",
            ", ".join(
                (
                    plural(state.totals.runs, "run"),
                    plural(state.totals.steps, "step"),
                    plural(state.totals.calls_requested, "tool call"),
                )
            ),
        ),
        ("tokens", f"{state.totals.prompt_tokens} in, {state.totals.completion_tokens} out"),
    ]
    if state.last_run is not None:
        rows.append(("last run", f"{state.last_run.reason} after {plural(state.last_run.steps, 'step')}"))
        rows.append(("answer", one_line(state.last_run.final_answer or "", max(20, terminal_width(sys.stdout) - 12))))
    for call in state.calls:
        rows.append(("waits", f"{call.tool_name} ({call.phase})"))
    for name, value in rows:
        if value:
            click.echo(f"{name:<9} {printable(value)}")
    for each in branches[1:]:
        merged = f", merged into {each.merged_into}" if each.merged_into else ""
        click.echo(f"{'branch':<9} {each.name} from {each.parent_branch} after {each.fork_sequence}{merged}")


async def _replay(
    data_dir: Path, session_id: str, branch: str, first: int, last: int | None, speed: float, *, reasoning: bool
) -> None:
    async with _journal(data_dir) as journal:
        records = await _records(journal, session_id, branch)
    surface = StreamSurface(err=sys.stdout)
    view = ShellView(surface, SystemClock(), echo=True, show_thoughts=reasoning)
    player = _Player(view, speed)
    loop = asyncio.get_running_loop()
    this = asyncio.current_task()
    assert this is not None
    loop.add_signal_handler(signal.SIGINT, this.cancel)
    with suppress(asyncio.CancelledError):
        for record in records:
            if record.sequence < first:
                view.learn(record)
            elif last is None or record.sequence <= last:
                await player.play(record)
    surface.end_line()


class _Player:
    """Shows events with pauses between them."""

    def __init__(self, view: ShellView, speed: float) -> None:
        self._view = view
        self._speed = speed
        self._clock = SystemClock()
        self._before_us = 0

    async def play(self, record: EventRecord) -> None:
        """Wait as long as it took then, and show the event."""
        if self._speed and self._before_us:
            pause_us = min(max(0, record.timestamp_us - self._before_us), _LONGEST_PAUSE_US)
            await self._clock.sleep_us(round(pause_us / self._speed))
        self._before_us = record.timestamp_us
        self._view.take(record)


async def _export(data_dir: Path, session_id: str, branch: str, kind: str, output: BinaryIO) -> None:
    async with _journal(data_dir) as journal:
        if kind == "html":
            from life.host.workspace import export_journal

            await state_at(journal, session_id, branch=MAIN_BRANCH, at=None)  # a deleted session is not shown
            branch_id = (await find_branch(journal, session_id, branch)).branch_id
            output.write(await export_journal(journal, session_id, branch=branch_id))
            return
        records = await _records(journal, session_id, branch)
    if kind == "markdown":
        output.write(as_markdown(session_id, records).encode())
        return
    for line in as_json_lines(records):
        output.write(line)


async def _fork(data_dir: Path, session_id: str, name: str, branch: str, at: int | None) -> BranchInfo:
    async with open_client(data_dir) as client:
        return await client.fork(session_id, name, parent=branch, at=at)


async def _delete(data_dir: Path, session_id: str) -> None:
    async with open_client(data_dir) as client:
        await client.delete(session_id)


async def _records(journal: Journal, session_id: str, branch: str) -> list[EventRecord]:
    """The branch from its beginning: what it inherits, then its own. NotFoundError."""
    await state_at(journal, session_id, branch=MAIN_BRANCH, at=None)  # a deleted session is not shown
    info = await find_branch(journal, session_id, branch)
    records: list[EventRecord] = []
    while True:
        after = records[-1].sequence if records else 0
        page = await journal.read(EventQuery(session_id, info.branch_id, after_sequence=after), limit=_PAGE)
        records += page
        if len(page) < _PAGE:
            break
    if not records:
        raise NotFoundError(f"The branch {Stream(session_id, info.branch_id)} has no events.")
    return records
