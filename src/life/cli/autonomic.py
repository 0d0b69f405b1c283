"""`life autonomic`: what keeps the agent within its means and its limits, in plain words."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.events import Custom
from life.aios.ids import MAIN_BRANCH
from life.aios.money import parse_price_atomic
from life.aios.record import USER, Stream, format_timestamp
from life.autonomic.desk import Picture
from life.autonomic.events import STREAM_NAME
from life.autonomic.profile import judge
from life.autonomic.rules.economic import usd
from life.autonomic.scenario import parse_scenario
from life.autonomic.simulation import Course, simulate
from life.autonomic.words import explanation
from life.cli.run import command_errors, data_dir_option, run
from life.host.autonomic import state_at
from life.host.autonomicd import ProjectAutonomic, open_project_autonomic

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")
branch_option = click.option("--branch", default=MAIN_BRANCH, show_default=True, help="Which branch of the session.")


@click.group()
def autonomic() -> None:
    """What is permitted now and why; deposits; waking; simulation."""


@autonomic.command()
@click.argument("session_id", required=False)
@data_dir_option
@branch_option
@click.option("--at", "sequence", type=click.IntRange(min=1), help="As of this event of the session.")
@json_option
@command_errors
def explain(session_id: str | None, data_dir: Path, branch: str, sequence: int | None, as_json: bool) -> None:
    """Say what is held back in a session (the newest unless one is named), which rule did it, and what helps."""
    run(_explain(data_dir, session_id, branch, sequence, as_json=as_json))


@autonomic.command()
@click.argument("amount")
@data_dir_option
@click.option("--source", default="operator", show_default=True, help="Where it comes from, for the journal.")
@command_errors
def deposit(amount: str, data_dir: Path, source: str) -> None:
    """Let the agent spend AMOUNT more, like $5 or 0.25 (USD). Sessions that hibernate wake once the hold is over."""
    run(_deposit(data_dir, parse_price_atomic(amount, 6, what="amount"), source))


@autonomic.command()
@click.argument("session_id")
@data_dir_option
@branch_option
@click.option("--minutes", type=click.IntRange(1, 1_440), default=10, show_default=True, help="For how long.")
@click.option("--reason", default="", help="Why, for the journal.")
@command_errors
def wake(session_id: str, data_dir: Path, branch: str, minutes: int, reason: str) -> None:
    """Let a session that hibernates work for a while, as in hustle, although there are no means. Nothing is paid meanwhile."""
    run(_wake(data_dir, session_id, branch, minutes, reason))


@autonomic.command()
@click.argument("session_id", required=False)
@data_dir_option
@branch_option
@click.option("--limit", "-n", type=click.IntRange(1, 1_000), default=50, show_default=True)
@json_option
@command_errors
def history(session_id: str | None, data_dir: Path, branch: str, limit: int, as_json: bool) -> None:
    """Show the decisions of the past about a session, or deposits and charges without one."""
    run(_history(data_dir, session_id, branch, limit, as_json=as_json))


@autonomic.command("simulate")
@click.argument("scenario", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--svg", "picture", type=click.Path(path_type=Path, dir_okay=False), help="Write a picture here.")
@click.option("--width", type=click.IntRange(20, 400), default=100, show_default=True, help="Of the chart.")
@json_option
@command_errors
def simulate_(scenario: Path, picture: Path | None, width: int, as_json: bool) -> None:
    """Play a scenario (TOML) through the real rules and plot the pillars."""
    try:
        text = scenario.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{scenario} can't be read: {error}.") from None
    course = simulate(parse_scenario(text))
    if picture is not None:
        from life.autonomic.drawing import svg

        picture.write_text(svg(course))
    if as_json:
        _print_json(course)
        return
    _draw(course, width)
    if picture is not None:
        click.echo(f"Picture: {picture}")


async def _explain(data_dir: Path, session_id: str | None, branch: str, sequence: int | None, *, as_json: bool) -> None:
    async with open_project_autonomic(data_dir, snapshots=True) as project:
        stream = Stream(session_id, branch) if session_id is not None else _newest(project)
        if sequence is None:
            picture = await project.autonomic.picture(stream)
        else:
            state = await state_at(project.journal, stream, sequence, project.autonomic)
            picture = Picture(True, state, judge(state), ())
        if not picture.found:
            raise NotFoundError(
                f"The journal has nothing of the session {stream.session_id}.", next_step="`life status` lists them."
            )
    if as_json:
        verdict = picture.verdict
        document = {"session_id": stream.session_id, "rules_fired": verdict.fired, "profile": verdict.profile}
        _print_json({**document, "context": verdict.context, "state": picture.state})
        return
    as_of = "" if sequence is None else f", as of event {sequence}"
    click.echo(click.style(f"Session {stream.session_id}{as_of}", bold=True))
    for line in explanation(picture):
        click.echo(line)


def _newest(project: ProjectAutonomic) -> Stream:
    """The session that something happened in last."""
    known = [
        (vitals.last_event_ms, stream)
        for stream, vitals in project.autonomic.homeostasis.streams()
        if vitals.turns or vitals.run_open
    ]
    if not known:
        raise NotFoundError("No session has run here yet.", next_step="Start one, then ask again.")
    return max(known)[1]


async def _deposit(data_dir: Path, amount_micro: int, source: str) -> None:
    async with open_project_autonomic(data_dir, snapshots=True) as project:
        after = await project.autonomic.deposit(amount_micro, source=source, actor=USER)
        mode = project.autonomic.mode()
    click.echo(f"Deposited {usd(amount_micro)}. The agent may now spend {usd(after)}; its mode is {mode}.")


async def _wake(data_dir: Path, session_id: str, branch: str, minutes: int, reason: str) -> None:
    async with open_project_autonomic(data_dir, snapshots=True) as project:
        picture = await project.autonomic.picture(Stream(session_id, branch))
        if not picture.found:
            raise NotFoundError(f"The journal has nothing of the session {session_id}.")
        until_ms = await project.autonomic.wake(
            session_id, minutes=minutes, by="operator", branch=branch, reason=reason
        )
        hibernates = picture.verdict.profile.economic.economic_mode == "hibernate"
        working = project.data.address_of("arcand") is not None
    click.echo(f"The session {session_id} may work until {format_timestamp(until_ms * 1000)[:19]}Z.")
    if not hibernates:
        click.echo("It does not hibernate now; this counts if it has to until then.")
    elif not working:
        click.echo("No daemon works here: its run goes on when one is started (`life up`).")


async def _history(data_dir: Path, session_id: str | None, branch: str, limit: int, *, as_json: bool) -> None:
    stream = Stream(STREAM_NAME) if session_id is None else Stream(session_id, branch)
    async with open_project_autonomic(data_dir, snapshots=True) as project:
        records = await project.autonomic.history(stream, limit)
    if as_json:
        _print_json(
            [{"sequence": one.sequence, "at": format_timestamp(one.timestamp_us), "event": one.kind} for one in records]
        )
        return
    if not records:
        click.echo("Nothing was decided yet.", err=True)
    for record in records:
        kind = record.kind
        if isinstance(kind, Custom):
            click.echo(f"{format_timestamp(record.timestamp_us)[:19]}  {record.sequence:>6}  {_line(kind)}")


def _line(kind: Custom) -> str:
    """A decision in a line."""
    data = kind.data if isinstance(kind.data, dict) else {}
    name = kind.event_type.removeprefix("autonomic.")
    words = data.get("rationale") or data.get("reason") or data.get("error") or data.get("source") or ""
    said = " ".join(map(str, words)) if isinstance(words, list) else str(words)
    amount = data.get("amount_micro_credits")
    what = f"{data.get('from')} → {data.get('to')}" if name == "EconomicModeChanged" else ""
    what = usd(amount) if isinstance(amount, int) else what
    if name == "GatingDecision" and not said:
        said = "nothing is held back"
    text = "  ".join(part for part in (name, what, said) if part)
    return "".join(character if character.isprintable() else "�" for character in text)


def _draw(course: Course, width: int) -> None:
    """The chart and what happened."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from life.autonomic.drawing import clock_text, rows

    console = Console(width=width + 48, highlight=False)
    table = Table(title=course.scenario, show_header=False, box=None, title_justify="left", title_style="bold")
    colours = {"·": "green", "c": "yellow", "h": "dark_orange", "Z": "red"}
    for name, blocks in rows(course, width):
        drawn = Text()
        for block in blocks:
            drawn.append(block, style=colours.get(block, "") if name == "mode" else "cyan")
        table.add_row(name[:44], drawn)
    console.print(table)
    console.print("mode: · sovereign, c conserving, h hustle, Z hibernate", style="dim")
    happened = [(at_s, f"[{label}]", "") for at_s, label in course.marks]
    happened += [(turn.at_s, turn.what, turn.why) for turn in course.turns]
    for at_s, what, why in sorted(happened, key=lambda item: item[0]):
        click.echo(f"{clock_text(at_s):>9}  {what}" + (f": {why}" if why else ""))
    recovered = course.recovered_at_s
    click.echo(
        "At the end something is held back."
        if recovered is None
        else f"Nothing is held back from {clock_text(recovered)} on."
    )


def _print_json(value: object) -> None:
    click.echo(msgspec.json.encode(value).decode())
