"""A facilitator's metrics: what is counted, under which names, and whether it can work."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from life.haima.chain.evm import EvmChain
from life.haima.chain.json_rpc import JsonRpc
from life.haima.x402 import codes
from life.host.facilitator_metrics import LOOK_US, FacilitatorMetrics, HealthWatch, NetworkHealth
from life.host.http.rate_limit import TokenBuckets
from life.testing.clock import ManualClock
from tests.haima.gas_custody import DevelopmentGasAccount
from tests.harness.anvil import FACILITATOR, Anvil
from tests.harness.fixtures import chain, counted_chain, session_chain
from tests.harness.rpc_counter import RpcCounter

__all__ = ["chain", "counted_chain", "session_chain"]

LINE = re.compile(r'(# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"\n]*"(,\w+="[^"\n]*")*\})? [0-9.e+-]+)')


def test_answers_are_counted_by_network_and_reason() -> None:
    """Yes is `ok`; a code of ours is itself; a peer's own words are `other`, so that nobody makes up series. Every line is
    in Prometheus' format, and every series has help and type."""
    metrics = FacilitatorMetrics()
    metrics.verified("eip155:1", "")
    metrics.verified("eip155:1", codes.INVALID_SIGNATURE)
    metrics.verified("eip155:1", 'made up"\n}')
    metrics.settled("eip155:1", "", 30_000)
    metrics.settled("other", codes.SETTLEMENT_PENDING, 20_500_000)
    buckets = TokenBuckets(ManualClock(), per_minute=1, burst=1)
    assert (buckets.take("a"), buckets.take("a")) == (0, 60)
    health = {"eip155:1": NetworkHealth("", "0xabc", 7), "eip155:2": NetworkHealth("gone", "0xabc")}
    text = metrics.text(open_settlements=3, health=health, buckets=buckets)
    lines = text.splitlines()
    assert all(LINE.fullmatch(line) for line in lines), lines
    for expected in (
        'haima_facilitator_verifications_total{network="eip155:1",reason="ok"} 1',
        'haima_facilitator_verifications_total{network="eip155:1",reason="invalid_exact_evm_payload_signature"} 1',
        'haima_facilitator_verifications_total{network="eip155:1",reason="other"} 1',
        'haima_facilitator_settlements_total{network="other",reason="settlement_pending"} 1',
        'haima_facilitator_settlement_seconds_bucket{le="0.025"} 0',
        'haima_facilitator_settlement_seconds_bucket{le="0.05"} 1',
        'haima_facilitator_settlement_seconds_bucket{le="+Inf"} 2',
        "haima_facilitator_settlement_seconds_count 2",
        "haima_facilitator_settlement_seconds_sum 20.53",
        "haima_facilitator_open_settlements 3",
        "haima_facilitator_rate_limited_total 1",
        'haima_facilitator_ready{network="eip155:1"} 1',
        'haima_facilitator_ready{network="eip155:2"} 0',
        'haima_facilitator_gas_balance_wei{network="eip155:1",account="0xabc"} 7',
    ):
        assert expected in lines
    assert "made up" not in text


@pytest.fixture
async def watched(chain: Anvil, counted_chain: RpcCounter) -> AsyncIterator[EvmChain]:
    rpc = JsonRpc(counted_chain.url)
    yield EvmChain(rpc, network=chain.network, gas_custody=DevelopmentGasAccount(FACILITATOR.key), clock=ManualClock())
    await rpc.aclose()


@pytest.mark.part("anvil", "solc")
async def test_health_is_asked_once_for_all(watched: EvmChain, chain: Anvil, counted_chain: RpcCounter) -> None:
    """Ten callers at once get one look at the node; it counts for a while; then an empty gas account is seen, and a node that
    is gone; play money is always ready."""
    clock = ManualClock()
    watch = HealthWatch({chain.network: watched, "eip155:4020402": None}, clock)
    looks = await asyncio.gather(*(watch.look() for _ in range(10)))
    assert all(set(look) == {chain.network, "eip155:4020402"} for look in looks), "nobody sees half a look"
    assert {each.problem for look in looks for each in look.values()} == {""}
    assert counted_chain.counts["eth_getBalance"] == 1
    chain.set_balance(FACILITATOR.address, 0)
    assert (await watch.look())[chain.network].problem == ""
    clock.advance_us(LOOK_US + 1)
    assert "empty" in (await watch.look())[chain.network].problem
    counted_chain.refuse("eth_getBalance")
    clock.advance_us(LOOK_US + 1)
    assert (
        "HTTP" in (await watch.look())[chain.network].problem or "answer" in (await watch.look())[chain.network].problem
    )
