"""What lagod works on: a journal of the chosen engine, snapshots, blobs, and who may use it.

sqlite   `<directory>/journal.db`, committed by a process of its own
nats     JetStream servers that are named, or one that is started on `<directory>/nats`
memory   everything in memory, blobs in a folder that is removed: gone at the end, and lagod says so
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, Literal, NamedTuple

from life.aios.errors import InvalidInputError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.ports.snapshots import Snapshots
from life.host.access import Access, load_or_create_token
from life.host.blob_keys import open_blobs
from life.host.data_directory import DataDirectory, DirectoryLock
from life.host.haima_directory import JOURNAL_FILE, lock_directory, open_directory
from life.lago.blobs.aws_signature import AwsCredentials
from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.objects import Objects
from life.lago.blobs.s3 import Bucket, S3Objects
from life.lago.blobs.store import BlobStore
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal
from life.lago.snapshots import MemorySnapshots, SqliteSnapshots

NATS_FOLDER: Final = "nats"
"""Where a server that we start keeps its streams."""
EngineName = Literal["sqlite", "nats", "memory"]
BLOBS: Final = "blobs"
_ACCESS_KEY: Final = "AWS_ACCESS_KEY_ID"
_SECRET_KEY: Final = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 (the variable's name)
_SESSION_TOKEN: Final = "AWS_SESSION_TOKEN"  # noqa: S105 (the variable's name)


class NatsSettings(NamedTuple):
    """How to reach NATS. Without servers, one is started."""

    servers: tuple[str, ...] = ()
    credentials: Path | None = None
    ca_file: Path | None = None
    name: str = "journal"
    replicas: int = 3
    accept_unverified: bool = False
    """Open a journal that may lose what it acknowledged."""


class EngineSettings(NamedTuple):
    """Which engine, and where."""

    engine: EngineName = "sqlite"
    directory: Path | None = None
    """None only with `memory`."""
    nats: NatsSettings = NatsSettings()
    bucket: Bucket | None = None
    """Where blobs are; None: in the directory."""


class OpenEngine(NamedTuple):
    """Everything open."""

    journal: Journal
    snapshots: Snapshots
    blobs: BlobStore
    access: Access
    token: str
    token_file: Path
    root: Path | None
    """None in memory."""
    lock: DirectoryLock | None
    doubts: tuple[str, ...] = ()
    """Why an acknowledged event could be lost, where it could."""


@asynccontextmanager
async def open_engine(
    settings: EngineSettings, clock: Clock, entropy: Entropy, environment: Mapping[str, str]
) -> AsyncIterator[OpenEngine]:
    """Open the engine until the block ends. The directory is locked for one lagod.

    DataDirectoryLockedError; JournalUnavailableError; InvalidInputError for settings that can't be meant.
    """
    async with AsyncExitStack() as stack:
        if settings.engine == "memory":
            private = Path(tempfile.mkdtemp(prefix="lagod-"))
            stack.push_async_callback(asyncio.to_thread, shutil.rmtree, private, ignore_errors=True)
            root, lock = private, None
        else:
            if settings.directory is None:
                raise InvalidInputError("This engine needs a data directory.")
            root = open_directory(settings.directory)
            lock = stack.enter_context(lock_directory(root, "lagod"))
        token_file = root / "token"
        token = load_or_create_token(token_file, entropy)
        objects = await _objects(settings, root, clock, entropy, environment, stack)
        if settings.engine == "memory":
            blobs = BlobStore(objects, entropy)
        else:
            blobs = open_blobs(DataDirectory(root), objects, clock, entropy, environment=environment)
        journal, snapshots, doubts = await _journal(settings, root, clock, entropy, stack)
        yield OpenEngine(
            journal,
            snapshots,
            blobs,
            Access(token, clock, entropy),
            token,
            token_file,
            None if settings.engine == "memory" else root,
            lock,
            doubts,
        )


async def _journal(
    settings: EngineSettings, root: Path, clock: Clock, entropy: Entropy, stack: AsyncExitStack
) -> tuple[Journal, Snapshots, tuple[str, ...]]:
    match settings.engine:
        case "memory":
            return await stack.enter_async_context(MemoryJournal()), MemorySnapshots(), ()
        case "sqlite":
            path = root / JOURNAL_FILE
            journal = await stack.enter_async_context(SqliteJournal.open(path, clock=clock, writer="process"))
            return journal, await stack.enter_async_context(SqliteSnapshots(path)), ()
        case "nats":
            return await open_nats(settings.nats, root, entropy, stack)


async def open_nats(
    settings: NatsSettings, root: Path, entropy: Entropy, stack: AsyncExitStack
) -> tuple[Journal, Snapshots, tuple[str, ...]]:
    """The journal on NATS, its snapshots, and why it could lose something, where it could. Without servers one is started in
    `root/nats`."""
    from life.lago.journal.nats.access import NatsAccess, read_access  # the extra `nats`
    from life.lago.journal.nats.journal import NatsJournal
    from life.lago.journal.nats.snapshots import NatsSnapshots
    from life.lago.nats_server import NatsServer

    replicas = settings.replicas
    if not settings.servers:
        server = await stack.enter_async_context(NatsServer.run(root / NATS_FOLDER, entropy=entropy))
        access, replicas = server.access, 1
    elif settings.credentials is not None:
        access = read_access(settings.servers, settings.credentials, ca_file=settings.ca_file)
    else:
        access = NatsAccess(settings.servers, ca_file=settings.ca_file)
    journal = await stack.enter_async_context(
        NatsJournal.open(
            access,
            entropy=entropy,
            name=settings.name,
            replicas=replicas,
            durability="accept" if settings.accept_unverified else "require",
        )
    )
    snapshots = await stack.enter_async_context(NatsSnapshots.open(access, name=settings.name, replicas=replicas))
    return journal, snapshots, tuple(journal.durability.doubts)


async def _objects(
    settings: EngineSettings,
    root: Path,
    clock: Clock,
    entropy: Entropy,
    environment: Mapping[str, str],
    stack: AsyncExitStack,
) -> Objects:
    if settings.bucket is None:
        return DirectoryObjects(root / BLOBS, entropy)
    key, secret = environment.get(_ACCESS_KEY, ""), environment.get(_SECRET_KEY, "")
    if not key or not secret:
        raise InvalidInputError(
            "The bucket's access key is missing.", next_step=f"Set {_ACCESS_KEY} and {_SECRET_KEY} in the environment."
        )
    credentials = AwsCredentials(key, secret, environment.get(_SESSION_TOKEN) or None)
    objects = S3Objects(settings.bucket, credentials, clock, scratch=root / "incoming")
    stack.push_async_callback(objects.aclose)
    return objects
