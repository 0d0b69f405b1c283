"""Schemes by Permit2 at our own facilitator, its single-use ledger for `upto`, and its fee."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from life.aios.errors import InvalidInputError
from life.aios.ports.custody import PermitTransfer
from life.aios.ports.journal import EventQuery
from life.crypto.permit2 import EXACT_PROXY, PERMIT2, UPTO_PROXY
from life.haima import events
from life.haima.chain.local_ledger import SETTLER
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.ledger import Books
from life.haima.x402 import codes, wire
from life.haima.x402.authorization import build_payload
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.testing.chain import PAYEE, PAYER, STRANGER_KEY, sign
from life.testing.clock import SeededEntropy
from tests.haima.shop import OFFER, Shop
from tests.haima.test_facilitator_self_hosted import Crash, FragileChain

MAXIMUM = 10_000


class Bench:
    """A fragile local ledger, and facilitators over one journal."""

    def __init__(self) -> None:
        self.shop = Shop()
        self.chain = FragileChain(self.shop.ledger)
        self._made = 0

    def facilitator(self, *, fee_bps: int = 0) -> SelfHostedFacilitator:
        """Another process."""
        self._made += 1
        entropy = SeededEntropy(f"process {self._made}")
        return SelfHostedFacilitator([self.chain], self.shop.journal, self.shop.clock, entropy, fee_bps=fee_bps)

    def permit(self, number: int = 1, *, upto: bool = True, **changes: Any) -> PermitTransfer:
        now_s = self.shop.clock.now_us() // 1_000_000
        permit = PermitTransfer(
            network=LOCAL,
            asset=PLAY_MONEY.address,
            from_address=PAYER,
            to_address=PAYEE,
            value_atomic=MAXIMUM,
            spender=UPTO_PROXY if upto else EXACT_PROXY,
            nonce=number,
            deadline_s=now_s + 300,
            facilitator=SETTLER if upto else None,
        )
        return permit._replace(**changes)

    async def settle(
        self,
        facilitator: SelfHostedFacilitator,
        permit: PermitTransfer,
        charged: int = MAXIMUM,
        key: bytes | None = None,
    ) -> wire.SettlementResponse:
        payload = payment(permit, key)
        return await facilitator.settle(payload, terms(permit, charged))

    async def verify(self, facilitator: SelfHostedFacilitator, permit: PermitTransfer) -> wire.VerifyResponse:
        return await facilitator.verify(payment(permit), terms(permit))

    async def recorded(self, kind: type[msgspec.Struct]) -> list[Any]:
        return [event for event in await self.shop.events("facilitator") if isinstance(event, kind)]


def terms(permit: PermitTransfer, amount: int = MAXIMUM) -> wire.PaymentRequirements:
    extra: dict[str, Any] = {"name": PLAY_MONEY.name, "version": PLAY_MONEY.version, "assetTransferMethod": "permit2"}
    scheme = "exact"
    if permit.facilitator is not None:
        scheme, extra["facilitatorAddress"] = "upto", permit.facilitator
    return wire.PaymentRequirements(
        scheme=scheme,
        network=LOCAL,
        amount=str(amount),
        asset=PLAY_MONEY.address,
        pay_to=PAYEE,
        max_timeout_seconds=300,
        extra=extra,
    )


def payment(permit: PermitTransfer, key: bytes | None = None) -> wire.PaymentPayload:
    signature = sign(permit) if key is None else sign(permit, key)
    return build_payload(wire.to_raw(terms(permit)), permit, signature)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    await made.shop.fund()
    yield made
    await made.shop.aclose()


async def test_exact_by_permit2_settles_once(bench: Bench) -> None:
    """A Permit2 payment is verified and settled like any other; again, also elsewhere, gives the first result."""
    facilitator = bench.facilitator()
    permit = bench.permit(upto=False)
    assert (await bench.verify(facilitator, permit)).is_valid
    first = await bench.settle(facilitator, permit)
    assert (first.success, first.amount) == (True, None)
    for again in (facilitator, bench.facilitator()):
        assert await bench.settle(again, permit) == first
    assert await bench.shop.earned() == MAXIMUM


async def test_an_allowance_may_end_before_its_payment(bench: Bench) -> None:
    """An EIP-2612 permit whose deadline is a second before the payment's is taken as long as it lasts, by /settle as by
    /verify; and what settled has its answer after both are over."""
    facilitator, permit = bench.facilitator(), bench.permit(upto=False)
    info = {
        "from": PAYER,
        "asset": PLAY_MONEY.address,
        "spender": PERMIT2,
        "amount": str(MAXIMUM),
        "nonce": "0",
        "deadline": str(permit.deadline_s - 1),
        "signature": "0x" + "11" * 64 + "1b",
        "version": "1",
    }
    payload = msgspec.structs.replace(payment(permit), extensions=wire.to_raw({"eip2612GasSponsoring": {"info": info}}))
    now_s = bench.shop.clock.now_us() // 1_000_000
    bench.shop.clock.advance_us((permit.deadline_s - 1 - 6 - now_s) * 1_000_000)
    assert (await facilitator.verify(payload, terms(permit))).is_valid
    first = await facilitator.settle(payload, terms(permit))
    assert first.success, first
    bench.shop.clock.advance_us(600_000_000)
    assert await bench.facilitator().settle(payload, terms(permit)) == first


@pytest.mark.parametrize("charged", [1, 4_200, MAXIMUM])
async def test_upto_moves_the_charge_and_says_so(bench: Bench, charged: int) -> None:
    """The charge moves, the answer names it, and the journal holds both the maximum and what moved."""
    facilitator = bench.facilitator()
    settled = await bench.settle(facilitator, bench.permit(), charged)
    assert (settled.success, settled.amount) == (True, str(charged))
    assert await bench.shop.earned() == charged
    (intent,) = await bench.recorded(events.SettlementIntended)
    (end,) = await bench.recorded(events.SettlementConfirmed)
    assert (intent.amount_atomic, intent.charged_atomic, end.amount_atomic) == (
        str(MAXIMUM),
        str(charged),
        str(charged),
    )


async def test_a_charge_above_the_maximum_is_refused(bench: Bench) -> None:
    """Nothing is sent and nothing is promised."""
    settled = await bench.settle(bench.facilitator(), bench.permit(), MAXIMUM + 1)
    assert (settled.success, settled.error_reason) == (False, codes.UPTO_EXCEEDS_AMOUNT)
    assert await bench.shop.events("facilitator") == []


async def test_upto_settles_once_whatever_is_asked_later(bench: Bench) -> None:
    """The same charge again gives the first result; another charge of the same authorization is refused, in this process
    and in another, and nothing more moves."""
    facilitator = bench.facilitator()
    first = await bench.settle(facilitator, bench.permit(), 3_000)
    for later in (facilitator, bench.facilitator()):
        assert await bench.settle(later, bench.permit(), 3_000) == first
        for other in (2_999, 3_001, 0):
            again = await bench.settle(later, bench.permit(), other)
            assert (again.success, again.error_reason) == (False, codes.DUPLICATE_SETTLEMENT)
        assert (await bench.verify(later, bench.permit())).invalid_reason == codes.NONCE_ALREADY_USED
    assert await bench.shop.earned() == 3_000


async def test_a_charge_of_nothing_uses_the_payment_up(bench: Bench) -> None:
    """A zero settlement succeeds without a transaction. The chain keeps no record of it, so a naive facilitator would let
    the same authorization be charged until its deadline (x402.md §3.3, §16.10); ours refuses it, also after a restart."""
    facilitator = bench.facilitator()
    settled = await bench.settle(facilitator, bench.permit(), 0)
    assert (settled.success, settled.transaction, settled.amount) == (True, "", "0")
    assert await bench.chain.check(bench.permit(), sign(bench.permit())) is None, "the chain knows nothing of it"
    for later in (facilitator, bench.facilitator()):
        assert await bench.settle(later, bench.permit(), 0) == settled
        again = await bench.settle(later, bench.permit(), MAXIMUM)
        assert (again.success, again.error_reason) == (False, codes.DUPLICATE_SETTLEMENT)
        verified = await bench.verify(later, bench.permit())
        assert (verified.is_valid, verified.invalid_reason) == (False, codes.NONCE_ALREADY_USED)
    assert (await bench.shop.earned(), bench.chain.broadcasts) == (0, 0)


async def test_a_forged_charge_of_nothing_uses_nothing_up(bench: Bench) -> None:
    """Somebody else's signature can't spoil a payer's authorization."""
    facilitator = bench.facilitator()
    forged = await bench.settle(facilitator, bench.permit(), 0, STRANGER_KEY)
    assert (forged.success, forged.error_reason) == (False, codes.PERMIT2_INVALID_SIGNATURE)
    assert (await bench.settle(facilitator, bench.permit(), 5_000)).success


async def test_concurrent_charges_settle_once(bench: Bench) -> None:
    """Sixteen calls at once with four different amounts over four processes: one amount moves, once; the calls for it get
    one result, the others are refused."""
    processes = [bench.facilitator() for _ in range(4)]
    calls = [
        bench.settle(process, bench.permit(), charged) for process in processes for charged in (1_000, 2_000, 3_000, 0)
    ]
    results = await asyncio.gather(*calls)
    succeeded = {result.amount for result in results if result.success}
    assert len(succeeded) == 1
    assert {result.error_reason for result in results if not result.success} <= {
        codes.DUPLICATE_SETTLEMENT,
        codes.NONCE_ALREADY_USED,
    }
    assert str(await bench.shop.earned()) in succeeded


async def test_one_nonce_of_permit2_pays_once_across_tokens(bench: Bench) -> None:
    """Two permits with one nonce for different recipients are one payment: the second never gets the first one's success."""
    facilitator = bench.facilitator()
    assert (await bench.settle(facilitator, bench.permit(upto=False))).success
    other = await bench.settle(facilitator, bench.permit(), 1_000)
    assert (other.success, other.error_reason) == (False, codes.NONCE_ALREADY_USED)


async def test_upto_for_another_facilitator_is_refused(bench: Bench) -> None:
    """Only the account that the payer named can settle, whatever the terms beside the payment say."""
    foreign = bench.permit(facilitator=PAYEE)
    facilitator = bench.facilitator()
    for answer in (await bench.settle(facilitator, foreign), await bench.verify(facilitator, foreign)):
        reason = answer.error_reason if isinstance(answer, wire.SettlementResponse) else answer.invalid_reason
        assert reason == codes.UPTO_FACILITATOR_MISMATCH


@pytest.mark.parametrize("point", ["before prepare", "before broadcast", "after broadcast", "before settlement"])
@pytest.mark.parametrize("recovery", ["start", "same call"])
async def test_crash_anywhere_charges_once(bench: Bench, point: str, recovery: str) -> None:
    """The process dies at any step; the next one finishes the very charge that was intended, once."""
    bench.chain.crash = point
    with pytest.raises(Crash):
        await bench.settle(bench.facilitator(), bench.permit(), 4_000)
    following = bench.facilitator()
    if recovery == "start":
        assert await following.start() == 0
    settled = await bench.settle(following, bench.permit(), 4_000)
    assert (settled.success, settled.amount) == (True, "4000")
    assert await bench.shop.earned() == 4_000
    assert len(await bench.recorded(events.SettlementConfirmed)) == 1
    await following.aclose()


# ---- strangers


async def test_strangers_can_not_fill_the_journal(bench: Bench) -> None:
    """Refusals that need no key of anybody's leave no record; a properly signed payment that is refused leaves one, once
    (haima.md W16, §8.7.10)."""
    facilitator = bench.facilitator()
    for number in range(50):
        await bench.settle(facilitator, bench.permit(number), 1_000, STRANGER_KEY)
        junk = build_payload(wire.to_raw(terms(bench.permit(number))), bench.permit(number), b"\xab" * 64)
        refused = await facilitator.settle(junk, terms(bench.permit(number), 1_000))
        assert refused.error_reason == codes.PERMIT2_INVALID_SIGNATURE, "64 bytes of 0xab settle nothing (W14)"
    assert await bench.shop.events("facilitator") == []
    rich = bench.permit(value_atomic=10**12)
    for _ in range(3):
        await facilitator.settle(payment(rich), terms(rich, 10**12))
    assert [type(event).__name__ for event in await bench.shop.events("facilitator")] == ["SettlementRefused"]


# ---- the fee


async def test_the_fee_is_published_recorded_and_not_taken(bench: Bench) -> None:
    """15 basis points: in /supported, in the answer, and as one receivable from the payee, written with the settlement. The
    payment itself moves whole (haima.md W17, HM-X402-5)."""
    facilitator = bench.facilitator(fee_bps=15)
    for kind in (await facilitator.supported()).kinds:
        assert kind.extra is not None
        assert (kind.extra["facilitatorFeeBps"], kind.extra["facilitatorFeeCollection"]) == (15, "invoice")
    payload = wire.decode_payment_signature(bench.shop.pay(1))
    for _ in range(2):
        settled = await facilitator.settle(payload, OFFER.requirements)
        assert settled.extra == {"facilitatorFeeBps": 15, "facilitatorFeeAtomic": "15"}
    assert await bench.shop.earned() == 10_000
    (fee,) = await bench.recorded(events.FacilitatorFeeAccrued)
    assert (fee.payee, fee.amount_atomic, fee.fee_atomic, fee.fee_micro, fee.fee_bps) == (PAYEE, "10000", "15", 15, 15)


async def test_the_fee_of_an_upto_payment_is_that_of_its_charge(bench: Bench) -> None:
    """Rounded down; nothing below one unit, and nothing for nothing."""
    facilitator = bench.facilitator(fee_bps=100)
    for number, charged in enumerate((9_999, 99, 0), start=1):
        assert (await bench.settle(facilitator, bench.permit(number), charged)).success
    assert [fee.fee_atomic for fee in await bench.recorded(events.FacilitatorFeeAccrued)] == ["99"]


async def test_the_fee_stands_in_the_books(bench: Bench) -> None:
    """What the payee owes is a receivable and income, in balance; nothing of it came out of the payment."""
    facilitator = bench.facilitator(fee_bps=100)
    assert (await bench.settle(facilitator, bench.permit(), 9_000)).success
    books = Books()
    for record in await bench.shop.journal.read(EventQuery("facilitator"), limit=100):
        books.apply(record)
    assert books.balance("Income:Fees:Facilitation") == -90
    assert (books.balance("Assets:Receivable"), books.trial_balance_micro) == (90, 0)
    assert await bench.shop.earned() == 9_000


async def test_without_a_fee_nothing_is_said_or_owed(bench: Bench) -> None:
    """Zero is the default, in answers and in the journal."""
    settled = await bench.settle(bench.facilitator(), bench.permit(), 5_000)
    assert settled.extra is None
    assert await bench.recorded(events.FacilitatorFeeAccrued) == []


@pytest.mark.parametrize("bps", [-1, 1_001, 10_000])
async def test_a_fee_that_can_not_be_meant_is_refused(bench: Bench, bps: int) -> None:
    """Between nothing and 10 %."""
    with pytest.raises(InvalidInputError):
        bench.facilitator(fee_bps=bps)


async def test_a_wall_clock_that_jumps_loses_nothing(bench: Bench) -> None:
    """Back by a day or forward past the deadline between intent and repetition: the first result stands, and a payment that
    has expired meanwhile is refused, not settled."""
    facilitator = bench.facilitator()
    first = await bench.settle(facilitator, bench.permit(), 2_000)
    expiring = bench.permit(2)
    bench.shop.clock.step_wall_us(-86_400_000_000)
    permit = bench.permit(1, deadline_s=expiring.deadline_s)
    assert await bench.settle(facilitator, permit, 2_000) == first
    bench.shop.clock.step_wall_us(2 * 86_400_000_000)
    assert await bench.settle(bench.facilitator(), permit, 2_000) == first
    late = await bench.settle(facilitator, expiring, 2_000)
    assert (late.success, late.error_reason) == (False, codes.PERMIT2_DEADLINE_EXPIRED)
    assert await bench.shop.earned() == 2_000
