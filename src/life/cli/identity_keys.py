"""`life identity rotate` and `revoke`"""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from life.anima.revocation import REASONS, RevocationReason
from life.anima.revoking import revoke_identity, revoke_sessions
from life.anima.rotation import COOL_DOWN_S, Rotation, rotate_identity
from life.cli.identity_opening import json_option, opened_identity
from life.cli.run import command_errors, data_dir_option, run
from life.host.clock import SystemClock
from life.host.custody_rotation import open_rotator
from life.host.data_directory import DataDirectory
from life.host.errors import HostError


@click.command()
@data_dir_option
@click.option("--force", is_flag=True, help="Rotate again although the last rotation was less than an hour ago.")
@json_option
@command_errors
def rotate(data_dir: Path, force: bool, as_json: bool) -> None:
    """Replace the identity's key by a new one; the wallet stays.

    The old key signs a proof that names the new DID, and everybody who checks the identity follows it. The agent's daemon must
    not run: it holds the old key. Interrupted at any point, run it again.
    """
    rotation = run(_rotate(data_dir, cool_down_s=0 if force else COOL_DOWN_S))
    if as_json:
        click.echo(msgspec.json.encode({"resumed": rotation.resumed, **msgspec.to_builtins(rotation.link)}))
        return
    click.echo("Finished a rotation that was interrupted." if rotation.resumed else "The key was rotated.")
    click.echo(f"  {'Old DID':<11} {rotation.link.old_did}")
    click.echo(f"  {'New DID':<11} {rotation.link.new_did}")
    click.echo(f"  {'Journal':<11} sequence {rotation.link.rotated_at_seq} of the identity's stream")
    click.echo(
        "\nNext: commit soul.json. Where the key follows from a seed, back up seed.enc: older backups no longer open it."
    )


@click.command()
@data_dir_option
@click.option("--reason", type=click.Choice(REASONS), default="compromised", show_default=True)
@click.option("--did", help="One of the identity's own DIDs. Default: the current one, which ends the identity.")
@click.option(
    "--compromised-since",
    "since_seq",
    type=click.IntRange(1),
    help="Since which sequence of the identity's stream the key may have been in wrong hands.",
)
@click.option("--sessions", is_flag=True, help="End tokens and permits issued until now; the identity goes on.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@command_errors
def revoke(
    data_dir: Path,
    reason: RevocationReason,
    did: str | None,
    since_seq: int | None,
    sessions: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Revoke one of the identity's keys for ever, or only its sessions.

    It counts at once for every daemon on this journal. A revoked current key ends the identity: it can't rotate, sign or pay any more.
    """
    if not yes and not sessions and not click.confirm("A revocation can't be taken back. Revoke?", err=True):
        raise HostError("Nothing was revoked.")
    event = run(_revoke(data_dir, reason=reason, did=did, since_seq=since_seq, sessions=sessions))
    if as_json:
        click.echo(msgspec.json.encode(event))
        return
    click.echo("The sessions until now are ended." if sessions else f"Revoked {event['did']} ({event['reason']}).")


async def _rotate(data_dir: Path, *, cool_down_s: int) -> Rotation:
    clock = SystemClock()
    data = DataDirectory(data_dir)
    async with opened_identity(data_dir, create_journal=True) as opened:
        if opened.settled == "completed":
            return Rotation(opened.identity.rotations[-1], resumed=True)
        with data.lock("arcand"):
            rotator = await open_rotator(opened.keys, opened.identity)
            try:
                return await rotate_identity(
                    opened.journal,
                    rotator,
                    opened.custody,
                    agent_id=opened.identity.agent_id,
                    clock=clock,
                    cool_down_s=cool_down_s,
                )
            finally:
                await rotator.close()


async def _revoke(
    data_dir: Path, *, reason: RevocationReason, did: str | None, since_seq: int | None, sessions: bool
) -> dict[str, object]:
    clock = SystemClock()
    async with opened_identity(data_dir, create_journal=True) as opened:
        agent_id = opened.identity.agent_id
        if sessions:
            ended = await revoke_sessions(opened.journal, opened.custody, agent_id=agent_id, clock=clock)
            return _members(ended)
        revoked = await revoke_identity(
            opened.journal,
            opened.custody,
            agent_id=agent_id,
            reason=reason,
            clock=clock,
            did=did,
            compromised_since_seq=since_seq,
        )
        return _members(revoked)


def _members(event: msgspec.Struct) -> dict[str, object]:
    members: dict[str, object] = msgspec.to_builtins(event)
    return members
