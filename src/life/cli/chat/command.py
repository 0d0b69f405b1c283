"""`life chat`"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from life.aios.errors import InvalidInputError
from life.cli.chat.words import chosen_language, signs_for, words_of
from life.cli.run import command_errors, data_dir_option, run, workspace_option
from life.cli.shell.surface import is_plain
from life.host.clock import SystemClock
from life.host.data_directory import DataDirectory

if TYPE_CHECKING:
    from life.cli.chat.controller import ChatConversation
    from life.cli.chat.opening import Opened
    from life.cli.chat.words import Words


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@data_dir_option
@click.option(
    "-s", "--session", "session_id", help="The session to go on with, made when it is not there.  [default: a new one]"
)
@click.option("--branch", default="main", show_default=True, help="The branch of the session.")
@click.option("--last", "-r", is_flag=True, help="Go on with the session that was used last.")
@click.option("--read-only", is_flag=True, help="Only look: the journal is read, and no model, tool or key is touched.")
@click.option(
    "--file",
    "recording",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Look at a recording (JSON lines of `arcan session export`).",
)
@click.option("--at", type=click.IntRange(1), help="Begin at the moment after this event.")
@workspace_option
@click.option("--model", help="The model for this session, like anthropic or openai:MODEL (docs/models.md).")
@click.option("--language", type=click.Choice(["en", "es"]), help="The words on the screen.  [default: LANG]")
@click.option("--ascii", "ascii_only", is_flag=True, help="No sign outside of ASCII.")
@click.option(
    "--mouse/--no-mouse",
    default=True,
    show_default=True,
    help="Wheel and clicks; without, the terminal selects text as ever.",
)
@command_errors
def chat(
    data_dir: Path,
    session_id: str | None,
    branch: str,
    last: bool,
    read_only: bool,
    recording: Path | None,
    at: int | None,
    workspace: Path | None,
    model: str | None,
    language: str | None,
    ascii_only: bool,
    mouse: bool,
) -> None:
    """The workspace in a terminal: talk, decide, look through time, branch.

    Works on the running daemon of the data directory, or opens it itself. Example: life chat -s notes
    """
    only_looks = read_only or recording is not None
    if last and session_id is not None:
        raise click.UsageError("Either --last or --session.")
    if recording is not None and (last or read_only or session_id):
        raise click.UsageError("--file is looked at by itself.")
    if read_only and not last and session_id is None:
        raise click.UsageError("--read-only needs --session or --last.")
    if only_looks and (workspace is not None or model is not None):
        raise click.UsageError("Looking needs no --workspace and no --model.")
    words = words_of(chosen_language(language))
    if is_plain(sys.stdin, sys.stdout):
        _line_by_line(
            words,
            data_dir,
            session_id,
            branch,
            last=last,
            only_looks=only_looks,
            recording=recording,
            model=model,
            workspace=workspace,
        )
        return
    _require_textual()
    status = run(
        _chat(
            data_dir,
            session_id,
            branch,
            last=last,
            read_only=read_only,
            recording=recording,
            at=at,
            workspace=workspace,
            model=model,
            words=words,
            ascii_only=ascii_only,
            mouse=mouse,
        )
    )
    sys.exit(status)


def _line_by_line(
    words: Words,
    data_dir: Path,
    session_id: str | None,
    branch: str,
    *,
    last: bool,
    only_looks: bool,
    recording: Path | None,
    model: str | None,
    workspace: Path | None,
) -> None:
    """Nothing to draw on: the shell's line mode, or a telling of the past."""
    context = click.get_current_context()
    if not only_looks:
        from life.cli.shell.command import shell

        click.echo(words("noTerminal"), err=True)
        context.invoke(
            shell,
            data_dir=data_dir,
            session_id=session_id,
            branch=branch,
            last=last,
            workspace=workspace,
            model=model,
            show_reasoning=False,
            plain=True,
        )
        return
    click.echo(words("noTerminalRecording"), err=True)
    run(_tell(data_dir, session_id, branch, last=last, recording=recording))


async def _tell(data_dir: Path, session_id: str | None, branch: str, *, last: bool, recording: Path | None) -> None:
    from life.cli.shell.surface import StreamSurface
    from life.cli.shell.view import ShellView

    async with AsyncExitStack() as stack:
        opened, session_id, branch = await _open_view(
            stack, data_dir, session_id, branch, last=last, recording=recording
        )
        surface = StreamSurface(err=sys.stdout)
        view = ShellView(surface, SystemClock())
        after = 0
        while page := await opened.client.events(session_id, branch, after=after, limit=2_000):
            for record in page:
                view.take(record)
            after = page[-1].sequence
        surface.end_line()


async def _open_view(
    stack: AsyncExitStack, data_dir: Path, session_id: str | None, branch: str, *, last: bool, recording: Path | None
) -> tuple[Opened, str, str]:
    """What is only looked at, and which session and branch of it."""
    from life.cli.chat.opening import open_file, open_journal_only
    from life.cli.chat.reader import ListReader

    if recording is not None:
        opened = open_file(recording)
        assert isinstance(opened.reader, ListReader)
        stream = opened.reader.last
        return opened, stream.session_id, stream.branch_id if branch == "main" else branch
    opened = await stack.enter_async_context(open_journal_only(data_dir))
    return opened, session_id or await _last(opened), branch


async def _last(opened: Opened) -> str:
    known = sorted(await opened.client.sessions(), key=lambda each: each.updated_us)
    if not known:
        raise InvalidInputError("There is no session yet.", next_step="Begin one with: life chat")
    return known[-1].session_id


def _require_textual() -> None:
    """One sentence instead of a traceback where the extra is missing."""
    try:
        import textual  # noqa: F401
    except ModuleNotFoundError:
        raise InvalidInputError(
            "The chat needs the extra tui.", next_step="Install it with: pip install 'lifeos[tui]'; or use arcan shell."
        ) from None


async def _chat(
    data_dir: Path,
    session_id: str | None,
    branch: str,
    *,
    last: bool,
    read_only: bool,
    recording: Path | None,
    at: int | None,
    workspace: Path | None,
    model: str | None,
    words: Words,
    ascii_only: bool,
    mouse: bool,
) -> int:
    from life.cli.chat.commands import CHAT_COMMANDS
    from life.cli.chat.controller import ChatConversation
    from life.cli.chat.opening import open_live
    from life.cli.chat.restore import guarded_terminal
    from life.cli.chat.screen import ChatApp

    async with AsyncExitStack() as stack:
        if read_only or recording is not None:
            opened, session_id, branch = await _open_view(
                stack, data_dir, session_id, branch, last=last, recording=recording
            )
        else:
            opened = await stack.enter_async_context(open_live(data_dir, model=model))
            if last:
                session_id = await _last(opened)
        conversation = ChatConversation(
            opened,
            SystemClock(),
            data_dir=data_dir,
            words=words,
            signs=signs_for(sys.stdout, ascii_only=ascii_only),
            more_commands=CHAT_COMMANDS,
        )
        stack.push_async_callback(conversation.aclose)
        await conversation.attach(session_id, branch)
        if workspace is not None:
            DataDirectory(data_dir).adopt_workspace(conversation.session_id, workspace)
        if model is not None:
            await conversation.use_model(model)
        if at is not None:
            await conversation.track.seek(at)
        for warning in opened.client.warnings:
            conversation.view.note(warning, bad=True)
        conversation.keep_told()
        app = ChatApp(conversation, root=Path.cwd())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, conversation.quitting.set)
        with guarded_terminal():
            await app.run_async(mouse=mouse)
        if app.crash is not None:
            raise app.crash
    if opened.acts:
        _farewell(conversation, words)
    return 0


def _farewell(conversation: ChatConversation, words: Words) -> None:
    where = conversation.session_id + ("" if conversation.branch == "main" else f" --branch {conversation.branch}")
    if conversation.is_busy:
        here = conversation.client.place == "in this process"
        click.echo(words("runNotOver" if here else "runGoesOn"), err=True)
    click.echo(words("goOnWith", where=where), err=True)
