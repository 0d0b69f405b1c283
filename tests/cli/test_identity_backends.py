"""`life identity backends`, `doctor`, `migrate`, `remote-key`, `remote-accept`: what a person types and reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from life.anima.custody.in_process import InProcessAnima
from life.anima.custody.remote import CapabilityFile
from life.anima.custody.remote_proofs import issue_permit
from life.anima.custody.vault_client import auth_key_name
from life.cli.identity import new, show, token
from life.cli.identity_backends import backends, doctor, migrate, remote_accept, remote_key
from life.cli.identity_keys import rotate
from life.host.clock import SystemClock, SystemEntropy
from tests.harness import vault_standin
from tests.harness.vault_standin import VaultStandin


class Shell:
    """A project with a key file, and commands in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {"LIFE_KEY_FILE": str(root / "identity.key"), "LIFE_DATA_DIR": str(root / ".life")}

    def __call__(self, command: Any, *arguments: str, fails: bool = False, **environment: Any) -> Result:
        """Run a command."""
        result = CliRunner().invoke(command, arguments, env={**self.environment, **environment})
        assert (result.exit_code != 0) is fails, f"{result.output}\n{result.exception!r}"
        return result

    def json(self, command: Any, *arguments: str, fails: bool = False, **environment: Any) -> Any:
        """Its JSON."""
        return json.loads(self(command, *arguments, "--json", fails=fails, **environment).stdout)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A project with an identity."""
    found = Shell(tmp_path)
    found(new)
    return found


@pytest.fixture
def vault() -> Iterator[VaultStandin]:
    """A stand-in for Vault with alice's key."""
    with VaultStandin() as server:
        server.make_key(auth_key_name("alice"))
        yield server


def vault_variables(server: VaultStandin, folder: Path) -> dict[str, Any]:
    """The settings in the environment."""
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(vault_standin.ROOT_TOKEN)
    return {
        "LIFE_CUSTODY_VAULT_ADDRESS": server.address,
        "LIFE_CUSTODY_VAULT_USER_ID": "alice",
        "LIFE_CUSTODY_VAULT_TOKEN_FILE": str(token),
        "LIFE_CUSTODY_WALLET_BACKEND": "in_process",
    }


def test_the_table_of_backends(shell: Shell) -> None:
    """All seven, the chosen one marked, what is missing named; the same as JSON."""
    said = shell(backends).output
    for name in ("in_process", "tpm", "vault", "soma", "remote", "hardware_wallet", "web_crypto"):
        assert name in said
    assert "nobody listens at /run" in said
    table = {entry["backend"]: entry for entry in shell.json(backends)["backends"]}
    assert len(table) == 7
    assert [name for name, entry in table.items() if entry["chosen"]] == ["in_process"]
    assert not table["vault"]["wallet"]
    assert not table["hardware_wallet"]["identity_key"]
    assert not table["soma"]["available"]
    assert table["remote"]["available"]


def test_the_doctor_finds_nothing_wrong(shell: Shell) -> None:
    """A healthy identity: every check is ok, exit code 0."""
    report = shell.json(doctor)
    assert report["healthy"]
    assert {finding["result"] for finding in report["findings"]} == {"ok"}
    assert [finding["check"] for finding in report["findings"]] == ["identity", "settings", "open", "token", "wallet"]
    assert "FAILED" not in shell(doctor).output


def test_the_doctor_says_what_is_wrong(shell: Shell, vault: VaultStandin) -> None:
    """One sentence and one next step for each fault, exit code 1; and nothing was made on the way."""
    settings = vault_variables(vault, shell.root)
    assert "held by in_process" in shell(doctor, fails=True, LIFE_CUSTODY_BACKEND="vault", **settings).output
    report = shell.json(doctor, fails=True, LIFE_KEY_FILE=str(shell.root / "none"))
    assert not report["healthy"]
    assert report["findings"][-1]["code"] == "custody.key_not_found"
    assert report["findings"][-1]["next_step"]
    assert not (shell.root / "none").exists()
    empty = shell(doctor, "--data-dir", str(shell.root / "empty"), fails=True).output
    assert "no identity" in empty
    assert not (shell.root / "empty").exists()


def test_moving_to_vault_is_a_rotation(shell: Shell, vault: VaultStandin) -> None:
    """Without --rotate it says why not and what to do; with it the identity is there, and the doctor is content."""
    settings = vault_variables(vault, shell.root)
    before = shell.json(show)
    refused = shell(migrate, "--to", "vault", fails=True, **settings)
    assert "made inside it" in refused.stderr
    assert "--rotate" in refused.stderr
    moved = shell.json(migrate, "--to", "vault", "--rotate", **settings)
    assert (moved["from_backend"], moved["to_backend"], moved["keys"]) == ("in_process", "vault", "rotated")
    assert moved["wallet"] == before["wallet"]["address"]
    report = shell.json(doctor, **settings)
    assert report["healthy"], report
    assert report["findings"][-1]["check"] == "journal"
    assert "are there already" in shell(migrate, "--to", "vault", **settings).output
    table = {entry["backend"]: entry["chosen"] for entry in shell.json(backends, **settings)["backends"]}
    assert (table["vault"], table["in_process"]) == (True, True)
    assert "host.invalid_setting" in shell(migrate, "--to", "tpm", "--rotate", "--force", fails=True, **settings).stderr
    settings["LIFE_CUSTODY_VAULT_ADDRESS"] = "http://127.0.0.1:9"
    failed = shell.json(doctor, fails=True, **settings)["findings"]
    assert [finding["check"] for finding in failed if finding["result"] == "failed"] == ["open"]


def test_what_can_not_be_done_is_said(shell: Shell) -> None:
    """A target that holds no keys for this identity, and settings that are missing."""
    assert "another backend" in shell(migrate, "--to", "web_crypto", fails=True).stderr
    missing = shell(migrate, "--to", "soma", fails=True, LIFE_CUSTODY_SOMA_SOCKET=str(shell.root / "none"))
    assert "no oracle" in missing.stderr


def test_a_key_for_a_remote_oracle(shell: Shell, tmp_path: Path) -> None:
    """Made once with mode 0600; only a permit for it is taken."""
    path = tmp_path / "caller" / "capability.json"
    made = shell.json(remote_key, str(path))
    assert shell(remote_key, str(path)).output.strip() == made["did"]
    assert path.stat().st_mode & 0o777 == 0o600
    for wrong in ("", "{}", "[1]"):
        result = CliRunner().invoke(remote_accept, [str(path)], input=wrong)
        assert result.exit_code == 1
        assert "somad grant" in result.stderr
    offer = _offer(made["did"])
    result = CliRunner().invoke(remote_accept, [str(path)], input=offer)
    assert result.exit_code == 0, result.output
    assert "may now use alice for sign_token" in result.output
    assert CapabilityFile(path).read().agent == "alice"


def _offer(did: str) -> str:
    """What `somad grant` prints."""
    oracle = InProcessAnima.from_seed(bytearray(b"o" * 32), clock=SystemClock())
    permit = issue_permit(
        oracle,
        caller_did=did,
        agent="alice",
        operations=("sign_token",),
        lifetime_s=600,
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )
    return json.dumps({"oracle": oracle.capabilities().did, "agent": "alice", "permit": permit})


def test_a_new_identity_is_made_on_the_chosen_backend(tmp_path: Path, vault: VaultStandin) -> None:
    """`new`, `show`, `token` and `rotate` work where the settings say; the key's home and what to back up are named."""
    shell = Shell(tmp_path)
    settings = {**vault_variables(vault, tmp_path), "LIFE_CUSTODY_BACKEND": "vault"}
    settings["LIFE_CUSTODY_VAULT_ROTATE_TOKEN_FILE"] = settings["LIFE_CUSTODY_VAULT_TOKEN_FILE"]
    made = shell.json(new, "--name", "Vera", **settings)
    assert (made["created"], made["custody"], made["name"]) == (True, "vault", "Vera")
    assert not (tmp_path / ".life" / "identity" / "seed.enc").exists()
    assert not shell.json(new, **settings)["created"]
    said = shell(show, **settings).output
    assert "back up wallet.enc" in said
    assert "match the keys" in said
    assert shell(token, "--audience", "x", **settings).output.count(".") == 2
    rotated = shell.json(rotate, "--force", **settings)
    assert rotated["old_did"] == made["did"]
    assert shell.json(show, **settings)["did"] == rotated["new_did"]
    assert shell.json(doctor, **settings)["healthy"]


def test_the_name_of_an_agent_of_an_oracle_is_given_there(tmp_path: Path) -> None:
    """`new --name` with an oracle's backend is an error, not a name that is forgotten."""
    refused = Shell(tmp_path)(new, "--name", "Vera", fails=True, LIFE_CUSTODY_BACKEND="soma")
    assert "somad provision" in refused.stderr
