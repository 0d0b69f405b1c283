"""`life journal checkpoint`, `prove`, `check-proof`, `redact`, `archive`, `verify-archive`: what makes and checks signatures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from life.aios.errors import InvalidInputError, UnavailableError
from life.aios.ports.custody import Custody
from life.cli.identity_opening import ask_passphrase, opened_identity
from life.cli.journal import json_option, open_journal
from life.cli.journal_report import known_keys
from life.cli.progress import progress_bar
from life.cli.run import command_errors, data_dir_option, run
from life.cli.tables import print_table
from life.host.clock import SystemClock, SystemEntropy
from life.host.data_directory import DataDirectory
from life.host.journal_proof import signing_keys
from life.host.lago_store import open_store
from life.lago.archive.verifying import verify_archive as check_archive
from life.lago.archive.writing import write_archive
from life.lago.journal.sqlite import SqliteJournal
from life.lago.proof.checkpoints import Checkpointer
from life.lago.proof.inclusion import check_proof as check_inclusion
from life.lago.proof.inclusion import prove as prove_inclusion
from life.lago.proof.redaction import Redacted, resume_redactions
from life.lago.proof.redaction import redact as redact_events
from life.lago.proof.signing_keys import SigningKeys

_DAEMONS = ("arcand", "lagod", "haimad")


class Signing(NamedTuple):
    """The project's agent, open."""

    journal: SqliteJournal
    custody: Custody
    keys: SigningKeys
    agent_id: str


@click.command()
@data_dir_option
@click.option("--due", is_flag=True, help="Only branches that are due by the policy, not every branch that grew.")
@json_option
@command_errors
def checkpoint(data_dir: Path, due: bool, as_json: bool) -> None:
    """Sign how far each branch reached.

    Keep a copy elsewhere: `life journal export --session lago.checkpoints`.
    """
    run(_checkpoint(data_dir, due=due, as_json=as_json))


@click.command()
@data_dir_option
@click.argument("event_id")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Where to; standard output if not."
)
@command_errors
def prove(data_dir: Path, event_id: str, output: Path | None) -> None:
    """Prove that one event stood in its branch, without the rest of it."""
    run(_prove(data_dir, event_id, output))


@click.command("check-proof")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--did", help="The key that you know to be the agent's.")
@json_option
@command_errors
def check_proof(file: Path, did: str | None, as_json: bool) -> None:
    """Check an inclusion proof.

    Needs no journal.
    """
    proven = check_inclusion(file.read_bytes())
    if did not in (None, proven.signer):
        raise InvalidInputError(f"The proof is signed by {proven.signer}, not by {did}.")
    record = proven.record
    if as_json:
        found = {
            "event_id": record.event_id, "session_id": record.session_id, "branch_id": record.branch_id,
            "sequence": record.sequence, "signer": proven.signer, "redacted": proven.redacted,
        }  # fmt: skip
        click.echo(msgspec.json.encode(found).decode())
        return
    what = "was there; its content was redacted" if proven.redacted else "was there as the proof says"
    click.echo(f"Event {record.event_id} (sequence {record.sequence} of {record.stream}) {what}.")
    click.echo(f"Signed by {proven.signer}.")


@click.command()
@data_dir_option
@click.argument("event_ids", nargs=-1)
@click.option("--reason", help="Why; it stays in the journal.")
@click.option("--resume", is_flag=True, help="Only finish redactions that were interrupted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@command_errors
def redact(
    data_dir: Path, event_ids: tuple[str, ...], reason: str | None, resume: bool, yes: bool, as_json: bool
) -> None:
    """Take the content of events out of the journal, for good.

    Their place in the chain stays provable. No daemon may run meanwhile. Backups, archives and exports that were made before keep the content.
    """
    if resume == bool(event_ids):
        raise InvalidInputError("Name the events, or --resume, and not both.")
    if event_ids and not reason:
        raise InvalidInputError("A redaction says why.", next_step="Add --reason.")
    if event_ids and not yes:
        click.confirm(f"Remove the content of {len(event_ids)} events for good?", abort=True, err=True)
    run(_redact(data_dir, event_ids, reason or "", resume=resume, as_json=as_json))


@click.command()
@data_dir_option
@click.argument("session_id")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Where to; <session>.zip if not told."
)
@click.option(
    "--unsigned", is_flag=True, help="Without the agent's key: the archive then shows only that it agrees with itself."
)
@json_option
@command_errors
def archive(data_dir: Path, session_id: str, output: Path | None, unsigned: bool, as_json: bool) -> None:
    """Put a session into one file for an auditor: events, contents, keys, checkpoints, and a verifier."""
    path = output or Path(f"{session_id.replace('/', '_')}.zip")
    run(_archive(data_dir, session_id, path, unsigned=unsigned, as_json=as_json))


@click.command("verify-archive")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--did", help="A key that you know to be the agent's; then the archive must be signed by that agent.")
@json_option
@command_errors
def verify_archive(file: Path, did: str | None, as_json: bool) -> None:
    """Check the archive of a session: every byte, event and signature.

    Needs no journal.
    """
    found = check_archive(file, did=did)
    if as_json:
        click.echo(msgspec.json.encode(found._asdict()).decode())
        return
    click.echo(
        f"{found.session_id}: {found.events} events in {found.branches} branches, {found.blobs} blobs,"
        f" {found.redacted} redacted, {found.checkpoints} checkpoints. Everything holds."
    )
    if found.signer is None:
        click.echo("It is not signed: it agrees with itself, and that is all it shows.")
    else:
        click.echo(f"Signed by {found.signer}.")
    if found.dids:
        click.echo(f"Keys of {found.agent_id}, oldest first: {', '.join(found.dids)}")


@asynccontextmanager
async def signing(data_dir: Path) -> AsyncIterator[Signing]:
    """The project's journal with the agent that may sign for it; NotFoundError, IdentityNotFoundError."""
    async with open_journal(data_dir):
        pass  # says what is missing, or wrong, before anything is asked
    async with opened_identity(data_dir) as opened:
        assert isinstance(opened.journal, SqliteJournal)  # the file was there a moment ago
        agent_id = opened.identity.agent_id
        yield Signing(opened.journal, opened.custody, await signing_keys(opened.journal, agent_id), agent_id)


async def _checkpoint(data_dir: Path, *, due: bool, as_json: bool) -> None:
    async with signing(data_dir) as agent:
        taker = Checkpointer(
            agent.journal, agent.custody, clock=SystemClock(), entropy=SystemEntropy(), agent_id=agent.agent_id
        )
        taken = await taker.take(when_due=due)
    if as_json:
        click.echo(msgspec.json.encode(taken).decode())
    elif not taken:
        click.echo("Nothing to sign: every branch is as its last checkpoint says.")
    else:
        rows = [(one.session_id, one.branch_id, str(one.sequence), one.digest[:16]) for one in taken]
        print_table(("session", "branch", "sequence", "digest"), rows, right=(2,))


async def _prove(data_dir: Path, event_id: str, output: Path | None) -> None:
    async with open_journal(data_dir) as journal:
        content = msgspec.json.encode(await prove_inclusion(journal, event_id))
    if output is None:
        click.echo(content)
        return
    try:
        output.write_bytes(content + b"\n")
    except OSError as error:
        raise InvalidInputError(f"{output} can't be written: {error.strerror}.") from None


async def _redact(data_dir: Path, event_ids: tuple[str, ...], reason: str, *, resume: bool, as_json: bool) -> None:
    _check_no_daemon(data_dir)
    async with signing(data_dir) as agent:
        if resume:
            count = await resume_redactions(agent.journal, agent.keys)
            if as_json:
                click.echo(msgspec.json.encode(Redacted(0, 0, count)._asdict()).decode())
            else:
                click.echo(f"{count} events lost their content; nothing is left to do.")
            return
        done = await redact_events(
            agent.journal,
            event_ids,
            reason=reason,
            custody=agent.custody,
            keys=agent.keys,
            agent_id=agent.agent_id,
            clock=SystemClock(),
            entropy=SystemEntropy(),
        )
    if as_json:
        click.echo(msgspec.json.encode(done._asdict()).decode())
        return
    click.echo(f"{done.events} events redacted, {done.already} were before.")
    click.echo("Contents that only they mentioned go with `life blobs collect --yes`.")


async def _archive(data_dir: Path, session_id: str, path: Path, *, unsigned: bool, as_json: bool) -> None:
    with progress_bar() as step:
        count = 0

        def one_more() -> None:
            nonlocal count
            count += 1
            if not count & 0x3FF:
                step("events", count, 0)

        if unsigned:
            async with open_store(data_dir, prompt=ask_passphrase) as store:
                keys = await known_keys(store.journal, DataDirectory(data_dir))
                made = await write_archive(
                    path, store.journal, session_id, blobs=store.blobs, keys=keys, on_event=one_more
                )
        else:
            async with signing(data_dir) as agent, open_store(data_dir, prompt=ask_passphrase) as store:
                made = await write_archive(
                    path,
                    store.journal,
                    session_id,
                    blobs=store.blobs,
                    keys=agent.keys,
                    custody=agent.custody,
                    clock=SystemClock(),
                    on_event=one_more,
                )
    if as_json:
        click.echo(msgspec.json.encode({"file": str(path), **made._asdict()}).decode())
        return
    how = "signed" if made.signed else "not signed"
    click.echo(
        f"{path}: {made.events} events in {made.branches} branches, {made.blobs} blobs, {made.size_bytes:,} bytes, {how}."
    )


def _check_no_daemon(data_dir: Path) -> None:
    """UnavailableError while a daemon works here: what it holds in memory it could store again."""
    data = DataDirectory(data_dir)
    for daemon in _DAEMONS:
        if data.address_of(daemon) is not None:
            raise UnavailableError(f"{daemon} is working in {data_dir}.", next_step="Stop it first.")
