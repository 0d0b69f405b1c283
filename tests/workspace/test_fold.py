"""One fold in two languages: what Python and the page make of the same events, at every sequence."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from life.aios.events.codec import kind_tag
from life.aios.record import DEFAULT_SCHEMA, SYSTEM, EventRecord
from life.workspace.fold import advance, fold
from life.workspace.state import State, decode_state, digest, encode_state
from tests.arcan.any_events import IDS, PAYLOADS
from tests.workspace.any_surroundings import SURROUNDINGS
from tests.workspace.page_fold import page_digests
from tests.workspace.recorded import NAMES, recording


def python_digests(records: list[EventRecord]) -> list[str]:
    state, digests = State(), []
    for record in records:
        advance(state, record)
        digests.append(digest(state))
    return digests


def record_of(payload: bytes, event_id: str, correlation_id: str, sequence: int) -> EventRecord:
    return EventRecord(
        event_id=event_id or f"event-{sequence}",
        session_id="s",
        branch_id="main" if sequence < 20 else "other",
        agent_id="agent-1",
        sequence=sequence,
        timestamp_us=1_700_000_000_000_000 + sequence,
        actor=SYSTEM,
        schema=DEFAULT_SCHEMA,
        kind_name=kind_tag(payload),
        payload=payload,
        correlation_id=correlation_id or None,
    )


@pytest.mark.part("node")
def test_golden_recordings_fold_alike_at_every_sequence() -> None:
    """Every recording of the real runtime gives the page and Python the same state after each of its events."""
    every = [recording(name) for name in NAMES]
    for name, records, page in zip(NAMES, every, page_digests(every), strict=True):
        assert page == python_digests(records), name


@pytest.mark.part("node")
@pytest.mark.parametrize("payloads", [PAYLOADS, SURROUNDINGS], ids=["every kind", "judges, notes, Spaces, demos"])
def test_any_events_fold_alike(payloads: st.SearchStrategy[bytes]) -> None:
    """So do random events: known kinds with any values, in any order, unknown ones, and payloads that make no sense."""
    batches: list[list[EventRecord]] = []

    @settings(max_examples=150, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(payloads, IDS, IDS), max_size=30))
    def collect(drawn: list[tuple[bytes, str, str]]) -> None:
        batches.append([record_of(*given, number) for number, given in enumerate(drawn, 1)])

    collect()
    for records, page in zip(batches, page_digests(batches), strict=True):
        ours = python_digests(records)
        if page != ours:
            at = next(index for index, (left, right) in enumerate(zip(page, ours, strict=True)) if left != right)
            pytest.fail(f"they differ from {records[at].payload!r} on")


def test_a_kept_state_goes_on_like_the_one_that_was_kept() -> None:
    """A state that was written down anywhere and read back ends where the fold from the beginning ends."""
    for name in NAMES:
        records = recording(name)
        whole = digest(fold(records))
        for cut in range(0, len(records), 7):
            kept = decode_state(encode_state(fold(records[:cut])))
            assert digest(fold(records[cut:], kept)) == whole, (name, cut)


def test_ephemeral_events_change_nothing() -> None:
    """A piece of text that is being written (sequence 0) is not part of the state."""
    state = fold(recording("tools"))
    before = digest(state)
    advance(state, record_of(b'{"type":"AssistantTextDelta","delta":"x"}', "", "", 0))
    assert digest(state) == before
