"""Asking a node whether an authorization was used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from life.aios.errors import InvalidInputError
from life.haima.chain.json_rpc import JsonRpc
from life.host.clock import SystemClock
from life.host.haima_chain import FRESH_S, AuthorizationLookup
from life.testing.clock import ManualClock
from tests.harness.anvil import PAYER, Anvil
from tests.harness.fixtures import StartChain, start_chain
from tests.peers.processes import free_port

__all__ = ["start_chain"]

pytestmark = pytest.mark.part("anvil", "solc")

NONCE = b"\x11" * 32


@asynccontextmanager
async def lookup_at(url: str, *, network: str, clock: ManualClock | SystemClock) -> AsyncIterator[AuthorizationLookup]:
    rpc = JsonRpc(url, timeout_s=2)
    try:
        yield AuthorizationLookup(rpc, network=network, clock=clock)
    finally:
        await rpc.aclose()


async def ask(lookup: AuthorizationLookup, chain: Anvil, nonce: bytes = NONCE) -> str:
    return await lookup(chain.network, chain.token, PAYER.address, nonce)


async def test_only_a_fresh_block_says_unused(start_chain: StartChain) -> None:
    """A node whose newest block is old knows nothing of the present; one with a fresh block does."""
    chain = start_chain()
    made_s = chain.timestamp_s()
    clock = ManualClock(start_us=(made_s + FRESH_S) * 1_000_000)
    async with lookup_at(chain.url, network=chain.network, clock=clock) as lookup:
        await lookup.open()
        assert await ask(lookup, chain) == "unused"
        clock.advance_us(1_000_000)
        assert await ask(lookup, chain) == "unknown"


async def test_another_network_and_a_silent_node_are_unknown(start_chain: StartChain) -> None:
    """No exception: the payer goes on without the word of a chain."""
    chain = start_chain()
    async with lookup_at(chain.url, network=chain.network, clock=SystemClock()) as lookup:
        assert await lookup("eip155:8453", chain.token, PAYER.address, NONCE) == "unknown"
        assert await lookup(chain.network, PAYER.address, PAYER.address, NONCE) == "unknown"  # no contract there
        await asyncio.to_thread(chain.stop)
        assert await ask(lookup, chain) == "unknown"


async def test_a_wrong_node_is_found_at_the_start(start_chain: StartChain) -> None:
    """It serves another chain, or nobody answers."""
    chain = start_chain()
    async with lookup_at(chain.url, network="eip155:8453", clock=SystemClock()) as lookup:
        with pytest.raises(InvalidInputError, match="eip155:84532"):
            await lookup.open()
    async with lookup_at(f"http://127.0.0.1:{free_port()}", network=chain.network, clock=SystemClock()) as lookup:
        with pytest.raises(Exception, match="no answer"):
            await lookup.open()
