"""Any sequence of faults, deaths and repetitions: a payment moves at most once, and what the facilitator says is true."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from life.haima import events
from life.haima.errors import FacilitatorUnavailableError, OutcomeUnknownError
from life.haima.x402 import codes
from tests.haima.test_facilitator_self_hosted import Crash
from tests.haima.test_facilitator_upto import MAXIMUM, Bench

POINTS = ("before prepare", "before broadcast", "after broadcast", "before settlement")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("crash"), st.sampled_from(POINTS)),
        st.tuples(st.just("refuse"), st.integers(1, 2)),
        st.tuples(st.just("lose"), st.integers(1, 2)),
        st.tuples(st.just("restart"), st.booleans()),
        st.tuples(st.just("settle"), st.sampled_from((0, 1, 3_000, MAXIMUM))),
        st.tuples(st.just("verify"), st.just(0)),
    ),
    max_size=14,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, upto=st.booleans(), fee_bps=st.sampled_from((0, 100)))
def test_whatever_happens_it_moves_once(steps: list[tuple[str, Any]], upto: bool, fee_bps: int) -> None:
    """Property: over any faults and restarts, at most one settlement's money moves; every success names it; a refusal that is
    final is never followed by money; when the faults end, asking again gives an end; and the fee is owed once, for what moved."""
    asyncio.run(_run(steps, upto=upto, fee_bps=fee_bps))


async def _run(steps: list[tuple[str, Any]], *, upto: bool, fee_bps: int) -> None:
    bench = Bench()
    await bench.shop.fund()
    permit = bench.permit(upto=upto)
    facilitator = bench.facilitator(fee_bps=fee_bps)
    amounts: set[int] = set()
    for what, value in [*steps, ("restart", True), ("settle", None)]:
        if (what, value) == ("restart", True):
            bench.chain.crash, bench.chain.refuse, bench.chain.lose = None, 0, 0
        if what in ("refuse", "lose"):
            setattr(bench.chain, what, value)
        elif what == "crash":
            bench.chain.crash = value
        elif what == "restart":
            await facilitator.aclose()
            facilitator = bench.facilitator(fee_bps=fee_bps)
            with suppress(Crash):
                await facilitator.start()
        elif what == "verify":
            await bench.verify(facilitator, permit)
        else:
            charged = value if upto else MAXIMUM
            if charged is None:  # the last time; the first amount that was intended is the one
                intended = await bench.recorded(events.SettlementIntended)
                charged = int(intended[0].charged_atomic) if intended else 3_000
            try:
                settled = await bench.settle(facilitator, permit, charged)
            except (Crash, FacilitatorUnavailableError, OutcomeUnknownError):
                continue
            if settled.success:
                amounts.add(charged)
                assert await bench.shop.earned() == charged
            else:
                assert settled.error_reason in (codes.DUPLICATE_SETTLEMENT, codes.SETTLEMENT_PENDING), settled
    intents = await bench.recorded(events.SettlementIntended)
    ends = await bench.recorded(events.SettlementConfirmed)
    assert len(intents) == len(ends) == 1, "when the faults are over there is an end"
    moved = int(ends[0].amount_atomic)
    assert amounts <= {moved}
    assert await bench.shop.earned() == moved
    fees = await bench.recorded(events.FacilitatorFeeAccrued)
    assert [int(fee.fee_atomic) for fee in fees] == ([moved // 100] if fee_bps and moved >= 100 else [])
    await facilitator.aclose()
    await bench.shop.aclose()
