"""`life memory`: what the agent remembers, and what waits to be remembered, decided about by a person."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypeVar

import click
import msgspec

from life.aios.errors import InvalidInputError
from life.aios.record import USER, format_timestamp
from life.aios.state import MemoryScope
from life.arcan.context.cutting import one_line
from life.arcan.memory.notes import MemoryEntry
from life.arcan.memory.retention import consolidate as consolidate_place
from life.arcan.memory.scopes import SCOPES, Place, check_scope
from life.cli.identity_opening import ask_passphrase
from life.cli.run import command_errors, data_dir_option, run
from life.cli.tables import print_table
from life.host.memory import ProjectMemory, open_project_memory

Command = TypeVar("Command", bound=Callable[..., Any])

_WIDTH: Final = 100

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")
scope_option = click.option(
    "--scope", type=click.Choice(SCOPES), default="user", show_default=True, help="Whose memory."
)


class Whose(NamedTuple):
    """The options that say whose memory is meant."""

    data_dir: Path
    owner: str
    session_id: str


def whose_options(command: Command) -> Command:
    """`--data-dir`, `--owner` and `--session`."""
    owner = click.option("--owner", default="", help="The owner of sessions, like user:ada; without, the operator.")
    session = click.option("--session", "session_id", default="", help="The session, for its own memory.")
    for option in (session, owner, data_dir_option):
        command = option(command)
    return command


@click.group()
def memory() -> None:
    """What the agent remembers: list, search, propose, take over, forget."""


@memory.command("list")
@whose_options
@scope_option
@click.option("--proposals", is_flag=True, help="What waits to be taken over.")
@click.option("--limit", "-n", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
@command_errors
def list_(data_dir: Path, owner: str, session_id: str, scope: str, proposals: bool, limit: int, as_json: bool) -> None:
    """List memories, newest first, or proposals, oldest first."""
    run(_list(Whose(data_dir, owner, session_id), check_scope(scope), proposals, limit, as_json=as_json))


@memory.command()
@whose_options
@click.argument("reference")
@json_option
@command_errors
def show(data_dir: Path, owner: str, session_id: str, reference: str, as_json: bool) -> None:
    """Show one memory in full, by its id or key."""
    run(_show(Whose(data_dir, owner, session_id), reference, as_json=as_json))


@memory.command()
@whose_options
@click.argument("words", nargs=-1, required=True)
@click.option("--limit", "-n", type=click.IntRange(1, 100), default=10, show_default=True)
@json_option
@command_errors
def search(data_dir: Path, owner: str, session_id: str, words: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Search all scopes by words."""
    run(_search(Whose(data_dir, owner, session_id), " ".join(words), limit, as_json=as_json))


@memory.command()
@whose_options
@scope_option
@click.argument("content")
@click.option("--key", help="A name for it: letters, digits, - and _.")
@click.option("--tag", "tags", multiple=True, help="A word to find it by; may be repeated.")
@click.option("--expires-days", type=click.IntRange(1, 3650), help="After how many days it is forgotten.")
@click.option("--commit", "at_once", is_flag=True, help="Take it over at once.")
@command_errors
def propose(
    data_dir: Path,
    owner: str,
    session_id: str,
    scope: str,
    content: str,
    key: str | None,
    tags: tuple[str, ...],
    expires_days: int | None,
    at_once: bool,
) -> None:
    """Propose something to remember, and print the proposal's id."""
    whose = Whose(data_dir, owner, session_id)
    entry = MemoryEntry(content=content, tags=tags)
    run(_propose(whose, check_scope(scope), entry, key, expires_days, at_once=at_once))


@memory.command()
@whose_options
@click.argument("proposal_id")
@click.option("--supersedes", help="The id of a memory that this one replaces.")
@command_errors
def commit(data_dir: Path, owner: str, session_id: str, proposal_id: str, supersedes: str | None) -> None:
    """Take a proposal over: the agent remembers it from now on."""
    run(_commit(Whose(data_dir, owner, session_id), proposal_id, supersedes))


@memory.command()
@whose_options
@click.argument("reference")
@click.option("--scope", type=click.Choice(SCOPES), help="Where it stands; the narrowest that has it without.")
@click.option("--reason", default="", help="Why, for the journal.")
@command_errors
def forget(data_dir: Path, owner: str, session_id: str, reference: str, scope: str | None, reason: str) -> None:
    """Let a memory or a proposal show no more. The events stay in the journal."""
    run(_forget(Whose(data_dir, owner, session_id), reference, check_scope(scope) if scope else None, reason))


@memory.command()
@whose_options
@scope_option
@click.option("--output", "-o", type=click.File("wb"), default="-", help="Where to; standard output unless told.")
@command_errors
def export(data_dir: Path, owner: str, session_id: str, scope: str, output: BinaryIO) -> None:
    """Write a scope as JSON lines, oldest first."""
    run(_export(Whose(data_dir, owner, session_id), check_scope(scope), output))


@memory.command()
@whose_options
@command_errors
def consolidate(data_dir: Path, owner: str, session_id: str) -> None:
    """Forget what is over, merge what says the same, and sum up a session's observations."""
    run(_consolidate(Whose(data_dir, owner, session_id)))


class _Opened(NamedTuple):
    project: ProjectMemory
    place: Place


@asynccontextmanager
async def _opened(whose: Whose) -> AsyncIterator[_Opened]:
    async with open_project_memory(whose.data_dir, prompt=ask_passphrase) as project:
        owner = whose.owner
        if whose.session_id:
            owned_by = await project.memory.tools.owner_of(whose.session_id)
            if owner and owned_by != owner:
                raise InvalidInputError(f"Session {whose.session_id} does not belong to {owner}.")
            owner = owned_by
        yield _Opened(project, Place(whose.session_id, project.agent_id, owner, by_operator=True))


async def _list(whose: Whose, scope: MemoryScope, proposals: bool, limit: int, *, as_json: bool) -> None:
    async with _opened(whose) as (project, place):
        service = project.memory.service
        if proposals:
            waiting = (await service.proposals(place, scope))[:limit]
            if as_json:
                _print_json([{"proposal": proposal, "content": content} for proposal, content in waiting])
                return
            rows = [
                [
                    each.proposal_id,
                    format_timestamp(each.at_us)[:19],
                    _line(" / ".join(e.content for e in content.entries)),
                ]
                for each, content in waiting
            ]
            _table(["Proposal", "Time", "Text"], rows, f"Nothing waits in the scope '{scope}'.")
            return
        memories = await service.query(place, scope, limit=limit)
    if as_json:
        _print_json(memories)
        return
    rows = [[each.memory_id, format_timestamp(each.created_us)[:19], _line(each.content)] for each in memories]
    _table(["Memory", "Time", "Text"], rows, f"Nothing is remembered in the scope '{scope}'.")


async def _show(whose: Whose, reference: str, *, as_json: bool) -> None:
    async with _opened(whose) as (project, place):
        found = await project.memory.service.get(place, reference)
    if as_json:
        _print_json(found)
        return
    click.echo(
        click.style(f"{found.memory_id}  {found.scope}  {found.path}  sha256 {found.blob_hash}", dim=True), err=True
    )
    click.echo(_plain(found.content))


async def _search(whose: Whose, query: str, limit: int, *, as_json: bool) -> None:
    async with _opened(whose) as (project, place):
        hits = await project.memory.service.search(place, query, limit=limit)
    if as_json:
        _print_json(hits)
        return
    rows = [[f"{hit.score:.3f}", hit.scope, hit.memory_id, _line(hit.excerpt)] for hit in hits]
    _table(["Score", "Scope", "Memory", "Text"], rows, "No memory matches.")


async def _propose(
    whose: Whose, scope: MemoryScope, entry: MemoryEntry, key: str | None, expires_days: int | None, *, at_once: bool
) -> None:
    async with _opened(whose) as (project, place):
        service = project.memory.service
        expires_us = None if expires_days is None else project.clock.now_us() + expires_days * 86_400 * 1_000_000
        proposal = await service.propose(place, scope, [entry], key=key, expires_at_us=expires_us, actor=USER)
        if not at_once:
            click.echo(proposal.proposal_id)
            return
        done = await service.commit(place, proposal.proposal_id, actor=USER)
    click.echo(done.memory_id)


async def _commit(whose: Whose, proposal_id: str, supersedes: str | None) -> None:
    async with _opened(whose) as (project, place):
        done = await project.memory.service.commit(place, proposal_id, supersedes=supersedes, actor=USER)
    click.echo(done.memory_id)
    for merged in done.merged:
        click.echo(f"replaces {merged}", err=True)


async def _forget(whose: Whose, reference: str, scope: MemoryScope | None, reason: str) -> None:
    async with _opened(whose) as (project, place):
        ids = await project.memory.service.forget(
            place, reference, scope=scope, reason=reason or "forgotten by a person", actor=USER
        )
    for memory_id in ids:
        click.echo(f"forgotten {memory_id}")


async def _export(whose: Whose, scope: MemoryScope, output: BinaryIO) -> None:
    async with _opened(whose) as (project, place):
        async for line in project.memory.service.export(place, scope):
            output.write(line)


async def _consolidate(whose: Whose) -> None:
    async with _opened(whose) as (project, place):
        done = await consolidate_place(project.memory.service, place, project.clock)
        reflections = await project.memory.reflector.catch_up(place) if place.session_id else 0
    click.echo(f"{done.expired} expired, {done.merged} merged, {reflections} reflections.")


def _table(headings: list[str], rows: list[list[str]], nothing: str) -> None:
    if rows:
        print_table(headings, rows)
    else:
        click.echo(nothing, err=True)


def _line(text: str) -> str:
    return one_line(_plain(text), _WIDTH)


def _plain(text: str) -> str:
    """The text without what could steer a terminal."""
    return "".join(character if character.isprintable() or character in "\n\t" else "�" for character in text)


def _print_json(value: object) -> None:
    click.echo(msgspec.json.encode(value).decode())
