"""Checkpoints: when they are taken, and that nobody who may write the file can write another history."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from life.aios.events.codec import custom, encode_kind
from life.aios.ports.journal import EventQuery
from life.aios.record import NewEvent, Stream
from life.lago.errors import CheckpointRefusedError
from life.lago.journal import chain
from life.lago.journal.sqlite import SqliteJournal
from life.lago.journal.verification import verify_file
from life.lago.proof.checkpoints import (
    CHECKPOINT,
    CHECKPOINTS,
    TYP,
    Checkpoint,
    Checkpointer,
    CheckpointPolicy,
    checkpoint_of,
    read_checkpoint,
    read_checkpoints,
    verify_checkpoints,
)
from life.lago.proof.signing_keys import SigningKeys
from life.testing.clock import START_US, ManualClock
from tests.anima.material import SEED_B, did_of, handle
from tests.lago.proof.bench import HOUR_US, MAIN, OTHER, SIDE, ProofBench, keys_of, proof_bench, rotated_keys, said


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ProofBench]:
    """Twenty events in each of three branches."""
    async with proof_bench(tmp_path / "journal.db") as made:
        yield made


async def test_all_branches_that_grew(bench: ProofBench) -> None:
    """Each gets one, and no second one before it grows; the chain, the tree and the position hold."""
    taker = bench.checkpointer()
    taken = await taker.take(when_due=False)
    assert [(one.stream, one.sequence) for one in taken] == [(OTHER, 20), (MAIN, 20), (SIDE, 20)]
    assert {one.position for one in taken} == {60}
    assert await taker.take(when_due=False) == []
    await bench.journal.append([said("later")])
    (again,) = await taker.take(when_due=False)
    assert (again.stream, again.sequence, again.position) == (MAIN, 21, 64)
    assert await verify_checkpoints(bench.journal, bench.keys) == (4, 3, 61)
    assert (await bench.journal.verify()).events == 65


async def test_a_restart_goes_on_from_the_peaks(bench: ProofBench) -> None:
    """A new checkpointer, and one that works at the same time, take what is missing and nothing twice."""
    await bench.checkpointer().take(when_due=False)
    one, two = bench.checkpointer(), bench.checkpointer()
    assert await one.take(when_due=False) == await two.take(when_due=False) == []
    await bench.journal.append([said(f"more-{number}") for number in range(13)])
    (taken,) = await two.take(when_due=False)
    assert taken.sequence == 33
    assert await one.take(when_due=False) == []
    await bench.journal.append([said("last", SIDE)])
    assert [checkpoint.stream for checkpoint in await one.take(when_due=False)] == [SIDE]
    assert (await verify_checkpoints(bench.journal, bench.keys)).checkpoints == 5


async def test_the_policy_says_when(bench: ProofBench) -> None:
    """After so many events, or one that is so old; otherwise not, also not for a branch that is new."""
    await bench.checkpointer().take(when_due=False)
    policy = CheckpointPolicy(every_events=5, every_s=600)
    taker = Checkpointer(
        bench.journal, bench.custody, clock=bench.clock, entropy=bench.entropy, agent_id="agent", policy=policy
    )
    await bench.journal.append([said(f"four-{number}") for number in range(4)])
    assert await taker.take() == []
    await bench.journal.append([said("five")])
    assert [one.sequence for one in await taker.take()] == [25]
    await bench.journal.append([said("side", SIDE)])
    assert await taker.take() == []
    await bench.journal.append([said("first", Stream("new"))])
    bench.clock.advance_us(599_999_999)
    assert await taker.take() == []
    bench.clock.advance_us(1)
    assert [one.stream for one in await taker.take()] == [Stream("new"), SIDE]


async def test_a_branch_that_was_rewritten(tmp_path: Path) -> None:
    """Whoever may write the file can make a chain that holds; the checkpoint says that it is another one."""
    async with proof_bench(tmp_path / "true.db") as bench:
        await bench.checkpointer().take(when_due=False)
        kept = [record async for record in everything(bench.journal)]
    async with SqliteJournal.open(tmp_path / "false.db", clock=ManualClock()) as forged:
        for record in kept:
            payload = record.payload.replace(b"s/main-7", b"s/main-X") if record.stream == MAIN else record.payload
            await forged.append([as_new(record, payload)])
        assert (await forged.verify()).events == 63
        with pytest.raises(CheckpointRefusedError, match="s/main at sequence 20 does not hold"):
            await verify_checkpoints(forged, bench.keys)


async def test_a_tail_that_was_cut_off(tmp_path: Path) -> None:
    """Events are dropped whose checkpoint remains: it says so."""
    async with proof_bench(tmp_path / "true.db") as bench:
        await bench.checkpointer().take(when_due=False)
        kept = [record async for record in everything(bench.journal)]
    dropped = [record for record in kept if record.stream != MAIN or record.sequence < 20]
    async with SqliteJournal.open(tmp_path / "false.db", clock=ManualClock()) as forged:
        await forged.append([as_new(record, record.payload) for record in dropped])
        assert (await forged.verify()).events == 62
        with pytest.raises(CheckpointRefusedError, match=r"events were cut off|position 60"):
            await verify_checkpoints(forged, bench.keys)


async def test_a_replaced_key_signs_nothing_any_more(bench: ProofBench) -> None:
    """Late, backdated or slipped in before a checkpoint of the new key: refused each time."""
    rotated_at = START_US + HOUR_US
    keys = await rotated_keys(at_us=rotated_at)
    old, new = handle(clock=bench.clock), handle(SEED_B, clock=bench.clock)
    await bench.checkpointer(old).take(when_due=False)
    bench.clock.advance_us(2 * HOUR_US)
    await bench.journal.append([said("by-the-new-key")])
    await bench.checkpointer(new).take(when_due=False)
    assert (await verify_checkpoints(bench.journal, keys)).checkpoints == 4

    late = bench.clock.now_us() // 1_000_000
    await forge(bench, old, iat=late)
    with pytest.raises(CheckpointRefusedError, match="had been replaced"):
        await verify_checkpoints(bench.journal, keys)


async def test_a_backdated_checkpoint(bench: ProofBench) -> None:
    """The old key claims a time when it still counted, behind a checkpoint of the new one."""
    keys = await rotated_keys(at_us=START_US + HOUR_US)
    old, new = handle(clock=bench.clock), handle(SEED_B, clock=bench.clock)
    bench.clock.advance_us(2 * HOUR_US)
    await bench.checkpointer(new).take(when_due=False)
    await forge(bench, old, iat=START_US // 1_000_000)
    with pytest.raises(CheckpointRefusedError, match="older than the checkpoint before it"):
        await verify_checkpoints(bench.journal, keys)


async def test_a_checkpoint_slipped_in(bench: ProofBench) -> None:
    """One that does not name the checkpoint before it is refused, whoever signed it."""
    await bench.checkpointer().take(when_due=False)
    await forge(bench, bench.custody, iat=START_US // 1_000_000, previous="00" * 32)
    with pytest.raises(CheckpointRefusedError, match="does not follow"):
        await verify_checkpoints(bench.journal, bench.keys)


async def test_a_revoked_key(bench: ProofBench) -> None:
    """Signatures since the doubtful moment count for nothing; those before it do."""
    keys = bench.keys
    await bench.checkpointer().take(when_due=False)
    later = msgspec.structs.replace(keys.keys[0], doubtful_since_us=START_US + HOUR_US)
    assert (await verify_checkpoints(bench.journal, SigningKeys(agent_id="agent", keys=(later,)))).checkpoints == 3
    before = msgspec.structs.replace(keys.keys[0], doubtful_since_us=START_US)
    with pytest.raises(CheckpointRefusedError, match="was revoked"):
        await verify_checkpoints(bench.journal, SigningKeys(agent_id="agent", keys=(before,)))


async def test_somebody_else_signed(bench: ProofBench) -> None:
    """A stranger's key, however well it signs."""
    stranger = handle(SEED_B, clock=bench.clock)
    await bench.checkpointer(stranger).take(when_due=False)
    assert keys_of(stranger).objection(did_of(stranger), START_US) is None
    with pytest.raises(CheckpointRefusedError, match="is no key of agent"):
        await verify_checkpoints(bench.journal, bench.keys)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sequence", 19),
        ("digest", "11" * 32),
        ("root", "22" * 32),
        ("position", 7),
        ("previous", "33" * 32),
        ("signed_at_s", 1),
        ("session_id", "t"),
    ],
)
async def test_an_event_that_says_something_else_than_its_token(bench: ProofBench, field: str, value: Any) -> None:
    """Every field of the event is the signed one."""
    (taken, *_) = await bench.checkpointer().take(when_due=False, only=[MAIN])
    (record,) = await bench.journal.read(EventQuery(*CHECKPOINTS))
    bent = msgspec.structs.replace(taken, **{field: value})
    await bench.journal.append([stray(bent, record.event_id + "x")])
    with pytest.raises(CheckpointRefusedError, match="something else than what was signed"):
        await verify_checkpoints(bench.journal, bench.keys)


async def test_a_stranger_in_the_stream(bench: ProofBench) -> None:
    """Nothing but checkpoints belongs there."""
    await bench.journal.append([said("what-is-this", CHECKPOINTS)])
    with pytest.raises(CheckpointRefusedError, match="is no checkpoint"):
        await verify_checkpoints(bench.journal, bench.keys)


async def test_tokens_of_other_types(bench: ProofBench) -> None:
    """A token that the key signed for something else is no checkpoint."""
    claims = {"iss": did_of(bench.custody), "type": "lago.checkpoint", "session": "s"}
    for typ in (TYP, "JWT"):
        with pytest.raises(CheckpointRefusedError):
            read_checkpoint(await bench.custody.sign_token(claims, typ=typ), keys=bench.keys)
    with pytest.raises(CheckpointRefusedError):
        read_checkpoint("eyJ.eyJ.xx", keys=None)


async def test_the_file_behind_it_is_damaged(tmp_path: Path) -> None:
    """A flipped position in a row is found by the journal's own look, a swapped digest by both."""
    async with proof_bench(tmp_path / "journal.db") as bench:
        await bench.checkpointer().take(when_due=False)
    assert verify_file(tmp_path / "journal.db").events == 63
    connection = apsw.Connection(str(tmp_path / "journal.db"))
    connection.execute("UPDATE event SET digest = ? WHERE id = ?", (bytes(32), "s/main-3"))
    connection.close()
    async with SqliteJournal.open(tmp_path / "journal.db", clock=ManualClock(), verify=False) as journal:
        with pytest.raises(CheckpointRefusedError, match="the events before it are others"):
            await verify_checkpoints(journal, bench.keys)


async def forge(bench: ProofBench, custody: Any, *, iat: int, previous: str | None = None) -> None:
    """Append a checkpoint that says the truth about a branch, signed as the test wants it."""
    head = await bench.journal.head(CHECKPOINTS)
    genuine = (await read_checkpoints(bench.journal))[-1][1]
    claims: dict[str, Any] = {
        "iss": did_of(custody),
        "type": CHECKPOINT,
        "session": genuine.session_id,
        "branch": genuine.branch_id,
        "sequence": genuine.sequence,
        "digest": genuine.digest,
        "root": genuine.root,
        "position": genuine.position,
        "position_digest": genuine.position_digest,
        "previous": previous or head.digest,
        "iat": iat,
    }
    token = await custody.sign_token(claims, typ=TYP)
    checkpoint, _ = read_checkpoint(token, keys=None, peaks=genuine.peaks)
    await bench.journal.append([stray(checkpoint, f"forged-{iat}")])


def stray(checkpoint: Checkpoint, event_id: str) -> NewEvent:
    """A checkpoint as an event."""
    event = said(event_id, CHECKPOINTS)
    return msgspec.structs.replace(event, payload=encode_kind(custom(CHECKPOINT, checkpoint)), kind_name="Custom")


async def everything(journal: SqliteJournal) -> AsyncIterator[Any]:
    for record in await journal.read(EventQuery(), limit=1000):
        yield record


def as_new(record: Any, payload: bytes) -> NewEvent:
    """A record as a new event, with another payload."""
    fields = {name: getattr(record, name) for name in NewEvent.__struct_fields__ if name != "payload"}
    return NewEvent(payload=payload, **fields)


async def test_checkpoints_of_an_imported_journal_hold(bench: ProofBench, tmp_path: Path) -> None:
    """A copy of everything, in order, has the same positions."""
    await bench.checkpointer().take(when_due=False)
    async with SqliteJournal.open(tmp_path / "copy.db", clock=ManualClock()) as copy:
        async for record in everything(bench.journal):
            await copy.append([as_new(record, record.payload)])
        assert await verify_checkpoints(copy, bench.keys) == (3, 3, 60)
        record = (await copy.read(EventQuery(*CHECKPOINTS)))[0]
        assert checkpoint_of(record) is not None
        assert Stream(CHECKPOINTS.session_id) == record.stream
        assert chain.GENESIS.hex() == (await read_checkpoints(copy))[0][1].previous
