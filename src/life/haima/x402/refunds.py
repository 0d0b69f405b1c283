"""Giving money back for a settled charge: whole or in part, never more in sum than came in, and each refund once.

    refunds = Refunds(journal, clock, entropy, claims=till.claims, custody=custody, facilitator=facilitator, agent_id="seller")
    await refunds.open()
    refund = await refunds.refund(payment_id, key="order-17", amount_atomic=5_000, reason="not delivered")

A refund is an EIP-3009 authorization from the seller's own wallet to the payer of the charge, settled like any payment:

    intent on disk (amount, payer, the whole authorization) → signed, and the signature on disk → settled → outcome on disk

The intent is written against the head of the refunds' stream, so that the sum of all refunds of a charge holds for any number
of processes; its event id is derived from charge and key, so a repeated call is the same refund. Whatever crashes, `open` and
a repeated `refund` go on with the very same authorization, whose nonce the token burns once. A refund whose outcome nobody
knows stays `pending`: it counts against what is left until the facilitator, or the chain when there is one to ask, says more.

Source: haima.md W35, §8.7.6; x402.md §11.10, §16.5.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final, Literal, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError, NotFoundError, SequenceConflictError, UnavailableError
from life.aios.ids import derived_event_id
from life.aios.money import MAX_ATOMIC
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody, TransferAuthorization
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, Stream
from life.haima import events
from life.haima.errors import (
    FacilitatorUnavailableError,
    IdempotencyConflictError,
    OutcomeUnknownError,
    PaymentRefusedError,
    RefundRefusedError,
    WalletMismatchError,
)
from life.haima.events import FinanceEvent, finance_event, read_finance
from life.haima.facilitator.port import Facilitator
from life.haima.payer import AuthorizationReader
from life.haima.x402 import codes, exact
from life.haima.x402.authorization import SETTLING_MARGIN_S, build_payload
from life.haima.x402.claims import Claim, Claims
from life.haima.x402.networks import BUILT_IN, NetworkRegistry
from life.haima.x402.wire import PaymentPayload, PaymentRequirements, to_raw

STREAM: Final = Stream("refunds")
VALID_S: Final = 3600
"""How long a refund's authorization can land; custody allows no longer one by default."""
_PAGE: Final = 1_000
_ATTEMPTS: Final = 64

State = Literal["intended", "signed", "pending", "settled", "failed"]


class Refund(msgspec.Struct, kw_only=True):
    """One refund as the journal has it."""

    intent: events.RefundIntended
    intended_us: int
    state: State = "intended"
    signature: str | None = None
    transaction: str = ""
    reason: str = ""
    """Why it is pending or failed."""

    @property
    def is_open(self) -> bool:
        """Whether it may still move money."""
        return self.state not in ("settled", "failed")

    @property
    def refund_id(self) -> str:
        """Its id."""
        return self.intent.refund_id

    @property
    def amount_atomic(self) -> int:
        """What goes back."""
        return int(self.intent.amount_atomic)


class RefundBook(msgspec.Struct):
    """All refunds: a pure fold over their stream."""

    refunds: dict[str, Refund] = {}
    by_payment: dict[str, list[str]] = {}

    def apply(self, event: FinanceEvent | None, timestamp_us: int) -> None:
        """Fold one event in; others change nothing."""
        if isinstance(event, events.RefundIntended):
            if event.refund_id not in self.refunds:
                self.refunds[event.refund_id] = Refund(intent=event, intended_us=timestamp_us)
                self.by_payment.setdefault(event.payment_id, []).append(event.refund_id)
            return
        if not isinstance(
            event, events.RefundSigned | events.RefundPending | events.RefundSettled | events.RefundFailed
        ):
            return
        refund = self.refunds.get(event.refund_id)
        if refund is None or not refund.is_open:
            return
        if isinstance(event, events.RefundSigned):
            refund.state, refund.signature = "signed", event.signature
        elif isinstance(event, events.RefundPending):
            refund.state, refund.reason, refund.transaction = "pending", event.reason, event.transaction
        elif isinstance(event, events.RefundSettled):
            refund.state, refund.reason, refund.transaction = "settled", "", event.tx_hash
        else:
            refund.state, refund.reason, refund.transaction = "failed", event.reason, event.transaction

    def of(self, payment_id: str) -> list[Refund]:
        """The refunds of a charge, oldest first."""
        return [self.refunds[refund_id] for refund_id in self.by_payment.get(payment_id, ())]

    def given_back(self, payment_id: str) -> int:
        """Atomic units of a charge that went back, or may yet."""
        return sum(refund.amount_atomic for refund in self.of(payment_id) if refund.state != "failed")

    def open_refunds(self) -> list[Refund]:
        """Those that may still move money."""
        return [refund for refund in self.refunds.values() if refund.is_open]


class Charged(NamedTuple):
    """A settled charge, and what is left of it."""

    claim: Claim
    received_atomic: int
    received_micro: int
    left_atomic: int


class Refunds:
    """Makes refunds. Open it before use; several processes may share the journal."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        entropy: Entropy,
        *,
        claims: Claims,
        custody: Custody,
        facilitator: Facilitator,
        agent_id: str,
        stream: Stream = STREAM,
        registry: NetworkRegistry = BUILT_IN,
        authorization_state: AuthorizationReader | None = None,
    ) -> None:
        """`custody` holds the wallet that pays. `authorization_state` asks the chain what became of a nonce; without it a
        refund that a forgetful facilitator leaves in doubt stays pending. WalletMismatchError when there is no wallet."""
        wallet = custody.capabilities().wallet_address
        if wallet is None or "sign_authorization" not in custody.capabilities().operations:
            raise WalletMismatchError("This custody has no wallet that can pay refunds.")
        self._wallet = wallet
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._claims = claims
        self._custody = custody
        self._facilitator = facilitator
        self._agent_id = agent_id
        self._stream = stream
        self._registry = registry
        self._authorization_state = authorization_state
        self._book = RefundBook(refunds={}, by_payment={})
        self._sequence = 0
        self._turn = asyncio.Lock()
        self._paying: dict[str, asyncio.Task[None]] = {}

    # ---- asking

    async def open(self) -> int:
        """Read the refunds there are and go on with those that are open. How many stay open."""
        async with self._turn:
            await self._catch_up()
        return await self.reconcile()

    async def reconcile(self) -> int:
        """Bring open refunds to their end, as far as somebody can tell it. How many stay open."""
        async with self._turn:
            await self._catch_up()
        for refund in self._book.open_refunds():
            await self._pay(refund.refund_id)
        return len(self._book.open_refunds())

    async def aclose(self) -> None:
        """Wait for refunds that are under way. What stays open is in the journal, for the next start."""
        await asyncio.gather(*self._paying.values(), return_exceptions=True)

    async def charged(self, payment_id: str) -> Charged:
        """The charge of a payment. NotFoundError for an unknown one, RefundRefusedError when it never settled."""
        record = await self._journal.get(payment_id)
        claimed = None if record is None else read_finance(record)
        if not isinstance(claimed, events.ChargeClaimed):
            raise NotFoundError("There is no charge with this payment id.", details={"payment_id": payment_id})
        state = await self._claims.find(claimed.claim_key)
        outcome = None if state is None else state.outcome
        if state is None or not isinstance(outcome, events.RevenueReceived):
            raise RefundRefusedError("This charge never settled, so there is nothing to give back.")
        received = int(outcome.amount_atomic or "0")
        async with self._turn:
            await self._catch_up()
            left = received - self._book.given_back(payment_id)
        return Charged(state.claim, received, outcome.amount_micro_credits, left)

    async def of(self, payment_id: str) -> list[Refund]:
        """The refunds of a charge, oldest first."""
        async with self._turn:
            await self._catch_up()
            return self._book.of(payment_id)

    async def refund(self, payment_id: str, *, key: str, amount_atomic: int | None = None, reason: str = "") -> Refund:
        """Give back `amount_atomic` of a charge, or everything that is left of it. The same charge and key are the same
        refund, for ever: repeated, it goes on from where it stands.

        RefundRefusedError for more than is left; IdempotencyConflictError for a key that asked for something else;
        NotFoundError for an unknown charge. An outcome that is not known yet is no error: the refund is `pending`.
        """
        if not 0 < len(key) <= 255:
            raise InvalidInputError("A refund's key is text of 1 to 255 characters.")
        refund_id = derived_event_id("refund", payment_id, key)
        digest = hashlib.sha256(f"{'all' if amount_atomic is None else amount_atomic}".encode()).hexdigest()
        charged = await self.charged(payment_id)
        for _ in range(_ATTEMPTS):
            async with self._turn:
                await self._catch_up()
                known = self._book.refunds.get(refund_id)
                if known is not None:
                    if known.intent.request_digest != digest:
                        raise IdempotencyConflictError(key)
                    break
                left = charged.received_atomic - self._book.given_back(payment_id)
                amount = left if amount_atomic is None else amount_atomic
                if not 0 < amount <= left or amount > MAX_ATOMIC:
                    raise RefundRefusedError(
                        f"{amount} atomic units can't be refunded; {left} of {charged.received_atomic} are left.",
                        details={"payment_id": payment_id, "left_atomic": str(left)},
                    )
                intent = self._intent(charged, refund_id, payment_id, key, digest, amount, reason)
                if await self._append(intent, refund_id):
                    break
        else:
            raise UnavailableError("Other processes write refunds without a pause; try again.")
        await self._pay(refund_id)
        return self._book.refunds[refund_id]

    def _intent(
        self, charged: Charged, refund_id: str, payment_id: str, key: str, digest: str, amount: int, reason: str
    ) -> events.RefundIntended:
        claim = charged.claim
        _, terms = claim.payment(self._registry)
        try:
            domain = self._registry.domain(terms)
        except PaymentRefusedError as error:
            raise RefundRefusedError(f"No refund of this token can be signed: {error.message}") from None
        now_s = self._clock.now_us() // 1_000_000
        micro = charged.received_micro
        return events.RefundIntended(
            refund_id=refund_id,
            payment_id=payment_id,
            key=key,
            request_digest=digest,
            network=claim.network,
            asset=domain.contract,
            token_name=domain.name,
            token_version=domain.version,
            wallet=self._wallet,
            payer_address=claim.event.payer,
            amount_atomic=str(amount),
            amount_micro=amount * micro // charged.received_atomic if micro else None,
            valid_after_s=0,
            valid_before_s=now_s + VALID_S,
            nonce="0x" + hashlib.sha256(f"life refund {refund_id}".encode()).hexdigest(),
            reason=reason[:500],
        )

    # ---- paying

    async def _pay(self, refund_id: str) -> None:
        """Go on with a refund until it ends or nobody can tell. One at a time per refund; a caller that is cut off does
        not cut it off."""
        task = self._paying.get(refund_id)
        if task is None:
            task = self._paying[refund_id] = asyncio.ensure_future(self._pay_once(refund_id))
            task.add_done_callback(lambda _: self._paying.pop(refund_id, None))
        await asyncio.shield(task)

    async def _pay_once(self, refund_id: str) -> None:
        refund = self._book.refunds[refund_id]
        if not refund.is_open:
            return
        may_have_left = refund.signature is not None
        authorization = _authorization(refund.intent)
        is_over = self._clock.now_us() // 1_000_000 + SETTLING_MARGIN_S >= authorization.valid_before_s
        if not may_have_left:
            if is_over:
                await self._fail(refund, "never_sent", "")
                return
            # Of several processes only the one whose note was stored knows that nothing left before it.
            may_have_left = not await self._sign(refund, authorization)
        payload, requirements = self._payment(refund, authorization)
        try:
            remembers = await self._facilitator.repeatable()
            settled = await self._facilitator.settle(payload, requirements)
        except (FacilitatorUnavailableError, OutcomeUnknownError) as error:
            await self._doubt(refund, authorization, error.code, "", is_over=is_over)
            return
        if settled.success:
            await self._settle(refund, settled.transaction)
        elif settled.error_reason == codes.SETTLEMENT_PENDING or (may_have_left and not remembers):
            reason = settled.error_reason or codes.UNEXPECTED_SETTLE_ERROR
            await self._doubt(refund, authorization, reason, settled.transaction, is_over=is_over)
        else:
            await self._fail(refund, settled.error_reason or codes.UNEXPECTED_SETTLE_ERROR, settled.transaction)

    async def _sign(self, refund: Refund, authorization: TransferAuthorization) -> bool:
        """Sign, and note the signature before it leaves. False: another process had noted its own."""
        signature = await self._custody.sign_authorization(authorization)
        signed = events.RefundSigned(
            refund_id=refund.refund_id, payment_id=refund.intent.payment_id, signature=signature.hex()
        )
        return await self._write(signed, derived_event_id("refund.signed", refund.refund_id))

    async def _doubt(
        self, refund: Refund, authorization: TransferAuthorization, reason: str, transaction: str, *, is_over: bool
    ) -> None:
        """Nobody told: ask the chain, and note that it is pending when the chain can't tell either."""
        state = "unknown"
        if self._authorization_state is not None:
            state = await self._authorization_state(
                authorization.network, authorization.asset, authorization.from_address, authorization.nonce
            )
        if state == "used":
            await self._settle(refund, transaction)
        elif state == "unused" and is_over:
            await self._fail(refund, "expired_unused", "")
        elif refund.state != "pending":
            pending = events.RefundPending(
                refund_id=refund.refund_id,
                payment_id=refund.intent.payment_id,
                reason=reason,
                transaction=transaction,
            )
            await self._write(pending, derived_event_id("refund.pending", refund.refund_id))

    async def _settle(self, refund: Refund, transaction: str) -> None:
        intent = refund.intent
        settled = events.RefundSettled(
            refund_id=refund.refund_id,
            payment_id=intent.payment_id,
            tx_hash=transaction,
            amount_micro_credits=intent.amount_micro or 0,
            amount_atomic=intent.amount_atomic,
            network=intent.network,
            asset=intent.asset,
            wallet=intent.wallet,
            payer_address=intent.payer_address,
        )
        await self._write(settled, derived_event_id("refund.end", refund.refund_id))

    async def _fail(self, refund: Refund, reason: str, transaction: str) -> None:
        failed = events.RefundFailed(
            refund_id=refund.refund_id, payment_id=refund.intent.payment_id, reason=reason, transaction=transaction
        )
        await self._write(failed, derived_event_id("refund.end", refund.refund_id))

    def _payment(
        self, refund: Refund, authorization: TransferAuthorization
    ) -> tuple[PaymentPayload, PaymentRequirements]:
        requirements = PaymentRequirements(
            scheme=exact.SCHEME,
            network=authorization.network,
            amount=refund.intent.amount_atomic,
            asset=authorization.asset,
            pay_to=authorization.to_address,
            max_timeout_seconds=VALID_S,
            extra={"name": authorization.token_name, "version": authorization.token_version},
        )
        signature = bytes.fromhex(self._book.refunds[refund.refund_id].signature or "")
        return build_payload(to_raw(requirements), authorization, signature), requirements

    # ---- the stream

    async def _write(self, event: FinanceEvent, event_id: str) -> bool:
        """Store an event of a refund, unless its like is stored, and know what is stored then. Whether it was this call."""
        async with self._turn:
            for _ in range(_ATTEMPTS):
                await self._catch_up()
                if await self._journal.get(event_id) is not None:
                    return False
                if await self._append(event, event_id):
                    return True
        raise UnavailableError("Other processes write refunds without a pause; try again.")

    async def _append(self, event: FinanceEvent, event_id: str) -> bool:
        """Store on top of what was read; False when somebody else wrote meanwhile."""
        stored = finance_event(
            event, self._clock, self._entropy, stream=self._stream, agent_id=self._agent_id, event_id=event_id
        )
        try:
            await self._journal.append([stored], expected={self._stream: self._sequence})
        except SequenceConflictError:
            return False
        await self._catch_up()
        return True

    async def _catch_up(self) -> None:
        while True:
            query = EventQuery(self._stream.session_id, self._stream.branch_id, after_sequence=self._sequence)
            page = await self._journal.read(query, limit=_PAGE)
            for record in page:
                self._fold(record)
            if len(page) < _PAGE:
                return

    def _fold(self, record: EventRecord) -> None:
        self._book.apply(read_finance(record), record.timestamp_us)
        self._sequence = record.sequence


def _authorization(intent: events.RefundIntended) -> TransferAuthorization:
    return TransferAuthorization(
        network=intent.network,
        asset=intent.asset,
        token_name=intent.token_name,
        token_version=intent.token_version,
        from_address=intent.wallet,
        to_address=intent.payer_address,
        value_atomic=int(intent.amount_atomic),
        valid_after_s=intent.valid_after_s,
        valid_before_s=intent.valid_before_s,
        nonce=bytes.fromhex(intent.nonce[2:]),
        reservation_id=intent.refund_id,
    )


__all__ = ["STREAM", "Charged", "Refund", "RefundBook", "Refunds", "State"]
