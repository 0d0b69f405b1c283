"""The page's fold: `advance(state, record)` takes one more canonical event into the state, in place.

Total: events nobody knows, and payloads that make no sense, change nothing but the position and the count of their kind. Time comes
from the events. The same fold stands in `ui/src/fold/fold.ts`; golden recordings and random events are folded by both, and their digests
must agree at every sequence.

A branch counts from 1 again. Its state is its parent's at the fork, taken on by the branch's own events: what was open there has ended
here, and lists that speak of sequences begin anew.

Source: workspace-ui.md WS-EVT-1, WS-EVT-9, §3.3; ARCHITECTURE.md §2.5.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Final

from life.aios.record import EventRecord, format_timestamp
from life.workspace.call_folds import CALLS
from life.workspace.judge_folds import JUDGES
from life.workspace.money_folds import money
from life.workspace.run_folds import RUNS, Step, end_open_work
from life.workspace.side_folds import SIDES, family
from life.workspace.space_folds import SPACES
from life.workspace.state import State
from life.workspace.values import capped, fields, fields_of, short, text

MOST_KINDS: Final = 300
_STEPS: Final[dict[str, Step]] = {**RUNS, **CALLS, **SIDES, **JUDGES, **SPACES}


def fold(records: Iterable[EventRecord], state: State | None = None) -> State:
    """The state after all these events, oldest first."""
    state = state or State()
    for record in records:
        advance(state, record)
    return state


def advance(state: State, record: EventRecord) -> None:
    """Take one more event in. An ephemeral one (sequence 0) changes nothing."""
    sequence = record.sequence
    if sequence <= 0:
        return
    if record.branch_id != state.branch:
        _enter_branch(state, record)
    state.seq = sequence
    second, state_us = divmod(record.timestamp_us, 1_000_000)
    state.time = f"{_second(second)}.{state_us:06d}Z"
    state.events = capped(state.events + 1)
    content = fields_of(record.payload)
    name = text(content.get("type")) or "Unknown"
    if name == "Custom":
        name = text(content.get("event_type")) or "Custom"
        content = fields(content.get("data"))
    step = _STEPS.get(name)
    if step is None:
        name = short(name, 100)
    _count(state.kinds, name)
    if not state.session.id:
        state.session.id = text(record.session_id)
        state.session.agent = text(record.agent_id)
    if step is not None:
        step(state, content, record)
    elif name.startswith("finance."):
        money(state, name, content)
    else:
        family(state, name, content)
    state.status = _status(state)


@functools.lru_cache(maxsize=64)
def _second(second: int) -> str:
    """A time to the second; many events share one."""
    return format_timestamp(second * 1_000_000)[: -len(".000000Z")]


def _count(kinds: dict[str, int], name: str) -> None:
    before = kinds.get(name)
    if before is None:
        if len(kinds) >= MOST_KINDS:
            name = "other"
        before = kinds.get(name, 0)
    kinds[name] = capped(before + 1)


def _enter_branch(state: State, record: EventRecord) -> None:
    """From here on the events are a branch's own."""
    state.branch = text(record.branch_id)
    if state.events == 0:
        return
    end_open_work(state, "forked")
    state.approvals = []
    state.queue = []
    state.session.merged_into = ""
    state.quality = None
    for name in (
        "runs",
        "spans",
        "decisions",
        "samples",
        "modes",
        "rulings",
        "judge",
        "scores",
        "contacts",
        "channels",
        "talk",
        "hires",
        "offers",
        "identity",
        "branches",
        "marks",
        "peers",
    ):
        setattr(state, name, [])


def _status(state: State) -> str:
    if state.session.closed:
        return "closed"
    if not state.run:
        return "idle"
    if not state.calls:
        return "paused" if state.held or state.suspended else "running"
    waiting = False
    for call in state.calls:
        if call.state == "in_doubt":
            return "in_doubt"
        waiting = waiting or call.state in ("waiting", "client")
    if waiting:
        return "waiting"
    return "paused" if state.held or state.suspended else "running"
