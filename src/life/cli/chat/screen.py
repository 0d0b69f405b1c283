"""The application: what keys do, and what becomes of what a person says, decides and chooses. What is done stands in the controller."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final

from textual.binding import Binding, BindingType

from life.aios.errors import LifeError
from life.cli.chat.asking import AskBar
from life.cli.chat.commands import PANES
from life.cli.chat.composer import Composer
from life.cli.chat.controller import ChatConversation
from life.cli.chat.dialog_actions import Dialogs
from life.cli.chat.dialogs import ForkDialog, Forked
from life.cli.chat.drawing import DRAWN
from life.cli.chat.entries import key_of
from life.cli.chat.moving import Moves
from life.cli.chat.questions import DoubtAsked
from life.cli.chat.scrubber import Scrubber
from life.cli.chat.untrusted import one_line
from life.cli.chat.widgets import Listing
from life.cli.session_client import Answer
from life.cli.shell.transcript import without_attachments
from life.cli.shell.words import dollars
from life.workspace.state import Entry
from life.workspace.values import text

_NOT_OVER_DIALOGS: Final = frozenset(
    [
        "palette",
        "search",
        "steering",
        "open_all",
        "keys",
        "sessions",
        "pane",
        "next_inspector",
        "scrub",
        "fork",
        "queue",
        "answer",
        "pause",
        "end_of_input",
        "step",
        "play",
        "live",
        "speed",
        "run_beside",
        "command",
        "step_out",
    ]
)
"""Actions that wait until a dialog is closed."""


class ChatApp(Moves):
    """One chat."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "interrupt", show=False, priority=True),
        Binding("ctrl+q", "leave", show=False, priority=True),
        Binding("ctrl+d", "end_of_input", show=False, priority=True),
        Binding("ctrl+p", "palette", show=False, priority=True),
        Binding("ctrl+f", "search", show=False, priority=True),
        Binding("ctrl+t", "steering", show=False, priority=True),
        Binding("ctrl+o", "open_all", show=False, priority=True),
        Binding("ctrl+l", "redraw", show=False, priority=True),
        Binding("f1", "keys", show=False, priority=True),
        Binding("f2", "sessions", show=False, priority=True),
        Binding("f3", "pane('files')", show=False, priority=True),
        Binding("f4", "pane('journal')", show=False, priority=True),
        Binding("f5", "next_inspector(1)", show=False, priority=True),
        Binding("shift+f5", "next_inspector(-1)", show=False, priority=True),
        Binding("f6", "scrub", show=False, priority=True),
        Binding("f7", "fork", show=False, priority=True),
        Binding("f8", "queue", show=False, priority=True),
        Binding("f9", "answer", show=False, priority=True),
        Binding("f10", "pause", show=False, priority=True),
        Binding("escape", "step_out", show=False),
        Binding("tab", "app.focus_next", show=False),
        Binding("shift+tab", "app.focus_previous", show=False),
        Binding("question_mark", "keys", show=False),
        Binding("slash", "command", show=False),
        Binding("left", "step(-1)", show=False),
        Binding("right", "step(1)", show=False),
        Binding("shift+left", "step(-10)", show=False),
        Binding("shift+right", "step(10)", show=False),
        Binding("left_square_bracket", "run_beside(-1)", show=False),
        Binding("right_square_bracket", "run_beside(1)", show=False),
        Binding("space", "play", show=False),
        Binding("less_than_sign,comma", "speed(-1)", show=False),
        Binding("greater_than_sign,full_stop", "speed(1)", show=False),
        Binding("l", "live", show=False),
        Binding("0", "pane('')", show=False),
        *(Binding(str(number), f"pane('{name}')", show=False) for number, name in enumerate(PANES, start=1)),
    ]

    def __init__(self, conversation: ChatConversation, *, root: Path) -> None:
        """`root`: where `@` looks for files."""
        super().__init__(conversation, root=root)
        self._dialogs = Dialogs(self, conversation)

    def on_mount(self) -> None:
        """See App."""
        self.conversation.set_input = self._put
        self.conversation.clear_screen = self._clear
        self.conversation.show_pane = self._show_pane

    # What a person does

    def on_composer_sent(self, event: Composer.Sent) -> None:
        """Something was typed and sent."""
        self.work(self.conversation.enter(event.text))

    def on_composer_hinted(self, _event: Composer.Hinted) -> None:
        """Hints have changed."""
        self._draw_input()

    def on_composer_left(self, _event: Composer.Left) -> None:
        """Escape in the input: back to live, or to the conversation."""
        if not self.sight.is_live:
            self.conversation.track.follow()
        else:
            self.side = ""
            self._arrange()
            self._focus(self.chat)
        self.changed()

    def on_descendant_focus(self) -> None:
        """The keys that count have changed."""
        self.changed()

    def on_ask_bar_left(self, _event: AskBar.Left) -> None:
        """Back from the question."""
        self._focus(self.composer)

    def on_ask_bar_answered(self, event: AskBar.Answered) -> None:
        """A person decided."""
        self.work(self._decide(event))

    async def _decide(self, event: AskBar.Answered) -> None:
        conversation, question, answer = self.conversation, event.question, event.answer
        try:
            if isinstance(answer, Answer):
                await conversation.decide(question, answer, pause=event.pause)
            elif isinstance(question, DoubtAsked):
                await conversation.resolve(question, answer)
            else:
                word, _, reason = answer.partition(" ")
                await conversation.pay(question, approved=word == "approve", reason=reason or None)
        except LifeError as error:
            self.query_one(AskBar).failed(one_line(f"{error.message} {error.next_step or ''}", 400))
        self.changed()

    def on_scrubber_pointed(self, event: Scrubber.Pointed) -> None:
        """A place on the track."""
        track = self.conversation.track
        track.stop()
        self.work(track.seek(1 + round(event.share * (track.head - 1))))

    def on_listing_opened(self, event: Listing.Opened) -> None:
        """A row was opened."""
        key = event.key
        match event.listing.id:
            case "chat":
                self.sight.toggle(key)
            case "files":
                self._preview(key.removeprefix("file/"))
            case "journal":
                self.middle.event = int(key[1:])
                self._focus_column("middle")
            case "inspector":
                self._open_fact(key)
            case _:
                pass
        self.changed()

    def _open_fact(self, key: str) -> None:
        if key.startswith("#"):
            self._show_event(int(key[1:]))
        elif key.startswith("pay/"):
            self.sight.toggle(key)
        elif key.startswith("peer/"):
            self.work(self.conversation.attach(key.removeprefix("peer/")))

    def _show_event(self, sequence: int) -> None:
        self.middle.pane, self.middle.event = "journal", sequence
        self._focus_column("middle")

    def on_listing_at_top(self, event: Listing.AtTop) -> None:
        """Somebody wants to see what was before."""
        if event.listing is self.chat:
            self._once("earlier", self._load_earlier())

    async def _load_earlier(self) -> None:
        entries = self._all_entries()
        self._most += DRAWN
        if len(entries) > self._most - DRAWN:
            return
        first = next((entry for entry in entries if entry.branch == self.sight.state.branch), None)
        if first is None or self.sight.state.dropped <= len(self._earlier) or first.seq <= 1:
            return
        before = await self.conversation.track.state_at(first.seq - 1)
        known = {key_of(entry) for entry in entries}
        self._earlier = [*(entry for entry in before.entries if key_of(entry) not in known), *self._earlier]

    def _put(self, text: str) -> None:
        self.composer.put(text)
        self._focus(self.composer)

    def _clear(self) -> None:
        self.conversation.told.clear()
        self.conversation.lines.taken()
        self.changed()

    # Actions: the conversation

    def action_fork_event(self) -> None:
        """A branch from the chosen event."""
        sequence = self._event()
        if sequence:
            self._fork(sequence)

    def _entry(self) -> Entry | None:
        key = self.chat.chosen_key
        return next((entry for entry in self._all_entries() if key_of(entry) == key), None)

    def action_view_entry(self) -> None:
        """Look at the moment of the chosen entry."""
        entry = self._entry()
        if entry is not None and entry.branch == self.conversation.branch:
            self.work(self.conversation.track.seek(entry.end or entry.seq))

    def action_fork_entry(self) -> None:
        """A branch from the chosen entry."""
        entry = self._entry()
        if entry is not None and entry.branch == self.conversation.branch:
            self._fork(entry.end or entry.seq)

    def action_resend_entry(self) -> None:
        """Edit what was said and run again: a branch from before it. History is never rewritten (WS-BR-4)."""
        entry = self._entry()
        if entry is None or entry.kind != "user" or entry.branch != self.conversation.branch:
            return
        record = self.sight.record(entry.seq)
        said = entry.detail if record is None else text(getattr(record.kind, "content", entry.detail))
        self._fork(entry.seq - 1, without_attachments(said).text)

    def action_fork(self) -> None:
        """A branch from where one looks."""
        self._fork(self.conversation.track.shown)

    def _fork(self, at: int, said: str = "") -> None:
        conversation = self.conversation
        if not conversation.acts:
            self.work(conversation.fork("", at))
            return
        run = next((each for each in reversed(conversation.track.live.runs) if each.ended), None)
        cost = dollars(run.cost_micro) if run is not None and run.steps > run.uncosted else ""

        def made(forked: Forked | None) -> None:
            if forked is not None:
                self.work(conversation.fork(forked.name, at, forked.words))

        self.push_screen(ForkDialog(conversation.words, conversation.signs, at=at, said=said, cost=cost), made)

    def action_open_all(self) -> None:
        """Open or close all thinking and all results."""
        self.sight.open_all = not self.sight.open_all
        self.sight.opened.clear()
        self.changed()

    # Actions: the run

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """See App: over a dialog only what belongs to it, and leaving."""
        if self.screen.is_modal and action in _NOT_OVER_DIALOGS:
            return False
        return super().check_action(action, parameters)

    def action_interrupt(self) -> None:
        """Ctrl-C; it closes a dialog first."""
        if self.screen.is_modal:
            self.screen.dismiss(None)
            return
        composer, conversation = self.composer, self.conversation
        if composer.has_focus and composer.text and not conversation.is_busy and not conversation.hint:
            composer.text = ""
            conversation.interrupt()
            conversation.hint = conversation.words("emptied")
        else:
            conversation.interrupt()
        self.changed()

    def action_leave(self) -> None:
        """Leave."""
        self.conversation.quitting.set()

    def action_end_of_input(self) -> None:
        """Ctrl-D in an empty input leaves."""
        if not self.composer.text:
            self.action_leave()

    def action_steering(self) -> None:
        """When what is typed counts."""
        self.conversation.change_steering()
        self.changed()

    def action_pause(self) -> None:
        """Hold the run, or let it go on."""
        self.work(self.conversation.pause_or_go_on())

    def action_answer(self) -> None:
        """To the question that waits."""
        if self._questions:
            self.query_one(AskBar).take_focus()
        else:
            self.conversation.hint = self.conversation.words("noQuestion" if self.sight.is_live else "notLive")
        self.changed()

    def action_command(self) -> None:
        """Begin a command."""
        self._focus(self.composer)
        if not self.composer.text:
            self.composer.put("/")

    def action_redraw(self) -> None:
        """Draw everything anew."""
        self.refresh(layout=True)
        self._arrange()

    # Dialogs

    def action_sessions(self) -> None:
        """All sessions."""
        self._dialogs.sessions()

    def action_palette(self) -> None:
        """Panes and commands."""
        self._dialogs.palette()

    def action_queue(self) -> None:
        """Messages that wait."""
        self._dialogs.queue()

    def action_keys(self) -> None:
        """What the keys do."""
        self._dialogs.keys()

    def action_search(self) -> None:
        """Events with some words."""
        self._dialogs.search()

    def _show_pane(self, name: str, rest: str) -> bool:
        """The pane of a command; False when it is told in lines."""
        if name == "journal":
            self.middle.words = rest
            self.action_pane("journal")
        elif name == "preview" and rest:
            self._preview(rest.removeprefix("/").removeprefix("./"))
        elif name in PANES and not rest:
            self.action_pane(name)
        elif name == "at" and rest.removeprefix("#").isdigit():
            self.work(self.conversation.track.seek(int(rest.removeprefix("#"))))
            self.action_scrub()
        elif name == "fork" and (not rest or rest.removeprefix("#").isdigit()):
            self._fork(int(rest.removeprefix("#")) if rest else self.conversation.track.shown)
        elif rest:
            return False
        elif name == "play":
            self.action_play()
        elif name == "live":
            self.action_live()
        elif name in ("keys", "help"):
            self._dialogs.keys()
        elif name == "sessions":
            self._dialogs.sessions()
        elif name == "queue":
            self._dialogs.queue()
        else:
            return False
        return True
