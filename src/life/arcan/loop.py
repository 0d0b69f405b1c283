"""A run: steps until the model stops or a limit says so.

The loop has no memory of its own. It asks the plan (`life.arcan.plan`) what comes next in the folded state, does that one
thing, and asks again. Two barriers per tick with a tool: the intent before the effect, and the end of the tick, which
overlaps the next model call. A step without tools has one: message, end of step and end of run in one batch.
"""

from __future__ import annotations

from life.aios import events
from life.aios.errors import ProviderError
from life.aios.ids import new_id
from life.aios.ports.provider import ModelProvider, StopReason, ToolSpec
from life.aios.state import TokenUsage
from life.arcan.calls import UNKNOWN_EFFECT, CallRunner
from life.arcan.conversation import build_request
from life.arcan.errors import ProviderInterruptedError
from life.arcan.events import LimitReached, limit_reached
from life.arcan.interrupts import Deadlines, Interrupted, InterruptReason, Interrupts
from life.arcan.limits import WORDS
from life.arcan.plan import (
    CallModel,
    FinishRun,
    FinishStep,
    GateCall,
    Pause,
    ReconcileCall,
    RefuseCall,
    Rest,
    RunCall,
    next_action,
)
from life.arcan.session_log import SessionLog
from life.arcan.session_state import CallState, RunState, worked_us
from life.arcan.settings import Parts
from life.arcan.step import ModelCall
from life.arcan.stream import SessionFeed
from life.arcan.vector import changed_materially

_END_OF_ANSWER: dict[StopReason, str] = {
    "completed": "completed",
    "tool_call": "completed",
    "other": "completed",
    "max_tokens": "max_tokens",
    "refused": "refused",
}
"""Why a run ends when the model's last answer asks for no tool."""


class RunDriver:
    """Drives the open run of one session until it ends, waits for a person, or the runtime closes."""

    def __init__(
        self, parts: Parts, log: SessionLog, feed: SessionFeed, interrupts: Interrupts, provider: ModelProvider
    ) -> None:
        self._parts = parts
        self._log = log
        self._feed = feed
        self._interrupts = interrupts
        self._provider = provider
        self._deadlines = Deadlines(parts.clock, interrupts)
        self._calls = CallRunner(parts, log, interrupts, self._deadlines)
        self._tools = tuple(
            ToolSpec(definition.name, definition.description, definition.input_schema)
            for definition in self._calls.definitions.values()
        )
        self._repeats = 0
        self._stopping = False
        self._asking = False

    @property
    def deadlines(self) -> Deadlines:
        """The clocks that may interrupt this run; the caller watches them beside `drive`."""
        return self._deadlines

    def stop_soon(self) -> None:
        """The runtime closes: leave the run open after what is being done now. A model call is dropped at once."""
        self._stopping = True
        if self._asking:
            self._interrupts.interrupt("shutdown")

    async def drive(self) -> None:
        """Do what the plan says until there is nothing to do. Journal errors end it with the run left open."""
        run = self._log.state.run
        if run is None:
            return
        remaining_us = run.limits.max_time_ms * 1000 - worked_us(run, self._parts.clock.now_us())
        self._deadlines.run_until_us = self._parts.clock.monotonic_us() + max(0, remaining_us)
        while await self._advance():
            pass

    async def _advance(self) -> bool:
        """Do one thing; False when the driver is not needed any more."""
        if self._interrupts.reason in ("cancelled", "time"):
            await self._stop(self._interrupts.reason)
            return False
        if self._stopping:
            await self._log.commit()
            return False
        action = next_action(self._log.state, self._parts.clock.now_us())
        match action:
            case CallModel(step):
                return await self._ask_model(step)
            case GateCall(call):
                await self._calls.gate(call)
            case RunCall(call):
                await self._calls.run(call)
            case RefuseCall(call, reason):
                self._calls.fail(call, reason)
            case ReconcileCall(call):
                await self._calls.reconcile(call)
            case FinishStep(step):
                self._finish_step(step, "tool_call" if self._open_run().step_calls else "completed")
                self._log.commit_soon()
            case FinishRun(reason, limit):
                await self._finish_run(reason, limit)
                return False
            case Pause() | Rest():
                await self._log.commit()
                return False
        return True

    async def _ask_model(self, step: int) -> bool:
        state = self._log.state
        run = state.run
        assert run is not None
        if run.open_step is None:
            self._log.add(events.StepStarted(index=step))
        message_id = new_id(self._parts.clock, self._parts.entropy)
        request = build_request(
            self._log.state.conversation,
            system=state.config.system_prompt or self._parts.settings.system_prompt,
            tools=self._tools,
            max_output_tokens=self._parts.settings.max_output_tokens,
        )
        call = ModelCall(self._provider, request, lambda text: self._stream(message_id, text, run.run_id))
        self._asking = True
        try:
            stop = await self._interrupts.guard(call.run)
        except Interrupted as interrupted:
            if call.text and interrupted.reason != "shutdown":
                self._log.say(events.Message(role="assistant", content=call.text), event_id=message_id)
            return True
        except ProviderError as error:
            return await self._model_failed(error)
        finally:
            self._asking = False
            self._feed.end_message()
        self._repeats = 0
        self._take_answer(call, message_id, stop.model, stop.usage)
        if call.calls:
            return True
        self._finish_step(step, stop.reason)
        await self._finish_run(_END_OF_ANSWER[stop.reason], None, answer=call.text)
        return False

    def _take_answer(self, call: ModelCall, message_id: str, model: str | None, usage: TokenUsage | None) -> None:
        """Stage the message and the calls it asks for. Calls get ids of ours: vendors repeat theirs."""
        self._log.say(
            events.Message(role="assistant", content=call.text, model=model, token_usage=usage), event_id=message_id
        )
        for chunk in call.calls:
            definition = self._calls.definitions.get(chunk.tool_name)
            self._log.say(
                events.ToolCallRequested(
                    call_id=f"call-{self._log.state.totals.calls_requested + 1}",
                    tool_name=chunk.tool_name,
                    arguments=chunk.arguments,
                    category=definition.category if definition is not None else None,
                )
            )

    async def _model_failed(self, error: ProviderError) -> bool:
        """An answer that broke off is asked for again, a few times; any other failure ends the run."""
        if isinstance(error, ProviderInterruptedError) and self._repeats < self._parts.settings.model_repeats:
            self._repeats += 1
            self._log.add(events.ErrorRaised(message=f"{error.code}: {error.message}"))
            return True
        run = self._open_run()
        if run.open_step is not None:
            self._finish_step(run.open_step, "error")
        self._log.add(events.RunErrored(error=f"{error.code}: {error.message}"))
        self._log.add(
            events.RunFinished(reason="error", total_iterations=run.steps, usage=_usage(run)), run_id=run.run_id
        )
        await self._log.commit()
        return False

    def _finish_step(self, step: int, stop_reason: str) -> None:
        directives = self._open_run().step_calls
        self._log.add(events.StepFinished(index=step, stop_reason=stop_reason, directive_count=directives))
        state = self._log.state
        if changed_materially(state.estimated, state.vector):
            self._log.add(events.StateEstimated(state=state.vector, mode=state.mode))

    async def _finish_run(self, reason: str, limit: LimitReached | None, *, answer: str | None = None) -> None:
        """Close what is open, then the run, in one batch."""
        if limit is not None:
            self._log.add(limit_reached(limit))
            words = f"Not run: the run's limit of {limit.allowed} {WORDS[limit.limit]} is used up."
            for call in self._log.state.calls:
                self._calls.fail(call, words)
        run = self._open_run()
        if run.open_step is not None:
            self._finish_step(run.open_step, "other")
        run = self._open_run()
        self._log.add(
            events.RunFinished(
                reason=reason, total_iterations=run.steps, final_answer=answer or None, usage=_usage(run)
            )
        )
        await self._log.commit()

    async def _stop(self, reason: InterruptReason) -> None:
        """End the run because a person or the clock says so. Nothing new is started."""
        doubtful = [call for call in self._log.state.calls if not await self._close_call(call)]
        if reason == "time":
            run = self._open_run()
            used_ms = worked_us(run, self._parts.clock.now_us()) // 1000
            limit = LimitReached(
                limit="time", allowed=run.limits.max_time_ms, used=max(used_ms, run.limits.max_time_ms)
            )
            await self._finish_run("budget_exceeded", limit)
        else:
            await self._finish_run("in_doubt" if doubtful else "cancelled", None)

    async def _close_call(self, call: CallState) -> bool:
        """Give a call of a stopped run its last word; False when nobody knows whether it took effect."""
        if call.phase == "awaiting_approval" and call.approval_id is not None:
            words = "The run was stopped."
            self._log.add(events.ApprovalResolved(approval_id=call.approval_id, decision="denied", reason=words))
        if call.phase == "in_doubt":
            self._calls.fail(call, f"The run was stopped. {UNKNOWN_EFFECT}")
            return False
        if call.phase != "running":
            self._calls.fail(call, "The run was stopped before this call ran.")
            return True
        probe = await self._calls.probe(call)
        if probe.answer == "done":
            self._calls.complete_probed(call, probe)
        elif probe.answer == "not_done":
            self._calls.fail(call, "The run was stopped. This call had no effect.")
        else:
            self._calls.fail(call, f"The run was stopped. {UNKNOWN_EFFECT} {probe.explanation}")
        return probe.answer != "unknown"

    def _stream(self, message_id: str, text: str, run_id: str) -> None:
        self._feed.write_delta(message_id, text, run_id=run_id, timestamp_us=self._parts.clock.now_us())

    def _open_run(self) -> RunState:
        run = self._log.state.run
        assert run is not None
        return run


def _usage(run: RunState) -> TokenUsage:
    prompt, completion = run.prompt_tokens, run.completion_tokens
    return TokenUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
