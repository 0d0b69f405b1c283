"""The session's part of homeostasis: a fold over the events of one stream.

It is total and looks at no clock: every event moves the watermark, unknown ones change nothing else, and the same events
give the same state. The accumulator is mutable because it stands behind every event of every session; what leaves it
(`pillars`) is frozen. An event that says nothing (most do) costs one look-up.

Two corrections to what a naive count would say. Usage counts once, from the message that the model call gave, not from
the sums that come later. And what was refused, steered away or stopped by a person is no error: the regulator itself causes
refusals, and counting them would hold the agent down for ever. A call's failure is therefore counted when its step ends,
when it is known what became of the run.

Source: autonomic.md §3.1-§3.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from life.aios.record import EventRecord
from life.aios.state import OperatingMode
from life.autonomic import readings
from life.autonomic.cognition_folds import COGNITION_CUSTOM, COGNITION_KINDS
from life.autonomic.hysteresis import HysteresisGate
from life.autonomic.readings import MAX_COUNT, count, ratio
from life.autonomic.state import (
    DEFAULT_CONTEXT_WINDOW,
    DEFAULT_TOKEN_BUDGET,
    DILATION_GATE,
    ERROR_GATE,
    RECENT_MS,
    RECENT_OUTCOMES,
    CognitivePillar,
    EvaluationInput,
    KnowledgePromotion,
    OperationalPillar,
    StrategyInput,
)
from life.autonomic.thresholds import Thresholds
from life.autonomic.windows import RecentOutcomes

QUALITY_WEIGHT: Final = 0.3
_RUNS: Final = 10
_MOST_KEPT: Final = 64
"""Names of calls, approvals and messages that are remembered; more are another maker's."""

_STOPPED: Final = frozenset({"cancelled", "interrupted", "vetoed", "budget_exceeded", "max_iterations", "in_doubt"})
"""Ends of a run that explain why its last calls gave nothing."""


class SessionVitals(msgspec.Struct, kw_only=True):
    """The accumulator of one stream."""

    agent_id: str = ""
    is_partial: bool = False
    """Whether earlier events of the stream were not seen; it has to be folded again before it is relied on."""
    last_event_seq: int = 0
    last_event_ms: int = 0
    evidence: int = 0

    mode: OperatingMode = "execute"
    error_streak: int = 0
    total_errors: int = 0
    total_successes: int = 0
    total_denials: int = 0
    recent: RecentOutcomes = msgspec.field(default_factory=lambda: RecentOutcomes(RECENT_OUTCOMES, RECENT_MS))
    min_outcomes: int = 5
    error_gate: HysteresisGate = ERROR_GATE
    doubtful: list[int] = []
    """Failures of the open step, by their times: errors, unless the run's end explains them."""
    steering: list[str] = []
    """Messages that wait to be heard before the next call; they explain why calls are not run."""
    breaker_open: bool = False
    last_tick_ms: int = 0
    run_started_ms: int = 0
    run_calls: int = 0
    runs: list[tuple[int, int]] = []
    """(milliseconds, tool calls) of the last runs."""
    denied_tools: list[str] = []
    """Tools (or ids of calls) whose next failure is a refusal that has been counted."""
    asked: dict[str, str] = {}
    """Approvals that wait, and their tools."""
    limit_reached: bool = False
    run_open: bool = False
    suspended: str = ""
    """Why the run stands still; empty while it does not."""
    awake_until_ms: int = 0
    """Until when a person lets the session work although there are no means."""
    decision: readings.LastDecision | None = None
    """What the journal holds as the present profile."""
    regulator_failed: bool = False

    total_tokens: int = 0
    run_tokens: int = 0
    token_budget: int = DEFAULT_TOKEN_BUDGET
    context_tokens: int = 0
    context_window: int = DEFAULT_CONTEXT_WINDOW
    turns: int = 0
    turns_since_compact: int = 0
    dilation_gate: HysteresisGate = DILATION_GATE
    observations: int = 0
    memories: int = 0
    compactions: int = 0
    knowledge_health: float = 1.0
    knowledge_notes: int = 0
    knowledge_searches: int = 0
    knowledge_indexed_ms: int = 0
    promotion: KnowledgePromotion = KnowledgePromotion()

    drift_alerts: int = 0
    decisions: int = 0
    critiques: int = 0
    strategy_ms: int = 0
    inline_evals: int = 0
    async_evals: int = 0
    quality: float = 1.0
    quality_trend: float = 0.0
    eval_ms: int = 0

    @classmethod
    def under(cls, thresholds: Thresholds) -> SessionVitals:
        """An empty accumulator with the gates of these thresholds."""
        return cls(
            error_gate=thresholds.error_gate,
            dilation_gate=thresholds.dilation_gate,
            min_outcomes=thresholds.min_outcomes,
        )

    def copied(self) -> SessionVitals:
        """Another accumulator with the same contents, to be moved on without this one."""
        return msgspec.structs.replace(
            self,
            recent=self.recent.copied(),
            denied_tools=self.denied_tools.copy(),
            asked=self.asked.copy(),
            doubtful=self.doubtful.copy(),
            steering=self.steering.copy(),
        )

    def apply(self, record: EventRecord) -> None:
        """Take in the next event of the stream."""
        name = record.kind_name
        try:
            if name in readings.USAGE_KINDS:
                at_ms = self.see(record)
                self.used(readings.used_tokens(record.payload), at_ms, name)
                if name == "ContextCompacted":
                    self.compacted(record, at_ms)
            elif name == "Custom":
                at_ms = self.see(record)
                custom = readings.NAMED.decode(record.payload)
                self.named(custom.event_type, custom.data, at_ms)
            else:
                self.told(record)
        except msgspec.DecodeError:
            return  # a kind of another maker or version: it says nothing that can be read

    def see(self, record: EventRecord) -> int:
        """Move the watermark; the event's time in milliseconds."""
        self.last_event_seq = record.sequence
        self.last_event_ms = at_ms = record.timestamp_us // 1000
        return at_ms

    def told(self, record: EventRecord) -> None:
        """An event of the contract without usage."""
        at_ms = self.see(record)
        handler = KINDS.get(record.kind_name)
        if handler is not None:
            handler(self, record, at_ms)

    def used(self, usage: readings.Usage | None, at_ms: int, kind_name: str) -> None:
        """A message, or a compaction that a model did."""
        if usage is not None:
            prompt, used = usage.prompt_tokens, usage.total_tokens
            if prompt + usage.completion_tokens > used:
                used = prompt + usage.completion_tokens
            if not 0 <= prompt <= used <= MAX_COUNT:
                prompt, used = count(prompt), count(used)
            self.total_tokens += used
            self.run_tokens += used
            if kind_name != "ContextCompacted":
                self.prompted(prompt, at_ms)

    def compacted(self, record: EventRecord, at_ms: int) -> None:
        """The context was shortened."""
        self.turns_since_compact = 0
        self.prompted(readings.COMPACTED.decode(record.payload).tokens_after, at_ms)

    def named(self, event_type: str, data: msgspec.Raw, at_ms: int) -> None:
        """An event of a subsystem."""
        handler = _CUSTOM.get(event_type)
        if handler is not None:
            handler(self, data, at_ms)
        if event_type.startswith("strategy."):
            self.strategy_ms = at_ms
        elif event_type.startswith("eval."):
            self.eval_ms = at_ms

    # What the handlers say

    def succeeded(self, at_ms: int) -> None:
        """Something worked."""
        self.error_streak = 0
        self.total_successes += 1
        self._outcome(at_ms, is_error=False)

    def failed(self, at_ms: int) -> None:
        """Something went wrong."""
        self.error_streak += 1
        self.total_errors += 1
        self._outcome(at_ms, is_error=True)

    def _outcome(self, at_ms: int, *, is_error: bool) -> None:
        self.evidence += 1
        self.recent.add(at_ms, is_error)
        if self.recent.errors or self.error_gate.active:
            self.error_gate = self._error_gate_at(at_ms)

    def _error_gate_at(self, now_ms: int) -> HysteresisGate:
        outcomes, errors = self.recent.counts_at(now_ms)
        if outcomes < self.min_outcomes:
            return self.error_gate.evaluate(0.0, now_ms)
        return self.error_gate.evaluate(errors / outcomes, now_ms)

    def doubt(self, tool: str, call_id: str, at_ms: int) -> None:
        """A call gave nothing: a refusal that is known, or an error if nothing explains it."""
        for name in (tool, call_id):
            if name in self.denied_tools:
                self.denied_tools.remove(name)
                return
        if not (self.limit_reached or self.breaker_open or self.steering) and len(self.doubtful) < _MOST_KEPT:
            self.doubtful.append(at_ms)

    def settle(self, *, explained: bool = False) -> None:
        """The step is over: its failures were errors, unless they are explained."""
        if self.doubtful:
            if not explained:
                for at_ms in self.doubtful:
                    self.failed(at_ms)
            self.doubtful = []

    def refused(self, name: str) -> None:
        """A call was refused; its failure follows."""
        self.total_denials += 1
        if len(self.denied_tools) < _MOST_KEPT:
            self.denied_tools.append(name)

    def prompted(self, tokens: int, at_ms: int) -> None:
        """The last prompt had so many tokens."""
        self.context_tokens = tokens if tokens > 0 else 0
        gate, pressure = self.dilation_gate, self.context_pressure
        if pressure <= gate.threshold_exit if gate.active else pressure >= gate.threshold_enter:
            self.dilation_gate = gate.evaluate(pressure, at_ms)

    def judged(self, score: float) -> None:
        """A score came in."""
        before = self.quality
        self.quality = QUALITY_WEIGHT * ratio(score) + (1 - QUALITY_WEIGHT) * before
        self.quality_trend = self.quality - before

    def health(self, score: float, notes: int | None, at_ms: int) -> None:
        """The knowledge index was looked over."""
        self.knowledge_health = score = ratio(score)
        if notes is not None:
            self.knowledge_notes = count(notes)
        self.knowledge_indexed_ms = at_ms
        promoted = self.promotion
        if promoted.active_version is None or promoted.health_threshold is None or promoted.rollback_requested:
            return
        worse = score < promoted.health_threshold
        self.promotion = msgspec.structs.replace(
            promoted,
            regression_evaluations=promoted.regression_evaluations + 1 if worse else 0,
            last_regression_score=score if worse else None,
            last_regression_ms=at_ms if worse else 0,
        )

    @property
    def context_pressure(self) -> float:
        """The last prompt's share of the model's window; 1 when the run has no tokens left."""
        if self.run_tokens >= self.token_budget:
            return 1.0
        return min(1.0, self.context_tokens / self.context_window) if self.context_window > 0 else 1.0

    # What leaves

    def operational(self, now_ms: int) -> OperationalPillar:
        """The operational pillar as of `now_ms`."""
        outcomes, errors = self.recent.counts_at(now_ms)
        lasted = [milliseconds for milliseconds, _ in self.runs if milliseconds >= 0]
        return OperationalPillar(
            mode=self.mode,
            error_streak=self.error_streak,
            total_errors=self.total_errors,
            total_successes=self.total_successes,
            total_denials=self.total_denials,
            recent_outcomes=outcomes,
            recent_errors=errors,
            error_gate=self._error_gate_at(now_ms),
            last_tick_ms=self.last_tick_ms,
            mean_run_ms=sum(lasted) // len(lasted) if lasted else 0,
        )

    def cognitive(self) -> CognitivePillar:
        """The cognitive pillar."""
        return CognitivePillar(
            total_tokens_used=self.total_tokens,
            tokens_used=self.run_tokens,
            tokens_remaining=max(0, self.token_budget - self.run_tokens),
            context_tokens=self.context_tokens,
            context_window=self.context_window,
            context_pressure=self.context_pressure,
            turns_completed=self.turns,
            tool_density=sum(calls for _, calls in self.runs) / len(self.runs) if self.runs else 0.0,
            turns_since_compact=self.turns_since_compact,
            dilation_gate=self.dilation_gate,
            observation_count=self.observations,
            memory_commit_count=self.memories,
            compaction_count=self.compactions,
            knowledge_health=self.knowledge_health,
            knowledge_note_count=self.knowledge_notes,
            knowledge_search_count=self.knowledge_searches,
            knowledge_last_indexed_ms=self.knowledge_indexed_ms,
            knowledge_promotion=self.promotion,
        )

    def strategy(self) -> StrategyInput:
        """What planning reported."""
        return StrategyInput(
            drift_alerts=self.drift_alerts,
            decisions_logged=self.decisions,
            critiques_completed=self.critiques,
            last_strategy_event_ms=self.strategy_ms,
        )

    def evaluation(self) -> EvaluationInput:
        """What evaluations said."""
        return EvaluationInput(
            inline_eval_count=self.inline_evals,
            async_eval_count=self.async_evals,
            aggregate_quality_score=self.quality,
            quality_trend=self.quality_trend,
            last_eval_ms=self.eval_ms,
        )


def _run_started(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    vitals.settle()
    vitals.run_started_ms = at_ms
    vitals.run_calls = vitals.run_tokens = 0
    vitals.limit_reached, vitals.run_open, vitals.suspended = False, True, ""
    vitals.denied_tools, vitals.asked = [], {}


def _run_finished(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    reason = readings.RUN.decode(record.payload).reason
    vitals.settle(explained=reason in _STOPPED)
    if reason == "completed":
        vitals.succeeded(at_ms)
    vitals.turns += 1
    vitals.turns_since_compact += 1
    vitals.last_tick_ms = at_ms
    lasted_ms = max(0, at_ms - vitals.run_started_ms) if vitals.run_started_ms else -1
    vitals.runs = [*vitals.runs[1 - _RUNS :], (lasted_ms, vitals.run_calls)]
    vitals.run_started_ms = vitals.run_calls = 0
    vitals.limit_reached, vitals.run_open, vitals.suspended = False, False, ""


def _run_errored(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    vitals.failed(at_ms)
    vitals.last_tick_ms = at_ms


def _step_finished(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    if vitals.doubtful and readings.STEP_END.decode(record.payload).stop_reason != "other":
        vitals.settle()  # "other" closes the step of a run that is being ended: its reason follows


def _call_completed(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    vitals.run_calls += 1
    status = readings.STATUS.decode(record.payload).status
    if status == "ok":
        vitals.succeeded(at_ms)
    elif status != "cancelled":
        vitals.failed(at_ms)


def _call_failed(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    call = readings.CALL.decode(record.payload)
    vitals.doubt(call.tool_name, call.call_id, at_ms)


def _gated(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    if b'"deny"' in record.payload:  # most are allowed, and say nothing here
        call = readings.CALL.decode(record.payload)
        if call.decision == "deny":
            vitals.refused(call.tool_name)


def _asked(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    call = readings.CALL.decode(record.payload)
    if len(vitals.asked) < _MOST_KEPT:
        vitals.asked[call.approval_id] = call.tool_name


def _answered(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    call = readings.CALL.decode(record.payload)
    tool = vitals.asked.pop(call.approval_id, None)
    if tool is not None and call.decision != "approved":
        vitals.refused(tool)


def _user_spoke(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    vitals.breaker_open = False
    vitals.steering = []


def _queued(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    message = readings.QUEUED.decode(record.payload)
    if message.mode in ("steer", "interrupt") and len(vitals.steering) < _MOST_KEPT:
        vitals.steering.append(message.queue_id)


def _drained(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    queue_id = readings.QUEUED.decode(record.payload).queue_id
    if queue_id in vitals.steering:
        vitals.steering.remove(queue_id)


def _estimated(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    vitals.mode = readings.ESTIMATED.decode(record.payload).mode


def _mode_changed(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    vitals.mode = readings.MOVED.decode(record.payload).to


def _tripped(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    vitals.settle()
    vitals.error_streak = count(readings.TRIPPED.decode(record.payload).error_streak)
    vitals.breaker_open = True


def _limits(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    vitals.token_budget = count(readings.read(data, readings.Limits).max_tokens)


def _limit(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    vitals.limit_reached = True


def _context(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    vitals.context_window = max(1, count(readings.read(data, readings.Context).window_tokens))


def _intervened(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    what = readings.read(data, readings.Intervened)
    if what.point == "before_tool" and what.action == "veto":
        vitals.refused(what.subject)


def _violated(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    what = readings.read(data, readings.Violation)
    if what.violation_type == "event_budget_exceeded":  # a refused capability has its PolicyEvaluated
        vitals.refused(what.subject)


def _suspended(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    vitals.suspended = readings.read(data, readings.Why).reason or "suspended"


def _resumed(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    vitals.suspended = ""


def _woken(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    vitals.awake_until_ms = count(readings.read(data, readings.Woken).until_ms)


def _gating(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    vitals.decision = readings.read(data, readings.LastDecision)
    vitals.regulator_failed = False


def _regulator_failed(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    vitals.regulator_failed = True


KINDS: Final[dict[str, Callable[[SessionVitals, EventRecord, int], None]]] = {
    **COGNITION_KINDS,
    "UserMessage": _user_spoke,
    "Queued": _queued,
    "QueueDrained": _drained,
    "Steered": _drained,
    "StepFinished": _step_finished,
    "RunStarted": _run_started,
    "RunFinished": _run_finished,
    "RunErrored": _run_errored,
    "ToolCallCompleted": _call_completed,
    "ToolCallFailed": _call_failed,
    "PolicyEvaluated": _gated,
    "ApprovalRequested": _asked,
    "ApprovalResolved": _answered,
    "StateEstimated": _estimated,
    "ModeChanged": _mode_changed,
    "CircuitBreakerTripped": _tripped,
}
"""What is done about the kinds of the contract that carry no usage."""

_CUSTOM: Final[dict[str, Callable[[SessionVitals, msgspec.Raw, int], None]]] = {
    **COGNITION_CUSTOM,
    "arcan.run_limits": _limits,
    "arcan.limit_reached": _limit,
    "arcan.context_window": _context,
    "arcan.intervened": _intervened,
    "arcan.suspended": _suspended,
    "arcan.resumed": _resumed,
    "policy.violation": _violated,
    "autonomic.Woken": _woken,
    "autonomic.GatingDecision": _gating,
    "autonomic.RegulatorFailed": _regulator_failed,
}
