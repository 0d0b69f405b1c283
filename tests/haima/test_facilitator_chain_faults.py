"""Our facilitator on a chain that stalls, takes blocks back, lies, comes late, answers twice or never."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from msgspec import Raw

from life.aios.ports.custody import TransferAuthorization
from life.aios.ports.journal import EventQuery
from life.haima import events
from life.haima.chain.evm import EvmChain
from life.haima.chain.json_rpc import JsonRpc
from life.haima.errors import FacilitatorUnavailableError, OutcomeUnknownError
from life.haima.events import read_finance
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.x402 import codes, wire
from life.haima.x402.authorization import build_payload
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE, PAYER, sign
from tests.haima.gas_custody import DevelopmentGasAccount
from tests.haima.scripted_node import ScriptedNode
from tests.haima.test_facilitator_evm import OFFER, TERMS
from tests.harness.anvil import FACILITATOR, Anvil

pytestmark = pytest.mark.part("anvil", "solc")

PRICE_ATOMIC = 10_000


class Bench:
    """Facilitators over one journal, behind a node whose answers can be spoiled."""

    def __init__(self, anvil: Anvil, node: ScriptedNode) -> None:
        self.anvil = anvil
        self.node = node
        self.journal = MemoryJournal()
        self.made: list[SelfHostedFacilitator] = []
        self.rpcs: list[JsonRpc] = []
        self._valid_before_s = anvil.timestamp_s() + 3600

    def facilitator(
        self, *, wait_us: int = 20_000_000, patience_us: int = 30_000_000, tend_us: int = 50_000, fee_bps: int = 0
    ) -> SelfHostedFacilitator:
        """Another process."""
        rpc = JsonRpc(self.node.url, timeout_s=0.5)
        self.rpcs.append(rpc)
        chain = EvmChain(
            rpc, network=self.anvil.network, gas_custody=DevelopmentGasAccount(FACILITATOR.key), clock=SystemClock()
        )
        made = SelfHostedFacilitator(
            [chain],
            self.journal,
            SystemClock(),
            SystemEntropy(),
            wait_us=wait_us,
            patience_us=patience_us,
            tend_us=tend_us,
            fee_bps=fee_bps,
        )
        self.made.append(made)
        return made

    def payment(self, number: int = 1, **changes: Any) -> wire.PaymentPayload:
        authorization = TransferAuthorization(
            network=self.anvil.network,
            asset=TERMS.asset,
            token_name="USDC",
            token_version="2",
            from_address=PAYER,
            to_address=PAYEE,
            value_atomic=PRICE_ATOMIC,
            valid_after_s=0,
            valid_before_s=self._valid_before_s,
            nonce=number.to_bytes(32, "big"),
        )._replace(**changes)
        return build_payload(Raw(OFFER.raw), authorization, sign(authorization))

    async def recorded(self) -> list[str]:
        """Names of the facilitator's events."""
        records = await self.journal.read(EventQuery("facilitator"), limit=1000)
        return [type(event).__name__ for record in records if (event := read_finance(record)) is not None]

    async def settled(self, facilitator: SelfHostedFacilitator, number: int = 1) -> wire.SettlementResponse:
        """The end of a payment, asked for again while its outcome is open, for ten seconds at most."""
        for _ in range(100):
            try:
                answer = await facilitator.settle(self.payment(number), TERMS)
                if answer.success or answer.error_reason != codes.SETTLEMENT_PENDING:
                    return answer
            except (FacilitatorUnavailableError, OutcomeUnknownError):
                pass
            await asyncio.sleep(0.1)
        raise TimeoutError("the settlement stays open")

    async def until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for something that the facilitator does by itself."""
        for _ in range(200):
            got = condition()
            if await got if asyncio.iscoroutine(got) else got:
                return
            await asyncio.sleep(0.05)
        raise TimeoutError(what)


@pytest.fixture
async def bench(chain: Anvil) -> AsyncIterator[Bench]:
    chain.mint(PAYER, 1_000_000)
    with ScriptedNode(chain.url) as node:
        made = Bench(chain, node)
        yield made
        for facilitator in made.made:
            await facilitator.aclose()
        for rpc in made.rpcs:
            await rpc.aclose()


# ---- blocks that are taken back


async def test_a_block_that_is_taken_back_is_settled_again(bench: Bench) -> None:
    """Confirmed, then gone with its block: the settlement is written as open again, the same transaction is sent again, and
    the money moves. Asking for it gives the same hash all along (issue 3: a chain that reorganises one block)."""
    facilitator = bench.facilitator(fee_bps=100)
    await facilitator.start()
    first = await facilitator.settle(bench.payment(), TERMS)
    assert first.success
    bench.anvil.reorganise(1)
    assert bench.anvil.balance_of(PAYEE) == 0
    await bench.until(lambda: bench.anvil.balance_of(PAYEE) == PRICE_ATOMIC, "settling again")
    again = await bench.settled(facilitator)
    assert (again.success, again.transaction) == (True, first.transaction)
    assert await bench.recorded() == [
        "SettlementIntended",
        "SettlementPrepared",
        "SettlementConfirmed",
        "FacilitatorFeeAccrued",
        "SettlementReopened",
        "SettlementPrepared",
        "SettlementConfirmed",
    ]


async def test_a_restart_notices_what_was_taken_back_meanwhile(bench: Bench) -> None:
    """Nobody watches while the chain takes the block back; the next start follows recent confirmations and settles again."""
    facilitator = bench.facilitator()
    assert (await facilitator.settle(bench.payment(), TERMS)).success
    await facilitator.aclose()
    bench.anvil.reorganise(1)
    following = bench.facilitator()
    await following.start()
    await bench.until(lambda: bench.anvil.balance_of(PAYEE) == PRICE_ATOMIC, "settling again")
    assert (await bench.settled(following)).success


async def test_money_that_is_gone_after_a_reorganisation_is_a_failure(bench: Bench) -> None:
    """The payer spends the money before the settlement is sent again: it fails for good, says so, and the fee is waived."""
    facilitator = bench.facilitator(fee_bps=100)
    await facilitator.start()
    assert (await facilitator.settle(bench.payment(), TERMS)).success
    bench.anvil.set_automine(False)
    bench.anvil.reorganise(1)
    bench.anvil.transfer(PAYER, FACILITATOR.address, bench.anvil.balance_of(PAYER))
    bench.anvil.set_automine(True)

    async def is_over() -> bool:
        return "FacilitatorFeeWaived" in await bench.recorded()

    await bench.until(is_over, "the failure")
    settled = await bench.settled(facilitator)
    assert (settled.success, settled.error_reason) == (False, codes.TRANSACTION_FAILED)
    assert bench.anvil.balance_of(PAYEE) == 0


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_was_taken_back_is_settled_without_being_asked(bench: Bench, restarted: bool) -> None:
    """The seller was told that it is paid and will not ask again: with an empty gas account the settlement waits, in this
    process or the next, and goes through when there is gas."""
    facilitator = bench.facilitator()
    await facilitator.start()
    assert (await facilitator.settle(bench.payment(), TERMS)).success
    bench.anvil.set_automine(False)
    bench.anvil.reorganise(1)
    bench.anvil.set_balance(FACILITATOR.address, 0)
    bench.anvil.set_automine(True)

    async def was_refused() -> bool:
        return "SettlementFailed" in await bench.recorded()

    await bench.until(was_refused, "the refusal")
    if restarted:
        await facilitator.aclose()
        assert await bench.facilitator().start() == 1
    assert bench.anvil.balance_of(PAYEE) == 0
    bench.anvil.set_balance(FACILITATOR.address, 10**20)
    await bench.until(lambda: bench.anvil.balance_of(PAYEE) == PRICE_ATOMIC, "settling again")


async def test_a_transaction_that_moved_to_another_block_is_not_sent_again(bench: Bench) -> None:
    """The block is replaced by one that holds the transaction, too: nothing is reopened."""
    facilitator = bench.facilitator()
    await facilitator.start()
    snapshot_free = bench.anvil.block_number()
    first = await facilitator.settle(bench.payment(), TERMS)
    raw = (await bench.journal.read(EventQuery("facilitator"), limit=10))[1]
    prepared = read_finance(raw)
    assert isinstance(prepared, events.SettlementPrepared)
    bench.anvil.rpc.call("anvil_reorg", 1, [[prepared.raw_transaction, 0]])
    assert bench.anvil.block_number() == snapshot_free + 1
    bench.anvil.mine(2)
    await asyncio.sleep(0.4)
    assert "SettlementReopened" not in await bench.recorded()
    assert await bench.settled(facilitator) == first
    assert bench.anvil.balance_of(PAYEE) == PRICE_ATOMIC


# ---- transactions that wait


async def test_a_waiting_transaction_is_outbid_and_settles_once(bench: Bench) -> None:
    """Without a block within its patience the transaction is replaced for higher fees, written before it is sent; whichever
    is mined settles the payment, once."""
    bench.anvil.set_automine(False)
    facilitator = bench.facilitator(patience_us=200_000, wait_us=300_000)
    pending = await facilitator.settle(bench.payment(), TERMS)
    assert pending.error_reason == codes.SETTLEMENT_PENDING

    async def is_repriced() -> bool:
        return "SettlementRepriced" in await bench.recorded()

    await bench.until(is_repriced, "the replacement")
    assert len(bench.anvil.pending_transactions()) == 1
    bench.anvil.mine()
    settled = await bench.settled(facilitator)
    assert settled.success
    assert bench.anvil.balance_of(PAYEE) == PRICE_ATOMIC
    assert bench.anvil.transaction_count(FACILITATOR.address) == 1


async def test_the_first_may_be_mined_although_it_was_outbid(bench: Bench) -> None:
    """The replacement is on disk, and the block took the first transaction all the same: it is found, and nothing is sent
    after it. Also by the next process, when this one dies in between."""
    bench.anvil.set_automine(False)
    facilitator = bench.facilitator(patience_us=100_000)
    bench.node.script("eth_sendRawTransaction", "truth", *["unsent"] * 20)
    asked = asyncio.ensure_future(facilitator.settle(bench.payment(), TERMS))

    async def is_repriced() -> bool:
        return "SettlementRepriced" in await bench.recorded()

    await bench.until(is_repriced, "the replacement")
    await facilitator.aclose()
    await asyncio.gather(asked, return_exceptions=True)
    (first,) = bench.anvil.pending_transactions()
    bench.anvil.mine()
    following = bench.facilitator()
    assert await following.start() == 0
    settled = await bench.settled(following)
    assert (settled.success, settled.transaction) == (True, first)
    assert bench.anvil.transaction_count(FACILITATOR.address) == 1


async def test_an_empty_gas_account_wedges_nothing(bench: Bench) -> None:
    """Refused broadcasts give their nonces back in one process and across restarts; when there is gas again, everything
    lands in order (x402.md §12 row 5)."""
    facilitator = bench.facilitator()
    bench.anvil.set_balance(FACILITATOR.address, 0)
    for number in (1, 2):
        with pytest.raises(FacilitatorUnavailableError):
            await facilitator.settle(bench.payment(number), TERMS)
    await facilitator.aclose()
    following = bench.facilitator()
    assert await following.start() == 0
    with pytest.raises(FacilitatorUnavailableError):
        await following.settle(bench.payment(3), TERMS)
    bench.anvil.set_balance(FACILITATOR.address, 10**20)
    results = await asyncio.gather(*(following.settle(bench.payment(number), TERMS) for number in (1, 2, 3)))
    assert all(result.success for result in results)
    assert bench.anvil.transaction_count(FACILITATOR.address) == 3


# ---- nodes that are wrong


METHODS = (
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_getTransactionCount",
    "eth_sendRawTransaction",
    "eth_getTransactionReceipt",
)
FAULTS = ("garbage", "twice", "other call", "null", "text", "busy", "unavailable", "late 0.7")


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_wrong_answer_costs_nothing_but_time(bench: Bench, fault: str) -> None:
    """Every call that a settlement makes goes wrong once, one after the other: each payment settles exactly once in the end,
    and no account nonce is lost."""
    facilitator = bench.facilitator(wait_us=1_500_000)
    for number, method in enumerate(METHODS, start=1):
        bench.node.script(method, fault)
        settled = await bench.settled(facilitator, number)
        assert settled.success, (method, settled)
        assert bench.anvil.balance_of(PAYEE) == number * PRICE_ATOMIC
    assert bench.anvil.authorizations_used(PAYER) == len(METHODS)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["eth_sendRawTransaction", "eth_getTransactionReceipt"])
async def test_silence_is_pending_and_a_restart_finds_the_end(bench: Bench, method: str) -> None:
    """A node that never answers about sending or receipts: the outcome is open or found, never a refusal; the next process
    settles it without paying twice."""
    bench.node.script(method, *["never"] * 40)
    facilitator = bench.facilitator(wait_us=700_000)
    try:
        answer = await facilitator.settle(bench.payment(), TERMS)
        assert answer.success or answer.error_reason == codes.SETTLEMENT_PENDING
    except OutcomeUnknownError:
        pass
    await facilitator.aclose()
    bench.node.forget(method)
    following = bench.facilitator()
    await following.start()
    assert (await bench.settled(following)).success
    assert (bench.anvil.balance_of(PAYEE), bench.anvil.authorizations_used(PAYER)) == (PRICE_ATOMIC, 1)


def _of_another(receipt: Any) -> Any:
    return receipt and {**receipt, "transactionHash": "0x" + "77" * 32}


def _without_logs(receipt: Any) -> Any:
    return receipt and {**receipt, "logs": []}


def _of_another_amount(receipt: Any) -> Any:
    return receipt and {**receipt, "logs": [{**log, "data": hex(1)} for log in receipt["logs"]]}


def _of_another_token(receipt: Any) -> Any:
    return receipt and {**receipt, "logs": [{**log, "address": "0x" + "11" * 20} for log in receipt["logs"]]}


def _removed(receipt: Any) -> Any:
    return receipt and {**receipt, "logs": [{**log, "removed": True} for log in receipt["logs"]]}


@pytest.mark.parametrize("lie", [_without_logs, _of_another_amount, _of_another_token, _removed])
async def test_a_receipt_without_the_exact_transfer_is_no_success(bench: Bench, lie: Callable[[Any], Any]) -> None:
    """Status 1 is not enough: without a log of exactly this transfer the payee was not paid (x402.md §3.1)."""
    bench.node.script("eth_getTransactionReceipt", *[lie] * 50)
    settled = await bench.facilitator().settle(bench.payment(), TERMS)
    assert (settled.success, settled.error_reason) == (False, codes.TRANSFER_EVENT_MISMATCH)


async def test_the_receipt_of_another_transaction_is_not_believed(bench: Bench) -> None:
    """A node that answers with somebody else's receipt has said nothing; the truth, when it comes, counts."""
    bench.node.script("eth_getTransactionReceipt", *[_of_another] * 3)
    assert (await bench.settled(bench.facilitator())).success
    assert bench.node.counts["eth_getTransactionReceipt"] >= 4


@pytest.mark.parametrize(
    "words",
    [
        "nonce too low",
        "replacement transaction underpriced",
        "already known",
        "insufficient funds for gas",
        "internal error",
    ],
)
async def test_refusals_that_are_not_true_lose_nothing(bench: Bench, words: str) -> None:
    """The node took the transaction and says it did not: the money is found all the same, and it moved once."""
    bench.node.script("eth_sendRawTransaction", f"error {words}")
    facilitator = bench.facilitator(wait_us=2_000_000)
    for number in itertools.count(1):
        settled = await bench.settled(facilitator, number)
        assert settled.success
        assert bench.anvil.balance_of(PAYEE) == number * PRICE_ATOMIC
        if number == 3:
            break
    assert bench.anvil.authorizations_used(PAYER) == 3
