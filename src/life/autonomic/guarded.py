"""A regulator that may fail, with something to fall back on.

    safe        no commands, and a person is asked before anything but looking (`SAFE_ADVICE`)
    open        nothing is held back: the session's policy decides alone
    last_known  what was advised last, for a minute; then that and the safe profile, the stricter of each

Whichever it is, the first time a session meets it the journal gets an `autonomic.RegulatorFailed`, and the log a line.
Source: autonomic.md §13.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Literal

from msgspec.structs import replace

from life.aios.events.codec import custom
from life.aios.ports.clock import Clock
from life.aios.ports.regulator import SAFE_ADVICE, Advice, Regulator, RunView
from life.aios.record import Stream
from life.aios.state import GatingProfile, RiskLevel
from life.autonomic.events import REGULATOR_FAILED, RegulatorFailed

OnFailure = Literal["safe", "open", "last_known"]

TIGHTEN_AFTER_US: Final = 60_000_000
_MOST_KEPT: Final = 4_096
_RISKS: Final[tuple[RiskLevel, ...]] = ("low", "medium", "high", "critical")
_log = logging.getLogger("life.autonomic")


class GuardedRegulator:
    """Asks another regulator, for a limited time, and answers for it when it fails."""

    def __init__(
        self, inner: Regulator, clock: Clock, *, on_failure: OnFailure = "safe", timeout_ms: int = 250
    ) -> None:
        """`timeout_ms` should be less than what the runtime waits (`regulator_timeout_ms`)."""
        self._inner = inner
        self._clock = clock
        self._on_failure = on_failure
        self._timeout_ms = timeout_ms
        self._known: dict[Stream, tuple[Advice, int]] = {}
        self._failing: set[Stream] = set()
        self.failures = 0
        self.last_failure = ""
        """What went wrong last; empty once it went well again."""

    async def consult(self, view: RunView) -> Advice:
        """The inner regulator's advice, or what holds instead."""
        stream = Stream(view.session_id, view.branch_id)
        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                advice = await self._inner.consult(view)
        except Exception as error:
            # Homeostasis must not take the run with it, nor leave it without any.
            return self._instead(stream, error)
        self.last_failure = ""
        self._failing.discard(stream)
        if self._on_failure == "last_known":
            if len(self._known) >= _MOST_KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[stream] = (replace(advice, events=(), suspend=None), self._clock.monotonic_us())
        return advice

    def _instead(self, stream: Stream, error: Exception) -> Advice:
        self.failures += 1
        self.last_failure = getattr(error, "code", type(error).__name__)
        advice = self._fallback(stream)
        if stream in self._failing:
            return advice
        _log.warning("The regulator failed (%s): %s", self.last_failure, advice.reason)
        self._failing.add(stream)
        failed = RegulatorFailed(session_id=stream.session_id, error=self.last_failure, profile=self._on_failure)
        return replace(advice, events=(custom(REGULATOR_FAILED, failed),))

    def _fallback(self, stream: Stream) -> Advice:
        if self._on_failure == "open":
            return Advice(is_whole=True, reason="The regulator failed; the session's policy decides alone.")
        known = self._known.get(stream)
        if self._on_failure == "safe" or known is None:
            return SAFE_ADVICE
        advice, since_us = known
        if self._clock.monotonic_us() - since_us <= TIGHTEN_AFTER_US:
            return replace(advice, reason="The regulator failed; its last profile holds for a minute.")
        return tightened(advice)


def tightened(advice: Advice) -> Advice:
    """The advice and the safe one, the stricter of each."""
    safe = SAFE_ADVICE.gates
    assert safe is not None
    return replace(
        advice,
        gates=safe if advice.gates is None else stricter_gates(advice.gates, safe),
        allow_replication=False,
        reason="The regulator has failed for more than a minute; its last profile holds, tightened.",
    )


def stricter_gates(first: GatingProfile, second: GatingProfile) -> GatingProfile:
    """Field by field the one that permits less."""
    return GatingProfile(
        allow_side_effects=first.allow_side_effects and second.allow_side_effects,
        require_approval_for_risk=min(
            first.require_approval_for_risk, second.require_approval_for_risk, key=_RISKS.index
        ),
        max_tool_calls_per_tick=min(first.max_tool_calls_per_tick, second.max_tool_calls_per_tick),
        max_file_mutations_per_tick=min(first.max_file_mutations_per_tick, second.max_file_mutations_per_tick),
        allow_network=first.allow_network and second.allow_network,
        allow_shell=first.allow_shell and second.allow_shell,
    )
