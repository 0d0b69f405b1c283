"""The shell's controller: one session at a time, followed, talked to, and decided about.

What a person types arrives in `enter`: an answer while a question is open, a command behind `/`, otherwise a message. A message
that comes while a run goes on waits its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from life.aios.errors import LifeError, NotFoundError, UnavailableError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.clock import Clock
from life.aios.record import EventRecord
from life.aios.state import SteeringMode
from life.arcan.api import SessionView
from life.cli.session_client import SessionClient
from life.cli.shell.items import (
    Asked,
    Decided,
    DoubtOver,
    InDoubt,
    Item,
    RunEnded,
)
from life.cli.shell.mentions import with_mentions
from life.cli.shell.questions import Questions
from life.cli.shell.surface import Surface
from life.cli.shell.view import ShellView

if TYPE_CHECKING:
    from life.cli.shell.slash import Command

_SHOWN_TURNS: Final = 3
"""Of an older conversation, when it is taken up again."""

_PAGE: Final = 1000
_RETRY_US: Final = 500_000
QUIT_WINDOW_US: Final = 2_000_000


class Conversation:
    """One open session in a shell."""

    def __init__(
        self, client: SessionClient, surface: Surface, clock: Clock, *, data_dir: Path, asks: bool, echo: bool = True
    ) -> None:
        """`asks`: whether a person can answer questions here."""
        self.client = client
        self.surface = surface
        self.clock = clock
        self.data_dir = data_dir
        self.asks = asks
        self.session_id = ""
        self.branch = MAIN_BRANCH
        self.questions = Questions(self)
        self.quitting = asyncio.Event()
        self.on_prompt: Callable[[], None] = lambda: None
        """Hears that what is asked has changed."""
        self.set_input: Callable[[str], None] = lambda _text: None
        """Puts text where a person types, to be changed and sent."""
        self.clear_screen: Callable[[], None] = lambda: None
        self.more_commands: tuple[Command, ...] = ()
        """Commands that only this surface has, beside everybody's."""
        self.show_thoughts = False
        self.hint = ""
        self.last_end: RunEnded | None = None
        self.failure: BaseException | None = None
        """What ended the shell against everybody's will."""
        self._echo = echo
        self.view = ShellView(surface, clock, echo=echo)
        self._following: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._interrupted_us = 0
        self._tasks: set[asyncio.Task[None]] = set()

    # Attaching

    async def attach(self, session_id: str | None, branch: str = MAIN_BRANCH) -> None:
        """Take up a session (a new one without an id), show its last turns, and follow it."""
        opened = await self.client.open_session(session_id)
        state = opened if branch == MAIN_BRANCH else await self.client.view(opened.session_id, branch)
        await self._stop_following()
        self.session_id, self.branch = state.session_id, branch
        self.view = ShellView(self.surface, self.clock, echo=self._echo, show_thoughts=self.show_thoughts)
        self.last_end = None
        self.questions.clear()
        await self._show_past(state.version)
        self.view.on_item = self._heard
        await self._ask_what_waits()
        self._following = asyncio.get_running_loop().create_task(self._follow())
        self._following.add_done_callback(self._followed)

    async def aclose(self) -> None:
        """Stop following."""
        await self._stop_following()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def use_model(self, specification: str) -> None:
        """The session's model from its next run on; an open run keeps the one it has."""
        if (await self.state()).run is not None:
            self.view.note(f"The run that is open keeps its model; afterwards: /model {specification}")
            return
        await self.client.set_model(self.session_id, specification, self.branch)

    async def state(self) -> SessionView:
        """The session now."""
        return await self.client.view(self.session_id, self.branch)

    async def _show_past(self, head: int) -> None:
        records: list[EventRecord] = []
        while True:
            after = records[-1].sequence if records else 0
            page = await self.client.events(self.session_id, self.branch, after=after, limit=_PAGE)
            records += page
            if len(page) < _PAGE or page[-1].sequence >= head:
                break
        turns = [record.sequence for record in records if record.kind_name == "UserMessage"]
        shown_from = turns[-_SHOWN_TURNS] if len(turns) >= _SHOWN_TURNS else turns[0] if turns else 0
        if len(turns) > _SHOWN_TURNS:
            self.view.note(f"{len(turns) - _SHOWN_TURNS} earlier turns; /history shows all.")
        view = self.view
        view.echo = True
        for record in records:
            if shown_from and record.sequence >= shown_from:
                view.take(record)
            else:
                view.learn(record)
        view.echo = self._echo

    async def _ask_what_waits(self) -> None:
        """Questions that were open before anybody looked."""
        for call in (await self.state()).calls:
            if call.phase == "awaiting_approval" and call.approval_id is not None:
                await self.questions.ask(
                    Asked(
                        call.approval_id,
                        call.call_id,
                        call.tool_name,
                        call.arguments,
                        call.risk,
                        call.capabilities,
                        call.asked_us,
                    )
                )
            elif call.phase == "in_doubt":
                self.questions.ask_doubt(InDoubt(call.call_id, call.tool_name, call.explanation))

    async def _stop_following(self) -> None:
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
            self._following = None

    def _followed(self, task: asyncio.Task[None]) -> None:
        """Following that broke off for a reason that nobody foresaw ends the shell, instead of leaving it deaf."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.failure = error
            self.quitting.set()
            self._tick()

    async def _follow(self) -> None:
        lost = False
        while True:
            try:
                if lost:
                    await self.client.view(self.session_id, self.branch)
                    lost = False
                    self.view.note("Connected again.")
                after = self.view.transcript.head
                async with aclosing(self.client.subscribe(self.session_id, self.branch, after)) as records:
                    async for record in records:
                        self.view.take(record)
                return
            except UnavailableError as error:
                if not lost:
                    self.view.note(f"{error.message} Trying again.", bad=True)
                    self._tick()
                lost = True
                await self.clock.sleep_us(_RETRY_US)
            except LifeError as error:
                self.report(error)
                return

    def _heard(self, item: Item) -> None:
        match item:
            case Asked():
                self._spawn(self.questions.ask(item))
            case InDoubt():
                self.questions.ask_doubt(item)
            case Decided():
                self.questions.settled(item.approval_id)
            case DoubtOver():
                self.questions.settled(item.call_id)
            case RunEnded():
                self.last_end = item
                self.questions.clear()
                if item.dropped:
                    self.set_input("\n".join(item.dropped))
            case _:
                return
        self._tick()

    def _tick(self) -> None:
        self._changed.set()
        self.on_prompt()

    def changed(self) -> None:
        """A question came or went."""
        self._tick()

    async def rest(self) -> None:
        """Wait until no run is open, or a person has to say something."""
        while self.view.busy and not self.questions.is_open and not self.quitting.is_set():
            self._changed.clear()
            await self._changed.wait()

    # What a person types

    def shows(self, _name: str, _rest: str) -> bool:
        """Whether the surface has a pane for a command and has shown it; the shell has none, and tells in lines."""
        return False

    async def enter(self, text: str) -> None:
        """An answer, a command, or a message. Errors are shown, and the text is given back."""
        from life.cli.shell.slash import dispatch, is_command

        self.hint, self._interrupted_us = "", 0
        given_back = not self.questions.is_open and not is_command(text)
        try:
            if is_command(text):
                await dispatch(self, text)
            elif self.questions.is_open:
                await self.questions.answer(text)
            elif text.strip():
                await self.say(text)
        except LifeError as error:
            self.report(error)
            if given_back:
                self.set_input(text)

    async def say(self, text: str, steering: SteeringMode = "collect") -> None:
        """A message with what it mentions; it begins a run, or waits."""
        await self.send(with_mentions(text), steering)

    async def send(self, message: str, steering: SteeringMode = "collect") -> None:
        """A message as it is."""
        receipt = await self.client.send(self.session_id, message, steering=steering, branch=self.branch)
        if not receipt.queued and receipt.run_id is not None:
            # Its events may come a moment later; until then nobody shall think that nothing goes on.
            self.view.transcript.run_id = self.view.transcript.run_id or receipt.run_id
        self.surface.refresh()

    def interrupt(self) -> None:
        """Ctrl-C: stop the run; twice, leave."""
        now_us = self.clock.monotonic_us()
        if self._interrupted_us and now_us - self._interrupted_us < QUIT_WINDOW_US:
            self.quitting.set()
            self._tick()
            return
        self._interrupted_us = now_us
        if self.view.busy:
            self.hint = "Stopping. Ctrl-C again leaves."
            self._spawn(self._cancel())
        else:
            self.hint = "Ctrl-C again leaves."
        if self.surface.streams:
            self.view.note(self.hint)
        self.surface.refresh()
        asyncio.get_running_loop().call_later(QUIT_WINDOW_US / 1_000_000, self._forget_interrupt)

    def _forget_interrupt(self) -> None:
        if self.clock.monotonic_us() - self._interrupted_us >= QUIT_WINDOW_US and "Ctrl-C" in self.hint:
            self.hint = ""
            self.surface.refresh()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._reported(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reported(self, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except LifeError as error:
            self.report(error)

    async def _cancel(self) -> None:
        await self.client.cancel(self.session_id, self.branch)

    def report(self, error: LifeError) -> None:
        """An error and what to do, in the conversation."""
        self.view.note(error.message, bad=True)
        if error.next_step:
            self.view.note(f"→ {error.next_step}")

    async def current_text(self, path: str) -> str | None:
        """A workspace file as it is now; None when there is none, or no text."""
        try:
            content = await self.client.file(self.session_id, self.branch, path.removeprefix("./"))
            return content.decode()
        except (NotFoundError, UnicodeDecodeError):
            return None
        except LifeError:
            return None
