"""What the runtime knows about a session, as plain frozen data. How it moves is `life.arcan.state`.

    SessionState   one session: its configuration, its open run, its vector, its conversation
    RunState       the open run and what it used
    CallState      a tool call without a result, and how far it got
    FinishedRun    how the last run ended
    Totals         counters over all runs

All times are microseconds since the epoch, taken from events.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from life.aios.ids import MAIN_BRANCH
from life.aios.json import Json
from life.aios.policy import PolicySet
from life.aios.state import AgentStateVector, GatingProfile, OperatingMode, RiskLevel, TokenUsage
from life.arcan.conversation import Conversation
from life.arcan.events import RunLimits

SessionStatus = Literal["idle", "running", "waiting", "in_doubt", "closed"]
CallPhase = Literal["requested", "awaiting_approval", "approved", "refused", "running", "in_doubt"]


class SessionConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a session was created with; the `config` of its SessionCreated."""

    owner: str = ""
    provider: str = ""
    """A provider specification (`life.arcan.providers.selection`); empty: the runtime's own."""
    system_prompt: str = ""
    policy: PolicySet | None = None


class CallState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool call of the open run that has no result yet."""

    call_id: str
    tool_name: str
    arguments: Json
    phase: CallPhase = "requested"
    approval_id: str | None = None
    risk: RiskLevel = "low"
    asked_us: int = 0
    """When the approval was requested, in microseconds since the epoch."""
    tool_run_id: str | None = None
    """The intent: this attempt was started and may have had its effect."""
    idempotency_key: str | None = None
    prepared: Json = None
    read_only: bool = False
    attempts: int = 0
    explanation: str = ""
    """Why it is in doubt, or why it was refused."""


class RunState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The open run."""

    run_id: str
    provider: str
    limits: RunLimits
    started_us: int
    active_since_us: int | None
    """Since when it works; None while it waits for a person."""
    worked_us: int = 0
    """Time it worked before `active_since_us`."""
    steps: int = 0
    """Model answers so far."""
    open_step: int | None = None
    step_calls: int = 0
    """Calls the last answer asked for."""
    step_runs: int = 0
    """Tool runs of the open step, and the files they changed."""
    step_mutations: int = 0
    answered: bool = False
    """Whether the open step has its answer."""
    tool_calls: int = 0
    """Tool runs that were started, repeated attempts included."""
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    denied: bool = False
    """Whether the last call was denied."""
    limit: str | None = None
    """The limit that was reached and ends it."""


class FinishedRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the last run ended."""

    run_id: str
    reason: str
    steps: int
    final_answer: str | None = None
    error: str | None = None
    usage: TokenUsage = TokenUsage()


class Totals(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Counters over the whole session."""

    runs: int = 0
    steps: int = 0
    calls_requested: int = 0
    calls_succeeded: int = 0
    calls_failed: int = 0
    calls_denied: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    files_changed: int = 0
    recoveries: int = 0


class SessionState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything the runtime knows about a session."""

    session_id: str
    branch_id: str = MAIN_BRANCH
    agent_id: str = ""
    head: int = 0
    """Sequence of the last folded event."""
    name: str = ""
    config: SessionConfig = SessionConfig()
    created_us: int = 0
    updated_us: int = 0
    closed: bool = False
    run: RunState | None = None
    calls: tuple[CallState, ...] = ()
    """Calls of the open run without a result, in the order they were asked for."""
    last_run: FinishedRun | None = None
    vector: AgentStateVector = AgentStateVector()
    mode: OperatingMode = "explore"
    estimated: AgentStateVector | None = None
    """The vector as it was last written to the journal."""
    gates: GatingProfile | None = None
    """What homeostasis permits, once it has spoken."""
    totals: Totals = Totals()
    conversation: Conversation = Conversation()

    @property
    def status(self) -> SessionStatus:
        """Where the session stands. `running` says that a run is open, not that some process drives it."""
        if self.closed:
            return "closed"
        if self.run is None:
            return "idle"
        status: SessionStatus = "running"
        for call in self.calls:
            if call.phase == "in_doubt":
                return "in_doubt"
            if call.phase == "awaiting_approval":
                status = "waiting"
        return status

    def call(self, call_id: str) -> CallState | None:
        """The unresolved call of this id."""
        return next((call for call in self.calls if call.call_id == call_id), None)


def worked_us(run: RunState, now_us: int) -> int:
    """How long the run has worked at `now_us`, without the time it waited for a person or was dead."""
    if run.active_since_us is None:
        return run.worked_us
    return run.worked_us + max(0, now_us - run.active_since_us)


def cost_micro(run: RunState) -> int:
    """What the run's tokens cost in micro-credits, rounded up; 0 without a price."""
    price = run.limits.price
    if price is None:
        return 0
    millionths = (
        run.prompt_tokens * price.prompt_micro_per_million + run.completion_tokens * price.completion_micro_per_million
    )
    return -(-millionths // 1_000_000)
