"""Anima's events on the wire (anima.md §7)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.events import Custom, Heartbeat, decode_kind, encode_kind
from life.anima.errors import SoulIntegrityViolationError
from life.anima.events import (
    EVENT_TYPES,
    AnimaEvent,
    CustodyDenied,
    CustodySigned,
    IdentityCreated,
    IdentityTransitioned,
    SoulGenesis,
    event_name,
    from_kind,
    to_kind,
)
from life.anima.identity import WalletAddress
from tests.anima.material import DID_A, PUBLIC_KEY_A, WALLET_A, soul

SIMPLE = [payload for payload in EVENT_TYPES.values() if payload is not SoulGenesis]


def json_of(payload: type[AnimaEvent]) -> st.SearchStrategy[AnimaEvent]:
    """Any payload of a type."""
    return st.from_type(payload)


@given(
    event=st.one_of(
        [json_of(payload) for payload in SIMPLE if payload.__name__ not in ("BeliefSnapshot", "CapabilityGranted")]
    )
)
def test_round_trip(event: AnimaEvent) -> None:
    """Every payload survives its way through the journal's bytes."""
    assert from_kind(decode_kind(encode_kind(to_kind(event)))) == event


def test_soul_round_trip() -> None:
    """The genesis carries the whole soul."""
    event = SoulGenesis(soul=soul(), soul_hash=soul().soul_hash)
    assert from_kind(decode_kind(encode_kind(to_kind(event)))) == event


def test_reading_a_changed_soul_raises() -> None:
    """No reader gets a changed soul out of an event."""
    kind = to_kind(SoulGenesis(soul=soul(), soul_hash=soul().soul_hash))
    data: Any = json.loads(json.dumps(kind.data))
    data["soul"]["origin"]["name"] = "Eve"
    with pytest.raises(SoulIntegrityViolationError):
        from_kind(Custom(event_type="anima.soul_genesis", data=data))


def test_names_match_exactly() -> None:
    """A name that only begins like ours is somebody else's event (AN-EV-1)."""
    created = IdentityCreated(
        agent_id="a",
        host_id="h",
        auth_public_key_hex=PUBLIC_KEY_A.hex(),
        wallet_address=WalletAddress(address=WALLET_A),
        did=DID_A,
    )
    data = to_kind(created).data
    assert from_kind(Custom(event_type="anima.identity_created", data=data)) == created
    for name in ("anima.identity_created.v2", "anima.Identity_created", "animaidentity_created", "identity_created"):
        assert from_kind(Custom(event_type=name, data=data)) is None
    assert from_kind(Heartbeat(summary="x")) is None
    assert from_kind(Custom(event_type="anima.identity_created", data={"did": 1})) is None


def test_field_names_are_the_wire_format() -> None:
    """The names of anima.md §7, spelled as other readers expect them; absent fields are left out."""
    moved = IdentityTransitioned(agent_id="a", from_="pending", to="active", reason="r")
    assert to_kind(moved).data == {"agent_id": "a", "from": "pending", "to": "active", "reason": "r"}
    assert event_name(moved) == "anima.identity_transitioned"
    names = {name: [field.encode_name for field in msgspec.structs.fields(one)] for name, one in EVENT_TYPES.items()}
    assert names["anima.soul_genesis"] == ["soul", "soul_hash"]
    assert names["anima.identity_rotated"][:4] == ["old_did", "new_did", "rotation_proof_jws", "rotated_at"]
    assert names["anima.custody_signed"] == [
        "did",
        "op",
        "purpose",
        "payload_hash",
        "policy_decision",
        "backend",
        "request_id",
    ]
    assert names["anima.custody_denied"] == ["did", "op", "reason"]
    assert {CustodySigned, CustodyDenied} <= set(EVENT_TYPES.values())
