"""`life demo list | show | run | replay | copy | record`: the six demos (docs/demos.md)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import click
import msgspec

from life.aios.money import format_micro
from life.aios.record import EventRecord
from life.cli.demo_story import StoryLine, lines_of, money_lines, story
from life.cli.run import command_errors, data_dir_option, run
from life.cli.tables import print_table
from life.host.demos.files import estimate, read_lines
from life.host.demos.lines import detail_of, line_of
from life.workspace.demos.catalogue import demo, demos, recording, recording_id
from life.workspace.demos.demo import Demo

_LABEL_COLUMNS: Final = 12
_TONES: Final = {"good": "green", "bad": "red", "ask": "yellow"}
_CONTEXT: Final = {"help_option_names": ["-h", "--help"]}

_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
_name = click.argument("name")


@click.command("list", context_settings=_CONTEXT)
@_json_option
@command_errors
def list_(as_json: bool) -> None:
    """List the demos that are shipped."""
    if as_json:
        _print_json({"demos": [line_of(each) for each in demos()]})
        return
    rows = [(each.slug, each.language, _costs(each), _plays(each), each.description) for each in demos()]
    print_table(("NAME", "LANGUAGE", "MODEL COST", "RECORDING", "WHAT IT SHOWS"), rows, right=(2,))
    click.echo("\nRun one: life demo run sentinel. Look at one: life demo replay sentinel.")


@click.command(context_settings=_CONTEXT)
@_name
@_json_option
@command_errors
def show(name: str, as_json: bool) -> None:
    """Show what a demo does, what it has, and what is simulated in it."""
    shown = demo(name)
    if as_json:
        _print_json(detail_of(shown))
        return
    click.echo(click.style(shown.name, bold=True) + f"  ({shown.slug}, {shown.ui.eyebrow})\n\n{shown.description}\n")
    _told("model", f"scripted; its tokens cost {_costs(shown)} as {shown.priced_as.model}")
    for suggestion in shown.ui.suggestions:
        _told("say", f"“{suggestion.prompt}”")
    for branch in shown.branches:
        _told("or branch", f"“{branch.prompt}”")
    _told("tools", ", ".join(shown.tools))
    for path in shown.seed_files:
        _told("file", path)
    _told("may", ", ".join(shown.policy.allow))
    if shown.policy.gate:
        _told("asks about", ", ".join(shown.policy.gate))
    for words in shown.simulated:
        _told("simulated", words)
    _told("panels", ", ".join(shown.panels))
    _told("recording", _plays(shown))


@click.command("run", context_settings=_CONTEXT)
@_name
@click.option("--suggestion", type=click.IntRange(0), default=0, show_default=True, help="Which of its words to say.")
@click.option("--model", default="", help="A live model, like anthropic or ollama:MODEL (docs/models.md).")
@click.option("--yes", is_flag=True, help="Answer every question as the demo's own file does.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Run it in this project and keep the session.  [default: a temporary one]",
)
@_json_option
@command_errors
def run_(name: str, suggestion: int, model: str, yes: bool, data_dir: Path | None, as_json: bool) -> None:
    """Run a demo on the real runtime: real session, tools, files, journal, policy and play money.

    The model is scripted unless --model names another one. Questions are put to you; with --yes they are answered as the demo's
    file does. The exit code is 0 only if the run completed and showed what it promises (checked for the scripted model's first suggestion).
    """
    from life.cli.demo_running import play_demo  # everything is opened only by who runs one

    hear = _unheard if as_json else _tell
    went = run(play_demo(demo(name), suggestion, model, yes=yes, data_dir=data_dir, hear=hear))
    session_id, outcome = went.session_id, went.outcome
    checked = not model and suggestion == 0 and went.as_written
    unmet = outcome.unmet if checked else []
    if as_json:
        _print_json(
            {
                "slug": name,
                "session_id": session_id,
                "reason": outcome.reason,
                "answer": outcome.answer,
                "events": len(outcome.records),
                "checked": checked,
                "unmet": unmet,
            }
        )
    else:
        for line in money_lines(outcome.money):
            _show(line)
        for problem in unmet:
            _show(StoryLine("missing", problem, "bad"))
        if not went.as_written:
            _show(StoryLine("not checked", "you decided otherwise than the story goes, and its model is a script"))
        if checked and not unmet:
            _show(StoryLine("checked", f"everything that {name} promises was there", "good"))
        if data_dir is not None:
            click.echo(f"\nLook into it: arcan session show {session_id} --data-dir {data_dir}")
    if unmet or outcome.reason != "completed":
        sys.exit(1)


@click.command(context_settings=_CONTEXT)
@_name
@_json_option
@command_errors
def replay(name: str, as_json: bool) -> None:
    """Show a demo's recording, and run it again from its events alone: no model, no tool and no network is asked."""
    from life.testing.replay import replays  # the runtime is only needed here

    path = recording(name)
    records = read_lines(path)
    own = [record for record in records if record.session_id == recording_id(name)]
    money = [record for record in records if record.session_id.startswith("wallet:")]
    if not as_json:
        for line in story(own):
            _show(line)
        for line in money_lines(money):
            _show(line)
    report = run(replays(path))
    if as_json:
        _print_json({"slug": name, "events": len(own), "model_calls": report.model_calls, "provider_calls": 0})
    else:
        words = (
            f"{len(own)} events; {report.model_calls} requests came out as recorded, byte for byte, without a provider"
        )
        _show(StoryLine("replayed", words, "good"))


@click.command(context_settings=_CONTEXT)
@_name
@click.option("--as", "called", default="", help="The new session's name.  [default: the demo's]")
@click.option("--model", default="", help="The model that thinks in it.  [default: the project's]")
@data_dir_option
@_json_option
@command_errors
def copy(name: str, called: str, model: str, data_dir: Path, as_json: bool) -> None:
    """Make a demo yours: its files, instructions, tools and policy in a session of this project. Nothing is started."""
    from life.host.demos.copying import copy_demo  # as above

    session_id = run(copy_demo(data_dir, demo(name).slug, name=called, model=model, environment=os.environ))
    if as_json:
        _print_json({"slug": name, "session_id": session_id})
    else:
        click.echo(f"Session {session_id} is yours.\n  → arcan shell -s {session_id} --data-dir {data_dir}")


@click.command(context_settings=_CONTEXT)
@_name
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_json_option
@command_errors
def record(name: str, file: Path, as_json: bool) -> None:
    """Run a demo, check it, and write its recording to FILE (and the contents of its files beside it)."""
    from life.host.demos.recording import record as make  # only who records needs it

    made = run(make(name, file))
    if as_json:
        _print_json({"slug": name, "file": str(file), **made._asdict()})
    else:
        click.echo(f"{file}: {made.events} events, {made.model_calls} model calls, {made.bytes} bytes.")


def _unheard(_: EventRecord) -> None:
    """Nothing is shown."""


def _tell(record: EventRecord) -> None:
    for line in lines_of(record):
        _show(line)


def _show(line: StoryLine) -> None:
    label = click.style(f"{line.label:<{_LABEL_COLUMNS}}", fg="cyan") if line.label else " " * _LABEL_COLUMNS
    click.echo(f"  {label}{click.style(line.text, fg=_TONES[line.tone]) if line.tone else line.text}")


def _told(label: str, words: str) -> None:
    _show(StoryLine(label, words))


def _costs(each: Demo) -> str:
    found = estimate(each.slug)
    return "unknown" if found is None else format_micro(found.typical)


def _plays(each: Demo) -> str:
    count = line_of(each).recording_events
    return f"{count} events" if count else "none"


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


__all__ = ["copy", "list_", "record", "replay", "run_", "show"]
