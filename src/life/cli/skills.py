"""`life skills`: which skills there are, whose they are, and signing one's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import msgspec

from life.cli.identity_opening import ask_passphrase
from life.cli.run import command_errors, data_dir_option, run
from life.cli.tables import print_table
from life.host.data_directory import DataDirectory
from life.host.settings import load_settings
from life.host.skills import sign_skill, skill_roots, trusted_signers
from life.praxis.skills.catalogue import Catalogue, discover

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def skills() -> None:
    """Instructions for special tasks."""


@skills.command("list")
@data_dir_option
@JSON
@command_errors
def list_(data_dir: Path, as_json: bool) -> None:
    """List the skills, where each comes from, what is shadowed and what is wrong."""
    found = _discover(data_dir)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    rows = [(skill.name, skill.mark, skill.manifest.description[:80]) for skill in found.skills]
    if rows:
        print_table(("skill", "origin", "description"), rows)
    else:
        click.echo("No skills are here (docs/skills.md says where they are looked for).")
    for folder, winner in found.shadowed:
        click.echo(f"Shadowed: {folder} (by {winner})")
    for problem in found.problems:
        click.echo(f"Not used: {problem.folder}: {problem.reason}", err=True)


@skills.command()
@data_dir_option
@click.argument("name")
@JSON
@command_errors
def show(data_dir: Path, name: str, as_json: bool) -> None:
    """Show one skill whole."""
    skill = _discover(data_dir).get(name)
    if as_json:
        click.echo(msgspec.json.encode(skill).decode())
        return
    manifest = skill.manifest
    permitted = "all that the policy permits" if manifest.allowed_tools is None else ", ".join(manifest.allowed_tools)
    click.echo(f"{skill.name}\n  {manifest.description}")
    click.echo(f"  folder      {skill.folder}\n  origin      {skill.mark}\n  tools       {permitted or 'none'}")
    click.echo(f"  invoked by  {_invoked(people=manifest.user_invocable, model=manifest.model_invocable)}")
    for remark in manifest.remarks:
        click.echo(f"  remark      {remark}")
    for path in skill.bundled:
        click.echo(f"  file        {path}")
    click.echo(f"\n{manifest.body}")


@skills.command()
@data_dir_option
@click.argument("name", required=False)
@command_errors
def verify(data_dir: Path, name: str | None) -> None:
    """Check the signatures of all skills, or of one; exit code 1 for a wrong or missing one."""
    found = _discover(data_dir)
    chosen = [found.get(name)] if name else list(found.skills)
    for skill in chosen:
        click.echo(f"{skill.name}: {skill.mark}")
    problems = [] if name else found.problems
    for problem in problems:
        click.echo(f"{problem.folder}: {problem.reason}", err=True)
    if problems or any(skill.signature == "unsigned" for skill in chosen):
        sys.exit(1)


@skills.command()
@data_dir_option
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@command_errors
def sign(data_dir: Path, folder: Path) -> None:
    """Sign the skill in FOLDER with this project's identity."""
    name, did = run(_sign(data_dir, folder))
    click.echo(f"Signed {name} as {did}.")


async def _sign(data_dir: Path, folder: Path) -> tuple[str, str]:
    from life.host.system import open_system

    async with open_system(data_dir, prompt=ask_passphrase) as system:
        return await sign_skill(folder, system.custody), system.identity.did


def _discover(data_dir: Path) -> Catalogue:
    data = DataDirectory(data_dir)
    settings = load_settings(data.config, os.environ).skills
    return discover(
        skill_roots(data, settings, os.environ),
        trusted_signers=trusted_signers(data, settings),
        require_trusted=settings.require_trusted,
    )


def _invoked(*, people: bool, model: bool) -> str:
    return " and ".join(who for who, may in (("people (/name)", people), ("the model", model)) if may) or "nobody"
