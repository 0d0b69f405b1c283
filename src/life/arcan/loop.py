"""A run: steps until the model stops or a limit says so.

The loop has no memory of its own. It asks the plan (`life.arcan.plan`) what comes next in the folded state, does that one
thing, and asks again. Two barriers per tick with a tool: the intent before the effect, and the end of the tick, which
overlaps the next model call. A step without tools has one: message, end of step and end of run in one batch.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Literal

from life.aios import events
from life.aios.errors import LifeError, ProviderError
from life.aios.ids import new_id
from life.aios.json import Json
from life.aios.ports.provider import ModelNotice, ModelProvider, ModelRequest, StopReason, ToolSpec
from life.aios.record import USER
from life.aios.state import SteeringMode, TokenUsage
from life.arcan.agents.awaiting import Children
from life.arcan.agents.events import AnswerCorrected, agent_event
from life.arcan.agents.typed import NOT_EMITTED
from life.arcan.calls import CallRunner
from life.arcan.context.keeper import ContextKeeper
from life.arcan.control import Noted, control
from life.arcan.conversation import build_request
from life.arcan.effects import UNKNOWN_EFFECT
from life.arcan.errors import ProviderInterruptedError
from life.arcan.events import LimitReached, limit_reached, model_notice, reasoning, run_limits
from life.arcan.hooks import HookEvent
from life.arcan.interrupts import Deadlines, Interrupted, InterruptReason, Interrupts
from life.arcan.limits import WORDS
from life.arcan.middleware import Answer, MiddlewareChain, Veto
from life.arcan.plan import (
    NEW_MESSAGE,
    TOO_MANY_ERRORS,
    AwaitChildren,
    CallModel,
    CorrectAnswer,
    FinishRun,
    FinishStep,
    GateCall,
    Hold,
    Pause,
    ReconcileCall,
    RefuseCall,
    Rest,
    RunCall,
    StartQueued,
    StopChildren,
    TakeUp,
    TripBreaker,
    next_action,
)
from life.arcan.queue import STEER_TIMEOUT_US, Group, turn_id, words
from life.arcan.regulating import consult
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

_log = logging.getLogger("life.arcan")


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
        self._children = Children(parts.delegation, log, interrupts, self._calls.take_over)
        self._tools = tuple(
            ToolSpec(definition.name, definition.description, definition.input_schema)
            for definition in self._calls.definitions.values()
        )
        self._middleware = MiddlewareChain(parts.middleware, log)
        self._context = self._new_context()
        self._repeats = 0
        self._stopping = False
        self._asking = False
        self._target_tokens: int | None = None
        self._ends: list[asyncio.Future[None]] = []
        self._preempted = ""
        """The first call that a message took the place of."""

    @property
    def deadlines(self) -> Deadlines:
        """The clocks that may interrupt this run; the caller watches them beside `drive`."""
        return self._deadlines

    def stop_soon(self) -> None:
        """The runtime closes: leave the run open after what is being done now. A model call is dropped at once."""
        self._stopping = True
        if self._asking:
            self._interrupts.interrupt("shutdown")

    def heed(self, mode: SteeringMode) -> None:
        """A message was queued. An interrupt cuts the model's stream; it and a steering message make a slow tool hurry."""
        if mode == "interrupt" and self._asking:
            self._interrupts.interrupt("steering")
        if mode in ("interrupt", "steer"):
            self._deadlines.hurry(STEER_TIMEOUT_US)

    def next_end(self) -> asyncio.Future[None]:
        """Done when the next run of this driver has ended, durably."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ends.append(waiter)
        return waiter

    async def drive(self) -> None:
        """Do what the plan says until there is nothing to do. Journal errors end it with the run left open."""
        with self._log.marks.nothing():  # the run is its own: it outlives the request that began it
            if self._log.state.run is not None:
                await self._begin()
            while await self._advance():
                pass

    async def _begin(self) -> None:
        """Set the clock of the open run, and let hooks look at a new one."""
        run = self._open_run()
        self._set_clock(run)
        if run.steps == 0 and run.open_step is None and self._parts.hooks.listens("run_start"):
            veto = await self._fire("run_start", run_id=run.run_id)
            if veto is not None:
                self._log.add(control(Noted(by="hooks", text=f"This run was refused: {veto.reason}")))
                await self._finish_run("vetoed", None)

    def _set_clock(self, run: RunState) -> None:
        remaining_us = run.limits.max_time_ms * 1000 - worked_us(run, self._parts.clock.now_us())
        self._deadlines.run_until_us = self._parts.clock.monotonic_us() + max(0, remaining_us)

    async def _await_children(self) -> None:
        """Wait for the next child to end. Its time is its own until then."""
        self._deadlines.run_until_us = None
        self._asking = True
        try:
            await self._children.take_next()
        except Interrupted:
            pass  # the loop sees why
        finally:
            self._asking = False
            self._set_clock(self._open_run())

    async def _advance(self) -> bool:
        """Do one thing; False when the driver is not needed any more."""
        self._interrupts.clear("steering")
        stopped_by = self._interrupts.reason
        if stopped_by in ("cancelled", "time") and self._log.state.run is not None:
            await self._stop(stopped_by)
            return stopped_by == "time"
        if self._stopping:
            await self._log.commit()
            return False
        action = next_action(self._log.state, self._parts.clock.now_us())
        match action:
            case CallModel(step):
                await self._ask_model(step)
            case GateCall(call):
                await self._calls.gate(call)
            case RunCall(call):
                await self._calls.run(call)
            case RefuseCall(call, reason, over_budget):
                if over_budget:
                    self._calls.exceed_events(call)
                elif reason == NEW_MESSAGE and not self._preempted:
                    self._preempted = f"tool:{call.tool_name}:{call.call_id}"
                self._calls.fail(call, reason)
            case ReconcileCall(call):
                await self._calls.reconcile(call)
            case AwaitChildren():
                await self._await_children()
            case StopChildren(reason):
                await self._children.stop(reason)
            case CorrectAnswer():
                self._log.add(agent_event(AnswerCorrected(fault="answer_not_emitted", words=NOT_EMITTED)))
            case FinishStep(step):
                self._finish_step(step, "tool_call" if self._open_run().step_calls else "completed")
                self._log.commit_soon()
            case FinishRun(reason, limit):
                await self._finish_run(reason, limit)
            case TripBreaker(streak):
                self._trip_breaker(streak)
            case TakeUp(message):
                self._say_turn((message,))
            case StartQueued(groups):
                await self._start_queued(groups)
            case Pause() | Hold() | Rest():
                await self._log.commit()
                return False
        return True

    async def _ask_model(self, step: int) -> None:
        run = self._open_run()
        if run.open_step is None:
            if self._parts.regulator is not None:
                self._target_tokens = await consult(self._parts, self._log, step)
                if self._log.state.suspended:
                    return
            self._log.add(events.StepStarted(index=step))
        if not await self._ready_to_ask():
            return
        message_id = new_id(self._parts.clock, self._parts.entropy)
        call = ModelCall(
            self._provider_now(),
            self._request(),
            lambda text: self._stream(message_id, text, run.run_id),
            on_notice=self._note,
            clock=self._parts.clock,
        )
        self._asking = True
        try:
            with self._log.marks.chat(step):
                stop = await self._interrupts.guard(call.run)
        except Interrupted as interrupted:
            if call.text and interrupted.reason != "shutdown":
                self._log.say(events.Message(role="assistant", content=call.text), event_id=message_id)
            return
        except ProviderError as error:
            await self._model_failed(error, begun=call.begun)
            return
        finally:
            self._asking = False
            self._feed.end_message()
        self._repeats = 0
        reason: str = stop.reason
        if self._middleware:
            answer = await self._middleware.after_model(Answer(call.text, tuple(call.calls)), self._log.state)
            if isinstance(answer, Veto):
                reason, answer = "vetoed", Answer(call.text, ())
            call.becomes(answer.text, answer.calls)
        self._take_answer(call, message_id, stop.model, stop.usage)
        if call.calls:
            return
        self._finish_step(step, reason)
        action = next_action(self._log.state, self._parts.clock.now_us())
        if isinstance(action, CorrectAnswer) and stop.reason == "refused":
            await self._finish_run("refused", None, answer=call.text)
            return
        if isinstance(action, FinishRun) and action.limit is None:
            # The plan knows of interrupts and of the breaker; otherwise the run ends as its answer did.
            ending = _END_OF_ANSWER[stop.reason] if action.reason == "completed" else action.reason
            await self._finish_run("vetoed" if reason == "vetoed" else ending, None, answer=call.text)

    async def _ready_to_ask(self) -> bool:
        """Prepare the context and ask middleware about the request; False when the model is not to be asked now."""
        self._asking = True
        try:
            target, self._target_tokens = self._target_tokens, None
            await self._context.prepare(target)
            if self._middleware and self._open_run().edit is None:
                veto = await self._interrupts.guard(
                    lambda: self._middleware.before_model(self._request, self._log.state)
                )
                if veto is not None:
                    await self._finish_run("vetoed", None)
                    return False
        except Interrupted:
            return False
        finally:
            self._asking = False
        return True

    def _request(self) -> ModelRequest:
        """The next request: what the conversation gives, and what middleware and the regulator made of it."""
        state, run = self._log.state, self._open_run()
        edit = run.edit
        tools = (*self._tools, *run.client_tools) if run.client_tools else self._tools
        if edit is not None and edit.withheld_tools:
            tools = tuple(tool for tool in tools if tool.name not in edit.withheld_tools)
        limits = [self._context.max_output_tokens]
        for limit in (state.regulation.max_output_tokens, edit.max_output_tokens if edit is not None else None):
            if limit:
                limits.append(limit)
        return build_request(
            state.conversation,
            system=edit.system if edit is not None and edit.system is not None else self._context.system,
            tools=tools,
            max_output_tokens=min(limits),
            cache_key=state.session_id,
        )

    def _take_answer(self, call: ModelCall, message_id: str, model: str | None, usage: TokenUsage | None) -> None:
        """Stage the message and the calls it asks for. Calls get ids of ours: vendors repeat theirs."""
        self._log.say(
            events.Message(
                role="assistant",
                content=call.text,
                model=model,
                token_usage=usage,
                first_token_ms=call.first_token_ms,
            ),
            event_id=message_id,
        )
        if call.reasoning is not None:
            self._log.say(reasoning(call.reasoning))
        client_tools = {tool.name for tool in self._open_run().client_tools}
        for chunk in call.calls:
            definition = self._calls.definitions.get(chunk.tool_name)
            category = definition.category if definition is not None else None
            self._log.say(
                events.ToolCallRequested(
                    call_id=f"call-{self._log.state.totals.calls_requested + 1}",
                    tool_name=chunk.tool_name,
                    arguments=chunk.arguments,
                    category="client" if chunk.tool_name in client_tools else category,
                )
            )

    def _note(self, notice: ModelNotice) -> None:
        """Keep what happened around a model call, now: it may be followed by a long wait."""
        self._log.add(model_notice(notice))
        self._log.commit_soon()

    async def _model_failed(self, error: ProviderError, *, begun: bool) -> None:
        """An answer that broke off is asked for again, a few times; any other failure ends the run. (Failures before an
        answer begins were repeated by the provider itself, as far as that helps.)"""
        broke_off = isinstance(error, ProviderInterruptedError) or (begun and error.retryable)
        if broke_off and self._repeats < self._parts.settings.model_repeats:
            self._repeats += 1
            self._log.add(events.ErrorRaised(message=f"{error.code}: {error.message}"))
            return
        run = self._open_run()
        if run.open_step is not None:
            self._finish_step(run.open_step, "error")
        self._log.add(events.RunErrored(error=f"{error.code}: {error.message}"))
        self._log.add(
            events.RunFinished(reason="error", total_iterations=run.steps, usage=_usage(run)), run_id=run.run_id
        )
        await self._run_ended(run.run_id, "error")

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
            await self._children.stop(f"The run's limit of {limit.allowed} {WORDS[limit.limit]} is used up.")
            refusal = f"Not run: the run's limit of {limit.allowed} {WORDS[limit.limit]} is used up."
            for call in self._log.state.calls:
                self._calls.fail(call, refusal)
        run = self._open_run()
        if run.open_step is not None:
            self._finish_step(run.open_step, "other")
        run = self._open_run()
        self._log.add(
            events.RunFinished(
                reason=reason,
                total_iterations=run.steps,
                final_answer=answer or run.recorded or None,
                usage=_usage(run),
            )
        )
        await self._run_ended(run.run_id, reason)

    async def _run_ended(self, run_id: str, reason: str) -> None:
        """Make the end durable and tell who waits for it. Messages that waited for it begin their run in the same batch: nobody
        has to look for them after a crash."""
        action = next_action(self._log.state, self._parts.clock.now_us())
        if isinstance(action, StartQueued):
            self._stage_queued(action.groups)
        await self._log.commit()
        self._deadlines.run_until_us = None
        self._interrupts.clear("time")
        ends, self._ends = self._ends, []
        for waiter in ends:
            if not waiter.done():
                waiter.set_result(None)
        if self._parts.hooks.listens("run_end"):
            await self._fire("run_end", run_id=run_id, reason=reason)
        if isinstance(action, StartQueued):
            await self._begin_queued()

    def _trip_breaker(self, streak: int) -> None:
        """Too many errors in a row: no tools until the user speaks again; the model is told and may explain itself once."""
        tripped = events.CircuitBreakerTripped(reason="error streak reached its limit", error_streak=streak)
        self._log.add(tripped)
        if not self._log.state.calls:
            self._log.add(control(Noted(by="breaker", text=TOO_MANY_ERRORS)))

    def _say_turn(self, group: Group, *, run_id: str | None = None) -> None:
        """Say queued messages as one turn; with it they leave the queue."""
        first = group[0]
        if first.mode in ("steer", "interrupt"):
            self._log.add(events.Steered(queue_id=first.queue_id, preempted_at=self._place()), run_id=run_id)
        said = events.UserMessage(content=words(group))
        self._log.add(said, event_id=turn_id(group), actor=USER, run_id=run_id)
        drained = events.QueueDrained(queue_id=group[-1].queue_id, processed=len(group))
        self._log.add(drained, run_id=run_id)

    def _place(self) -> str:
        """Where a message took effect: before which call, if it dropped one, or after which step."""
        run, call = self._log.state.run, self._preempted
        self._preempted = ""
        return call or ("run" if run is None else f"step:{run.steps}")

    async def _start_queued(self, groups: tuple[Group, ...]) -> None:
        """Begin a run with messages that came when the last one had just ended."""
        self._stage_queued(groups)
        await self._log.commit()
        await self._begin_queued()

    async def _begin_queued(self) -> None:
        self._context = self._new_context()
        self._repeats = 0
        await self._begin()

    def _stage_queued(self, groups: tuple[Group, ...]) -> None:
        """Stage the beginning of a run with messages that waited, allowed as much as the run before it."""
        state = self._log.state
        limits = state.last_run.limits if state.last_run is not None else self._parts.settings.limits
        if self._parts.provider_of is not None:
            try:
                self._provider = self._parts.provider_of(state.config.provider)
            except LifeError as error:
                _log.warning("The session's provider can't be had: %s", error.message)
        run_id = new_id(self._parts.clock, self._parts.entropy)
        for group in groups:
            self._say_turn(group, run_id=run_id)
        started = events.RunStarted(provider=self._provider.name, max_iterations=limits.max_steps)
        self._log.add(started, event_id=run_id, run_id=run_id)
        self._log.add(run_limits(limits))

    def _provider_now(self) -> ModelProvider:
        """The session's provider, or that of the tier which the regulator chose."""
        tier, settings = self._log.state.regulation.model_tier, self._parts.settings
        specification = settings.tier_providers.get(tier, "") if tier is not None else ""
        if not specification or self._parts.provider_of is None:
            return self._provider
        try:
            return self._parts.provider_of(specification)
        except LifeError as error:
            _log.warning("The provider of the tier %s can't be had: %s", tier, error.message)
            return self._provider

    def _new_context(self) -> ContextKeeper:
        """A keeper for one run's context."""
        parts = self._parts
        keeper = ContextKeeper(
            parts.context,
            self._log,
            self._interrupts,
            self._provider,
            parts.clock,
            workspace=self._calls.workspace,
            tools=self._tools,
            max_output_tokens=parts.settings.max_output_tokens,
            default_system=parts.settings.system_prompt,
        )
        if parts.hooks.listens("pre_compact") or parts.hooks.listens("post_compact"):
            keeper.told_of_compaction = self._compacting
        return keeper

    async def _compacting(self, moment: Literal["pre_compact", "post_compact"]) -> None:
        await self._fire(moment)

    async def _fire(self, event: HookEvent, **data: Json) -> Veto | None:
        return await self._parts.hooks.fire(
            event, data, session_id=self._log.state.session_id, workspace=self._calls.workspace
        )

    async def _stop(self, reason: InterruptReason) -> None:
        """End the run because a person or the clock says so. Nothing new is started."""
        await self._children.stop("The run was stopped.")
        doubtful = [call for call in self._log.state.calls if not await self._close_call(call)]
        if reason == "cancelled":
            for message in self._log.state.queue:  # who stops a run does not want the next one either
                self._log.add(events.QueueDrained(queue_id=message.queue_id, processed=0))
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
