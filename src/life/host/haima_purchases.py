"""Which purchases of commands are under way: one file per purchase, locked for as long as its process lives.

A command that is repeated must finish what an earlier one left unclear, and must not meddle with one that is still at work
beside it. The journal says what is unclear; the kernel says who is alive, because it drops a lock when its process dies,
however it dies. So for the same request

    a purchase that is unclear, and whose process is gone      is taken up: the identical payment is sent again
    a purchase that is under way elsewhere                     is left alone: this command makes one of its own

A file goes away when its purchase is over: the answer was read to its end, or nothing was paid. Files hold no state: they
are only names and locks.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.haima.payer import Payer
from life.haima.reservations import Payment
from life.host.errors import DataDirectoryError

PREFIX: Final = "pay-"
"""Starts every purchase id of a command, so that an agent's own purchases with the same wallet are left alone."""
_KEY_CHARACTERS: Final = 32


class Purchase:
    """A purchase that belongs to this process until `end`."""

    def __init__(self, purchase_id: str, path: Path, descriptor: int, *, is_repeated: bool) -> None:
        self.purchase_id: Final = purchase_id
        self.is_repeated: Final = is_repeated
        """Whether an earlier command began it."""
        self._path = path
        self._descriptor = descriptor

    async def end(self, payer: Payer) -> None:
        """Let go of it, and forget it if it is over."""
        try:
            if _is_over(await payer.find(self.purchase_id)):
                self._path.unlink(missing_ok=True)
        finally:
            os.close(self._descriptor)


class Purchases:
    """The purchases of commands that share one directory."""

    def __init__(self, folder: Path, clock: Clock, entropy: Entropy) -> None:
        """DataDirectoryError when the folder can't be made."""
        self._folder = folder
        self._clock = clock
        self._entropy = entropy
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise DataDirectoryError(f"{folder} can't be made: {error.strerror}.") from None

    async def begin(self, payer: Payer, request_key: str, *, anew: bool = False) -> Purchase:
        """The purchase to make for this request: an unclear one that nobody works on, otherwise a new one (`anew`: always
        a new one)."""
        if not anew:
            for purchase_id in self._candidates(payer, request_key):
                taken = self._lock(request_key, purchase_id, is_repeated=True)
                if taken is None:
                    continue
                for purse in payer.purses:
                    await purse.catch_up()  # its process may have finished it while we looked
                if not _is_over(await payer.find(purchase_id)):
                    return taken
                await taken.end(payer)
        while True:
            made = self._lock(request_key, PREFIX + new_id(self._clock, self._entropy), is_repeated=False)
            if made is not None:
                return made  # otherwise somebody looked at the new file before it was locked: a new id costs nothing

    def _candidates(self, payer: Payer, request_key: str) -> Iterator[str]:
        """Ids of purchases of this request that may be unclear, each once."""
        seen: set[str] = set()
        for file in sorted(self._folder.glob(f"{request_key[:_KEY_CHARACTERS]}.{PREFIX}*")):
            seen.add(file.name.partition(".")[2])
        for purse in payer.purses:
            latest = purse.state.latest(request_key)
            for payment in [*purse.state.unfinished(request_key), *([latest] if latest is not None else [])]:
                if payment.reserved.purchase_id.startswith(PREFIX) and not _is_over(payment):
                    seen.add(payment.reserved.purchase_id)
        yield from sorted(seen)

    def _lock(self, request_key: str, purchase_id: str, *, is_repeated: bool) -> Purchase | None:
        """The purchase, if no living process has it."""
        path = self._folder / f"{request_key[:_KEY_CHARACTERS]}.{purchase_id}"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirectoryError(f"{path} can't be written: {error.strerror}.") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return Purchase(purchase_id, path, descriptor, is_repeated=is_repeated)


def _is_over(payment: Payment | None) -> bool:
    """Whether nothing of it is left to be finished."""
    return payment is None or payment.state == "released" or payment.delivery == "delivered"
