"""Plays a scenario through the real folds, rules and mode machine, with an agent that does what it is permitted.

The agent is simple: runs begin at a steady rate; each model call is preceded by a verdict, goes to the model that the verdict
prefers and costs accordingly; each asks for a tool call, which may fail, or be refused. What it does becomes events, and what
homeostasis has to say about it becomes events, too, as in a real journal. While it hibernates it does nothing; a verdict is
asked for at every step, as a probe would.

Source: issue 7.5; autonomic.md §16 (closed loop).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from life.aios import events
from life.aios.events import Kind, encode_kind
from life.aios.json import Json
from life.aios.record import DEFAULT_SCHEMA, SYSTEM, EventRecord, Stream
from life.aios.state import EconomicMode, TokenUsage
from life.autonomic.homeostasis import Homeostasis
from life.autonomic.profile import UNTOUCHED, Verdict, on_record
from life.autonomic.regulator import FoldedRegulator
from life.autonomic.scenario import Happening, Load, Scenario, load_at
from life.autonomic.state import HomeostaticState

START_US: Final = 1_763_622_180_000_000
"""2025-11-20T07:03:00Z: when every scenario begins."""

AGENT: Final = "simulated"
SESSION: Final = Stream("simulated")
_HOUR_S: Final = 3_600


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """How things stood at the end of one step."""

    at_s: int
    mode: EconomicMode
    balance_micro: int | None
    monthly_burn_micro: int
    spent_5min_micro: int
    runway_days: float | None
    error_rate: float
    context_pressure: float
    tokens_left: float
    quality: float
    rules: tuple[str, ...]
    is_default: bool
    """Whether nothing is held back."""
    suspended: bool
    tool_calls_per_step: int
    calls: int
    """Model calls since the beginning."""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the profile or of the recorded mode."""

    at_s: int
    what: str
    why: str


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a scenario."""

    scenario: str
    samples: tuple[Sample, ...]
    turns: tuple[Turn, ...]
    marks: tuple[tuple[int, str], ...]
    """(seconds, label) of what happened."""

    @property
    def recovered_at_s(self) -> int | None:
        """From when on nothing was held back to the end; None when something is."""
        since: int | None = None
        for sample in self.samples:
            if not sample.is_default:
                since = None
            elif since is None:
                since = sample.at_s
        return since


class _Chance:
    """Numbers that follow from a seed (a linear congruential generator of 64 bits; nothing that has to be secret)."""

    def __init__(self, seed: int) -> None:
        self._state = (seed * 2 + 1) & 0xFFFF_FFFF_FFFF_FFFF

    def percent(self) -> int:
        """0 to 99."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) & 0xFFFF_FFFF_FFFF_FFFF
        return (self._state >> 33) % 100


class _Clock:
    def __init__(self) -> None:
        self.at_us = START_US

    def now_us(self) -> int:
        return self.at_us

    def monotonic_us(self) -> int:
        return self.at_us

    async def sleep_us(self, duration_us: int) -> None:
        self.at_us += duration_us


class Simulation:
    """One play of a scenario. `heard` gets every event, as a journal would."""

    def __init__(self, scenario: Scenario, *, heard: Callable[[EventRecord], None] = lambda _: None) -> None:
        self._scenario = scenario
        self._chance = _Chance(scenario.seed)
        self._clock = _Clock()
        self._homeostasis = Homeostasis(scenario.thresholds, scenario.rates)
        self._regulator = FoldedRegulator(self._homeostasis, self._clock)
        self._heard = heard
        self._sequence = 0
        self._at_s = 0
        self._due = 0
        """Runs that are due, in 3,600ths."""
        self._context = 0
        self._calls = 0
        self._turns: list[Turn] = []
        self._marks: list[tuple[int, str]] = []

    def play(self) -> Course:
        """The whole course."""
        scenario = self._scenario
        if scenario.credit_micro is not None:
            self._deposit(scenario.credit_micro, "credit")
        waiting = sorted(scenario.events, key=lambda event: event.at_s)
        samples: list[Sample] = []
        for at_s in range(0, scenario.duration_s, scenario.step_s):
            self._at_s = at_s
            while waiting and waiting[0].at_s <= at_s:
                self._happens(waiting.pop(0))
            load = load_at(scenario, at_s)
            self._say(events.Custom(event_type="arcan.context_window", data={"window_tokens": load.context_window}))
            self._due += load.runs_per_hour * scenario.step_s
            runs, self._due = divmod(self._due, _HOUR_S)
            state, verdict = self._verdict()
            for _ in range(runs):
                state, verdict = self._run(load, state, verdict)
            samples.append(self._sample(state, verdict))
            self._clock.at_us += scenario.step_s * 1_000_000
        return Course(
            scenario=scenario.name, samples=tuple(samples), turns=tuple(self._turns), marks=tuple(self._marks)
        )

    def _happens(self, event: Happening) -> None:
        self._clock.at_us += event.clock_jump_s * 1_000_000
        if event.deposit_micro:
            self._deposit(event.deposit_micro, "deposit")
        if event.charge_micro:
            data: Json = {"amount_micro_credits": event.charge_micro, "reason": "scenario"}
            self._say(events.Custom(event_type="autonomic.CostCharged", data=data))
        if event.revenue_micro:
            received = {"amount_micro_credits": event.revenue_micro}
            self._say(events.Custom(event_type="finance.revenue_received", data=received))
        for _ in range(event.violations):
            self._say(events.Custom(event_type="anima.policy_violation_detected", data={}))
        if event.wake_minutes:
            until_ms = self._clock.at_us // 1000 + event.wake_minutes * 60_000
            self._say(events.Custom(event_type="autonomic.Woken", data={"until_ms": until_ms}))
        if event.quality_percent is not None:
            score = {"score": event.quality_percent / 100}
            self._say(events.Custom(event_type="eval.InlineCompleted", data=score))
        words = event.label or ", ".join(f"{name} {value}" for name, value in event.set.items())
        self._marks.append((self._at_s, words or _words(event)))
        if event.until_s is not None:
            self._marks.append((event.until_s, f"end of {event.label or words}"))

    def _deposit(self, amount_micro: int, source: str) -> None:
        data: Json = {"amount_micro_credits": amount_micro, "source": source}
        self._say(events.Custom(event_type="autonomic.CreditDeposited", data=data))

    def _verdict(self) -> tuple[HomeostaticState, Verdict]:
        """Ask, and put on record what is new."""
        state, verdict, news = self._regulator.news(SESSION, AGENT, self._clock.at_us // 1000)
        for kind in news:
            self._say(kind)
            self._note(kind)
        return state, verdict

    def _run(self, load: Load, state: HomeostaticState, verdict: Verdict) -> tuple[HomeostaticState, Verdict]:
        """One run, as far as it is permitted."""
        if verdict.profile.economic.economic_mode == "hibernate":
            return state, verdict
        self._say(events.UserMessage(content="work"))
        self._say(events.RunStarted(provider="simulated", max_iterations=load.calls_per_run))
        self._say(events.Custom(event_type="arcan.run_limits", data={"max_tokens": load.token_budget}))
        for index in range(load.calls_per_run):
            state, verdict = self._verdict()
            if verdict.profile.economic.economic_mode == "hibernate":
                return state, verdict  # it stands still; the next run begins anew
            self._call(load, verdict, index)
            if index == 0 and load.payment_micro:
                paid = {"amount_micro_credits": load.payment_micro}
                self._say(events.Custom(event_type="finance.payment_settled", data=paid))
        self._say(events.RunFinished(reason="completed", total_iterations=load.calls_per_run))
        return self._verdict()

    def _call(self, load: Load, verdict: Verdict, index: int) -> None:
        tier = verdict.profile.economic.preferred_model
        percent = {"budget": load.budget_percent, "standard": load.standard_percent}.get(tier or "", 100)
        target = verdict.context.target_tokens
        if target is not None and self._context > target:
            self._say(
                events.ContextCompacted(
                    dropped_count=1, tokens_before=load.prompt_tokens + self._context, tokens_after=target
                )
            )
            self._context = max(0, target - load.prompt_tokens)
        prompt = load.prompt_tokens + self._context
        limit = verdict.profile.economic.max_tokens_next_turn
        completion = load.completion_tokens if limit is None else min(limit, load.completion_tokens)
        self._calls += 1
        self._context += load.context_growth
        usage = TokenUsage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
            cost_micro=load.cost_micro * percent // 100,
        )
        self._say(events.StepStarted(index=index))
        self._say(events.Message(role="assistant", content="", model=tier or "own", token_usage=usage))
        if index + 1 < load.calls_per_run:
            self._tool(load, verdict, index)
        self._say(events.StepFinished(index=index, stop_reason="tool_call", directive_count=1))

    def _tool(self, load: Load, verdict: Verdict, index: int) -> None:
        """A tool call that changes something; refused when that is switched off."""
        call = f"call-{self._calls}"
        gates = verdict.profile.operational
        if not gates.allow_side_effects or gates.max_tool_calls_per_tick < 1:
            self._say(events.PolicyEvaluated(tool_name="tool", decision="deny", rule_id="gates"))
            self._say(events.ToolCallFailed(call_id=call, tool_name="tool", error="Switched off at present."))
            call = f"look-{self._calls}"  # what only looks is not switched off
            if gates.max_tool_calls_per_tick < 1:
                return
        failed = self._chance.percent() < load.error_percent
        self._say(
            events.ToolCallCompleted(
                tool_run_id=call,
                call_id=call,
                tool_name="tool",
                result="",
                duration_ms=1,
                status="error" if failed else "ok",
            )
        )

    def _say(self, kind: Kind) -> None:
        self._sequence += 1
        record = EventRecord(
            event_id=f"simulated-{self._sequence}",
            session_id=SESSION.session_id,
            branch_id=SESSION.branch_id,
            agent_id=AGENT,
            sequence=self._sequence,
            timestamp_us=self._clock.at_us,
            actor=SYSTEM,
            schema=DEFAULT_SCHEMA,
            kind_name=type(kind).__name__,
            payload=encode_kind(kind),
            position=self._sequence,
        )
        self._homeostasis.apply(record)
        self._heard(record)

    def _note(self, kind: Kind) -> None:
        """Keep a change for the report."""
        if not isinstance(kind, events.Custom) or not isinstance(kind.data, dict):
            return
        data = kind.data
        if kind.event_type == "autonomic.EconomicModeChanged":
            what, why = f"{data['from']} → {data['to']}", str(data["reason"])
        elif kind.event_type == "autonomic.GatingDecision":
            rationale = data["rationale"]
            words = rationale if isinstance(rationale, list | tuple) else ()
            fired = data["rules_fired"]
            names = fired if isinstance(fired, list | tuple) else ()
            what = f"profile: {', '.join(map(str, names)) or 'nothing is held back'}"
            why = " ".join(map(str, words))
        else:
            what, why = kind.event_type, ""
        self._turns.append(Turn(at_s=self._at_s, what=what, why=why))

    def _sample(self, state: HomeostaticState, verdict: Verdict) -> Sample:
        economic, cognitive = state.economic, state.cognitive
        mode = verdict.profile.economic.economic_mode
        return Sample(
            at_s=self._at_s,
            mode=mode,
            balance_micro=economic.balance_micro_credits,
            monthly_burn_micro=economic.monthly_burn_estimate,
            spent_5min_micro=economic.cost_last_5min,
            runway_days=economic.runway_days,
            error_rate=state.operational.recent_error_rate,
            context_pressure=cognitive.context_pressure,
            tokens_left=cognitive.fraction_left if cognitive.fraction_left is not None else 1.0,
            quality=state.eval.aggregate_quality_score,
            rules=verdict.fired,
            is_default=on_record(verdict) == UNTOUCHED,
            suspended=mode == "hibernate",
            tool_calls_per_step=verdict.profile.operational.max_tool_calls_per_tick,
            calls=self._calls,
        )


def simulate(scenario: Scenario) -> Course:
    """Play a scenario; the same one always gives the same course."""
    return Simulation(scenario).play()


def relaxations(samples: Sequence[Sample]) -> list[int]:
    """When the governing mode became laxer, in seconds."""
    order = ("sovereign", "conserving", "hustle", "hibernate")
    return [
        after.at_s
        for before, after in itertools.pairwise(samples)
        if order.index(after.mode) < order.index(before.mode)
    ]


def _words(event: Happening) -> str:
    """What happened, from its fields."""
    said = [
        (event.deposit_micro, f"deposit {event.deposit_micro / 1e6:g} USD"),
        (event.charge_micro, f"charge {event.charge_micro / 1e6:g} USD"),
        (event.revenue_micro, f"revenue {event.revenue_micro / 1e6:g} USD"),
        (event.violations, f"{event.violations} violations"),
        (event.wake_minutes, f"woken for {event.wake_minutes} min"),
        (event.clock_jump_s, f"clock set by {event.clock_jump_s} s"),
    ]
    return ", ".join(words for value, words in said if value) or "event"
