"""The tree over a branch's digests."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.lago.proof.merkle import EMPTY_ROOT, Frontier, inclusion_path, leaf_hash, node_hash, root_from_path, root_of
from life.lago.standalone_verifier import Refused, Tree, path_root

digests = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=70)


def defined(leaves: list[bytes]) -> bytes:
    """The root by the recursive definition of RFC 9162, section 2.1.1."""
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(defined(leaves[:split]), defined(leaves[split:]))


def test_the_roots_of_certificate_transparency() -> None:
    """The empty tree and a tree of one empty leaf, as published with RFC 6962's reference code (merkletree test vectors)."""
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sha256(b"\x00").hexdigest() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert leaf_hash(b"").hex() == sha256(b"\x00").hexdigest()


@given(digests)
def test_a_grown_tree_is_the_defined_one(leaves: list[bytes]) -> None:
    """One by one, all at once, taken up again from its peaks, and in the stand-alone verifier: one root."""
    assert root_of(leaves) == defined(leaves)
    split = len(leaves) // 2
    first = Frontier()
    first.extend(leaves[:split])
    second = Frontier(first.size, first.peaks)
    second.extend(leaves[split:])
    assert second.root() == root_of(leaves)
    assert len(second.peaks) == len(leaves).bit_count()
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf.hex())
    assert tree.root() == root_of(leaves).hex()


@given(digests, st.data())
def test_a_path_leads_to_the_root_and_nothing_else_does(leaves: list[bytes], data: st.DataObject) -> None:
    """Every leaf has a path of at most log2 n hashes; another leaf, place, size or path leads elsewhere. Both verifiers agree."""
    index = data.draw(st.integers(0, len(leaves) - 1))
    path, root, size = inclusion_path(leaves, index), root_of(leaves), len(leaves)
    assert len(path) <= max(0, (size - 1).bit_length())
    assert root_from_path(leaves[index], index=index, size=size, path=path) == root
    assert path_root(leaves[index].hex(), index, size, [one.hex() for one in path]) == root.hex()
    assert root_from_path(bytes(31) + b"!", index=index, size=size, path=path) != root
    assert root_from_path(leaves[index], index=index, size=size, path=[*path, bytes(32)]) is None
    if path:
        bent = list(path)
        at = data.draw(st.integers(0, len(path) - 1))
        bent[at] = bytes([bent[at][0] ^ 1]) + bent[at][1:]
        assert root_from_path(leaves[index], index=index, size=size, path=bent) != root
        assert root_from_path(leaves[index], index=index, size=size, path=path[:-1]) != root


def test_places_outside_of_the_tree() -> None:
    """No path, no root."""
    with pytest.raises(ValueError, match="no such leaf"):
        inclusion_path([bytes(32)], 1)
    assert root_from_path(bytes(32), index=1, size=1, path=[]) is None
    with pytest.raises(Refused):
        path_root("00" * 32, 1, 1, [])
    with pytest.raises(ValueError, match="peaks"):
        Frontier(3, [bytes(32)])
