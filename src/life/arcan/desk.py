"""The loaded sessions of a runtime: who may decide about one, and who drives it on.

Whatever changes a session goes through `deciding`: one decision at a time, at the journal's head, never on a session that was
deleted. What is decided is durable before anything is driven.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from life.aios.errors import InvalidInputError
from life.aios.ids import MAIN_BRANCH, check_path_id, new_id
from life.aios.ports.provider import ModelProvider
from life.aios.record import Stream
from life.arcan.errors import (
    BranchNotFoundError,
    DecisionNeededError,
    RunInProgressError,
    RunPausedError,
    RuntimeClosedError,
    RunUnfinishedError,
    SessionNotFoundError,
    UnknownProviderError,
)
from life.arcan.live import LiveSession
from life.arcan.plan import moves_alone
from life.arcan.settings import Parts
from life.arcan.unicode import whole_characters


class Desk:
    """Loaded sessions by stream, their locks and their providers."""

    def __init__(
        self,
        parts: Parts,
        *,
        agent_id: str,
        provider: ModelProvider,
        open_provider: Callable[[str], ModelProvider] | None,
        paused: Callable[[LiveSession], None],
    ) -> None:
        """`paused` hears when a session's driver has come to rest."""
        self.parts = parts._replace(provider_of=self.provider_of)
        self.agent_id = agent_id
        self._provider = provider
        self._open_provider = open_provider
        self._paused = paused
        self._providers: dict[str, ModelProvider] = {}
        self._live: dict[Stream, LiveSession] = {}
        self._closing = False

    @property
    def is_closing(self) -> bool:
        """Whether no work is taken any more."""
        return self._closing

    async def aclose(self) -> None:
        """Stop driving, and close the providers that were opened here."""
        self._closing = True
        live, self._live = list(self._live.values()), {}
        grace_ms = self.parts.settings.shutdown_grace_ms
        await asyncio.gather(*(session.shut_down(grace_ms=grace_ms) for session in live))
        for provider in self._providers.values():
            close = getattr(provider, "aclose", None)
            if close is not None:
                await close()

    def check_open(self) -> None:
        """RuntimeClosedError once the runtime closes."""
        if self._closing:
            raise RuntimeClosedError("The runtime is closing.")

    async def synced(self, session_id: str, branch: str = MAIN_BRANCH) -> LiveSession:
        """The session, loaded; while nothing drives it here, with what others have appended since."""
        live = self._live.get(Stream(session_id, branch))
        if live is None or not live.is_driven:
            async with self.deciding(session_id, branch) as live:
                return live
        self.check_open()
        return live

    @asynccontextmanager
    async def deciding(self, session_id: str, branch: str = MAIN_BRANCH) -> AsyncIterator[LiveSession]:
        """A branch of the session with its lock held and, unless it is driven, at the journal's head."""
        self.check_open()
        stream = Stream(session_id, branch)
        live = self._live.get(stream)
        if live is None:
            check_path_id(session_id)
            live = self._live[stream] = LiveSession(self.parts, stream, agent_id=self.agent_id, paused=self._paused)
        async with live.lock:
            self.check_open()
            if not live.is_driven:
                try:
                    await live.sync()
                except (BranchNotFoundError, SessionNotFoundError):
                    self._live.pop(stream, None)
                    raise
            if live.log.state.deleted or (live.log.state.head == 0 and branch == MAIN_BRANCH):
                self._live.pop(stream, None)
                raise SessionNotFoundError(session_id)
            self._live[stream] = self._live.pop(stream, live)
            self._forget_idle()
            yield live

    async def at_rest(self, live: LiveSession) -> None:
        """Return when no run is open and nothing drives the session, so that a new run may start; otherwise an error that
        says what is open."""
        while live.is_driven and live.log.state.run is None:
            await live.driven()  # the last run's end is being made durable
        self.check_at_rest(live)

    def check_at_rest(self, live: LiveSession) -> None:
        """No run is open; otherwise an error that says what is."""
        state = live.log.state
        run = state.run
        if run is None:
            return
        if live.is_driven:
            raise RunInProgressError(state.session_id, run.run_id)
        for call in state.calls:
            if call.phase == "awaiting_approval":
                raise DecisionNeededError(
                    state.session_id, run.run_id, waiting_for="approval", subject=call.approval_id or ""
                )
            if call.phase == "awaiting_client":
                raise DecisionNeededError(state.session_id, run.run_id, waiting_for="result", subject=call.call_id)
            if call.phase == "in_doubt":
                raise DecisionNeededError(state.session_id, run.run_id, waiting_for="doubt", subject=call.call_id)
        if state.held or state.suspended:
            raise RunPausedError(state.session_id, run.run_id)
        raise RunUnfinishedError(state.session_id, run.run_id)

    def is_driven(self, stream: Stream) -> bool:
        """Whether this process drives the run of the branch right now."""
        live = self._live.get(stream)
        return live is not None and live.is_driven

    def drive(self, live: LiveSession, provider: ModelProvider | None = None, *, cancelled: bool = False) -> None:
        """Begin to drive the open run."""
        live.drive(provider or self.provider_of(live.log.state.model), cancelled=cancelled)

    def drive_on(self, live: LiveSession) -> str:
        """Go on with the open run after a decision, if anything can be done without another one; its id."""
        run = live.log.state.run
        assert run is not None
        if not live.is_driven and moves_alone(live.log.state, self.parts.clock.now_us()):
            self.drive(live)
        return run.run_id

    def provider_of(self, specification: str) -> ModelProvider:
        """The provider of a specification; the runtime's own for an empty one. UnknownProviderError when it can't be opened."""
        if not specification:
            return self._provider
        if specification not in self._providers:
            if self._open_provider is None:
                raise UnknownProviderError(f"This runtime has one provider and can't open '{specification}'.")
            self._providers[specification] = self._open_provider(specification)
        return self._providers[specification]

    def new_id(self) -> str:
        """A fresh id."""
        return new_id(self.parts.clock, self.parts.entropy)

    def _forget_idle(self) -> None:
        """Keep the number of loaded sessions bounded, longest unused first."""
        excess = len(self._live) - self.parts.settings.loaded_sessions
        if excess > 0:
            idle = (stream for stream, live in self._live.items() if live.is_idle)
            for stream in list(itertools.islice(idle, excess)):
                del self._live[stream]


def check_text(*texts: str) -> None:
    """Refuse text that UTF-8 can't hold (lone surrogates), before it reaches the journal."""
    for text in texts:
        if whole_characters(text) != text:
            raise InvalidInputError("The text holds half a character (a lone surrogate).")
