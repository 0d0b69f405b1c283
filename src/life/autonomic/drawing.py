"""A course as a picture: three panels over one time axis (SVG, written by ourselves), or rows of blocks for a terminal.

    operational   the share of errors among recent outcomes
    cognitive     how full the context is, and what is left of the run's tokens
    economic      the balance, and behind it the mode

Source: issue 7.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

from life.aios.state import EconomicMode
from life.autonomic.rules.economic import usd
from life.autonomic.simulation import Course, Sample

WIDTH: Final = 960
PANEL: Final = 130
GAP: Final = 34
LEFT: Final = 92
RIGHT: Final = 24
TOP: Final = 92
LABEL_LINES: Final = 4
MOST_POINTS: Final = 800

MODE_COLOURS: Final[dict[EconomicMode, str]] = {
    "sovereign": "#e7f4ea",
    "conserving": "#fdf3d3",
    "hustle": "#fde0c5",
    "hibernate": "#f3c7cb",
}
BLOCKS: Final = " ▁▂▃▄▅▆▇█"


class Series(NamedTuple):
    """One curve: its name, colour and values, 0 to 1."""

    name: str
    colour: str
    values: tuple[float, ...]


class Panel(NamedTuple):
    """One pillar: its curves, and what the top and the bottom of the panel mean."""

    title: str
    series: tuple[Series, ...]
    top: str
    bottom: str
    threshold: float | None = None


def panels_of(samples: Sequence[Sample], *, error_rate: float = 0.3, context_soft: float = 0.6) -> tuple[Panel, ...]:
    """The three pillars of a course."""
    balances = [sample.balance_micro or 0 for sample in samples]
    highest, lowest = max(0, *balances, 0), min(0, *balances, 0)
    span = max(1, highest - lowest)
    velocities = [sample.spent_5min_micro for sample in samples]
    fastest = max(1, *velocities, 1)
    return (
        Panel(
            "operational",
            (Series("errors among recent outcomes", "#b3261e", tuple(sample.error_rate for sample in samples)),),
            "100 %",
            "0 %",
            error_rate,
        ),
        Panel(
            "cognitive",
            (
                Series("context", "#3949ab", tuple(sample.context_pressure for sample in samples)),
                Series("tokens left of the run", "#00897b", tuple(sample.tokens_left for sample in samples)),
                Series("quality", "#8e24aa", tuple(sample.quality for sample in samples)),
            ),
            "100 %",
            "0 %",
            context_soft,
        ),
        Panel(
            "economic",
            (
                Series("balance", "#1b5e20", tuple((balance - lowest) / span for balance in balances)),
                Series(
                    f"spent in five minutes (at most {usd(fastest)})",
                    "#ef6c00",
                    tuple(velocity / fastest for velocity in velocities),
                ),
            ),
            usd(highest),
            usd(lowest),
        ),
    )


def svg(course: Course) -> str:
    """The picture. It needs nothing but itself: no fonts, no scripts, no addresses."""
    samples = _thinned(course.samples)
    panels = panels_of(samples)
    height = TOP + len(panels) * (PANEL + GAP) + 76
    inner = WIDTH - LEFT - RIGHT
    end_s = max(1, samples[-1].at_s if samples else 1)

    def x(at_s: float) -> float:
        return LEFT + inner * min(1.0, at_s / end_s)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f"<title>{escape(course.scenario)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="26" font-size="16" font-weight="bold">{escape(course.scenario)}</text>',
    ]
    bottom = TOP + len(panels) * (PANEL + GAP) - GAP
    for mode, start_s, stop_s in _spans(samples):
        parts.append(
            f'<rect x="{x(start_s):.1f}" y="{TOP}" width="{max(0.5, x(stop_s) - x(start_s)):.1f}" '
            f'height="{bottom - TOP}" fill="{MODE_COLOURS[mode]}"/>'
        )
    for number, panel in enumerate(panels):
        parts += _panel(panel, TOP + number * (PANEL + GAP), [x(sample.at_s) for sample in samples])
    for number, (at_s, label) in enumerate(course.marks):
        left, line = x(at_s), TOP - 6 - 13 * (number % LABEL_LINES)
        anchor = "start" if left < WIDTH * 0.75 else "end"
        parts.append(
            f'<line x1="{left:.1f}" y1="{line + 2}" x2="{left:.1f}" y2="{bottom}" stroke="#555" stroke-dasharray="3 3"/>'
            f'<text x="{left:.1f}" y="{line}" fill="#333" font-size="10" text-anchor="{anchor}">{escape(label[:48])}</text>'
        )
    for share in range(5):
        at_s = end_s * share // 4
        parts.append(f'<text x="{x(at_s):.1f}" y="{bottom + 32}" text-anchor="middle">{clock_text(at_s)}</text>')
    for number, (mode, colour) in enumerate(MODE_COLOURS.items()):
        left = LEFT + number * 120
        parts.append(
            f'<rect x="{left}" y="{bottom + 46}" width="14" height="14" fill="{colour}" stroke="#999"/>'
            f'<text x="{left + 20}" y="{bottom + 58}">{mode}</text>'
        )
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _panel(panel: Panel, top: float, xs: Sequence[float]) -> list[str]:
    def y(value: float) -> float:
        return top + PANEL * (1 - min(1.0, max(0.0, value)))

    parts = [
        f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - RIGHT}" height="{PANEL}" fill="none" stroke="#888"/>',
        f'<text x="{LEFT - 8}" y="{top + 10}" text-anchor="end">{escape(panel.top)}</text>',
        f'<text x="{LEFT - 8}" y="{top + PANEL}" text-anchor="end">{escape(panel.bottom)}</text>',
        f'<text x="{LEFT - 8}" y="{top + PANEL / 2}" text-anchor="end" font-weight="bold">{panel.title}</text>',
    ]
    if panel.threshold is not None:
        parts.append(
            f'<line x1="{LEFT}" y1="{y(panel.threshold):.1f}" x2="{WIDTH - RIGHT}" y2="{y(panel.threshold):.1f}" '
            'stroke="#999" stroke-dasharray="6 4"/>'
        )
    for number, series in enumerate(panel.series):
        points = " ".join(f"{x:.1f},{y(value):.1f}" for x, value in zip(xs, series.values, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{series.colour}" stroke-width="1.5"/>')
        parts.append(
            f'<text x="{LEFT + 8 + number * 200}" y="{top + PANEL + 14}" fill="{series.colour}" font-size="11">'
            f"{escape(series.name)}</text>"
        )
    return parts


def rows(course: Course, width: int) -> list[tuple[str, str]]:
    """The curves as (name, blocks), `width` characters each; the last row is the mode by its first letters."""
    samples = course.samples
    cells = _cells(samples, max(8, width))
    drawn = [
        (series.name, "".join(_block(max(series.values[i] for i in cell)) for cell in cells))
        for panel in panels_of(samples)
        for series in panel.series
    ]
    return [*drawn, ("mode", "".join(_letter([samples[i].mode for i in cell]) for cell in cells))]


def _cells(samples: Sequence[Sample], width: int) -> list[range]:
    count = len(samples)
    width = min(width, count)
    return [range(n * count // width, max(n * count // width + 1, (n + 1) * count // width)) for n in range(width)]


def _block(value: float) -> str:
    return BLOCKS[min(len(BLOCKS) - 1, max(0, round(value * (len(BLOCKS) - 1))))]


def _letter(found: Sequence[EconomicMode]) -> str:
    """The strictest mode of a cell: · for sovereign, else its letter (c, h, Z for hibernate)."""
    for mode, letter in (("hibernate", "Z"), ("hustle", "h"), ("conserving", "c")):
        if mode in found:
            return letter
    return "·"


def _spans(samples: Sequence[Sample]) -> list[tuple[EconomicMode, int, int]]:
    """Stretches of one mode: (mode, from, to) in seconds."""
    spans: list[tuple[EconomicMode, int, int]] = []
    for sample in samples:
        if spans and spans[-1][0] == sample.mode:
            spans[-1] = (sample.mode, spans[-1][1], sample.at_s)
            continue
        if spans:
            spans[-1] = (spans[-1][0], spans[-1][1], sample.at_s)
        spans.append((sample.mode, sample.at_s, sample.at_s))
    return spans


def _thinned(samples: Sequence[Sample]) -> list[Sample]:
    """At most so many samples, those where something changed among them."""
    every = max(1, len(samples) // MOST_POINTS)
    kept: list[Sample] = []
    for number, sample in enumerate(samples):
        if (
            number % every == 0
            or number == len(samples) - 1
            or (kept and (kept[-1].mode, kept[-1].rules) != (sample.mode, sample.rules))
        ):
            kept.append(sample)
    return kept


def clock_text(seconds: float) -> str:
    """`1:05:00`, or `5:00`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
