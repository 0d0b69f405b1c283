"""SelfHostedFacilitator on a real node: calls per payment, gas, and the ways in which a node fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec import Raw

from life.aios.ports.custody import TransferAuthorization
from life.haima.errors import FacilitatorUnavailableError
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.x402 import codes, exact, wire
from life.haima.x402.price import make_offer, parse_price
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE, PAYER, STRANGER_KEY, sign, with_high_s
from tests.haima.test_chain_evm import EvmBenches
from tests.harness.anvil import FACILITATOR, Anvil
from tests.harness.rpc_counter import RpcCounter

pytestmark = pytest.mark.part("anvil", "solc")

NETWORK = "eip155:84532"
OFFER = make_offer(parse_price("$0.01", network=NETWORK), PAYEE)
TERMS = OFFER.requirements


class Bench:
    """Facilitators over one journal on a chain whose calls are counted."""

    def __init__(self, anvil: Anvil, counter: RpcCounter) -> None:
        self.anvil = anvil
        self.counter = counter
        self.benches = EvmBenches(anvil)
        self.journal = MemoryJournal()
        self.made: list[SelfHostedFacilitator] = []
        self._valid_before_s = anvil.timestamp_s() + 3600

    def facilitator(self, *, wait_us: int = 20_000_000) -> SelfHostedFacilitator:
        """Another process."""
        chain = self.benches.open(self.counter.url)
        made = SelfHostedFacilitator([chain], self.journal, SystemClock(), SystemEntropy(), wait_us=wait_us)
        self.made.append(made)
        return made

    def payment(
        self, number: int, key: bytes | None = None, *, high_s: bool = False, **changes: object
    ) -> wire.PaymentPayload:
        """PAYER's payment of the price."""
        authorization = TransferAuthorization(
            network=NETWORK,
            asset=TERMS.asset,
            token_name="USDC",
            token_version="2",
            from_address=PAYER,
            to_address=PAYEE,
            value_atomic=10_000,
            valid_after_s=0,
            valid_before_s=self._valid_before_s,
            nonce=number.to_bytes(32, "big"),
        )._replace(**changes)  # type: ignore[arg-type]
        signature = sign(authorization) if key is None else sign(authorization, key)
        return exact.build_payload(Raw(OFFER.raw), authorization, with_high_s(signature) if high_s else signature)

    def sent(self) -> int:
        """Transactions that reached the node."""
        return self.counter.counts["eth_sendRawTransaction"]


@pytest.fixture
async def bench(chain: Anvil, counted_chain: RpcCounter) -> AsyncIterator[Bench]:
    made = Bench(chain, counted_chain)
    chain.mint(PAYER, 1_000_000)
    yield made
    for facilitator in made.made:
        await facilitator.aclose()
    await made.benches.aclose()


async def test_verify_and_settle_take_at_most_five_calls(bench: Bench) -> None:
    """A payment's verify and settle together ask the node at most five times, the first one's chain id, code and account
    nonce aside (x402.md §15)."""
    facilitator = bench.facilitator()
    for number in (1, 2, 3):
        bench.counter.reset()
        assert (await facilitator.verify(bench.payment(number), TERMS)).is_valid
        assert (await facilitator.settle(bench.payment(number), TERMS)).success
        once = {"eth_chainId", "eth_getCode", "eth_getTransactionCount", "eth_feeHistory"} if number == 1 else set()
        calls = [method for method in bench.counter.methods if method not in once]
        assert len(calls) <= 5, calls
        if number == 3:
            assert sorted(calls) == [
                "eth_estimateGas",
                "eth_estimateGas",
                "eth_getTransactionReceipt",
                "eth_sendRawTransaction",
            ]


async def test_nothing_is_sent_for_what_is_refused(bench: Bench) -> None:
    """No money, a false or malleable signature, a used nonce: refused without a transaction (x402.md §12 row 7)."""
    facilitator = bench.facilitator()
    assert (await facilitator.settle(bench.payment(1), TERMS)).success
    bench.counter.reset()
    poor = bench.payment(2, STRANGER_KEY, from_address="0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")
    for payment, code in (
        (poor, codes.INSUFFICIENT_BALANCE),
        (bench.payment(3, STRANGER_KEY), codes.INVALID_SIGNATURE),
        (bench.payment(4, high_s=True), codes.INVALID_SIGNATURE),
    ):
        settled = await facilitator.settle(payment, TERMS)
        assert (settled.success, settled.error_reason) == (False, code)
    elsewhere = SelfHostedFacilitator(
        [bench.benches.open(bench.counter.url)], MemoryJournal(), SystemClock(), SystemEntropy()
    )
    used = await elsewhere.settle(bench.payment(1), TERMS)
    assert used.error_reason == codes.NONCE_ALREADY_USED
    assert bench.sent() == 0


async def test_same_payment_at_once_is_sent_once(bench: Bench) -> None:
    """Six calls at once, over two processes with one gas account: one transaction, no gas for reverts
    (x402.md §12 rows 1 and 2)."""
    processes = [bench.facilitator(), bench.facilitator()]
    payment = bench.payment(1)
    results = await asyncio.gather(*(process.settle(payment, TERMS) for process in processes for _ in range(3)))
    assert {result.transaction for result in results} == {results[0].transaction}
    assert all(result.success for result in results)
    assert bench.anvil.authorizations_used(PAYER) == 1
    assert bench.anvil.transaction_count(FACILITATOR.address) == bench.sent() == 1


async def test_twelve_different_payments_at_once_land(bench: Bench) -> None:
    """Account nonces never collide (x402.md §12 row 6)."""
    facilitator = bench.facilitator()
    results = await asyncio.gather(*(facilitator.settle(bench.payment(n), TERMS) for n in range(1, 13)))
    assert all(result.success for result in results)
    assert bench.anvil.balance_of(PAYEE) == 120_000


async def test_two_processes_with_one_gas_account_land(bench: Bench) -> None:
    """Two processes that share a gas account collide, notice it, and both settle what they were given."""
    processes = [bench.facilitator(), bench.facilitator()]
    results = await asyncio.gather(
        *(processes[number % 2].settle(bench.payment(number), TERMS) for number in range(1, 7)), return_exceptions=True
    )
    for number, result in enumerate(results, start=1):
        if isinstance(result, FacilitatorUnavailableError):  # nothing was sent: the caller may repeat it
            result = await processes[number % 2].settle(bench.payment(number), TERMS)
        assert isinstance(result, wire.SettlementResponse)
        assert result.success
    assert bench.anvil.balance_of(PAYEE) == 60_000


async def test_empty_gas_account_recovers(bench: Bench) -> None:
    """Without gas money a settlement is unavailable at once, not pending; after a refill everything settles
    (x402.md §12 row 5)."""
    facilitator = bench.facilitator()
    bench.anvil.set_balance(FACILITATOR.address, 0)
    with pytest.raises(FacilitatorUnavailableError, match="did not take"):
        await facilitator.settle(bench.payment(1), TERMS)
    bench.anvil.set_balance(FACILITATOR.address, 10**20)
    for number in (1, 2, 3):
        assert (await facilitator.settle(bench.payment(number), TERMS)).success
    assert bench.anvil.balance_of(PAYEE) == 30_000


async def test_unmined_is_pending_and_a_restart_finds_it(bench: Bench) -> None:
    """A transaction that is not mined in time is `settlement_pending` with its hash; another process reports its end when
    the block has come, without sending anything."""
    bench.anvil.set_automine(False)
    facilitator = bench.facilitator(wait_us=300_000)
    pending = await facilitator.settle(bench.payment(1), TERMS)
    assert (pending.success, pending.error_reason) == (False, codes.SETTLEMENT_PENDING)
    assert pending.transaction.startswith("0x")
    await facilitator.aclose()
    following = bench.facilitator()
    assert await following.start() == 1
    bench.anvil.mine()
    settled = await following.settle(bench.payment(1), TERMS)
    assert (settled.success, settled.transaction) == (True, pending.transaction)
    assert bench.sent() == 1


async def test_lost_answers_are_found_again(bench: Bench) -> None:
    """The answer to the sending gets lost, then that to the receipt: the settlement is still found."""
    bench.counter.lose_answer("eth_sendRawTransaction")
    bench.counter.lose_answer("eth_getTransactionReceipt")
    settled = await bench.facilitator().settle(bench.payment(1), TERMS)
    assert settled.success
    assert bench.anvil.balance_of(PAYEE) == 10_000


async def test_unreachable_node_is_unavailable(bench: Bench) -> None:
    """When the dry run gets no answer nothing was promised or sent."""
    bench.counter.refuse("eth_estimateGas", 2)
    facilitator = bench.facilitator()
    with pytest.raises(FacilitatorUnavailableError):
        await facilitator.verify(bench.payment(1), TERMS)
    with pytest.raises(FacilitatorUnavailableError):
        await facilitator.settle(bench.payment(1), TERMS)
    assert (await facilitator.settle(bench.payment(1), TERMS)).success
    assert bench.sent() == 1
