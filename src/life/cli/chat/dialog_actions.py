"""What becomes of what a person chose in a dialog."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Protocol

from textual.screen import Screen

from life.cli.chat import choosing
from life.cli.chat.composer import Composer
from life.cli.chat.controller import ChatConversation
from life.cli.chat.dialogs import Chooser, Picked, RowsOf
from life.cli.chat.sight import Rows
from life.cli.shell.transcript import without_attachments


class Stage(Protocol):
    """What dialogs need of the application."""

    @property
    def composer(self) -> Composer:
        """The input."""
        ...

    def work(self, work: Coroutine[object, object, None]) -> None:
        """Do something; errors are told."""
        ...

    def show_dialog(self, dialog: Screen[Picked | None], picked: Callable[[Picked | None], None]) -> None:
        """Show a dialog, and hear what was chosen."""
        ...

    def action_pane(self, name: str) -> None:
        """A pane by its name."""
        ...

    def action_scrub(self) -> None:
        """To the track of time."""
        ...


class Dialogs:
    """Sessions, commands, waiting messages, keys, search."""

    def __init__(self, stage: Stage, conversation: ChatConversation) -> None:
        self._stage = stage
        self._conversation = conversation

    def _show(
        self,
        title: str,
        hint: str,
        rows_of: Callable[[ChatConversation, str, int], Coroutine[object, object, list[Rows]]],
        picked: Callable[[Picked], None],
        *,
        placeholder: str | None = None,
        letters: str = "",
    ) -> None:
        conversation = self._conversation
        words = conversation.words

        def rows(typed: str, width: int) -> Coroutine[object, object, list[Rows]]:
            return rows_of(conversation, typed, width)

        asked: RowsOf = rows
        dialog = Chooser(
            words,
            conversation.signs,
            title=words(title),
            hint=words(hint).replace("·", conversation.signs.dot),
            rows_of=asked,
            placeholder=None if placeholder is None else words(placeholder),
            letters=letters,
        )
        self._stage.show_dialog(dialog, lambda chosen: None if chosen is None else picked(chosen))

    def sessions(self) -> None:
        """All sessions; another one is opened, or a new one made."""

        def picked(chosen: Picked) -> None:
            if chosen.by == "n":
                self._stage.work(self._new_session())
            elif chosen.key:
                self._stage.work(self._conversation.attach(chosen.key))

        self._show("sessionsTitle", "sessionsKeys", choosing.session_rows, picked, placeholder="filter", letters="n")

    async def _new_session(self) -> None:
        await self._conversation.enter("/session new")

    def palette(self) -> None:
        """Panes and commands; a command that needs words is put into the input."""

        def picked(chosen: Picked) -> None:
            kind, _, name = chosen.key.partition("/")
            if kind == "pane":
                self._stage.action_pane(name)
                return
            command = next((one for one in self._conversation.commands() if one.name == name), None)
            if command is None:
                return
            if command.usage and not command.usage.startswith("["):
                self._stage.composer.text = ""
                self._stage.composer.put(f"/{name} ")
            else:
                self._stage.work(self._conversation.enter(f"/{name}"))

        self._show("palette", "paletteKeys", choosing.palette_rows, picked, placeholder="paletteHint")

    def queue(self) -> None:
        """Messages that wait: taken back, or taken back to be changed."""

        def picked(chosen: Picked) -> None:
            waiting = next((one for one in self._conversation.track.live.queue if one.id == chosen.key), None)
            if waiting is None:
                return
            self._stage.work(self._conversation.withdraw(waiting.id))
            if chosen.by != "d":
                self._stage.composer.put(without_attachments(waiting.message).text)

        self._show("queueTitle", "queueKeys", choosing.queue_rows, picked, letters="ed")

    def keys(self) -> None:
        """What the keys do."""
        self._show("helpTitle", "closeKeys", choosing.key_rows, lambda _chosen: None)

    def search(self) -> None:
        """Events with some words; the moment of the chosen one is looked at."""

        def picked(chosen: Picked) -> None:
            if chosen.key.startswith("#"):
                self._stage.work(self._conversation.track.seek(int(chosen.key[1:])))
                self._stage.action_scrub()

        self._show("searchTitle", "searchKeys", choosing.found_rows, picked, placeholder="searchHint")
