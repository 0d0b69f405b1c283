"""Scores for real runs: into the right session, never in the way, never without material."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from life.aios import events
from life.aios.json import Json
from life.aios.ports.journal import EventQuery
from life.aios.ports.provider import ModelRequest
from life.aios.record import EventRecord, Stream
from life.aios.state import TokenUsage
from life.arcan.providers.scripted import ScriptedCall, ScriptedProvider, ScriptedTurn
from life.autonomic.evaluation.judging import TOOL, WHY
from life.host.evaluation import Evaluator, evaluating
from life.host.settings import EvaluationSettings, Settings
from life.host.system import System, open_system
from life.testing.clock import ManualClock

USAGE = TokenUsage(prompt_tokens=1_000, completion_tokens=100, total_tokens=1_100, cost_micro=900)


def work(request: ModelRequest) -> ScriptedTurn:
    """One tool call, then the answer."""
    if any("b.txt" in str(message) for message in request.messages[1:]):
        return ScriptedTurn(text="Written.", usage=USAGE)
    call = ScriptedCall("write_file", {"path": "b.txt", "content": "x"})
    return ScriptedTurn(text="I plan to write it.", calls=(call,), usage=USAGE)


@asynccontextmanager
async def opened(tmp_path: Path, settings: EvaluationSettings) -> AsyncIterator[System]:
    clock = ManualClock()
    async with open_system(
        tmp_path / "life",
        settings=Settings(evaluation=settings),
        environment={"LIFE_KEY_FILE": str(tmp_path / "key")},
        clock=clock,
        provider=ScriptedProvider(work, clock=clock, name="own"),
    ) as system:
        yield system


async def customs(system: System, prefix: str, session: str = "s") -> list[events.Custom]:
    """The session's events of a subsystem."""
    records: list[EventRecord] = await system.journal.read(EventQuery(session, "main"), limit=1_000)
    return [
        kind
        for record in records
        if isinstance(kind := record.kind, events.Custom) and kind.event_type.startswith(prefix)
    ]


async def until(found: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if found():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it never came to that")


async def test_a_run_is_scored_in_its_own_session(tmp_path: Path) -> None:
    """Every hook's heuristics fire in a real run, the scores move that session's quality, and no other's."""
    async with opened(tmp_path, EvaluationSettings(inline=True)) as system:
        await system.runtime.create_session("s")
        await system.runtime.create_session("other")
        assert (await system.runtime.run("s", "write it")).reason == "completed"
        vitals = system.autonomic.homeostasis.vitals
        await until(lambda: bool((own := vitals(Stream("s"))) and own.inline_evals >= 6))
        scored = [kind for kind in await customs(system, "eval.") if kind.event_type == "eval.InlineCompleted"]
        data = [kind.data for kind in scored if isinstance(kind.data, dict)]
        assert {str(one["evaluator"]) for one in data} == {
            "token_efficiency",
            "budget_adherence",
            "argument_validity",
            "safety_compliance",
            "tool_correctness",
            "step_efficiency",
        }
        assert {one["session_id"] for one in data} == {"s"}
        last = [kind.event_type for kind in await customs(system, "eval.")]
        assert last[-2:] == ["eval.egri_outcome", "eval.QualityChanged"]
        other = vitals(Stream("other"))
        assert other is not None and other.inline_evals == 0 and other.quality == 1.0
        # The next run is not disturbed by events that others wrote into its stream.
        assert (await system.runtime.run("s", "again")).reason == "completed"


class Judged:
    """An evaluator with a judge that answers as told, over a real runtime's journal."""

    def __init__(self, system: System, answer: Callable[[ModelRequest], ScriptedTurn], **settings: object) -> None:
        self.provider = ScriptedProvider(answer, clock=system.clock, name="judge")
        chosen = EvaluationSettings(judge="judge", **{"sample_percent": 100, **settings})  # type: ignore[arg-type]
        self.evaluator = Evaluator(
            system.journal,
            chosen,
            clock=system.clock,
            entropy=system.entropy,
            agent_id=system.identity.agent_id,
            schemas=dict,
            open_provider=lambda _: self.provider,
            timeout_s=0.2,
        )


def scores(request: ModelRequest) -> ScriptedTurn:
    """The exact answer, half a point each."""
    (tool,) = request.tools
    names = tool.input_schema["required"]
    assert isinstance(names, list)
    criteria = [str(name) for name in names if name != WHY]
    arguments: dict[str, Json] = {**dict.fromkeys(criteria, 0.5), WHY: dict.fromkeys(criteria, "Half of it is there.")}
    return ScriptedTurn(calls=(ScriptedCall(TOOL, arguments),), usage=USAGE)


async def judged(system: System, judge: Judged, runs: int = 1) -> list[events.Custom]:
    """Run so many times under the judge's eyes; what it wrote."""
    async with evaluating(judge.evaluator, system.journal, system.autonomic.follower.position):
        for _ in range(runs):
            report = await system.runtime.run("s", "write it")
            assert report.reason == "completed"
            await until(lambda: bool(judge.evaluator._judging) or judge.provider.requests > 0)
            await judge.evaluator.settled()
    return await customs(system, "eval.")


async def test_a_judge_scores_and_is_charged_to_the_agent(tmp_path: Path) -> None:
    """Its scores move the quality, and what it cost stands in the books."""
    async with opened(tmp_path, EvaluationSettings()) as system:
        await system.runtime.create_session("s")
        found = await judged(system, Judged(system, scores))
        assert [kind.event_type for kind in found] == ["eval.AsyncCompleted", "eval.QualityChanged"]
        assert isinstance(found[0].data, dict)
        assert {score["explanation"] for score in found[0].data["scores"]} == {"Half of it is there."}
        (charge,) = await customs(system, "autonomic.CostCharged")
        assert isinstance(charge.data, dict) and charge.data["amount_micro_credits"] == 900
        await until(lambda: system.autonomic.homeostasis.books(system.identity.agent_id).economy.costs_micro == 2_700)
        assert system.autonomic.mode() == "sovereign", "a charge does not make an agent metered"


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: ScriptedTurn(text='{"task_completion": 1.0}', usage=USAGE),
        lambda _: ScriptedTurn(calls=(ScriptedCall(TOOL, {"task_completion": 7}),), usage=USAGE),
        lambda _: ScriptedTurn(text="late", delay_ms=10_000),
    ],
    ids=["text", "other schema", "late"],
)
async def test_anything_else_is_a_failure_on_record_and_delays_nothing(
    tmp_path: Path, answer: Callable[[ModelRequest], ScriptedTurn]
) -> None:
    """No score, one event; the run's answer was there long before."""
    async with opened(tmp_path, EvaluationSettings()) as system:
        await system.runtime.create_session("s")
        found = await judged(system, Judged(system, answer))
        assert [kind.event_type for kind in found] == ["eval.judge_failed"]


async def test_judging_ends_with_its_budget(tmp_path: Path) -> None:
    """The first judgement uses it up; the second run is not judged, also by an evaluator that knows nothing of the first."""
    async with opened(tmp_path, EvaluationSettings()) as system:
        await system.runtime.create_session("s")
        first = Judged(system, scores, judge_budget_micro=900)
        await judged(system, first)
        second = Judged(system, scores, judge_budget_micro=900)
        async with evaluating(second.evaluator, system.journal, system.autonomic.follower.position):
            await system.runtime.run("s", "again")
            await asyncio.sleep(0.05)
            await second.evaluator.settled()
        assert second.provider.requests == 0


async def test_without_settings_nothing_is_scored(tmp_path: Path) -> None:
    """Off by default: no events, no model."""
    async with opened(tmp_path, EvaluationSettings()) as system:
        await system.runtime.create_session("s")
        await system.runtime.run("s", "write it")
        assert await customs(system, "eval.") == []
