"""The facilitator's memory: one record per payment in the journal, the same for every process that shares it.

    intent     the payment passed every check            one per payment
    prepared   attempt n's transaction exists            written before it is sent
    end        attempt n was confirmed or failed         the first to write it wins

Every event's id is derived from the payment's claim key, so of several processes exactly one writes it, and the others read
what it wrote. An attempt that the chain did not take may be followed by another; any other end is the payment's end.

Source: ARCHITECTURE.md decisions 4 and 7, x402.md §12 rows 3 to 6, §16.7.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from life.aios.errors import EventConflictError
from life.aios.ids import derived_event_id
from life.aios.ports.chain import Prepared, Settlement
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import TransferAuthorization
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import Stream
from life.haima import events
from life.haima.events import FinanceEvent, finance_event, read_finance
from life.haima.facilitator.attempts import last_attempt
from life.haima.x402.exact import SignedAuthorization

_PAGE: Final = 1000

End = events.SettlementConfirmed | events.SettlementFailed


class SettlementRecord(NamedTuple):
    """What is on disk about one payment."""

    intent: events.SettlementIntended
    prepared: events.SettlementPrepared | None
    """The newest attempt's transaction."""
    end: End | None
    """The newest attempt's end."""

    @property
    def final(self) -> End | None:
        """The payment's end; None while it is open or may be tried again."""
        end = self.end
        return None if isinstance(end, events.SettlementFailed) and not end.sent else end

    @property
    def next_attempt(self) -> int:
        """The attempt that is to be driven now."""
        if self.prepared is None:
            return 0
        return self.prepared.attempt + (1 if self.end is not None else 0)

    @property
    def open_transaction(self) -> Prepared | None:
        """The transaction that exists and whose end is not known."""
        if self.prepared is None or self.end is not None:
            return None
        prepared = self.prepared
        return Prepared(prepared.transaction, bytes.fromhex(prepared.raw_transaction[2:]), prepared.account_nonce)

    @property
    def signed(self) -> SignedAuthorization:
        """The payment itself."""
        intent = self.intent
        authorization = TransferAuthorization(
            network=intent.network,
            asset=intent.asset,
            token_name=intent.token_name,
            token_version=intent.token_version,
            from_address=intent.payer,
            to_address=intent.payee,
            value_atomic=int(intent.amount_atomic),
            valid_after_s=intent.valid_after_s,
            valid_before_s=intent.valid_before_s,
            nonce=bytes.fromhex(intent.nonce[2:]),
        )
        return SignedAuthorization(authorization, bytes.fromhex(intent.signature[2:]), intent.payer, intent.claim_key)


class SettlementLog:
    """Reads and writes settlements on one stream."""

    def __init__(self, journal: Journal, clock: Clock, entropy: Entropy, *, agent_id: str, stream: Stream) -> None:
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
        if newest is None:
            return SettlementRecord(intent, None, None)
        number, record = newest
        prepared = read_finance(record)
        if not isinstance(prepared, events.SettlementPrepared):
            return SettlementRecord(intent, None, None)
        end_record = await self._journal.get(_end_id(claim_key, number))
        end = None if end_record is None else read_finance(end_record)
        if isinstance(end, events.SettlementConfirmed | events.SettlementFailed):
            return SettlementRecord(intent, prepared, end)
        return SettlementRecord(intent, prepared, None)

    async def intend(self, signed: SignedAuthorization) -> SettlementRecord:
        """Write the intent. When another process wrote one for this nonce first, it is that one that counts."""
        authorization = signed.authorization
        intent = events.SettlementIntended(
            claim_key=signed.key,
            payment_id=_intent_id(signed.key),
            network=authorization.network,
            asset=authorization.asset,
            token_name=authorization.token_name,
            token_version=authorization.token_version,
            payer=authorization.from_address,
            payee=authorization.to_address,
            amount_atomic=str(authorization.value_atomic),
            valid_after_s=authorization.valid_after_s,
            valid_before_s=authorization.valid_before_s,
            nonce="0x" + authorization.nonce.hex(),
            signature="0x" + signed.signature.hex(),
        )
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

    async def confirmed(self, record: SettlementRecord, settled: Settlement, *, latency_ms: int) -> SettlementRecord:
        """Write that the money moved, and give the record as it is then: the first end that was written counts."""
        intent = record.intent
        return await self._end(
            record,
            events.SettlementConfirmed(
                claim_key=intent.claim_key,
                payment_id=intent.payment_id,
                attempt=_attempt(record),
                transaction=settled.transaction_hash,
                network=intent.network,
                payer=intent.payer,
                amount_atomic=intent.amount_atomic,
                block_number=settled.block_number,
                latency_ms=latency_ms,
            ),
        )

    async def failed(self, record: SettlementRecord, reason: str, *, transaction: str, sent: bool) -> SettlementRecord:
        """Write that this attempt moved nothing, and give the record as it is then: the first end that was written counts."""
        intent = record.intent
        return await self._end(
            record,
            events.SettlementFailed(
                claim_key=intent.claim_key,
                payment_id=intent.payment_id,
                attempt=_attempt(record),
                reason=reason,
                network=intent.network,
                transaction=transaction,
                sent=sent,
            ),
        )

    async def _end(self, record: SettlementRecord, end: End) -> SettlementRecord:
        if await self._write(end, _end_id(end.claim_key, end.attempt)):
            return record._replace(end=end)
        return await self.find(end.claim_key) or record

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

    async def open_keys(self) -> list[str]:
        """Claim keys of every settlement without a final end, oldest first; reads the whole stream."""
        pending: dict[str, None] = {}
        after = 0
        while True:
            query = EventQuery(self._stream.session_id, self._stream.branch_id, after_sequence=after)
            page = await self._journal.read(query, limit=_PAGE)
            for record in page:
                event = read_finance(record)
                if isinstance(event, events.SettlementIntended):
                    pending[event.claim_key] = None
                elif isinstance(event, events.SettlementConfirmed) or (
                    isinstance(event, events.SettlementFailed) and event.sent
                ):
                    pending.pop(event.claim_key, None)
            if len(page) < _PAGE:
                return list(pending)
            after = page[-1].sequence

    async def _write(self, event: FinanceEvent, event_id: str) -> bool:
        """Whether it was ours that got written."""
        new = finance_event(
            event,
            self._clock,
            self._entropy,
            stream=self._stream,
            agent_id=self._agent_id,
            event_id=event_id,
        )
        try:
            (appended,) = await self._journal.append([new])
        except EventConflictError:
            return False
        return not appended.duplicate

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


def _attempt(record: SettlementRecord) -> int:
    return 0 if record.prepared is None else record.prepared.attempt
