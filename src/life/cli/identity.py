"""`life identity new`, `show` and `token`"""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from life.anima.identity_file import Identity
from life.anima.policy import PolicyManifest
from life.anima.report import IdentityReport, report_of
from life.anima.tokens import issue_agent_token
from life.cli.identity_opening import custody_context, json_option, opened_identity, state_of
from life.cli.run import command_errors, data_dir_option, run
from life.host.clock import SystemClock, SystemEntropy
from life.host.custody_opening import ensure_identity
from life.host.data_directory import DataDirectory
from life.host.wallet_seed import WALLET_FILE


@click.command()
@data_dir_option
@click.option("--name", help="The agent's name. Default: life-agent- and the end of the wallet's address.")
@click.option("--mission", help="One sentence that says what the agent is for.")
@click.option(
    "--ceiling",
    multiple=True,
    metavar="CAPABILITY",
    help="What the agent may ever be granted (`life identity grant`), a name or a prefix with `*`; may be repeated, and is fixed for "
    "its life.  [default: chat:*, knowledge:read, tool:execute]",
)
@json_option
@command_errors
def new(data_dir: Path, name: str | None, mission: str | None, ceiling: tuple[str, ...], as_json: bool) -> None:
    """Make this project's agent identity, or show the one there is.

    Running it again changes nothing. The seed is encrypted under LIFE_PASSPHRASE when that is set; otherwise under a
    random key in your own data folder.
    """
    values = PolicyManifest(capability_ceiling=ceiling) if ceiling else None
    data = DataDirectory.create(data_dir)
    keys = custody_context(data)
    identity, created = run(ensure_identity(keys, name=name, mission=mission, values=values))
    if as_json:
        click.echo(msgspec.json.encode({"created": created, **_facts(identity)}))
        return
    click.echo("Made a new identity." if created else "This project already has an identity; nothing was changed.")
    _print(identity)
    if created and identity.custody == "in_process":
        click.echo(f"  {'Unlocked by':<11} {keys.key_source().description}")
    click.echo("\nNext: arcand --port 3000   (or: life demo first-payment)")


@click.command()
@data_dir_option
@json_option
@command_errors
def show(data_dir: Path, as_json: bool) -> None:
    """Show the identity, verified against its seed."""
    run(_show(data_dir, as_json=as_json))


@click.command()
@data_dir_option
@click.option("--audience", required=True, help="The service the token is for.")
@click.option("--lifetime", "lifetime_s", type=click.IntRange(1, 60), default=60, show_default=True, help="Seconds.")
@json_option
@command_errors
def token(data_dir: Path, audience: str, lifetime_s: int, as_json: bool) -> None:
    """Issue an agent token (ES256, at most 60 seconds)."""
    run(_token(data_dir, audience, lifetime_s, as_json=as_json))


async def _show(data_dir: Path, *, as_json: bool) -> None:
    async with opened_identity(data_dir) as opened:
        state, as_of_seq = await state_of(opened)
        report = report_of(
            state, at_us=SystemClock().now_us(), as_of_seq=as_of_seq, capabilities=opened.custody.capabilities()
        )
        if as_json:
            members = msgspec.to_builtins(report)
            click.echo(msgspec.json.encode({**members, "folder": str(opened.identity.folder)}))
            return
        _print(opened.identity)
        _print_report(report)


async def _token(data_dir: Path, audience: str, lifetime_s: int, *, as_json: bool) -> None:
    async with opened_identity(data_dir) as opened:
        issued = await issue_agent_token(
            opened.custody,
            agent_id=opened.identity.agent_id,
            audience=audience,
            clock=SystemClock(),
            entropy=SystemEntropy(),
            lifetime_s=lifetime_s,
        )
        click.echo(msgspec.json.encode({"token": issued, "audience": audience}) if as_json else issued)


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


def _backup(identity: Identity) -> str:
    """What of the folder has to be backed up."""
    if identity.custody == "in_process":
        return ", back up seed.enc"
    return ", back up wallet.enc" if (identity.folder / WALLET_FILE).exists() else ""


def _print(identity: Identity) -> None:
    rows = (
        ("Name", identity.name),
        ("DID", identity.did),
        ("Wallet", f"{identity.wallet.address} on {identity.wallet.chain}"),
        ("Custody", identity.custody),
        ("Soul", identity.soul.soul_hash),
        ("Folder", f"{identity.folder} (commit soul.json{_backup(identity)})"),
    )
    for name, value in rows:
        click.echo(f"  {name:<11} {value}")


def _print_report(report: IdentityReport) -> None:
    """What the journal adds: state, keys, permissions. Tables only where there is something to list."""
    state = "revoked" if report.revoked else report.lifecycle
    click.echo(f"  {'State':<11} {state}, {report.security} keys, rotated {len(report.chain)} times")
    if report.conflicting_rotation:
        click.echo("  Warning: a second successor was signed for a replaced key. Somebody else may have held it.")
    if report.wallet_frozen:
        click.echo("  Warning: the wallet is frozen after a critical violation; an operator has to clear it.")
    holder = "seed" if report.custody == "in_process" else "keys"
    click.echo(f"  The seal, the soul's hash, the DID and the wallet match the {holder}.")
    _table(
        "Rotations",
        ("when", "new DID", "proofs"),
        [(link.rotated_at, link.new_did, link.proof) for link in report.chain],
    )
    _table(
        "Revocations",
        ("DID", "reason", "by"),
        [(revocation.did, revocation.reason, revocation.authority) for revocation in report.revocations],
    )
    _table(
        "Grants",
        ("capability", "by", "until"),
        [(grant.capability, grant.granted_by, grant.expires_at or "revoked") for grant in report.grants],
    )
    _table(
        "Attestations",
        ("claim", "by", "proof"),
        [(item.claim, item.issuer, "verified" if item.verified else "only claimed") for item in report.attestations],
    )


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Aligned columns, none of them cut: a DID that is not whole is of no use."""
    if not rows:
        return
    widths = [max(len(row[number]) for row in (columns, *rows)) for number in range(len(columns))]
    click.echo(f"\n{title}")
    for row in (columns, *rows):
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo(f"  {'  '.join(cells)}".rstrip())
