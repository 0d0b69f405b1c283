"""Attacks on a facilitator, each shown to succeed against a naive one and to fail against ours.

The naive one does what was found in the field: it believes a payment by its shape, sends whatever it is asked to send, keeps
nothing, and reports its own transaction's status (haima.md §8.2, x402.md §12). Both stand on the same ledger, whose rules are
a token contract's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import pytest
from msgspec import Raw

from life.aios.ports.chain import Chain
from life.haima import events
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.x402 import codes, wire
from life.haima.x402.authorization import build_payload
from life.haima.x402.schemes import parse
from life.testing.chain import PAYER, STRANGER_KEY, with_high_s
from life.testing.chain import sign as signed_by
from tests.haima.shop import OFFER
from tests.haima.test_facilitator_self_hosted import Crash
from tests.haima.test_facilitator_upto import MAXIMUM, Bench, payment, terms

TERMS = OFFER.requirements


class Settles(Protocol):
    """What both can do."""

    async def verify(
        self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements
    ) -> wire.VerifyResponse: ...

    async def settle(
        self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements
    ) -> wire.SettlementResponse: ...


class NaiveFacilitator:
    """Sends first and asks the chain about its own transaction only. `sent` counts what it paid gas for."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self.sent = 0

    async def verify(self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements) -> wire.VerifyResponse:
        """64 bytes of anything are a signature."""
        read = parse(payload, requirements)
        return wire.VerifyResponse(is_valid=len(read.signature) >= 64, payer=read.payer)

    async def settle(
        self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements
    ) -> wire.SettlementResponse:
        """Broadcast, and look at this very transaction."""
        read = parse(payload, requirements)
        charged = int(requirements.amount) if read.scheme == "upto" else None
        if charged == 0:
            return wire.SettlementResponse(success=True, network=requirements.network, payer=read.payer, amount="0")
        prepared = await self._chain.prepare(read.authorization, read.signature, value_atomic=charged)
        self.sent += 1
        await self._chain.broadcast(prepared)
        settled = await self._chain.settlement(prepared.transaction_hash, read.authorization, value_atomic=charged)
        return wire.SettlementResponse(
            success=settled.state == "confirmed" and settled.transaction_hash == prepared.transaction_hash,
            transaction=prepared.transaction_hash,
            network=requirements.network,
            payer=read.payer,
            error_reason=codes.TRANSACTION_FAILED if settled.transaction_hash != prepared.transaction_hash else None,
        )


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    await made.shop.fund()
    yield made
    await made.shop.aclose()


def both(bench: Bench) -> tuple[NaiveFacilitator, SelfHostedFacilitator]:
    return NaiveFacilitator(bench.chain), bench.facilitator()


def exact(bench: Bench, number: int = 1, change: Callable[[bytes], bytes] = bytes) -> wire.PaymentPayload:
    authorization = bench.shop.authorization(number)
    return build_payload(wire.to_raw(TERMS), authorization, change(signed_by(authorization)))


@pytest.mark.parametrize("junk", [b"\xab" * 64, b"\xab" * 65, b"\0" * 65, b"\xff" * 130])
async def test_w14_any_bytes_of_hex(bench: Bench, junk: bytes) -> None:
    """W14: the original settled 64 bytes of 0xab. The naive one says that they verify; ours refuses them before it asks for
    anything, and sends nothing."""
    naive, ours = both(bench)
    forged = exact(bench, change=lambda _: junk)
    assert (await naive.verify(forged, TERMS)).is_valid
    assert not (await ours.verify(forged, TERMS)).is_valid
    assert (await ours.settle(forged, TERMS)).error_reason == codes.INVALID_SIGNATURE
    assert bench.chain.broadcasts == 0


async def test_w15_and_row_3_the_same_payment_for_ever(bench: Bench) -> None:
    """W15, row 3: asked again, the naive one sends again and reports a failure for a payment that was made; ours gives the
    first result, also in another process."""
    naive, ours = both(bench)
    first, second = await naive.settle(exact(bench), TERMS), await naive.settle(exact(bench), TERMS)
    assert (first.success, second.success, naive.sent) == (True, False, 2)
    sent = bench.chain.broadcasts
    settled = await ours.settle(exact(bench, 2), TERMS)
    for again in (ours, bench.facilitator()):
        assert await again.settle(exact(bench, 2), TERMS) == settled
    assert bench.chain.broadcasts == sent + 1


async def test_rows_1_and_2_six_at_once(bench: Bench) -> None:
    """Rows 1 and 2: six identical calls cost the naive one six transactions, five of them reverted; ours one."""
    naive, ours = both(bench)
    results = await asyncio.gather(*(naive.settle(exact(bench), TERMS) for _ in range(6)))
    assert (sum(result.success for result in results), naive.sent) == (1, 6)
    sent = bench.chain.broadcasts
    settled = await asyncio.gather(*(ours.settle(exact(bench, 2), TERMS) for _ in range(6)))
    assert all(result.success for result in settled)
    assert bench.chain.broadcasts == sent + 1


async def test_row_4_killed_after_the_broadcast(bench: Bench) -> None:
    """Row 4: after a kill the naive one reports "transaction_failed" for money that moved; ours finds the money."""
    naive, _ = both(bench)
    bench.chain.crash = "after broadcast"
    with pytest.raises(Crash):
        await naive.settle(exact(bench), TERMS)
    assert not (await NaiveFacilitator(bench.chain).settle(exact(bench), TERMS)).success
    assert await bench.shop.earned() == 10_000
    bench.chain.crash = "after broadcast"
    with pytest.raises(Crash):
        await bench.facilitator().settle(exact(bench, 2), TERMS)
    sent = bench.chain.broadcasts
    assert (await bench.facilitator().settle(exact(bench, 2), TERMS)).success
    assert bench.chain.broadcasts == sent
    assert await bench.shop.earned() == 20_000


@pytest.mark.parametrize("attack", ["no money", "high s", "stranger"])
async def test_row_7_gas_for_nothing(bench: Bench, attack: str) -> None:
    """Row 7: a payer without money, a malleated signature, a stranger's: the naive one pays gas for a revert, ours nothing."""
    naive, ours = both(bench)
    authorization = bench.shop.authorization(1)
    if attack == "no money":
        authorization = bench.shop.authorization(1, from_address="0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")
    signature = {
        "no money": signed_by(authorization, STRANGER_KEY),
        "high s": with_high_s(signed_by(authorization)),
        "stranger": signed_by(authorization, STRANGER_KEY),
    }[attack]
    bad = build_payload(wire.to_raw(TERMS), authorization, signature)
    assert not (await naive.settle(bad, TERMS)).success
    assert naive.sent == 1
    sent = bench.chain.broadcasts
    assert not (await ours.settle(bad, TERMS)).success
    assert bench.chain.broadcasts == sent


async def test_row_11_lower_case_addresses(bench: Bench) -> None:
    """Row 11: lower-case addresses mean the same accounts, for payer and payee."""
    authorization = bench.shop.authorization(1)
    low = TERMS.pay_to.lower()
    lowered = wire.PaymentRequirements(
        scheme="exact",
        network=TERMS.network,
        amount=TERMS.amount,
        asset=TERMS.asset.lower(),
        pay_to=low,
        max_timeout_seconds=TERMS.max_timeout_seconds,
        extra=TERMS.extra,
    )
    plain = build_payload(wire.to_raw(lowered), authorization, signed_by(authorization))
    text = bytes(plain.payload).decode().replace(PAYER, PAYER.lower())
    payload = wire.PaymentPayload(x402_version=2, accepted=plain.accepted, payload=Raw(text.encode()))
    assert (await bench.facilitator().settle(payload, lowered)).success


async def test_upto_for_nothing_and_then_for_everything(bench: Bench) -> None:
    """x402.md §3.3, the trap: after a charge of 0 the naive one takes the maximum with the same authorization; ours does not."""
    naive, ours = both(bench)
    for facilitator, number, expected in ((naive, 1, True), (ours, 2, False)):
        permit = bench.permit(number)
        assert (await facilitator.settle(payment(permit), terms(permit, 0))).success
        again = await facilitator.settle(payment(permit), terms(permit, MAXIMUM))
        assert again.success is expected
    assert await bench.shop.earned() == MAXIMUM, "only the naive one took it"


async def test_w16_strangers_write_nothing(bench: Bench) -> None:
    """W16: a thousand forged calls leave no event of ours, and no counter that a stranger can name."""
    ours = bench.facilitator()
    for number in range(1_000):
        await ours.settle(exact(bench, number, lambda _: b"\xab" * 65), TERMS)
    assert await bench.shop.events("facilitator") == []


async def test_w17_the_fee_is_one_receivable_per_payment(bench: Bench) -> None:
    """W17: the original only counted a fee that nobody owed. Ours records who owes what, once, however often it is asked."""
    processes = [bench.facilitator(fee_bps=50) for _ in range(3)]
    calls = [process.settle(exact(bench), TERMS) for process in processes for _ in range(4)]
    assert all(result.success for result in await asyncio.gather(*calls))
    accrued = await bench.recorded(events.FacilitatorFeeAccrued)
    assert [(fee.payee, fee.fee_atomic) for fee in accrued] == [(TERMS.pay_to, "50")]
