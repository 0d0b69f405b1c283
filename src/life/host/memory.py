"""The agent's memory in a process: the service over journal, blobs and knowledge, its tools, its context sources, and a look at each finished run.

    async with open_memory(journal, blobs, clock=…, entropy=…, agent_id=…, index_folder=root / "knowledge") as memory:
        toolbox = JoinedToolbox(("tools", praxis_tools), ("memory", memory.tools))
        context = ContextParts(sources=[*memory.sources])

An index has the memories' words in plain: where blobs are sealed, `index_folder` is None and it stays in memory.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from life.aios.errors import LifeError, ToolError
from life.aios.ports.blobs import Blobs
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.knowledge import Knowledge
from life.aios.record import EventRecord
from life.anima.home import read_identity
from life.arcan.context.blocks import BlockSource, ContextBlock
from life.arcan.context.instructions import Environment, FixedBlocks, GitBranch, ProjectInstructions
from life.arcan.memory.reflection import Learned, Reflector
from life.arcan.memory.retention import sweep
from life.arcan.memory.retrieval import FoundMemories, RememberedBlocks
from life.arcan.memory.scopes import Place
from life.arcan.memory.service import MemoryService
from life.arcan.memory.tools import MemoryTools
from life.host.clock import SystemEntropy
from life.host.data_directory import DataDirectory
from life.host.keys import Prompt, nobody
from life.host.lago_store import OPERATOR, open_store
from life.host.settings import load_settings
from life.lago.knowledge.vaults import Vaults

INDEX_FOLDER: Final = "knowledge"
"""Of the data directory; the same indexes as those of `life knowledge`."""

SWEEP_EVERY_US: Final = 3_600 * 1_000_000

_log = logging.getLogger("life.host")


class OpenMemory(NamedTuple):
    """What is open."""

    knowledge: Callable[[str], Awaitable[Knowledge]]
    """The notes of a session, or of a memory's stream."""

    service: MemoryService
    tools: MemoryTools
    reflector: Reflector
    sources: tuple[BlockSource, ...]
    """Memory for the context: what is remembered, and what a search finds."""


@asynccontextmanager
async def open_memory(
    journal: Journal,
    blobs: Blobs,
    *,
    clock: Clock,
    entropy: Entropy,
    agent_id: str,
    index_folder: Path | None = None,
    learns: bool = False,
    org: str = "local",
) -> AsyncIterator[OpenMemory]:
    """The memory until the block ends. With `learns`, finished runs are looked at as they end, and what is over is swept every hour."""
    if index_folder is not None:
        index_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    vaults = Vaults(journal, blobs, clock, folder=index_folder)

    async def knowledge(session_id: str) -> Knowledge:
        return await vaults.vault(session_id)

    service = MemoryService(journal, blobs, clock=clock, entropy=entropy, agent_id=agent_id, knowledge=knowledge)
    tools = MemoryTools(service, journal, clock, org=org)
    reflector = Reflector(service, journal)
    sources = (RememberedBlocks(service, org=org), FoundMemories(service, org=org))
    memory = OpenMemory(knowledge, service, tools, reflector, sources)
    tasks: list[asyncio.Task[None]] = []
    if learns:
        loop = asyncio.get_running_loop()
        tasks = [
            loop.create_task(_learn(memory, journal, agent_id, org)),
            loop.create_task(_sweep(service, journal, clock)),
        ]
    try:
        yield memory
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await vaults.aclose()


class ProjectMemory(NamedTuple):
    """A project's memory, for a command."""

    memory: OpenMemory
    journal: Journal
    clock: Clock
    agent_id: str


@asynccontextmanager
async def open_project_memory(
    data_dir: Path, *, environment: Mapping[str, str] | None = None, prompt: Prompt = nobody
) -> AsyncIterator[ProjectMemory]:
    """The memory of a data directory; NotFoundError when there is no journal in it."""
    environment = os.environ if environment is None else environment
    data = DataDirectory(data_dir)
    is_named = (data.identity / "soul.json").exists()
    agent_id = read_identity(data.identity).agent_id if is_named else OPERATOR
    async with open_store(data_dir, environment=environment, prompt=prompt) as store:
        sealed = load_settings(data.config, environment).storage.encrypt_blobs
        async with open_memory(
            store.journal,
            store.blobs,
            clock=store.clock,
            entropy=SystemEntropy(),
            agent_id=agent_id,
            index_folder=None if sealed else data_dir / INDEX_FOLDER,
        ) as memory:
            yield ProjectMemory(memory, store.journal, store.clock, agent_id)


def standard_sources(
    memory: OpenMemory, facts: Mapping[str, str], *, persona: str = "", also: Sequence[BlockSource] = ()
) -> tuple[BlockSource, ...]:
    """The sources of every entry point: who the agent is, its environment, project instructions, memory, branch, and what a search finds.
    `persona` is the host's own words about the identity; `also` are sources of other parts (the catalogue of skills)."""
    block = ContextBlock(kind="persona", source="identity", content=persona, priority=200, trust="ours")
    return (
        FixedBlocks("identity", [block]),
        Environment(facts),
        ProjectInstructions(),
        *also,
        *memory.sources,
        GitBranch(),
    )


async def look_at(memory: OpenMemory, record: EventRecord, *, agent_id: str, org: str = "local") -> Learned:
    """Take in what a finished run brought. `record` is its RunFinished."""
    owner = await memory.tools.owner_of(record.session_id)
    place = Place(record.session_id, agent_id, owner, org)
    return await memory.reflector.run_finished(place, record.correlation_id or "", branch_id=record.branch_id)


async def _learn(memory: OpenMemory, journal: Journal, agent_id: str, org: str) -> None:
    """Look at every run that ends from now on. A session that can't be looked at is passed over; its next run is looked at again."""
    position = await _newest(journal)
    async with aclosing(journal.subscribe(EventQuery(after_position=position, kinds=("RunFinished",)))) as records:  # type: ignore[type-var]
        async for record in records:
            try:
                await look_at(memory, record, agent_id=agent_id, org=org)
            except ToolError:
                continue  # a stream that is no session
            except LifeError as error:
                _log.warning("Session %s was not looked at: %s", record.session_id, error.message)


async def _newest(journal: Journal) -> int:
    """The position of the newest event."""
    newest = 0
    for stream in await journal.streams():
        head = (await journal.head(stream)).sequence
        for record in await journal.read(EventQuery(*stream, after_sequence=max(0, head - 1)), limit=1):
            newest = max(newest, record.position)
    return newest


async def _sweep(service: MemoryService, journal: Journal, clock: Clock) -> None:
    while True:
        try:
            await sweep(service, journal, clock)
        except LifeError as error:
            _log.warning("Expired memories were not swept: %s", error.message)
        await clock.sleep_us(SWEEP_EVERY_US)
