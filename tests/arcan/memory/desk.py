"""A memory over real parts: a journal, a blob store on a directory, and Lago's own knowledge index."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from life.aios import events
from life.aios.ports.journal import Journal
from life.aios.ports.knowledge import Knowledge
from life.aios.record import EventWriter, Stream
from life.arcan.memory.notes import MemoryEntry
from life.arcan.memory.reflection import Reflector
from life.arcan.memory.scopes import Place
from life.arcan.memory.service import MemoryService
from life.arcan.memory.tools import MemoryTools
from life.arcan.session_state import SessionConfig
from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.store import BlobStore
from life.lago.journal.memory import MemoryJournal
from life.lago.knowledge.vaults import Vaults
from life.testing.clock import ManualClock, SeededEntropy

ADA = Place("s-ada", "agent-1", "user:ada")
BOB = Place("s-bob", "agent-1", "user:bob")
OPERATOR = Place("s-op", "agent-1")


class Desk(NamedTuple):
    """What is open."""

    service: MemoryService
    journal: Journal
    clock: ManualClock
    tools: MemoryTools
    reflector: Reflector
    blobs: BlobStore

    async def remember(self, place: Place, scope: str, text: str, **more: object) -> str:
        """Propose and take over at once; the memory's id."""
        proposal = await self.service.propose(place, scope, [MemoryEntry(content=text)], **more)  # type: ignore[arg-type]
        return (await self.service.commit(place, proposal.proposal_id)).memory_id

    async def session(self, place: Place) -> EventWriter:
        """A session of this owner, as the runtime makes it."""
        writer = EventWriter(
            self.clock, SeededEntropy(place.session_id), agent_id="agent-1", stream=Stream(place.session_id)
        )
        config = msgspec.to_builtins(SessionConfig(owner=place.owner))
        await self.journal.append([writer.event(events.SessionCreated(name="s", config=config))])
        return writer


@asynccontextmanager
async def desk(root: Path, journal: Journal | None = None, *, seed: str = "desk") -> AsyncIterator[Desk]:
    """The memory, closed at the end."""
    clock, entropy = ManualClock(), SeededEntropy(seed)
    kept: Journal = journal or MemoryJournal()
    blobs = BlobStore(DirectoryObjects(root / "blobs", entropy), entropy)
    vaults = Vaults(kept, blobs, clock)

    async def knowledge(session_id: str) -> Knowledge:
        return await vaults.vault(session_id)

    service = MemoryService(kept, blobs, clock=clock, entropy=entropy, agent_id="agent-1", knowledge=knowledge)
    try:
        yield Desk(service, kept, clock, MemoryTools(service, kept, clock), Reflector(service, kept), blobs)
    finally:
        await vaults.aclose()
