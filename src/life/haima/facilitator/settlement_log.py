"""The facilitator's memory: one record per payment in the journal, the same for every process that shares it.

    intent     the payment passed every check            one per payment
    prepared   attempt n's transaction exists            written before it is sent
    repriced   the same with higher fees, 0, 1, …        written before it is sent, in place of the one before
    end        attempt n was confirmed or failed         the first to write it wins; with a confirmation goes the fee
    reopened   attempt n's block was taken back          the chain reorganised: another attempt follows

Every event's id is derived from the payment's claim key, so of several processes exactly one writes it, and the others read
what it wrote. An attempt that the chain did not take, or took back, may be followed by another; any other end is the payment's
end.

Source: ARCHITECTURE.md decisions 4 and 7, x402.md §12 rows 3 to 6, §16.7.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from life.aios.errors import EventConflictError
from life.aios.ids import derived_event_id
from life.aios.ports.chain import Prepared, Settlement
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import Stream
from life.haima import events
from life.haima.events import FinanceEvent, finance_event, read_finance
from life.haima.facilitator.attempts import last_attempt
from life.haima.facilitator.fees import FeeSchedule
from life.haima.facilitator.settlement_record import NOTHING, End, SettlementRecord, intent_of
from life.haima.x402.authorization import SignedAuthorization

_PAGE: Final = 1000


class Open(NamedTuple):
    """What a start has to take up."""

    keys: list[str]
    """Claim keys of every settlement without a final end, oldest first."""
    recent: list[events.SettlementConfirmed]
    """Confirmed lately, and in a block that may still be taken back."""
    owed: frozenset[str]
    """Those of `keys` that were confirmed once: somebody was told so, and nobody will ask for them again."""


class SettlementLog:
    """Reads and writes settlements on one stream."""

    def __init__(
        self, journal: Journal, clock: Clock, entropy: Entropy, *, agent_id: str, stream: Stream, fees: FeeSchedule
    ) -> None:
        self._fees = fees
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._agent_id = agent_id
        self._stream = stream

    async def find(self, claim_key: str) -> SettlementRecord | None:
        """The record of a payment, if it was ever intended."""
        intent = await self._get(_intent_id(claim_key), events.SettlementIntended)
        if intent is None:
            return None
        newest = await last_attempt(self._journal, lambda number: _prepared_id(claim_key, number))
        prepared = None if newest is None else read_finance(newest[1])
        if not isinstance(prepared, events.SettlementPrepared):
            prepared = None
        if prepared is None and intent.charged_atomic != NOTHING:
            return SettlementRecord(intent, None, None)
        number = 0 if newest is None else newest[0]
        end_record = await self._journal.get(_end_id(claim_key, number))
        end = None if end_record is None else read_finance(end_record)
        if not isinstance(end, events.SettlementConfirmed | events.SettlementFailed):
            end = None
        reopened = None
        if isinstance(end, events.SettlementConfirmed) and end.block_hash is not None:
            reopened = await self._reopened(claim_key, number)
        repriced = () if end is not None and reopened is None else await self._repriced(claim_key, number)
        return SettlementRecord(intent, prepared, end, repriced, reopened)

    async def intend(self, signed: SignedAuthorization, *, charged_atomic: int | None = None) -> SettlementRecord:
        """Write the intent. When another process wrote one for this nonce first, it is that one that counts."""
        intent = intent_of(signed, payment_id=_intent_id(signed.key), charged_atomic=charged_atomic)
        if await self._write(intent, _intent_id(signed.key)):
            return SettlementRecord(intent, None, None)
        found = await self.find(signed.key)
        assert found is not None  # the id is taken, so the event is there
        return found

    async def prepared(self, record: SettlementRecord, transaction: Prepared) -> SettlementRecord | None:
        """Write an attempt's transaction. None: another process has written its own, ours must never be sent."""
        prepared = events.SettlementPrepared(
            claim_key=record.intent.claim_key,
            payment_id=record.intent.payment_id,
            attempt=record.next_attempt,
            network=record.intent.network,
            transaction=transaction.transaction_hash,
            raw_transaction="0x" + transaction.raw.hex(),
            account_nonce=transaction.account_nonce,
        )
        if await self._write(prepared, _prepared_id(record.intent.claim_key, prepared.attempt)):
            return SettlementRecord(record.intent, prepared, None)
        return None

    async def repriced(self, record: SettlementRecord, transaction: Prepared) -> SettlementRecord | None:
        """Write a replacement. None: another process has written its own, ours must never be sent."""
        repriced = events.SettlementRepriced(
            claim_key=record.intent.claim_key,
            payment_id=record.intent.payment_id,
            attempt=record.attempt,
            number=len(record.repriced),
            network=record.intent.network,
            transaction=transaction.transaction_hash,
            raw_transaction="0x" + transaction.raw.hex(),
            account_nonce=transaction.account_nonce,
        )
        if await self._write(repriced, _repriced_id(repriced.claim_key, repriced.attempt, repriced.number)):
            return record._replace(repriced=(*record.repriced, repriced))
        return None

    async def confirmed(self, record: SettlementRecord, settled: Settlement, *, latency_ms: int) -> SettlementRecord:
        """Write that the money moved, and the fee that is due for it, and give the record as it is then: the first end
        that was written counts."""
        intent = record.intent
        return await self._end(
            record,
            events.SettlementConfirmed(
                claim_key=intent.claim_key,
                payment_id=intent.payment_id,
                attempt=record.attempt,
                transaction=settled.transaction_hash,
                network=intent.network,
                payer=intent.payer,
                amount_atomic=str(record.moved_atomic),
                block_number=settled.block_number,
                block_hash=settled.block_hash,
                latency_ms=latency_ms,
            ),
        )

    async def reopened(self, record: SettlementRecord) -> SettlementRecord:
        """Write that the confirmed transaction's block was taken back; the record as it is then."""
        end = record.end
        if not isinstance(end, events.SettlementConfirmed):
            return record
        event = events.SettlementReopened(
            claim_key=end.claim_key,
            payment_id=end.payment_id,
            attempt=end.attempt,
            transaction=end.transaction,
            network=end.network,
            block_number=end.block_number,
        )
        await self._write(event, _reopened_id(end.claim_key, end.attempt))
        return await self.find(end.claim_key) or record

    async def failed(self, record: SettlementRecord, reason: str, *, transaction: str, sent: bool) -> SettlementRecord:
        """Write that this attempt moved nothing, and give the record as it is then: the first end that was written counts."""
        intent = record.intent
        return await self._end(
            record,
            events.SettlementFailed(
                claim_key=intent.claim_key,
                payment_id=intent.payment_id,
                attempt=record.attempt,
                reason=reason,
                network=intent.network,
                transaction=transaction,
                sent=sent,
            ),
        )

    async def _end(self, record: SettlementRecord, end: End) -> SettlementRecord:
        batch: list[tuple[FinanceEvent, str]] = [(end, _end_id(end.claim_key, end.attempt))]
        fee = self._fees.accrued(record.intent, record.moved_atomic)
        if fee is not None and isinstance(end, events.SettlementConfirmed) and end.attempt == 0:
            batch.append((fee, _fee_id(end.claim_key)))
        if await self._append(batch):
            if fee is not None and end.attempt > 0:
                await self._settle_fee(fee, end)
            return record._replace(end=end)
        return await self.find(end.claim_key) or record

    async def _settle_fee(self, fee: events.FacilitatorFeeAccrued, end: End) -> None:
        """The fee after more than one attempt: due if it was not recorded before, waived if it was and all failed."""
        recorded = await self._journal.get(_fee_id(end.claim_key))
        if isinstance(end, events.SettlementConfirmed):
            if recorded is None:
                await self._write(fee, _fee_id(end.claim_key))
        elif end.sent and recorded is not None:
            accrued = read_finance(recorded)
            if isinstance(accrued, events.FacilitatorFeeAccrued):
                waived = events.FacilitatorFeeWaived(
                    claim_key=accrued.claim_key,
                    payment_id=accrued.payment_id,
                    payee=accrued.payee,
                    network=accrued.network,
                    asset=accrued.asset,
                    fee_atomic=accrued.fee_atomic,
                    fee_micro=accrued.fee_micro,
                )
                await self._write(waived, derived_event_id("settlement.fee_waived", end.claim_key))

    async def refused(self, signed: SignedAuthorization, reason: str) -> None:
        """Write a refusal that cost nothing (haima.md §8.7: every refusal has an event); once per payment and reason."""
        authorization = signed.authorization
        await self._write(
            events.SettlementRefused(
                claim_key=signed.key,
                network=authorization.network,
                payer=authorization.from_address,
                amount_atomic=str(authorization.value_atomic),
                reason=reason,
            ),
            derived_event_id("settlement.refused", signed.key, reason),
        )

    async def open(self, *, recent_since_us: int) -> Open:
        """What a start has to take up; reads the whole stream. `recent` are confirmations not older than that."""
        pending: dict[str, None] = {}
        recent: dict[str, events.SettlementConfirmed] = {}
        owed: set[str] = set()
        after = 0
        while True:
            query = EventQuery(self._stream.session_id, self._stream.branch_id, after_sequence=after)
            page = await self._journal.read(query, limit=_PAGE)
            for record in page:
                event = read_finance(record)
                if isinstance(event, events.SettlementIntended | events.SettlementReopened):
                    pending[event.claim_key] = None
                    recent.pop(event.claim_key, None)
                    if isinstance(event, events.SettlementReopened):
                        owed.add(event.claim_key)
                elif isinstance(event, events.SettlementConfirmed):
                    pending.pop(event.claim_key, None)
                    if event.block_hash is not None and record.timestamp_us >= recent_since_us:
                        recent[event.claim_key] = event
                elif isinstance(event, events.SettlementFailed) and event.sent:
                    pending.pop(event.claim_key, None)
            if len(page) < _PAGE:
                return Open(list(pending), list(recent.values()), frozenset(owed.intersection(pending)))
            after = page[-1].sequence

    async def _repriced(self, claim_key: str, attempt: int) -> tuple[events.SettlementRepriced, ...]:
        found: list[events.SettlementRepriced] = []
        while (record := await self._journal.get(_repriced_id(claim_key, attempt, len(found)))) is not None:
            event = read_finance(record)
            if not isinstance(event, events.SettlementRepriced):
                break
            found.append(event)
        return tuple(found)

    async def _reopened(self, claim_key: str, attempt: int) -> events.SettlementReopened | None:
        record = await self._journal.get(_reopened_id(claim_key, attempt))
        event = None if record is None else read_finance(record)
        return event if isinstance(event, events.SettlementReopened) else None

    async def _write(self, event: FinanceEvent, event_id: str) -> bool:
        """Whether it was ours that got written."""
        return await self._append([(event, event_id)])

    async def _append(self, batch: list[tuple[FinanceEvent, str]]) -> bool:
        """Whether it was ours that got written, all at once; the first event's id decides."""
        new = [
            finance_event(
                event, self._clock, self._entropy, stream=self._stream, agent_id=self._agent_id, event_id=event_id
            )
            for event, event_id in batch
        ]
        try:
            appended = await self._journal.append(new)
        except EventConflictError:
            return False
        return not appended[0].duplicate

    async def _get(self, event_id: str, kind: type[events.SettlementIntended]) -> events.SettlementIntended | None:
        record = await self._journal.get(event_id)
        event = None if record is None else read_finance(record)
        return event if isinstance(event, kind) else None


def _intent_id(claim_key: str) -> str:
    return derived_event_id("settlement.intent", claim_key)


def _prepared_id(claim_key: str, attempt: int) -> str:
    return derived_event_id("settlement.prepared", claim_key, str(attempt))


def _end_id(claim_key: str, attempt: int) -> str:
    return derived_event_id("settlement.end", claim_key, str(attempt))


def _repriced_id(claim_key: str, attempt: int, number: int) -> str:
    return derived_event_id("settlement.repriced", claim_key, str(attempt), str(number))


def _reopened_id(claim_key: str, attempt: int) -> str:
    return derived_event_id("settlement.reopened", claim_key, str(attempt))


def _fee_id(claim_key: str) -> str:
    return derived_event_id("settlement.fee", claim_key)
