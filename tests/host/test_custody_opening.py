"""Choosing a backend: made, opened and paid with on each, through the settings a person writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from life.aios.ports.custody import TransferAuthorization
from life.anima.custody.remote import CapabilityFile, Offer
from life.anima.custody.remote_app import RemoteCustodyApp
from life.anima.custody.remote_proofs import issue_permit
from life.anima.custody.soma.protocol import Provision
from life.anima.custody.vault_client import auth_key_name
from life.anima.errors import (
    CustodyAuthFailedError,
    CustodyUnavailableError,
    IdentityMismatchError,
    KeyNotFoundError,
    PolicyDeniedError,
)
from life.host.clock import SystemClock, SystemEntropy
from life.host.custody_opening import backend_of, ensure_identity, open_custody
from life.host.custody_settings import CustodySettings, SomaCustodySettings
from life.host.errors import SettingsError
from life.host.settings import Settings, load_settings
from life.host.system import open_system
from tests.anima.custody.requests import payment
from tests.anima.custody.soma.oracle import ALL, rule, running_oracle
from tests.anima.custody.test_remote import served
from tests.harness import vault_standin
from tests.harness.softhsm import PIN, SoftHsm, softhsm_token
from tests.harness.vault_standin import VaultStandin
from tests.host.custody_kit import Project


@pytest.fixture
def vault() -> Iterator[VaultStandin]:
    """A stand-in for Vault with alice's key."""
    with VaultStandin() as server:
        server.make_key(auth_key_name("alice"))
        yield server


@pytest.fixture
def softhsm(tmp_path: Path) -> Iterator[SoftHsm]:
    """A SoftHSM token without keys."""
    with softhsm_token(tmp_path) as token:
        yield token


def private(path: Path, text: str) -> str:
    """A file of mode 0600; its path."""
    path.touch(mode=0o600)
    path.write_text(text + "\n")
    return str(path)


def vault_table(server: VaultStandin, folder: Path) -> dict[str, object]:
    """[custody.vault]"""
    token = private(folder / "vault-token", vault_standin.ROOT_TOKEN)
    return {"address": server.address, "user_id": "alice", "token_file": token, "rotate_token_file": token}


def tpm_table(token: SoftHsm, folder: Path, **members: object) -> dict[str, object]:
    """[custody.tpm]"""
    return {
        "module": str(token.module),
        "token_label": token.label,
        "pin_file": private(folder / "pin", PIN),
        **members,
    }


async def test_vault_with_a_wallet_of_this_process(tmp_path: Path, vault: VaultStandin) -> None:
    """The identity key in Vault, the wallet in wallet.enc: made once, opened again, and no seed.enc anywhere."""
    project = Project(
        tmp_path / ".life", backend="vault", wallet_backend="in_process", vault=vault_table(vault, tmp_path)
    )
    made = await project.proven()
    assert made == await project.proven()
    assert made.custody == "vault"
    assert sorted(path.name for path in project.folder.iterdir() if not path.name.startswith(".")) == [
        "soul.json",
        "wallet.enc",
    ]
    assert b"seed_file" not in (project.folder / "soul.json").read_bytes()
    async with project.opened() as (_, custody):
        assert custody.capabilities().backend == "vault"
    (project.folder / "wallet.enc").unlink()
    with pytest.raises(KeyNotFoundError, match="wallet file"):
        await project.proven()


@pytest.mark.part("softhsm")
async def test_a_token_with_both_keys_or_one(tmp_path: Path, softhsm: SoftHsm) -> None:
    """Both keys on the token by one table; or the wallet beside it."""
    table = tpm_table(softhsm, tmp_path, wallet_label="wallet")
    both = Project(tmp_path / "both", backend="tpm", tpm=table)
    assert (await both.proven()) == await both.proven()
    half = Project(
        tmp_path / "half", backend="tpm", wallet_backend="in_process", tpm={**table, "label": "x", "wallet_label": ""}
    )
    assert (await half.proven()).did != both.identity.did
    wrong = Project(tmp_path / "wrong", backend="tpm", tpm={**table, "pin_file": private(tmp_path / "bad", "0000")})
    with pytest.raises(CustodyAuthFailedError):
        await wrong.proven()
    assert not (wrong.folder / "soul.json").exists()


async def test_soma_brings_the_soul_that_it_keeps(tmp_path: Path) -> None:
    """soul.json is made of what the oracle holds, so the limits there are the limits here; gone, it is a clear error."""
    provision = Provision(agent="alice", name="Alice", max_per_tx_micro=777)
    async with running_oracle(tmp_path / "soma", clock=SystemClock(), provision=provision) as oracle:
        project = Project(tmp_path / ".life", backend="soma", soma={"socket": str(oracle.socket), "agent": "alice"})
        made = await project.proven()
        assert (made.name, made.custody) == ("Alice", "soma")
        assert made.soul.values.economic_limits.max_spend_per_tx_micro_credits == 777
        async with project.opened() as (_, custody):
            with pytest.raises(PolicyDeniedError, match="per_tx"):
                await custody.sign_authorization(payment_now(custody, 778))
        await oracle.store.provision(Provision(agent="bob"))
        project.custody["soma"]["agent"] = "bob"
        with pytest.raises(PolicyDeniedError):
            await project.proven()
    project.custody["soma"]["agent"] = "alice"
    with pytest.raises(CustodyUnavailableError):
        await project.proven()


def payment_now(custody: object, value: int) -> TransferAuthorization:
    """A payment that is valid now."""
    now_s = SystemClock().now_us() // 1_000_000
    asked = payment(custody, value_atomic=value, valid_after_s=0, valid_before_s=now_s + 60)  # type: ignore[arg-type]
    return asked._replace(reservation_id="res-1")


async def test_remote(tmp_path: Path) -> None:
    """The same keys, over HTTP with a permit."""
    file = CapabilityFile(tmp_path / "caller" / "capability.json")
    did = file.make(SystemEntropy())
    async with running_oracle(tmp_path / "soma", clock=SystemClock(), allow=[rule(did=did)]) as oracle:
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
            table = {"url": f"http://127.0.0.1:{port}", "capability_file": str(file.path)}
            project = Project(tmp_path / ".life", backend="remote", remote=table)
            assert (await project.proven()).custody == "remote"


async def test_a_daemon_runs_on_the_chosen_backend(tmp_path: Path) -> None:
    """`life up` on soma: what the agent signs is signed by the oracle, and is in the journal's custody stream."""
    async with running_oracle(tmp_path / "soma", clock=SystemClock()) as oracle:
        soma = SomaCustodySettings(socket=str(oracle.socket), agent="alice")
        settings = Settings(custody=CustodySettings(backend="soma", soma=soma))
        async with open_system(tmp_path / ".life", settings=settings, environment={}) as system:
            assert system.identity_is_new
            assert system.custody.capabilities().backend == "soma"
            assert await system.custody.sign_token({})
        async with open_system(tmp_path / ".life", settings=settings, environment={}) as system:
            assert not system.identity_is_new


async def test_nothing_stands_in_for_another_backend(tmp_path: Path, vault: VaultStandin) -> None:
    """Settings and soul.json must agree, the keys must be the identity's, and a wallet must be somebody's."""
    project = Project(
        tmp_path / ".life", backend="vault", wallet_backend="in_process", vault=vault_table(vault, tmp_path)
    )
    identity = await project.proven()
    project.custody["backend"] = "in_process"
    with pytest.raises(SettingsError, match="held by vault"):
        await project.proven()
    project.custody["backend"] = ""
    assert (await project.proven()).did == identity.did
    other = Project(
        tmp_path / "other", backend="vault", wallet_backend="in_process", vault=vault_table(vault, tmp_path)
    )
    await other.proven()
    (other.folder / "wallet.enc").rename(project.folder / "wallet.enc")
    (other.root / "identity.key").rename(project.root / "identity.key")
    with pytest.raises(IdentityMismatchError, match="The wallet"):
        await project.proven()
    project.custody["wallet_backend"] = ""
    with pytest.raises(SettingsError, match="holds no wallet"):
        await project.proven()


@pytest.mark.parametrize(
    ("custody", "named"),
    [
        ({"backend": "tpm"}, "custody.wallet_backend"),
        ({"backend": "tpm", "wallet_backend": "in_process"}, "custody.tpm.module"),
        ({"backend": "tpm", "wallet_backend": "in_process", "tpm": {"module": "/x"}}, "custody.tpm.token_label"),
        (
            {"backend": "tpm", "wallet_backend": "in_process", "tpm": {"module": "/x", "token_label": "x"}},
            "custody.tpm.pin_file",
        ),
        ({"backend": "vault", "wallet_backend": "tpm"}, "custody.vault.address"),
        (
            {"backend": "vault", "wallet_backend": "tpm", "vault": {"address": "http://127.0.0.1:1"}},
            "custody.vault.user_id",
        ),
        ({"backend": "remote"}, "custody.remote.url"),
        ({"backend": "remote", "remote": {"url": "http://127.0.0.1:1"}}, "custody.remote.capability_file"),
        ({"backend": "web_crypto", "wallet_backend": "in_process"}, "no page"),
        ({"wallet_backend": "tpm"}, "wallet_backend empty"),
    ],
)
async def test_what_is_missing_is_named(tmp_path: Path, custody: dict[str, object], named: str) -> None:
    """One sentence with the setting's name, and no identity is made."""
    project = Project(tmp_path / ".life", **custody)
    with pytest.raises(SettingsError) as refusal:
        await ensure_identity(project.context)
    assert named in f"{refusal.value} {refusal.value.next_step}"
    assert not (project.folder / "soul.json").exists()


async def test_in_process_is_what_it_was(tmp_path: Path) -> None:
    """Without any setting an identity is made and opened as before."""
    project = Project(tmp_path / ".life")
    assert (await project.proven()).custody == "in_process"
    assert backend_of(CustodySettings(), project.identity) == "in_process"
    empty = Project(tmp_path / "empty")
    with pytest.raises(Exception, match="no identity"):
        async with open_custody(empty.context):
            pass


def test_custody_settings_come_from_file_and_environment(tmp_path: Path) -> None:
    """Tables below [custody], and LIFE_CUSTODY_… variables for each of them."""
    file = tmp_path / "config.toml"
    file.write_text('[custody]\nbackend = "tpm"\n[custody.tpm]\nmodule = "/m"\ntimeout_s = 5\n')
    settings = load_settings(
        file, {"LIFE_CUSTODY_TPM_TOKEN_LABEL": "anima", "LIFE_CUSTODY_TPM_PIN_FD": "7"}, {"custody.tpm.label": "x"}
    ).custody
    assert (settings.backend, settings.tpm.module, settings.tpm.token_label) == ("tpm", "/m", "anima")
    assert (settings.tpm.pin_fd, settings.tpm.label, settings.tpm.timeout_s) == (7, "x", 5.0)
    for text in ("[custody]\nbackend = 'tpn'\n", "[custody.tpm]\nmodul = 'x'\n", "custody = 1\n"):
        file.write_text(text)
        with pytest.raises(SettingsError):
            load_settings(file, {})
