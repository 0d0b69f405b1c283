"""What of the context stands in the journal. All names begin with `arcan.context_`.

    arcan.context_frozen           the beginning of every request of this session, as it is from its first run on
    arcan.context_noted            what a run is told before its objective: search results, the state of the workspace
    arcan.context_window           the model's window, when it is not the one that is known
    arcan.context_summary_started  a model is asked for a summary of older turns
    ContextCompacted               (life.aios.events) older turns were replaced by their summary

The text stands in the events as it goes to the model, so that other versions of the compiler give the same requests.
"""

from __future__ import annotations

from typing import Final

import msgspec

from life.aios.events import Custom
from life.aios.events.codec import custom
from life.arcan.context.compiler import BlockReport

CONTEXT_FROZEN: Final = "arcan.context_frozen"
CONTEXT_NOTED: Final = "arcan.context_noted"
CONTEXT_WINDOW: Final = "arcan.context_window"
SUMMARY_STARTED: Final = "arcan.context_summary_started"


class ContextFrozen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The compiled text of the stable sources."""

    text: str
    blocks: tuple[BlockReport, ...] = ()
    failed: tuple[str, ...] = ()
    """Sources that gave nothing because they failed."""


class SeenSource(msgspec.Struct, frozen=True, kw_only=True):
    """What a source last said, by its hash (16 hex digits of SHA-256)."""

    source: str
    digest: str


class ContextNoted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The compiled text of what is new at a run's start. `run_id` is the run it was gathered for."""

    run_id: str
    text: str
    seen: tuple[SeenSource, ...] = ()
    blocks: tuple[BlockReport, ...] = ()
    failed: tuple[str, ...] = ()


class ContextWindow(msgspec.Struct, frozen=True, kw_only=True):
    """The window of the model that this session now talks to; context pressure is measured against it."""

    window_tokens: int


class SummaryStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A model is asked to sum up everything through this event of the branch."""

    covers_through_seq: int
    messages: int


def context_frozen(payload: ContextFrozen) -> Custom:
    """The event for a frozen beginning."""
    return custom(CONTEXT_FROZEN, payload)


def context_noted(payload: ContextNoted) -> Custom:
    """The event for what a run is told."""
    return custom(CONTEXT_NOTED, payload)


def context_window(payload: ContextWindow) -> Custom:
    """The event for another window."""
    return custom(CONTEXT_WINDOW, payload)


def summary_started(payload: SummaryStarted) -> Custom:
    """The event for a summary that is being written."""
    return custom(SUMMARY_STARTED, payload)
