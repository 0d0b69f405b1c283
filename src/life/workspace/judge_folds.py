"""The part of the page's fold that follows evaluators (`eval.*`) and demos (`demo.*`)."""

from __future__ import annotations

from typing import Final

from life.aios.record import EventRecord
from life.workspace.rows import mark, notice, push
from life.workspace.run_folds import Step
from life.workspace.state import Noted, State
from life.workspace.surroundings import Demo, Offer, Quality, Score
from life.workspace.values import Fields, count, fields, fraction, items, short, text, texts


def scored(state: State, event: Fields, _record: EventRecord) -> None:
    """A heuristic's score."""
    why = short(event.get("explanation"), 600)
    score = Score(
        seq=state.seq,
        evaluator=short(event.get("evaluator"), 100),
        value=fraction(event.get("score")),
        label=text(event.get("label")),
        layer=text(event.get("layer")),
        timing="inline",
        run=text(event.get("run_id")),
        why=why,
    )
    push(state.scores, score, "scores")
    push(
        state.judge, Noted(seq=state.seq, type="eval.InlineCompleted", detail=short(event.get("explanation"))), "judge"
    )


def judged(state: State, event: Fields, _record: EventRecord) -> None:
    """A judge's scores."""
    for item in items(event.get("scores"))[:20]:
        told = fields(item)
        score = Score(
            seq=state.seq,
            evaluator=short(told.get("evaluator"), 100),
            value=fraction(told.get("value")),
            label=text(told.get("label")),
            layer=text(told.get("layer")),
            timing="async",
            run=text(event.get("run_id")),
            why=short(told.get("explanation"), 600) or short(event.get("explanation"), 600),
        )
        push(state.scores, score, "scores")
    push(state.judge, Noted(seq=state.seq, type="eval.AsyncCompleted", detail=short(event.get("evaluator"))), "judge")


def quality_changed(state: State, event: Fields, _record: EventRecord) -> None:
    """The quality over everything."""
    state.quality = Quality(
        seq=state.seq,
        value=fraction(event.get("aggregate_quality")),
        trend=fraction(event.get("trend")),
        inline=count(event.get("inline_count")),
        judged=count(event.get("async_count")),
    )
    push(state.judge, Noted(seq=state.seq, type="eval.QualityChanged", detail=""), "judge")


def demo_opened(state: State, event: Fields, _record: EventRecord) -> None:
    """The session is a demo's."""
    state.demo = Demo(
        seq=state.seq,
        slug=short(event.get("slug"), 100),
        how=text(event.get("how")),
        simulated=[short(line) for line in texts(event.get("simulated"))],
    )


def branch_offered(state: State, event: Fields, _record: EventRecord) -> None:
    """Somewhere one might have said something else."""
    offer = Offer(
        seq=state.seq,
        title=short(event.get("title"), 200),
        reason=short(event.get("reason"), 600),
        before=count(event.get("before_sequence")),
        message=short(event.get("message"), 2000),
    )
    push(state.offers, offer, "offers")
    notice(state, "demo.branch_offered", offer.title)
    mark(state, "fork")


JUDGES: Final[dict[str, Step]] = {
    "eval.InlineCompleted": scored,
    "eval.AsyncCompleted": judged,
    "eval.QualityChanged": quality_changed,
    "demo.opened": demo_opened,
    "demo.branch_offered": branch_offered,
}
