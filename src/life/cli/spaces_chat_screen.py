"""The chat in a terminal: messages scroll away above, the input and a line of status stand below."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Final, Protocol

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.styles import Style
from rich.text import Text

from life.cli.shell.surface import line_console, terminal_width
from life.cli.shell.words import one_line

_STYLE: Final = Style.from_dict(
    {
        "prompt": "bold ansicyan",
        "bottom-toolbar": "noreverse ansibrightblack",
        "bottom-toolbar.text": "noreverse ansibrightblack",
        "completion-menu": "bg:default default",
        "completion-menu.completion": "bg:default ansibrightblack",
        "completion-menu.completion.current": "bg:default bold ansicyan",
        "completion-menu.meta.completion": "bg:default ansibrightblack",
        "completion-menu.meta.completion.current": "bg:default ansibrightblack",
    }
)


class Talk(Protocol):
    """What the screen needs of the conversation."""

    @property
    def prompt(self) -> str:
        """What stands before the input."""
        ...

    @property
    def status(self) -> str:
        """What stands under it."""
        ...

    def words(self, before: str) -> Iterable[tuple[str, str]]:
        """What the word before the cursor may become, each with a note."""
        ...

    def typed(self, text: str) -> None:
        """Somebody types."""
        ...


class _Words(Completer):
    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """See Completer."""
        before = document.text_before_cursor
        word = before.rpartition(" ")[2]
        for found, note in self._talk.words(before):
            yield Completion(found, start_position=-len(word), display_meta=note)


class ChatScreen:
    """A terminal that lines are printed into while somebody types below them."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._entered: asyncio.Queue[str | None] = asyncio.Queue()
        self._waiting: list[Text] = []
        self._printed = asyncio.Event()
        self._session: PromptSession[str] = PromptSession(
            completer=_Words(talk),
            complete_while_typing=True,
            erase_when_done=True,
            style=_STYLE,
            bottom_toolbar=lambda: FormattedText([("", one_line(talk.status, self.width))]),
            reserve_space_for_menu=4,
            key_bindings=self._keys(),
            include_default_pygments_style=False,
        )
        self._session.default_buffer.on_text_changed += lambda buffer: talk.typed(buffer.text)

    @property
    def width(self) -> int:
        """Cells on a line."""
        return terminal_width(sys.stdout) - 1

    def show(self, lines: Sequence[Text]) -> None:
        """Print lines above the input."""
        self._waiting += lines
        self._printed.set()

    async def _print(self) -> None:
        """Bring lines above the input, as many as there are at once. The terminal stays in the mode that keys are read in: in line mode a
        key that is pressed just then would be echoed into what stands there."""
        app = self._session.app
        while True:
            await self._printed.wait()
            if not app.is_running:
                await asyncio.sleep(0.005)
                continue
            if app.output.responds_to_cpr:
                await app.renderer.wait_for_cpr_responses()
            app.renderer.erase()
            self._write()
            app.renderer.reset()
            app.renderer.request_absolute_cursor_position()
            app.invalidate()

    def _write(self) -> None:
        lines, self._waiting = self._waiting, []
        self._printed.clear()
        stream = io.StringIO()
        console = line_console(stream, width=self.width + 1, force=True)
        for line in lines:
            console.print(line, soft_wrap=True)
        self._session.app.output.write_raw(stream.getvalue().replace("\n", "\r\n"))
        self._session.app.output.flush()

    def refresh(self) -> None:
        """The status has changed."""
        self._session.app.invalidate()

    async def lines(self) -> AsyncGenerator[str, None]:
        """What is typed, line by line, until Ctrl-D, or Ctrl-C with nothing typed. The input stays open while a line is worked on, so what is
        typed meanwhile is not lost, and not written by the terminal itself into what stands there."""
        asking, printing = asyncio.create_task(self._ask()), asyncio.create_task(self._print())
        try:
            while (line := await self._entered.get()) is not None:
                yield line
        finally:
            if self._session.app.is_running:
                self._session.app.exit(exception=EOFError())
            printing.cancel()
            await asyncio.gather(asking, printing, return_exceptions=True)
            self._write()

    async def _ask(self) -> None:
        try:
            await self._session.prompt_async(lambda: FormattedText([("class:prompt", self._talk.prompt)]))
        except (EOFError, KeyboardInterrupt):
            return
        finally:
            self._entered.put_nowait(None)

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("enter")
        def _(event: KeyPressEvent) -> None:
            text = event.current_buffer.text
            event.current_buffer.reset(append_to_history=bool(text.strip()))
            self._entered.put_nowait(text)

        @keys.add("c-c")
        def _(event: KeyPressEvent) -> None:
            if event.current_buffer.text:
                event.current_buffer.reset()
            else:
                event.app.exit(exception=EOFError())

        @keys.add("escape", "enter")
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        return keys
