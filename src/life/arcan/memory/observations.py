"""What is noteworthy in a session's events, without a model: what the user asked to be remembered or stated as a rule, what failed, how runs ended.

Heuristics, and nothing more: they look for plain English wordings, a few German and Spanish ones, at the beginning of a sentence. They miss most
of what matters and never invent anything: every observation quotes its event. Observations are kept in batches of 20 (`ObservationAppended` with
their text in a blob); what the user asked to be remembered becomes a proposal that somebody has to take over.

Source: arcan.md §6.4, §6.5; aios.md §12.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from life.aios import events
from life.aios.record import EventRecord
from life.arcan.context.cutting import one_line
from life.arcan.conversation import result_text
from life.arcan.memory.notes import holds_secret

OBSERVER_THRESHOLD: Final = 20
"""Noteworthy events of a scope before they are written (arcan.md §6.4)."""

OBSERVATION_CHARACTERS: Final = 400
LOOKED_AT_CHARACTERS: Final = 8_000
"""Of a user's message; what a person asks to be remembered stands at its beginning, not on page five."""

MAX_PROPOSED: Final = 10
"""Entries that one run may propose."""

_SENTENCE: Final = re.compile(r"(?<=[.!?。！？])\s+|\n+")
_ASKS: Final = re.compile(
    r"^(?:please\s+|bitte\s+|por favor\s+)?(?:remember|note|keep in mind|don't forget|merk(?:e)? dir|denk(?:e)? daran|recuerda)\b[\s,:]*(?:that\s+|dass\s+|que\s+)?(?P<what>.+)",
    re.IGNORECASE | re.DOTALL,
)
_RULES: Final = re.compile(
    r"^(?:i (?:always|never|prefer|like|dislike|want you to always)|always|never|from now on|in future|my [\w-]+ (?:is|are)|we (?:always|never|use|prefer)|"
    r"ich (?:bevorzuge|mag|möchte immer)|immer|nie(?:mals)?|ab jetzt|siempre|nunca|prefiero)\b",
    re.IGNORECASE,
)

ObservationKind = Literal["asked_to_remember", "rule", "tool_failed", "run_ended"]


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One noteworthy thing, quoted from one event."""

    kind: ObservationKind
    text: str
    sequence: int
    event_id: str
    digest: str | None
    """Of the event in the journal's chain, where it is known."""
    at_us: int
    run_id: str | None = None


class ObservationBatch(msgspec.Struct, frozen=True, kw_only=True):
    """The blob that `ObservationAppended.observation_ref` names. Provenance is the range of events, by sequence."""

    session_id: str
    branch_id: str
    event_start: int
    event_end: int
    observations: tuple[Observation, ...]


def observe(records: Iterable[EventRecord]) -> list[Observation]:
    """The noteworthy among these events, in their order."""
    found: list[Observation] = []
    for record in records:
        kind = record.kind
        if isinstance(kind, events.UserMessage):
            for asked, text in statements(kind.content):
                found.append(_observation("asked_to_remember" if asked else "rule", text, record))
        elif isinstance(kind, events.ToolCallFailed):
            found.append(_observation("tool_failed", f"{kind.tool_name}: {kind.error}", record))
        elif isinstance(kind, events.ToolCallCompleted) and kind.status in ("error", "timeout"):
            found.append(_observation("tool_failed", f"{kind.tool_name}: {result_text(kind.result)[:4_000]}", record))
        elif isinstance(kind, events.RunFinished) and kind.reason not in ("completed", "cancelled"):
            found.append(_observation("run_ended", f"A run ended: {kind.reason}.", record))
    return [item for item in found if not holds_secret(item.text)]


def statements(content: str) -> list[tuple[bool, str]]:
    """Sentences of a user that ask to be remembered (True) or state a rule (False)."""
    found: list[tuple[bool, str]] = []
    for sentence in _SENTENCE.split(content[:LOOKED_AT_CHARACTERS]):
        words = sentence.strip(" \t-*>\"'“”")
        if not 8 <= len(words) <= 1_000 or words.endswith("?"):
            continue
        asked = _ASKS.match(words)
        if asked is not None:
            found.append((True, one_line(asked.group("what"), OBSERVATION_CHARACTERS)))
        elif _RULES.match(words) is not None:
            found.append((False, one_line(words, OBSERVATION_CHARACTERS)))
    return found


def _observation(kind: ObservationKind, text: str, record: EventRecord) -> Observation:
    return Observation(
        kind=kind,
        text=one_line(text, OBSERVATION_CHARACTERS),
        sequence=record.sequence,
        event_id=record.event_id,
        digest=record.digest,
        at_us=record.timestamp_us,
        run_id=record.correlation_id,
    )
