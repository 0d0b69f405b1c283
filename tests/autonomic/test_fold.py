"""The fold of a session: what counts once, what is no error, and that nothing can break it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from life.aios import events
from life.aios.events import Kind
from life.aios.record import EventRecord
from life.aios.state import TokenUsage
from life.autonomic.fold import SessionVitals
from life.autonomic.readings import MAX_COUNT
from life.autonomic.thresholds import Thresholds
from tests.autonomic.vitals import T0_MS, named, record, stream, vitals_of


def said(prompt: int, completion: int = 10, cost_micro: int | None = None) -> Kind:
    """An answer with its usage."""
    usage = TokenUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
    if cost_micro is not None:
        usage = msgspec.structs.replace(usage, cost_micro=cost_micro)
    return events.Message(role="assistant", content="x", token_usage=usage)


def done(status: str = "ok", call: str = "c") -> Kind:
    """A tool run's outcome."""
    return events.ToolCallCompleted(
        tool_run_id=call,
        call_id=call,
        tool_name="t",
        result="",
        duration_ms=1,
        status=status,  # type: ignore[arg-type]
    )


def failed(tool: str = "t", call: str = "c") -> Kind:
    return events.ToolCallFailed(call_id=call, tool_name=tool, error="no")


STEP_OVER = events.StepFinished(index=0, stop_reason="tool_call", directive_count=1)
RUN = events.RunStarted(provider="p", max_iterations=24)


def ended(reason: str = "completed") -> Kind:
    return events.RunFinished(reason=reason, total_iterations=1)


KINDS = st.one_of(
    st.builds(said, st.integers(0, 10_000), st.integers(0, 500)),
    st.builds(done, st.sampled_from(["ok", "error", "timeout", "cancelled"])),
    st.builds(failed, st.sampled_from(["t", "u"])),
    st.sampled_from([RUN, STEP_OVER, ended(), ended("cancelled"), ended("budget_exceeded")]),
    st.builds(
        lambda decision: events.PolicyEvaluated(tool_name="t", decision=decision, rule_id="gates"),
        st.sampled_from(["allow", "deny"]),
    ),
    st.sampled_from(
        [
            events.UserMessage(content="hi"),
            events.CircuitBreakerTripped(reason="r", error_streak=5),
            events.Queued(queue_id="q", mode="steer", message="m"),
            events.QueueDrained(queue_id="q", processed=1),
            events.ContextCompacted(dropped_count=1, tokens_before=9, tokens_after=3),
            events.KnowledgeRetrieved(note_count=1, context_tokens=5, source="s"),
            named("eval.InlineCompleted", score=0.2),
            named("eval.InlineCompleted", score="much"),
            named("arcan.suspended", reason="broke"),
            named("arcan.context_window", window_tokens=10**30),
            named("somebody.else", anything=[1, 2]),
        ]
    ),
)


@given(st.lists(KINDS, max_size=60), st.integers(0, 60))
def test_a_prefix_and_the_rest_are_the_whole(kinds: list[Kind], cut: int) -> None:
    """Folding on from a saved accumulator gives what folding everything gives, and copying one changes nothing."""
    records = stream(*kinds)
    whole = vitals_of(records)
    first = vitals_of(records[:cut])
    saved = msgspec.msgpack.decode(msgspec.msgpack.encode(first), type=SessionVitals)
    before = msgspec.json.encode(first)
    copy = first.copied()
    for one in records[cut:]:
        saved.apply(one)
        copy.apply(one)
    assert msgspec.json.encode(first) == before
    assert msgspec.json.encode(saved) == msgspec.json.encode(whole) == msgspec.json.encode(copy)


@given(st.lists(KINDS, max_size=40))
def test_shares_are_shares_whatever_comes(kinds: list[Kind]) -> None:
    """Counters never go below zero, ratios stay between 0 and 1."""
    vitals = vitals_of(stream(*kinds))
    cognitive, operational = vitals.cognitive(), vitals.operational(T0_MS)
    assert 0.0 <= cognitive.context_pressure <= 1.0 and cognitive.tokens_remaining >= 0
    assert 0 <= operational.recent_errors <= operational.recent_outcomes
    assert 0.0 <= vitals.evaluation().aggregate_quality_score <= 1.0


@given(st.binary(max_size=200), st.sampled_from(["Message", "Custom", "RunFinished", "ToolCallFailed", "NewKind"]))
def test_garbage_only_moves_the_watermark(payload: bytes, kind_name: str) -> None:
    """Events that can't be read change nothing but where the fold stands."""
    vitals = SessionVitals()
    broken = msgspec.structs.replace(record(events.UserMessage(content="")), kind_name=kind_name, payload=payload)
    vitals.apply(broken)
    assert vitals.last_event_seq == 1
    assert (vitals.total_tokens, vitals.evidence) == (0, 0)


def test_usage_counts_once() -> None:
    """From the message that the call gave; the run's sum at its end is the same tokens again."""
    finished = events.RunFinished(reason="completed", total_iterations=1, usage=TokenUsage(1_000, 50, 1_050))
    vitals = vitals_of(stream(RUN, said(1_000, 50), finished))
    assert vitals.total_tokens == 1_050


def test_tokens_of_a_run_begin_anew() -> None:
    """The budget is the open run's; what is left follows from its own limits."""
    limits = named("arcan.run_limits", max_tokens=2_000)
    vitals = vitals_of(stream(RUN, limits, said(1_500), ended(), RUN, limits, said(400)))
    assert vitals.cognitive().tokens_used == 410
    assert vitals.cognitive().tokens_remaining == 1_590
    assert vitals.cognitive().total_tokens_used == 1_920


def test_a_full_budget_is_full_pressure() -> None:
    """A run without tokens left has no room to think, however short its prompt is."""
    vitals = vitals_of(stream(RUN, named("arcan.run_limits", max_tokens=100), said(90, 10)))
    assert vitals.context_pressure == 1.0


def test_compaction_lowers_the_pressure() -> None:
    """The pressure is that of the last prompt, not of a lifetime."""
    window = named("arcan.context_window", window_tokens=10_000)
    full = stream(RUN, window, said(9_000))
    assert vitals_of(full).context_pressure == 0.9
    shorter = events.ContextCompacted(dropped_count=5, tokens_before=9_000, tokens_after=2_000)
    after = vitals_of(stream(RUN, window, said(9_000), shorter))
    assert (after.context_pressure, after.turns_since_compact) == (0.2, 0)
    assert not after.dilation_gate.active


@pytest.mark.parametrize(
    "explained",
    [
        [events.PolicyEvaluated(tool_name="t", decision="deny", rule_id="gates"), failed(), STEP_OVER],
        [
            events.ApprovalRequested(approval_id="a", call_id="c", tool_name="t", arguments={}, risk="high"),
            events.ApprovalResolved(approval_id="a", decision="denied"),
            failed(),
            STEP_OVER,
        ],
        [named("arcan.limit_reached", limit="tokens", allowed=1, used=2), failed(), STEP_OVER],
        [failed(), events.StepFinished(index=0, stop_reason="other", directive_count=1), ended("cancelled")],
        [events.Queued(queue_id="q", mode="steer", message="m"), failed(), STEP_OVER],
        [named("arcan.intervened", by="h", point="before_tool", action="veto", subject="c"), failed(), STEP_OVER],
        [named("policy.violation", violation_type="event_budget_exceeded", subject="t"), failed(), STEP_OVER],
        [done("cancelled")],
    ],
    ids=["denied", "refused by a person", "limit", "cancelled", "steered", "vetoed", "event budget", "stopped"],
)
def test_what_is_refused_or_stopped_is_no_error(explained: list[Kind]) -> None:
    """Otherwise the regulator's own refusals would hold the agent down for ever."""
    assert vitals_of(stream(RUN, *explained)).total_errors == 0


def test_after_the_breaker_refused_calls_are_no_errors() -> None:
    """What made it trip counts; what it refuses does not, until the user speaks again."""
    tripped = events.CircuitBreakerTripped(reason="r", error_streak=3)
    after = events.UserMessage(content="go on")
    vitals = vitals_of(stream(RUN, done("error"), tripped, failed(), failed(), STEP_OVER, after, failed(), STEP_OVER))
    assert vitals.total_errors == 2


def test_a_call_that_could_not_be_run_is_an_error_of_its_step() -> None:
    """Bad arguments, an unknown tool: nobody refused them."""
    assert vitals_of(stream(RUN, failed())).total_errors == 0, "not before its step is over"
    assert vitals_of(stream(RUN, failed(), STEP_OVER)).total_errors == 1
    assert vitals_of(stream(RUN, failed(), ended("completed"))).total_errors == 1


def test_errors_open_the_gate_and_successes_close_it() -> None:
    """Five outcomes make a rate; it opens at 30 percent and closes at 21."""
    four = vitals_of(stream(RUN, *[done("error")] * 4))
    assert not four.error_gate.active
    five = vitals_of(stream(RUN, *[done("error")] * 4, done("ok")))
    assert five.error_gate.active
    course = [done("error")] * 3 + [done("ok")] * 7
    vitals = vitals_of(stream(RUN, *course))
    assert vitals.error_gate.active, "exactly 30 percent opens it, and it stays until 21"
    for number in range(4):
        vitals.apply(record(done("ok"), sequence=20 + number, at_ms=T0_MS + 60_000 + number))
    assert vitals.recent.counts_at(T0_MS + 60_003) == (14, 3)
    vitals.apply(record(done("ok"), sequence=30, at_ms=T0_MS + 61_000))
    assert not vitals.error_gate.active


def test_half_an_hour_without_outcomes_forgets_errors() -> None:
    """A rate of long ago says nothing about now: the gate can't stay shut because nothing may be tried."""
    vitals = vitals_of(stream(RUN, *[done("error")] * 10))
    assert vitals.operational(T0_MS + 60_000).error_gate.active
    assert not vitals.operational(T0_MS + 31 * 60_000).error_gate.active


def test_numbers_too_large_for_anybody_are_bounded() -> None:
    """No number of a journal breaks what follows it."""
    huge = events.Message(role="assistant", content="", token_usage=TokenUsage(2**62, 2**62, 2**62))
    vitals = vitals_of(stream(RUN, named("arcan.run_limits", max_tokens=2**62), huge))
    assert vitals.total_tokens <= MAX_COUNT
    assert vitals.context_pressure == 1.0


def test_memory_of_names_is_bounded() -> None:
    """Denials without failures, approvals without answers: another maker's stream does not grow without end."""
    denials = [events.PolicyEvaluated(tool_name=f"t{n}", decision="deny", rule_id="r") for n in range(500)]
    asked = [
        events.ApprovalRequested(approval_id=f"a{n}", call_id="c", tool_name="t", arguments={}, risk="low")
        for n in range(500)
    ]
    vitals = vitals_of(stream(RUN, *denials, *asked))
    assert len(vitals.denied_tools) <= 64 and len(vitals.asked) <= 64
    assert vitals.total_denials == 500


def test_promotion_regression_rollback() -> None:
    """Four evaluations below the promoted threshold count up, one above resets, a request is remembered."""
    promoted = named("egri.knowledge.promoted", version="v2", rollback_target="v1", artifact={"health_threshold": 0.7})

    def health(score: float) -> Kind:
        return events.KnowledgeEvaluated(health_score=score, note_count=9, contradictions=0, missing_pages=0, orphans=0)

    worse = [promoted, health(0.5), health(0.6)]
    assert vitals_of(stream(*worse)).promotion.regression_evaluations == 2
    assert vitals_of(stream(*worse, health(0.7))).promotion.regression_evaluations == 0
    asked = named("autonomic.RollbackRequested", artifact="knowledge_thresholds", rollback_to="v1", reason="r")
    vitals = vitals_of(stream(*worse, asked, health(0.1)))
    assert vitals.promotion.rollback_requested
    assert vitals.promotion.regression_evaluations == 2


def test_scores_move_the_quality_by_three_tenths() -> None:
    """A moving average from 1.0; the trend is the last step, or what the event says."""
    vitals = vitals_of(stream(named("eval.InlineCompleted", score=0.0)))
    assert vitals.quality == pytest.approx(0.7)
    assert vitals.quality_trend == pytest.approx(-0.3)
    changed = named("eval.QualityChanged", aggregate_quality=0.5, trend=0.1)
    vitals = vitals_of(stream(changed))
    assert (vitals.quality, vitals.quality_trend) == (0.5, 0.1)


def test_a_suspension_is_known_until_it_is_over() -> None:
    """By waking, by a new run, or by the end of this one."""
    held = [RUN, named("arcan.suspended", reason="no means")]
    assert vitals_of(stream(*held)).suspended == "no means"
    for over in (named("arcan.resumed", actor="a"), RUN, ended("cancelled")):
        assert vitals_of(stream(*held, over)).suspended == ""


def test_a_clock_that_steps_back_leaves_no_lasting_mark() -> None:
    """Errors of a future that never came are as old as now."""
    future = [record(done("error"), sequence=n + 1, at_ms=T0_MS + 10**11) for n in range(10)]
    vitals = vitals_of(future)
    vitals.apply(record(done("ok"), sequence=11, at_ms=T0_MS))
    assert not vitals.operational(T0_MS + 31 * 60_000).error_gate.active


def test_thresholds_are_taken_from_the_settings() -> None:
    """A stricter error rate opens the gate earlier."""
    strict = SessionVitals.under(Thresholds(error_rate=0.1, min_outcomes=2))
    for one in stream(RUN, done("ok"), done("ok"), done("error")):
        strict.apply(one)
    assert strict.error_gate.active


@settings(max_examples=30)
@given(st.lists(st.tuples(KINDS, st.integers(0, 2)), max_size=60))
def test_sessions_do_not_touch_each_other(course: list[tuple[Kind, int]]) -> None:
    """The vitals of a stream are those of its own events alone, however streams are interleaved."""
    from life.aios.record import Stream
    from life.autonomic.homeostasis import Homeostasis

    homeostasis, heads = Homeostasis(), {0: 0, 1: 0, 2: 0}
    own: dict[int, list[EventRecord]] = {0: [], 1: [], 2: []}
    for place, (kind, session) in enumerate(course):
        heads[session] += 1
        one = record(kind, sequence=heads[session], at_ms=T0_MS + place * 1_000, session_id=f"s{session}")
        homeostasis.apply(one)
        own[session].append(one)
    for session, records in own.items():
        vitals = homeostasis.vitals(Stream(f"s{session}"))
        alone = vitals_of(records)
        if vitals is None:
            assert not records
            continue
        alone.agent_id = vitals.agent_id
        assert msgspec.json.encode(vitals) == msgspec.json.encode(alone)
