"""Carrying settlements out: one transaction at a time, every step on disk before it is taken, until the chain has spoken.

    sign → write → send → watch → write the end

A transaction that waits longer than `patience_us` is sent again with higher fees and the same account nonce, written before it
leaves; any of them may be the one that is executed. A transaction that the chain forgot is sent again as it is. A confirmed
one is followed until its block is buried: should the chain take the block back, the settlement is open again, and its next
attempt begins with the same bytes. Sending something twice is harmless, because the token moves an authorization's money once.

Source: x402.md §12 rows 3 to 6, §16.7; ARCHITECTURE.md decisions 4 and 7.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from life.aios.errors import LifeError
from life.aios.ports.chain import Chain, Prepared, PublicChain, Settlement
from life.aios.ports.clock import Clock
from life.haima import events
from life.haima.errors import ChainError, ChainRefusedError, ChainUnavailableError, FacilitatorUnavailableError
from life.haima.facilitator.settlement_log import SettlementLog
from life.haima.facilitator.settlement_record import SettlementRecord
from life.haima.x402 import codes
from life.haima.x402.authorization import SignedAuthorization

PATIENCE_US: Final = 30_000_000
"""How long a transaction waits for a block before it is sent again for a higher fee."""
WATCH_US: Final = 600_000_000
"""How long an unconfirmed transaction is watched; later calls take it up again."""
_FIRST_POLL_US: Final = 50_000
_SLOWEST_POLL_US: Final = 2_000_000
_RESEND_US: Final = 15_000_000
_MAX_ATTEMPTS: Final = 3
_MAX_REPRICED: Final = 8
_MAX_FOLLOWED: Final = 100_000

_log: Final = logging.getLogger(__name__)


class Settler:
    """Drives settlements on several chains over one log. One task per payment at a time is the caller's business."""

    def __init__(
        self, chains: Mapping[str, Chain], settlements: SettlementLog, clock: Clock, *, patience_us: int = PATIENCE_US
    ) -> None:
        self._chains = chains
        self._settlements = settlements
        self._clock = clock
        self._patience_us = patience_us
        self._typical_wait_us: dict[str, int] = {}
        self._followed: OrderedDict[str, tuple[str, Settlement]] = OrderedDict()

    async def settle(self, signed: SignedAuthorization, *, charged_atomic: int | None) -> SettlementRecord:
        """From wherever the record stands to its end, or to where the watching is over (then it is still open). The record
        may be that of another payment with the same nonce. FacilitatorUnavailableError: nothing was sent."""
        record = await self._settlements.intend(signed, charged_atomic=charged_atomic)
        if record.signed.authorization != signed.authorization:
            return record
        if record.moves_nothing and record.end is None:
            return await self._settlements.confirmed(record, Settlement("confirmed", ""), latency_ms=0)
        for _ in range(_MAX_ATTEMPTS):
            if record.final is not None:
                break
            record = await (self.look(record) if record.open_transactions else self._send_new(record))
            if record.open_transactions:
                record = await self._watch(record)
            if record.open_transactions or not _may_try_again(record):
                break
        if record.final is None and not record.open_transactions:
            reason = record.end.reason if isinstance(record.end, events.SettlementFailed) else "no transaction"
            raise FacilitatorUnavailableError(f"The chain did not take the settlement: {reason}")
        return record

    async def look(self, record: SettlementRecord) -> SettlementRecord:
        """Ask the chain for the open transaction's end, and write it. Send it again when the chain does not know it."""
        if not record.open_transactions:
            return record
        settled = await self._ask(record)
        if settled.state == "not_found":
            return await self._send(record, record.open_transactions[0])
        return await self._write_end(record, settled, latency_ms=0)

    async def recover(self, record: SettlementRecord) -> SettlementRecord:
        """For a payment whose last attempt counts as not taken, while the chain says that its nonce is used: nodes refuse what
        they took, too. When this payment's money moved, that is written, as one more attempt by the same transaction.

        ChainUnavailableError when the chain does not say."""
        prepared = record.prepared
        if prepared is None or record.open_transactions or record.final is not None:
            return record
        chain = self._chains[record.intent.network]
        found = await chain.settlement(
            prepared.transaction, record.signed.authorization, value_atomic=record.charged_atomic
        )
        if found.state != "confirmed":
            return record
        raw = bytes.fromhex(prepared.raw_transaction[2:])
        again = await self._settlements.prepared(record, Prepared(prepared.transaction, raw, prepared.account_nonce))
        return await (self._again(record) if again is None else self._write_end(again, found, latency_ms=0))

    # ---- after the end

    def follow(self, confirmed: events.SettlementConfirmed) -> None:
        """Watch whether a confirmed settlement's block stays; for those of earlier runs."""
        settled = Settlement(
            "confirmed", confirmed.transaction, confirmed.block_number, block_hash=confirmed.block_hash
        )
        self._follow(confirmed.claim_key, confirmed.network, settled)

    @property
    def followed(self) -> int:
        """How many confirmed settlements may still be taken back."""
        return len(self._followed)

    async def tend(self) -> list[SettlementRecord]:
        """Ask once for every followed settlement. Those that were taken back are written as open again, and returned."""
        reopened: list[SettlementRecord] = []
        for key, (network, settled) in list(self._followed.items()):
            chain = self._chains.get(network)
            if not isinstance(chain, PublicChain):
                self._followed.pop(key, None)
                continue
            try:
                standing = await chain.standing(settled)
                if standing == "final":
                    self._followed.pop(key, None)
                elif standing == "gone":
                    record = await self._taken_back(key, chain, settled)
                    if record is not None:
                        reopened.append(record)
            except ChainError as error:
                _log.warning("the chain does not say whether %s still stands: %s", settled.transaction_hash, error)
        return reopened

    async def _taken_back(self, key: str, chain: PublicChain, settled: Settlement) -> SettlementRecord | None:
        """The settlement's block is gone: it stands in another one, or it is open again."""
        record = await self._settlements.find(key)
        if record is None or not isinstance(record.final, events.SettlementConfirmed):
            self._followed.pop(key, None)
            return None
        now = await chain.settlement(
            settled.transaction_hash, record.signed.authorization, value_atomic=record.charged_atomic
        )
        if now.state == "confirmed":
            self._followed[key] = (record.intent.network, now)
            return None
        self._followed.pop(key, None)
        _log.warning("the chain took the block of %s back; it is sent again", settled.transaction_hash)
        return await self._settlements.reopened(record)

    def _follow(self, key: str, network: str, settled: Settlement) -> None:
        if settled.block_hash is None or not isinstance(self._chains.get(network), PublicChain):
            return
        self._followed[key] = (network, settled)
        while len(self._followed) > _MAX_FOLLOWED:
            self._followed.popitem(last=False)

    # ---- sending

    async def _send_new(self, record: SettlementRecord) -> SettlementRecord:
        """A new attempt: sign, write, send. The transaction is given back when another process was first."""
        chain, signed = self._chains[record.intent.network], record.signed
        transaction = record.taken_back
        if transaction is None:
            try:
                transaction = await chain.prepare(
                    signed.authorization, signed.signature, value_atomic=record.charged_atomic, permit=signed.permit
                )
            except LifeError as error:
                raise FacilitatorUnavailableError(f"The settlement can't be prepared: {error.message}") from error
        written: SettlementRecord | None = None
        try:
            written = await self._settlements.prepared(record, transaction)
        finally:
            if written is None:
                # Another process's transaction stands in the journal, or none. (Should the write have failed after it
                # was stored, these bytes are sent again later, under an account nonce that is taken by then, and the
                # chain refuses them.)
                await chain.abandon(transaction)
        if written is None:
            return await self._again(record)
        return await self._send(written, transaction)

    async def _send(self, record: SettlementRecord, transaction: Prepared) -> SettlementRecord:
        """Broadcast; a transaction that was not taken ends its attempt."""
        chain = self._chains[record.intent.network]
        try:
            await chain.broadcast(transaction)
        except ChainRefusedError as error:
            ended = await self._settlements.failed(
                record, error.message, transaction=transaction.transaction_hash, sent=False
            )
            await chain.abandon(transaction)
            return ended
        except ChainUnavailableError as error:
            _log.warning("the broadcast of %s has no answer: %s", transaction.transaction_hash, error)
        return record

    async def _reprice(self, record: SettlementRecord) -> SettlementRecord:
        """Send a replacement with higher fees. That the node does not take it ends nothing: one of the others may have
        been executed meanwhile."""
        chain = self._chains[record.intent.network]
        if not isinstance(chain, PublicChain) or len(record.repriced) >= _MAX_REPRICED:
            return record
        try:
            replacement = await chain.reprice(record.open_transactions[0])
        except ChainError as error:
            _log.warning("a waiting transaction can't be repriced: %s", error)
            return record
        written = await self._settlements.repriced(record, replacement)
        if written is None:
            return await self._again(record)
        try:
            await chain.broadcast(replacement)
        except ChainError as error:
            _log.warning("the replacement %s was not taken: %s", replacement.transaction_hash, error)
        return written

    # ---- watching

    async def _watch(self, record: SettlementRecord) -> SettlementRecord:
        """Poll until the chain has spoken: after what it usually takes, then slower and slower."""
        network = record.intent.network
        usual_us = self._typical_wait_us.get(network, 0)
        began_us = sent_us = self._clock.monotonic_us()
        pause_us = _FIRST_POLL_US
        if usual_us > _FIRST_POLL_US:
            await self._clock.sleep_us(usual_us * 3 // 4)
        while record.open_transactions:
            now_us = self._clock.monotonic_us()
            try:
                settled = await self._ask(record)
                if settled.state == "not_found" and now_us - sent_us > _RESEND_US:
                    sent_us = now_us
                    record = await self._send(record, record.open_transactions[0])
                elif settled.state == "pending" and now_us - sent_us > self._patience_us:
                    sent_us = now_us
                    record = await self._reprice(record)
                elif settled.state in ("confirmed", "reverted"):
                    waited_us = self._clock.monotonic_us() - began_us
                    self._typical_wait_us[network] = (usual_us + waited_us) // 2 if usual_us else waited_us
                    record = await self._write_end(record, settled, latency_ms=waited_us // 1000)
            except ChainUnavailableError as error:
                _log.warning("the chain does not answer for %s: %s", record.intent.claim_key, error)
            if not record.open_transactions or now_us - began_us > WATCH_US:
                break
            await self._clock.sleep_us(pause_us)
            pause_us = min(pause_us * 3 // 2, _SLOWEST_POLL_US)
        return record

    async def _ask(self, record: SettlementRecord) -> Settlement:
        """What became of whichever of the open transactions was executed; pending while one of them waits."""
        chain, authorization = self._chains[record.intent.network], record.signed.authorization
        found: Settlement | None = None
        for transaction in record.open_transactions:
            settled = await chain.settlement(
                transaction.transaction_hash, authorization, value_atomic=record.charged_atomic
            )
            if settled.state in ("confirmed", "reverted"):
                return settled
            if found is None or settled.state == "pending":
                found = settled
        assert found is not None  # there is an open transaction
        return found

    async def _write_end(self, record: SettlementRecord, settled: Settlement, *, latency_ms: int) -> SettlementRecord:
        if settled.state == "confirmed":
            self._follow(record.intent.claim_key, record.intent.network, settled)
            return await self._settlements.confirmed(record, settled, latency_ms=latency_ms)
        if settled.state == "reverted":
            return await self._settlements.failed(
                record, settled.reason or codes.TRANSACTION_FAILED, transaction=settled.transaction_hash, sent=True
            )
        return record

    async def _again(self, record: SettlementRecord) -> SettlementRecord:
        found = await self._settlements.find(record.intent.claim_key)
        return record if found is None else found


def _may_try_again(record: SettlementRecord) -> bool:
    """Whether another attempt may follow at once: after a refusal that was about the account nonce, which the next attempt
    has new, not about gas money; and where another process was first."""
    end = record.end
    if end is None or record.reopened is not None:
        return True
    return (
        isinstance(end, events.SettlementFailed)
        and not end.sent
        and any(word in end.reason for word in ("nonce", "replace"))
    )
