"""Typed pieces of context, and the port of whoever has some.

    persona     who the agent is: the operator's instructions, its name and mission, its environment
    rules       how work is done here: the project's instruction files, the skills there are
    memory      what it remembers
    compressed  the summary of earlier turns (it stands in the conversation, see `life.arcan.context.compaction`)
    retrieval   what a search found for this objective
    workspace   where it works: branch, files
    task        what else belongs to this objective

Blocks of stable sources are frozen with the session: they make the beginning of every request, and a vendor's cache keeps it. Blocks of the
others are asked for at the start of a run, and stand before its objective when they say something new.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, Protocol, get_args

import msgspec

from life.aios.policy import PolicySet

BlockKind = Literal["persona", "rules", "memory", "compressed", "retrieval", "workspace", "task"]
KINDS: Final[tuple[BlockKind, ...]] = get_args(BlockKind)
"""In the order in which they are put (arcan.md §5.2)."""

Trust = Literal["ours", "project", "outside"]
"""`ours`: the operator's words and the runtime's own. `project`: files of the workspace that say how to work there. `outside`: whatever somebody
else may have written, memory and search results among it."""

KEEP: Final = 255
"""The priority of what is never dropped for the sake of the whole."""


class ContextBlock(msgspec.Struct, frozen=True, kw_only=True):
    """One piece. `priority` is 0..255; the highest go first when not all fits."""

    kind: BlockKind
    source: str
    """Where it comes from, for the journal and the model: `AGENTS.md`, `memory`, `git`."""
    content: str
    priority: int = 128
    trust: Trust = "outside"


class ContextBudgets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most that is given, in tokens (arcan.md §5.2)."""

    total: int = 30_000
    persona: int = 2_000
    rules: int = 5_000
    memory: int = 8_000
    compressed: int = 6_000
    retrieval: int = 6_000
    workspace: int = 5_000
    task: int = 4_000

    def of(self, kind: BlockKind) -> int:
        """The budget of one kind."""
        budget: int = getattr(self, kind)
        return budget


class BlockRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a source is told."""

    session_id: str
    agent_id: str
    owner: str
    workspace: str
    """Absolute path."""
    objective: str
    """Of the run that begins; empty for none."""
    provider: str
    now_us: int
    policy: PolicySet | None = None
    """What the session may do, where its maker said so."""


class BlockSource(Protocol):
    """Somebody who has context to give. A source that fails is left out, and the report says so."""

    @property
    def name(self) -> str:
        """For the journal."""
        ...

    @property
    def stable(self) -> bool:
        """Whether it is asked once, at the session's first run, or at every run's start."""
        ...

    async def blocks(self, request: BlockRequest) -> Sequence[ContextBlock]:
        """What it has to say. The same world gives the same blocks."""
        ...
