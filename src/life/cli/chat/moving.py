"""Moving: through time, between the columns, to a file or an event. It looks; nothing here runs anything."""

from __future__ import annotations

from textual.widgets import Input

from life.cli.chat.commands import INSPECTORS, MIDDLE
from life.cli.chat.drawing import Board
from life.cli.chat.files_pane import Shown
from life.cli.chat.scrubber import Scrubber
from life.cli.chat.track import SPEEDS
from life.cli.chat.widgets import Listing


class Moves(Board):
    """Where one looks."""

    # Through time

    async def action_step(self, by: int) -> None:
        """So many events back or on."""
        track = self.conversation.track
        track.stop()
        await track.seek(track.shown + by)

    async def action_seek_end(self, direction: int) -> None:
        """The first event, or the last."""
        track = self.conversation.track
        track.stop()
        await track.seek(1 if direction < 0 else track.head)

    async def action_chat_end(self, direction: int) -> None:
        """In the past the first or last event; live the ends of the conversation."""
        if self.sight.is_live:
            self.chat.action_end(direction)
        else:
            await self.action_seek_end(direction)

    async def action_run_beside(self, direction: int) -> None:
        """The run before or after."""
        track = self.conversation.track
        track.stop()
        await track.seek(track.run_beside(direction))

    def action_play(self) -> None:
        """Play, or stop."""
        self.conversation.track.play()

    def action_speed(self, by: int) -> None:
        """Slower or faster."""
        track = self.conversation.track
        track.speed = SPEEDS[max(0, min(SPEEDS.index(track.speed) + by, len(SPEEDS) - 1))]
        self.changed()

    def action_live(self) -> None:
        """Follow the head."""
        self.conversation.track.follow()

    def action_scrub(self) -> None:
        """To the track of time."""
        self._focus(self.query_one("#scrubber", Scrubber))

    def action_step_out(self) -> None:
        """One step out: the event, the column, the past, and then the input."""
        if self.focused is not None and self.middle in self.focused.ancestors and self.middle.event:
            self.middle.event = 0
            self._focus_column("middle")
        elif self.focused is not None and self.focused.id == "journal-filter":
            self.middle.query_one("#journal-filter", Input).display = False
            self._focus_column("middle")
        elif self._columns == 1 and self.side:
            self.side = ""
            self._arrange()
            self._focus(self.composer)
        else:
            self.conversation.track.follow()
            self._focus(self.composer)
        self.changed()

    # Columns

    def _focus_column(self, name: str) -> None:
        self.side = name
        self._arrange()
        column = self.middle if name == "middle" else self.right

        def focus() -> None:
            self.draw()
            self._focus(column.listing)
            if name == "middle" and self.middle.pane == "journal" and not self.middle.event:
                journal = self.middle.query_one("#journal", Listing)
                if not journal.chosen_key:
                    journal.move(1)

        self.call_after_refresh(focus)

    def action_pane(self, name: str) -> None:
        """A pane by its name; without one the conversation."""
        if not name:
            self.side = ""
            self._arrange()
            self._focus(self.chat)
        elif name in MIDDLE:
            if self._columns == 1 and self.side == "middle" and self.middle.pane == name and not self.middle.event:
                self.action_step_out()
                return
            self.middle.pane, self.middle.event = name, 0
            self._focus_column("middle")
        else:
            self.right.pane = name
            self._focus_column("right")

    def action_next_inspector(self, by: int) -> None:
        """The inspectors one after the other."""
        if self.right.display and (self._columns > 1 or self.side == "right"):
            self.right.pane = INSPECTORS[(INSPECTORS.index(self.right.pane) + by) % len(INSPECTORS)]
        self._focus_column("right")

    def action_preview(self, shown: Shown) -> None:
        """Content, difference or history of the file."""
        if self.right.pane == "preview" and self.right.preview is not None:
            self.right.preview.shown = shown
            self.changed()

    def _preview(self, path: str) -> None:
        if self.right.preview is not None:
            self.right.preview.path = path
            self.right.pane = "preview"
            self._focus_column("right")

    def action_all_files(self) -> None:
        """All files that are there now, or those that were touched."""
        if self.middle.there is not None:
            self.middle.there = None
            self.changed()
            return

        async def read() -> None:
            conversation = self.conversation
            self.middle.there = await conversation.client.files(conversation.session_id, conversation.branch)
            self.changed()

        self.work(read())

    def action_next_family(self) -> None:
        """The next family of events."""
        self.middle.next_family()
        self.changed()

    def action_quiet(self) -> None:
        """With or without what one rarely looks for."""
        self.middle.quiet = not self.middle.quiet
        self.changed()

    def action_filter_journal(self) -> None:
        """Words to look for."""
        field = self.middle.query_one("#journal-filter", Input)
        field.placeholder = self.conversation.words("searchJournal")
        field.display = True
        field.value = self.middle.words
        self._focus(field)

    def on_input_changed(self, event: Input.Changed) -> None:
        """The journal's filter."""
        if event.input.id == "journal-filter":
            self.middle.words = event.value.strip()
            self.changed()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """From the filter to what it found."""
        if event.input.id == "journal-filter":
            event.input.display = False
            self._focus_column("middle")

    def action_view_event(self) -> None:
        """Look at the moment of the chosen event."""
        sequence = self._event()
        if sequence:
            self.work(self.conversation.track.seek(sequence))

    def _event(self) -> int:
        key = self.middle.query_one("#journal", Listing).chosen_key
        return self.middle.event or (int(key[1:]) if key else 0)
