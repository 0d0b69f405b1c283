"""`life files …`"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import BinaryIO, Final

import click

from life.aios.errors import ConflictError, InvalidInputError, NotFoundError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import format_timestamp
from life.cli.identity_opening import ask_passphrase
from life.cli.run import command_errors, data_dir_option, run
from life.cli.shell.words import plural
from life.cli.subcommands import is_alone
from life.cli.tables import print_table
from life.host.lago_store import OpenStore, open_store
from life.lago.errors import MergeConflictError
from life.lago.files.comparison import Difference, compare, text_difference
from life.lago.files.git_export import GitExport, export_to_git
from life.lago.files.manifest import FILE_KINDS, FileEntry, Manifest
from life.lago.files.workspace import TakenIn, Workspace

_PAGE: Final = 2_000
_MARKS: Final = {"added": "+", "removed": "-", "modified": "~", "renamed": ">"}
_COLOURS: Final = {"added": "green", "removed": "red", "modified": "yellow", "renamed": "cyan"}

session_option = click.option("--session", "session_id", help="The session; needed only where several have files.")
branch_option = click.option("--branch", default=MAIN_BRANCH, show_default=True, help="The branch, by name or id.")
at_option = click.option("--at", type=click.IntRange(0), metavar="SEQ", help="As it was right after this event.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@data_dir_option
@session_option
@branch_option
@at_option
@json_option
@click.pass_context
@command_errors
def files(
    ctx: click.Context, data_dir: Path, session_id: str | None, branch: str, at: int | None, *, as_json: bool
) -> None:
    """List a session's files, now or at any event; diff, merge, watch, export.

    A session's files are folded from its journal: every version of every file can be seen again, and a branch costs nothing.
    """
    if is_alone(ctx):
        run(_list(data_dir, session_id, branch, at, as_json=as_json))


@files.command()
@click.argument("path")
@data_dir_option
@session_option
@branch_option
@at_option
@command_errors
def show(path: str, data_dir: Path, session_id: str | None, branch: str, at: int | None) -> None:
    """Write a file's content to standard output."""
    run(_show(data_dir, session_id, branch, at, path))


@files.command()
@click.argument("path")
@data_dir_option
@session_option
@branch_option
@json_option
@command_errors
def history(path: str, data_dir: Path, session_id: str | None, branch: str, *, as_json: bool) -> None:
    """List every change of a path, through its renames, oldest first."""
    run(_history(data_dir, session_id, branch, path, as_json=as_json))


@files.command()
@click.argument("old")
@click.argument("new", required=False)
@data_dir_option
@session_option
@click.option("--names", is_flag=True, help="Only which paths differ.")
@command_errors
def diff(old: str, new: str | None, data_dir: Path, session_id: str | None, *, names: bool) -> None:
    """Show what changed between two points, each BRANCH, BRANCH@SEQ or @SEQ (of main).

    NEW is the present state of main unless told. Exit status is 1 when there are differences.
    """
    if run(_diff(data_dir, session_id, old, new or MAIN_BRANCH, names=names)):
        sys.exit(1)


@files.command()
@data_dir_option
@session_option
@json_option
@command_errors
def branches(data_dir: Path, session_id: str | None, *, as_json: bool) -> None:
    """List the session's branches."""
    run(_branches(data_dir, session_id, as_json=as_json))


@files.command()
@click.argument("name")
@data_dir_option
@session_option
@click.option("--from", "parent", default=MAIN_BRANCH, show_default=True, help="The branch to fork.")
@at_option
@command_errors
def fork(name: str, data_dir: Path, session_id: str | None, parent: str, at: int | None) -> None:
    """Make a branch, from its parent's present state or any earlier event."""
    run(_fork(data_dir, session_id, name, parent, at))


@files.command()
@click.argument("source")
@data_dir_option
@session_option
@click.option("--into", default=MAIN_BRANCH, show_default=True, help="The branch that takes the changes.")
@click.option(
    "--conflicts",
    type=click.Choice(["refuse", "ours", "theirs"]),
    default="refuse",
    show_default=True,
    help="Whose version stands where both sides changed a path.",
)
@command_errors
def merge(source: str, data_dir: Path, session_id: str | None, into: str, conflicts: str) -> None:
    """Bring a branch's files into another one (three-way). Exit status is 1 on conflicts, and nothing is stored."""
    run(_merge(data_dir, session_id, source, into, conflicts))


@files.command()
@click.argument("name")
@data_dir_option
@session_option
@branch_option
@command_errors
def snapshot(name: str, data_dir: Path, session_id: str | None, branch: str) -> None:
    """Give the present state a name."""
    run(_snapshot(data_dir, session_id, branch, name))


@files.command()
@click.argument("point")
@data_dir_option
@session_option
@branch_option
@command_errors
def restore(point: str, data_dir: Path, session_id: str | None, branch: str) -> None:
    """Go back to a snapshot (its name) or an event (@SEQ), by new events; what came between stays in the history."""
    run(_restore(data_dir, session_id, branch, point))


@files.command("import")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False, exists=True))
@data_dir_option
@click.option("--session", "session_id", required=True, help="The session; a new one is made.")
@branch_option
@click.option("--watch", is_flag=True, help="Go on as files change, until interrupted.")
@command_errors
def import_(directory: Path, data_dir: Path, session_id: str, branch: str, *, watch: bool) -> None:
    """Make the branch's files those of a directory."""
    run(_import(data_dir, session_id, branch, directory, watch=watch))


@files.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@data_dir_option
@session_option
@branch_option
@at_option
@command_errors
def checkout(directory: Path, data_dir: Path, session_id: str | None, branch: str, at: int | None) -> None:
    """Write the files into an empty directory, as they are or were."""
    run(_checkout(data_dir, session_id, branch, at, directory))


@files.command("export-git")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), required=False)
@data_dir_option
@session_option
@click.option(
    "--stream", type=click.File("wb"), help="Write a stream for `git fast-import` here instead ('-': stdout)."
)
@command_errors
def export_git(directory: Path | None, data_dir: Path, session_id: str | None, stream: BinaryIO | None) -> None:
    """Make a Git repository of a session: branches, merges, snapshots as tags.

    The same journal always gives the same commit ids.
    """
    if (directory is None) == (stream is None):
        raise click.UsageError("Name a directory, or a file with --stream.")
    run(_export_git(data_dir, session_id, directory, stream))


async def _list(data_dir: Path, session_id: str | None, branch: str, at: int | None, *, as_json: bool) -> None:
    async with open_store(data_dir, prompt=ask_passphrase) as store:
        session_id = await _session(store.journal, session_id)
        manifest = await store.desk.view.manifest(session_id, branch, at=at)
    if as_json:
        entries = [
            {
                "path": entry.path,
                "blob_hash": entry.blob_hash,
                "size_bytes": entry.size_bytes,
                "sequence": entry.sequence,
                "updated_at": format_timestamp(entry.updated_at_us),
            }
            for entry in manifest.below("/")
        ]
        document = {"session_id": session_id, "branch": branch, "at": at, "digest": manifest.digest, "files": entries}
        click.echo(json.dumps(document, indent=2))
        return
    if not manifest:
        click.echo("There are no files here.")
        return
    rows = [
        (
            format_timestamp(entry.updated_at_us)[:19].replace("T", " "),
            f"{entry.size_bytes:,}",
            str(entry.sequence),
            entry.blob_hash[:12],
            entry.path,
        )
        for entry in manifest.below("/")
    ]
    print_table(("Changed (UTC)", "Bytes", "Seq", "Content", "Path"), rows, right=(1, 2))
    total = sum(entry.size_bytes for entry in manifest.values())
    click.echo(f"\n{plural(len(manifest), 'file')}, {total:,} bytes, digest {manifest.digest[:12]}.")


async def _show(data_dir: Path, session_id: str | None, branch: str, at: int | None, path: str) -> None:
    async with open_store(data_dir, prompt=ask_passphrase) as store:
        session_id = await _session(store.journal, session_id)
        sys.stdout.buffer.write(await store.desk.read(session_id, path, branch=branch, at=at))


async def _history(data_dir: Path, session_id: str | None, branch: str, path: str, *, as_json: bool) -> None:
    async with open_store(data_dir, prompt=ask_passphrase) as store:
        session_id = await _session(store.journal, session_id)
        versions = await store.desk.view.history(session_id, path, branch)
    if as_json:
        rows = [
            {
                "branch_id": version.branch_id,
                "sequence": version.sequence,
                "event_id": version.event_id,
                "timestamp": format_timestamp(version.at_us),
                "change": version.change,
                "blob_hash": version.entry.blob_hash if version.entry else None,
                "size_bytes": version.entry.size_bytes if version.entry else None,
            }
            for version in versions
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    if not versions:
        raise NotFoundError(f"Nothing ever happened to '{path}' on this branch.")
    print_table(
        ("When (UTC)", "Branch", "Seq", "Change", "Bytes", "Content"),
        [
            (
                format_timestamp(version.at_us)[:19].replace("T", " "),
                version.branch_id,
                str(version.sequence),
                version.change,
                f"{version.entry.size_bytes:,}" if version.entry else "",
                version.entry.blob_hash[:12] if version.entry else "",
            )
            for version in versions
        ],
        right=(2, 4),
    )


async def _diff(data_dir: Path, session_id: str | None, old: str, new: str, *, names: bool) -> bool:
    async with open_store(data_dir, prompt=ask_passphrase) as store:
        session_id = await _session(store.journal, session_id)
        before, after = await _point(store, session_id, old), await _point(store, session_id, new)
        differences = compare(before, after)
        for difference in differences:
            if names:
                _print_change(difference)
            else:
                click.echo(await _difference(store, difference), nl=False)
    return bool(differences)


async def _difference(store: OpenStore, difference: Difference) -> str:
    async def content(entry: FileEntry | None) -> bytes:
        return b"" if entry is None else await store.blobs.get(entry.blob_hash)

    text: str | None = None
    old, new = difference.old, difference.new
    if max(old.size_bytes if old else 0, new.size_bytes if new else 0) <= 1024 * 1024:
        text = text_difference(await content(old), await content(new), path=difference.path)
    head = click.style(f"{difference.change} {difference.path}", bold=True)
    if difference.change == "renamed" and old is not None:
        head += f" (was {old.path})"
    if text is None:
        text = f"Binary: {_size(old)} -> {_size(new)}\n"
    return f"{head}\n{text}"


async def _point(store: OpenStore, session_id: str, text: str) -> Manifest:
    branch, separator, number = text.rpartition("@")
    if not separator:
        return await store.desk.view.manifest(session_id, text)
    if not number.isdecimal():
        raise InvalidInputError(f"'{text}' is no point: write BRANCH, BRANCH@SEQ or @SEQ.")
    return await store.desk.view.manifest(session_id, branch or MAIN_BRANCH, at=int(number))


async def _branches(data_dir: Path, session_id: str | None, *, as_json: bool) -> None:
    async with open_store(data_dir, prompt=ask_passphrase) as store:
        session_id = await _session(store.journal, session_id)
        found = await store.desk.view.branches(session_id)
    if as_json:
        click.echo(json.dumps([branch._asdict() for branch in found.values()], indent=2))
        return
    names = {branch.branch_id: branch.name for branch in found.values()}
    rows = [
        (
            branch.name,
            names.get(branch.parent, branch.parent) if branch.parent else "",
            str(branch.fork_sequence) if branch.parent else "",
            branch.branch_id,
        )
        for branch in found.values()
    ]
    print_table(("Branch", "Forked from", "At", "Id"), rows, right=(2,))


async def _fork(data_dir: Path, session_id: str | None, name: str, parent: str, at: int | None) -> None:
    async with open_store(data_dir, prompt=ask_passphrase) as store:
        session_id = await _session(store.journal, session_id)
        branch = await store.desk.create_branch(session_id, name, parent=parent, at=at)
    click.echo(f"Branch '{branch.name}' of {parent} at event {branch.fork_sequence}: {branch.branch_id}")


async def _merge(data_dir: Path, session_id: str | None, source: str, into: str, conflicts: str) -> None:
    async with open_store(data_dir, prompt=ask_passphrase) as store:
        session_id = await _session(store.journal, session_id)
        try:
            done = await store.desk.merge(
                session_id,
                source,
                into=into,
                strategy="ours" if conflicts == "ours" else "theirs" if conflicts == "theirs" else None,
            )
        except MergeConflictError as error:
            for conflict in error.conflicts:
                click.echo(f"conflict  {conflict['path']}", err=True)
            raise
    click.echo(
        f"Merged {source} into {into} ({done.strategy}): {plural(done.changed, 'path')} changed, event {done.sequence}."
    )


async def _snapshot(data_dir: Path, session_id: str | None, branch: str, name: str) -> None:
    async with open_store(data_dir, prompt=ask_passphrase) as store:
        session_id = await _session(store.journal, session_id)
        point = await store.desk.snapshot(session_id, name, branch=branch)
    click.echo(f"'{point.name}' is {branch} at event {point.covers_through}.")


async def _restore(data_dir: Path, session_id: str | None, branch: str, point: str) -> None:
    wanted: str | int = int(point[1:]) if point.startswith("@") and point[1:].isdecimal() else point
    async with open_store(data_dir, prompt=ask_passphrase) as store:
        session_id = await _session(store.journal, session_id)
        done = await store.desk.restore(session_id, wanted, branch=branch)
    click.echo(f"{branch} is as it was at {point}; its last event is {done.sequence}.")


async def _import(data_dir: Path, session_id: str, branch: str, directory: Path, *, watch: bool) -> None:
    async with open_store(data_dir, create=True, prompt=ask_passphrase) as store:
        workspace = Workspace(store.desk, store.blobs, store.clock, directory, session_id=session_id, branch=branch)
        if not watch:
            _print_taken(await workspace.take_in())
            return
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        async for taken in workspace.watch(stop=stop):
            _print_taken(taken)
            sys.stdout.flush()


async def _checkout(data_dir: Path, session_id: str | None, branch: str, at: int | None, directory: Path) -> None:
    async with open_store(data_dir, prompt=ask_passphrase) as store:
        session_id = await _session(store.journal, session_id)
        workspace = Workspace(store.desk, store.blobs, store.clock, directory, session_id=session_id, branch=branch)
        manifest = await workspace.write_out(at=at)
    click.echo(f"{len(manifest)} files in {directory}.")


async def _export_git(data_dir: Path, session_id: str | None, directory: Path | None, stream: BinaryIO | None) -> None:
    async with open_store(data_dir, prompt=ask_passphrase) as store:
        session_id = await _session(store.journal, session_id)
        export = GitExport(store.journal, store.blobs, store.desk, session_id)
        if directory is not None:
            await export_to_git(export, directory)
        elif stream is not None:
            async for piece in export.stream():
                stream.write(piece)
    done = export.done
    click.echo(f"{done.commits} commits, {done.branches} branches, {done.tags} tags.", err=directory is None)


async def _session(journal: Journal, session_id: str | None) -> str:
    """The session meant: the one named, or the only one that has files."""
    if session_id is not None:
        return session_id
    found: set[str] = set()
    position = 0
    while True:
        page = await journal.read(EventQuery(after_position=position, kinds=FILE_KINDS), limit=_PAGE)
        found.update(record.session_id for record in page)
        if len(page) < _PAGE:
            break
        position = page[-1].position
    if not found:
        raise NotFoundError(
            "No session has files yet.", next_step="Bring some in: life files import DIRECTORY --session NAME"
        )
    if len(found) > 1:
        raise ConflictError(
            f"{len(found)} sessions have files: {', '.join(sorted(found)[:8])}{' …' if len(found) > 8 else ''}.",
            next_step="Name one with --session.",
        )
    return found.pop()


def _print_taken(taken: TakenIn) -> None:
    for difference in taken.changes:
        _print_change(difference)
    for path in taken.passed_over:
        click.echo(f"passed over (neither a file nor a folder): {path}", err=True)
    click.echo(f"{plural(len(taken.changes), 'path')} changed; the branch's last event is {taken.sequence}.")


def _print_change(difference: Difference) -> None:
    was = f"  (was {difference.old.path})" if difference.change == "renamed" and difference.old else ""
    mark = click.style(_MARKS[difference.change], fg=_COLOURS[difference.change])
    click.echo(f"{mark} {difference.path}{was}")


def _size(entry: FileEntry | None) -> str:
    return "nothing" if entry is None else f"{entry.size_bytes:,} bytes {entry.blob_hash[:12]}"
