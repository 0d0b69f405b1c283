"""The shell's conversation over a track: the same commands, the same client, another surface.

What the shell's commands tell in lines (`/status`, `/cost`, `/memory` …) is kept as answers beside the conversation; they are no events. Commands
that have a pane here show it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from rich.text import Text

from life.aios.errors import LifeError, NotFoundError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.clock import Clock
from life.aios.record import EventRecord, Stream
from life.aios.state import SteeringMode
from life.cli.chat.opening import Opened
from life.cli.chat.questions import ApprovalAsked, DoubtAsked, PaymentAsked, Question
from life.cli.chat.reader import ListReader, PaymentQuestion
from life.cli.chat.recorded import OnlyLookingError
from life.cli.chat.sight import Sight
from life.cli.chat.track import Track
from life.cli.chat.words import PLAIN, Signs, Words
from life.cli.session_client import Answer
from life.cli.shell.conversation import Conversation
from life.cli.shell.slash import COMMANDS, Command, dispatch, find, is_command
from life.cli.shell.words import PLAIN_GLYPHS, Glyphs
from life.workspace.fold import fold

_PAGE: Final = 2_000
_NEED_PAST: Final = frozenset({"cost", "diff", "undo", "status", "model", "reasoning"})
"""Commands that tell of the whole conversation, which the chat itself never reads whole."""

_MOST_ANSWERS: Final = 40
_PAUSE_WITHIN_S: Final = 20.0
STEERING: Final[tuple[SteeringMode, ...]] = ("followup", "steer", "interrupt")


class Told(NamedTuple):
    """What a command answered, and behind which entry of the conversation."""

    number: int
    behind: int
    command: str
    lines: tuple[Text, ...]


class Lines:
    """`Surface` for commands: what they say is collected."""

    streams = False

    def __init__(self, signs: Signs) -> None:
        self.width = 76
        self.glyphs = PLAIN_GLYPHS if signs is PLAIN else Glyphs()
        self._lines: list[Text] = []

    def piece(self, text: str) -> None:
        """See Surface; commands write lines."""

    def answer(self, lines: Sequence[Text]) -> None:
        """See Surface."""
        self._lines += lines

    def aside(self, lines: Sequence[Text]) -> None:
        """See Surface."""
        self._lines += lines

    def refresh(self) -> None:
        """See Surface."""

    def taken(self) -> tuple[Text, ...]:
        """The lines since the last time, without empty ones at the ends."""
        lines, self._lines = self._lines, []
        while lines and not lines[0].plain.strip():
            del lines[0]
        while lines and not lines[-1].plain.strip():
            del lines[-1]
        return tuple(lines)


class ChatConversation(Conversation):
    """One open session in the chat."""

    def __init__(
        self,
        opened: Opened,
        clock: Clock,
        *,
        data_dir: Path,
        words: Words,
        signs: Signs,
        more_commands: tuple[Command, ...] = (),
    ) -> None:
        self.lines = Lines(signs)
        super().__init__(opened.client, self.lines, clock, data_dir=data_dir, asks=True)
        self.reader = opened.reader
        self.acts = opened.acts
        self.words = words
        self.signs = signs
        self.more_commands = more_commands
        self.steering: SteeringMode = "followup"
        self.told: list[Told] = []
        self.payments: Sequence[PaymentQuestion] = ()
        self.sight = self._sight_of(Stream("", MAIN_BRANCH))
        self.show_pane: Callable[[str, str], bool] = lambda _name, _rest: False
        """Shows the pane of a command, when there is one."""
        self.on_attached: Callable[[], None] = lambda: None
        self._moved = asyncio.Event()
        self._command = ""
        self._count = 0

    @property
    def track(self) -> Track:
        """The branch that is open."""
        return self.sight.track

    @property
    def is_busy(self) -> bool:
        """Whether a run is open at the head."""
        return self.track.live.run != ""

    def _sight_of(self, stream: Stream) -> Sight:
        return Sight(Track(self.client, self.reader, self.clock, stream), self.words, self.signs)

    async def attach(self, session_id: str | None, branch: str = MAIN_BRANCH) -> None:
        """Take up a session (a new one without an id) and follow it."""
        if self.acts or session_id is None:
            session_id = (await self.client.open_session(session_id)).session_id
        sight = self._sight_of(Stream(session_id, branch))
        await sight.track.open()
        if sight.track.live.session.deleted and not isinstance(self.reader, ListReader):
            raise NotFoundError(f"There is no session {session_id}.")
        await self.track.aclose()
        sight.about, sight.open_all, sight.opened = await self.reader.about(), self.sight.open_all, set()
        self.sight, self.session_id, self.branch = sight, session_id, branch
        self.view.transcript = type(self.view.transcript)()
        self.told.clear()
        sight.track.on_record = self._recorded
        sight.track.follow_stream()
        await self.read_money()
        if sight.track.live.approvals:
            await self.read_deadlines()
        self.on_attached()

    async def aclose(self) -> None:
        """Stop following."""
        await self.track.aclose()
        await super().aclose()

    def _recorded(self, record: EventRecord) -> None:
        self._moved.set()
        if record.kind_name == "ApprovalRequested":
            self._spawn(self.read_deadlines())
        elif record.kind_name in ("ToolCallCompleted", "RunFinished"):
            self._spawn(self.read_money())

    async def read_money(self) -> None:
        """What wallets wrote about the session, and payments that wait."""
        try:
            self.sight.wallets = fold(await self.reader.money(self.session_id))
            self.payments = [one for one in await self.reader.payments() if one.session_id in (None, self.session_id)]
        except LifeError:
            self.payments = ()  # the other side is gone for a moment; the next event asks again

    async def read_deadlines(self) -> None:
        """When calls that wait are refused by themselves."""
        try:
            self.sight.deadlines = await self.reader.deadlines()
        except LifeError:
            self.sight.deadlines = {}

    # What a person types

    def shows(self, name: str, rest: str) -> bool:
        """See Conversation."""
        return self.show_pane(name, rest)

    async def enter(self, text: str) -> None:
        """A command or a message. Errors are shown, and a message is given back."""
        self.hint = ""
        self._command = text.strip().split("\n")[0][:200] if is_command(text) else ""
        try:
            if self._command:
                await self._learn(text)
                await dispatch(self, text)
            elif text.strip():
                self._may_act()
                await self.say(text, self.steering if self.is_busy else "collect")
                self.track.follow()
        except LifeError as error:
            self.report(error)
            if not self._command:
                self.set_input(text)
        self.keep_told()

    def keep_told(self) -> None:
        """What was said beside the conversation since the last time, kept where it was said."""
        lines = self.lines.taken()
        if not lines:
            return
        self._count += 1
        state = self.sight.state
        self.told.append(Told(self._count, state.dropped + len(state.entries), self._command, lines))
        del self.told[:-_MOST_ANSWERS]
        self._command = ""
        self.changed()

    def report(self, error: LifeError) -> None:
        """See Conversation; shown at once."""
        super().report(error)
        self.keep_told()

    async def _learn(self, text: str) -> None:
        """Read what the command tells of."""
        words = text.strip()[1:].split()
        command = find(words[0].lower(), self.more_commands) if words else None
        if command is None or command.name not in _NEED_PAST:
            return
        transcript = self.view.transcript
        while page := await self.client.events(self.session_id, self.branch, after=transcript.head, limit=_PAGE):
            for record in page:
                self.view.learn(record)
            if len(page) < _PAGE:
                return

    def commands(self) -> tuple[Command, ...]:
        """Every command."""
        return (*COMMANDS, *self.more_commands)

    def change_steering(self) -> None:
        """The next of: after this, steer now, interrupt."""
        self.steering = STEERING[(STEERING.index(self.steering) + 1) % len(STEERING)]

    def interrupt(self) -> None:
        """Ctrl-C: stop the run; twice, leave."""
        self.view.transcript.run_id = self.track.live.run or None
        super().interrupt()
        if self.quitting.is_set():
            return
        self.hint = self.words("stopping") if self.is_busy and self.acts else self.words("leaves")
        self.changed()

    def _forget_interrupt(self) -> None:
        super()._forget_interrupt()
        self.changed()

    def _may_act(self) -> None:
        if not self.acts:
            raise OnlyLookingError

    # Decisions

    async def decide(self, question: Question, answer: Answer, *, pause: bool = False) -> None:
        """A person's word about a call; with `pause` the run holds once the call is done."""
        assert isinstance(question, ApprovalAsked)
        self._may_act()
        await self.client.decide(self.session_id, self.branch, question.approval.id, answer)
        if pause and await self._has_begun(question.approval.call):
            await self.client.pause(self.session_id, self.branch)

    async def _has_begun(self, call: str) -> bool:
        """Wait until the approved call has begun: a run that is held before it would not even begin it. False when the run is over."""
        try:
            async with asyncio.timeout(_PAUSE_WITHIN_S):
                while any(
                    one.id == call and one.state in ("waiting", "approved", "requested")
                    for one in self.track.live.calls
                ):
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            pass
        return self.is_busy

    async def resolve(self, question: Question, decision: str) -> None:
        """A person's word about a call in doubt."""
        assert isinstance(question, DoubtAsked)
        self._may_act()
        known = {"done": "done", "not_done": "not_done", "retry": "retry"}[decision]
        await self.client.resolve_doubt(self.session_id, self.branch, question.call, known, "")  # type: ignore[arg-type]

    async def pay(self, question: Question, *, approved: bool, reason: str | None = None) -> None:
        """A person's word about a payment; the ticket is its key, so deciding twice pays once."""
        assert isinstance(question, PaymentAsked)
        self._may_act()
        await self.reader.decide_payment(question.payment.ticket_id, approved=approved, reason=reason)
        await self.read_money()
        self.changed()

    async def pause_or_go_on(self) -> None:
        """Hold the run, or let it go on."""
        self._may_act()
        if self.track.live.held:
            await self.client.go_on(self.session_id, self.branch)
        elif self.is_busy:
            await self.client.pause(self.session_id, self.branch)
        else:
            self.hint = self.words("noRun")
            self.changed()

    async def withdraw(self, queue_id: str) -> None:
        """Take a queued message back."""
        self._may_act()
        await self.client.withdraw(self.session_id, self.branch, queue_id)

    async def fork(self, name: str, at: int, words: str = "") -> None:
        """A branch from right after an event; with words it also runs. Looking and running are two verbs (WS-BR-2)."""
        self._may_act()
        was = self.branch
        made = await self.client.fork(self.session_id, name, parent=was, at=at)
        if words:
            await self.client.send(self.session_id, words, steering="collect", branch=made.branch_id)
        await self.attach(self.session_id, made.branch_id)
        self._command = "/branch new"
        self.view.note(self.words("forkMade", name=made.name, was=was))
        self.keep_told()
