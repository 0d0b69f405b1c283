"""`arcan run`: one objective, its answer on standard output, everything else on standard error."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Final, Literal, NamedTuple

import click
import msgspec

from life.aios.errors import LifeError, UnavailableError
from life.aios.ids import MAIN_BRANCH
from life.aios.record import encode_record
from life.arcan.events import RunLimits
from life.cli.run import command_errors, data_dir_option, report, run, workspace_option
from life.cli.session_client import Answer, SessionClient, open_client
from life.cli.shell.items import (
    Asked,
    InDoubt,
    Item,
    RunEnded,
)
from life.cli.shell.mentions import MOST_BYTES, Attachment, attach, attachment, with_attachments, with_mentions
from life.cli.shell.questions import APPROVAL_HELP
from life.cli.shell.reading import LineReader
from life.cli.shell.surface import StreamSurface
from life.cli.shell.transcript import without_attachments
from life.cli.shell.view import ShellView
from life.cli.shell.words import can_ask, is_terminal, one_line, printable
from life.host.clock import SystemClock
from life.host.data_directory import DataDirectory

FAILED: Final = 1
WAITS_FOR_PERSON: Final = 3
STOPPED_BY_LIMIT: Final = 4
UNREACHABLE: Final = 5
INTERRUPTED: Final = 130

_STATUS: Final = {
    "completed": 0,
    "budget_exceeded": STOPPED_BY_LIMIT,
    "max_iterations": STOPPED_BY_LIMIT,
    "max_tokens": STOPPED_BY_LIMIT,
    "vetoed": STOPPED_BY_LIMIT,
    "circuit_breaker": STOPPED_BY_LIMIT,
    "in_doubt": WAITS_FOR_PERSON,
}

Approve = Literal["none", "ask", "policy"]


class _Wanted(NamedTuple):
    data_dir: Path
    objective: str
    session_id: str | None
    branch: str
    workspace: Path | None
    model: str | None
    approve: Approve
    limits: dict[str, int]
    as_json: bool
    quiet: bool
    final: bool


@click.command("run", context_settings={"help_option_names": ["-h", "--help"]})
@data_dir_option
@click.argument("objective", required=False)
@click.option("-s", "--session", "session_id", help="The session, made when it is not there.  [default: a new one]")
@click.option("--branch", default=MAIN_BRANCH, show_default=True, help="The branch of the session.")
@workspace_option
@click.option("--model", help="The session's model from now on, like anthropic or openai:MODEL (docs/models.md).")
@click.option(
    "--attach",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A text file to send along; may be repeated.",
)
@click.option(
    "--approve",
    type=click.Choice(["none", "ask", "policy"]),
    default="ask",
    show_default=True,
    help="Calls that need a person: none refuses them, ask asks here, policy waits for whoever decides elsewhere.",
)
@click.option("--max-steps", type=click.IntRange(1), help="Model calls.")
@click.option("--max-tokens", type=click.IntRange(1), help="Tokens of all model calls.")
@click.option("--max-time", "max_time_s", type=click.IntRange(1), help="Seconds of work.")
@click.option("--max-tool-calls", type=click.IntRange(0), help="Tool calls.")
@click.option("--max-cost", "max_cost_usd", type=click.FloatRange(0, min_open=True), help="Dollars.")
@click.option("--json", "as_json", is_flag=True, help="Every event as it happens, one JSON record a line.")
@click.option("--quiet", "-q", is_flag=True, help="Nothing on standard error but errors.")
@click.option("--final", is_flag=True, help="Only the last answer, also in a terminal.")
@command_errors
def run_once(
    data_dir: Path,
    objective: str | None,
    session_id: str | None,
    branch: str,
    workspace: Path | None,
    model: str | None,
    files: tuple[Path, ...],
    approve: Approve,
    max_steps: int | None,
    max_tokens: int | None,
    max_time_s: int | None,
    max_tool_calls: int | None,
    max_cost_usd: float | None,
    as_json: bool,
    quiet: bool,
    final: bool,
) -> None:
    """Run one objective and print the answer.

    What is piped in goes along: git diff | arcan run "review this". Exit status: 0 done, 1 failed, 2 usage, 3 waits for a person, 4 stopped
    by a limit, 5 the daemon does not answer, 130 interrupted.
    """
    limits = {
        "max_steps": max_steps,
        "max_tokens": max_tokens,
        "max_time_ms": None if max_time_s is None else max_time_s * 1000,
        "max_tool_calls": max_tool_calls,
        "max_cost_micro": None if max_cost_usd is None else max(1, round(max_cost_usd * 1_000_000)),
    }
    wanted = _Wanted(
        data_dir,
        _message(objective, files),
        session_id,
        branch,
        workspace,
        model,
        approve,
        {name: value for name, value in limits.items() if value is not None},
        as_json,
        quiet,
        final,
    )
    try:
        status = run(_Run(wanted).drive())
    except UnavailableError as error:
        report(error)
        status = UNREACHABLE
    sys.exit(status)


def _message(objective: str | None, files: tuple[Path, ...]) -> str:
    """The words, and what goes along with them."""
    piped = b"" if is_terminal(sys.stdin) else sys.stdin.buffer.read(MOST_BYTES + 1)
    if objective is None:
        if not piped.strip():
            raise click.UsageError('Say what to do: arcan run "…".')
        objective, piped = attachment("standard input", piped).content, b""
    attached: list[Attachment] = [attach(path) for path in files]
    if piped.strip():
        attached.append(attachment("standard input", piped))
    message = with_mentions(objective)
    return with_attachments(message, attached) if attached else message


class _Run:
    """One run, from its start to its end."""

    def __init__(self, wanted: _Wanted) -> None:
        self._wanted = wanted
        self._is_piped = not is_terminal(sys.stdout)
        silent = wanted.as_json or wanted.final or self._is_piped
        self._surface = StreamSurface(quiet=wanted.quiet or wanted.as_json, silent=silent)
        self._view = ShellView(self._surface, SystemClock(), echo=False)
        self._view.on_item = self._heard
        self._prints_final = silent and not wanted.as_json
        self._questions: asyncio.Queue[Asked] = asyncio.Queue()
        self._ended: asyncio.Future[int] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._session_id = ""
        self._run_id = ""
        self._is_interrupted = False

    async def drive(self) -> int:
        """Start the run and follow it; the exit status."""
        wanted = self._wanted
        self._ended = asyncio.get_running_loop().create_future()
        async with open_client(wanted.data_dir, model=wanted.model) as client:
            name = "" if wanted.session_id else one_line(without_attachments(wanted.objective).text, 60)
            view = await client.open_session(wanted.session_id, name=name)
            self._session_id = view.session_id
            if wanted.workspace is not None:
                DataDirectory(wanted.data_dir).adopt_workspace(view.session_id, wanted.workspace)
            if wanted.branch != MAIN_BRANCH:
                view = await client.view(view.session_id, wanted.branch)
            if wanted.model is not None:
                await client.set_model(view.session_id, wanted.model, wanted.branch)
                view = await client.view(view.session_id, wanted.branch)
            self._view.transcript.head = view.version
            limits = msgspec.convert(wanted.limits, RunLimits) if wanted.limits else None
            self._run_id = await client.start(view.session_id, wanted.objective, branch=wanted.branch, limits=limits)
            for work in (self._follow(client), self._decide(client)):
                self._begin(work)
            self._listen_to_signals(client)
            try:
                return await self._ended
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        """Work beside the run; what fails ends the command."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and self._ended is not None and not self._ended.done():
            self._ended.set_exception(error)

    async def _follow(self, client: SessionClient) -> None:
        head = self._view.transcript.head
        async with aclosing(client.subscribe(self._session_id, self._wanted.branch, head)) as records:
            async for record in records:
                if self._wanted.as_json:
                    sys.stdout.write(encode_record(record).decode() + "\n")
                    sys.stdout.flush()
                self._view.take(record)

    def _heard(self, item: Item) -> None:
        match item:
            case Asked():
                self._questions.put_nowait(item)
            case InDoubt():
                self._view.note(f"Say what happened: arcan shell -s {self._session_id}", bad=True)
                self._finish(WAITS_FOR_PERSON)
            case RunEnded() if item.run_id == self._run_id:
                if self._prints_final and item.final_answer and item.reason != "error":
                    answer = item.final_answer if self._is_piped else printable(item.final_answer)
                    sys.stdout.write(answer.rstrip("\n") + "\n")
                    sys.stdout.flush()
                if item.reason == "error" and (self._wanted.quiet or self._wanted.as_json):
                    click.echo(f"Error: {printable(item.error)}", err=True)
                self._finish(INTERRUPTED if self._is_interrupted else _STATUS.get(item.reason, FAILED))
            case _:
                pass

    def _finish(self, status: int) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(status)

    # Questions

    async def _decide(self, client: SessionClient) -> None:
        reader: LineReader | None = None
        while True:
            item = await self._questions.get()
            approve = self._wanted.approve
            if approve == "none":
                refusal = Answer(approved=False, reason="Nobody is there to be asked; calls like this one are refused.")
                await client.decide(self._session_id, self._wanted.branch, item.approval_id, refusal)
                continue
            self._view.question(item)
            if approve == "policy":
                self._view.note(f"Waits for a decision elsewhere: arcan shell -s {self._session_id}, or the page.")
            elif can_ask():
                reader = reader or LineReader(sys.stdin)
                await self._ask(client, item, reader)
            else:
                click.echo(
                    f"Error: {item.tool_name} needs a person, and nobody can be asked here.\n"
                    f"  → The run waits: arcan shell -s {self._session_id}. With --approve none such calls are refused.",
                    err=True,
                )
                self._finish(WAITS_FOR_PERSON)

    async def _ask(self, client: SessionClient, item: Asked, reader: LineReader) -> None:
        while True:
            click.echo("allow? y/n/s ", err=True, nl=False)
            line = await reader.line()
            first, _, rest = (line or "n").strip().partition(" ")
            answer = {
                "y": Answer(approved=True),
                "yes": Answer(approved=True),
                "s": Answer(approved=True, scope="session"),
                "n": Answer(approved=False, reason=rest or None),
                "no": Answer(approved=False, reason=rest or None),
            }.get(first.lower())
            if answer is None:
                click.echo(APPROVAL_HELP.replace(", e edit", ""), err=True)
                continue
            await client.decide(self._session_id, self._wanted.branch, item.approval_id, answer)
            return

    # Interrupts

    def _listen_to_signals(self, client: SessionClient) -> None:
        """The first one stops the run in an orderly way, the second one leaves at once."""

        def interrupted() -> None:
            if self._is_interrupted:
                self._finish(INTERRUPTED)
                return
            self._is_interrupted = True
            self._begin(self._cancel(client))

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, interrupted)

    async def _cancel(self, client: SessionClient) -> None:
        try:
            await client.cancel(self._session_id, self._wanted.branch)
        except LifeError as error:
            report(error)
            self._finish(INTERRUPTED)
