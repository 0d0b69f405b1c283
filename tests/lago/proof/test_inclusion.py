"""Proofs of one event: short, checked without the journal, and for nothing but that event."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from life.aios.errors import NotFoundError
from life.lago.errors import CheckpointRefusedError, ProofRefusedError
from life.lago.proof.inclusion import check_proof, prove
from life.lago.standalone_verifier import Refused
from life.lago.standalone_verifier import check_proof as check_alone
from tests.anima.material import SEED_B, did_of, handle
from tests.lago.proof.bench import MAIN, ProofBench, keys_of, proof_bench, said


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ProofBench]:
    """Twenty events in each branch, all under a checkpoint, and one that is under none."""
    async with proof_bench(tmp_path / "journal.db") as made:
        await made.checkpointer().take(when_due=False)
        await made.journal.append([said("uncovered")])
        yield made


async def test_every_event_of_a_branch(bench: ProofBench) -> None:
    """Both verifiers accept each proof; it has at most ⌈log2 20⌉ hashes and fits on a page."""
    for number in range(20):
        content = msgspec.json.encode(await prove(bench.journal, f"s/main-{number}"))
        proven = check_proof(content, keys=bench.keys)
        assert (proven.record.sequence, proven.record.stream, proven.redacted) == (number + 1, MAIN, False)
        assert proven.signer == did_of(bench.custody)
        assert len(json.loads(content)["path"]) <= 5
        assert len(content) < 2500
        if number in (0, 19):  # a signature takes it some hundredths of a second
            assert "was there as the proof says" in check_alone(content, did_of(bench.custody))


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("content", lambda proof: proof["record"]["kind"].update(content="other")),
        ("time", lambda proof: proof["record"].update(timestamp="2025-11-20T07:03:00.000001Z")),
        ("agent", lambda proof: proof["record"].update(agent_id="somebody")),
        ("place", lambda proof: proof["record"].update(sequence=7)),
        ("branch", lambda proof: proof["record"].update(branch_id="side")),
        ("digest", lambda proof: proof["record"].update(digest="00" * 32)),
        ("previous", lambda proof: proof.update(previous_digest="00" * 32)),
        ("size", lambda proof: proof.update(size=19)),
        ("path", lambda proof: proof["path"].pop()),
        ("path", lambda proof: proof["path"].reverse()),
        ("path", lambda proof: proof["path"].append("00" * 32)),
        ("token", lambda proof: proof.update(checkpoint=proof["checkpoint"][:-4] + "AAAA")),
        ("type", lambda proof: proof.update(type="life.else")),
    ],
)
async def test_any_change_is_refused(bench: ProofBench, what: str, change: Any) -> None:
    """By both verifiers."""
    proof = json.loads(msgspec.json.encode(await prove(bench.journal, "s/main-4")))
    change(proof)
    content = json.dumps(proof, separators=(",", ":")).encode()
    with pytest.raises((ProofRefusedError, CheckpointRefusedError)):
        check_proof(content, keys=bench.keys)
    with pytest.raises(Refused):
        check_alone(content, None)


async def test_a_strangers_signature(bench: ProofBench) -> None:
    """A proof by a key that is not the agent's counts only for who asks for nobody in particular."""
    content = msgspec.json.encode(await prove(bench.journal, "s/main-4"))
    stranger = handle(SEED_B)
    with pytest.raises(CheckpointRefusedError):
        check_proof(content, keys=keys_of(stranger))
    assert check_proof(content).signer == did_of(bench.custody)
    with pytest.raises(Refused):
        check_alone(content, did_of(stranger))


async def test_what_can_not_be_proven(bench: ProofBench) -> None:
    """An event that is not there, or under no checkpoint yet; and what is no proof."""
    with pytest.raises(NotFoundError):
        await prove(bench.journal, "nothing")
    with pytest.raises(ProofRefusedError, match="No checkpoint covers sequence 21"):
        await prove(bench.journal, "uncovered")
    for content in (b"", b"{}", b"[1]", b'{"type":"life.inclusion_proof"}', b"\xff"):
        with pytest.raises(ProofRefusedError):
            check_proof(content)
