"""Account nonces of a gas account, handed out so that every one is used exactly once.

Ethereum takes transactions of an account strictly in the order of their nonces: two transactions with the same nonce fight,
and behind a missing nonce everything waits. So a nonce is reserved under a lock, returned when its transaction never left,
and a returned one goes out again before a new one (x402.md §12 rows 5 and 6).
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable


class AccountNonces:
    """The nonces of one account on one chain.

    `fetch` asks the node for the next nonce, transactions in its pool included. It is called at first use and after
    `resync`.
    """

    def __init__(self, fetch: Callable[[], Awaitable[int]]) -> None:
        self._fetch = fetch
        self._lock = asyncio.Lock()
        self._next: int | None = None
        self._returned: list[int] = []
        self._reserved: set[int] = set()

    async def reserve(self) -> int:
        """The lowest nonce that nobody holds. Follow it with `spend` or `give_back`."""
        async with self._lock:
            if self._next is None:
                fetched = await self._fetch()
                # Reserved ones may be on their way already, or not; they are nobody else's until then.
                self._next = max([fetched, *(nonce + 1 for nonce in self._reserved)])
                self._returned = [nonce for nonce in range(fetched, self._next) if nonce not in self._reserved]
            if self._returned:
                nonce = heapq.heappop(self._returned)
            else:
                nonce = self._next
                self._next += 1
            self._reserved.add(nonce)
            return nonce

    def spend(self, nonce: int) -> None:
        """The node has taken a transaction with this nonce."""
        self._reserved.discard(nonce)

    def give_back(self, nonce: int) -> bool:
        """No transaction with this nonce will ever be sent: hand it out again. False: it is not reserved."""
        if nonce not in self._reserved:
            return False
        self._reserved.discard(nonce)
        if self._next is None:
            return True  # the next reservation asks the node
        if nonce == self._next - 1:
            self._next = nonce
            while self._returned and self._next - 1 in self._returned:
                self._next -= 1
                self._returned.remove(self._next)
            heapq.heapify(self._returned)
        else:
            heapq.heappush(self._returned, nonce)
        return True

    def resync(self) -> None:
        """Forget what was counted: somebody else used this account. The next reservation asks the node."""
        self._next = None
        self._returned = []

    @property
    def gaps(self) -> tuple[int, ...]:
        """Returned nonces below ones that were spent: whatever was sent after them waits for them."""
        return tuple(sorted(self._returned))
