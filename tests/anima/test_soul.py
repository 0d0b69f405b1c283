"""Souls: the hash, and that nothing can change one (anima.md §1)."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import msgspec
import pytest
import rfc8785
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError, LifeError
from life.anima.errors import SoulIntegrityViolationError
from life.anima.policy import EconomicLimits, PolicyManifest
from life.anima.soul import (
    HASH_SCHEME,
    AgentCreator,
    Ancestor,
    Creator,
    HumanCreator,
    Soul,
    SystemCreator,
    load_soul,
)
from tests.anima.material import PUBLIC_KEY_A, PUBLIC_KEY_B, soul


def independent_hash(document: dict[str, Any]) -> str:
    """The hash as the rule says, over the decoded JSON, with another library's RFC 8785."""
    hasher = blake3()
    for label, segment in (
        (b"anima:soul:origin:", rfc8785.dumps(document["origin"])),
        (b"anima:soul:lineage:", rfc8785.dumps(document["lineage"])),
        (b"anima:soul:values:", rfc8785.dumps(document["values"])),
        (b"anima:soul:root_key:", bytes.fromhex(document["root_public_key"])),
    ):
        hasher.update(label + len(segment).to_bytes(8, "big") + segment)
    return hasher.hexdigest()


creators = st.one_of(
    st.builds(HumanCreator, identity=st.text()),
    st.builds(AgentCreator, agent_id=st.text(), soul_hash=st.text()),
    st.builds(SystemCreator, context=st.text()),
)


@given(
    name=st.text(alphabet=st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=128),
    mission=st.text(max_size=200),
    creator=creators,
    limit=st.integers(0, 2**53 - 1),
)
def test_hash_is_the_rule(name: str, mission: str, creator: Creator, limit: int) -> None:
    """For any soul the hash is Blake3 over labelled, length-prefixed canonical JSON, and reading it back verifies."""
    values = PolicyManifest(economic_limits=EconomicLimits(max_spend_per_tx_micro_credits=limit))
    made = soul(name=name, mission=mission, creator=creator, values=values)
    text = msgspec.json.encode(made)
    assert made.soul_hash == independent_hash(json.loads(text))
    assert load_soul(text) == made
    assert load_soul(json.loads(text)) == made
    assert load_soul(msgspec.json.format(text, indent=7)) == made


def test_hash_is_pinned() -> None:
    """The hash of one soul, so that no later change of code moves it unseen."""
    assert soul().soul_hash == "b5b41a2cc7759dc86ab405f8f69c8f2e6b9298de26714f15e836702285196b57"
    assert soul().hash_scheme == HASH_SCHEME == "anima-soul-v2"


def test_defaults() -> None:
    """Created by the system, no ancestors, the default manifest, generation 0."""
    made = soul()
    assert made.origin.creator == SystemCreator(context="default")
    assert made.origin.protocol_version == "0.1.0"
    assert made.origin.created_at == "2025-11-20T07:03:00.000000Z"
    assert made.lineage == ()
    assert made.values == PolicyManifest()
    assert made.generation == 0
    summary = made.audit_summary()
    assert (summary.name, summary.mission, summary.generation) == ("Ada", "Count.", 0)
    assert summary.short_hash == made.soul_hash[:16]


def paths(value: object, prefix: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Every leaf of decoded JSON."""
    if isinstance(value, dict):
        return [path for key, part in value.items() for path in paths(part, (*prefix, key))]
    if isinstance(value, list) and value:
        return [path for index, part in enumerate(value) for path in paths(part, (*prefix, index))]
    return [prefix]


def changed(value: object) -> object:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case None:
            return 5
        case [] | ():
            return ["x"]
        case _:
            return f"{value}x"


LINEAGE = (Ancestor(agent_id="agent-mother", soul_hash="ab" * 32, generation=0),)


@pytest.mark.parametrize(
    "path", paths(msgspec.to_builtins(soul(lineage=LINEAGE))), ids=lambda path: ".".join(map(str, path))
)
def test_any_change_is_found(path: tuple[Any, ...]) -> None:
    """Changing any single field of a stored soul makes it unreadable."""
    document = json.loads(msgspec.json.encode(soul(lineage=LINEAGE)))
    target = document
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = changed(target[path[-1]])
    with pytest.raises((SoulIntegrityViolationError, InvalidInputError)):
        load_soul(document)


def test_the_error_names_both_hashes() -> None:
    """A changed mission is told with the expected and the actual hash, and a stable code."""
    document = json.loads(msgspec.json.encode(soul()))
    document["origin"]["mission"] = "Take over."
    with pytest.raises(SoulIntegrityViolationError) as refusal:
        load_soul(document)
    assert refusal.value.code == "anima.soul_integrity_violation"
    assert refusal.value.details == {"expected": soul().soul_hash, "actual": independent_hash(document)}


def test_other_keys_and_names_give_other_hashes() -> None:
    """Root key, name, creator and lineage all count."""
    souls = [
        soul(),
        soul(root_public_key=PUBLIC_KEY_B),
        soul(name="Adb"),
        soul(creator=HumanCreator(identity="ada@example.org")),
        soul(lineage=LINEAGE),
        soul(values=PolicyManifest(capability_ceiling=())),
    ]
    assert len({one.soul_hash for one in souls}) == len(souls)


def test_nothing_is_set() -> None:
    """No attribute of a soul or its parts can be assigned."""
    made = soul()
    for part in (made, made.origin, made.values, made.values.economic_limits, made.origin.creator):
        for field in part.__struct_fields__:
            with pytest.raises(AttributeError):
                setattr(part, field, "x")


def test_no_way_to_make_an_inconsistent_soul() -> None:
    """Construction, replacement and decoding all verify the hash; a pickle round trip gives an equal soul."""
    made = soul()
    other = soul(name="Eve")
    with pytest.raises(SoulIntegrityViolationError):
        msgspec.structs.replace(made, origin=other.origin)
    with pytest.raises(SoulIntegrityViolationError):
        Soul(
            origin=other.origin,
            lineage=(),
            values=made.values,
            root_public_key=made.root_public_key,
            soul_hash=made.soul_hash,
        )
    assert pickle.loads(pickle.dumps(made)) == made
    assert copy.deepcopy(made) == made


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"origin":1}',
        b"\xff",
        {"soul_hash": "x"},
        7,
        json.loads(msgspec.json.encode(soul())) | {"hash_scheme": "anima-soul-v1"},
        json.loads(msgspec.json.encode(soul())) | {"surplus": 1},
    ],
)
def test_what_is_no_soul(document: bytes | object) -> None:
    """Other JSON, other schemes and surplus members are an InvalidInputError."""
    with pytest.raises(InvalidInputError):
        load_soul(document)


@pytest.mark.parametrize(
    "fault",
    [
        {"name": ""},
        {"name": " Ada"},
        {"name": "A\nda"},
        {"name": "A\x9bda"},
        {"name": "x" * 129},
        {"name": "\ud800"},
        {"mission": "x" * 4097},
        {"root_public_key": b""},
        {"root_public_key": bytes(33)},
        {"root_public_key": b"\x02" + b"\xff" * 32},
        {"root_public_key": b"\x04" + PUBLIC_KEY_A[1:]},
    ],
)
def test_parts_that_cant_be_right(fault: dict[str, Any]) -> None:
    """Names, missions and keys out of bounds are refused with a code."""
    with pytest.raises(LifeError) as refusal:
        soul(**fault)
    assert refusal.value.code == "life.invalid_input"
