"""`life status`: the whole project at a glance, in plain words."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from life.aios.errors import NotFoundError
from life.autonomic.words import title
from life.cli.run import command_errors, data_dir_option, run
from life.cli.tables import print_table
from life.host.project_status import ProjectStatus, SessionLine, project_status

_WIDTH = 60


@click.command()
@data_dir_option
@click.option("--limit", "-n", type=click.IntRange(1, 200), default=10, show_default=True, help="Sessions to show.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")
@command_errors
def status(data_dir: Path, limit: int, as_json: bool) -> None:
    """Show sessions, means, health, what waits for a person, and which daemons run."""
    if (data_dir / "identity").is_dir() and not (data_dir / "journal.db").exists() and not (data_dir / "nats").exists():
        raise NotFoundError("Nothing has run in this project yet.", next_step="Begin with: arcan shell")
    found = run(project_status(data_dir))
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    _tell(found, limit)


def _tell(found: ProjectStatus, limit: int) -> None:
    click.echo(click.style(f"Agent {found.agent}", bold=True) + (f" · {found.did}" if found.did else ""))
    if not found.regulation:
        click.echo(click.style("Regulation is switched off (autonomic.enabled).", fg="yellow"))
    if found.problem:
        click.echo(click.style(f"Regulation does not work: {found.problem}. The safe profile holds.", fg="red"))
    for line in found.words:
        click.echo(line)
    if found.payment_mode != found.economic_mode:
        click.echo(f"  payments are decided as in {found.payment_mode}.")
    trust = found.trust
    seen = (
        "nothing was recorded yet" if not trust.evidence else f"{trust.evidence} recorded outcomes, {trust.trajectory}"
    )
    score = "" if not trust.evidence else f" {trust.score:.2f}"
    click.echo(f"  trust        {trust.tier}{score} ({seen})")
    weakest = min(found.stability, key=lambda level: found.stability[level])
    words = "stable" if found.stable else f"UNSTABLE at {weakest}"
    click.echo(f"  control      {words}; the margin of regulation is {found.stability['L1']:.3f}")
    click.echo()
    _sessions(found, limit)
    click.echo()
    if found.approvals:
        calls = found.approvals - found.payments_waiting
        click.echo(
            click.style(f"Waiting for you: {calls} tool call(s), {found.payments_waiting} payment(s).", fg="yellow")
        )
        if found.payments_waiting:
            click.echo("  → haima approvals list")
    else:
        click.echo("Nothing waits for you.")
    running = [f"{name} at {address}" for name, address in found.daemons.items() if address is not None]
    click.echo(f"Daemons: {', '.join(running) if running else 'none runs here'}")


def _sessions(found: ProjectStatus, limit: int) -> None:
    if not found.sessions:
        click.echo("No sessions yet.")
        return
    rows = [
        [line.session_id, line.standing, str(line.runs), str(line.errors), line.updated_at[:19], _note(line)]
        for line in found.shown[:limit]
    ]
    print_table(["Session", "Standing", "Runs", "Errors", "Last event", "Note"], rows, right=(2, 3))
    if found.sessions > limit:
        click.echo(f"… and {found.sessions - limit} more (--limit).")


def _note(line: SessionLine) -> str:
    """What a person should know about a session."""
    if line.suspended:
        text = line.suspended
    elif line.waiting:
        text = f"asks about {', '.join(line.waiting)}"
    else:
        text = ", ".join(title(rule) for rule in line.rules_fired)
    plain = "".join(character if character.isprintable() else "�" for character in text)
    return plain if len(plain) <= _WIDTH else plain[: _WIDTH - 1] + "…"
