"""Whether blocks still belong to the chain. One question per block and height, however many settlements it holds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from life.aios.json import Json
from life.aios.ports.chain import Settlement, Standing
from life.aios.ports.clock import Clock
from life.haima.chain.json_rpc import JsonRpc, parse_quantity
from life.haima.errors import ChainUnavailableError

HEAD_KEPT_US: Final = 1_000_000
_REMEMBERED: Final = 1024


class BlockWatch:
    """Compares the block that a receipt named with the block that stands at its height now."""

    def __init__(self, rpc: JsonRpc, clock: Clock, *, final_depth: int) -> None:
        """A block with `final_depth` blocks on top of it is not expected to go any more."""
        self._rpc = rpc
        self._clock = clock
        self._final_depth = final_depth
        self._head: tuple[int, str] = (0, "")
        self._asked_us: int | None = None
        self._names: OrderedDict[int, tuple[str, str | None]] = OrderedDict()

    async def head(self) -> int:
        """The newest block's number, at most a second old."""
        now_us = self._clock.monotonic_us()
        if self._asked_us is None or now_us - self._asked_us > HEAD_KEPT_US:
            block = await self._rpc.record("eth_getBlockByNumber", "latest", False)
            try:
                number = parse_quantity((block or {}).get("number"))
            except ValueError:
                raise ChainUnavailableError(f"The chain's node at {self._rpc.host} has no newest block.") from None
            self._head = (number, _name(block) or "")
            self._asked_us = now_us
        return self._head[0]

    async def standing(self, settlement: Settlement) -> Standing:
        """Of a confirmed settlement. One without a block's name can't be watched and counts as final."""
        number, block_hash = settlement.block_number, settlement.block_hash
        if number is None or block_hash is None:
            return "final"
        head = await self.head()
        if await self._name_at(number) != block_hash.lower():
            return "gone"
        return "final" if head - number >= self._final_depth else "recent"

    async def _name_at(self, number: int) -> str | None:
        """The name of the block at a height, asked once per newest block."""
        known = self._names.get(number)
        if known is not None and known[0] == self._head[1]:
            return known[1]
        name = _name(await self._rpc.record("eth_getBlockByNumber", hex(number), False))
        self._names[number] = (self._head[1], name)
        while len(self._names) > _REMEMBERED:
            self._names.popitem(last=False)
        return name


def _name(block: Mapping[str, Json] | None) -> str | None:
    """A block's hash in lower case."""
    found = block.get("hash") if block is not None else None
    return found.lower() if isinstance(found, str) else None
