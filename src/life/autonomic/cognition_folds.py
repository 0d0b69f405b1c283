"""The part of a session's fold that follows memory, knowledge, planning and evaluations.

Shapes as in `life.autonomic.fold`: vitals, record or data, milliseconds. Source: autonomic.md §3.1-§3.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from life.aios.record import EventRecord
from life.autonomic import readings
from life.autonomic.readings import count, ratio
from life.autonomic.state import KnowledgePromotion

if TYPE_CHECKING:
    from life.autonomic.fold import SessionVitals


def _observed(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    vitals.observations += 1


def _reflected(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    vitals.compactions += 1
    vitals.turns_since_compact = 0


def _remembered(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    vitals.memories += 1


def _searched(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    vitals.knowledge_searches += 1


def _retrieved(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    vitals.total_tokens += count(readings.RETRIEVED.decode(record.payload).context_tokens)


def _evaluated(vitals: SessionVitals, record: EventRecord, at_ms: int) -> None:
    found = readings.HEALTH.decode(record.payload)
    if found.health_score is not None:
        vitals.health(found.health_score, found.note_count, at_ms)


def _inline(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    score = readings.read(data, readings.Inline).score
    vitals.inline_evals += 1
    vitals.judged(score)


def _async(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    scores = readings.read(data, readings.Async).scores
    vitals.async_evals += 1
    before = vitals.quality
    for score in scores:
        vitals.judged(score.value)
    vitals.quality_trend = vitals.quality - before


def _quality(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    changed = readings.read(data, readings.Quality)
    quality = ratio(changed.aggregate_quality)
    trend = quality - vitals.quality if changed.trend is None else changed.trend
    vitals.quality_trend = min(1.0, max(-1.0, trend))
    vitals.quality = quality


def _drifted(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    vitals.drift_alerts += 1


def _decided(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    vitals.decisions += 1


def _critiqued(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    vitals.critiques += 1


def _promoted(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    promoted = readings.read(data, readings.Promoted)
    vitals.promotion = KnowledgePromotion(
        active_version=promoted.version,
        rollback_target=promoted.rollback_target,
        trial_id=promoted.trial_id,
        baseline_score=promoted.baseline_score,
        promoted_score=promoted.promoted_score,
        health_threshold=promoted.artifact.health_threshold,
        promoted_at_ms=at_ms,
    )


def _rollback(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    wanted = readings.read(data, readings.Rollback)
    if wanted.artifact == "knowledge_thresholds":
        vitals.promotion = msgspec.structs.replace(
            vitals.promotion,
            rollback_requested=True,
            rollback_target=wanted.rollback_to,
            rollback_requested_ms=at_ms,
        )


def _indexed(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    found = readings.read(data, readings.Health)
    if found.health_score is not None:
        vitals.health(found.health_score, found.note_count, at_ms)
    else:
        vitals.knowledge_indexed_ms = at_ms
        if found.note_count is not None:
            vitals.knowledge_notes = count(found.note_count)


def _looked_up(vitals: SessionVitals, data: msgspec.Raw, at_ms: int) -> None:
    vitals.knowledge_searches += 1


COGNITION_KINDS: Final[dict[str, Callable[[SessionVitals, EventRecord, int], None]]] = {
    "ObservationAppended": _observed,
    "ReflectionCompacted": _reflected,
    "MemoryCommitted": _remembered,
    "KnowledgeSearched": _searched,
    "KnowledgeRetrieved": _retrieved,
    "KnowledgeEvaluated": _evaluated,
}

COGNITION_CUSTOM: Final[dict[str, Callable[[SessionVitals, msgspec.Raw, int], None]]] = {
    "eval.InlineCompleted": _inline,
    "eval.AsyncCompleted": _async,
    "eval.QualityChanged": _quality,
    "strategy.drift_detected": _drifted,
    "strategy.decision_logged": _decided,
    "strategy.critique_completed": _critiqued,
    "egri.knowledge.promoted": _promoted,
    "autonomic.RollbackRequested": _rollback,
    "knowledge.indexed": _indexed,
    "knowledge.searched": _looked_up,
}
