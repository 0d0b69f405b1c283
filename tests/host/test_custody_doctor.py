"""The doctor on backends that are well, and on backends that are not: one sentence, one next step, nothing made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from life.anima.custody.remote import CapabilityFile, Offer
from life.anima.custody.remote_app import RemoteCustodyApp
from life.anima.custody.remote_proofs import issue_permit
from life.anima.custody.vault_client import auth_key_name
from life.anima.revoking import revoke_identity
from life.host.clock import SystemClock, SystemEntropy
from life.host.custody_doctor import Finding, examine
from life.host.custody_opening import open_custody
from life.host.rotation_into import MARKER
from tests.anima.custody.soma.oracle import ALL, rule, running_oracle, write_policy
from tests.anima.custody.test_remote import served
from tests.harness.softhsm import softhsm_token
from tests.harness.vault_standin import VaultStandin
from tests.host.custody_kit import Project
from tests.host.test_custody_opening import private, tpm_table, vault_table


async def findings(project: Project) -> dict[str, Finding]:
    """Every finding by its check."""
    async with project.journal() as journal:
        return {finding.check: finding async for finding in examine(project.context, journal)}


async def failure(project: Project) -> Finding:
    """The one thing that is wrong."""
    failed = [finding for finding in (await findings(project)).values() if finding.result == "failed"]
    assert len(failed) == 1
    assert failed[0].says.endswith(".")
    return failed[0]


async def is_well(project: Project) -> None:
    """Nothing is wrong, and key and wallet were tried."""
    found = await findings(project)
    assert {finding.result for finding in found.values()} == {"ok"}, found
    assert {"open", "token", "wallet", "journal"} <= found.keys()


async def test_soma(tmp_path: Path) -> None:
    """Well; then a rule that is gone, a rule without messages, a daemon that is gone."""
    async with running_oracle(tmp_path / "soma", clock=SystemClock()) as oracle:
        project = Project(tmp_path / ".life", backend="soma", soma={"socket": str(oracle.socket), "agent": "alice"})
        await project.proven()
        await is_well(project)
        write_policy(oracle.policy_file, allow=[rule(operations=["sign_token", "sign_authorization"])])
        assert (await findings(project))["wallet"].result == "warning"
        write_policy(oracle.policy_file, allow=[])
        assert (await failure(project)).code == "custody.policy_denied"
        oracle.socket.chmod(0o666)
        assert (await failure(project)).code == "custody.insecure_file"
    gone = await failure(project)
    assert (gone.check, gone.code) == ("open", "custody.unavailable")
    assert gone.next_step == f"Start it: somad --socket {oracle.socket}"


async def test_remote(tmp_path: Path) -> None:
    """Well, with the permit's time; then a permit that ends soon, and an oracle that is gone."""
    file = CapabilityFile(tmp_path / "caller" / "capability.json")
    did = file.make(SystemEntropy())
    async with running_oracle(tmp_path / "soma", clock=SystemClock(), allow=[rule(did=did)]) as oracle:
        handle = await oracle.store.oracle()
        permit = issue_permit(
            handle,
            caller_did=did,
            agent="alice",
            operations=ALL,
            lifetime_s=7 * 86_400,
            clock=SystemClock(),
            entropy=SystemEntropy(),
        )
        file.accept(Offer(oracle=handle.capabilities().did or "", agent="alice", permit=permit))
        app = RemoteCustodyApp(oracle.service, handle, clock=SystemClock(), entropy=SystemEntropy())
        async with served(app) as port:
            table = {"url": f"http://127.0.0.1:{port}", "capability_file": str(file.path)}
            project = Project(tmp_path / ".life", backend="remote", remote=table)
            await project.proven()
            await is_well(project)
            assert "renewed" in (await findings(project))["permit"].says
    assert (await failure(project)).code == "custody.unavailable"


async def test_vault(tmp_path: Path) -> None:
    """Well; then sealed, a token that is refused, a credential file that others may read."""
    with VaultStandin() as server:
        server.make_key(auth_key_name("alice"))
        table = vault_table(server, tmp_path)
        project = Project(tmp_path / ".life", backend="vault", wallet_backend="in_process", vault=table)
        await project.proven()
        await is_well(project)
        server.sealed = True
        assert (await failure(project)).code == "custody.sealed"
        server.sealed = False
        project.custody["vault"]["token_file"] = private(tmp_path / "bad-token", "s.nobody")
        assert (await failure(project)).code == "custody.auth_failed"
        os.chmod(tmp_path / "vault-token", 0o644)
        project.custody["vault"]["token_file"] = str(tmp_path / "vault-token")
        assert (await failure(project)).code == "custody.insecure_file"


@pytest.mark.part("softhsm")
async def test_a_token(tmp_path: Path) -> None:
    """Well; then taken out, and a wrong PIN."""
    with softhsm_token(tmp_path) as token:
        project = Project(tmp_path / ".life", backend="tpm", tpm=tpm_table(token, tmp_path, wallet_label="wallet"))
        await project.proven()
        await is_well(project)
        project.custody["tpm"]["pin_file"] = private(tmp_path / "bad", "0000")
        assert (await failure(project)).code == "custody.auth_failed"
        project.custody["tpm"]["pin_file"] = str(tmp_path / "pin")
        project.custody["tpm"]["token_label"] = "another"
        assert (await failure(project)).code == "custody.token_removed"


async def test_what_lies_about_and_what_the_journal_says(tmp_path: Path) -> None:
    """A rotation that was begun, a changed soul.json, and an identity that is revoked."""
    project = Project(tmp_path / ".life")
    await project.proven()
    await is_well(project)
    (project.folder / MARKER).write_text('{"to":"vault","did":"did:key:z"}')
    assert (await findings(project))["folder"].result == "warning"
    (project.folder / MARKER).unlink()
    async with project.journal() as journal:
        identity = project.identity
        async with open_custody(project.context, identity=identity) as custody:
            await revoke_identity(
                journal, custody, agent_id=identity.agent_id, reason="compromised", clock=SystemClock()
            )
    assert "revoked" in (await failure(project)).says
    soul = project.folder / "soul.json"
    soul.write_text(soul.read_text().replace("life-agent", "fake-agent", 1))
    assert (await failure(project)).check == "identity"
