"""`life init`"""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from life.cli.identity_opening import ask_passphrase
from life.cli.run import command_errors, data_dir_option, run
from life.host.project import Project, make_project

_WIDTH = 26


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@data_dir_option
@click.option(
    "--provider", help="The model for a new config.toml.  [default: the first vendor whose key is set, else scripted]"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines for people.")
@command_errors
def init(data_dir: Path, provider: str | None, as_json: bool) -> None:
    """Make this folder a Life project: settings, an identity, an example agent.

    Asks nothing, and running it again changes nothing: what is there is kept, and the identity is tried. Of API keys only their names are looked at.
    """
    project = run(make_project(data_dir, os.environ, provider=provider, prompt=ask_passphrase))
    if as_json:
        click.echo(msgspec.json.encode(project).decode())
        return
    _print(project)


def _print(project: Project) -> None:
    made = any(step.what in ("made", "added") for step in project.steps)
    click.echo("This is a Life project now." if made else "This is a Life project already; nothing was changed.")
    for step in project.steps:
        style = {"made": "green", "added": "green", "hint": "yellow"}.get(step.what)
        word = click.style(f"{step.what:<8}", fg=style)
        click.echo(f"  {word} {step.path:<{_WIDTH}}  {step.says}".rstrip())
    click.echo(f"\nModel: {project.model}. What the agent is told: `system` in {project.data_dir}/config.toml,")
    click.echo("and AGENTS.md in a session's workspace.")
    click.echo("Next: arcan shell   (life up has the page and the API; life doctor tries everything)")
