"""Runs, steps, phases and text."""

from __future__ import annotations

from life.aios.events.kind import Kind
from life.aios.state import Phase, TokenUsage


class PhaseEntered(Kind, frozen=True, kw_only=True):
    """The loop moved to another phase."""

    phase: Phase


class DeliberationProposed(Kind, frozen=True, kw_only=True):
    """What the agent is about to think about. Older journals carry the user's words here."""

    summary: str
    proposed_tool: str | None = None


class RunStarted(Kind, frozen=True, kw_only=True):
    """A run begins."""

    provider: str
    max_iterations: int
    specification: str | None = None
    """The provider specification, when this run has another model than its session."""


class RunFinished(Kind, frozen=True, kw_only=True):
    """A run ended, by itself or by a limit (`reason`)."""

    reason: str
    total_iterations: int
    final_answer: str | None = None
    usage: TokenUsage | None = None


class RunErrored(Kind, frozen=True, kw_only=True):
    """A run ended by an error that the model could not be told."""

    error: str


class StepStarted(Kind, frozen=True, kw_only=True):
    """One model call and what follows from it begins."""

    index: int


class StepFinished(Kind, frozen=True, kw_only=True):
    """One model call and what followed from it is over."""

    index: int
    stop_reason: str
    directive_count: int


class AssistantTextDelta(Kind, frozen=True, kw_only=True):
    """A piece of text while it is being written; ephemeral in our journals. Synonym of TextDelta."""

    delta: str
    index: int | None = None


class TextDelta(Kind, frozen=True, kw_only=True):
    """A piece of text while it is being written. Synonym of AssistantTextDelta."""

    delta: str
    index: int | None = None


class AssistantMessageCommitted(Kind, frozen=True, kw_only=True):
    """A whole message. Synonym of Message."""

    role: str
    content: str
    model: str | None = None
    token_usage: TokenUsage | None = None


class Message(Kind, frozen=True, kw_only=True):
    """A whole message. Synonym of AssistantMessageCommitted."""

    role: str
    content: str
    model: str | None = None
    token_usage: TokenUsage | None = None
    first_token_ms: int | None = None
    """From asking the model to the first piece of its answer."""


class ContextCompacted(Kind, frozen=True, kw_only=True):
    """Older turns were shortened to fit the model's window. Where `summary` stands, the conversation goes on with it instead of its
    `dropped_count` oldest messages; events without one (of other makers) only tell that it happened."""

    dropped_count: int
    tokens_before: int
    tokens_after: int
    summary: str | None = None
    objective: str | None = None
    """The user's words, kept beside the summary because they were among the oldest messages."""
    result_characters: int | None = None
    """Tool results are given with so many characters from now on, those that are kept included."""
    covers_through_seq: int | None = None
    """Sequence of the last event that the summary stands for."""
    summarised_by: str | None = None
    """`mechanical`, or the model that wrote it."""
    token_usage: TokenUsage | None = None
    """Of the model call that wrote it."""
