"""What a transaction may cost: EIP-1559 fees asked of the node and kept for a few seconds.

One `eth_feeHistory` gives the next block's base fee and the tip that half of the last block's gas paid. The fee cap leaves
room for the base fee to double, six full blocks away (EIP-1559: at most 12.5 % per block).
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from life.aios.json import Json
from life.aios.ports.clock import Clock
from life.haima.chain.json_rpc import JsonRpc, parse_quantity
from life.haima.errors import ChainUnavailableError

FEES_KEPT_US: Final = 15_000_000
MIN_TIP_WEI: Final = 1_000_000
"""A tip of zero is not taken by every block builder."""


class Fees(NamedTuple):
    """EIP-1559 fee fields, in wei per gas."""

    max_priority_fee_per_gas_wei: int
    max_fee_per_gas_wei: int


class FeeOracle:
    """The fees of one chain. `limit_wei` bounds the fee cap; above it nothing is sent (None: no bound)."""

    def __init__(self, rpc: JsonRpc, clock: Clock, *, limit_wei: int | None = None) -> None:
        self._rpc = rpc
        self._clock = clock
        self.limit_wei: Final = limit_wei
        self._lock = asyncio.Lock()
        self._kept: Fees | None = None
        self._asked_us = 0

    async def fees(self) -> Fees:
        """Fees for a transaction that leaves now. Raises ChainUnavailableError when they exceed the limit."""
        async with self._lock:
            now_us = self._clock.monotonic_us()
            if self._kept is None or now_us - self._asked_us > FEES_KEPT_US:
                self._kept = await self._ask()
                self._asked_us = now_us
            fees = self._kept
        if self.limit_wei is not None and fees.max_fee_per_gas_wei > self.limit_wei:
            raise ChainUnavailableError(
                f"The chain asks for {fees.max_fee_per_gas_wei} wei per gas, more than the limit of {self.limit_wei}."
            )
        return fees

    async def _ask(self) -> Fees:
        history = await self._rpc.record("eth_feeHistory", "0x1", "latest", [50])
        try:
            base_fees, rewards = (history or {})["baseFeePerGas"], (history or {}).get("reward")
            if not isinstance(base_fees, list):
                raise ValueError("no list of base fees")
            next_base_fee = parse_quantity(base_fees[-1])
            tip = max(MIN_TIP_WEI, _median_tip(rewards))
        except (KeyError, IndexError, ValueError):
            raise ChainUnavailableError(f"The chain's node at {self._rpc.host} gave no fee history.") from None
        return Fees(tip, 2 * next_base_fee + tip)


def _median_tip(rewards: Json) -> int:
    """The asked percentile of the newest block; 0 where the block was empty or the node leaves it out."""
    if isinstance(rewards, list) and rewards and isinstance(rewards[-1], list) and rewards[-1]:
        return parse_quantity(rewards[-1][0])
    return 0
