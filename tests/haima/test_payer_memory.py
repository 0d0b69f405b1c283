"""What a payer keeps does not grow with its payments (benches/payment_memory.py does this for 100,000)."""

from __future__ import annotations

import asyncio

import pytest

from life.haima import payees, reservations
from life.haima.errors import OutcomeUnknownError, PolicyDeniedError
from life.haima.x402.driving import CONTEXT
from life.haima.x402.networks import LOCAL
from tests.haima.payer_kit import paying, replayed, same_state


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand purchases with ids and URLs of their own, some of them refused, denied or cut: what is kept of the finished
    ones stays within its limits, and nothing else is kept."""
    monkeypatch.setattr(reservations, "KEPT_FINAL", 32)
    monkeypatch.setattr(payees, "KEPT_PRICES", 16)
    async with paying() as kit:

        async def buy(number: int) -> None:
            context = {"purchase_id": f"order-{number}", "max_amount_micro": 49 if number % 50 == 0 else 50}
            try:
                await kit.client.get(f"/paid/{number}", extensions={CONTEXT: context})
            except (OutcomeUnknownError, PolicyDeniedError):
                pass

        for first in range(0, 1_000, 50):
            kit.payee.faults = ["http_500"] if first % 200 == 0 else []
            await asyncio.gather(*(buy(first + number) for number in range(50)))
        await kit.payer.flush()
        purse = kit.payer.purse(LOCAL)
        state, log = purse.state, purse._log
        kept = len(state._payments)
        assert kept <= 2 * 32 + 5, "the newest finished ones, and five in doubt"
        assert len(state._by_purchase) == len(state._by_request) == kept and len(state._unfinished) == 5
        assert len(state.sellers._prices_micro) == 16 and len(state.sellers._destinations) == 1
        assert len(state._budgets._by_quarter) == 1
        assert not kit.payer._in_flight and len(kit.payer._terms._chosen) == 1 and not kit.payer._terms._of_url
        assert not log._held and not log._noted and not log._awaited and not log._never_signed and not purse._alarms
        assert same_state(state, await replayed(kit.journal))
