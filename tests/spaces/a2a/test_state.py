"""The fold of tasks: moves, ends, and journals that repeat themselves."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from life.aios.events import decode_kind, encode_kind
from life.spaces.a2a.events import (
    Fact,
    MessageAdded,
    PaymentEnded,
    PaymentSubmitted,
    PushDeleted,
    Pushed,
    PushSet,
    StatusSet,
    TaskOpened,
    fact_event,
    read_fact,
)
from life.spaces.a2a.state import KEPT, Tasks, may_move
from life.spaces.a2a.wire import TERMINAL, Artifact, Message, Part, Role, TaskState

IDS = st.sampled_from(["t1", "t2", "t3"])
MESSAGES = st.builds(
    Message,
    message_id=st.sampled_from(["a", "b", "c"]),
    role=st.sampled_from(Role),
    parts=st.lists(st.builds(Part, text=st.text(max_size=5)), min_size=1, max_size=2).map(tuple),
)
ARTIFACTS = st.lists(st.builds(Artifact, artifact_id=st.just("answer"), parts=st.just((Part(text="x"),))), max_size=1)
FACTS: st.SearchStrategy[Fact] = st.one_of(
    st.builds(
        TaskOpened, task_id=IDS, context_id=st.just("c"), owner=st.just("o"), message=MESSAGES, is_paid=st.booleans()
    ),
    st.builds(MessageAdded, task_id=IDS, message=MESSAGES),
    st.builds(StatusSet, task_id=IDS, state=st.sampled_from(TaskState), artifacts=ARTIFACTS.map(tuple)),
    st.builds(PaymentSubmitted, task_id=IDS, payload=st.just({"x": 1})),
    st.builds(PaymentEnded, task_id=IDS, is_paid=st.booleans(), receipt=st.just({"r": 1})),
    st.builds(PushSet, task_id=IDS, config_id=st.just("p"), url=st.just("https://u"), secrets=st.just("s")),
    st.builds(PushDeleted, task_id=IDS, config_id=st.just("p")),
    st.builds(Pushed, task_id=IDS, config_id=st.just("p"), revision=st.integers(0, 9), status=st.just(200)),
)


@given(st.lists(FACTS, max_size=40))
def test_no_journal_moves_a_task_out_of_its_end(facts: list[Fact]) -> None:
    """Whatever facts come in whatever order: an end stays, a task never goes back to SUBMITTED, revisions and times only grow, and what
    was paid stays paid."""
    tasks = Tasks()
    for at, fact in enumerate(facts):
        before = dict(tasks.all)
        tasks.apply(fact, at)
        for task_id, was in before.items():
            now = tasks.all[task_id]
            assert now.state is was.state or may_move(was.state, now.state)
            assert now.revision >= was.revision
            assert now.updated_us >= was.updated_us
            assert not (was.state in TERMINAL and now.state is not was.state)
            assert now.has_paid or not was.has_paid
            assert len(now.history) >= len(was.history)


@given(st.lists(FACTS, max_size=30))
def test_the_fold_of_what_was_written_is_the_fold_of_what_was_meant(facts: list[Fact]) -> None:
    """Through JSON and back, the same tasks, byte for byte."""
    meant, read = Tasks(), Tasks()
    for at, fact in enumerate(facts):
        meant.apply(fact, at)
        again = read_fact(decode_kind(encode_kind(fact_event(fact))))
        assert again is not None
        read.apply(again, at)
    assert msgspec.json.encode(list(meant.all.values())) == msgspec.json.encode(list(read.all.values()))


def test_a_doubled_event_changes_nothing() -> None:
    """An opened task that is opened again, a message that comes twice, an end that comes twice."""
    said = Message(message_id="m", role=Role.USER, parts=(Part(text="hi"),))
    more = Message(message_id="n", role=Role.USER, parts=(Part(text="more"),))
    tasks = Tasks()
    opened = TaskOpened(task_id="t", context_id="c", owner="o", message=said)
    assert tasks.apply(opened, 1) is not None
    assert tasks.apply(opened, 2) is None
    assert tasks.apply(MessageAdded(task_id="t", message=more), 3) is not None
    assert tasks.apply(MessageAdded(task_id="t", message=more), 4) is None
    assert tasks.apply(StatusSet(task_id="t", state=TaskState.COMPLETED), 5) is not None
    assert tasks.apply(StatusSet(task_id="t", state=TaskState.FAILED), 6) is None
    assert tasks.apply(StatusSet(task_id="unknown", state=TaskState.FAILED), 7) is None


def test_old_tasks_that_are_over_are_forgotten_and_open_ones_are_not() -> None:
    """Memory stays bounded by what is open and the newest that are over."""
    tasks = Tasks()
    said = Message(message_id="m", role=Role.USER, parts=(Part(text="hi"),))
    for number in range(KEPT + 10):
        task_id = f"t{number}"
        tasks.apply(TaskOpened(task_id=task_id, context_id="c", owner="o", message=said), number)
        if number:
            tasks.apply(StatusSet(task_id=task_id, state=TaskState.COMPLETED), number)
    assert len(tasks.all) == KEPT + 1
    assert tasks.get("t0") is not None
    assert tasks.get("t1") is None
