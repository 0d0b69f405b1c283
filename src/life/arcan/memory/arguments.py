"""What the memory tools take. The JSON Schema that models see is derived from these structs, so the two can't disagree."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from life.aios.state import MemoryScope

MAX_DAYS: Final = 3_650

_Scope = Annotated[MemoryScope, msgspec.Meta(description="session, user, agent or org")]
_Limit = Annotated[int, msgspec.Meta(ge=1, le=100, description="How many at most.")]


class MemoryQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """memory_query"""

    scope: _Scope = "user"
    limit: _Limit = 20


class MemorySearch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """memory_search"""

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000, description="Words to look for.")]
    limit: _Limit = 10
    scopes: Annotated[tuple[MemoryScope, ...], msgspec.Meta(description="Where to look; everywhere without.")] = ()


class MemoryRecent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """memory_recent"""

    limit: _Limit = 5


class MemoryGraph(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """memory_graph"""

    start: Annotated[str, msgspec.Meta(min_length=1, max_length=300, description="Key, id or name of a note.")]
    depth: Annotated[int, msgspec.Meta(ge=0, le=4, description="How many links far.")] = 2
    max_notes: Annotated[int, msgspec.Meta(ge=1, le=50, description="How many notes at most.")] = 12


class ReadMemory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """read_memory"""

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=300, description="Its key or id.")]
    scope: Annotated[MemoryScope, msgspec.Meta(description="Where; the narrowest that has it without.")] | None = None


class ProposedText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of a proposal."""

    content: Annotated[
        str, msgspec.Meta(description="What to remember, in a sentence or two; [[Name]] links to a note.")
    ]
    tags: Annotated[tuple[str, ...], msgspec.Meta(description="Words to find it by.")] = ()


class MemoryPropose(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """memory_propose"""

    entries: Annotated[
        tuple[ProposedText, ...], msgspec.Meta(min_length=1, max_length=20, description="What to remember.")
    ]
    scope: _Scope = "user"
    expires_days: (
        Annotated[
            int, msgspec.Meta(ge=1, le=MAX_DAYS, description="After how many days it is forgotten; never without.")
        ]
        | None
    ) = None


class MemoryCommit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """memory_commit"""

    proposal_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64, description="From memory_propose.")]
    scope: Annotated[MemoryScope, msgspec.Meta(description="The scope it was proposed to.")] = "user"
    supersedes: Annotated[str, msgspec.Meta(description="The id of a memory that this one replaces.")] | None = None


class WriteMemory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """write_memory"""

    key: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,64}$", description="Letters, digits, - and _.")]
    content: Annotated[str, msgspec.Meta(min_length=1, description="The whole text; it replaces what stood there.")]
    scope: _Scope = "session"


class MemoryForget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """memory_forget"""

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=300, description="Its key or id, or a proposal's id.")]
    scope: Annotated[MemoryScope, msgspec.Meta(description="Where it stands.")] = "session"
    reason: Annotated[str, msgspec.Meta(max_length=300, description="Why.")] = ""
