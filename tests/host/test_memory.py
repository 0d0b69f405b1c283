"""The memory in a process: joined tools, finished runs looked at, what is over swept."""

from __future__ import annotations

import asyncio
from pathlib import Path

from life.aios.ports.provider import ModelRequest
from life.arcan.context.keeper import ContextParts
from life.arcan.memory.notes import MemoryEntry
from life.arcan.memory.scopes import Place
from life.arcan.providers.scripted import ScriptedProvider, ScriptedTurn
from life.arcan.runtime import Runtime
from life.host.memory import open_memory, standard_sources
from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.store import BlobStore
from life.lago.journal.memory import MemoryJournal
from life.praxis.joined import JoinedToolbox
from life.testing.clock import ManualClock, SeededEntropy
from tests.arcan.workbench import Workbench


async def test_a_run_teaches_and_the_next_one_knows(tmp_path: Path) -> None:
    """Asked to remember, proposed after the run, taken over, and in the next session's prompt; another owner's knows nothing."""
    clock, entropy = ManualClock(), SeededEntropy("memory")
    journal, bench = MemoryJournal(), Workbench(tmp_path, clock)
    blobs = BlobStore(DirectoryObjects(tmp_path / "blobs", entropy), entropy)
    seen: list[ModelRequest] = []

    def model(request: ModelRequest) -> ScriptedTurn:
        seen.append(request)
        return ScriptedTurn(text="Noted.")

    async with open_memory(
        journal, blobs, clock=clock, entropy=entropy, agent_id="agent-1", index_folder=tmp_path / "i", learns=True
    ) as memory:
        await asyncio.sleep(0)
        runtime = Runtime(
            journal,
            JoinedToolbox(("bench", bench), ("memory", memory.tools)),
            provider=ScriptedProvider(model, clock=clock),
            clock=clock,
            entropy=SeededEntropy("runtime"),
            agent_id="agent-1",
            workspace_of=lambda _: str(bench.workspace),
            context=ContextParts(sources=standard_sources(memory, {"os": "Linux"}, persona="You are Nora.")),
        )
        async with runtime:
            await runtime.create_session("one", owner="user:ada")
            await runtime.run("one", "Remember that the staging server is called Nebelhorn.")
            place = Place("one", "agent-1", "user:ada")
            waiting = []
            for _ in range(200):
                waiting = await memory.service.proposals(place, "user")
                if waiting:
                    break
                await asyncio.sleep(0.01)
            ((proposal, content),) = waiting
            assert content.entries[0].content == "the staging server is called Nebelhorn."
            await memory.service.commit(place, proposal.proposal_id)
            for session, owner in (("two", "user:ada"), ("three", "user:bob")):
                await runtime.create_session(session, owner=owner)
                await runtime.run(session, "Where is staging?")
        assert "Nebelhorn" in seen[1].system
        assert "Nebelhorn" not in seen[2].system
        assert "model: scripted" in seen[0].system and "You are Nora." in seen[0].system


async def test_what_is_over_is_swept(tmp_path: Path) -> None:
    """By the clock, without anybody asking."""
    clock, entropy = ManualClock(), SeededEntropy("memory")
    blobs = BlobStore(DirectoryObjects(tmp_path / "blobs", entropy), entropy)
    async with open_memory(
        MemoryJournal(), blobs, clock=clock, entropy=entropy, agent_id="agent-1", learns=True
    ) as memory:
        place = Place("s", "agent-1", "user:ada")
        soon = clock.now_us() + 60_000_000
        proposal = await memory.service.propose(place, "user", [MemoryEntry(content="Soon over.")], expires_at_us=soon)
        done = await memory.service.commit(place, proposal.proposal_id)
        for _ in range(500):
            clock.advance_us(3_600_000_000)
            await asyncio.sleep(0.005)
            fold = await memory.service.state(place, "user")
            if fold.memories[done.memory_id].status == "forgotten":
                break
        assert fold.memories[done.memory_id].reason == "expired"
