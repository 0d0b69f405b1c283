"""`life agents`: which agents there are, a new one, checking files, running one, and the tree of what runs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from life.cli.identity_opening import ask_passphrase
from life.cli.run import command_errors, data_dir_option, run
from life.cli.tables import print_table
from life.host.agents import agent_folders, new_agent, open_agents
from life.host.data_directory import DataDirectory

if TYPE_CHECKING:
    from life.aios.json import Json
    from life.arcan.agents.fleet import FleetNode
    from life.arcan.reports import RunReport

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
FOLDER = click.option(
    "--agents-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Where the agents' files are, instead of `agents` beside the data directory and in it.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def agents() -> None:
    """Agents that others can call, as files."""


@agents.command("list")
@data_dir_option
@FOLDER
@JSON
@command_errors
def list_(data_dir: Path, agents_dir: Path | None, as_json: bool) -> None:
    """List the agents, and the files that give none."""
    found = open_agents(DataDirectory(data_dir), os.environ, agents_dir)
    if as_json:
        problems = [bad._asdict() for bad in found.problems]
        click.echo(json.dumps({"agents": [msgspec.to_builtins(each) for each in found.agents], "problems": problems}))
        return
    rows = [(each.name, each.model or "its parent's", each.description[:80]) for each in found.agents]
    if rows:
        print_table(("agent", "model", "description"), rows)
    else:
        click.echo("No agents are here. `life agents new NAME` begins one.")
    for bad in found.problems:
        click.echo(f"Not used: {bad.path}: {bad.reason}", err=True)


@agents.command()
@data_dir_option
@FOLDER
@click.argument("name")
@JSON
@command_errors
def show(data_dir: Path, agents_dir: Path | None, name: str, as_json: bool) -> None:
    """Show one agent whole."""
    agent = open_agents(DataDirectory(data_dir), os.environ, agents_dir).get(name)
    if as_json:
        click.echo(msgspec.json.encode(agent).decode())
        return
    tools = "all that its parent has" if agent.allowed_tools is None else ", ".join(agent.allowed_tools) or "none"
    click.echo(f"{agent.name}\n  {agent.description}")
    click.echo(f"  file     {agent.path}\n  model    {agent.model or 'its parent’s'}\n  turns    {agent.max_turns}")
    click.echo(f"  tools    {tools}\n  answer   {'typed' if agent.output_schema is not None else 'in words'}")
    for remark in agent.remarks:
        click.echo(f"  remark   {remark}")
    click.echo(f"\n{agent.instructions}")


@agents.command()
@data_dir_option
@FOLDER
@click.argument("name")
@click.option("--description", default="Say in one line what it is for.", help="What others are told it is for.")
@command_errors
def new(data_dir: Path, agents_dir: Path | None, name: str, description: str) -> None:
    """Begin an agent's file, to be edited."""
    folder = agent_folders(DataDirectory(data_dir), os.environ, agents_dir)[0]
    click.echo(f"Wrote {new_agent(folder, name, description)}.")


@agents.command()
@data_dir_option
@FOLDER
@command_errors
def check(data_dir: Path, agents_dir: Path | None) -> None:
    """Check all files; exit code 1 when one gives no agent."""
    found = open_agents(DataDirectory(data_dir), os.environ, agents_dir)
    for each in found.agents:
        click.echo(f"{each.name}: right")
        for remark in each.remarks:
            click.echo(f"  {remark}")
    for bad in found.problems:
        click.echo(f"{bad.path}: {bad.reason}", err=True)
    if found.problems:
        sys.exit(1)


@agents.command("run")
@data_dir_option
@click.argument("name")
@click.argument("input_", metavar="INPUT")
@click.option("--session", "session_id", default=None, help="The session to make or use.")
@JSON
@command_errors
def run_(data_dir: Path, name: str, input_: str, session_id: str | None, as_json: bool) -> None:
    """Run the agent NAME on INPUT: JSON, or text. Exit code 1 when it does not complete."""
    report, tree = run(_run(data_dir, name, _input(input_), session_id))
    if as_json:
        click.echo(json.dumps({"report": msgspec.to_builtins(report), "fleet": msgspec.to_builtins(tree)}))
    else:
        if report.final_answer:
            click.echo(report.final_answer)
        if report.status != "finished":
            click.echo(f"It waits for a person: session {report.session_id}.", err=True)
        elif report.reason != "completed":
            click.echo(f"It did not complete: {report.reason}. {report.error or ''}".rstrip(), err=True)
    if report.reason != "completed":
        sys.exit(1)


@agents.command()
@data_dir_option
@click.argument("session_id")
@JSON
@command_errors
def fleet(data_dir: Path, session_id: str, as_json: bool) -> None:
    """Show a session with the agents that work or worked for it, and what each used."""
    tree = run(_fleet(data_dir, session_id))
    if as_json:
        click.echo(msgspec.json.encode(tree).decode())
        return
    rows: list[tuple[str, ...]] = []
    _rows(tree, 0, rows)
    print_table(
        ("agent", "status", "steps", "calls", "tokens", "micro-USD", "s", "session"), rows, right=(2, 3, 4, 5, 6)
    )


async def _run(data_dir: Path, name: str, value: Json, session_id: str | None) -> tuple[RunReport, FleetNode]:
    from life.arcan.agents.fleet import read_fleet
    from life.arcan.agents.running import start_agent
    from life.host.system import open_system

    with DataDirectory.create(data_dir).lock("arcand"):
        async with open_system(data_dir, prompt=ask_passphrase) as system:
            await system.runtime.recover_all()
            begun = await start_agent(system.runtime, name, value, session_id=session_id)
            report = await system.runtime.wait(begun.session_id, begun.run_id)
            return report, await read_fleet(system.journal, begun.session_id, system.clock.now_us())


async def _fleet(data_dir: Path, session_id: str) -> FleetNode:
    from life.arcan.agents.fleet import read_fleet
    from life.cli.journal import open_journal
    from life.host.clock import SystemClock

    async with open_journal(data_dir) as journal:
        return await read_fleet(journal, session_id, SystemClock().now_us())


def _input(text: str) -> Json:
    """JSON objects and arrays as such; anything else is text."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        found: Json = json.loads(text)
    except ValueError:
        return text
    return found


def _rows(node: FleetNode, depth: int, rows: list[tuple[str, ...]]) -> None:
    spent = node.spent
    status = node.reason or node.status
    if node.waiting_for:
        status = f"{status}: {node.waiting_for}"
    rows.append(
        (
            "  " * depth + (node.agent or "(session)"),
            status,
            str(node.steps),
            str(spent.tool_calls),
            str(spent.tokens),
            str(spent.cost_micro) + ("+" if spent.uncosted else ""),
            f"{spent.worked_us / 1_000_000:.1f}",
            node.session_id,
        )
    )
    for child in node.children:
        _rows(child, depth + 1, rows)
