"""A facilitator for Solana: verifies, signs as fee payer, settles at most once, whatever crashes or repeats.

    read → check offline → simulate → sign as fee payer → intent on disk → send → confirmed → outcome on disk

The id of the transaction is our own signature, so it is known and on disk before anything leaves. A second call for the same
message waits for the first, or finds what is on disk; a transaction whose fate is open is asked about, and sent again only as
the identical bytes, which the chain executes once. It is failed when the chain says so, or when it does not know it and its
block is too old to be taken any more. Peers refuse a repetition for 120 seconds from memory (x402.md §3.6); here it gets the
first one's answer for ever.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Final, Protocol

from life.aios.errors import EventConflictError, InvalidInputError
from life.aios.ids import derived_event_id
from life.aios.money import atomic_to_micro
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import Stream
from life.crypto.errors import InvalidTransactionError
from life.crypto.solana_transfer import TokenTransfer, transaction_id, with_signature
from life.haima.chain.json_rpc import NodeRefusedError
from life.haima.errors import (
    ChainError,
    FacilitatorUnavailableError,
    MalformedPaymentError,
    PaymentRefusedError,
)
from life.haima.events import FinanceEvent, finance_event, read_finance
from life.haima.events.solana import SolanaSettlementConfirmed, SolanaSettlementFailed, SolanaSettlementIntended
from life.haima.facilitator.observer import UNOBSERVED, FacilitatorObserver
from life.haima.facilitator.port import REPEATABLE_SETTLEMENT
from life.haima.solana import exact
from life.haima.solana.exact import SolanaPayment
from life.haima.solana.rpc import SolanaRpc
from life.haima.x402 import codes
from life.haima.x402.wire import (
    X402_VERSION,
    PaymentPayload,
    PaymentRequirements,
    SettlementResponse,
    SupportedKind,
    SupportedResponse,
    VerifyResponse,
)

POLL_US: Final = 500_000
PATIENCE_US: Final = 20_000_000
"""How long a call waits for the chain before it answers `settlement_pending`."""
RESEND_EVERY: Final = 8
"""Polls between two sendings of the same bytes: a node may have dropped them."""
EXPIRED: Final = codes.SVM_EXPIRED
SIMULATION_FAILED: Final = codes.SVM_SIMULATION_FAILED
_DECIMALS: Final = 6
_PAGE: Final = 1_000


class SolanaSigner(Protocol):
    """An Ed25519 account of ours. It signs payment transactions and nothing else."""

    @property
    def address(self) -> str:
        """Base58."""
        ...

    async def sign_transfer(self, transfer: TokenTransfer) -> bytes:
        """64 bytes over the transaction's message."""
        ...


class SolanaFacilitator:
    """The Facilitator port on one Solana network."""

    def __init__(
        self,
        rpc: SolanaRpc,
        signer: SolanaSigner,
        journal: Journal,
        clock: Clock,
        entropy: Entropy,
        *,
        network: str,
        agent_id: str = "facilitator",
        patience_us: int = PATIENCE_US,
        observer: FacilitatorObserver = UNOBSERVED,
    ) -> None:
        """`signer` pays the chain's fees; it must hold SOL and needs no tokens. `observer` is told of every answer."""
        self.network = network
        self._rpc = rpc
        self._signer = signer
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self._agent_id = agent_id
        self._patience_us = patience_us
        self._stream = Stream(f"settlements:{network}")
        self._turns: dict[str, asyncio.Lock] = {}
        self._observer = observer
        self._settling = 0

    @property
    def open_settlements(self) -> int:
        """How many settlements are being asked for now."""
        return self._settling

    @property
    def fee_account(self) -> str:
        """The account that pays the chain's fees, base58."""
        return self._signer.address

    async def fee_lamports(self) -> int:
        """What it holds. InvalidInputError when the node serves another network; ChainError when it does not say."""
        await check_network(self._rpc, self.network)
        return await self._rpc.balance_lamports(self._signer.address)

    async def start(self) -> int:
        """Take up what an earlier run left open; how many stay open."""
        intents: dict[str, SolanaSettlementIntended] = {}
        after = 0
        while True:
            query = EventQuery(self._stream.session_id, self._stream.branch_id, after_sequence=after)
            page = await self._journal.read(query, limit=_PAGE)
            for record in page:
                after = record.sequence
                event = read_finance(record)
                if isinstance(event, SolanaSettlementIntended):
                    intents[event.claim_key] = event
                elif isinstance(event, SolanaSettlementConfirmed | SolanaSettlementFailed):
                    intents.pop(event.claim_key, None)
            if len(page) < _PAGE:
                break
        left = 0
        for intent in intents.values():
            async with self._turn(intent.claim_key):
                left += await self._look(intent) is None
        return left

    async def repeatable(self) -> bool:
        """See Facilitator. It remembers."""
        return True

    async def supported(self) -> SupportedResponse:
        """See Facilitator. The fee payer that terms must name stands in `extra`."""
        kind = SupportedKind(
            x402_version=X402_VERSION,
            scheme=exact.SCHEME,
            network=self.network,
            extra={"feePayer": self._signer.address},
        )
        return SupportedResponse(
            kinds=(kind,), extensions=(REPEATABLE_SETTLEMENT,), signers={"solana:*": (self._signer.address,)}
        )

    async def verify(self, payload: PaymentPayload, requirements: PaymentRequirements) -> VerifyResponse:
        """See Facilitator. A payment that was settled before would not settle now."""
        reason = codes.UNEXPECTED_VERIFY_ERROR
        try:
            payment = self._read(payload, requirements)
            await self._check_chain(payment)
            reason = ""
        except PaymentRefusedError as refused:
            reason = refused.reason
            return VerifyResponse(is_valid=False, invalid_reason=refused.reason, invalid_message=refused.message)
        finally:
            self._observer.verified(self.network, reason)
        return VerifyResponse(is_valid=True, payer=payment.payer)

    async def settle(self, payload: PaymentPayload, requirements: PaymentRequirements) -> SettlementResponse:
        """See Facilitator. The same payment always gets the same answer."""
        began_us, reason = self._clock.monotonic_us(), codes.UNEXPECTED_SETTLE_ERROR
        self._settling += 1
        try:
            answer = await self._settle(payload, requirements)
            reason = "" if answer.success else answer.error_reason or reason
            return answer
        finally:
            self._settling -= 1
            self._observer.settled(self.network, reason, self._clock.monotonic_us() - began_us)

    async def _settle(self, payload: PaymentPayload, requirements: PaymentRequirements) -> SettlementResponse:
        try:
            payment = self._read(payload, requirements)
        except PaymentRefusedError as refused:
            return self._refused(refused)
        async with self._turn(payment.key):
            intent = await self._intent(payment.key)
            if intent is None:
                try:
                    intent = await self._intend(payment, requirements)
                except PaymentRefusedError as refused:
                    # Another process may have settled it since the look: then the chain refuses it as done, not as bad.
                    intent = await self._intent(payment.key)
                    if intent is None:
                        return self._refused(refused)
            return await self._drive(intent)

    async def aclose(self) -> None:
        """See Facilitator."""
        await self._rpc.aclose()

    # ---- a payment that is new

    def _read(self, payload: PaymentPayload, requirements: PaymentRequirements) -> SolanaPayment:
        if requirements.network != self.network:
            raise PaymentRefusedError(codes.INVALID_NETWORK, "This facilitator settles on another network.")
        try:
            payment = exact.read_payment(payload, requirements)
        except MalformedPaymentError as error:
            raise PaymentRefusedError(codes.INVALID_PAYLOAD, error.message) from None
        refusal = exact.verify_offline(payment, requirements, fee_payers=(self._signer.address,))
        if refusal is not None:
            raise PaymentRefusedError(refusal.code, refusal.message)
        return payment

    async def _check_chain(self, payment: SolanaPayment) -> TokenTransfer:
        """The transaction with our signature, when the chain would execute it now."""
        signature = await self._signer.sign_transfer(payment.transfer)
        try:
            signed = with_signature(payment.transfer, self._signer.address, signature)
        except InvalidTransactionError as error:
            raise PaymentRefusedError(exact.TRANSACTION_REFUSED, f"The transaction is refused: {error}.") from None
        try:
            trouble = await self._rpc.simulate(bytes(signed.transaction))
        except NodeRefusedError as refused:
            raise PaymentRefusedError(SIMULATION_FAILED, refused.words) from None
        except ChainError as error:
            raise FacilitatorUnavailableError(error.message) from None
        if trouble is not None:
            raise PaymentRefusedError(SIMULATION_FAILED, f"The chain would refuse it: {trouble}.")
        return signed

    async def _intend(self, payment: SolanaPayment, requirements: PaymentRequirements) -> SolanaSettlementIntended:
        """Put the intent on disk, or find another process's."""
        signed = await self._check_chain(payment)
        try:
            height = (await self._rpc.latest_blockhash()).last_valid_block_height
        except ChainError as error:
            raise FacilitatorUnavailableError(error.message) from None
        intent = SolanaSettlementIntended(
            claim_key=payment.key,
            network=self.network,
            asset=payment.transfer.mint,
            payer=payment.payer,
            payee=requirements.pay_to,
            amount_atomic=str(payment.transfer.amount_atomic),
            transaction=transaction_id(signed),
            raw_transaction=base64.b64encode(bytes(signed.transaction)).decode(),
            # The payer's block is older than the newest one, so this is an upper bound of the height that matters.
            last_valid_block_height=height,
        )
        try:
            await self._append(intent, "intended")
        except EventConflictError:
            theirs = await self._intent(payment.key)
            assert theirs is not None
            return theirs
        return intent

    # ---- a payment that is under way

    async def _drive(self, intent: SolanaSettlementIntended) -> SettlementResponse:
        """Send, wait, look; the answer that is known when patience ends."""
        end = await self._ended(intent.claim_key)
        if end is not None:
            return self._answer(intent, end)
        waited, polls = 0, 0
        while True:
            if polls % RESEND_EVERY == 0:
                try:
                    await self._rpc.send(base64.b64decode(intent.raw_transaction))
                except ChainError:
                    pass  # whether the node took it is what the status says
            end = await self._look(intent)
            if end is not None:
                return self._answer(intent, end)
            if waited >= self._patience_us:
                return SettlementResponse(
                    success=False,
                    transaction=intent.transaction,
                    network=self.network,
                    payer=intent.payer,
                    error_reason=codes.SETTLEMENT_PENDING,
                    error_message="The transaction was sent and is not confirmed yet; ask again with the same payment.",
                )
            await self._clock.sleep_us(POLL_US)
            waited, polls = waited + POLL_US, polls + 1

    async def _look(
        self, intent: SolanaSettlementIntended
    ) -> SolanaSettlementConfirmed | SolanaSettlementFailed | None:
        """Ask the chain, and keep what is final; None while it is open."""
        try:
            # The height is asked first: a transaction that lands in between is then found by the status. A node that lags
            # behind has a lower height, so nothing is given up on its word.
            expired = await self._rpc.block_height() > intent.last_valid_block_height
            status = await self._rpc.status(intent.transaction)
        except ChainError:
            return None
        if status is None:
            return await self._fail(intent, EXPIRED) if expired else None
        if status.error is not None:
            return await self._fail(intent, codes.TRANSACTION_FAILED)
        if not status.is_confirmed:
            return None
        confirmed = SolanaSettlementConfirmed(
            claim_key=intent.claim_key,
            network=self.network,
            transaction=intent.transaction,
            slot=status.slot,
            payer=intent.payer,
            amount_atomic=intent.amount_atomic,
            amount_micro=self._micro(intent),
        )
        return await self._end(confirmed, intent)

    async def _fail(
        self, intent: SolanaSettlementIntended, reason: str
    ) -> SolanaSettlementConfirmed | SolanaSettlementFailed | None:
        failed = SolanaSettlementFailed(
            claim_key=intent.claim_key, network=self.network, transaction=intent.transaction, reason=reason
        )
        return await self._end(failed, intent)

    async def _end(
        self, end: SolanaSettlementConfirmed | SolanaSettlementFailed, intent: SolanaSettlementIntended
    ) -> SolanaSettlementConfirmed | SolanaSettlementFailed | None:
        """Store the end; the one that stands when another process was first."""
        try:
            await self._append(end, "ended")
        except EventConflictError:
            return await self._ended(intent.claim_key)
        return end

    def _micro(self, intent: SolanaSettlementIntended) -> int | None:
        return atomic_to_micro(int(intent.amount_atomic), _DECIMALS) if intent.asset in exact.USDC.values() else None

    # ---- the journal

    async def _intent(self, key: str) -> SolanaSettlementIntended | None:
        found = await self._journal.get(_id("intended", key))
        event = read_finance(found) if found is not None else None
        return event if isinstance(event, SolanaSettlementIntended) else None

    async def _ended(self, key: str) -> SolanaSettlementConfirmed | SolanaSettlementFailed | None:
        found = await self._journal.get(_id("ended", key))
        event = read_finance(found) if found is not None else None
        return event if isinstance(event, SolanaSettlementConfirmed | SolanaSettlementFailed) else None

    async def _append(
        self, event: SolanaSettlementIntended | SolanaSettlementConfirmed | SolanaSettlementFailed, what: str
    ) -> None:
        told: FinanceEvent = event
        await self._journal.append(
            [
                finance_event(
                    told,
                    self._clock,
                    self._entropy,
                    stream=self._stream,
                    agent_id=self._agent_id,
                    event_id=_id(what, event.claim_key),
                )
            ]
        )

    def _turn(self, key: str) -> asyncio.Lock:
        """One call at a time for a payment. Locks that nobody holds are forgotten when there are many."""
        if len(self._turns) > 4_096:
            self._turns = {name: lock for name, lock in self._turns.items() if lock.locked()}
        return self._turns.setdefault(key, asyncio.Lock())

    # ---- answers

    def _answer(
        self, intent: SolanaSettlementIntended, end: SolanaSettlementConfirmed | SolanaSettlementFailed
    ) -> SettlementResponse:
        failed = end.reason if isinstance(end, SolanaSettlementFailed) else None
        return SettlementResponse(
            success=failed is None,
            transaction=end.transaction,
            network=self.network,
            payer=intent.payer,
            amount=intent.amount_atomic if failed is None else None,
            error_reason=failed,
        )

    def _refused(self, refused: PaymentRefusedError) -> SettlementResponse:
        return SettlementResponse(
            success=False,
            transaction="",
            network=self.network,
            error_reason=refused.reason,
            error_message=refused.message,
        )


async def check_network(rpc: SolanaRpc, network: str) -> None:
    """InvalidInputError when the node serves another network; ChainError when it does not say."""
    served = await rpc.network()
    if served != network:
        raise InvalidInputError(
            f"The node at {rpc.host} serves {served}, not {network}.",
            next_step="Name the other network, or another node.",
        )


def supported_extra(response: SupportedResponse, network: str) -> Mapping[str, object]:
    """What a seller puts into `extra` of its terms on a network: the fee payer that its facilitator names."""
    for kind in response.kinds:
        if kind.network == network and kind.scheme == exact.SCHEME and kind.extra is not None:
            return dict(kind.extra)
    return {}


def _id(what: str, key: str) -> str:
    return derived_event_id("haima.solana", what, key)
