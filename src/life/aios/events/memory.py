"""Memory and knowledge."""

from __future__ import annotations

from life.aios.events.kind import Kind
from life.aios.state import MemoryScope


class ObservationAppended(Kind, frozen=True, kw_only=True):
    """An observation was stored."""

    scope: MemoryScope
    observation_ref: str
    source_run_id: str | None = None


class ReflectionCompacted(Kind, frozen=True, kw_only=True):
    """Observations were summed up."""

    scope: MemoryScope
    summary_ref: str
    covers_through_seq: int


class MemoryProposed(Kind, frozen=True, kw_only=True):
    """Entries were proposed for lasting memory."""

    scope: MemoryScope
    proposal_id: str
    entries_ref: str
    source_run_id: str | None = None
    key: str | None = None
    """The name that the memory is to have; without one its id is its name."""
    expires_at_us: int | None = None


class MemoryCommitted(Kind, frozen=True, kw_only=True):
    """Proposed entries were taken over."""

    scope: MemoryScope
    memory_id: str
    committed_ref: str
    supersedes: str | None = None
    proposal_id: str | None = None
    path: str | None = None
    """Where its note stands among the files of its scope."""
    expires_at_us: int | None = None
    """When it stops showing; None for never."""


class MemoryTombstoned(Kind, frozen=True, kw_only=True):
    """A memory no longer shows; the events stay."""

    scope: MemoryScope
    memory_id: str
    reason: str


class KnowledgeSearched(Kind, frozen=True, kw_only=True):
    """The knowledge index was asked."""

    query: str
    result_count: int
    top_relevance: float
    duration_ms: int


class KnowledgeRetrieved(Kind, frozen=True, kw_only=True):
    """Notes were put into the context."""

    note_count: int
    context_tokens: int
    source: str


class KnowledgeEvaluated(Kind, frozen=True, kw_only=True):
    """The health of the knowledge index."""

    health_score: float
    note_count: int
    contradictions: int
    missing_pages: int
    orphans: int
