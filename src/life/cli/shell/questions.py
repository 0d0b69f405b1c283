"""What the runtime asks people: may this call run, and did that one happen.

One question at a time, answered where everything else is typed: `y`, `n`, `n because …`, `e`, `s` and Enter. Anything else answers
nothing, so a message that was half typed when the question came never decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from life.arcan.events import DoubtDecision
from life.cli.session_client import Answer
from life.cli.shell.items import (
    Asked,
    InDoubt,
)
from life.cli.shell.words import pretty_json

if TYPE_CHECKING:
    from life.cli.shell.conversation import Conversation

_DOUBTS: Final[dict[str, DoubtDecision]] = {
    "d": "done",
    "done": "done",
    "n": "not_done",
    "not done": "not_done",
    "r": "retry",
    "retry": "retry",
}
APPROVAL_HELP: Final = "y yes, n [REASON] no, e edit, s yes for this session"
DOUBT_HELP: Final = "d it happened, n it did not, r run it again"


class Questions:
    """Open questions, oldest first."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._open: list[Asked | InDoubt] = []
        self._mode: Literal["decide", "edit"] = "decide"

    @property
    def is_open(self) -> bool:
        """Whether a person is asked."""
        return bool(self._open)

    @property
    def prompt(self) -> str:
        """What stands before the input while a question is open; empty otherwise."""
        if not self._open:
            return ""
        if self._mode == "edit":
            return "arguments"
        return "allow? y/n/e/s" if isinstance(self._open[0], Asked) else "happened? d/n/r"

    @property
    def help(self) -> str:
        """What can be answered."""
        if not self._open:
            return ""
        if self._mode == "edit":
            return "Enter sends the arguments, an empty line goes back"
        return APPROVAL_HELP if isinstance(self._open[0], Asked) else DOUBT_HELP

    def clear(self) -> None:
        """Nothing is asked any more."""
        self._open.clear()
        self._mode = "decide"

    def settled(self, subject: str) -> None:
        """Somebody decided, here or elsewhere."""
        self._open = [each for each in self._open if _subject(each) != subject]
        self._mode = "decide"

    async def ask(self, item: Asked) -> None:
        """Show a call that waits, and ask."""
        path = item.arguments.get("path") if isinstance(item.arguments, dict) else None
        edits = item.tool_name in ("write_file", "edit_file") and isinstance(path, str)
        now = await self._conversation.current_text(str(path)) if edits else None
        if any(_subject(each) == item.approval_id for each in self._open):
            return
        self._conversation.view.question(item, now)
        self._put(item)

    def ask_doubt(self, item: InDoubt) -> None:
        """Ask whether a call happened."""
        if all(_subject(each) != item.call_id for each in self._open):
            self._put(item)

    async def answer(self, text: str) -> None:
        """What a person typed."""
        item, words = self._open[0], text.strip()
        if isinstance(item, InDoubt):
            await self._answer_doubt(item, words)
        elif self._mode == "edit":
            await self._answer_edited(item, words)
        else:
            await self._answer_approval(item, words)

    async def _answer_approval(self, item: Asked, words: str) -> None:
        first, _, rest = words.partition(" ")
        match first.lower():
            case "y" | "yes" if not rest:
                await self._decide(item, Answer(approved=True))
            case "s" | "session" | "always" if not rest:
                await self._decide(item, Answer(approved=True, scope="session"))
            case "n" | "no":
                reason = rest.strip().removeprefix("because ").strip()
                await self._decide(item, Answer(approved=False, reason=reason or None))
            case "e" | "edit" if not rest:
                self._mode = "edit"
                self._conversation.set_input(pretty_json(item.arguments))
                self._conversation.changed()
            case _:
                self._conversation.hint = APPROVAL_HELP

    async def _answer_edited(self, item: Asked, words: str) -> None:
        if not words:
            self._mode = "decide"
            self._conversation.changed()
            return
        try:
            arguments = msgspec.json.decode(words)
        except msgspec.DecodeError as bad:
            self._conversation.view.note(f"That is not JSON: {bad}", bad=True)
            self._conversation.set_input(words)
            return
        await self._decide(item, Answer(approved=True, arguments=arguments))

    async def _answer_doubt(self, item: InDoubt, words: str) -> None:
        first, _, note = words.partition(" ")
        decision = _DOUBTS.get(first.lower())
        if decision is None:
            self._conversation.hint = DOUBT_HELP
            return
        conversation = self._conversation
        await conversation.client.resolve_doubt(
            conversation.session_id, conversation.branch, item.call_id, decision, note.strip()
        )
        self.settled(item.call_id)
        conversation.changed()

    async def _decide(self, item: Asked, answer: Answer) -> None:
        conversation = self._conversation
        await conversation.client.decide(conversation.session_id, conversation.branch, item.approval_id, answer)
        self.settled(item.approval_id)
        conversation.changed()

    def _put(self, item: Asked | InDoubt) -> None:
        self._open.append(item)
        self._conversation.view.waiting()
        self._conversation.changed()


def _subject(item: Asked | InDoubt) -> str:
    return item.approval_id if isinstance(item, Asked) else item.call_id
