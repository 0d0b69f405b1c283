"""What owners use, folded."""

from __future__ import annotations

from life.aios.events import FileWrite, Kind, SessionCreated, UserMessage
from life.aios.events.codec import custom, encode_kind, read_custom
from life.aios.ports.journal import EventQuery
from life.aios.record import EventWriter, Stream
from life.lago.journal.memory import MemoryJournal
from life.lago.owners.events import BLOB_STORED, BLOBS_STREAM, CALLS_COUNTED, CALLS_STREAM, BlobStored, CallsCounted
from life.lago.owners.quotas import Quota
from life.lago.owners.registry import Owners
from life.lago.owners.state import HOUR_US, OwnerProjection
from life.lago.projection import ProjectionRunner
from life.lago.snapshots import MemorySnapshots
from life.testing.clock import ManualClock, SeededEntropy

MONTH_US = 31 * 24 * HOUR_US


class Bench:
    """A journal and what is folded from it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.entropy = SeededEntropy()
        self.journal = MemoryJournal()

    async def put(self, session: str, *kinds: Kind) -> None:
        """Append to a session."""
        writer = EventWriter(self.clock, self.entropy, agent_id="a", stream=Stream(session))
        await self.journal.append([writer.event(kind) for kind in kinds])


async def test_the_first_event_says_whose_a_session_is() -> None:
    """A later SessionCreated changes nothing; sessions without one are the operator's."""
    bench = Bench()
    mine = SessionCreated(name="x", config={"owner": "user:ada"})
    await bench.put("s", mine, SessionCreated(name="x", config={"owner": "user:eve"}))
    await bench.put("t", UserMessage(content="x"), SessionCreated(name="x", config={"owner": "user:eve"}))
    state = await ProjectionRunner(bench.journal, OwnerProjection()).catch_up()
    assert state.owners == {"s": "user:ada", "t": "operator"}
    assert state.use_of("user:eve").sessions == 0


async def test_use_is_counted_by_month_and_kept_over_a_restart() -> None:
    """Events count in their month, bytes for ever: payloads, files, blobs. A snapshot gives the same state as the events."""
    bench = Bench()
    kinds = (SessionCreated(name="x", config={"owner": "user:ada"}), UserMessage(content="abc"))
    write = FileWrite(path="/f", blob_hash="0" * 64, size_bytes=1000)
    await bench.put("s", *kinds, write)
    await bench.put(BLOBS_STREAM.session_id, custom(BLOB_STORED, BlobStored(owner="user:ada", blob="0", size_bytes=50)))
    snapshots = MemorySnapshots()
    runner = ProjectionRunner(bench.journal, OwnerProjection(), snapshots)
    use = (await runner.catch_up()).use_of("user:ada")
    payloads = sum(len(encode_kind(kind)) for kind in (*kinds, write))
    assert (use.sessions, use.events, use.bytes) == (1, 3, payloads + 1050)
    await runner.save()
    bench.clock.advance_us(MONTH_US)
    await bench.put("s", UserMessage(content="next"))
    again = await ProjectionRunner(bench.journal, OwnerProjection(), snapshots).catch_up()
    whole = await ProjectionRunner(bench.journal, OwnerProjection()).catch_up()
    assert again == whole
    assert again.use_of("user:ada").events == 1


async def test_an_event_of_an_earlier_time_does_not_hide() -> None:
    """Events that claim to be older count in the newest month there is."""
    bench = Bench()
    await bench.put("s", SessionCreated(name="x", config={"owner": "user:ada"}))
    late = EventWriter(ManualClock(1), bench.entropy, agent_id="a", stream=Stream("s"))
    await bench.journal.append([late.event(UserMessage(content="x"))])
    state = await ProjectionRunner(bench.journal, OwnerProjection()).catch_up()
    assert state.use_of("user:ada").events == 2


async def test_calls_survive_a_restart() -> None:
    """What was counted is journaled at the end, and goes on counting in the same hour; the next hour begins at 0."""
    bench = Bench()
    quota = Quota(calls_per_hour=10_000)
    owners = Owners(bench.journal, bench.clock, bench.entropy, quota_of=lambda _: quota)
    for _ in range(250):
        await owners.count_call("user:ada")
    await owners.aclose()
    records = await bench.journal.read(_calls())
    assert [custom_calls(record.kind) for record in records] == [100, 100, 50]
    again = Owners(bench.journal, bench.clock, bench.entropy, quota_of=lambda _: quota)
    await again.count_call("user:ada")
    assert (await again.use("user:ada")).calls == 251
    bench.clock.advance_us(HOUR_US)
    assert (await again.use("user:ada")).calls == 0
    await again.count_call("user:ada")
    assert (await again.use("user:ada")).calls == 1


def _calls() -> EventQuery:
    return EventQuery(*CALLS_STREAM)


def custom_calls(kind: Kind) -> int:
    """How many calls an event counts."""
    counted = read_custom(kind, CALLS_COUNTED, CallsCounted)
    assert counted is not None
    return counted.calls
