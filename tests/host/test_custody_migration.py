"""Moving an identity to another backend: the same keys where that is possible, a rotation where it is not, and kill −9 at every
step of either."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from life.aios.errors import ConflictError
from life.anima.custody.remote import CapabilityFile, Offer
from life.anima.custody.remote_app import RemoteCustodyApp
from life.anima.custody.remote_proofs import issue_permit
from life.anima.custody.soma.protocol import Provision
from life.anima.custody.vault_client import auth_key_name
from life.anima.errors import (
    CustodyUnavailableError,
    PolicyDeniedError,
    RotationCoolingError,
    UnsupportedOperationError,
)
from life.anima.genesis import load_state
from life.host.clock import SystemClock, SystemEntropy
from life.host.custody_migration import keeps_keys, migrate_keys, why_not
from life.host.errors import SettingsError
from life.host.rotation_into import MARKER, rotate_into
from tests.anima.custody.soma.oracle import ALL, Oracle, rule, running_oracle, write_policy
from tests.anima.custody.test_remote import served
from tests.harness.softhsm import softhsm_token
from tests.harness.vault_standin import VaultStandin
from tests.host.custody_kit import Project
from tests.host.test_custody_opening import tpm_table, vault_table

ADMIN = {"operations": ["provision", "adopt", "disable", "enable", "list", "grant"]}


@pytest.fixture
async def oracle(tmp_path: Path) -> AsyncIterator[Oracle]:
    """A somad whose agents are alice, whom the tests bring, and one that is there."""
    admin = [{"uid": os.getuid(), **ADMIN}]
    provision = Provision(agent="resident")
    async with running_oracle(
        tmp_path / "soma", clock=SystemClock(), provision=provision, admin=admin, allow=[rule(agents=["*"])]
    ) as found:
        yield found


@pytest.fixture
def project(tmp_path: Path, oracle: Oracle) -> Project:
    """An identity in process, with the way to somad in its settings."""
    return Project(tmp_path / ".life", soma={"socket": str(oracle.socket), "agent": "alice"})


async def killed_after(project: Project, target: str, step: str) -> None:
    """A migration by a process of its own, which died after a step."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.host.migration_process",
        str(project.root),
        json.dumps(project.custody),
        target,
        step,
        stderr=asyncio.subprocess.PIPE,
    )
    _, problems = await process.communicate()
    assert process.returncode == -signal.SIGKILL, problems.decode()


async def backend_in_journal(project: Project) -> str:
    """Where the journal says the keys are."""
    async with project.journal() as journal:
        return (await load_state(journal, project.identity.agent_id)).custody_backend


async def migrated(project: Project, target: Any) -> Any:
    """`migrate_keys` on the project's journal."""
    async with project.journal() as journal:
        return await migrate_keys(journal, project.context, target)


async def rotated_into(project: Project, target: Any, cool_down_s: int = 0) -> Any:
    """`rotate_into` on the project's journal."""
    async with project.journal() as journal:
        return await rotate_into(journal, project.context, target, cool_down_s=cool_down_s)


async def test_from_this_process_to_somad(project: Project, oracle: Oracle) -> None:
    """DID and wallet stay, the journal has the attested move once, the seed is gone here, and the oracle signs."""
    before = await project.proven()
    moved = await migrated(project, "soma")
    assert (moved.keys, moved.did, moved.resumed) == ("unchanged", before.did, False)
    after = await project.proven()
    assert (after.did, after.wallet, after.soul_hash) == (before.did, before.wallet, before.soul_hash)
    assert after.custody == "soma"
    assert not (project.folder / "seed.enc").exists()
    assert await backend_in_journal(project) == "soma"
    assert (await migrated(project, "soma")).resumed
    async with project.opened() as (_, custody):
        assert custody.capabilities().backend == "soma"


@pytest.mark.slow
@pytest.mark.parametrize(
    "step",
    [
        "life.host.custody_migration:_bring_to_soma",
        "life.host.custody_migration:_check_same",
        "life.lago.journal.sqlite:SqliteJournal.append",
        "life.host.custody_migration:_append",
        "life.host.custody_migration:switch_soul",
        "life.host.custody_migration:delete_seeds",
    ],
)
async def test_killed_at_every_step_of_a_move(project: Project, oracle: Oracle, step: str) -> None:
    """At every moment the identity opens, on one backend, with the same keys; the same command finishes it."""
    before = await project.proven()
    await killed_after(project, "soma", step)
    between = await project.proven()
    assert (between.did, between.wallet) == (before.did, before.wallet)
    moved = await migrated(project, "soma")
    assert (moved.did, moved.wallet) == (before.did, before.wallet.address)
    assert (await project.proven()).custody == "soma"
    assert await backend_in_journal(project) == "soma"
    assert not (project.folder / "seed.enc").exists()


async def test_between_soma_and_remote_only_the_way_changes(project: Project, oracle: Oracle, tmp_path: Path) -> None:
    """soma → remote → soma: three events, one pair of keys."""
    before = await project.proven()
    await migrated(project, "soma")
    file = CapabilityFile(tmp_path / "caller" / "capability.json")
    did = file.make(SystemEntropy())
    write_policy(oracle.policy_file, allow=[rule(agents=["*"]), rule(did=did)])
    handle = await oracle.store.oracle()
    permit = issue_permit(
        handle,
        caller_did=did,
        agent="alice",
        operations=ALL,
        lifetime_s=600,
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )
    file.accept(Offer(oracle=handle.capabilities().did or "", agent="alice", permit=permit))
    app = RemoteCustodyApp(oracle.service, handle, clock=SystemClock(), entropy=SystemEntropy())
    async with served(app) as port:
        project.custody["remote"] = {"url": f"http://127.0.0.1:{port}", "capability_file": str(file.path)}
        await migrated(project, "remote")
        there = await project.proven()
        assert (there.custody, there.did, there.wallet) == ("remote", before.did, before.wallet)
        await migrated(project, "soma")
    assert (await project.proven()).did == before.did
    assert await backend_in_journal(project) == "soma"


async def test_a_move_that_is_refused_changes_nothing(project: Project, oracle: Oracle) -> None:
    """No administrator, other keys under the name, an oracle that is gone: the identity is what it was."""
    before = await project.proven()
    seed = (project.folder / "seed.enc").read_bytes()
    write_policy(oracle.policy_file, allow=[rule(agents=["*"])])
    with pytest.raises(PolicyDeniedError, match="adopt"):
        await migrated(project, "soma")
    project.custody["soma"]["socket"] += ".none"
    with pytest.raises(CustodyUnavailableError):
        await migrated(project, "soma")
    with pytest.raises(UnsupportedOperationError, match="made inside"):
        await migrated(project, "vault")
    assert await project.proven() == before
    assert (project.folder / "seed.enc").read_bytes() == seed
    assert await backend_in_journal(project) == "in_process"


async def test_other_keys_under_the_name_are_left_alone(project: Project, oracle: Oracle) -> None:
    """An agent that the oracle has is not overwritten."""
    write_policy(oracle.policy_file, allow=[rule(agents=["*"])], admin=[{"uid": os.getuid(), **ADMIN}])
    await project.proven()
    project.custody["soma"]["agent"] = "resident"
    with pytest.raises(ConflictError, match="other keys"):
        await migrated(project, "soma")
    assert (await project.proven()).custody == "in_process"


def test_every_pair_has_its_reason() -> None:
    """What can't move is told why, in one sentence."""
    backends = ("in_process", "tpm", "vault", "soma", "remote", "web_crypto")
    moves = {(a, b) for a in backends for b in backends if keeps_keys(a, b)}
    assert moves == {("in_process", "soma"), ("soma", "remote"), ("remote", "soma")}
    assert all(why_not(a, b).endswith(".") for a in backends for b in backends if (a, b) not in moves)


@pytest.fixture
def vault_project(tmp_path: Path) -> Any:
    """An identity in process, with the way to a Vault (a stand-in) in its settings."""
    with VaultStandin() as server:
        server.make_key(auth_key_name("alice"))
        yield Project(tmp_path / ".life", wallet_backend="in_process", vault=vault_table(server, tmp_path))


async def test_rotated_into_vault(vault_project: Project) -> None:
    """The old key proves the new one in Vault, the wallet goes on, the old seed is gone, and a later rotation is Vault's."""
    before = await vault_project.proven()
    moved = await rotated_into(vault_project, "vault")
    after = await vault_project.proven()
    assert (moved.keys, moved.did) == ("rotated", after.did)
    assert after.did != before.did
    assert (after.wallet, after.agent_id, after.soul_hash) == (before.wallet, before.agent_id, before.soul_hash)
    assert after.custody == "vault"
    assert [link.old_did for link in after.rotations] == [before.did]
    assert not (vault_project.folder / "seed.enc").exists()
    assert not (vault_project.folder / MARKER).exists()
    with pytest.raises(SettingsError, match="already"):
        await rotated_into(vault_project, "vault")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "is_rotated"),
    [
        ("life.host.rotation_into:IntoBackendRotator._opened", False),
        ("life.host.rotation_into:IntoBackendRotator.prepare", False),
        ("life.anima.rotation:_prove", False),
        ("life.anima.rotation:_append", True),
        ("life.host.rotation_into:take_wallet_of", True),
        ("life.host.rotation_into:switch_soul", True),
        ("life.host.rotation_into:delete_seeds", True),
        ("life.host.rotation_into:IntoBackendRotator.commit", True),
    ],
)
async def test_killed_at_every_step_of_a_rotation_into_vault(
    vault_project: Project, step: str, is_rotated: bool
) -> None:
    """Opened afterwards, the identity has exactly one valid key: the old one before the journal has it, the new one after."""
    before = await vault_project.proven()
    await killed_after(vault_project, "vault", step)
    between = await vault_project.proven()
    assert between.custody == ("vault" if is_rotated else "in_process")
    assert (between.did == before.did) is not is_rotated
    assert between.wallet == before.wallet
    assert not (vault_project.folder / MARKER).exists()
    assert (vault_project.folder / "seed.enc").exists() is not is_rotated
    if not is_rotated:
        await rotated_into(vault_project, "vault")
    assert (await vault_project.proven()).custody == "vault"


async def test_a_rotation_that_is_refused_changes_nothing(vault_project: Project) -> None:
    """A wallet that nobody would hold, a target without keys of its own, a rotation too soon, a server that is gone."""
    before = await vault_project.proven()
    vault_project.custody["wallet_backend"] = ""
    with pytest.raises(SettingsError, match="wallet"):
        await rotated_into(vault_project, "vault")
    vault_project.custody["wallet_backend"] = "in_process"
    with pytest.raises(UnsupportedOperationError):
        await rotated_into(vault_project, "soma")
    address = vault_project.custody["vault"]["address"]
    vault_project.custody["vault"]["address"] = "http://127.0.0.1:9"
    with pytest.raises(CustodyUnavailableError):
        await rotated_into(vault_project, "vault")
    assert await vault_project.proven() == before
    vault_project.custody["vault"]["address"] = address
    await rotated_into(vault_project, "vault")
    vault_project.custody["tpm"] = {"module": "/none"}
    with pytest.raises(RotationCoolingError):
        await rotated_into(vault_project, "tpm", cool_down_s=3600)
    with pytest.raises(SettingsError, match="token_label"):
        await rotated_into(vault_project, "tpm")
    assert (await vault_project.proven()).custody == "vault"


@pytest.mark.part("softhsm")
async def test_from_vault_into_a_token(vault_project: Project, tmp_path: Path) -> None:
    """The wallet stays where it is; a second rotation follows the first in the chain."""
    with softhsm_token(tmp_path) as token:
        before = await vault_project.proven()
        await rotated_into(vault_project, "vault")
        vault_project.custody["tpm"] = tpm_table(token, tmp_path)
        with pytest.raises(RotationCoolingError):
            await rotated_into(vault_project, "tpm", cool_down_s=3600)
        assert (await vault_project.proven()).custody == "vault"
        await rotated_into(vault_project, "tpm")
        after = await vault_project.proven()
        assert (after.custody, after.wallet, len(after.rotations)) == ("tpm", before.wallet, 2)
