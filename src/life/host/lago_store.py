"""A project's journal and blobs, opened for a command."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from life.aios.errors import NotFoundError
from life.aios.ports.clock import Clock, Entropy
from life.aios.record import USER
from life.host.blob_keys import open_blobs
from life.host.clock import SystemClock, SystemEntropy
from life.host.data_directory import DataDirectory
from life.host.keys import Prompt, nobody
from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.store import BlobStore
from life.lago.files.desk import FileDesk
from life.lago.journal.sqlite import SqliteJournal

OPERATOR: Final = "operator"
"""The agent id of events that a person wrote at the command line."""


class OpenStore(NamedTuple):
    """What is open. All of it belongs to one event loop."""

    journal: SqliteJournal
    blobs: BlobStore
    desk: FileDesk
    """Writes files in the name of the person at the command line."""
    clock: Clock


@asynccontextmanager
async def open_store(
    data_dir: Path,
    *,
    create: bool = False,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    environment: Mapping[str, str] | None = None,
    prompt: Prompt = nobody,
) -> AsyncIterator[OpenStore]:
    """The journal and blobs of a data directory; NotFoundError when there is no journal in it, unless `create`. New blobs are
    sealed where `storage.encrypt_blobs` says so (IdentityNotFoundError without an identity); errors of `open_identity` when the
    first key is needed."""
    environment = os.environ if environment is None else environment
    clock, entropy = clock or SystemClock(), entropy or SystemEntropy()
    data = DataDirectory.create(data_dir) if create else DataDirectory(data_dir)
    if not create and not (data.journal.exists() and data.journal.stat().st_size):
        raise NotFoundError(
            f"There is no journal in {data_dir}.", next_step="Name the project's folder with --data-dir."
        )
    blobs = open_blobs(
        data, DirectoryObjects(data.blobs, entropy), clock, entropy, environment=environment, prompt=prompt
    )
    async with SqliteJournal.open(data.journal, clock=clock) as journal:
        desk = FileDesk(journal, blobs, clock, entropy, agent_id=OPERATOR, actor=USER)
        yield OpenStore(journal, blobs, desk, clock)
