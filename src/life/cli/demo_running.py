"""Running a demo for the command line: in a project, or in a temporary one, with a person's answers or those of the demo's file."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import click

from life.cli.shell.reading import LineReader
from life.cli.shell.words import can_ask
from life.host.data_directory import DataDirectory
from life.host.demos.demos import Demos
from life.host.demos.playing import Listener, Outcome, Question, UnexpectedQuestionError, as_written, play
from life.host.settings import Settings, load_settings
from life.host.system import System, open_system
from life.workspace.demos.demo import Decision, Demo

_LABEL_COLUMNS: Final = 12


class Played(NamedTuple):
    """How a demo went."""

    session_id: str
    outcome: Outcome
    as_written: bool
    """Whether every question was answered as in the demo's file: only then can it show what the file promises."""


async def play_demo(
    played: Demo, suggestion: int, model: str, *, yes: bool, data_dir: Path | None, hear: Listener
) -> Played:
    """Run a demo to its end. `hear` is told of every event."""
    async with _opened(data_dir) as system:
        demos = Demos(system)
        person = _Person(played)
        started = await demos.run(played.slug, suggestion=suggestion, model=model)
        answer = as_written(played) if yes else person.answer
        outcome = await play(system, demos, played, started, answer=answer, hear=hear)
        return Played(started.session_id, outcome, person.is_as_written)


class _Person:
    """Whoever sits at the terminal."""

    def __init__(self, played: Demo) -> None:
        self._written = as_written(played)
        self._reader: LineReader | None = None
        self.is_as_written = True

    async def answer(self, question: Question) -> Decision | None:
        """Ask, and compare with what the demo's file would say."""
        if not can_ask():
            raise click.ClickException(
                f"This needs a person: {question.words}\nRun it in a terminal, or with --yes to answer as the demo's file does."
            )
        click.echo(click.style(f"  {'question':<{_LABEL_COLUMNS}}", fg="yellow") + question.words)
        allowed = await self._allows()
        try:
            expected = await self._written(question)
        except UnexpectedQuestionError:
            expected = None
        if expected is None or expected.approve is not allowed:
            self.is_as_written = False
            return Decision(about=question.about, approve=allowed, reason="" if allowed else "Not now.")
        return expected

    async def _allows(self) -> bool:
        self._reader = self._reader or LineReader(sys.stdin)
        while True:
            click.echo(f"  {'':<{_LABEL_COLUMNS}}allow? y/n ", nl=False)
            line = await self._reader.line()
            word = (line or "n").strip().lower()
            if word in ("y", "yes", "n", "no"):
                return word.startswith("y")


@asynccontextmanager
async def _opened(data_dir: Path | None) -> AsyncIterator[System]:
    """The project's system, or one in a temporary directory that goes away with its key."""
    if data_dir is not None:
        data = DataDirectory.create(data_dir)
        with data.lock("arcand"):
            settings = load_settings(data.config, os.environ)
            async with open_system(data_dir, settings=settings, environment=os.environ) as system:
                yield system
        return
    with tempfile.TemporaryDirectory(prefix="life-demo-") as folder:
        environment = {**os.environ, "LIFE_KEY_FILE": str(Path(folder) / "key")}
        async with open_system(Path(folder) / "life", settings=Settings(), environment=environment) as system:
            yield system
