"""The parts of the screen and how they are drawn from the state at the position: everything that comes is drawn at most twenty times a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context, copy_context
from pathlib import Path
from typing import ClassVar, Final

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.filter import LineFilter
from textual.screen import Screen
from textual.widget import Widget

from life.aios.errors import LifeError
from life.cli.chat import choosing, looks
from life.cli.chat.asking import AskBar
from life.cli.chat.columns import Divider, MiddleColumn, RightColumn
from life.cli.chat.composer import MOST_HINTS, Composer
from life.cli.chat.controller import ChatConversation
from life.cli.chat.dialogs import Picked
from life.cli.chat.entries import Conversation as EntryRows
from life.cli.chat.entries import empty_rows, key_of, writing_rows
from life.cli.chat.files_pane import Preview
from life.cli.chat.prose import ACCENT, SOFT, cropped
from life.cli.chat.questions import ApprovalAsked, Question, question_rows, waiting
from life.cli.chat.scrubber import Scrubber
from life.cli.chat.sight import Rows, Sight
from life.cli.chat.status import key_line, queue_lines, rule_line, status_line, top_line
from life.cli.chat.untrusted import clean, one_line
from life.cli.chat.widgets import Bar, Reel, Resized
from life.cli.chat.words import PLAIN
from life.cli.shell.known_files import Difference
from life.workspace.state import Entry
from life.workspace.values import fields, text

_FRAME_S: Final = 0.05
_TICK_S: Final = 0.25
_AROUND: Final = 13
"""Rows that are not the question's: five of the conversation, and the lines around it."""

DRAWN: Final = 60
"""Entries of the conversation that are drawn; going up from the first draws as many more."""


class ChatReel(Reel):
    """The conversation."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "app.view_entry", show=False),
        Binding("b", "app.fork_entry", show=False),
        Binding("r", "app.resend_entry", show=False),
        Binding("home", "app.chat_end(-1)", show=False),
        Binding("end", "app.chat_end(1)", show=False),
    ]


class Board(App[int]):
    """What is seen."""

    CSS = looks.CSS
    ENABLE_COMMAND_PALETTE = False
    ESCAPE_TO_MINIMIZE = False
    ALLOW_SELECT = False
    AUTO_FOCUS = None

    def __init__(self, conversation: ChatConversation, *, root: Path) -> None:
        """`root`: where `@` looks for files."""
        self._ascii = conversation.signs is PLAIN
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self.conversation = conversation
        self.side = ""
        """Where there is room for one column (or two): which of `middle` and `right` is shown; nothing: the conversation."""
        self.crash: BaseException | None = None
        self._root = root
        self._entries = EntryRows(conversation.sight)
        self._earlier: list[Entry] = []
        self._most = DRAWN
        self._questions: list[Question] = []
        self._current: dict[str, str | None] = {}
        """Workspace files as they are now, for questions about changes."""
        self._drawing = False
        self._within: Context | None = None
        self._busy: set[asyncio.Task[None]] = set()
        self._loading: set[str] = set()
        self._columns = 1

    # Building

    def compose(self) -> ComposeResult:
        """See App."""
        signs, words = self.conversation.signs, self.conversation.words
        yield Bar(id="top")
        with Horizontal(id="body"):
            yield ChatReel(signs, id="chat", sticks=True)
            yield Divider(signs)
            yield MiddleColumn(signs)
            yield Divider(signs)
            yield RightColumn(signs)
        yield Bar(id="queue")
        yield AskBar(words, signs, self.conversation.clock, id="ask")
        yield Scrubber(id="scrubber")
        yield Bar(id="hints")
        yield Bar(id="rule")
        with Horizontal(id="input"):
            yield Bar(id="prompt")
            yield Composer(id="composer", root=self._root, commands=lambda: choosing.command_hints(self.conversation))
        yield Bar(id="status")
        yield Bar(id="keys")

    def get_line_filters(self) -> Sequence[LineFilter]:
        """See App."""
        return [*super().get_line_filters(), looks.Harmless(), *([looks.AsciiOnly()] if self._ascii else [])]

    def on_mount(self) -> None:
        """See App."""
        self._within = copy_context()
        conversation = self.conversation
        conversation.on_prompt = self.changed
        conversation.on_attached = self._attached
        self._attached()
        self._focus(self.composer)
        self.set_interval(_TICK_S, self._tick)
        self.work(self._quitting())

    async def on_unmount(self) -> None:
        """See App."""
        for task in list(self._busy):
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)

    async def _quitting(self) -> None:
        await self.conversation.quitting.wait()
        self.exit(0)

    @property
    def composer(self) -> Composer:
        """The input."""
        return self.query_one("#composer", Composer)

    @property
    def chat(self) -> ChatReel:
        """The conversation's list."""
        return self.query_one("#chat", ChatReel)

    @property
    def middle(self) -> MiddleColumn:
        """Files and journal."""
        return self.query_one("#middle", MiddleColumn)

    @property
    def right(self) -> RightColumn:
        """Inspectors."""
        return self.query_one("#right", RightColumn)

    @property
    def sight(self) -> Sight:
        """What everything is drawn from."""
        return self.conversation.sight

    def _focus(self, widget: Widget) -> None:
        """At once: what is typed next is for this one."""
        self.screen_stack[0].set_focus(widget)

    def _attached(self) -> None:
        """Another session or branch is open."""
        conversation = self.conversation
        conversation.track.on_change = self.changed
        self._entries = EntryRows(conversation.sight)
        self._earlier, self._most = [], DRAWN
        self.right.preview = Preview(conversation.sight, conversation.client, conversation.reader)
        self.middle.event, self.middle.there = 0, None
        self.chat.at_end = True
        self.composer.before = self._said_before()
        self.changed()

    def _said_before(self) -> list[str]:
        """The user's own words, for arrow-up."""
        return [clean(entry.detail) for entry in self.conversation.track.live.entries if entry.kind == "user"]

    # Drawing

    def changed(self) -> None:
        """Something is new; it is drawn soon."""
        if not self._drawing and self._within is not None:
            self._drawing = True
            # Events come in tasks that know nothing of this application; the library looks for it in the context.
            asyncio.get_running_loop().call_later(_FRAME_S, self._frame, context=self._within)

    def _frame(self) -> None:
        self._drawing = False
        if not self.is_running or self._exit:
            return
        try:
            self.draw()
        except Exception as error:
            self._handle_exception(error)

    def _tick(self) -> None:
        sight = self.sight
        sight.now_us = self.conversation.clock.now_us()
        state = sight.state
        if sight.is_live and (state.status == "running" or state.approvals):
            self.changed()

    def on_resized(self, _event: Resized) -> None:
        """A part of the screen has another size."""
        self.changed()

    def on_resize(self, _event: events.Resize) -> None:
        """See App."""
        self.call_after_refresh(self._arrange)

    def _arrange(self) -> None:
        """As many columns as there is room for."""
        width = self.size.width
        self._columns = 3 if width >= looks.THREE_COLUMNS else 2 if width >= looks.TWO_COLUMNS else 1
        side = self.side or ("right" if self._columns > 1 else "")
        both = self._columns == 3
        self.middle.display = both or side == "middle"
        self.right.display = both or side == "right"
        self.chat.display = self._columns > 1 or not side
        dividers = list(self.query(Divider))
        dividers[0].styles.display = "block" if self._columns > 1 and (both or side == "middle") else "none"
        dividers[1].styles.display = "block" if self._columns > 1 and (both or side == "right") else "none"
        self.call_after_refresh(self.draw)

    def draw(self) -> None:
        """Draw everything from the state at the position."""
        conversation, sight = self.conversation, self.sight
        sight.now_us = sight.now_us or conversation.clock.now_us()
        width = self.size.width
        if width < looks.LEAST_COLUMNS or self.size.height < looks.LEAST_ROWS:
            self.query_one("#top", Bar).show([cropped(Text(conversation.words("tooSmall")), max(1, width))])
            return
        place = (
            conversation.words("inThisProcess")
            if conversation.client.place == "in this process"
            else conversation.client.place
        )
        top = top_line(sight, place, conversation.client.model, width, acts=conversation.acts)
        self.query_one("#top", Bar).show([top])
        self._draw_chat()
        self._draw_columns()
        self._draw_question()
        queue = sight.track.live.queue if sight.is_live else []
        self.query_one("#queue", Bar).show(queue_lines(sight, queue, width))
        self.query_one("#scrubber", Scrubber).show(sight)
        self._draw_input()

    def _draw_chat(self) -> None:
        chat, sight, conversation = self.chat, self.sight, self.conversation
        if not chat.display:
            return
        conversation.lines.width = min(100, max(30, chat.room - 4))
        everything = self._all_entries()
        entries = everything[-self._most :]
        drawn = self._entries.rows(chat.room, entries)
        first = sight.state.dropped - len(self._earlier) + len(everything) - len(entries)
        rows: list[Rows] = []
        if first > 0:
            rows.append(Rows("", (Text(f"  {conversation.words('entryOlder', n=first)}", SOFT),)))
        if not entries:
            rows.append(Rows("", empty_rows(sight, chat.room)))
        told = conversation.told
        for place, each in enumerate(drawn):
            rows += [self._told_rows(one.number, one.command, one.lines) for one in told if one.behind == first + place]
            rows.append(each)
        rows += [
            self._told_rows(one.number, one.command, one.lines) for one in told if one.behind >= first + len(drawn)
        ]
        if sight.is_live and sight.track.writing:
            rows.append(Rows("", writing_rows(sight, chat.room)))
        chat.show(rows)

    def _all_entries(self) -> list[Entry]:
        entries = self.sight.state.entries
        if self._earlier and entries:
            known = {key_of(entry) for entry in entries}
            self._earlier = [entry for entry in self._earlier if key_of(entry) not in known]
            if (
                self._earlier
                and self._earlier[-1].branch == entries[0].branch
                and self._earlier[-1].seq > entries[0].seq
            ):
                self._earlier = []
        return [*self._earlier, *entries]

    def _told_rows(self, number: int, command: str, lines: Sequence[Text]) -> Rows:
        """What a command answered: set apart, for it is no event."""
        signs, words = self.conversation.signs, self.conversation.words
        head = Text(f"  {signs.note}{signs.note} ", SOFT)
        head.append(words("noted", what=one_line(command, 40)) if command else words("notEvent"), f"italic {SOFT}")
        head.append(f" {signs.note}{signs.note}", SOFT)
        return Rows(f"told/{number}", (Text(), head, *(Text.assemble("  ", line) for line in lines)))

    def _draw_columns(self) -> None:
        sight, acts = self.sight, self.conversation.acts
        focused = self.focused
        if self.middle.display:
            inside = focused is not None and self.middle in focused.ancestors
            self.middle.draw(sight, focused=inside, acts=acts)
            if self.middle.pane == "journal" and self.middle.stale_for(sight):
                self._once("filter", self._filter())
        if self.right.display:
            inside = focused is not None and self.right in focused.ancestors
            preview = self.right.preview
            if self.right.pane == "preview" and preview is not None and preview.is_stale:
                self._once("preview", self._load_preview(preview))
            self.right.draw(sight, focused=inside, acts=acts)

    def _draw_question(self) -> None:
        conversation, sight = self.conversation, self.sight
        self._questions = waiting(sight, conversation.payments) if conversation.acts else []
        ask = self.query_one(AskBar)
        ask.index = max(0, min(ask.index, len(self._questions) - 1))
        rows: list[Text] = []
        if self._questions:
            question = self._questions[ask.index]
            rows = question_rows(sight, question, max(30, self.size.width - 2), self._change_of(question))
        ask.show(self._questions, rows, max(3, self.size.height - _AROUND))

    def _change_of(self, question: Question) -> Difference | None:
        """What a call would do to a file as it is now; read once for each question."""
        if not isinstance(question, ApprovalAsked) or question.approval.tool not in ("write_file", "edit_file"):
            return None
        path = text(fields(question.arguments).get("path"))
        if not path:
            return None
        if question.key not in self._current:
            self._once(f"now {question.key}", self._read_now(question.key, path))
            return None
        return self._entries.differences.proposed(
            question.approval.tool, question.arguments, self._current[question.key]
        )

    async def _read_now(self, key: str, path: str) -> None:
        self._current[key] = await self.conversation.current_text(path)
        while len(self._current) > 20:
            del self._current[next(iter(self._current))]

    def _draw_input(self) -> None:
        conversation, sight = self.conversation, self.sight
        width, signs, words = self.size.width, conversation.signs, conversation.words
        composer = self.composer
        state = sight.track.live
        style = f"bold {ACCENT}" if composer.has_focus else SOFT
        self.query_one("#prompt", Bar).show([Text(f" {signs.you} ", style)])
        placeholder = (
            words("composerRecorded")
            if not conversation.acts
            else words("composerClosed")
            if state.session.closed
            else words("readOnly")
            if state.session.merged_into
            else words("composerPast")
            if not sight.is_live
            else words("composerHint")
        )
        if composer.placeholder != placeholder:
            composer.placeholder = placeholder
        hints = [
            Text.assemble(
                ("   ", ""),
                (f" {hint.label} ", "reverse" if number == composer.chosen_hint else "bold"),
                (f"  {hint.about}", SOFT),
            )
            for number, hint in enumerate(composer.hints)
        ]
        first = max(0, min(composer.chosen_hint - MOST_HINTS + 1, len(hints) - MOST_HINTS))
        shown = [cropped(line, width, more=signs.more) for line in hints[first : first + MOST_HINTS]]
        self.query_one("#hints", Bar).show(shown)
        rule = rule_line(
            sight,
            width,
            conversation.steering,
            busy=conversation.is_busy and conversation.acts,
            focused=composer.has_focus,
        )
        self.query_one("#rule", Bar).show([rule])
        self.query_one("#status", Bar).show([status_line(sight, width, conversation.hint)])
        self.query_one("#keys", Bar).show([key_line(sight, self._hint_name(), width, mode=conversation.steering)])

    def _hint_name(self) -> str:
        focused, sight, conversation = self.focused, self.sight, self.conversation
        if focused is not None and focused.id == "files":
            return "hintFiles"
        if focused is not None and focused.id in ("journal", "event"):
            return "hintJournal"
        if focused is not None and focused.id == "inspector":
            return "hintPreview" if self.right.pane == "preview" else "hintPane"
        if isinstance(focused, Scrubber):
            return "hintReplay"
        if self.query_one(AskBar).has_the_focus:
            return "hintAsking"
        if isinstance(focused, ChatReel):
            return "hintChat" if sight.is_live else "hintReplay"
        if not conversation.acts:
            return "hintRecorded"
        if self._questions:
            return "hintAsk"
        return "hintRunning" if conversation.is_busy else "hintIdle"

    # Work beside drawing

    def show_dialog(self, dialog: Screen[Picked | None], picked: Callable[[Picked | None], None]) -> None:
        """Show a dialog, and hear what was chosen."""
        self.push_screen(dialog, picked)

    def work(self, work: Coroutine[object, object, None]) -> None:
        """Do something beside drawing; errors are told in the conversation."""
        task = asyncio.get_running_loop().create_task(self._reported(work))
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)

    @property
    def is_working(self) -> bool:
        """Whether something goes on beside drawing that is not drawn yet."""
        return self._drawing or bool(self._loading) or len(self._busy) > 1  # one waits for the end

    async def _reported(self, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except LifeError as error:
            self.conversation.report(error)
        except Exception as error:
            self._handle_exception(error)

    def _once(self, name: str, work: Coroutine[object, object, None]) -> None:
        """Begin a piece of work, unless one of its name goes on."""
        if name in self._loading:
            work.close()
            return
        self._loading.add(name)

        async def done() -> None:
            try:
                await work
            finally:
                self._loading.discard(name)
                self.changed()

        self.work(done())

    async def _filter(self) -> None:
        sight, wanted = self.sight, self.middle.wanted
        if wanted is not None:
            through = sight.track.shown
            found = await self.conversation.reader.search(sight.track.stream, wanted, through)
            self.middle.found(found, sight, wanted, through)

    async def _load_preview(self, preview: Preview) -> None:
        await preview.load()

    def _handle_exception(self, error: Exception) -> None:
        self.crash = self.crash or error
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """The program ends, and whoever started it is told by the exception; the library would print every local variable."""
        self._close_messages_no_wait()
