"""The state vector's moves: bounded, and never a reason to starve a run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from life.aios.state import AgentStateVector
from life.arcan import vector as vectors

MOVES = {
    "objective": vectors.new_objective,
    "changed": lambda vector: vectors.call_succeeded(vector, read_only=False),
    "looked": lambda vector: vectors.call_succeeded(vector, read_only=True),
    "failed": vectors.call_failed,
    "refused": vectors.call_refused,
    "step": vectors.step_finished,
    "prompt": lambda vector: vectors.prompt_counted(vector, 250_000),
    "completed": vectors.run_completed,
    "waiting": vectors.waiting_for_person,
    "decided": vectors.person_decided,
}


@given(st.lists(st.sampled_from(sorted(MOVES)), max_size=60))
def test_every_ratio_stays_within_its_bounds(moves: list[str]) -> None:
    """Whatever happens in whatever order."""
    vector = AgentStateVector()
    for move in moves:
        vector = MOVES[move](vector)
        assert vectors.bounded(vector) == vector


def test_an_open_run_is_never_put_to_sleep() -> None:
    """Only the end of a run brings progress to one; forty successes do not."""
    vector = vectors.new_objective(AgentStateVector())
    for _ in range(40):
        vector = vectors.call_succeeded(vector, read_only=False)
    assert vectors.estimate_mode(vector, open_run=True, waiting=False, denied=False) == "verify"
    done = vectors.step_finished(vectors.run_completed(vector))
    assert vectors.estimate_mode(done, open_run=False, waiting=False, denied=False) == "sleep"


def test_modes_by_their_order() -> None:
    """A person first, then trouble, then rest, then doubt, then caution."""
    calm = AgentStateVector(uncertainty=0.2)
    assert vectors.estimate_mode(calm, open_run=True, waiting=True, denied=True) == "ask_human"
    assert vectors.estimate_mode(calm, open_run=True, waiting=False, denied=True) == "recover"
    tired = AgentStateVector(uncertainty=0.2, error_streak=3)
    assert vectors.estimate_mode(tired, open_run=True, waiting=False, denied=False) == "recover"
    assert vectors.estimate_mode(AgentStateVector(), open_run=True, waiting=False, denied=False) == "explore"
    full = AgentStateVector(uncertainty=0.2, context_pressure=0.9)
    assert vectors.estimate_mode(full, open_run=True, waiting=False, denied=False) == "explore"
    assert vectors.estimate_mode(calm, open_run=True, waiting=False, denied=False) == "execute"


def test_what_is_worth_an_event() -> None:
    """The first vector, another risk, or a ratio that moved by a quarter."""
    calm = AgentStateVector(uncertainty=0.2)
    assert vectors.changed_materially(None, calm)
    assert not vectors.changed_materially(calm, calm)
    assert not vectors.changed_materially(calm, AgentStateVector(uncertainty=0.4))
    assert vectors.changed_materially(calm, AgentStateVector(uncertainty=0.45))
    assert vectors.changed_materially(calm, AgentStateVector(uncertainty=0.2, risk_level="high"))
