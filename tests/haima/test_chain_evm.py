"""Settlement on a real EVM node: anvil with a USDC-like token at USDC's own address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from life.aios.errors import InvalidInputError
from life.aios.ports.chain import Chain
from life.haima.chain.evm import EvmChain
from life.haima.chain.json_rpc import JsonRpc
from life.haima.errors import ChainRefusedError, ChainUnavailableError
from life.haima.x402 import codes
from life.host.clock import SystemClock
from life.testing.chain import PAYEE, PAYER, ChainBench, ChainSuite, outcome, settle, sign
from tests.haima.gas_custody import DevelopmentGasAccount
from tests.harness.anvil import ACCOUNTS, FACILITATOR, Anvil
from tests.harness.rpc_counter import RpcCounter

if TYPE_CHECKING:
    from tests.harness.fixtures import StartChain

pytestmark = pytest.mark.part("anvil", "solc")


class EvmBenches:
    """Makes EvmChains over one node and closes them in the end."""

    def __init__(self, anvil: Anvil) -> None:
        self.anvil = anvil
        self.gas_account = DevelopmentGasAccount(FACILITATOR.key)
        self._rpcs: list[JsonRpc] = []

    def open(
        self,
        url: str | None = None,
        *,
        max_fee_per_gas_wei: int | None = None,
        confirmations: int = 1,
        wallet_factories: tuple[str, ...] = (),
        gas_account: DevelopmentGasAccount | None = None,
    ) -> EvmChain:
        """A new instance; `url` when a proxy stands before the node."""
        rpc = JsonRpc(url or self.anvil.url, timeout_s=5.0)
        self._rpcs.append(rpc)
        return EvmChain(
            rpc,
            network=self.anvil.network,
            gas_custody=gas_account or self.gas_account,
            clock=SystemClock(),
            max_fee_per_gas_wei=max_fee_per_gas_wei,
            confirmations=confirmations,
            wallet_factories=wallet_factories,
        )

    def bench(self, chain: Chain | None = None) -> ChainBench:
        """The conformance suite's view."""

        async def fund(address: str, amount_atomic: int) -> None:
            self.anvil.mint(address, amount_atomic)

        async def balance(address: str) -> int:
            return self.anvil.balance_of(address)

        async def allow(address: str) -> None:
            self.anvil.approve_permit2(address)

        return ChainBench(
            chain=chain or self.open(),
            asset=self.anvil.token,
            token_name="USDC",
            token_version="2",
            fund=fund,
            balance=balance,
            now_s=self.anvil.timestamp_s,
            reopen=self.open,
            allow=allow,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        for rpc in self._rpcs:
            await rpc.aclose()


@pytest.fixture
async def benches(chain: Anvil) -> AsyncIterator[EvmBenches]:
    """Instances over the session's chain."""
    made = EvmBenches(chain)
    yield made
    await made.aclose()


class TestConformance(ChainSuite):
    """The Chain port over JSON-RPC."""

    @pytest.fixture
    async def bench(self, benches: EvmBenches) -> ChainBench:
        return benches.bench()


async def test_payment_takes_four_calls(benches: EvmBenches, counted_chain: RpcCounter) -> None:
    """After the first payment, check + check + prepare + broadcast + receipt are four calls; with stale fees five."""
    chain = benches.open(counted_chain.url)
    bench = benches.bench(chain)
    await bench.fund(PAYER, 50_000)
    first = bench.authorization(1)
    await chain.check(first, sign(first))
    await settle(chain, first, sign(first))
    counted_chain.reset()
    second = bench.authorization(2)
    assert await chain.check(second, sign(second)) is None
    assert await chain.check(second, sign(second)) is None
    _, settled = await settle(chain, second, sign(second))
    assert settled.state == "confirmed"
    assert counted_chain.counts == {
        "eth_estimateGas": 2,
        "eth_sendRawTransaction": 1,
        "eth_getTransactionReceipt": 1,
    }


async def test_node_of_another_chain_is_refused(start_chain: StartChain) -> None:
    """A node that serves another chain gets nothing signed and nothing sent."""
    other = start_chain(8453)
    rpc = JsonRpc(other.url)
    chain = EvmChain(
        rpc, network="eip155:84532", gas_custody=DevelopmentGasAccount(FACILITATOR.key), clock=SystemClock()
    )
    with pytest.raises(InvalidInputError, match="serves chain 8453"):
        await chain.open()
    await rpc.aclose()


async def test_asset_without_code_is_refused(benches: EvmBenches) -> None:
    """A call to an address without code would succeed and move nothing; it is refused before."""
    bench = benches.bench()
    authorization = bench.authorization(1)._replace(asset=ACCOUNTS[7].address)
    refusal = await bench.chain.check(authorization, sign(authorization))
    assert refusal is not None
    assert refusal.code == codes.ASSET_NOT_DEPLOYED


async def test_empty_gas_account_recovers_when_refilled(benches: EvmBenches) -> None:
    """Without gas money the broadcast is refused and the account nonce given back; after a refill payments go on
    (x402.md §12 row 5)."""
    bench = benches.bench()
    await bench.fund(PAYER, 50_000)
    benches.anvil.set_balance(FACILITATOR.address, 0)
    before = benches.anvil.transaction_count(FACILITATOR.address)
    for number in (1, 2):
        authorization = bench.authorization(number)
        prepared = await bench.chain.prepare(authorization, sign(authorization))
        with pytest.raises(ChainRefusedError):
            await bench.chain.broadcast(prepared)
        await bench.chain.abandon(prepared)
        assert prepared.account_nonce == before
    benches.anvil.set_balance(FACILITATOR.address, 10**20)
    for number in (1, 3):
        authorization = bench.authorization(number)
        _, settled = await settle(bench.chain, authorization, sign(authorization))
        assert settled.state == "confirmed"
    assert await bench.balance(PAYEE) == 20_000
    assert benches.anvil.transaction_count(FACILITATOR.address) == before + 2


async def test_foreign_use_of_the_gas_account_is_survived(benches: EvmBenches) -> None:
    """When somebody else spent our next account nonce, the broadcast is refused as not taken, and the next attempt lands."""
    bench = benches.bench()
    await bench.fund(PAYER, 50_000)
    first = bench.authorization(1)
    await settle(bench.chain, first, sign(first))
    benches.anvil.send_as(FACILITATOR.address, to=ACCOUNTS[8].address, value_wei=1)
    second = bench.authorization(2)
    prepared = await bench.chain.prepare(second, sign(second))
    with pytest.raises(ChainRefusedError):
        await bench.chain.broadcast(prepared)
    await bench.chain.abandon(prepared)
    _, settled = await settle(bench.chain, second, sign(second))
    assert settled.state == "confirmed"


async def test_lost_answer_of_a_broadcast_is_no_refusal(benches: EvmBenches, counted_chain: RpcCounter) -> None:
    """The node took the transaction and the answer got lost: unknown, not refused; the chain knows it, and its account
    nonce is not used again."""
    chain = benches.open(counted_chain.url)
    bench = benches.bench(chain)
    await bench.fund(PAYER, 50_000)
    counted_chain.lose_answer("eth_sendRawTransaction")
    authorization = bench.authorization(1)
    prepared = await chain.prepare(authorization, sign(authorization))
    with pytest.raises(ChainUnavailableError):
        await chain.broadcast(prepared)
    assert (await outcome(chain, prepared.transaction_hash, authorization)).state == "confirmed"
    second = bench.authorization(2)
    _, settled = await settle(chain, second, sign(second))
    assert settled.state == "confirmed"
    assert await bench.balance(PAYEE) == 20_000


async def test_unreached_node_is_unknown_and_resending_lands(benches: EvmBenches, counted_chain: RpcCounter) -> None:
    """A broadcast that never reached the node is unknown to us as well; the same bytes again settle it."""
    chain = benches.open(counted_chain.url)
    bench = benches.bench(chain)
    await bench.fund(PAYER, 50_000)
    authorization = bench.authorization(1)
    prepared = await chain.prepare(authorization, sign(authorization))
    counted_chain.refuse("eth_sendRawTransaction")
    with pytest.raises(ChainUnavailableError):
        await chain.broadcast(prepared)
    assert (await chain.settlement(prepared.transaction_hash, authorization)).state == "not_found"
    await chain.broadcast(prepared)
    assert (await outcome(chain, prepared.transaction_hash, authorization)).state == "confirmed"


async def test_unmined_transaction_is_pending(benches: EvmBenches) -> None:
    """Sent and not mined is pending, for the sender and for another instance that asks the node's pool."""
    bench = benches.bench()
    await bench.fund(PAYER, 50_000)
    authorization = bench.authorization(1)
    benches.anvil.set_automine(False)
    prepared = await bench.chain.prepare(authorization, sign(authorization))
    await bench.chain.broadcast(prepared)
    for chain in (bench.chain, bench.reopen()):
        assert (await chain.settlement(prepared.transaction_hash, authorization)).state == "pending"
    benches.anvil.mine()
    assert (await outcome(bench.chain, prepared.transaction_hash, authorization)).state == "confirmed"


async def test_canceled_authorization_is_a_failure(benches: EvmBenches) -> None:
    """A nonce that the payer canceled before the transaction was mined moved no money, and is told from one that was used."""
    bench = benches.bench()
    await bench.fund(PAYER, 50_000)
    authorization = bench.authorization(1)
    prepared = await bench.chain.prepare(authorization, sign(authorization))
    _cancel(benches.anvil, authorization.nonce)
    await bench.chain.broadcast(prepared)
    settled = await outcome(bench.chain, prepared.transaction_hash, authorization)
    assert (settled.state, settled.reason) == ("reverted", codes.NONCE_ALREADY_USED)
    assert await bench.balance(PAYEE) == 0


async def test_too_expensive_gas_is_not_paid(benches: EvmBenches) -> None:
    """Above the configured fee nothing is signed or sent."""
    bench = benches.bench(benches.open(max_fee_per_gas_wei=1))
    authorization = bench.authorization(1)
    with pytest.raises(ChainUnavailableError, match="wei per gas"):
        await bench.chain.prepare(authorization, sign(authorization))
    assert benches.gas_account.signed == []


async def test_dead_node_is_unavailable_and_its_address_stays_secret() -> None:
    """No answer is an error without the path or the credentials of the node's URL."""
    rpc = JsonRpc("http://user:hunter2@127.0.0.1:9/v3/project-key", timeout_s=2.0)
    with pytest.raises(ChainUnavailableError) as unavailable:
        await rpc.call("eth_chainId")
    await rpc.aclose()
    assert "127.0.0.1:9" in str(unavailable.value)
    for secret in ("hunter2", "project-key", "user"):
        assert secret not in str(unavailable.value)


@pytest.mark.slow
async def test_slow_blocks_still_land_in_order(start_chain: StartChain) -> None:
    """With a block a second, twelve payments at once all land although they wait in the pool together."""
    benches = EvmBenches(start_chain(block_time=1))
    bench = benches.bench()
    await bench.fund(PAYER, 120_000)
    authorizations = [bench.authorization(number) for number in range(1, 13)]
    results = await asyncio.gather(*(settle(bench.chain, each, sign(each)) for each in authorizations))
    await benches.aclose()
    assert [settled.state for _, settled in results] == ["confirmed"] * 12
    assert await bench.balance(PAYEE) == 120_000


def _cancel(anvil: Anvil, nonce: bytes) -> None:
    """Cancel PAYER's authorization on chain, signed by PAYER through eth-account's typed data."""
    from eth_account import Account

    typed = Account.sign_typed_data(
        ACCOUNTS[1].key,
        {"name": "USDC", "version": "2", "chainId": anvil.chain_id, "verifyingContract": anvil.token},
        {"CancelAuthorization": [{"name": "authorizer", "type": "address"}, {"name": "nonce", "type": "bytes32"}]},
        {"authorizer": PAYER, "nonce": nonce},
    )
    from tests.harness.solidity import compile_contracts

    data = compile_contracts()["Token3009"].call_data(
        "cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)",
        PAYER,
        nonce,
        typed.v,
        typed.r.to_bytes(32, "big"),
        typed.s.to_bytes(32, "big"),
    )
    anvil.send_as(ACCOUNTS[6].address, to=anvil.token, data=data)
