"""One tool call: the intent is on disk, then the effect, then the outcome; and the honest answer after a stop or a crash.

    gate      what the call needs and whether the session may do it
    start     the intent, with what a later probe needs to know
    execute   run it once; a person, a time limit or a shutdown may stop it
    reconcile after a crash: ask the toolbox what happened, and never run it again on a guess

Source: ARCHITECTURE.md §2.4; aios.md §8, §14; ecosystem.md §0.2.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec

from life.aios import events
from life.aios.errors import ToolError
from life.aios.ids import derived_event_id, new_id
from life.aios.json import Json
from life.aios.ports.tools import Probe, ToolCall, ToolContext, ToolDefinition, ToolOutcome
from life.aios.state import SpanStatus
from life.arcan.events import CallIntent, RunInDoubt, ToolProbed, run_in_doubt, tool_probed
from life.arcan.gate import Unfit, rule_on
from life.arcan.interrupts import Deadlines, Interrupted, InterruptReason, Interrupts
from life.arcan.session_log import SessionLog
from life.arcan.session_state import CallState
from life.arcan.settings import Parts

_SLACK_US = 1_000_000
"""The toolbox enforces each tool's own limit and says so better; the session's limit strikes a little later."""

UNKNOWN_EFFECT = "It is not known whether this call took effect."

_log = logging.getLogger("life.arcan")


class CallRunner:
    """Runs the calls of one run. Everything it decides goes through the session's log."""

    def __init__(self, parts: Parts, log: SessionLog, interrupts: Interrupts, deadlines: Deadlines) -> None:
        self._parts = parts
        self._log = log
        self._interrupts = interrupts
        self._deadlines = deadlines
        self._definitions = {definition.name: definition for definition in parts.toolbox.definitions()}
        self._workspace = parts.workspace_of(log.state.session_id)
        self._abandoned: set[asyncio.Task[ToolOutcome]] = set()

    @property
    def definitions(self) -> dict[str, ToolDefinition]:
        """The tools of this run, by name."""
        return self._definitions

    async def gate(self, call: CallState) -> None:
        """Ask the policy; run the call, refuse it, or ask a person."""
        state = self._log.state
        assert state.run is not None
        context = self._context(call)
        try:
            ruling = rule_on(
                call,
                context,
                toolbox=self._parts.toolbox,
                definition=self._definitions.get(call.tool_name),
                policy=state.config.policy or self._parts.settings.policy,
                gates=state.gates,
                run=state.run,
            )
        except Exception as error:
            ruling = Unfit(_defect("What this call needs could not be determined", call, error))
        if isinstance(ruling, Unfit):
            self.fail(call, ruling.error)
            return
        self._log.add(
            events.PolicyEvaluated(
                tool_name=call.tool_name,
                decision=ruling.decision,
                rule_id=ruling.rule_id,
                explanation=ruling.explanation,
            )
        )
        if ruling.decision == "deny":
            self.fail(call, ruling.explanation or "Not permitted.")
        elif ruling.decision == "require_approval":
            self._log.add(
                events.ApprovalRequested(
                    approval_id=self._new_id(),
                    call_id=call.call_id,
                    tool_name=call.tool_name,
                    arguments=call.arguments,
                    risk=ruling.risk,
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
        try:
            prepared = await self._interrupts.guard(lambda: self._parts.toolbox.prepare(_tool_call(call), context))
        except Interrupted:
            return  # nothing was started; the loop sees the interruption
        except ToolError as error:
            self.fail(call, error.message)
            return
        except Exception as error:
            self.fail(call, _defect("The call could not be prepared", call, error))
            return
        tool_run_id = self._start(call, context, prepared)
        await self._log.commit()
        started_us = self._parts.clock.monotonic_us()
        outcome = await self._execute(call, context, prepared)
        duration_ms = (self._parts.clock.monotonic_us() - started_us) // 1000
        self.complete(call, tool_run_id, outcome, duration_ms=duration_ms)

    async def reconcile(self, call: CallState) -> None:
        """An intent without outcome: take over what happened, run what did not, ask a person about the rest."""
        probe = await self.probe(call)
        if probe.answer == "done":
            self.complete_probed(call, probe)
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
            probe = await self._asked(call, self._context(call), call.prepared)
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
        self._log.add(
            events.ToolCallCompleted(
                tool_run_id=tool_run_id,
                call_id=call.call_id,
                tool_name=call.tool_name,
                result=_as_json(outcome.output),
                duration_ms=duration_ms,
                status=outcome.status,
            )
        )
        for path, content_hash in outcome.mutated_paths:
            self._log.add(events.FileMutated(path=path, content_hash=content_hash))

    def complete_probed(self, call: CallState, probe: Probe) -> None:
        """Stage the outcome of a call that the probe found done."""
        outcome = probe.outcome or ToolOutcome(status="ok", output={"note": probe.explanation})
        self.complete(call, call.tool_run_id or call.call_id, outcome, duration_ms=0)

    def fail(self, call: CallState, error: str) -> None:
        """The call gives no result; the model reads why."""
        self._log.add(events.ToolCallFailed(call_id=call.call_id, tool_name=call.tool_name, error=error))

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

    async def _execute(self, call: CallState, context: ToolContext, prepared: Json) -> ToolOutcome:
        policy = self._log.state.config.policy or self._parts.settings.policy
        task = asyncio.get_running_loop().create_task(self._run_tool(call, context))
        limit_us = policy.max_tool_runtime_secs * 1_000_000 + _SLACK_US
        self._deadlines.tool_until_us = self._parts.clock.monotonic_us() + limit_us
        try:
            await self._interrupts.guard(lambda: asyncio.wait({task}))
        except Interrupted as stop:
            return await self._stopped(task, call, context, prepared, stop.reason)
        except asyncio.CancelledError:
            # The process is going down: no outcome is written, and recovery will ask the probe.
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        finally:
            self._deadlines.tool_until_us = None
            self._interrupts.clear_tool_time()
        return task.result()

    async def _run_tool(self, call: CallState, context: ToolContext) -> ToolOutcome:
        try:
            return await self._parts.toolbox.execute(_tool_call(call), context)
        except ToolError as error:
            return ToolOutcome(status="error", output={"error": error.message})
        except Exception as error:
            return ToolOutcome(status="error", output={"error": _defect("The tool crashed", call, error)})

    async def _stopped(
        self,
        task: asyncio.Task[ToolOutcome],
        call: CallState,
        context: ToolContext,
        prepared: Json,
        reason: InterruptReason,
    ) -> ToolOutcome:
        """The outcome of a call that was told to stop: its own if it has one, otherwise what a probe finds."""
        task.cancel()
        grace = asyncio.get_running_loop().create_task(
            self._parts.clock.sleep_us(self._parts.settings.cancel_grace_ms * 1000)
        )
        await asyncio.wait({task, grace}, return_when=asyncio.FIRST_COMPLETED)
        grace.cancel()
        if task.done() and not task.cancelled():
            return task.result()
        if not task.done():
            _log.warning("The tool %s did not stop when it was told to.", call.tool_name)
            self._abandoned.add(task)
            task.add_done_callback(self._abandoned.discard)
        probe = await self._asked(call, context, prepared)
        if probe.answer == "done" and probe.outcome is not None:
            return probe.outcome
        status: SpanStatus = "cancelled" if reason == "cancelled" else "timeout"
        words = "Stopped by a person." if reason == "cancelled" else "Stopped because its time was up."
        effect = {
            "done": "It took effect.",
            "not_done": "It had no effect.",
            "repeatable": "It may be called again.",
            "unknown": UNKNOWN_EFFECT,
        }[probe.answer]
        return ToolOutcome(status=status, output={"error": f"{words} {effect}"})

    async def _asked(self, call: CallState, context: ToolContext, prepared: Json) -> Probe:
        try:
            return await self._parts.toolbox.probe(_tool_call(call), context, prepared)
        except ToolError as error:
            return Probe(answer="unknown", explanation=error.message)
        except Exception as error:
            return Probe(answer="unknown", explanation=_defect("The probe crashed", call, error))

    def _context(self, call: CallState) -> ToolContext:
        state = self._log.state
        assert state.run is not None
        run_id = state.run.run_id
        key = call.idempotency_key or derived_event_id("arcan.tool", state.session_id, run_id, call.call_id)
        return ToolContext(
            session_id=state.session_id,
            branch_id=state.branch_id,
            agent_id=state.agent_id,
            run_id=run_id,
            workspace=self._workspace,
            idempotency_key=key,
        )

    def _new_id(self) -> str:
        return new_id(self._parts.clock, self._parts.entropy)


def _tool_call(call: CallState) -> ToolCall:
    return ToolCall(call.call_id, call.tool_name, call.arguments)


def _defect(words: str, call: CallState, error: Exception) -> str:
    """What is told about a defect of the toolbox: its type only, because its words may hold anything."""
    _log.error("%s: %s in the tool %s.", words, type(error).__name__, call.tool_name)
    return f"{words}: {type(error).__name__}."


def _as_json(value: Json) -> Json:
    """`value`, when it can stand in an event; a toolbox that hands out anything else is told in the result."""
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return {"error": "The tool gave something that is not JSON."}
    return value
