"""The runtime: everything that servers, commands and programs do with sessions.

    runtime = Runtime(journal, toolbox, provider=…, clock=…, entropy=…, agent_id=…, workspace_of=…)
    await runtime.create_session("notes")
    report = await runtime.run("notes", "Write hello.txt")

A run belongs to the runtime, not to the caller who started it: `start` returns as soon as the objective is durable, a
dropped connection stops nothing, `wait` may be called by many. One process drives a session at a time; recovery assumes
that the process that drove it before is dead, so whoever opens the journal holds its lock.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Final

import msgspec

from life.aios import events
from life.aios.errors import EventConflictError, InvalidInputError, JournalError, LifeError, SequenceConflictError
from life.aios.ids import check_id, check_path_id, derived_event_id, new_id
from life.aios.policy import PolicySet
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.ports.provider import ModelProvider
from life.aios.ports.tools import Toolbox
from life.aios.record import USER, Actor, EventRecord, EventWriter, Stream
from life.aios.state import ApprovalDecision
from life.arcan.decisions import add_doubt_outcome
from life.arcan.errors import (
    DecisionNeededError,
    NothingToDecideError,
    RunInProgressError,
    RunKeyConflictError,
    RunNotFoundError,
    RuntimeClosedError,
    RunUnfinishedError,
    SessionClosedError,
    SessionDrivenElsewhereError,
    SessionNotFoundError,
    UnknownProviderError,
)
from life.arcan.events import DoubtDecision, RunLimits, run_limits
from life.arcan.limits import check_limits
from life.arcan.live import LiveSession
from life.arcan.reports import RunReport, past_report, report_of
from life.arcan.session_log import ARCAN
from life.arcan.session_state import SessionConfig, SessionState
from life.arcan.sessions import SessionIndex, SessionSummary
from life.arcan.settings import Parts, RuntimeSettings
from life.arcan.unicode import whole_characters

_log = logging.getLogger("life.arcan")

MAX_OBJECTIVE_CHARACTERS: Final = 200_000
"""Longest objective that is accepted."""


class Runtime:
    """Sessions and their runs over one journal. Use it from one event loop; close it with `aclose`."""

    def __init__(
        self,
        journal: Journal,
        toolbox: Toolbox,
        *,
        provider: ModelProvider,
        clock: Clock,
        entropy: Entropy,
        agent_id: str,
        workspace_of: Callable[[str], str],
        open_provider: Callable[[str], ModelProvider] | None = None,
        settings: RuntimeSettings | None = None,
    ) -> None:
        """`provider` serves sessions that name none; `open_provider` makes the one a session's specification names."""
        settings = settings or RuntimeSettings()
        check_limits(settings.limits)
        self._parts = Parts(journal, toolbox, clock, entropy, workspace_of, settings)
        self._agent_id = check_id(agent_id, what="agent id")
        self._provider = provider
        self._open_provider = open_provider
        self._providers: dict[str, ModelProvider] = {}
        self._live: dict[str, LiveSession] = {}
        self._index = SessionIndex(journal)
        self._closing = False

    async def __aenter__(self) -> Runtime:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop driving. Open runs stay open in the journal and can be recovered; subscriptions end. Providers that were
        opened for sessions are closed; the one that was passed in belongs to the caller."""
        self._closing = True
        live, self._live = list(self._live.values()), {}
        grace_ms = self._parts.settings.shutdown_grace_ms
        await asyncio.gather(*(session.shut_down(grace_ms=grace_ms) for session in live))
        for provider in self._providers.values():
            close = getattr(provider, "aclose", None)
            if close is not None:
                await close()

    # Sessions

    async def create_session(
        self,
        session_id: str | None = None,
        *,
        name: str = "",
        owner: str = "",
        policy: PolicySet | None = None,
        provider: str = "",
        system_prompt: str | None = None,
    ) -> SessionState:
        """A new session, or the one of this id as it is. What is not given is taken from the runtime's settings now and
        stays with the session. An unknown `provider` is refused here, not at the first run."""
        self._check_open()
        session_id = check_path_id(session_id) if session_id is not None else self._new_id()
        _check_text(name, owner, system_prompt or "")
        if provider:
            self._provider_of(provider)
        settings = self._parts.settings
        config = SessionConfig(
            owner=owner,
            provider=provider,
            system_prompt=settings.system_prompt if system_prompt is None else system_prompt,
            policy=policy or settings.policy,
        )
        stream = Stream(session_id)
        writer = EventWriter(
            self._parts.clock, self._parts.entropy, agent_id=self._agent_id, stream=stream, actor=ARCAN
        )
        created = writer.event(
            events.SessionCreated(name=name or session_id, config=msgspec.to_builtins(config)),
            event_id=derived_event_id("arcan.session", session_id),
        )
        try:
            await self._parts.journal.append([created], expected={stream: 0})
        except (SequenceConflictError, EventConflictError):
            pass  # it exists
        return await self.state(session_id)

    async def sessions(self, owner: str | None = None) -> list[SessionSummary]:
        """All sessions (of one owner), newest first."""
        self._check_open()
        return await self._index.list(owner)

    async def state(self, session_id: str) -> SessionState:
        """The durable state of a session. Reading it never calls a model."""
        return (await self._synced(session_id)).log.durable_state

    async def close_session(self, session_id: str, reason: str = "closed") -> None:
        """Refuse further runs. A session with an open run can't be closed; closing twice is fine."""
        async with self._deciding(session_id) as live:
            if live.log.state.closed:
                return
            self._check_at_rest(live)
            live.log.add(events.SessionClosed(reason=reason))
            await live.log.commit()

    # Runs

    async def start(
        self,
        session_id: str,
        objective: str,
        *,
        limits: RunLimits | None = None,
        idempotency_key: str | None = None,
        actor: Actor = USER,
    ) -> str:
        """Begin a run; its id, once objective and intent are durable. The same key with the same objective gives the
        same run, whatever became of it, also after a restart."""
        if not objective.strip() or len(objective) > MAX_OBJECTIVE_CHARACTERS:
            raise InvalidInputError(f"The objective must have 1 to {MAX_OBJECTIVE_CHARACTERS} characters.")
        _check_text(objective)
        run_limits_ = check_limits(limits or self._parts.settings.limits)
        async with self._deciding(session_id) as live:
            run_id = self._new_id()
            message_id: str | None = None
            if idempotency_key is not None:
                check_id(idempotency_key, what="idempotency key")
                run_id = derived_event_id("arcan.run", session_id, idempotency_key)
                message_id = derived_event_id("arcan.objective", session_id, idempotency_key)
                if await self._is_known_run(session_id, run_id, message_id, objective):
                    return run_id
            if live.log.state.closed:
                raise SessionClosedError(session_id)
            self._check_at_rest(live)
            provider = self._provider_of(live.log.state.config.provider)
            log = live.log
            log.add(events.UserMessage(content=objective), event_id=message_id, actor=actor, run_id=run_id)
            log.add(
                events.RunStarted(provider=provider.name, max_iterations=run_limits_.max_steps),
                event_id=run_id,
                run_id=run_id,
            )
            log.add(run_limits(run_limits_))
            await log.commit()
            live.drive(provider)
            return run_id

    async def wait(self, session_id: str, run_id: str | None = None) -> RunReport:
        """How the run stands once nothing drives it: finished, or waiting for a person. Without `run_id` the open run,
        or the last one. Cancelling the waiter leaves the run alone."""
        live = await self._synced(session_id)
        if run_id is None:
            state = live.log.state
            known = state.run.run_id if state.run else state.last_run.run_id if state.last_run else None
            if known is None:
                raise RunNotFoundError(session_id, "any")
            run_id = known
        run = live.log.state.run
        if run is not None and run.run_id == run_id:
            await live.driven()
        report = report_of(live.log.durable_state, run_id)
        return report or await past_report(self._parts.journal, session_id, run_id)

    async def run(
        self,
        session_id: str,
        objective: str,
        *,
        limits: RunLimits | None = None,
        idempotency_key: str | None = None,
        actor: Actor = USER,
    ) -> RunReport:
        """Start a run and wait for it. Cancelling this call cancels the run."""
        run_id = await self.start(session_id, objective, limits=limits, idempotency_key=idempotency_key, actor=actor)
        try:
            return await self.wait(session_id, run_id)
        except asyncio.CancelledError:
            await asyncio.shield(self.cancel(session_id))
            raise

    async def cancel(self, session_id: str) -> RunReport | None:
        """Stop the open run: the model's stream, a running tool, or the waiting. The report of its end, or None when no
        run is open. What a stopped tool did is probed, and said."""
        live = await self._synced(session_id)
        run = live.log.state.run
        if run is None:
            return None
        if live.is_driven:
            live.cancel()
        else:
            async with self._deciding(session_id) as live:
                if live.log.state.run is None:
                    return report_of(live.log.durable_state, run.run_id)
                if not live.is_driven:
                    self._stop_expiry(live)
                    live.drive(self._provider, cancelled=True)
        await live.driven()
        return report_of(live.log.durable_state, run.run_id) or await past_report(
            self._parts.journal, session_id, run.run_id
        )

    async def recover(self, session_id: str) -> str | None:
        """Take up a run that a crash cut off; its id, or None when none is open. Interrupted tool calls are probed before
        anything else happens; a run that waits for a person goes on waiting. Returns at once: `wait` for the end."""
        async with self._deciding(session_id) as live:
            run = live.log.state.run
            if run is None or live.log.state.closed or live.is_driven:
                return run.run_id if run is not None and live.is_driven else None
            provider = self._provider_of(live.log.state.config.provider)
            live.log.add(events.SessionResumed())
            await live.log.commit()
            if live.can_drive:
                live.drive(provider)
            else:
                self._expire_later(live)
            return run.run_id

    async def recover_all(self) -> list[str]:
        """Recover every session with an open run; their ids. For the start of a process, before new work is taken. A
        session that can't be recovered now (its provider's key is missing, say) is logged and keeps its open run."""
        recovered = []
        for summary in await self._index.list():
            if summary.state != "open":
                continue
            try:
                if await self.recover(summary.session_id) is not None:
                    recovered.append(summary.session_id)
            except LifeError as error:
                _log.warning("Session %s can't be recovered now: %s", summary.session_id, error.message)
        return recovered

    async def resume(self, session_id: str) -> RunReport | None:
        """Recover and wait."""
        run_id = await self.recover(session_id)
        return None if run_id is None else await self.wait(session_id, run_id)

    # Decisions of people

    async def resolve_approval(
        self, session_id: str, approval_id: str, *, approved: bool, actor: str, reason: str | None = None
    ) -> str:
        """Decide about a waiting call; the run's id. The decision is durable before anything runs. Approved, that very
        call runs once; refused, the model is told. NothingToDecideError when it is not waiting (any more)."""
        _check_text(actor, reason or "")
        return await self._resolve_approval(
            session_id, approval_id, "approved" if approved else "denied", actor=actor, reason=reason
        )

    async def resolve_doubt(
        self, session_id: str, call_id: str, decision: DoubtDecision, *, actor: str, note: str = ""
    ) -> str:
        """Say what became of a call in doubt; the run's id. `done`: go on with your note as its result. `not_done`: the
        model is told that it did not happen. `retry`: run it again with the same idempotency key."""
        _check_text(actor, note)
        async with self._deciding(session_id) as live:
            call = live.log.state.call(call_id)
            if call is None or call.phase != "in_doubt" or live.is_driven:
                raise NothingToDecideError(session_id, call_id)
            provider = self._provider_of(live.log.state.config.provider)
            add_doubt_outcome(live.log, call, decision, actor=actor, note=note)
            await live.log.commit()
            return self._drive_on(live, provider)

    # Streams

    async def subscribe(self, session_id: str, after_sequence: int = 0) -> AsyncGenerator[EventRecord, None]:
        """The session's events after `after_sequence`, then live with text as it is written (`life.arcan.stream`)."""
        live = await self._synced(session_id)
        async with aclosing(live.feed.subscribe(after_sequence)) as records:
            async for record in records:
                yield record

    # Inside

    async def _synced(self, session_id: str) -> LiveSession:
        """The session, loaded; while nothing drives it here, with what others have appended since."""
        live = self._live.get(session_id)
        if live is None or not live.is_driven:
            async with self._deciding(session_id) as live:
                return live
        self._check_open()
        return live

    @asynccontextmanager
    async def _deciding(self, session_id: str) -> AsyncIterator[LiveSession]:
        """The session with its lock held and, unless it is driven, at the journal's head."""
        self._check_open()
        live = self._live.get(session_id)
        if live is None:
            check_path_id(session_id)
            live = self._live[session_id] = LiveSession(
                self._parts, session_id, agent_id=self._agent_id, paused=self._expire_later
            )
        async with live.lock:
            self._check_open()
            if not live.is_driven:
                await live.sync()
            if live.log.state.head == 0:
                self._live.pop(session_id, None)
                raise SessionNotFoundError(session_id)
            self._live[session_id] = self._live.pop(session_id, live)
            self._forget_idle()
            yield live

    def _check_open(self) -> None:
        if self._closing:
            raise RuntimeClosedError("The runtime is closing.")

    def _check_at_rest(self, live: LiveSession) -> None:
        """No run is open, so that a new one may start."""
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
            if call.phase == "in_doubt":
                raise DecisionNeededError(state.session_id, run.run_id, waiting_for="doubt", subject=call.call_id)
        raise RunUnfinishedError(state.session_id, run.run_id)

    def _provider_of(self, specification: str) -> ModelProvider:
        if not specification:
            return self._provider
        if specification not in self._providers:
            if self._open_provider is None:
                raise UnknownProviderError(f"This runtime has one provider and can't open '{specification}'.")
            self._providers[specification] = self._open_provider(specification)
        return self._providers[specification]

    async def _is_known_run(self, session_id: str, run_id: str, message_id: str, objective: str) -> bool:
        """Whether the key was used for this objective; RunKeyConflictError when for another one."""
        known = await self._parts.journal.get(message_id)
        if known is None:
            return False
        said = known.kind
        if not isinstance(said, events.UserMessage) or said.content != objective:
            raise RunKeyConflictError(session_id, run_id)
        return True

    async def _resolve_approval(
        self, session_id: str, approval_id: str, decision: ApprovalDecision, *, actor: str, reason: str | None
    ) -> str:
        async with self._deciding(session_id) as live:
            call = next((each for each in live.log.state.calls if each.approval_id == approval_id), None)
            if call is None or call.phase != "awaiting_approval" or live.is_driven:
                raise NothingToDecideError(session_id, approval_id)
            provider = self._provider_of(live.log.state.config.provider)
            who = ARCAN if decision == "timeout" else Actor("user", actor)
            live.log.add(events.ApprovalResolved(approval_id=approval_id, decision=decision, reason=reason), actor=who)
            await live.log.commit()
            if decision != "timeout":
                self._stop_expiry(live)
            return self._drive_on(live, provider)

    def _drive_on(self, live: LiveSession, provider: ModelProvider) -> str:
        """Go on with the open run after a person's decision; its id."""
        run = live.log.state.run
        assert run is not None
        if live.can_drive:
            live.drive(provider)
        return run.run_id

    def _expire_later(self, live: LiveSession) -> None:
        """Count down the open approval, once."""
        timeout_s = self._parts.settings.approval_timeout_s
        call = next((each for each in live.log.state.calls if each.phase == "awaiting_approval"), None)
        if timeout_s is None or call is None or live.expiry is not None or self._closing:
            return
        due_us = call.asked_us + timeout_s * 1_000_000
        live.expiry = asyncio.get_running_loop().create_task(self._expire(live, call.approval_id or "", due_us))

    async def _expire(self, live: LiveSession, approval_id: str, due_us: int) -> None:
        clock = self._parts.clock
        await clock.sleep_us(max(0, due_us - clock.now_us()))
        live.expiry = None
        try:
            await self._resolve_approval(
                live.stream.session_id, approval_id, "timeout", actor="", reason="Nobody decided in time."
            )
        except (NothingToDecideError, RuntimeClosedError, SessionDrivenElsewhereError, JournalError):
            pass  # decided at the last moment, or not ours to decide any more

    def _stop_expiry(self, live: LiveSession) -> None:
        if live.expiry is not None:
            live.expiry.cancel()
            live.expiry = None

    def _forget_idle(self) -> None:
        """Keep the number of loaded sessions bounded, longest unused first."""
        excess = len(self._live) - self._parts.settings.loaded_sessions
        if excess > 0:
            idle = (session_id for session_id, live in self._live.items() if live.is_idle)
            for session_id in list(itertools.islice(idle, excess)):
                del self._live[session_id]

    def _new_id(self) -> str:
        return new_id(self._parts.clock, self._parts.entropy)


def _check_text(*texts: str) -> None:
    """Refuse text that UTF-8 can't hold (lone surrogates), before it reaches the journal."""
    for text in texts:
        if whole_characters(text) != text:
            raise InvalidInputError("The text holds half a character (a lone surrogate).")
