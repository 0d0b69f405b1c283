"""Scenario 34: random histories against a model of a few lines."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec

from life.aios.errors import (
    EventConflictError,
    LifeError,
    SequenceConflictError,
)
from life.aios.events import UserMessage, encode_kind
from life.aios.ports.journal import Appended, EventQuery
from life.aios.record import NewEvent, Stream
from life.testing.journal.making import JournalHarness, as_new, gather


class ModelScenario:
    """A journal behaves like a list."""

    def test_34_behaves_like_a_list(self, harness: JournalHarness) -> None:
        """Random appends, repeats, conflicts, reads and reopenings agree with lists and a dictionary (hypothesis)."""
        _run_machine(harness)


@dataclass
class _Model:
    """What a journal is: events in order, heads that count, ids that occur once."""

    events: list[NewEvent] = field(default_factory=list)

    def head(self, stream: Stream) -> int:
        return sum(event.stream == stream for event in self.events)

    def sequence(self, event_id: str) -> int:
        wanted = next(event for event in self.events if event.event_id == event_id)
        of_stream = [event.event_id for event in self.events if event.stream == wanted.stream]
        return of_stream.index(event_id) + 1

    def append(self, batch: list[NewEvent], expected: dict[Stream, int]) -> list[tuple[int, bool]] | type[LifeError]:
        known = {event.event_id: event for event in self.events}
        stored_before = set(known)
        for event in batch:
            earlier = known.setdefault(event.event_id, event)
            if msgspec.structs.replace(earlier, timestamp_us=event.timestamp_us) != event:
                return EventConflictError
        if not batch or any(event.event_id not in stored_before for event in batch):
            for stream, sequence in expected.items():
                if self.head(stream) != sequence:
                    return SequenceConflictError
        outcome = []
        for event in batch:
            duplicate = any(event.event_id == stored.event_id for stored in self.events)
            if not duplicate:
                self.events.append(event)
            outcome.append((self.sequence(event.event_id), duplicate))
        return outcome


def _run_machine(harness: JournalHarness) -> None:
    from hypothesis import HealthCheck, settings
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

    streams = [Stream("s"), Stream("s", "side"), Stream("s1")]
    runs = iter(range(1_000_000))
    some_stream = st.sampled_from(streams)
    some_event = st.builds(
        lambda number, stream, text, time: NewEvent(
            event_id=f"event-{number}",
            session_id=stream.session_id,
            branch_id=stream.branch_id,
            agent_id="agent",
            timestamp_us=time,
            payload=encode_kind(UserMessage(content=text)),
            kind_name="UserMessage",
        ),
        st.integers(0, 30),
        some_stream,
        st.sampled_from(["a", "b"]),
        st.integers(0, 3),
    )

    class Machine(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            self.runner = asyncio.Runner()
            self.name = f"machine-{next(runs)}"
            self.model = _Model()
            self.opened = harness.open(self.name)
            self.journal = self.runner.run(self.opened.__aenter__())

        @rule(
            batch=st.lists(some_event, max_size=4), expected=st.dictionaries(some_stream, st.integers(0, 3), max_size=2)
        )
        def append(self, batch: list[NewEvent], expected: dict[Stream, int]) -> None:
            wanted = self.model.append(batch, expected)
            try:
                got = self.runner.run(self.journal.append(batch, expected=expected))
            except LifeError as error:
                assert type(error) is wanted
            else:
                assert [(one.sequence, one.duplicate) for one in got] == wanted

        @rule(batches=st.lists(st.lists(some_event, max_size=3), max_size=4))
        def append_at_once(self, batches: list[list[NewEvent]]) -> None:
            async def together() -> list[list[Appended] | BaseException]:
                return await gather([self.journal.append(batch) for batch in batches])

            for batch, got in zip(batches, self.runner.run(together()), strict=True):
                wanted = self.model.append(batch, {})
                if isinstance(got, list):
                    assert [(one.sequence, one.duplicate) for one in got] == wanted
                else:
                    assert type(got) is wanted

        @rule(stream=some_stream, after=st.integers(0, 6), limit=st.integers(1, 5))
        def read(self, stream: Stream, after: int, limit: int) -> None:
            query = EventQuery(*stream, after_sequence=after)
            records = self.runner.run(self.journal.read(query, limit=limit))
            wanted = [event for event in self.model.events if event.stream == stream][after : after + limit]
            assert [as_new(record) for record in records] == wanted
            assert self.runner.run(self.journal.head(stream)).sequence == self.model.head(stream)

        @rule()
        def reopen(self) -> None:
            if "durable" not in harness.gaps:
                self.runner.run(self.opened.__aexit__(None, None, None))
                self.opened = harness.open(self.name)
                self.journal = self.runner.run(self.opened.__aenter__())

        def teardown(self) -> None:
            if not hasattr(self, "journal"):
                return
            try:
                records = self.runner.run(self.journal.read(EventQuery(), limit=10_000))
                assert [as_new(record) for record in records] == self.model.events
            finally:
                self.runner.run(self.opened.__aexit__(None, None, None))
                self.runner.close()

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=harness.model_examples,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
