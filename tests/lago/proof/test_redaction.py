"""Redaction: the content is gone, the chain holds, and nothing but a signed redaction explains a stub."""

from __future__ import annotations

import asyncio
import random
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from life.aios.errors import (
    ConflictError,
    EventConflictError,
    JournalDamagedError,
    JournalFullError,
    JournalUnavailableError,
    NotFoundError,
)
from life.aios.events.codec import custom, encode_kind
from life.aios.ports.journal import EventQuery
from life.aios.ports.snapshots import Snapshot
from life.lago.errors import RedactionRefusedError
from life.lago.export import Imported, export_records, import_records, redactions_in
from life.lago.journal.chain import event_digest
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.redacted import REDACTION, read_stub, stub_payload
from life.lago.journal.sqlite import SqliteJournal
from life.lago.journal.survey import survey_file
from life.lago.journal.verification import verify_file, verify_recent
from life.lago.proof.checkpoints import verify_checkpoints
from life.lago.proof.inclusion import check_proof, prove
from life.lago.proof.redaction import Redacted, _purge, find_redactions, redact, resume_redactions
from life.lago.proof.redaction_authority import authority_of
from life.lago.proof.signing_keys import SigningKeys
from life.lago.snapshots import SqliteSnapshots
from life.testing.clock import ManualClock
from tests.anima.material import SEED_B, did_of, handle
from tests.lago.proof.bench import MAIN, ProofBench, keys_of, proof_bench, said

SECRET = "the-secret-4711"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ProofBench]:
    """Branches with a secret in the middle of one, under checkpoints."""
    async with proof_bench(tmp_path / "journal.db", events=10) as made:
        await made.journal.append([said("secret", text=f"my password is {SECRET}")])
        await made.journal.append([said("long", text=SECRET + "x" * 40_000)])
        for number in range(10):
            await made.journal.append([said(f"after-{number}")])
        await made.checkpointer().take(when_due=False)
        yield made


async def do(bench: ProofBench, *event_ids: str, **options: Any) -> Redacted:
    """Redact with the bench's parts."""
    fields: dict[str, Any] = {"reason": "asked for", "custody": bench.custody, "keys": bench.keys} | options
    return await redact(bench.journal, event_ids, agent_id="agent", clock=bench.clock, entropy=bench.entropy, **fields)


def holds(path: Path, text: str = SECRET) -> list[str]:
    """Which files of the journal still hold a text."""
    return [file.name for file in path.parent.glob(f"{path.name}*") if text.encode() in file.read_bytes()]


async def test_the_content_is_gone_and_the_chain_holds(bench: ProofBench) -> None:
    """From the file, its log, its snapshots; the event keeps id, place, time and digest; everything still verifies."""
    before = await bench.journal.get("secret")
    assert before is not None
    async with SqliteSnapshots(bench.path) as snapshots:
        await snapshots.save("notes", 1, Snapshot(5, SECRET.encode()))
    assert holds(bench.path)
    assert await do(bench, "secret", "long", "secret") == Redacted(2, 0, 0)
    assert holds(bench.path) == []
    after = await bench.journal.get("secret")
    assert after is not None
    stub = read_stub(after.payload)
    assert stub is not None
    assert stub.kind == "UserMessage"
    unchanged = ("event_id", "stream", "sequence", "timestamp_us", "digest", "position", "agent_id", "correlation_id")
    assert all(getattr(before, name) == getattr(after, name) for name in unchanged)
    assert (await bench.journal.verify()).events == 46
    assert verify_recent(bench.path).events == 46
    assert verify_file(bench.path, after_position=25).events == 21
    assert survey_file(bench.path).damaged == []
    assert (await verify_checkpoints(bench.journal, bench.keys)).checkpoints == 3
    (found,) = await find_redactions(bench.journal)
    assert (found.redaction.reason, found.pending) == ("asked for", ())
    assert authority_of(found.record, found.redaction, keys=bench.keys) == did_of(bench.custody)
    assert await do(bench, "secret") == Redacted(0, 1, 0)


async def test_who_has_the_original_can_still_show_it(bench: ProofBench) -> None:
    """The digest that stays is the one of the content: the original record fits, and no other."""
    original, before = await bench.journal.get("secret"), await bench.journal.get("s/main-9")
    assert original is not None
    assert before is not None
    await do(bench, "secret")
    redacted = await bench.journal.get("secret")
    assert redacted is not None
    assert event_digest(str(before.digest), original) == redacted.digest
    other = msgspec.structs.replace(original, payload=original.payload.replace(b"4711", b"4712"))
    assert event_digest(str(before.digest), other) != redacted.digest


async def test_the_event_can_still_be_proven_and_does_not_come_back(bench: ProofBench) -> None:
    """An inclusion proof says that it was redacted; appending the original again is refused."""
    await do(bench, "secret")
    proven = check_proof(msgspec.json.encode(await prove(bench.journal, "secret")), keys=bench.keys)
    assert proven.redacted
    with pytest.raises(EventConflictError):
        await bench.journal.append([said("secret", text=f"my password is {SECRET}")])


async def test_out_and_in_again(bench: ProofBench, tmp_path: Path) -> None:
    """An export of a redacted journal imports with its digests, is the same export again, and verifies; also run twice."""
    await do(bench, "secret", "long")
    lines = [line async for line in export_records(bench.journal)]
    async with SqliteJournal.open(tmp_path / "copy.db", clock=ManualClock()) as copy:
        redactions = redactions_in(lines)
        assert await import_records(copy, lines[:40], redactions=redactions) == Imported(40, 0)
        assert await import_records(copy, lines, redactions=redactions) == Imported(6, 40)
        assert [line async for line in export_records(copy)] == lines
        assert (await copy.verify()).events == 46
        assert (await verify_checkpoints(copy, bench.keys)).checkpoints == 3
    async with SqliteJournal.open(tmp_path / "copy.db", clock=ManualClock(), verify=True):
        pass  # and the mark of the last acknowledged event agrees
    async with MemoryJournal() as memory:
        assert (await import_records(memory, lines, renumber=True)).stored == 46


async def test_an_import_that_stopped_in_a_redacted_event(bench: ProofBench, tmp_path: Path) -> None:
    """Stored, and killed before it had its digest: the next import gives it, and the journal verifies."""
    await do(bench, "secret")
    lines = [line async for line in export_records(bench.journal)]
    at = next(number for number, line in enumerate(lines) if b"lago.redacted" in line)
    async with SqliteJournal.open(tmp_path / "copy.db", clock=ManualClock()) as copy:

        async def dies(*_: object) -> None:
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(copy, "adopt_digest", dies)
            with pytest.raises(KeyboardInterrupt):
                await import_records(copy, lines, redactions=redactions_in(lines))
        assert await copy.last_position() == at + 1
    async with SqliteJournal.open(tmp_path / "copy.db", clock=ManualClock(), verify=False) as copy:
        await import_records(copy, lines, redactions=redactions_in(lines))
        assert [line async for line in export_records(copy)] == lines
        assert (await copy.verify()).events == len(lines)


async def test_an_excerpt_without_the_redaction(bench: ProofBench, tmp_path: Path) -> None:
    """A stub whose redaction is cut off, or says something else, does not come in: the journal would not verify any more."""
    await do(bench, "secret")
    lines = [line async for line in export_records(bench.journal)]
    cut = [line for line in lines if b'"lago.redaction"' not in line]
    (told,) = redactions_in(lines).items()
    other = {told[0]: msgspec.structs.replace(told[1], events=())}
    async with SqliteJournal.open(tmp_path / "copy.db", clock=ManualClock()) as copy:
        for redactions in (redactions_in(cut), other):
            with pytest.raises(JournalDamagedError, match="no redaction says so"):
                await import_records(copy, cut, redactions=redactions)
            assert (await copy.verify()).events == 30
    async with MemoryJournal() as memory:
        with pytest.raises(ConflictError):
            await import_records(memory, lines, redactions=redactions_in(lines))


async def test_only_a_stub_at_the_end_of_its_branch_takes_a_digest(bench: ProofBench) -> None:
    """No other event's digest can be replaced."""
    await do(bench, "secret")
    for event_id in ("after-1", "secret"):
        with pytest.raises(ConflictError):
            await bench.journal.adopt_digest(event_id, "11" * 32)
    with pytest.raises(NotFoundError):
        await bench.journal.adopt_digest("nothing", "11" * 32)
    assert (await bench.journal.verify()).events == 46


async def test_the_journal_goes_on(bench: ProofBench) -> None:
    """Events append behind a redaction, in this process and after opening again."""
    await do(bench, "secret")
    await bench.journal.append([said("afterwards")])
    await bench.journal.aclose()
    async with SqliteJournal.open(bench.path, clock=bench.clock, verify=True) as journal:
        await journal.append([said("and-again")])
        assert (await journal.verify()).events == 48


@pytest.mark.parametrize("kind", ["lago.checkpoint", "anima.identity_created", "finance.payment_settled"])
async def test_what_has_to_stay(bench: ProofBench, kind: str) -> None:
    """Identity, money and proof follow from events that nobody may take out; nothing else of the request is done either."""
    event = msgspec.structs.replace(said("kept"), payload=encode_kind(custom(kind, bench.keys)), kind_name="Custom")
    await bench.journal.append([event])
    with pytest.raises(RedactionRefusedError, match="they stay"):
        await do(bench, "secret", "kept")
    assert holds(bench.path)


async def test_requests_that_can_not_be(bench: ProofBench) -> None:
    """No reason, no such event, a reason that tells a story."""
    with pytest.raises(NotFoundError):
        await do(bench, "secret", "nothing")
    for reason in ("", " ", "x" * 501):
        with pytest.raises(RedactionRefusedError):
            await do(bench, "secret", reason=reason)
    assert await find_redactions(bench.journal) == []


async def test_nobody_elses_key(bench: ProofBench) -> None:
    """A stranger redacts nothing, and nothing is recorded; the agent's own key neither, once it was revoked."""
    with pytest.raises(RedactionRefusedError, match="is no key of agent"):
        await do(bench, "secret", custody=handle(SEED_B, clock=bench.clock))
    revoked = msgspec.structs.replace(bench.keys.keys[0], doubtful_since_us=0)
    with pytest.raises(RedactionRefusedError, match="was revoked"):
        await do(bench, "secret", keys=SigningKeys(agent_id="agent", keys=(revoked,)))
    assert holds(bench.path)
    assert (await bench.journal.verify()).events == 45


async def test_a_redaction_that_lies_about_its_stub(bench: ProofBench) -> None:
    """Content is not destroyed for a redaction that could not be verified afterwards."""
    await do(bench, "after-1")
    (found,) = await find_redactions(bench.journal)
    for change in ({"stub_digest": "00" * 32}, {"event_id": "secret", "sequence": 11}):
        (one,) = found.redaction.events
        bent = msgspec.structs.replace(found.redaction, events=(msgspec.structs.replace(one, **change),))
        event = said(f"bent-{len(change)}")
        await bench.journal.append(
            [msgspec.structs.replace(event, payload=encode_kind(custom(REDACTION, bent)), kind_name="Custom")]
        )
    with pytest.raises(RedactionRefusedError, match="something else than what was signed"):
        await resume_redactions(bench.journal, bench.keys)
    assert holds(bench.path)


def change(path: Path, statement: str, *values: Any) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement, values)
    assert connection.changes() == 1
    connection.close()


async def test_a_stub_without_a_redaction(tmp_path: Path) -> None:
    """Putting a stub in the place of content does not make it redacted: named as damage, by verification and survey."""
    path = tmp_path / "journal.db"
    async with proof_bench(path, events=5) as bench:
        await do(bench, "s/main-1")
        (found,) = await find_redactions(bench.journal)
    custom_no = "(SELECT no FROM kind WHERE name = 'Custom')"
    for name, redaction in (("s/main-2", "nobody"), ("s/main-3", found.record.event_id), ("s/side-3", "s/side-4")):
        stub = stub_payload(kind="UserMessage", redaction=redaction)
        connection = apsw.Connection(str(path))
        ((body, kind),) = connection.execute("SELECT body, kind FROM event WHERE id = ?", (name,)).fetchall()
        connection.close()
        change(path, f"UPDATE event SET body = ?, kind = {custom_no} WHERE id = ?", stub, name)
        with pytest.raises(JournalDamagedError, match="no redaction says so"):
            verify_file(path)
        (damaged,) = survey_file(path).damaged
        assert damaged.sequence == int(name[-1]) + 1
        change(path, "UPDATE event SET body = ?, kind = ? WHERE id = ?", body, kind, name)
    assert verify_file(path).events == 16


@pytest.mark.parametrize(
    ("column", "value"),
    [("ts_us", 1), ("body", b'{"type":"Custom","event_type":"lago.redacted","data":{"kind":"X","redaction":"r"}}'),
     ("trace", b"\x01"), ("digest", bytes(32)), ("correlation", "run-2"), ("kind", 1)],
)  # fmt: skip
async def test_a_redacted_row_is_still_bound(tmp_path: Path, column: str, value: Any) -> None:
    """What is left of it can't be changed: time, origin, digest, or the stub itself."""
    path = tmp_path / "journal.db"
    async with proof_bench(path, events=5) as bench:
        await do(bench, "s/main-1")
    change(path, f"UPDATE event SET {column} = ? WHERE id = 's/main-1'", value)
    with pytest.raises(JournalDamagedError):
        verify_file(path)
    assert [one.sequence for one in survey_file(path).damaged][:1] == [2]


async def test_a_redaction_that_was_taken_back(tmp_path: Path) -> None:
    """Without its event the stub is damage; the event can't be dropped, because it stands in the chain."""
    path = tmp_path / "journal.db"
    async with proof_bench(path, events=5) as bench:
        await do(bench, "s/main-1")
        (found,) = await find_redactions(bench.journal)
    change(path, "UPDATE event SET body = '{}' WHERE pos = ?", found.record.position)
    with pytest.raises(JournalDamagedError):
        verify_file(path)


async def test_somebody_reads_meanwhile(bench: ProofBench) -> None:
    """A reader that keeps the log open: said, nothing lost, and finished when it is gone."""
    reader = apsw.Connection(str(bench.path))
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM event").fetchall()
    apsw_timeout = pytest.MonkeyPatch()
    apsw_timeout.setattr("life.lago.journal.schema._BUSY_TIMEOUT_MS", 50)
    try:
        with pytest.raises(JournalUnavailableError):
            await do(bench, "secret", "long")
    finally:
        apsw_timeout.undo()
        reader.close()
    assert (await bench.journal.verify()).events == 46
    assert await resume_redactions(bench.journal, bench.keys) == 0
    assert holds(bench.path) == []


async def test_no_room_to_write_the_file_anew(bench: ProofBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said; the journal verifies, nothing is lost, and resuming ends it when there is room."""

    def tight(*arguments: Any) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (16 * 1024, hard))
        try:
            _purge(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    with monkeypatch.context() as patched:
        patched.setattr("life.lago.proof.redaction._purge", tight)
        with pytest.raises(JournalFullError, match="no room to write"):
            await do(bench, "secret", "long")
    assert (await bench.journal.verify()).events == 46
    assert await resume_redactions(bench.journal, bench.keys) == 0
    assert holds(bench.path) == []


@pytest.mark.slow
async def test_killed_at_any_moment(tmp_path: Path) -> None:
    """Kill −9 anywhere in a redaction: the journal verifies, each event has its content or its stub, and resuming ends it."""
    chance = random.Random(11)
    path = tmp_path / "journal.db"
    async with proof_bench(path, events=300) as bench:
        for number in range(40):
            await bench.journal.append([said(f"secret-{number}", text=f"{SECRET}-{number}." + "x" * 3000)])
    custody = handle(clock=ManualClock())
    for attempt in range(8):
        wanted = [f"secret-{attempt * 5 + one}" for one in range(5)]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.lago.proof.redactor", str(path), *wanted], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        await asyncio.sleep(chance.random() * 0.06)  # any moment will do
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        async with SqliteJournal.open(path, clock=ManualClock(), verify=True) as journal:
            await resume_redactions(journal, keys_of(custody))
            assert await find_redactions(journal, pending_only=True) == []
            await journal.verify()
            for name in wanted:
                record = await journal.get(name)
                assert record is not None
                text = SECRET + name.removeprefix("secret")
                assert (read_stub(record.payload) is None) == (text.encode() in record.payload)
                if read_stub(record.payload) is not None:
                    assert holds(path, text + ".") == []
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        page = await journal.read(EventQuery(*MAIN), limit=1000)
        assert len(page) >= 340
