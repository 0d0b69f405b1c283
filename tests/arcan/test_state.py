"""The fold: total, pure, and right about what runs use, what waits, and what is known."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings

from life.aios import events
from life.aios.events import Kind, encode_kind
from life.aios.record import EventRecord
from life.aios.state import AgentStateVector, BudgetState, TokenUsage
from life.arcan.conversation import build_request, encode_request
from life.arcan.events import (
    DoubtResolved,
    RunInDoubt,
    RunLimits,
    TokenPrice,
    doubt_resolved,
    run_in_doubt,
    run_limits,
)
from life.arcan.plan import next_action
from life.arcan.state import SessionState, advance, cost_micro, encode_state, fold, worked_us
from tests.arcan.any_events import histories, record_of

SECOND = 1_000_000


class Story:
    """Events one after the other, one second apart unless told otherwise."""

    def __init__(self) -> None:
        self.records: list[EventRecord] = []
        self.now_us = 1_000 * SECOND

    def tell(self, *kinds: Kind, after_s: float = 1) -> SessionState:
        """Append these events; the state after them."""
        for kind in kinds:
            self.now_us += int(after_s * SECOND)
            number = len(self.records) + 1
            event_id = "run-1" if isinstance(kind, events.RunStarted) else f"event-{number}"
            self.records.append(record_of(encode_kind(kind), number, self.now_us, event_id, "run-1"))
        return self.state

    @property
    def state(self) -> SessionState:
        """The state after all of them."""
        return fold("s", self.records)


def begun(limits: RunLimits | None = None) -> Story:
    """A session with an open run."""
    story = Story()
    story.tell(
        events.SessionCreated(name="s"),
        events.UserMessage(content="Do it."),
        events.RunStarted(provider="scripted", max_iterations=24),
        run_limits(limits or RunLimits()),
    )
    return story


def asked(call_id: str = "call-1", tool: str = "write") -> list[Kind]:
    """A step that asks for a tool."""
    return [
        events.StepStarted(index=0),
        events.Message(role="assistant", content="", token_usage=TokenUsage(100, 20, 120)),
        events.ToolCallRequested(call_id=call_id, tool_name=tool, arguments={"path": "a"}),
    ]


def started(call_id: str = "call-1", *, read_only: bool = False) -> Kind:
    """The intent of a call."""
    probe = {"read_only": True} if read_only else None
    return events.ToolCallStarted(
        tool_run_id=f"run-of-{call_id}", tool_name="write", call_id=call_id, idempotency_key="key", probe=probe
    )


def completed(call_id: str = "call-1", status: str = "ok") -> Kind:
    """The outcome of a call."""
    return events.ToolCallCompleted(
        tool_run_id=f"run-of-{call_id}",
        tool_name="write",
        result={},
        duration_ms=1,
        status=status,  # type: ignore[arg-type]
        call_id=call_id,
    )


@settings(max_examples=200, deadline=None)
@given(histories())
def test_no_sequence_of_events_can_break_the_fold(history: list[EventRecord]) -> None:
    """Whatever stands in a journal: the fold reaches its end, its state can be written and planned from, every ratio and
    counter stays within bounds, and folding in two goes gives the same bytes."""
    state = SessionState(session_id="s")
    for record in history:
        state = advance(state, record)
        vector = state.vector
        for ratio in (vector.progress, vector.uncertainty, vector.context_pressure, vector.side_effect_pressure):
            assert 0.0 <= ratio <= 1.0
        assert vector.budget.tokens_remaining >= 0
        assert state.totals.prompt_tokens < 2**53
    encoded = encode_state(state)
    assert encoded == encode_state(fold("s", history))
    assert msgspec.json.decode(encoded)["session_id"] == "s"
    assert state.head == len(history)
    next_action(state, 0)
    request = build_request(state.conversation, system="", tools=(), max_output_tokens=1)
    assert encode_request(request) == encode_request(
        build_request(fold("s", history).conversation, system="", tools=(), max_output_tokens=1)
    )
    roles = [block.call_id for message in request.messages for block in message.content if hasattr(block, "call_id")]
    assert len(roles) % 2 == 0, "every call of a request has its result"


@given(histories(max_size=8))
def test_a_state_is_a_value(history: list[EventRecord]) -> None:
    """Advancing gives a new state and leaves the old one as it was."""
    before = fold("s", history[:-1])
    encoded = encode_state(before)
    for record in history[-1:]:
        advance(before, record)
    assert encode_state(before) == encoded


def test_a_runs_life() -> None:
    """idle, running, idle again; the run's id is its first event's, and how it ended is kept."""
    story = begun()
    assert story.state.status == "running"
    assert story.state.run is not None and story.state.run.run_id == "run-1"
    state = story.tell(
        events.StepStarted(index=0),
        events.Message(role="assistant", content="Done."),
        events.StepFinished(index=0, stop_reason="completed", directive_count=0),
        events.RunFinished(reason="completed", total_iterations=1, final_answer="Done."),
    )
    assert (state.status, state.run) == ("idle", None)
    assert state.last_run is not None
    assert (state.last_run.reason, state.last_run.final_answer, state.last_run.steps) == ("completed", "Done.", 1)
    assert state.mode == "sleep"
    assert story.tell(events.SessionClosed(reason="over")).status == "closed"


def test_a_new_objective_starts_at_zero() -> None:
    """Progress is the objective's: after nine successful calls the next run starts at zero again (aios.md §6 FIX)."""
    story = begun()
    for number in range(9):
        story.tell(*asked(f"call-{number}"), started(f"call-{number}"), completed(f"call-{number}"))
        story.tell(events.StepFinished(index=number, stop_reason="tool_call", directive_count=1))
        assert story.state.mode != "sleep", "an open run never sleeps"
    assert story.state.vector.progress > 0.9
    story.tell(events.RunFinished(reason="completed", total_iterations=9))
    assert story.state.vector.progress == 1.0
    state = story.tell(events.UserMessage(content="Again."), events.RunStarted(provider="p", max_iterations=2))
    assert (state.vector.progress, state.vector.uncertainty, state.vector.error_streak) == (0.0, 0.7, 0)


def test_looking_is_no_side_effect() -> None:
    """Read-only calls cause no side-effect pressure, and take from it; changes add, steps and failures take."""
    story = begun()
    story.tell(*asked(), started(read_only=True), completed())
    assert story.state.vector.side_effect_pressure == 0.0
    story.tell(*asked("call-2"), started("call-2"), completed("call-2"))
    changed = story.state.vector.side_effect_pressure
    assert changed == 0.2
    story.tell(*asked("call-3"), started("call-3", read_only=True), completed("call-3"))
    looked = story.state.vector.side_effect_pressure
    assert 0 < looked < changed
    story.tell(events.StepFinished(index=0, stop_reason="tool_call", directive_count=3))
    assert story.state.vector.side_effect_pressure < looked


def test_tokens_are_what_the_provider_counted() -> None:
    """The budget falls by real usage; where a provider counts nothing, by an estimate from the text."""
    story = begun(RunLimits(max_tokens=1000))
    story.tell(*asked())
    assert story.state.vector.budget.tokens_remaining == 880
    assert story.state.vector.context_pressure == 100 / 200_000
    story.tell(events.Message(role="assistant", content="x" * 400))
    assert 700 < story.state.vector.budget.tokens_remaining < 800


def test_cost_is_counted_in_whole_micro_credits() -> None:
    """Price times tokens, rounded up, as an int; the dollars in the budget are for people only."""
    price = TokenPrice(prompt_micro_per_million=3_000_000, completion_micro_per_million=15_000_000)
    story = begun(RunLimits(max_cost_micro=1000, price=price))
    story.tell(*asked())
    assert story.state.run is not None
    assert cost_micro(story.state.run) == 600
    assert story.state.vector.budget.cost_remaining_usd == 0.0004


def test_waiting_and_being_dead_cost_no_time() -> None:
    """The run's clock stops while a person decides and while the process is dead."""
    story = begun(RunLimits(max_time_ms=60_000))
    story.tell(*asked())
    run = story.state.run
    assert run is not None
    before_us = worked_us(run, story.now_us)
    story.tell(
        events.ApprovalRequested(
            approval_id="approval-1", call_id="call-1", tool_name="write", arguments={}, risk="medium"
        ),
        after_s=0,
    )
    assert (story.state.status, story.state.mode) == ("waiting", "ask_human")
    story.tell(events.ApprovalResolved(approval_id="approval-1", decision="approved"), after_s=3600)
    run = story.state.run
    assert run is not None
    assert worked_us(run, story.now_us) == before_us
    story.tell(events.SessionResumed(), after_s=86_400)
    run = story.state.run
    assert run is not None
    assert worked_us(run, story.now_us) == before_us
    assert story.state.totals.recoveries == 1


def test_an_approval_grants_its_call_once() -> None:
    """Approved, the call is ready to run; refused or timed out, it is to be refused; a second decision changes nothing."""
    for decision, phase in (("approved", "approved"), ("denied", "refused"), ("timeout", "refused")):
        story = begun()
        story.tell(*asked())
        story.tell(
            events.ApprovalRequested(approval_id="a", call_id="call-1", tool_name="write", arguments={}, risk="low")
        )
        story.tell(events.ApprovalResolved(approval_id="a", decision=decision))  # type: ignore[arg-type]
        assert story.state.calls[0].phase == phase
        story.tell(events.ApprovalResolved(approval_id="a", decision="approved"))
        assert story.state.calls[0].phase == phase


def test_a_doubt_stands_until_it_is_resolved() -> None:
    """An open intent is running; in doubt it waits; `retry` makes it ready with the same key."""
    story = begun()
    story.tell(*asked(), started())
    assert story.state.calls[0].phase == "running"
    doubt = RunInDoubt(tool_run_id="run-of-call-1", call_id="call-1", tool_name="write", explanation="Who knows.")
    story.tell(run_in_doubt(doubt))
    assert (story.state.status, story.state.mode) == ("in_doubt", "ask_human")
    resolved = DoubtResolved(tool_run_id="run-of-call-1", call_id="call-1", decision="retry", actor="ann")
    state = story.tell(doubt_resolved(resolved))
    assert (state.status, state.calls[0].phase, state.calls[0].idempotency_key) == ("running", "approved", "key")


def test_others_troubles_are_not_the_runs() -> None:
    """ErrorRaised counts against the run it belongs to, and events of other subsystems change nothing but the head."""
    story = begun()
    before = story.state
    payload = encode_kind(events.ErrorRaised(message="elsewhere"))
    story.records.append(record_of(payload, len(story.records) + 1, story.now_us, "x", None))
    payload = encode_kind(events.Custom(event_type="finance.payment_settled", data={"amount": "10"}))
    story.records.append(record_of(payload, len(story.records) + 1, story.now_us, "y", None))
    after = story.state
    assert after.head == before.head + 2
    assert msgspec.structs.replace(after, head=before.head, updated_us=before.updated_us) == before
    assert story.tell(events.ErrorRaised(message="ours")).run.errors == 1  # type: ignore[union-attr]


def test_others_may_set_the_budget() -> None:
    """A BudgetUpdated sets what is left of the open run, whatever it has used."""
    story = begun()
    story.tell(*asked())
    state = story.tell(events.BudgetUpdated(budget=BudgetState(tokens_remaining=50), reason="thrift"))
    assert state.run is not None
    assert state.run.limits.max_tokens == 170
    assert state.vector.budget.tokens_remaining == 50


def test_what_was_written_is_remembered() -> None:
    """StateEstimated restores the vector of imported journals, within bounds."""
    wild = AgentStateVector(progress=7.0, uncertainty=-1.0, budget=BudgetState(tokens_remaining=-5))
    state = begun().tell(events.StateEstimated(state=wild, mode="verify"))
    assert (state.vector.progress, state.vector.uncertainty) == (1.0, 0.0)
    assert state.vector.budget.tokens_remaining == 0
    assert state.mode == "verify"


def test_a_closed_run_ends_with_its_error() -> None:
    """RunErrored closes the run even when no RunFinished follows; one that follows keeps the error."""
    story = begun()
    state = story.tell(events.RunErrored(error="arcan.provider_failed: no"))
    assert state.run is None and state.last_run is not None and state.last_run.reason == "error"
    state = story.tell(events.RunFinished(reason="error", total_iterations=0))
    assert state.last_run is not None and state.last_run.error == "arcan.provider_failed: no"
