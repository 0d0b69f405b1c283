"""Scores for finished runs, written into the right session's own stream, beside the runtime and never in its way.

A run that ends is looked at from the journal: heuristics at once, the judge (when there is one, and the run is among the
sampled ones) in a task of its own, for at most 30 seconds and within the session's budget. What judging costs is charged to the
agent as `autonomic.CostCharged`. The scores move the session's quality, which the regulator reads.

Source: nous.md §3-§5.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Final

import msgspec

from life.aios.errors import LifeError
from life.aios.events import Custom
from life.aios.events.codec import custom
from life.aios.ids import derived_event_id
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.provider import ModelProvider
from life.aios.record import Actor, EventRecord, EventWriter, NewEvent, Stream
from life.arcan.step import ModelCall
from life.autonomic.economy import TokenRates
from life.autonomic.evaluation.heuristics import evaluate
from life.autonomic.evaluation.judging import JUDGE, TIMEOUT_S, is_sampled, judge_request, read_scores
from life.autonomic.evaluation.run_facts import RunFacts
from life.autonomic.evaluation.scores import (
    ASYNC_COMPLETED,
    EGRI_OUTCOME,
    INLINE_COMPLETED,
    JUDGE_FAILED,
    QUALITY_CHANGED,
    AsyncCompleted,
    EgriReported,
    EvalScore,
    JudgedScore,
    JudgeFailed,
    QualityChanged,
    egri_outcome,
    inline_event,
)
from life.autonomic.events import COST_CHARGED, CostCharged
from life.autonomic.fold import QUALITY_WEIGHT, SessionVitals
from life.host.settings import EvaluationSettings

EVALUATION: Final = Actor("system", "evaluation")
JUDGING: Final = "evaluation"
"""The reason of its charges."""

_KINDS: Final = (
    "UserMessage",
    "RunStarted",
    "Message",
    "ToolCallRequested",
    "ToolCallCompleted",
    "KnowledgeSearched",
    "KnowledgeEvaluated",
    "RunFinished",
    "Custom",
)
_MOST_SESSIONS: Final = 256
_MOST_JUDGING: Final = 4
_log = logging.getLogger("life.evaluation")


class Evaluator:
    """Scores the runs of one journal. `follow` until cancelled."""

    def __init__(
        self,
        journal: Journal,
        settings: EvaluationSettings,
        *,
        clock: Clock,
        entropy: Entropy,
        agent_id: str,
        schemas: Callable[[], dict[str, JsonObject]],
        open_provider: Callable[[str], ModelProvider] | None = None,
        rates: TokenRates | None = None,
        timeout_s: float = TIMEOUT_S,
        vitals: Callable[[Stream], SessionVitals | None] = lambda _: None,
    ) -> None:
        """`vitals` gives what homeostasis knows of a stream; `schemas` gives the tools' input schemas; `open_provider` opens the judge's provider."""
        self._journal = journal
        self._settings = settings
        self._clock = clock
        self._entropy = entropy
        self._agent_id = agent_id
        self._schemas = schemas
        self._open_provider = open_provider
        self._rates = rates or TokenRates()
        self._timeout_s = timeout_s
        self._vitals = vitals
        self._facts: OrderedDict[Stream, RunFacts] = OrderedDict()
        self._spent: dict[Stream, int] = {}
        self._judging: set[asyncio.Task[None]] = set()

    async def follow(self, position: int) -> None:
        """Score every run that ends after this position of the journal."""
        query = EventQuery(after_position=position, kinds=_KINDS)
        async with aclosing(self._journal.subscribe(query)) as records:  # type: ignore[type-var]
            async for record in records:
                await self.take(record)

    async def take(self, record: EventRecord) -> None:
        """One more event. A run that ended is scored; what goes wrong with that is logged."""
        if record.kind_name == "Custom" and b'"arcan.run_limits"' not in record.payload:
            return
        facts = self._facts_of(record.stream)
        facts.apply(record)
        if record.kind_name != "RunFinished" or not facts.run_id:
            return
        try:
            if self._settings.inline:
                await self._score(record.stream, facts)
            self._judge_later(record.stream, facts)
        except LifeError as error:
            _log.warning("The run %s could not be scored: %s", facts.run_id, error.message)

    async def settled(self) -> None:
        """Return once every judgement that is under way has ended."""
        while self._judging:
            await asyncio.gather(*self._judging, return_exceptions=True)

    async def aclose(self) -> None:
        """Drop judgements that are under way."""
        for task in list(self._judging):
            task.cancel()
        await asyncio.gather(*self._judging, return_exceptions=True)

    def _facts_of(self, stream: Stream) -> RunFacts:
        facts = self._facts.setdefault(stream, RunFacts())
        self._facts.move_to_end(stream)
        if len(self._facts) > _MOST_SESSIONS:
            self._facts.popitem(last=False)
        return facts

    async def _score(self, stream: Stream, facts: RunFacts) -> None:
        scores = evaluate(facts, self._schemas())
        if not scores:
            return
        events = [
            self._event(
                stream,
                custom(INLINE_COMPLETED, inline_event(score, stream.session_id, facts.run_id)),
                derived_event_id("evaluation", *stream, facts.run_id, score.evaluator),
            )
            for score in scores
        ]
        reported = EgriReported(session_id=stream.session_id, trial_id=facts.run_id, outcome=egri_outcome(scores))
        changed = self._quality_after(stream, scores)
        for number, kind in enumerate((custom(EGRI_OUTCOME, reported), custom(QUALITY_CHANGED, changed))):
            event_id = derived_event_id("evaluation", *stream, facts.run_id, f"#{number}")
            events.append(self._event(stream, kind, event_id))
        await self._journal.append(events)

    def _judge_later(self, stream: Stream, facts: RunFacts) -> None:
        settings = self._settings
        if (
            not settings.judge
            or self._open_provider is None
            or len(self._judging) >= _MOST_JUDGING
            or facts.reason not in ("completed", "max_iterations")
            or not is_sampled(facts.run_id, settings.sample_percent)
        ):
            return
        copy = msgspec.convert(msgspec.to_builtins(facts), RunFacts)
        task = asyncio.get_running_loop().create_task(self._judge(stream, copy))
        self._judging.add(task)
        task.add_done_callback(self._judging.discard)

    async def _judge(self, stream: Stream, facts: RunFacts) -> None:
        try:
            if await self._spent_on(stream) >= self._settings.judge_budget_micro:
                return
            await self._ask(stream, facts)
        except LifeError as error:
            _log.warning("The run %s could not be judged: %s", facts.run_id, error.message)

    async def _ask(self, stream: Stream, facts: RunFacts) -> None:
        request = judge_request(facts)
        if request is None or self._open_provider is None:
            return
        began_us = self._clock.monotonic_us()
        scores: list[EvalScore] | None = None
        reason, cost_micro = "it answered something else", 0
        try:
            call = ModelCall(self._open_provider(self._settings.judge), request, lambda _: None)
            async with asyncio.timeout(self._timeout_s):
                stop = await call.run()
            scores = read_scores(facts, call.calls)
            if stop.usage is not None:
                known = stop.usage.cost_micro
                cost_micro = (
                    known
                    if isinstance(known, int)
                    else stop.usage.prompt_tokens * self._rates.prompt_micro
                    + stop.usage.completion_tokens * self._rates.completion_micro
                )
        except TimeoutError:
            reason = f"no answer within {self._timeout_s:g} seconds"
        except LifeError as error:
            reason = error.code
        duration_ms = (self._clock.monotonic_us() - began_us) // 1000
        await self._told(stream, facts, scores, reason, cost_micro, duration_ms)

    async def _told(
        self,
        stream: Stream,
        facts: RunFacts,
        scores: list[EvalScore] | None,
        reason: str,
        cost_micro: int,
        duration_ms: int,
    ) -> None:
        """Put scores, or that there are none, and the cost on record: one batch."""
        if scores is None:
            failed = JudgeFailed(session_id=stream.session_id, run_id=facts.run_id, reason=reason)
            kinds = [custom(JUDGE_FAILED, failed)]
        else:
            judged = tuple(
                JudgedScore(
                    evaluator=one.evaluator,
                    value=one.value,
                    label=one.label,
                    layer=one.layer,
                    explanation=one.explanation,
                )
                for one in scores
            )
            completed = AsyncCompleted(
                evaluator=JUDGE,
                scores=judged,
                session_id=stream.session_id,
                run_id=facts.run_id,
                duration_ms=duration_ms,
            )
            kinds = [custom(ASYNC_COMPLETED, completed), custom(QUALITY_CHANGED, self._quality_after(stream, scores))]
        if cost_micro > 0:
            self._spent[stream] = await self._spent_on(stream) + cost_micro
            kinds.append(custom(COST_CHARGED, CostCharged(amount_micro_credits=cost_micro, reason=JUDGING)))
        events = [
            self._event(stream, kind, derived_event_id("judgement", *stream, facts.run_id, str(number)))
            for number, kind in enumerate(kinds)
        ]
        await self._journal.append(events)

    def _quality_after(self, stream: Stream, scores: list[EvalScore]) -> QualityChanged:
        """The session's quality once these scores are in."""
        vitals = self._vitals(stream) or SessionVitals()
        quality, judged = vitals.quality, scores[0].timing == "async"
        for score in scores:
            quality = QUALITY_WEIGHT * score.value + (1 - QUALITY_WEIGHT) * quality
        return QualityChanged(
            session_id=stream.session_id,
            aggregate_quality=quality,
            trend=quality - vitals.quality,
            inline_count=vitals.inline_evals + (0 if judged else len(scores)),
            async_count=vitals.async_evals + int(judged),
        )

    async def _spent_on(self, stream: Stream) -> int:
        """What judging this session has cost so far, from the journal."""
        if stream not in self._spent:
            spent, after = 0, 0
            while True:
                page = await self._journal.read(
                    EventQuery(*stream, after_sequence=after, kinds=("Custom",)), limit=1000
                )
                for record in page:
                    after = record.sequence
                    spent += _charge(record)
                if len(page) < 1000:
                    break
            self._spent[stream] = spent
        return self._spent[stream]

    def _event(self, stream: Stream, kind: Custom, event_id: str) -> NewEvent:
        writer = EventWriter(self._clock, self._entropy, agent_id=self._agent_id, stream=stream, actor=EVALUATION)
        return writer.event(kind, event_id=event_id)


def _charge(record: EventRecord) -> int:
    """What this event charged for judging."""
    if b'"autonomic.CostCharged"' not in record.payload:
        return 0
    kind = record.kind
    if not isinstance(kind, Custom) or not isinstance(kind.data, dict) or kind.data.get("reason") != JUDGING:
        return 0
    amount = kind.data.get("amount_micro_credits")
    return amount if isinstance(amount, int) and amount > 0 else 0


@asynccontextmanager
async def evaluating(evaluator: Evaluator, journal: Journal, position: int) -> AsyncIterator[Evaluator]:
    """Score runs for the length of the block. A journal that fails ends it, with a line in the log."""

    async def follow() -> None:
        try:
            await evaluator.follow(position)
        except LifeError as error:
            _log.warning("Runs are not scored any more: %s", error.message)

    task = asyncio.create_task(follow())
    try:
        yield evaluator
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await evaluator.aclose()
