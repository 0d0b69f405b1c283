"""Rotating a key that an oracle holds: with its policy's leave, and kill −9 at every step on either side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from life.anima.chain import RotationLink
from life.anima.custody.remote import CapabilityFile, Offer
from life.anima.custody.remote_app import RemoteCustodyApp
from life.anima.custody.remote_proofs import issue_permit
from life.anima.custody.soma.client import SocketChannel, SomaCustody
from life.anima.custody.soma.protocol import RotationStep, SignPrepared
from life.anima.errors import (
    CustodyInputError,
    CustodyProtocolError,
    IdentityMismatchError,
    KeyNotFoundError,
    PolicyDeniedError,
    StaleHandleError,
)
from life.host.clock import SystemClock, SystemEntropy
from tests.anima.custody.soma.oracle import ALL, Oracle, rule, running_oracle, write_policy
from tests.anima.custody.test_remote import served
from tests.host.custody_kit import Project
from tests.host.test_custody_migration import killed_after

ROTATING = {"operations": [*ALL, "rotate"], "statements": ["*"]}


@pytest.fixture
async def oracle(tmp_path: Path) -> AsyncIterator[Oracle]:
    """A somad that lets this user rotate alice."""
    async with running_oracle(tmp_path / "soma", clock=SystemClock(), allow=[rule(**ROTATING)]) as found:
        yield found


@pytest.fixture
def project(tmp_path: Path, oracle: Oracle) -> Project:
    """An identity at that oracle."""
    return Project(tmp_path / ".life", backend="soma", soma={"socket": str(oracle.socket), "agent": "alice"})


async def test_a_key_is_rotated_where_it_lies(project: Project, oracle: Oracle) -> None:
    """A new DID, the same wallet; handles of the old key are stale or refused, and another project learns the whole chain."""
    before = await project.proven()
    old = await SomaCustody.open(oracle.socket, "alice", clock=SystemClock(), did=before.did)
    rotation = await project.rotated()
    after = await project.proven()
    assert (rotation.link.old_did, rotation.link.new_did) == (before.did, after.did)
    assert (after.wallet, after.soul_hash, after.custody) == (before.wallet, before.soul_hash, "soma")
    with pytest.raises((StaleHandleError, CustodyProtocolError)):
        await old.sign_token({})
    await old.close()
    assert (await project.rotated()).link.old_did == after.did
    elsewhere = Project(project.root.with_name("elsewhere"), **project.custody)
    assert len((await elsewhere.proven()).rotations) == 2


async def test_remote_rotates_too(tmp_path: Path) -> None:
    """With a permit that covers it, and a rule that allows it."""
    file = CapabilityFile(tmp_path / "caller" / "capability.json")
    did = file.make(SystemEntropy())
    far = rule(did=did, **ROTATING)
    async with running_oracle(tmp_path / "soma", clock=SystemClock(), allow=[far]) as oracle:
        handle = await oracle.store.oracle()
        permit = issue_permit(
            handle,
            caller_did=did,
            agent="alice",
            operations=(*ALL, "rotate"),
            lifetime_s=600,
            clock=SystemClock(),
            entropy=SystemEntropy(),
        )
        file.accept(Offer(oracle=handle.capabilities().did or "", agent="alice", permit=permit))
        app = RemoteCustodyApp(oracle.service, handle, clock=SystemClock(), entropy=SystemEntropy())
        async with served(app) as port:
            table = {"url": f"http://127.0.0.1:{port}", "capability_file": str(file.path)}
            project = Project(tmp_path / ".life", backend="remote", remote=table)
            before = await project.proven()
            await project.rotated()
            assert (await project.proven()).did != before.did


async def test_without_leave_nothing_is_rotated(project: Project, oracle: Oracle) -> None:
    """No rule for it, or none for the proof: refused, and the old key is the valid one."""
    before = await project.proven()
    write_policy(oracle.policy_file, allow=[rule()])
    with pytest.raises(PolicyDeniedError, match="rotate"):
        await project.rotated()
    write_policy(oracle.policy_file, allow=[rule(operations=[*ALL, "rotate"])])
    with pytest.raises(PolicyDeniedError, match="rotation_proof"):
        await project.rotated()
    assert await project.proven() == before
    write_policy(oracle.policy_file, allow=[rule(**ROTATING)])
    await project.rotated()
    write_policy(oracle.policy_file, allow=[rule()])
    assert (await project.proven()).did != before.did


async def test_the_oracle_believes_no_chain_without_proofs(project: Project, oracle: Oracle) -> None:
    """A made-up chain, an empty one, no chain, a key that nobody prepared: nothing is switched, and the prepared key signs
    nothing but its acceptance."""
    before = await project.proven()
    channel = SocketChannel(oracle.socket)
    with pytest.raises(KeyNotFoundError):
        await channel.ask(SignPrepared(agent="alice", claims={"type": "anima.rotation_acceptance"}))
    facts = (await channel.ask(RotationStep(agent="alice", step="prepare"))).agents or ()
    refused: tuple[dict[str, object], ...] = ({}, {"type": "anima.identity_revocation"}, {"sub": "x"})
    for claims in refused:
        with pytest.raises(PolicyDeniedError):
            await channel.ask(SignPrepared(agent="alice", claims=claims))
    false = RotationLink(
        old_did=before.did,
        new_did=facts[0].did,
        rotation_proof_jws="a.b.c",
        new_key_proof="a.b.c",
        rotated_at="2026-01-01T00:00:00.000000Z",
    )
    for links in ("", "[]", "{}", msgspec.json.encode((false,)).decode()):
        with pytest.raises((CustodyInputError, IdentityMismatchError)):
            await channel.ask(RotationStep(agent="alice", step="commit", links=links))
    await channel.ask(RotationStep(agent="alice", step="discard"))
    assert not (await channel.ask(RotationStep(agent="alice", step="prepared"))).agents
    await channel.close()
    assert await project.proven() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "is_rotated"),
    [
        ("life.anima.custody.oracle_rotation:OracleRotator.prepare", False),
        ("life.anima.rotation:_prove", False),
        ("life.anima.rotation:_append", True),
        ("life.anima.soul_rotation:SoulFileRotator._write", True),
        ("life.anima.custody.oracle_rotation:OracleRotator.commit", True),
    ],
)
async def test_killed_at_every_step(project: Project, step: str, is_rotated: bool) -> None:
    """Opened afterwards there is exactly one valid key, and the next rotation works."""
    before = await project.proven()
    await killed_after(project, "rotate", step)
    between = await project.proven()
    assert (between.did == before.did) is not is_rotated
    assert between.wallet == before.wallet
    await project.rotated()
    assert len((await project.proven()).rotations) == 1 + is_rotated
