"""The commands of proof, backups and blobs, as functions of what is on the disk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from life.aios.ports.journal import EventQuery
from life.cli import backup, blobs, identity, journal, journal_proof
from life.host.clock import SystemClock
from life.host.data_directory import DataDirectory
from life.host.journal_proof import keep_checkpoints, signing_keys
from life.lago.journal.sqlite import SqliteJournal
from life.lago.proof.checkpoints import Checkpointer, CheckpointPolicy, verify_checkpoints
from life.testing.clock import SeededEntropy
from tests.anima.material import agent_bench
from tests.cli.daemon import damage
from tests.lago.proof.bench import said

COMMANDS = click.Group(
    commands={
        "tail": journal.tail, "verify": journal.verify, "stats": journal.stats, "export": journal.export,
        "import": journal.import_, "checkpoint": journal_proof.checkpoint, "prove": journal_proof.prove,
        "check-proof": journal_proof.check_proof, "redact": journal_proof.redact, "archive": journal_proof.archive,
        "verify-archive": journal_proof.verify_archive, "identity-new": identity.new, "blobs-list": blobs.list_,
        "blobs-get": blobs.get, "blobs-put": blobs.put, "blobs-verify": blobs.verify, "blobs-collect": blobs.collect_,
        "backup-create": backup.create, "backup-verify": backup.verify, "backup-restore": backup.restore,
        "backup-list": backup.list_,
    }
)  # fmt: skip


class Shell:
    """Runs commands in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._env = {"LIFE_KEY_FILE": str(folder / "key"), "LIFE_DATA_DIR": str(folder / "life")}

    def run(self, *words: str | Path, **options: Any) -> Result:
        """A command, to its end, without a traceback."""
        result = CliRunner().invoke(COMMANDS, [str(word) for word in words], env=self._env, **options)
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        return result

    def ok(self, *words: str | Path) -> str:
        """What a command that works says."""
        result = self.run(*words)
        assert result.exit_code == 0, result.output
        return result.output

    def fails(self, *words: str | Path) -> str:
        """What a command that does not says: a sentence and a code."""
        result = self.run(*words)
        assert result.exit_code == 1, result.output
        return result.output


def write(folder: Path, *event_ids: str, text: str | None = None) -> None:
    """Append messages to the project's journal."""

    async def append() -> None:
        data = DataDirectory.create(folder / "life")
        async with SqliteJournal.open(data.journal, clock=SystemClock()) as open_journal:
            await open_journal.append([said(name, text=text) for name in event_ids])

    asyncio.run(append())


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A project with an identity and a few events."""
    made = Shell(tmp_path)
    made.ok("identity-new")
    write(tmp_path, *(f"e-{number}" for number in range(5)))
    yield made


def test_checkpoint_verify_prove(shell: Shell, tmp_path: Path) -> None:
    """Signed, verified, proven; what is not under a checkpoint yet says so."""
    assert "No checkpoints yet" in shell.ok("verify")
    assert "covers sequence 1" in shell.fails("prove", "e-0")
    taken = json.loads(shell.ok("checkpoint", "--json"))
    assert {one["session_id"] for one in taken} >= {"s"}
    assert "Nothing to sign" in shell.ok("checkpoint")
    said_ = shell.ok("verify")
    assert "every digest holds" in said_
    assert "checkpoints of 2 branches" in said_
    found = json.loads(shell.ok("verify", "--json"))
    assert found["checkpoints"]["checkpoints"] == len(taken)
    shell.ok("prove", "e-3", "-o", tmp_path / "proof.json")
    shown = json.loads(shell.ok("check-proof", tmp_path / "proof.json", "--json"))
    assert (shown["event_id"], shown["sequence"], shown["redacted"]) == ("e-3", 4, False)
    assert "was there" in shell.ok("check-proof", tmp_path / "proof.json", "--did", shown["signer"])
    assert "life.invalid_input" in shell.fails("check-proof", tmp_path / "proof.json", "--did", "did:key:zother")
    proof = tmp_path / "proof.json"
    proof.write_text(proof.read_text().replace("content of e-3", "content of e-4"))
    assert "lago.proof_refused" in shell.fails("check-proof", proof)


def test_against_a_copy(shell: Shell, tmp_path: Path) -> None:
    """An earlier export agrees; a journal that was written anew says where it parts, and exits with 1."""
    copy = tmp_path / "copy.jsonl"
    shell.ok("export", "-o", copy)
    write(tmp_path, "later")
    assert "compared" in shell.ok("verify", "--against", copy)
    other = Shell(tmp_path / "other")
    (tmp_path / "other").mkdir()
    lines = copy.read_text().replace("content of e-2", "content of e-X").splitlines()
    forged = tmp_path / "forged.jsonl"
    forged.write_text("\n".join(line.split(',"digest":')[0] + ',"kind":' + line.split(',"kind":')[1] for line in lines))
    other.ok("import", forged)
    assert "every digest holds" in other.ok("verify")
    said_ = other.fails("verify", "--against", copy)
    assert "s/main diverges at sequence 3" in said_
    assert "lago.journal_diverged" in said_


def test_archive_and_back(shell: Shell, tmp_path: Path) -> None:
    """One file; signed unless asked otherwise; a flipped byte is named."""
    blob = tmp_path / "content"
    blob.write_bytes(b"mentioned" * 100)
    name = shell.ok("blobs-put", blob).strip()
    write(tmp_path, "mentions", text=f"see {name}")
    shell.ok("checkpoint")
    file = tmp_path / "s.zip"
    assert "1 blobs" in shell.ok("archive", "s", "-o", file)
    found = json.loads(shell.ok("verify-archive", file, "--json"))
    assert (found["events"], found["blobs"], found["branches"]) == (6, 1, 1)
    assert "Everything holds" in shell.ok("verify-archive", file, "--did", found["signer"])
    assert "InvalidInput" not in shell.fails("archive", "s", "-o", file)
    shell.ok("archive", "s", "-o", tmp_path / "unsigned.zip", "--unsigned")
    assert "not signed" in shell.ok("verify-archive", tmp_path / "unsigned.zip")
    assert "lago.archive_damaged" in shell.fails("verify-archive", tmp_path / "unsigned.zip", "--did", found["signer"])
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert "lago.archive_damaged" in shell.fails("verify-archive", file)
    assert "life.not_found" in shell.fails("archive", "nobody", "-o", tmp_path / "n.zip")


def test_redact(shell: Shell, tmp_path: Path) -> None:
    """Asked first; the content and the blob that only it mentioned are gone; everything verifies; the archive says how many."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"very secret" * 50)
    name = shell.ok("blobs-put", secret).strip()
    write(tmp_path, "secret", text=f"password 4711, see {name}")
    write(tmp_path, "after")
    assert shell.run("redact", "secret", "--reason", "asked for", input="n\n").exit_code == 1
    assert b"4711" in (tmp_path / "life" / "journal.db").read_bytes()
    assert "says why" in shell.fails("redact", "secret")
    assert "not both" in shell.fails("redact")
    assert "0 blobs" in shell.ok("blobs-collect", "--grace", "0")
    assert "1 events redacted" in shell.ok("redact", "secret", "--reason", "asked for", "--yes")
    assert b"4711" not in (tmp_path / "life" / "journal.db").read_bytes()
    assert "0 events lost" in shell.ok("redact", "--resume")
    assert json.loads(shell.ok("redact", "secret", "--reason", "x", "--yes", "--json"))["already"] == 1
    assert "1 blobs" in shell.ok("blobs-collect", "--grace", "0")
    assert "removed" in shell.ok("blobs-collect", "--grace", "0", "--yes")
    assert "lago.blob_not_found" in shell.fails("blobs-get", name)
    shell.ok("checkpoint")
    assert "1 events are redacted" in shell.ok("verify")
    shell.ok("archive", "s", "-o", tmp_path / "s.zip")
    assert json.loads(shell.ok("verify-archive", tmp_path / "s.zip", "--json"))["redacted"] == 1
    shell.ok("export", "-o", tmp_path / "all.jsonl")
    (tmp_path / "other").mkdir()
    other = Shell(tmp_path / "other")
    other.ok("import", tmp_path / "all.jsonl")
    assert other.ok("export") == (tmp_path / "all.jsonl").read_text()
    assert "1 events are redacted" in other.ok("verify")
    assert "lago.redaction_refused" in shell.fails("redact", genesis(tmp_path), "--reason", "x", "--yes")


def genesis(folder: Path) -> str:
    """The id of an event that has to stay."""

    async def find() -> str:
        async with SqliteJournal.open(folder / "life" / "journal.db", clock=SystemClock()) as open_journal:
            return next(
                record.event_id
                for record in await open_journal.read(EventQuery(), limit=100)
                if record.session_id.startswith("identity-")
            )

    return asyncio.run(find())


def test_backup(shell: Shell, tmp_path: Path) -> None:
    """Made, listed, checked, restored; a second restore onto it is refused; a damaged one is named."""
    blob = tmp_path / "content"
    blob.write_bytes(b"kept" * 100)
    name = shell.ok("blobs-put", blob).strip()
    place = tmp_path / "backups"
    assert "no backup" in shell.ok("backup-list", "--from", place)
    made = json.loads(shell.ok("backup-create", "--to", place, "--json"))
    assert made["blobs"] == 1
    assert made["backup"] in shell.ok("backup-list", "--from", place)
    assert json.loads(shell.ok("backup-list", "--from", place, "--json"))[0]["events"] == made["events"]
    assert "holds" in shell.ok("backup-verify", "--from", place)
    target = tmp_path / "again"
    assert "is restored" in shell.ok("backup-restore", target, "--from", place, "--backup", made["backup"])
    assert "lago.backup_target" in shell.fails("backup-restore", target, "--from", place)
    assert shell.ok("export", "--data-dir", target) == shell.ok("export")
    assert shell.ok("blobs-get", name, "--data-dir", target) == "kept" * 100
    assert "lago.backup_not_found" in shell.fails("backup-verify", "none", "--from", place)
    for file in (place / "pieces").rglob("*.zst"):
        file.write_bytes(b"!")
    assert "lago.backup_damaged" in shell.fails("backup-verify", "--from", place)
    (tmp_path / "file").touch()
    for command in (("backup-list", "--from"), ("backup-create", "--to"), ("backup-verify", "--from")):
        assert "life.invalid_input" in shell.fails(*command, tmp_path / "file")
    for wrong in ("s3://bucket", "s3://b/p?endpoint=https://h&x=1", "s3://b?endpoint=https://h"):
        assert "life.invalid_input" in shell.fails("backup-list", "--from", wrong)


def test_blobs(shell: Shell, tmp_path: Path) -> None:
    """Stored, listed, read, verified; a damaged one is named with exit code 1."""
    content = tmp_path / "content"
    content.write_bytes(bytes(range(256)) * 20)
    name = shell.ok("blobs-put", content).strip()
    assert name in shell.ok("blobs-list")
    assert json.loads(shell.ok("blobs-list", "--json"))[0]["hash"] == name
    out = tmp_path / "out"
    shell.ok("blobs-get", name, "-o", out)
    assert out.read_bytes() == content.read_bytes()
    assert "1 of 1 blobs" in shell.ok("blobs-verify")
    (file,) = (tmp_path / "life" / "blobs" / name[:2]).iterdir()
    file.write_bytes(file.read_bytes()[:-2])
    said_ = shell.fails("blobs-verify")
    assert name in said_
    assert "lago.blob_damaged" in shell.fails("blobs-get", name)
    assert "life.invalid_input" in shell.fails("blobs-get", "../../etc/passwd")


def test_export_with_blobs(shell: Shell, tmp_path: Path) -> None:
    """Events and the contents they mention, out and into another project; the same files each time."""
    content = tmp_path / "content"
    content.write_bytes(b"content" * 10)
    name = shell.ok("blobs-put", content).strip()
    write(tmp_path, "mentions", text=f"see {name}")
    for folder in ("one", "two"):
        shell.ok("export", "-o", tmp_path / f"{folder}.jsonl", "--blobs", tmp_path / folder)
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    assert [file.name for file in (tmp_path / "one").iterdir()] == [name]
    (tmp_path / "other").mkdir()
    other = Shell(tmp_path / "other")
    other.ok("import", tmp_path / "one.jsonl", "--blobs", tmp_path / "one")
    assert other.ok("blobs-get", name) == "content" * 10
    (tmp_path / "one" / name).write_bytes(b"other")
    third = Shell(tmp_path / "third")
    (tmp_path / "third").mkdir()
    assert "life.invalid_input" in third.fails("import", tmp_path / "one.jsonl", "--blobs", tmp_path / "one")


def test_tail_by_kind_and_branch(shell: Shell) -> None:
    """Kinds by how they begin; dotted types too; the newest so many of them, however far back."""
    shell.ok("checkpoint")
    assert len(shell.ok("tail", "--kind", "lago.checkpoint").splitlines()) == 2
    lines = shell.ok("tail", "--kind", "UserM", "-n", "2").splitlines()
    assert len(lines) == 2
    assert all("UserMessage" in line and "content of e-" in line for line in lines)
    assert shell.ok("tail", "--kind", "Nothing") == ""
    assert "life.not_found" in shell.fails("tail", "--session", "s", "--branch", "none")
    widths = {line.index("UserMessage") for line in shell.ok("tail", "-k", "UserMessage").splitlines()}
    assert len(widths) == 1


def test_tail_shows_nothing_that_steers_a_terminal(shell: Shell, tmp_path: Path) -> None:
    """Escape sequences, returns and text that runs backwards become blanks."""
    write(tmp_path, "evil", text="a\x1b[31mred\rgone\u202eflip\u2028line")
    (line,) = shell.ok("tail", "-n", "1").splitlines()
    assert "a [31mred gone flip line" in line


def test_stats(shell: Shell) -> None:
    """Counts of kinds and sessions, and bytes."""
    shell.ok("checkpoint")
    found = json.loads(shell.ok("stats", "--json"))
    assert found["events"] == sum(kind["events"] if isinstance(kind, dict) else kind[1] for kind in found["kinds"])
    shown = shell.ok("stats")
    assert "UserMessage" in shown
    assert "anima.identity_created" in shown


def test_damage_is_named_before_signatures(shell: Shell, tmp_path: Path) -> None:
    """A changed row is the first thing that verify says, also with a copy to compare."""
    copy = tmp_path / "copy.jsonl"
    shell.ok("export", "-o", copy)
    damage(tmp_path / "life" / "journal.db", "UPDATE event SET ts_us = ts_us + 1 WHERE id = 'e-2'")
    assert "journal.damaged" in shell.fails("verify", "--against", copy)


async def test_the_job_takes_what_is_due(tmp_path: Path) -> None:
    """It looks again and again, and its signatures count by the history of keys in the journal."""
    agent = await agent_bench(tmp_path / "identity")
    keys = await signing_keys(agent.journal, agent.agent_id)
    assert keys.fault() is None
    taker = Checkpointer(
        agent.journal, agent.custody, clock=agent.clock, entropy=SeededEntropy("job"), agent_id=agent.agent_id,
        policy=CheckpointPolicy(every_events=1),
    )  # fmt: skip
    job = asyncio.create_task(keep_checkpoints(taker, every_s=0))
    try:
        async with asyncio.timeout(10):
            while (await verify_checkpoints(agent.journal, keys)).checkpoints == 0:
                await asyncio.sleep(0)
    finally:
        job.cancel()
