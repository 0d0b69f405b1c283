"""One tool call: the intent is on disk, then the effect, then the outcome; and the honest answer after a stop or a crash.

    gate      the loop guard, hooks and middleware, then what the call needs and whether the session may do it
    start     the intent, with what a later probe needs to know
    execute   run it once; a person, a time limit or a shutdown may stop it
              (calls that only read, asked for one after the other, run side by side; their outcomes keep the order of the calls)
    reconcile after a crash: ask the toolbox what happened, and never run it again on a guess

Source: ARCHITECTURE.md §2.4; aios.md §8, §14; ecosystem.md §0.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from life.aios import events
from life.aios.errors import LifeError, ToolError
from life.aios.ids import derived_event_id, new_id
from life.aios.json import Json
from life.aios.ports.tools import (
    ALWAYS_WITHIN_SKILLS,
    MCP_CALLED,
    NOTE_PREFIXES,
    Probe,
    ToolContext,
    ToolDefinition,
    ToolOutcome,
)
from life.aios.record import Stream
from life.arcan.agents.budget import SPAWN_AGENT, Refused
from life.arcan.agents.delegation import ChildEnd
from life.arcan.agents.events import AnswerCorrected, AnswerRecorded, Spent, SubagentFinished, agent_event
from life.arcan.agents.offering import offered_tools
from life.arcan.agents.toolbox import AgentToolbox
from life.arcan.agents.typed import RECORD_ANSWER, fault_of
from life.arcan.control import CallEdited, LoopFound, Violation, control, loop_found
from life.arcan.effects import Begun, Effects, defect, tool_call
from life.arcan.events import CallIntent, RunInDoubt, ToolProbed, run_in_doubt, tool_probed
from life.arcan.gate import Ruling, Unfit, rule_on
from life.arcan.interrupts import Deadlines, Interrupted, Interrupts
from life.arcan.loop_guard import STOP_AT, WARN_AT
from life.arcan.middleware import MiddlewareChain, Veto
from life.arcan.plan import next_beside
from life.arcan.queue import most_urgent
from life.arcan.session_log import SessionLog
from life.arcan.session_state import CallState, SessionState, workspace_stream
from life.arcan.settings import Parts
from life.arcan.skill_scope import outside_skills

_ALONE: Final = ALWAYS_WITHIN_SKILLS | {RECORD_ANSWER}
"""Tools that only read and yet change what the calls after them may do, or end the run."""


class CallRunner:
    """Runs the calls of one run. Everything it decides goes through the session's log."""

    def __init__(self, parts: Parts, log: SessionLog, interrupts: Interrupts, deadlines: Deadlines) -> None:
        self._parts = parts
        self._log = log
        self._interrupts = interrupts
        self._definitions = {definition.name: definition for definition in offered_tools(parts, log.state)}
        self._workspace = parts.workspace(workspace_stream(log.state))
        self._effects = Effects(parts, log.marks, interrupts, deadlines)
        self._middleware = MiddlewareChain(parts.middleware, log)

    @property
    def workspace(self) -> str:
        """The absolute path of the session's workspace."""
        return self._workspace

    @property
    def definitions(self) -> dict[str, ToolDefinition]:
        """The tools of this run, by name."""
        return self._definitions

    async def gate(self, call: CallState) -> None:
        """Look for circles, ask hooks and middleware, then the policy; run the call, refuse it, or ask a person."""
        outside = outside_skills(self._log.state.skills, call.tool_name, runs=self._log.state.totals.runs)
        if outside is not None:
            self.fail(call, outside)
            return
        if call.tool_name == RECORD_ANSWER and RECORD_ANSWER in self._definitions:
            self._record_answer(call)
            return
        if call.repetitions >= WARN_AT and self._goes_round(call):
            return
        context = self._context(call)
        if self._middleware:
            intercepted = await self._intercepted(call, context)
            if intercepted is None:
                return
            call = intercepted
        ruling = self._ruling(call, context)
        if isinstance(ruling, Unfit):
            self.fail(call, ruling.error)
            return
        self._log.add(_evaluated(call, ruling))
        if ruling.decision == "deny":
            for capability in ruling.capabilities:
                self._violated(call, capability)
            self.fail(call, ruling.explanation or "Not permitted.")
        elif ruling.decision == "require_approval":
            self._log.add(
                events.ApprovalRequested(
                    approval_id=self._new_id(),
                    call_id=call.call_id,
                    tool_name=call.tool_name,
                    arguments=call.arguments,
                    risk=ruling.risk,
                    capabilities=ruling.capabilities,
                )
            )
        else:
            await self.run(call, context)

    async def run(self, call: CallState, context: ToolContext | None = None) -> None:
        """Intent, barrier, effect, outcome. The outcome becomes durable with the next commit."""
        if call.tool_name not in self._definitions:
            self.fail(call, f"There is no tool named '{call.tool_name}'.")  # it was there when a person approved it
            return
        context = context or self._context(call)
        if call.tool_name == SPAWN_AGENT and isinstance(self._parts.toolbox, AgentToolbox):
            await self._delegate(call, context)
            return
        first = await self._begin(call, context)
        if first is not None:
            await self._carry_out([first, *await self._begin_beside(call)])

    def _ruling(self, call: CallState, context: ToolContext) -> Ruling | Unfit:
        state = self._log.state
        assert state.run is not None
        try:
            return rule_on(
                call,
                context,
                toolbox=self._parts.toolbox,
                definition=self._definitions.get(call.tool_name),
                policy=state.config.policy or self._parts.settings.policy,
                gates=state.gates,
                run=state.run,
                rules=state.rules,
                regulation=state.regulation,
            )
        except Exception as error:
            return Unfit(defect("What this call needs could not be determined", call, error))

    async def _begin(self, call: CallState, context: ToolContext) -> Begun | None:
        """Stage the intent; None when the call came to nothing before."""
        try:
            prepared = await self._interrupts.guard(lambda: self._parts.toolbox.prepare(tool_call(call), context))
        except Interrupted:
            return None  # nothing was started; the loop sees the interruption
        except ToolError as error:
            self.fail(call, error.message)
            return None
        except Exception as error:
            self.fail(call, defect("The call could not be prepared", call, error))
            return None
        return Begun(call, context, prepared, self._start(call, context, prepared))

    async def _begin_beside(self, first: CallState) -> list[Begun]:
        """Stage the intents of the calls after `first` that may run while it does: what only reads, beside what only reads. Whatever is
        refused, asked about or odd waits for its turn, and so does everything behind it."""
        begun: list[Begun] = []
        running = {first.call_id}
        if self._middleware or not self._only_reads(first):
            return begun
        while len(begun) + 1 < self._parts.settings.reads_at_once and self._interrupts.reason is None:
            state = self._log.state
            call = next_beside(state, running, self._parts.clock.now_us())
            if call is None or not self._only_reads(call) or call.repetitions >= WARN_AT:
                break
            if outside_skills(state.skills, call.tool_name, runs=state.totals.runs) is not None:
                break
            context = self._context(call)
            ruling = self._ruling(call, context)
            if isinstance(ruling, Unfit) or ruling.decision != "allow":
                break
            self._log.add(_evaluated(call, ruling))
            one = await self._begin(call, context)
            if one is not None:
                begun.append(one)
                running.add(call.call_id)
        return begun

    def _only_reads(self, call: CallState) -> bool:
        definition = self._definitions.get(call.tool_name)
        return definition is not None and definition.annotations.read_only and definition.name not in _ALONE

    async def _carry_out(self, begun: Sequence[Begun]) -> None:
        """Barrier, effects, outcomes in the order of the calls."""
        await self._log.commit()
        state = self._log.state
        policy = state.config.policy or self._parts.settings.policy
        somebody_waits = bool(state.queue) and most_urgent(state.queue) is not None
        ended = self._effects.run(begun, limit_s=policy.max_tool_runtime_secs, hurry=somebody_waits)
        async with aclosing(ended) as outcomes:
            async for one, outcome, duration_ms in outcomes:
                await self._take(one, outcome, duration_ms=duration_ms)
                if one is not begun[-1]:
                    self._log.commit_soon()

    async def _take(self, begun: Begun, outcome: ToolOutcome, *, duration_ms: int) -> None:
        """Stage what a call came to."""
        call = begun.call
        if self._middleware and self._interrupts.reason is None:
            outcome = await self._middleware.after_tool(tool_call(call), begun.context, outcome)
        if outcome.in_doubt is not None:
            doubt = RunInDoubt(
                tool_run_id=begun.tool_run_id,
                call_id=call.call_id,
                tool_name=call.tool_name,
                explanation=outcome.in_doubt,
            )
            self._log.add(run_in_doubt(doubt))
            return
        self.complete(call, begun.tool_run_id, outcome, duration_ms=duration_ms)
        await self._keep_versions(outcome)

    async def _delegate(self, call: CallState, context: ToolContext) -> None:
        """Hand the call to another agent: its intent and the whole child are durable before anything of it exists."""
        delegation = self._parts.delegation
        assert delegation is not None
        child = delegation.plan(self._log.state, call)
        if isinstance(child, Refused):
            name = call.arguments.get("name") if isinstance(call.arguments, Mapping) else None
            refusal: Json = {"error": child.error, "detail": child.detail, "agent": name}
            self.complete(call, call.call_id, ToolOutcome(status="error", output=refusal), duration_ms=0)
            return
        tool_run_id = self._start(call, context, None)
        self._log.add(agent_event(child))
        await self._log.commit()
        try:
            with self._log.marks.tool(tool_run_id):
                await delegation.begin(child)
        except LifeError as error:
            output: Json = {"error": "not_begun", "detail": error.message, "agent": child.agent}
            await self.take_over(self._delegated(call), ChildEnd("", "not_begun", Spent(), True, output))

    def _delegated(self, call: CallState) -> CallState:
        found = self._log.state.call(call.call_id)
        assert found is not None
        return found

    async def take_over(self, call: CallState, end: ChildEnd) -> None:
        """What a child came to becomes the call's outcome, and what it used is charged."""
        child = call.child
        assert child is not None
        finished = SubagentFinished(
            call_id=call.call_id, session_id=child.session_id, run_id=end.run_id, reason=end.reason, spent=end.spent
        )
        outcome = ToolOutcome(
            status="error" if end.is_error else "ok", output=end.output, mutated_paths=end.mutated_paths
        )
        if self._middleware and self._interrupts.reason is None:
            outcome = await self._middleware.after_tool(tool_call(call), self._context(call), outcome)
        self._log.add(agent_event(finished))
        duration_ms = end.spent.worked_us // 1000
        self.complete(self._delegated(call), call.tool_run_id or call.call_id, outcome, duration_ms=duration_ms)
        await self._keep_versions(outcome)

    def _record_answer(self, call: CallState) -> None:
        """A typed agent answers: take it, or tell it what does not fit."""
        profile = self._log.state.config.agent
        assert profile is not None
        fault = fault_of(call.arguments, profile)
        if fault is None:
            assert isinstance(call.arguments, Mapping)
            self._log.add(agent_event(AnswerRecorded(call_id=call.call_id, answer=call.arguments["answer"])))
            outcome = ToolOutcome(status="ok", output={"recorded": True})
            self.complete(call, call.call_id, outcome, duration_ms=0)
            return
        self._log.add(agent_event(AnswerCorrected(fault="schema_violation", words=fault, call_id=call.call_id)))
        self.fail(call, fault)

    def _goes_round(self, call: CallState) -> bool:
        """Say that the same calls come again and again; whether this one is therefore not run."""
        run = self._log.state.run
        stopped = call.repetitions >= STOP_AT
        words = f"The same calls came {call.repetitions} times in a row"
        found = LoopFound(
            call_id=call.call_id,
            tool_name=call.tool_name,
            signature=run.recent[-1] if run is not None and run.recent else "",
            repetitions=call.repetitions,
            message=f"{words}. This one was not run: do something else, or say what is missing."
            if stopped
            else f"{words}. Repeating them again will not help.",
        )
        self._log.add(loop_found(found, stopped=stopped))
        if stopped:
            self.fail(call, found.message)
        return stopped

    async def _intercepted(self, call: CallState, context: ToolContext) -> CallState | None:
        """The call as hooks and middleware leave it; None when they vetoed it or gave its result themselves."""
        try:
            found = await self._interrupts.guard(lambda: self._middleware.before_tool(tool_call(call), context))
        except Interrupted:
            return None  # nothing was started; the loop sees the interruption
        if isinstance(found, Veto):
            self.fail(call, found.reason)
            return None
        if isinstance(found, ToolOutcome):
            self.complete(call, call.call_id, found, duration_ms=0)
            return None
        if found.arguments == call.arguments:
            return call
        edited = CallEdited(call_id=call.call_id, before=call.arguments, arguments=found.arguments, by="middleware")
        self._log.add(control(edited))
        return self._log.state.call(call.call_id)

    def _violated(self, call: CallState, capability: str) -> None:
        """Put a refused capability on record, without the paths of this machine."""
        domain, _, target = capability.rpartition(":")
        shown = target.rpartition("/")[2] if target.startswith("/") else target
        violation = Violation(
            violation_type="capability_blocked",
            subject=call.tool_name,
            capability=f"{domain}:{shown}",
            attempted_value=shown,
        )
        self._log.add(control(violation))

    async def reconcile(self, call: CallState) -> None:
        """An intent without outcome: take over what happened, run what did not, ask a person about the rest."""
        probe = await self.probe(call)
        if probe.answer == "done":
            self.complete_probed(call, probe)
            if probe.outcome is not None:
                await self._keep_versions(probe.outcome)
        elif probe.answer in ("not_done", "repeatable"):
            await self.run(call)
        else:
            self._log.add(
                run_in_doubt(
                    RunInDoubt(
                        tool_run_id=call.tool_run_id or "",
                        call_id=call.call_id,
                        tool_name=call.tool_name,
                        explanation=probe.explanation,
                    )
                )
            )

    async def probe(self, call: CallState) -> Probe:
        """What the toolbox finds out about an interrupted call, noted in the journal. A probe that fails knows nothing."""
        if call.tool_name not in self._definitions:
            probe = Probe(answer="unknown", explanation=f"The tool '{call.tool_name}' is not here any more.")
        else:
            probe = await self._effects.probe(call, self._context(call), call.prepared)
        self._log.add(
            tool_probed(
                ToolProbed(
                    tool_run_id=call.tool_run_id or "",
                    call_id=call.call_id,
                    tool_name=call.tool_name,
                    answer=probe.answer,
                    explanation=probe.explanation,
                )
            )
        )
        return probe

    def complete(self, call: CallState, tool_run_id: str, outcome: ToolOutcome, *, duration_ms: int) -> None:
        """Stage the outcome and the files it changed."""
        for note in outcome.notes:
            if note.event_type == MCP_CALLED:
                self._log.add(events.Custom(event_type=MCP_CALLED, data=_as_json(note.data)))
        self._log.add(
            events.ToolCallCompleted(
                tool_run_id=tool_run_id,
                call_id=call.call_id,
                tool_name=call.tool_name,
                result=_as_json(outcome.output),
                duration_ms=duration_ms,
                status=outcome.status,
                images=outcome.images,
            )
        )
        for path, content_hash in outcome.mutated_paths:
            self._log.add(events.FileMutated(path=path, content_hash=content_hash))
        for fact in outcome.sandbox:
            self._log.add(fact)
        for note in outcome.notes:
            if note.event_type.startswith(NOTE_PREFIXES):
                self._log.add(events.Custom(event_type=note.event_type, data=_as_json(note.data)))

    def complete_probed(self, call: CallState, probe: Probe) -> None:
        """Stage the outcome of a call that the probe found done."""
        outcome = probe.outcome or ToolOutcome(status="ok", output={"note": probe.explanation})
        self.complete(call, call.tool_run_id or call.call_id, outcome, duration_ms=0)

    def fail(self, call: CallState, error: str) -> None:
        """The call gives no result; the model reads why."""
        if call.phase == "awaiting_approval" and call.approval_id is not None:
            # Nobody needs to decide about it any more.
            resolved = events.ApprovalResolved(approval_id=call.approval_id, decision="denied", reason=error)
            self._log.add(resolved)
        self._log.add(events.ToolCallFailed(call_id=call.call_id, tool_name=call.tool_name, error=error))

    def exceed_events(self, call: CallState) -> None:
        """Put on record that a step had all the events that its policy allows."""
        self._log.add(control(Violation(violation_type="event_budget_exceeded", subject=call.tool_name)))

    def _start(self, call: CallState, context: ToolContext, prepared: Json) -> str:
        """Stage the intent. The attempt's id is its event's."""
        tool_run_id = self._new_id()
        intent = CallIntent(
            prepared=_as_json(prepared), read_only=self._definitions[call.tool_name].annotations.read_only
        )
        probe: Json = msgspec.to_builtins(intent)
        self._log.add(
            events.ToolCallStarted(
                tool_run_id=tool_run_id,
                tool_name=call.tool_name,
                call_id=call.call_id,
                idempotency_key=context.idempotency_key,
                probe=probe or None,
            ),
            event_id=tool_run_id,
        )
        return tool_run_id

    async def _keep_versions(self, outcome: ToolOutcome) -> None:
        """Stage the new versions of the files that a call changed, for branches and ways back. The contents are stored while the
        run goes on; the next commit waits for them."""
        files = self._parts.files
        if files is None or not outcome.mutated_paths:
            return
        state = self._log.state
        if state.config.parent is not None:
            return  # the session whose workspace it is keeps them, once it takes over what this one did
        stream = Stream(state.session_id, state.branch_id)
        recorded = await files.copies.written(stream, [path for path, _ in outcome.mutated_paths])
        for kind in recorded.kinds:
            self._log.add(kind)
        if recorded.stored is not None:
            self._log.hold(recorded.stored)

    def _context(self, call: CallState) -> ToolContext:
        return context_of(self._log.state, call, self._workspace)

    def _new_id(self) -> str:
        return new_id(self._parts.clock, self._parts.entropy)


def context_of(state: SessionState, call: CallState, workspace: str) -> ToolContext:
    """Where a call of the open run runs, with the same idempotency key for every attempt."""
    assert state.run is not None
    run_id = state.run.run_id
    key = call.idempotency_key or derived_event_id("arcan.tool", state.session_id, run_id, call.call_id)
    return ToolContext(
        session_id=state.session_id,
        branch_id=state.branch_id,
        agent_id=state.agent_id,
        run_id=run_id,
        workspace=workspace,
        idempotency_key=key,
    )


def _evaluated(call: CallState, ruling: Ruling) -> events.PolicyEvaluated:
    return events.PolicyEvaluated(
        tool_name=call.tool_name,
        decision=ruling.decision,
        rule_id=ruling.rule_id,
        explanation=ruling.explanation,
    )


def _as_json(value: Json) -> Json:
    """`value`, when it can stand in an event; a toolbox that hands out anything else is told in the result."""
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return {"error": "The tool gave something that is not JSON."}
    return value
