"""Scores that real evaluators gave, as spans and metrics: names and fields are those of life.autonomic.evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest

from life.aios.record import Stream
from life.arcan.providers.scripted import ScriptedProvider, ScriptedTurn
from life.autonomic.evaluation import judging, scores
from life.host.settings import EvaluationSettings, Settings
from life.host.system import System, open_system
from life.host.trace import session_spans
from life.testing.clock import ManualClock
from life.vigil import evaluations
from life.vigil import names as n
from life.vigil.config import TelemetrySettings
from life.vigil.span import Span
from tests.host.test_evaluation import Judged, customs, judged, until, work
from tests.host.test_evaluation import scores as half_a_point
from tests.vigil.kit import spans_of
from tests.vigil.test_metrics import read


def open_watched(tmp_path: Path, *, inline: bool):  # type: ignore[no-untyped-def]
    """A system with telemetry in memory, whose own judge is off."""
    clock = ManualClock()
    settings = Settings(
        evaluation=EvaluationSettings(inline=inline), telemetry=TelemetrySettings(exporters=("memory",))
    )
    return open_system(
        tmp_path / "life",
        settings=settings,
        environment={"LIFE_KEY_FILE": str(tmp_path / "key")},
        clock=clock,
        provider=ScriptedProvider(work, clock=clock, name="own"),
    )


async def evaluated(system: System) -> list[Span]:
    """The evaluation spans, which are the same live and rebuilt, each below its run's root."""
    assert system.telemetry is not None
    rebuilt = await session_spans(system.journal, "s")
    live = {span.span_id: span for span in spans_of(system.telemetry)}
    found = [span for span in rebuilt if span.name == n.EVALUATION]
    assert [live[span.span_id] for span in found] == found
    (root,) = [span for span in rebuilt if span.name == "invoke_agent life"]
    assert {(span.trace_id, span.parent_id) for span in found} == {(root.trace_id, root.span_id)}
    assert {span.attributes[n.LIFE_RUN] for span in found} == {root.attributes[n.LIFE_RUN]}
    for span in found:
        assert span.attributes.keys() <= n.ATTRIBUTES
        for event in span.events:
            assert event.name == n.EVALUATION_RESULT and event.attributes.keys() <= n.ATTRIBUTES
    return found


def test_the_names() -> None:
    """What is read here is what is written there."""
    assert (evaluations.INLINE, evaluations.ASYNC, evaluations.FAILED, evaluations.JUDGE) == (
        scores.INLINE_COMPLETED,
        scores.ASYNC_COMPLETED,
        scores.JUDGE_FAILED,
        judging.JUDGE,
    )


async def test_heuristics(tmp_path: Path) -> None:
    """Each heuristic's score of a real run is an evaluation result with its name, value, label and layer, and is measured."""
    async with open_watched(tmp_path, inline=True) as system:
        await system.runtime.create_session("s")
        assert (await system.runtime.run("s", "write it")).reason == "completed"
        vitals = system.autonomic.homeostasis.vitals
        await until(lambda: bool((own := vitals(Stream("s"))) and own.inline_evals >= 6))
        spans = await evaluated(system)
        written = [
            kind.data
            for kind in await customs(system, "eval.")
            if kind.event_type == scores.INLINE_COMPLETED and isinstance(kind.data, dict)
        ]
        results = [event.attributes for span in spans for event in span.events]
        assert len(results) == len(written) == 6
        for result, data in zip(results, written, strict=True):
            assert result == {
                n.EVALUATION_NAME: data["evaluator"],
                n.EVALUATION_SCORE: data["score"],
                n.EVALUATION_LABEL: data["label"],
                n.EVAL_LAYER: data["layer"],
                n.EVAL_TIMING: "inline",
            }
        metrics = read(system.telemetry)
        points = metrics["life.eval.score"]["data"]["data_points"]
        assert {point["attributes"]["life.eval.evaluator"]: point["sum"] for point in points} == {
            data["evaluator"]: data["score"] for data in written
        }


@pytest.mark.parametrize("answers", [True, False])
async def test_a_judge(tmp_path: Path, answers: bool) -> None:
    """A judge's scores are one span with a result for each; a judge that says something else is a failed one without a score."""

    async with open_watched(tmp_path, inline=False) as system:
        await system.runtime.create_session("s")
        told = half_a_point if answers else (lambda _: ScriptedTurn(text="canary words"))
        await judged(system, Judged(system, told))
        (span,) = await evaluated(system)
        results = [event.attributes for event in span.events]
        if answers:
            assert len(results) > 1 and span.error is None
            assert {(result[n.EVALUATION_SCORE], result[n.EVALUATION_LABEL]) for result in results} == {
                (0.5, "warning")
            }
            assert all(result[n.EVAL_TIMING] == "async" and n.EVAL_LAYER in result for result in results)
        else:
            assert span.error == "judge_failed" and results[0][n.ERROR_TYPE] == "judge_failed"
            assert n.EVALUATION_SCORE not in results[0] and "canary" not in repr(span)
