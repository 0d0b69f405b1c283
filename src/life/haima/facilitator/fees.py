"""What a facilitator asks for its work, and how that is owed.

An EIP-3009 authorization and an exact permit move the amount that the payer signed to the payee, whole: there is no part that a
facilitator could honestly keep. So the fee is a receivable: published in /supported and in every settlement's answer, recorded
as an event together with the settlement, and due from the payee by invoice. Rounded down, as published by the original
(haima.md §3.5); a fee below one atomic unit is none. Without a fee nothing is recorded.
"""

from __future__ import annotations

from typing import Final

from life.aios.errors import InvalidInputError
from life.aios.json import JsonObject
from life.aios.money import atomic_to_micro
from life.haima import events
from life.haima.x402.networks import NetworkRegistry

BPS: Final = 10_000
"""Basis points in the whole."""
FEE_BPS: Final = "facilitatorFeeBps"
FEE_COLLECTION: Final = "facilitatorFeeCollection"
FEE_ATOMIC: Final = "facilitatorFeeAtomic"
"""Keys of `extra` in /supported and in settlements."""


class FeeSchedule:
    """One rate for everybody."""

    def __init__(self, bps: int, registry: NetworkRegistry) -> None:
        """`bps` of 0 is no fee. InvalidInputError for a rate that can't be meant."""
        if not 0 <= bps <= BPS // 10:
            raise InvalidInputError("A facilitator's fee is between 0 and 1,000 basis points (10 %).")
        self.bps: Final = bps
        self._registry = registry

    def disclosure(self) -> JsonObject:
        """For `extra` of a kind in /supported; empty without a fee."""
        return {FEE_BPS: self.bps, FEE_COLLECTION: "invoice"} if self.bps else {}

    def of(self, amount_atomic: int) -> int:
        """The fee for an amount, in atomic units."""
        return amount_atomic * self.bps // BPS

    def accrued(self, intent: events.SettlementIntended, amount_atomic: int) -> events.FacilitatorFeeAccrued | None:
        """What is owed for a settlement of this amount; None when it is nothing."""
        fee = self.of(amount_atomic)
        if fee == 0:
            return None
        token = self._registry.token(intent.network, intent.asset)
        return events.FacilitatorFeeAccrued(
            claim_key=intent.claim_key,
            payment_id=intent.payment_id,
            payee=intent.payee,
            network=intent.network,
            asset=intent.asset,
            amount_atomic=str(amount_atomic),
            fee_bps=self.bps,
            fee_atomic=str(fee),
            fee_micro=None if token is None else _micro(fee, token.decimals),
        )


def _micro(fee_atomic: int, decimals: int) -> int | None:
    """In micro-dollars; None for an amount that is finer than one."""
    try:
        return atomic_to_micro(fee_atomic, decimals)
    except InvalidInputError:
        return None
