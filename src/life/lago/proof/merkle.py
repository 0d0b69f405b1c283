"""The Merkle tree over a branch's digests, as in RFC 9162 (Certificate Transparency), section 2.1.

    leaf      SHA-256(0x00 ‖ digest of the event)
    node      SHA-256(0x01 ‖ left ‖ right)
    tree      of n leaves: the first k are the left half, k the largest power of two below n; of none: SHA-256 of nothing

A `Frontier` holds the roots of the complete subtrees along the right edge (at most one per bit of n), so a tree grows by one
leaf in O(log n), and a checkpoint can go on where the last one stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

EMPTY_ROOT: Final = sha256(b"").digest()


def leaf_hash(digest: bytes) -> bytes:
    """The leaf of an event's digest (32 bytes)."""
    return sha256(b"\x00" + digest).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The parent of two nodes."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that only grows, held in O(log n)."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        """`peaks`: the complete subtrees of a tree of `size` leaves, the largest first. ValueError when they can't be."""
        if size < 0 or len(peaks) != size.bit_count() or any(len(peak) != 32 for peak in peaks):
            raise ValueError("the peaks are not those of a tree of this size")
        self.size = size
        self._peaks = list(peaks)

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """The complete subtrees, the largest first."""
        return tuple(self._peaks)

    def extend(self, digests: Iterable[bytes]) -> None:
        """Append leaves."""
        peaks, size = self._peaks, self.size
        for digest in digests:
            node = sha256(b"\x00" + digest).digest()
            size += 1
            below = size
            while not below & 1:
                node = sha256(b"\x01" + peaks.pop() + node).digest()
                below >>= 1
            peaks.append(node)
        self.size = size

    def root(self) -> bytes:
        """The root of the tree as it is now."""
        if not self._peaks:
            return EMPTY_ROOT
        node = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            node = node_hash(peak, node)
        return node


def root_of(digests: Sequence[bytes]) -> bytes:
    """The root over all digests."""
    frontier = Frontier()
    frontier.extend(digests)
    return frontier.root()


def inclusion_path(digests: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings from leaf `index` (from 0) up to the root: O(n) to make, at most ⌈log2 n⌉ long (RFC 9162, 2.1.3.1)."""
    if not 0 <= index < len(digests):
        raise ValueError("there is no such leaf")
    level = [leaf_hash(digest) for digest in digests]
    path: list[bytes] = []
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        above = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        if len(level) & 1:
            above.append(level[-1])  # an odd one out goes up as it is, which gives the tree of the definition
        level, index = above, index >> 1
    return path


def root_from_path(digest: bytes, *, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that a path leads to; None when the path has another length than it must have (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return None
    node, at, last = leaf_hash(digest), index, size - 1
    for sibling in path:
        if last == 0 or len(sibling) != 32:
            return None
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        at >>= 1
        last >>= 1
    return node if last == 0 else None
