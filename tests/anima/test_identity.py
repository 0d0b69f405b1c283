"""Identity: ids and the closed lifecycle (anima.md §3)."""

from __future__ import annotations

import itertools

import pytest

from life.aios.errors import InvalidInputError
from life.aios.record import format_timestamp
from life.anima.errors import IllegalTransitionError
from life.anima.identity import (
    TRANSITIONS,
    AgentIdentity,
    Lifecycle,
    WalletAddress,
    agent_id_of,
    check_agent_id,
    check_chain,
    sign_renewal,
    transition,
)
from life.testing.clock import START_US, ManualClock
from tests.anima.material import DID_A, PUBLIC_KEY_A, PUBLIC_KEY_B, SEED_B, WALLET_A, handle

HOUR_US = 3_600_000_000
STATES: tuple[Lifecycle, ...] = ("unclaimed", "pending", "active", "expired", "revoked")

# The table of AN-ID-1, apart from expired → active, which needs a proof.
ALLOWED = {
    ("unclaimed", "pending"),
    ("unclaimed", "revoked"),
    ("pending", "active"),
    ("pending", "expired"),
    ("pending", "revoked"),
    ("active", "expired"),
    ("active", "revoked"),
    ("expired", "revoked"),
}


def identity(lifecycle: Lifecycle = "active", *, expires_at: str | None = None) -> AgentIdentity:
    """Seed A's identity."""
    return AgentIdentity(
        agent_id=agent_id_of(PUBLIC_KEY_A),
        host_id="local",
        auth_public_key=PUBLIC_KEY_A.hex(),
        wallet_address=WalletAddress(address=WALLET_A),
        did=DID_A,
        lifecycle=lifecycle,
        created_at=format_timestamp(START_US),
        expires_at=expires_at,
    )


@pytest.mark.parametrize(("start", "end"), list(itertools.product(STATES, STATES)))
def test_the_table_is_closed(start: Lifecycle, end: Lifecycle) -> None:
    """Every pair of states: what the table has works, everything else is refused, and revoked is final (AN-ID-1)."""
    if (start, end) in ALLOWED:
        assert transition(identity(start), end, at_us=START_US).lifecycle == end
    else:
        with pytest.raises(IllegalTransitionError):
            transition(identity(start), end, at_us=START_US)
    assert TRANSITIONS["revoked"] == frozenset()


async def test_waking_up_needs_the_key_and_a_later_end() -> None:
    """An expired identity becomes active again with a new end and its own key's proof for exactly that end."""
    clock = ManualClock()
    expired = identity("expired", expires_at=format_timestamp(START_US - 1))
    end = format_timestamp(START_US + HOUR_US)
    proof = await sign_renewal(handle(), expired, expires_at_us=START_US + HOUR_US, clock=clock)
    awake = transition(expired, "active", at_us=START_US, expires_at=end, renewal_jws=proof)
    assert awake.lifecycle == "active"
    assert awake.expires_at == end
    assert awake.is_active(START_US + HOUR_US - 1)
    assert not awake.is_active(START_US + HOUR_US)


async def test_waking_up_is_refused_otherwise() -> None:
    """No proof, no end, a past end, another end than signed, another key, another agent, a broken token."""
    clock = ManualClock()
    expired = identity("expired")
    end_us = START_US + HOUR_US
    end, other_end, past = (format_timestamp(at) for at in (end_us, end_us + 1, START_US))
    good = await sign_renewal(handle(), expired, expires_at_us=end_us, clock=clock)
    past_proof = await sign_renewal(handle(), expired, expires_at_us=START_US, clock=clock)
    other_agent = handle().sign_claims(
        {"iss": DID_A, "sub": "agent-other", "type": "anima.identity_renewal", "expires_at": end}
    )
    no_type = handle().sign_claims({"iss": DID_A, "sub": expired.agent_id, "expires_at": end})
    by_other_key = handle(SEED_B).sign_claims(
        {"sub": expired.agent_id, "type": "anima.identity_renewal", "expires_at": end}
    )
    attempts = [
        (None, None),
        (end, None),
        (None, good),
        (other_end, good),
        (past, past_proof),
        (end, other_agent),
        (end, no_type),
        (end, by_other_key),
        (end, good[:-2]),
        (end, "x"),
        ("not a time", good),
    ]
    for expires_at, proof in attempts:
        with pytest.raises(IllegalTransitionError):
            transition(expired, "active", at_us=START_US, expires_at=expires_at, renewal_jws=proof)


def test_active_means_before_the_end() -> None:
    """Only an active identity before its end counts as active."""
    assert identity().is_active(START_US)
    assert not identity("pending").is_active(START_US)
    assert not identity(expires_at=format_timestamp(START_US)).is_active(START_US)


def test_agent_ids_follow_from_the_key() -> None:
    """Different keys, different ids, in the form that is used everywhere (AN-ID-2)."""
    assert agent_id_of(PUBLIC_KEY_A) != agent_id_of(PUBLIC_KEY_B)
    assert check_agent_id(agent_id_of(PUBLIC_KEY_A)).startswith("agent-")


@pytest.mark.parametrize("value", ["", "a" * 65, "a b", "a/b", "../x", "ä", "a\n"])
def test_ids_have_their_form(value: str) -> None:
    """Anything outside [A-Za-z0-9_-]{1,64} is refused."""
    with pytest.raises(InvalidInputError):
        check_agent_id(value)


@pytest.mark.parametrize("value", ["", "eip155:", "eip155:0", "eip155:01", "8453", "solana:mainnet", "eip155:8453\n"])
def test_chains_have_their_form(value: str) -> None:
    """Only CAIP-2 names of EVM chains are accepted."""
    with pytest.raises(InvalidInputError):
        check_chain(value)
