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
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple

import msgspec

from life.aios import events
from life.aios.errors import EventConflictError, InvalidInputError, LifeError, SequenceConflictError
from life.aios.events.kind import ImageReference
from life.aios.ids import MAIN_BRANCH, check_id, check_path_id, derived_event_id
from life.aios.json import Json
from life.aios.policy import PolicySet
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.ports.provider import ModelProvider, ToolSpec
from life.aios.ports.regulator import Regulator
from life.aios.ports.snapshots import Snapshots
from life.aios.ports.telemetry import Telemetry
from life.aios.ports.tools import Toolbox
from life.aios.ports.working_copies import SessionFiles
from life.aios.record import USER, Actor, EventRecord, EventWriter, Stream
from life.aios.state import GatingProfile, SteeringMode, TokenUsage
from life.arcan.agents.catalogue import AgentCatalogue
from life.arcan.agents.spawn import Spawner
from life.arcan.agents.toolbox import AgentToolbox
from life.arcan.approvals import Approvals, Edited, PendingApproval, Scope, stop_expiry
from life.arcan.branching import Branches
from life.arcan.context.keeper import ContextParts
from life.arcan.control import ClientTools, PolicySetNow, ProviderSet, SessionDeleted, control
from life.arcan.desk import Desk, check_text
from life.arcan.errors import (
    RunKeyConflictError,
    RunNotFoundError,
    SessionClosedError,
    SessionNotFoundError,
    SessionTakenError,
    SubagentSessionError,
)
from life.arcan.events import DoubtDecision, RunLimits, run_limits
from life.arcan.hooks import TOOL_EVENTS, Hooks, ToolHooks
from life.arcan.limits import check_limits
from life.arcan.messages import Messages, QueuedReceipt, check_message, prompt_allowed
from life.arcan.middleware import Middleware
from life.arcan.plan import moves_alone
from life.arcan.recovery import RecoveryReport, read_recoveries
from life.arcan.reports import RunReport, past_report, report_of
from life.arcan.session_log import ARCAN, SessionLog
from life.arcan.session_state import SessionConfig, SessionState, workspace_stream
from life.arcan.sessions import SessionIndex, SessionSummary, is_others_stream
from life.arcan.settings import Parts, RuntimeSettings

_log = logging.getLogger("life.arcan")

MAX_OBJECTIVE_CHARACTERS: Final = 200_000
"""Longest objective that is accepted."""

_MOST_CLIENT_TOOLS: Final = 128


class ProposedCall(NamedTuple):
    """A call that whoever starts a run wants first. It passes the gate like a call of the model."""

    tool_name: str
    arguments: Json


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
        context: ContextParts | None = None,
        files: SessionFiles | None = None,
        checkpoints: Snapshots | None = None,
        middleware: Sequence[Middleware] = (),
        hooks: Hooks | None = None,
        regulator: Regulator | None = None,
        telemetry: Telemetry | None = None,
        agents: AgentCatalogue | None = None,
    ) -> None:
        """`provider` serves sessions that name none; `open_provider` makes the one a session's specification names. `context`: what models
        are given besides the conversation, and when it is shortened. `files`: working copies, so that branches can be run.
        `checkpoints`: where folded states are kept. `middleware` and `hooks` stand around every model and tool call
        (`life.arcan.middleware`, `life.arcan.hooks`); `regulator`: homeostasis, asked before every step. `agents`:
        those that `spawn_agent` may call (docs/subagents.md)."""
        settings = settings or RuntimeSettings()
        check_limits(settings.limits)
        hooks = hooks or Hooks()
        chain = (ToolHooks(hooks), *middleware) if any(map(hooks.listens, TOOL_EVENTS)) else tuple(middleware)
        self._agents = agents or AgentCatalogue()
        parts = Parts(
            journal,
            AgentToolbox(toolbox, self._agents) if self._agents.agents else toolbox,
            clock,
            entropy,
            workspace_of,
            settings,
            context or ContextParts(),
            files,
            checkpoints,
            middleware=chain,
            hooks=hooks,
            regulator=regulator,
            telemetry=telemetry,
            delegation=Spawner(self, self._agents),
        )
        self._desk = Desk(
            parts,
            agent_id=check_id(agent_id, what="agent id"),
            provider=provider,
            open_provider=open_provider,
            paused=lambda live: self._approvals.expire_later(live),
        )
        self._parts = self._desk.parts
        self._index = SessionIndex(journal)
        self._approvals = Approvals(self._desk, self._index)
        self._messages = Messages(self._desk)
        self.branches = Branches(
            self._parts,
            agent_id=self._desk.agent_id,
            deciding=self._desk.deciding,
            check_at_rest=self._desk.check_at_rest,
            start=self.start,
        )
        """Fork, compare, merge, restore (`life.arcan.branching`). Everything else here takes a `branch`: main unless told."""

    @property
    def parts(self) -> Parts:
        """What every run of this runtime uses."""
        return self._parts

    @property
    def agents(self) -> AgentCatalogue:
        """The agents that can be run and spawned."""
        return self._agents

    async def __aenter__(self) -> Runtime:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop driving. Open runs stay open in the journal and can be recovered; subscriptions end. Providers that were
        opened for sessions are closed; the one that was passed in belongs to the caller."""
        await self._desk.aclose()
        await self._parts.hooks.aclose()

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
        config: SessionConfig | None = None,
    ) -> SessionState:
        """A new session, or the one of this id as it is. What is not given is taken from the runtime's settings now and
        stays with the session. An unknown `provider` is refused here, not at the first run. A session is bound to its owner once:
        SessionTakenError for an id that belongs to another owner (or to nobody), or to a session that was deleted. `config` is the
        whole configuration, for sessions of agents; then nothing else of it counts."""
        self._desk.check_open()
        session_id = check_path_id(session_id) if session_id is not None else self._desk.new_id()
        check_text(name, owner, system_prompt or "")
        settings = self._parts.settings
        if config is not None:
            owner, provider = config.owner, config.provider
        if provider:
            self._desk.provider_of(provider)
        config = config or SessionConfig(
            owner=owner,
            provider=provider,
            system_prompt=settings.system_prompt if system_prompt is None else system_prompt,
            policy=policy or settings.policy,
        )
        if is_others_stream(session_id):
            return await self._existing(session_id, owner)
        stream = Stream(session_id)
        writer = EventWriter(
            self._parts.clock, self._parts.entropy, agent_id=self._desk.agent_id, stream=stream, actor=ARCAN
        )
        created = writer.event(
            events.SessionCreated(name=name or session_id, config=msgspec.to_builtins(config)),
            event_id=derived_event_id("arcan.session", session_id),
        )
        try:
            await self._parts.journal.append([created], expected={stream: 0})
        except (SequenceConflictError, EventConflictError):
            return await self._existing(session_id, owner)
        state = await self._existing(session_id, owner)
        await self._parts.hooks.fire("session_start", {"name": name, "owner": owner}, session_id=session_id)
        return state

    async def _existing(self, session_id: str, owner: str) -> SessionState:
        try:
            state = await self.state(session_id)
        except SessionNotFoundError:
            raise SessionTakenError(session_id) from None
        if owner and state.config.owner != owner:
            raise SessionTakenError(session_id)
        return state

    async def sessions(self, owner: str | None = None) -> list[SessionSummary]:
        """All sessions (of one owner), newest first."""
        self._desk.check_open()
        return await self._index.list(owner)

    async def state(self, session_id: str, *, branch: str = MAIN_BRANCH) -> SessionState:
        """The durable state of a session. Reading it never calls a model."""
        return (await self._desk.synced(session_id, branch)).log.durable_state

    async def close_session(self, session_id: str, reason: str = "closed") -> None:
        """Refuse further runs. A session with an open run can't be closed; closing twice is fine."""
        check_text(reason)
        async with self._desk.deciding(session_id) as live:
            if live.log.state.closed:
                return
            self._desk.check_at_rest(live)
            live.log.add(events.SessionClosed(reason=reason))
            await live.log.commit()
        await live.goodbyes_said()  # hooks hear of the last run's end before that of its session
        await self._parts.hooks.fire("session_end", {"reason": reason}, session_id=session_id)

    async def delete_session(self, session_id: str, *, actor: str) -> None:
        """Close the session and let nobody see it any more. Its events stay in the journal under a tombstone; its id is never given out
        again. A session with an open run can't be deleted: cancel it first."""
        check_text(actor)
        streams = await self._parts.journal.streams(session_id)
        branches = [stream.branch_id for stream in streams if stream.branch_id != MAIN_BRANCH]
        for branch in (*branches, MAIN_BRANCH):
            async with self._desk.deciding(session_id, branch) as live:
                await self._desk.at_rest(live)
                if not live.log.state.closed:
                    live.log.add(events.SessionClosed(reason="deleted"))
                live.log.add(control(SessionDeleted(by=actor)), actor=Actor("user", actor))
                await live.log.commit()
            await live.goodbyes_said()
        await self._parts.hooks.fire("session_end", {"reason": "deleted"}, session_id=session_id)

    async def set_provider(self, session_id: str, provider: str, *, actor: str, branch: str = MAIN_BRANCH) -> None:
        """The session's model from its next run on: a provider specification, or empty for the runtime's own."""
        check_text(actor)
        self._desk.provider_of(provider)
        async with self._desk.deciding(session_id, branch) as live:
            await self._desk.at_rest(live)
            if live.log.state.closed:
                raise SessionClosedError(session_id)
            if live.log.state.config.provider != provider:
                live.log.add(control(ProviderSet(provider=provider, by=actor)), actor=Actor("user", actor))
                await live.log.commit()
        await self._parts.hooks.fire("config_change", {"change": "provider_set"}, session_id=session_id)

    async def require_owner(self, session_id: str, owner: str | None) -> None:
        """Return when the session is this owner's (None: anybody's); SessionNotFoundError otherwise, as if it did not exist."""
        state = await self.state(session_id)
        if owner is not None and state.config.owner != owner:
            raise SessionNotFoundError(session_id)

    async def require_reader(self, session_id: str, owner: str | None) -> None:
        """The same for somebody who only looks: told by the session's first and last event, so a long session is not folded for it."""
        found = await self._index.owner_of(session_id)
        if found is None or owner not in (None, found):
            raise SessionNotFoundError(session_id)

    async def workspace(self, session_id: str, *, branch: str = MAIN_BRANCH) -> str:
        """The absolute path of a branch's workspace."""
        return self._parts.workspace(workspace_stream(await self.state(session_id, branch=branch)))

    def check_provider(self, specification: str) -> None:
        """Return when sessions can name this provider; UnknownProviderError or what its vendor's part says otherwise."""
        self._desk.provider_of(specification)

    def is_driven(self, session_id: str, *, branch: str = MAIN_BRANCH) -> bool:
        """Whether this process works on the session's run right now."""
        return self._desk.is_driven(Stream(session_id, branch))

    @property
    def tool_names(self) -> frozenset[str]:
        """The names of the toolbox's tools."""
        return frozenset(definition.name for definition in self._parts.toolbox.definitions())

    @property
    def settings(self) -> RuntimeSettings:
        """What holds where a session or a run says nothing else."""
        return self._parts.settings

    # Runs

    async def start(
        self,
        session_id: str,
        objective: str,
        *,
        limits: RunLimits | None = None,
        idempotency_key: str | None = None,
        actor: Actor = USER,
        branch: str = MAIN_BRANCH,
        policy: PolicySet | None = None,
        proposed: ProposedCall | None = None,
        client_tools: Sequence[ToolSpec] = (),
        provider: str = "",
        images: Sequence[ImageReference] = (),
        gates: GatingProfile | None = None,
    ) -> str:
        """Begin a run; its id, once objective and intent are durable. The same key with the same objective gives the
        same run, whatever became of it, also after a restart.

        `policy`: what the verified caller may do, computed by the server; it holds from this run on and is journaled when it
        differs. `proposed`: a call that is made first, through the gate. `client_tools`: tools that the caller executes
        (`answer_client_call`); a name that the toolbox has is the toolbox's. `provider`: a specification for this run only,
        instead of the session's; it is journaled, so a resumed run keeps its model. `images`: shown with the objective; their
        bytes are blobs already. `gates`: what homeostasis permits from now on, where somebody knows (an agent's parent)."""
        if not objective.strip() or len(objective) > MAX_OBJECTIVE_CHARACTERS:
            raise InvalidInputError(f"The objective must have 1 to {MAX_OBJECTIVE_CHARACTERS} characters.")
        check_text(objective)
        run_limits_ = check_limits(limits or self._parts.settings.limits)
        offered = self._client_tools(client_tools)
        async with self._desk.deciding(session_id, branch) as live:
            run_id = self._desk.new_id()
            message_id: str | None = None
            if idempotency_key is not None:
                check_id(idempotency_key, what="idempotency key")
                place = (session_id,) if branch == MAIN_BRANCH else (session_id, branch)
                run_id = derived_event_id("arcan.run", *place, idempotency_key)
                message_id = derived_event_id("arcan.objective", *place, idempotency_key)
                if await self._is_known_run(session_id, run_id, message_id, objective):
                    return run_id
            if live.log.state.closed:
                raise SessionClosedError(session_id)
            await self._desk.at_rest(live)
            parent = live.log.state.config.parent
            if parent is not None and live.log.state.totals.runs:
                raise SubagentSessionError(session_id, parent.session_id)
            model = self._desk.provider_of(provider or live.log.state.config.provider)
            await self.branches.get_ready(live)
            await prompt_allowed(self._desk, live.stream, objective)
            log = live.log
            if policy is not None and policy != log.state.config.policy:
                log.add(control(PolicySetNow(policy=policy, caller=actor.component or actor.type)))
            if gates is not None:
                log.add(events.GatesUpdated(gates=gates, reason="as for the agent that asked"))
            said = events.UserMessage(content=objective, images=tuple(images))
            log.add(said, event_id=message_id, actor=actor, run_id=run_id)
            log.add(
                events.RunStarted(
                    provider=model.name, max_iterations=run_limits_.max_steps, specification=provider or None
                ),
                event_id=run_id,
                run_id=run_id,
            )
            log.add(run_limits(run_limits_))
            if offered:
                log.add(control(ClientTools(tools=offered)))
            if proposed is not None:
                _propose(log, proposed, actor)
            await log.commit()
            self._desk.drive(live, model)
            return run_id

    async def wait(self, session_id: str, run_id: str | None = None, *, branch: str = MAIN_BRANCH) -> RunReport:
        """How the run stands once nothing drives it: finished, or waiting for a person. Without `run_id` the last one, queued
        messages included. Cancelling the waiter leaves the run alone."""
        live = await self._desk.synced(session_id, branch)
        if run_id is None:
            await live.driven()
            state = live.log.durable_state
            known = state.run.run_id if state.run else state.last_run.run_id if state.last_run else None
            if known is None:
                raise RunNotFoundError(session_id, "any")
            run_id = known
        run = live.log.durable_state.run  # its end is staged before it is durable
        if run is not None and run.run_id == run_id:
            await live.run_over(run_id)
        report = report_of(live.log.durable_state, run_id)
        return report or await past_report(self._parts.journal, session_id, run_id, branch=branch)

    async def run(
        self,
        session_id: str,
        objective: str,
        *,
        limits: RunLimits | None = None,
        idempotency_key: str | None = None,
        actor: Actor = USER,
        branch: str = MAIN_BRANCH,
        provider: str = "",
        images: Sequence[ImageReference] = (),
    ) -> RunReport:
        """Start a run and wait for it. Cancelling this call cancels the run."""
        run_id = await self.start(
            session_id,
            objective,
            limits=limits,
            idempotency_key=idempotency_key,
            actor=actor,
            branch=branch,
            provider=provider,
            images=images,
        )
        try:
            return await self.wait(session_id, run_id, branch=branch)
        except asyncio.CancelledError:
            await asyncio.shield(self.cancel(session_id, branch=branch))
            raise

    async def cancel(self, session_id: str, *, branch: str = MAIN_BRANCH) -> RunReport | None:
        """Stop the open run: the model's stream, a running tool, or the waiting. The report of its end, or None when no
        run is open. What a stopped tool did is probed, and said."""
        live = await self._desk.synced(session_id, branch)
        run = live.log.state.run
        if run is None:
            return None
        if live.is_driven:
            live.cancel()
        else:
            async with self._desk.deciding(session_id, branch) as live:
                if live.log.state.run is None:
                    return report_of(live.log.durable_state, run.run_id)
                if not live.is_driven:
                    stop_expiry(live)
                    # No model is asked any more, so the runtime's own provider will do.
                    self._desk.drive(live, self._desk.provider_of(""), cancelled=True)
        await live.driven()
        return report_of(live.log.durable_state, run.run_id) or await past_report(
            self._parts.journal, session_id, run.run_id, branch=branch
        )

    async def recover(self, session_id: str, *, branch: str = MAIN_BRANCH) -> str | None:
        """Take up a run that a crash cut off; its id, or None when none is open. Interrupted tool calls are probed before
        anything else happens; a run that waits for a person goes on waiting. Returns at once: `wait` for the end."""
        orphan = False
        if self._parts.delegation is not None:
            orphan = await self._parts.delegation.is_orphan(await self.state(session_id, branch=branch))
        async with self._desk.deciding(session_id, branch) as live:
            state = live.log.state
            if live.is_driven or state.closed or (state.run is None and not state.queue):
                return state.run.run_id if state.run is not None and live.is_driven else None
            provider = self._desk.provider_of(state.model)
            live.log.add(events.SessionResumed())
            await live.log.commit()
            await self.branches.get_ready(live)
            if orphan:
                self._desk.drive(live, provider, cancelled=True)
            elif moves_alone(live.log.state, self._parts.clock.now_us()):
                self._desk.drive(live, provider)
            else:
                self._approvals.expire_later(live)
            return None if state.run is None else state.run.run_id

    async def recover_all(self) -> list[str]:
        """Recover every session with an open run; their ids. For the start of a process, before new work is taken. A
        session that can't be recovered now (its provider's key is missing, say) is logged and keeps its open run."""
        recovered: list[str] = []
        for session_id, branch in await self._index.open_streams():
            try:
                if await self.recover(session_id, branch=branch) is not None and session_id not in recovered:
                    recovered.append(session_id)
            except LifeError as error:
                _log.warning("Session %s can't be recovered now: %s", session_id, error.message)
        return recovered

    async def resume(self, session_id: str, *, branch: str = MAIN_BRANCH) -> RunReport | None:
        """Recover and wait."""
        run_id = await self.recover(session_id, branch=branch)
        return None if run_id is None else await self.wait(session_id, run_id, branch=branch)

    async def recovery_report(self, session_id: str, *, branch: str = MAIN_BRANCH) -> RecoveryReport:
        """What became of everything that was running when a process died or a run was stopped; from the events alone."""
        await self.state(session_id, branch=branch)
        return await read_recoveries(self._parts.journal, Stream(session_id, branch))

    # Messages while a run goes on

    async def send(
        self,
        session_id: str,
        message: str,
        *,
        steering: SteeringMode = "collect",
        actor: Actor = USER,
        branch: str = MAIN_BRANCH,
        limits: RunLimits | None = None,
    ) -> QueuedReceipt:
        """Say something to a session, whatever it does: without an open run it begins one, otherwise it waits its turn
        (`life.arcan.queue`). QueueFullError when ten messages wait already."""
        check_message(message)
        stream = Stream(session_id, branch)
        receipt = await self._messages.enqueue(stream, message, steering, actor=actor)
        if receipt is not None:
            return receipt
        run_id = await self.start(session_id, message, limits=limits, actor=actor, branch=branch)
        return QueuedReceipt(session_id=session_id, queued=False, run_id=run_id)

    async def withdraw(self, session_id: str, queue_id: str, *, actor: str, branch: str = MAIN_BRANCH) -> None:
        """Take a queued message back. NothingToDecideError when it does not wait (any more), or is an interrupt."""
        await self._messages.withdraw(Stream(session_id, branch), queue_id, actor=actor)

    async def pause(self, session_id: str, *, actor: str, branch: str = MAIN_BRANCH) -> str:
        """Let the open run begin nothing new until `go_on`, also after a restart; its id. Its clock stops."""
        return await self._messages.pause(Stream(session_id, branch), actor=actor)

    async def go_on(self, session_id: str, *, actor: str, branch: str = MAIN_BRANCH) -> str:
        """Continue a paused run; its id."""
        return await self._messages.go_on(Stream(session_id, branch), actor=actor)

    async def wake(self, session_id: str, *, actor: Actor, reason: str, branch: str = MAIN_BRANCH) -> bool:
        """Let a run that the regulator suspended go on; False when none is. The regulator is asked again before its next step."""
        return await self._messages.wake(Stream(session_id, branch), actor=actor, reason=reason)

    # Decisions of people

    async def pending_approvals(self, owner: str | None = None) -> list[PendingApproval]:
        """All calls that wait for approval (of one owner's sessions), oldest first."""
        self._desk.check_open()
        return await self._approvals.pending(owner)

    async def resolve_approval(
        self,
        session_id: str,
        approval_id: str,
        *,
        approved: bool,
        actor: str,
        reason: str | None = None,
        branch: str = MAIN_BRANCH,
        edited: Edited | None = None,
        scope: Scope = "once",
        patterns: tuple[str, ...] = (),
    ) -> str:
        """Decide about a waiting call; the run's id. The decision is durable before anything runs. Approved, that very
        call runs once (with the arguments of `edited`, when given; scope "session" allows calls like it for the rest of the
        session); refused, the model is told. NothingToDecideError when it is not waiting (any more)."""
        return await self._approvals.resolve(
            Stream(session_id, branch),
            approval_id,
            "approved" if approved else "denied",
            actor=actor,
            reason=reason,
            edited=edited,
            scope=scope,
            patterns=patterns,
        )

    async def revoke_rule(self, session_id: str, rule_id: str, *, actor: str, branch: str = MAIN_BRANCH) -> None:
        """Take back what was allowed for the session; `state.rules` shows what is."""
        await self._approvals.revoke(Stream(session_id, branch), rule_id, actor=actor)

    async def resolve_doubt(
        self,
        session_id: str,
        call_id: str,
        decision: DoubtDecision,
        *,
        actor: str,
        note: str = "",
        branch: str = MAIN_BRANCH,
    ) -> str:
        """Say what became of a call in doubt; the run's id. `done`: go on with your note as its result. `not_done`: the
        model is told that it did not happen. `retry`: run it again with the same idempotency key."""
        return await self._approvals.resolve_doubt(
            Stream(session_id, branch), call_id, decision, actor=actor, note=note
        )

    async def answer_client_call(
        self,
        session_id: str,
        call_id: str,
        output: Json,
        *,
        is_error: bool = False,
        actor: str = "",
        branch: str = MAIN_BRANCH,
    ) -> str:
        """Give the result of a tool that the caller executes; the run's id."""
        return await self._approvals.answer_client_call(
            Stream(session_id, branch), call_id, output, is_error=is_error, actor=actor
        )

    # Streams

    async def subscribe(
        self, session_id: str, after_sequence: int = 0, *, branch: str = MAIN_BRANCH
    ) -> AsyncGenerator[EventRecord, None]:
        """The session's events after `after_sequence`, then live with text as it is written (`life.arcan.stream`)."""
        live = await self._desk.synced(session_id, branch)
        async with aclosing(live.feed.subscribe(after_sequence)) as records:
            async for record in records:
                yield record

    # Inside

    async def _is_known_run(self, session_id: str, run_id: str, message_id: str, objective: str) -> bool:
        """Whether the key was used for this objective; RunKeyConflictError when for another one."""
        known = await self._parts.journal.get(message_id)
        if known is None:
            return False
        said = known.kind
        if not isinstance(said, events.UserMessage) or said.content != objective:
            raise RunKeyConflictError(session_id, run_id)
        return True

    def _client_tools(self, tools: Sequence[ToolSpec]) -> tuple[ToolSpec, ...]:
        """The caller's tools without those whose names the toolbox has; InvalidInputError for what is no tool."""
        if len(tools) > _MOST_CLIENT_TOOLS or len({tool.name for tool in tools}) < len(tools):
            raise InvalidInputError(
                f"A run has at most {_MOST_CLIENT_TOOLS} tools of its caller, each with its own name."
            )
        for tool in tools:
            check_id(tool.name, what="tool name")
            check_text(tool.description)
        known = {definition.name for definition in self._parts.toolbox.definitions()}
        for tool in tools:
            if tool.name in known:
                _log.warning("The caller's tool %s is left out: the toolbox has one of this name.", tool.name)
        return tuple(tool for tool in tools if tool.name not in known)


def _propose(log: SessionLog, proposed: ProposedCall, actor: Actor) -> None:
    """Stage a step that asks for the proposed call, as if the model had: the gate comes next, whoever asked."""
    log.add(events.StepStarted(index=0))
    log.say(events.Message(role="assistant", content="", model="proposed", token_usage=TokenUsage()))
    requested = events.ToolCallRequested(
        call_id=f"call-{log.state.totals.calls_requested + 1}",
        tool_name=proposed.tool_name,
        arguments=proposed.arguments,
    )
    log.add(requested, actor=actor)
