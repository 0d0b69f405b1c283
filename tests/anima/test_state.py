"""The fold over an agent's stream: total, pure, and deaf to forgeries (anima.md §8)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.events import Custom, Heartbeat, Kind
from life.aios.record import EventRecord, format_timestamp
from life.anima.errors import (
    AnimaError,
    IdentityMismatchError,
    SoulAlreadyExistsError,
    SoulIntegrityViolationError,
    SoulMisplacedError,
    SoulNotFoundError,
)
from life.anima.events import (
    EVENT_TYPES,
    AnimaEvent,
    CapabilityGranted,
    CapabilityRevoked,
    IdentityCreated,
    IdentityRevoked,
    IdentityRotated,
    IdentityTransitioned,
    PolicyViolationDetected,
    SoulGenesis,
    to_kind,
)
from life.anima.identity import WalletAddress, agent_id_of, sign_renewal
from life.anima.revocation import revocation_claims
from life.anima.state import AnimaState, apply, replay, require_sound
from life.testing.clock import START_US, ManualClock
from tests.anima.material import DID_A, DID_B, PUBLIC_KEY_A, PUBLIC_KEY_B, WALLET_A, handle, soul, stored

GENESIS = SoulGenesis(soul=soul(), soul_hash=soul().soul_hash)
CREATED = IdentityCreated(
    agent_id=agent_id_of(PUBLIC_KEY_A),
    host_id="local",
    auth_public_key_hex=PUBLIC_KEY_A.hex(),
    wallet_address=WalletAddress(address=WALLET_A),
    did=DID_A,
)
ACTIVATED = IdentityTransitioned(agent_id=CREATED.agent_id, from_="pending", to="active", reason="keys verified")


def fold(*events: AnimaEvent | Kind) -> AnimaState:
    """The state after a stream of these events."""
    return replay(stored(sequence, event) for sequence, event in enumerate(events, start=1))


def test_a_life_begins() -> None:
    """Genesis, identity and activation give an active identity with the soul's key; time comes from the events."""
    state = fold(GENESIS, CREATED, ACTIVATED)
    born, identity = require_sound(state)
    assert born == soul()
    assert identity.did == DID_A
    assert identity.lifecycle == "active"
    assert identity.created_at == format_timestamp(START_US)
    assert (state.last_sequence, state.last_updated_us, state.violations) == (3, START_US, 0)


def test_an_empty_journal_has_no_soul() -> None:
    """Nothing to start from is its own error."""
    for state in (fold(), fold(GENESIS), fold(Heartbeat(summary="x"))):
        with pytest.raises(SoulNotFoundError):
            require_sound(state)


def test_a_second_soul_is_a_fault() -> None:
    """Even the same soul twice stops the fold there (AN-PRJ-5)."""
    state = fold(GENESIS, CREATED, GENESIS, ACTIVATED)
    assert state.fault is not None
    assert state.fault.sequence == 3
    assert state.identity is not None
    assert state.identity.lifecycle == "pending"
    with pytest.raises(SoulAlreadyExistsError):
        require_sound(state)


def test_a_late_soul_is_a_fault() -> None:
    """A genesis that is not the first event of the stream is refused (AN-PRJ-5)."""
    for first in (Heartbeat(summary="x"), CREATED, Custom(event_type="anima.unknown", data={})):
        with pytest.raises(SoulMisplacedError):
            require_sound(fold(first, GENESIS, CREATED))


def test_a_changed_soul_is_a_fault() -> None:
    """A changed soul, another recorded hash, or an unreadable genesis."""
    kind = to_kind(GENESIS)
    renamed: Any = msgspec.json.decode(msgspec.json.encode(kind.data))
    renamed["soul"]["origin"]["name"] = "Eve"
    rehashed: Any = msgspec.json.decode(msgspec.json.encode(kind.data))
    rehashed["soul_hash"] = soul(name="Eve").soul_hash
    attempts: tuple[Any, ...] = (renamed, rehashed, {}, {"soul": 1, "soul_hash": "x"}, None, "soul")
    for data in attempts:
        with pytest.raises(SoulIntegrityViolationError):
            require_sound(fold(Custom(event_type="anima.soul_genesis", data=data), CREATED))


@pytest.mark.parametrize(
    "change",
    [
        {"auth_public_key_hex": PUBLIC_KEY_B.hex()},
        {"did": DID_B},
        {"agent_id": agent_id_of(PUBLIC_KEY_B)},
        {"wallet_address": WalletAddress(address=WALLET_A.lower())},
        {"wallet_address": WalletAddress(address="0x")},
    ],
)
def test_an_identity_with_other_keys_is_a_fault(change: dict[str, Any]) -> None:
    """An identity that is not the soul's stops the fold."""
    with pytest.raises(IdentityMismatchError):
        require_sound(fold(GENESIS, msgspec.structs.replace(CREATED, **change)))


def test_a_second_identity() -> None:
    """The same keys on another host only move the host; another wallet is a fault."""
    moved = fold(GENESIS, CREATED, ACTIVATED, msgspec.structs.replace(CREATED, host_id="laptop"))
    assert require_sound(moved)[1].host_id == "laptop"
    assert require_sound(moved)[1].lifecycle == "active"
    other = msgspec.structs.replace(CREATED, wallet_address=WalletAddress(address="0x" + "11" * 20))
    with pytest.raises(IdentityMismatchError):
        require_sound(fold(GENESIS, CREATED, other))


def test_illegal_steps_are_violations() -> None:
    """Steps from another state than the present one, or that the table lacks, are counted and have no effect."""
    state = fold(GENESIS, CREATED, ACTIVATED, ACTIVATED)
    assert (state.violations, require_sound(state)[1].lifecycle) == (1, "active")
    skip = IdentityTransitioned(agent_id=CREATED.agent_id, from_="active", to="pending", reason="r")
    assert fold(GENESIS, CREATED, ACTIVATED, skip).violations == 1
    foreign = IdentityTransitioned(agent_id="agent-other", from_="pending", to="revoked", reason="r")
    assert require_sound(fold(GENESIS, CREATED, foreign))[1].lifecycle == "pending"


async def test_renewal_is_folded_with_its_proof() -> None:
    """Expired → active counts only with the key's signature for that end."""
    expired = IdentityTransitioned(agent_id=CREATED.agent_id, from_="active", to="expired", reason="r")
    identity = require_sound(fold(GENESIS, CREATED, ACTIVATED, expired))[1]
    end_us = START_US + 1_000_000
    proof = await sign_renewal(handle(), identity, expires_at_us=end_us, clock=ManualClock())
    wake = IdentityTransitioned(
        agent_id=CREATED.agent_id,
        from_="expired",
        to="active",
        reason="r",
        expires_at=format_timestamp(end_us),
        renewal_jws=proof,
    )
    state = fold(GENESIS, CREATED, ACTIVATED, expired, wake)
    assert require_sound(state)[1].is_active(START_US)
    unsigned = msgspec.structs.replace(wake, renewal_jws=None)
    state = fold(GENESIS, CREATED, ACTIVATED, expired, unsigned)
    assert (state.violations, require_sound(state)[1].lifecycle) == (1, "expired")


def test_the_ceiling_holds_in_the_fold() -> None:
    """A grant above the soul's ceiling, or with an unreadable end, becomes a violation, not a capability (AN-PRJ-4)."""
    inside = CapabilityGranted(capability="chat:send", granted_by="operator")
    above = CapabilityGranted(capability="payments:initiate", granted_by="operator")
    undated = CapabilityGranted(capability="chat:send", granted_by="operator", expires_at="soon")
    state = fold(GENESIS, CREATED, inside, above, undated)
    assert [grant.capability for grant in state.grants] == ["chat:send"]
    assert state.violations == 2
    assert fold(inside).grants == ()


def test_grants_end() -> None:
    """A grant ends when it is revoked, replaced or past its end."""
    first = CapabilityGranted(capability="chat:send", granted_by="a")
    again = CapabilityGranted(capability="chat:send", granted_by="b", expires_at=format_timestamp(START_US + 5))
    state = fold(GENESIS, first, again)
    assert [grant.granted_by for grant in state.grants] == ["b"]
    assert len(state.active_grants(START_US + 4)) == 1
    assert state.active_grants(START_US + 5) == ()
    assert fold(GENESIS, first, CapabilityRevoked(capability="chat:send", revoked_by="a", reason="r")).grants == ()


def test_blocked_violations_count() -> None:
    """A blocked violation is counted, one that was only logged is not."""
    blocked = PolicyViolationDetected(capability="x", reason="r", blocked=True)
    logged = PolicyViolationDetected(capability="x", reason="r", blocked=False)
    assert fold(GENESIS, blocked, logged, blocked).violations == 2


async def test_revocation_is_final() -> None:
    """A DID that its own key revoked stays revoked; without a proof, or for another DID, nothing changes."""
    statement = await handle().sign_token(
        revocation_claims(DID_A, authority=DID_A, reason="lost_device", now_s=START_US // 1_000_000)
    )
    revoked = IdentityRevoked(
        did=DID_A, reason="lost_device", revoked_at=format_timestamp(START_US), revocation_jws=statement
    )
    state = fold(GENESIS, CREATED, ACTIVATED, revoked, ACTIVATED)
    assert require_sound(state)[1].lifecycle == "revoked"
    for unproven in (
        msgspec.structs.replace(revoked, revocation_jws=None),
        msgspec.structs.replace(revoked, did=DID_B),
        IdentityTransitioned(agent_id=CREATED.agent_id, from_="active", to="revoked", reason="r"),
    ):
        state = fold(GENESIS, CREATED, ACTIVATED, unproven)
        assert (require_sound(state)[1].lifecycle, state.violations) == ("active", 1)


def test_an_unproven_rotation_moves_no_key() -> None:
    """Whoever can append an event can't take over the DID by it (AN-ROT-1)."""
    taken = IdentityRotated(
        old_did=DID_A, new_did=DID_B, rotation_proof_jws="x.y.z", rotated_at=format_timestamp(START_US)
    )
    assert require_sound(fold(GENESIS, CREATED, ACTIVATED, taken))[1].did == DID_A


def test_other_events_change_nothing() -> None:
    """Unknown and foreign events give the very same state."""
    state = fold(GENESIS, CREATED)
    for event in (
        Heartbeat(summary="x"),
        Custom(event_type="anima.unknown", data={"x": 1}),
        Custom(event_type="anima.identity_created", data={"x": 1}),
        Custom(event_type="finance.payment_settled", data={}),
        Custom(event_type="animal.soul_genesis", data={}),
    ):
        assert apply(state, stored(3, event)) is state


texts = st.text(max_size=20)
payloads = st.one_of(
    [
        st.sampled_from([GENESIS, CREATED, ACTIVATED]),
        *[
            st.from_type(payload)
            for payload in EVENT_TYPES.values()
            if payload.__name__ not in ("SoulGenesis", "BeliefSnapshot", "CapabilityGranted")
        ],
        st.builds(
            CapabilityGranted, capability=texts, granted_by=texts, expires_at=st.none() | texts, constraints=st.just(())
        ),
        st.builds(IdentityRevoked, did=st.sampled_from([DID_A, DID_B]), reason=texts, revoked_at=texts),
        st.builds(
            IdentityTransitioned,
            agent_id=st.just(CREATED.agent_id),
            from_=st.sampled_from(["pending", "active", "expired", "revoked"]),
            to=st.sampled_from(["pending", "active", "expired", "revoked"]),
            reason=texts,
            expires_at=st.none() | texts,
            renewal_jws=st.none() | texts,
        ),
        st.builds(
            Custom, event_type=st.sampled_from(list(EVENT_TYPES)), data=st.none() | st.dictionaries(texts, texts)
        ),
        st.builds(Heartbeat, summary=texts),
    ]
)


@given(events=st.lists(payloads, max_size=12), lead=st.booleans(), cut=st.integers(0, 15))
def test_the_fold_is_pure_and_total(events: list[AnimaEvent | Kind], lead: bool, cut: int) -> None:
    """Any stream folds without raising, twice to the same bytes, and the same from any snapshot in between."""
    stream: list[AnimaEvent | Kind] = [GENESIS, CREATED, ACTIVATED, *events] if lead else events
    records = [stored(sequence, event) for sequence, event in enumerate(stream, start=1)]
    before = [msgspec.json.encode(record.payload) for record in records]
    whole = replay(records)
    snapshot = msgspec.json.decode(msgspec.json.encode(replay(records[:cut])), type=AnimaState)
    assert replay(records[cut:], snapshot) == whole
    assert msgspec.json.encode(replay(records)) == msgspec.json.encode(whole)
    assert [msgspec.json.encode(record.payload) for record in records] == before
    try:
        require_sound(whole)
    except AnimaError as error:
        assert error.code.startswith("anima.")


def test_a_fault_is_forever() -> None:
    """After a fault no event changes the state any more."""
    state = fold(GENESIS, CREATED, GENESIS)
    later: EventRecord = stored(4, ACTIVATED)
    assert apply(state, later) is state
