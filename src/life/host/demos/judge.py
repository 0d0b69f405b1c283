"""Scores for the runs of demos: heuristics, and the scripted judge that the demo's file speaks for.

The evaluator is the one that every project may have (`life.host.evaluation`); here it looks at sessions that were begun as demos with their
scripted model, and at nothing else. A demo that a live model played gets heuristics only: nobody has written down what a judge would
say about it. Where the project's own evaluation is on, it scores demos like every other session and this one keeps out of the way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Final

import msgspec

from life.aios.errors import LifeError
from life.aios.events import SessionCreated
from life.aios.ids import MAIN_BRANCH
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, Stream
from life.arcan.session_state import SessionConfig
from life.autonomic.economy import TokenRates
from life.autonomic.fold import SessionVitals
from life.host.demos.model import PREFIX, DemoJudge
from life.host.demos.sessions import how_of
from life.host.evaluation import Evaluator
from life.host.settings import EvaluationSettings
from life.workspace.demos.catalogue import SLUGS, demo

_PAGE: Final = 1000
_log = logging.getLogger("life.host")


class DemoJudges:
    """The evaluators of demos in one process, one for each demo that was played."""

    def __init__(
        self,
        journal: Journal,
        project: EvaluationSettings,
        *,
        clock: Clock,
        entropy: Entropy,
        agent_id: str,
        schemas: Callable[[], dict[str, JsonObject]],
        rates: TokenRates,
        vitals: Callable[[Stream], SessionVitals | None],
    ) -> None:
        """`project` is the project's own evaluation; the rest as for Evaluator."""
        self._journal = journal
        self._is_needed = not (project.inline or project.judge)
        self._clock = clock
        self._entropy = entropy
        self._agent_id = agent_id
        self._schemas = schemas
        self._rates = rates
        self._vitals = vitals
        self._evaluators: dict[str, Evaluator] = {}
        self._specifications: dict[str, str] = {}
        self._begun: set[Stream] = set()
        self._followed = 0
        self._bell = asyncio.Event()

    async def follow(self, position: int) -> None:
        """Look at every event after this position of the journal."""
        self._followed = position
        async with aclosing(self._journal.subscribe(EventQuery(after_position=position))) as records:  # type: ignore[type-var]
            async for record in records:
                if self._is_needed and how_of(record.session_id) in ("run", "recording"):
                    await self._take(record)
                self._followed = record.position
                self._bell.set()

    async def settled(self, position: int) -> None:
        """Return once everything up to this position is looked at and judged."""
        while self._followed < position:
            self._bell.clear()
            await self._bell.wait()
        for evaluator in self._evaluators.values():
            await evaluator.settled()

    async def aclose(self) -> None:
        """Drop what is under way."""
        for evaluator in self._evaluators.values():
            await evaluator.aclose()

    async def _take(self, record: EventRecord) -> None:
        specification = await self._model_of(record)
        slug = specification.removeprefix(PREFIX)
        name = slug if specification.startswith(PREFIX) and slug in SLUGS else ""
        evaluator = self._evaluators.get(name)
        if evaluator is None:
            evaluator = self._evaluators[name] = self._evaluator(name)
        if record.stream not in self._begun:
            self._begun.add(record.stream)
            for earlier in await self._open_run(record):
                await evaluator.take(earlier)
        await evaluator.take(record)

    async def _open_run(self, record: EventRecord) -> list[EventRecord]:
        """What came before in a run that another process began."""
        found: list[EventRecord] = []
        query = EventQuery(*record.stream, before_sequence=record.sequence)
        while page := await self._journal.read(query, limit=_PAGE):
            for one in page:
                if one.kind_name == "RunFinished":
                    found.clear()
                else:
                    found.append(one)
            query = query._replace(after_sequence=page[-1].sequence)
        return found

    async def _model_of(self, record: EventRecord) -> str:
        """The provider specification that the session was created with."""
        known = self._specifications.get(record.session_id)
        if known is None:
            first = await self._journal.read(EventQuery(record.session_id, MAIN_BRANCH), limit=1)
            created = first[0].kind if first else None
            known = ""
            if isinstance(created, SessionCreated):
                try:
                    known = msgspec.convert(created.config, SessionConfig).provider
                except msgspec.ValidationError:
                    known = ""
            self._specifications[record.session_id] = known
        return known

    def _evaluator(self, slug: str) -> Evaluator:
        """With the demo's judge; for a live model's session (no slug) heuristics alone."""
        settings = EvaluationSettings(inline=True, judge=f"{PREFIX}{slug}" if slug else "", sample_percent=100)
        return Evaluator(
            self._journal,
            settings,
            clock=self._clock,
            entropy=self._entropy,
            agent_id=self._agent_id,
            schemas=self._schemas,
            open_provider=lambda _: DemoJudge(demo(slug), clock=self._clock),
            rates=self._rates,
            vitals=self._vitals,
        )


@asynccontextmanager
async def judging(judges: DemoJudges, position: int) -> AsyncIterator[DemoJudges]:
    """Look at demos for the length of the block. A journal that fails ends it, with a line in the log."""

    async def follow() -> None:
        try:
            await judges.follow(position)
        except LifeError as error:
            _log.warning("Demos are not judged any more: %s", error.message)

    task = asyncio.create_task(follow())
    try:
        yield judges
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await judges.aclose()
