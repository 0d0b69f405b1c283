"""`life identity rotate`, `revoke`, `verify`, `attest` and `show` as a user runs them."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner, Result

from life.anima.document import build_document, sign_document
from life.anima.report import IdentityReport
from life.cli.identity import new, show, token
from life.cli.identity_keys import revoke, rotate
from life.cli.identity_opening import opened_identity, state_of
from life.cli.identity_trust import attest, verify
from life.host.clock import SystemClock
from life.host.data_directory import DataDirectory


class Project:
    """A project's folder and its commands."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / ".life"
        self.runner = CliRunner(env={"LIFE_KEY_FILE": str(root / "identity.key"), "LIFE_PASSPHRASE": None})

    def run(self, command: click.Command, *words: str) -> Result:
        """Run a command here."""
        return self.runner.invoke(command, ["--data-dir", str(self.data), *words])

    def json(self, command: click.Command, *words: str, code: int = 0) -> dict[str, Any]:
        """Run a command with --json."""
        result = self.run(command, *words, "--json")
        assert result.exit_code == code, result.output
        facts: dict[str, Any] = json.loads(result.stdout)
        return facts


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with an identity."""
    made = Project(tmp_path)
    monkeypatch.setenv("LIFE_KEY_FILE", str(tmp_path / "identity.key"))
    monkeypatch.delenv("LIFE_PASSPHRASE", raising=False)
    assert made.run(new, "--name", "scout").exit_code == 0
    return made


def test_the_rotation_story(project: Project) -> None:
    """The DID changes, the wallet and the agent stay; the chain is shown, and a second rotation has to wait."""
    before = project.json(show)
    early = project.run(token, "--audience", "svc").stdout.strip()
    rotation = project.json(rotate)
    after = project.json(show)
    assert (rotation["old_did"], rotation["new_did"]) == (before["did"], after["did"])
    assert (after["agent_id"], after["wallet"], after["root_did"]) == (
        before["agent_id"],
        before["wallet"],
        before["did"],
    )
    assert [link["new_did"] for link in after["chain"]] == [after["did"]]
    again = project.run(rotate)
    assert again.exit_code == 1
    assert "custody" not in again.output and "possible in" in again.output and "anima.rotation_cooling" in again.output
    shown = project.run(show).stdout
    assert after["did"] in shown and "Rotations" in shown and "match the seed" in shown
    time.sleep(1.1)  # token times are whole seconds
    late = project.run(token, "--audience", "svc").stdout.strip()
    assert project.json(verify, late)["key_state"] == "current"
    old = project.runner.invoke(verify, ["--data-dir", str(project.data), "--json", early])
    assert json.loads(old.stdout).get("key_state", json.loads(old.stdout).get("code")) in (
        "superseded_grace",
        "anima.token_refused",  # issued in the very second of the rotation
    )
    assert project.json(rotate, "--force")["new_did"] != after["did"]


def test_show_json_is_the_inspector(project: Project) -> None:
    """It has the type that the page reads, before there is a journal and after."""
    for _ in range(2):
        facts = project.json(show)
        report = msgspec.convert({key: value for key, value in facts.items() if key != "folder"}, IdentityReport)
        assert (report.name, report.security, report.active, report.custody) == (
            "scout",
            "software",
            True,
            "in_process",
        )
        project.run(rotate)


def test_revoking_the_identity(project: Project) -> None:
    """It asks first, cannot be taken back, and ends rotation; tokens and the DID are refused."""
    issued = project.run(token, "--audience", "svc").stdout.strip()
    assert project.json(verify, issued)["valid"] is True
    refused = project.runner.invoke(revoke, ["--data-dir", str(project.data)], input="n\n")
    assert refused.exit_code == 1
    assert "Nothing was revoked" in refused.output
    event = project.json(revoke, "--yes", "--reason", "lost_device")
    assert event["reason"] == "lost_device"
    facts = project.json(show)
    assert (facts["revoked"], facts["active"], facts["lifecycle"]) == (True, False, "revoked")
    assert project.json(verify, issued, code=1)["code"] == "anima.token_refused"
    assert project.json(verify, facts["did"], code=1)["key"] == "revoked"
    result = project.run(rotate)
    assert (result.exit_code, "custody.identity_revoked" in result.output) == (1, True)
    assert "Revoked" in project.run(revoke, "--yes").output


def test_revoking_an_old_key_and_sessions(project: Project) -> None:
    """The identity goes on."""
    old = project.json(show)["did"]
    project.json(rotate)
    project.json(revoke, "--yes", "--did", old)
    project.json(revoke, "--sessions")
    facts = project.json(show)
    assert (facts["revoked"], [item["did"] for item in facts["revocations"]]) == (False, [old])
    assert facts["sessions_not_before_s"] > 0
    stranger = project.run(revoke, "--yes", "--did", "did:key:zDnaeYpu2WigB5WSkeZKMR9Fiye5knQQCee467kQhccbruitW")
    assert (stranger.exit_code, "anima.statement_refused" in stranger.output) == (1, True)


def test_verify_looks_at_many_things(project: Project, tmp_path: Path) -> None:
    """A token, a DID, an attestation, a document; and says plainly what does not hold."""
    facts = project.json(show)
    did = facts["did"]
    assert project.json(verify, did)["key"] == "current"
    issued = project.run(token, "--audience", "svc").stdout.strip()
    for _ in range(2):  # looking does not use it up
        assert project.json(verify, issued, "--audience", "svc")["agent_id"] == facts["agent_id"]
    assert project.json(verify, issued, "--audience", "other", code=1)["code"] == "anima.token_refused"
    statement = project.json(attest, "--subject", did, "--claim", "tested")["attestation"]
    assert project.json(verify, statement)["claim"] == "tested"
    document = tmp_path / "document.json"
    document.write_bytes(asyncio.run(_document(project.data)))
    assert project.json(verify, str(document))["did"] == did
    document.write_bytes(document.read_bytes().replace(b"scout", b"Scout"))
    assert project.json(verify, str(document), code=1)["code"] == "anima.document_refused"
    for wrong in ("did:key:zDnx", "did:web:x", "a.b.c", "nothing-here", issued[:-4]):
        result = project.run(verify, wrong)
        assert result.exit_code == 1
        assert "Error:" in result.output and "Traceback" not in result.output
    assert project.run(verify, "did:key:zDnaeYpu2WigB5WSkeZKMR9Fiye5knQQCee467kQhccbruitW").exit_code == 1


def test_attestations_travel(project: Project, tmp_path: Path) -> None:
    """One project signs, the other keeps it; about somebody else it is not kept."""
    other = Project(tmp_path / "other")
    other.root.mkdir()
    other.run(new, "--name", "issuer")
    subject = project.json(show)["did"]
    evidence = tmp_path / "evidence.txt"
    evidence.write_text("seen")
    signed = other.run(attest, "--subject", subject, "--claim", "audited", "--evidence", str(evidence)).stdout.strip()
    assert "Kept" in project.run(attest, "--record", signed).output
    kept = project.json(show)["attestations"]
    assert [(item["claim"], item["verified"]) for item in kept] == [("audited", True)]
    assert other.run(attest, "--record", signed).exit_code == 1
    assert project.run(attest, "--subject", subject).exit_code == 1
    assert project.run(attest, "--record", "x.y.z").exit_code == 1


def test_a_running_daemon_keeps_its_key(project: Project) -> None:
    """The key of a daemon that runs is not rotated under it; a revocation goes through."""
    with DataDirectory(project.data).lock("arcand"):
        result = project.run(rotate)
        assert (result.exit_code, "Stop it first" in result.output) == (1, True)
        assert project.run(revoke, "--sessions").exit_code == 0
    assert project.run(rotate).exit_code == 0


def test_an_interrupted_rotation_is_finished_by_running_it_again(project: Project) -> None:
    """The command completes what the journal holds instead of making another key."""
    done = project.json(rotate)
    identity = project.data / "identity"
    os.rename(identity / "seed.enc", identity / "seed.next.enc")  # as if killed between soul.json and the seed
    assert project.json(show)["did"] == done["new_did"]
    again = project.json(rotate, "--force")
    assert again["old_did"] == done["new_did"]


def test_without_an_identity_every_command_says_what_to_do(tmp_path: Path) -> None:
    """One sentence and the next step, and nothing is made."""
    empty = Project(tmp_path)
    for command, words in ((rotate, ()), (revoke, ("--yes",)), (show, ()), (attest, ("--record", "x"))):
        result = empty.run(command, *words)
        assert result.exit_code == 1
        assert "Traceback" not in result.output and "Error:" in result.output
    assert not (empty.data / "journal.db").exists()


async def _document(data: Path) -> bytes:
    """What the project's identity would publish."""
    async with opened_identity(data) as opened:
        state, seq = await state_of(opened)
        clock = SystemClock()
        document = build_document(state, at_us=clock.now_us(), published_at_seq=seq)
        return msgspec.json.encode(await sign_document(opened.custody, document, clock=clock))
