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
from life.aios.ports.provider import ToolSpec
from life.aios.record import Stream
from life.aios.state import (
    AgentStateVector,
    GatingProfile,
    OperatingMode,
    Phase,
    RiskLevel,
    SteeringMode,
    TokenUsage,
)
from life.arcan.agents.events import AnswerFault, Spent, SubagentStarted
from life.arcan.agents.profile import AgentProfile, ParentLink
from life.arcan.context.state import ContextState
from life.arcan.control import Regulated, RequestEdited
from life.arcan.conversation import Conversation
from life.arcan.events import RunLimits
from life.arcan.skill_scope import ActiveSkill

SessionStatus = Literal["idle", "running", "paused", "waiting", "in_doubt", "closed"]
CallPhase = Literal[
    "requested", "awaiting_approval", "awaiting_client", "approved", "refused", "running", "delegated", "in_doubt"
]
"""`delegated`: a child works on it; what it found becomes the result."""


class SessionConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a session was created with; the `config` of its SessionCreated."""

    owner: str = ""
    provider: str = ""
    """A provider specification (`life.arcan.providers.selection`); empty: the runtime's own."""
    system_prompt: str = ""
    policy: PolicySet | None = None
    agent: AgentProfile | None = None
    """The agent whose session it is; None: the runtime's own."""
    parent: ParentLink | None = None
    """The call that it works for, when another agent spawned it."""


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
    note: str = ""
    """What the model is told before the result: that somebody changed the arguments, that it goes round in circles."""
    repetitions: int = 0
    """How many times in a row the pattern that this call ends was asked for (`life.arcan.loop_guard`)."""
    capabilities: tuple[str, ...] = ()
    """What it needs, once a person is asked."""
    child: SubagentStarted | None = None
    """Who works on it."""
    child_waits: str = ""
    """What a person was told that the child waits for."""


class QueuedMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message that came while a run was going on and that no turn holds yet."""

    queue_id: str
    mode: SteeringMode
    message: str
    queued_us: int


class SessionRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Calls that a person allowed for the rest of the session."""

    rule_id: str
    tool_name: str
    patterns: tuple[str, ...] = ()
    by: str = ""
    since_us: int = 0


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
    specification: str = ""
    """The provider specification of this very run; empty: the session's."""
    cost_micro: int = 0
    """What its model calls cost, in micro-USD."""
    uncosted: int = 0
    """Model calls whose cost nobody knows."""
    step_head: int = 0
    """Sequence of the event that began the open step."""
    recent: tuple[str, ...] = ()
    """Signatures of the last calls, for the loop guard."""
    edit: RequestEdited | None = None
    """How middleware changed the open step's request."""
    explained: bool = False
    """Whether the model has spoken since the breaker opened."""
    client_tools: tuple[ToolSpec, ...] = ()
    subagents: int = 0
    """Agents that worked for it and have ended, at any depth."""
    children_tokens: int = 0
    children_tool_calls: int = 0
    children_cost_micro: int = 0
    children_worked_us: int = 0
    """What was charged of the time of the children that work side by side now."""
    recorded: str | None = None
    """The answer of a typed agent, as JSON."""
    corrections: int = 0
    fault: AnswerFault | None = None
    """What was wrong with its last attempt."""


class FinishedRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the last run ended."""

    run_id: str
    reason: str
    steps: int
    final_answer: str | None = None
    error: str | None = None
    usage: TokenUsage = TokenUsage()
    cost_micro: int = 0
    limits: RunLimits = RunLimits()
    """What it was allowed; a queued message that follows it is allowed as much."""
    spent: Spent = Spent()


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


class MergedRange(msgspec.Struct, frozen=True, kw_only=True):
    """A branch that was merged into this one, up to which of its events."""

    source: str
    through: int


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
    queue: tuple[QueuedMessage, ...] = ()
    """Messages that wait for their turn, in the order they came."""
    held: bool = False
    """Whether a person paused the open run."""
    suspended: str = ""
    """Why the regulator lets the open run stand still; empty while it does not."""
    breaker_open: bool = False
    """Whether too many errors in a row stopped the session until its user speaks again."""
    rules: tuple[SessionRule, ...] = ()
    regulation: Regulated = Regulated()
    deleted: bool = False
    merged_into: str = ""
    """The branch that this one was merged into; it is read-only since."""
    merges: tuple[MergedRange, ...] = ()
    unplaced: int | None = None
    """The event after which the working copy of this branch is behind its files, while it is (`life.arcan.branching`)."""
    totals: Totals = Totals()
    context: ContextState = ContextState()
    skills: tuple[ActiveSkill, ...] = ()
    """Those that are, or were last, active (`life.arcan.skill_scope`)."""
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
            if call.phase in ("awaiting_approval", "awaiting_client"):
                status = "waiting"
        return "paused" if (self.held or self.suspended) and status == "running" else status

    @property
    def phase(self) -> Phase:
        """The phase of the tick (aios.md §14) that the state stands in. Every phase begins with an event that is written
        anyway: StepStarted (deliberate), ToolCallRequested (gate), ToolCallStarted (execute), the last result
        (commit), StepFinished (reflect), RunFinished (sleep); a run begins by perceiving."""
        run = self.run
        if run is None or self.closed:
            return "sleep"
        if self.calls:
            return "execute" if self.calls[0].phase == "running" else "gate"
        if run.open_step is not None:
            return "commit" if run.answered else "deliberate"
        return "reflect" if run.steps else "perceive"

    @property
    def model(self) -> str:
        """The provider specification in force: the open run's own, or the session's; empty: the runtime's provider."""
        return (self.run.specification if self.run is not None else "") or self.config.provider

    def call(self, call_id: str) -> CallState | None:
        """The unresolved call of this id."""
        return next((call for call in self.calls if call.call_id == call_id), None)


def worked_us(run: RunState, now_us: int) -> int:
    """How long the run has worked at `now_us`, without the time it waited for a person or was dead."""
    if run.active_since_us is None:
        return run.worked_us
    return run.worked_us + max(0, now_us - run.active_since_us)


def cost_micro(run: RunState) -> int:
    """What the run's model calls cost in micro-USD: by the run's own price, rounded up, when it has one, else as the
    provider said call by call."""
    price = run.limits.price
    if price is None:
        return run.cost_micro + run.children_cost_micro
    millionths = (
        run.prompt_tokens * price.prompt_micro_per_million + run.completion_tokens * price.completion_micro_per_million
    )
    return -(-millionths // 1_000_000) + run.children_cost_micro


def spent_of(run: RunState, now_us: int) -> Spent:
    """What a run used until `now_us`, its children included."""
    return Spent(
        tokens=run.prompt_tokens + run.completion_tokens + run.children_tokens,
        tool_calls=run.tool_calls + run.children_tool_calls,
        cost_micro=cost_micro(run),
        uncosted=run.uncosted if run.limits.price is None else 0,
        worked_us=worked_us(run, now_us),
        subagents=run.subagents,
    )


def workspace_stream(state: SessionState) -> Stream:
    """Whose workspace a session works in: its own, or that of the session which its agents work for."""
    parent = state.config.parent
    if parent is None:
        return Stream(state.session_id, state.branch_id)
    return Stream(parent.root_session, parent.root_branch)
