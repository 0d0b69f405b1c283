"""`arcan shell`"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import click
from rich.text import Text

from life.cli.run import command_errors, data_dir_option, run, workspace_option
from life.cli.session_client import SessionClient, open_client
from life.cli.shell.conversation import Conversation
from life.cli.shell.plain import run_plain
from life.cli.shell.surface import StreamSurface, Surface, is_plain
from life.cli.shell.words import can_ask
from life.host.clock import SystemClock
from life.host.data_directory import DataDirectory


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@data_dir_option
@click.option(
    "-s", "--session", "session_id", help="The session to go on with, made when it is not there.  [default: a new one]"
)
@click.option("--branch", default="main", show_default=True, help="The branch of the session.")
@click.option("--last", "-r", is_flag=True, help="Go on with the session that was used last.")
@workspace_option
@click.option("--model", help="The model for this session, like anthropic or openai:MODEL (docs/models.md).")
@click.option("--show-reasoning", is_flag=True, help="Show what the model thinks, where it lets people read it.")
@click.option("--plain", is_flag=True, help="Line by line, also in a terminal.")
@command_errors
def shell(
    data_dir: Path,
    session_id: str | None,
    branch: str,
    last: bool,
    workspace: Path | None,
    model: str | None,
    show_reasoning: bool,
    plain: bool,
) -> None:
    """Talk with the agent.

    Works on the running daemon of the data directory, or opens it itself. Example: arcan shell -s notes
    """
    if last and session_id is not None:
        raise click.UsageError("Either --last or --session.")
    line_by_line = plain or is_plain(sys.stdin, sys.stdout)
    status = run(
        _shell(
            data_dir,
            session_id,
            branch,
            last=last,
            workspace=workspace,
            model=model,
            show_reasoning=show_reasoning,
            line_by_line=line_by_line,
        )
    )
    sys.exit(status)


async def _shell(
    data_dir: Path,
    session_id: str | None,
    branch: str,
    *,
    last: bool,
    workspace: Path | None,
    model: str | None,
    show_reasoning: bool,
    line_by_line: bool,
) -> int:
    clock = SystemClock()
    surface: Surface = StreamSurface() if line_by_line else _terminal()
    async with open_client(data_dir, model=model) as client:
        if last:
            known = sorted(await client.sessions(), key=lambda each: each.updated_us)
            session_id = known[-1].session_id if known else None
        asks = can_ask() if line_by_line else True
        conversation = Conversation(client, surface, clock, data_dir=data_dir, asks=asks, echo=not line_by_line)
        conversation.show_thoughts = show_reasoning
        _greet(client, surface, line_by_line=line_by_line)
        await conversation.attach(session_id, branch)
        if workspace is not None:
            DataDirectory(data_dir).adopt_workspace(conversation.session_id, workspace)
        if model is not None:
            await conversation.use_model(model)
        try:
            if line_by_line:
                asyncio.get_running_loop().add_signal_handler(signal.SIGINT, conversation.interrupt)
                return await run_plain(conversation)
            await _on_screen(conversation, surface, data_dir, clock)
        finally:
            await conversation.aclose()
        if conversation.failure is not None:
            raise conversation.failure
        _farewell(conversation)
        return 0


def _terminal() -> Surface:
    from life.cli.shell.screen import TerminalSurface  # with a library that only a terminal needs

    return TerminalSurface()


async def _on_screen(conversation: Conversation, surface: Surface, data_dir: Path, clock: SystemClock) -> None:
    from life.cli.shell.screen import Screen, TerminalSurface
    from life.cli.shell.typed_history import FILE_NAME, TypedHistory

    assert isinstance(surface, TerminalSurface)
    keeps = lambda: not conversation.questions.is_open  # noqa: E731
    history = TypedHistory(DataDirectory(data_dir).root / FILE_NAME, keeps=keeps)
    screen = Screen(conversation, surface, history, clock, root=Path.cwd())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, conversation.quitting.set)
    # Until the terminal is set up, Ctrl-C is a signal instead of a key.
    loop.add_signal_handler(signal.SIGINT, conversation.interrupt)
    await screen.run()


def _greet(client: SessionClient, surface: Surface, *, line_by_line: bool) -> None:
    dot = surface.glyphs.dot
    model = client.model or "the daemon's model"
    surface.aside([Text.assemble(("arcan shell", "bold"), (f" {dot} {model} {dot} {client.place}", "dim"))])
    if not line_by_line:
        surface.aside([Text(f"/help lists commands {dot} @ attaches a file {dot} Ctrl-C stops, twice leaves", "dim")])
    surface.aside([Text(warning, "yellow") for warning in client.warnings])
    surface.aside([Text("")])


def _farewell(conversation: Conversation) -> None:
    where = conversation.session_id + ("" if conversation.branch == "main" else f" --branch {conversation.branch}")
    if conversation.view.busy:
        goes_on = conversation.client.place != "in this process"
        click.echo("The run goes on in the daemon." if goes_on else "The run is not over.", err=True)
    if conversation.view.transcript.head > 1:
        click.echo(f"Go on with: arcan shell -s {where}", err=True)
