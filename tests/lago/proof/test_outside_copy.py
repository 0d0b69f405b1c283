"""A copy that was kept elsewhere says where two histories part."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from life.aios.errors import InvalidInputError
from life.aios.ports.journal import EventQuery
from life.aios.record import encode_record
from life.lago.archive.writing import write_archive
from life.lago.errors import CheckpointRefusedError
from life.lago.journal.sqlite import SqliteJournal
from life.lago.proof.checkpoints import read_checkpoints
from life.lago.proof.outside_copy import Compared, compare, read_copy
from life.testing.clock import ManualClock
from tests.anima.material import SEED_B, handle
from tests.lago.proof.bench import MAIN, ProofBench, keys_of, proof_bench, said
from tests.lago.proof.test_checkpoints import as_new


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ProofBench]:
    """Twenty events in each branch, with checkpoints."""
    async with proof_bench(tmp_path / "journal.db") as made:
        await made.checkpointer().take(when_due=False)
        yield made


async def copies(bench: ProofBench, folder: Path) -> list[Path]:
    """The same history as an export, an archive, checkpoint events, and bare tokens."""
    records = await bench.journal.read(EventQuery(), limit=1000)
    export, archive, events, tokens = (folder / name for name in ("export", "archive.zip", "events", "tokens"))
    export.write_bytes(b"".join(encode_record(record) + b"\n" for record in records))
    await write_archive(archive, bench.journal, "s", keys=bench.keys)
    checkpoints = await read_checkpoints(bench.journal)
    events.write_bytes(b"".join(encode_record(record) + b"\n" for record, _ in checkpoints))
    tokens.write_text("\n".join(checkpoint.token for _, checkpoint in checkpoints))
    return [export, archive, events, tokens]


async def test_nothing_parts(bench: ProofBench, tmp_path: Path) -> None:
    """A journal that only grew agrees with every copy of before."""
    files = await copies(bench, tmp_path)
    await bench.journal.append([said("later")])
    for file in files:
        compared = await compare(bench.journal, read_copy(file, keys=bench.keys))
        assert compared.divergences == []
        assert compared.places >= 3
    assert (await compare(bench.journal, read_copy(files[0]))).places == 66


async def test_a_rewritten_branch_parts_where_it_was_changed(bench: ProofBench, tmp_path: Path) -> None:
    """Events name the very place; checkpoints the first that no longer fits. Other branches agree."""
    files = await copies(bench, tmp_path)
    async with SqliteJournal.open(tmp_path / "false.db", clock=ManualClock()) as forged:
        for record in await bench.journal.read(EventQuery(), limit=1000):
            bent = record.payload.replace(b"s/main-6", b"s/main-X") if record.stream == MAIN else record.payload
            await forged.append([as_new(record, bent)])
        for file, place in zip(files, (7, 7, 20, 20), strict=True):
            compared = await compare(forged, read_copy(file, keys=bench.keys))
            (parted,) = compared.divergences
            assert (parted.session_id, parted.branch_id, parted.sequence) == ("s", "main", place)


async def test_a_shorter_branch(bench: ProofBench, tmp_path: Path) -> None:
    """What the copy has and the journal no longer has."""
    export = (await copies(bench, tmp_path))[0]
    async with SqliteJournal.open(tmp_path / "short.db", clock=ManualClock()) as short:
        for record in await bench.journal.read(EventQuery(), limit=1000):
            if record.stream != MAIN or record.sequence <= 15:
                await short.append([as_new(record, record.payload)])
        (parted,) = (await compare(short, read_copy(export))).divergences
        assert parted.sequence == 16
        assert "ends at 15" in parted.message


async def test_a_copy_that_is_none(bench: ProofBench, tmp_path: Path) -> None:
    """Something else, a forged checkpoint, and nothing at all."""
    file = tmp_path / "copy"
    for content in (b"what?\n", b'{"session_id":"s"}\n', b"[]\n"):
        file.write_bytes(content)
        with pytest.raises(InvalidInputError, match="line 1"):
            await compare(bench.journal, read_copy(file))
    token = (await read_checkpoints(bench.journal))[0][1].token
    file.write_text(token[:-6] + "AAAAAA")
    with pytest.raises(CheckpointRefusedError):
        await compare(bench.journal, read_copy(file))
    file.write_text(token)
    with pytest.raises(CheckpointRefusedError, match="is no key of"):
        await compare(bench.journal, read_copy(file, keys=keys_of(handle(SEED_B))))
    file.write_bytes(b"")
    assert await compare(bench.journal, read_copy(file)) == Compared(0, 0, [])
