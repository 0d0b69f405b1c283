"""Which session a request continues, and what it must not run twice.

Most clients of the chat protocols know no sessions: they send the whole conversation every time. Here the conversation itself
is the key. Every finished run leaves a note under the hash of the turns up to its answer (`arcan.door_answered`, under a derived event
id, in a stream of its own), and a request whose turns before the last question hash to such a note goes on in that session, if
nothing happened there since. Otherwise it gets a new session; turns that it brings along are written into that first, so that the
agent knows them.

    X-Life-Session: <id>    names the session instead; only the last question counts then
    Idempotency-Key: <key>  the same request under the same key is the same run, also after a restart (`arcan.door_asked`);
                            another request under it conflicts

A request that an official client repeats by itself (`x-stainless-retry-count`) without a key, and a question that is repeated
while its run is still going on in that conversation, join the run that the first one began, as long as this process remembers it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final, Literal, NamedTuple, TypeVar

import msgspec

from life.aios.errors import EventConflictError, InvalidInputError, LifeError
from life.aios.events import Message, UserMessage
from life.aios.events.codec import custom, read_custom
from life.aios.ids import check_id, derived_event_id, new_id
from life.aios.ports.provider import ToolSpec
from life.aios.record import AGENT, USER, EventWriter, Stream
from life.aios.state import TokenUsage
from life.arcan.doors.answers import AnswerReader
from life.arcan.doors.errors import RequestKeyConflictError, UnknownModelError
from life.arcan.doors.following import follow
from life.arcan.doors.requests import DoorModel, Parts, check_owner
from life.arcan.errors import RunNotFoundError, SessionNotFoundError, UnknownProviderError
from life.arcan.session_state import SessionState

DOORS: Final = Stream("arcan:doors")
"""Where the notes stand."""
ASKED: Final = "arcan.door_asked"
ANSWERED: Final = "arcan.door_answered"
_REMEMBERED: Final = 1024
_Note = TypeVar("_Note", bound=msgspec.Struct)
_log: Final = logging.getLogger("life.arcan")


class Turn(NamedTuple):
    """One message, as far as it has text."""

    role: Literal["user", "assistant"]
    text: str


class Asked(NamedTuple):
    """A request in the words that all chat protocols share."""

    owner: str | None
    model: str
    system: str
    turns: tuple[Turn, ...]
    session_id: str | None = None
    key: str | None = None
    is_retry: bool = False
    client_tools: tuple[ToolSpec, ...] = ()
    """Tools that the client runs itself."""


class OpenedRun(NamedTuple):
    """The run that answers a request."""

    session_id: str
    run_id: str
    after_sequence: int
    """The sequence before its first event."""


class DoorAsked(msgspec.Struct, frozen=True, kw_only=True):
    """A request under a key: the session that it was given to, and the hash of the request."""

    session_id: str
    request: str


class DoorAnswered(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation reached this point in this session, by this run."""

    session_id: str
    run_id: str


def chain(owner: str | None, model: str, system: str, turns: Sequence[Turn]) -> str:
    """The hash of a conversation: each link covers the one before. Blanks around a text don't count, as clients cut them."""
    link = hashlib.sha256(msgspec.json.encode(["life.conversation.1", owner, model, system.strip()])).digest()
    for turn in turns:
        link = hashlib.sha256(link + msgspec.json.encode([turn.role, turn.text.strip()])).digest()
    return link.hex()


def joined(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns with neighbours of one role as one, and empty ones left out. InvalidInputError unless the user has the last word."""
    whole: list[Turn] = []
    for turn in turns:
        if not turn.text.strip():
            continue
        if whole and whole[-1].role == turn.role:
            whole[-1] = Turn(turn.role, f"{whole[-1].text}\n\n{turn.text}")
        else:
            whole.append(turn)
    if not whole or whole[-1].role != "user":
        raise InvalidInputError(
            "The last message must be the user's, and must have text.", details={"param": "messages"}
        )
    return tuple(whole)


class Conversations:
    """Finds or makes the session of a request, and starts its run. Close it with `aclose`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._recent: OrderedDict[str, OpenedRun] = OrderedDict()
        self._keeping: dict[str, asyncio.Task[None]] = {}

    async def aclose(self) -> None:
        """Stop taking notes. A conversation without its note is continued in a new session that knows its turns."""
        tasks = list(self._keeping.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def open_run(self, asked: Asked) -> OpenedRun:
        """The run that answers this request; it goes on whoever listens."""
        asked = asked._replace(turns=joined(asked.turns))
        model = self.model(asked.model, asked.owner)
        if asked.key is not None:
            check_id(asked.key, what="Idempotency-Key")
        if asked.key is not None and asked.session_id is None:
            return await self._run_under_key(asked, model, asked.key)
        request = f"{asked.session_id or ''}/{chain(asked.owner, asked.model, asked.system, asked.turns)}"
        known = self._recent.get(request) if asked.key is None else None
        if known is not None and (asked.is_retry or await self._goes_on(known, asked)):
            return known
        if asked.session_id is not None:
            opened = await self._run_in(asked, model, asked.session_id)
        else:
            session_id = await self._continued(asked) or await self._new_session(asked, model, None)
            opened = await self._start(asked, session_id, None)
        self._recent[request] = opened
        while len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        return opened

    async def noted(self, run_id: str) -> None:
        """Wait until the note of a run that has ended is durable: the client's next request may be here at once."""
        task = self._keeping.get(run_id)
        if task is not None:
            await asyncio.wait({task})

    async def begin_session(self, asked: Asked) -> str:
        """A new session that knows the turns before the question."""
        asked = asked._replace(turns=joined(asked.turns))
        return await self._new_session(asked, self.model(asked.model, asked.owner), None)

    # ---- where it goes

    def model(self, name: str, owner: str | None) -> DoorModel:
        """What a model name stands for; UnknownModelError. The operator may name any provider that can be opened."""
        model = self._parts.models.get(name)
        if model is None and owner is None and name:
            model = DoorModel(provider=name)
        if model is None:
            raise UnknownModelError(name)
        return model

    async def _run_in(self, asked: Asked, model: DoorModel, session_id: str) -> OpenedRun:
        state = await self._session(asked, model, session_id)
        check_owner(state, asked.owner)
        return await self._start(asked, session_id, asked.key)

    async def _run_under_key(self, asked: Asked, model: DoorModel, key: str) -> OpenedRun:
        claim = derived_event_id(ASKED, asked.owner or "", key)
        request = chain(asked.owner, asked.model, asked.system, asked.turns)
        note = await self._note(claim, ASKED, DoorAsked)
        if note is None:
            session_id = await self._continued(asked) or await self._new_session(asked, model, claim)
            note = DoorAsked(session_id=session_id, request=request)
            try:
                await self._write(ASKED, note, claim)
            except EventConflictError:  # the same key at the same time
                note = await self._note(claim, ASKED, DoorAsked)
        if note is None or note.request != request:
            raise RequestKeyConflictError
        return await self._start(asked, note.session_id, claim)

    async def _goes_on(self, known: OpenedRun, asked: Asked) -> bool:
        """Whether the run of the same request in the same conversation is still open. Two first questions are two conversations."""
        if len(asked.turns) < 2 and asked.session_id is None:
            return False
        state = await self._state(known.session_id)
        run = state.run if state is not None else None
        return run is not None and run.run_id == known.run_id

    async def _continued(self, asked: Asked) -> str | None:
        """The session in which the turns before the question are the last that happened."""
        if len(asked.turns) < 2:
            return None
        before = chain(asked.owner, asked.model, asked.system, asked.turns[:-1])
        note = await self._note(derived_event_id(ANSWERED, before), ANSWERED, DoorAnswered)
        if note is None:
            return None
        state = await self._state(note.session_id)
        if state is None:
            return None
        is_last = state.last_run is not None and state.last_run.run_id == note.run_id
        return note.session_id if is_last and state.run is None and not state.closed else None

    async def _state(self, session_id: str) -> SessionState | None:
        """The session as it stands; None for one that was deleted."""
        try:
            return await self._parts.runtime.state(session_id)
        except SessionNotFoundError:
            return None

    async def _new_session(self, asked: Asked, model: DoorModel, claim: str | None) -> str:
        parts = self._parts
        session_id = f"chat-{claim or new_id(parts.clock, parts.entropy)}"
        state = await self._session(asked, model, session_id)
        if state.head == 1 and len(asked.turns) > 1:
            await self._import(session_id, asked.turns[:-1])
        return session_id

    async def _session(self, asked: Asked, model: DoorModel, session_id: str) -> SessionState:
        prompt = model.system_prompt
        if asked.system.strip():
            prompt = f"{self._parts.default_prompt if prompt is None else prompt}\n\n{asked.system.strip()}"
        try:
            return await self._parts.runtime.create_session(
                session_id, owner=asked.owner or "", provider=model.provider, system_prompt=prompt
            )
        except UnknownProviderError:
            raise UnknownModelError(asked.model) from None

    async def _import(self, session_id: str, turns: Sequence[Turn]) -> None:
        """Write turns that happened elsewhere; they were paid for elsewhere, too."""
        parts = self._parts
        stream = Stream(session_id)
        writer = EventWriter(parts.clock, parts.entropy, agent_id=parts.agent_id, stream=stream)
        events = []
        for number, (role, text) in enumerate(turns):
            event_id = derived_event_id("arcan.door_import", session_id, str(number))
            if role == "user":
                events.append(writer.event(UserMessage(content=text), event_id=event_id, actor=USER))
            else:
                said = Message(role="assistant", content=text, token_usage=TokenUsage())
                events.append(writer.event(said, event_id=event_id, actor=AGENT))
        await parts.journal.append(events)

    # ---- the run

    async def _start(self, asked: Asked, session_id: str, key: str | None) -> OpenedRun:
        runtime = self._parts.runtime
        run_id = await runtime.start(
            session_id, asked.turns[-1].text, idempotency_key=key, client_tools=asked.client_tools
        )
        opened = await opened_run(self._parts, session_id, run_id)
        if run_id not in self._keeping:
            task = asyncio.create_task(self._keep(asked, opened))
            self._keeping[run_id] = task
            task.add_done_callback(lambda _task: self._keeping.pop(run_id, None))
        return opened

    async def _keep(self, asked: Asked, opened: OpenedRun) -> None:
        """Note the conversation when its run has ended, whether or not anybody listens."""
        reader = AnswerReader()
        try:
            async with aclosing(follow(self._parts.runtime, opened.session_id, opened.after_sequence)) as batches:
                async for batch in batches:
                    for record in batch:
                        if record.sequence:
                            reader.feed(record)
                    if reader.answer.is_ended:
                        break
            text = reader.answer.text
            if reader.answer.ended is not None and text:
                turns = (*asked.turns, Turn("assistant", text))
                reached = chain(asked.owner, asked.model, asked.system, turns)
                note = DoorAnswered(session_id=opened.session_id, run_id=opened.run_id)
                # Two conversations may read alike; the first keeps the name, the other is told again to a new session.
                await self._write(ANSWERED, note, derived_event_id(ANSWERED, reached))
        except EventConflictError:
            pass
        except LifeError as error:
            _log.warning("The conversation of session %s was not noted: %s", opened.session_id, error.message)

    async def _note(self, event_id: str, name: str, kind: type[_Note]) -> _Note | None:
        record = await self._parts.journal.get(event_id)
        return None if record is None else read_custom(record.kind, name, kind)

    async def _write(self, name: str, note: msgspec.Struct, event_id: str) -> None:
        parts = self._parts
        writer = EventWriter(parts.clock, parts.entropy, agent_id=parts.agent_id, stream=DOORS)
        await parts.journal.append([writer.event(custom(name, note), event_id=event_id)])


async def opened_run(parts: Parts, session_id: str, run_id: str) -> OpenedRun:
    """Where a run stands in its session; RunNotFoundError when it does not stand there."""
    record = await parts.journal.get(run_id)
    if record is None or record.kind_name != "RunStarted" or record.session_id != session_id:
        raise RunNotFoundError(session_id, run_id)
    return OpenedRun(session_id, run_id, record.sequence - 1)
