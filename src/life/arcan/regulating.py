"""Asking the regulator before a step, and journaling what it changes."""

from __future__ import annotations

import asyncio
import logging

from msgspec.structs import replace

from life.aios import events
from life.aios.ports.regulator import SAFE_ADVICE, Advice, RunView
from life.arcan.control import Regulated, Suspended, control
from life.arcan.session_log import SessionLog
from life.arcan.session_state import cost_micro, worked_us
from life.arcan.settings import Parts

_log = logging.getLogger("life.arcan")


async def consult(parts: Parts, log: SessionLog, step: int) -> int | None:
    """Ask the regulator about the open run, and stage what it changes and what it wants on record. One that fails, or takes
    too long, is answered for by the safe profile. Gives the tokens to which the context should be shortened now, if any."""
    regulator, state = parts.regulator, log.state
    if regulator is None or state.run is None:
        return None
    try:
        async with asyncio.timeout(parts.settings.regulator_timeout_ms / 1000):
            advice = await regulator.consult(_view(log, step, parts.clock.now_us()))
    except Exception as error:
        # Homeostasis must not take the run with it, nor leave it without any.
        _log.warning("The regulator failed: %s.", type(error).__name__)
        advice = SAFE_ADVICE
    before, had_gates = state.regulation, state.gates is not None
    for said in advice.events:
        log.add(said)
    if advice.gates is not None and advice.gates != state.gates:
        log.add(events.GatesUpdated(gates=advice.gates, reason=advice.reason))
    if advice.mode is not None and advice.mode != before.mode and advice.mode != state.mode:
        log.add(events.ModeChanged(from_=state.mode, to=advice.mode, reason=advice.reason))
    after = _regulated(before, advice, had_gates=had_gates)
    if after is not None:
        log.add(control(after))
    if advice.suspend is not None:
        log.add(control(Suspended(reason=advice.suspend)))
    return advice.context_target_tokens


def _view(log: SessionLog, step: int, now_us: int) -> RunView:
    """What the regulator is told."""
    state, run = log.state, log.state.run
    assert run is not None
    return RunView(
        session_id=state.session_id,
        branch_id=state.branch_id,
        agent_id=state.agent_id,
        run_id=run.run_id,
        step=step,
        vector=state.vector,
        mode=state.mode,
        gates=state.gates,
        model_tier=state.regulation.model_tier,
        errors=run.errors,
        tool_calls=run.tool_calls,
        prompt_tokens=run.prompt_tokens,
        completion_tokens=run.completion_tokens,
        cost_micro=cost_micro(run),
        worked_ms=worked_us(run, now_us) // 1000,
        recent=log.recent,
    )


def _regulated(before: Regulated, advice: Advice, *, had_gates: bool) -> Regulated | None:
    """What the regulator's choices are now; None when they are as they were. Whole advice lifts what it does not name."""
    kept = Regulated() if advice.is_whole else before
    tier, limit, mode = advice.model_tier, advice.max_output_tokens, advice.mode
    after = Regulated(
        model_tier=kept.model_tier if tier is None else tier,
        max_output_tokens=kept.max_output_tokens if limit is None else limit,
        mode=kept.mode if mode is None else mode,
        gates_lifted=had_gates and advice.is_whole and advice.gates is None,
        allow_expensive_tools=advice.allow_expensive_tools,
        allow_replication=advice.allow_replication,
    )
    return None if after == replace(before, reason="") else replace(after, reason=advice.reason)
