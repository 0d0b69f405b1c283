"""The events that only the runtime writes: `Custom` under `arcan.*`.

    arcan.run_limits     RunLimits      at the start of every run: what it may use
    arcan.limit_reached  LimitReached   just before the RunFinished that it causes
    arcan.tool_probed    ToolProbed     on recovery: what the probe said about an interrupted call
    arcan.run_in_doubt   RunInDoubt     nobody but a person can tell whether a call took effect; the run stands still
    arcan.doubt_resolved DoubtResolved  the person's word
    arcan.reasoning      Reasoning      after a Message: what the model thought, to go back to its vendor unchanged
    arcan.model_notice   ModelNotice    a model call was repeated, waited, or went to another provider, and why

Everything else the loop writes is a kind of the contract (`life.aios.events`). The events of one run share its id as
`correlation_id`, and the run's id is the event id of its RunStarted.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from life.aios.events import Custom
from life.aios.events.codec import custom
from life.aios.json import Json
from life.aios.ports.provider import ModelNotice, ReasoningBlock
from life.aios.ports.tools import ProbeAnswer

RUN_LIMITS: Final = "arcan.run_limits"
LIMIT_REACHED: Final = "arcan.limit_reached"
TOOL_PROBED: Final = "arcan.tool_probed"
RUN_IN_DOUBT: Final = "arcan.run_in_doubt"
DOUBT_RESOLVED: Final = "arcan.doubt_resolved"
REASONING: Final = "arcan.reasoning"
MODEL_NOTICE: Final = "arcan.model_notice"

PREFIX: Final = "arcan."

LimitName = Literal["steps", "tokens", "time", "tool_calls", "errors", "cost"]
DoubtDecision = Literal["done", "not_done", "retry"]


class TokenPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What a model costs, in micro-credits per million tokens (3 USD per million = 3_000_000)."""

    prompt_micro_per_million: int
    completion_micro_per_million: int


class RunLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one run may use. Defaults: 24 steps, and the budget of aios.md §6. The event carries every value, so that
    other defaults of a later version do not change what an old run was allowed."""

    max_steps: int = 24
    max_tokens: int = 120_000
    """Prompt and completion tokens of all its model calls together."""
    max_time_ms: int = 300_000
    """Time in which the run works; waiting for a person and being crashed do not count."""
    max_tool_calls: int = 48
    max_errors: int = 8
    """Failed, refused and denied calls, and model calls that broke off."""
    max_subagents: int = 256
    """Agents that may be spawned below this run, at any depth."""
    max_cost_micro: int | None = None
    """In micro-USD. Counted by `price`, or else by what the provider says of each call (`TokenUsage.cost_micro`); a call that
    nobody can price ends a run that has this limit."""
    price: TokenPrice | None = None


class CallIntent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The `probe` of a ToolCallStarted: what the toolbox noted before the call, and whether the tool only looks."""

    prepared: Json = None
    read_only: bool = False


class LimitReached(msgspec.Struct, frozen=True, kw_only=True):
    """The run ends because of this limit. Units as in RunLimits."""

    limit: LimitName
    allowed: int
    used: int


class ToolProbed(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out about a call that was running when the process died."""

    tool_run_id: str
    call_id: str
    tool_name: str
    answer: ProbeAnswer
    explanation: str


class RunInDoubt(msgspec.Struct, frozen=True, kw_only=True):
    """It is not known whether this call took effect. The run waits until a person decides."""

    tool_run_id: str
    call_id: str
    tool_name: str
    explanation: str


class DoubtResolved(msgspec.Struct, frozen=True, kw_only=True):
    """`done`: it took effect, go on. `not_done`: it did not, tell the model. `retry`: run it again, same key."""

    tool_run_id: str
    call_id: str
    decision: DoubtDecision
    actor: str
    note: str = ""


class PlacedReasoning(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reasoning block and its place in the answer: after so many characters of text and so many tool calls."""

    block: ReasoningBlock
    after_characters: int = 0
    after_calls: int = 0


class Reasoning(msgspec.Struct, frozen=True, kw_only=True):
    """The reasoning of one answer, in order. It stands right after the answer's Message. Never part of its text."""

    blocks: tuple[PlacedReasoning, ...]
    vendor_calls: tuple[str, ...] = ()
    """The vendor's own ids of the answer's calls, in their order: signatures may cover them."""


def reasoning(payload: Reasoning) -> Custom:
    """The event for the reasoning of an answer."""
    return custom(REASONING, payload)


def model_notice(payload: ModelNotice) -> Custom:
    """The event for a notice of a model call."""
    return custom(MODEL_NOTICE, payload)


def run_limits(payload: RunLimits) -> Custom:
    """The event for these limits."""
    return custom(RUN_LIMITS, payload)


def limit_reached(payload: LimitReached) -> Custom:
    """The event for a limit that ends the run."""
    return custom(LIMIT_REACHED, payload)


def tool_probed(payload: ToolProbed) -> Custom:
    """The event for a probe's answer."""
    return custom(TOOL_PROBED, payload)


def run_in_doubt(payload: RunInDoubt) -> Custom:
    """The event for a doubt that a person has to resolve."""
    return custom(RUN_IN_DOUBT, payload)


def doubt_resolved(payload: DoubtResolved) -> Custom:
    """The event for a person's word about a doubt."""
    return custom(DOUBT_RESOLVED, payload)
