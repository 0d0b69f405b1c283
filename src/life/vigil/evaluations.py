"""Scores of runs: they are given when a run is over, so each batch is a span of its own below the run's root.

eval.InlineCompleted   one heuristic: evaluator, score, label, layer
eval.AsyncCompleted    a judge: scores[] of evaluator, value, label, layer; duration_ms
eval.judge_failed      a judge gave no answer that can be used

The span has the convention's `gen_ai.evaluation.result` for each score. Explanations and reasons may quote, so they stay in the
journal; the session's moving average (`eval.QualityChanged`) and the trial (`eval.egri_outcome`) repeat what was said.

Source: vigil.md §15; nous.md §4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from life.aios import events
from life.aios.json import Json
from life.aios.record import EventRecord
from life.vigil import names as n
from life.vigil.notes import copy_word
from life.vigil.span import Attributes, Span, SpanEvent, SpanLink

INLINE: Final = "eval.InlineCompleted"
ASYNC: Final = "eval.AsyncCompleted"
FAILED: Final = "eval.judge_failed"
JUDGE: Final = "run_judge"
"""What the judge is called; its failure names nobody."""

_MOST_MS: Final = 3_600_000


def run_of(kind: events.Custom) -> str:
    """The run that was scored; empty when the event is no score of a run."""
    found = kind.data.get("run_id") if isinstance(kind.data, Mapping) else None
    return found if kind.event_type in (INLINE, ASYNC, FAILED) and isinstance(found, str) else ""


def evaluation(record: EventRecord, kind: events.Custom, run: SpanLink, span_id: str) -> Span | None:
    """The span of these scores below the run's root; None when there is no score in them."""
    data = kind.data
    if not isinstance(data, Mapping):
        return None
    timing = "inline" if kind.event_type == INLINE else "async"
    error: str | None = None
    if kind.event_type == FAILED:
        error = "judge_failed"
        results: list[Attributes] = [{n.EVALUATION_NAME: JUDGE, n.EVAL_TIMING: timing, n.ERROR_TYPE: error}]
    elif kind.event_type == INLINE:
        results = _result(data, "score", timing)
    else:
        scores = data.get("scores")
        listed = scores if isinstance(scores, list | tuple) else []
        results = [result for score in listed for result in _result(score, "value", timing)]
    if not results:
        return None
    took_ms = data.get("duration_ms")
    took_us = min(max(took_ms, 0), _MOST_MS) * 1000 if isinstance(took_ms, int) else 0
    attributes: Attributes = {
        n.CONVERSATION: record.session_id,
        n.LIFE_RUN: run_of(kind),
        n.EVAL_TIMING: timing,
        n.EVENT_SEQ: record.sequence,
    }
    if error is not None:
        attributes[n.ERROR_TYPE] = error
    at_us = record.timestamp_us
    return Span(
        name=n.EVALUATION,
        trace_id=run.trace_id,
        span_id=span_id,
        parent_id=run.span_id,
        start_us=max(at_us - took_us, 0),
        end_us=at_us,
        attributes=attributes,
        events=tuple(SpanEvent(n.EVALUATION_RESULT, at_us, result) for result in results),
        error=error,
    )


def _result(data: Json, field: str, timing: str) -> list[Attributes]:
    attributes: Attributes = {}
    copy_word(attributes, n.EVALUATION_NAME, data, "evaluator")
    copy_word(attributes, n.EVALUATION_LABEL, data, "label")
    copy_word(attributes, n.EVAL_LAYER, data, "layer")
    attributes[n.EVAL_TIMING] = timing
    score = data.get(field) if isinstance(data, Mapping) else None
    if isinstance(score, bool) or not isinstance(score, int | float) or n.EVALUATION_NAME not in attributes:
        return []
    attributes[n.EVALUATION_SCORE] = float(score)
    return [attributes]
