"""Everything about the context before a model call: freeze the beginning, tell the run what is new, make room.

    at the session's first run   arcan.context_frozen     the stable sources, compiled
    at every run's start         arcan.context_noted      the other sources, where they say something new
    when the window fills        ContextCompacted         older turns replaced by their summary

Events are staged and ride along with the step's; only a summary that a model writes waits for anything. All of it is decided from the folded
state, so a run that was killed at any of these points decides the same again, or goes on with what was journaled.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from life.aios.errors import ProviderError
from life.aios.events import ContextCompacted
from life.aios.ports.clock import Clock
from life.aios.ports.provider import ModelProvider, TextBlock, ToolSpec
from life.arcan.context.blocks import BlockRequest, BlockSource, ContextBlock, ContextBudgets
from life.arcan.context.compaction import (
    CompactionPlan,
    ContextSettings,
    Room,
    compacted_event,
    mechanical_summary,
    plan_compaction,
    room_of,
)
from life.arcan.context.compiler import compile_blocks
from life.arcan.context.events import (
    ContextFrozen,
    ContextNoted,
    ContextWindow,
    SeenSource,
    SummaryStarted,
    context_frozen,
    context_noted,
    context_window,
    summary_started,
)
from life.arcan.context.state import DEFAULT_WINDOW_TOKENS
from life.arcan.context.summarising import MAX_SUMMARIES, summary_of_answer, summary_request
from life.arcan.context.tokens import text_bytes
from life.arcan.interrupts import Interrupted, Interrupts
from life.arcan.session_log import SessionLog
from life.arcan.session_state import SessionState
from life.arcan.step import ModelCall

SOURCE_TIMEOUT_S: Final = 10
"""How long a source may take; then it is left out."""

_encoder: Final = msgspec.json.Encoder()
_log = logging.getLogger("life.arcan")


CompactionMoment = Literal["pre_compact", "post_compact"]


@runtime_checkable
class HasWindow(Protocol):
    """A provider that knows its model's window."""

    @property
    def context_window_tokens(self) -> int:
        """Tokens of prompt and answer together."""
        ...


class ContextParts(NamedTuple):
    """What a runtime gives every session's keeper."""

    sources: Sequence[BlockSource] = ()
    settings: ContextSettings = ContextSettings()
    budgets: ContextBudgets = ContextBudgets()


class _Said(NamedTuple):
    blocks: list[ContextBlock]
    failed: tuple[str, ...]


class ContextKeeper:
    """The context of one run. `prepare` before every model call; `system` is then what the request begins with."""

    def __init__(
        self,
        parts: ContextParts,
        log: SessionLog,
        interrupts: Interrupts,
        provider: ModelProvider,
        clock: Clock,
        *,
        workspace: str,
        tools: Sequence[ToolSpec],
        max_output_tokens: int,
        default_system: str,
    ) -> None:
        self._parts = parts
        self._log = log
        self._interrupts = interrupts
        self._provider = provider
        self._knows_window = provider if isinstance(provider, HasWindow) else None
        self._clock = clock
        self._workspace = workspace
        self._max_output_tokens = max_output_tokens
        self._default_system = default_system
        self._tools_bytes = sum(
            text_bytes(tool.name) + text_bytes(tool.description) + len(_encoder.encode(tool.input_schema))
            for tool in tools
        )
        self.told_of_compaction: Callable[[CompactionMoment], Awaitable[None]] = _nobody
        """Hears before and after older turns give way (hooks)."""
        self._told_run = ""
        self._system: tuple[str, int] | None = None

    @property
    def system(self) -> str:
        """The system text: what was frozen with the session, or its prompt where no source is known."""
        state = self._log.state
        frozen = state.context.frozen
        return (state.config.system_prompt or self._default_system) if frozen is None else frozen

    @property
    def max_output_tokens(self) -> int:
        """How long the answer may be: what the settings say, or a quarter of a small window."""
        return min(self._max_output_tokens, self._window() // 4)

    async def prepare(self, target_tokens: int | None = None) -> None:
        """Stage what the context needs before the next model call; with a target, shorten it to about that. Raises
        Interrupted when the run is to stop."""
        run = self._log.state.run
        if run is not None and run.run_id != self._told_run and self._parts.sources:
            await self._interrupts.guard(self._tell)
            self._told_run = run.run_id
        window = self._window()
        if window != self._log.state.context.window_tokens:
            self._log.add(context_window(ContextWindow(window_tokens=window)))
        await self._make_room(window, target_tokens)

    async def _tell(self) -> None:
        """Freeze the beginning and tell the run what is new, once per run."""
        state = self._log.state
        run = state.run
        if run is None:
            return
        if state.context.frozen is None:
            await self._freeze(state)
        if run.steps == 0 and state.context.noted_run != run.run_id:
            await self._note(run.run_id)

    async def _freeze(self, state: SessionState) -> None:
        prompt = state.config.system_prompt or self._default_system
        said = await self._ask([source for source in self._parts.sources if source.stable], state)
        persona = ContextBlock(kind="persona", source="system prompt", content=prompt, priority=255, trust="ours")
        # The operator's own words are never cut: the persona's budget is for what is added to them.
        budgets = self._parts.budgets
        own = text_bytes(prompt) // 4 + 1
        budgets = msgspec.structs.replace(budgets, persona=budgets.persona + own, total=budgets.total + own)
        compiled = compile_blocks([persona, *said.blocks], self._within_window(budgets, own))
        self._log.add(context_frozen(ContextFrozen(text=compiled.text, blocks=compiled.blocks, failed=said.failed)))

    async def _note(self, run_id: str) -> None:
        state = self._log.state
        said = await self._ask([source for source in self._parts.sources if not source.stable], state)
        fresh: list[ContextBlock] = []
        seen: list[SeenSource] = []
        by_source: dict[str, list[ContextBlock]] = {}
        for block in said.blocks:
            by_source.setdefault(block.source, []).append(block)
        for source, blocks in by_source.items():
            digest = hashlib.sha256(_encoder.encode(blocks)).hexdigest()[:16]
            if digest != state.context.said(source):
                fresh += blocks
                seen.append(SeenSource(source=source, digest=digest))
        if not fresh and not said.failed:
            return
        compiled = compile_blocks(fresh, self._within_window(self._parts.budgets, 0))
        self._log.add(
            context_noted(
                ContextNoted(
                    run_id=run_id,
                    text=compiled.text,
                    seen=tuple(seen),
                    blocks=compiled.blocks,
                    failed=said.failed,
                )
            )
        )

    def _within_window(self, budgets: ContextBudgets, own: int) -> ContextBudgets:
        """The budgets for a small model: all blocks together a quarter of its window at most, beside the operator's words."""
        most = max(64, self._window() // 4)
        if budgets.total - own <= most:
            return budgets
        return msgspec.structs.replace(budgets, total=most + own)

    async def _ask(self, sources: Sequence[BlockSource], state: SessionState) -> _Said:
        """What the sources say. One that fails, or takes too long, is left out and named."""
        request = BlockRequest(
            session_id=state.session_id,
            agent_id=state.agent_id,
            owner=state.config.owner,
            workspace=self._workspace,
            objective=_objective(state),
            provider=self._provider.name,
            now_us=self._clock.now_us(),
            policy=state.config.policy,
        )
        blocks: list[ContextBlock] = []
        failed: list[str] = []
        for source in sources:
            try:
                async with asyncio.timeout(SOURCE_TIMEOUT_S):
                    blocks += await source.blocks(request)
            except Exception as error:
                # Whatever is wrong with somebody's notes, the run goes on without them, and the journal says so.
                _log.warning("The context source %s failed: %s.", source.name, type(error).__name__)
                failed.append(source.name)
        return _Said(blocks, tuple(failed))

    def _window(self) -> int:
        settings = self._parts.settings
        if settings.window_tokens is not None:
            return settings.window_tokens
        known = self._knows_window
        return DEFAULT_WINDOW_TOKENS if known is None else max(1_000, known.context_window_tokens)

    async def _make_room(self, window: int, target_tokens: int | None) -> None:
        state = self._log.state
        fixed_bytes = self._fixed_bytes()
        room = room_of(window, max_output_tokens=self._max_output_tokens, fixed_bytes=fixed_bytes)
        plan = plan_compaction(
            state.conversation,
            room,
            self._parts.settings,
            fixed_bytes=fixed_bytes,
            summary_budget=self._parts.budgets.compressed,
            target_tokens=target_tokens,
        )
        if plan is None:
            return
        await self.told_of_compaction("pre_compact")
        event: ContextCompacted | None = None
        if self._parts.settings.summary == "model" and plan.dropped and state.context.summaries_tried < MAX_SUMMARIES:
            event = await self._summarised(plan, room, fixed_bytes)
        if event is None:
            summary = mechanical_summary(plan.dropped, plan.summary_tokens) if plan.dropped else ""
            event = compacted_event(plan, summary, fixed_bytes=fixed_bytes)
        self._log.add(event)
        await self.told_of_compaction("post_compact")

    async def _summarised(self, plan: CompactionPlan, room: Room, fixed_bytes: int) -> ContextCompacted | None:
        """The event with a summary that the model wrote; None when it failed."""
        self._log.add(
            summary_started(SummaryStarted(covers_through_seq=plan.covers_through_seq, messages=len(plan.dropped)))
        )
        self._log.commit_soon()
        call = ModelCall(self._provider, summary_request(plan, room), _unheard)
        try:
            stop = await self._interrupts.guard(call.run)
        except Interrupted:
            raise
        except ProviderError as error:
            _log.warning("A summary by the model failed: %s", error.code)
            return None
        summary = summary_of_answer(call.text)
        if summary is None:
            return None
        event = compacted_event(plan, summary, fixed_bytes=fixed_bytes, by=stop.model or self._provider.name)
        return msgspec.structs.replace(event, token_usage=stop.usage)

    def _fixed_bytes(self) -> int:
        system = self.system
        if self._system is None or self._system[0] is not system:
            self._system = (system, text_bytes(system))
        return self._system[1] + self._tools_bytes


def _objective(state: SessionState) -> str:
    """The user's last words."""
    for message in reversed(state.conversation.sealed):
        if message.role == "user":
            words = [block.text for block in message.content if isinstance(block, TextBlock)]
            if words:
                return words[-1]
    return ""


async def _nobody(_moment: CompactionMoment) -> None:
    """Nobody wants to hear of it."""


def _unheard(_text: str) -> None:
    """A summary is not shown while it is written."""
