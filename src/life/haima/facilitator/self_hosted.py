"""A facilitator of one's own: checks payments and settles them on its chains, each at most once.

Settling one payment, step by step:

    1  everything that costs nothing: shape, recipient, amount, window, signature with a low s
    2  is there a record of it? then its result, or the road on from where it stands
    3  the chain's dry run: funds, nonce, a token that is one, a contract's signature. Up to here no gas was spent and
       nothing was promised
    4  intent on disk → transaction signed → its hash and bytes on disk → sent → the chain's word → end on disk

Whoever calls at the same time waits for the same settlement. Whoever calls later gets the first result. Other processes over
the same journal do the same, because every step's event has an id derived from the payment and only one of them gets
written; a process that dies leaves a record that any other can finish, and sending the same bytes again is harmless. After
`wait_us` without the chain's word the answer is `settlement_pending` with the hash, while the watching goes on.

Schemes: `exact` by EIP-3009 and by Permit2, also of payers that are contracts, and `upto`. An `upto` payment settles once, for
the first amount that is asked; the chain forgets a charge of 0, this facilitator does not.

Source: x402.md §3.1 to §3.3, §12 rows 1 to 7, §16.7, §16.10; haima.md HM-X402-5; ARCHITECTURE.md decisions 4 and 7.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from life.aios.errors import InvalidInputError, LifeError
from life.aios.json import JsonObject
from life.aios.ports.chain import Chain, PublicChain, Refusal
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import PermitTransfer
from life.aios.ports.journal import Journal
from life.aios.record import Stream
from life.haima import events
from life.haima.errors import (
    ChainError,
    ChainRefusedError,
    FacilitatorUnavailableError,
    MalformedPaymentError,
    OutcomeUnknownError,
    PaymentRefusedError,
)
from life.haima.facilitator.fees import FEE_ATOMIC, FEE_BPS, FeeSchedule
from life.haima.facilitator.observer import UNOBSERVED, FacilitatorObserver
from life.haima.facilitator.port import REPEATABLE_SETTLEMENT
from life.haima.facilitator.settlement_log import SettlementLog
from life.haima.facilitator.settlement_record import SettlementRecord
from life.haima.facilitator.settler import PATIENCE_US, Settler
from life.haima.x402 import codes, exact, schemes, upto
from life.haima.x402.authorization import SignedAuthorization, is_signed_by_key, latest_moment_s
from life.haima.x402.networks import BUILT_IN, NetworkRegistry
from life.haima.x402.wire import (
    EIP2612_GAS_SPONSORING,
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
TEND_US: Final = 5_000_000
"""How often confirmed settlements are looked after whose blocks may still be taken back."""
FOLLOWED_FOR_US: Final = 3_600_000_000
"""A start looks after confirmations that are not older than this."""
_SLOWEST_RETRY_US: Final = 600_000_000
_NOT_WORTH_A_RECORD: Final = (
    codes.INVALID_SIGNATURE,
    codes.PERMIT2_INVALID_SIGNATURE,
    codes.FACTORY_NOT_ALLOWED,
    codes.UNDEPLOYED_SMART_WALLET,
)
"""What anybody can provoke without a key; recorded, it would let strangers fill the disk (W16)."""
_REMEMBERED: Final = 4096

_log: Final = logging.getLogger(__name__)


class _Owed(NamedTuple):
    """A settlement that was taken back, and when it is tried again."""

    record: SettlementRecord
    next_us: int
    pause_us: int


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
        patience_us: int = PATIENCE_US,
        tend_us: int = TEND_US,
        fee_bps: int = 0,
        observer: FacilitatorObserver | None = None,
    ) -> None:
        """One chain per network. `signers` are the gas accounts that `/supported` names, by CAIP-2 pattern. `fee_bps` is owed
        by payees and collected by invoice (`life.haima.facilitator.fees`). A transaction that waits longer than
        `patience_us` is sent again for a higher fee."""
        self._chains = {chain.network: chain for chain in chains}
        if len(self._chains) != len(chains) or not chains:
            raise InvalidInputError("A facilitator needs at least one chain, and one per network.")
        self._clock = clock
        self._registry = registry
        self._signers = {pattern: tuple(addresses) for pattern, addresses in signers.items()}
        self._wait_us = wait_us
        self._fees = FeeSchedule(fee_bps, registry)
        self._settlements = SettlementLog(journal, clock, entropy, agent_id=agent_id, stream=stream, fees=self._fees)
        self._settler = Settler(self._chains, self._settlements, clock, patience_us=patience_us)
        self._tend_us = tend_us
        self._tending: asyncio.Task[None] | None = None
        self._observer = observer or UNOBSERVED
        self._running: dict[str, asyncio.Task[SettlementResponse]] = {}
        self._finished: OrderedDict[str, SettlementRecord] = OrderedDict()
        self._owed: dict[str, _Owed] = {}

    @property
    def open_settlements(self) -> int:
        """How many settlements are under way."""
        return len(self._running)

    # ---- the port

    async def repeatable(self) -> bool:
        """Yes: every settlement is on record before it is sent."""
        return True

    async def supported(self) -> SupportedResponse:
        """Schemes `exact` and `upto` on every chain, and `exact` under x402 version 1 where a network has a short name."""
        return SupportedResponse(
            kinds=tuple(kind for chain in self._chains.values() for kind in self._kinds(chain)),
            extensions=(EIP2612_GAS_SPONSORING, REPEATABLE_SETTLEMENT),
            signers=self._signers,
        )

    async def verify(self, payload: PaymentPayload, requirements: PaymentRequirements) -> VerifyResponse:
        """Steps 1 to 3. FacilitatorUnavailableError when the chain can't be asked."""
        reason = codes.UNEXPECTED_VERIFY_ERROR
        try:
            answer = await self._verify(payload, requirements)
            reason = answer.invalid_reason or ""
            return answer
        finally:
            self._observer.verified(self._known_network(requirements), reason)

    async def settle(self, payload: PaymentPayload, requirements: PaymentRequirements) -> SettlementResponse:
        """All steps. FacilitatorUnavailableError means that nothing was sent for this payment."""
        began_us = self._clock.monotonic_us()
        reason = codes.UNEXPECTED_SETTLE_ERROR
        try:
            answer = await self._settle(payload, requirements)
            reason = "" if answer.success else answer.error_reason or codes.UNEXPECTED_SETTLE_ERROR
            return answer
        finally:
            duration_us = self._clock.monotonic_us() - began_us
            self._observer.settled(self._known_network(requirements), reason, duration_us)

    async def aclose(self) -> None:
        """Stop watching. What is open stays in the journal, for the next start."""
        running: list[asyncio.Task[SettlementResponse] | asyncio.Task[None]] = list(self._running.values())
        if self._tending is not None:
            running.append(self._tending)
            self._tending = None
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def start(self) -> int:
        """Take up what an earlier process left open, before new work: send it again where the chain does not know it, and
        write the ends that are known by now. How many stay open (they are being watched)."""
        left_open = 0
        opened = await self._settlements.open(recent_since_us=self._clock.now_us() - FOLLOWED_FOR_US)
        for key in opened.keys:
            record = await self._settlements.find(key)
            if record is None or record.intent.network not in self._chains:
                continue
            if key not in opened.owed and not record.open_transactions:
                continue  # never sent; the next call decides anew
            try:
                record = await self._settler.look(record)
                if record.open_transactions:
                    record = await self._settler.look(record)  # what was sent again may have been settled at once
            except ChainError as error:
                _log.warning("a settlement stays open: %s", error)
            if key in opened.owed and record.final is None:
                self._owe(record)
            if record.open_transactions or (key in opened.owed and record.final is None):
                left_open += 1
                self._begin(record.signed, record.charged_atomic)
        for confirmed in opened.recent:
            self._settler.follow(confirmed)
        if self._tending is None and any(isinstance(chain, PublicChain) for chain in self._chains.values()):
            self._tending = asyncio.ensure_future(self._tend())
        return left_open

    # ---- answers

    async def _verify(self, payload: PaymentPayload, requirements: PaymentRequirements) -> VerifyResponse:
        read = self._read(payload, requirements)
        if isinstance(read, Refusal):
            return VerifyResponse(is_valid=False, invalid_reason=read.code, invalid_message=read.message)
        refusal = self._check_offline(read, requirements) or await self._check_unused(read)
        refusal = refusal or await self._check_on_chain(read)
        if refusal is not None:
            return VerifyResponse(
                is_valid=False, payer=read.payer, invalid_reason=refusal.code, invalid_message=refusal.message
            )
        return VerifyResponse(is_valid=True, payer=read.payer)

    async def _settle(self, payload: PaymentPayload, requirements: PaymentRequirements) -> SettlementResponse:
        read = self._read(payload, requirements)
        if isinstance(read, Refusal):
            return _refused(requirements.network, read)
        # A record outlives the payment's window, so the window is asked for only where there is none.
        refusal = self._check_offline(read, requirements, at_s=latest_moment_s(read), settling=True)
        if refusal is not None:
            return _refused(requirements.network, refusal, read)
        charged = schemes.charged_atomic(read, requirements)
        record = self._finished.get(read.key) or await self._settlements.find(read.key)
        if record is not None:
            refusal = _conflict(record, read, charged)
            if refusal is not None:
                return _refused(requirements.network, refusal, read)
            if record.final is not None:
                return self._answer(record)
        if record is None or not (record.open_transactions or record.reopened):
            refusal = self._check_offline(read, requirements, settling=True)
            refusal = refusal or await self._check_on_chain(read, charged)
            if refusal is not None and record is not None and refusal.code == codes.NONCE_ALREADY_USED:
                record = await self._recover(record)
                if record.final is not None:
                    return self._answer(record)
            if refusal is not None:
                if refusal.code not in _NOT_WORTH_A_RECORD:
                    await self._settlements.refused(read, refusal.code)
                return _refused(requirements.network, refusal, read)
        return await self._join(read, charged)

    def _kinds(self, chain: Chain) -> list[SupportedKind]:
        fee = self._fees.disclosure()
        kinds = [
            SupportedKind(x402_version=X402_VERSION, scheme=exact.SCHEME, network=chain.network, extra=fee or None)
        ]
        bound: JsonObject = {upto.FACILITATOR_KEY: chain.settler, **fee}
        kinds.append(SupportedKind(x402_version=X402_VERSION, scheme=upto.SCHEME, network=chain.network, extra=bound))
        known = self._registry.network(chain.network)
        if known is not None and known.alias:
            kinds.append(SupportedKind(x402_version=1, scheme=exact.SCHEME, network=known.alias, extra=fee or None))
        return kinds

    def _known_network(self, requirements: PaymentRequirements) -> str:
        """For metrics: strangers can't make up names."""
        return requirements.network if requirements.network in self._chains else "other"

    # ---- checks

    def _read(self, payload: PaymentPayload, requirements: PaymentRequirements) -> SignedAuthorization | Refusal:
        if requirements.network not in self._chains:
            return Refusal(codes.INVALID_NETWORK, f"This facilitator does not settle on {requirements.network[:80]}.")
        try:
            return schemes.parse(payload, requirements, registry=self._registry)
        except MalformedPaymentError as error:
            return Refusal(codes.INVALID_PAYLOAD, error.message)
        except PaymentRefusedError as error:
            return Refusal(error.reason, error.message)

    def _check_offline(
        self,
        signed: SignedAuthorization,
        requirements: PaymentRequirements,
        *,
        at_s: int | None = None,
        settling: bool = False,
    ) -> Refusal | None:
        now_s = self._clock.now_us() // 1_000_000 if at_s is None else at_s
        authorization = signed.authorization
        if isinstance(authorization, PermitTransfer) and authorization.facilitator is not None:
            settler = self._chains[authorization.network].settler
            if authorization.facilitator.lower() != settler.lower():
                return Refusal(codes.UPTO_FACILITATOR_MISMATCH, "The payment was signed for another facilitator.")
        return schemes.verify_offline(signed, requirements, now_s=now_s, contracts=True, settling=settling)

    async def _check_unused(self, signed: SignedAuthorization) -> Refusal | None:
        """An `upto` payment that was settled for nothing is used up, although the chain does not know."""
        if signed.scheme != upto.SCHEME:
            return None
        record = self._finished.get(signed.key) or await self._settlements.find(signed.key)
        if record is None or (record.final is None and not record.open_transactions):
            return None
        return Refusal(codes.NONCE_ALREADY_USED, "This payment was settled before, or is being settled.")

    async def _check_on_chain(self, signed: SignedAuthorization, charged: int | None = None) -> Refusal | None:
        if charged == 0 and is_signed_by_key(signed.authorization, signed.signature):
            return None  # nothing will move
        chain = self._chains[signed.authorization.network]
        try:
            return await chain.check(
                signed.authorization, signed.signature, value_atomic=charged or None, permit=signed.permit
            )
        except ChainRefusedError as error:
            return Refusal(error.reason, error.message)
        except ChainError as error:
            raise FacilitatorUnavailableError(f"The chain can't be asked: {error.message}") from error

    async def _recover(self, record: SettlementRecord) -> SettlementRecord:
        try:
            return await self._settler.recover(record)
        except ChainError as error:
            raise OutcomeUnknownError(f"The payment was sent, and the chain can't be asked: {error.message}") from error

    # ---- settling

    async def _join(self, signed: SignedAuthorization, charged: int | None) -> SettlementResponse:
        """Wait for the one settlement of this payment, for `wait_us` at most."""
        task = self._begin(signed, charged)
        timer = asyncio.ensure_future(self._clock.sleep_us(self._wait_us))
        try:
            await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
        if task.done() and not task.cancelled():
            return task.result()
        record = await self._settlements.find(signed.key)
        if record is not None and record.prepared is not None:
            return self._answer(record)
        raise OutcomeUnknownError("The settlement has begun, and the chain does not answer.")

    def _begin(self, signed: SignedAuthorization, charged: int | None) -> asyncio.Task[SettlementResponse]:
        task = self._running.get(signed.key)
        if task is None:
            task = asyncio.ensure_future(self._drive(signed, charged))
            self._running[signed.key] = task
            task.add_done_callback(lambda done: self._ended(signed.key, done))
        return task

    def _ended(self, key: str, task: asyncio.Task[SettlementResponse]) -> None:
        self._running.pop(key, None)
        if not task.cancelled() and task.exception() is not None and not isinstance(task.exception(), LifeError):
            _log.error("settling failed unexpectedly", exc_info=task.exception())

    async def _drive(self, signed: SignedAuthorization, charged: int | None) -> SettlementResponse:
        """Step 4, from wherever the record stands. Ends with a final answer, or pending when the watching is over."""
        record = await self._settler.settle(signed, charged_atomic=charged)
        refusal = _conflict(record, signed, charged)
        if refusal is not None:
            return _refused(signed.authorization.network, refusal, signed)
        if record.final is not None:
            self._finished[record.intent.claim_key] = record
            while len(self._finished) > _REMEMBERED:
                self._finished.popitem(last=False)
        return self._answer(record)

    async def _tend(self) -> None:
        """Look after confirmed settlements whose blocks may still be taken back, and take up those that were."""
        while True:
            await self._clock.sleep_us(self._tend_us)
            if not self._settler.followed and not self._owed:
                continue
            try:
                for record in await self._settler.tend():
                    self._finished.pop(record.intent.claim_key, None)
                    self._owe(record)
            except LifeError:
                _log.exception("confirmed settlements could not be looked after")
            self._pay_what_is_owed()

    def _owe(self, record: SettlementRecord) -> None:
        """Somebody was told that this settlement is confirmed, and it is not any more."""
        self._owed[record.intent.claim_key] = _Owed(record, 0, self._tend_us)

    def _pay_what_is_owed(self) -> None:
        """Settle again what was taken back, until it has an end: its seller will not ask for it. After a failure (an empty gas
        account, say) it waits twice as long each time."""
        now_us = self._clock.monotonic_us()
        for key, owed in list(self._owed.items()):
            if key in self._finished:
                del self._owed[key]
            elif key not in self._running and now_us >= owed.next_us:
                pause_us = min(owed.pause_us * 2, _SLOWEST_RETRY_US)
                self._owed[key] = _Owed(owed.record, now_us + pause_us, pause_us)
                self._begin(owed.record.signed, owed.record.charged_atomic)

    def _answer(self, record: SettlementRecord) -> SettlementResponse:
        """What the record says, as x402 says it. A scheme `upto` answer names the amount that moved."""
        intent, end = record.intent, record.final
        if isinstance(end, events.SettlementConfirmed):
            fee = self._fees.of(record.moved_atomic)
            return SettlementResponse(
                success=True,
                transaction=end.transaction,
                network=intent.network,
                payer=intent.payer,
                amount=intent.charged_atomic,
                extra={FEE_BPS: self._fees.bps, FEE_ATOMIC: str(fee)} if self._fees.bps else None,
            )
        if end is not None:
            return SettlementResponse(
                success=False,
                transaction=end.transaction,
                network=intent.network,
                payer=intent.payer,
                error_reason=end.reason,
                error_message="The transaction moved no money.",
            )
        pending = record.open_transactions or ((record.taken_back,) if record.taken_back is not None else ())
        return SettlementResponse(
            success=False,
            transaction=pending[0].transaction_hash if pending else "",
            network=intent.network,
            payer=intent.payer,
            error_reason=codes.SETTLEMENT_PENDING,
            error_message="The transaction is out, and the chain has not confirmed it yet. Repeat the identical call.",
        )


def _conflict(record: SettlementRecord, signed: SignedAuthorization, charged: int | None) -> Refusal | None:
    """Why a record does not answer for this payment, although it has the same nonce."""
    known = record.signed
    if known.authorization != signed.authorization:
        # The payer signed two payments with one nonce; the chain will never move the second.
        return Refusal(codes.NONCE_ALREADY_USED, "The nonce is taken.")
    if known.signature != signed.signature and not is_signed_by_key(signed.authorization, signed.signature):
        is_permit = isinstance(signed.authorization, PermitTransfer)
        code = codes.PERMIT2_INVALID_SIGNATURE if is_permit else codes.INVALID_SIGNATURE
        return Refusal(code, "This payment was presented with another signature.")
    if record.charged_atomic != charged:
        return Refusal(codes.DUPLICATE_SETTLEMENT, f"This payment was settled for {record.charged_atomic}.")
    return None


def _refused(network: str, refusal: Refusal, signed: SignedAuthorization | None = None) -> SettlementResponse:
    return SettlementResponse(
        success=False,
        transaction="",
        network=network,
        payer=None if signed is None else signed.payer,
        error_reason=refusal.code,
        error_message=refusal.message,
    )
