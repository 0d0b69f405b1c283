"""A foreign loop as what a runtime works with: its model calls are a provider's, its tools a toolbox's.

So everything around them is what every session has: journal, limits, gate, approvals, hooks, doors, recovery. The runtime's own
loop decides; the foreign one is asked what it wants next. An answer of its model is a step, a call of its tools is a call.

    loop = OutsideLoop(PydanticAILoop(agent))
    Runtime(journal, loop.toolbox(tools, journal), provider=loop, …)

Source: ecosystem.md §6.11 ("Bring your own loop"); ARCHITECTURE.md §2.4.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from life.aios import events
from life.aios.errors import LifeError, ProviderError, ToolError
from life.aios.json import Json
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.provider import (
    Chunk,
    ModelRequest,
    ReasoningBlock,
    ReasoningChunk,
    StopChunk,
    TextChunk,
    ToolCallChunk,
    ToolSpec,
)
from life.aios.ports.tools import Probe, ToolAnnotations, Toolbox, ToolCall, ToolContext, ToolDefinition, ToolOutcome
from life.aios.record import Stream
from life.aios.state import TokenUsage
from life.arcan.checkpoints import SessionHistory
from life.arcan.conversation import result_text
from life.arcan.errors import LoopDivergedError, LoopFailedError
from life.arcan.foreign.loop_run import LoopFailed, LoopRun, Wanted, in_context
from life.arcan.foreign.port import ForeignLoop, LoopTool, NativeAnswer, NativeResult
from life.arcan.foreign.record import GO_ON, LoopRecord, read_record

_MOST_RUNS: Final = 256
_TAIL: Final = 128
_PAGE: Final = 500

_log = logging.getLogger("life.arcan")


class OutsideLoop:
    """A foreign loop as a model provider (life.aios.ports.provider.ModelProvider)."""

    context_window_tokens = 10**9
    """The framework keeps its own context: ours is never shortened under it."""

    def __init__(self, loop: ForeignLoop, *, runtime_tools: Sequence[str] = ()) -> None:
        """`runtime_tools`: tools of the runtime that the loop's model may call beside its own, such as `http_fetch`, which pays."""
        self._loop = loop
        self._own = {tool.name: tool for tool in loop.tools()}
        if GO_ON in self._own or len(self._own) != len(loop.tools()):
            raise ValueError("Every tool of a loop has a name of its own, and none is called loop_goes_on.")
        self._shared = tuple(name for name in runtime_tools if name not in self._own)
        self._runs: dict[str, LoopRun] = {}

    @property
    def name(self) -> str:
        """The loop's."""
        return self._loop.name

    @property
    def own_tools(self) -> Mapping[str, LoopTool]:
        """The loop's own tools, by name."""
        return self._own

    @property
    def runtime_tools(self) -> tuple[str, ...]:
        """The runtime's tools that it may call."""
        return self._shared

    def toolbox(self, inner: Toolbox, journal: Journal) -> LoopToolbox:
        """The loop's tools, and those of `inner` that it may call."""
        return LoopToolbox(self, inner, journal)

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """The loop's next answer. ProviderError: its model, or the loop itself, failed."""
        record = read_record(request.messages, self.name)
        run = self.run_at(request.cache_key, record, request.tools)
        if record.answers:
            run.deliver(record.answers[-1].results)
        run.release()
        try:
            question = await run.next_question()
            if isinstance(question, str):
                yield TextChunk(question)
                yield StopChunk("completed", TokenUsage(), self.name)
                return
            answer = await self._asked(question)
            calls = [call for call in answer.calls if call.name in self._own or call.name in self._shared]
            run.answered(question, answer.native, [call.native_id for call in calls])
            if not calls:
                # What the framework does with such an answer touches nothing of ours; it may end, or ask again.
                run.release()
                following = await run.next_question()
                if isinstance(following, str):
                    yield TextChunk(following or answer.text)
                    yield self._sealed(answer)
                    yield StopChunk("completed", answer.usage, answer.model)
                    return
        except LoopFailed as failed:
            raise LoopFailedError(self.name, str(failed)) from None
        if answer.text:
            yield TextChunk(answer.text)
        yield self._sealed(answer)
        for call in calls:
            yield ToolCallChunk(call.native_id, call.name, call.arguments)
        if not calls:
            yield ToolCallChunk(
                "", GO_ON, {"question": len(record.answers) + 1, "calls": [call.name for call in answer.calls]}
            )
        yield StopChunk("tool_call", answer.usage, answer.model)

    async def aclose(self) -> None:
        """Stop every loop that is still somewhere."""
        runs, self._runs = list(self._runs.values()), {}
        for run in runs:
            await run.aclose()

    def run_at(self, session_id: str, record: LoopRecord, offered: Sequence[ToolSpec]) -> LoopRun:
        """The session's loop where the record stands; a new one, which catches up, when this process has none."""
        run = self._runs.pop(session_id, None)
        if run is None or not run.stands_at(record):
            if run is not None:
                run.cancel()
            specs = tuple(spec for spec in offered if spec.name in self._shared)
            run = LoopRun(self._loop, record, specs)
        self._runs[session_id] = run
        while len(self._runs) > _MOST_RUNS:
            self._runs.pop(next(iter(self._runs))).cancel()
        return run

    def live_run(self, session_id: str) -> LoopRun | None:
        """The session's loop in this process."""
        return self._runs.get(session_id)

    def _sealed(self, answer: NativeAnswer) -> ReasoningChunk:
        return ReasoningChunk(ReasoningBlock(self.name, "", answer.native))

    async def _asked(self, question: Wanted) -> NativeAnswer:
        try:
            return await in_context(question.context, question.ask)
        except LifeError:
            raise
        except Exception as error:
            # Its words might hold a key or a prompt; its type says what kind of trouble it is.
            raise ProviderError(f"The model of {self.name} failed: {type(error).__name__}.") from error


class LoopToolbox:
    """The tools of a loop's sessions (life.aios.ports.tools.Toolbox)."""

    def __init__(self, loop: OutsideLoop, inner: Toolbox, journal: Journal) -> None:
        self._loop = loop
        self._inner = inner
        self._journal = journal
        shared = [each for each in inner.definitions() if each.name in loop.runtime_tools]
        missing = set(loop.runtime_tools) - {each.name for each in shared}
        if missing:
            raise ValueError(f"The runtime has no tool named {', '.join(sorted(missing))}.")
        own = [_definition(tool) for tool in loop.own_tools.values()]
        self._definitions = tuple(sorted((*own, *shared, _GO_ON_DEFINITION), key=lambda each: each.name))

    def definitions(self) -> Sequence[ToolDefinition]:
        """The loop's own tools, and the runtime's that it may call."""
        return self._definitions

    def capabilities(self, call: ToolCall, context: ToolContext) -> tuple[str, ...]:
        """`tool:call:<name>` for the loop's own."""
        if call.tool_name == GO_ON:
            return ()
        if call.tool_name not in self._loop.own_tools:
            return self._inner.capabilities(call, context)
        if not isinstance(call.arguments, Mapping):
            raise ToolError("The arguments are not a JSON object.")
        return (f"tool:call:{call.tool_name}",)

    async def prepare(self, call: ToolCall, context: ToolContext) -> Json:
        """The runtime's tools look at the world before a call; the loop's can't."""
        if call.tool_name == GO_ON or call.tool_name in self._loop.own_tools:
            return None
        return await self._inner.prepare(call, context)

    async def execute(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """Let the loop make the call that it stands at."""
        if call.tool_name == GO_ON:
            return ToolOutcome(status="ok", output={"note": "The loop asks its model again."})
        if call.tool_name not in self._loop.own_tools:
            return await self._inner.execute(call, context)
        try:
            return await self._own(call, context)
        except LoopDivergedError as error:
            return ToolOutcome(status="error", output={"error": error.message})

    async def _own(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        assert isinstance(call.arguments, Mapping)
        requested, results = await self._tail(context)
        run = self._loop.live_run(context.session_id)
        if run is None or len(run.native_ids) == 0 or len(requested) < len(run.native_ids):
            run, requested, results = await self._caught_up(context)
        natives = dict(zip(requested[-len(run.native_ids) :], run.native_ids, strict=True))
        native_id = natives.get(call.call_id)
        if native_id is None:
            run, requested, results = await self._caught_up(context)
            natives = dict(zip(requested[-len(run.native_ids) :], run.native_ids, strict=True))
            native_id = natives.get(call.call_id)
            if native_id is None:
                raise LoopDivergedError("This call is not one of the loop's last answer.")
        run.release()
        try:
            made = await run.called(native_id)
        except LookupError:
            # It may wait for the results of calls that came before this one.
            run.deliver({natives[ours]: result for ours, result in results.items() if ours in natives})
            try:
                made = await run.called(native_id)
            except LookupError:
                return ToolOutcome(status="error", output={"error": "The loop did not make this call."})
        perform, arguments = made.perform, dict(call.arguments)
        if perform is None:
            raise LoopDivergedError("The loop does not know how to make this call.")
        tool = self._loop.own_tools[call.tool_name]
        try:
            async with asyncio.timeout(tool.timeout_s):
                return ToolOutcome(status="ok", output=await in_context(made.context, lambda: perform(arguments)))
        except ToolError as error:
            return ToolOutcome(status="error", output={"error": error.message})
        except TimeoutError:
            return ToolOutcome(status="timeout", output={"error": f"{tool.name} took longer than {tool.timeout_s} s."})
        except Exception as error:
            _log.warning("The tool %s of %s failed: %s", tool.name, self._loop.name, type(error).__name__)
            return ToolOutcome(status="error", output={"error": f"{tool.name} failed: {type(error).__name__}."})

    async def probe(self, call: ToolCall, context: ToolContext, prepared: Json) -> Probe:
        """Of the loop's own tools only what was declared is known."""
        if call.tool_name == GO_ON:
            return Probe(answer="repeatable", explanation="It has no effect.")
        tool = self._loop.own_tools.get(call.tool_name)
        if tool is None:
            return await self._inner.probe(call, context, prepared)
        if tool.annotations.read_only or tool.annotations.idempotent:
            return Probe(answer="repeatable", explanation="The tool is declared to be repeatable.")
        return Probe(answer="unknown", explanation=f"{self._loop.name} has no way to tell whether {tool.name} ran.")

    async def _tail(self, context: ToolContext) -> tuple[list[str], dict[str, NativeResult]]:
        """Our ids of the run's last calls, in order, and the results that they have."""
        stream = Stream(context.session_id, context.branch_id)
        head = (await self._journal.head(stream)).sequence
        requested: list[str] = []
        results: dict[str, NativeResult] = {}
        after = max(0, head - _TAIL)
        while after < head:
            query = EventQuery(context.session_id, context.branch_id, after_sequence=after)
            page = await self._journal.read(query, limit=_PAGE)
            for record in page:
                after = record.sequence
                kind = record.kind
                if record.correlation_id != context.run_id:
                    continue
                if isinstance(kind, events.ToolCallRequested) and kind.tool_name != GO_ON:
                    requested.append(kind.call_id)
                elif isinstance(kind, events.ToolCallCompleted) and kind.call_id is not None:
                    results[kind.call_id] = NativeResult(result_text(kind.result), kind.status != "ok")
                elif isinstance(kind, events.ToolCallFailed):
                    results[kind.call_id] = NativeResult(kind.error, is_error=True)
            if not page:
                break
        return requested, results

    async def _caught_up(self, context: ToolContext) -> tuple[LoopRun, list[str], dict[str, NativeResult]]:
        """The loop after a restart: replayed from the journal up to its last answer, which it has then."""
        state = await SessionHistory(self._journal).load(Stream(context.session_id, context.branch_id))
        open_calls = frozenset(call.call_id for call in state.calls)
        record = read_record(state.conversation.messages(), self._loop.name, open_calls=open_calls)
        specs = [ToolSpec(each.name, each.description, each.input_schema) for each in self._inner.definitions()]
        run = self._loop.run_at(context.session_id, record, specs)
        ours = [call_id for call_id, _ in record.answers[-1].calls] if record.answers else []
        results = (
            {}
            if not record.answers
            else {
                call_id: record.answers[-1].results[native_id]
                for call_id, native_id in record.answers[-1].calls
                if native_id in record.answers[-1].results
            }
        )
        return run, ours, results


_GO_ON_DEFINITION: Final = ToolDefinition(
    name=GO_ON,
    description="The loop asks its model again.",
    input_schema={"type": "object", "properties": {}},
    annotations=ToolAnnotations(read_only=True, idempotent=True),
    category="loop",
)


def _definition(tool: LoopTool) -> ToolDefinition:
    return ToolDefinition(
        name=tool.name,
        description=tool.description,
        input_schema=tool.input_schema,
        annotations=tool.annotations,
        category="loop",
        timeout_s=tool.timeout_s,
    )
