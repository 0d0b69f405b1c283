"""One branch, live and at any position: what comes late, twice, in pieces or not at all changes nothing that is seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from life.aios.errors import UnavailableError
from life.aios.events.codec import kind_tag
from life.aios.record import DEFAULT_SCHEMA, SYSTEM, EventRecord
from life.cli.chat.reader import Block, ListReader
from life.cli.chat.recorded import RecordedClient
from life.cli.chat.track import Track
from life.testing.clock import ManualClock
from life.workspace.fold import fold
from life.workspace.positions import EVERY
from life.workspace.state import digest, encode_state
from tests.cli.chat.headless import opened, scene


def event(sequence: int, payload: bytes = b'{"type":"UserMessage","content":"hello"}', **more: object) -> EventRecord:
    return EventRecord(
        event_id=str(more.get("event_id", f"event-{sequence}")),
        session_id="s",
        branch_id="main",
        agent_id="agent",
        sequence=sequence,
        timestamp_us=1_700_000_000_000_000 + sequence * 1_000,
        actor=SYSTEM,
        schema=DEFAULT_SCHEMA,
        kind_name=kind_tag(payload),
        payload=payload,
        causation_id=str(more["causation_id"]) if "causation_id" in more else None,
    )


async def track_on(records: list[EventRecord], clock: ManualClock | None = None) -> Track:
    what = opened(records)
    assert isinstance(what.reader, ListReader)
    track = Track(what.client, what.reader, clock or ManualClock(), what.reader.last)
    await track.open()
    return track


async def test_a_gap_is_never_folded() -> None:
    """An event that jumps ahead is refused, so that whoever listens asks again; the state stays right."""
    track = await track_on([event(1)])
    with pytest.raises(UnavailableError):
        track.take(event(3))
    track.take(event(2))
    assert digest(track.state) == digest(fold([event(1), event(2)]))


async def test_other_branches_are_not_taken() -> None:
    """What belongs to another branch changes nothing."""
    track = await track_on([event(1)])
    other = event(2)
    other.branch_id = "idea"
    track.take(other)
    assert track.head == 1


async def test_pieces_of_a_message() -> None:
    """Pieces make the text; one that was missed leaves no wrong words, and the whole message takes the place of all of them (WS-EVT-3)."""
    track = await track_on([event(1)])

    def piece(words: str, index: int) -> EventRecord:
        payload = f'{{"type":"AssistantTextDelta","delta":"{words}","index":{index}}}'.encode()
        return event(0, payload, causation_id="m")

    track.take(piece("Hello ", 0))
    track.take(piece("world", 6))
    track.take(piece("world", 6))
    assert track.writing == "Hello world"
    track.take(piece("!!", 20))
    assert track.writing == "Hello world"
    track.take(event(2, b'{"type":"Message","role":"assistant","content":"Hello world, all of you"}', event_id="m"))
    assert track.writing == ""
    assert track.state.entries[-1].detail == "Hello world, all of you"


async def test_the_past_stands_still_while_events_come() -> None:
    """Looking at an earlier moment, new events are counted and change nothing that is seen; following again shows them (WS-REP-1)."""
    track = await track_on(scene("tools", 20))
    await track.seek(10)
    before = digest(track.state)
    for record in scene("tools")[20:30]:
        track.take(record)
    assert (digest(track.state), track.mode, track.new_since, track.head) == (before, "paused", 10, 30)
    track.follow()
    assert digest(track.state) == digest(fold(scene("tools", 30)))
    assert track.new_since == 0 and track.mode == "live"


async def test_over_the_end_of_a_block() -> None:
    """Events that come over the border of a block are found again, and any moment on either side is right."""
    many = [event(number) for number in range(1, 2 * EVERY + 150)]
    track = await track_on(many[: EVERY - 20])
    for record in many[EVERY - 20 :]:
        track.take(record)
    for sequence in (1, EVERY - 1, EVERY, EVERY + 1, 2 * EVERY, 2 * EVERY + 149):
        await track.seek(sequence)
        assert track.state.seq == sequence and track.state.totals.runs == 0
        assert digest(track.state) == digest(fold(many[:sequence]))
        assert track.record(sequence) is many[sequence - 1]


async def test_playing_goes_at_the_pace_of_then_and_stops_at_the_end() -> None:
    """A replay takes each event after its time, never more than two seconds, and ends in standing at the end (WS-REP-2)."""
    clock = ManualClock()
    records = [event(1), event(2), event(3)]
    records[2].timestamp_us += 3_600_000_000
    track = await track_on(records, clock)
    track.play()
    for _ in range(200):
        await asyncio.sleep(0)
        if track.shown == 1:
            break
        clock.advance_us(50_000)
    assert track.mode == "replay"
    clock.advance_us(50_000)
    for _ in range(20):
        await asyncio.sleep(0)
    assert track.shown == 2
    clock.advance_us(1_900_000)
    for _ in range(20):
        await asyncio.sleep(0)
    assert track.shown == 2, "an hour is shortened to two seconds"
    clock.advance_us(200_000)
    for _ in range(20):
        await asyncio.sleep(0)
    assert track.shown == 3 and not track.playing
    await track.aclose()


async def test_a_lost_connection_is_told_and_taken_up_again() -> None:
    """While nobody answers the track says so and goes on asking; what was missed is heard once, in order."""
    clock = ManualClock()
    records = [event(number) for number in range(1, 7)]
    what = opened(records[:2])

    class Faulty(RecordedClient):
        """Gives one event at a time and breaks off after each."""

        async def subscribe(self, session_id: str, branch: str, after: int) -> AsyncGenerator[EventRecord, None]:
            """See SessionClient."""
            if after < len(records):
                yield records[max(0, after - 1)]
                yield records[after]
            raise UnavailableError("The daemon does not answer.")

    client = what.client
    assert isinstance(client, RecordedClient) and isinstance(what.reader, ListReader)
    client.__class__ = Faulty
    track = Track(client, what.reader, clock, what.reader.last)
    await track.open()
    seen: list[str] = []
    track.on_change = lambda: seen.append(track.connection)
    track.follow_stream()
    for _ in range(60):
        await asyncio.sleep(0)
        clock.advance_us(500_000)
    assert track.head == 6 and digest(track.state) == digest(fold(records))
    assert "lost" in seen and "open" in seen
    await track.aclose()


async def test_a_seek_that_was_overtaken_shows_nothing() -> None:
    """Of two jumps at once the later one counts, whatever comes first."""
    many = [event(number) for number in range(1, 3 * EVERY)]
    track = await track_on(many)
    gate = asyncio.Event()
    reader = track._reader
    read = reader.block

    async def slow(stream, at=None):  # type: ignore[no-untyped-def]
        block: Block = await read(stream, at)
        if at is not None and at < EVERY:
            await gate.wait()
        return block

    reader.block = slow  # type: ignore[method-assign]
    first = asyncio.create_task(track.seek(5))
    await asyncio.sleep(0)
    await track.seek(EVERY + 5)
    gate.set()
    await first
    assert track.shown == EVERY + 5 == track.state.seq


def test_a_kept_state_is_the_state() -> None:
    """Blocks hold states as the workspace keeps them."""
    reader = ListReader(scene("tools"))
    block = asyncio.run(reader.block(reader.last))
    assert block.base == 0 and len(block.records) == block.head == 50
    assert block.state == encode_state(fold([]))
