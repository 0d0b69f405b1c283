"""`life identity backends`, `doctor`, `migrate`, `remote-key` and `remote-accept`"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, get_args

import click
import msgspec

from life.aios.ports.journal import Journal
from life.anima.custody.remote import CapabilityFile, Offer
from life.anima.errors import CustodyInputError, UnsupportedOperationError
from life.anima.home import read_identity
from life.anima.identity_file import SOUL_FILE
from life.anima.rotation import COOL_DOWN_S
from life.cli.identity_opening import custody_context, json_option
from life.cli.run import command_errors, data_dir_option, run
from life.cli.tables import print_table
from life.host.clock import SystemClock, SystemEntropy
from life.host.custody_catalogue import backend_table
from life.host.custody_doctor import Finding, examine
from life.host.custody_migration import Migration, keeps_keys, migrate_keys, toward, why_not
from life.host.custody_rotation import settle_identity
from life.host.custody_settings import AuthBackend
from life.host.data_directory import DataDirectory
from life.host.rotation_into import TARGETS, rotate_into
from life.host.settings import load_settings
from life.lago.journal.sqlite import SqliteJournal

MARKS = {"ok": "ok      ", "warning": "warning ", "failed": "FAILED  "}


@click.command()
@data_dir_option
@json_option
@command_errors
def backends(data_dir: Path, as_json: bool) -> None:
    """List the custody backends: what each can do, and whether this machine has what it needs."""
    data = DataDirectory(data_dir)
    settings = load_settings(data.config, os.environ).custody
    current = read_identity(data.identity).custody if (data.identity / SOUL_FILE).exists() else None
    table = backend_table(settings, current)
    if as_json:
        click.echo(msgspec.json.encode({"backends": table}))
        return
    rows = [
        (
            "*" if entry.chosen else "",
            entry.backend,
            *("yes" if flag else "-" for flag in (entry.identity_key, entry.wallet, entry.confirmed_by_a_person)),
            "yes" if entry.available else "no",
            entry.note,
        )
        for entry in table
    ]
    print_table(("", "backend", "identity", "wallet", "person", "here", ""), rows)
    click.echo("\n* chosen.  Next: life identity doctor")


@click.command()
@data_dir_option
@click.option("--confirm", is_flag=True, help="Also try a wallet that asks a person, who then has to confirm.")
@json_option
@command_errors
def doctor(data_dir: Path, confirm: bool, as_json: bool) -> None:
    """Try the chosen backend with real calls, and say what is wrong in one sentence each.

    The exit code is 1 when something is wrong.
    """
    findings = run(_examine(data_dir, confirm=confirm, as_json=as_json))
    if as_json:
        healthy = all(finding.result != "failed" for finding in findings)
        click.echo(msgspec.json.encode({"healthy": healthy, "findings": findings}))
    if any(finding.result == "failed" for finding in findings):
        sys.exit(1)


@click.command()
@data_dir_option
@click.option("--to", "target", type=click.Choice(get_args(AuthBackend)), required=True, help="The new backend.")
@click.option("--rotate", is_flag=True, help="Where the key can't move: rotate the identity into a new key there.")
@click.option("--force", is_flag=True, help="Rotate although the last rotation was less than an hour ago.")
@json_option
@command_errors
def migrate(data_dir: Path, target: AuthBackend, rotate: bool, force: bool, as_json: bool) -> None:
    """Move the identity to another custody backend; its wallet stays.

    How the backend is reached is in the settings ([custody.…]). Where the keys can move, nothing but the place changes; where
    they can't, it says why, and --rotate makes a new key there that the old one proves. The agent's daemon must not run.
    Interrupted at any point, run it again.
    """
    done = run(_migrate(data_dir, target, rotate=rotate, cool_down_s=0 if force else COOL_DOWN_S))
    if as_json:
        click.echo(msgspec.json.encode(done._asdict()))
        return
    if done.keys == "unchanged":
        said = "The keys are there already." if done.resumed else "The keys moved; DID and wallet are unchanged."
    else:
        said = "The identity was rotated into a new key there; the wallet is unchanged."
    click.echo(said)
    click.echo(f"  {'From':<7} {done.from_backend}")
    click.echo(f"  {'To':<7} {done.to_backend}")
    click.echo(f"  {'DID':<7} {done.did}")
    click.echo(f"  {'Wallet':<7} {done.wallet}")
    click.echo("\nNext: life identity doctor   (and commit soul.json)")


@click.command("remote-key")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
@command_errors
def remote_key(file: Path, as_json: bool) -> None:
    """Make the key by which a remote oracle will know this machine, in FILE (mode 0600), and print its DID.

    Running it again changes nothing. Whoever runs the oracle grants a permit to the DID; `remote-accept` puts it into FILE.
    """
    did = CapabilityFile(file).make(SystemEntropy())
    click.echo(msgspec.json.encode({"did": did, "file": str(file)}) if as_json else did)


@click.command("remote-accept")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("permit", type=click.File("rb"), default="-")
@json_option
@command_errors
def remote_accept(file: Path, permit: BinaryIO, as_json: bool) -> None:
    """Put what `somad grant` printed (a file, or standard input) into FILE."""
    try:
        offer = msgspec.json.decode(permit.read(65_536), type=Offer)
    except msgspec.DecodeError:
        raise CustodyInputError("This is not what `somad grant` prints.") from None
    claims = CapabilityFile(file).accept(offer)
    if as_json:
        click.echo(msgspec.json.encode(claims))
        return
    click.echo(f"{file} may now use {claims.agent} for {', '.join(claims.operations)}.")


async def _examine(data_dir: Path, *, confirm: bool, as_json: bool) -> list[Finding]:
    data, findings = DataDirectory(data_dir), []
    async with _journal_if_any(data) as journal:
        async for finding in examine(custody_context(data), journal, confirm=confirm):
            findings.append(finding)
            if not as_json:
                click.echo(f"{MARKS[finding.result]}{finding.says}")
                if finding.next_step:
                    click.echo(f"        → {finding.next_step}")
    return findings


async def _migrate(data_dir: Path, target: AuthBackend, *, rotate: bool, cool_down_s: int) -> Migration:
    data = DataDirectory(data_dir)
    source = read_identity(data.identity).custody
    if source != target and not keeps_keys(source, target) and not rotate:
        raise UnsupportedOperationError(
            f"The keys can't move from {source} to {target} unchanged. {why_not(source, target)}",
            next_step=f"life identity migrate --to {target} --rotate   (a new key there, proved by the old one)"
            if target in TARGETS
            else "Choose another backend: `life identity backends` lists them.",
        )
    context = custody_context(data)
    with data.lock("arcand"):
        async with SqliteJournal.open(data.journal, clock=SystemClock(), writer="in_loop") as journal:
            identity = (await settle_identity(journal, toward(context, source))).identity
            if identity.custody == target or keeps_keys(identity.custody, target):
                return await migrate_keys(journal, context, target)
            return await rotate_into(journal, context, target, cool_down_s=cool_down_s)


@asynccontextmanager
async def _journal_if_any(data: DataDirectory) -> AsyncIterator[Journal | None]:
    if not data.journal.exists() or not data.journal.stat().st_size:
        yield None
        return
    async with SqliteJournal.open(data.journal, clock=SystemClock(), writer="in_loop") as journal:
        yield journal
