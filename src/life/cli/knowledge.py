"""`life knowledge …`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click
import msgspec

from life.aios.errors import InvalidInputError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.knowledge import LinkedNote, NoteHit
from life.cli.knowledge_opening import (
    Where,
    json_option,
    open_events,
    open_sync,
    open_vault,
    session_option,
    where_options,
)
from life.cli.run import command_errors, data_dir_option, run
from life.cli.tables import print_table
from life.host.clock import SystemClock
from life.lago.knowledge.ingest import LEAST_PARAGRAPH, Paragraphs, ingest
from life.lago.knowledge.lint import LintReport
from life.lago.knowledge.search import MAX_DEPTH, MAX_NOTES, MAX_RESULTS
from life.lago.knowledge.text import cut_text
from life.lago.knowledge.vault import SyncReport

_WIDTH: Final = 100
_SHOWN: Final = 20
_MAX_INGEST_BYTES: Final = 64 * 1024 * 1024

count_option = click.option(
    "-n", "count", type=click.IntRange(1, MAX_RESULTS), default=10, show_default=True, help="How many results."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def knowledge() -> None:
    """Search notes that link to one another, with their sources.

    Notes are markdown files: those of a folder (--vault), or those among a session's files (--session). The index stands beside them
    and is made again whenever it is missing.
    """


@knowledge.command()
@where_options
@click.option("--rebuild", is_flag=True, help="Read every note again.")
@click.option("--watch", is_flag=True, help="Go on looking for changes, until interrupted.")
@click.option("--every", "every_s", type=click.FloatRange(0.1), default=2.0, show_default=True, metavar="SECONDS")
@json_option
@command_errors
def index(
    folder: Path | None,
    data_dir: Path,
    session_id: str | None,
    branch: str,
    *,
    rebuild: bool,
    watch: bool,
    every_s: float,
    as_json: bool,
) -> None:
    """Bring the index up to date and name the files that can't be read.

    The other commands do so, too, before they answer.
    """
    run(_index(Where(folder, data_dir, session_id, branch), rebuild, watch, every_s, as_json=as_json))


@knowledge.command()
@click.argument("query", nargs=-1, required=True)
@where_options
@count_option
@click.option("--recent", is_flag=True, help="What was changed lately counts more.")
@click.option("--scored", is_flag=True, help="Count parts of words instead; slower on many notes.")
@click.option("--links", "with_links", is_flag=True, help="Add up to ten notes that the results link to.")
@json_option
@command_errors
def search(
    query: tuple[str, ...],
    folder: Path | None,
    data_dir: Path,
    session_id: str | None,
    branch: str,
    *,
    count: int,
    recent: bool,
    scored: bool,
    with_links: bool,
    as_json: bool,
) -> None:
    """Find notes, the best first."""
    where = Where(folder, data_dir, session_id, branch)
    run(_search(where, " ".join(query), count, recent, scored, with_links, as_json=as_json))


@knowledge.command()
@click.argument("note")
@where_options
@json_option
@command_errors
def show(note: str, folder: Path | None, data_dir: Path, session_id: str | None, branch: str, *, as_json: bool) -> None:
    """Print a note, by its name or path."""
    run(_show(Where(folder, data_dir, session_id, branch), note, as_json=as_json))


@knowledge.command()
@click.argument("note")
@where_options
@click.option("--depth", type=click.IntRange(0, MAX_DEPTH), default=1, show_default=True, help="How many links away.")
@click.option("--max-notes", type=click.IntRange(1, MAX_NOTES), default=15, show_default=True)
@click.option("--back", is_flag=True, help="The notes that link here instead.")
@json_option
@command_errors
def links(
    note: str,
    folder: Path | None,
    data_dir: Path,
    session_id: str | None,
    branch: str,
    *,
    depth: int,
    max_notes: int,
    back: bool,
    as_json: bool,
) -> None:
    """List what a note links to, or what links to it."""
    where = Where(folder, data_dir, session_id, branch)
    run(_links(where, note, depth, max_notes, back, as_json=as_json))


@knowledge.command()
@where_options
@click.option("--fail-below", type=click.FloatRange(0, 1), metavar="HEALTH", help="Exit status 1 below this health.")
@json_option
@command_errors
def lint(
    folder: Path | None,
    data_dir: Path,
    session_id: str | None,
    branch: str,
    *,
    fail_below: float | None,
    as_json: bool,
) -> None:
    """Name orphans, broken links, missing pages, stale notes and contradictions."""
    health = run(_lint(Where(folder, data_dir, session_id, branch), as_json=as_json))
    if fail_below is not None and health < fail_below:
        sys.exit(1)


@knowledge.command()
@where_options
@command_errors
def contents(folder: Path | None, data_dir: Path, session_id: str | None, branch: str) -> None:
    """Print the table of contents, in markdown."""
    run(_contents(Where(folder, data_dir, session_id, branch)))


@knowledge.command()
@click.argument("query", nargs=-1, required=True)
@where_options
@click.option("--tokens", type=click.IntRange(1, 200_000), default=900, show_default=True, help="The budget.")
@json_option
@command_errors
def context(
    query: tuple[str, ...],
    folder: Path | None,
    data_dir: Path,
    session_id: str | None,
    branch: str,
    *,
    tokens: int,
    as_json: bool,
) -> None:
    """Put together passages for a model, each with its citation."""
    run(_context(Where(folder, data_dir, session_id, branch), " ".join(query), tokens, as_json=as_json))


@knowledge.command()
@click.argument("query", nargs=-1, required=True)
@data_dir_option
@session_option
@count_option
@json_option
@command_errors
def events(query: tuple[str, ...], data_dir: Path, session_id: str | None, *, count: int, as_json: bool) -> None:
    """Find messages, tool calls and errors of one session, on all its branches."""
    run(_events(data_dir, session_id, " ".join(query), count, as_json=as_json))


@knowledge.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@data_dir_option
@session_option
@click.option("--branch", default=MAIN_BRANCH, show_default=True, help="The branch, by name or id.")
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@click.option("--allow-empty", is_flag=True, help="Delete every note if the folder is empty now and was not.")
@json_option
@command_errors
def sync(
    folder: Path,
    data_dir: Path,
    session_id: str | None,
    branch: str,
    *,
    dry_run: bool,
    allow_empty: bool,
    as_json: bool,
) -> None:
    """Make the notes of a folder and those of a session the same, both ways.

    What both sides changed is kept twice: the folder's version under a name with `(conflict …)`. Patterns in the folder's .lifeignore are
    passed over. Exit status 1 when something was left undone.
    """
    if run(_sync(Where(folder, data_dir, session_id, branch), dry_run, allow_empty, as_json=as_json)):
        sys.exit(1)


@knowledge.command("ingest")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--least",
    type=click.IntRange(1),
    default=LEAST_PARAGRAPH,
    show_default=True,
    help="Shorter paragraphs are dropped.",
)
@command_errors
def ingest_(files: tuple[Path, ...], least: int) -> None:
    """Cut transcripts (.jsonl), notes (.md) and other texts into memories, one JSON object a line.

    Secrets are taken out, noise is dropped; nothing is stored.
    """
    now_us = SystemClock().now_us()
    for file in files:
        if file.stat().st_size > _MAX_INGEST_BYTES:
            raise InvalidInputError(f"{file} is longer than {_MAX_INGEST_BYTES} bytes.")
        text = file.read_bytes().decode("utf-8", "replace")
        for cube in ingest(file.name, text, now_us=now_us, cutting=Paragraphs(least)):
            click.echo(msgspec.json.encode(cube).decode())


async def _index(where: Where, rebuild: bool, watch: bool, every_s: float, *, as_json: bool) -> None:
    async with open_vault(where) as vault:
        report = await vault.sync(rebuild=rebuild)
        problems = await vault.problems()
        if as_json:
            read, removed, unreadable, notes, _ = report
            _print_json(
                {"read": read, "removed": removed, "unreadable": unreadable, "notes": notes, "problems": problems}
            )
        else:
            _print_report(report)
            for problem in problems:
                click.echo(f"  {_plain(problem.path)}: {_plain(problem.reason)}", err=True)
        if watch:
            sys.stdout.flush()
            on_change = _print_change if as_json else _print_report
            await vault.follow(every_us=int(every_s * 1_000_000), on_change=on_change)


def _print_change(report: SyncReport) -> None:
    _print_json(
        {"read": report.read, "removed": report.removed, "unreadable": report.unreadable, "notes": report.notes}
    )
    sys.stdout.flush()


def _print_report(report: SyncReport) -> None:
    click.echo(
        f"{report.notes} notes: {report.read} read, {report.removed} removed, {report.unreadable} that can't be read."
    )
    sys.stdout.flush()


async def _search(
    where: Where, query: str, count: int, recent: bool, scored: bool, with_links: bool, *, as_json: bool
) -> None:
    async with open_vault(where) as vault:
        await vault.sync()
        hits = await vault.search(query, limit=count, recent=recent, mode="scored" if scored else "hybrid")
        linked = await vault.linked(hits) if with_links else []
    if as_json:
        _print_json({"results": hits, "linked_notes": linked} if with_links else {"results": hits})
        return
    if not hits:
        click.echo("No note matches.", err=True)
        return
    print_table(["Score", "Note", "Line"], [_row(hit) for hit in hits], right=[0])
    for note in linked:
        click.echo(f"  → {_plain(note.path)}")


async def _show(where: Where, reference: str, *, as_json: bool) -> None:
    async with open_vault(where) as vault:
        await vault.sync()
        note = await vault.note(reference)
    if as_json:
        _print_json(note)
        return
    source = f", sequence {note.sequence}" if note.sequence else ""
    click.echo(click.style(f"{_plain(note.path)}{source}, sha256 {note.blob_hash}", dim=True), err=True)
    click.echo(_plain(note.body))


async def _links(where: Where, reference: str, depth: int, max_notes: int, back: bool, *, as_json: bool) -> None:
    async with open_vault(where) as vault:
        await vault.sync()
        if back:
            notes = (await vault.backlinks(reference))[:max_notes]
        else:
            notes = await vault.traverse(reference, depth=depth, max_notes=max_notes)
    if as_json:
        _print_json({"notes": notes})
        return
    print_table(["Depth", "Note", "Links"], [_link_row(note) for note in notes], right=[0])


async def _lint(where: Where, *, as_json: bool) -> float:
    async with open_vault(where) as vault:
        await vault.sync()
        report = await vault.lint()
    if as_json:
        _print_json(report)
    else:
        _print_lint(report)
    return report.health


def _print_lint(report: LintReport) -> None:
    click.echo(f"{report.notes} notes, health {report.health:.2f}")
    findings = {
        "Orphans": report.orphans,
        "Broken links": [f"{link.path} → {link.target}" for link in report.broken_links],
        "Missing pages": report.missing_pages,
        "Stale": report.stale,
        "Contradictions": [
            f"{pair.confidence:.2f}  {pair.path} “{pair.claim}” ↔ {pair.other_path} “{pair.other_claim}”"
            for pair in report.contradictions
        ],
        "Problems": [f"{problem.path}: {problem.reason}" for problem in report.problems],
    }
    for name, lines in findings.items():
        if lines:
            click.echo(click.style(f"\n{name} ({len(lines)})", bold=True))
        for line in lines[:_SHOWN]:
            click.echo(f"  {_plain(line)}")
        if len(lines) > _SHOWN:
            click.echo(f"  … and {len(lines) - _SHOWN} more (--json has all of them)")
    if not report.all_compared:
        click.echo("\nThere are so many like claims that not all of them were compared.")


async def _contents(where: Where) -> None:
    async with open_vault(where) as vault:
        await vault.sync()
        click.echo(_plain(await vault.catalogue()))


async def _context(where: Where, query: str, tokens: int, *, as_json: bool) -> None:
    async with open_vault(where) as vault:
        await vault.sync()
        found = await vault.assemble(query, budget_tokens=tokens)
    if as_json:
        _print_json(found)
        return
    click.echo(_plain(found.text), nl=False)
    click.echo(
        f"{found.tokens} of {tokens} tokens, {len(found.excerpts)} notes, {found.left_out} that did not fit.", err=True
    )


async def _events(data_dir: Path, session_id: str | None, query: str, count: int, *, as_json: bool) -> None:
    async with open_events(data_dir, session_id) as searching:
        hits = await searching.search(query, limit=count)
    if as_json:
        _print_json({"results": hits})
        return
    if not hits:
        click.echo("No event matches.", err=True)
        return
    rows = [
        [f"{hit.score:.2f}", hit.timestamp[:19], _line(hit.event_kind), _line(hit.excerpt), hit.event_id]
        for hit in hits
    ]
    print_table(["Score", "Time", "Kind", "Text", "Event"], rows, right=[0])


async def _sync(where: Where, dry_run: bool, allow_empty: bool, *, as_json: bool) -> bool:
    """Whether something was left undone."""
    async with open_sync(where) as syncing:
        result = await syncing.sync(dry_run=dry_run, allow_empty=allow_empty)
    if as_json:
        _print_json(
            {
                "done": [step._asdict() for step in result.done],
                "left": [{**step._asdict(), "reason": reason} for step, reason in result.left],
                "passed_over": result.passed_over,
            }
        )
        return bool(result.left)
    for step in result.done:
        click.echo(f"{step.action:<12}  {_plain(step.path)}")
    for step, reason in result.left:
        click.echo(f"left: {step.action:<12}  {_plain(step.path)}: {_plain(reason)}", err=True)
    for path in result.passed_over:
        click.echo(f"passed over: {_plain(path)}", err=True)
    if not result.done and not result.left:
        click.echo("Both sides are the same.")
    elif dry_run:
        click.echo("Nothing was done (--dry-run).")
    return bool(result.left)


def _row(hit: NoteHit) -> list[str]:
    return [f"{hit.score:.3f}", _line(hit.path), _line(hit.excerpts[0]) if hit.excerpts else ""]


def _link_row(note: LinkedNote) -> list[str]:
    return [str(note.depth), _line(note.path), _line(", ".join(note.links))]


def _line(text: str) -> str:
    return cut_text(_plain(" ".join(text.split())), _WIDTH)


def _plain(text: str) -> str:
    """The text without what could steer a terminal."""
    return "".join(character if character.isprintable() or character in "\n\t" else "�" for character in text)


def _print_json(value: object) -> None:
    click.echo(msgspec.json.encode(value).decode())
