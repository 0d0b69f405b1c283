"""`life relay attach`: the shell, on a session at a node elsewhere."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import aclosing
from pathlib import Path

import click
from rich.text import Text

from life.aios.errors import UnavailableError
from life.aios.record import encode_record
from life.cli.relay_opening import Attached, attached, relay_options
from life.cli.relay_sessions import RelaySessions
from life.cli.run import command_errors, run
from life.cli.shell.conversation import Conversation
from life.cli.shell.plain import run_plain
from life.cli.shell.surface import StreamSurface, Surface, is_plain
from life.cli.shell.words import can_ask, printable
from life.host.clock import SystemClock

_RETRY_US = 500_000


@click.command()
@click.argument("node")
@click.argument("session")
@relay_options
@click.option("--branch", default="main", show_default=True, help="The branch of the session.")
@click.option("--after", type=click.IntRange(0), default=0, help="With --json: only events after this sequence.")
@click.option("--plain", is_flag=True, help="Line by line, also in a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Only watch: every event as one canonical record a line.")
@command_errors
def attach(
    node: str,
    session: str,
    data_dir: Path,
    address: str | None,
    branch: str,
    after: int,
    plain: bool,
    as_json: bool,
) -> None:
    """Talk with SESSION at NODE: watch, write, approve, stop.

    NODE is a name, or its DID. The same as `arcan shell` there, as far as you were allowed. Ctrl-D leaves; the run goes on.
    Example: life relay attach home notes
    """
    if as_json:
        run(_watch(data_dir, node, session, address, branch, after))
        return
    line_by_line = plain or is_plain(sys.stdin, sys.stdout)
    sys.exit(run(_attach(data_dir, node, session, address, branch, line_by_line=line_by_line)))


async def _watch(data_dir: Path, node: str, session: str, address: str | None, branch: str, after: int) -> None:
    """Over lost links, each event once."""
    clock = SystemClock()
    async with attached(data_dir, node, address) as link:
        client = RelaySessions(link.owner, node)
        while True:
            try:
                async with aclosing(client.subscribe(session, branch, after)) as records:
                    async for record in records:
                        click.echo(encode_record(record).decode())
                        sys.stdout.flush()
                        after = record.sequence or after
            except UnavailableError as error:
                click.echo(f"{error.message} Trying again.", err=True)
                await clock.sleep_us(_RETRY_US)


async def _attach(
    data_dir: Path, node: str, session: str, address: str | None, branch: str, *, line_by_line: bool
) -> int:
    clock = SystemClock()
    surface: Surface = StreamSurface() if line_by_line else _terminal()
    async with attached(data_dir, node, address) as link:
        client = RelaySessions(link.owner, f"node {printable(node)}")
        asks = can_ask() if line_by_line else True
        conversation = Conversation(client, surface, clock, data_dir=data_dir, asks=asks, echo=not line_by_line)
        _greet(surface, link, line_by_line=line_by_line)
        try:
            await conversation.attach(session, branch)
            if line_by_line:
                asyncio.get_running_loop().add_signal_handler(signal.SIGINT, conversation.interrupt)
                return await run_plain(conversation)
            await _on_screen(conversation, surface, data_dir, clock)
        finally:
            await conversation.aclose()
        if conversation.failure is not None:
            raise conversation.failure
        if conversation.view.busy:
            click.echo("The run goes on at the node.", err=True)
        return 0


def _terminal() -> Surface:
    from life.cli.shell.screen import TerminalSurface  # with a library that only a terminal needs

    return TerminalSurface()


async def _on_screen(conversation: Conversation, surface: Surface, data_dir: Path, clock: SystemClock) -> None:
    from life.cli.shell.screen import Screen, TerminalSurface
    from life.cli.shell.typed_history import FILE_NAME, TypedHistory

    assert isinstance(surface, TerminalSurface)
    history = TypedHistory(data_dir / FILE_NAME, keeps=lambda: not conversation.questions.is_open)
    screen = Screen(conversation, surface, history, clock, root=Path.cwd())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, conversation.quitting.set)
    loop.add_signal_handler(signal.SIGINT, conversation.interrupt)
    await screen.run()


def _greet(surface: Surface, link: Attached, *, line_by_line: bool) -> None:
    dot = surface.glyphs.dot
    key = f"…{link.did[-12:]}"
    who = key if link.name == link.did else f"{printable(link.name)} {dot} {key}"
    surface.aside([Text.assemble(("life relay", "bold"), (f" {dot} {who}", "dim"))])
    if not line_by_line:
        surface.aside(
            [Text(f"/help lists commands {dot} Ctrl-C stops the run, twice leaves {dot} Ctrl-D leaves", "dim")]
        )
    surface.aside([Text("")])
