"""Children: an agent's session that works for one call of another session.

The child's session id follows from the parent's session, branch, run and call, and its run from that; so whoever comes to the call
again, after whatever crash, finds the same child and never begins a second one. Everything the child is created with stands
in the parent's journal before it (`arcan.subagent_started`).

It has its parent's owner, workspace, policy and restrictions, only narrower: the tools that its definition names, of those
that its parent may see. What it may use is what its parent has left (`life.arcan.agents.budget`). Source: arcan.md §11.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import msgspec

from life.aios import events
from life.aios.errors import LifeError, ToolError
from life.aios.ids import MAIN_BRANCH, derived_event_id
from life.aios.json import Json
from life.aios.policy import PolicySet
from life.aios.ports.journal import EventQuery
from life.aios.ports.tools import ToolDefinition
from life.aios.record import Actor
from life.arcan.agents.budget import Refused, child_limits
from life.arcan.agents.catalogue import AgentCatalogue
from life.arcan.agents.definition import AgentDefinition
from life.arcan.agents.delegation import ChildEnd
from life.arcan.agents.events import Spent, SubagentStarted, SubagentWaiting
from life.arcan.agents.profile import MAX_DEPTH, AgentProfile, ParentLink
from life.arcan.agents.schemas import violations
from life.arcan.agents.toolbox import spawn_arguments, spawn_tool
from life.arcan.agents.typed import instructions_of, objective_of
from life.arcan.errors import RunNotFoundError, RuntimeClosedError, SessionNotFoundError, SubagentSessionError
from life.arcan.plan import moves_alone
from life.arcan.reports import RunReport
from life.arcan.session_state import CallState, SessionConfig, SessionState

if TYPE_CHECKING:  # it makes the spawner
    from life.arcan.runtime import Runtime

SPAWNED: Final = Actor("agent", "parent")
"""Who gives a child its objective."""

_KEY: Final = "spawned"
_MAX_OBJECTIVE: Final = 200_000
_PAGE: Final = 500


def session_config(definition: AgentDefinition, *, owner: str = "", policy: PolicySet | None = None) -> SessionConfig:
    """What a session of this agent is created with when it works for a person."""
    profile = AgentProfile(
        name=definition.name,
        digest=definition.digest,
        output_schema=definition.output_schema,
        max_retries=definition.max_retries,
        scopes=() if definition.allowed_tools is None else (definition.allowed_tools,),
        lineage=(definition.name,),
    )
    return SessionConfig(
        owner=owner,
        provider=definition.model,
        system_prompt=instructions_of(definition.instructions, definition.output_schema),
        policy=policy,
        agent=profile,
    )


class Spawner:
    """Runs the children of a runtime's sessions (`life.arcan.agents.delegation.Delegation`)."""

    def __init__(self, runtime: Runtime, catalogue: AgentCatalogue) -> None:
        self._runtime = runtime
        self._catalogue = catalogue
        self._taken_up: set[str] = set()

    @property
    def catalogue(self) -> AgentCatalogue:
        """The agents that can be spawned."""
        return self._catalogue

    def tool(self, state: SessionState) -> ToolDefinition | None:
        """`spawn_agent` without the agents that this session works for already."""
        profile = state.config.agent
        lineage = profile.lineage if profile is not None else ()
        if len(lineage) >= MAX_DEPTH:
            return None
        return spawn_tool(self._catalogue, lambda name: name not in lineage)

    def plan(self, state: SessionState, call: CallState) -> SubagentStarted | Refused:
        """See Delegation."""
        assert state.run is not None
        try:
            wanted = spawn_arguments(call.arguments)
        except ToolError as error:
            return Refused("bad_arguments", error.message)
        definition = self._catalogue.find(wanted.name)
        if definition is None:
            return Refused("unknown_agent", f"There is no agent named '{wanted.name[:64]}'.")
        try:
            unfit = () if definition.input_schema is None else violations(wanted.input, definition.input_schema)
            self._runtime.check_provider(definition.model)
        except ValueError as error:
            return Refused("bad_agent", f"Its input schema can't be used: {error}.")
        except LifeError as error:
            return Refused("model_unavailable", error.message)
        if unfit:
            return Refused("input_invalid", "The input does not fit. " + " ".join(unfit))
        objective = objective_of(wanted.input)
        if not objective.strip() or len(objective) > _MAX_OBJECTIVE:
            return Refused("input_invalid", f"The input has 1 to {_MAX_OBJECTIVE} characters.")
        now_us = self._runtime.parts.clock.now_us()
        same_model = definition.model in ("", state.model)
        limits = child_limits(state, definition, now_us, same_model=same_model)
        if isinstance(limits, Refused):
            return limits
        child_id = derived_event_id("arcan.subagent", state.session_id, state.branch_id, state.run.run_id, call.call_id)
        return SubagentStarted(
            call_id=call.call_id,
            agent=definition.name,
            session_id=child_id,
            objective=objective,
            limits=limits,
            config=msgspec.to_builtins(self._config(state, call, definition)),
        )

    def _config(self, state: SessionState, call: CallState, definition: AgentDefinition) -> SessionConfig:
        """The child's configuration: nowhere wider than its parent's."""
        assert state.run is not None
        own, above = session_config(definition), state.config.agent
        skills = tuple(
            skill.allowed_tools
            for skill in state.skills
            if skill.run_number == state.totals.runs and skill.allowed_tools is not None
        )
        assert own.agent is not None
        profile = msgspec.structs.replace(
            own.agent,
            scopes=(*(above.scopes if above is not None else ()), *skills, *own.agent.scopes),
            lineage=(*(above.lineage if above is not None else ()), definition.name),
        )
        root = state.config.parent
        link = ParentLink(
            session_id=state.session_id,
            branch=state.branch_id,
            run_id=state.run.run_id,
            call_id=call.call_id,
            root_session=state.session_id if root is None else root.root_session,
            root_branch=state.branch_id if root is None else root.root_branch,
        )
        return msgspec.structs.replace(
            own,
            owner=state.config.owner,
            provider=definition.model or state.model,
            policy=state.config.policy or self._runtime.settings.policy,
            agent=profile,
            parent=link,
        )

    async def begin(self, child: SubagentStarted) -> None:
        """See Delegation."""
        runtime = self._runtime
        config = msgspec.convert(child.config, SessionConfig)
        state = await runtime.create_session(child.session_id, name=child.agent, config=config)
        if state.config.parent != config.parent:
            raise SubagentSessionError(child.session_id, "another")  # somebody made a session under its id
        if state.totals.runs == 0:
            assert config.parent is not None
            gates = (await runtime.state(config.parent.session_id, branch=config.parent.branch)).gates
            await runtime.start(
                child.session_id,
                child.objective,
                limits=child.limits,
                idempotency_key=_KEY,
                actor=SPAWNED,
                gates=gates,
            )
        elif (
            state.run is not None and child.session_id not in self._taken_up and not runtime.is_driven(child.session_id)
        ):
            await runtime.recover(child.session_id)
        self._taken_up.add(child.session_id)

    async def ended(self, child: SubagentStarted, waits: Callable[[SubagentWaiting], None]) -> ChildEnd:
        """See Delegation."""
        run_id = run_of(child.session_id)
        while True:
            if child.session_id not in self._taken_up:
                await self.begin(child)
            report = await self._runtime.wait(child.session_id, run_id)
            if report.status == "finished":
                return await self._end(child, report)
            if report.status != "running":
                waits(_waiting(child, report))
            elif moves_alone(await self._runtime.state(child.session_id), self._runtime.parts.clock.now_us()):
                await self._runtime.recover(child.session_id)
                await asyncio.sleep(0)  # the one who drives has to get on
                continue
            await self._something_new(child.session_id)

    async def stop(self, child: SubagentStarted) -> ChildEnd:
        """See Delegation."""
        run_id = run_of(child.session_id)
        try:
            await self._runtime.cancel(child.session_id)
            return await self._end(child, await self._runtime.wait(child.session_id, run_id))
        except (SessionNotFoundError, RunNotFoundError):
            return failed_end("cancelled", "It was stopped before it began.", child.agent)

    async def is_orphan(self, state: SessionState) -> bool:
        """See Delegation."""
        link = state.config.parent
        if link is None:
            return False
        try:
            parent = await self._runtime.state(link.session_id, branch=link.branch)
        except SessionNotFoundError:
            return False  # it stands alone: an import, or the replay of a recording
        if parent.run is None or parent.run.run_id != link.run_id:
            return True
        call = parent.call(link.call_id)
        return call is None or call.child is None or call.child.session_id != state.session_id

    async def _something_new(self, session_id: str) -> None:
        """Return once anything happens in a child's session that came to rest; at once if it did already."""
        state = await self._runtime.state(session_id)
        now_us = self._runtime.parts.clock.now_us()
        if state.run is None or self._runtime.is_driven(session_id) or moves_alone(state, now_us):
            await asyncio.sleep(0)
            return
        async with aclosing(self._runtime.subscribe(session_id, state.head)) as records:
            async for record in records:
                if record.sequence:
                    return
        raise RuntimeClosedError("The runtime is closing.")

    async def _end(self, child: SubagentStarted, report: RunReport) -> ChildEnd:
        """The end of a finished child: its answer, what it used, what it changed."""
        self._taken_up.discard(child.session_id)
        state = await self._runtime.state(child.session_id)
        last = state.last_run
        spent = (
            last.spent if last is not None and last.run_id == report.run_id else Spent(tokens=report.usage.total_tokens)
        )
        limit = child.limits.max_cost_micro
        if limit is not None and spent.uncosted:
            spent = msgspec.structs.replace(spent, cost_micro=max(limit, spent.cost_micro), uncosted=0)
        changed = await self._changed(child.session_id, report.run_id)
        if report.reason != "completed":
            output: Json = {
                "error": report.reason or "error",
                "detail": report.error or _words(report.reason or ""),
                "agent": child.agent,
                **({"output": report.final_answer} if report.final_answer else {}),
            }
            return ChildEnd(report.run_id, report.reason or "error", spent, True, output, changed)
        answer: Json = report.final_answer
        profile = state.config.agent
        if profile is not None and profile.output_schema is not None and report.final_answer is not None:
            answer = msgspec.json.decode(report.final_answer)
        output = {"ok": True, "agent": child.agent, "output": answer}
        return ChildEnd(report.run_id, "completed", spent, False, output, changed)

    async def _changed(self, session_id: str, run_id: str) -> tuple[tuple[str, str], ...]:
        """The files that the child changed, as they are now."""
        found: dict[str, str] = {}
        after = 0
        while True:
            query = EventQuery(session_id, MAIN_BRANCH, after_sequence=after, kinds=("FileMutated",))
            page = await self._runtime.parts.journal.read(query, limit=_PAGE)
            for record in page:
                after = record.sequence
                if isinstance(record.kind, events.FileMutated) and record.correlation_id == run_id:
                    found[record.kind.path] = record.kind.content_hash
            if len(page) < _PAGE:
                return tuple(found.items())


def run_of(session_id: str) -> str:
    """The one run of a child's session."""
    return derived_event_id("arcan.run", session_id, _KEY)


def failed_end(reason: str, detail: str, agent: str) -> ChildEnd:
    """A child that did not come to anything."""
    output: Json = {"error": reason, "detail": detail, "agent": agent}
    return ChildEnd("", reason, Spent(), True, output)


def refusal_output(refused: Refused, agent: str) -> Json:
    """What the model reads when no child is begun."""
    return {"error": refused.error, "detail": refused.detail, "agent": agent}


def _waiting(child: SubagentStarted, report: RunReport) -> SubagentWaiting:
    pending = report.pending
    status = report.status if report.status in ("waiting", "in_doubt") else "paused"
    return SubagentWaiting(
        call_id=child.call_id,
        session_id=child.session_id,
        status=status,
        tool_name=pending.tool_name if pending is not None else "",
        subject="" if pending is None else pending.approval_id or pending.call_id,
    )


def _words(reason: str) -> str:
    return {
        "max_iterations": "It used all its turns.",
        "budget_exceeded": "Its budget was used up.",
        "cancelled": "It was stopped.",
        "refused": "Its model refused.",
        "max_tokens": "Its answer was cut off.",
        "circuit_breaker": "It met too many errors in a row.",
        "answer_not_emitted": "It gave no answer in the form that was asked for.",
        "schema_violation": "Its answer did not fit what was asked for.",
        "in_doubt": "It was stopped, and what one of its calls did is not known.",
    }.get(reason, "It did not complete.")
