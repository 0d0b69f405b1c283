"""The shell in a terminal: finished lines scroll away above, what moves and the input stand below, always editable.

Finished lines are ordinary output: they stay in the terminal's own scrollback, can be selected, and are there after the shell has ended.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition, has_completions, is_searching
from prompt_toolkit.formatted_text import ANSI, StyleAndTextTuples, to_formatted_text
from prompt_toolkit.history import History
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import ConditionalContainer, Dimension, HSplit, Layout, Window
from prompt_toolkit.layout.containers import AnyContainer
from prompt_toolkit.layout.controls import BufferControl, FormattedTextControl
from prompt_toolkit.layout.menus import CompletionsMenu
from prompt_toolkit.output import Output
from prompt_toolkit.styles import Style
from prompt_toolkit.widgets import SearchToolbar
from rich.cells import cell_len
from rich.text import Text

from life.aios.ports.clock import Clock
from life.cli.shell.completion import ShellCompleter
from life.cli.shell.conversation import Conversation
from life.cli.shell.surface import line_console, terminal_width
from life.cli.shell.words import Glyphs, glyphs_for, one_line, tokens

_FRAME_US: Final = 120_000
_MOST_INPUT_ROWS: Final = 10

_STYLE: Final = Style.from_dict(
    {
        "prompt": "bold ansicyan",
        "question": "bold ansiyellow",
        "status": "ansibrightblack",
        "hint": "ansiyellow",
        "completion-menu": "bg:default default",
        "completion-menu.completion": "bg:default ansibrightblack",
        "completion-menu.completion.current": "bg:default bold ansicyan",
        "completion-menu.meta.completion": "bg:default ansibrightblack",
        "completion-menu.meta.completion.current": "bg:default ansibrightblack",
        "scrollbar.background": "",
        "scrollbar.button": "",
    }
)


class TerminalSurface:
    """`Surface` over an application of prompt_toolkit."""

    streams = False

    def __init__(self) -> None:
        self.glyphs: Glyphs = glyphs_for(sys.stdout)
        self.on_refresh: Callable[[], None] = lambda: None
        self.printed = asyncio.Event()
        self._lines: list[Text] = []

    @property
    def width(self) -> int:
        """See Surface."""
        return terminal_width(sys.stdout) - 1

    def piece(self, text: str) -> None:
        """See Surface; answers come line by line here."""

    def answer(self, lines: Sequence[Text]) -> None:
        """See Surface."""
        self.aside(lines)

    def aside(self, lines: Sequence[Text]) -> None:
        """See Surface."""
        self._lines += lines
        self.printed.set()

    def refresh(self) -> None:
        """See Surface."""
        self.on_refresh()

    def taken(self) -> str:
        """The lines since the last time, as they are written to the terminal."""
        lines, self._lines = self._lines, []
        self.printed.clear()
        return rendered(lines, self.width) if lines else ""


class Screen:
    """The input, what moves, and the line of status, around one conversation."""

    def __init__(
        self,
        conversation: Conversation,
        surface: TerminalSurface,
        history: History,
        clock: Clock,
        *,
        root: Path,
        input: Input | None = None,
        output: Output | None = None,
    ) -> None:
        self._conversation = conversation
        self._surface = surface
        self._clock = clock
        self._draft = ""
        self._asking = False
        self._entered: asyncio.Queue[str] = asyncio.Queue()
        self._buffer = Buffer(
            history=history,
            completer=ShellCompleter(conversation, root),
            complete_while_typing=Condition(lambda: self._buffer.text.startswith("/") or "@" in self._buffer.text),
            multiline=True,
            accept_handler=self._accept,
        )
        self._app: Application[None] = Application(
            layout=self._layout(),
            key_bindings=self._keys(),
            style=_STYLE,
            erase_when_done=True,
            include_default_pygments_style=False,
            input=input,
            output=output,
        )
        surface.on_refresh = self._app.invalidate
        conversation.on_prompt = self._prompt_changed
        conversation.set_input = self._put
        conversation.clear_screen = self._clear

    async def run(self) -> None:
        """Until the person leaves."""
        self._write(self._surface.taken())
        work = (self._print(), self._animate(), self._handle(), self._leave())
        tasks = [asyncio.create_task(each) for each in work]
        for task in tasks:
            task.add_done_callback(self._ended)
        try:
            await self._app.run_async(handle_sigint=False)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._write(self._surface.taken())

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Work that failed for a reason that nobody foresaw ends the shell, which gives the terminal back first."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._conversation.failure = error
            self._conversation.quitting.set()
            if self._app.is_running and not self._app.is_done:
                self._app.exit()

    # Work beside the application

    async def _print(self) -> None:
        """Bring finished lines above the input, as many as there are at once.

        The terminal stays in the mode that keys are read in, unlike with `run_in_terminal`: in line mode a key that is pressed just
        then would be echoed, or be lost.
        """
        app = self._app
        while True:
            await self._surface.printed.wait()
            if not app.is_running:
                await self._clock.sleep_us(5_000)
                continue
            if app.output.responds_to_cpr:
                await app.renderer.wait_for_cpr_responses()
            app.renderer.erase()
            self._write(self._surface.taken())
            app.renderer.reset()
            app.renderer.request_absolute_cursor_position()
            app.invalidate()

    def _write(self, text: str) -> None:
        if text:
            self._app.output.write_raw(text.replace("\n", "\r\n"))
            self._app.output.flush()

    async def _animate(self) -> None:
        """Let what moves move; an idle shell does nothing."""
        while True:
            await self._clock.sleep_us(_FRAME_US)
            if self._conversation.view.busy and not self._conversation.questions.is_open:
                self._app.invalidate()

    async def _handle(self) -> None:
        """What was entered, one after the other."""
        while True:
            await self._conversation.enter(await self._entered.get())
            self._app.invalidate()

    async def _leave(self) -> None:
        await self._conversation.quitting.wait()
        while not self._app.is_running:
            await self._clock.sleep_us(5_000)
        if not self._app.is_done:
            self._app.exit()

    # Input

    def _accept(self, buffer: Buffer) -> bool:
        """Take what was typed; False empties the line."""
        self._entered.put_nowait(buffer.text)
        return False

    def _prompt_changed(self) -> None:
        """A question came or went: what was half typed waits until it is answered."""
        asking = self._conversation.questions.is_open
        if asking and not self._asking:
            self._draft = self._buffer.text
            self._buffer.reset()
        elif self._asking and not asking and not self._buffer.text:
            self._put(self._draft)
            self._draft = ""
        self._asking = asking
        self._app.invalidate()

    def _put(self, text: str) -> None:
        self._buffer.set_document(Document(text, len(text)), bypass_readonly=True)
        self._app.invalidate()

    def _clear(self) -> None:
        self._app.renderer.clear()

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        editing = ~is_searching

        @keys.add("enter", filter=editing)
        @keys.add("c-j", filter=editing)  # Enter, typed before the terminal was set up
        def _(event: KeyPressEvent) -> None:
            buffer = self._buffer
            if buffer.complete_state is not None and buffer.complete_state.current_completion is not None:
                buffer.complete_state = None  # chosen, not yet sent
            elif buffer.document.current_line_before_cursor.endswith("\\") and buffer.document.is_cursor_at_the_end:
                buffer.delete_before_cursor()
                buffer.insert_text("\n")
            elif buffer.text.strip() or self._conversation.questions.is_open:
                buffer.validate_and_handle()

        @keys.add("escape", "enter", filter=editing)
        def _(event: KeyPressEvent) -> None:
            self._buffer.insert_text("\n")

        @keys.add("c-c", filter=editing)
        def _(event: KeyPressEvent) -> None:
            if self._buffer.text and not self._conversation.view.busy:
                self._buffer.reset()
            else:
                self._conversation.interrupt()

        @keys.add("c-d", filter=Condition(lambda: not self._buffer.text))
        def _(event: KeyPressEvent) -> None:
            self._conversation.quitting.set()

        @keys.add("c-l")
        def _(event: KeyPressEvent) -> None:
            self._clear()

        @keys.add("tab", filter=editing)
        def _(event: KeyPressEvent) -> None:
            if self._buffer.complete_state is not None:
                self._buffer.complete_next()
            else:
                self._buffer.start_completion(select_first=True)

        @keys.add("up", filter=editing)
        def _(event: KeyPressEvent) -> None:
            self._buffer.auto_up(count=event.arg)

        @keys.add("down", filter=editing)
        def _(event: KeyPressEvent) -> None:
            self._buffer.auto_down(count=event.arg)

        return keys

    # Looks

    def _layout(self) -> Layout:
        search = SearchToolbar()
        control = BufferControl(self._buffer, search_buffer_control=search.control)
        moving = Window(FormattedTextControl(self._moving), dont_extend_height=True, wrap_lines=True)
        rows: list[AnyContainer] = [
            ConditionalContainer(moving, Condition(lambda: bool(self._conversation.view.live()))),
            Window(
                control,
                get_line_prefix=self._prefix,
                wrap_lines=True,
                dont_extend_height=True,
                height=Dimension(min=1, max=_MOST_INPUT_ROWS),
            ),
            search,
            ConditionalContainer(CompletionsMenu(max_height=8), has_completions),
            Window(FormattedTextControl(self._status), height=1, dont_extend_height=True),
        ]
        return Layout(HSplit(rows), focused_element=control)

    def _prefix(self, line_number: int, wrap_count: int) -> StyleAndTextTuples:
        question = self._conversation.questions.prompt
        glyph = self._surface.glyphs.prompt
        text = f"{question} {glyph} " if question else f"{glyph} "
        if line_number or wrap_count:
            return [("", " " * min(cell_len(text), 4))]
        return [("class:question" if question else "class:prompt", text)]

    def _moving(self) -> StyleAndTextTuples:
        return to_formatted_text(ANSI(rendered(self._conversation.view.live(), self._surface.width).rstrip("\n")))

    def _status(self) -> StyleAndTextTuples:
        conversation, width = self._conversation, self._surface.width
        hint = conversation.hint or conversation.questions.help
        if hint:
            return [("class:hint", f"  {one_line(hint, width - 2)}")]
        transcript, dot = conversation.view.transcript, self._surface.glyphs.dot
        used = transcript.usage
        parts = [short_id(conversation.session_id)]
        if conversation.branch != "main":
            parts.append(one_line(conversation.branch, 24))
        if transcript.model or conversation.client.model:
            parts.append(one_line(transcript.model or conversation.client.model, 28))
        if used.prompt_tokens or used.completion_tokens:
            parts.append(f"{tokens(used.prompt_tokens + used.completion_tokens)} tokens")
        if used.cost and used.cost_micro:
            parts.append(used.cost)
        parts.append("Ctrl-C stops" if conversation.view.busy else "/help")
        return [("class:status", f"  {one_line(f' {dot} '.join(parts), width - 2)}")]


def rendered(lines: Iterable[Text], width: int) -> str:
    """Lines with their styles, wrapped at a width."""
    file = io.StringIO()
    console = line_console(sys.stdout, width=width, force=True)
    console.file = file
    for line in lines:
        console.print(line)
    return file.getvalue()


def short_id(session_id: str) -> str:
    """The end of a generated id, a given one whole up to 24 characters."""
    if len(session_id) == 26 and session_id.isupper():
        return f"…{session_id[-6:]}"
    return session_id if len(session_id) <= 24 else f"{session_id[:23]}…"
