"""The events of agents that work for others: `Custom` under `arcan.*`, on the stream of the session that they happen to.

    arcan.subagent_started   SubagentStarted   with the intent of a `spawn_agent`: the whole child as it will be created
    arcan.subagents_awaited  SubagentsAwaited  the run has nothing to do but wait for its children: its clock stops
    arcan.subagent_waiting   SubagentWaiting   a child waits for a person
    arcan.subagent_finished  SubagentFinished  with the outcome: what the child used, charged to this run
    arcan.answer_recorded    AnswerRecorded    a typed agent gave an answer that fits
    arcan.answer_corrected   AnswerCorrected   it did not, and is told so

A child's session names its parent in its SessionCreated (`config.parent`). Source: arcan.md §11.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from life.aios.events import Custom
from life.aios.events.codec import custom
from life.aios.json import Json
from life.arcan.events import RunLimits

SUBAGENT_STARTED: Final = "arcan.subagent_started"
SUBAGENTS_AWAITED: Final = "arcan.subagents_awaited"
SUBAGENT_WAITING: Final = "arcan.subagent_waiting"
SUBAGENT_FINISHED: Final = "arcan.subagent_finished"
ANSWER_RECORDED: Final = "arcan.answer_recorded"
ANSWER_CORRECTED: Final = "arcan.answer_corrected"

AnswerFault = Literal["answer_not_emitted", "schema_violation"]


class SubagentStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A child that belongs to a call. Its session is created from this event alone, once, whatever crashes in between."""

    call_id: str
    agent: str
    session_id: str
    objective: str
    limits: RunLimits
    config: Json
    """The `config` of its SessionCreated."""


class SubagentsAwaited(msgspec.Struct, frozen=True, kw_only=True):
    """The calls that are waited for."""

    call_ids: tuple[str, ...]


class SubagentWaiting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The child of this call waits. `subject` is the approval or the call that a person has to decide about."""

    call_id: str
    session_id: str
    status: Literal["waiting", "in_doubt", "paused"]
    tool_name: str = ""
    subject: str = ""


class Spent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run used, its own children included."""

    tokens: int = 0
    tool_calls: int = 0
    cost_micro: int = 0
    """In micro-USD."""
    uncosted: int = 0
    """Model calls whose cost nobody knows."""
    worked_us: int = 0
    subagents: int = 0


class SubagentFinished(msgspec.Struct, frozen=True, kw_only=True):
    """The child's run ended for this reason, or could not begin (`run_id` empty)."""

    call_id: str
    session_id: str
    run_id: str
    reason: str
    spent: Spent


class AnswerRecorded(msgspec.Struct, frozen=True, kw_only=True):
    """The answer, which fits its schema."""

    call_id: str
    answer: Json


class AnswerCorrected(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was wrong. Without `call_id`, no answer was recorded, and the words become a turn of the user's."""

    fault: AnswerFault
    words: str
    call_id: str = ""


_NAMES: Final[dict[type[msgspec.Struct], str]] = {
    SubagentStarted: SUBAGENT_STARTED,
    SubagentsAwaited: SUBAGENTS_AWAITED,
    SubagentWaiting: SUBAGENT_WAITING,
    SubagentFinished: SUBAGENT_FINISHED,
    AnswerRecorded: ANSWER_RECORDED,
    AnswerCorrected: ANSWER_CORRECTED,
}


def agent_event(payload: msgspec.Struct) -> Custom:
    """The event for a payload of this module."""
    return custom(_NAMES[type(payload)], payload)
