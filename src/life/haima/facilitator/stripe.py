"""Stripe machine payments behind the facilitator port: a PaymentIntent per payment says where the money goes, an inner
facilitator moves it there, Stripe captures it.

    intents = StripeIntents(StripeKey.from_environment(os.environ), clock)
    deposits = StripeDeposits(intents, journal, clock, entropy)
    facilitator = StripeFacilitator(CdpFacilitator(…), deposits, clock)
    await facilitator.open()
    routes = {"GET /report": deposits.priced("$0.01", network="eip155:8453")}

Stripe itself verifies and settles nothing over x402: that is the inner facilitator's part (Coinbase's, ours, any). What is
added here: the payee must be the deposit address of a PaymentIntent that is open and that no other payment owns, and what
becomes of the money at Stripe is followed until its PaymentIntent says `succeeded` (`check_captures`, `watch`). The buyer has
paid when the money is at the address; he is not kept waiting for Stripe's books.

In the sandbox (a test key) Stripe watches no test network; with `simulate_deposits` it is told of each payment.

Source: docs.stripe.com, "x402 payments" and "Deposit mode stablecoin payments".
"""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError, LifeError, PaymentError
from life.aios.ports.clock import Clock
from life.haima.errors import FacilitatorUnavailableError
from life.haima.facilitator.port import Facilitator
from life.haima.facilitator.stripe_deposits import Deposit, StripeDeposits
from life.haima.x402 import schemes
from life.haima.x402.authorization import EXACT
from life.haima.x402.networks import BUILT_IN, NetworkRegistry
from life.haima.x402.wire import (
    PaymentPayload,
    PaymentRequirements,
    SettlementResponse,
    SupportedResponse,
    VerifyResponse,
)

UNKNOWN_DEPOSIT: Final = "stripe_deposit_unknown"
USED_DEPOSIT: Final = "stripe_deposit_used"
CLOSED_DEPOSIT: Final = "stripe_deposit_closed"
"""Why a payment to a deposit address is refused: it is none of ours, another payment owns it, Stripe has closed it."""

LOOKED_US: Final = 60_000_000
"""How long a PaymentIntent that was found open counts as open."""
WATCH_US: Final = 30_000_000
_OPEN: Final = "requires_action"
_log: Final = logging.getLogger(__name__)


class Captures(NamedTuple):
    """What Stripe says of the money that arrived."""

    captured: int
    failed: int
    """Closed without it: somebody has to look."""
    waiting: int


class StripeFacilitator:
    """A Facilitator for payments to Stripe's deposit addresses. Call `open`, and `aclose` in the end."""

    def __init__(
        self,
        inner: Facilitator,
        deposits: StripeDeposits,
        clock: Clock,
        *,
        simulate_deposits: bool = False,
        registry: NetworkRegistry = BUILT_IN,
    ) -> None:
        """`inner` verifies and settles, and is closed with this one. `simulate_deposits` needs a test key."""
        if simulate_deposits and deposits.intents.is_live:
            raise InvalidInputError("Deposits are simulated with test keys only.")
        self._inner = inner
        self._deposits = deposits
        self._clock = clock
        self._simulate = simulate_deposits
        self._registry = registry
        self._looked_us: dict[str, int] = {}

    async def open(self) -> None:
        """Take up what earlier runs left."""
        await self._deposits.open()

    async def repeatable(self) -> bool:
        """As the inner one."""
        return await self._inner.repeatable()

    async def supported(self) -> SupportedResponse:
        """What the inner one settles, as far as Stripe has addresses for it."""
        answer = await self._inner.supported()
        kinds = tuple(kind for kind in answer.kinds if kind.scheme == EXACT and kind.network in self._deposits.networks)
        return msgspec.structs.replace(answer, kinds=kinds)

    async def verify(self, payload: PaymentPayload, requirements: PaymentRequirements) -> VerifyResponse:
        """Whether the address is open to this payment, and whether the inner one would settle it."""
        key = self._key(payload, requirements)
        deposit = await self._deposits.find(requirements.pay_to)
        refusal = UNKNOWN_DEPOSIT if deposit is None or key is None else await self._refusal(deposit, requirements, key)
        if refusal is not None:
            return VerifyResponse(is_valid=False, invalid_reason=refusal, invalid_message=_WORDS[refusal])
        return await self._inner.verify(payload, requirements)

    async def settle(self, payload: PaymentPayload, requirements: PaymentRequirements) -> SettlementResponse:
        """Let the payment own the address, on disk, then settle it there."""
        key = self._key(payload, requirements)
        deposit = await self._deposits.find(requirements.pay_to)
        if deposit is None or key is None:
            return _refused(requirements, UNKNOWN_DEPOSIT)
        refusal = await self._refusal(deposit, requirements, key)
        if refusal is not None:
            return _refused(requirements, refusal)
        if not await self._deposits.take(deposit, key):
            return _refused(requirements, USED_DEPOSIT)
        settled = await self._inner.settle(payload, requirements)
        if settled.success:
            await self._deposits.paid(deposit, settled.transaction)
            if self._simulate:
                await self._simulated(deposit, settled.payer or deposit.address)
        return settled

    async def check_captures(self) -> Captures:
        """Ask Stripe about all money that arrived and is not captured yet. What it does not answer keeps waiting."""
        captured = failed = 0
        for watched in self._deposits.waiting:
            try:
                intent = await self._deposits.look(watched)
            except FacilitatorUnavailableError as error:
                _log.warning("a capture was not looked up: %s", error)
                continue
            if intent.status == "succeeded":
                captured += 1
                if intent.amount_received != watched.deposit.amount_cents:
                    _log.warning("%s received another amount than was paid to it", intent.id)
            elif intent.status in ("canceled", "requires_payment_method"):
                failed += 1
                _log.error("%s was closed although %s paid it", intent.id, watched.transaction)
        return Captures(captured, failed, len(self._deposits.waiting))

    async def watch(self, *, every_us: int = WATCH_US) -> None:
        """Check captures for ever; run it as a task beside the shop."""
        while True:
            try:
                await self.check_captures()
            except LifeError:
                _log.exception("captures could not be followed")
            await self._clock.sleep_us(every_us)

    async def aclose(self) -> None:
        """Close the inner one and the connections to Stripe."""
        await self._inner.aclose()
        await self._deposits.intents.aclose()

    # ---- inside

    async def _refusal(self, deposit: Deposit, requirements: PaymentRequirements, key: str) -> str | None:
        """Why this payment may not go to this address."""
        if (requirements.scheme, requirements.network, requirements.amount) != (
            EXACT,
            deposit.network,
            str(deposit.amount_atomic),
        ) or requirements.asset.lower() != deposit.asset.lower():
            return UNKNOWN_DEPOSIT
        owner = await self._deposits.owner(deposit)
        if owner is not None:
            # Its own payment again: it may have been settled already, and then Stripe may have captured it.
            return None if owner == key else USED_DEPOSIT
        return None if await self._is_open(deposit) else CLOSED_DEPOSIT

    async def _is_open(self, deposit: Deposit) -> bool:
        """Whether Stripe still waits for the money. FacilitatorUnavailableError when it does not say."""
        now_us = self._clock.monotonic_us()
        looked_us = self._looked_us.get(deposit.address)
        if looked_us is not None and now_us - looked_us < LOOKED_US:
            return True
        intent = await self._deposits.intents.get(deposit.payment_intent)
        if intent.status != _OPEN:
            self._deposits.withdraw(deposit)
            return False
        if len(self._looked_us) >= 4096:
            self._looked_us.clear()
        self._looked_us[deposit.address] = now_us
        return True

    async def _simulated(self, deposit: Deposit, buyer_wallet: str) -> None:
        try:
            await self._deposits.intents.simulate_deposit(
                deposit.payment_intent, network=self._deposits.networks[deposit.network], buyer_wallet=buyer_wallet
            )
        except FacilitatorUnavailableError as error:
            _log.warning("the sandbox was not told of a deposit: %s", error)

    def _key(self, payload: PaymentPayload, requirements: PaymentRequirements) -> str | None:
        """What identifies the payment; None for one that can't be read against these terms."""
        try:
            return schemes.parse(payload, requirements, registry=self._registry).key
        except PaymentError:
            return None


_WORDS: Final = {
    UNKNOWN_DEPOSIT: "The payment does not go to a deposit address of this shop for this amount.",
    USED_DEPOSIT: "Another payment was made to this deposit address; take the new one.",
    CLOSED_DEPOSIT: "This deposit address is closed; take the new one.",
}


def _refused(requirements: PaymentRequirements, reason: str) -> SettlementResponse:
    return SettlementResponse(
        success=False, network=requirements.network, error_reason=reason, error_message=_WORDS[reason]
    )


__all__ = ["Captures", "StripeFacilitator"]
