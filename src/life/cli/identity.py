"""`arcan identity …`"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from life.anima.home import create_identity, open_identity, read_identity
from life.anima.identity_file import Identity
from life.anima.tokens import issue_agent_token
from life.cli.run import command_errors, data_dir_option, run
from life.host.clock import SystemClock, SystemEntropy
from life.host.data_directory import DataDirectory
from life.host.keys import choose_key_source

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines for people.")


@click.command()
@data_dir_option
@click.option("--name", help="The agent's name. Default: life-agent- and the end of the wallet's address.")
@click.option("--mission", help="One sentence that says what the agent is for.")
@json_option
@command_errors
def new(data_dir: Path, name: str | None, mission: str | None, as_json: bool) -> None:
    """Make this project's agent identity, or show the one there is.

    Running it again changes nothing. The seed is encrypted under LIFE_PASSPHRASE when that is set; otherwise under a
    random key in your own data folder.
    """
    data = DataDirectory.create(data_dir)
    key_source = choose_key_source(data.identity, os.environ, ask_passphrase)
    identity, created = create_identity(
        data.identity,
        name=name,
        mission=mission,
        key_source=key_source,
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )
    if as_json:
        click.echo(json.dumps({"created": created, **_facts(identity)}))
        return
    click.echo("Made a new identity." if created else "This project already has an identity; nothing was changed.")
    _print(identity)
    if created:
        click.echo(f"  {'Unlocked by':<11} {key_source.description}")
    click.echo("\nNext: arcand --port 3000   (or: life demo first-payment)")


@click.command()
@data_dir_option
@json_option
@command_errors
def show(data_dir: Path, as_json: bool) -> None:
    """Show the identity, verified against its seed."""
    folder = DataDirectory(data_dir).identity
    read_identity(folder)
    key_source = choose_key_source(folder, os.environ, ask_passphrase)
    opened = open_identity(folder, key_source, clock=SystemClock())
    opened.custody.close()
    if as_json:
        click.echo(json.dumps(_facts(opened.identity)))
        return
    _print(opened.identity)
    click.echo("  The seal, the soul's hash, the DID and the wallet match the seed.")


@click.command()
@data_dir_option
@click.option("--audience", required=True, help="The service the token is for.")
@click.option("--lifetime", "lifetime_s", type=click.IntRange(1, 60), default=60, show_default=True, help="Seconds.")
@command_errors
def token(data_dir: Path, audience: str, lifetime_s: int) -> None:
    """Issue an agent token (ES256, at most 60 seconds)."""
    folder = DataDirectory(data_dir).identity
    clock = SystemClock()
    opened = open_identity(folder, choose_key_source(folder, os.environ, ask_passphrase), clock=clock)
    issuing = issue_agent_token(
        opened.custody,
        agent_id=opened.identity.agent_id,
        audience=audience,
        clock=clock,
        entropy=SystemEntropy(),
        lifetime_s=lifetime_s,
    )
    try:
        click.echo(run(issuing))
    finally:
        opened.custody.close()


def ask_passphrase() -> str | None:
    """The passphrase, typed at the terminal; None when there is none."""
    if not sys.stdin.isatty():
        return None
    return str(click.prompt("Passphrase", hide_input=True, err=True))


def _facts(identity: Identity) -> dict[str, str]:
    return {
        "name": identity.name,
        "did": identity.did,
        "agent_id": identity.agent_id,
        "wallet": identity.wallet.address,
        "chain": identity.wallet.chain,
        "custody": identity.custody,
        "soul_hash": identity.soul.soul_hash,
        "folder": str(identity.folder),
    }


def _print(identity: Identity) -> None:
    rows = (
        ("Name", identity.name),
        ("DID", identity.did),
        ("Wallet", f"{identity.wallet.address} on {identity.wallet.chain}"),
        ("Custody", identity.custody),
        ("Soul", identity.soul.soul_hash),
        ("Folder", f"{identity.folder} (commit soul.json, back up seed.enc)"),
    )
    for name, value in rows:
        click.echo(f"  {name:<11} {value}")
