"""What the folds read of events: the few fields that homeostasis looks at, whatever else an event carries.

Events of other makers and versions need not fit; what does not is a msgspec.DecodeError, and the event then says nothing.
Amounts and counts are bounded (`count`), so that no number in a journal can be too large for anything that follows.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from life.aios.state import EconomicMode, GatingProfile, OperatingMode

USAGE_KINDS: Final = frozenset({"Message", "AssistantMessageCommitted", "ContextCompacted"})
"""Kinds that carry what a model call used, each call once."""

MAX_COUNT: Final = 2**53 - 1
_T = TypeVar("_T")


def count(value: int) -> int:
    """A count or an amount from a journal: not negative, and not beyond what every JSON reader can hold."""
    return value if 0 <= value <= MAX_COUNT else min(max(value, 0), MAX_COUNT)


def bounded(value: int) -> int:
    """A balance from a journal: it may be negative, and is not beyond what every JSON reader can hold."""
    return min(max(value, -MAX_COUNT), MAX_COUNT)


def ratio(value: float) -> float:
    """A share from a journal, 0..1."""
    return min(1.0, max(0.0, value))


def read(data: msgspec.Raw, target: type[_T]) -> _T:
    """The data of a subsystem's event as `target`; msgspec.DecodeError when it does not fit."""
    return msgspec.json.decode(data, type=target)


class Usage(msgspec.Struct, gc=False):
    """What a model call used, and cost in micro-credits where it is known."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cost_micro: int | None = None


class Spoken(msgspec.Struct, gc=False):
    """An event that may carry usage."""

    token_usage: Usage | None = None


class Named(msgspec.Struct, gc=False):
    """An event of a subsystem."""

    event_type: str
    data: msgspec.Raw = msgspec.Raw(b"null")


class Status(msgspec.Struct, gc=False):
    """How a tool run went."""

    status: str = "ok"


class Call(msgspec.Struct, gc=False):
    """A call, or what was decided about one."""

    tool_name: str = ""
    call_id: str = ""
    decision: str = ""
    approval_id: str = ""


class Run(msgspec.Struct, gc=False):
    """Why a run ended."""

    reason: str = ""


class Estimated(msgspec.Struct, gc=False):
    """The runtime's estimate."""

    mode: OperatingMode


class Moved(msgspec.Struct, gc=False):
    """The operating mode that holds from now on."""

    to: OperatingMode


class Tripped(msgspec.Struct, gc=False):
    """How many errors in a row stopped the session."""

    error_streak: int = 0


class Compacted(msgspec.Struct, gc=False):
    """How long the context is after it was shortened."""

    tokens_after: int = 0


class Health(msgspec.Struct, gc=False):
    """How the knowledge index is."""

    health_score: float | None = None
    note_count: int | None = None


class Limits(msgspec.Struct, gc=False):
    """What a run may use."""

    max_tokens: int


class Context(msgspec.Struct, gc=False):
    """The model's window."""

    window_tokens: int


class Score(msgspec.Struct, gc=False):
    """One judgement."""

    value: float


class Inline(msgspec.Struct, gc=False):
    """A heuristic's score."""

    score: float


class Async(msgspec.Struct, gc=False):
    """A judge's scores."""

    scores: list[Score]


class Quality(msgspec.Struct, gc=False):
    """The quality over all."""

    aggregate_quality: float
    trend: float | None = None


class Artifact(msgspec.Struct, gc=False):
    """What was promoted."""

    health_threshold: float | None = None


class Promoted(msgspec.Struct, gc=False):
    """A promoted version."""

    version: str
    rollback_target: str | None = None
    trial_id: str | None = None
    baseline_score: float | None = None
    promoted_score: float | None = None
    artifact: Artifact = msgspec.field(default_factory=Artifact)


class Rollback(msgspec.Struct, gc=False):
    """What should go back."""

    artifact: str
    rollback_to: str | None = None


class Queued(msgspec.Struct, gc=False):
    """A message that waits for its turn."""

    queue_id: str = ""
    mode: str = ""


class StepEnd(msgspec.Struct, gc=False):
    """Why a step ended."""

    stop_reason: str = ""


class Intervened(msgspec.Struct, gc=False):
    """What a hook or middleware did about a call."""

    point: str = ""
    action: str = ""
    subject: str = ""


class Violation(msgspec.Struct, gc=False):
    """What the policy refused."""

    violation_type: str = ""
    subject: str = ""


class Retrieved(msgspec.Struct, gc=False):
    """Notes that went into the context."""

    context_tokens: int = 0


class Why(msgspec.Struct, gc=False):
    """A reason."""

    reason: str = ""


class Woken(msgspec.Struct, gc=False):
    """Until when a person lets a session work without means."""

    until_ms: int = 0


class Amount(msgspec.Struct, gc=False):
    """Micro-credits that moved."""

    amount_micro_credits: int
    balance_after: int | None = None


class Synced(msgspec.Struct, gc=False):
    """What a chain said."""

    on_chain_micro_credits: int


class Wallet(msgspec.Struct, gc=False):
    """Where the money is."""

    address: str


class ModeMove(msgspec.Struct, gc=False):
    """The economic mode that is recorded from now on."""

    to: EconomicMode


class Believed(msgspec.Struct, gc=False):
    """A balance that somebody vouches for."""

    balance_micro_credits: int


class Trust(msgspec.Struct, gc=False):
    """How far a peer is trusted, in millionths, as Anima writes it."""

    peer_id: str
    new_score: int


class LastDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The profile that an `autonomic.GatingDecision` put on record: what a later one is compared with."""

    economic_mode: EconomicMode = "sovereign"
    gates: GatingProfile = GatingProfile()
    max_tokens_next_turn: int | None = None
    preferred_model: str | None = None
    allow_expensive_tools: bool = True
    allow_replication: bool = True
    rules_fired: tuple[str, ...] = ()


def used_tokens(payload: bytes) -> Usage | None:
    """The usage that an event of `USAGE_KINDS` carries; None when it carries none or not one we can read."""
    try:
        return SPOKEN.decode(payload).token_usage
    except msgspec.DecodeError:
        return None


SPOKEN: Final = msgspec.json.Decoder(Spoken, strict=False)
NAMED: Final = msgspec.json.Decoder(Named)
STATUS: Final = msgspec.json.Decoder(Status)
CALL: Final = msgspec.json.Decoder(Call)
RUN: Final = msgspec.json.Decoder(Run)
ESTIMATED: Final = msgspec.json.Decoder(Estimated)
MOVED: Final = msgspec.json.Decoder(Moved)
TRIPPED: Final = msgspec.json.Decoder(Tripped)
COMPACTED: Final = msgspec.json.Decoder(Compacted)
HEALTH: Final = msgspec.json.Decoder(Health)
RETRIEVED: Final = msgspec.json.Decoder(Retrieved)
QUEUED: Final = msgspec.json.Decoder(Queued)
STEP_END: Final = msgspec.json.Decoder(StepEnd)
