"""Homeostasis on the metrics of telemetry: what `autonomicd` says at /metrics, from the regulator inside `life up`.

The values are looked up every so often and handed over as they stand; nothing of it is on the path of a step.
Source: vigil.md §21 (`life.control.margin.l1` and the autonomic metrics); autonomic.md §14.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from life.autonomic.modes import MODES, stricter, target_mode
from life.autonomic.trust import trust_score
from life.host.autonomic import Autonomic
from life.vigil.exports import Reading

if TYPE_CHECKING:
    from life.vigil.telemetry import LiveTelemetry

EVERY_S: Final = 10

_log = logging.getLogger("life.autonomic")


def readings(autonomic: Autonomic) -> list[Reading]:
    """Everything as it stands now. A margin that is no number is left out."""
    agent = autonomic.agent(autonomic.agent_id)
    economic = agent.state.economic
    mode = stricter(economic.mode, target_mode(economic.balance_micro_credits, economic.monthly_burn_estimate))
    found = [
        Reading("autonomic.projection.events", autonomic.homeostasis.events),
        Reading("autonomic.gating.requests", autonomic.folded.consultations),
        *(
            Reading("autonomic.rule.evaluations", number, (("rule", rule),))
            for rule, number in autonomic.folded.fired.items()
        ),
        *(Reading("autonomic.economic_mode", int(name == mode), (("mode", name),)) for name in MODES),
        Reading("autonomic.monthly_burn_micro_credits", economic.monthly_burn_estimate),
        Reading("autonomic.suspended_sessions", agent.suspended),
        Reading("autonomic.trust_score", trust_score(agent.state).score),
        Reading("life.control.margin.l1", agent.stability.margins["L1"]),
    ]
    if economic.balance_micro_credits is not None:
        found.append(Reading("autonomic.balance_micro_credits", economic.balance_micro_credits))
    return [reading for reading in found if math.isfinite(reading.value)]


@asynccontextmanager
async def shown(autonomic: Autonomic, telemetry: LiveTelemetry | None) -> AsyncIterator[None]:
    """Hand the readings over for the length of the block. Without telemetry nothing runs."""
    if telemetry is None:
        yield
        return

    async def show() -> None:
        while True:
            try:
                telemetry.exports.readings(readings(autonomic))
            except Exception as error:  # a defect here must end neither the agent nor what is shown later
                _log.warning("Homeostasis can't be measured: %s.", type(error).__name__)
            await asyncio.sleep(EVERY_S)

    task = asyncio.create_task(show())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
