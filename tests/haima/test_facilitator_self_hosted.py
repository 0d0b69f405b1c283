"""SelfHostedFacilitator: each payment settled at most once, whatever repeats, fails or dies in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from life.aios.ports.chain import Prepared, Refusal, Settlement, SignedPermit
from life.aios.ports.clock import Clock
from life.aios.ports.custody import PaymentAuthorization
from life.aios.ports.journal import Journal
from life.haima import events
from life.haima.chain.local_ledger import SETTLER, LocalLedger
from life.haima.errors import ChainRefusedError, ChainUnavailableError, FacilitatorUnavailableError
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.x402 import codes, wire
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE, PAYER, STRANGER_KEY, sign, with_high_s
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.shop import OFFER, PRICE_ATOMIC, Shop, edited

TERMS = OFFER.requirements


class Crash(BaseException):
    """The process ends here. No `except Exception` stops it."""


class FragileChain:
    """Passes everything on to a ledger. The next call of a step named in `crash` dies there, before or after it was done;
    `refuse` and `lose` make the next broadcasts be refused, or done without an answer; `pending` hides settlements."""

    def __init__(self, ledger: LocalLedger) -> None:
        self.ledger = ledger
        self.crash: str | None = None
        self.refuse = 0
        self.lose = 0
        self.pending = 0
        self.down = False
        self.broadcasts = 0
        self.abandoned = 0

    @property
    def network(self) -> str:
        return self.ledger.network

    @property
    def settler(self) -> str:
        return self.ledger.settler

    async def check(
        self,
        authorization: PaymentAuthorization,
        signature: bytes,
        *,
        value_atomic: int | None = None,
        permit: SignedPermit | None = None,
    ) -> Refusal | None:
        if self.down:
            raise ChainUnavailableError("the node is down")
        await asyncio.sleep(0)
        return await self.ledger.check(authorization, signature, value_atomic=value_atomic, permit=permit)

    async def prepare(
        self,
        authorization: PaymentAuthorization,
        signature: bytes,
        *,
        value_atomic: int | None = None,
        permit: SignedPermit | None = None,
    ) -> Prepared:
        self._die("before prepare")
        await asyncio.sleep(0)
        return await self.ledger.prepare(authorization, signature, value_atomic=value_atomic, permit=permit)

    async def broadcast(self, prepared: Prepared) -> None:
        self._die("before broadcast")
        if self.refuse:
            self.refuse -= 1
            raise ChainRefusedError(codes.TRANSACTION_FAILED, "insufficient funds for gas * price + value")
        self.broadcasts += 1
        await self.ledger.broadcast(prepared)
        if self.lose:
            self.lose -= 1
            raise ChainUnavailableError("the answer got lost")
        self._die("after broadcast")

    async def abandon(self, prepared: Prepared) -> None:
        self.abandoned += 1

    async def settlement(
        self, transaction_hash: str, authorization: PaymentAuthorization, *, value_atomic: int | None = None
    ) -> Settlement:
        self._die("before settlement")
        await asyncio.sleep(0)
        if self.pending:
            self.pending -= 1
            return Settlement("pending", transaction_hash)
        return await self.ledger.settlement(transaction_hash, authorization, value_atomic=value_atomic)

    def _die(self, point: str) -> None:
        if self.crash == point:
            self.crash = None
            raise Crash(point)


class Bench:
    """A fragile local ledger, and facilitators over one journal."""

    def __init__(self) -> None:
        self.journal: Journal = MemoryJournal()
        self.clock = ManualClock()
        self.shop = Shop(journal=self.journal, clock=self.clock)
        self.chain = FragileChain(self.shop.ledger)
        self._made = 0

    def facilitator(self, *, wait_us: int = 20_000_000, clock: Clock | None = None) -> SelfHostedFacilitator:
        """Another process."""
        self._made += 1
        entropy = SeededEntropy(f"process {self._made}")
        return SelfHostedFacilitator([self.chain], self.journal, clock or self.clock, entropy, wait_us=wait_us)

    def payment(self, number: int = 1, **changes: Any) -> wire.PaymentPayload:
        return wire.decode_payment_signature(self.shop.pay(number, **changes))

    async def ends(self) -> list[str]:
        """Names of the facilitator's events."""
        return [type(event).__name__ for event in await self.shop.events("facilitator")]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    await made.shop.fund()
    yield made
    await made.shop.aclose()


async def test_settles_and_writes_every_step(bench: Bench) -> None:
    """Intent, transaction and end are on disk, in this order; the answer names hash, network and payer."""
    facilitator = bench.facilitator()
    settled = await facilitator.settle(bench.payment(), TERMS)
    assert settled.success
    assert (settled.network, settled.payer) == (LOCAL, PAYER)
    assert await bench.ends() == ["SettlementIntended", "SettlementPrepared", "SettlementConfirmed"]
    assert await bench.shop.earned() == PRICE_ATOMIC
    prepared = (await bench.shop.events("facilitator"))[1]
    assert isinstance(prepared, events.SettlementPrepared)
    assert prepared.transaction == settled.transaction


async def test_settled_twice_gives_the_first_result(bench: Bench) -> None:
    """The same payment again, in this process and in another, gets the first result, also long after it has expired."""
    first = await bench.facilitator().settle(bench.payment(), TERMS)
    assert await bench.facilitator().settle(bench.payment(), TERMS) == first
    same_process = bench.facilitator()
    for _ in range(2):
        assert await same_process.settle(bench.payment(), TERMS) == first
    bench.clock.advance_us(10**12)
    late = wire.decode_payment_signature(bench.shop.pay(1, valid_before_s=bench.clock.now_us() // 10**6 - 10**6 + 300))
    assert await bench.facilitator().settle(late, TERMS) == first
    assert bench.chain.broadcasts == 1
    assert await bench.shop.earned() == PRICE_ATOMIC


async def test_at_once_in_one_process_and_in_several(bench: Bench) -> None:
    """Sixteen calls at once over four processes: one transfer, one result for all."""
    processes = [bench.facilitator() for _ in range(4)]
    calls = [process.settle(bench.payment(), TERMS) for process in processes for _ in range(4)]
    results = await asyncio.gather(*calls)
    assert {result.transaction for result in results} == {results[0].transaction}
    assert all(result.success for result in results)
    assert await bench.shop.earned() == PRICE_ATOMIC
    ends = await bench.ends()
    assert ends.count("SettlementPrepared") == ends.count("SettlementConfirmed") == 1


async def test_twelve_at_once_all_land(bench: Bench) -> None:
    """Different payments at once all settle (x402.md §12 row 6)."""
    facilitator = bench.facilitator()
    results = await asyncio.gather(*(facilitator.settle(bench.payment(n), TERMS) for n in range(1, 13)))
    assert all(result.success for result in results)
    assert await bench.shop.earned() == 12 * PRICE_ATOMIC


REFUSED: dict[str, tuple[str, Callable[[Shop], str]]] = {
    "no funds": (
        codes.INSUFFICIENT_BALANCE,
        lambda shop: shop.header(
            shop.authorization(1, from_address="0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
            sign(shop.authorization(1, from_address="0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"), STRANGER_KEY),
        ),
    ),
    "high s": (
        codes.INVALID_SIGNATURE,
        lambda shop: shop.header(shop.authorization(1), with_high_s(sign(shop.authorization(1)))),
    ),
    "wrong signer": (
        codes.INVALID_SIGNATURE,
        lambda shop: shop.header(shop.authorization(1), sign(shop.authorization(1), STRANGER_KEY)),
    ),
    "wrong amount": (codes.VALUE_MISMATCH, lambda shop: shop.pay(1, value_atomic=1)),
    "wrong payee": (codes.RECIPIENT_MISMATCH, lambda shop: shop.pay(1, to_address=PAYER)),
    "expired": (codes.VALID_BEFORE, lambda shop: shop.pay(1, valid_before_s=shop.clock.now_us() // 10**6)),
    "too early": (codes.VALID_AFTER, lambda shop: shop.pay(1, valid_after_s=2**40, valid_before_s=2**41)),
    "value ten": (codes.INVALID_PAYLOAD, lambda shop: edited(shop.pay(1), payload__authorization__value="ten")),
    "unknown scheme": (codes.UNSUPPORTED_SCHEME, lambda shop: edited(shop.pay(1), accepted__scheme="upto")),
    "other network": (codes.NETWORK_MISMATCH, lambda shop: edited(shop.pay(1), accepted__network="eip155:1")),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_refuses_before_anything_is_spent(bench: Bench, case: str) -> None:
    """Verify and settle refuse with the same code; no intent, no transaction (x402.md §12 rows 7 and 12)."""
    code, make = REFUSED[case]
    payment = wire.decode_payment_signature(make(bench.shop))
    facilitator = bench.facilitator()
    verified = await facilitator.verify(payment, TERMS)
    settled = await facilitator.settle(payment, TERMS)
    assert (verified.is_valid, verified.invalid_reason) == (False, code)
    assert (settled.success, settled.error_reason, settled.transaction) == (False, code, "")
    assert "SettlementIntended" not in await bench.ends()
    assert bench.chain.broadcasts == 0


async def test_unknown_network_is_refused(bench: Bench) -> None:
    """A network without a chain here is refused, whatever the payment says."""
    terms = wire.PaymentRequirements(
        scheme="exact", network="eip155:1", amount="1", asset=TERMS.asset, pay_to=PAYEE, max_timeout_seconds=300
    )
    settled = await bench.facilitator().settle(bench.payment(), terms)
    assert settled.error_reason == codes.INVALID_NETWORK


async def test_other_payment_with_the_same_nonce_is_refused(bench: Bench) -> None:
    """Two payments signed with one nonce: the second does not get the first one's success."""
    facilitator = bench.facilitator()
    assert (await facilitator.settle(bench.payment(1), TERMS)).success
    other = await facilitator.settle(bench.payment(1, valid_after_s=1), TERMS)
    assert (other.success, other.error_reason) == (False, codes.NONCE_ALREADY_USED)


async def test_forged_repetition_learns_nothing(bench: Bench) -> None:
    """A false signature over a settled payment is refused as such."""
    facilitator = bench.facilitator()
    await facilitator.settle(bench.payment(1), TERMS)
    forged = bench.shop.header(bench.shop.authorization(1), sign(bench.shop.authorization(1), STRANGER_KEY))
    refused = await facilitator.settle(wire.decode_payment_signature(forged), TERMS)
    assert refused.error_reason == codes.INVALID_SIGNATURE


@pytest.mark.parametrize("point", ["before prepare", "before broadcast", "after broadcast", "before settlement"])
@pytest.mark.parametrize("recovery", ["start", "same call"])
async def test_crash_anywhere_settles_once(bench: Bench, point: str, recovery: str) -> None:
    """The process dies at any step; the next one finishes it, by itself or when the call is repeated. The money moves
    once, and the result is success with the transaction that moved it (x402.md §12 row 4)."""
    bench.chain.crash = point
    with pytest.raises(Crash):
        await bench.facilitator().settle(bench.payment(), TERMS)
    following = bench.facilitator()
    if recovery == "start":
        assert await following.start() == 0
    settled = await following.settle(bench.payment(), TERMS)
    assert settled.success
    assert await bench.shop.earned() == PRICE_ATOMIC
    assert (await bench.ends()).count("SettlementConfirmed") == 1
    assert await bench.facilitator().start() == 0


async def test_start_finishes_what_was_open_without_being_asked(bench: Bench) -> None:
    """A broadcast whose process died is found, written as confirmed, and nothing stays open."""
    bench.chain.crash = "before broadcast"
    with pytest.raises(Crash):
        await bench.facilitator().settle(bench.payment(), TERMS)
    assert await bench.facilitator().start() == 0
    assert await bench.shop.earned() == PRICE_ATOMIC
    assert (await bench.ends())[-1] == "SettlementConfirmed"


async def test_refused_broadcast_is_unavailable_and_can_be_tried_again(bench: Bench) -> None:
    """When the chain does not take it (no gas money) nothing was sent: unavailable, the transaction is given back, and
    the same payment settles later with a new one (x402.md §12 row 5)."""
    bench.chain.refuse = 2
    facilitator = bench.facilitator()
    for _ in range(2):
        with pytest.raises(FacilitatorUnavailableError):
            await facilitator.settle(bench.payment(), TERMS)
    assert bench.chain.abandoned == 2
    assert (await facilitator.settle(bench.payment(), TERMS)).success
    assert await bench.shop.earned() == PRICE_ATOMIC


async def test_lost_answer_of_a_broadcast_is_found_again(bench: Bench) -> None:
    """The chain took it and the answer got lost: the chain is asked, and knows."""
    bench.chain.lose = 1
    assert (await bench.facilitator().settle(bench.payment(), TERMS)).success
    assert await bench.shop.earned() == PRICE_ATOMIC


async def test_unconfirmed_is_pending_with_its_hash(bench: Bench) -> None:
    """Without the chain's word the answer is `settlement_pending` with the hash, not a failure; the identical call later
    gets the end, and the watching goes on in between."""
    bench.chain.pending = 4
    facilitator = bench.facilitator(wait_us=1_000_000)
    asked = asyncio.ensure_future(facilitator.settle(bench.payment(), TERMS))
    while bench.clock.sleepers < 2:
        await asyncio.sleep(0)
    bench.clock.advance_us(30_000)
    for _ in range(5):
        await asyncio.sleep(0)
    pending_call = bench.facilitator(wait_us=0)
    early = await pending_call.settle(bench.payment(), TERMS)
    assert (early.success, early.error_reason) == (False, codes.SETTLEMENT_PENDING)
    assert early.transaction.startswith("local:")
    while not asked.done():
        bench.clock.advance_us(400_000)
        for _ in range(5):
            await asyncio.sleep(0)
    later = await bench.facilitator().settle(bench.payment(), TERMS)
    assert later.success
    assert later.transaction == early.transaction
    assert await bench.shop.earned() == PRICE_ATOMIC
    await facilitator.aclose()
    await pending_call.aclose()


async def test_chain_that_does_not_answer_is_unavailable(bench: Bench) -> None:
    """When the chain can't be asked, verify and settle say so; nothing was promised or sent."""
    bench.chain.down = True
    facilitator = bench.facilitator()
    for call in (facilitator.verify, facilitator.settle):
        with pytest.raises(FacilitatorUnavailableError):
            await call(bench.payment(), TERMS)
    assert await bench.ends() == []


async def test_reverted_settlement_is_final(bench: Bench) -> None:
    """A transaction that reverted moved nothing; its result stays a failure."""
    facilitator = bench.facilitator()
    authorization = bench.shop.authorization(1)
    drain = bench.shop.authorization(2, value_atomic=1_000_000)

    class Drained(FragileChain):
        async def prepare(
            self,
            authorization: PaymentAuthorization,
            signature: bytes,
            *,
            value_atomic: int | None = None,
            permit: SignedPermit | None = None,
        ) -> Prepared:
            prepared = await super().prepare(authorization, signature, value_atomic=value_atomic, permit=permit)
            other = await self.ledger.prepare(drain, sign(drain))
            await self.ledger.broadcast(other)
            return prepared

    bench.chain = Drained(bench.shop.ledger)
    facilitator = bench.facilitator()
    payment = wire.decode_payment_signature(bench.shop.header(authorization))
    for _ in range(2):
        settled = await facilitator.settle(payment, TERMS)
        assert (settled.success, settled.error_reason) == (False, codes.INSUFFICIENT_BALANCE)
        assert settled.transaction.startswith("local:")
    assert await bench.shop.ledger.balance(PAYEE, asset=PLAY_MONEY.address) == 1_000_000


async def test_supported_names_scheme_network_and_memory(bench: Bench) -> None:
    """/supported has both schemes of version 2 and the one of version 1, whom an `upto` payment must name, and the
    extension that says that it remembers. Nothing is said of a fee where there is none."""
    supported = await bench.facilitator().supported()
    assert [(kind.x402_version, kind.scheme, kind.network, kind.extra) for kind in supported.kinds] == [
        (2, "exact", LOCAL, None),
        (2, "upto", LOCAL, {"facilitatorAddress": SETTLER}),
        (1, "exact", "local", None),
    ]
    assert supported.extensions == ("eip2612GasSponsoring", "repeatable-settlement")
    assert await bench.facilitator().repeatable()
