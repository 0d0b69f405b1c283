"""Memory in the prompt: what is remembered, frozen with the session, and what a search finds for each objective (arcan.md §5.2, §6.6).

Memory is what somebody once said, and the model's own words among it: it stands between tags and is named as data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from life.aios.policy import evaluate
from life.aios.state import MemoryScope
from life.arcan.context.blocks import BlockRequest, ContextBlock
from life.arcan.context.cutting import one_line
from life.arcan.memory.scopes import SCOPES, Place
from life.arcan.memory.service import MemoryService

LISTED: Final = 40
"""Newest memories of each scope in the frozen block; the budget cuts further."""

LISTED_CHARACTERS: Final = 600
FOUND: Final = 8
QUERY_CHARACTERS: Final = 1_000


class RememberedBlocks:
    """What the user's, the agent's and the organisation's memory hold, at the session's first run."""

    def __init__(self, service: MemoryService, *, org: str = "local") -> None:
        self._service = service
        self._org = org

    @property
    def name(self) -> str:
        """See BlockSource."""
        return "memory"

    @property
    def stable(self) -> bool:
        """See BlockSource."""
        return True

    async def blocks(self, request: BlockRequest) -> Sequence[ContextBlock]:
        """See BlockSource. A block for each scope, the narrowest with the highest priority."""
        place = place_of(request, self._org)
        blocks = []
        readable = readable_scopes(request)
        for number, scope in enumerate(SCOPES):
            if scope not in readable:
                continue
            memories = await self._service.query(place, scope, limit=LISTED)
            lines = [
                f"- ({memory.memory_id[-6:]}) {one_line(memory.content, LISTED_CHARACTERS)}" for memory in memories
            ]
            if lines:
                content = "\n".join(lines)
                blocks.append(
                    ContextBlock(kind="memory", source=f"memory of the {scope}", content=content, priority=150 - number)
                )
        return blocks


class FoundMemories:
    """What a search of the memory finds for the objective, at every run's start."""

    def __init__(self, service: MemoryService, *, org: str = "local") -> None:
        self._service = service
        self._org = org

    @property
    def name(self) -> str:
        """See BlockSource."""
        return "memory search"

    @property
    def stable(self) -> bool:
        """See BlockSource."""
        return False

    async def blocks(self, request: BlockRequest) -> Sequence[ContextBlock]:
        """See BlockSource. One block with the best memories, each with where it stands."""
        query = one_line(request.objective, QUERY_CHARACTERS)
        if not query:
            return []
        scopes = readable_scopes(request)
        if not scopes:
            return []
        hits = await self._service.search(place_of(request, self._org), query, scopes=scopes, limit=FOUND)
        lines = [
            f"[{number}] {hit.scope} {hit.path} sha256 {hit.blob_hash[:12]}\n{_quoted(hit.excerpt)}"
            for number, hit in enumerate(hits, 1)
            if hit.excerpt
        ]
        if not lines:
            return []
        return [ContextBlock(kind="retrieval", source=self.name, content="\n".join(lines), priority=150)]


def place_of(request: BlockRequest, org: str) -> Place:
    """Whose memory a session reads."""
    return Place(request.session_id, request.agent_id, request.owner, org)


def readable_scopes(request: BlockRequest) -> tuple[MemoryScope, ...]:
    """The scopes that may stand in this session's prompt: all, unless its policy speaks of memory and leaves some out. A session that works
    for a stranger must not be able to tell it what others said."""
    policy = request.policy
    named = () if policy is None else (*policy.allow_capabilities, *policy.gate_capabilities)
    if policy is None or not any(name == "*" or name.startswith("memory:") for name in named):
        return SCOPES
    return tuple(scope for scope in SCOPES if evaluate(policy, (f"memory:read:{scope}",)).allowed)


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())
