"""What one hub knows of the log: the state, its file, and how far the hub has read.

Blocks are taken in the order of the stream, each once, and only if they follow from what is here. `sequence` (the stream's) is
noted in the file in the same transaction as the entries, so a hub that was killed reads on exactly where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from life.spaces.engine.embedded_store import EmbeddedStore
from life.spaces.engine.nats.blocks import Block, chained, entries_of, unpack
from life.spaces.engine.nats.link import Stored
from life.spaces.errors import LogDamagedError
from life.spaces.events import Entry
from life.spaces.state import State
from life.spaces.subscriptions import Fanout

SEQUENCE_MARK: Final = "sequence"


class Replica:
    """The state of one hub, as of one message of the stream. `on_block` hears of every block, after it was taken."""

    def __init__(
        self,
        store: EmbeddedStore,
        state: State,
        fanout: Fanout,
        *,
        sequence: int,
        on_block: Callable[[Block], None],
    ) -> None:
        self.store = store
        self.state = state
        self.fanout = fanout
        self.sequence = sequence
        """Of the newest message that was taken."""
        self._on_block = on_block

    def take(self, message: Stored) -> bool:
        """Take a message if it is the next one; False when it is not. LogDamagedError when it does not follow."""
        if message.sequence != self.sequence + 1:
            return False
        self.advance(message.sequence, unpack(message.sequence, message.body, message.headers))
        return True

    def advance(self, sequence: int, block: Block, entries: Sequence[Entry] | None = None) -> None:
        """Take the next block; `entries` are its own where they are known already."""
        self._check(sequence, block)
        own = entries_of(sequence, block) if entries is None else entries
        told = []
        for entry in own:
            applied = self.state.apply(entry)
            told += self.fanout.prepare(entry, applied)
        encoded = [bytes(raw) for raw in block.entries]
        self.store.commit(own, self.state, encoded=encoded, marks={SEQUENCE_MARK: sequence})
        self.sequence = sequence
        self.fanout.deliver(told)
        self._on_block(block)

    def check_last(self, message: Stored | None) -> None:
        """Compare the newest message that was taken with the stream's. LogDamagedError when this is another history."""
        if message is None:
            raise LogDamagedError(
                f"The log on the servers has no message {self.sequence}, which this hub has.",
                next_step="The servers lost part of the log, or it was replaced. Restore them before this hub is started.",
                details={"sequence": self.sequence},
            )
        block = unpack(message.sequence, message.body, message.headers)
        if block.after != self.store.digest.hex():
            raise _diverged(message.sequence, self.state.position)

    def _check(self, sequence: int, block: Block) -> None:
        if block.before != self.store.digest.hex() or block.first != self.state.position + 1:
            raise _diverged(sequence, self.state.position)
        if chained(self.store.digest, block.entries).hex() != block.after:
            raise LogDamagedError(
                f"The entries in message {sequence} of the log are not what its digest says.",
                details={"sequence": sequence},
            )


def _diverged(sequence: int, position: int) -> LogDamagedError:
    return LogDamagedError(
        f"Message {sequence} of the log does not follow from what this hub has at position {position}.",
        next_step="This hub's file or a server's copy of the log is damaged. Move the hub's file away; it is read again from "
        "the servers. If that does not help, restore the servers.",
        details={"sequence": sequence, "position": position},
    )
