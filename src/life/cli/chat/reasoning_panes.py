"""Inspectors of the reasoning: the trace, judges, the context. Nothing is drawn that no event carried (WS-INSP-2)."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from life.cli.chat.facts import blank, fact, heading, meter
from life.cli.chat.prose import ACCENT, BAD, GOOD, SOFT, WAIT, beside, wrap
from life.cli.chat.sight import Rows, Sight, between_ms
from life.cli.chat.untrusted import clean, one_line
from life.cli.shell.words import dollars, pretty_json, seconds
from life.workspace.state import Span
from life.workspace.values import fields, fields_of

_DEPTH: Final = {"run": 0, "step": 1, "model": 2, "tool": 2}
_BAD: Final = ("error", "timeout", "failed", "refused", "expired", "cancelled")
_LONGEST_GAP_MS: Final = 2_000
_BANDS: Final = ((0.8, GOOD), (0.5, WAIT), (0.0, BAD))


def trace_pane(sight: Sight, width: int) -> list[Rows]:
    """The spans of the last run up to the position, as bars on its time."""
    state, words, signs = sight.state, sight.words, sight.signs
    begins = [place for place, span in enumerate(state.spans) if span.kind == "run"]
    if not begins:
        return blank(sight, words("noSpans"), width)
    spans = state.spans[begins[-1] :]
    run = next((one for one in state.runs if one.id == spans[0].id), None)
    rows: list[Rows] = []
    if run is not None:
        cost = dollars(run.cost_micro) if run.steps > run.uncosted else words("notReported")
        most = f" / {words.whole(run.max_steps)}" if run.max_steps else ""
        calls = words.whole(run.calls) + (f" {signs.dot} {words.whole(run.failed)} {signs.bad}" if run.failed else "")
        used = (
            f"{words.whole(run.prompt)} {signs.arrow} {words.whole(run.completion)}"
            if run.steps
            else words("notReported")
        )
        rows += [
            fact(words("steps"), f"{words.whole(run.steps)}{most}", width),
            fact(words("tools"), calls, width),
            fact(words("tokens"), used, width),
            fact(words("modelCost"), cost, width),
            Rows("", (Text(),)),
        ]
    axis = _Axis(spans, state.time)
    room = max(8, min(48, width // 2 - 4))
    rows += [Rows(f"#{span.seq}", (_span_row(sight, span, axis, room, width),)) for span in spans]
    return rows


class _Axis:
    """Time with its long waits shortened (WS-REP-2): milliseconds since the first span, by the moments at which anything began or ended."""

    def __init__(self, spans: list[Span], now: str) -> None:
        moments = sorted({moment for span in spans for moment in (span.started, span.ended or now) if moment})
        self._places: dict[str, int] = {}
        place = 0
        for number, moment in enumerate(moments):
            if number:
                place += min(_LONGEST_GAP_MS, between_ms(moments[number - 1], moment))
            self._places[moment] = place
        self._length = max(1, place)
        self._now = now

    def stretch(self, span: Span, room: int) -> tuple[int, int]:
        """The first cell of a span's bar, and how many it has."""
        began = self._places.get(span.started, 0) * room // self._length
        ended = -(-self._places.get(span.ended or self._now, 0) * room // self._length)
        began = min(began, room - 1)
        return began, max(1, min(room, ended) - began)


def _span_row(sight: Sight, span: Span, axis: _Axis, room: int, width: int) -> Text:
    words, signs = sight.words, sight.signs
    style = BAD if span.status in _BAD else ACCENT if not span.ended else GOOD if span.kind != "step" else SOFT
    name = words("stepN", n=span.name) if span.kind == "step" else span.name or words("model")
    first, length = axis.stretch(span, room)
    sign = signs.full if span.kind in ("tool", "model") else signs.half
    bar = Text.assemble(" " * first, (sign * length, style), " " * (room - first - length))
    took = seconds(between_ms(span.started, span.ended)) if span.ended else words("open")
    status = f" {signs.bad}" if span.status in _BAD else ""
    left = Text.assemble("  " * _DEPTH.get(span.kind, 2), (one_line(name, 60), "bold" if span.kind == "run" else ""))
    right = Text.assemble(bar, (f" {took:>8}", SOFT), (status.ljust(2), BAD))
    return beside(left, right, width, more=signs.more)


def judge_pane(sight: Sight, width: int) -> list[Rows]:
    """What evaluators gave, with their reasons."""
    state, words = sight.state, sight.words
    rows: list[Rows] = []
    if state.quality is not None:
        quality = state.quality
        rows.append(_score(sight, words("scores"), quality.value, f"#{quality.seq}", width))
    for score in reversed(state.scores[-40:]):
        about = f"{one_line(score.label, 24)} {sight.signs.dot} {score.timing} #{score.seq}"
        rows.append(_score(sight, one_line(score.evaluator, 40), score.value, about, width, key=f"#{score.seq}"))
        if score.why:
            rows.append(Rows("", wrap(Text(clean(score.why), SOFT), width, indent=Text("  "))))
    if not rows:
        for noted in reversed(state.judge):
            rows.append(Rows(f"#{noted.seq}", (Text.assemble((noted.type, "bold"), (f"  #{noted.seq}", SOFT)),)))
            rows += _judged(sight, noted.seq, noted.detail, width)
    return rows or blank(sight, words("noJudge"), width)


def _score(sight: Sight, name: str, value: float, about: str, width: int, *, key: str = "") -> Rows:
    style = next(style for least, style in _BANDS if value >= least or least == 0.0)
    room = max(6, min(20, width // 4))
    filled = round(max(0.0, min(1.0, value)) * room)
    right = Text.assemble(
        (sight.signs.full * filled, style), (sight.signs.empty * (room - filled), SOFT), f" {value:.2f}"
    )
    line = beside(Text.assemble((name, "bold"), (f"  {about}", SOFT)), right, width, more=sight.signs.more)
    return Rows(key, (line,))


def _judged(sight: Sight, sequence: int, detail: str, width: int) -> list[Rows]:
    record = sight.record(sequence)
    told = {} if record is None else fields(fields_of(record.payload).get("data"))
    rows = wrap(Text(clean(detail)), width, indent=Text("  ")) if detail else []
    shown = clean(pretty_json(told)).split("\n")[:14] if told else []
    return [Rows("", (*rows, *(Text(f"  {row}", SOFT) for row in shown), Text()))]


def context_pane(sight: Sight, width: int) -> list[Rows]:
    """What the model was sent, by its parts; and what came from memory."""
    state, words, signs = sight.state, sight.words, sight.signs
    context, blocks = state.context, state.blocks
    rows: list[Rows] = []
    if not (context.prompt_seq or context.window or blocks):
        rows += blank(sight, words("noContext"), width)
    else:
        missing = words("notReported")
        rows += [
            fact(words("lastPrompt"), words.whole(context.prompt) if context.prompt_seq else missing, width),
            fact(words("window"), words.whole(context.window) if context.window else missing, width),
        ]
        if context.window and context.prompt_seq:
            rows.append(meter(sight, words("pressure"), context.prompt / context.window, width, bad_over=0.8))
        elif state.vector is not None:
            rows.append(meter(sight, words("pressure"), state.vector.context_pressure, width, bad_over=0.8))
        if context.compacted_seq:
            told = words(
                "compactedLine",
                n=context.compacted_seq,
                dropped=context.dropped,
                before=words.whole(context.before),
                after=words.whole(context.after),
            )
            rows.append(Rows("", wrap(Text(told.replace("→", signs.arrow), WAIT), width)))
    most = max((block.tokens for block in blocks), default=1) or 1
    for part in ("frozen", "noted"):
        mine = [block for block in blocks if block.part == part]
        if not mine:
            continue
        total = sum(block.tokens for block in mine)
        at = context.frozen_seq if part == "frozen" else context.noted_seq
        rows.append(
            heading(
                words(f"part_{part}"),
                f"#{at} {signs.dot} {words.whole(total)} {words('tokens')} ({words('estimated')})",
            )
        )
        for block in mine:
            room = max(4, min(16, width // 5))
            filled = max(1, round(block.tokens / most * room)) if block.tokens else 0
            about = one_line(block.kind, 30)
            if block.cut:
                about += f" {signs.dot} {words('cut')}"
            if block.dropped:
                about += f" {signs.dot} {words('droppedBlock')}"
            left = Text.assemble(one_line(block.source, 60) or "-", (f"  {about}", SOFT))
            right = Text.assemble(
                (signs.full * filled, ACCENT), " " * (room - filled), f" {words.whole(block.tokens):>7}"
            )
            rows.append(Rows("", (beside(left, right, width, more=signs.more),)))
    rows.append(heading(words("memory")))
    if not state.memory:
        rows.append(Rows("", (Text(words("noMemory"), SOFT),)))
    for kept in reversed(state.memory[-30:]):
        left = Text.assemble(words.term("mem_", kept.what), "  ", (one_line(kept.path or kept.id, 120), "bold"))
        rows.append(
            Rows(
                f"#{kept.seq}",
                (beside(left, Text(f"{one_line(kept.scope, 20)} #{kept.seq}", SOFT), width, more=signs.more),),
            )
        )
    return rows
