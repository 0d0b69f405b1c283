"""The end of a sale: settling it, booking it, and going on from whatever an earlier run left on disk.

`life.haima.x402.claims` says what each state of a claim means; here is what is done about it.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Final, Protocol

import msgspec

from life.aios.errors import LifeError, NotFoundError
from life.aios.ports.clock import Clock
from life.haima import events
from life.haima.errors import FacilitatorUnavailableError, OutcomeUnknownError
from life.haima.facilitator.port import Facilitator
from life.haima.x402 import answers, codes
from life.haima.x402.answers import Answer, Terms
from life.haima.x402.claims import Charge, Claim, Claims, ClaimState
from life.haima.x402.networks import BUILT_IN, NetworkRegistry
from life.haima.x402.offer_receipt import OFFER_RECEIPT, OfferReceipts
from life.haima.x402.sale import StreamEnd
from life.haima.x402.settlement_overrides import charge as charge_of_claim
from life.haima.x402.wire import (
    PaymentPayload,
    PaymentRequirements,
    ResourceInfo,
    SettlementResponse,
)

INTERRUPTED: Final = "payment_interrupted"
"""Our own code for a payment that is void: its server stopped before there was an answer."""

PATIENCE_US: Final = 10_000_000
"""How long a repeated request waits for another process that has its payment, before it is told to come again."""
_POLL_US: Final = 50_000
_NOBODY_ASKS: Final = Terms((), ResourceInfo(url=""), None)
_GONE: Final = "its owner is gone"
_log: Final = logging.getLogger(__name__)


class Grants(Protocol):
    """Notes what a payment opens (life.haima.x402.sign_in)."""

    async def grant(self, resource: str, address: str, *, payment_id: str, until_s: int) -> None:
        """Once is enough; the same payment again changes nothing."""
        ...


class Charged(msgspec.Struct, frozen=True, gc=False):
    """The money moved. `is_ours`: it was this call that booked it."""

    settlement: SettlementResponse
    is_ours: bool


class Closer:
    """Settles claims and answers for those that were settled, refused or interrupted before."""

    def __init__(
        self,
        facilitator: Facilitator,
        claims: Claims,
        clock: Clock,
        *,
        lease_s: int,
        sole_server: bool,
        answer_kept_s: int,
        registry: NetworkRegistry = BUILT_IN,
        grants: Grants | None = None,
        receipts: OfferReceipts | None = None,
    ) -> None:
        self._facilitator = facilitator
        self._claims = claims
        self._clock = clock
        self._lease_us = lease_s * 1_000_000
        self._sole_server = sole_server
        self._answer_kept_us = answer_kept_s * 1_000_000
        self._registry = registry
        self._grants = grants
        self._receipts = receipts
        self.remembers: bool | None = None
        """Whether the facilitator, asked again, gives the first result; None until it was asked."""

    # ---- settling

    async def charge(
        self,
        claim: Claim,
        payload: PaymentPayload,
        requirements: PaymentRequirements,
        *,
        terms: Terms,
        repeated: bool = False,
        charge: Charge | None = None,
    ) -> Charged | Answer:
        """The settlement, booked; or the answer that goes out instead. `repeated`: it may have been asked for before.
        `charge`: what is charged of a maximum; nothing is asked of anybody when that is nothing."""
        try:
            if charge is not None and charge.amount_atomic == 0:
                return await self._book(claim, _nothing(claim), charge)
            if self.remembers is None:
                await self._learn()
            if charge is not None:
                requirements = msgspec.structs.replace(requirements, amount=str(charge.amount_atomic))
            settled = await self._facilitator.settle(payload, requirements)
            if settled.success:
                return await self._book(claim, settled, charge)
            is_pending = settled.error_reason == codes.SETTLEMENT_PENDING
            # A facilitator that does not remember may refuse what it settled itself (x402.md §12 row 4).
            if is_pending or (repeated and not self.remembers):
                await self._claims.pending(claim, settled.error_reason or "", settled.transaction)
                return answers.outcome_unknown(_detail(is_pending), _pending(claim, settled.transaction))
        except (FacilitatorUnavailableError, OutcomeUnknownError) as error:
            await self._claims.pending(claim, error.code, "")
            return answers.outcome_unknown(error.message, _pending(claim, ""))
        reason = settled.error_reason or codes.UNEXPECTED_SETTLE_ERROR
        if not await self._claims.refuse(claim, reason, settled.transaction):
            state = await self._claims.find(claim.key)
            if state is not None and isinstance(state.outcome, events.RevenueReceived):
                return Charged(await self._success(state, state.outcome), is_ours=False)
        detail = settled.error_message or "The payment could not be settled."
        return answers.refused(terms, reason, detail, settlement=settled)

    async def _book(self, claim: Claim, settled: SettlementResponse, charge: Charge | None) -> Charged:
        """The money moved: what it opens comes first, so that whoever is booked is let in."""
        event = claim.event
        if self._grants is not None and event.access_until_s is not None and event.resource is not None:
            await self._grants.grant(
                event.resource, event.payer, payment_id=claim.payment_id, until_s=event.access_until_s
            )
        is_ours = await self._claims.settled(claim, settled.transaction, charge=charge)
        if charge is not None and settled.amount is None:
            settled = msgspec.structs.replace(settled, amount=str(charge.amount_atomic))
        return Charged(await self._with_receipt(claim, settled, self._clock.now_us()), is_ours)

    async def _with_receipt(self, claim: Claim, settled: SettlementResponse, issued_us: int) -> SettlementResponse:
        """The settlement with its receipt, where receipts are given. One that can't be signed is left out: it is worth less
        than the answer that was paid for."""
        if self._receipts is None:
            return settled
        try:
            receipt = await self._receipts.receipt(
                resource_url=claim.event.resource_url,
                payer=claim.event.payer,
                network=claim.network,
                transaction=settled.transaction,
                issued_at_s=issued_us // 1_000_000,
            )
        except LifeError:
            _log.exception("a receipt could not be signed")
            return settled
        return msgspec.structs.replace(settled, extensions={**(settled.extensions or {}), OFFER_RECEIPT: receipt})

    async def _success(self, state: ClaimState, outcome: events.RevenueReceived) -> SettlementResponse:
        """The settlement of a claim that was booked before."""
        claim = state.claim
        settled = SettlementResponse(
            success=True,
            transaction=outcome.tx_hash,
            network=claim.network,
            payer=claim.event.payer,
            amount=outcome.amount_atomic if claim.event.scheme is not None else None,
        )
        return await self._with_receipt(claim, settled, state.closed_us)

    async def _learn(self) -> None:
        """Ask the facilitator whether it remembers. Until it answers, it counts as one that does not."""
        with contextlib.suppress(FacilitatorUnavailableError):
            self.remembers = await self._facilitator.repeatable()

    # ---- going on

    async def owner_is_done(self, state: ClaimState) -> ClaimState:
        """Give a claim's owner the rest of its lease to finish it, but not longer than a client waits; the state as it is
        then."""
        ends_us = self._clock.monotonic_us() + PATIENCE_US
        while self.may_be_alive(state) and self._clock.monotonic_us() < ends_us:
            await self._clock.sleep_us(_POLL_US)
            state = await self._claims.find(state.claim.key) or state
        return state

    async def answer_of(self, state: ClaimState, *, terms: Terms) -> Answer:
        """The answer that a claim stands for whose owner is done or gone. Settles it when that may have been begun."""
        claim, decision, outcome = state.claim, state.decision, state.outcome
        if isinstance(outcome, events.ChargeRefused):
            if outcome.reason == INTERRUPTED:
                return _interrupted(terms)
            settlement = _failure(claim, outcome)
            return answers.refused(terms, outcome.reason, "The payment could not be settled.", settlement=settlement)
        if outcome is not None:
            return await self._answer_of_charged(state, await self._success(state, outcome))
        if isinstance(decision, events.ChargeServed):
            if decision.body is None:
                return await self._void_or_book(claim, terms=terms, charge=_charge(claim, decision))
            payload, requirements = claim.payment(self._registry)
            charged = await self.charge(
                claim, payload, requirements, terms=terms, repeated=True, charge=_charge(claim, decision)
            )
            return charged if isinstance(charged, Answer) else answers.paid(_kept(decision), charged.settlement)
        if isinstance(decision, events.ChargeInterrupted):
            return _interrupted(terms)
        return answers.outcome_unknown("The payment is being served; repeat it.", _pending(claim, ""))

    async def _answer_of_charged(self, state: ClaimState, settlement: SettlementResponse) -> Answer:
        decision = state.decision
        if decision is None:
            # Its handler may have run, and does not run again; unless its owner answers this very moment.
            await self._claims.interrupt(state.claim, _GONE)
            state = await self._claims.find(state.claim.key) or state
            decision = state.decision
        if not isinstance(decision, events.ChargeServed):
            return answers.interrupted_after_charge(settlement)
        if decision.streamed:
            return await self._answer_of_streamed(state, decision, settlement)
        if decision.body is None or self._clock.now_us() - state.decided_us > self._answer_kept_us:
            return answers.answer_not_kept(settlement)
        return answers.paid(_kept(decision), settlement)

    async def _answer_of_streamed(
        self, state: ClaimState, decision: events.ChargeServed, settlement: SettlementResponse
    ) -> Answer:
        """A stream leaves once. Afterwards there is its kept body, or word that it was given, or that a refund is due."""
        end = state.stream
        if end is None:
            if self.may_be_alive(state):
                return answers.being_streamed(settlement)
            await self._claims.end_stream(state.claim, StreamEnd(False, 0, reason=_GONE), by_owner=False)
            state = await self._claims.find(state.claim.key) or state
            end = state.stream
        if end is None or not (end.complete or end.by_client):
            return answers.interrupted_after_charge(settlement)
        if end.body is None or self._clock.now_us() - state.decided_us > self._answer_kept_us:
            return answers.answer_not_kept(settlement)
        kept = _kept(msgspec.structs.replace(decision, body=end.body))
        return answers.paid(kept, settlement)

    async def _void_or_book(self, claim: Claim, *, terms: Terms, charge: Charge | None = None) -> Answer:
        """There is no answer to deliver any more, and a settlement may have been asked for. If the money has not moved it
        will not: the claim is closed without a charge. If it has, it is booked, and the payer learns that he paid."""
        payload, requirements = claim.payment(self._registry)
        try:
            verified = await self._facilitator.verify(payload, requirements)
        except (FacilitatorUnavailableError, OutcomeUnknownError) as error:
            return answers.outcome_unknown(error.message, _pending(claim, ""))
        if verified.is_valid:
            await self._claims.refuse(claim, INTERRUPTED, "")
            return _interrupted(terms)
        charged = await self.charge(claim, payload, requirements, terms=terms, repeated=True, charge=charge)
        if isinstance(charged, Answer):
            return charged
        if claim.event.settle_first:
            return answers.interrupted_after_charge(charged.settlement)
        return answers.answer_not_kept(charged.settlement)

    # ---- without a request

    async def reconcile(self, *, since_us: int) -> int:
        """Bring the claims of earlier runs to their end. How many stay open, because a facilitator does not say or
        because their owner may be alive."""
        left_open = 0
        for state in await self._claims.open_claims(since_us=since_us):
            if self.may_be_alive(state) or not await self.conclude(state):
                left_open += 1
        return left_open

    async def conclude(self, state: ClaimState) -> bool:
        """End a claim that nobody waits for: void what was not answered, settle what was. False: it stays open."""
        claim = state.claim
        if state.decision is None and state.outcome is None and claim.event.settle_first:
            answer = await self._void_or_book(claim, terms=_NOBODY_ASKS)
            if answer.status != 503:
                await self._claims.interrupt(claim, _GONE)
            return answer.status != 503
        if state.decision is None:
            await self._claims.interrupt(claim, _GONE)
            return True
        if state.is_streaming and state.outcome is not None:
            await self._claims.end_stream(claim, StreamEnd(False, 0, reason=_GONE), by_owner=False)
            return True
        if state.outcome is None and isinstance(state.decision, events.ChargeServed):
            return (await self.answer_of(state, terms=_NOBODY_ASKS)).status != 503
        return True

    async def resolve(self, key: str, *, transaction: str | None) -> bool:
        """An operator's word on a claim whose outcome stays unknown: the transaction that paid it, or None for not paid.
        False when it was closed before. NotFoundError when there is no such claim."""
        state = await self._claims.find(key)
        if state is None:
            raise NotFoundError("There is no claim on this payment.", details={"claim_key": key})
        if transaction is None:
            return await self._claims.refuse(state.claim, "resolved_by_operator", "")
        return await self._claims.settled(state.claim, transaction)

    def may_be_alive(self, state: ClaimState) -> bool:
        """Whether a claim is unfinished and another process's, whose lease has not ended."""
        if not state.is_unfinished or self._sole_server or state.claim.event.owner == self._claims.owner:
            return False
        return self._clock.now_us() < state.claimed_us + self._lease_us


def _kept(served: events.ChargeServed) -> Answer:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in served.headers]
    return Answer(served.status, headers, served.body or b"")


def _interrupted(terms: Terms) -> Answer:
    detail = "The server stopped before there was an answer. The payment was not charged and will not be."
    return answers.refused(terms, INTERRUPTED, detail)


def _detail(is_pending: bool) -> str:
    if is_pending:
        return "The settlement is not confirmed yet."
    return "The settlement is in doubt: the facilitator does not remember it. The seller has to look it up."


def _nothing(claim: Claim) -> SettlementResponse:
    """The settlement of a charge of nothing (x402.md §3.3)."""
    return SettlementResponse(success=True, transaction="", network=claim.network, payer=claim.event.payer, amount="0")


def _charge(claim: Claim, decision: events.ChargeServed) -> Charge | None:
    """What the kept answer charges of a maximum."""
    if decision.charge_atomic is None:
        return None
    event = claim.event
    return charge_of_claim(
        int(decision.charge_atomic), amount_atomic=int(event.amount_atomic), amount_micro=event.amount_micro
    )


def _failure(claim: Claim, outcome: events.ChargeRefused) -> SettlementResponse:
    return SettlementResponse(
        success=False,
        transaction=outcome.transaction,
        network=claim.network,
        payer=claim.event.payer,
        error_reason=outcome.reason,
    )


def _pending(claim: Claim, transaction: str) -> SettlementResponse:
    return SettlementResponse(
        success=False,
        transaction=transaction,
        network=claim.network,
        payer=claim.event.payer,
        error_reason=codes.SETTLEMENT_PENDING,
    )
