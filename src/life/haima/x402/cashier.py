"""Selling one answer for one payment, whatever crashes, repeats or arrives at once.

    read → match the offer → check offline → (facilitator's check) → claim on disk → handler → answer on disk → settle
         → outcome on disk → the answer leaves

Of several arrivals of one payment the first goes this way; the others wait for it and get the same answer. Later ones get
the answer that was kept. Whoever finds a claim without an end goes on from where it stands (`life.haima.x402.claims` has
the rule for every case). An outcome that is not known is a 503 to be repeated with the same payment, never a 402 that makes
a client pay again.

A repetition gets the kept answer only for the request that was paid for, and only with the payment identifier of the first,
if that had one: after the settlement the signed payment is public on the chain, the identifier is not.

Source: x402.md §1, §2, §12, §16.4 to §16.6; ARCHITECTURE.md decision 7.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Coroutine
from typing import Final

from life.aios.errors import InvalidInputError, LifeError
from life.aios.ports.chain import Refusal
from life.aios.ports.clock import Clock
from life.haima.errors import FacilitatorUnavailableError, OutcomeUnknownError
from life.haima.facilitator.port import Facilitator
from life.haima.x402 import answers, codes, upto
from life.haima.x402.answers import Answer, Headers
from life.haima.x402.claims import Charge, Claim, Claims, ClaimState, Request
from life.haima.x402.closing import Charged, Closer
from life.haima.x402.networks import BUILT_IN, NetworkRegistry
from life.haima.x402.sale import Bought, Payment, Sale, StreamEnd, Streamer, read_sale
from life.haima.x402.settlement_overrides import charge_of

MAX_KEPT_BODY_BYTES: Final = 256 * 1024
MAX_ATTEMPTS: Final = 64
"""How often one payment may be presented to a handler that fails."""
_REMEMBERED: Final = 4096
_log: Final = logging.getLogger(__name__)


class _HandlerError(Exception):
    """What a handler raised, told from what our own parts raise."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class _TakenOverError(Exception):
    """Another process closed the claim before the first byte of a stream left."""


class _Flight:
    """The arrival that is being served, and those that wait for it."""

    __slots__ = ("identifier", "request", "signature", "streaming", "waiters")

    def __init__(self, bought: Bought) -> None:
        self.request = bought.sale.request
        self.identifier = bought.identifier
        self.signature = bought.signed.signature
        self.waiters: list[asyncio.Future[Answer | None]] | None = None
        self.streaming: Answer | None = None
        """What other arrivals get while its answer is being streamed."""

    async def wait(self) -> Answer | None:
        """The first arrival's answer; None when it ended without one."""
        waiter: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        if self.waiters is None:
            self.waiters = []
        self.waiters.append(waiter)
        return await waiter

    def land(self, answer: Answer | None) -> None:
        """Wake everybody who waits."""
        for waiter in self.waiters or ():
            if not waiter.done():
                waiter.set_result(answer)


class Cashier:
    """Serves paid requests. One per process and stream of claims."""

    def __init__(
        self,
        facilitator: Facilitator,
        claims: Claims,
        closer: Closer,
        clock: Clock,
        *,
        verify_with_facilitator: bool = True,
        max_kept_body_bytes: int = MAX_KEPT_BODY_BYTES,
        registry: NetworkRegistry = BUILT_IN,
    ) -> None:
        self._facilitator = facilitator
        self._claims = claims
        self._closer = closer
        self._clock = clock
        self._verify_with_facilitator = verify_with_facilitator
        self._max_kept_body_bytes = max_kept_body_bytes
        self._registry = registry
        self._flights: dict[str, _Flight] = {}
        self._next_attempt: OrderedDict[str, int] = OrderedDict()
        self._handled: OrderedDict[str, int] = OrderedDict()
        self._charging: dict[str, asyncio.Task[Charged | Answer]] = {}
        self._background: set[asyncio.Task[None]] = set()

    async def sell(self, sale: Sale) -> Answer | None:
        """The answer to a request that carries a payment; None when it was streamed and has left. Raises what the handler
        raised.

        The first arrival of a payment is served; others that come meanwhile wait for it. When a part of ours fails (the
        journal, say), nobody can tell what became of the payment: 503, to be repeated."""
        bought = read_sale(sale, now_s=self._clock.now_us() // 1_000_000, registry=self._registry)
        if isinstance(bought, Answer):
            return bought
        key = bought.signed.key
        is_verified = False
        if bought.by_contract and bought.late is None:
            # Anybody can write down the payer and the nonce of a payment. Before the chain has judged the signature, such
            # an arrival must neither share an answer nor stand in the way of the real one.
            refused = await self._verify(bought)
            if refused is not None and await self._is_unknown(key):
                return refused
            is_verified = refused is None
        while (flight := self._flights.get(key)) is not None or key in self._charging:
            if flight is None:
                await asyncio.wait([self._charging[key]])
                continue
            if bought.by_contract and flight.signature != bought.signed.signature:
                await flight.wait()
                continue
            if flight.request != sale.request or flight.identifier != bought.identifier:
                return _spent(bought)
            answer = flight.streaming or await flight.wait()
            if answer is not None:
                return answer
        flight = self._flights[key] = _Flight(bought)
        answer = None
        try:
            if bought.late is None:
                answer = await self._serve(bought, is_verified=is_verified)
            else:
                answer = await self._serve_late(bought, bought.late)
            return answer
        except asyncio.CancelledError:
            self._spawn(self._tidy(key))
            raise
        except _HandlerError as raised:
            answer = answers.handler_failed()
            raise raised.error from None
        except LifeError as error:
            _log.exception("a sale could not be finished")
            answer = answers.outcome_unknown(error.message)
            if flight.streaming is not None:
                raise  # its answer has begun to leave
            return answer
        finally:
            del self._flights[key]
            if flight.waiters is not None:
                flight.land(answer)

    async def aclose(self) -> None:
        """Wait for requests that were cut off and are being tidied up."""
        await asyncio.gather(*self._background, *self._charging.values(), return_exceptions=True)

    # ---- arrivals

    async def _is_unknown(self, key: str) -> bool:
        """Whether nobody has a claim on this payment."""
        state = await self._claims.find(key)
        return state is None or state.is_reusable

    async def _serve_late(self, bought: Bought, late: Refusal) -> Answer | None:
        """Too late for a new sale; but was it sold before?"""
        state = await self._claims.find(bought.signed.key)
        if state is None or state.is_reusable:
            return answers.refused(bought.sale.terms, late.code, late.message)
        return await self._repeat(bought, await self._take_over(bought, state))

    async def _serve(self, bought: Bought, *, is_verified: bool) -> Answer | None:
        key, sale = bought.signed.key, bought.sale
        if not is_verified and (self._verify_with_facilitator or bought.by_contract):
            refused = await self._verify(bought)
            if refused is not None:
                # A payment that was sold before is no good to the chain, but it is to us.
                state = await self._claims.find(key)
                if state is None or state.is_reusable:
                    return refused
                return await self._repeat(bought, await self._take_over(bought, state))
        request = self._request(bought)
        attempt = self._next_attempt.get(key, 0) if self._next_attempt else 0
        while attempt < MAX_ATTEMPTS:
            claim = await self._claims.claim(
                bought.signed, bought.offer, request, attempt=attempt, payload=bought.payload
            )
            if isinstance(claim, Claim):
                return await (self._settle_then_run if sale.settle_first else self._run_then_settle)(bought, claim)
            if claim.identifier:
                return answers.identifier_conflict()
            state = await self._claims.find(key)
            if state is None:
                break
            state = await self._take_over(bought, state)
            if not (state.is_reusable or (state.is_void and sale.rerun_interrupted)):
                return await self._repeat(bought, state)
            attempt = state.claim.attempt + 1
        return _spent(bought)

    def _request(self, bought: Bought) -> Request:
        sale = bought.sale
        url, identifier = sale.terms.resource.url, bought.identifier
        if sale.access_s is None:
            return Request(sale.request, url, identifier, sale.settle_first)
        until_s = self._clock.now_us() // 1_000_000 + sale.access_s
        return Request(sale.request, url, identifier, sale.settle_first, until_s, sale.resource)

    async def _verify(self, bought: Bought) -> Answer | None:
        """The facilitator's word before anything is done; None is a yes."""
        try:
            verified = await self._facilitator.verify(bought.payload, bought.offer.requirements)
        except (FacilitatorUnavailableError, OutcomeUnknownError) as error:
            return answers.facilitator_unavailable(error.message)
        if verified.is_valid:
            return None
        reason = verified.invalid_reason or codes.UNEXPECTED_VERIFY_ERROR
        return answers.refused(bought.sale.terms, reason, verified.invalid_message or "The payment was refused.")

    # ---- the first arrival

    async def _run_then_settle(self, bought: Bought, claim: Claim) -> Answer | None:
        """The usual order: the payer pays for an answer that exists."""
        try:
            answer = await bought.sale.handler(_payment(claim, bought))
        except Exception as error:
            await self._release(claim, f"the handler raised {type(error).__name__}")
            raise _HandlerError(error) from error
        if answer.status >= 400:
            await self._release(claim, f"the handler answered {answer.status}")
            return answers.uncharged(answer, claim.network)
        charge: Charge | None = None
        if bought.offer.requirements.scheme == upto.SCHEME:
            try:
                charge = _charge(bought, answer)
            except InvalidInputError as error:
                await self._release(claim, "what the handler charges can't be")
                raise _HandlerError(error) from error
        _keep(self._handled, claim.key, claim.attempt)
        if not await self._claims.serve(
            claim,
            answer,
            max_body_bytes=self._max_kept_body_bytes,
            charge_atomic=None if charge is None else charge.amount_atomic,
        ):
            return await self._after(bought, claim)
        charged = await self._charge(bought, claim, charge=charge)
        return charged if isinstance(charged, Answer) else answers.paid(answer, charged.settlement)

    async def _settle_then_run(self, bought: Bought, claim: Claim, *, repeated: bool = False) -> Answer | None:
        """For work that can't be undone. Of several that settle the same claim only the one that booked it runs."""
        charged = await self._charge(bought, claim, repeated=repeated)
        if isinstance(charged, Answer):
            return charged
        if not charged.is_ours:
            return await self._after(bought, claim)
        if bought.sale.stream is not None:
            return await self._stream(bought, claim, charged, bought.sale.stream)
        try:
            answer = await bought.sale.handler(_payment(claim, bought))
        except Exception as error:
            await self._claims.interrupt(claim, f"the handler raised {type(error).__name__}")
            raise _HandlerError(error) from error
        if await self._claims.serve(claim, answer, max_body_bytes=self._max_kept_body_bytes):
            return answers.paid(answer, charged.settlement)
        return await self._after(bought, claim)

    async def _stream(self, bought: Bought, claim: Claim, charged: Charged, stream: Streamer) -> Answer | None:
        """Send an answer as it is made: that it begins is on disk before its first byte leaves, and how it ended after."""
        flight = self._flights[claim.key]

        async def begin(status: int, headers: Headers) -> Headers:
            if not await self._claims.begin_stream(claim, status, headers):
                raise _TakenOverError
            flight.streaming = answers.being_streamed(charged.settlement)
            flight.land(flight.streaming)
            return answers.paid_headers(headers, charged.settlement)

        has_ended = False

        async def end(how: StreamEnd) -> None:
            nonlocal has_ended
            has_ended = True
            await self._claims.end_stream(claim, how, by_owner=True)

        try:
            ended = await stream(_payment(claim, bought), begin, end)
        except _TakenOverError:
            return await self._after(bought, claim)
        except Exception as error:
            reason = f"the handler raised {type(error).__name__}"
            if flight.streaming is None:
                await self._claims.interrupt(claim, reason)
            elif not has_ended:
                await end(StreamEnd(False, 0, reason=reason))
            raise _HandlerError(error) from error
        if flight.streaming is None:
            await self._claims.interrupt(claim, ended.reason or "there was no answer")
            raise _HandlerError(RuntimeError("the application ended without an answer"))
        if not has_ended:
            await end(ended)
        return None

    def _charge(
        self, bought: Bought, claim: Claim, *, repeated: bool = False, charge: Charge | None = None
    ) -> Awaitable[Charged | Answer]:
        """Settle and book; await it at once. With a facilitator that does not remember, a request that is cut off must not cut this off:
        asked a second time, it might refuse what it did the first time."""
        charging = self._closer.charge(
            claim,
            bought.payload,
            bought.offer.requirements,
            terms=bought.sale.terms,
            repeated=repeated,
            charge=charge,
        )
        if self._closer.remembers:
            return charging
        task = self._charging[claim.key] = asyncio.ensure_future(charging)
        task.add_done_callback(lambda _: self._charging.pop(claim.key, None))
        return asyncio.shield(task)

    async def _release(self, claim: Claim, reason: str) -> None:
        if await self._claims.release(claim, reason):
            _keep(self._next_attempt, claim.key, claim.attempt + 1)

    # ---- later arrivals

    async def _take_over(self, bought: Bought, state: ClaimState) -> ClaimState:
        """A claim that can't be somebody's work any more: its owner is done, or is gone and has lost it."""
        if bought.sale.request != state.claim.event.request:
            return state
        state = await self._closer.owner_is_done(state)
        claim = state.claim
        is_decided = state.decision is not None or state.outcome is not None
        if is_decided or claim.event.settle_first or self._closer.may_be_alive(state):
            return state
        if self._was_cut_off(claim):
            await self._release(claim, "the request was cut off")
        else:
            await self._claims.interrupt(claim, "its owner is gone")
        return await self._claims.find(claim.key) or state

    async def _after(self, bought: Bought, claim: Claim) -> Answer | None:
        """The answer to a claim that another process took from us."""
        state = await self._claims.find(claim.key)
        return await self._repeat(bought, None if state is None else await self._take_over(bought, state))

    async def _repeat(self, bought: Bought, state: ClaimState | None) -> Answer | None:
        """The answer to a payment that was claimed before."""
        if state is None:
            return _spent(bought)
        claimed = state.claim.event
        # Nobody here can tell a contract's signature from any other bytes: only the very same ones count.
        if bought.by_contract and claimed.signature != bought.signed.signature.hex():
            return _spent(bought)
        if claimed.request != bought.sale.request or claimed.identifier != bought.identifier:
            return _spent(bought)
        if self._closer.may_be_alive(state):
            return answers.outcome_unknown("Another process serves this payment; repeat it.")
        if claimed.settle_first and state.decision is None and state.outcome is None:
            # Its handler runs only after the settlement was booked, so it has not run.
            return await self._settle_then_run(bought, state.claim, repeated=True)
        return await self._closer.answer_of(state, terms=bought.sale.terms)

    # ---- requests that were cut off

    async def _tidy(self, key: str) -> None:
        """Give the payment back, or finish the settlement that had begun."""
        if key in self._charging:
            await asyncio.wait([self._charging[key]])
        state = await self._claims.find(key)
        if state is None or state.claim.event.owner != self._claims.owner or key in self._flights:
            return
        try:
            is_undecided = state.decision is None and state.outcome is None
            if is_undecided and not state.claim.event.settle_first and self._was_cut_off(state.claim):
                await self._release(state.claim, "the request was cut off")
            elif state.is_unfinished:
                await self._closer.conclude(state)
        except Exception:
            _log.exception("a claim that was cut off stays open")

    def _was_cut_off(self, claim: Claim) -> bool:
        """Whether a claim of this process, which nobody works on, never saw its handler finish."""
        return claim.event.owner == self._claims.owner and self._handled.get(claim.key) != claim.attempt

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _payment(claim: Claim, bought: Bought) -> Payment:
    signed = bought.signed
    sent = signed.authorization
    return Payment(
        claim.payment_id,
        claim.attempt,
        signed.payer,
        sent.network,
        sent.asset,
        sent.value_atomic,
        bought.identifier,
        bought.offer.requirements.scheme,
    )


def _charge(bought: Bought, answer: Answer) -> Charge:
    offer = bought.offer
    return charge_of(answer, amount_atomic=int(offer.requirements.amount), amount_micro=offer.amount_micro)


def _spent(bought: Bought) -> Answer:
    """402 to a payment that was used for something else."""
    return answers.refused(bought.sale.terms, codes.NONCE_ALREADY_USED, "This payment was used before.")


def _keep(kept: OrderedDict[str, int], key: str, value: int) -> None:
    kept[key] = value
    while len(kept) > _REMEMBERED:
        kept.popitem(last=False)


__all__ = ["MAX_ATTEMPTS", "MAX_KEPT_BODY_BYTES", "Cashier", "Payment", "Sale"]
