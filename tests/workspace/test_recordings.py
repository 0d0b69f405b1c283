"""The golden recordings are whole, and cover everything that can be written."""

from __future__ import annotations

from life.aios.events import KINDS
from life.haima.events import EVENTS as FINANCE_EVENTS
from life.workspace.api import name_of
from life.workspace.fold import fold
from tests.workspace.recorded import NAMES, recording
from tests.workspace.vocabulary import dotted_names


def test_every_kind_has_been_recorded() -> None:
    """A kind of the contract, a dotted name of the runtime or an event of finance that no recording has would come to the page untested.
    When this fails: python -m tests.workspace.record"""
    recorded = {name_of(record) for name in NAMES for record in recording(name)}
    known = (KINDS.keys() - {"Custom"}) | dotted_names() | set(FINANCE_EVENTS)
    assert sorted(known - recorded) == []


def test_recordings_have_no_gaps() -> None:
    """Within a branch each event follows the one before it; real runs only."""
    for name in NAMES:
        at: dict[str, int] = {}
        for record in recording(name):
            assert record.sequence == at.get(record.branch_id, 0) + 1, name
            at[record.branch_id] = record.sequence


def test_what_a_run_told_is_in_the_state() -> None:
    """Costs and tokens are the sums of the journal, to the micro-unit; a tool that failed is told as failed; files have their sizes."""
    records = recording("tools")
    state = fold(records)
    usages = [told for record in records if (told := getattr(record.kind, "token_usage", None)) is not None]
    assert state.totals.cost_micro == sum(usage.cost_micro for usage in usages) == 8000
    assert state.totals.prompt == sum(usage.prompt_tokens for usage in usages)
    tools = {(entry.label, entry.detail): entry.state for entry in state.entries if entry.kind == "tool"}
    assert tools["read_file", "orders/WO-113.md"] == "error"
    assert tools["bash", "wc -l report.md"] == "ok"
    assert {file.path: file.size for file in state.files}["report.md"] > 0
    assert state.status == "idle" and not state.calls and not state.approvals


def test_approvals_leave_their_traces() -> None:
    """Refused, edited and allowed for the session: each has its decision, and a rule that was taken back is gone."""
    state = fold(recording("approvals"))
    assert [made.decision for made in state.decisions] == ["denied", "approved", "approved"]
    assert [entry.state for entry in state.entries if entry.kind == "tool"] == ["refused", "ok", "ok", "ok"]
    assert not state.rules


def test_the_queue_is_empty_when_everything_was_said() -> None:
    """Messages leave the queue with the turn that says them."""
    records = recording("steering")
    most = 0
    state = fold([])
    for count in range(len(records) + 1):
        state = fold(records[:count])
        most = max(most, len(state.queue))
    assert most == 3 and not state.queue
    assert state.status == "closed"


def test_a_branch_begins_with_what_it_inherits() -> None:
    """The branch's state has its parent's conversation, and no open work of it."""
    state = fold(recording("branch_strict"))
    assert state.session.parent == "main" and state.session.name == "Two ways"
    assert state.session.merged_into == "main"
    assert {entry.branch for entry in state.entries} == {state.branch} or "main" in {
        entry.branch for entry in state.entries
    }


def test_a_payment_is_one_row() -> None:
    """Reserved, signed, sent and settled are the life of one payment, and it counts once."""
    state = fold(recording("payment_wallet"))
    assert [payment.state for payment in state.payments] == ["settled"]
    assert state.totals.payments == 1 and state.totals.spent_micro == state.payments[0].amount_micro > 0
