"""The regulator that the runtime consults in its own process (life.aios.ports.regulator.Regulator).

It holds no opinion of its own: the state comes from the folds, the verdict from the rules. What is new against the journal
becomes events, which the loop writes with its step: the economic mode when it moves, the profile when it changes, and what a
rule asks for. Events that the loop has staged but not written yet are folded in for the occasion, so a verdict never lags.

Source: autonomic.md §4, §13, §14.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from life.aios.events import Kind
from life.aios.events.codec import custom
from life.aios.ports.clock import Clock
from life.aios.ports.regulator import Advice, RunView
from life.aios.record import EventRecord, Stream
from life.aios.state import EconomicMode
from life.autonomic import modes
from life.autonomic.economy import Economy
from life.autonomic.errors import RegulatorBehindError
from life.autonomic.events import ECONOMIC_MODE_CHANGED, EconomicModeChanged
from life.autonomic.fold import SessionVitals
from life.autonomic.homeostasis import Homeostasis
from life.autonomic.profile import Verdict, advice_of, decision_event, is_news, judge
from life.autonomic.rules.economic import means
from life.autonomic.stability import LATENCIES
from life.autonomic.state import HomeostaticState

LATEST_US: Final = 60_000_000
"""Delays beyond this are no decision's: the process was down, or the clock was set."""


class FoldedRegulator:
    """Advice from the folds of this process."""

    def __init__(
        self,
        homeostasis: Homeostasis,
        clock: Clock,
        *,
        is_current: Callable[[], bool] = lambda: True,
        refold: Callable[[Stream], Awaitable[SessionVitals]] | None = None,
    ) -> None:
        """`is_current` says whether the folds follow the journal; `refold` reads a stream again that was forgotten."""
        self._homeostasis = homeostasis
        self._clock = clock
        self._is_current = is_current
        self._refold = refold
        self.latencies_s: deque[float] = deque(maxlen=LATENCIES)
        """From a session's newest event to the verdict on it, for the last decisions."""
        self.consultations = 0
        self.fired: dict[str, int] = {}
        """How often each rule fired."""

    async def consult(self, view: RunView) -> Advice:
        """What should hold from the next step on. RegulatorBehindError when the folds do not follow the journal."""
        if not self._is_current():
            raise RegulatorBehindError("The regulator does not follow the journal.")
        now_us = self._clock.now_us()
        stream = Stream(view.session_id, view.branch_id)
        await self.get_ready(stream)
        _, verdict, events = self._judged(stream, view.agent_id, now_us // 1000, view.recent)
        self._measured(view.recent, now_us)
        return advice_of(verdict.profile, target_tokens=verdict.context.target_tokens, events=events)

    async def get_ready(self, stream: Stream) -> None:
        """Fold a stream again that was forgotten and came back."""
        vitals = self._homeostasis.vitals(stream)
        forgotten = vitals is None and self._homeostasis.has_forgotten
        if self._refold is not None and (forgotten or (vitals is not None and vitals.is_partial)):
            self._homeostasis.restore(stream, await self._refold(stream))

    def news(self, stream: Stream, agent_id: str, now_ms: int) -> tuple[HomeostaticState, Verdict, tuple[Kind, ...]]:
        """The state and verdict for a stream as the journal has it, and the events that would put on record what is new."""
        return self._judged(stream, agent_id, now_ms, ())

    def _judged(
        self, stream: Stream, agent_id: str, now_ms: int, ahead: tuple[EventRecord, ...]
    ) -> tuple[HomeostaticState, Verdict, tuple[Kind, ...]]:
        seen = self._homeostasis.ahead(stream, agent_id, ahead)
        events: list[Kind] = []
        move = moved(seen.economy, now_ms)
        if move is not None:
            events.append(custom(ECONOMIC_MODE_CHANGED, move))
        state = self._homeostasis.state_of(stream, agent_id, seen, now_ms, mode=None if move is None else move.to)
        verdict = judge(state)
        self.consultations += 1
        for rule in verdict.fired:
            self.fired[rule] = self.fired.get(rule, 0) + 1
        if is_news(verdict, seen.vitals.decision) or seen.vitals.regulator_failed:
            events.append(decision_event(state, verdict))
        events.extend(verdict.profile.advisory_events)
        return state, verdict, tuple(events)

    def _measured(self, recent: tuple[EventRecord, ...], now_us: int) -> None:
        if recent:
            delay_us = now_us - recent[-1].timestamp_us
            if 0 <= delay_us <= LATEST_US:
                self.latencies_s.append(delay_us / 1_000_000)


def moved(economy: Economy, now_ms: int) -> EconomicModeChanged | None:
    """How the recorded mode should move now; None when it should not."""
    to: EconomicMode = economy.next_mode(now_ms)
    if to == economy.mode:
        return None
    harder = modes.SEVERITY[to] > modes.SEVERITY[economy.mode]
    words = "Means are running short" if harder else "Means have come back"
    return EconomicModeChanged(from_=economy.mode, to=to, reason=f"{words}: {means(economy.pillar(now_ms))}")
