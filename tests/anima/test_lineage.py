"""Parents and children: no lineage without the parent's signature (AN-SOUL-4)."""

from __future__ import annotations

import msgspec
import pytest

from life.anima.errors import LineageViolationError
from life.anima.lineage import attest_birth, lineage_of_child, root_did, verify_child
from life.testing.clock import ManualClock
from tests.anima.material import DID_A, PUBLIC_KEY_A, PUBLIC_KEY_B, SEED_A, SEED_B, handle, soul

CLOCK = ManualClock()
PARENT = soul()
CHILD = soul(
    name="Byron", root_public_key=PUBLIC_KEY_B, lineage=lineage_of_child(PARENT, parent_agent_id="agent-parent")
)
GRANDCHILD = soul(
    name="Clara", root_public_key=PUBLIC_KEY_A, lineage=lineage_of_child(CHILD, parent_agent_id="agent-child")
)


async def test_three_generations() -> None:
    """A parent attests its child, the child its own; generations count up from 0."""
    assert [one.generation for one in (PARENT, CHILD, GRANDCHILD)] == [0, 1, 2]
    assert root_did(PARENT) == DID_A
    verify_child(
        PARENT, CHILD, attestation_jws=await attest_birth(handle(SEED_A), parent=PARENT, child=CHILD, clock=CLOCK)
    )
    verify_child(
        CHILD,
        GRANDCHILD,
        attestation_jws=await attest_birth(handle(SEED_B), parent=CHILD, child=GRANDCHILD, clock=CLOCK),
    )


async def test_hashes_alone_prove_nothing() -> None:
    """A soul that names a parent is not its child without the parent's word for this very soul."""
    word = await attest_birth(handle(SEED_A), parent=PARENT, child=CHILD, clock=CLOCK)
    impostor = soul(name="Eve", root_public_key=PUBLIC_KEY_B, lineage=CHILD.lineage)
    own_word = handle(SEED_B).sign_claims(
        {"sub": impostor.soul_hash, "type": "anima.birth_attestation", "parent_soul_hash": PARENT.soul_hash}
    )
    untyped = handle(SEED_A).sign_claims({"sub": CHILD.soul_hash, "parent_soul_hash": PARENT.soul_hash})
    for child, attestation in (
        (impostor, word),
        (impostor, own_word),
        (CHILD, untyped),
        (CHILD, "x"),
        (CHILD, word[:-4]),
    ):
        with pytest.raises(LineageViolationError):
            verify_child(PARENT, child, attestation_jws=attestation)


async def test_ancestors_and_generation_must_fit() -> None:
    """Left-out ancestors, a wrong generation, and a soul without lineage are refused even with a signature."""
    entry = CHILD.lineage[-1]
    for lineage in (
        (),
        (msgspec.structs.replace(entry, generation=1),),
        (msgspec.structs.replace(entry, soul_hash="00" * 32),),
        (entry, entry),
    ):
        child = soul(name="Byron", root_public_key=PUBLIC_KEY_B, lineage=lineage)
        word = await attest_birth(handle(SEED_A), parent=PARENT, child=child, clock=CLOCK)
        with pytest.raises(LineageViolationError):
            verify_child(PARENT, child, attestation_jws=word)
    shortened = soul(name="Clara", lineage=GRANDCHILD.lineage[1:])
    word = await attest_birth(handle(SEED_B), parent=CHILD, child=shortened, clock=CLOCK)
    with pytest.raises(LineageViolationError):
        verify_child(CHILD, shortened, attestation_jws=word)
