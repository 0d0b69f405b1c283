"""Shared by the benchmarks: interleaved rounds, medians, and ratios against a limit or a peer of the same run.

A case is a function that does the work once and returns its figure (events per second, microseconds, bytes …). Rounds run
all cases in shuffled order after one warm-up round; a ratio is the median of the per-round ratios, which other load on
the machine moves far less than the figures themselves. A claim is a ratio with its goal.

    results = interleaved({"ours": run_ours, "limit": run_limit}, rounds=5)
    sys.exit(report(results, "events/s", [Claim("J4", "ours", "limit", at_least=0.7)]))
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Results = Mapping[str, Sequence[float]]
"""Figures of each case, one per round."""


@dataclass(frozen=True)
class Claim:
    """`ours` divided by `other`, with what it should be at least or at most."""

    name: str
    ours: str
    other: str
    at_least: float | None = None
    at_most: float | None = None


def arguments(description: str) -> argparse.Namespace:
    """The options that every benchmark has: `--quick` for a look, `--rounds` for a thorough run."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer events and three rounds: a look, not a result")
    parser.add_argument("--rounds", type=int, default=None, help="rounds after the warm-up (default 7, quick 3)")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 7)
    return options


def runner() -> asyncio.Runner:
    """An event loop as the daemons have it: uvloop where it is installed (`lifeos[speed]`), asyncio's own otherwise."""
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.Runner()
    uvloop = importlib.import_module("uvloop")
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def interleaved(cases: Mapping[str, Callable[[], float]], *, rounds: int, seed: int = 1) -> dict[str, list[float]]:
    """Run every case once per round, in shuffled order, after a warm-up round that does not count."""
    shuffle = random.Random(seed).shuffle
    results: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        order = list(cases)
        shuffle(order)
        for name in order:
            gc.collect()
            figure = cases[name]()
            if number:
                results[name].append(figure)
    return results


def ratio(results: Results, ours: str, other: str) -> float:
    """The median of the per-round ratios."""
    return statistics.median(a / b for a, b in zip(results[ours], results[other], strict=True))


def report(results: Results, unit: str, claims: Sequence[Claim]) -> int:
    """Print medians with their range, then the claims; 1 when one of them does not hold, otherwise 0."""
    width = max(len(name) for name in results)
    for name, figures in results.items():
        low, middle, high = min(figures), statistics.median(figures), max(figures)
        print(f"  {name:<{width}}  {_number(middle):>12} {unit}   ({_number(low)} … {_number(high)})")
    failed = 0
    for claim in claims:
        measured = ratio(results, claim.ours, claim.other)
        verdict, goal = _judge(claim, measured)
        failed += verdict == "MISSED"
        print(f"  {claim.name}: {claim.ours} ÷ {claim.other} = {measured:.2f}{goal}  {verdict}")
    return 1 if failed else 0


def _judge(claim: Claim, measured: float) -> tuple[str, str]:
    if claim.at_least is not None:
        return ("ok" if measured >= claim.at_least else "MISSED"), f"  (goal ≥ {claim.at_least:g})"
    if claim.at_most is not None:
        return ("ok" if measured <= claim.at_most else "MISSED"), f"  (goal ≤ {claim.at_most:g})"
    return "", ""


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
