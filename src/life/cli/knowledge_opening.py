"""Which notes a command of `life knowledge` is about: a folder, or a session of the project's journal."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import click
from platformdirs import user_cache_path

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.ids import MAIN_BRANCH
from life.cli.identity_opening import ask_passphrase
from life.cli.run import data_dir_option
from life.host.clock import SystemClock, SystemEntropy
from life.host.data_directory import DataDirectory
from life.host.lago_store import OpenStore, open_store
from life.host.settings import load_settings
from life.lago.knowledge.directory import DirectoryNotes
from life.lago.knowledge.event_search import EventSearch
from life.lago.knowledge.folder_sync import FolderSync
from life.lago.knowledge.vault import Vault
from life.lago.knowledge.vaults import Vaults

Command = TypeVar("Command", bound=Callable[..., Any])

INDEX_FOLDER: Final = "knowledge"

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")
_vault_option = click.option(
    "--vault",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="LIFE_VAULT",
    help="A folder of markdown notes, such as an Obsidian vault. It is only read.",
)
session_option = click.option("--session", "session_id", help="The session; needed where the journal has several.")
_branch_option = click.option("--branch", default=MAIN_BRANCH, show_default=True, help="The branch, by name or id.")


class Where(NamedTuple):
    """The options that say which notes are meant."""

    folder: Path | None
    data_dir: Path
    session_id: str | None
    branch: str


def where_options(command: Command) -> Command:
    """`--vault`, or `--data-dir` with `--session` and `--branch`."""
    for option in (_branch_option, session_option, data_dir_option, _vault_option):
        command = option(command)
    return command


@asynccontextmanager
async def open_vault(where: Where) -> AsyncIterator[Vault]:
    """The vault, not looked at yet: `sync` does."""
    if where.folder is not None:
        if where.session_id is not None:
            raise InvalidInputError("--vault and --session can't be used together.")
        clock = SystemClock()
        source = DirectoryNotes(where.folder, clock)
        async with Vault(source, clock, index_file=_cache_file(where.folder), looks_first=False) as vault:
            yield vault
        return
    async with (
        open_store(where.data_dir, prompt=ask_passphrase) as store,
        _open_vaults(where.data_dir, store) as vaults,
    ):
        session_id = await _session(store, where.session_id)
        yield await vaults.vault(session_id, where.branch)


@asynccontextmanager
async def open_events(data_dir: Path, session_id: str | None) -> AsyncIterator[EventSearch]:
    """Search in a session's events."""
    async with open_store(data_dir, prompt=ask_passphrase) as store, _open_vaults(data_dir, store) as vaults:
        yield await vaults.events(await _session(store, session_id))


@asynccontextmanager
async def open_sync(where: Where) -> AsyncIterator[FolderSync]:
    """A folder beside a session's notes."""
    assert where.folder is not None
    source = DirectoryNotes(where.folder, SystemClock())
    async with open_store(where.data_dir, prompt=ask_passphrase) as store:
        session_id = where.session_id or await _session(store, None)  # one that is named may be new
        name = sha256(f"{session_id} {where.branch} {where.folder.resolve()}".encode("utf-8", "surrogateescape"))
        yield FolderSync(
            source,
            store.journal,
            store.desk,
            store.blobs,
            SystemEntropy(),
            session_id=session_id,
            branch=where.branch,
            state_file=where.data_dir / INDEX_FOLDER / f"sync-{name.hexdigest()[:40]}.json",
        )


@asynccontextmanager
async def _open_vaults(data_dir: Path, store: OpenStore) -> AsyncIterator[Vaults]:
    # An index has the notes' words in plain: where blobs are sealed it stays in memory.
    sealed = load_settings(DataDirectory(data_dir).config, os.environ).storage.encrypt_blobs
    folder = None if sealed else data_dir / INDEX_FOLDER
    vaults = Vaults(store.journal, store.blobs, store.clock, folder=folder)
    try:
        yield vaults
    finally:
        await vaults.aclose()


async def _session(store: OpenStore, session_id: str | None) -> str:
    """The session that is named, or the only one."""
    sessions = list(dict.fromkeys(stream.session_id for stream in await store.journal.streams(session_id)))
    if len(sessions) == 1:
        return sessions[0]
    if session_id is not None:
        raise NotFoundError(f"There is no session '{session_id}' in this journal.")
    raise InvalidInputError(
        f"The journal has {len(sessions)} sessions.",
        next_step="Name one with --session, or a folder of notes with --vault.",
    )


def _cache_file(folder: Path) -> Path:
    """A folder's index is in the user's cache, named by a hash of where the folder is; nothing is written into the folder."""
    name = sha256(str(folder.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:40]
    return user_cache_path("life") / INDEX_FOLDER / f"folder-{name}.db"
