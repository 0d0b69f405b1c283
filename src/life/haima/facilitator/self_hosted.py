"""A facilitator of one's own: checks payments and settles them on its chains, each at most once.

Settling one payment, step by step:

    1  everything that costs nothing: shape, recipient, amount, window, signature with a low s
    2  is there a record of it? then its result, or the road on from where it stands
    3  the chain's dry run: funds, nonce, a token that is one. Up to here no gas was spent and nothing was promised
    4  intent on disk → transaction signed → its hash and bytes on disk → sent → the chain's word → end on disk

Whoever calls at the same time waits for the same settlement. Whoever calls later gets the first result. Other processes over
the same journal do the same, because every step's event has an id derived from the payment and only one of them gets
written; a process that dies leaves a record that any other can finish, and sending the same bytes again is harmless. After
`wait_us` without the chain's word the answer is `settlement_pending` with the hash, while the watching goes on.

Source: x402.md §3.1, §12 rows 1 to 7, §16.7; haima.md HM-X402-5; ARCHITECTURE.md decisions 4 and 7.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from life.aios.errors import InvalidInputError, LifeError
from life.aios.ports.chain import Chain, Prepared, Refusal, Settlement
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.record import Stream
from life.haima import events
from life.haima.errors import (
    ChainError,
    ChainRefusedError,
    ChainUnavailableError,
    FacilitatorUnavailableError,
    MalformedPaymentError,
    OutcomeUnknownError,
    PaymentRefusedError,
)
from life.haima.facilitator.port import REPEATABLE_SETTLEMENT
from life.haima.facilitator.settlement_log import SettlementLog, SettlementRecord
from life.haima.x402 import codes, exact
from life.haima.x402.exact import SignedAuthorization
from life.haima.x402.networks import BUILT_IN, NetworkRegistry
from life.haima.x402.wire import (
    X402_VERSION,
    PaymentPayload,
    PaymentRequirements,
    SettlementResponse,
    SupportedKind,
    SupportedResponse,
    VerifyResponse,
)

STREAM: Final = Stream("facilitator")
WAIT_US: Final = 20_000_000
"""How long a call waits for the chain's word before it answers `settlement_pending`."""
WATCH_US: Final = 600_000_000
"""How long an unconfirmed transaction is watched after that; later calls take it up again."""
_FIRST_POLL_US: Final = 50_000
_SLOWEST_POLL_US: Final = 2_000_000
_RESEND_US: Final = 15_000_000
_MAX_ATTEMPTS_PER_CALL: Final = 3
_REMEMBERED: Final = 4096

_log: Final = logging.getLogger(__name__)


class SelfHostedFacilitator:
    """A Facilitator over Chain ports. Call `start` once before use, `aclose` at the end; share one instance."""

    def __init__(
        self,
        chains: Sequence[Chain],
        journal: Journal,
        clock: Clock,
        entropy: Entropy,
        *,
        agent_id: str = "facilitator",
        stream: Stream = STREAM,
        registry: NetworkRegistry = BUILT_IN,
        signers: Mapping[str, Sequence[str]] = MappingProxyType({}),
        wait_us: int = WAIT_US,
    ) -> None:
        """One chain per network. `signers` are the gas accounts that `/supported` names, by CAIP-2 pattern."""
        self._chains = {chain.network: chain for chain in chains}
        if len(self._chains) != len(chains) or not chains:
            raise InvalidInputError("A facilitator needs at least one chain, and one per network.")
        self._clock = clock
        self._registry = registry
        self._signers = {pattern: tuple(addresses) for pattern, addresses in signers.items()}
        self._wait_us = wait_us
        self._settlements = SettlementLog(journal, clock, entropy, agent_id=agent_id, stream=stream)
        self._running: dict[str, asyncio.Task[SettlementResponse]] = {}
        self._finished: OrderedDict[str, SettlementRecord] = OrderedDict()
        self._typical_wait_us: dict[str, int] = {}

    # ---- the port

    async def repeatable(self) -> bool:
        """Yes: every settlement is on record before it is sent."""
        return True

    async def supported(self) -> SupportedResponse:
        """Scheme `exact` on every chain."""
        return SupportedResponse(
            kinds=tuple(
                SupportedKind(x402_version=X402_VERSION, scheme=exact.SCHEME, network=network)
                for network in self._chains
            ),
            extensions=(REPEATABLE_SETTLEMENT,),
            signers=self._signers,
        )

    async def verify(self, payload: PaymentPayload, requirements: PaymentRequirements) -> VerifyResponse:
        """Steps 1 to 3. FacilitatorUnavailableError when the chain can't be asked."""
        read = self._read(payload, requirements)
        if isinstance(read, Refusal):
            return VerifyResponse(is_valid=False, invalid_reason=read.code, invalid_message=read.message)
        refusal = self._check_offline(read, requirements) or await self._check_on_chain(read)
        if refusal is not None:
            return VerifyResponse(
                is_valid=False, payer=read.payer, invalid_reason=refusal.code, invalid_message=refusal.message
            )
        return VerifyResponse(is_valid=True, payer=read.payer)

    async def settle(self, payload: PaymentPayload, requirements: PaymentRequirements) -> SettlementResponse:
        """All steps. FacilitatorUnavailableError means that nothing was sent for this payment."""
        read = self._read(payload, requirements)
        if isinstance(read, Refusal):
            return _refused(requirements.network, read)
        # A record outlives the payment's window, so the window is asked for only where there is none.
        refusal = self._check_offline(read, requirements, at_s=_some_moment_of(read))
        if refusal is not None:
            return _refused(requirements.network, refusal, read)
        record = self._finished.get(read.key) or await self._settlements.find(read.key)
        if record is not None and record.signed.authorization != read.authorization:
            # The payer signed two payments with one nonce; the token will never move the second.
            return _refused(requirements.network, Refusal(codes.NONCE_ALREADY_USED, "The nonce is taken."), read)
        if record is not None and record.final is not None:
            return _answer(record)
        if record is None or record.open_transaction is None:
            refusal = self._check_offline(read, requirements) or await self._check_on_chain(read)
            if refusal is not None:
                await self._settlements.refused(read, refusal.code)
                return _refused(requirements.network, refusal, read)
        return await self._join(read)

    async def aclose(self) -> None:
        """Stop watching. What is open stays in the journal, for the next start."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def start(self) -> int:
        """Take up what an earlier process left open, before new work: send it again where the chain does not know it, and
        write the ends that are known by now. How many stay open (they are being watched)."""
        left_open = 0
        for key in await self._settlements.open_keys():
            record = await self._settlements.find(key)
            if record is None or record.final is not None or record.open_transaction is None:
                continue  # never sent; the next call decides anew
            try:
                record = await self._look(record)
                if record.open_transaction is not None:
                    record = await self._look(record)  # what was sent again may have been settled at once
            except ChainError as error:
                _log.warning("a settlement stays open: %s", error)
            if record.open_transaction is not None:
                left_open += 1
                self._begin(record.signed)
        return left_open

    # ---- checks

    def _read(self, payload: PaymentPayload, requirements: PaymentRequirements) -> SignedAuthorization | Refusal:
        if requirements.network not in self._chains:
            return Refusal(codes.INVALID_NETWORK, f"This facilitator does not settle on {requirements.network[:80]}.")
        try:
            return exact.parse_exact(payload, requirements, registry=self._registry)
        except MalformedPaymentError as error:
            return Refusal(codes.INVALID_PAYLOAD, error.message)
        except PaymentRefusedError as error:
            return Refusal(error.reason, error.message)

    def _check_offline(
        self, signed: SignedAuthorization, requirements: PaymentRequirements, *, at_s: int | None = None
    ) -> Refusal | None:
        now_s = self._clock.now_us() // 1_000_000 if at_s is None else at_s
        return exact.verify_offline(signed, requirements, now_s=now_s)

    async def _check_on_chain(self, signed: SignedAuthorization) -> Refusal | None:
        chain = self._chains[signed.authorization.network]
        try:
            return await chain.check(signed.authorization, signed.signature)
        except ChainRefusedError as error:
            return Refusal(error.reason, error.message)
        except ChainError as error:
            raise FacilitatorUnavailableError(f"The chain can't be asked: {error.message}") from error

    # ---- settling

    async def _join(self, signed: SignedAuthorization) -> SettlementResponse:
        """Wait for the one settlement of this payment, for `wait_us` at most."""
        task = self._begin(signed)
        timer = asyncio.ensure_future(self._clock.sleep_us(self._wait_us))
        try:
            await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
        if task.done() and not task.cancelled():
            return task.result()
        record = await self._settlements.find(signed.key)
        if record is not None and record.prepared is not None:
            return _answer(record)
        raise OutcomeUnknownError("The settlement has begun, and the chain does not answer.")

    def _begin(self, signed: SignedAuthorization) -> asyncio.Task[SettlementResponse]:
        task = self._running.get(signed.key)
        if task is None:
            task = asyncio.ensure_future(self._settle(signed))
            self._running[signed.key] = task
            task.add_done_callback(lambda done: self._ended(signed.key, done))
        return task

    def _ended(self, key: str, task: asyncio.Task[SettlementResponse]) -> None:
        self._running.pop(key, None)
        if not task.cancelled() and task.exception() is not None and not isinstance(task.exception(), LifeError):
            _log.error("settling failed unexpectedly", exc_info=task.exception())

    async def _settle(self, signed: SignedAuthorization) -> SettlementResponse:
        """Step 4, from wherever the record stands. Ends with a final answer, or pending when the watching is over."""
        record = await self._settlements.intend(signed)
        if record.signed.authorization != signed.authorization:
            return _refused(
                signed.authorization.network, Refusal(codes.NONCE_ALREADY_USED, "The nonce is taken."), signed
            )
        for _ in range(_MAX_ATTEMPTS_PER_CALL):
            if record.final is not None:
                break
            if record.open_transaction is None:
                record = await self._send_new(record)
            else:
                record = await self._look(record)
            if record.open_transaction is not None:
                record = await self._watch(record)
            if record.open_transaction is not None or (record.end is not None and not _may_try_again(record)):
                break
        if record.final is not None:
            self._remember(record)
        elif record.open_transaction is None:
            reason = record.end.reason if isinstance(record.end, events.SettlementFailed) else "no transaction"
            raise FacilitatorUnavailableError(f"The chain did not take the settlement: {reason}")
        return _answer(record)

    async def _send_new(self, record: SettlementRecord) -> SettlementRecord:
        """A new attempt: sign, write, send. The transaction is given back when another process was first."""
        chain, signed = self._chains[record.intent.network], record.signed
        try:
            transaction = await chain.prepare(signed.authorization, signed.signature)
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

    async def _look(self, record: SettlementRecord) -> SettlementRecord:
        """Ask the chain for the open transaction's end, and write it. Send it again when the chain does not know it."""
        transaction = record.open_transaction
        if transaction is None:
            return record
        chain = self._chains[record.intent.network]
        settled = await chain.settlement(transaction.transaction_hash, record.signed.authorization)
        if settled.state == "not_found":
            return await self._send(record, transaction)
        return await self._write_end(record, settled, latency_ms=0)

    async def _watch(self, record: SettlementRecord) -> SettlementRecord:
        """Poll until the chain has spoken: after what it usually takes, then slower and slower."""
        network = record.intent.network
        chain = self._chains[network]
        usual_us = self._typical_wait_us.get(network, 0)
        began_us = sent_us = self._clock.monotonic_us()
        pause_us = _FIRST_POLL_US
        if usual_us > _FIRST_POLL_US:
            await self._clock.sleep_us(usual_us * 3 // 4)
        while (transaction := record.open_transaction) is not None:
            now_us = self._clock.monotonic_us()
            try:
                settled = await chain.settlement(transaction.transaction_hash, record.signed.authorization)
                if settled.state == "not_found" and now_us - sent_us > _RESEND_US:
                    sent_us = now_us
                    record = await self._send(record, transaction)
                elif settled.state in ("confirmed", "reverted"):
                    waited_us = self._clock.monotonic_us() - began_us
                    self._typical_wait_us[network] = (usual_us + waited_us) // 2 if usual_us else waited_us
                    record = await self._write_end(record, settled, latency_ms=waited_us // 1000)
            except ChainUnavailableError as error:
                _log.warning("the chain does not answer for %s: %s", transaction.transaction_hash, error)
            if record.open_transaction is None or now_us - began_us > WATCH_US:
                break
            await self._clock.sleep_us(pause_us)
            pause_us = min(pause_us * 3 // 2, _SLOWEST_POLL_US)
        return record

    async def _write_end(self, record: SettlementRecord, settled: Settlement, *, latency_ms: int) -> SettlementRecord:
        if settled.state == "confirmed":
            return await self._settlements.confirmed(record, settled, latency_ms=latency_ms)
        if settled.state == "reverted":
            return await self._settlements.failed(
                record, settled.reason or codes.TRANSACTION_FAILED, transaction=settled.transaction_hash, sent=True
            )
        return record

    async def _again(self, record: SettlementRecord) -> SettlementRecord:
        found = await self._settlements.find(record.intent.claim_key)
        return record if found is None else found

    def _remember(self, record: SettlementRecord) -> None:
        self._finished[record.intent.claim_key] = record
        while len(self._finished) > _REMEMBERED:
            self._finished.popitem(last=False)


def _may_try_again(record: SettlementRecord) -> bool:
    """Whether the chain's refusal was about the account nonce, which the next attempt has new; not about gas money."""
    end = record.end
    return (
        isinstance(end, events.SettlementFailed)
        and not end.sent
        and any(word in end.reason for word in ("nonce", "replace"))
    )


def _some_moment_of(signed: SignedAuthorization) -> int:
    """A time at which the payment is valid, if there is any: for every check but the window."""
    return max(signed.authorization.valid_after_s, signed.authorization.valid_before_s - exact.SETTLING_MARGIN_S)


def _answer(record: SettlementRecord) -> SettlementResponse:
    """What the record says, as x402 says it."""
    intent, end = record.intent, record.final
    if isinstance(end, events.SettlementConfirmed):
        return SettlementResponse(success=True, transaction=end.transaction, network=intent.network, payer=intent.payer)
    if end is not None:
        return SettlementResponse(
            success=False,
            transaction=end.transaction,
            network=intent.network,
            payer=intent.payer,
            error_reason=end.reason,
            error_message="The transaction moved no money.",
        )
    return SettlementResponse(
        success=False,
        transaction="" if record.prepared is None else record.prepared.transaction,
        network=intent.network,
        payer=intent.payer,
        error_reason=codes.SETTLEMENT_PENDING,
        error_message="The transaction is out, and the chain has not confirmed it yet. Repeat the identical call.",
    )


def _refused(network: str, refusal: Refusal, signed: SignedAuthorization | None = None) -> SettlementResponse:
    return SettlementResponse(
        success=False,
        transaction="",
        network=network,
        payer=None if signed is None else signed.payer,
        error_reason=refusal.code,
        error_message=refusal.message,
    )
