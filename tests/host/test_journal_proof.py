"""The history of signing keys, from the events of a real identity: rotated and revoked."""

from __future__ import annotations

from pathlib import Path

import pytest

from life.aios.errors import NotFoundError
from life.aios.ports.custody import Custody
from life.anima.home import open_identity
from life.anima.revoking import revoke_identity
from life.anima.rotation import rotate_identity
from life.anima.seed_rotation import SeedRotator
from life.host.journal_proof import signing_keys
from life.lago.errors import CheckpointRefusedError
from life.lago.proof.checkpoints import Checkpointer, verify_checkpoints
from tests.anima.material import agent_bench, did_of, raw_key
from tests.lago.proof.bench import HOUR_US, said


async def test_a_rotation_and_a_revocation(tmp_path: Path) -> None:
    """Checkpoints of both keys hold, each in its time; the old key's later ones don't, and none since a compromise."""
    agent = await agent_bench(tmp_path / "identity")

    def taker(custody: Custody) -> Checkpointer:
        return Checkpointer(
            agent.journal,
            custody,
            clock=agent.clock,
            entropy=agent.entropy,
            agent_id=agent.agent_id,
        )

    await agent.journal.append([said("one")])
    await taker(agent.custody).take(when_due=False)
    agent.clock.advance_us(2 * HOUR_US)
    rotator = SeedRotator.open(agent.folder, raw_key(), clock=agent.clock, entropy=agent.entropy)
    try:
        await rotate_identity(
            agent.journal, rotator, agent.custody, agent_id=agent.agent_id, clock=agent.clock, cool_down_s=0
        )
    finally:
        await rotator.close()
    new = open_identity(agent.folder, raw_key(), clock=agent.clock).custody
    keys = await signing_keys(agent.journal, agent.agent_id)
    assert [key.did for key in keys.keys] == [did_of(agent.custody), did_of(new)]
    assert keys.fault() is None
    agent.clock.advance_us(2 * HOUR_US)
    await agent.journal.append([said("two")])
    await taker(new).take(when_due=False)
    assert (await verify_checkpoints(agent.journal, keys)).checkpoints >= 3

    await revoke_identity(
        agent.journal, new, agent_id=agent.agent_id, reason="compromised", clock=agent.clock,
        did=did_of(agent.custody), compromised_since_seq=1,
    )  # fmt: skip
    doubtful = await signing_keys(agent.journal, agent.agent_id)
    with pytest.raises(CheckpointRefusedError, match="was revoked"):
        await verify_checkpoints(agent.journal, doubtful)


async def test_an_agent_that_is_not_known(tmp_path: Path) -> None:
    """Says so."""
    agent = await agent_bench(tmp_path / "identity")
    with pytest.raises(NotFoundError):
        await signing_keys(agent.journal, "agent-nobody")
