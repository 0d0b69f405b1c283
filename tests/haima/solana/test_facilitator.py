"""Settling on Solana: at most once, whatever repeats, crashes, lies or gets lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from life.haima.errors import FacilitatorUnavailableError
from life.haima.facilitator.port import REPEATABLE_SETTLEMENT
from life.haima.solana import exact
from life.haima.solana.facilitator import EXPIRED, SIMULATION_FAILED, supported_extra
from life.haima.x402 import codes
from life.lago.journal.memory import MemoryJournal
from tests.haima.solana.kit import NETWORK, PAYEE, facilitator, fee_payer, pay, payer, prepare, terms
from tests.harness.solana_node import LIFETIME_BLOCKS, SolanaNode


@pytest.fixture
def node() -> Iterator[SolanaNode]:
    with SolanaNode() as running:
        prepare(running)
        yield running


async def test_a_payment_is_verified_settled_and_remembered(node: SolanaNode) -> None:
    """The money moves by the real token program; the same payment again gets the same answer and moves nothing."""
    async with MemoryJournal() as journal:
        ours = facilitator(node, journal)
        wanted = terms(node)
        payment = await pay(node, wanted)
        assert (await ours.verify(payment, wanted)).is_valid
        first = await ours.settle(payment, wanted)
        assert (first.success, first.payer, first.amount) == (True, payer().address, "10000")
        assert await ours.settle(payment, wanted) == first
        assert node.tokens_of(PAYEE) == 10_000
        assert node.tokens_of(payer().address) == 990_000
        assert list(node.executed.values()) == [1]
        assert not (await ours.verify(payment, wanted)).is_valid
        await ours.aclose()


async def test_many_at_once_settle_one(node: SolanaNode) -> None:
    """Eight calls in one process and eight in another with the same journal: one transaction, one answer."""
    async with MemoryJournal() as journal:
        here, there = facilitator(node, journal), facilitator(node, journal, seed="g")
        wanted = terms(node)
        payment = await pay(node, wanted)
        answers = await asyncio.gather(*(ours.settle(payment, wanted) for _ in range(8) for ours in (here, there)))
        assert {(answer.success, answer.transaction) for answer in answers} == {(True, answers[0].transaction)}
        assert node.tokens_of(PAYEE) == 10_000
        await here.aclose()
        await there.aclose()


async def test_what_the_node_drops_is_sent_again_as_it_is(node: SolanaNode) -> None:
    """A sending that got lost costs a wait; the identical bytes go again."""
    async with MemoryJournal() as journal:
        ours = facilitator(node, journal, patience_us=20_000_000)
        node.drop_next = 2
        wanted = terms(node)
        assert (await ours.settle(await pay(node, wanted), wanted)).success
        assert node.calls["sendTransaction"] == 3
        assert node.tokens_of(PAYEE) == 10_000
        await ours.aclose()


async def test_an_outcome_that_is_not_known_is_pending_and_found_later(node: SolanaNode) -> None:
    """x402.md §12 rows 3 and 4: executed, not yet told; asked again, also after a restart, it is the same payment."""
    async with MemoryJournal() as journal:
        ours = facilitator(node, journal)
        node.hide = True
        wanted = terms(node)
        payment = await pay(node, wanted)
        pending = await ours.settle(payment, wanted)
        assert (pending.success, pending.error_reason) == (False, codes.SETTLEMENT_PENDING)
        assert pending.transaction
        await ours.aclose()
        restarted = facilitator(node, journal, seed="again")
        assert await restarted.start() == 1
        node.hide = False
        assert await restarted.start() == 0
        settled = await restarted.settle(payment, wanted)
        assert (settled.success, settled.transaction) == (True, pending.transaction)
        assert list(node.executed.values()) == [1]
        await restarted.aclose()


async def test_a_transaction_that_can_not_land_any_more_has_failed(node: SolanaNode) -> None:
    """Never executed and too old: final, nothing moved, and the payer may pay anew. A node that lags proves nothing."""
    async with MemoryJournal() as journal:
        ours = facilitator(node, journal)
        node.drop_next = 10_000
        wanted = terms(node)
        payment = await pay(node, wanted)
        assert (await ours.settle(payment, wanted)).error_reason == codes.SETTLEMENT_PENDING
        node.advance_blocks(LIFETIME_BLOCKS + 1)
        node.lag_blocks = 10
        assert (await ours.settle(payment, wanted)).error_reason == codes.SETTLEMENT_PENDING
        node.lag_blocks = 0
        failed = await ours.settle(payment, wanted)
        assert (failed.success, failed.error_reason) == (False, EXPIRED)
        node.drop_next = 0
        assert (await ours.settle(payment, wanted)).error_reason == EXPIRED
        assert node.tokens_of(PAYEE) == 0
        again = await pay(node, wanted, memo=b"fedcba9876543210")
        assert (await ours.settle(again, wanted)).success
        await ours.aclose()


async def test_what_the_chain_would_refuse_is_refused_before_anything_is_sent(node: SolanaNode) -> None:
    """x402.md §12 row 7: no money, no account for the payee: a refusal, no fee spent."""
    async with MemoryJournal() as journal:
        ours = facilitator(node, journal)
        rich = terms(node, amount=1_000_001)
        refused = await ours.settle(await pay(node, rich), rich)
        assert refused.error_reason == SIMULATION_FAILED
        assert node.calls["sendTransaction"] == 0
        await ours.aclose()


async def test_a_node_that_is_down_is_no_refusal(node: SolanaNode) -> None:
    """Nothing was sent, so it can be asked again; after the intent it is pending."""
    async with MemoryJournal() as journal:
        ours = facilitator(node, journal)
        wanted = terms(node)
        payment = await pay(node, wanted)
        node.down = True
        with pytest.raises(FacilitatorUnavailableError):
            await ours.verify(payment, wanted)
        with pytest.raises(FacilitatorUnavailableError):
            await ours.settle(payment, wanted)
        node.down = False
        assert (await ours.settle(payment, wanted)).success
        await ours.aclose()


async def test_the_terms_name_the_fee_payer(node: SolanaNode) -> None:
    """What /supported says goes into the seller's offers."""
    async with MemoryJournal() as journal:
        ours = facilitator(node, journal)
        answer = await ours.supported()
        assert supported_extra(answer, NETWORK) == {"feePayer": fee_payer().address}
        assert supported_extra(answer, exact.MAINNET) == {}
        assert REPEATABLE_SETTLEMENT in answer.extensions
        assert await ours.repeatable()
        await ours.aclose()
