"""The seller's claims: which request owns a payment, durably, before its handler runs.

A payment is claimed, decided and closed by three events whose ids are derived from the payment's claim key and the number
of the attempt (0 to 255). The journal stores an id once, so of all requests in all processes exactly one writes each:

    claim     ChargeClaimed                     one request owns the payment
    decision  ChargeServed                      the handler's answer, whole; from here on the payment is settled
              ChargeReleased                    the handler failed; the payment stays unused, a next attempt may claim it
              ChargeInterrupted                 the owner died before there was an answer; it can no longer decide otherwise
    outcome   RevenueReceived                   settled and booked; being one event with one id, it is booked exactly once
              ChargeRefused                     not settled, for ever

The answer is on disk before the settlement is asked for, and the outcome is on disk before the answer leaves. What a crash
leaves behind therefore always has one safe reading:

    claim, no decision     the handler may have run, nothing was settled. Another process takes the claim over by writing
                           ChargeInterrupted once the owner is gone (its lease has ended, or this is the only server). The
                           payment is void: neither charged nor delivered, and the handler does not run again for it,
                           unless the route says that running twice does no harm (`rerun_interrupted`).
    decision, no outcome   the settlement may have been asked for. It is asked for again, identically: the answer that was
                           kept is delivered if and only if the money moved, and nothing runs or is charged twice.
    outcome, no decision   only with settle-first: charged, and the handler may have run. It does not run again; the answer
                           says that a refund is due.

A streamed answer is decided (ChargeServed, `streamed`) before its first byte leaves, and a further event, ChargeStreamed,
says how it ended. Where that is missing, the answer broke off with its process.

Source: ARCHITECTURE.md decisions 4 and 7, x402.md §12 rows 1 and 3, §16.4, §16.5; haima.md §8.7.2.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import suppress
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from life.aios.errors import EventConflictError
from life.aios.ids import derived_event_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import TransferAuthorization
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, NewEvent, Stream
from life.haima import events
from life.haima.events import FinanceEvent, finance_event, read_finance
from life.haima.facilitator.attempts import last_attempt
from life.haima.x402 import exact
from life.haima.x402.answers import Answer, Headers
from life.haima.x402.authorization import build_payload, read_address
from life.haima.x402.networks import NetworkRegistry
from life.haima.x402.price import DEFAULT_TIMEOUT_S, Offer
from life.haima.x402.sale import StreamEnd
from life.haima.x402.svm import SignedPayment, SignedSolanaTransfer
from life.haima.x402.wire import (
    EIP2612_GAS_SPONSORING,
    X402_VERSION,
    PaymentPayload,
    PaymentRequirements,
    decode_payment,
    read_extensions,
    to_raw,
)

STREAM: Final = Stream("sales")
_PAGE: Final = 500
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

Role = Literal["claim", "decision", "outcome", "pending"]
_ROLES: Final[tuple[Role, ...]] = ("claim", "decision", "outcome", "pending")
_MARKS: Final = {
    (role, attempt): _ALPHABET[attempt >> 3] + _ALPHABET[(attempt & 7) << 2 | number]
    for number, role in enumerate(_ROLES)
    for attempt in range(256)
}
"""The last two characters of an event's id: its role and the number of the attempt."""

Written: TypeAlias = Coroutine[None, None, bool]
"""Await it: whether it was this call that wrote the event. It is on disk then."""
Decision = events.ChargeServed | events.ChargeReleased | events.ChargeInterrupted
Outcome = events.RevenueReceived | events.ChargeRefused


class Claim(msgspec.Struct, frozen=True, gc=False):
    """One attempt to sell for one payment."""

    key: str
    attempt: int
    payment_id: str
    event: events.ChargeClaimed

    @property
    def network(self) -> str:
        """CAIP-2."""
        return self.key.split("|", 1)[0]

    @property
    def asset(self) -> str:
        """The token, in lower case where case means nothing."""
        return self.event.asset or self.key.split("|", 2)[1]

    def payment(self, registry: NetworkRegistry) -> tuple[PaymentPayload, PaymentRequirements]:
        """The payment as it was signed, and its terms, to settle it again: the same authorization and signature."""
        event = self.event
        if not isinstance(event.payment, msgspec.UnsetType):
            payload = decode_payment(bytes(event.payment))
            return payload, payload.requirements()
        network, asset, _, nonce = self.key.split("|")
        known = registry.token(network, asset)
        name = event.token_name or (known.name if known is not None else "")
        version = event.token_version or (known.version if known is not None else "")
        requirements = PaymentRequirements(
            scheme=exact.SCHEME,
            network=network,
            amount=event.amount_atomic,
            asset=read_address(asset, "asset"),
            pay_to=event.payee,
            max_timeout_seconds=DEFAULT_TIMEOUT_S,
            extra={"name": name, "version": version},
        )
        authorization = TransferAuthorization(
            network=network,
            asset=requirements.asset,
            token_name=name,
            token_version=version,
            from_address=event.payer,
            to_address=event.payee,
            value_atomic=int(event.amount_atomic),
            valid_after_s=event.valid_after_s,
            valid_before_s=event.valid_before_s,
            nonce=bytes.fromhex(nonce[2:]),
        )
        payload = build_payload(to_raw(requirements), authorization, bytes.fromhex(event.signature))
        return payload, requirements


class ClaimState(NamedTuple):
    """What is on disk about the newest attempt."""

    claim: Claim
    claimed_us: int
    decision: Decision | None
    decided_us: int
    outcome: Outcome | None
    closed_us: int = 0
    """When the outcome was written."""
    stream: events.ChargeStreamed | None = None
    """How a streamed answer ended."""

    @property
    def is_unfinished(self) -> bool:
        """Whether its owner, if it lives, has still something to do."""
        if self.outcome is None:
            return self.decision is None or isinstance(self.decision, events.ChargeServed)
        if not isinstance(self.outcome, events.RevenueReceived):
            return False
        return self.decision is None or self.is_streaming

    @property
    def is_streaming(self) -> bool:
        """Whether its answer began to leave, and nobody has written how that ended."""
        return isinstance(self.decision, events.ChargeServed) and self.decision.streamed and self.stream is None

    @property
    def is_reusable(self) -> bool:
        """Whether the payment is free for another attempt."""
        return isinstance(self.decision, events.ChargeReleased)

    @property
    def is_void(self) -> bool:
        """Whether its owner died before there was an answer, and nothing was charged."""
        return isinstance(self.decision, events.ChargeInterrupted) and self.outcome is None


class Request(msgspec.Struct, frozen=True, gc=False):
    """What is being bought, for the claim."""

    name: str
    """Method, path and query; `sha256:` and hex where that is long."""
    resource_url: str
    identifier: str | None
    settle_first: bool
    access_until_s: int | None = None
    """Until when the payer may come back by signing in."""
    resource: str = ""
    """What he may come back to."""


class Charge(NamedTuple):
    """What is charged of a signed maximum (scheme `upto`)."""

    amount_atomic: int
    amount_micro: int | None
    """None when the token's value in dollars is not known."""


class Taken(NamedTuple):
    """Somebody else has claimed this attempt, or the identifier."""

    identifier: bool


class Claims:
    """Reads and writes claims on one stream."""

    def __init__(
        self, journal: Journal, clock: Clock, entropy: Entropy, *, agent_id: str, stream: Stream, owner: str
    ) -> None:
        """`owner` names this process's run: no two runs may share it."""
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._agent_id = agent_id
        self._stream = stream
        self.owner: Final = owner

    async def claim(
        self,
        signed: SignedPayment,
        offer: Offer,
        request: Request,
        *,
        attempt: int,
        payload: PaymentPayload | None = None,
    ) -> Claim | Taken:
        """Own the payment, or learn that somebody else does. Returns once the claim is on disk. `payload` is needed for
        what is not an EIP-3009 authorization: it is kept with the claim, to be settled again."""
        authorization = signed.authorization
        ids = _ids(signed.key)
        claim_id = ids + _MARKS["claim", attempt]
        plain = authorization if isinstance(authorization, TransferAuthorization) else None
        domain = plain if offer.amount_micro is None else None
        event = events.ChargeClaimed(
            claim_key=signed.key,
            payment_id=ids + _MARKS["claim", 0],
            attempt=attempt,
            request=request.name,
            resource_url=request.resource_url,
            payer=signed.payer,
            payee=authorization.to_address,
            amount_atomic=offer.requirements.amount,
            amount_micro=offer.amount_micro,
            valid_after_s=authorization.valid_after_s,
            valid_before_s=authorization.valid_before_s,
            signature=signed.signature.hex(),
            owner=self.owner,
            identifier=request.identifier,
            settle_first=request.settle_first,
            token_name=None if domain is None else domain.token_name,
            token_version=None if domain is None else domain.token_version,
            scheme=None if signed.scheme == exact.SCHEME else signed.scheme,
            asset=None if plain is not None else _asset_of(signed),
            payment=msgspec.UNSET if plain is not None or payload is None else _kept_payment(payload, offer),
            access_until_s=request.access_until_s,
            resource=request.resource or None,
        )
        batch = [self._event(event, claim_id)]
        identifier_id = None
        if request.identifier is not None:
            identifier_id = derived_event_id(
                "charge.identifier", authorization.to_address, signed.payer, request.identifier
            )
            identified = events.ChargeIdentified(
                identifier=request.identifier, payer=signed.payer, claim_key=signed.key
            )
            batch.insert(0, self._event(identified, identifier_id))
        try:
            appended = await self._journal.append(batch)
        except EventConflictError as conflict:
            return Taken(identifier=conflict.event_id == identifier_id)
        if appended[-1].duplicate:
            return Taken(identifier=False)
        return Claim(signed.key, attempt, event.payment_id, event)

    def serve(self, claim: Claim, answer: Answer, *, max_body_bytes: int, charge_atomic: int | None = None) -> Written:
        """Keep the handler's answer, and what it charges of a maximum. False: the claim was taken over; the payment must
        not be settled."""
        return self._write(claim, "decision", _served(claim, answer, max_body_bytes, charge_atomic))

    def begin_stream(self, claim: Claim, status: int, headers: Headers) -> Written:
        """The answer is about to leave as it is made. False: the claim was taken over; nothing may leave."""
        event = events.ChargeServed(
            payment_id=claim.payment_id, attempt=claim.attempt, status=status, headers=_texts(headers), streamed=True
        )
        return self._write(claim, "decision", event)

    async def end_stream(self, claim: Claim, end: StreamEnd, *, by_owner: bool) -> None:
        """How a streamed answer ended. The word of the process that sent it counts before that of one that took it for dead:
        a stream may outlive its lease."""
        event = events.ChargeStreamed(
            payment_id=claim.payment_id,
            attempt=claim.attempt,
            complete=end.complete,
            sent_bytes=end.sent_bytes,
            body=end.body,
            reason=end.reason,
            by_client=end.by_client,
        )
        with suppress(EventConflictError):  # the same was written before, in other words
            await self._journal.append([self._event(event, _stream_id(claim, by_owner=by_owner))])

    def release(self, claim: Claim, reason: str) -> Written:
        """Give the payment back unused. False: it was decided otherwise before."""
        event = events.ChargeReleased(payment_id=claim.payment_id, attempt=claim.attempt, reason=reason)
        return self._write(claim, "decision", event)

    def interrupt(self, claim: Claim, reason: str) -> Written:
        """Take the claim from a process that is gone. False: it had decided."""
        event = events.ChargeInterrupted(payment_id=claim.payment_id, attempt=claim.attempt, reason=reason)
        return self._write(claim, "decision", event)

    def settled(self, claim: Claim, transaction: str, *, charge: Charge | None = None) -> Written:
        """Book the revenue, once. False: the claim was closed before, here or by another process."""
        return self._write(claim, "outcome", _revenue(claim, transaction, charge))

    def pending(self, claim: Claim, reason: str, transaction: str) -> Written:
        """Note that the settlement's outcome is not known, with its hash. False: that was noted before."""
        event = events.ChargePending(
            payment_id=claim.payment_id, attempt=claim.attempt, reason=reason, transaction=transaction
        )
        return self._write(claim, "pending", event)

    def refuse(self, claim: Claim, reason: str, transaction: str) -> Written:
        """Close the claim without a charge. False: it was closed before."""
        event = events.ChargeRefused(
            payment_id=claim.payment_id, attempt=claim.attempt, reason=reason, transaction=transaction
        )
        return self._write(claim, "outcome", event)

    async def find(self, key: str) -> ClaimState | None:
        """The newest attempt of a payment; None when it was never claimed."""
        ids = _ids(key)
        newest = await last_attempt(self._journal, lambda number: ids + _MARKS["claim", number])
        return None if newest is None else await self._state(newest[1])

    async def open_claims(self, *, since_us: int) -> list[ClaimState]:
        """Claims without an end whose claim is not older than `since_us`; reads the stream backwards to there."""
        before = (await self._journal.head(self._stream)).sequence + 1
        found: list[EventRecord] = []
        ended: set[tuple[str, int]] = set()
        paid: set[str] = set()
        answered: set[tuple[str, int]] = set()
        while before > 1:
            after = max(0, before - 1 - _PAGE)
            query = EventQuery(
                self._stream.session_id, self._stream.branch_id, after_sequence=after, before_sequence=before
            )
            page = await self._journal.read(query, limit=_PAGE)
            for record in page:
                event = read_finance(record)
                if isinstance(event, events.ChargeClaimed):
                    found.append(record)
                elif isinstance(event, events.ChargeReleased | events.ChargeRefused):
                    ended.add((event.payment_id, event.attempt))
                elif isinstance(event, events.RevenueReceived):
                    paid.add(event.payment_id or "")
                elif isinstance(event, events.ChargeStreamed | events.ChargeInterrupted) or (
                    isinstance(event, events.ChargeServed) and not event.streamed
                ):
                    answered.add((event.payment_id, event.attempt))
            before = after + 1
            if page and page[0].timestamp_us < since_us:
                break
        states = []
        for record in found:
            event = read_finance(record)
            if record.timestamp_us < since_us:
                continue
            if not isinstance(event, events.ChargeClaimed) or (event.payment_id, event.attempt) in ended:
                continue
            # Only the newest attempt of a payment can have been paid.
            if event.payment_id not in paid or (event.payment_id, event.attempt) not in answered:
                state = await self._state(record)
                if state is not None and state.is_unfinished:
                    states.append(state)
        return states

    async def _state(self, record: EventRecord) -> ClaimState | None:
        claimed = read_finance(record)
        if not isinstance(claimed, events.ChargeClaimed):
            return None
        key, attempt = claimed.claim_key, claimed.attempt
        decision_record = await self._journal.get(_ids(key) + _MARKS["decision", attempt])
        outcome_record = await self._journal.get(_ids(key) + _MARKS["outcome", attempt])
        decision = None if decision_record is None else read_finance(decision_record)
        outcome = None if outcome_record is None else read_finance(outcome_record)
        claim = Claim(key, attempt, claimed.payment_id, claimed)
        stream = None
        if isinstance(decision, events.ChargeServed) and decision.streamed:
            stream_record = await self._journal.get(_stream_id(claim, by_owner=True))
            if stream_record is None:
                stream_record = await self._journal.get(_stream_id(claim, by_owner=False))
            stream = None if stream_record is None else read_finance(stream_record)
        return ClaimState(
            claim=claim,
            claimed_us=record.timestamp_us,
            decision=decision if isinstance(decision, Decision) else None,
            decided_us=0 if decision_record is None else decision_record.timestamp_us,
            outcome=outcome if isinstance(outcome, Outcome) else None,
            closed_us=0 if outcome_record is None else outcome_record.timestamp_us,
            stream=stream if isinstance(stream, events.ChargeStreamed) else None,
        )

    async def _write(self, claim: Claim, role: Role, event: FinanceEvent) -> bool:
        """Whether it was this call that wrote the event of this role."""
        try:
            appended = await self._journal.append([self._event(event, _event_id(claim, role))])
        except EventConflictError:
            return False
        return not appended[0].duplicate

    def _event(self, event: FinanceEvent, event_id: str) -> NewEvent:
        return finance_event(
            event, self._clock, self._entropy, stream=self._stream, agent_id=self._agent_id, event_id=event_id
        )


def _served(claim: Claim, answer: Answer, max_body_bytes: int, charge_atomic: int | None) -> events.ChargeServed:
    body = answer.body
    return events.ChargeServed(
        payment_id=claim.payment_id,
        attempt=claim.attempt,
        status=answer.status,
        headers=_texts(answer.headers),
        body=body if len(body) <= max_body_bytes else None,
        body_bytes=len(body),
        charge_atomic=None if charge_atomic is None else str(charge_atomic),
    )


def _texts(headers: Headers) -> tuple[tuple[str, str], ...]:
    return tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers])


def _kept_payment(payload: PaymentPayload, offer: Offer) -> msgspec.Raw:
    """The payment with nothing but what settling it takes: the terms as we wrote them, what was signed, and the allowance
    that came along."""
    allowance = read_extensions(payload.extensions).get(EIP2612_GAS_SPONSORING)
    kept = PaymentPayload(
        x402_version=X402_VERSION,
        accepted=msgspec.Raw(offer.raw),
        payload=payload.payload,
        extensions=msgspec.UNSET if allowance is None else to_raw({EIP2612_GAS_SPONSORING: allowance}),
    )
    return to_raw(kept)


def _revenue(claim: Claim, transaction: str, charge: Charge | None) -> events.RevenueReceived:
    charged = claim.event
    amount_micro = charged.amount_micro if charge is None else charge.amount_micro
    return events.RevenueReceived(
        tx_hash=transaction,
        amount_micro_credits=amount_micro or 0,
        payer_address=charged.payer,
        resource_url=charged.resource_url,
        payment_id=claim.payment_id,
        network=claim.network,
        asset=claim.asset,
        payee=charged.payee,
        amount_atomic=charged.amount_atomic if charge is None else str(charge.amount_atomic),
    )


def _asset_of(signed: SignedPayment) -> str:
    asset = signed.authorization.asset
    return asset if isinstance(signed, SignedSolanaTransfer) else asset.lower()


def _ids(key: str) -> str:
    """What the ids of all events of one payment start with: 118 bits that belong to its claim key."""
    return derived_event_id("charge", key)[:-2]


def _event_id(claim: Claim, role: Role) -> str:
    return claim.payment_id[:-2] + _MARKS[role, claim.attempt]


def _stream_id(claim: Claim, *, by_owner: bool) -> str:
    return derived_event_id("charge.stream", claim.key, str(claim.attempt), "owner" if by_owner else "others")


__all__ = ["STREAM", "Charge", "Claim", "ClaimState", "Claims", "Decision", "Outcome", "Request", "Taken"]
