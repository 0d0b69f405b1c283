"""The question that waits, beside the conversation and never over it. Letters answer while it has the focus; it takes the focus only when it is given it, and
Enter alone approves nothing (WS-APP-3).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import ClassVar, Final, Literal

import msgspec
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input, TextArea

from life.aios.json import Json
from life.aios.ports.clock import Clock
from life.cli.chat.prose import SOFT, WAIT, cropped
from life.cli.chat.questions import ApprovalAsked, DoubtAsked, PaymentAsked, Question
from life.cli.chat.widgets import strip_of
from life.cli.chat.words import Signs, Words
from life.cli.session_client import Answer
from life.cli.shell.words import pretty_json


def as_typed(arguments: Json) -> str:
    """Arguments as JSON for a person to change: what is no printable sign is escaped, so that it is seen and stays what it is."""
    return "".join(
        sign if sign.isprintable() or sign == "\n" else json.dumps(sign)[1:-1] for sign in pretty_json(arguments)
    )


Mode = Literal["choose", "refuse", "edit"]
MOST_ROWS: Final = 16
_CALM_US: Final = 300_000
"""A question is not answered within this time of its coming."""


class AskBody(Widget, can_focus=True):
    """The rows of the question; focused, it takes letters."""

    DEFAULT_CSS = "AskBody { height: auto; }"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "other(-1)", show=False),
        Binding("right", "other(1)", show=False),
    ]

    class Other(Message):
        """Another question is wanted."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    def __init__(self, letter: Callable[[str], None], *, id: str) -> None:
        super().__init__(id=id)
        self._lines: list[Text] = []
        self._letter = letter

    def show(self, lines: list[Text]) -> None:
        """Draw the question."""
        before, self._lines = len(self._lines), lines
        if before != len(lines):
            self.styles.height = len(lines)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """See Widget."""
        line = self._lines[y] if y < len(self._lines) else Text()
        return strip_of(line, self.size.width).apply_style(self.rich_style)

    def on_key(self, event: events.Key) -> None:
        """A letter answers."""
        if event.character is None or not event.is_printable:
            return
        focused = self.screen.focused
        event.stop()
        event.prevent_default()
        if focused is self or focused is None:
            self._letter(event.character.lower())
        else:
            # Typed quickly behind the letter that opened a field: the rest belongs into the field, and never decides anything.
            focused.post_message(events.Key(event.key, event.character))

    def on_focus(self) -> None:
        """Its keys are shown stronger."""
        self.refresh()

    def on_blur(self) -> None:
        """Its keys are shown softer."""
        self.refresh()

    def action_other(self, by: int) -> None:
        """The question before or after."""
        self.post_message(self.Other(by))


class AskBar(Vertical):
    """The oldest question, or the one that was chosen."""

    DEFAULT_CSS = """
    AskBar { height: auto; display: none; }
    AskBar Input, AskBar TextArea { display: none; }
    AskBar TextArea { height: 7; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "send_edited", show=False),
        Binding("escape", "back", show=False),
    ]

    class Answered(Message):
        """A person decided."""

        def __init__(self, question: Question, answer: Answer | str, *, pause: bool = False) -> None:
            super().__init__()
            self.question = question
            self.answer = answer
            self.pause = pause

    class Left(Message):
        """The person goes back to typing."""

    def __init__(self, words: Words, signs: Signs, clock: Clock, *, id: str) -> None:
        super().__init__(id=id)
        self._clock = clock
        self._since_us = 0
        self._words = words
        self._signs = signs
        self._mode: Mode = "choose"
        self._question: Question | None = None
        self._trouble = ""
        self._busy = ""
        self.index = 0

    def compose(self) -> ComposeResult:
        """See Widget."""
        yield AskBody(self._letter, id="ask-body")
        yield Input(placeholder=self._words("reasonLine"), id="ask-reason", compact=True)
        yield TextArea(id="ask-arguments", compact=True, highlight_cursor_line=False)

    @property
    def question(self) -> Question | None:
        """What is asked."""
        return self._question

    @property
    def has_the_focus(self) -> bool:
        """Whether letters answer now."""
        focused = self.screen.focused
        return focused is not None and (focused is self or self in focused.ancestors)

    def show(self, questions: list[Question], rows: list[Text], room: int) -> None:
        """Draw the question `index` of those that wait; nothing without any."""
        self.display = bool(questions)
        if not questions:
            if self._question is not None:
                had_focus = self.has_the_focus
                self._question, self._busy = None, ""
                self._set_mode("choose")
                if had_focus:
                    self.post_message(self.Left())
            return
        question = questions[min(self.index, len(questions) - 1)]
        if self._question is None or question.key != self._question.key:
            self._set_mode("choose")
            self._trouble = self._busy = ""
            self._since_us = self._clock.monotonic_us()
        self._question = question
        width = max(20, self.size.width or room)
        most = max(3, min(MOST_ROWS, room))
        body = rows if len(rows) <= most else [*rows[: most - 1], Text(f"  {self._signs.more}", SOFT)]
        line = Text(self._signs.rule * width, WAIT)
        self.query_one(AskBody).show([line, *body, self._foot(len(questions), width)])

    def _foot(self, count: int, width: int) -> Text:
        words = self._words
        if self._trouble:
            return cropped(Text(f"  {self._trouble}", "bold red"), width)
        if self._mode == "refuse":
            return cropped(Text(f"  {words('reasonLine')}", WAIT), width)
        if self._mode == "edit":
            return cropped(Text(f"  {words('editLine')}", WAIT), width)
        keys = words(
            "askPaymentKeys"
            if isinstance(self._question, PaymentAsked)
            else "askDoubtKeys"
            if isinstance(self._question, DoubtAsked)
            else "askKeys"
        )
        keys = keys.replace("·", self._signs.dot)
        foot = Text.assemble("  ", (keys, f"bold {WAIT}" if self.has_the_focus else SOFT))
        if count > 1:
            more = words("askMore", n=self.index + 1, total=count).replace(
                "←/→", "<- ->" if self._signs.dot == "-" else "←/→"
            )
            foot.append(f"   {more.replace('·', self._signs.dot)}", SOFT)
        if not self.has_the_focus:
            foot = Text.assemble((f"  {words('askFocus')}", f"bold {WAIT}"), ("  ", ""), foot)
        return cropped(foot, width, more=self._signs.more)

    def _set_mode(self, mode: Mode) -> None:
        self._mode = mode
        reason, edited = self.query_one("#ask-reason", Input), self.query_one("#ask-arguments", TextArea)
        reason.display, edited.display = mode == "refuse", mode == "edit"
        if mode == "refuse":
            reason.value = ""
            self.screen.set_focus(reason)
        elif mode == "edit":
            self.screen.set_focus(edited)

    def _letter(self, letter: str) -> None:
        """An answer by its letter. What is pressed the very moment a question has come was not meant for it."""
        question = self._question
        if question is None or self._busy == question.key or self._mode != "choose":
            return
        if self._clock.monotonic_us() - self._since_us < _CALM_US:
            return
        self._trouble = ""
        match question, letter:
            case ApprovalAsked(), "y":
                self._answer(Answer(approved=True))
            case ApprovalAsked(), "s":
                self._answer(Answer(approved=True, scope="session"))
            case ApprovalAsked(), "p":
                self._answer(Answer(approved=True), pause=True)
            case ApprovalAsked() | PaymentAsked(), "n":
                self._set_mode("refuse")
            case ApprovalAsked(), "e":
                self.query_one("#ask-arguments", TextArea).text = as_typed(question.arguments)
                self._set_mode("edit")
            case PaymentAsked(), "y":
                self._answer("approve")
            case DoubtAsked(), "d" | "n" | "r":
                self._answer({"d": "done", "n": "not_done", "r": "retry"}[letter])
            case _:
                pass  # anything else answers nothing

    def _answer(self, answer: Answer | str, *, pause: bool = False) -> None:
        assert self._question is not None
        self._busy = self._question.key
        self.post_message(self.Answered(self._question, answer, pause=pause))

    def failed(self, words: str) -> None:
        """The answer was not taken."""
        self._busy, self._trouble = "", words
        self._set_mode("choose")
        self.take_focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The reason of a refusal."""
        event.stop()
        reason = event.value.strip() or None
        if isinstance(self._question, PaymentAsked):
            self._answer(f"deny {reason or ''}".strip())
        else:
            self._answer(Answer(approved=False, reason=reason))
        self._set_mode("choose")
        self.take_focus()

    def action_send_edited(self) -> None:
        """Approve with the changed arguments."""
        if self._mode != "edit":
            return
        try:
            arguments: Json = msgspec.json.decode(self.query_one("#ask-arguments", TextArea).text)
        except msgspec.DecodeError:
            self._trouble = self._words("notJson")
            return
        self._answer(Answer(approved=True, arguments=arguments))
        self._set_mode("choose")
        self.take_focus()

    def action_back(self) -> None:
        """From the reason or the arguments to the letters, from those to typing."""
        self._trouble = ""
        if self._mode == "choose":
            self.post_message(self.Left())
        else:
            self._set_mode("choose")
            self.take_focus()

    def on_ask_body_other(self, event: AskBody.Other) -> None:
        """Another question."""
        event.stop()
        self.index = max(0, self.index + event.by)

    def take_focus(self) -> None:
        """Let letters answer."""
        self.screen.set_focus(self.query_one(AskBody))
